"""Limits on requests: a second and in flight, for an account and for the whole process."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager


class Slots:
    """
    Requests in flight at once, over all accounts.

    Who finds no slot leaves a callback and is called, in turn, when one is free.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.taken = 0
        self._waiting: deque[Callable[[], None]] = deque()

    @property
    def free(self) -> bool:
        return self.taken < self.limit

    def wait(self, wake: Callable[[], None]) -> None:
        if wake not in self._waiting:
            self._waiting.append(wake)

    def take(self) -> None:
        self.taken += 1

    def release(self) -> None:
        self.taken -= 1
        # Whoever is woken may find nothing to do any more: then the next one gets its turn.
        while self._waiting and self.free:
            self._waiting.popleft()()


class Throttle:
    """
    One account's budget of requests.

    No second, wherever it begins, sees more than `rate` requests. A 65th of the rate is kept back, so that requests may
    go out up to a 64th of a second before their turn: those that come due together, at one of 64 moments a second, go
    out together, and timers that count whole milliseconds cost nothing of the rate.
    """

    _KEPT_BACK = 1 / 65
    _EARLIEST = 0.0156
    _SHARE_OF_OTHERS = 0.25

    def __init__(self, rate: float, max_in_flight: int, slots: Slots) -> None:
        self.max_in_flight = max_in_flight
        self.in_flight = 0
        self._slots = slots
        self._waiting: deque[Callable[[], None]] = deque()
        self._held_until = 0.0
        self._next = 0.0
        self._next_other = 0.0
        self.rate = rate

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self._rate

    @rate.setter
    def rate(self, rate: float) -> None:
        self._rate = rate
        self._spacing = 1 / (rate * (1 - self._KEPT_BACK))

    def hold(self, until: float) -> None:
        """Send nothing before this moment (monotonic): the server asked for it."""
        self._held_until = max(self._held_until, until)

    @property
    def full(self) -> bool:
        """Whether a request has to wait for another one's end."""
        return self.in_flight >= self.max_in_flight or not self._slots.free

    def delay(self, now: float) -> float:
        """Seconds until the rate allows a request; 0 when it does now."""
        soonest = self._next - self._EARLIEST
        if soonest < self._held_until:
            soonest = self._held_until
        return soonest - now if soonest > now else 0.0

    def take(self, now: float) -> None:
        self._next = (self._next if self._next > now else now) + self._spacing
        self.in_flight += 1
        self._slots.take()

    def release(self) -> None:
        self.in_flight -= 1
        self._slots.release()
        while self._waiting and self.in_flight < self.max_in_flight:
            self._waiting.popleft()()

    def when_free(self, wake: Callable[[], None]) -> None:
        """Call once, when a request has ended and another one may begin."""
        if self.in_flight >= self.max_in_flight:
            if wake not in self._waiting:
                self._waiting.append(wake)
        else:
            self._slots.wait(wake)

    @asynccontextmanager
    async def one_more(self) -> AsyncIterator[None]:
        """
        Wait for the turn of a request that is no poll, and keep its place in the budget until it ends.

        Such requests get a quarter of the rate together: a listing of many pages must not make polls late.
        """
        clock = asyncio.get_running_loop().time
        soonest = max(clock(), self._next_other)
        self._next_other = soonest + self._spacing / self._SHARE_OF_OTHERS
        await asyncio.sleep(soonest - clock())
        while True:
            if (held := self._held_until - clock()) > 0:
                await asyncio.sleep(held)
                continue
            turn = await self._next_turn()
            try:
                await asyncio.sleep(turn - clock())
                if clock() >= self._held_until:
                    yield
                    return
            finally:
                self.release()

    async def _next_turn(self) -> float:
        """
        Take the place of a request as soon as one is free, and tell the moment at which it may go out.

        The place is taken before that moment, and by whoever frees it: polls that are always due would never leave
        one to somebody who has to be woken first.
        """
        loop = asyncio.get_running_loop()
        granted: asyncio.Future[float] = loop.create_future()

        def grant() -> None:
            if granted.done():
                return
            if self.full:
                self.when_free(grant)
                return
            now = loop.time()
            turn = now + self.delay(now)
            self.take(now)
            granted.set_result(turn)

        grant()
        try:
            return await granted
        except asyncio.CancelledError:
            if not granted.cancelled():
                self.release()
            raise
