"""The annotated types of URLs and of addresses to listen on."""

import ipaddress
import re
from dataclasses import dataclass
from typing import Annotated, Any, Self, TypeAlias
from urllib.parse import SplitResult, unquote, urlsplit

from pydantic import AfterValidator, BeforeValidator, InstanceOf, PlainSerializer, SecretStr
from yarl import URL

from exporter.config.fields import UNPRINTABLE, VISIBLE_ASCII, NotEmpty, Secret, Text, Unquoted, text
from exporter.config.section import refusal

_TELEMETRY_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)+")
_HOST = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")


def is_host(host: str) -> bool:
    """Whether the HTTP client takes it as a host: a name, an IPv4 address or an IPv6 address without brackets."""
    # aiohttp takes what has digits and dots alone for an IPv4 address.
    if ":" in host or host.replace(".", "").isdigit():
        try:
            return bool(ipaddress.ip_address(host))
        except ValueError:
            return False
    return bool(_HOST.fullmatch(host))


def _web_url(value: str, like: str) -> SplitResult:
    if not VISIBLE_ASCII.fullmatch(value):
        raise refusal("expected a URL of visible ASCII characters")
    try:
        # Both parsers: each refuses what the other one takes, and requests are sent by the second.
        url, sent = urlsplit(value), URL(value)
        usable = url.scheme in ("http", "https") and url.port != 0 and bool(sent.raw_host)
    except ValueError:
        usable = False
    if not usable:
        raise refusal(f"expected a URL such as {like}")
    if not is_host(url.hostname or ""):
        raise refusal(f"expected a URL whose host is a name or an IP address, as in {like}")
    return url


def _base_url(value: str) -> str:
    url = _web_url(value, "https://api.example.com/prefix")
    if url.username is not None or url.password is not None:
        raise refusal("expected a URL without user name and password")
    if "?" in value or "#" in value:
        raise refusal("expected a URL without query and fragment")
    return value.rstrip("/")


def _proxy_url(value: SecretStr) -> SecretStr:
    url = _web_url(value.get_secret_value(), "http://user:password@proxy.example.com:3128")
    if url.path not in ("", "/") or url.query or url.fragment:
        raise refusal("expected a proxy's URL without path, query and fragment")
    if ":" in unquote(url.username or ""):
        raise refusal("expected a proxy's user name without a colon, which ends it when it is sent")
    return value


def _conversation_url(value: str) -> str:
    if value:
        _web_url(re.sub(r"\{(conversation_id|call_id)\}", "id", value), "https://app.example.com/calls/[id]")
    return value


def _telemetry_path(value: str) -> str:
    if not _TELEMETRY_PATH.fullmatch(value) or any(part in (".", "..") for part in value.split("/")):
        raise refusal("expected a path such as /metrics")
    if value.split("/")[1] in ("-", "api", "runbooks"):
        raise refusal("expected a path that the exporter does not use itself")
    return value


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """A host (empty for all addresses, an IPv6 address without brackets) and a port, or the path of a socket."""

    host: str = ""
    port: int = 0
    path: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `host:port`, `:port`, `[::1]:port` or `unix:/path`; ValueError for anything else."""
        if text.startswith("unix:"):
            if not text.startswith("unix:/") or UNPRINTABLE.search(text):
                raise ValueError("expected unix: and an absolute path")
            return cls(path=text.removeprefix("unix:"))
        host, colon, port = text.rpartition(":")
        if not colon or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
            raise ValueError("expected a port between 0 and 65535 after the last colon")
        if host.startswith("[") and host.endswith("]"):
            host = str(ipaddress.IPv6Address(host[1:-1]))
        elif ":" in host or (host and not is_host(host)):
            raise ValueError("expected a host name or address before the port")
        return cls(host=host, port=int(port))

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _listen_address(value: Any) -> Any:
    try:
        # An unquoted 127:80 has only one meaning here.
        return ListenAddress.parse(value if isinstance(value, Unquoted) else text(value))
    except ValueError:
        raise refusal("expected host:port, :port, [::1]:port or unix:/path") from None


def _one_or_more(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


BaseUrl: TypeAlias = Annotated[Text, AfterValidator(_base_url)]
ProxyUrl: TypeAlias = Annotated[Secret, AfterValidator(_proxy_url)]
ConversationUrl: TypeAlias = Annotated[Text, AfterValidator(_conversation_url)]
TelemetryPath: TypeAlias = Annotated[Text, AfterValidator(_telemetry_path)]
ListenAddresses: TypeAlias = Annotated[
    tuple[Annotated[InstanceOf[ListenAddress], BeforeValidator(_listen_address), PlainSerializer(str)], ...],
    BeforeValidator(_one_or_more),
    NotEmpty,
]
