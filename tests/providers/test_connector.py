"""Which connections are used again, on real sockets."""

import asyncio
import socket
import tracemalloc
from typing import Any

import pytest
from aiohttp.client_proto import ResponseHandler

from exporter.providers.connector import LIFETIME, MOST_INTERIM_ANSWERS
from exporter.providers.errors import BrokenProtocolError, TooLargeError
from exporter.providers.http import Transport
from tests.providers.loopback import Loopback, http, listening, serving, transport


async def get(sender: Transport, path: str) -> bytes:
    return await sender.get(sender.url(path), {})


def numbered(writer: asyncio.StreamWriter, server: Loopback) -> None:
    """Answer with the path of the last request."""
    writer.write(http(server.paths()[-1]))


class TestUnaskedAnswers:
    @pytest.mark.parametrize(
        "late",
        [
            http("/another"),
            http("", 408, "Connection: close"),
            http("/another")[:30],
            b"x",
            b"HTTP/1.1 103 Early Hints\r\n\r\n",
        ],
        ids=["an answer", "a late 408", "half an answer", "a byte", "an interim answer"],
    )
    async def test_data_between_two_requests_closes_the_connection(self, late: bytes) -> None:
        arrived = asyncio.Event()

        async def answer_and_more(writer: asyncio.StreamWriter) -> None:
            numbered(writer, server)
            if server.connections == 1:
                await writer.drain()
                await asyncio.sleep(0.01)
                writer.write(late)
                await writer.drain()
                await asyncio.sleep(0.01)
                arrived.set()

        async with serving(answer_and_more) as server, transport(server.url) as sender:
            first = await get(sender, "/1")
            await arrived.wait()
            others = [await get(sender, f"/{n}") for n in (2, 3, 4)]

        assert [first, *others] == [b"/1", b"/2", b"/3", b"/4"]
        assert server.connections == 2

    async def test_bytes_after_an_answer_close_the_connection(self) -> None:
        async def one_too_many(writer: asyncio.StreamWriter) -> None:
            numbered(writer, server)
            writer.write(http("/another"))

        async with serving(one_too_many) as server, transport(server.url) as sender:
            bodies = [await get(sender, f"/{n}") for n in range(3)]

        assert bodies == [b"/0", b"/1", b"/2"]
        assert server.connections == 3

    async def test_no_connection_is_used_again_after_distrust(self) -> None:
        async with serving(http("{}")) as server, transport(server.url) as sender:
            await get(sender, "/")
            sender.distrust_connections()
            await get(sender, "/")
            await get(sender, "/")

        assert server.connections == 2


class TestTinyChunks:
    @pytest.mark.parametrize(("size", "is_read"), [(1, False), (100, True)])
    async def test_the_limit_of_size_counts_what_stands_between_chunks(self, size: int, is_read: bool) -> None:
        sent = 0

        async def trickle(writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in range(200):
                writer.write(b"%x\r\n%s\r\n" % (size, b"x" * size) * (50_000 // size // 10))
                await writer.drain()
                sent += 1
            writer.write(b"0\r\n\r\n")

        async with serving(trickle) as server, transport(server.url, max_body_bytes=1_000_000) as sender:
            if is_read:
                assert len(await get(sender, "/")) == 1_000_000
            else:
                with pytest.raises(TooLargeError):
                    await get(sender, "/")
                assert sent < 200


class TestInterimAnswers:
    @pytest.mark.parametrize("number", [0, 1, MOST_INTERIM_ANSWERS])
    async def test_a_few_of_them_are_passed_over(self, number: int) -> None:
        interim = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n" * number
        async with serving(interim + http("{}")) as server, transport(server.url) as sender:
            assert await get(sender, "/") == b"{}"
            assert await get(sender, "/") == b"{}"

        assert server.connections == 1

    async def test_one_too_many_breaks_the_connection(self) -> None:
        interim = b"HTTP/1.1 100 Continue\r\n\r\n" * (MOST_INTERIM_ANSWERS + 1)
        async with serving(interim + http("{}"), http("{}")) as server, transport(server.url) as sender:
            with pytest.raises(BrokenProtocolError):
                await get(sender, "/")
            assert await get(sender, "/") == b"{}"

    async def test_a_flood_of_them_neither_holds_the_loop_nor_fills_the_memory(self) -> None:
        async def flood(writer: asyncio.StreamWriter) -> None:
            while True:
                writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 10_000)
                await writer.drain()

        async with serving(flood) as server, transport(server.url, timeout=5) as sender:
            tracemalloc.start()
            try:
                with pytest.raises(BrokenProtocolError):
                    await get(sender, "/")
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()

        assert peak < 5_000_000

    async def test_line_breaks_in_place_of_an_answer_are_parsed_in_large_pieces(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sizes: list[int] = []
        parse = ResponseHandler.data_received

        def count(handler: ResponseHandler, data: bytes) -> None:
            sizes.append(len(data))
            parse(handler, data)

        monkeypatch.setattr(ResponseHandler, "data_received", count)
        async with serving(b"\r\n" * 50_000 + b"no answer\r\n\r\n") as server, transport(server.url) as sender:
            with pytest.raises(BrokenProtocolError):
                await get(sender, "/")

        assert sum(sizes) > 100_000
        assert len(sizes) < 100

    @pytest.mark.parametrize("body", [b"x" * 60_000, b""])
    async def test_an_answer_in_one_piece_is_read_whole(self, body: bytes) -> None:
        async with serving(http(body)) as server, transport(server.url) as sender:
            assert await get(sender, "/") == body


@pytest.mark.virtual_time
async def test_a_change_of_the_dns_entry_is_followed_within_15_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    address = "127.0.0.1"

    async def look_up(*_: object, **__: object) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, old.port))]

    monkeypatch.setattr(loop, "getaddrinfo", look_up)
    # aiohttp looks at this clock itself, for the age of what it has looked up.
    monkeypatch.setattr("aiohttp.connector.monotonic", loop.time)
    async with (
        listening(Loopback(http("{}"))) as old,
        listening(Loopback(http("{}")), host="127.0.0.2", port=old.port) as new,
        transport(f"http://provider.invalid:{old.port}") as sender,
    ):
        await get(sender, "/")
        address = "127.0.0.2"
        changed = loop.time()
        while not new.requests:
            await asyncio.sleep(15)
            await get(sender, "/")
        took = loop.time() - changed

    assert old.connections == 1
    assert took + 15 >= 0.8 * LIFETIME
    assert took <= 900
