"""The daemon: polls and serves until a signal ends it, and reloads."""

import asyncio
import contextlib
import gc
import logging
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

from exporter import __version__
from exporter.accounts import Exporter
from exporter.config.model import Settings
from exporter.signals import remembered
from exporter.ui import handlers
from exporter.ui.runbooks import read_runbooks
from exporter.web.auth import protect
from exporter.web.config import WebConfigFile, WebConfigWatch
from exporter.web.routes import create_app
from exporter.web.server import serving
from exporter.web.sockets import is_wildcard, location
from exporter.web.systemd import ServiceManager, feed_watchdog

log = logging.getLogger(__name__)

SHUTDOWN_TIMEOUT = 4.0
"""Seconds for running scrapes; with what is cleaned up after them, the end takes five at most."""
_OFF_CHECK_INTERVAL = 5.0
_READY_CHECK_INTERVAL = 1.0
# Net new objects between two collections; Python's 700 are reached while one page is made.
_GC_THRESHOLD = 20_000

Reload = Callable[[], Awaitable[str | None]]


async def serve(
    exporter: Exporter,
    sockets: Sequence[socket.socket],
    load: Callable[[], Settings],
    watch_file: Callable[[], bytes | None],
    web_config: WebConfigFile | None = None,
) -> None:
    """
    Poll and serve until SIGTERM or SIGINT.

    Args:
        load: Reads the configuration again.
        watch_file: Reads the content by which `reload.auto_interval` tells a change; None when there is no file.
        web_config: TLS, users and headers; None for plain HTTP that is open to everybody.

    Raises:
        ExceptionGroup: A loop has died; the process has to end with a status that is not 0.
    """
    manager = ServiceManager()
    watch = web_config and WebConfigWatch(web_config, exporter.web_config_read)

    async def reload() -> str | None:
        manager.reloading()
        error = await exporter.reload(load)
        if watch and (faults := await watch.check()):
            error = "\n".join(filter(None, (error, *faults)))
        manager.ready("the last reload failed" if error else "")
        return error

    async with handled_signals() as received:
        web = exporter.settings.web
        app = create_app(
            page=exporter.exposition.page,
            ready=lambda: exporter.ready and not received.stop.is_set(),
            reload=reload if web.enable_lifecycle else None,
            frontend=handlers.routes(
                exporter.overview, version=__version__, telemetry_path=web.telemetry_path, runbooks=read_runbooks()
            ),
            telemetry_path=web.telemetry_path,
        )
        if web_config:
            protect(app, lambda: web_config.users)
        clock = asyncio.get_running_loop().time
        async with serving(
            app,
            sockets,
            tls=lambda: web_config.tls if web_config else None,
            headers=lambda: web_config.headers if web_config else {},
            shutdown_timeout=SHUTDOWN_TIMEOUT,
        ):
            async with exporter.running() as spawn:
                spawn(_reload_on_signal(received.reload, reload))
                spawn(_reload_on_change(exporter, watch_file, reload))
                spawn(feed_watchdog(manager))
                spawn(freeze_objects(exporter))
                if watch:
                    spawn(watch.run())
                _log_start(exporter, sockets, "https" if web_config and web_config.tls else "http")
                manager.ready()
                try:
                    await received.stop.wait()
                finally:
                    received.stop.set()
                    manager.stopping()
                polls = sum(account.throttle.in_flight for account in exporter.accounts.values())
                log.info("stopping", extra={"signal": received.name, "requests_cancelled": polls})
                began = clock()
            polled_until = clock()
        log.info(
            "stopped",
            extra={
                "seconds_for_polls": round(polled_until - began, 3),
                "seconds_for_answers": round(clock() - polled_until, 3),
            },
        )


def _log_start(exporter: Exporter, sockets: Sequence[socket.socket], scheme: str) -> None:
    for sock in sockets:
        interfaces = {"interfaces": "all"} if is_wildcard(sock) else {}
        log.info("listening", extra={"address": location(sock, scheme), **interfaces})
    accounts = exporter.accounts.values()
    campaigns = sum(len(account.poller.targets) for account in accounts)
    log.info("started", extra={"version": __version__, "accounts": len(accounts), "campaigns": campaigns})


@dataclass(slots=True)
class Received:
    """Which signals have come: SIGTERM or SIGINT, by its name, and SIGHUP."""

    stop: asyncio.Event
    reload: asyncio.Event
    name: str = ""

    def end(self, number: signal.Signals) -> None:
        self.name = number.name
        self.stop.set()


@contextlib.asynccontextmanager
async def handled_signals() -> AsyncIterator[Received]:
    """Handle the signals in the running event loop until the block is left, then as before it."""
    loop = asyncio.get_running_loop()
    received = Received(asyncio.Event(), asyncio.Event())
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, received.end, number)
    loop.add_signal_handler(signal.SIGHUP, received.reload.set)
    if remembered:
        remembered.clear()
        received.reload.set()
    try:
        yield received
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            # Else a reload would kill the process in its last moments.
            signal.signal(number, handler)


async def freeze_objects(exporter: Exporter) -> None:
    """
    Have the garbage collector skip all objects that exist when the exporter gets ready.

    Polling leaves no cycles behind, and yet a full collection walks over every object: with 10,000 campaigns it stops
    everything for 90 ms, with 30,000 for 200. What a reload adds later is still walked over.
    """
    gc.set_threshold(_GC_THRESHOLD, 20, 20)
    while True:
        gc.freeze()
        if exporter.ready:
            return
        await asyncio.sleep(_READY_CHECK_INTERVAL)


async def _reload_on_signal(reload_now: asyncio.Event, reload: Reload) -> None:
    while True:
        await reload_now.wait()
        reload_now.clear()
        await reload()


async def _reload_on_change(exporter: Exporter, read: Callable[[], bytes | None], reload: Reload) -> None:
    """
    Reload when the content of the file has changed, and is the same at two checks; after a failure at every check.

    The content is compared, not the time stamp: Kubernetes swaps a symbolic link to files of any age.
    """
    tried = seen = await asyncio.to_thread(read)
    while True:
        interval = exporter.settings.reload.auto_interval
        # Without an interval a reload by hand may bring one: check again in a while.
        await asyncio.sleep(interval or _OFF_CHECK_INTERVAL)
        before, seen = seen, await asyncio.to_thread(read)
        if not interval:
            tried = seen
        elif seen is not None and seen == before and (seen != tried or exporter.last_reload_failed):
            tried = seen
            await reload()
