"""The campaigns that a provider lists: one record, and the walk through the pages of the list, without requests."""

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

from exporter.config.model import DiscoverySettings
from exporter.providers.errors import InvalidResponseError
from exporter.providers.wire import count, read_id, text_at

PAGE_SIZE: Final = 100
MOST_PAGES: Final = 1_000

Position = tuple[str, str]
"""A query parameter that says where a page begins, and its value."""

# Where an answer may say how it goes on, under which keys: none of it is documented.
_PLACES: Final = ("meta", "pagination", "page_info", "pageInfo", "links", "_links")
_CURSORS: Final = ("next_cursor", "nextCursor", "next_page_token", "nextPageToken")
_MORE: Final = ("has_more", "hasMore", "has_next", "hasNext", "has_next_page", "hasNextPage")
_NEXT: Final = ("next", "next_page", "nextPage", "next_url")
_TOTALS: Final = ("total", "total_count", "totalCount", "total_items", "totalItems")
_TOTAL_PAGES: Final = ("total_pages", "totalPages", "page_count", "last_page")
_PAGES: Final = ("page", "current_page", "currentPage")
_IN_A_LINK: Final = ("cursor", "offset", "page", "page_token")


@dataclass(frozen=True, slots=True)
class CampaignRecord:
    """A campaign as the list and the campaign route show it; None for what they did not say."""

    id: str
    """The provider's own id, a UUID."""
    external_id: str | None = None
    """The owner's id of it, which the routes take too."""
    name: str | None = None
    status: str | None = None
    configuration_id: str | None = None
    """The configuration that holds its calling windows; shared with other campaigns."""


def read_record(item: object) -> CampaignRecord | None:
    if not isinstance(item, dict) or (own_id := read_id(item.get("id"))) is None:
        return None
    return CampaignRecord(
        id=own_id,
        external_id=read_id(item.get("external_id")),
        name=text_at(item, "name"),
        status=text_at(item, "status"),
        configuration_id=_configuration_id(item),
    )


def _configuration_id(item: dict[str, object]) -> str | None:
    """The reference to the configuration; its key is not documented."""
    for key in ("configuration_id", "config_id", "campaign_configuration_id", "configuration", "config"):
        value = item.get(key)
        if (found := read_id(value.get("id") if isinstance(value, dict) else value)) is not None:
            return found
    return None


@dataclass(slots=True, kw_only=True, eq=False)
class Listing:
    """
    One walk through the pages of the campaign list, without the requests: `query` is the next one, `take` reads its
    answer.

    The shape of a page is not documented. A bare array is accepted, and an object with one array. The next page is
    where the answer says; where it says nothing, it is asked for with the Base64 of the last campaign's `created_at`
    as the cursor, as https://docs.anyreach.ai/api-reference/conversations/list-conversations has it for another list.
    A walk ends where the answer says so, else with a page that is empty or repeated: a server may give fewer campaigns
    on a page than it was asked for. It is complete only if nothing in the answers says that there are more.

    Attributes:
        max_campaigns: The walk ends incomplete when there are more.
        statuses: None for all.
        name_contains: In any case; empty for all.
        campaigns: Those found so far, each once, in the order of the list.
        ended: Whether there is nothing left to ask for.
        problem: Why the walk ended too early.
    """

    max_campaigns: int
    statuses: Sequence[str] = ()
    name_contains: str = ""
    campaigns: list[CampaignRecord] = field(default_factory=list)
    ended: bool = False
    problem: str | None = None
    _limit: int | None = PAGE_SIZE
    _pages: int = 0
    _items: int = 0
    _seen: set[str] = field(default_factory=set)
    _unfinished: bool = True
    """Whether the answers say that there are campaigns that were not seen yet."""
    _position: Position | None = None
    _positions: list[Position] = field(default_factory=list)
    """Other places where the next page may begin, if nothing is found at `_position`."""
    _asked: set[Position] = field(default_factory=set)

    @classmethod
    def of(
        cls, options: DiscoverySettings, statuses: Sequence[str] | None = None, name_contains: str | None = None
    ) -> Self:
        """A walk through the campaigns that discovery is configured for, or that the other arguments choose."""
        return cls(
            statuses=options.statuses if statuses is None else statuses,
            name_contains=options.name_contains if name_contains is None else name_contains,
            max_campaigns=options.max_campaigns,
        )

    @property
    def complete(self) -> bool:
        """Whether all campaigns were seen."""
        return self.ended and self.problem is None

    def query(self) -> str:
        parameters = [("status", status) for status in self.statuses]
        if self.name_contains:
            parameters.append(("name", self.name_contains))
        if self._limit is not None:
            parameters.append(("limit", str(self._limit)))
        if self._position is not None:
            parameters.append(self._position)
        return urlencode(parameters, errors="surrogatepass")

    def take(self, payload: object) -> None:
        """Read one page; InvalidResponseError where it has neither shape."""
        items, envelope = _page(payload)
        self._pages += 1
        before = len(self._seen)
        for record in map(read_record, items):
            if record is None or record.id in self._seen:
                continue
            self._seen.add(record.id)
            if not self._wanted(record):
                continue
            if len(self.campaigns) == self.max_campaigns:
                self._end(f"there are more than {self.max_campaigns} campaigns")
                return
            self.campaigns.append(record)
        is_new = len(self._seen) > before
        if is_new:
            self._items += len(items)
            self._look_for_more(items, _Envelope(envelope))
        elif not items:
            self._unfinished = _Envelope(envelope).says_more(len(self._seen), self._pages) is True
        if is_new or self._unfinished:
            self._go_on()
        else:
            self._end()

    def refused(self, *, not_found: bool = False) -> bool:
        """
        Take a refusal of the last query for what it may be: a parameter that the server does not know.

        Args:
            not_found: A 404, which for the first page means that there is no such list.

        Returns:
            False when it was no guess of ours that was refused.
        """
        if self._position is None:
            # Neither the parameter's name nor its largest value is documented.
            is_guess, self._limit = self._limit is not None and not not_found, None
            return is_guess
        if self._unfinished and not self._positions:
            return False
        if self._unfinished:
            self._go_on()
        else:
            self._end()
        return True

    def _wanted(self, record: CampaignRecord) -> bool:
        """Apply the filters here too, in case the server does not."""
        if self.statuses and record.status is not None and record.status not in self.statuses:
            return False
        return record.name is None or self.name_contains.casefold() in record.name.casefold()

    def _look_for_more(self, items: list[object], envelope: "_Envelope") -> None:
        says_more = envelope.says_more(len(self._seen), self._pages)
        is_full = self._limit is not None and len(items) >= self._limit
        self._unfinished = says_more is True or (says_more is None and is_full)
        self._positions = []
        if says_more is not False:
            named = list(envelope.positions(self._items, self._pages))
            guessed = [*_made_cursor(items[-1]), ("offset", str(self._items))]
            self._positions = named if any(key == "cursor" for key, _ in named) else [*named, *guessed]

    def _go_on(self) -> None:
        """Ask for the next page where it may begin, or end the walk."""
        self._positions = [position for position in self._positions if position not in self._asked]
        if not self._positions:
            self._end("the answers say that there are more campaigns than can be listed" if self._unfinished else None)
        elif self._pages >= MOST_PAGES:
            self._end(f"there are more than {MOST_PAGES} pages")
        else:
            self._position = self._positions.pop(0)
            self._asked.add(self._position)

    def _end(self, problem: str | None = None) -> None:
        self.ended, self.problem = True, problem


def _page(payload: object) -> tuple[list[object], dict[str, object]]:
    """The campaigns of a page, and what stands around them."""
    if isinstance(payload, list):
        return payload, {}
    if isinstance(payload, dict):
        arrays = {key: value for key, value in payload.items() if isinstance(value, list)}
        for key in ("campaigns", "items", "data", "results", *arrays):
            if key in arrays:
                return arrays[key], payload
    raise InvalidResponseError("the answer holds no list of campaigns")


class _Envelope:
    """What stands around the campaigns of a page, and may say whether there are more, and where."""

    def __init__(self, envelope: dict[str, object]) -> None:
        inner = (envelope.get(name) for name in _PLACES)
        self._places = [envelope, *(place for place in inner if isinstance(place, dict))]

    def says_more(self, seen: int, page: int) -> bool | None:
        """Whether there are more campaigns than those that were seen up to this page; None where nothing says so."""
        said = [bool(value) for value in self._values(*_CURSORS, *_MORE, *_NEXT)]
        said += [total > seen for total in self._numbers(*_TOTALS)]
        page = self._page_number(page)
        said += [total > page for total in self._numbers(*_TOTAL_PAGES)]
        return any(said) if said else None

    def positions(self, offset: int, page: int) -> Iterator[Position]:
        """Where the next page begins by what is said here, the surest first."""
        for cursor in self._values(*_CURSORS):
            if (named := read_id(cursor)) is not None:
                yield "cursor", named
        for link in self._values(*_NEXT):
            if isinstance(link, str):
                yield from ((key, value) for key, value in _query(link) if key in _IN_A_LINK)
        if any(True for _ in self._values("offset")):
            yield "offset", str(offset)
        if any(True for _ in self._values(*_PAGES, *_TOTAL_PAGES)):
            yield "page", str(self._page_number(page) + 1)

    def _page_number(self, page: int) -> int:
        return int(next(self._numbers(*_PAGES), page))

    def _values(self, *keys: str) -> Iterator[object]:
        return (place[key] for place in self._places for key in keys if key in place)

    def _numbers(self, *keys: str) -> Iterator[float]:
        return (number for value in self._values(*keys) if (number := count(value)) is not None)


def _query(link: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(urlsplit(link).query)
    except ValueError:
        return []


def _made_cursor(last: object) -> list[Position]:
    created_at = last.get("created_at") if isinstance(last, dict) else None
    if not isinstance(created_at, str):
        return []
    return [("cursor", base64.b64encode(created_at.encode(errors="surrogatepass")).decode())]
