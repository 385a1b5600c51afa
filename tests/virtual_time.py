"""
An event loop whose clock jumps from timer to timer, so that hours of polling take no time.

Sockets are real: clients and servers in the loop talk over loopback, and the clock stands still until nothing more
is to be read or written.
The loop sees only itself. A peer in another process or in a thread of its own would be too slow for it:
while that peer thinks, all timers run out.
Code that reads `time.monotonic` or `time.time` itself is not moved along; give it the loop's clock.

Tests that are marked `virtual_time` (a test, or a module by `pytestmark`) run in it with this in conftest.py,
where the mark has to be registered too (`markers` in the configuration, or `config.addinivalue_line`):

    def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
        if item.get_closest_marker("virtual_time"):
            return {"virtual_time": VirtualTimeLoop}
        return {"asyncio": asyncio.new_event_loop}

Fixtures then run in the same loop as their test, and `asyncio.get_running_loop().time()` is the clock.
(Overriding the fixture `event_loop_policy` is deprecated, and a warning is an error here.)
Without a plugin: `with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner: runner.run(main())`.
"""

import asyncio
import selectors
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, ClassVar, TypeVar

T = TypeVar("T")


class NothingCanHappenError(RuntimeError):
    """The loop would wait for ever: its tasks wait for each other, or for something that never comes."""


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """
    Runs until nothing is ready, then sets its clock to the next timer.

    Only two things are waited for in real time: jobs in threads (`asyncio.to_thread`, name resolution), during
    which the clock stands still, and sockets while there is no timer at all.
    """

    START: ClassVar[float] = 1000.0
    """What the clock shows first. Not 0, which too much code takes for "no time"."""
    PATIENCE: ClassVar[float] = 10.0
    """Real seconds without any event after which a thread or a socket is given up."""
    HORIZON: ClassVar[float] = 100 * 86400.0
    """Virtual seconds after which only a recurring timer can still be alive, and is stopped."""

    _scheduled: list[asyncio.TimerHandle]

    def __init__(self) -> None:
        self._now = self.START
        self._jobs = 0
        super().__init__(_Selector(self._on_idle))

    def time(self) -> float:
        return self._now

    def run_in_executor(  # type: ignore[override]  # typeshed spells the arguments with TypeVarTuple, to no effect here
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        future = super().run_in_executor(executor, func, *args)
        self._jobs += 1
        future.add_done_callback(self._on_job_done)
        return future

    async def shutdown_default_executor(self, *args: Any, **kwargs: Any) -> None:
        # It joins the threads in a thread of its own, with a time limit that must not run out at once.
        self._jobs += 1
        try:
            await super().shutdown_default_executor(*args, **kwargs)
        finally:
            self._jobs -= 1

    def _on_job_done(self, _: asyncio.Future[Any]) -> None:
        self._jobs -= 1

    def _on_idle(self, sockets: int) -> float:
        """
        Set the clock to the next timer, or tell for how many real seconds to wait for a socket.

        Raises:
            NothingCanHappenError: There is no timer, no job and no socket, or the clock has gone too far.
        """
        if self._jobs:
            return self.PATIENCE
        if not self._scheduled:
            if sockets:
                return self.PATIENCE
            raise NothingCanHappenError(f"no timer, no socket and no thread is left to wait for: {self._waiting()}")
        self._now = max(self._now, self._scheduled[0].when())
        if self._now > self.START + self.HORIZON:
            raise NothingCanHappenError(f"{self.HORIZON:.0f} seconds have passed on the clock: {self._waiting()}")
        return 0.0

    def _waiting(self) -> str:
        places = []
        for task in asyncio.all_tasks(self):
            frames = task.get_stack(limit=1)
            place = f" ({frames[0].f_code.co_filename}:{frames[0].f_lineno})" if frames else ""
            places.append(f"{task.get_name()}{place}")
        return ", ".join(sorted(places)) or "no task"


class _Selector(selectors.DefaultSelector):
    """Never waits on its own account, but asks what to do when nothing is ready."""

    def __init__(self, on_idle: Callable[[int], float]) -> None:
        super().__init__()
        self._on_idle = on_idle

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        # One of the registered files is the pipe by which a loop wakes itself.
        patience = self._on_idle(len(self.get_map()) - 1)
        if patience == 0:
            return []
        ready = super().select(patience)
        if not ready:
            raise NothingCanHappenError(f"nothing has come from a socket or a thread in {patience:g} s")
        return ready
