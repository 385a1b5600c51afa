"""Attacks on the real process, each of a size at which it shows: what others notice, and what memory stays."""

import asyncio
import base64
import json
import socket
import ssl
import time
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import bcrypt
import psutil
import pytest
import trustme

from tests.process import exporter, until

PATIENCE = 5.0
"""Seconds in which a probe, or a client that is known, is answered while the attack goes on."""
LARGE = 2000
"""Campaigns whose page has some megabytes, more than the kernel keeps for a connection."""

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Victim:
    """An exporter under attack."""

    def __init__(self, address: str, pid: int, context: ssl.SSLContext | None) -> None:
        self.address = address
        self._process = psutil.Process(pid)
        self._context = context

    @property
    def megabytes(self) -> float:
        return float(self._process.memory_info().rss) / 1e6

    @property
    def processor_seconds(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system)

    async def has_given_back(self, megabytes: float) -> bool:
        return self.megabytes < megabytes

    def plug(self) -> socket.socket:
        """Connect, and take in as little as can be."""
        host, port = self.address.rpartition("/")[2].split(":")
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect((host, int(port)))
        sock.setblocking(False)
        return sock

    async def connect(self) -> Connection:
        name = "127.0.0.1" if self._context else None
        return await asyncio.open_connection(sock=self.plug(), limit=1024, ssl=self._context, server_hostname=name)

    async def say(self, text: bytes) -> Connection:
        reader, writer = await self.connect()
        writer.write(text)
        return reader, writer

    async def status(self, path: str, authorization: str = "") -> int:
        """Ask on a connection of its own, in time."""
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(PATIENCE)) as session,
            session.get(
                self.address + path,
                headers={"Authorization": authorization} if authorization else {},
                ssl=self._context or True,
            ) as response,
        ):
            await response.read()
            return response.status


@asynccontextmanager
async def attacked(
    directory: Path, campaigns: int = 10, web: Mapping[str, object] | None = None, context: ssl.SSLContext | None = None
) -> AsyncIterator[Victim]:
    """Run an exporter whose provider is not there: it has pages to show, and nothing else to do."""
    account = {
        "name": "acme",
        "provider": "osvi",
        "token": "of-no-use",
        "base_url": "http://127.0.0.1:9",
        "campaigns": [{"id": number + 1, "name": f"campaign-{number}"} for number in range(campaigns)],
        "labels": {f"label_{number}": "x" * 100 for number in range(5)},
    }
    poll = {"active_interval": "1h", "idle_interval": "1h"}
    (directory / "campaign-exporter.yml").write_text(json.dumps({"accounts": [account], "poll": poll}), "utf-8")
    flags: list[str | Path] = []
    if web is not None:
        (directory / "web.yml").write_text(json.dumps(web), encoding="utf-8")
        flags = ["--web.config.file", directory / "web.yml"]
    async with exporter(*flags, directory=directory) as (process, address):
        yield Victim(address, process.pid, context)


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def hashed(password: str, cost: int) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(cost)).decode()


async def close(*connections: Connection) -> None:
    for _, writer in connections:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def test_compressed_request_bodies_are_not_inflated(tmp_path: Path) -> None:
    bomb = zlib.compressobj(9, wbits=31)
    body = bomb.compress(bytes(58_000_000)) + bomb.flush()
    assert len(body) < 60_000
    head = f"GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n"
    async with attacked(tmp_path, web={"basic_auth_users": {"alice": hashed("right", 4)}}) as victim:
        before = victim.processor_seconds

        bombs = [await victim.say(head.encode() + body) for _ in range(50)]
        assert await victim.status("/-/healthy") == 200
        for reader, _ in bombs:
            with suppress(ConnectionError):
                await reader.read()

        assert victim.processor_seconds - before < 2
        await close(*bombs)


async def test_wrong_passwords_keep_out_neither_probes_nor_who_was_right_before(tmp_path: Path) -> None:
    async with attacked(tmp_path, web={"basic_auth_users": {"alice": hashed("right", 12)}}) as victim:
        assert await victim.status("/metrics", basic("alice", "right")) == 200

        ask = "GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\n\r\n"
        wrong = [await victim.say(ask.format(basic("alice", f"wrong-{n}")).encode()) for n in range(530)]
        for _ in range(3):
            assert await victim.status("/-/healthy") == 200
            assert await victim.status("/metrics", basic("alice", "right")) == 200

        # Some wait for their answer still, the others were sent away.
        answers = [await asyncio.wait_for(reader.readline(), PATIENCE) for reader, _ in wrong[-50:]]
        assert {answer.split(b" ")[1] for answer in answers if answer} <= {b"503"}
        assert wrong[32][0].at_eof() is False
        await close(*wrong)


async def test_answers_that_are_cut_off_leave_no_memory_behind(tmp_path: Path) -> None:
    async with attacked(tmp_path, LARGE) as victim:
        size = await page_of(victim)
        before = victim.megabytes

        for _ in range(60):
            reader, writer = await victim.say(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            await reader.readexactly(1000)
            writer.transport.abort()
        assert await victim.status("/-/healthy") == 200

        assert victim.megabytes - before < 8 * size


async def test_answers_that_are_not_taken_in_are_bounded_in_all(tmp_path: Path) -> None:
    async with attacked(tmp_path, LARGE) as victim:
        size = await page_of(victim)
        before = victim.megabytes

        statuses = []
        slow = []
        for _ in range(int(200 / size)):
            reader, writer = await victim.say(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            statuses.append((await reader.readline()).split(b" ")[1])
            slow.append((reader, writer))

        assert set(statuses) == {b"200", b"503"}
        assert victim.megabytes - before < 134 + 8 * size
        assert await victim.status("/-/healthy") == 200
        await close(*slow)


async def page_of(victim: Victim) -> float:
    """The size of a page, in megabytes, once the memory that a few of them take is there."""
    for _ in range(3):
        reader, writer = await victim.say(b"GET /metrics HTTP/1.0\r\n\r\n")
        size = 0
        while data := await reader.read(65536):
            size += len(data)
        await close((reader, writer))
    assert size > 5_000_000
    return size / 1e6


async def test_pipelined_requests_silence_nobody(tmp_path: Path) -> None:
    async with attacked(tmp_path, campaigns=200) as victim:
        crowd = [await victim.connect() for _ in range(500)]
        for _, writer in crowd:
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 20)

        began = time.monotonic()
        assert await victim.status("/-/healthy") == 200
        assert time.monotonic() - began < 3
        await close(*crowd)


async def cost(victim: Victim, request: bytes) -> float:
    """Processor time that answers to five requests take, in seconds."""
    began = victim.processor_seconds
    for number in range(5):
        # An answer is kept for whoever asks the same.
        reader, writer = await victim.say(request % number)
        while await reader.read(65536):
            pass
        await close((reader, writer))
    return victim.processor_seconds - began


@pytest.mark.parametrize(
    ("ordinary", "hostile"),
    [
        (b"GET /?q=%d HTTP/1.1\r\n", b"GET /?q=" + b"+".join([b"a"] * 4000) + b"+%d HTTP/1.1\r\n"),
        (
            b"GET /metrics?name[]=up%d HTTP/1.1\r\nAccept: text/plain\r\n",
            b"GET /metrics?name[]=up%d HTTP/1.1\r\n" + 7 * (b"Accept: " + b",".join([b"a"] * 4000) + b"\r\n"),
        ),
    ],
    ids=["words of a search", "elements of Accept"],
)
async def test_thousands_of_parts_of_a_request_cost_little(tmp_path: Path, ordinary: bytes, hostile: bytes) -> None:
    end = b"Host: a\r\nConnection: close\r\n\r\n"
    async with attacked(tmp_path, LARGE) as victim:
        usual = await cost(victim, ordinary + end)

        assert await cost(victim, hostile + end) < usual + 0.25


async def test_many_who_ask_for_long_lists_hold_up_nobody_and_fill_no_memory(tmp_path: Path) -> None:
    async with attacked(tmp_path, campaigns=1000) as victim:
        ask = b"GET /api/v1/campaigns?limit=1000 HTTP/1.1\r\nHost: x\r\n\r\n"
        await close(await victim.say(ask))
        assert await victim.status("/metrics") == 200
        before = victim.megabytes
        crowd = [await victim.say(ask) for _ in range(400)]

        for path in ("/-/healthy", "/metrics"):
            began = time.monotonic()
            assert await victim.status(path) == 200
            assert time.monotonic() - began < 3

        statuses = {(await reader.readline()).split(b" ")[1] for reader, _ in crowd}
        assert statuses <= {b"200", b"503"}
        assert victim.megabytes - before < 150
        await close(*crowd)


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, object], ssl.SSLContext]:
    """A web configuration with TLS, and what trusts it."""
    authority = trustme.CA()
    path = str(tmp_path_factory.mktemp("tls") / "server.pem")
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(path)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return {"tls_server_config": {"cert_file": path, "key_file": path}}, context


async def test_parked_connections_make_room_for_new_ones_and_not_the_other_way(
    tmp_path: Path, certified: tuple[dict[str, object], ssl.SSLContext]
) -> None:
    web, context = certified
    async with attacked(tmp_path, web=web, context=context) as victim:
        before = victim.megabytes
        parked = []
        for _ in range(511):
            reader, writer = await victim.say(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"200" in await reader.readline()
            parked.append((reader, writer))
        scrape, send = await victim.say(b"GET /metrics HTTP/1.1\r\nHost: x\r\n")

        flood = [victim.plug() for _ in range(300)]
        # They are accepted in their order: all of the flood is in when this one is answered.
        assert await victim.status("/-/healthy") == 200
        send.write(b"\r\n")
        assert b"200" in await asyncio.wait_for(scrape.readline(), PATIENCE)
        assert await victim.status("/metrics") == 200

        for plug in flood:
            plug.close()
        await close(*parked, (scrape, send))
        await until(lambda: victim.has_given_back(before + 25))


@pytest.mark.parametrize("unfinished", [b"", b"GET /metrics HTTP/1.1\r\nX-Slow: "], ids=["silent", "half a request"])
async def test_clients_that_finish_no_request_keep_nobody_out(tmp_path: Path, unfinished: bytes) -> None:
    async with attacked(tmp_path) as victim:
        crowd = [await victim.say(unfinished) for _ in range(600)]

        assert await victim.status("/-/healthy") == 200
        assert await victim.status("/metrics") == 200
        await close(*crowd)
