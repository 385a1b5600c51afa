"""Simulated wall clocks, called for the Unix time in seconds."""

import time
from collections.abc import Callable


class SimulatedClock:
    """Runs `speed` times as fast as real time."""

    def __init__(
        self, speed: float = 1.0, start: float | None = None, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        if not speed > 0:
            raise ValueError(f"speed must be above 0, not {speed}")
        self.speed = speed
        self._start = time.time() if start is None else start
        self._monotonic = monotonic
        self._origin = monotonic()

    def __call__(self) -> float:
        return self._start + (self._monotonic() - self._origin) * self.speed


class ManualClock:
    """Stands still until it is moved, so that tests run hours in milliseconds."""

    speed = 1.0

    def __init__(self, start: float) -> None:
        self.now = start

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds
