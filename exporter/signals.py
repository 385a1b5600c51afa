"""
Signals before the daemon's event loop runs.

Little is imported here, so that `hold` can be called before what takes long to import.
"""

import signal
from types import FrameType

remembered: list[int] = []
"""The SIGHUPs that have come and were not handled yet."""


def hold(*, daemon: bool = True) -> None:
    """
    Let SIGTERM and SIGINT end a daemon with 0, and remember SIGHUP, until its event loop handles them.

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
    remembered.append(number)
