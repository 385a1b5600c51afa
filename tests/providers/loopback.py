"""Servers on loopback that say exactly what a test makes them say, and remember what they were asked."""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TypeVar

from exporter.providers.http import Transport

DATA = Path(__file__).parents[1] / "data"

Answer = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]

MAX_IN_FLIGHT = 4


class Loopback:
    """
    Gives every request the next answer, and the last one to all that follow.

    An answer is the bytes to send, or a coroutine function that gets the connection. A subclass may choose it by the
    request.

    Attributes:
        requests: The head of each request as it was received.
        connections: Number of connections that were accepted.
    """

    def __init__(self, *answers: Answer) -> None:
        self.requests: list[str] = []
        self.connections = 0
        self.port = 0
        self._answers = list(answers)
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def tls_url(self) -> str:
        return f"https://localhost:{self.port}"

    def paths(self) -> list[str]:
        """What each request asked for, as it stood on the wire."""
        return [request.split(" ")[1] for request in self.requests]

    def header(self, name: str) -> str | None:
        """The value of a header of the last request."""
        for line in self.requests[-1].split("\r\n")[1:]:
            key, _, value = line.partition(": ")
            if key.lower() == name.lower():
                return value
        return None

    def answer_to(self, request: str) -> Answer:
        """The answer to a request, of which this is the head."""
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            with suppress(asyncio.IncompleteReadError, asyncio.CancelledError, OSError):
                while not writer.is_closing():
                    self.requests.append((await reader.readuntil(b"\r\n\r\n")).decode("latin-1"))
                    answer = self.answer_to(self.requests[-1])
                    if callable(answer):
                        await answer(writer)
                    else:
                        writer.write(answer)
                        await writer.drain()
        finally:
            writer.transport.abort()
            self._tasks.discard(task)

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


L = TypeVar("L", bound=Loopback)


@asynccontextmanager
async def listening(
    loopback: L, *, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[L]:
    """Let a loopback serve, on a free port unless one is given."""
    server = await asyncio.start_server(loopback.serve, host, port, ssl=tls)
    loopback.port = server.sockets[0].getsockname()[1]
    try:
        yield loopback
    finally:
        server.close()
        await loopback.stop()
        await server.wait_closed()


@asynccontextmanager
async def serving(*answers: Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[Loopback]:
    """Serve the answers on a free port of 127.0.0.1."""
    async with listening(Loopback(*answers), tls=tls) as loopback:
        yield loopback


def http(body: bytes | str, status: int = 200, *headers: str) -> bytes:
    """One whole answer with its length."""
    content = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status} Some Reason", f"Content-Length: {len(content)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + content


def closed_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


def reset(writer: asyncio.StreamWriter) -> None:
    """Close a connection with RST instead of FIN."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def transport(
    base_url: str, *, timeout: float = 10, max_body_bytes: int = 65_536, proxy_url: str | None = None
) -> Transport:
    """A transport with limits that suit a test."""
    return Transport(
        base_url,
        timeout=timeout,
        max_body_bytes=max_body_bytes,
        max_in_flight=MAX_IN_FLIGHT,
        proxy_url=proxy_url,
    )


@asynccontextmanager
async def greeting(words: bytes | None) -> AsyncIterator[int]:
    """Say the same to whoever connects, or reset the connection; gives the port."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        if words is None:
            reset(writer)
        else:
            writer.write(words)
            await writer.drain()
            writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@asynccontextmanager
async def tunneling(port: int) -> AsyncIterator[str]:
    """A proxy that takes any CONNECT and leads it to a port of 127.0.0.1; gives its address."""
    tasks: set[asyncio.Task[None]] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def lead(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))

    proxy = await asyncio.start_server(lead, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
    finally:
        proxy.close()
        await asyncio.gather(*tasks)
        await proxy.wait_closed()


def recorded(case: str, status: int = 200) -> bytes:
    """The whole answer that is recorded under `tests/data/<provider>/<case>/<status>.json`."""
    return http(body_of(case, status), status)


def body_of(case: str, status: int = 200) -> bytes:
    """The body alone of a recorded answer."""
    return (DATA / case / f"{status}.json").read_bytes()
