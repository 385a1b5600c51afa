"""How often a campaign is polled, and for how long its values are shown: one rule for polls and for `check`."""

from dataclasses import dataclass
from typing import Self

from exporter.campaign.snapshot import Snapshot
from exporter.campaign.state import Lifecycle
from exporter.config.model import PollSettings

STALE_INTERVALS = 3
"""Intervals for which a campaign's values are shown at least."""
RECENT_INTERVALS = 2
"""Active intervals for which an answer counts in the account's sums."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Intervals of polls and the age at which values are withdrawn, in seconds, as configured."""

    active: float
    idle: float
    closed: float
    stale_after: float

    @classmethod
    def of(cls, poll: PollSettings) -> Self:
        return cls(poll.active_interval, poll.idle_interval, poll.closed_interval, poll.stale_after)

    def interval(self, lifecycle: Lifecycle, snapshot: Snapshot | None) -> float:
        """The interval by the status in a campaign's last answer, before stretching."""
        if snapshot is None or snapshot.status == lifecycle.active_status or snapshot.calls_in_flight:
            return self.active
        if snapshot.status is not None and snapshot.status == lifecycle.final_status:
            return self.closed
        return self.idle

    def stale_after_of(self, interval: float) -> float:
        """The age at which values are withdrawn, by the interval in force."""
        return max(self.stale_after, STALE_INTERVALS * interval)


def stretch_of(demand: float, rate: float) -> float:
    """The factor by which intervals are stretched, 1 for none, by requests a second: wanted and allowed."""
    return max(1.0, demand / rate)
