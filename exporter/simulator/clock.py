"""Simulated wall clocks: one that runs with real time, one that moves when a test moves it."""

import time
from collections.abc import Callable


class SimulatedClock:
    """
    A wall clock that runs `speed` times as fast as real time.

    It is callable, so that it can stand wherever a `Callable[[], float]` is asked for. Values are Unix seconds.
    """

    def __init__(
        self, speed: float = 1.0, start: float | None = None, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        if not speed > 0:
            raise ValueError(f"speed must be above 0, not {speed}")
        self.speed = speed
        self.start = time.time() if start is None else start
        self._monotonic = monotonic
        self._origin = monotonic()

    def time(self) -> float:
        """Return the simulated Unix time, in seconds."""
        return self.start + (self._monotonic() - self._origin) * self.speed

    __call__ = time


class ManualClock:
    """A wall clock that stands still until it is moved, so that tests run hours in milliseconds."""

    speed = 1.0

    def __init__(self, start: float) -> None:
        self.now = start

    def time(self) -> float:
        """Return the Unix time that was last set, in seconds."""
        return self.now

    __call__ = time

    def advance(self, seconds: float) -> None:
        """Move forward by `seconds`."""
        self.now += seconds
