"""
Both providers' answers at the least cost, in a process of their own, so that what is measured is the exporter.

Every number differs from answer to answer. It understands no more of HTTP than a well-behaved client's GET.
"""

import argparse
import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import count
from typing import cast

import uvloop

_END_OF_HEADERS = b"\r\n\r\n"
_numbers = count(1)


def anyreach(n: int) -> str:
    """A stats answer of a campaign that is being dialed."""
    return (
        f'{{"status":"active","contacts":{{"total":{n + 90_000},"pending":{90_000 - n % 80_000},'
        f'"in_progress":{n % 9 + 1},"completed":{n},"exhausted":{n // 2}}},'
        f'"attempts":{{"total":{n * 2},"average_per_contact":{1 + n % 1000 / 1000}}},'
        f'"active_calls":{n % 9 + 1},"concurrency_limit":{n % 5 + 10}}}'
    )


def osvi(n: int) -> str:
    """A status answer with one upload."""
    return (
        f'{{"success":true,"data":{{"campaign":{{"name":"June Renewals","status":"active","is_retry_enabled":true,'
        f'"retry_threshold":{n % 5},"retry_delay":{n % 1800},"created_at":"2026-06-01T04:30:00Z"}},'
        f'"calls":{{"total":{n * 2},"by_status":{{"picked":{n},"not_picked":{n // 2},"failed":{n // 3},'
        f'"busy":{n // 4},"voicemail":{n // 5}}}}},'
        f'"uploads":[{{"queues":[{{"agent_uuid":"agent_x","completed":false,"total_queued":{n}}}]}}]}}}}'
    )


class Connection(asyncio.Protocol):
    """One client; answers come in the order of the requests."""

    latency = 0.0
    first = 0.0
    """When the first request came, on the system's monotonic clock; told at `/first`."""

    def __init__(self) -> None:
        self._rest = b""
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        *requests, self._rest = (self._rest + data).split(_END_OF_HEADERS)
        for request in requests:
            if self.latency:
                self._loop.call_later(self.latency, self._answer, request)
            else:
                self._answer(request)

    def _answer(self, request: bytes) -> None:
        if self._transport.is_closing():
            return
        if request.startswith(b"GET /first "):
            body = str(Connection.first).encode()
        else:
            Connection.first = Connection.first or time.monotonic()
            body = (osvi if request.startswith(b"GET /v1/") else anyreach)(next(_numbers)).encode()
        self._transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        )


@contextlib.contextmanager
def upstream(latency: float = 0.0, *, module: str = "benchmarks.upstream") -> Iterator[str]:
    """Run the providers until the block is left, or another module that speaks for them; yields their base URL."""
    command = (sys.executable, "-m", module, "--latency", str(latency))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


async def _serve(latency: float) -> None:
    Connection.latency = latency
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0, backlog=1024)
    host, port = server.sockets[0].getsockname()
    print(f"http://{host}:{port}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    uvloop.run(_serve(parser.parse_args().latency))
