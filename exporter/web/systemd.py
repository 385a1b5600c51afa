"""
Messages to the service manager: the exporter is ready, reloads, stops, is alive.

Each is a datagram of lines to a Unix socket: https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html.
"""

import asyncio
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable, MutableMapping

_log = logging.getLogger(__name__)


class ServiceManager:
    """
    Sends the state of the service to systemd, where the unit asks for it (`Type=notify`, `WatchdogSec=`).

    Removes the variables that say so, which are not meant for child processes.
    """

    def __init__(
        self, environ: MutableMapping[str, str] = os.environ, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        address = environ.pop("NOTIFY_SOCKET", "")
        # "@" stands for the zero byte that abstract names begin with; other kinds of address are for virtual machines.
        self._address = "\0" + address[1:] if address.startswith("@") else address if address.startswith("/") else ""
        self._monotonic = monotonic
        self._failed = False
        limit, process = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", "")
        meant = self._address and limit.isdecimal() and int(limit) > 0 and process in {"", str(os.getpid())}
        self.watchdog_interval = int(limit) / 2e6 if meant else None
        """Seconds between two messages: half of the unit's limit. None where it has no watchdog."""

    def ready(self, status: str = "") -> None:
        """Say that the service is up, or that a reload is done; `systemctl status` shows the status."""
        # A line break would begin another assignment.
        self._send("READY=1", f"STATUS={' '.join(status.split())}")

    def reloading(self) -> None:
        """A reload has begun; `ready` ends it."""
        # The time lets systemd tell this reload from an earlier one (`Type=notify-reload`).
        self._send("RELOADING=1", f"MONOTONIC_USEC={int(self._monotonic() * 1e6)}")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def alive(self) -> None:
        self._send("WATCHDOG=1")

    def _send(self, *assignments: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.settimeout(1)  # of a manager that does not read; it has other troubles then
                sock.connect(self._address)
                sock.sendall("\n".join(assignments).encode(errors="replace"))
        except OSError as exc:
            if not self._failed:
                _log.warning("the service manager cannot be notified", extra={"error": exc.strerror or str(exc)})
            self._failed = True
        else:
            self._failed = False


async def feed_watchdog(manager: ServiceManager, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep) -> None:
    """Sends WATCHDOG=1 at half the unit's limit; returns at once where there is none."""
    while manager.watchdog_interval is not None:
        manager.alive()
        await sleep(manager.watchdog_interval)
