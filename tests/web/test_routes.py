"""The routes over real HTTP: what is answered, with which status and headers, and to how many at once."""

import asyncio
import gzip
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any, cast

import aiohttp
import pytest
from aiohttp.abc import AbstractStreamWriter
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from exporter.config.addresses import ListenAddress
from exporter.exposition.negotiation import Format
from exporter.ui.fleet import Overview
from exporter.ui.handlers import routes
from exporter.web.routes import Pieces, create_app, pieces
from exporter.web.server import Limits, serving
from exporter.web.sockets import listening, location

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
LARGE = 32 * 1024 * 1024


class Exporter:
    """What the application is handed, under the control of a test, and a client of it."""

    def __init__(self) -> None:
        self.asked: list[tuple[Format, bool, frozenset[str]]] = []
        self.chunks: Sequence[bytes] = (b"campaign_up 1\n", b"campaign_info 1\n")
        self.entered = asyncio.Semaphore(0)
        self.let_go = asyncio.Event()
        self.let_go.set()
        self.reload_entered = asyncio.Semaphore(0)
        self.reload_let_go = asyncio.Event()
        self.reload_let_go.set()
        self.is_ready = False
        self.reloads = 0
        self.error: str | None = None
        self.url = ""
        self.address: tuple[str, int] = ("", 0)
        self.session: aiohttp.ClientSession

    async def page(self, format_: Format, compressed: bool, names: frozenset[str]) -> Sequence[bytes]:
        self.asked.append((format_, compressed, names))
        self.entered.release()
        await self.let_go.wait()
        return [gzip.compress(b"".join(self.chunks))] if compressed else self.chunks

    def ready(self) -> bool:
        return self.is_ready

    async def reload(self) -> str | None:
        self.reloads += 1
        self.reload_entered.release()
        await self.reload_let_go.wait()
        return self.error

    @asynccontextmanager
    async def running(
        self, *, lifecycle: bool = True, limits: Limits | None = None, **options: Any
    ) -> AsyncIterator[None]:
        app = create_app(
            page=self.page,
            ready=self.ready,
            reload=self.reload if lifecycle else None,
            frontend=routes(
                Overview(tuple, now=time.monotonic),
                version="1.2.3",
                telemetry_path=options.get("telemetry_path", "/metrics"),
                runbooks={"CampaignStalled": "# Stalled\n\nAsk why, ✓.\n"},
            ),
            **options,
        )
        with listening([ListenAddress.parse("127.0.0.1:0")], {}) as (sock,):
            self.url = location(sock)
            self.address = sock.getsockname()
            async with (
                serving(app, [sock], limits=limits or Limits(), shutdown_timeout=0.2),
                aiohttp.ClientSession(self.url, auto_decompress=False) as self.session,
            ):
                yield

    async def get(self, path: str = "/metrics", method: str = "GET", **headers: str) -> "Answer":
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        skipped = {"Accept", "Accept-Encoding"} - set(named)
        async with self.session.request(
            method,
            URL(path, encoded=True),
            headers=named,
            skip_auto_headers=skipped,
            allow_redirects=False,
        ) as response:
            return Answer(response, await response.read())

    async def slow_reader(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Ask for the page and take in no more of it than the kernel does."""
        reader, writer = await asyncio.open_connection(*self.address, limit=1024)
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        return reader, writer


class Answer:
    """What came back."""

    def __init__(self, response: aiohttp.ClientResponse, body: bytes) -> None:
        self.status = response.status
        self.headers = response.headers
        self.body = body

    @property
    def text(self) -> str:
        return self.body.decode()


@pytest.fixture
async def exporter() -> Exporter:
    return Exporter()


class TestMetrics:
    async def test_the_page_is_whole_and_of_known_length(self, exporter: Exporter) -> None:
        async with exporter.running():
            answer = await exporter.get()

        assert answer.status == 200
        assert answer.text == "campaign_up 1\ncampaign_info 1\n"
        assert answer.headers["Content-Length"] == str(len(answer.body))
        assert answer.headers["Content-Type"] == TEXT
        assert answer.headers["Vary"] == "Accept, Accept-Encoding"
        assert "Content-Encoding" not in answer.headers

    async def test_the_format_and_the_encoding_are_the_ones_asked_for(self, exporter: Exporter) -> None:
        async with exporter.running():
            answer = await exporter.get(Accept="application/openmetrics-text;version=1.0.0", Accept_Encoding="gzip")

        assert exporter.asked == [(Format.OPENMETRICS, True, frozenset())]
        assert answer.headers["Content-Type"] == OPENMETRICS
        assert answer.headers["Content-Encoding"] == "gzip"
        assert answer.headers["Content-Length"] == str(len(answer.body))
        assert gzip.decompress(answer.body) == b"campaign_up 1\ncampaign_info 1\n"

    async def test_headers_on_several_lines_are_one_list(self, exporter: Exporter) -> None:
        async with exporter.running():
            reader, writer = await asyncio.open_connection(*exporter.address)
            writer.write(
                b"GET /metrics HTTP/1.0\r\nAccept: text/plain;q=0.1\r\nAccept: application/openmetrics-text\r\n"
                b"Accept-Encoding: br\r\nAccept-Encoding: gzip\r\n\r\n"
            )
            await reader.read()
            writer.close()

        assert exporter.asked == [(Format.OPENMETRICS, True, frozenset())]

    @pytest.mark.parametrize(
        ("query", "names"),
        [
            ("?name[]=campaign_up&name[]=campaign_info", {"campaign_up", "campaign_info"}),
            ("?name%5B%5D=campaign_up&other=x", {"campaign_up"}),
            ("?name[]=", set()),
            ("?name=campaign_up", set()),
            ("?name[]=%00%0a%F0%9F%98%80", {"\x00\n😀"}),
        ],
    )
    async def test_names_are_passed_on(self, exporter: Exporter, query: str, names: set[str]) -> None:
        async with exporter.running():
            assert (await exporter.get(f"/metrics{query}")).status == 200

        assert exporter.asked == [(Format.TEXT, False, frozenset(names))]

    async def test_a_cookie_of_20_kb_and_180_names_are_taken(self, exporter: Exporter) -> None:
        names = [f"campaign_exporter_some_metric_of_a_long_name_{number}_seconds" for number in range(180)]
        async with exporter.running():
            query = "&".join(f"name%5B%5D={name}" for name in names)
            assert (await exporter.get(f"/metrics?{query}", Cookie="session=" + "x" * 20_000)).status == 200

        assert exporter.asked == [(Format.TEXT, False, frozenset(names))]

    async def test_the_path_is_the_configured_one(self, exporter: Exporter) -> None:
        async with exporter.running(telemetry_path="/probe/me"):
            assert (await exporter.get("/probe/me")).headers["Content-Type"] == TEXT
            assert (await exporter.get("/metrics")).status == 404
            assert '<a href="./probe/me">' in (await exporter.get("/")).text

    async def test_the_path_may_be_the_root(self, exporter: Exporter) -> None:
        async with exporter.running(telemetry_path="/"):
            assert (await exporter.get("/")).headers["Content-Type"] == TEXT

    async def test_head_gives_the_headers_alone(self, exporter: Exporter) -> None:
        async with exporter.running():
            answer = await exporter.get(method="HEAD")
            again = await exporter.get()

        assert (answer.status, answer.headers["Content-Length"], answer.body) == (200, "30", b"")
        assert again.body  # on the same connection

    async def test_a_large_page_arrives_whole(self, exporter: Exporter) -> None:
        line = b"campaign_contacts 1\n"
        exporter.chunks = [line * 100] * 1000 + [line * (LARGE // len(line))] + [line] * 1000
        async with exporter.running():
            answer = await exporter.get()

        assert answer.body == b"".join(exporter.chunks)

    async def test_an_error_while_the_page_is_made_is_500_and_the_next_scrape_works(
        self, exporter: Exporter, caplog: pytest.LogCaptureFixture
    ) -> None:
        exporter.chunks = [None]  # type: ignore[list-item]  # a defect
        async with exporter.running(at_once=1):
            assert (await exporter.get()).status == 500
            exporter.chunks = [b"fine 1\n"]
            assert (await exporter.get()).text == "fine 1\n"
        assert caplog.records


class TestManyAtOnce:
    async def test_past_the_limit_a_scrape_of_names_has_to_come_again_and_others_not(self, exporter: Exporter) -> None:
        exporter.let_go.clear()
        async with exporter.running(at_once=2):
            names = [f"/metrics?name[]={name}" for name in ("a", "b", "c")]
            under_way = [asyncio.create_task(exporter.get(path)) for path in (*names[:2], "/metrics")]
            for _ in under_way:
                await exporter.entered.acquire()

            refused = await exporter.get(names[2])
            others = [await exporter.get(path) for path in ("/", "/api/v1/campaigns", "/-/healthy", "/-/ready")]
            exporter.let_go.set()

            assert (refused.status, refused.headers["Retry-After"], refused.headers["Connection"]) == (
                503,
                "1",
                "close",
            )
            assert [answer.status for answer in others] == [200, 200, 200, 503]
            assert others[-1].text == "campaign-exporter is not ready.\n"
            assert [answer.status for answer in await asyncio.gather(*under_way)] == [200, 200, 200]
            assert (await exporter.get(names[2])).status == 200

    async def test_past_the_limit_other_requests_are_refused_and_scrapes_are_not(self, exporter: Exporter) -> None:
        exporter.reload_let_go.clear()
        async with exporter.running(at_once=2):
            under_way = [asyncio.create_task(exporter.get("/-/reload", "POST")) for _ in range(2)]
            for _ in under_way:
                await exporter.reload_entered.acquire()

            refused = [await exporter.get(path) for path in ("/", "/api/v1/campaigns", "/runbooks/CampaignStalled")]
            others = [await exporter.get(path) for path in ("/metrics", "/-/healthy")]
            exporter.reload_let_go.set()

            assert {(answer.status, answer.headers["Retry-After"]) for answer in refused} == {(503, "1")}
            assert [answer.status for answer in others] == [200, 200]
            assert [answer.status for answer in await asyncio.gather(*under_way)] == [200, 200]
            assert (await exporter.get("/")).status == 200

    async def test_fifty_scrapes_at_once_are_served(self, exporter: Exporter) -> None:
        exporter.let_go.clear()
        async with exporter.running(at_once=2):
            under_way = [asyncio.create_task(exporter.get()) for _ in range(50)]
            for _ in under_way:
                await exporter.entered.acquire()
            exporter.let_go.set()

            assert {answer.status for answer in await asyncio.gather(*under_way)} == {200}

    async def test_one_whose_client_has_gone_frees_its_place_without_a_word(
        self, exporter: Exporter, caplog: pytest.LogCaptureFixture
    ) -> None:
        exporter.chunks = [bytes(LARGE)]
        async with exporter.running(at_once=1):
            _, writer = await exporter.slow_reader()
            writer.transport.abort()

            assert (await exporter.get(method="HEAD")).status == 200
        assert caplog.records == []


class TestHealth:
    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    async def test_it_is_healthy_while_it_answers(self, exporter: Exporter, method: str) -> None:
        async with exporter.running():
            assert (await exporter.get("/-/healthy", method)).status == 200

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    async def test_it_is_ready_when_it_says_so(self, exporter: Exporter, method: str) -> None:
        async with exporter.running():
            before = await exporter.get("/-/ready", method)
            exporter.is_ready = True
            after = await exporter.get("/-/ready", method)
            exporter.is_ready = False
            stopping = await exporter.get("/-/ready", method)

        assert [before.status, after.status, stopping.status] == [503, 200, 503]


class TestReload:
    @pytest.mark.parametrize("method", ["POST", "PUT"])
    async def test_it_reloads(self, exporter: Exporter, method: str) -> None:
        async with exporter.running():
            answer = await exporter.get("/-/reload", method)

        assert (answer.status, exporter.reloads) == (200, 1)

    @pytest.mark.parametrize("method", ["POST", "PUT"])
    async def test_what_is_wrong_is_in_the_answer(self, exporter: Exporter, method: str) -> None:
        exporter.error = "campaign-exporter.yml: poll.timeout: expected a duration <b>"
        async with exporter.running():
            answer = await exporter.get("/-/reload", method)

        assert (answer.status, answer.text) == (500, f"{exporter.error}\n")
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"

    @pytest.mark.parametrize("method", ["POST", "PUT"])
    async def test_without_the_flag_it_is_forbidden(self, exporter: Exporter, method: str) -> None:
        async with exporter.running(lifecycle=False):
            answer = await exporter.get("/-/reload", method)

        assert (answer.status, exporter.reloads) == (403, 0)
        assert "--web.enable-lifecycle" in answer.text

    @pytest.mark.parametrize("lifecycle", [True, False])
    async def test_looking_at_it_reloads_nothing(self, exporter: Exporter, *, lifecycle: bool) -> None:
        async with exporter.running(lifecycle=lifecycle):
            answer = await exporter.get("/-/reload")

        assert (answer.status, answer.headers["Allow"], exporter.reloads) == (405, "POST,PUT", 0)


class TestRunbooks:
    async def test_a_runbook_is_shown(self, exporter: Exporter) -> None:
        async with exporter.running():
            answer = await exporter.get("/runbooks/CampaignStalled")

        assert answer.status == 200
        assert "<h1>Stalled</h1>\n<p>Ask why, ✓.</p>" in answer.text
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"

    @pytest.mark.parametrize(
        "path",
        [
            "Unknown",
            "campaignstalled",
            "CampaignStalled.md",
            "",
            "../web.py",
            "..%2fweb.py",
            "%2e%2e/%2e%2e/etc/passwd",
            "..%5c..%5cweb.py",
            "%2fetc%2fpasswd",
            "CampaignStalled%00",
            "CampaignStalled/",
            "<script>",
        ],
    )
    async def test_anything_else_is_not_there(self, exporter: Exporter, path: str) -> None:
        async with exporter.running():
            answer = await exporter.get(f"/runbooks/{path}")

        assert answer.status == 404
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert "script" not in answer.text


class TestEveryAnswer:
    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"])
    @pytest.mark.parametrize("path", ["/", "/metrics", "/-/healthy", "/-/ready", "/runbooks/CampaignStalled"])
    async def test_other_methods_are_not_allowed(self, exporter: Exporter, path: str, method: str) -> None:
        async with exporter.running():
            answer = await exporter.get(path, method)

        assert (answer.status, answer.headers["Allow"]) == (405, "GET,HEAD")

    @pytest.mark.parametrize(
        "path", ["/nowhere", "/metrics/", "/METRICS", "/-/", "/./metrics/x", "/%6detrics/x", "/.git/config"]
    )
    async def test_other_paths_are_not_there(self, exporter: Exporter, path: str) -> None:
        async with exporter.running():
            assert (await exporter.get(path)).status == 404

    @pytest.mark.parametrize("path", ["/", "/metrics", "/-/healthy", "/-/ready", "/-/reload", "/nowhere"])
    async def test_no_answer_tells_what_it_is_made_of_or_is_taken_for_something_else(
        self, exporter: Exporter, path: str
    ) -> None:
        async with exporter.running():
            answer = await exporter.get(path)

        assert answer.headers["Server"] == "campaign-exporter"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


@given(st.lists(st.binary(max_size=40)), st.integers(1, 30))
def test_pieces_are_the_page_in_order_and_never_too_large(chunks: list[bytes], size: int) -> None:
    cut = [bytes(piece) for piece in pieces(chunks, size)]

    assert b"".join(cut) == b"".join(chunks)
    assert all(0 < len(piece) <= size for piece in cut)
    # What is small is joined: where no chunk is large, two neighbours never fit into one piece.
    if all(len(chunk) <= size for chunk in chunks):
        assert all(len(one) + len(other) > size for one, other in pairwise(cut))


def test_a_large_chunk_is_not_copied() -> None:
    chunk = bytes(1000)

    assert all(isinstance(piece, memoryview) and piece.obj is chunk for piece in pieces([chunk], 100))


async def test_others_get_a_turn_after_each_piece_even_when_the_client_is_fast() -> None:
    order: list[str] = []

    class Writer:
        async def write(self, piece: bytes | memoryview) -> None:
            order.append("piece")

    async def take_turns() -> None:
        while True:
            order.append("turn")
            await asyncio.sleep(0)

    others = asyncio.create_task(take_turns())
    await Pieces([bytes(1024 * 1024)]).write(cast(AbstractStreamWriter, Writer()))
    others.cancel()

    assert order == ["piece", "turn"] * 16
