"""Limits on requests, a second and in flight, for an account and for the whole process."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from math import inf


class Slots:
    """
    Limits the requests in flight over all accounts.

    A callback that is left when no slot is free is called, in turn, when one is.
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

    def release(self) -> None:
        self.taken -= 1
        # A callback may find nothing to do any more: then the next one gets its turn.
        while self._waiting and self.free:
            self._waiting.popleft()()


class Throttle:
    """
    One account's budget of requests.

    Allows at most `rate` requests in any one-second window. Runs at 64/65 of it, so that a request may go out a 64th of
    a second before its turn: those that are due together, at one of 64 moments a second, go out together, and timers
    that count whole milliseconds cost nothing of the rate.

    Polls take their turn themselves (`delay`, `take`, `release`); all other requests get theirs from a `Share`.

    Attributes:
        spacing: Seconds between two requests.
        held_until: The time (monotonic) before which nothing is sent.
    """

    _KEPT_BACK = 1 / 65
    _EARLIEST = 0.0156

    def __init__(self, rate: float, max_in_flight: int, slots: Slots) -> None:
        self.max_in_flight = max_in_flight
        self.in_flight = 0
        self._slots = slots
        self._waiting: deque[Callable[[], None]] = deque()
        self.held_until = 0.0
        self._next = 0.0
        self.rate = rate

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self._rate

    @rate.setter
    def rate(self, rate: float) -> None:
        self._rate = rate
        self.spacing = 1 / (rate * (1 - self._KEPT_BACK))

    def hold(self, until: float) -> None:
        """Send nothing before this time (monotonic): the server asked for it."""
        self.held_until = max(self.held_until, until)

    def delay(self, now: float, wake: Callable[[], None]) -> float:
        """
        Seconds until a request may go out; 0 when it may now.

        Infinite while it has to wait until another one ends: then `wake` is called, once.
        """
        if self.in_flight >= self.max_in_flight:
            if wake not in self._waiting:
                self._waiting.append(wake)
            return inf
        if self._slots.taken >= self._slots.limit:
            self._slots.wait(wake)
            return inf
        soonest = self._next - self._EARLIEST
        if soonest < self.held_until:
            soonest = self.held_until
        return soonest - now if soonest > now else 0.0

    def take(self, now: float) -> None:
        self._next = (self._next if self._next > now else now) + self.spacing
        self.in_flight += 1
        self._slots.taken += 1

    def release(self) -> None:
        self.in_flight -= 1
        self._slots.release()
        while self._waiting and self.in_flight < self.max_in_flight:
            self._waiting.popleft()()


class Share:
    """
    A part of an account's rate, for requests that are no polls.

    It is the given part of the rate, and no more than what polls leave of it: polls go first.

    Args:
        part: Of the rate, above 0 and at most 1.
        left: Gives the part of the rate that polls leave, above 0.
    """

    def __init__(self, throttle: Throttle, part: float, left: Callable[[], float] = lambda: 1.0) -> None:
        self._throttle = throttle
        self._part = part
        self._left = left
        self._next = 0.0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for the turn of a request, and keep its place in the budget until it ends."""
        clock = asyncio.get_running_loop().time
        soonest = max(clock(), self._next)
        self._next = soonest + self._throttle.spacing / min(self._part, self._left())
        await asyncio.sleep(soonest - clock())
        while True:
            if (held := self._throttle.held_until - clock()) > 0:
                await asyncio.sleep(held)
                continue
            turn = await self._next_turn()
            if turn is None:
                continue
            try:
                await asyncio.sleep(turn - clock())
                if clock() >= self._throttle.held_until:
                    yield
                    return
            finally:
                self._throttle.release()

    async def _next_turn(self) -> float | None:
        """
        Take the place of a request as soon as one is free, and return the time at which it may go out.

        None while the account is held: that may take minutes, and another account may need the place.

        The place is taken before that time, and by the request that frees it: polls that are always due would never
        leave one to a task that has to be woken first.
        """
        loop = asyncio.get_running_loop()
        throttle = self._throttle
        granted: asyncio.Future[float | None] = loop.create_future()

        def grant() -> None:
            if granted.done():
                return
            now = loop.time()
            if throttle.held_until > now:
                granted.set_result(None)
            elif (delay := throttle.delay(now, grant)) < inf:
                throttle.take(now)
                granted.set_result(now + delay)

        grant()
        try:
            return await granted
        except asyncio.CancelledError:
            if not granted.cancelled() and granted.result() is not None:
                throttle.release()
            raise
