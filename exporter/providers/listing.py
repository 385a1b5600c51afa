"""The campaigns that a provider lists: one record, and the walk through the pages of the list, without requests."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from exporter.providers.errors import InvalidResponseError
from exporter.providers.wire import text_at

PAGE_SIZE: Final = 100
MOST_PAGES: Final = 1_000


@dataclass(frozen=True, slots=True)
class CampaignRecord:
    """A campaign as the list and the campaign route show it; None for what they did not say."""

    id: str
    """The provider's own id, a UUID."""
    external_id: str | None = None
    """The owner's id of it, which the routes take too."""
    name: str | None = None
    """Display name."""
    status: str | None = None
    """The campaign's status in the provider's words."""
    configuration_id: str | None = None
    """The configuration that holds its calling windows; shared with other campaigns."""


def read_record(item: object) -> CampaignRecord | None:
    """Read a campaign; None where there is none."""
    if not isinstance(item, dict) or (own_id := _id(item.get("id"))) is None:
        return None
    return CampaignRecord(
        id=own_id,
        external_id=_id(item.get("external_id")),
        name=text_at(item, "name"),
        status=text_at(item, "status"),
        configuration_id=_configuration_id(item),
    )


def _id(value: object) -> str | None:
    if type(value) is int:
        return str(value)
    return value if isinstance(value, str) and value else None


def _configuration_id(item: dict[str, object]) -> str | None:
    """The reference to the configuration; its key is not documented."""
    for key in ("configuration_id", "config_id", "campaign_configuration_id", "configuration", "config"):
        value = item.get(key)
        if (found := _id(value.get("id") if isinstance(value, dict) else value)) is not None:
            return found
    return None


class Listing:
    """
    One walk through the pages of the campaign list, without the requests: `query` says what to ask for next, `take`
    reads the answer.

    The page's shape is not documented. A bare array is accepted, and an object with one array; the next cursor is the
    one that the answer names, else the Base64 of the last campaign's `created_at` as long as pages are full, as
    https://docs.anyreach.ai/api-reference/conversations/list-conversations has it for another list.
    A walk that cannot be finished is no proof that a campaign is gone: it ends with `complete` False.

    Args:
        statuses: Campaigns in one of these statuses; none for all.
        name_contains: Campaigns whose name contains this, in any case; empty for all.
        max_campaigns: Most campaigns to find; the walk ends incomplete when there are more.

    Attributes:
        ended: Whether there is nothing left to ask for.
        complete: Whether all campaigns were seen; False until then.
        problem: Why the walk ended too early; None when it did not.
    """

    def __init__(self, *, statuses: Sequence[str] = (), name_contains: str = "", max_campaigns: int) -> None:
        self.ended = False
        self.complete = False
        self.problem: str | None = None
        self._statuses = tuple(statuses)
        self._name_contains = name_contains
        self._max_campaigns = max_campaigns
        self._limit: int | None = PAGE_SIZE
        self._cursor: str | None = None
        self._cursors: set[str] = set()
        self._pages = 0
        self._seen: set[str] = set()
        self._found: list[CampaignRecord] = []
        # Whether the page that `query` asks for may well not exist, the last one being shorter than asked for.
        self._guessing = False

    @property
    def campaigns(self) -> tuple[CampaignRecord, ...]:
        """The campaigns found so far, each once, in the order of the list."""
        return tuple(self._found)

    def query(self) -> str:
        """The query string of the next page."""
        parameters = [("status", status) for status in self._statuses]
        if self._name_contains:
            parameters.append(("name", self._name_contains))
        if self._limit is not None:
            parameters.append(("limit", str(self._limit)))
        if self._cursor is not None:
            parameters.append(("cursor", self._cursor))
        return urlencode(parameters, errors="surrogatepass")

    def take(self, payload: object) -> None:
        """
        Read one page.

        Raises:
            InvalidResponseError: No page of either shape.
        """
        items, envelope = _page(payload)
        self._pages += 1
        before = len(self._seen)
        for record in map(read_record, items):
            if record is None or record.id in self._seen:
                continue
            self._seen.add(record.id)
            if not self._wanted(record):
                continue
            if len(self._found) == self._max_campaigns:
                self._stop(f"there are more than {self._max_campaigns} campaigns")
                return
            self._found.append(record)
        if len(self._seen) > before:
            self._look_for_more(items, envelope)
        elif self._guessing or not items:
            self._finish()
        else:
            self._stop("a page holds no campaign that was not seen before")

    def refused(self) -> bool:
        """
        Take a refusal (a 4xx) of the last query.

        Returns:
            True when only a guess of ours was refused, so that the walk has ended or can go on.
        """
        if self._guessing:
            self._finish()
        elif self._cursor is None and self._limit is not None:
            # Neither the parameter's name nor its largest value is documented.
            self._limit = None
        else:
            return False
        return True

    def _wanted(self, record: CampaignRecord) -> bool:
        """Apply the filters here too, in case the server does not."""
        if self._statuses and record.status is not None and record.status not in self._statuses:
            return False
        return record.name is None or self._name_contains.casefold() in record.name.casefold()

    def _look_for_more(self, items: list[object], envelope: dict[str, object]) -> None:
        more = any(envelope.get(key) for key in ("has_more", "hasMore", "next"))
        cursor = _named_cursor(envelope)
        self._guessing = False
        if cursor is None:
            # A shorter page of a round number may be the largest that the server gives.
            round_number = len(items) % 10 == 0
            more = more or (round_number if self._limit is None else len(items) >= self._limit)
            self._guessing = round_number and not more
            cursor = _made_cursor(items[-1]) if more or self._guessing else ""
        if cursor:
            self._go_on(cursor)
        elif more:
            self._stop("nothing tells where the next page begins")
        else:
            self._finish()

    def _go_on(self, cursor: str) -> None:
        if cursor in self._cursors:
            self._stop("a cursor is repeated")
        elif self._pages >= MOST_PAGES:
            self._stop(f"there are more than {MOST_PAGES} pages")
        else:
            self._cursors.add(cursor)
            self._cursor = cursor

    def _finish(self) -> None:
        self.ended = self.complete = True

    def _stop(self, problem: str) -> None:
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


def _named_cursor(envelope: dict[str, object]) -> str | None:
    """The next cursor that an answer names; empty where it says that there is none, None where it says nothing."""
    for place in (envelope, *(envelope.get(name) for name in ("meta", "pagination", "page_info"))):
        for key in ("next_cursor", "nextCursor", "next_page_token", "nextPageToken"):
            if isinstance(place, dict) and key in place:
                return _id(place[key]) or ""
    return None


def _made_cursor(last: object) -> str:
    created_at = last.get("created_at") if isinstance(last, dict) else None
    if not isinstance(created_at, str):
        return ""
    return base64.b64encode(created_at.encode(errors="surrogatepass")).decode()
