"""What the log says of an account's polls: changes only, and never thousands of lines for one cause."""

import asyncio
import logging
from collections import Counter
from math import inf

from exporter.campaign.state import CampaignState
from exporter.providers.errors import InternalError, PollError

log = logging.getLogger(__name__)

LINES_A_PERIOD = 10
PERIOD = 60.0


class PollLog:
    """
    The log of one account.

    A campaign is named when it starts failing, when the reason changes and when it recovers. When more than a few do so
    within a minute, the others are counted and reported in one line.
    """

    def __init__(self, account: dict[str, object]) -> None:
        self._account = account
        self._loop = asyncio.get_running_loop()
        self._lines = 0
        self._unreported: Counter[str] = Counter()
        self._period: asyncio.TimerHandle | None = None
        self._held_until = -inf

    def failed(self, state: CampaignState, error: PollError) -> None:
        """Report a failed poll, unless the one before failed for the same reason."""
        if state.error == error.reason:
            return
        what = "campaign fails" if state.error is None else "campaign fails for another reason"
        if self._may_report(f"fail: {error.reason}"):
            extra = {"campaign": state.campaign.name, "reason": error.reason, "error": str(error)}
            if isinstance(error, InternalError):
                log.error(what, exc_info=error.__cause__, extra=self._account | extra)
            else:
                log.warning(what, extra=self._account | extra)

    def recovered(self, state: CampaignState) -> None:
        if self._may_report("recovered"):
            extra = {"campaign": state.campaign.name, "after": state.error}
            log.info("campaign recovered", extra=self._account | extra)

    def held(self, seconds: float) -> None:
        """Report that the provider asks to wait; once, until it has not asked for a while."""
        now = self._loop.time()
        if now >= self._held_until + PERIOD:
            log.warning("the provider asks to wait", extra=self._account | {"seconds": round(seconds, 1)})
        self._held_until = max(self._held_until, now + seconds)

    def stretched(self, before: float, after: float, campaigns: int, demand: float, rate: float) -> None:
        extra = {"campaigns": campaigns, "wanted_per_second": round(demand, 2), "allowed_per_second": rate}
        if before == 1.0:
            log.warning(
                "more campaigns than max_requests_per_second carries: all intervals are stretched",
                extra=self._account | extra | {"factor": round(after, 2)},
            )
        elif after == 1.0:
            log.info("intervals are no longer stretched", extra=self._account | extra)

    def breaker_opened(self, error: PollError, campaigns: int) -> None:
        log.error(
            "the account's credentials are refused: all its campaigns fail, one request a minute tries again",
            extra=self._account | {"reason": error.reason, "error": str(error), "campaigns": campaigns},
        )

    def breaker_closed(self, why: str) -> None:
        log.info("the account's campaigns are polled again", extra=self._account | {"why": why})

    def close(self) -> None:
        """Report what has only been counted so far."""
        if self._period is not None:
            self._period.cancel()
            self._sum_up()

    def _may_report(self, kind: str) -> bool:
        if self._period is None:
            self._period = self._loop.call_later(PERIOD, self._sum_up)
        if self._lines < LINES_A_PERIOD:
            self._lines += 1
            return True
        self._unreported[kind] += 1
        return False

    def _sum_up(self) -> None:
        self._period = None
        self._lines = 0
        if self._unreported:
            what = ", ".join(f"{kind} {number}" for kind, number in self._unreported.most_common())
            log.warning("more campaigns changed within a minute", extra=self._account | {"changes": what})
            self._unreported.clear()
