"""A campaign that is polled, as a job on its account's agenda."""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any

from exporter.campaign.state import CampaignState
from exporter.polling.agenda import Expiring

if TYPE_CHECKING:
    from exporter.polling.poller import Poller


@dataclass(slots=True, eq=False)
class Target(Expiring):
    """
    A campaign that is polled: the job of its polls.

    Attributes:
        base: Seconds between polls by its status, before stretching.
        started: When the last poll began (monotonic).
        failures: Failed polls since the last success.
        identified: Whether an answer has named the campaign.
    """

    throttled = True

    poller: Poller
    state: CampaignState
    base: float
    started: float = field(default=-inf, init=False)
    failures: int = field(default=0, init=False)
    gone: bool = field(default=False, init=False)
    identified: bool = field(default=False, init=False)

    def run(self) -> Coroutine[Any, Any, float]:
        return self.poller.poll(self, self.due)

    @property
    def stale_at(self) -> float:
        return self.state.stale_at

    def expire(self) -> None:
        self.state.withdraw()
        self.poller.changed(self.state)
