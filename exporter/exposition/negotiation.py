"""
Which format and which encoding a scrape gets, by its `Accept` and `Accept-Encoding` headers. Pure.

Rules: RFC 9110, sections 12.5.1 and 12.5.3, and https://prometheus.io/docs/instrumenting/content_negotiation/.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from itertools import islice


class Format(Enum):
    """The formats that a page can be written in; the value is the content type."""

    TEXT = "text/plain; version=0.0.4; charset=utf-8"
    OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Choice:
    """The format to write and the content type that names what is written."""

    format: Format
    content_type: str


_NAMES = {Format.TEXT: ("text", "plain", "0.0.4"), Format.OPENMETRICS: ("application", "openmetrics-text", "1.0.0")}

# Our names are made of the legacy character set, which these schemes leave as it is: the page is the same in all of
# them. `dots` would double every underscore, so it is not among them.
_HARMLESS_SCHEMES = frozenset({"allow-utf-8", "underscores", "values"})

# A quoted string is one piece, whatever separators are in it; one that is never closed goes on to the end. It always
# matches where a quote is, so that a header of any form is looked through once.
_QUOTED = r'"(?:[^"\\]|\\.)*\\?(?:"|\Z)'
_ELEMENTS = re.compile(rf'(?:[^,"]|{_QUOTED})+', re.DOTALL)
_PIECES = re.compile(rf'(?:[^;"]|{_QUOTED})+', re.DOTALL)
_MOST_ELEMENTS = 64
_MOST_PARAMETERS = 16  # browsers and scrapers send a handful of either; what is past these is ignored
_WEIGHT = re.compile(r"0(?:\.\d*)?|1(?:\.0*)?")


def choose_format(accept: str) -> Choice:
    """
    Choose what to write for an `Accept` header; several header lines are joined with commas.

    The highest weight wins; at equal weights a range that names the format beats a wildcard, then the earlier one
    wins, then text. Where nothing fits, it is text 0.0.4, as in every client library: that is better than 406.
    """
    ranges = list(_weighted(accept))
    best: tuple[float, int, int] = (0.0, 0, 0)
    choice = Choice(Format.TEXT, Format.TEXT.value)
    for format_ in Format:
        matches = [
            (rank, -place, weight, parameters)
            for place, (name, parameters, weight) in enumerate(ranges)
            if (rank := _rank(name, parameters, format_)) is not None
        ]
        if not matches:
            continue
        # The most specific range alone decides on the weight, so that `text/plain;q=0, */*` refuses text.
        rank, place, weight, parameters = max(matches, key=lambda match: match[:2])
        if weight > 0 and (score := (weight, min(rank, 2), place)) > best:
            best = score
            choice = Choice(format_, _content_type(format_, parameters))
    return choice


def accepts_gzip(accept_encoding: str) -> bool:
    """Return whether an `Accept-Encoding` header asks for gzip, which wins at equal weights."""
    weights: dict[str, float] = {}
    for name, _, weight in _weighted(accept_encoding):
        weights.setdefault("gzip" if name == "x-gzip" else name, weight)
    anything = weights.get("*", 0.0)
    gzip = weights.get("gzip", anything)
    return gzip > 0 and gzip >= weights.get("identity", anything)


def _weighted(header: str) -> Iterator[tuple[str, Mapping[str, str], float]]:
    """Yield name, parameters and weight of each element; one whose weight cannot be read is left out."""
    for element in islice(_ELEMENTS.finditer(header), _MOST_ELEMENTS):
        name, *pieces = [piece[0] for piece in islice(_PIECES.finditer(element[0]), _MOST_PARAMETERS)] or [""]
        parameters = {
            key.strip().lower(): _unquoted(value.strip()) for key, _, value in (p.partition("=") for p in pieces)
        }
        weight = parameters.pop("q", "1")
        if _WEIGHT.fullmatch(weight):
            yield name.strip().lower(), parameters, float(weight)


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] == '"':
        return re.sub(r"\\(.)", r"\1", value[1:-1])
    return value


def _rank(name: str, parameters: Mapping[str, str], format_: Format) -> int | None:
    """Return how exactly a range names a format: 0 `*/*`, 1 `type/*`, 2 and more by name; None where it does not."""
    type_, subtype, version = _NAMES[format_]
    if parameters.get("version", version) != version:
        return None
    if parameters.get("charset", "utf-8").lower() not in {"utf-8", "utf8"}:
        return None
    ranks = {"*/*": 0, f"{type_}/*": 1, f"{type_}/{subtype}": 2 + len(parameters)}
    return ranks.get(name)


def _content_type(format_: Format, parameters: Mapping[str, str]) -> str:
    # Only formats from 1.0.0 on have escaping schemes, and a reply names the scheme when the request did.
    scheme = parameters.get("escaping")
    if format_ is not Format.OPENMETRICS or scheme is None:
        return format_.value
    return f"{format_.value}; escaping={scheme if scheme in _HARMLESS_SCHEMES else 'underscores'}"
