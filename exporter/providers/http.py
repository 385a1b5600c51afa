"""
One GET with its guards, and the judging of what came back.

`Transport.get` is the only place that talks to a provider.
Everything that can go wrong there, from the name lookup to the last byte, is raised as a `PollError`.
`refusal` and `inflate` are pure.
"""

import asyncio
import ssl
import time
import zlib
from collections.abc import Callable, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from math import inf
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import quote

import aiohttp
from aiohttp.hdrs import ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, USER_AGENT
from yarl import URL

from exporter import __version__
from exporter.providers.connector import Connector
from exporter.providers.credentials import basic_auth
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
from exporter.providers.wire import number

# An error's body is read only so that its connection can be used again; a longer one is not worth its bytes.
ERROR_BODY_LIMIT: Final = 65_536

# A body of zeros shrinks to a thousandth: what inflates to more than a few megabytes is inflated in a thread.
_LARGE_COMPRESSED: Final = 4096
_LARGE: Final = 65_536
_MOST_GZIP_MEMBERS: Final = 100

STATUS_ERRORS: Final[Mapping[int, type[PollError]]] = {
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    429: RateLimitedError,
}
STATUS_CLASS_ERRORS: Final[Mapping[int, type[PollError]]] = {
    2: InvalidResponseError,  # 202, 204 and the like: a success with no snapshot in it
    3: RedirectedError,
    4: ClientFaultError,
    5: ServerFaultError,
}


def refusal(status: int, headers: Mapping[str, str], *, now: float) -> PollError:
    """
    The error of an answer that is no 200, with `retry_after` where the server sent one.

    Its body is not looked at, since error bodies differ and may repeat the token.

    Args:
        status: The status code.
        headers: Headers of the answer, looked up by their usual spelling.
        now: Unix time, for a `Retry-After` that is a date.
    """
    error = STATUS_ERRORS.get(status) or STATUS_CLASS_ERRORS.get(status // 100, BrokenProtocolError)
    return error(f"HTTP {status}", retry_after=read_retry_after(headers.get("Retry-After"), now))


def read_retry_after(value: str | None, now: float) -> float | None:
    """
    Read a `Retry-After` header.

    Returns:
        Seconds from `now` (Unix time); None for no header, a moment that has passed, and what is neither seconds
        nor a date. See https://httpwg.org/specs/rfc9110.html#field.retry-after.
    """
    if value is None:
        return None
    seconds = number(value.strip())
    if seconds is None:
        try:
            moment = parsedate_to_datetime(value)
            # The only zone of an HTTP date is GMT; a date that names none is one too.
            seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now
        except (ValueError, OverflowError):
            return None
    return seconds if seconds >= 0 else None


def inflate(body: bytes, encoding: str, limit: int) -> bytes:
    """
    Undo the content encodings of a body.

    Args:
        encoding: A `Content-Encoding` header. See https://httpwg.org/specs/rfc9110.html#field.content-encoding.
        limit: Most bytes that the result may have.

    Raises:
        InvalidResponseError: Another encoding than gzip and deflate, or the body is not encoded so.
        TooLargeError: The result is larger than `limit`.
    """
    for name in reversed(encoding.lower().split(",")):
        match name.strip():
            case "gzip" | "x-gzip":
                body = _inflate(body, zlib.MAX_WBITS + 16, limit)
            case "deflate":
                # Some servers leave out the zlib header, which always names the method 8.
                raw = body[:1] and body[0] & 0xF != 8
                body = _inflate(body, -zlib.MAX_WBITS if raw else zlib.MAX_WBITS, limit)
            case "" | "identity":
                pass
            case other:
                raise InvalidResponseError(f"the answer is encoded as {other[:20]!r}, which was not asked for")
    return body


def _inflate(body: bytes, window_bits: int, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    for _ in range(_MOST_GZIP_MEMBERS):
        inflater = zlib.decompressobj(window_bits)
        try:
            part = inflater.decompress(body, limit + 1 - size)
        except zlib.error:
            raise InvalidResponseError("the answer is not encoded as its headers say") from None
        parts.append(part)
        size += len(part)
        if size > limit:
            raise TooLargeError(f"the answer is larger than {limit} bytes")
        if not inflater.eof:
            raise InvalidResponseError("the compressed answer is cut off")
        body = inflater.unused_data.lstrip(b"\0")
        if not body:
            return b"".join(parts)
    raise InvalidResponseError("the answer is compressed in too many pieces")


def segment(value: str) -> str:
    """
    One segment of a path, percent-encoded: a slash inside it separates nothing.

    A segment of dots only is encoded too, or it would climb, although URL parsers may undo that one.
    """
    return value.replace(".", "%2E") if value in {".", ".."} else quote(value, safe="", errors="surrogatepass")


class Transport:
    """
    Sends the GETs of one account through one pool of kept-alive connections.

    An async context manager: the pool opens with it and closes with it.

    Args:
        base_url: Where the provider's paths begin; may carry a path prefix, a slash at its end changes nothing.
        timeout: Seconds for one request, from the first packet to the last byte.
        max_body_bytes: Largest body, after decompression; the rest of a larger one is not read.
        max_in_flight: Most connections at once.
        proxy_url: HTTP proxy, its user and password inside; a secret.
        ca_file: Certificates (PEM) of the authorities to trust instead of the system's.
        cert_file: Client certificate (PEM).
        key_file: Its key (PEM), where `cert_file` does not hold it.
        insecure_skip_verify: Take any certificate.
        wall_clock: Unix time, for a `Retry-After` that is a date.
        redact: Leaves the account's secrets out of an answer: a provider may repeat what it was sent.

    Raises:
        OSError: A file of certificates cannot be read, or is none (`ssl.SSLError` is an OSError).
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout: float,
        max_body_bytes: int,
        max_in_flight: int,
        proxy_url: str | None = None,
        ca_file: Path | None = None,
        cert_file: Path | None = None,
        key_file: Path | None = None,
        insecure_skip_verify: bool = False,
        wall_clock: Callable[[], float] = time.time,
        redact: Callable[[bytes], bytes] = bytes,
    ) -> None:
        self._base_url = URL(base_url, encoded=True)
        self._path_prefix = self._base_url.raw_path.rstrip("/")
        self._host = URL(base_url).host or ""
        self._timeout = timeout
        self._max_body_bytes = max_body_bytes
        self._max_in_flight = max_in_flight
        proxy = URL(proxy_url) if proxy_url else None
        self._proxy = proxy.with_user(None) if proxy else None
        # aiohttp would send user and password in Latin-1, which has no euro sign.
        self._proxy_headers = {"Proxy-Authorization": f"Basic {basic_auth(proxy)}"} if proxy and proxy.user else {}
        self._ssl = _tls_context(ca_file, cert_file, key_file, insecure_skip_verify)
        self._wall_clock = wall_clock
        self._redact = redact
        self._session: aiohttp.ClientSession | None = None
        self._connector: Connector | None = None

    async def __aenter__(self) -> Self:
        self._connector = Connector(
            limit=self._max_in_flight,
            ssl=self._ssl,
            most_bytes=2 * self._max_body_bytes + ERROR_BODY_LIMIT,
        )
        self._session = aiohttp.ClientSession(
            connector=self._connector,
            # aiohttp sends them to a proxy too, which must not see the token.
            headers={
                ACCEPT: "application/json",
                ACCEPT_ENCODING: "gzip, deflate",
                USER_AGENT: f"campaign-exporter/{__version__}",
                # A proxy sees the headers of a plain request, and only those of the CONNECT before a TLS handshake.
                **(self._proxy_headers if self._base_url.scheme == "http" else {}),
            },
            # Takes 16,000 instructions of a request, `asyncio.timeout` 24,000. Without the threshold it would round up.
            timeout=aiohttp.ClientTimeout(total=self._timeout, ceil_threshold=inf),
            # aiohttp loses the status of an answer whose body it can't decode, and inflates without a limit.
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            proxy=self._proxy,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    def distrust_connections(self) -> None:
        """Send no further request on a connection that is open now."""
        if self._connector is not None:
            self._connector.distrust()

    def url(self, path: str, query: str = "") -> URL:
        """The address of a path, which begins with a slash, and of a query; both are percent-encoded already."""
        url = self._base_url.with_path(self._path_prefix + path, encoded=True)
        return URL(f"{url}?{query}", encoded=True) if query else url

    async def get(self, url: URL, headers: Mapping[str, str]) -> bytes:
        """
        Send one GET.

        Returns:
            The body of a 200, decompressed.

        Raises:
            PollError: Everything that is no 200 with a complete body inside the limits of time and size.
        """
        session = self._session
        assert session is not None, "not entered"  # noqa: S101 -- a defect of the caller
        body = b""
        response: aiohttp.ClientResponse | None = None
        try:
            response = await session.get(url, headers=headers, allow_redirects=False, proxy_headers=self._proxy_headers)
            try:
                if response.status == 200:
                    body = await response.content.readany()
                    if not response.content.at_eof():
                        body = await self._read_on(response.content, body)
                else:
                    await _drain(response.content)
            finally:
                # At its end an answer has closed itself and given its connection back, but not after a 101.
                if not response.closed:
                    response.release()
        except TimeoutError:
            # An error stands, though the end of its body has not come.
            if response is None or response.status == 200:
                raise self._timed_out() from None
        except (aiohttp.ClientError, OSError, UnicodeError) as exc:
            # The cause stays out of tracebacks: aiohttp's quotes what was received, which may repeat the token.
            raise self._translate(exc) from None
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Not this task was cancelled, but what it waited for: the connections are being closed.
            raise BrokenProtocolError(f"the connections to {self._host} were closed") from None
        assert response is not None  # noqa: S101 -- for mypy: whatever gets here has an answer
        if response.status == 407 and self._proxy is not None:
            raise ConnectFailedError("the proxy asks for credentials (HTTP 407)")
        if response.status != 200:
            raise refusal(response.status, response.headers, now=self._wall_clock())
        if len(body) > self._max_body_bytes:
            raise self._too_large()
        if encoding := response.headers.get(CONTENT_ENCODING):
            body = await self._inflate(body, encoding)
        return self._redact(body) if len(body) <= _LARGE else await asyncio.to_thread(self._redact, body)

    async def _inflate(self, body: bytes, encoding: str) -> bytes:
        if len(body) <= _LARGE_COMPRESSED:
            return inflate(body, encoding, self._max_body_bytes)
        return await asyncio.to_thread(inflate, body, encoding, self._max_body_bytes)

    async def _read_on(self, content: aiohttp.StreamReader, first: bytes) -> bytes:
        """Read a body to its end, or to the limit of its size."""
        parts = [first]
        size = len(first)
        while size <= self._max_body_bytes:
            part = await content.readany()
            if not part:
                return b"".join(parts)
            parts.append(part)
            size += len(part)
        raise self._too_large()

    def _too_large(self) -> TooLargeError:
        return TooLargeError(f"the answer is larger than {self._max_body_bytes} bytes")

    def _timed_out(self) -> TimedOutError:
        return TimedOutError(f"no complete answer from {self._host} within {self._timeout:g} s")

    def _translate(self, exc: aiohttp.ClientError | OSError | UnicodeError) -> PollError:
        if isinstance(exc, aiohttp.ClientConnectorDNSError | UnicodeError):
            # UnicodeError: a name that no host can have, for example with a label of 64 characters.
            return NameNotResolvedError(f"no address for the host name ({self._route()})")
        if isinstance(exc, aiohttp.ClientConnectorCertificateError):
            return TlsFailedError(f"the certificate is not accepted: {exc.certificate_error}")
        if tls := _tls_error(exc):
            return TlsFailedError(f"TLS with {self._host} failed: {tls.reason or 'the handshake was cut off'}")
        if isinstance(exc, aiohttp.ClientHttpProxyError):
            return ConnectFailedError(f"the proxy refuses to connect to {self._host} (HTTP {exc.status})")
        if isinstance(exc, aiohttp.ClientConnectorError) and not isinstance(exc.os_error, ConnectionResetError):
            return ConnectFailedError(f"no connection ({self._route()}): {exc.strerror or type(exc.os_error).__name__}")
        return BrokenProtocolError(f"the answer of {self._host} was cut off or is not HTTP ({type(exc).__name__})")

    def _route(self) -> str:
        return self._host if self._proxy is None else f"{self._host} through the proxy {self._proxy.host}"


def _tls_context(
    ca_file: Path | None, cert_file: Path | None, key_file: Path | None, insecure_skip_verify: bool
) -> ssl.SSLContext | bool:
    """What aiohttp takes as `ssl`: True is its own context, which all accounts without options share."""
    if not (ca_file or cert_file or insecure_skip_verify):
        return True
    context = ssl.create_default_context(cafile=ca_file)
    context.set_alpn_protocols(["http/1.1"])
    if cert_file:
        # An empty password: OpenSSL would ask the terminal for that of an encrypted key.
        context.load_cert_chain(cert_file, key_file, password="")
    if insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


async def _drain(content: aiohttp.StreamReader) -> None:
    """Read an error's body, so that its connection can be used again; the status stands whatever comes."""
    size = 0
    try:
        while size <= ERROR_BODY_LIMIT and not content.at_eof():
            size += len(await content.readany())
    except (aiohttp.ClientError, OSError):
        return


def _tls_error(exc: BaseException | None) -> ssl.SSLError | None:
    """The TLS failure behind an exception; an end of the stream is one during the handshake only."""
    handshaking = isinstance(exc, aiohttp.ClientConnectorError)
    if isinstance(exc, aiohttp.ClientConnectorError):
        exc = exc.os_error
    while exc is not None:
        if isinstance(exc, ssl.SSLError) and (handshaking or not isinstance(exc, ssl.SSLEOFError)):
            return exc
        exc = exc.__cause__ or exc.__context__
    return None
