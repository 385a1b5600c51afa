"""
The web configuration: TLS, users and headers of the web server, from a file that may change while it is in use.

The format is https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md. Unsupported keys are
refused by name: ignoring a security setting would fail open.
"""

import asyncio
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError

from exporter.config.fields import Switch, Text, only
from exporter.config.section import (
    ConfigurationError,
    Fault,
    Key,
    Section,
    fault_line,
    faults_of,
    refusal,
    value_of,
)
from exporter.config.yaml_file import Document, read_file
from exporter.web.auth import Users, cost_of
from exporter.web.tls import Tls, TlsServerConfig, make_tls, read_pems

_log = logging.getLogger(__name__)

CHECK_INTERVAL = 3.0
"""Seconds between two checks of the files."""
_EXPENSIVE = 14

_HEADERS: Mapping[str, tuple[str, ...]] = {
    "Content-Security-Policy": (),
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
}
"""The headers that may be configured, each with its only values where it has such."""

_NOT_HONOURED: Mapping[Key, str] = {
    ("tls_server_config", "curve_preferences"): "not supported: the curves are OpenSSL's choice",
    ("rate_limit",): "not supported: requests at once and connections are limited without it",
}
_HTTP2_CIPHERS = frozenset({"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"})


_no_http2 = only("false, or no such key: HTTP/2 is not spoken", lambda value: not value)
_header_text = only(
    "a header's value: ASCII without control characters and line breaks", re.compile(r"[ -~]*").fullmatch
)
_user_name = only("a user's name without a colon, which ends it when it is sent", lambda name: ":" not in name)
_bcrypt = only(
    "a password's bcrypt hash ($2a$, $2b$ or $2y$) of a cost from 4 to 31", lambda value: cost_of(value.encode())
)


def _header_name(name: str) -> str:
    if name not in _HEADERS:
        raise refusal(f"this header can't be configured: expected one of {', '.join(_HEADERS)}")
    return name


def _header_value(value: Any) -> Any:
    # `X-XSS-Protection: 0` is usually written without quotes.
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _without_empty(headers: Mapping[str, str]) -> Mapping[str, str]:
    return {name: value for name, value in headers.items() if value}


class HttpServerConfig(Section):
    http2: Annotated[Switch, AfterValidator(_no_http2)] = False
    headers: Annotated[
        Mapping[
            Annotated[str, AfterValidator(_header_name)],
            Annotated[Text, AfterValidator(_header_text), BeforeValidator(_header_value)],
        ],
        AfterValidator(_without_empty),
    ] = Field(default_factory=dict)
    """Put on every answer; empty ones are left out."""

    @classmethod
    def cross_check(cls, data: Mapping[str, Any]) -> Iterator[Fault]:
        headers = data.get("headers")
        for name, value in headers.items() if isinstance(headers, dict) else ():
            choice = _HEADERS.get(name)
            if choice and value and value not in choice:
                yield ("headers", name), f"expected {' or '.join(choice)}"


class WebConfiguration(Section):
    tls_server_config: TlsServerConfig = TlsServerConfig()
    """TLS; plain HTTP without it."""
    http_server_config: HttpServerConfig = Field(default_factory=HttpServerConfig)
    basic_auth_users: Mapping[Annotated[str, AfterValidator(_user_name)], Annotated[Text, AfterValidator(_bcrypt)]] = (
        Field(default_factory=dict)
    )
    """Users, each with the bcrypt hash of the password; with none of them no password is asked for."""

    @classmethod
    def cross_check(cls, data: Mapping[str, Any]) -> Iterator[Fault]:
        # The toolkit's exporters do not start with it, since HTTP/2 is on there unless it is switched off.
        tls, http = data.get("tls_server_config"), data.get("http_server_config")
        suites = value_of(tls, "cipher_suites")
        may_be_without = value_of(tls, "min_version") == "TLS13" or value_of(http, "http2") is False
        if isinstance(suites, list) and not may_be_without and _HTTP2_CIPHERS.isdisjoint(map(str, suites)):
            yield (
                ("tls_server_config", "cipher_suites"),
                f"expected one of {' and '.join(sorted(_HTTP2_CIPHERS))} in it, or http2: false in http_server_config",
            )


class WebConfigFile:
    """
    What a web configuration file asks for; after a broken edit, what it asked for before.

    Attributes:
        tls: What new connections are secured with; None for plain HTTP. Which of the two it is does not change.
        users: bcrypt hashes of those who may come in, by name; without any, no password is needed.
        headers: Put on every answer.

    Raises:
        ConfigurationError: It can't be used, or a file that it names; with all faults.
    """

    tls: Tls | None
    users: Users
    headers: Mapping[str, str]

    def __init__(self, path: Path) -> None:
        self._path = path
        self._in_force: tuple[WebConfiguration, Mapping[str, bytes]] | None = None
        self.refresh()

    def refresh(self) -> bool:
        """
        Read the file and those that it names again; return whether anything has changed.

        They are compared by content, not by time stamp: Kubernetes swaps symbolic links under them.
        It blocks: call it in a thread.

        Raises:
            ConfigurationError: As when it was read first; what was in force stays.
        """
        document = read_file(self._path, required=True)
        assert document is not None  # noqa: S101  for mypy: only one that is not required may be missing
        values = document.anchored(WebConfiguration)
        pems, faults = read_pems(values.get("tls_server_config"))
        try:
            written = WebConfiguration.model_validate(values)
        except ValidationError as exc:
            faults = [(key, _NOT_HONOURED.get(key, words)) for key, words in faults_of(exc)] + faults
            raise self._error(document, faults) from None
        if document.faults or faults:
            raise self._error(document, faults)
        if self._in_force == (written, pems):
            return False
        if self._in_force:
            faults += _loosened(self._in_force[0], written)
        # While one half of a pair is renewed and the other is not, this is a fault, for a moment.
        tls = make_tls(written.tls_server_config, pems, faults) if written.tls_server_config.enabled else None
        if faults:
            raise self._error(document, faults)
        self._in_force = written, pems
        self.tls = tls
        self.users = {name.encode(): stored.encode() for name, stored in written.basic_auth_users.items()}
        self.headers = written.http_server_config.headers
        return True

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

    It reports whether they can be used: after each change, and at each check while they can't.
    """

    def __init__(self, file: WebConfigFile, report: Callable[[bool], None]) -> None:
        self._file = file
        self._report = report
        self._reported: tuple[str, ...] = ()
        self._checking = asyncio.Lock()
        report(True)
        self._warn()

    async def run(self) -> None:
        while True:
            await asyncio.sleep(CHECK_INTERVAL)
            await self.check()

    async def check(self) -> tuple[str, ...]:
        """Apply what has changed, and return what is wrong with it; the log says each fault once."""
        async with self._checking:
            try:
                changed = await asyncio.to_thread(self._file.refresh)
            except ConfigurationError as exc:
                return self._refuse(exc.faults)
            except Exception as exc:  # noqa: BLE001 -- whatever it is, what was read before stays in force
                if not self._reported:
                    _log.exception("the check of the web configuration failed by a defect of the exporter")
                return self._refuse((f"a defect of the exporter, see its log: {type(exc).__name__}",))
            if changed or self._reported:
                _log.info("web configuration reloaded")
                self._report(True)
                self._warn()
            self._reported = ()
            return ()

    def _refuse(self, faults: tuple[str, ...]) -> tuple[str, ...]:
        if faults != self._reported:
            for fault in faults:
                _log.error("the web configuration can't be reloaded, the old one stays", extra={"error": fault})
        self._reported = faults
        self._report(False)
        return faults

    def _warn(self) -> None:
        for name, stored in self._file.users.items():
            if (cost := cost_of(stored)) > _EXPENSIVE:
                _log.warning(
                    f"web configuration: the password hash of {name.decode()!r} has cost {cost}: checking a password "
                    "takes seconds, and a wrong one as long for every user"
                )


def _loosened(before: WebConfiguration, after: WebConfiguration) -> Iterator[Fault]:
    """Find what may not be changed while running: a file that is half written must not let anybody in."""
    old, new = before.tls_server_config, after.tls_server_config
    if old.enabled != new.enabled:
        yield ("tls_server_config",), "changing between plain HTTP and TLS takes a restart"
    elif new.verify_mode < old.verify_mode:
        yield ("tls_server_config", "client_auth_type"), "asking less of clients than before takes a restart"
    elif old.client_allowed_sans is not None and new.client_allowed_sans is None:
        yield ("tls_server_config", "client_allowed_sans"), "asking less of clients than before takes a restart"
    if before.basic_auth_users and not after.basic_auth_users:
        yield ("basic_auth_users",), "letting everybody in, where a password was needed, takes a restart"
