"""
Polls and scrapes while clients do their worst: `python -m benchmarks.siege`.

The exporter as a process of its own polls 1,000 campaigns every 5 s from a server in another process. Meanwhile a
third one sends 50 scrapes at once each second, as Prometheus sends them, and keeps 200 slow clients busy that come
again a second after they were thrown out: some never finish their headers, some never read their answer, and some take
it in a kilobyte at a time.
"""

import asyncio
import contextlib
import json
import multiprocessing
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple, cast

import aiohttp
import psutil
import uvloop
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.table import Table

CAMPAIGNS = 1000
INTERVAL = 5.0
JITTER = 0.1
SCRAPES = 50
SLOW_CLIENTS = 200
SECONDS = 30.0
MINUTE_AFTER = 60.0

LATE = 1.0
"""Seconds by which a poll may start late before it counts as late."""
_ROUND = 1.0
_COME_AGAIN = 1.0
_PROMETHEUS = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;q=0.5", "Accept-Encoding": "gzip"}


# The upstream: answers at once, and knows when it was last asked for each campaign.


class Asked(NamedTuple):
    """What the upstream saw in a time."""

    requests: int
    lost: int
    """Gaps between two requests for one campaign that are longer than an interval, its jitter and `LATE`."""
    longest_gap: float


class _Upstream:
    def __init__(self) -> None:
        self.requests = 0
        self._last: dict[bytes, float] = {}
        self._gaps: list[float] = []

    def answer(self, path: bytes) -> bytes:
        now = time.monotonic()
        self.requests += 1
        if (last := self._last.get(path)) is not None:
            self._gaps.append(now - last)
        self._last[path] = now
        body = json.dumps(
            {
                "status": "active",
                "contacts": {
                    "total": 9000,
                    "pending": 9000 - self.requests % 4000,
                    "in_progress": self.requests % 7,
                    "completed": self.requests % 3000,
                    "exhausted": self.requests % 1000,
                },
                "attempts": {"total": self.requests, "average_per_contact": 1.25},
                "active_calls": self.requests % 9,
                "concurrency_limit": 40,
            }
        ).encode()
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        return head + body

    def begin(self) -> None:
        self.requests = 0
        self._gaps.clear()

    def end(self) -> Asked:
        now = time.monotonic()
        # A campaign that is not polled any more has a gap too.
        gaps = [*self._gaps, *(now - last for last in self._last.values())]
        longest_allowed = INTERVAL * (1 + JITTER) + LATE
        return Asked(self.requests, sum(gap > longest_allowed for gap in gaps), max(gaps, default=0.0))


class _UpstreamProtocol(asyncio.Protocol):
    def __init__(self, upstream: _Upstream) -> None:
        self._upstream = upstream
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are no subclasses of it

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            path = self._received.split(b" ", 2)[1]
            self._received = self._received[end + 4 :]
            self._transport.write(self._upstream.answer(path))


def _serve_upstream(pipe: Connection) -> None:
    async def serve() -> None:
        loop = asyncio.get_running_loop()
        upstream = _Upstream()
        server = await loop.create_server(lambda: _UpstreamProtocol(upstream), "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        await asyncio.to_thread(pipe.recv)
        upstream.begin()
        await asyncio.to_thread(pipe.recv)
        pipe.send(upstream.end())
        await asyncio.Future()

    uvloop.run(serve())


# The besiegers.


class Besieged(NamedTuple):
    """What the scrapers and the slow clients met with."""

    scrapes: int
    failures: dict[str, int]
    seconds: list[float]
    """How long each whole scrape took."""
    page_bytes: int
    visits: dict[str, int]
    """How often each kind of slow client came."""


class _Siege:
    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._began = time.monotonic()
        self.seconds: list[float] = []
        self.failures: Counter[str] = Counter()
        self.visits: Counter[str] = Counter()
        self.page_bytes = 0

    async def run(self) -> Besieged:
        kinds: tuple[Callable[[], Coroutine[Any, Any, None]], ...] = (
            self._never_finishes_headers,
            self._never_reads,
            self._drips,
        )
        host, port = self._address
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(
            f"http://{host}:{port}", connector=connector, auto_decompress=False
        ) as session:
            slow = [
                asyncio.create_task(self._again_and_again(kinds[number % len(kinds)])) for number in range(SLOW_CLIENTS)
            ]
            await asyncio.gather(*(self._scrape(session) for _ in range(SCRAPES)))
            for task in slow:
                task.cancel()
            await asyncio.gather(*slow, return_exceptions=True)
        scrapes = len(self.seconds) + self.failures.total()
        return Besieged(scrapes, dict(self.failures), self.seconds, self.page_bytes, dict(self.visits))

    async def _scrape(self, session: aiohttp.ClientSession) -> None:
        while (began := time.monotonic()) < self._began + SECONDS:
            try:
                async with session.get("/metrics", headers=_PROMETHEUS) as response:
                    body = await response.read()
            except (aiohttp.ClientError, OSError) as exc:
                self.failures[type(exc).__name__] += 1
            else:
                if response.status == 200:
                    self.seconds.append(time.monotonic() - began)
                    self.page_bytes = len(body)
                else:
                    self.failures[str(response.status)] += 1
            await asyncio.sleep((self._began - time.monotonic()) % _ROUND)

    async def _again_and_again(self, visit: Callable[[], Coroutine[Any, Any, None]]) -> None:
        while True:
            self.visits[visit.__name__.strip("_")] += 1
            with contextlib.suppress(OSError):
                await visit()
            await asyncio.sleep(_COME_AGAIN)

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[socket.socket]:
        with socket.socket() as sock:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            await asyncio.get_running_loop().sock_connect(sock, self._address)
            yield sock

    async def _never_finishes_headers(self) -> None:
        loop = asyncio.get_running_loop()
        async with self._connected() as sock:
            await loop.sock_sendall(sock, b"GET /metrics HTTP/1.1\r\nHost: exporter\r\n")
            while True:
                await asyncio.sleep(1)
                await loop.sock_sendall(sock, b"X-More: of this\r\n")

    async def _never_reads(self) -> None:
        loop = asyncio.get_running_loop()
        async with self._connected() as sock:
            await loop.sock_sendall(sock, b"GET /metrics HTTP/1.1\r\nHost: exporter\r\n\r\n")
            while True:
                # What has not been read shows no end: to write is the only way to learn of it.
                await asyncio.sleep(1)
                await loop.sock_sendall(sock, b"GET /metrics HTTP/1.1\r\nHost: exporter\r\n\r\n")

    async def _drips(self) -> None:
        loop = asyncio.get_running_loop()
        async with self._connected() as sock:
            await loop.sock_sendall(sock, b"GET /metrics HTTP/1.1\r\nHost: exporter\r\n\r\n")
            while await loop.sock_recv(sock, 1024):  # noqa: ASYNC110 -- it is slow, and waits for nothing
                await asyncio.sleep(0.1)


def _besiege(pipe: Connection, address: tuple[str, int]) -> None:
    pipe.send(uvloop.run(_Siege(address).run()))


# The exporter, seen from outside.


class Health(NamedTuple):
    """What the exporter says of itself."""

    lag: dict[float, float]
    """Polls by the upper bound of how late they started, cumulative."""
    polls: dict[str, float]


async def _health(session: aiohttp.ClientSession) -> Health:
    names = ("campaign_exporter_poll_lag_seconds_bucket", "campaign_exporter_polls_total")
    async with session.get("/metrics", params=[("name[]", name) for name in names]) as response:
        page = await response.text()
    health = Health({}, {})
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            if "le" in sample.labels:
                health.lag[float(sample.labels["le"])] = sample.value
            elif "result" in sample.labels:
                health.polls[sample.labels["result"]] = sample.value
    return health


def quantile(share: float, buckets: dict[float, float]) -> float:
    """The value below which a share of all lies, as PromQL's `histogram_quantile` estimates it."""
    bounds = sorted(buckets)
    rank = share * buckets[bounds[-1]]
    below, below_count = 0.0, 0.0
    for bound in bounds:
        if buckets[bound] >= rank:
            inside = buckets[bound] - below_count
            return below if bound == float("inf") else below + (bound - below) * (rank - below_count) / inside
        below, below_count = bound, buckets[bound]
    raise ValueError(f"{share} is no share")


@contextlib.asynccontextmanager
async def _exporter(directory: Path, upstream: int) -> AsyncIterator[tuple[psutil.Process, tuple[str, int]]]:
    configuration = {
        "poll": {"active_interval": f"{INTERVAL:g}s"},
        "accounts": [
            {
                "name": "besieged",
                "provider": "anyreach",
                "token": "ak_of-no-use",
                "base_url": f"http://127.0.0.1:{upstream}",
                "max_requests_per_second": 2 * CAMPAIGNS / INTERVAL,
                "max_in_flight": 64,
                "calling_windows": "always",
                "campaigns": [{"id": f"campaign-{number}"} for number in range(CAMPAIGNS)],
            }
        ],
    }
    file = directory / "campaign-exporter.yml"
    file.write_text(json.dumps(configuration), encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "exporter", f"--config.file={file}", "--web.listen-address=127.0.0.1:0"),
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        while b"msg=listening" not in (line := await process.stderr.readline()):
            if not line:
                raise RuntimeError("the exporter has not started")
            sys.stderr.write(line.decode())
        port = int(line.split(b"address=")[1].split()[0].rpartition(b":")[2])
        rest = asyncio.create_task(process.stderr.read())
        yield psutil.Process(process.pid), ("127.0.0.1", port)
        process.terminate()
        await process.wait()
        if errors := [line for line in (await rest).decode().splitlines() if "level=info" not in line]:
            sys.stderr.write("\n".join(errors) + "\n")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _probe(session: aiohttp.ClientSession, waits: list[float]) -> None:
    """Ask for health four times a second, each time on a new connection, and collect how long that takes."""
    while True:
        began = time.monotonic()
        async with session.get("/-/healthy", headers={"Connection": "close"}) as response:
            await response.read()
        waits.append(time.monotonic() - began)
        await asyncio.sleep(0.25)


async def _ready(session: aiohttp.ClientSession) -> None:
    async with asyncio.timeout(60):
        while True:
            async with session.get("/-/ready") as response:
                if response.status == 200:
                    return
            await asyncio.sleep(0.2)


async def siege() -> Table:
    """Besiege an exporter for `SECONDS`, and tell how it fared."""
    spawn = multiprocessing.get_context("spawn")
    pipe, of_upstream = spawn.Pipe()
    upstream = spawn.Process(target=_serve_upstream, args=(of_upstream,), daemon=True)
    upstream.start()
    port = await asyncio.to_thread(pipe.recv)
    with tempfile.TemporaryDirectory() as directory:
        async with (
            _exporter(Path(directory), port) as (process, address),
            aiohttp.ClientSession(f"http://{address[0]}:{address[1]}") as session,
        ):
            await _ready(session)
            await asyncio.sleep(2 * INTERVAL)
            memory, before, cpu = process.memory_info().rss, await _health(session), process.cpu_times()
            pipe.send("begin")
            from_besiegers, theirs = spawn.Pipe()
            besiegers = spawn.Process(target=_besiege, args=(theirs, address), daemon=True)
            besiegers.start()
            waits: list[float] = []
            probes = asyncio.create_task(_probe(session, waits))
            result: Besieged = await asyncio.to_thread(from_besiegers.recv)
            probes.cancel()
            pipe.send("end")
            asked: Asked = await asyncio.to_thread(pipe.recv)
            memory_after, after, cpu_after = process.memory_info().rss, await _health(session), process.cpu_times()
            highest = _highest_memory(process.pid)
            await asyncio.sleep(MINUTE_AFTER)
            memory_later = process.memory_info().rss
    lag = {bound: after.lag[bound] - before.lag[bound] for bound in after.lag}
    failed = {
        reason: number - before.polls[reason]
        for reason, number in after.polls.items()
        if reason != "success" and number != before.polls[reason]
    }
    used = cpu_after.user + cpu_after.system - cpu.user - cpu.system
    seconds = sorted(result.seconds)

    table = Table("what", "figure", title=f"{SCRAPES} scrapes and {SLOW_CLIENTS} slow clients for {SECONDS:g} s")
    table.add_row("polls", f"{lag[float('inf')]:.0f}, asked for {asked.requests}")
    table.add_row(
        "how late they started", f"p50 {quantile(0.5, lag) * 1e3:.1f} ms, p99 {quantile(0.99, lag) * 1e3:.1f} ms"
    )
    table.add_row(f"later than {LATE:g} s", f"{lag[float('inf')] - lag[LATE]:.0f}")
    table.add_row(
        "polls lost", f"{asked.lost} (longest gap {asked.longest_gap:.2f} s at an interval of {INTERVAL:g} s)"
    )
    table.add_row("polls failed", str(failed or 0))
    table.add_row("scrapes", f"{result.scrapes} of {result.page_bytes / 1024:.0f} KiB")
    table.add_row("scrapes failed", str(result.failures or 0))
    if seconds:
        p50, p99 = seconds[len(seconds) // 2], seconds[int(len(seconds) * 0.99)]
        table.add_row("their time", f"p50 {p50:.2f} s, p99 {p99:.2f} s, slowest {seconds[-1]:.2f} s")
    table.add_row("time of a probe", f"p50 {sorted(waits)[len(waits) // 2] * 1e3:.0f} ms, slowest {max(waits):.2f} s")
    table.add_row("visits of slow clients", str(result.visits))
    table.add_row(
        "resident memory",
        " MiB, ".join(
            f"{when} {size / 2**20:.0f}"
            for when, size in (
                ("before", memory),
                ("highest", highest),
                ("at its end", memory_after),
                ("a minute later", memory_later),
            )
        )
        + " MiB",
    )
    table.add_row("processor time", f"{used / SECONDS:.0%} of one")
    return table


def _highest_memory(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


if __name__ == "__main__":
    Console(width=120).print(uvloop.run(siege()))
