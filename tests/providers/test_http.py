import asyncio
import base64
import gzip
import os
import socket
import ssl
import threading
import traceback
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from exporter import __version__
from exporter.providers.errors import (
    BrokenProtocolError,
    ClientFaultError,
    ConnectFailedError,
    ForbiddenError,
    InvalidResponseError,
    NameNotResolvedError,
    NotFoundError,
    PollError,
    RateLimitedError,
    RedirectedError,
    ServerFaultError,
    TimedOutError,
    TlsFailedError,
    TooLargeError,
    UnauthorizedError,
)
from exporter.providers.http import Transport, read_retry_after, refusal, segment
from tests.providers.loopback import Answer, closed_port, greeting, http, reset, serving, transport, tunneling

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC).timestamp()
TOKEN = "ak_planted.secret"


async def fetch(sender: Transport, path: str = "/stats", token: str = TOKEN) -> bytes:
    async with sender:
        return await sender.get(sender.url(path), {"Authorization": f"Bearer {token}"})


@contextmanager
def alerting(context: ssl.SSLContext) -> Iterator[int]:
    """A TLS server that tells a client without a certificate so, which asyncio's does not; gives its port."""

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                tls = context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
                with tls, socket.socket(fileno=os.dup(tls.fileno())) as raw, suppress(OSError):
                    with suppress(ssl.SSLError):
                        tls.do_handshake()
                    # Closing before the client has sent all would reset the connection and lose the alert.
                    raw.shutdown(socket.SHUT_WR)
                    while raw.recv(1000):
                        pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


async def outcome(answer: Answer) -> str:
    async with serving(answer) as server:
        try:
            await fetch(transport(server.url))
        except PollError as error:
            return error.reason
    return "success"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_tls(authority: trustme.CA, host: str = "localhost", *, expires: datetime | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(host, not_after=expires).configure_cert(context)
    return context


def pem(authority: trustme.CA, folder: Path) -> Path:
    path = folder / "authority.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


def secure(
    url: str,
    *,
    ca_file: Path | None = None,
    cert_file: Path | None = None,
    insecure: bool = False,
    proxy_url: str | None = None,
) -> Transport:
    return Transport(
        url,
        timeout=10,
        max_body_bytes=1000,
        max_in_flight=1,
        ca_file=ca_file,
        cert_file=cert_file,
        insecure_skip_verify=insecure,
        proxy_url=proxy_url,
    )


class TestRefusal:
    @pytest.mark.parametrize(
        ("status", "error"),
        [
            (201, InvalidResponseError),
            (202, InvalidResponseError),
            (204, InvalidResponseError),
            (206, InvalidResponseError),
            (300, RedirectedError),
            (301, RedirectedError),
            (304, RedirectedError),
            (308, RedirectedError),
            (400, ClientFaultError),
            (401, UnauthorizedError),
            (403, ForbiddenError),
            (404, NotFoundError),
            (407, ClientFaultError),
            (422, ClientFaultError),
            (429, RateLimitedError),
            (451, ClientFaultError),
            (500, ServerFaultError),
            (503, ServerFaultError),
            (599, ServerFaultError),
            (101, BrokenProtocolError),
            (600, BrokenProtocolError),
            (999, BrokenProtocolError),
        ],
    )
    def test_every_other_status_is_an_error_of_its_own_reason(self, status: int, error: type[PollError]) -> None:
        refused = refusal(status, {}, now=NOW)

        assert type(refused) is error
        assert refused.retry_after is None
        assert str(status) in str(refused)

    @pytest.mark.parametrize("status", [404, 429, 500, 503])
    def test_any_error_may_ask_to_be_left_alone(self, status: int) -> None:
        assert refusal(status, {"Retry-After": "120"}, now=NOW).retry_after == 120


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("value", "seconds"),
        [
            ("120", 120),
            (" 120 ", 120),
            ("0", 0),
            ("1.5", 1.5),
            ("999999999999", 999999999999),
            ("Mon, 01 Jun 2026 12:01:30 GMT", 90),
            ("Monday, 01-Jun-26 12:01:30 GMT", 90),
            ("Mon Jun  1 12:01:30 2026", 90),
            ("Mon, 01 Jun 2026 12:01:30 -0000", 90),
            ("Mon, 01 Jun 2026 11:59:00 GMT", None),
            ("-5", None),
            ("soon", None),
            ("", None),
            ("1e3", None),
            ("9" * 400, None),
            ("Mon, 99 Jun 2026 12:01:30 GMT", None),
            (None, None),
        ],
    )
    def test_seconds_and_dates_are_understood_and_nothing_else(self, value: str | None, seconds: float | None) -> None:
        assert read_retry_after(value, NOW) == seconds

    @given(st.text())
    def test_no_text_makes_it_fail(self, value: str) -> None:
        seconds = read_retry_after(value, NOW)

        assert seconds is None or seconds >= 0


class TestSegment:
    @pytest.mark.parametrize(
        ("value", "encoded"),
        [
            ("6c6f7b0e-0000-4000-8000-000000000000", "6c6f7b0e-0000-4000-8000-000000000000"),
            ("crm:june/renewals", "crm%3Ajune%2Frenewals"),
            ("a b?c#d%e", "a%20b%3Fc%23d%25e"),
            ("Zürich", "Z%C3%BCrich"),
            ("\ud800", "%ED%A0%80"),
            ("..", "%2E%2E"),
            (".", "%2E"),
            ("a.b", "a.b"),
        ],
    )
    def test_a_segment_can_neither_split_nor_climb(self, value: str, encoded: str) -> None:
        assert segment(value) == encoded


class TestGet:
    async def test_a_request_says_who_asks_and_what_it_can_read(self) -> None:
        async with serving(http("{}")) as server:
            body = await fetch(transport(server.url))

        assert body == b"{}"
        assert server.requests[0].startswith("GET /stats HTTP/1.1\r\n")
        assert server.header("User-Agent") == f"campaign-exporter/{__version__}"
        assert server.header("Accept") == "application/json"
        assert server.header("Accept-Encoding") == "gzip, deflate"
        assert server.header("Authorization") == f"Bearer {TOKEN}"
        assert server.header("Cookie") is None

    @pytest.mark.parametrize("slash", ["", "/"])
    async def test_a_path_prefix_is_kept(self, slash: str) -> None:
        async with serving(http("{}")) as server:
            await fetch(transport(f"{server.url}/edge/v2{slash}"))

        assert server.paths() == ["/edge/v2/stats"]

    @pytest.mark.parametrize("encoded", ["%2E%2E", "crm%3Ajune%2Frenewals"])
    async def test_an_encoded_segment_goes_out_as_it_is(self, encoded: str) -> None:
        async with serving(http("{}")) as server:
            await fetch(transport(server.url), f"/campaigns/{encoded}/stats")

        assert server.paths() == [f"/campaigns/{encoded}/stats"]

    async def test_requests_share_a_connection(self) -> None:
        async with serving(http("{}")) as server, transport(server.url) as sender:
            for _ in range(3):
                await sender.get(sender.url("/stats"), {})

        assert server.connections == 1

    async def test_an_error_leaves_its_connection_usable(self) -> None:
        async def in_two_parts(writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 500 No\r\nContent-Length: 4\r\n\r\n")
            await writer.drain()
            await asyncio.sleep(0.01)
            writer.write(b"oops")

        async with serving(in_two_parts, http("{}")) as server, transport(server.url) as sender:
            with pytest.raises(ServerFaultError):
                await sender.get(sender.url("/stats"), {})
            await sender.get(sender.url("/stats"), {})

        assert server.connections == 1

    @pytest.mark.parametrize("body", [b"x" * 70_000, b"x"])
    async def test_an_error_keeps_its_status_however_its_body_ends(self, body: bytes) -> None:
        async def cut_off(writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nContent-Length: 1000000\r\n\r\n" + body)
            await writer.drain()
            writer.close()

        async with serving(cut_off) as server:
            with pytest.raises(RateLimitedError) as caught:
                await fetch(transport(server.url))

        assert caught.value.retry_after == 7

    @pytest.mark.parametrize("interim", [b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"])
    async def test_an_error_keeps_its_status_though_its_body_is_no_http(self, interim: bytes) -> None:
        # In one piece, so that head and body arrive together
        answer = interim + b"HTTP/1.1 401 No\r\nTransfer-Encoding: chunked\r\n\r\nno chunk\r\n"

        async with serving(answer, http("{}")) as server, transport(server.url) as sender:
            with pytest.raises(UnauthorizedError):
                await sender.get(sender.url("/stats"), {})
            await sender.get(sender.url("/stats"), {})

        assert server.connections == 2

    async def test_an_error_without_end_is_not_read_to_it(self) -> None:
        sent = 0

        async def send(writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            writer.write(b"HTTP/1.1 500 No\r\n\r\n")
            while True:
                writer.write(b"x" * 100_000)
                await writer.drain()
                sent += 100_000

        async with serving(send) as server:
            with pytest.raises(ServerFaultError):
                await fetch(transport(server.url, timeout=2))

        # The rest is in the buffers of both kernels.
        assert sent < 20_000_000

    async def test_an_error_stands_though_its_body_never_ends(self) -> None:
        async def stall(writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 429 Slow Down\r\nRetry-After: 120\r\nContent-Length: 100\r\n\r\nwait")
            await asyncio.Event().wait()

        async with serving(stall) as server:
            with pytest.raises(RateLimitedError) as error:
                await fetch(transport(server.url, timeout=0.1))
        assert error.value.retry_after == 120

    async def test_whoever_waits_for_a_connection_that_will_never_be_made_fails(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        looked_up = asyncio.Event()

        async def hang(*_: object, **__: object) -> None:
            looked_up.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", hang)
        async with transport("http://provider.invalid") as sender:
            waiting = asyncio.create_task(sender.get(sender.url("/stats"), {}))
            await looked_up.wait()
        with pytest.raises(BrokenProtocolError, match="were closed"):
            await waiting

    async def test_a_connection_that_was_closed_while_idle_costs_no_request(self) -> None:
        async def once(writer: asyncio.StreamWriter) -> None:
            writer.write(http("{}"))
            await writer.drain()
            reset(writer)

        async with serving(once, http("{}")) as server, transport(server.url) as sender:
            await sender.get(sender.url("/stats"), {})

            assert await sender.get(sender.url("/stats"), {}) == b"{}"

    async def test_cookies_are_not_kept(self) -> None:
        async with serving(http("{}", 200, "Set-Cookie: a=b")) as server:
            # By name, since cookies of bare addresses are not kept anyway.
            sender = transport(f"http://localhost:{server.port}")
            async with sender:
                await sender.get(sender.url("/stats"), {})
                await sender.get(sender.url("/stats"), {})

        assert server.header("Cookie") is None

    async def test_the_environment_does_not_choose_the_proxy(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{closed_port()}")
        async with serving(http("{}")) as server:
            assert await fetch(transport(server.url)) == b"{}"

    async def test_a_retry_after_date_is_taken_from_the_wall_clock(self) -> None:
        async with serving(http("", 503, "retry-after: Mon, 01 Jun 2026 12:01:30 GMT")) as server:
            sender = Transport(server.url, timeout=10, max_body_bytes=100, max_in_flight=1, wall_clock=lambda: NOW)
            with pytest.raises(ServerFaultError) as caught:
                await fetch(sender)

        assert caught.value.retry_after == 90

    @pytest.mark.parametrize("size", [999, 1000])
    async def test_a_body_of_the_largest_size_is_read(self, size: int) -> None:
        async def in_pieces(writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
            for _ in range(size):
                writer.write(b"x")
                await writer.drain()

        async with serving(in_pieces) as server:
            assert await fetch(transport(server.url, max_body_bytes=1000)) == b"x" * size

    async def test_a_byte_more_is_too_large_even_in_one_piece(self) -> None:
        async with serving(http(b"x" * 1001)) as server:
            with pytest.raises(TooLargeError):
                await fetch(transport(server.url, max_body_bytes=1000))

    @pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
    async def test_a_redirect_is_not_followed_so_that_the_token_stays_home(self, status: int) -> None:
        async with serving(http("{}")) as elsewhere:
            redirect = http("", status, f"Location: {elsewhere.url}/stats")
            async with serving(redirect) as server, transport(server.url) as sender:
                with pytest.raises(RedirectedError):
                    await sender.get(sender.url("/stats"), {"Authorization": TOKEN})

        assert elsewhere.connections == 0
        assert len(server.requests) == 1

    async def test_a_server_that_repeats_the_request_puts_no_token_into_the_error(self) -> None:
        echo = f"HTTP/1.1 200 OK\r\nBearer {TOKEN}\r\n\r\n".encode()
        async with serving(echo) as server:
            with pytest.raises(BrokenProtocolError) as caught:
                await fetch(transport(server.url))

        assert TOKEN not in "".join(traceback.format_exception(caught.value))
        assert TOKEN not in repr(caught.value)

    @given(st.binary(max_size=200))
    def test_no_bytes_on_the_wire_make_it_fail_otherwise(self, sent: bytes) -> None:
        async def send(writer: asyncio.StreamWriter) -> None:
            writer.write(sent)
            await writer.drain()
            writer.close()

        assert asyncio.run(outcome(send)) in {"success", "protocol"}

    @given(st.binary(max_size=100), st.sampled_from(["gzip", "deflate", "br", "zstd", "snow"]), st.booleans())
    def test_no_body_makes_it_fail_otherwise(self, sent: bytes, encoding: str, chunked: bool) -> None:
        length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(sent)}"

        async def send(writer: asyncio.StreamWriter) -> None:
            writer.write(f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\n{length}\r\n\r\n".encode() + sent)
            await writer.drain()
            writer.close()

        assert asyncio.run(outcome(send)) in {"success", "protocol", "invalid_response"}


class TestEncodings:
    @pytest.mark.parametrize("encoding", ["br", "zstd", "gzip", "x-gzip", "deflate", "snow", "gzip, br"])
    @pytest.mark.parametrize(
        ("status", "error"), [(401, UnauthorizedError), (403, ForbiddenError), (429, RateLimitedError)]
    )
    async def test_a_status_counts_whatever_its_body_is_encoded_in(
        self, encoding: str, status: int, error: type[PollError]
    ) -> None:
        answer = http(b"not encoded so", status, f"Content-Encoding: {encoding}", "Retry-After: 60")
        async with serving(answer, http("{}")) as server, transport(server.url) as sender:
            with pytest.raises(error) as caught:
                await sender.get(sender.url("/"), {})
            assert await sender.get(sender.url("/"), {}) == b"{}"

        assert caught.value.retry_after == 60
        assert server.connections == 1

    @pytest.mark.parametrize(
        ("encoding", "body"),
        [
            ("gzip", gzip.compress(b"{}", mtime=0)),
            ("x-gzip", gzip.compress(b"{}", mtime=0)),
            ("X-GZIP", gzip.compress(b"{}", mtime=0) + b"\0\0"),
            ("gzip", gzip.compress(b"{", mtime=0) + gzip.compress(b"}", mtime=0)),
            ("deflate", zlib.compress(b"{}")),
            ("deflate", zlib.compress(b"{}", wbits=-15)),
            ("deflate, gzip", gzip.compress(zlib.compress(b"{}"), mtime=0)),
            ("identity", b"{}"),
            ("", b"{}"),
        ],
    )
    async def test_a_body_is_decoded_as_its_header_says(self, encoding: str, body: bytes) -> None:
        async with serving(http(body, 200, f"Content-Encoding: {encoding}")) as server:
            assert await fetch(transport(server.url)) == b"{}"

    @pytest.mark.parametrize("encoding", ["br", "zstd", "snow", "gzip, br", "compress"])
    async def test_an_encoding_that_was_not_asked_for_is_invalid(self, encoding: str) -> None:
        async with serving(http(b"{}", 200, f"Content-Encoding: {encoding}")) as server:
            with pytest.raises(InvalidResponseError, match="not asked for"):
                await fetch(transport(server.url))

    async def test_a_body_of_thousands_of_gzip_members_is_invalid(self) -> None:
        async with serving(http(gzip.compress(b"") * 3000, 200, "Content-Encoding: gzip")) as server:
            with pytest.raises(InvalidResponseError, match="too many pieces"):
                await fetch(transport(server.url))


class TestConnecting:
    async def test_a_closed_port_is_a_failed_connection(self) -> None:
        with pytest.raises(ConnectFailedError, match=r"127\.0\.0\.1"):
            await fetch(transport(f"http://127.0.0.1:{closed_port()}"))

    async def test_a_name_without_an_address_is_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def nothing(*_: object, **__: object) -> None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", nothing)
        with pytest.raises(NameNotResolvedError):
            await fetch(transport("http://provider.invalid"))

    async def test_a_name_that_no_host_can_have_is_one_too(self) -> None:
        with pytest.raises(NameNotResolvedError):
            await fetch(transport(f"http://{'a' * 64}.invalid"))

    async def test_a_lookup_that_hangs_is_a_timeout(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def hang(*_: object, **__: object) -> None:
            await asyncio.Event().wait()

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", hang)
        with pytest.raises(TimedOutError):
            await fetch(transport("http://provider.invalid", timeout=0.05))


class TestProxy:
    @pytest.mark.parametrize("status", [302, 403, 407, 502])
    async def test_a_refused_tunnel_is_a_failed_connection(self, status: int) -> None:
        async with serving(http("no", status)) as proxy:
            with pytest.raises(ConnectFailedError, match=str(status)):
                await fetch(transport("https://provider.invalid", proxy_url=proxy.url))

        assert proxy.requests[0].startswith("CONNECT provider.invalid:443 ")
        assert TOKEN not in proxy.requests[0]

    async def test_a_proxy_that_wants_credentials_is_a_failed_connection(self) -> None:
        async with serving(http("no", 407)) as proxy:
            with pytest.raises(ConnectFailedError, match="407"):
                await fetch(transport("http://provider.invalid", proxy_url=proxy.url))

    async def test_a_407_without_a_proxy_is_the_servers(self) -> None:
        async with serving(http("no", 407)) as server:
            with pytest.raises(ClientFaultError):
                await fetch(transport(server.url))

    async def test_the_error_for_a_proxy_that_is_down_hides_its_password(self) -> None:
        url = f"http://user:planted@127.0.0.1:{closed_port()}"
        with pytest.raises(ConnectFailedError) as caught:
            await fetch(transport("https://provider.invalid", proxy_url=url))

        assert "planted" not in "".join(traceback.format_exception(caught.value))

    async def test_a_plain_request_goes_through_the_proxy_with_its_credentials(self) -> None:
        async with serving(http("{}")) as proxy:
            url = f"http://user:word@127.0.0.1:{proxy.port}"
            assert await fetch(transport("http://provider.invalid", proxy_url=url)) == b"{}"

        assert proxy.paths() == ["http://provider.invalid/stats"]
        assert proxy.header("Proxy-Authorization") == "Basic dXNlcjp3b3Jk"

    @pytest.mark.parametrize("scheme", ["http", "https"])
    async def test_user_and_password_are_sent_as_utf_8(self, scheme: str) -> None:
        async with serving(http("no", 502)) as proxy:
            url = f"http://us%E2%82%ACr:p%C3%A4ss%3A@127.0.0.1:{proxy.port}"
            with pytest.raises(PollError):
                await fetch(transport(f"{scheme}://provider.invalid", proxy_url=url))

        sent = proxy.header("Proxy-Authorization") or ""
        assert base64.b64decode(sent.removeprefix("Basic ")).decode() == "us\u20acr:p\u00e4ss:"

    async def test_the_provider_does_not_see_the_proxys_password(self, tmp_path: Path, authority: trustme.CA) -> None:
        async with serving(http("{}"), tls=server_tls(authority)) as server, tunneling(server.port) as proxy_url:
            with_password = proxy_url.replace("://", "://user:planted@")
            await fetch(secure("https://localhost", ca_file=pem(authority, tmp_path), proxy_url=with_password))

        assert "Proxy-Authorization" not in server.requests[0]

    async def test_a_tunnel_carries_tls_to_the_provider(self, tmp_path: Path, authority: trustme.CA) -> None:
        async with serving(http("{}"), tls=server_tls(authority)) as server, tunneling(server.port) as proxy_url:
            sender = secure("https://localhost", ca_file=pem(authority, tmp_path), proxy_url=proxy_url)

            assert await fetch(sender) == b"{}"

        assert server.header("Authorization") == f"Bearer {TOKEN}"


class TestTls:
    async def test_an_authority_of_its_own_is_trusted(self, tmp_path: Path, authority: trustme.CA) -> None:
        async with serving(http("{}"), tls=server_tls(authority)) as server:
            assert await fetch(secure(server.tls_url, ca_file=pem(authority, tmp_path))) == b"{}"

    async def test_an_unknown_authority_is_refused(self, authority: trustme.CA) -> None:
        async with serving(http("{}"), tls=server_tls(authority)) as server:
            with pytest.raises(TlsFailedError, match="unable to get local issuer"):
                await fetch(secure(server.tls_url))

        assert server.requests == []

    async def test_a_certificate_for_another_host_is_refused(self, tmp_path: Path, authority: trustme.CA) -> None:
        async with serving(http("{}"), tls=server_tls(authority, "elsewhere.invalid")) as server:
            with pytest.raises(TlsFailedError, match="not valid for 'localhost'"):
                await fetch(secure(server.tls_url, ca_file=pem(authority, tmp_path)))

        assert server.requests == []

    async def test_an_expired_certificate_is_refused(self, tmp_path: Path, authority: trustme.CA) -> None:
        async with serving(http("{}"), tls=server_tls(authority, expires=datetime(2001, 1, 1, tzinfo=UTC))) as server:
            with pytest.raises(TlsFailedError, match="expired"):
                await fetch(secure(server.tls_url, ca_file=pem(authority, tmp_path)))

        assert server.requests == []

    async def test_any_certificate_is_taken_where_that_is_asked_for(self, authority: trustme.CA) -> None:
        expired = server_tls(authority, "elsewhere.invalid", expires=datetime(2001, 1, 1, tzinfo=UTC))
        async with serving(http("{}"), tls=expired) as server:
            assert await fetch(secure(server.tls_url, insecure=True)) == b"{}"

    async def test_a_port_that_speaks_no_tls_is_a_failed_handshake(self) -> None:
        async with greeting(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
            with pytest.raises(TlsFailedError):
                await fetch(secure(f"https://localhost:{port}"))

    async def test_a_reset_in_the_handshake_is_a_broken_protocol(self) -> None:
        async with greeting(None) as port:
            with pytest.raises(BrokenProtocolError):
                await fetch(secure(f"https://localhost:{port}"))

    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    async def test_a_client_certificate_is_shown(
        self, tmp_path: Path, authority: trustme.CA, version: ssl.TLSVersion
    ) -> None:
        context = server_tls(authority)
        context.maximum_version = version
        context.verify_mode = ssl.CERT_REQUIRED
        authority.configure_trust(context)
        certificate = tmp_path / "client.pem"
        authority.issue_cert("exporter@example.org").private_key_and_cert_chain_pem.write_to_path(str(certificate))
        async with serving(http("{}"), tls=context) as server:
            ca_file = pem(authority, tmp_path)
            assert await fetch(secure(server.tls_url, ca_file=ca_file, cert_file=certificate)) == b"{}"

        with alerting(context) as port, pytest.raises(TlsFailedError, match="ALERT"):
            await fetch(secure(f"https://localhost:{port}", ca_file=ca_file))

    @pytest.mark.parametrize("content", [None, "no certificate"])
    def test_a_file_that_holds_no_certificate_is_an_error_at_once(self, tmp_path: Path, content: str | None) -> None:
        path = tmp_path / "authority.pem"
        if content is not None:
            path.write_text(content)

        with pytest.raises(OSError, match=r".+"):
            secure("https://localhost", ca_file=path)
