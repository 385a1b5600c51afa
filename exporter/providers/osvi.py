"""
OSVI: campaigns as calls by outcome and as queues of contact uploads.

The status answer: https://docs.osvi.ai/api-reference/endpoint/campaign_status.
Tokens and errors: https://docs.osvi.ai/api-reference/introduction.
"""

import math
from dataclasses import dataclass, field
from typing import ClassVar

from exporter.campaign.labels import OVERFLOW
from exporter.campaign.snapshot import CALL_OUTCOMES, CALLS_IN_PROGRESS, Snapshot
from exporter.providers.campaign_api import CampaignApi
from exporter.providers.errors import InvalidResponseError
from exporter.providers.osvi_calls import CALLS_PER_PAGE, CallsPage, read_calls
from exporter.providers.wire import (
    MOST_ENTRIES,
    count,
    counts,
    number,
    object_at,
    read_moment,
    read_object,
    text_at,
    used_up,
)


def read_status(payload: dict[str, object]) -> Snapshot:
    """
    Read one status answer.

    Counts are calls by outcome, not contacts; nothing in it says how many contacts are left.
    Whether `total_queued` is a queue's first size or what is left of it is not documented.

    Raises:
        InvalidResponseError: `success` is not true, or another kind of value where an object or array must stand.
    """
    if payload.get("success") is not True:
        raise InvalidResponseError("success is not true")
    data = object_at(payload, "data") or {}
    campaign = object_at(data, "campaign") or {}
    calls = object_at(data, "calls") or {}
    by_status = object_at(calls, "by_status")
    uploads = data.get("uploads")
    if uploads is not None and not isinstance(uploads, list):
        raise InvalidResponseError("uploads is no array")
    outcomes: dict[str, float] | None = None
    if by_status is not None:
        # The map leaves out what has not happened yet; without a zero to start from, a campaign's first failure could
        # not be seen as a rise.
        outcomes = {outcome: 0 for outcome in CALL_OUTCOMES if outcome not in by_status}
        outcomes |= counts(by_status, (*CALL_OUTCOMES, CALLS_IN_PROGRESS))
    queues = None if uploads is None else _queues_of(uploads)
    retry_enabled = campaign.get("is_retry_enabled")
    return Snapshot(
        status=text_at(campaign, "status"),
        name=text_at(campaign, "name"),
        campaign_id=None if (own_id := count(campaign.get("id"))) is None else f"{own_id:.0f}",
        calls=outcomes,
        calls_made=count(calls.get("total")),
        uploads=None if queues is None else queues.uploads,
        queues=None if queues is None else queues.number,
        queued_contacts=None if queues is None else queues.contacts,
        retry_enabled=int(retry_enabled) if isinstance(retry_enabled, bool) else None,
        retry_threshold=count(campaign.get("retry_threshold")),
        retry_delay_seconds=number(campaign.get("retry_delay")),
        # Without an offset it is of no use: bare dates are Indian time on one route, and undocumented on others.
        created_timestamp_seconds=read_moment(campaign.get("created_at")),
        work_remaining=None if queues is None else queues.work_remaining,
        calls_in_flight=bool(outcomes and outcomes.get(CALLS_IN_PROGRESS)),
    )


def read_answer(body: bytes) -> Snapshot:
    return read_status(read_object(body))


@dataclass(slots=True)
class _Queues:
    """
    The queues of all uploads, added up by agent and state.

    A queue whose `completed` is no boolean is in neither state: calling it open could make a false alarm, calling it
    completed could hide one. Elements that are no objects are passed over.
    """

    uploads: int = 0
    number: dict[tuple[str, str], float] = field(default_factory=dict)
    """By (agent, state); both states for each agent."""
    contacts: dict[tuple[str, str], float] = field(default_factory=dict)
    """Contacts by the same pairs, of the queues that have the number; no pair where none has it."""
    work_remaining: bool | None = False
    """True with an open queue, None where only a queue of unknown state could be one."""

    def add(self, queue: dict[str, object]) -> None:
        completed = queue.get("completed")
        if not isinstance(completed, bool):
            self.work_remaining = self.work_remaining or None
            return
        agent = text_at(queue, "agent_uuid") or ""
        if (agent, "open") not in self.number and len(self.number) >= 2 * MOST_ENTRIES:
            agent = OVERFLOW
        pair, other = (agent, "open"), (agent, "completed")
        if completed:
            pair, other = other, pair
        else:
            self.work_remaining = True
        self.number[pair] = self.number.get(pair, 0) + 1
        self.number.setdefault(other, 0)
        if (contacts := count(queue.get("total_queued"))) is not None:
            total = self.contacts.get(pair, 0) + contacts
            if total < math.inf:
                self.contacts[pair] = total


def _queues_of(uploads: list[object]) -> _Queues:
    queues = _Queues()
    for upload in used_up(uploads):
        if isinstance(upload, dict):
            queues.uploads += 1
            listed = upload.get("queues")
            for queue in used_up(listed) if isinstance(listed, list) else ():
                if isinstance(queue, dict):
                    queues.add(queue)
    for pair, size in queues.number.items():
        if not size:
            queues.contacts[pair] = 0
    return queues


class Osvi(CampaignApi):
    """Asks for the campaigns of one account, by their numbers."""

    name: ClassVar[str] = "osvi"
    statuses: ClassVar[tuple[str, ...]] = ("active", "inactive")
    active_status: ClassVar[str] = "active"
    final_status: ClassVar[str | None] = None
    poll_path: ClassVar[str] = "/v1/campaigns/{}/status"
    read_answer = staticmethod(read_answer)
    is_own = staticmethod(str.isdecimal)

    @staticmethod
    def headers_with(token: str, organization: str | None) -> dict[str, str]:
        return {"API-Token": token}

    async def calls(self, page: int, *, in_progress: bool = False) -> CallsPage:
        """Ask for one page of the account's call log, from 1, the newest call first."""
        query = f"page={page}&per_page={CALLS_PER_PAGE}" + ("&status=in_progress" if in_progress else "")
        return await self.get("/v1/calls", read_calls, query)
