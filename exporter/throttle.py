"""Limits on requests: a second and in flight, for an account and for the whole process."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from math import ceil


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

    No second, wherever it begins, sees more than `rate` requests: a hundredth of the rate is kept back, and is what
    may go out at once. Without that small burst the timer's resolution of a millisecond would be the limit.
    """

    _KEPT_BACK = 0.01

    def __init__(self, rate: float, max_in_flight: int, slots: Slots) -> None:
        self.max_in_flight = max_in_flight
        self.in_flight = 0
        self._slots = slots
        self._waiting: list[Callable[[], None]] = []
        self._held_until = 0.0
        self._next = 0.0
        self.rate = rate

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self._rate

    @rate.setter
    def rate(self, rate: float) -> None:
        self._rate = rate
        self._spacing = 1 / (rate * (1 - self._KEPT_BACK))
        self._burst = (ceil(max(1.0, rate * self._KEPT_BACK)) - 1) * self._spacing

    def hold(self, until: float) -> None:
        """Send nothing before this moment (monotonic): the server asked for it."""
        self._held_until = max(self._held_until, until)

    @property
    def full(self) -> bool:
        """Whether a request has to wait for another one's end."""
        return self.in_flight >= self.max_in_flight or not self._slots.free

    def delay(self, now: float) -> float:
        """Seconds until the rate allows a request; 0 when it does now."""
        return max(0.0, self._next - self._burst - now, self._held_until - now)

    def take(self, now: float) -> None:
        self._next = max(self._next, now) + self._spacing
        self.in_flight += 1
        self._slots.take()

    def release(self) -> None:
        self.in_flight -= 1
        self._slots.release()
        waiting, self._waiting = self._waiting, []
        for wake in waiting:
            wake()

    def when_free(self, wake: Callable[[], None]) -> None:
        """Call once, when a request has ended and another one may begin."""
        if self.in_flight >= self.max_in_flight:
            if wake not in self._waiting:
                self._waiting.append(wake)
        else:
            self._slots.wait(wake)

    @asynccontextmanager
    async def one_more(self) -> AsyncIterator[None]:
        """Wait for the turn of a request that is no poll, and keep its place in the budget until it ends."""
        loop = asyncio.get_running_loop()
        while self.full:
            freed = asyncio.Event()
            self.when_free(freed.set)
            await freed.wait()
        delay = self.delay(loop.time())
        # The place is taken before the wait: polls that are always due would never leave it one.
        self.take(loop.time())
        try:
            if delay:
                await asyncio.sleep(delay)
            yield
        finally:
            self.release()
