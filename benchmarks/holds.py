"""For how long the event loop was held, by processor time of its thread: a wall clock shows the machine's noise."""

import asyncio
import time
from collections.abc import Coroutine, Generator
from typing import Any


class Holds:
    """
    The longest step of any task of a loop.

    Attributes:
        longest: In seconds; to be set to 0 for a new beginning.
    """

    def __init__(self) -> None:
        self.longest = 0.0

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Measure every task that is made from now on."""
        loop.set_task_factory(lambda loop, coro, **kwargs: asyncio.Task(_Measured(coro, self), loop=loop, **kwargs))


class _Measured(Coroutine[Any, Any, Any]):
    """A coroutine each of whose steps is timed."""

    def __init__(self, inner: Generator[Any, None, Any] | Coroutine[Any, Any, Any], holds: Holds) -> None:
        self._inner = inner
        self._holds = holds
        self.__qualname__ = getattr(inner, "__qualname__", "")

    def send(self, value: Any) -> Any:
        started = time.thread_time()
        try:
            return self._inner.send(value)
        finally:
            self._holds.longest = max(self._holds.longest, time.thread_time() - started)

    def throw(self, *error: Any) -> Any:
        return self._inner.throw(*error)

    def close(self) -> None:
        self._inner.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        raise AssertionError("a task runs it; nobody awaits it")
