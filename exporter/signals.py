"""
Signals, from the first moment of the process to its last.

Little is imported here, so that `hold` can be called before what takes long to import.
"""

from __future__ import annotations

import contextlib
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator
    from types import FrameType

_remembered: list[int] = []


def hold(*, daemon: bool = True) -> None:
    """
    Let SIGTERM and SIGINT end a daemon with 0, and remember SIGHUP, until `handled` takes over.

    In other commands SIGINT raises KeyboardInterrupt.
    """
    if not daemon:
        # A script's background process inherits SIGINT ignored, and Python then leaves it so.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        return
    # Without a handler the first process of a container would not even get SIGTERM.
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, _end)
    signal.signal(signal.SIGHUP, _remember)


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


def _remember(number: int, frame: FrameType | None) -> None:
    _remembered.append(number)


@dataclass(slots=True)
class Received:
    """
    Which signals have come.

    Attributes:
        stop: Set by SIGTERM and SIGINT.
        reload: Set by SIGHUP.
        name: Of the signal that has set `stop`.
    """

    stop: asyncio.Event
    reload: asyncio.Event
    name: str = ""

    def end(self, number: signal.Signals) -> None:
        self.name = number.name
        self.stop.set()


@contextlib.asynccontextmanager
async def handled() -> AsyncIterator[Received]:
    """Handle the signals in the running event loop until the block is left, then as before it."""
    import asyncio

    loop = asyncio.get_running_loop()
    received = Received(asyncio.Event(), asyncio.Event())
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, received.end, number)
    loop.add_signal_handler(signal.SIGHUP, received.reload.set)
    if _remembered:
        _remembered.clear()
        received.reload.set()
    try:
        yield received
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            # Else a reload would kill the process in its last moments.
            signal.signal(number, handler)
