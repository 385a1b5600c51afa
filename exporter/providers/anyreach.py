"""
Anyreach: campaigns as counts of contacts by state, of attempts and of calls in flight.

The stats answer: https://docs.anyreach.ai/campaigns/results-and-analytics.
Routes and filters: https://docs.anyreach.ai/api-reference/campaigns/overview.
Calling windows: https://docs.anyreach.ai/campaigns/configurations.
"""

from typing import TYPE_CHECKING, Annotated, ClassVar, Final

import msgspec

from exporter.campaign.schedule import Schedule, Window
from exporter.campaign.snapshot import CONTACT_BUCKETS, ODD, Snapshot
from exporter.providers.anyreach_contacts import ContactsPage, read_contacts
from exporter.providers.campaign_api import CampaignApi, is_uuid
from exporter.providers.errors import ClientFaultError, InvalidResponseError, NotFoundError
from exporter.providers.http import segment
from exporter.providers.listing import CampaignRecord, Listing, read_record
from exporter.providers.wire import (
    MOST_ENTRIES,
    count,
    counts,
    number,
    object_at,
    read_json,
    read_object,
    text_at,
)

# What the provider takes for a configuration that names none.
DEFAULT_TIMEZONE: Final = "America/New_York"

_BUCKETS: Final = (*CONTACT_BUCKETS, "total")
_NOTHING_SAID: Final = "the answer has neither status nor contacts nor attempts"

if TYPE_CHECKING:
    # To mypy an integer is a float; and those that are odd are floats, which the lenient reading lets through.
    _Count = float
else:
    _Count = Annotated[int, msgspec.Meta(ge=0, lt=ODD)]


class _Attempts(msgspec.Struct, gc=False):
    total: _Count | None = None
    average_per_contact: Annotated[float, msgspec.Meta(ge=0)] | None = None


class _Stats(msgspec.Struct, gc=False):
    status: str | None = None
    contacts: Annotated[dict[str, _Count], msgspec.Meta(max_length=MOST_ENTRIES)] | None = None
    attempts: _Attempts | None = None
    active_calls: _Count | None = None
    concurrency_limit: _Count | None = None
    campaign_id: str | None = None


_decode_stats: Final = msgspec.json.Decoder(_Stats).decode


def read_answer(body: bytes) -> Snapshot:
    """As `read_stats`, in a third of the instructions where every value is of the documented kind."""
    try:
        # As text, because msgspec does not look for invalid UTF-8 in what it skips.
        stats = _decode_stats(body.decode())
    except (ValueError, RecursionError):
        return read_stats(read_object(body))
    if stats.status is None and stats.contacts is None and stats.attempts is None:
        raise InvalidResponseError(_NOTHING_SAID)
    return _snapshot(stats)


def read_stats(payload: dict[str, object]) -> Snapshot:
    """
    Read one stats answer; a value of another kind costs its own sample.

    Counts are contacts by bucket at the moment of the request, not calls.
    `pending` holds contacts that wait for a retry too, so it may rise; `total` is the buckets' sum and no bucket.
    `active_calls` is passed on as sent: the provider does not say whether it is the campaign's or the organization's.

    Raises:
        InvalidResponseError: No stats answer, or another kind of value where an object must stand.
    """
    contacts, attempts = object_at(payload, "contacts"), object_at(payload, "attempts")
    if payload.get("status") is None and contacts is None and attempts is None:
        raise InvalidResponseError(_NOTHING_SAID)
    made = attempts or {}
    return _snapshot(
        _Stats(
            status=text_at(payload, "status"),
            contacts=None if contacts is None else counts(contacts, _BUCKETS),
            attempts=_Attempts(count(made.get("total")), number(made.get("average_per_contact"))),
            active_calls=count(payload.get("active_calls")),
            concurrency_limit=count(payload.get("concurrency_limit")),
            campaign_id=text_at(payload, "campaign_id"),
        )
    )


def _snapshot(stats: _Stats) -> Snapshot:
    buckets, attempts, active_calls = stats.contacts, stats.attempts, stats.active_calls
    loaded = pending = in_progress = made = average = None
    if buckets is not None:
        loaded = buckets.pop("total", None)
        pending, in_progress = buckets.get("pending"), buckets.get("in_progress")
    if attempts is not None:
        made, average = attempts.total, attempts.average_per_contact
    # By position, which costs half as much as by name.
    return Snapshot(
        stats.status,
        None,
        _work_remaining(pending, in_progress),
        (active_calls or in_progress or 0) > 0,
        stats.campaign_id,
        buckets,
        loaded,
        made,
        # The sum takes the sign from a negative zero.
        None if average is None else average + 0.0,
        active_calls,
        stats.concurrency_limit,
    )


def _work_remaining(pending: float | None, in_progress: float | None) -> bool | None:
    if pending or in_progress:
        return True
    return None if pending is None or in_progress is None else False


def read_campaign(payload: dict[str, object]) -> CampaignRecord:
    """Read the answer about one campaign; InvalidResponseError where it holds none."""
    record = read_record(_unwrapped(payload, "campaign"))
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


class _WireWindow(msgspec.Struct):
    days: list[str]
    start: str
    end: str


class _WireOverride(msgspec.Struct):
    # Neither the key of the timezone nor that of the windows is documented.
    timezone: str | None = None
    time_zone: str | None = None
    tz: str | None = None
    windows: list[_WireWindow] | None = None
    time_windows: list[_WireWindow] | None = None


_WireOverrides = dict[str, list[_WireWindow]] | list[_WireOverride]


class _WireSchedule(msgspec.Struct):
    default_windows: list[_WireWindow]
    default_timezone: str | None = None
    overrides: _WireOverrides | None = None
    scheduled_windows: list[_WireWindow] | None = None
    scheduled_overrides: _WireOverrides | None = None


def read_schedule(payload: dict[str, object]) -> Schedule | None:
    """
    Read the calling windows of one configuration.

    An empty list of windows forbids calls, and is read as such; so is one that closes a single timezone.
    Whether the schedule stands under a key of its own is not documented.

    Returns:
        The schedule; None where the windows are missing or anything about them cannot be understood.
    """
    configuration = _unwrapped(payload, "configuration")
    try:
        wire = msgspec.convert(configuration.get("schedule", configuration), _WireSchedule)
        return Schedule(
            default_timezone=DEFAULT_TIMEZONE if wire.default_timezone is None else wire.default_timezone,
            default_windows=_windows(wire.default_windows),
            overrides={} if wire.overrides is None else _overrides(wire.overrides),
            scheduled_windows=None if wire.scheduled_windows is None else _windows(wire.scheduled_windows),
            scheduled_overrides=None if wire.scheduled_overrides is None else _overrides(wire.scheduled_overrides),
        )
    except ValueError:
        return None


def _overrides(wire: _WireOverrides) -> dict[str, tuple[Window, ...]]:
    if isinstance(wire, dict):
        return {timezone: _windows(windows) for timezone, windows in wire.items()}
    overrides: dict[str, tuple[Window, ...]] = {}
    for override in wire:
        timezone = override.timezone or override.time_zone or override.tz
        windows = override.time_windows if override.windows is None else override.windows
        if timezone is None or windows is None or timezone in overrides:
            raise ValueError("an override is not complete, or there are two of one timezone")
        overrides[timezone] = _windows(windows)
    return overrides


def _windows(wire: list[_WireWindow]) -> tuple[Window, ...]:
    return tuple(Window.parse(window.days, window.start, window.end) for window in wire)


class Anyreach(CampaignApi):
    """
    Asks for the campaigns of one organization, by their UUID or their external id.

    The token is an organization's key (`ak_...`) or, together with the organization's id, a personal one (`pat_...`).
    """

    name: ClassVar[str] = "anyreach"
    statuses: ClassVar[tuple[str, ...]] = ("active", "paused", "closed")
    active_status: ClassVar[str] = "active"
    final_status: ClassVar[str | None] = "closed"
    poll_path: ClassVar[str] = "/campaign/campaigns/{}/stats"
    read_answer = staticmethod(read_answer)
    is_own = staticmethod(is_uuid)

    @staticmethod
    def headers_with(token: str, organization: str | None) -> dict[str, str]:
        headers = {"Authorization": f"Bearer {token}"}
        return headers | {"X-Anyreach-Org": organization} if organization else headers

    async def campaign(self, campaign_id: str) -> CampaignRecord:
        """Ask about one campaign itself."""
        path = f"/campaign/campaigns/{segment(campaign_id)}"
        return await self.get(path, lambda body: read_campaign(read_object(body)))

    async def schedule(self, configuration_id: str) -> Schedule | None:
        """Ask for the calling windows of one configuration; None where the answer cannot be understood."""
        path = f"/campaign/configurations/{segment(configuration_id)}"
        return await self.get(path, lambda body: read_schedule(read_object(body)))

    async def contacts_page(self, campaign_id: str, query: str) -> ContactsPage:
        """Ask for one page of a campaign's contacts, as a `ContactWalk` wants it."""
        return await self.get(f"/campaign/campaigns/{segment(campaign_id)}/contacts", read_contacts, query)

    async def list_page(self, listing: Listing) -> None:
        """
        Send one request of a walk through the campaign list, and let the walk take the answer.

        After an error the walk is as it was before: the same page can be asked for again.
        """
        try:
            page = await self.get("/campaign/campaigns", read_json, listing.query())
        except (ClientFaultError, NotFoundError) as exc:
            if not listing.refused(not_found=isinstance(exc, NotFoundError)):
                raise
        else:
            listing.take(page)
