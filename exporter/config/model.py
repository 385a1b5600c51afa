"""
Every option of the exporter, its bounds and its default: `Settings` is the only definition.

The keys of the file, the environment variables and the flags are made from it (see `exporter.config.flags`), and it is
filled by `exporter.config.sources`. Durations are written as Prometheus writes them and are seconds once loaded.
"""

import difflib
import hashlib
import ipaddress
import json
import re
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self, TypeAlias, cast, get_args
from urllib.parse import SplitResult, urlsplit
from zoneinfo import ZoneInfo

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
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

ENVIRONMENT_PREFIX = "CAMPAIGN_EXPORTER_"

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
VISIBLE_ASCII = re.compile(r"[!-~]+")
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


class Unquoted(str):
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
    if isinstance(value, Unquoted | int | float):
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
    if isinstance(value, Unquoted | int | float):
        raise _refusal("expected a string: quote it (for OSVI: a positive whole number)")
    text = _printable(_text(value))
    if text in (".", ".."):
        raise _refusal("expected a campaign id, which is neither . nor ..")
    return text


def _web_url(value: str, like: str) -> SplitResult:
    if not VISIBLE_ASCII.fullmatch(value):
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
    if not VISIBLE_ASCII.fullmatch(value):
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
    return value


def _few_labels(value: Mapping[str, str]) -> Mapping[str, str]:
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
    # https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#stable-network-id
    match = re.search(r"-(0|[1-9][0-9]{0,8})\Z", socket.gethostname().partition(".")[0])
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
        return ListenAddress.parse(value if isinstance(value, Unquoted) else _text(value))
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
    AfterValidator(_few_labels),
    AfterValidator(MappingProxyType),
    PlainSerializer(dict),
]


# ---------------------------------------------------------------------------------------------------------------------
# Sections


Key: TypeAlias = tuple[str | int, ...]
"""A key's path: names, and numbers for the places in a list."""
Fault: TypeAlias = tuple[Key, str]
"""A key's path, relative to the section that reports it, and what was expected there."""


def _own_words(error: ErrorDetails, section: "type[Section]") -> str:
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


def value_of(item: Any, key: str) -> Any:
    """What stands under a key of a section, written or loaded; None where nothing does, or where it is no section."""
    return item.get(key) if isinstance(item, dict) else getattr(item, key, None)


def items_of(value: Any) -> Sequence[Any]:
    """The items of a list; none where it is no list."""
    return value if isinstance(value, list | tuple) else ()


class Section(BaseModel):
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
                if value is None and field and field.default is None and section_of(field):
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


def section_of(field: FieldInfo) -> type[Section] | None:
    """The section that stands under a key, None where a plain value does."""
    for kind in (field.annotation, *get_args(field.annotation)):
        if isinstance(kind, type) and issubclass(kind, Section):
            return kind
    return None


class PollSettings(Section):
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


class CallingWindow(Section):
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


class CallingHours(Section):
    """When a campaign may call, where the provider does not say it or says it wrongly."""

    timezone: Annotated[str, AfterValidator(_timezone), BeforeValidator(_text)]
    """Time zone of the windows: a name of the IANA database, such as Asia/Kolkata."""
    windows: Annotated[tuple[CallingWindow, ...], AfterValidator(_not_empty)]
    """The windows; at least one."""


class CampaignSettings(Section):
    """One campaign of an account."""

    id: Annotated[int | str, BeforeValidator(_campaign_id)]
    """Anyreach: the UUID or external_id, a string. OSVI: the number, a positive integer."""
    name: Name = Field(default_factory=lambda given: str(given["id"])[:MAX_LABEL_LENGTH], validate_default=True)
    """Label `campaign`, unique within the account, at most 128 characters; default: the id."""
    labels: Labels = Field(default_factory=lambda: MappingProxyType({}))
    """Labels put on every series of the campaign, at most 5; they win over the account's."""
    stall_after: StallAfter | None = None
    """Silence that means a stall while dialing is expected, or never; default: the account's."""
    calling_hours: CallingHours | None = None
    """Hours in which this campaign calls; they win over the account's."""


class DiscoverySettings(Section):
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


class HttpSettings(Section):
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


class AccountSettings(Section):
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
        for index, campaign in enumerate(items_of(data.get("campaigns"))):
            campaign_id = value_of(campaign, "id")
            if not isinstance(campaign_id, int | str) or isinstance(campaign_id, bool | Unquoted):
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
            name = value_of(campaign, "name") or campaign_id
            if isinstance(name, int | str):
                first = names.setdefault(str(name)[:MAX_LABEL_LENGTH], index)
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


class WebConfigSettings(Section):
    """TLS and users of the web server."""

    file: FilePath | None = None
    """File with TLS, users and headers, in the format of Prometheus' exporter toolkit; none by default."""


class WebSettings(Section):
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


class LogSettings(Section):
    """The log, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severity that is logged: debug, info, warning or error."""
    format: Literal["logfmt", "json"] = "logfmt"
    """Form of a line: logfmt or json."""


class ShardSettings(Section):
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


class ReloadSettings(Section):
    """Reloading without being told to."""

    auto_interval: Duration = 0.0
    """Time between two looks at the file's content, which is reloaded when it has changed; 0s for never."""


class Settings(Section, BaseSettings):
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
        for index, account in enumerate(items_of(data.get("accounts"))):
            name = value_of(account, "name")
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
