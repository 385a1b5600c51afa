"""Lines of the text formats: labels and numbers as Prometheus reads them."""

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from math import inf
from typing import Any, cast

from exporter.campaign.attempts import SECONDS, Durations, Exemplar
from exporter.exposition.families import Family
from exporter.polling.counters import Distribution

# As many as a few thousand campaigns invent; most are a dozen words of the providers.
_ESCAPES_KEPT = 4096
_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})

Writer = Callable[[str, Any], bytes]
"""Writes the lines of one family for one subject, from the subject's label block and `Reading`."""


@lru_cache(_ESCAPES_KEPT)
def escape(value: str) -> str:
    """Escape a label value as both text formats want it."""
    return value.translate(_ESCAPES)


def label_block(labels: Iterable[tuple[str, str]]) -> str:
    """Write labels without the braces around them."""
    return ",".join([f'{name}="{escape(value)}"' for name, value in labels])


def header(family: Family[Any], openmetrics: bool) -> bytes:
    """Write the lines that come before a family's samples."""
    name = family.name.removesuffix("_total") if openmetrics and family.type == "counter" else family.name
    return f"# HELP {name} {family.help}\n# TYPE {name} {family.type}\n".encode()


def sample_names(family: Family[Any]) -> tuple[str, ...]:
    """The names of a family's samples, by which a scrape may ask for them."""
    name = family.name
    return (f"{name}_bucket", f"{name}_count", f"{name}_sum") if family.type == "histogram" else (name,)


def writer(family: Family[Any]) -> Writer:
    """
    Make the writer of a family.

    Numbers are written as Python writes them, which Prometheus reads alike, or to 14 digits where they come from the
    exporter's clock. Every number that is known is finite.
    """
    if family.type == "histogram":
        return durations_writer(family) if family.labels else _histogram(family.name)
    if not family.labels:
        return _number(family.name, by_clock=family.by_clock)
    if len(family.labels) == 1:
        return _by_one_label(family.name, family.labels[0])
    return _by_several_labels(family.name, family.labels)


def _number(name: str, *, by_clock: bool) -> Writer:
    start = f"{name}{{"

    def write(labels: str, value: Any) -> bytes:
        return b"" if value is None else f"{start}{labels}}} {value!r}\n".encode()

    def write_by_clock(labels: str, value: Any) -> bytes:
        return b"" if value is None else f"{start}{labels}}} {value:.14g}\n".encode()

    return write_by_clock if by_clock else write


def _by_one_label(name: str, key: str) -> Writer:
    @lru_cache(_ESCAPES_KEPT)
    def last_label(value: str) -> str:
        return f'{key}="{escape(value)}"}} '

    def write(labels: str, value: Any) -> bytes:
        if value is None:
            return b""
        numbers: Mapping[str, float] = {value: 1} if isinstance(value, str) else value
        start, lines = f"{name}{{{labels},", ""
        # Cheaper than a list of the few that there are.
        for at, number in numbers.items():
            lines = f"{lines}{start}{last_label(at)}{number!r}\n"
        return lines.encode()

    return write


def _by_several_labels(name: str, keys: tuple[str, ...]) -> Writer:
    def write(labels: str, value: Any) -> bytes:
        if value is None:
            return b""
        numbers: Mapping[tuple[str, ...], float] = {value: 1} if isinstance(value, tuple) else value
        start = f"{name}{{{labels},"
        return "".join(
            [f"{start}{label_block(zip(keys, at, strict=True))}}} {number!r}\n" for at, number in numbers.items()]
        ).encode()

    return write


def _histogram(name: str) -> Writer:
    def write(labels: str, value: Any) -> bytes:
        distribution: Distribution = value
        lines, count = [], 0
        for bound, count in distribution.cumulative():
            le = "+Inf" if bound == inf else repr(bound)
            lines.append(f'{name}_bucket{{{labels},le="{le}"}} {count}\n')
        lines.append(f"{name}_count{{{labels}}} {count}\n{name}_sum{{{labels}}} {distribution.sum!r}\n")
        return "".join(lines).encode()

    return write


def durations_writer(family: Family[Any], *, exemplars: bool = False) -> Writer:
    """Make the writer of a histogram by one label; only OpenMetrics has exemplars."""
    name, key = family.name, family.labels[0]
    bounds = (*(str(float(bound)) for bound in SECONDS), "+Inf")

    def write(labels: str, value: Any) -> bytes:
        by_value = cast(Mapping[str, Durations], value or {})
        lines: list[str] = []
        for at, durations in by_value.items():
            all_labels, count = f'{labels},{key}="{escape(at)}"', 0
            for bound, number, exemplar in zip(bounds, durations.counts, durations.exemplars, strict=True):
                count += number
                shown = _exemplar(exemplar) if exemplars and exemplar else ""
                lines.append(f'{name}_bucket{{{all_labels},le="{bound}"}} {count}{shown}\n')
            lines.append(f"{name}_count{{{all_labels}}} {count}\n{name}_sum{{{all_labels}}} {durations.sum!r}\n")
        return "".join(lines).encode()

    return write


def _exemplar(exemplar: Exemplar) -> str:
    return f' # {{{exemplar.label}="{escape(exemplar.id)}"}} {exemplar.seconds!r} {exemplar.at!r}'
