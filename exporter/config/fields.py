"""The annotated types of single values; their messages never repeat a value, which may be a secret."""

import re
import socket
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeAlias
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, SecretStr, Strict
from pydantic_core import PydanticCustomError

from exporter.campaign.labels import MAX_LENGTH
from exporter.campaign.schedule import DAYS
from exporter.config.section import did_you_mean, refusal

RESERVED_LABELS = frozenset(
    {
        *("provider", "account", "campaign", "campaign_id", "campaign_name", "status", "bucket", "agent", "state"),
        *("reason", "timezone", "result", "le", "quantile", "job", "instance", "pod", "severity", "alertname"),
    }
)
"""Labels that the exporter, Prometheus or the shipped rules put on series themselves."""
LABELS_OF_ATTEMPTS = frozenset({"attempts", "criterion", "outcome", "tag"})
"""Labels that only the metrics of single attempts have; they may be configured where attempts are not read."""

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

VISIBLE_ASCII = re.compile(r"[!-~]+")
_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_TIME_OF_DAY = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])|24:00")


class Unquoted(str):
    """Text that YAML 1.1 reads as a number, a truth value or a date, and YAML 1.2 perhaps not."""

    __slots__ = ()


def only(expected: str, holds: Callable[[Any], object]) -> Callable[[Any], Any]:
    """A validator that takes the values of which something holds."""

    def check(value: Any) -> Any:
        if not holds(value):
            raise refusal(f"expected {expected}")
        return value

    return check


def parse_duration(value: Any) -> float:
    """Seconds of a duration as Prometheus writes it, like `500ms`, `15s`, `1m30s` or `1d`, or of a bare 0."""
    text = str(value) if isinstance(value, str | int | float) else ""
    if text == "0":
        return 0.0
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        raise refusal("expected a duration: write a unit, such as 15s")
    match = _DURATION.fullmatch(text)
    if not text or match is None:
        raise refusal("expected a duration such as 500ms, 15s, 1m30s, 2h or 1d")
    total = sum(int(amount or 0) * unit for amount, (_, unit) in zip(match.groups(), _UNITS, strict=True))
    if total > _LONGEST_MS:
        raise refusal("expected a duration of at most 100y")
    return total / 1000


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


def at_least(shortest: str) -> AfterValidator:
    """A lower bound for a duration."""
    least = parse_duration(shortest)
    return AfterValidator(only(f"a duration of at least {shortest}", lambda seconds: seconds >= least))


def _stall_after(value: Any) -> Any:
    if value == "never":
        return value
    try:
        seconds = parse_duration(value)
    except PydanticCustomError as exc:
        raise refusal(f"{exc.message()}, or never") from None
    if not seconds:
        raise refusal("expected a duration above 0, or never")
    return seconds


def _timezone(value: str) -> str:
    try:
        ZoneInfo(value)
    # A directory of the database (America) and names that lead out of it are no KeyError.
    except (KeyError, ValueError, OSError):
        close = did_you_mean(value, available_timezones(), cutoff=0.85)
        raise refusal(f"expected a time zone of the IANA database, such as Asia/Kolkata{close}") from None
    return value


def _minutes(value: Any) -> int:
    # Both 19:00 and "19:00" mean the same here, so that the text of an unquoted one is good enough.
    match = _TIME_OF_DAY.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise refusal("expected a time of day as HH:MM, such as 09:00")
    return int(match[1]) * 60 + int(match[2]) if match[1] else 1440


def _days(value: Any) -> Any:
    first, dash, last = value.partition("-") if isinstance(value, str) else ("", "", "")
    if not dash:
        return value
    if first not in DAYS or last not in DAYS:
        raise refusal("expected days as [mon, tue] or as mon-fri")
    start, length = DAYS.index(first), (DAYS.index(last) - DAYS.index(first)) % 7
    return tuple(DAYS[(start + day) % 7] for day in range(length + 1))


def _date(value: Any) -> date:
    try:
        if not isinstance(value, str) or not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
            raise ValueError
        return date.fromisoformat(value)
    except ValueError:
        raise refusal("expected a date as YYYY-MM-DD, for example 2026-12-25") from None


def text(value: Any) -> Any:
    """Take a string, and nothing that YAML could read as something else."""
    if isinstance(value, Unquoted | int | float):
        raise refusal("expected a string: quote it")
    if not isinstance(value, str):
        raise refusal("expected a string")
    return value


_not_blank = only("a string that is not empty", str.strip)
_one_line = only("a string without control characters and line breaks", lambda value: not UNPRINTABLE.search(value))
_short = only(f"at most {MAX_LENGTH} characters", lambda value: len(value) <= MAX_LENGTH)


def _printable(value: str) -> str:
    return str(_one_line(_not_blank(value)))


def _campaign_id(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, Unquoted | int | float):
        raise refusal("expected a string: quote it (for OSVI: a positive whole number)")
    campaign_id = _printable(text(value))
    if campaign_id in (".", ".."):
        raise refusal("expected a campaign id, which is neither . nor ..")
    return campaign_id


def _outcome(value: Any) -> Any:
    # Said here, because pydantic says what is wrong with each kind of a union.
    if isinstance(value, bool) or value in ("abstain", "na"):
        return value
    raise refusal("expected true, false, abstain or na")


def _level(value: Any) -> Any:
    # Prometheus says warn.
    level = value.lower() if isinstance(value, str) else value
    return "warning" if level == "warn" else level


def _labels(value: Any) -> Any:
    if not isinstance(value, Mapping):
        raise refusal("expected a mapping of label names to strings")
    return value


def _label_name(name: str) -> str:
    if not _LABEL_NAME.fullmatch(name):
        raise refusal("expected a label name: letters, digits and underscores, not beginning with a digit")
    if name in RESERVED_LABELS or name.startswith("__"):
        raise refusal("expected another label name: this one is reserved")
    return name


def _shard_index(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if value != "hostname":
        raise refusal("expected a whole number, or hostname")
    # https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#stable-network-id
    match = re.search(r"-(0|[1-9][0-9]{0,8})\Z", socket.gethostname().partition(".")[0])
    if match is None:
        raise refusal(
            "expected a host name that ends in a number, as the pods of a StatefulSet have: this host's does not"
        )
    return int(match[1])


NotEmpty = AfterValidator(only("a list that is not empty", len))

Integer: TypeAlias = Annotated[int, Strict()]
Number: TypeAlias = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Switch: TypeAlias = Annotated[bool, Strict()]
Outcome: TypeAlias = Annotated[bool | Literal["abstain", "na"], BeforeValidator(_outcome)]

Duration: TypeAlias = Annotated[float, BeforeValidator(parse_duration)]
Interval: TypeAlias = Annotated[float, at_least("1s"), BeforeValidator(parse_duration)]
Timeout: TypeAlias = Annotated[float, AfterValidator(only("a duration above 0", bool)), BeforeValidator(parse_duration)]
StallAfter: TypeAlias = Annotated[float | Literal["never"], BeforeValidator(_stall_after)]
TimeOfDay: TypeAlias = Annotated[int, BeforeValidator(_minutes)]
Days: TypeAlias = Annotated[
    tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...], NotEmpty, BeforeValidator(_days)
]
Date: TypeAlias = Annotated[date, BeforeValidator(_date)]

Text: TypeAlias = Annotated[str, BeforeValidator(text)]
Line: TypeAlias = Annotated[Text, AfterValidator(_one_line)]
Name: TypeAlias = Annotated[Text, AfterValidator(_short), AfterValidator(_printable)]
FilePath: TypeAlias = Annotated[Path, BeforeValidator(_printable), BeforeValidator(text)]
Secret: TypeAlias = Annotated[SecretStr, BeforeValidator(text)]
Timezone: TypeAlias = Annotated[Text, AfterValidator(_timezone)]
CampaignId: TypeAlias = Annotated[int | str, BeforeValidator(_campaign_id)]
Organization: TypeAlias = Annotated[
    Text,
    AfterValidator(
        only("an organization's id: visible ASCII characters, no spaces or line breaks", VISIBLE_ASCII.fullmatch)
    ),
]
Level: TypeAlias = Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_level)]
Labels: TypeAlias = Annotated[
    Mapping[
        Annotated[str, AfterValidator(_label_name)],
        Annotated[Text, AfterValidator(_short), AfterValidator(_one_line)],
    ],
    BeforeValidator(_labels),
    AfterValidator(only("at most 5 labels", lambda labels: len(labels) <= 5)),
    AfterValidator(MappingProxyType),
    PlainSerializer(dict),
]
ShardIndex: TypeAlias = Annotated[Integer, Field(ge=0), BeforeValidator(_shard_index)]
