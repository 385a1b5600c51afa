"""
Every option of the exporter: the file, the environment variables and the flags are all made from `Settings`.

A flag wins over a variable, a variable over the file, the file over the default. Lists are replaced, never merged.
A null (or a key with nothing behind it) counts as left out, and so does a variable that is set to nothing.
Durations are written as Prometheus writes them and are seconds once loaded.
Relative paths in the file are relative to its directory.
"""

import argparse
import difflib
import hashlib
import ipaddress
import json
import os
import re
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, NoReturn, Self, TypeAlias, cast, get_args
from urllib.parse import SplitResult, urlsplit
from zoneinfo import ZoneInfo

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    InstanceOf,
    ModelWrapValidatorHandler,
    PlainSerializer,
    SecretStr,
    Strict,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

ENVIRONMENT_PREFIX = "CAMPAIGN_EXPORTER_"
DEFAULT_CONFIG_FILE = "campaign-exporter.yml"

BASE_URLS = MappingProxyType({"anyreach": "https://api.anyreach.ai", "osvi": "https://api.osvi.ai"})
STALL_AFTER = MappingProxyType({"anyreach": 3600.0, "osvi": 900.0})
"""Default silence, in seconds, that means a stall, by provider."""

MAX_LABELS = 5
MAX_LABEL_LENGTH = 128
RESERVED_LABELS = frozenset(
    {
        *("provider", "account", "campaign", "campaign_id", "campaign_name", "status", "bucket", "agent", "state"),
        *("reason", "timezone", "result", "le", "quantile", "job", "instance", "pod", "severity", "alertname"),
    }
)
"""Labels that the exporter, Prometheus or the shipped rules put on series themselves."""

# Kubernetes injects these into every pod of a namespace that has a Service called campaign-exporter.
_OF_A_SERVICE = re.compile(r"(PORT|PORT_.*|SERVICE_HOST|SERVICE_PORT.*)", re.DOTALL)

_UNITS = (
    ("y", 31_536_000_000),
    ("w", 604_800_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
)
_DURATION = re.compile("".join(rf"(?:([0-9]{{1,15}}){unit})?" for unit, _ in _UNITS))
_LONGEST_MS = 100 * 31_536_000_000

_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_VISIBLE_ASCII = re.compile(r"[!-~]+")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_TIME_OF_DAY = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])|24:00")
_TELEMETRY_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)+")


class ConfigurationError(Exception):
    """
    The configuration cannot be used.

    Attributes:
        faults: One line for each fault: where it stands (file and line, variable or flag), the key's path,
            what was expected. No line holds a value of the configuration that could be a secret.
    """

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(self.faults))


class _Unquoted(str):
    """Text that YAML 1.1 reads as a number, a truth value or a date, and YAML 1.2 perhaps not."""

    __slots__ = ()


def _refusal(expected: str) -> PydanticCustomError:
    return PydanticCustomError("setting", cast("Any", expected.replace("{", "(").replace("}", ")")))


# ---------------------------------------------------------------------------------------------------------------------
# Values


def parse_duration(value: Any) -> float:
    """
    Seconds of a duration such as `500ms`, `15s`, `1m30s` or `1d`, or of a bare 0.

    See https://prometheus.io/docs/prometheus/latest/configuration/configuration/ (`<duration>`).
    """
    text = str(value) if isinstance(value, str | int | float) else ""
    if text == "0":
        return 0.0
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        raise _refusal("expected a duration: write a unit, such as 15s")
    match = _DURATION.fullmatch(text)
    if not text or match is None:
        raise _refusal("expected a duration such as 500ms, 15s, 1m30s, 2h or 1d")
    total = sum(int(amount or 0) * unit for amount, (_, unit) in zip(match.groups(), _UNITS, strict=True))
    if total > _LONGEST_MS:
        raise _refusal("expected a duration of at most 100y")
    return total / 1000


def _above_zero(seconds: float) -> float:
    if seconds <= 0:
        raise _refusal("expected a duration above 0")
    return seconds


def _one_second_or_more(seconds: float) -> float:
    if seconds < 1:
        raise _refusal("expected a duration of at least 1s")
    return seconds


def format_duration(seconds: float) -> str:
    """A duration as `parse_duration` reads it, without years and weeks: `90.0` is `1m30s`."""
    rest = round(seconds * 1000)
    if not rest:
        return "0s"
    words = []
    for unit, length in _UNITS[2:]:
        amount, rest = divmod(rest, length)
        if amount:
            words.append(f"{amount}{unit}")
    return "".join(words)


def _text(value: Any) -> Any:
    if isinstance(value, _Unquoted | int | float):
        raise _refusal("expected a string: quote it")
    if not isinstance(value, str | SecretStr | Path):
        raise _refusal("expected a string")
    return str(value) if isinstance(value, Path) else value


def _printable(value: str) -> str:
    if not value.strip():
        raise _refusal("expected a string that is not empty")
    if _UNPRINTABLE.search(value):
        raise _refusal("expected a string without control characters and line breaks")
    return value


def _short(value: str) -> str:
    if len(value) > MAX_LABEL_LENGTH:
        raise _refusal(f"expected at most {MAX_LABEL_LENGTH} characters")
    return value


def _campaign_id(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, _Unquoted | int | float):
        raise _refusal("expected a string: quote it (for OSVI: a positive whole number)")
    text = _printable(_text(value))
    if text in (".", ".."):
        raise _refusal("expected a campaign id, which is neither . nor ..")
    return text


def _web_url(value: str, like: str) -> SplitResult:
    if not _VISIBLE_ASCII.fullmatch(value):
        raise _refusal("expected a URL of visible ASCII characters")
    try:
        url = urlsplit(value)
        usable = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise _refusal(f"expected a URL such as {like}")
    return url


def _base_url(value: str) -> str:
    url = _web_url(value, "https://api.example.com/prefix")
    if url.username is not None or url.password is not None:
        raise _refusal("expected a URL without user name and password")
    if "?" in value or "#" in value:
        raise _refusal("expected a URL without query and fragment")
    return value.rstrip("/")


def _proxy_url(value: SecretStr) -> SecretStr:
    url = _web_url(value.get_secret_value(), "http://user:password@proxy.example.com:3128")
    if url.path not in ("", "/") or url.query or url.fragment:
        raise _refusal("expected a proxy's URL without path, query and fragment")
    return value


def _organization(value: str) -> str:
    if not _VISIBLE_ASCII.fullmatch(value):
        raise _refusal("expected an organization's id: visible ASCII characters, no spaces or line breaks")
    return value


def _timezone(value: str) -> str:
    try:
        ZoneInfo(value)
    # A directory of the database, such as America, and names that lead out of it are no KeyError.
    except (KeyError, ValueError, OSError):
        raise _refusal("expected a time zone of the IANA database, such as Asia/Kolkata") from None
    return value


def _minutes(value: Any) -> int:
    # Both 19:00 and "19:00" mean the same here, so that the text of an unquoted one is good enough.
    match = _TIME_OF_DAY.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise _refusal("expected a time of day as HH:MM, such as 09:00")
    return int(match[1]) * 60 + int(match[2]) if match[1] else 1440


def _stall_after(value: Any) -> Any:
    if value == "never":
        return value
    try:
        return _above_zero(parse_duration(value))
    except PydanticCustomError as exc:
        raise _refusal(f"{exc.message()}, or never") from None


def _labels(value: Any) -> Any:
    if not isinstance(value, Mapping):
        raise _refusal("expected a mapping of label names to strings")
    if len(value) > MAX_LABELS:
        raise _refusal(f"expected at most {MAX_LABELS} labels")
    return value


def _label_name(name: str) -> str:
    if not _LABEL_NAME.fullmatch(name):
        raise _refusal("expected a label name: letters, digits and underscores, not beginning with a digit")
    if name in RESERVED_LABELS or name.startswith("__"):
        raise _refusal("expected another label name: this one is reserved")
    return name


def _one_line(value: str) -> str:
    if _UNPRINTABLE.search(value):
        raise _refusal("expected a string without control characters and line breaks")
    return value


def _shard_index(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if value != "hostname":
        raise _refusal("expected a whole number, or hostname")
    match = re.search(r"-([0-9]{1,9})$", socket.gethostname().partition(".")[0])
    if match is None:
        raise _refusal(
            "expected a host name that ends in a number, as the pods of a StatefulSet have: this host's does not"
        )
    return int(match[1])


def _telemetry_path(value: str) -> str:
    if not _TELEMETRY_PATH.fullmatch(value) or any(part in (".", "..") for part in value.split("/")):
        raise _refusal("expected a path such as /metrics")
    if value.split("/")[1] in ("-", "api", "runbooks"):
        raise _refusal("expected a path that the exporter does not use itself")
    return value


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """
    Where to listen: `host` and `port`, or the socket `path`.

    An empty host stands for all addresses; an IPv6 address has no brackets.
    """

    host: str = ""
    port: int = 0
    path: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """
        Read `host:port`, `:port`, `[::1]:port` or `unix:/path`.

        Raises:
            ValueError: The text is none of them.
        """
        if text.startswith("unix:"):
            if not text.startswith("unix:/") or _UNPRINTABLE.search(text):
                raise ValueError("expected unix: and an absolute path")
            return cls(path=text.removeprefix("unix:"))
        host, colon, port = text.rpartition(":")
        if not colon or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
            raise ValueError("expected a port between 0 and 65535 after the last colon")
        if host.startswith("[") and host.endswith("]"):
            host = str(ipaddress.IPv6Address(host[1:-1]))
        elif not re.fullmatch(r"[A-Za-z0-9._-]*", host):
            raise ValueError("expected a host name or address before the port")
        return cls(host=host, port=int(port))

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _listen_address(value: Any) -> Any:
    if isinstance(value, ListenAddress):
        return value
    try:
        # An unquoted 127:80 has only one meaning here.
        return ListenAddress.parse(value if isinstance(value, _Unquoted) else _text(value))
    except ValueError:
        raise _refusal("expected host:port, :port, [::1]:port or unix:/path") from None


def _as_list(value: Any) -> Any:
    return (value,) if isinstance(value, str | ListenAddress) else value


def _not_empty(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if not values:
        raise _refusal("expected a list that is not empty")
    return values


Text: TypeAlias = Annotated[str, BeforeValidator(_text)]
Name: TypeAlias = Annotated[str, AfterValidator(_short), AfterValidator(_printable), BeforeValidator(_text)]
FilePath: TypeAlias = Annotated[Path, BeforeValidator(_printable), BeforeValidator(_text)]
Integer: TypeAlias = Annotated[int, Strict()]
Number: TypeAlias = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Switch: TypeAlias = Annotated[bool, Strict()]
Duration: TypeAlias = Annotated[float, BeforeValidator(parse_duration)]
Interval: TypeAlias = Annotated[float, AfterValidator(_one_second_or_more), BeforeValidator(parse_duration)]
Timeout: TypeAlias = Annotated[float, AfterValidator(_above_zero), BeforeValidator(parse_duration)]
StallAfter: TypeAlias = Annotated[float | Literal["never"], BeforeValidator(_stall_after)]
TimeOfDay: TypeAlias = Annotated[int, BeforeValidator(_minutes)]
Secret: TypeAlias = Annotated[SecretStr, BeforeValidator(_text)]
Labels: TypeAlias = Annotated[
    Mapping[
        Annotated[str, AfterValidator(_label_name)],
        Annotated[str, AfterValidator(_short), AfterValidator(_one_line), BeforeValidator(_text)],
    ],
    BeforeValidator(_labels),
    AfterValidator(MappingProxyType),
    PlainSerializer(dict),
]


# ---------------------------------------------------------------------------------------------------------------------
# Sections


Key: TypeAlias = tuple[str | int, ...]
"""A key's path: names, and numbers for the places in a list."""
Fault: TypeAlias = tuple[Key, str]
"""A key's path, relative to the section that reports it, and what was expected there."""


def _own_words(error: ErrorDetails, section: "type[_Section]") -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind == "setting":
        return str(error["msg"])
    if kind == "extra_forbidden":
        close = difflib.get_close_matches(str(error["loc"][-1]), section.model_fields, n=1)
        return (
            f"unknown key: did you mean {close[0]}?"
            if close
            else f"unknown key: known are {', '.join(section.model_fields)}"
        )
    fixed = {
        "missing": "expected this key: it is required",
        "model_type": "expected a mapping of keys to values",
        "tuple_type": "expected a list",
        "int_type": "expected a whole number",
        "float_type": "expected a number",
        "finite_number": "expected a finite number",
        "bool_type": "expected true or false",
    }
    bounds = {
        "literal_error": ("one of {}", "expected"),
        "greater_than": ("more than {:g}", "gt"),
        "greater_than_equal": ("at least {:g}", "ge"),
    }
    if kind in fixed:
        return fixed[kind]
    words, bound = bounds.get(kind, ("another value", ""))
    return f"expected {words.format(context.get(bound))}"


def _get(item: Any, key: str) -> Any:
    return item.get(key) if isinstance(item, dict) else getattr(item, key, None)


def _items(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()


class _Section(BaseModel):
    """A frozen part of the configuration that reports all its faults at once, in its own words."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
    )

    @classmethod
    def cross_check(cls, data: Mapping[str, Any]) -> Iterator[Fault]:
        """
        Find faults that lie between keys.

        It sees what was written, before the keys themselves are judged, so that one fault does not hide another;
        what is of a wrong kind is left to the key's own check.
        """
        yield from ()

    @model_validator(mode="wrap")
    @classmethod
    def _report_all_faults(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        faults: list[Fault] = []
        if isinstance(data, dict):
            for key, value in data.items():
                field = cls.model_fields.get(key)
                if value is None and field and field.default is None and _section_of(field):
                    faults.append(((key,), "expected a mapping of keys to values: leave the key out, or write some"))
            data = {key: value for key, value in data.items() if value is not None}
            faults += cls.cross_check(data)
        try:
            section = handler(data)
        except ValidationError as exc:
            written = exc.errors(include_url=False, include_input=False)
            # A default that hangs on a key at fault is no fault of its own.
            faults = [
                (error["loc"], _own_words(error, cls))
                for error in written
                if error["type"] != "default_factory_not_called"
            ] + faults
        if faults:
            # Anew, since the original one holds the input, in which a token may stand.
            raise ValidationError.from_exception_data(
                cls.__name__,
                [InitErrorDetails(type=_refusal(expected), loc=key, input=None) for key, expected in faults],
                hide_input=True,
            ) from None
        return section


class PollSettings(_Section):
    """How often and how patiently the providers are asked."""

    active_interval: Interval = 15.0
    """Interval of campaigns whose status is active, and of any with calls in flight; at least 1s."""
    idle_interval: Interval = 120.0
    """Interval of campaigns in any other status; at least 1s."""
    closed_interval: Interval = 3600.0
    """Interval of Anyreach campaigns that are closed, which is final; at least 1s."""
    timeout: Timeout = 10.0
    """Time limit of one request, from connecting to the last byte; above 0."""
    stale_after: Timeout = 60.0
    """Time without a success after which values are withdrawn; never less than three times the campaign's interval."""
    max_in_flight: Annotated[Integer, Field(ge=1)] = 256
    """Requests at once, all accounts together; at least 1."""
    max_body_bytes: Annotated[Integer, Field(ge=1)] = 8_388_608
    """Largest answer in bytes after decompression; a larger one is an error and is not read to its end."""


class CallingWindow(_Section):
    """A span of time on some days of the week, in which calls are placed."""

    days: Annotated[tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...], AfterValidator(_not_empty)]
    """Days of the week on which the window starts: mon, tue, wed, thu, fri, sat, sun."""
    start: TimeOfDay
    """Beginning as HH:MM, 00:00 to 23:59 (once loaded: minutes after midnight)."""
    end: TimeOfDay
    """End as HH:MM, 00:00 to 24:00; one before the start lies on the next day (once loaded: minutes after midnight)."""

    @classmethod
    def cross_check(cls, data: Mapping[str, Any]) -> Iterator[Fault]:
        if data.get("start") == "24:00":
            yield ("start",), "expected a beginning before 24:00"
        elif "start" in data and data["start"] == data.get("end"):
            yield ("end",), "expected an end that differs from the start: the whole day is 00:00 to 24:00"


class CallingHours(_Section):
    """When a campaign may call, where the provider does not say it or says it wrongly."""

    timezone: Annotated[str, AfterValidator(_timezone), BeforeValidator(_text)]
    """Time zone of the windows: a name of the IANA database, such as Asia/Kolkata."""
    windows: Annotated[tuple[CallingWindow, ...], AfterValidator(_not_empty)]
    """The windows; at least one."""


class CampaignSettings(_Section):
    """One campaign of an account."""

    id: Annotated[int | str, BeforeValidator(_campaign_id)]
    """Anyreach: the UUID or external_id, a string. OSVI: the number, a positive integer."""
    name: Name = Field(default_factory=lambda given: str(given["id"]), validate_default=True)
    """Label `campaign`, unique within the account, at most 128 characters; default: the id."""
    labels: Labels = Field(default_factory=lambda: MappingProxyType({}))
    """Labels put on every series of the campaign, at most 5; they win over the account's."""
    stall_after: StallAfter | None = None
    """Silence that means a stall while dialing is expected, or never; default: the account's."""
    calling_hours: CallingHours | None = None
    """Hours in which this campaign calls; they win over the account's."""


class DiscoverySettings(_Section):
    """Which campaigns of an Anyreach organization are found by listing them."""

    statuses: Annotated[tuple[Literal["active", "paused", "closed"], ...], AfterValidator(_not_empty)] = (
        "active",
        "paused",
    )
    """Statuses of the campaigns to find: active, paused, closed."""
    name_contains: Annotated[Text, AfterValidator(_one_line)] = ""
    """Part of the names of the campaigns to find; empty for all."""
    refresh_interval: Interval = 300.0
    """Time between two listings; at least 1s."""
    max_campaigns: Annotated[Integer, Field(ge=1)] = 10_000
    """Most campaigns to take from the listing; at least 1."""


class HttpSettings(_Section):
    """How an account's requests travel."""

    proxy_url: Annotated[Secret, AfterValidator(_proxy_url)] | None = None
    """HTTP proxy, with user name and password where it needs them; kept secret."""
    ca_file: FilePath | None = None
    """PEM file of the authorities to trust in place of the system's."""
    cert_file: FilePath | None = None
    """PEM file of the client certificate; needs key_file."""
    key_file: FilePath | None = None
    """PEM file of the client certificate's key; needs cert_file."""
    insecure_skip_verify: Switch = False
    """Whether to accept any server certificate: the token may then reach anyone."""

    @classmethod
    def cross_check(cls, data: Mapping[str, Any]) -> Iterator[Fault]:
        if ("cert_file" in data) != ("key_file" in data):
            yield (), "expected both of cert_file and key_file, or neither"


class AccountSettings(_Section):
    """One token of one provider, and the campaigns that are polled with it."""

    name: Name
    """Label `account`, unique, at most 128 characters."""
    provider: Literal["anyreach", "osvi"]
    """Label `provider`: anyreach or osvi."""
    token: Secret | None = None
    """The token itself; exactly one of token, token_file and token_env."""
    token_file: FilePath | None = None
    """File that holds the token; a changed content is picked up while running."""
    token_env: Name | None = None
    """Name of the environment variable that holds the token."""
    organization: Annotated[Text, AfterValidator(_organization)] | None = None
    """Anyreach organization, sent as X-Anyreach-Org; required with a pat_ token, refused with an ak_ key."""
    base_url: Annotated[Text, AfterValidator(_base_url)] = Field(
        default_factory=lambda given: BASE_URLS[given["provider"]]
    )
    """URL of the API, with a path prefix where there is one; default: https://api.anyreach.ai or https://api.osvi.ai."""
    max_requests_per_second: Annotated[Number, Field(gt=0)] = 20.0
    """Requests a second with this token; above 0. Intervals are stretched where it does not suffice."""
    max_in_flight: Annotated[Integer, Field(ge=1)] = 16
    """Requests at once with this token; at least 1."""
    calling_windows: Literal["auto", "always", "unknown"] = Field(
        default_factory=lambda given: "auto" if given["provider"] == "anyreach" else "unknown"
    )
    """Calling windows: auto (read from Anyreach; its default), always (round the clock) or unknown (OSVI's default)."""
    stall_after: StallAfter | None = None
    """
    Silence that means a stall while dialing is expected, or never.

    Default: 1h (Anyreach), 15m or twice the retry delay, whichever is longer (OSVI).
    """
    labels: Labels = Field(default_factory=lambda: MappingProxyType({}))
    """Labels put on every series of the account and its campaigns, at most 5."""
    campaigns: tuple[CampaignSettings, ...] = ()
    """The campaigns to poll."""
    discovery: DiscoverySettings | None = None
    """Finds campaigns by listing them (Anyreach only); left out: none are sought."""
    http: HttpSettings = HttpSettings()
    """Proxy and TLS of this account's requests."""
    calling_hours: CallingHours | None = None
    """Hours in which the account's campaigns call; they win over calling_windows."""

    @classmethod
    def cross_check(cls, data: Mapping[str, Any]) -> Iterator[Fault]:
        tokens = [key for key in ("token", "token_file", "token_env") if key in data]
        if len(tokens) != 1:
            found = " and ".join(tokens) or "none"
            yield (), f"expected exactly one of token, token_file and token_env: found {found}"
        if data.get("provider") == "osvi":
            for key in ("organization", "discovery"):
                if key in data:
                    yield (key,), "expected no such key: OSVI has none"
            if data.get("calling_windows") == "auto":
                yield (
                    ("calling_windows",),
                    "expected always or unknown: OSVI does not tell its windows (calling_hours can)",
                )
        yield from cls._check_campaigns(data)

    @staticmethod
    def _check_campaigns(data: Mapping[str, Any]) -> Iterator[Fault]:
        ids: dict[str, int] = {}
        names: dict[str, int] = {}
        for index, campaign in enumerate(_items(data.get("campaigns"))):
            campaign_id = _get(campaign, "id")
            if not isinstance(campaign_id, int | str) or isinstance(campaign_id, bool | _Unquoted):
                continue
            if data.get("provider") == "anyreach" and isinstance(campaign_id, int):
                yield ("campaigns", index, "id"), "expected a string: quote it"
            if data.get("provider") == "osvi" and (isinstance(campaign_id, str) or campaign_id < 1):
                yield ("campaigns", index, "id"), "expected a positive whole number, not quoted"
            first = ids.setdefault(str(campaign_id), index)
            if first != index:
                yield (
                    ("campaigns", index, "id"),
                    f"expected an id that is unique within the account: campaigns[{first}] has it",
                )
                continue
            name = _get(campaign, "name") or campaign_id
            if isinstance(name, int | str):
                first = names.setdefault(str(name), index)
                if first != index:
                    yield (
                        ("campaigns", index, "name"),
                        f"expected a name that is unique within the account: campaigns[{first}] has it",
                    )

    def labels_of(self, campaign: CampaignSettings | None) -> Mapping[str, str]:
        """The labels of a campaign's series; None stands for a campaign that was discovered."""
        return MappingProxyType({**self.labels, **(campaign.labels if campaign else {})})

    def calling_hours_of(self, campaign: CampaignSettings | None) -> CallingHours | None:
        """The configured hours of a campaign; None where `calling_windows` decides."""
        return (campaign.calling_hours if campaign else None) or self.calling_hours

    def stall_after_of(self, campaign: CampaignSettings | None, retry_delay: float | None = None) -> float | None:
        """
        Seconds of silence that mean a stall, None for never.

        What is configured holds as it stands. The default for OSVI grows to twice the campaign's `retry_delay`,
        in seconds, since silence between two attempts is normal.
        """
        configured = (campaign.stall_after if campaign else None) or self.stall_after
        if configured is None:
            default = STALL_AFTER[self.provider]
            return max(default, 2 * (retry_delay or 0)) if self.provider == "osvi" else default
        return None if configured == "never" else configured


class WebConfigSettings(_Section):
    """TLS and users of the web server."""

    file: FilePath | None = None
    """File with TLS, users and headers, in the format of Prometheus' exporter toolkit; none by default."""


class WebSettings(_Section):
    """The web server."""

    listen_address: Annotated[
        tuple[
            Annotated[InstanceOf[ListenAddress], BeforeValidator(_listen_address), PlainSerializer(str)],
            ...,
        ],
        BeforeValidator(_as_list),
        AfterValidator(_not_empty),
    ] = (ListenAddress(port=10077),)
    """Addresses to listen on: host:port, :port, [::1]:port or unix:/path."""
    telemetry_path: Annotated[Text, AfterValidator(_telemetry_path)] = "/metrics"
    """Path of the metrics; begins with a slash."""
    enable_lifecycle: Switch = False
    """Whether a request to /-/reload may reload the configuration."""
    config: WebConfigSettings = WebConfigSettings()
    """TLS and users."""


class LogSettings(_Section):
    """The log, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severity that is logged: debug, info, warning or error."""
    format: Literal["logfmt", "json"] = "logfmt"
    """Form of a line: logfmt or json."""


class ShardSettings(_Section):
    """Which part of the accounts this process serves."""

    count: Annotated[Integer, Field(ge=1)] = 1
    """Number of processes that share the accounts; at least 1."""
    index: Annotated[Integer, Field(ge=0), BeforeValidator(_shard_index)] = 0
    """This process's number, from 0, less than count; `hostname`: the number that ends a StatefulSet pod's name."""

    @field_validator("index")
    @classmethod
    def _below_count(cls, index: int, info: ValidationInfo) -> int:
        # The count is missing here where it is at fault itself.
        if index >= info.data.get("count", index + 1):
            raise _refusal("expected an index less than shard.count")
        return index


class ReloadSettings(_Section):
    """Reloading without being told to."""

    auto_interval: Duration = 0.0
    """Time between two looks at the file's content, which is reloaded when it has changed; 0s for never."""


class Settings(_Section, BaseSettings):
    """The whole configuration."""

    model_config = SettingsConfigDict(env_prefix=ENVIRONMENT_PREFIX, env_nested_delimiter="__")

    poll: PollSettings = PollSettings()
    """How often and how patiently the providers are asked."""
    accounts: tuple[AccountSettings, ...] = ()
    """The accounts, each with its token and its campaigns."""
    shard: ShardSettings = ShardSettings()
    """Which part of the accounts this process serves."""
    reload: ReloadSettings = ReloadSettings()
    """Reloading without being told to."""
    web: WebSettings = WebSettings()
    """The web server."""
    log: LogSettings = LogSettings()
    """The log, on standard error."""

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *_: Any, **__: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Leave nothing but the arguments: `load` reads the other sources, since each fault names its own."""
        return (init_settings,)

    @classmethod
    def cross_check(cls, data: Mapping[str, Any]) -> Iterator[Fault]:
        names: dict[str, int] = {}
        for index, account in enumerate(_items(data.get("accounts"))):
            name = _get(account, "name")
            if isinstance(name, str) and (first := names.setdefault(name, index)) != index:
                yield ("accounts", index, "name"), f"expected a name that is unique: accounts[{first}] has it"

    def warnings(self) -> list[str]:
        """One sentence for each thing that is allowed and probably not meant."""
        found = [] if self.accounts else ["no accounts are configured: nothing is polled"]
        for account in self.accounts:
            if not account.campaigns and account.discovery is None:
                found.append(f"account {account.name!r} has neither campaigns nor discovery: nothing is polled with it")
            if not _stays_secret(account.base_url):
                found.append(f"account {account.name!r} sends its token unencrypted: base_url is plain http")
            if account.http.insecure_skip_verify:
                found.append(
                    f"account {account.name!r} accepts any server certificate: http.insecure_skip_verify is on"
                )
        return found


def _stays_secret(base_url: str) -> bool:
    url = urlsplit(base_url)
    host = url.hostname or ""
    if url.scheme == "https" or host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def config_hash(settings: Settings) -> int:
    """
    48 bits that differ where two processes that should run with the same configuration do not.

    Tokens, the proxy's user and password, the shard's index and the listen addresses are left out.
    """
    # Tokens are dumped masked.
    canonical = settings.model_dump(
        mode="json",
        exclude={
            "shard": {"index"},
            "web": {"listen_address"},
            "accounts": {"__all__": {"http": {"proxy_url"}}},
        },
    )
    for account, dumped in zip(settings.accounts, canonical["accounts"], strict=True):
        if account.http.proxy_url is not None:
            url = urlsplit(account.http.proxy_url.get_secret_value())
            dumped["http"]["proxy_url"] = [url.scheme, url.hostname, url.port]
    text = json.dumps(canonical, sort_keys=True, separators=(",", ":"))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6])


# ---------------------------------------------------------------------------------------------------------------------
# Options: the keys that are also flags and variables


@dataclass(frozen=True, slots=True)
class Option:
    """A key outside of the accounts (or the accounts as a whole), as a flag and as a variable."""

    key: tuple[str, ...]
    field: FieldInfo

    @property
    def flag(self) -> str:
        return "--" + ".".join(self.key).replace("_", "-")

    @property
    def variable(self) -> str:
        return ENVIRONMENT_PREFIX + "__".join(self.key).upper()

    @property
    def is_list(self) -> bool:
        return isinstance(self.field.default, tuple)

    @property
    def default(self) -> str:
        """The default as it would be written, empty where there is none."""
        value = self.field.default
        if value is None:
            return ""
        if isinstance(value, float):
            return format_duration(value)
        if isinstance(value, bool):
            return str(value).lower()
        return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)

    @property
    def metavar(self) -> str:
        if isinstance(self.field.default, float):
            return "DURATION"
        if choices := get_args(self.field.annotation):
            return "{" + ",".join(choices) + "}" if isinstance(choices[0], str) else self.key[-1].upper()
        return self.key[-1].upper()

    def from_text(self, text: str) -> Any:
        """What a flag or variable holds, as the file would hold it."""
        return _plain(text) if isinstance(self.field.default, int) else text


def _section_of(field: FieldInfo) -> type[_Section] | None:
    for kind in (field.annotation, *get_args(field.annotation)):
        if isinstance(kind, type) and issubclass(kind, _Section):
            return kind
    return None


def options(section: type[_Section] = Settings, prefix: tuple[str, ...] = ()) -> Iterator[Option]:
    """Every key that has a variable; all but `accounts` have a flag too."""
    for name, field in section.model_fields.items():
        inner = _section_of(field)
        if inner and not isinstance(field.default, tuple):
            yield from options(inner, (*prefix, name))
        else:
            yield Option((*prefix, name), field)


# The quoted values in argparse's messages; the list of choices that follows is kept.
_ECHO = re.compile(r"(ignored explicit argument|invalid choice:|invalid \w+ value:) (?:'[^']*'|\"[^\"]*\")")


class FlagParser(argparse.ArgumentParser):
    """A parser that takes no abbreviations and whose complaints repeat no values, since one may be a token."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **kwargs})

    def error(self, message: str) -> NoReturn:
        _, _, rest = message.partition("unrecognized arguments: ")
        if rest:
            flags = [word.partition("=")[0] for word in rest.split() if word.startswith("--")]
            message = f"unknown flag: {', '.join(flags)}" if flags else "unexpected argument"
        super().error(_ECHO.sub(r"\1", message))


def add_flags(parser: argparse.ArgumentParser, *, config_file: bool = True) -> None:
    """
    Add a flag for every option, and `--config.file` where the command reads one.

    No flag has a default in the parser: one that is not given is not in the namespace, which is what `load` wants,
    and a flag before a subcommand survives it.
    """
    if config_file:
        parser.add_argument(
            "--config.file",
            metavar="FILE",
            default=argparse.SUPPRESS,
            help=f"The configuration file (default: {DEFAULT_CONFIG_FILE}).",
        )
    groups = {
        name: parser.add_argument_group(name, field.description)
        for name, field in Settings.model_fields.items()
        if name != "accounts"
    }
    for option in options():
        if option.key[0] not in groups:
            continue
        words = (option.field.description or "").replace("%", "%%")
        arguments: dict[str, Any] = {
            "dest": ".".join(option.key),
            "default": argparse.SUPPRESS,
            "help": words,
        }
        if isinstance(option.field.default, bool):
            arguments["action"] = argparse.BooleanOptionalAction
        else:
            arguments["metavar"] = option.metavar
            if option.is_list:
                arguments["action"] = "append"
                arguments["help"] += " May be repeated."
        if option.default:
            arguments["help"] += f" (default: {option.default})"
        groups[option.key[0]].add_argument(option.flag, **arguments)


# ---------------------------------------------------------------------------------------------------------------------
# The file


_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)?\.?[0-9]+(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+\.")
_DOUBTFUL = re.compile(
    r"""
    [yY]es|YES|[nN]o|NO|[oO]n|ON|[oO]ff|OFF                             # truth values of YAML 1.1
    | [-+]?0[0-9_]+ | [-+]?0[xX][0-9a-fA-F_]+ | [-+]?0[bB][01_]+ | [-+]?0[oO][0-7_]+
    | [-+]?[0-9][0-9_]* | [-+]?[0-9][0-9_]*\.[0-9_]*                      # 1_000, and more digits than a number has
    | [-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?                  # 12:30 is 750 in base 60
    | [-+]?\.(?:inf|Inf|INF) | \.(?:nan|NaN|NAN) | =
    | [0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:(?:[Tt]|[ \t]+)[0-9].*)?          # dates and times
    """,
    re.VERBOSE,
)
_PLAIN_TAG, _STRING_TAG = "plain", "tag:yaml.org,2002:str"


def _plain(text: str) -> Any:
    """What an unquoted scalar means; where the versions of YAML disagree it is kept as `_Unquoted`."""
    if text in _NULLS:
        return None
    if text[0].isalpha() and text not in _BOOLEANS and len(text) > 3:
        return text
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _DOUBTFUL.fullmatch(text) and not (_FLOAT.fullmatch(text) and "." in text and "_" not in text):
        return _Unquoted(text)
    return float(text) if _FLOAT.fullmatch(text) else text


class _Composer(yaml.CSafeLoader):
    """libyaml's parser (ten times as fast as the one in Python) without YAML 1.1's guesses at unquoted scalars."""

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:
        if kind is yaml.ScalarNode:
            return _PLAIN_TAG if implicit[0] else _STRING_TAG
        return "tag:yaml.org,2002:" + ("seq" if kind is yaml.SequenceNode else "map")


class _Document:
    """A YAML file as plain values, with the line of each key and the keys that stand in it twice."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.faults: list[str] = []
        try:
            composer = _Composer(text)
            try:
                self._root = composer.get_single_node()
            finally:
                composer.dispose()
            self.values = self._value(self._root, ()) if self._root else {}
        except yaml.MarkedYAMLError as exc:
            mark = exc.problem_mark or exc.context_mark
            problem = ", ".join(filter(None, (exc.context, exc.problem)))
            raise ConfigurationError([f"{path}:{mark.line + 1 if mark else 1}: expected YAML: {problem}"]) from None
        except yaml.reader.ReaderError as exc:
            line = text.count("\n", 0, exc.position) + 1
            raise ConfigurationError([f"{path}:{line}: expected YAML: a character that it does not allow"]) from None
        except RecursionError:
            raise ConfigurationError([f"{path}: expected YAML that is not nested so deeply"]) from None
        if self.values is None:
            self.values = {}
        if not isinstance(self.values, dict):
            raise ConfigurationError([f"{path}:1: expected a mapping of keys to values, such as accounts: [...]"])

    def _value(self, node: yaml.Node, key: Key) -> Any:
        if isinstance(node, yaml.ScalarNode):
            if node.tag == _PLAIN_TAG:
                return _plain(node.value)
            if node.tag == _STRING_TAG:
                return node.value
        elif node.tag == "tag:yaml.org,2002:seq":
            return [self._value(item, (*key, index)) for index, item in enumerate(node.value)]
        elif node.tag == "tag:yaml.org,2002:map":
            values: dict[str, Any] = {}
            merged: list[Any] = []
            for name, value in node.value:
                if not isinstance(name, yaml.ScalarNode):
                    self._refuse(name, key, "expected keys that are strings")
                elif name.tag == _PLAIN_TAG and name.value == "<<":
                    merge = self._value(value, key)
                    merged += merge if isinstance(merge, list) else [merge]
                elif name.value in values:
                    self._refuse(name, (*key, name.value), "expected this key once: it is here twice")
                else:
                    values[name.value] = self._value(value, (*key, name.value))
            for mapping in merged:
                values = {**mapping, **values} if isinstance(mapping, dict) else values
            return values
        self._refuse(node, key, "expected a value without a tag")
        return None

    def _refuse(self, node: yaml.Node, key: Key, expected: str) -> None:
        self.faults.append(_fault_line(f"{self.path}:{node.start_mark.line + 1}", key, expected))

    def line(self, key: Key) -> int:
        """The line of a key, or of the innermost part of its path that is there."""
        node, line = self._root, 0
        for part in key:
            found = None
            if isinstance(node, yaml.MappingNode):
                found = next(((name, value) for name, value in node.value if name.value == part), None)
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
                found = (node.value[part], node.value[part])
            if found is None:
                break
            line, node = found[0].start_mark.line, found[1]
        return line + 1


def _read_file(path: Path, *, required: bool) -> _Document | None:
    try:
        content = path.read_bytes()
    except OSError as exc:
        if isinstance(exc, FileNotFoundError) and not required:
            return None
        raise ConfigurationError([f"{path}: expected a file that can be read: {exc.strerror}"]) from None
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as exc:
        line = content.count(b"\n", 0, exc.start) + 1
        raise ConfigurationError([f"{path}:{line}: expected UTF-8"]) from None
    document = _Document(path, text)
    _anchor_paths(document.values, path.parent)
    return document


def _anchor_paths(values: dict[str, Any], directory: Path) -> None:
    def anchor(section: Any, *keys: str) -> None:
        for key in keys:
            if isinstance(section, dict) and isinstance(section.get(key), str) and section[key]:
                section[key] = str(directory / section[key])

    anchor(_get(values.get("web"), "config"), "file")
    for account in _items(values.get("accounts")):
        anchor(account, "token_file")
        anchor(_get(account, "http"), "ca_file", "cert_file", "key_file")


# ---------------------------------------------------------------------------------------------------------------------
# Loading


def key_path(key: Iterable[str | int]) -> str:
    """A key's path as in `accounts[1].campaigns[0].id`; a part that could be a token is not shown."""
    path = ""
    for part in key:
        if isinstance(part, int):
            path += f"[{part}]"
        else:
            path += ("." if path else "") + (part if _can_be_shown(part) else "<not shown>")
    return path


def _fault_line(place: str, key: Key, expected: str) -> str:
    return ": ".join(filter(None, (place, key_path(key), expected)))


def _can_be_shown(key: str) -> bool:
    looks_like_a_token = key.startswith(("pat_", "ak_")) or (len(key) >= 16 and any(c.isdigit() for c in key))
    return bool(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,31}", key)) and not looks_like_a_token


def _put(values: dict[str, Any], key: tuple[str, ...], value: Any) -> None:
    for part in key[:-1]:
        values = values.setdefault(part, {})
    values[key[-1]] = value


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return values


def _read_environment(environ: Mapping[str, str]) -> tuple[dict[str, Any], dict[tuple[str, ...], str], list[str]]:
    """Values, the variable of each key, and faults."""
    values: dict[str, Any] = {}
    variables: dict[tuple[str, ...], str] = {}
    faults = []
    known = {option.variable: option for option in options()}
    for variable, text in sorted(environ.items()):
        if not variable.startswith(ENVIRONMENT_PREFIX) or _OF_A_SERVICE.fullmatch(variable, len(ENVIRONMENT_PREFIX)):
            continue
        option = known.get(variable)
        if option is None:
            # The prefix is left out: it would make all of them alike.
            names = [name.removeprefix(ENVIRONMENT_PREFIX) for name in known]
            close = difflib.get_close_matches(variable.removeprefix(ENVIRONMENT_PREFIX), names, n=1, cutoff=0.85)
            hint = f": did you mean {ENVIRONMENT_PREFIX}{close[0]}?" if close else ""
            faults.append(f"{variable}: no option has this variable{hint}")
            continue
        if not text:
            continue
        value = option.from_text(text)
        if option.is_list:
            try:
                value = json.loads(text, object_pairs_hook=_unique_keys)
            except (ValueError, RecursionError) as exc:
                # One address may stand there as it is.
                if option.key == ("accounts",):
                    where = f" (character {exc.pos + 1})" if isinstance(exc, json.JSONDecodeError) else ""
                    faults.append(f"{variable}: {key_path(option.key)}: expected a list as JSON, each key once{where}")
                    continue
        _put(values, option.key, value)
        variables[option.key] = variable
    return values, variables, faults


def _read_flags(arguments: argparse.Namespace) -> tuple[dict[str, Any], dict[tuple[str, ...], str]]:
    """Values, and the flag of each key."""
    values: dict[str, Any] = {}
    flags: dict[tuple[str, ...], str] = {}
    for option in options():
        given = getattr(arguments, ".".join(option.key), None)
        if given is not None:
            _put(values, option.key, option.from_text(given) if isinstance(given, str) else given)
            flags[option.key] = option.flag
    return values, flags


def read_token(
    *, token: SecretStr | str | None, token_file: Path | str | None, token_env: str | None, environ: Mapping[str, str]
) -> str:
    """
    Fetch a token from where it stands, which is one of the first three arguments.

    Raises:
        ValueError: It is not there or could not stand in a header; the message says so without repeating it.
    """
    if token_file is not None:
        try:
            # An editor ends a file with a line break, which is no part of the token.
            text = Path(token_file).read_text(encoding="utf-8").strip()
        except UnicodeDecodeError:
            raise ValueError("expected a file that holds a token and nothing else") from None
        except OSError as exc:
            raise ValueError(f"expected a file that can be read: {exc.strerror}") from None
        except ValueError:
            raise ValueError("expected the path of a file") from None
    elif token_env is not None:
        if token_env not in environ:
            raise ValueError("expected the name of a variable that is set: this one is not")
        text = environ[token_env]
    else:
        text = token.get_secret_value() if isinstance(token, SecretStr) else token or ""
    if not text:
        raise ValueError("expected a token: there is nothing")
    if not _VISIBLE_ASCII.fullmatch(text):
        raise ValueError("expected a token of visible ASCII characters: no spaces, line breaks or other letters")
    return text


def check_organization(token: str, organization: object) -> None:
    """
    Hold an Anyreach token against the organization that goes with it.

    See https://docs.anyreach.ai/organizations/api-keys-and-tokens.

    Raises:
        ValueError: One of the two is one too many or missing; the message says what to do.
    """
    if token.startswith("pat_") and organization is None:
        raise ValueError(
            "a personal access token (pat_) needs `organization`: the id of the organization that owns the campaigns"
        )
    if token.startswith("ak_") and organization is not None:
        raise ValueError("an API key (ak_) belongs to one organization already: remove `organization`")


def _check_surroundings(values: Mapping[str, Any], environ: Mapping[str, str]) -> Iterator[Fault]:
    """Look at the tokens and files that the accounts name."""
    for index, account in enumerate(_items(values.get("accounts"))):
        named = [key for key in ("token", "token_file", "token_env") if _get(account, key) is not None]
        if len(named) == 1 and isinstance(_get(account, named[0]), str | Path | SecretStr):
            sources = {key: _get(account, key) for key in ("token", "token_file", "token_env")}
            try:
                token = read_token(**sources, environ=environ)
            except ValueError as exc:
                yield ("accounts", index, named[0]), str(exc)
            else:
                try:
                    if _get(account, "provider") == "anyreach":
                        check_organization(token, _get(account, "organization"))
                except ValueError as exc:
                    yield ("accounts", index, "organization"), str(exc)
        for key in ("ca_file", "cert_file", "key_file"):
            file = _get(_get(account, "http"), key)
            if isinstance(file, str) and file and "\0" not in file:
                try:
                    Path(file).open("rb").close()
                except OSError as exc:
                    yield ("accounts", index, "http", key), f"expected a file that can be read: {exc.strerror}"


def config_file(arguments: argparse.Namespace) -> Path:
    """The configuration file that was asked for, or the default one, which need not exist."""
    return Path(getattr(arguments, "config.file", DEFAULT_CONFIG_FILE))


def load(
    arguments: argparse.Namespace,
    *,
    environ: Mapping[str, str] | None = None,
    base: Mapping[str, Any] | None = None,
) -> Settings:
    """
    Read the configuration from all its sources.

    Args:
        arguments: What a parser with `add_flags` made of the command line.
        environ: The environment; the process's own by default.
        base: Values, plain dicts and lists, that stand in place of the file; its accounts (even none) then stand in
            place of the environment's too.

    Raises:
        ConfigurationError: With all faults of all sources.
    """
    environ = os.environ if environ is None else environ
    flag_values, flags = _read_flags(arguments)
    variable_values, variables, faults = _read_environment(environ)
    document = None
    file_values: Mapping[str, Any] = {}
    if base is not None:
        file_values = base
        variable_values.pop("accounts", None)
        variables.pop(("accounts",), None)
    else:
        path = config_file(arguments)
        try:
            document = _read_file(path, required=hasattr(arguments, "config.file"))
        except ConfigurationError as exc:
            raise ConfigurationError([*exc.faults, *faults]) from None
        if document:
            file_values, faults = document.values, [*document.faults, *faults]
        elif "accounts" not in variable_values and not faults:
            raise ConfigurationError(
                [
                    f"{path}: expected this file, another one by --config.file, or accounts in "
                    f"{ENVIRONMENT_PREFIX}ACCOUNTS; to look around with none of them run `campaign-exporter demo`"
                ]
            )

    def place(key: Key) -> tuple[int, str]:
        for given in (flags, variables):
            for option, source in given.items():
                if key[: len(option)] == option:
                    return 0, source
        if document is None:
            return 0, "configuration"
        line = document.line(key)
        return line, f"{document.path}:{line}"

    sources = tuple(
        InitSettingsSource(Settings, dict(values)) for values in (flag_values, variable_values, file_values)
    )
    found: list[Fault] = []
    settings = None
    try:
        settings = Settings(_build_sources=(sources, {}))
    except ValidationError as exc:
        # The key of a mapping that is at fault itself is followed by the mark [key].
        found += [
            (tuple(part for part in error["loc"] if part != "[key]"), error["msg"])
            for error in exc.errors(include_url=False, include_input=False)
        ]
    accounts = variable_values.get("accounts", file_values.get("accounts"))
    found += _check_surroundings({"accounts": accounts}, environ)
    if found or faults or settings is None:
        # Each stands once and in the order of the file.
        placed = sorted({(*place(key), key, expected): None for key, expected in found}, key=itemgetter(0))
        raise ConfigurationError([*faults, *(_fault_line(source, key, text) for _, source, key, text in placed)])
    return settings
