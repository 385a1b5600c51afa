"""
Anyreach: campaigns as counts of contacts by state, of attempts and of calls in flight.

The stats answer: https://docs.anyreach.ai/campaigns/results-and-analytics.
Routes and filters: https://docs.anyreach.ai/api-reference/campaigns/overview.
Calling windows: https://docs.anyreach.ai/campaigns/configurations.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import ClassVar

from yarl import URL

from exporter.errors import InvalidResponseError
from exporter.providers.transport import (
    URLS_KEPT,
    AuthorizedHeaders,
    Transport,
    count,
    number,
    object_at,
    read_object,
    segment,
)
from exporter.snapshot import Snapshot


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
        buckets = {}
        for bucket, value in contacts.items():
            if (size := count(value)) is not None:
                buckets[bucket] = size
        loaded = buckets.pop("total", None)
        pending, in_progress = buckets.get("pending"), buckets.get("in_progress")
    made = average = None
    if attempts is not None:
        made, average = count(attempts.get("total")), number(attempts.get("average_per_contact"))
    active_calls = count(payload.get("active_calls"))
    return Snapshot(
        status=status if isinstance(status, str) else None,
        contacts=buckets,
        contacts_loaded=loaded,
        attempts=made,
        attempts_per_contact=average,
        active_calls=active_calls,
        concurrency_limit=count(payload.get("concurrency_limit")),
        work_remaining=_work_remaining(pending, in_progress),
        calls_in_flight=bool(active_calls or in_progress),
    )


def _work_remaining(pending: float | None, in_progress: float | None) -> bool | None:
    if pending or in_progress:
        return True
    return None if pending is None or in_progress is None else False


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
        self._stats_url = lru_cache(URLS_KEPT)(self._make_stats_url)

    async def poll(self, campaign_id: str) -> Snapshot:
        """
        Ask once for the stats of one campaign, by its UUID or its external id.

        Raises:
            PollError: Any failure that a later poll may cure.
        """
        url = self._stats_url(campaign_id)
        return read_stats(read_object(await self._transport.get(url, self._headers.current())))

    def _make_stats_url(self, campaign_id: str) -> URL:
        return self._transport.url(f"/campaign/campaigns/{segment(campaign_id)}/stats")
