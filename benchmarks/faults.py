"""The providers on a bad day: the answers of `benchmarks.upstream`, or a fault in place of one in ten, by chance."""

import asyncio
import json
import random
from collections.abc import Callable
from itertools import count

import uvloop

from benchmarks.upstream import Connection, anyreach, osvi

_SLOW = 4.0
_numbers = count(1)


def _answer(status: str, body: bytes, *headers: str) -> bytes:
    lines = (f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", "")
    return "\r\n".join(lines).encode() + body


FAULTS: tuple[Callable[[bytes], bytes | None], ...] = (
    lambda good: _answer("500 Internal Server Error", b"{}"),
    lambda good: _answer("404 Not Found", b"{}"),
    lambda good: _answer("302 Found", b"", "Location: /elsewhere"),
    lambda good: _answer("204 No Content", b""),
    lambda good: _answer("200 OK", b"<html>"),
    lambda good: _answer("200 OK", b"[" * 10_000),
    lambda good: _answer("200 OK", b"\xff" * 300_000),
    lambda good: _answer("200 OK", good.replace(b":1", b":NaN", 1)),
    lambda good: _answer("200 OK", good.replace(b'"exhausted"', b'"bucket-%d"' % random.randrange(200))),
    lambda good: _answer("200 OK", good.replace(b'"total":', b'"total":-', 1)),
    lambda good: b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{",
    lambda good: b"SSH-2.0-OpenSSH\r\n\r\n",
    lambda good: None,
)
"""From the good answer's body to what is sent in its place; after what is no whole answer the connection ends."""


class BadDay(Connection):
    """Answers now and then wrongly, slowly or not at all; `/heal` ends that, `/counts` tells what was asked."""

    asked: dict[str, int]
    healed = False

    def _answer(self, request: bytes) -> None:
        if self._transport.is_closing():
            return
        path = request.split(b" ", 2)[1].decode()
        if path == "/heal":
            BadDay.healed = True
            self._transport.write(_answer("200 OK", b"{}"))
            return
        if path == "/counts":
            self._transport.write(_answer("200 OK", json.dumps(BadDay.asked).encode()))
            return
        BadDay.asked[path] = BadDay.asked.get(path, 0) + 1
        good = (osvi if path.startswith("/v1/") else anyreach)(next(_numbers)).encode()
        chance = 1.0 if BadDay.healed else random.random()
        if chance < 0.002:
            self._loop.call_later(_SLOW, self._send, _answer("200 OK", good))
        elif chance < 0.0025:
            self._send(_answer("429 Too Many Requests", b"{}", "Retry-After: 1"))
        elif chance < 0.1:
            self._send(random.choice(FAULTS)(good))
        else:
            self._send(_answer("200 OK", good))

    def _send(self, answer: bytes | None) -> None:
        if self._transport.is_closing():
            return
        if answer is None:
            self._transport.abort()
            return
        self._transport.write(answer)
        if b"Content-Length: 5000" in answer or answer.startswith(b"SSH"):
            self._transport.close()


async def _serve() -> None:
    BadDay.asked = {}
    random.seed(1)
    server = await asyncio.get_running_loop().create_server(BadDay, "127.0.0.1", 0, backlog=1024)
    host, port = server.sockets[0].getsockname()
    print(f"http://{host}:{port}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve())
