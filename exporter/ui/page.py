"""
The pages for people: what an address asks for, and the templates that show it. Pure.

A page is complete without the script, which asks for the same page again and puts what is new into the one on the
screen. All links are relative, so that the pages work behind a reverse proxy under any path.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from exporter.campaign.schedule import DAYS
from exporter.ui.fleet import SortKey
from exporter.ui.queries import MAX_NAME, MAX_TEXT, MAX_WORDS
from exporter.ui.rows import CampaignRow, calls_now, finished, progress_of
from exporter.ui.states import ATTENTION, WORDS

PAGE_SIZE = 100

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

_BAR_WIDTH = 200.0
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"))
_PAGE_NUMBER = re.compile(r"[1-9][0-9]{0,6}", re.ASCII)

# Control characters, which HTML can't hold; those that turn the direction of text; and what is no character.
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table, and by what its rows are sorted."""

    title: str
    descends: bool
    """Whether the first click puts the greatest first."""
    key: SortKey


COLUMNS: Mapping[str, Column] = {
    "attention": Column("State", False, lambda c: ATTENTION[c.standing]),
    "campaign": Column("Campaign", False, lambda c: (c.display_name or c.campaign.name).casefold()),
    "account": Column("Account", False, lambda c: c.campaign.account.casefold()),
    "progress": Column("Progress", True, lambda c: finished(c.shown.contacts)),
    "calls": Column("Calls", True, lambda c: calls_now(c.shown)),
    "dialing": Column("Should dial", True, lambda c: c.expected),
    "called": Column("Last progress", False, progress_of),
    "updated": Column("Updated", False, lambda c: c.last_success_wall),
}
"""By the name that they have in addresses."""

DEFAULT_SORT = "attention"


@dataclass(frozen=True, slots=True)
class View:
    """What an address of the list of campaigns asks for; an empty filter lets all through."""

    q: str = ""
    provider: str = ""
    account: str = ""
    state: str = ""
    sort: str = DEFAULT_SORT
    """The column by which it is sorted, after a "-" where the greatest comes first."""
    page: int = 1
    cut: bool = False
    """Whether words of the search were left out, since there were too many."""

    @classmethod
    def parse(cls, parameters: Mapping[str, str]) -> "View":
        """Read an address; an odd parameter counts as missing, since people write addresses by hand."""
        given = {
            name: parameters.get(name, "").strip() for name in ("q", "provider", "account", "state", "sort", "page")
        }
        q, sort, page = given["q"], given["sort"], given["page"]
        words = q[:MAX_TEXT].split()
        cut = len(q) > MAX_TEXT or len(words) > MAX_WORDS
        return cls(
            q=" ".join(words[:MAX_WORDS]) if cut else q,
            provider=given["provider"][:MAX_NAME],
            account=given["account"][:MAX_NAME],
            state=given["state"][:MAX_NAME],
            sort=sort if sort.removeprefix("-") in COLUMNS else DEFAULT_SORT,
            page=int(page) if _PAGE_NUMBER.fullmatch(page) else 1,
            cut=cut,
        )

    @property
    def column(self) -> str:
        return self.sort.removeprefix("-")

    @property
    def descending(self) -> bool:
        return self.sort.startswith("-")

    def sort_after_click(self, column: str) -> str:
        descending = not self.descending if column == self.column else COLUMNS[column].descends
        return ("-" if descending else "") + column

    def query(self, **changes: str | int) -> str:
        """The query of this view's address with some parameters changed; its first page if none is named."""
        values = {name: getattr(self, name) for name in ("q", "provider", "account", "state", "sort")} | changes
        said = {name: value for name, value in values.items() if value and value != _DEFAULTS.get(name)}
        return f"?{_query(said)}" if said else ""


_DEFAULTS = {"sort": DEFAULT_SORT, "page": 1}


class Pages:
    """
    The templates, and what is around the campaigns while the exporter runs.

    Args:
        links: Relative paths of what else there is to see, by their texts.
        assets: Paths of the pages' own files, by their names.
    """

    def __init__(
        self, *, version: str, links: Mapping[str, str], runbooks: Sequence[str], assets: Mapping[str, str]
    ) -> None:
        environment = Environment(
            loader=FileSystemLoader(Path(__file__).parent / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=_finalize,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        environment.filters |= _FILTERS
        self._around = {"version": version, "links": links, "runbooks": runbooks, "assets": assets}
        environment.globals |= _GLOBALS | self._around
        self._templates = {name: environment.get_template(name) for name in environment.list_templates()}

    def render(self, template: str, **context: Any) -> Iterator[str]:
        """Write a page, in pieces that are quickly made."""
        return self._templates[template].generate(**context)

    def etag(self, *shown: object) -> str:
        """Make the tag of a page: weak, since ages differ each time, and the script counts them up by itself."""
        return weak_tag(repr((self._around, shown)).encode(errors="replace"))


def weak_tag(content: bytes) -> str:
    """Make an ETag; a weak one holds for an answer as it is and as gzip."""
    return f'W/"{blake2b(content, digest_size=12).hexdigest()}"'


def read_assets() -> dict[str, bytes]:
    """Read the files that the pages need, by their names."""
    return {file.name: file.read_bytes() for file in sorted((Path(__file__).parent / "static").iterdir())}


def hashed(name: str, content: bytes) -> str:
    """Put a hash of a file's content into its name, so that it can be kept for ever."""
    stem, dot, kind = name.rpartition(".")
    return f"{stem}.{blake2b(content, digest_size=8).hexdigest()}{dot}{kind}"


def fit(text: str) -> str:
    """Replace what could act on the text around it, or what HTML can't hold."""
    return _UNFIT.sub("\N{REPLACEMENT CHARACTER}", text)


def _finalize(value: object) -> object:
    """Make any text fit that is put into a page."""
    return fit(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def age(seconds: float) -> str:
    seconds = max(0, int(seconds))
    for size, unit in _UNITS:
        if seconds >= 2 * size or (seconds >= size and unit == "min"):
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"


def duration(seconds: float) -> str:
    for size, unit in _UNITS:
        if seconds >= 2 * size or seconds == size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


def percent(ratio: float) -> str:
    """Write a share; neither "100 %" while anything is left, nor "0 %" once anything is done."""
    if 0 < ratio < 0.01:
        return "<1 %"
    if 0.99 < ratio < 1:
        return ">99 %"
    return f"{round(100 * ratio)} %"


def _shares(numbers: Mapping[str, int], order: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Yield class, place and width of each part of a bar in SVG: the policy refuses styles inside the page."""
    total = sum(numbers.values())
    other = sum(number for name, number in numbers.items() if name not in order)
    left = 0.0
    for name, number in (*((name, numbers.get(name, 0)) for name in order), ("other", other)):
        if number:
            # Divided first: two integers may be larger than any float.
            width = _BAR_WIDTH * (number / total)
            yield name, f"{left:.2f}", f"{width:.2f}"
            left += width


def _days(days: Sequence[str]) -> str:
    if len(days) == len(DAYS):
        return "every day"
    places = [DAYS.index(day) for day in days]
    if len(places) > 2 and places == list(range(places[0], places[0] + len(places))):
        return f"{days[0]} to {days[-1]}"
    return ", ".join(days)


def _written(moment: float, form: str, timezone: str = "UTC") -> str:
    return datetime.fromtimestamp(moment, ZoneInfo(timezone)).strftime(form)


def path_of(row: CampaignRow) -> str | None:
    """Give the path of a campaign's page; None for names that no path can hold, since clients take dots away."""
    names = (row.provider, row.account, row.campaign)
    if not {".", ".."}.isdisjoint(names):
        return None
    return "/".join(("campaigns", *(quote(name, safe="", errors="replace") for name in names)))


def _key(*names: str) -> str:
    """Make the key by which the script knows a row again."""
    return blake2b("\0".join(names).encode(errors="replace"), digest_size=8).hexdigest()


def _query(values: Mapping[str, str | int]) -> str:
    return urlencode(values, errors="replace")


_FILTERS = {
    "age": age,
    "days": _days,
    "duration": duration,
    "number": "{:,}".format,
    "percent": percent,
    "query": _query,
    "shares": _shares,
    "written": _written,
}

_GLOBALS: dict[str, Any] = {
    "columns": COLUMNS,
    "key": _key,
    "max_name": MAX_NAME,
    "max_text": MAX_TEXT,
    "max_words": MAX_WORDS,
    "path_of": path_of,
    "states": tuple(WORDS),
    "words": WORDS,
}
