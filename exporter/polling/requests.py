"""How an account's requests are sent: within its budget, and only while its credentials are accepted."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from exporter.polling.breaker import Breaker
from exporter.polling.throttle import Share, Throttle
from exporter.providers.errors import InternalError, PollError

log = logging.getLogger(__name__)

T = TypeVar("T")

LONGEST_HOLD = 600.0
"""Seconds for which a `Retry-After` holds an account at most."""


class Requests:
    """
    One account's requests; each outcome counts for all of them.

    Args:
        held: Called with the seconds for which the provider has asked to be left alone.
    """

    def __init__(self, throttle: Throttle, share: Share, breaker: Breaker, held: Callable[[float], None]) -> None:
        self.breaker = breaker
        self._throttle = throttle
        self._share = share
        self._held = held
        self._refused: Callable[[], Awaitable[object]] | None = None
        """The request that has opened the breaker, if `ask` has sent it."""

    async def ask(
        self, route: str, request: Callable[[], Awaitable[T]], campaign_id: str = "", *, share: Share | None = None
    ) -> T:
        """
        Send one request when it is its turn.

        Args:
            route: Its name for the breaker.
            campaign_id: Where it is about one campaign's stats.
            share: The part of the rate that it counts for, in place of the usual one.

        Raises:
            PollError: It failed, a defect (InternalError) included, or it was not sent: the credentials are refused.
        """
        self._refuse()
        async with (share or self._share).turn():
            # The credentials may have been refused while it waited.
            self._refuse()
            return await self._send(route, request, campaign_id)

    async def ask_again(self) -> None:
        """Send the refused request once more, to see whether the credentials are accepted again."""
        async with self._share.turn():
            if self.breaker.error is not None and self._refused is not None:
                try:
                    await self._send(self.breaker.route, self._refused)
                except PollError:
                    return

    def failed(self, route: str, error: PollError, sent: float, campaign_id: str = "") -> None:
        """Take in what the failure of a request, sent at that time, says of the whole account."""
        now = asyncio.get_running_loop().time()
        if error.retry_after:
            hold = min(error.retry_after, LONGEST_HOLD)
            self._throttle.hold(now + hold)
            self._held(hold)
        self.breaker.failed(route, error, sent, now, campaign_id)

    def _refuse(self) -> None:
        if self.breaker.error is not None:
            raise type(self.breaker.error)(str(self.breaker.error))

    async def _send(self, route: str, request: Callable[[], Awaitable[T]], campaign_id: str = "") -> T:
        sent = asyncio.get_running_loop().time()
        try:
            answer = await request()
        except PollError as exc:
            self.failed(route, exc, sent, campaign_id)
            if self.breaker.error is exc:
                self._refused = request
            raise
        except Exception as exc:
            log.exception("a request failed by a defect of the exporter")
            raise InternalError(f"a defect of the exporter: {type(exc).__name__}") from exc
        self.breaker.succeeded(route, sent)
        return answer
