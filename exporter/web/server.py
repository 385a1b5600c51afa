"""
Serves an application on listening sockets, within limits that keep hostile clients harmless.

asyncio and aiohttp limit neither the number of connections, nor the time that a client takes for a request or for
taking in an answer, nor the memory that unread answers hold.
"""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from math import inf
from operator import attrgetter
from typing import Any, cast

from aiohttp import web
from aiohttp.http import HttpProcessingError
from aiohttp.payload import Payload
from aiohttp.typedefs import Handler

from exporter.web.routes import busy
from exporter.web.sockets import BACKLOG
from exporter.web.tls import Tls

_log = logging.getLogger(__name__)

_CHECK_INTERVAL = 0.25
_SMALL_ANSWER = 16384
_CALM = 2.0
"""Seconds without many connections or unread bytes after which their memory is given back."""
_HEADERS: Mapping[str, str] = {
    "Server": "campaign-exporter",  # not the libraries and their versions
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """What clients may take. Times are seconds."""

    connections: int = 512
    """Open ones, TLS handshakes included. For one more, a quarter of those that wait for their client are closed."""
    unread_bytes: int = 128 * 1024 * 1024
    """Answers that clients have yet to take in, all together. Further ones are answered with 503."""
    request_bytes: int = 65536
    """From one answer to the next: headers, body and what is pipelined."""
    body_bytes: int = 4096
    """Of a body that a request announces; no request needs one."""
    request: float = 10.0
    """From the first byte of a request to the end of its headers; at first from the connection, and for TLS again."""
    stall: float = 10.0
    """In which a client must take in a buffer of its answer (48 KiB)."""
    idle: float = 330.0
    """Between requests. Prometheus keeps a connection for five minutes, so it never sends on one just closed."""
    crowded: float = 1.0
    """In place of the three times above while more than half of the unread bytes is taken."""


@asynccontextmanager
async def serving(
    app: web.Application,
    sockets: Sequence[socket.socket],
    *,
    tls: Callable[[], Tls | None] = lambda: None,
    headers: Callable[[], Mapping[str, str]] = lambda: {},
    shutdown_timeout: float = 5.0,
    limits: Limits = Limits(),
) -> AsyncIterator[None]:
    """
    Serve an application on listening sockets, which are closed at the end.

    At the end running requests get `shutdown_timeout` seconds. Until then new ones are answered too, so that a probe
    learns that the exporter is stopping.

    Args:
        tls: Called for every connection.
        headers: Called for every answer; they replace the application's own.
    """
    # The waiting is done before the runner is asked to stop.
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    clients = _Clients(limits, headers)
    app.middlewares.insert(0, clients.middleware)
    await runner.setup()
    manager = runner.server
    assert manager is not None, "set up"  # noqa: S101  for mypy
    loop = asyncio.get_running_loop()

    def connection() -> _Connection:
        secure = tls()
        return _SecureConnection(manager, clients, secure) if secure else _Connection(manager, clients)

    servers = [await loop.create_server(connection, sock=sock, backlog=BACKLOG) for sock in sockets]
    watch = loop.create_task(clients.watch())
    try:
        yield
    finally:
        await _emptied(clients.answering, shutdown_timeout)
        for server in servers:
            server.close()
        watch.cancel()
        await runner.cleanup()
        # Lets the last bytes out.
        await _emptied(clients.open, 0.5)
        for one in list(clients.open):
            one.drop()


async def _emptied(connections: Collection[object], patience: float) -> None:
    """Wait until there are no more of these, for so many seconds at most."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + patience
    while connections and loop.time() < ends:  # noqa: ASYNC110 -- once, at the end: no event to keep for that
        await asyncio.sleep(0.01)


class _Clients:
    def __init__(self, limits: Limits, headers: Callable[[], Mapping[str, str]]) -> None:
        self.limits = limits
        self.headers = headers
        self.answering: set[_Connection] = set()
        # In the order in which they came in: the clock's steps are coarse.
        self.open: dict[_Connection, None] = {}

    def admit(self, connection: "_Connection") -> bool:
        """Count a connection in; False when as many as may be are being answered."""
        if connection in self.open:
            return True
        if len(self.open) >= self.limits.connections:
            # Whoever has just come in gets time to ask, however many more are coming in.
            waiting = sorted((one for one in self.open if one.is_overdue(0)), key=attrgetter("since"))
            for one in waiting[: len(waiting) // 4 + 1]:
                one.drop()
        if len(self.open) >= self.limits.connections:
            return False
        self.open[connection] = None
        return True

    def forget(self, connection: "_Connection") -> None:
        self.open.pop(connection, None)
        self.answering.discard(connection)

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        connection = cast(_Connection, request.protocol)
        connection.wait_for("")
        self.answering.add(connection)
        if (request.content_length or 0) > self.limits.body_bytes:
            response = web.Response(status=413, text="No request needs a body.\n")
            response.force_close()
            return response
        return await handler(request)

    def unread(self) -> dict[int, int]:
        """Sizes of the answers that clients have yet to take in, by identity: what several share counts once."""
        return dict(one.sending for one in self.open if one.sending)

    async def watch(self) -> None:
        """Drop clients that keep the server waiting for too long, without end; after a crowd, give its memory back."""
        loop = asyncio.get_running_loop()
        crowded_at: float | None = None
        while True:
            await asyncio.sleep(_CHECK_INTERVAL)
            much_is_unread = sum(self.unread().values()) > self.limits.unread_bytes / 2
            patience = self.limits.crowded if much_is_unread else inf
            for connection in [one for one in self.open if one.is_overdue(patience)]:
                connection.drop()
            if much_is_unread or len(self.open) > self.limits.connections / 8:
                crowded_at = loop.time()
            elif crowded_at is not None and loop.time() - crowded_at > _CALM:
                crowded_at = None
                await asyncio.to_thread(_give_memory_back)


def _give_memory_back() -> None:
    """Hand freed memory to the system: glibc keeps all that lies below something in use, 50 MB after 500 handshakes."""
    from ctypes import CDLL

    with suppress(AttributeError):  # musl has no such function
        CDLL(None).malloc_trim(0)


def _body_of(response: web.StreamResponse) -> tuple[int, int]:
    body = response.body if isinstance(response, web.Response) else None
    if isinstance(body, Payload):
        return id(body._value), body.size or 0
    return id(body), len(body or b"")


class _Connection(web.RequestHandler):
    """aiohttp's protocol for one connection, with TLS and the limits."""

    def __init__(self, manager: web.Server, clients: _Clients) -> None:
        self._clients = clients
        super().__init__(
            manager,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # it stands for none, as in AppRunner
            logger=_log,
            max_line_size=clients.limits.request_bytes,
            max_field_size=clients.limits.request_bytes,
            auto_decompress=False,
            lingering_time=1.0,
        )
        self._wire: asyncio.Transport | None = None
        self._received = 0
        self.sending: tuple[int, int] | None = None
        """Identity and size of the answer that is being sent."""
        self.wait_for("request")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._wire = cast(asyncio.Transport, transport)  # uvloop's are no subclasses of it
        if self._clients.admit(self):
            self.wait_for("request")
            super().connection_made(transport)
        else:
            self._wire.abort()

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        if self._received > self._clients.limits.request_bytes:
            self._refuse_large_request()
            return
        if data and self._waits_for == "idle":
            self.wait_for("request")
        super().data_received(data)

    def _refuse_large_request(self) -> None:
        if not self._waits_for or self.transport is None:
            self.drop()
            return
        lines = [f"{name}: {value}" for name, value in {**_HEADERS, **self._clients.headers()}.items()]
        head = ["HTTP/1.1 431 Request Header Fields Too Large", *lines, "Content-Length: 0", "Connection: close"]
        self.transport.write("\r\n".join([*head, "", ""]).encode())
        self.force_close()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._clients.forget(self)
        # Without the exception: aiohttp would hand it to the future that a handler waits for, and exception, frames and
        # future would hold each other, and with them the answer, until the garbage collector looks.
        super().connection_lost(None)

    def log_exception(self, *args: Any, **kw: Any) -> None:
        # Malformed requests stay out of the log: anybody who reaches the port could fill it.
        if not isinstance(kw.get("exc_info"), HttpProcessingError):
            super().log_exception(*args, **kw)

    def pause_writing(self) -> None:
        self.wait_for("stall")
        super().pause_writing()

    def resume_writing(self) -> None:
        self.wait_for("" if self in self._clients.answering else "idle")
        super().resume_writing()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        identity, size = _body_of(resp)
        # A small answer always has room; so has one that is alone.
        unread = self._clients.unread() if size > _SMALL_ANSWER else {}
        if unread and identity not in unread and sum(unread.values()) + size > self._clients.limits.unread_bytes:
            resp = busy()
        resp.headers.update(_HEADERS)
        resp.headers.update(self._clients.headers())
        self.sending = _body_of(resp)
        try:
            return await super().finish_response(request, resp, start_time)
        finally:
            self.sending = None
            self._received = 0
            self.wait_for("idle")
            self._clients.answering.discard(self)

    def wait_for(self, limit: str) -> None:
        """The client is waited for from now on, for as long as this one of the limits; the empty name is for not."""
        self._waits_for, self.since = limit, self._loop.time()

    def is_overdue(self, patience: float) -> bool:
        """Whether the client has been waited for longer than its limit, or than this many seconds."""
        if not self._waits_for:
            return False
        limit: float = getattr(self._clients.limits, self._waits_for)
        return self._loop.time() - self.since >= min(limit, patience)

    def drop(self) -> None:
        """End the connection at once, without waiting for the client to take in what is still unsent."""
        _log.debug("connection dropped", extra={"reason": self._waits_for})
        self._clients.forget(self)
        if self._wire:
            self._wire.abort()


class _SecureConnection(_Connection):
    """
    A connection with TLS.

    asyncio's server has one context for all its connections, and does not report handshakes. So it accepts a plain
    connection here, whose socket then gets a transport with TLS: the handshake counts, and has the newest certificate.
    """

    def __init__(self, manager: web.Server, clients: _Clients, tls: Tls) -> None:
        super().__init__(manager, clients)
        self._tls = tls
        self._handshake: asyncio.Task[None] | None = None
        self._accepted: socket.socket | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._accepted is None:
            self._begin(cast(asyncio.Transport, transport))
        elif self._tls.admits(transport.get_extra_info("peercert")):
            super().connection_made(transport)
        else:
            _log.debug("no connection", extra={"error": "the certificate has none of client_allowed_sans"})
            cast(asyncio.Transport, transport).abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._wire:
            super().connection_lost(exc)

    def drop(self) -> None:
        super().drop()
        if self._handshake:
            self._handshake.cancel()

    def _begin(self, plain: asyncio.Transport) -> None:
        if self._clients.admit(self):
            self._accepted = socket.socket(fileno=os.dup(plain.get_extra_info("socket").fileno()))
            self._handshake = self._loop.create_task(self._shake_hands(self._accepted))
            self._handshake.add_done_callback(self._ended)
        plain.abort()

    async def _shake_hands(self, accepted: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(lambda: self, accepted, ssl=self._tls.context)
        except OSError as exc:
            _log.debug("no connection", extra={"error": str(exc)})

    def _ended(self, _: asyncio.Task[None]) -> None:
        self._handshake = None
        if self._wire is None:
            self._clients.forget(self)
            if self._accepted:
                self._accepted.close()
