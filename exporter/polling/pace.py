"""
How often a campaign is polled, and for how long its values are shown: one rule for polls and for `check`.

`interval_of` chooses the interval by the last answer, `stretch_of` the factor by the budget. `Poller._apply_pace` puts
their product into force, and `Poller._next_due` adds jitter and back-off when a poll has ended.
"""

from exporter.campaign.snapshot import Snapshot
from exporter.campaign.state import Lifecycle
from exporter.config.model import PollSettings

STALE_INTERVALS = 3
"""Intervals for which a campaign's values are shown at least."""
RECENT_INTERVALS = 2
"""Active intervals for which an answer counts in the account's sums."""


def interval_of(poll: PollSettings, lifecycle: Lifecycle, snapshot: Snapshot | None) -> float:
    """The interval by the status in a campaign's last answer, before stretching."""
    if snapshot is None or snapshot.status == lifecycle.active_status or snapshot.calls_in_flight:
        return poll.active_interval
    if snapshot.status is not None and snapshot.status == lifecycle.final_status:
        return poll.closed_interval
    return poll.idle_interval


def stale_after_of(poll: PollSettings, interval: float) -> float:
    """The age at which values are withdrawn, by the interval in force."""
    return max(poll.stale_after, STALE_INTERVALS * interval)


def stretch_of(demand: float, rate: float) -> float:
    """The factor by which intervals are stretched, 1 for none, by requests a second: wanted and allowed."""
    return max(1.0, demand / rate)
