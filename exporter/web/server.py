"""
Sockets, and the connections that come in on them: binding, serving, and the limits that keep hostile clients harmless.

aiohttp parses requests and runs handlers; it has no limit on connections, none on the time that a client may take
for its headers apart from the one for idle connections, and none for reading the answer. Those stand here, between
the sockets and its protocol, so that they hold during TLS handshakes too.
"""

import asyncio
import errno
import itertools
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import cast

from aiohttp import web
from aiohttp.http import HttpProcessingError
from aiohttp.typedefs import Handler

_log = logging.getLogger(__name__)

_NO_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


@dataclass(frozen=True, slots=True)
class Limits:
    """What a client may take. Times are seconds."""

    connections: int = 512
    """Open connections. Past it a new one displaces the one that has kept the exporter waiting for longest."""
    request: float = 10.0
    """From the first byte of a request to the end of its headers; at first from the connection, and for TLS again."""
    request_bytes: int = 65536
    """The same in bytes; aiohttp limits single lines, and their number, below it."""
    stall: float = 10.0
    """In which a client must take in a buffer of its answer."""
    idle: float = 330.0
    """Between requests: longer than the five minutes for which Prometheus keeps a connection, so that it never finds
    one closed just as it sends."""


@asynccontextmanager
async def serving(
    app: web.Application,
    sockets: Sequence[socket.socket],
    *,
    ssl_context: Callable[[], ssl.SSLContext] | None = None,
    shutdown_timeout: float = 5.0,
    limits: Limits = Limits(),
) -> AsyncIterator[None]:
    """
    Serve an application on listening sockets, which stay the caller's to close.

    At the end running requests get `shutdown_timeout` seconds; until they are done, new ones are answered too, so
    that a probe learns that the exporter is about to go. A listener that fails takes the block down with it.

    Args:
        ssl_context: Asked anew for every connection, so that a renewed certificate is served at once.
    """
    runner = web.AppRunner(
        app,
        access_log=None,
        logger=_server_log,
        shutdown_timeout=0.1,  # the patience is spent before it is asked to stop
    )
    connections = _Connections(runner, limits, ssl_context)
    app.middlewares.insert(0, connections.middleware)
    await runner.setup()
    failure: Exception | None = None
    try:
        async with asyncio.TaskGroup() as listeners:
            tasks = [listeners.create_task(connections.accept_from(sock)) for sock in sockets]
            try:
                yield
            except Exception as exc:  # noqa: BLE001  goes on below: the group would wrap it
                failure = exc
            await connections.finished(shutdown_timeout)
            for task in tasks:
                task.cancel()
        if failure:
            raise failure
    finally:
        await runner.cleanup()
        await connections.close()


def _not_the_clients_fault(record: logging.LogRecord) -> bool:
    """Keep what is not HTTP, or beyond the limits, out of the log: anybody who reaches the port could fill it."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


_server_log = logging.getLogger(f"{__name__}.http")
_server_log.addFilter(_not_the_clients_fault)


class _Connections:
    """The connections of one server: lets them in, counts them, and drops the ones that take too much."""

    def __init__(self, runner: web.AppRunner, limits: Limits, ssl_context: Callable[[], ssl.SSLContext] | None) -> None:
        self._runner = runner
        self._limits = limits
        self._ssl_context = ssl_context
        self._loop = asyncio.get_running_loop()
        self._open: set[_Connection] = set()
        self._by_handler: dict[object, _Connection] = {}
        self._turns = itertools.count()
        self._requests = 0
        self._at_rest = asyncio.Event()
        self._at_rest.set()
        self._room = asyncio.Event()

    async def accept_from(self, listener: socket.socket) -> None:
        while True:
            try:
                accepted, _ = await self._loop.sock_accept(listener)
            except ConnectionError:
                continue  # gone before it was its turn
            except OSError as exc:
                if exc.errno not in _NO_RESOURCES:
                    raise
                _log.warning("cannot accept a connection", extra={"error": exc.strerror})
                self._displace()
                await asyncio.sleep(1)
                continue
            while len(self._open) >= self._limits.connections and not self._displace():
                self._room.clear()
                await self._room.wait()
            connection = _Connection(self, self._limits, accepted)
            self._open.add(connection)
            connection.connecting = self._loop.create_task(self._connect(connection))
            connection.connecting.add_done_callback(partial(self._connected, connection))

    async def _connect(self, connection: "_Connection") -> None:
        context = self._ssl_context and self._ssl_context()
        # From here on it is the loop's to close.
        accepted, connection.accepted = connection.accepted, None
        assert accepted is not None  # noqa: S101  for mypy: a connection is made once
        try:
            await self._loop.connect_accepted_socket(
                lambda: connection,
                accepted,
                ssl=context,
                ssl_handshake_timeout=self._limits.request if context else None,
            )
        except OSError as exc:  # of the handshake
            _log.debug("no connection", extra={"error": str(exc)})

    def _connected(self, connection: "_Connection", _: asyncio.Task[None]) -> None:
        if connection.accepted:
            connection.accepted.close()
        if connection.transport is None:
            self.forget(connection)

    def _displace(self) -> bool:
        """Drop the connection that waits for its client, for longest; first those that never sent a request."""
        waiting = [connection for connection in self._open if connection.waiting_since is not None]
        if not waiting:
            return False
        min(waiting, key=lambda c: (c.used, c.waiting_since)).drop("displaced")
        return True

    def handler_for(self, connection: "_Connection") -> web.RequestHandler:
        server = self._runner.server
        assert server is not None, "the runner is set up before the first connection comes in"  # noqa: S101  for mypy
        handler = server()
        self._by_handler[handler] = connection
        return handler

    def turn(self) -> int:
        """Number the waiting connections; the time would be the same for all that come in one turn of the loop."""
        return next(self._turns)

    def forget(self, connection: "_Connection") -> None:
        self._open.discard(connection)
        self._by_handler.pop(connection.handler, None)
        self._room.set()

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        connection = self._by_handler.get(request.protocol)
        self._requests += 1
        self._at_rest.clear()
        if connection:
            connection.request_began()
        try:
            return await handler(request)
        finally:
            if connection:
                connection.request_ended()
            self._requests -= 1
            if not self._requests:
                self._at_rest.set()

    async def finished(self, patience: float) -> None:
        """Wait until no request is being answered, for so many seconds at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self._at_rest.wait()

    async def close(self) -> None:
        """Let the last bytes out, for a moment, and drop what is left."""
        with suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                while self._open:
                    self._room.clear()
                    await self._room.wait()
        for connection in list(self._open):
            connection.drop("shutting down")


class _Connection(asyncio.Protocol):
    """Hands everything through between a transport and aiohttp's handler, and watches the clock."""

    def __init__(self, connections: _Connections, limits: Limits, accepted: socket.socket) -> None:
        self._connections = connections
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._deadline: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        self._lost = False
        self._received = 0
        self.accepted: socket.socket | None = accepted
        self.connecting: asyncio.Task[None] | None = None
        self.transport: asyncio.Transport | None = None
        self.handler: web.RequestHandler | None = None
        self.used = False
        self.waiting_since: int | None = connections.turn()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's are no subclasses of it
        self._expect("no request", self._limits.request)
        self.handler = self._connections.handler_for(self)
        self.handler.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        assert self.handler is not None  # noqa: S101  for mypy: the connection was made
        if self.waiting_since is not None:
            if self._received > self._limits.request_bytes:
                self.drop("headers too large")
                return
            if self.used and not self._received:
                self._expect("request not finished", self._limits.request)
            self._received += len(data)
        self.handler.data_received(data)

    def eof_received(self) -> bool | None:
        assert self.handler is not None  # noqa: S101  for mypy: the connection was made
        self.handler.eof_received()
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        for timer in (self._deadline, self._stalled):
            if timer:
                timer.cancel()
        if self.handler:
            self.handler.connection_lost(exc)
        self._connections.forget(self)

    def pause_writing(self) -> None:
        assert self.handler is not None  # noqa: S101  for mypy: the connection was made
        self._stalled = self._loop.call_later(self._limits.stall, self.drop, "answer not taken in")
        self.handler.pause_writing()

    def resume_writing(self) -> None:
        assert self.handler is not None  # noqa: S101  for mypy: the connection was made
        if self._stalled:
            self._stalled.cancel()
        self.handler.resume_writing()

    def request_began(self) -> None:
        self.used = True
        self.waiting_since = None
        self._received = 0
        if self._deadline:
            self._deadline.cancel()

    def request_ended(self) -> None:
        if self._lost:
            return
        self.waiting_since = self._connections.turn()
        self._expect("idle", self._limits.idle)

    def drop(self, reason: str) -> None:
        """End the connection at once, without waiting for the other side to take in what is still unsent."""
        _log.debug("connection dropped", extra={"reason": reason})
        if self.transport:
            self.transport.abort()
        elif self.connecting:
            self.connecting.cancel()
        self._connections.forget(self)

    def _expect(self, otherwise: str, seconds: float) -> None:
        if self._deadline:
            self._deadline.cancel()
        self._deadline = self._loop.call_later(seconds, self.drop, otherwise)
