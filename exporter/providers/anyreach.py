"""
Anyreach: campaigns as counts of contacts by state, of attempts and of calls in flight.

The stats answer: https://docs.anyreach.ai/campaigns/results-and-analytics.
Routes and filters: https://docs.anyreach.ai/api-reference/campaigns/overview.
Calling windows: https://docs.anyreach.ai/campaigns/configurations.
"""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final
from urllib.parse import urlencode

from exporter.campaign.schedule import Schedule, Window
from exporter.campaign.snapshot import Snapshot
from exporter.providers.errors import ClientFaultError, InvalidResponseError
from exporter.providers.http import (
    AuthorizedHeaders,
    Transport,
    count,
    counts,
    number,
    object_at,
    read_json,
    read_object,
    segment,
    text_at,
)

# What the provider takes for a configuration that names none.
DEFAULT_TIMEZONE: Final = "America/New_York"

PAGE_SIZE: Final = 100
MOST_PAGES: Final = 1_000


def read_stats(payload: dict[str, object]) -> Snapshot:
    """
    Read one stats answer.

    Counts are contacts by bucket at the moment of the request, not calls.
    `pending` holds contacts that wait for a retry too, so it may rise; `total` is the buckets' sum and no bucket.
    `active_calls` is passed on as sent: the provider does not say whether it is the campaign's or the organization's.

    Raises:
        InvalidResponseError: No stats answer, or another kind of value where an object must stand.
    """
    status, contacts, attempts = payload.get("status"), object_at(payload, "contacts"), object_at(payload, "attempts")
    if status is None and contacts is None and attempts is None:
        raise InvalidResponseError("the answer has neither status nor contacts nor attempts")
    buckets: dict[str, float] | None = None
    loaded = pending = in_progress = None
    if contacts is not None:
        buckets = counts(contacts)
        loaded = buckets.pop("total", None)
        pending, in_progress = buckets.get("pending"), buckets.get("in_progress")
    made = average = None
    if attempts is not None:
        made, average = count(attempts.get("total")), number(attempts.get("average_per_contact"))
    active_calls = count(payload.get("active_calls"))
    # By position, which costs half as much as by name.
    return Snapshot(
        status if isinstance(status, str) else None,
        None,
        _work_remaining(pending, in_progress),
        bool(active_calls or in_progress),
        buckets,
        loaded,
        made,
        average,
        active_calls,
        count(payload.get("concurrency_limit")),
    )


def _work_remaining(pending: float | None, in_progress: float | None) -> bool | None:
    if pending or in_progress:
        return True
    return None if pending is None or in_progress is None else False


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


def read_campaign(payload: dict[str, object]) -> CampaignRecord:
    """
    Read the answer about one campaign.

    Raises:
        InvalidResponseError: It holds no campaign.
    """
    record = _record(_unwrapped(payload, "campaign"))
    if record is None:
        raise InvalidResponseError("the answer holds no campaign")
    return record


def _unwrapped(payload: dict[str, object], name: str) -> dict[str, object]:
    """The object itself; whether the provider puts it under a key of its own is not documented."""
    for key in (name, "data"):
        inner = payload.get(key)
        if isinstance(inner, dict) and "id" not in payload:
            return inner
    return payload


def _record(item: object) -> CampaignRecord | None:
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


def read_schedule(payload: dict[str, object]) -> Schedule | None:
    """
    Read the calling windows of one configuration.

    An empty list of windows forbids calls, and is read as such; so is one that closes a single timezone.
    The keys of an override are not documented, nor is whether the schedule stands under a key of its own.

    Returns:
        The schedule; None where the windows are missing or anything about them cannot be understood.
    """
    configuration = _unwrapped(payload, "configuration")
    schedule = configuration.get("schedule", configuration)
    if not isinstance(schedule, dict):
        return None
    timezone, overrides = schedule.get("default_timezone"), schedule.get("overrides")
    scheduled_windows, scheduled_overrides = schedule.get("scheduled_windows"), schedule.get("scheduled_overrides")
    try:
        return Schedule(
            default_timezone=DEFAULT_TIMEZONE if timezone is None else _text(timezone),
            default_windows=_windows(schedule.get("default_windows")),
            overrides={} if overrides is None else _overrides(overrides),
            scheduled_windows=None if scheduled_windows is None else _windows(scheduled_windows),
            scheduled_overrides=None if scheduled_overrides is None else _overrides(scheduled_overrides),
        )
    except ValueError:
        return None


def _overrides(value: object) -> dict[str, tuple[Window, ...]]:
    """Windows by timezone, from a list of overrides or from an object with timezones as its keys."""
    if isinstance(value, dict):
        return {timezone: _windows(windows) for timezone, windows in value.items()}
    overrides: dict[str, tuple[Window, ...]] = {}
    for override in map(_object, _list(value)):
        timezone = _text(_first(override, "timezone", "time_zone", "tz"))
        if timezone in overrides:
            raise ValueError("two overrides of one timezone")
        overrides[timezone] = _windows(_first(override, "windows", "time_windows"))
    return overrides


def _windows(value: object) -> tuple[Window, ...]:
    return tuple(
        Window.parse(
            [_text(day) for day in _list(window.get("days"))], _text(window.get("start")), _text(window.get("end"))
        )
        for window in map(_object, _list(value))
    )


def _first(mapping: dict[str, object], *keys: str) -> object:
    return next((mapping[key] for key in keys if key in mapping), None)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("no text")
    return value


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise ValueError("no list")
    return value


def _object(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise ValueError("no object")
    return value


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
        for record in map(_record, items):
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


class Anyreach:
    """
    Asks for the campaigns of one organization.

    Args:
        transport: Sends the requests, entered by the caller.
        token: Gives the credential in force: an organization's key (`ak_...`) or a personal token (`pat_...`).
        organization: The organization's id, which a personal token needs and a key must not have.
    """

    name: ClassVar[str] = "anyreach"
    statuses: ClassVar[tuple[str, ...]] = ("active", "paused", "closed")
    active_status: ClassVar[str] = "active"
    final_status: ClassVar[str | None] = "closed"

    def __init__(self, transport: Transport, token: Callable[[], str], *, organization: str | None = None) -> None:
        self._transport = transport
        extra = {"X-Anyreach-Org": organization} if organization else {}
        self._headers = AuthorizedHeaders(token, lambda token: {"Authorization": f"Bearer {token}", **extra})

    async def poll(self, campaign_id: str) -> Snapshot:
        """
        Ask once for the stats of one campaign, by its UUID or its external id.

        Raises:
            PollError: Any failure that a later poll may cure.
        """
        return read_stats(read_object(await self._get(f"/campaign/campaigns/{segment(campaign_id)}/stats")))

    async def campaign(self, campaign_id: str) -> CampaignRecord:
        """
        Ask about one campaign itself, by its UUID or its external id.

        Raises:
            PollError: Any failure that a later request may cure.
        """
        return read_campaign(read_object(await self._get(f"/campaign/campaigns/{segment(campaign_id)}")))

    async def schedule(self, configuration_id: str) -> Schedule | None:
        """
        Ask for the calling windows of one configuration.

        Returns:
            The schedule; None where the answer cannot be understood.

        Raises:
            PollError: Any failure that a later request may cure.
        """
        path = f"/campaign/configurations/{segment(configuration_id)}"
        return read_schedule(read_object(await self._get(path)))

    async def list_page(self, listing: Listing) -> None:
        """
        Send one request of a walk through the campaign list, and let the walk take the answer.

        After an error the walk is as it was before: the same page can be asked for again.

        Raises:
            PollError: Any failure that a later request may cure.
        """
        try:
            body = await self._get("/campaign/campaigns", listing.query())
        except ClientFaultError:
            if not listing.refused():
                raise
        else:
            listing.take(read_json(body))

    async def _get(self, path: str, query: str = "") -> bytes:
        return await self._transport.get(self._transport.url(path, query), self._headers.current())
