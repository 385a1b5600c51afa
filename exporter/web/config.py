"""
The web configuration: TLS, users and headers of the web server, from a file that may change while it is in use.

The format is the one that the exporters of the Prometheus project share:
https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md.
What of it cannot be had here is refused by its name, since a door that is less locked than its owner believes is worse
than none.
"""

import asyncio
import hashlib
import logging
import re
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, TypeAlias, cast

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic_core import PydanticCustomError

from exporter.config.model import ConfigurationError, Fault, FilePath, Key, Section, Switch, Text
from exporter.config.yaml_file import Document, fault_line, read_file
from exporter.web.auth import HIGHEST_COST, CrowdedError, Gate, Users, cost_of

_log = logging.getLogger(__name__)

LOOK_INTERVAL = 3.0
"""Seconds between two looks at the files."""
OPEN_PATHS = frozenset({"/-/healthy", "/-/ready"})
"""What is answered without a password: probes have none."""

_VERSIONS = MappingProxyType({"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3})
_CLIENT_AUTH = MappingProxyType(
    {
        "NoClientCert": ssl.CERT_NONE,
        "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
        "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
    }
)
_HEADERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "Content-Security-Policy": (),
        "Strict-Transport-Security": (),
        "X-Content-Type-Options": ("nosniff",),
        "X-Frame-Options": ("deny", "sameorigin"),
        "X-XSS-Protection": (),
    }
)
"""The headers that may be configured, each with its only values where it has such."""

_NOT_HONOURED: Mapping[Key, str] = MappingProxyType(
    {
        ("tls_server_config", "cert"): "not supported: write the certificate to a file and name it in cert_file",
        ("tls_server_config", "key"): "not supported: write the key to a file and name it in key_file",
        ("tls_server_config", "client_ca"): "not supported: write the authorities to a file, for client_ca_file",
        ("tls_server_config", "client_allowed_sans"): "not supported: every certificate that client_ca_file vouches "
        "for is let in, so name an authority there that vouches for nobody else",
        ("tls_server_config", "cipher_suites"): "not supported: the cipher suites are OpenSSL's choice",
        ("tls_server_config", "curve_preferences"): "not supported: the curves are OpenSSL's choice",
        ("rate_limit",): "not supported: scrapes at once and connections are limited without it",
    }
)


# ---------------------------------------------------------------------------------------------------------------------
# The file


def _refusal(expected: str) -> PydanticCustomError:
    # Its type wants a literal, for which there is no need: no message has a placeholder.
    return PydanticCustomError("setting", cast("Any", expected))


def _version(value: str) -> str:
    if value in {"TLS10", "TLS11"}:
        raise _refusal("expected TLS12 or TLS13: what is older is not safe, and OpenSSL does not speak it any more")
    if value not in _VERSIONS:
        raise _refusal("expected TLS12 or TLS13")
    return value


def _client_auth(value: str) -> str:
    if value in {"RequestClientCert", "RequireAnyClientCert", "RequireClientCert"}:
        raise _refusal(
            f"{value} is not supported, since it trusts any certificate: expected VerifyClientCertIfGiven or "
            "RequireAndVerifyClientCert"
        )
    if value not in _CLIENT_AUTH:
        raise _refusal(f"expected one of {', '.join(_CLIENT_AUTH)}")
    return value


def _no_http2(value: bool) -> bool:
    if value:
        raise _refusal("expected false, or no such key: HTTP/2 is not spoken")
    return value


def _mapping(value: Any) -> Any:
    if not isinstance(value, Mapping):
        raise _refusal("expected a mapping of keys to values")
    return value


def _header_name(name: str) -> str:
    if name not in _HEADERS:
        raise _refusal(f"this header can't be configured: expected one of {', '.join(_HEADERS)}")
    return name


def _header_value(value: Any) -> Any:
    # `X-XSS-Protection: 0` is usually written without quotes.
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _one_line_of_ascii(value: str) -> str:
    if not re.fullmatch(r"[ -~]*", value):
        raise _refusal("expected a header's value: ASCII without control characters and line breaks")
    return value


def _headers(headers: Mapping[str, str]) -> Mapping[str, str]:
    return MappingProxyType({name: value for name, value in headers.items() if value})


def _user_name(name: str) -> str:
    if ":" in name:
        raise _refusal("expected a user's name without a colon, which ends it when it is sent")
    return name


def _bcrypt(value: str) -> str:
    if cost_of(value.encode()) is None:
        raise _refusal(f"expected a password's bcrypt hash ($2a$, $2b$ or $2y$) of a cost from 4 to {HIGHEST_COST}")
    return value


Version: TypeAlias = Annotated[Text, AfterValidator(_version)]


class TlsServerConfig(Section):
    """TLS."""

    cert_file: FilePath | None = None
    """PEM file of the certificate and, after it, those of the authorities between it and a trusted one."""
    key_file: FilePath | None = None
    """PEM file of its key, not encrypted."""
    client_auth_type: Annotated[Text, AfterValidator(_client_auth)] = "NoClientCert"
    """Whether clients show a certificate."""
    client_ca_file: FilePath | None = None
    """PEM file of the authorities that vouch for clients."""
    min_version: Version = "TLS12"
    """Oldest version of TLS that is spoken."""
    max_version: Version = "TLS13"
    """Newest version of TLS that is spoken."""
    prefer_server_cipher_suites: Switch = True
    """Whether the server's preference among cipher suites goes before the client's."""

    @classmethod
    def cross_check(cls, data: Mapping[str, Any]) -> Iterator[Fault]:
        # Also where nothing but a version is given: plain HTTP is not what that asks for.
        for key in ("cert_file", "key_file"):
            if data and key not in data:
                yield (key,), "expected this key: TLS needs a certificate and its key"
        wants = data.get("client_auth_type", "NoClientCert")
        if wants == "NoClientCert" and "client_ca_file" in data:
            yield (
                ("client_ca_file",),
                "expected a client_auth_type of VerifyClientCertIfGiven or RequireAndVerifyClientCert with it",
            )
        if wants in ("VerifyClientCertIfGiven", "RequireAndVerifyClientCert") and "client_ca_file" not in data:
            yield ("client_ca_file",), f"expected this key: {wants} needs to know who vouches for clients"
        if (data.get("min_version"), data.get("max_version")) == ("TLS13", "TLS12"):
            yield ("max_version",), "expected a version that is not older than min_version"


class HttpServerConfig(Section):
    """HTTP."""

    http2: Annotated[Switch, AfterValidator(_no_http2)] = False
    """Not spoken."""
    headers: Annotated[
        Mapping[
            Annotated[str, AfterValidator(_header_name)],
            Annotated[Text, AfterValidator(_one_line_of_ascii), BeforeValidator(_header_value)],
        ],
        BeforeValidator(_mapping),
        AfterValidator(_headers),
    ] = Field(default_factory=lambda: MappingProxyType({}))
    """Put on every answer; empty ones are left out."""

    @classmethod
    def cross_check(cls, data: Mapping[str, Any]) -> Iterator[Fault]:
        headers = data.get("headers")
        for name, value in headers.items() if isinstance(headers, dict) else ():
            choice = _HEADERS.get(name)
            if choice and value and value not in choice:
                yield ("headers", name), f"expected {' or '.join(choice)}"


class WebConfiguration(Section):
    """The file."""

    tls_server_config: TlsServerConfig = TlsServerConfig()
    """TLS; plain HTTP without it."""
    http_server_config: HttpServerConfig = Field(default_factory=HttpServerConfig)
    """HTTP."""
    basic_auth_users: Annotated[
        Mapping[
            Annotated[str, AfterValidator(_user_name)],
            Annotated[Text, AfterValidator(_bcrypt)],
        ],
        BeforeValidator(_mapping),
    ] = Field(default_factory=lambda: MappingProxyType({}))
    """Users, each with the bcrypt hash of the password; with none of them no password is asked for."""


# ---------------------------------------------------------------------------------------------------------------------
# What it means


@dataclass(frozen=True, slots=True)
class _InForce:
    written: WebConfiguration
    contents: Mapping[Key, bytes]
    """Digests of the files that it names."""
    context: ssl.SSLContext | None
    users: Users


class WebConfigFile:
    """
    What a web configuration file asks for; after a broken edit, what it asked for before.

    Raises:
        ConfigurationError: It can't be used, or a file that it names; with all faults.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._in_force = self._read(None)

    @property
    def tls(self) -> bool:
        """Whether TLS is spoken, which stays as it is."""
        return self._in_force.context is not None

    @property
    def users(self) -> Users:
        """Who may come in."""
        return self._in_force.users

    @property
    def headers(self) -> Mapping[str, str]:
        """What is put on every answer."""
        return self._in_force.written.http_server_config.headers

    def ssl_context(self) -> ssl.SSLContext:
        """The context for a new connection; there is one where `tls` is true."""
        assert self._in_force.context is not None  # noqa: S101  for mypy
        return self._in_force.context

    def refresh(self) -> bool:
        """
        Read the file anew, and those that it names, and say whether anything has changed.

        They are compared by content, not by time stamp: Kubernetes swaps symbolic links under them.
        It blocks; from a coroutine it is called in a thread.

        Raises:
            ConfigurationError: As when it was read first; what was in force stays.
        """
        before = self._in_force
        self._in_force = self._read(before)
        return self._in_force is not before

    def _read(self, before: _InForce | None) -> _InForce:
        document = read_file(self._path, required=True)
        assert document is not None  # noqa: S101  for mypy: only one that is not required may be missing
        faults: list[Fault] = []
        written = None
        try:
            written = WebConfiguration.model_validate(document.values)
        except ValidationError as exc:
            for error in exc.errors(include_url=False, include_input=False):
                key = tuple(part for part in error["loc"] if part != "[key]")
                faults.append((key, _NOT_HONOURED.get(key, error["msg"])))
        contents, unreadable = self._contents(document.values)
        faults += unreadable
        if document.faults or faults or written is None:
            raise self._error(document, faults)
        if before and (written, contents) == (before.written, before.contents):
            return before
        if before:
            faults += _loosened(before.written, written)
        context = None
        # A pair of which one half is renewed and the other is not yet is told as a fault, and stays for a moment.
        if written.tls_server_config.cert_file:
            context = self._context(written.tls_server_config, faults)
        if faults:
            raise self._error(document, faults)
        hashes = {name.encode(): stored.encode() for name, stored in written.basic_auth_users.items()}
        return _InForce(written, contents, context, Users(hashes))

    def _contents(self, values: Mapping[str, Any]) -> tuple[Mapping[Key, bytes], list[Fault]]:
        """Look at the files that are named, also where other keys are at fault."""
        contents: dict[Key, bytes] = {}
        faults: list[Fault] = []
        tls = values.get("tls_server_config")
        for name in ("cert_file", "key_file", "client_ca_file"):
            file = tls.get(name) if isinstance(tls, dict) else None
            if isinstance(file, str) and file and "\0" not in file:
                key = ("tls_server_config", name)
                try:
                    contents[key] = hashlib.sha256((self._path.parent / file).read_bytes()).digest()
                except OSError as exc:
                    faults.append((key, f"expected a file that can be read: {exc.strerror}"))
        return contents, faults

    def _context(self, written: TlsServerConfig, faults: list[Fault]) -> ssl.SSLContext:
        """Make the context; what is wrong with the files is added to the faults."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = _VERSIONS[written.min_version]
        context.maximum_version = _VERSIONS[written.max_version]
        context.options |= ssl.OP_NO_RENEGOTIATION
        if not written.prefer_server_cipher_suites:
            context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
        directory = self._path.parent
        if written.cert_file and written.key_file:
            faults += _load_certificate(context, directory / written.cert_file, directory / written.key_file)
        if written.client_ca_file:
            context.verify_mode = _CLIENT_AUTH[written.client_auth_type]
            faults += _trust(context, directory / written.client_ca_file, "client_ca_file")
        return context

    def _error(self, document: Document, faults: Iterable[Fault]) -> ConfigurationError:
        lines: dict[str, int] = {}
        for key, expected in faults:
            line = document.line(key)
            if key[-1] in _HEADERS:  # which a key's path does not show: it could be a secret
                key, expected = key[:-1], f"{key[-1]}: {expected}"
            lines[fault_line(f"{self._path}:{line}", key, expected)] = line
        # Each stands once and in the order of the file.
        return ConfigurationError([*document.faults, *sorted(lines, key=lines.__getitem__)])


class WebConfigWatch:
    """
    Keeps a web configuration up to date with its files.

    Args:
        tell: Called with whether the files can be used: when they were changed or are at fault, with each look.
    """

    def __init__(self, file: WebConfigFile, tell: Callable[[bool], None]) -> None:
        self._file = file
        self._tell = tell
        self._told: tuple[str, ...] = ()
        self._looking = asyncio.Lock()
        tell(True)

    async def run(self) -> None:
        """Look now and then, for ever."""
        while True:
            await asyncio.sleep(LOOK_INTERVAL)
            await self.look()

    async def look(self) -> tuple[str, ...]:
        """Take over what has changed, and return what is wrong with it; the log says the same thing once."""
        async with self._looking:
            try:
                changed = await asyncio.to_thread(self._file.refresh)
            except ConfigurationError as exc:
                if exc.faults != self._told:
                    for fault in exc.faults:
                        _log.error("the web configuration can't be reloaded, the old one stays", extra={"error": fault})
                self._told = exc.faults
                self._tell(False)
                return exc.faults
            if changed or self._told:
                _log.info("web configuration reloaded")
                self._tell(True)
            self._told = ()
            return ()


def _loosened(before: WebConfiguration, after: WebConfiguration) -> Iterator[Fault]:
    """Find what is not changed while running: a file of which half is written must not open the door."""
    if bool(before.tls_server_config.cert_file) != bool(after.tls_server_config.cert_file):
        yield ("tls_server_config",), "changing between plain HTTP and TLS takes a restart"
    if before.basic_auth_users and not after.basic_auth_users:
        yield ("basic_auth_users",), "letting everybody in, where a password was needed, takes a restart"


class _EncryptedError(Exception):
    """The key wants a passphrase."""


def _ask_for_passphrase() -> str:
    raise _EncryptedError  # or else OpenSSL asks on the terminal


def _load_certificate(context: ssl.SSLContext, certificate: Path, key: Path) -> Iterator[Fault]:
    if unusable := list(_trust(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), certificate, "cert_file")):
        yield from unusable
        return
    try:
        context.load_cert_chain(certificate, key, _ask_for_passphrase)
    except _EncryptedError:
        yield ("tls_server_config", "key_file"), "expected a key that is not encrypted: nobody is there to decrypt it"
    except ssl.SSLError as exc:
        reason = exc.reason or ""
        if reason.endswith(("TOO_SMALL", "TOO_WEAK")):
            yield ("tls_server_config", "cert_file"), f"expected a certificate that OpenSSL finds safe: {reason}"
        elif reason.endswith("MISMATCH"):
            yield ("tls_server_config", "key_file"), "expected the key of the certificate in cert_file"
        else:
            yield ("tls_server_config", "key_file"), "expected a private key as PEM"
    except OSError as exc:
        yield ("tls_server_config", "key_file"), f"expected a file that can be read: {exc.strerror}"


def _trust(context: ssl.SSLContext, file: Path, name: str) -> Iterator[Fault]:
    try:
        context.load_verify_locations(cadata=file.read_text(encoding="ascii", errors="ignore"))
    except (ssl.SSLError, ValueError):  # the latter for an empty file
        yield ("tls_server_config", name), "expected certificates as PEM"
    except OSError as exc:
        yield ("tls_server_config", name), f"expected a file that can be read: {exc.strerror}"


# ---------------------------------------------------------------------------------------------------------------------
# At the door


def protect(app: web.Application, file: WebConfigFile) -> None:
    """Let nobody in without a password, where there are users, and put the configured headers on every answer."""
    gate = Gate()

    @web.middleware
    async def admit(request: web.Request, handler: Handler) -> web.StreamResponse:
        # What is about to answer decides, since a path has many spellings.
        resource = request.match_info.route.resource
        if not (users := file.users) or (resource and resource.canonical in OPEN_PATHS):
            return await handler(request)

        def gone() -> bool:
            return request.transport is None or request.transport.is_closing()

        try:
            admitted = await gate.admits(users, request.headers.get("Authorization", ""), request.remote, gone)
        except CrowdedError:
            text = "Too many passwords are being checked.\n"
            return web.Response(status=503, headers={"Retry-After": "1"}, text=text)
        if admitted:
            return await handler(request)
        challenge = {"WWW-Authenticate": 'Basic realm="campaign-exporter", charset="UTF-8"'}
        return web.Response(status=401, headers=challenge, text="A user's name and password are needed.\n")

    async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(file.headers)

    app.middlewares.append(admit)
    app.on_response_prepare.append(add_headers)
