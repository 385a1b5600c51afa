"""
Where a campaign stands: the one definition, which the page, the interface for programs, the metrics and the alerts use.

https://docs.anyreach.ai/campaigns/overview and the status answer of OSVI say what the providers' statuses mean.
"""

from enum import StrEnum
from math import inf
from typing import TYPE_CHECKING

from exporter.campaign.snapshot import CALLS_IN_PROGRESS, Snapshot

if TYPE_CHECKING:
    from exporter.campaign.state import CampaignState

BUSY = 0.9
"""The use of an organization's cap above which silence of one campaign is no sign: others hold the slots."""


class Standing(StrEnum):
    """The values of `campaign_state`; the first one that holds is a campaign's."""

    NOT_POLLED = "not_polled"
    FAILING = "failing"
    STALE = "stale"
    CLOSED = "closed"
    PAUSED = "paused"
    UNKNOWN_STATUS = "unknown_status"
    EMPTY = "empty"
    DRAINED = "drained"
    NEVER_DIALS = "never_dials"
    OUTSIDE_HOURS = "outside_hours"
    STALLED = "stalled"
    SATURATED = "saturated"
    QUIET = "quiet"
    DIALING = "dialing"

    # Enum's own is a function in Python, and thousands of campaigns are counted by their standing.
    __hash__ = str.__hash__


MAY_DIAL = frozenset({Standing.STALLED, Standing.SATURATED, Standing.QUIET, Standing.DIALING})
"""Standings of a campaign that may place calls now; time and the organization's use decide between them."""


def stand(campaign: "CampaignState", now: float) -> Standing:
    """Tell where a campaign stands at a moment (monotonic)."""
    if campaign.up is None:
        return Standing.NOT_POLLED
    if not campaign.fresh:
        return Standing.STALE if campaign.error is None else Standing.FAILING
    if campaign.is_final:
        return Standing.CLOSED
    snapshot = campaign.snapshot
    if not campaign.is_active:
        return Standing.PAUSED if snapshot.status in campaign.lifecycle.statuses else Standing.UNKNOWN_STATUS
    if not snapshot.work_remaining and (standing := _without_work(snapshot)):
        return standing
    hours = campaign.hours
    if hours is not None and not hours.all_open:
        if hours.windows == 0 and snapshot.work_remaining:
            return Standing.NEVER_DIALS
        if hours.open:
            return Standing.OUTSIDE_HOURS
    return _able_to_dial(campaign, snapshot, now)


def _able_to_dial(campaign: "CampaignState", snapshot: Snapshot, now: float) -> Standing:
    is_busy = campaign.organization is not None and campaign.organization.busy
    pending = snapshot.contacts is not None and snapshot.contacts.get("pending", 0) > 0
    waiting = pending if snapshot.contacts is not None else snapshot.work_remaining
    if waiting and not is_busy and now > _stalled_from(campaign):
        return Standing.STALLED
    if pending and is_busy:
        return Standing.SATURATED
    return Standing.QUIET if now > _quiet_from(campaign) else Standing.DIALING


def _without_work(snapshot: Snapshot) -> Standing | None:
    """Tell whether an active campaign without known work is empty or drained; None where neither is certain."""
    contacts, calls = snapshot.contacts or {}, snapshot.calls or {}
    attempted = (snapshot.attempts or 0) > 0
    called = attempted or (snapshot.calls_made or 0) > 0 or any(calls.values()) or contacts.get("in_progress", 0) > 0
    loaded = attempted or (snapshot.contacts_loaded or 0) > 0 or any(contacts.values()) or bool(snapshot.queues)
    known = snapshot.work_remaining is False
    if not called and not loaded and (known or snapshot.contacts_loaded == 0):
        return Standing.EMPTY
    in_progress = contacts.get("in_progress") or calls.get(CALLS_IN_PROGRESS)
    # Calls without any queue are an inbound campaign's, which is never worked through.
    return Standing.DRAINED if known and loaded and not in_progress else None


def next_change(campaign: "CampaignState", now: float) -> float:
    """The moment from which time alone may put a campaign elsewhere; infinite when it can't."""
    if campaign.standing not in MAY_DIAL:
        return inf
    return min((at for at in (_stalled_from(campaign), _quiet_from(campaign)) if at >= now), default=inf)


def _stalled_from(campaign: "CampaignState") -> float:
    """Up to this moment silence is no stall."""
    since, progress, patience = campaign.expected_at, campaign.progress_at, campaign.stall_after
    if since is None or progress is None or patience is None:
        return inf
    return max(since, progress) + patience


def _quiet_from(campaign: "CampaignState") -> float:
    """Up to this moment silence is nothing to speak of, whether calls are expected or not."""
    since, progress, patience = campaign.able_at, campaign.progress_at, campaign.stall_after
    if since is None or progress is None or patience is None:
        return inf
    return max(since, progress) + patience
