"""Sockets, and clients that mean no good, over real connections on loopback."""

import asyncio
import gc
import logging
import resource
import socket
import ssl
import tempfile
import threading
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import cast

import aiohttp
import pytest
import trustme
import uvloop
from aiohttp import web

from exporter.config.addresses import ListenAddress
from exporter.web.routes import Pieces
from exporter.web.server import Limits, serving
from exporter.web.sockets import listening, location
from exporter.web.tls import Tls

LOOPBACK = ListenAddress.parse("127.0.0.1:0")
LARGE = 16 * 1024 * 1024
"""More bytes than the kernel keeps for a connection."""
QUICK = 0.05
"""Seconds after which a client is dropped where a test wants to see that; the others never wait so long."""


def at(*texts: str) -> list[ListenAddress]:
    return [ListenAddress.parse(text) for text in texts]


@pytest.fixture
def directory() -> Iterator[Path]:
    # The paths of sockets are short by law, those of tmp_path are not.
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


class Body(bytearray):
    """A body that can be watched as it is freed."""


class Handlers:
    """An application whose slow answer waits until it is let go."""

    def __init__(self) -> None:
        self.entered = asyncio.Semaphore(0)
        self.release = asyncio.Event()
        self.app = web.Application()
        self.app.router.add_get("/", self._quick)
        self.app.router.add_get("/slow", self._slow)
        self.app.router.add_get("/large", self._large)
        self.app.router.add_get("/medium", self._medium)
        self.app.router.add_get("/whole", self._whole)
        self.app.router.add_get("/pieces", self._pieces)
        self.app.router.add_get("/shared", self._shared)
        self.bodies: list[weakref.ref[Body]] = []
        self._body = bytes(LARGE)

    async def _quick(self, request: web.Request) -> web.Response:
        return web.Response(text="quick")

    async def _medium(self, request: web.Request) -> web.Response:
        return web.Response(body=bytes(32 * 1024))

    async def _whole(self, request: web.Request) -> web.Response:
        body = Body(LARGE)
        self.bodies.append(weakref.ref(body))
        return web.Response(body=body)

    async def _pieces(self, request: web.Request) -> web.Response:
        body = Body(LARGE)
        self.bodies.append(weakref.ref(body))
        return web.Response(body=Pieces([cast(bytes, body)]))

    async def _shared(self, request: web.Request) -> web.Response:
        return web.Response(body=self._body)

    async def _slow(self, request: web.Request) -> web.Response:
        self.entered.release()
        await self.release.wait()
        return web.Response(text="slow")

    async def _large(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = LARGE
        await response.prepare(request)
        piece = bytes(65536)
        for _ in range(LARGE // len(piece)):
            await response.write(piece)
        return response


class Server:
    """What the tests know of a running server."""

    def __init__(self, sockets: Sequence[socket.socket], handlers: Handlers) -> None:
        self.sockets = sockets
        self.release = handlers.release
        self.entered = handlers.entered
        self.bodies = handlers.bodies

    @property
    def url(self) -> str:
        return location(self.sockets[0])

    async def connect(self, **options: object) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, port = self.sockets[0].getsockname()[:2]
        return await asyncio.open_connection(host, port, **options)  # type: ignore[arg-type]  # passed through

    async def get(self, path: str = "/") -> str:
        async with aiohttp.ClientSession() as session, session.get(self.url + path) as response:
            return await response.text()


@asynccontextmanager
async def served(
    limits: Limits | None = None,
    *,
    addresses: Sequence[ListenAddress] = (LOOPBACK,),
    tls: Callable[[], Tls | None] = lambda: None,
    headers: Mapping[str, str] | None = None,
    shutdown_timeout: float = 5.0,
) -> AsyncIterator[Server]:
    handlers = Handlers()
    with listening(addresses, {}) as sockets:
        async with serving(
            handlers.app,
            sockets,
            tls=tls,
            headers=lambda: headers or {},
            shutdown_timeout=shutdown_timeout,
            limits=limits or Limits(),
        ):
            yield Server(sockets, handlers)


async def dropped(reader: asyncio.StreamReader) -> bytes:
    """Read until the server ends the connection; what it said is returned."""
    said = bytearray()
    async with asyncio.timeout(20):
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                said += data
    return bytes(said)


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Awaitable[None]], None]:
    """Run a coroutine on each of the two event loops that the exporter runs on."""

    def runner(main: Awaitable[None]) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(30):
                await main

        with asyncio.Runner(loop_factory=request.param) as loop:
            loop.run(bounded())

    return runner


Run = Callable[[Awaitable[None]], None]


class TestServing:
    def test_every_socket_is_served(self, run: Run, directory: Path) -> None:
        async def main() -> None:
            async with served(addresses=at("127.0.0.1:0", "[::1]:0", f"unix:{directory}/s")) as server:
                for sock in server.sockets[:2]:
                    async with aiohttp.ClientSession() as session, session.get(location(sock)) as response:
                        assert await response.text() == "quick"
                async with (
                    aiohttp.ClientSession(connector=aiohttp.UnixConnector(f"{directory}/s")) as session,
                    session.get("http://localhost/") as response,
                ):
                    assert await response.text() == "quick"

        run(main())

    def test_pipelined_requests_are_answered_in_their_order(self, run: Run) -> None:
        async def main() -> None:
            async with served() as server:
                reader, writer = await server.connect()
                server.release.set()
                get = b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n"
                writer.write(get % b"/slow" + get % b"/" + get % b"/nowhere" + b"GET / HTTP/1.0\r\n\r\n")

                said = await dropped(reader)

                assert [said.find(part) for part in (b"slow", b"quick", b"404", b"HTTP/1.0 200")] == sorted(
                    said.find(part) for part in (b"slow", b"quick", b"404", b"HTTP/1.0 200")
                )
                assert said.count(b"HTTP/1.") == 4
                writer.close()

        run(main())

    async def test_an_error_in_the_block_comes_out_as_it_is(self) -> None:
        with pytest.raises(KeyError, match="mine"):
            async with served():
                raise KeyError("mine")


class TestSlowClients:
    @pytest.mark.parametrize(
        "said",
        [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ", b"\x16\x03\x01"],
        ids=["nothing", "half a line", "half the headers", "TLS where there is none"],
    )
    def test_one_that_does_not_finish_its_request_is_dropped(self, run: Run, said: bytes) -> None:
        async def main() -> None:
            async with served(Limits(request=QUICK)) as server:
                reader, writer = await server.connect()
                writer.write(said)

                assert b"200" not in await dropped(reader)
                writer.close()

        run(main())

    def test_dripping_does_not_help(self, run: Run) -> None:
        async def main() -> None:
            async with served(Limits(request=QUICK)) as server:
                reader, writer = await server.connect()
                writer.write(b"GET / HTTP/1.1\r\n")

                async def drip() -> None:
                    while True:
                        writer.write(b"X: y\r\n")
                        await asyncio.sleep(QUICK / 5)

                dripping = asyncio.create_task(drip())
                await dropped(reader)
                dripping.cancel()
                writer.close()

        run(main())

    def test_one_that_does_not_finish_its_second_request_is_dropped(self, run: Run) -> None:
        async def main() -> None:
            async with served(Limits(request=10 * QUICK)) as server:
                reader, writer = await server.connect()
                writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                await reader.readuntil(b"quick")
                writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n")

                assert await dropped(reader) == b""
                writer.close()

        run(main())

    def test_one_that_stays_without_asking_again_is_dropped(self, run: Run) -> None:
        async def main() -> None:
            async with served(Limits(idle=QUICK)) as server:
                reader, writer = await server.connect()
                writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")

                assert (await dropped(reader)).endswith(b"quick")
                writer.close()

        run(main())

    def test_one_that_does_not_read_its_answer_is_dropped(self, run: Run) -> None:
        async def main() -> None:
            async with served(Limits(stall=QUICK)) as server:
                _, writer = await server.connect(limit=1024)
                writer.write(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
                # The reader's buffer fills up, nothing more is taken in, and so the end is only seen by sending.
                with pytest.raises(ConnectionError):  # noqa: PT012  which of the writes it is is not known
                    while True:
                        writer.write(b"x")
                        await writer.drain()
                        await asyncio.sleep(QUICK)
                writer.close()
                assert await server.get() == "quick"

        run(main())

    def test_one_that_pipelines_and_never_reads_is_dropped(self, run: Run) -> None:
        async def main() -> None:
            async with served(Limits(stall=QUICK)) as server:
                _, writer = await server.connect(limit=1024)
                with pytest.raises(ConnectionError):  # noqa: PT012  which of the writes it is is not known
                    while True:
                        writer.write(b"GET /medium HTTP/1.1\r\nHost: x\r\n\r\n" * 1000)
                        await writer.drain()
                writer.close()
                assert await server.get() == "quick"

        run(main())

    def test_one_that_takes_its_time_within_the_limits_gets_all(self, run: Run) -> None:
        async def main() -> None:
            async with served() as server:
                reader, writer = await server.connect(limit=65536)
                writer.write(b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

                assert len(await dropped(reader)) > LARGE
                writer.close()

        run(main())


class TestHeaders:
    @pytest.mark.parametrize(
        "request_",
        [
            b"GET / HTTP/1.1\r\n%s\r\n" % b"".join(b"X-%d: y\r\n" % i for i in range(200)),
            b"\x00\x01\x02\x03\r\n\r\n",
            b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
            b"GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        ],
        ids=["many headers", "no HTTP", "negative length", "two lengths"],
    )
    def test_what_is_no_decent_request_gets_400_and_no_line_in_the_log(
        self, run: Run, request_: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def main() -> None:
            async with served() as server:
                reader, writer = await server.connect()
                writer.write(request_)

                assert (await dropped(reader)).startswith(b"HTTP/1.0 400 ")
                writer.close()

        run(main())
        assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []

    @pytest.mark.parametrize(
        "request_",
        [
            b"GET /%s HTTP/1.1\r\n\r\n" % (b"a" * 66_000),
            b"GET / HTTP/1.1\r\nX: %s\r\n\r\n" % (b"a" * 66_000),
            b"GET / HTTP/1.1\r\n%s\r\n" % (b"X: %s\r\n" % (b"a" * 600) * 120),
        ],
        ids=["long line", "long header", "large headers"],
    )
    def test_more_than_64_kib_in_one_burst_get_431(self, run: Run, request_: bytes) -> None:
        async def main() -> None:
            async with served() as server:
                reader, writer = await server.connect()
                writer.write(request_)

                assert (await dropped(reader)).startswith(b"HTTP/1.1 431 ")
                writer.close()

        run(main())

    @pytest.mark.parametrize(
        "request_",
        [
            b"GET /?%s HTTP/1.1\r\nHost: x\r\n\r\n" % (b"a" * 65_000),
            b"GET / HTTP/1.1\r\nHost: x\r\nCookie: %s\r\n\r\n" % (b"a" * 65_000),
            b"GET / HTTP/1.1\r\nHost: x\r\n%s\r\n" % (b"X: %s\r\n" % (b"a" * 500) * 120),
        ],
        ids=["query", "cookie", "all headers"],
    )
    def test_up_to_64_kib_are_taken(self, run: Run, request_: bytes) -> None:
        async def main() -> None:
            async with served() as server:
                reader, writer = await server.connect()
                writer.write(request_)

                assert await reader.readuntil(b"quick")
                writer.close()

        run(main())

    @pytest.mark.parametrize(
        "request_",
        [b"B@D / HTTP/1.1\r\nHost: x\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nX: %s" % (b"a" * 66_000)],
        ids=["a method that is none", "too large"],
    )
    def test_answers_to_what_cannot_be_parsed_have_the_headers_of_every_answer(self, run: Run, request_: bytes) -> None:
        async def main() -> None:
            async with served(headers={"X-Frame-Options": "deny"}) as server:
                for said in (b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", request_):
                    reader, writer = await server.connect()
                    writer.write(said)

                    head = (await dropped(reader)).partition(b"\r\n\r\n")[0].split(b"\r\n")
                    assert [line for line in head if line.lower().startswith(b"server:")] == [
                        b"Server: campaign-exporter"
                    ]
                    assert b"X-Content-Type-Options: nosniff" in head
                    assert b"X-Frame-Options: deny" in head
                    writer.close()

        run(main())

    def test_headers_without_end_are_cut_off(self, run: Run) -> None:
        async def main() -> None:
            async with served(Limits(request=1000.0, request_bytes=2000)) as server:
                reader, writer = await server.connect()
                writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n")
                # Fewer lines than the parser allows, of a length that it allows.
                for number in range(30):
                    writer.write(b"X-%d: %s\r\n" % (number, b"a" * 100))
                assert await server.get() == "quick"  # by now the server has read all that
                writer.write(b"X: y\r\n")

                assert (await dropped(reader)).startswith(b"HTTP/1.1 431 ")
                writer.close()

        run(main())

    async def test_an_error_of_ours_is_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        handlers = Handlers()

        async def broken(request: web.Request) -> web.Response:
            raise RuntimeError("ours")

        handlers.app.router.add_get("/broken", broken)
        with listening([LOOPBACK], {}) as sockets:
            async with serving(handlers.app, sockets):
                assert "500" in await Server(sockets, handlers).get("/broken")

        assert [str(record.exc_info[1]) for record in caplog.records if record.exc_info] == ["ours"]


class TestBodies:
    def test_one_that_is_announced_as_large_gets_413_and_is_not_read(self, run: Run) -> None:
        async def main() -> None:
            async with served() as server:
                reader, writer = await server.connect()
                writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")

                said = await dropped(reader)

                assert said.startswith(b"HTTP/1.1 413 ")
                assert b"\r\nConnection: close\r\n" in said
                writer.close()

        run(main())

    @pytest.mark.parametrize(
        "body",
        [b"Content-Length: 4096\r\n\r\n" + bytes(4096), b"Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n"],
        ids=["of known length", "chunked"],
    )
    def test_a_small_one_is_skipped(self, run: Run, body: bytes) -> None:
        async def main() -> None:
            async with served() as server:
                reader, writer = await server.connect()
                for _ in range(2):
                    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\n" + body)
                    assert await reader.readuntil(b"quick")
                writer.close()

        run(main())

    def test_one_without_end_is_cut_off(self, run: Run) -> None:
        async def main() -> None:
            async with served() as server:
                reader, writer = await server.connect()
                writer.write(b"GET /slow HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
                await server.entered.acquire()
                with suppress(ConnectionError):
                    for _ in range(100):
                        writer.write(b"1000\r\n" + bytes(4096) + b"\r\n")
                        await writer.drain()

                assert await dropped(reader) == b""
                writer.close()

        run(main())


class TestUnreadAnswers:
    def test_past_their_limit_large_answers_get_503_and_small_ones_go_on(self, run: Run) -> None:
        async def main() -> None:
            async with served(Limits(unread_bytes=LARGE + 1000, stall=1000.0, crowded=1000.0)) as server:
                slow_reader, slow_writer = await server.connect(limit=1024)
                slow_writer.write(b"GET /whole HTTP/1.1\r\nHost: x\r\n\r\n")
                await slow_reader.readuntil(b"\r\n\r\n")

                assert await server.get("/whole") == "The exporter is busy.\n"
                assert await server.get() == "quick"

                await slow_reader.readexactly(LARGE)
                assert len(await server.get("/whole")) == LARGE
                slow_writer.close()

        run(main())

    def test_what_several_take_in_counts_once_and_one_alone_may_be_larger(self, run: Run) -> None:
        async def main() -> None:
            async with served(Limits(unread_bytes=LARGE - 1, stall=1000.0, crowded=1000.0)) as server:
                slow_reader, slow_writer = await server.connect(limit=1024)
                slow_writer.write(b"GET /shared HTTP/1.1\r\nHost: x\r\n\r\n")
                await slow_reader.readuntil(b"\r\n\r\n")

                assert len(await server.get("/shared")) == LARGE
                slow_writer.close()

        run(main())

    def test_while_there_is_much_of_them_a_slow_client_is_dropped_sooner(self, run: Run) -> None:
        async def main() -> None:
            async with served(Limits(unread_bytes=LARGE, stall=1000.0, crowded=10 * QUICK)) as server:
                _, slow_writer = await server.connect(limit=1024)
                slow_writer.write(b"GET /whole HTTP/1.1\r\nHost: x\r\n\r\n")
                with pytest.raises(ConnectionError):  # noqa: PT012  which of the writes it is is not known
                    while True:
                        slow_writer.write(b"x")
                        await slow_writer.drain()
                        await asyncio.sleep(QUICK)
                assert len(await server.get("/whole")) == LARGE
                slow_writer.close()

        run(main())

    @pytest.mark.parametrize("path", ["/whole", "/pieces"])
    def test_one_whose_client_has_gone_is_freed_without_the_garbage_collector(self, run: Run, path: str) -> None:
        async def main() -> None:
            async with served() as server:
                gc.collect()
                gc.disable()
                try:
                    reader, writer = await server.connect(limit=1024)
                    writer.write(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode())
                    await reader.readexactly(1000)
                    assert [body() for body in server.bodies] != [None]
                    writer.transport.abort()
                    while any(body() is not None for body in server.bodies):
                        assert await server.get() == "quick"  # in time, or the test ends
                finally:
                    gc.enable()

        run(main())


class TestManyConnections:
    def test_past_the_limit_those_are_closed_that_were_waited_for_longest(self, run: Run) -> None:
        async def main() -> None:
            async with served(Limits(connections=3)) as server:
                silent, half, idle = [await server.connect() for _ in range(3)]
                half[1].write(b"GET")
                idle[1].write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                await idle[0].readuntil(b"quick")

                new = []
                for reader, writer in (silent, half, idle):
                    new.append(await server.connect())
                    assert await dropped(reader) == b""
                    writer.close()

                assert await server.get() == "quick"
                for _, writer in new:
                    writer.close()

        run(main())

    def test_a_request_that_is_being_answered_is_never_dropped_for_another(self, run: Run) -> None:
        async def main() -> None:
            async with served(Limits(connections=2)) as server:
                slow = [asyncio.create_task(server.get("/slow")) for _ in range(2)]
                for _ in slow:
                    await server.entered.acquire()

                with pytest.raises(aiohttp.ClientError):
                    await server.get()
                server.release.set()

                assert await asyncio.gather(*slow) == ["slow", "slow"]
                assert server.entered.locked()  # the client would have asked again, unnoticed

        run(main())

    def test_hundreds_of_idle_connections_keep_nobody_out(self, run: Run) -> None:
        async def main() -> None:
            async with served(Limits(connections=50)) as server:
                connections = [await server.connect() for _ in range(200)]

                assert await asyncio.gather(*(server.get() for _ in range(20))) == ["quick"] * 20

                # At least so many had to go, the oldest first.
                ends = [asyncio.create_task(dropped(reader)) for reader, _ in connections[:150]]
                await asyncio.gather(*ends)
                for _, writer in connections:
                    writer.close()

        run(main())

    def test_running_out_of_descriptors_is_survived(self, run: Run) -> None:
        async def main() -> None:
            loop = asyncio.get_running_loop()
            noticed = asyncio.Event()
            handler = logging.Handler()
            handler.emit = lambda record: noticed.set()  # type: ignore[method-assign]  # all that a test wants of one
            log = logging.getLogger("asyncio")
            log.addHandler(handler)
            async with served() as server:
                # The client has its descriptor, and there is none left to accept it with.
                with socket.socket() as client:
                    client.setblocking(False)
                    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
                    resource.setrlimit(resource.RLIMIT_NOFILE, (client.fileno() + 1, hard))
                    try:
                        await loop.sock_connect(client, server.sockets[0].getsockname())
                        # asyncio says so in the log, uvloop closes the connection.
                        waits = [loop.create_task(noticed.wait()), loop.create_task(loop.sock_recv(client, 1))]
                        done, _ = await asyncio.wait(waits, timeout=10, return_when=asyncio.FIRST_COMPLETED)
                        assert done
                    finally:
                        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
                        log.removeHandler(handler)
                        for wait in waits:
                            wait.cancel()
                        await asyncio.wait(waits)

                assert await server.get() == "quick"

        run(main())


class TestShutdown:
    def test_running_requests_are_answered_and_new_ones_too_until_then(self, run: Run) -> None:
        async def main() -> None:
            async with served() as server:
                slow = asyncio.create_task(server.get("/slow"))
                await server.entered.acquire()

                async def later() -> str:
                    said = await server.get()
                    server.release.set()
                    return said

                new = asyncio.create_task(later())

            assert await slow == "slow"
            assert await new == "quick"

        run(main())

    def test_the_last_bytes_of_an_answer_arrive_before_the_loop_ends(self, run: Run) -> None:
        sizes: list[int] = []

        def read(address: tuple[str, int], began: Callable[[], object]) -> None:
            with socket.socket() as client:
                # Small, so that it is always behind, and the server's own buffer is full when its handler is done.
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                client.settimeout(20)
                client.connect(address)
                client.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
                _, _, body = client.recv(4096).partition(b"\r\n\r\n")
                began()
                size = len(body)
                while data := client.recv(65536):
                    size += len(data)
                sizes.append(size)

        async def main() -> None:
            began = asyncio.Event()
            loop = asyncio.get_running_loop()
            async with served(shutdown_timeout=20.0) as server:
                address = server.sockets[0].getsockname()
                reader = threading.Thread(target=read, args=(address, lambda: loop.call_soon_threadsafe(began.set)))
                threads.append(reader)
                reader.start()
                await began.wait()

        threads: list[threading.Thread] = []
        run(main())
        for thread in threads:
            thread.join()
        assert sizes == [LARGE]

    def test_one_that_never_ends_is_cut_off_in_time(self, run: Run) -> None:
        async def main() -> None:
            loop = asyncio.get_running_loop()
            async with served(shutdown_timeout=QUICK) as server:
                slow = asyncio.create_task(server.get("/slow"))
                await server.entered.acquire()
                began = loop.time()

            assert loop.time() - began < 2
            with pytest.raises(aiohttp.ClientError):
                await slow

        run(main())

    def test_idle_connections_hold_nothing_up(self, run: Run) -> None:
        async def main() -> None:
            loop = asyncio.get_running_loop()
            async with served() as server:
                reader, writer = await server.connect()
                writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                await reader.readuntil(b"quick")
                silent, other = await server.connect()
                began = loop.time()

            assert loop.time() - began < 0.4
            assert await dropped(reader) == b""
            assert await dropped(silent) == b""
            writer.close()
            other.close()

        run(main())


class TestTls:
    @pytest.fixture
    def authority(self) -> trustme.CA:
        return trustme.CA()

    @pytest.fixture
    def trusting(self, authority: trustme.CA) -> ssl.SSLContext:
        context = ssl.create_default_context()
        authority.configure_trust(context)
        return context

    def context(self, authority: trustme.CA, name: str = "localhost") -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert(name, "127.0.0.1").configure_cert(context)
        return context

    def test_every_connection_asks_for_the_context_anew(
        self, run: Run, authority: trustme.CA, trusting: ssl.SSLContext
    ) -> None:
        contexts = [self.context(authority, "first"), self.context(authority, "second")]

        async def main() -> None:
            names = []
            async with served(tls=lambda: Tls(contexts.pop(0))) as server:
                for _ in range(2):
                    reader, writer = await server.connect(ssl=trusting, server_hostname="127.0.0.1")
                    names.append(dict(writer.get_extra_info("peercert")["subjectAltName"])["DNS"])
                    writer.write(b"GET / HTTP/1.0\r\n\r\n")
                    assert (await dropped(reader)).endswith(b"quick")
                    writer.close()
            assert names == ["first", "second"]

        run(main())

    @pytest.mark.parametrize("said", [b"\x16\x03\x01\x02\x00", b"GET / HTTP/1.1\r\n\r\n"])
    def test_one_that_shakes_no_hands_is_dropped_and_others_are_served(
        self, run: Run, authority: trustme.CA, trusting: ssl.SSLContext, said: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        context = self.context(authority)

        async def main() -> None:
            async with served(Limits(request=1.5), tls=lambda: Tls(context)) as server:
                reader, writer = await server.connect()
                writer.write(said)

                good_reader, good_writer = await server.connect(ssl=trusting, server_hostname="127.0.0.1")
                good_writer.write(b"GET / HTTP/1.0\r\n\r\n")
                assert (await dropped(good_reader)).endswith(b"quick")
                assert b"HTTP" not in await dropped(reader)
                writer.close()
                good_writer.close()

        run(main())
        assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []

    def test_handshakes_count_as_connections(self, run: Run, authority: trustme.CA, trusting: ssl.SSLContext) -> None:
        context = self.context(authority)

        async def main() -> None:
            async with served(Limits(connections=2, request=1000.0), tls=lambda: Tls(context)) as server:
                silent = [await server.connect() for _ in range(3)]

                assert await dropped(silent[0][0]) == b""
                reader, writer = await server.connect(ssl=trusting, server_hostname="127.0.0.1")
                writer.write(b"GET / HTTP/1.0\r\n\r\n")
                assert (await dropped(reader)).endswith(b"quick")
                writer.close()
                for _, other in silent:
                    other.close()

        run(main())
