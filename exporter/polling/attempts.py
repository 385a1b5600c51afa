"""What the readers of single attempts have in common."""

import logging
from abc import abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from math import inf
from typing import ClassVar, TypeVar

from exporter.campaign.attempts import AttemptsState
from exporter.campaign.state import CampaignState
from exporter.config.model import AttemptsSettings
from exporter.polling.job import AccountJob
from exporter.polling.throttle import Share
from exporter.providers.errors import REASONS, ForbiddenError, PollError

log = logging.getLogger(__name__)

T = TypeVar("T")

READINGS_CHECK_INTERVAL = 5.0
"""Seconds between two checks of what is due to be read."""
COMPLETE, INCOMPLETE = "complete", "incomplete"


@dataclass(slots=True, eq=False)
class AttemptsJob(AccountJob):
    """
    Reads the single attempts of an account's campaigns, with the part of the budget that is configured for it.

    Attributes:
        readings: Their number by result: `complete`, `incomplete` or the reason of a failure.
        readable: Whether the token may read them; None before the first answer.
    """

    route: ClassVar[str]
    exemplar_label: ClassVar[str]

    readings: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys((COMPLETE, INCOMPLETE, *REASONS), 0), init=False
    )
    readable: bool | None = field(default=None, init=False)
    _share: Share | None = field(default=None, init=False)

    @property
    def settings(self) -> AttemptsSettings | None:
        return self.account.settings.attempts

    @property
    def wanted(self) -> bool:
        return self.settings is not None

    def settings_changed(self) -> None:
        settings = self.settings
        if settings is not None:
            self._share = Share(self.account.throttle, settings.request_share, lambda: self.account.poller.left)
        else:
            self.readable = None
        for target in self.account.poller.targets.values():
            attempts = target.state.attempts
            if attempts is None:
                continue
            if settings is None:
                target.state.attempts = None
            elif attempts.exemplar_label is not None and not settings.exemplars:
                attempts.drop_exemplars()
            else:
                continue
            self.account.shared.display.update_attempts(target.state)
        AccountJob.settings_changed(self)

    async def run(self) -> float:
        return inf if self.settings is None else await self.read(self.settings)

    @abstractmethod
    async def read(self, settings: AttemptsSettings) -> float:
        """Read what is due; returns when to check again (monotonic)."""

    async def ask(self, request: Callable[[], Awaitable[T]]) -> T:
        """Send one request; a 403 turns the readings off for a while, and nothing else."""
        try:
            answer = await self.account.requests.ask(self.route, request, share=self._share)
        except ForbiddenError as exc:
            if self.readable is not False:
                log.warning("the token may not read single attempts", extra=self.account.log_as | {"error": str(exc)})
            self.readable = False
            self.turn_off()
            raise
        if self.readable is False:
            log.info("single attempts can be read again", extra=self.account.log_as)
        self.readable = True
        return answer

    def failed(self, error: PollError) -> None:
        self.readings[error.reason] += 1
        log.debug("single attempts can't be read", extra=self.account.log_as | {"error": str(error)})

    def interval_for(self, settings: AttemptsSettings, requests: float) -> float:
        """Seconds between two readings, where a round of them takes so many requests."""
        return max(settings.refresh_interval, requests * self.account.throttle.spacing / settings.request_share)

    def attempts_of(self, state: CampaignState, settings: AttemptsSettings) -> AttemptsState:
        if state.attempts is None:
            state.attempts = AttemptsState(state.budget)
        state.attempts.exemplar_label = self.exemplar_label if settings.exemplars else None
        return state.attempts
