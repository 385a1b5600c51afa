"""The order in which things happen in a simulated world: a heap of moments, and no clock but the one handed in."""

import heapq
from collections.abc import Callable
from itertools import count
from typing import Any


class Timeline:
    """
    Runs events at their moments, in Unix seconds of the simulated world.

    What happens depends on the events alone, never on how often or in what steps the timeline is advanced.
    """

    def __init__(self, start: float, clock: Callable[[], float]) -> None:
        self.now = start
        self._clock = clock
        self._events: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []
        self._order = count()
        self._started = False
        self._running = False

    def at(self, moment: float, action: Callable[..., object], *arguments: Any) -> None:
        """Run `action(*arguments)` at `moment`; events of one moment run in the order in which they were given."""
        heapq.heappush(self._events, (max(moment, self.now), next(self._order), action, arguments))

    def after(self, seconds: float, action: Callable[..., object], *arguments: Any) -> None:
        self.at(self.now + seconds, action, *arguments)

    def every(self, period: float, action: Callable[[], object]) -> None:
        """Run `action` each `period` seconds, for the first time after one period."""

        def repeat() -> None:
            action()
            self.every(period, action)

        self.after(period, repeat)

    def advance_to(self, moment: float) -> None:
        """Run everything up to and including `moment`; a moment that has passed changes nothing."""
        self._started = True
        self._running = True
        try:
            while self._events and self._events[0][0] <= moment:
                self.now, _, action, arguments = heapq.heappop(self._events)
                action(*arguments)
        finally:
            self._running = False
        self.now = max(self.now, moment)

    def catch_up(self) -> None:
        """
        Advance to the clock, so that what is done next is done now and not at the moment of the last request.

        Nothing happens before the first `advance_to`, since a world is furnished in its past, nor inside an event.
        """
        if self._started and not self._running:
            self.advance_to(self._clock())
