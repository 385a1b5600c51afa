"""What an upstream may do to hurt, done to both providers by a real server."""

import asyncio
import gzip
import json
import tracemalloc
import zlib
from collections.abc import Callable

import pytest

from exporter.campaign.snapshot import Snapshot
from exporter.providers.anyreach import Anyreach
from exporter.providers.errors import CredentialsError, PollError, TimedOutError, TooLargeError
from exporter.providers.http import Transport
from exporter.providers.osvi import Osvi
from tests.providers.loopback import (
    MAX_IN_FLIGHT,
    Answer,
    Loopback,
    body_of,
    http,
    recorded,
    reset,
    serving,
    transport,
)

LIMIT = 65_536
PROVIDERS: dict[str, tuple[type[Anyreach] | type[Osvi], str]] = {
    "anyreach": (Anyreach, "stats_documented"),
    "osvi": (Osvi, "status_documented"),
}


@pytest.fixture(params=list(PROVIDERS))
def provider(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def poll(provider: str, sender: Transport) -> Snapshot:
    async with sender:
        return await PROVIDERS[provider][0](sender, "token").poll("7")


def documented(provider: str) -> bytes:
    return body_of(f"{provider}/{PROVIDERS[provider][1]}")


def sending(*parts: bytes, then: Callable[[asyncio.StreamWriter], None] | None = None) -> Answer:
    """Send the parts, then close the connection, or do something else to it."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()
        if then:
            then(writer)
        else:
            writer.close()

    return answer


def repeating(start: bytes, part: bytes) -> Answer:
    """Send the start, then the same part until nobody listens any more."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        while True:
            writer.write(part)
            await writer.drain()

    return answer


def dripping(start: bytes, drop: bytes = b"x") -> Answer:
    """Send the start, then a drop every ten milliseconds for longer than anybody should wait."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        for _ in range(1000):
            writer.write(drop)
            await writer.drain()
            await asyncio.sleep(0.01)

    return answer


async def saying_nothing(writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
DEEP = b"[" * 100_000 + b"]" * 100_000

HOSTILE: dict[str, tuple[Answer, str]] = {
    "no answer at all": (sending(), "protocol"),
    "reset at once": (sending(then=reset), "protocol"),
    "reset in the headers": (sending(HEAD, then=reset), "protocol"),
    "reset in the body": (sending(HEAD + b"Content-Length: 100\r\n\r\n{", then=reset), "protocol"),
    "cut off in the headers": (sending(HEAD), "protocol"),
    "cut off in the body": (sending(HEAD + b"Content-Length: 100\r\n\r\n{"), "protocol"),
    "cut off in a chunk": (sending(HEAD + b"Transfer-Encoding: chunked\r\n\r\n64\r\n{"), "protocol"),
    "cut off between chunks": (sending(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"), "protocol"),
    "a chunk of no size": (sending(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{"), "protocol"),
    "a length that is none": (sending(HEAD + b"Content-Length: -1\r\n\r\n{}"), "protocol"),
    "two lengths": (sending(HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"), "protocol"),
    "another protocol": (sending(b"SSH-2.0-OpenSSH_9.6\r\n"), "protocol"),
    "HTTP of the future": (sending(b"HTTP/9.9 200 OK\r\nContent-Length: 2\r\n\r\n{}"), "protocol"),
    "an upgrade that nobody wanted": (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
        "protocol",
    ),
    "a header without end": (repeating(HEAD + b"X-Long: ", b"x" * 10_000), "protocol"),
    "headers without end": (repeating(HEAD, b"X-Many: x\r\n" * 1_000), "protocol"),
    "a status line without end": (repeating(b"HTTP/1.1 200 ", b"x" * 10_000), "protocol"),
    "gzip that is none": (http(b"no gzip", 200, "Content-Encoding: gzip"), "invalid_response"),
    "an encoding of its own": (http(b"no json", 200, "Content-Encoding: snow"), "invalid_response"),
    "gzip that is cut off": (http(gzip.compress(b"{}" * 100)[:-20], 200, "Content-Encoding: gzip"), "invalid_response"),
    "a body without end": (repeating(HEAD + b"\r\n", b"x" * 10_000), "too_large"),
    "a body of endless chunks": (
        repeating(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1000\r\n" + b"x" * 0x1000 + b"\r\n"),
        "too_large",
    ),
    "deep nesting": (http(DEEP[: LIMIT // 2]), "invalid_response"),
    "deep nesting inside": (http(b'{"success": true, "x": ' + DEEP[:5000]), "invalid_response"),
    "invalid UTF-8": (http(b'{"status": "\xff", "success": true}'), "invalid_response"),
    "UTF-16": (http('{"status": "active", "success": true}'.encode("utf-16")), "invalid_response"),
    "HTML of a proxy": (http("<html><body>Sign in</body></html>", 200, "Content-Type: text/html"), "invalid_response"),
    "nothing": (http(""), "invalid_response"),
    "half a JSON": (http('{"status": "act'), "invalid_response"),
    "a top level that is an array": (http("[]"), "invalid_response"),
    "a top level that is null": (http("null"), "invalid_response"),
    "a top level that is a number": (http("NaN"), "invalid_response"),
    "an object with nothing that is ours": (http('{"detail": "ok"}'), "invalid_response"),
    "202": (http('{"status": "active", "success": true}', 202), "invalid_response"),
    "204": (sending(b"HTTP/1.1 204 No Content\r\n\r\n"), "invalid_response"),
    "206": (http('{"status": "active", "success": true}', 206), "invalid_response"),
    "a redirect to nowhere": (http("", 302), "redirect"),
    "429": (http("", 429), "rate_limited"),
    "418": (http("", 418), "client_error"),
    "502 with HTML": (http("<html>", 502, "Content-Type: text/html"), "server_error"),
}  # fmt: skip


@pytest.mark.parametrize("case", list(HOSTILE))
async def test_each_hostile_answer_has_its_reason(provider: str, case: str) -> None:
    answer, reason = HOSTILE[case]
    async with serving(answer) as server:
        with pytest.raises(PollError) as caught:
            await poll(provider, transport(server.url, max_body_bytes=LIMIT))

    assert caught.value.reason == reason


@pytest.mark.parametrize("case", list(HOSTILE))
async def test_a_hostile_answer_keeps_no_connection(case: str) -> None:
    answer, _ = HOSTILE[case]

    async def answer_or_documented(writer: asyncio.StreamWriter) -> None:
        now = answer if len(errors) < MAX_IN_FLIGHT else http(documented("anyreach"))
        if callable(now):
            await now(writer)
        else:
            writer.write(now)

    # Kept with all that they tie to themselves, as whoever logs them may do.
    errors: list[PollError] = []
    async with (
        serving(answer_or_documented) as server,
        transport(server.url, max_body_bytes=LIMIT, timeout=2) as sender,
    ):
        anyreach = Anyreach(sender, "token")
        for _ in range(MAX_IN_FLIGHT):
            with pytest.raises(PollError) as caught:
                await anyreach.poll("7")
            errors.append(caught.value)

        assert (await anyreach.poll("7")).status == "active"


@pytest.mark.parametrize(
    "answer",
    [
        saying_nothing,
        dripping(b"HTTP/1.1 200 "),
        dripping(HEAD + b"X-Slow: "),
        dripping(HEAD + b"Content-Length: 1000\r\n\r\n"),
        dripping(HEAD + b"Transfer-Encoding: chunked\r\n\r\n3E8\r\n"),
        dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["silence", "status line", "header", "body", "chunk", "only interim answers"],
)
async def test_a_slow_answer_is_cut_off_at_the_time_limit(provider: str, answer: Answer) -> None:
    began = asyncio.get_running_loop().time()
    async with serving(answer) as server:
        with pytest.raises(TimedOutError):
            await poll(provider, transport(server.url, timeout=0.1))

    assert asyncio.get_running_loop().time() - began < 5


async def test_what_is_beyond_the_limit_is_not_read(provider: str) -> None:
    sent = 0

    async def send(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(HEAD + b"\r\n")
        while True:
            writer.write(b"x" * 100_000)
            await writer.drain()
            sent += 100_000

    async with serving(send) as server:
        with pytest.raises(TooLargeError):
            await poll(provider, transport(server.url, max_body_bytes=LIMIT))

    # The rest is in the buffers of both kernels.
    assert sent < 20_000_000


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_compressed_body_is_measured_inflated_and_never_held_whole(provider: str, encoding: str) -> None:
    compressor = zlib.compressobj(9, wbits=31 if encoding == "gzip" else 15)
    bomb = b"".join(compressor.compress(bytes(1_000_000)) for _ in range(64)) + compressor.flush()
    assert len(bomb) < LIMIT * 1.5
    async with serving(http(bomb, 200, f"Content-Encoding: {encoding}")) as server:
        tracemalloc.start()
        try:
            with pytest.raises(TooLargeError):
                await poll(provider, transport(server.url, max_body_bytes=LIMIT))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert peak < 5_000_000


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "identity"])
async def test_an_ordinary_compressed_answer_is_read(provider: str, encoding: str) -> None:
    body = documented(provider)
    packed = {"gzip": gzip.compress(body), "deflate": zlib.compress(body), "identity": body}[encoding]
    async with serving(http(packed, 200, f"Content-Encoding: {encoding}")) as server:
        snapshot = await poll(provider, transport(server.url))

    assert snapshot.status == "active"


async def test_a_redirect_takes_the_token_nowhere(provider: str) -> None:
    async with serving(http(documented(provider))) as elsewhere:
        answer = http("", 307, f"Location: {elsewhere.url}/")
        async with serving(answer) as server:
            with pytest.raises(PollError, match="307") as caught:
                await poll(provider, transport(server.url))

    assert caught.value.reason == "redirect"
    assert elsewhere.connections == 0


async def test_a_campaign_heals_with_the_next_good_answer(provider: str) -> None:
    bad = sending(HEAD + b"Content-Length: 100\r\n\r\n{")
    async with serving(bad, http("", 500), http(documented(provider))) as server, transport(server.url) as sender:
        asked = PROVIDERS[provider][0](sender, "token")
        for reason in ("protocol", "server_error"):
            with pytest.raises(PollError) as caught:
                await asked.poll("7")
            assert caught.value.reason == reason

        assert (await asked.poll("7")).status == "active"


async def test_a_token_that_changes_is_used_at_once(provider: str) -> None:
    def sent(server: Loopback) -> str:
        return server.header("API-Token") or server.header("Authorization") or ""

    async with serving(http(documented(provider))) as server, transport(server.url) as sender:
        asked = PROVIDERS[provider][0](sender, "first-token")
        await asked.poll("7")
        assert sent(server).endswith("first-token")
        asked.authorize(CredentialsError("no such file"))
        with pytest.raises(CredentialsError, match="no such file"):
            await asked.poll("7")
        asked.authorize("second-token")
        await asked.poll("7")

    assert sent(server).endswith("second-token")
    assert len(server.paths()) == 2
    assert "token" not in repr(asked)


@pytest.mark.parametrize(
    "literal", ["NaN", "Infinity", "-Infinity", "1e400", "9" * 5000, "1" + "0" * 400, "-1", '"x"', "true"]
)
async def test_an_odd_number_costs_its_own_sample_only(provider: str, literal: str) -> None:
    number = "1240" if provider == "anyreach" else "120"
    body = documented(provider).decode().replace(number, literal)
    async with serving(http(body)) as server:
        snapshot = await poll(provider, transport(server.url))

    async with serving(http(documented(provider))) as server:
        whole = await poll(provider, transport(server.url))
    lost = "contacts_loaded" if provider == "anyreach" else "calls_made"
    assert getattr(snapshot, lost) is None
    differing = {name for name in Snapshot.__struct_fields__ if getattr(snapshot, name) != getattr(whole, name)}
    assert differing == {lost}


@pytest.mark.parametrize("status", [401, 404, 422, 500])
async def test_recorded_errors_are_classified_by_status_alone(provider: str, status: int) -> None:
    case = {401: "unauthorized", 404: "not_found", 422: "invalid", 500: "broken"}[status]
    reason = {401: "unauthorized", 404: "not_found", 422: "client_error", 500: "server_error"}[status]
    async with serving(recorded(f"{provider}/{case}", status)) as server:
        with pytest.raises(PollError) as caught:
            await poll(provider, transport(server.url))

    assert caught.value.reason == reason


def test_every_recorded_answer_that_claims_to_be_json_is_readable() -> None:
    for case in PROVIDERS:
        assert json.loads(documented(case))
