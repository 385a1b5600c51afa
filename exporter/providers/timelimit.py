"""One limit of time for all requests of an account."""

import asyncio
from typing import Any


class TimeLimit:
    """
    Cancels requests that take too long.

    All have the same time, so the first to begin is the first to run out: one timer watches over all of them. A timer
    for each, as aiohttp and `asyncio.timeout` have it, takes as long as everything that is worked out of the answer.

    Args:
        seconds: From the beginning of a request to its end.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._began: dict[asyncio.Task[Any], float] = {}
        self._cancelled: dict[asyncio.Task[Any], int] = {}
        """Those that have run out and not ended yet, and how often they were told so."""
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> asyncio.Task[Any]:
        """Watch over a request that the current task makes; returns that task, which must hand it to `end`."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 -- for mypy: whoever awaits is in a task
        now = self._began[task] = self._loop.time()
        if self._timer is None:
            self._watch(now)
        return task

    def has_run_out(self, task: asyncio.Task[Any]) -> bool:
        """Whether this limit, and nobody else, has cancelled the task, whose request has not ended yet."""
        return 0 < self._cancelled.get(task, 0) == task.cancelling()

    def end(self, task: asyncio.Task[Any]) -> None:
        """Let go of a request that has ended, in whatever way."""
        del self._began[task]
        for _ in range(self._cancelled.pop(task, 0)):
            task.uncancel()

    def close(self) -> None:
        """Watch over nothing any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _watch(self, began: float) -> None:
        # A millisecond later: timers count whole ones, and would ring too early as often as too late.
        self._timer = self._loop.call_at(began + self._seconds + 0.001, self._ring)

    def _ring(self) -> None:
        self._timer = None
        now = self._loop.time()
        for task in [task for task, began in self._began.items() if began + self._seconds <= now]:
            # A library may swallow it: who has not ended when the same time has passed again is told again.
            del self._began[task]
            self._began[task] = now
            self._cancelled[task] = self._cancelled.get(task, 0) + 1
            task.cancel()
        if self._began:
            self._watch(next(iter(self._began.values())))
