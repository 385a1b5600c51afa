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


def stand(campaign: "CampaignState", now: float) -> tuple[Standing, float]:
    """
    Work out where a campaign stands at a moment (monotonic).

    Returns:
        The standing, and the moment after which time alone may change it; infinite when it can't.
    """
    if not campaign.fresh:
        return _without_values(campaign), inf
    snapshot = campaign.snapshot
    if not campaign.is_active:
        return _inactive(campaign, snapshot), inf
    if not snapshot.work_remaining and (standing := _without_work(snapshot)):
        return standing, inf
    hours = campaign.hours
    if hours is not None and not hours.all_open:
        if hours.windows == 0 and snapshot.work_remaining:
            return Standing.NEVER_DIALS, inf
        if hours.open:
            return Standing.OUTSIDE_HOURS, inf
    return _able_to_dial(campaign, snapshot, now)


def _able_to_dial(campaign: "CampaignState", snapshot: Snapshot, now: float) -> tuple[Standing, float]:
    contacts = snapshot.contacts
    pending = contacts is not None and contacts.get("pending", 0) > 0
    is_saturated = pending and campaign.organization is not None and campaign.organization.busy
    able_at, progress_at, patience = campaign.able_at, campaign.progress_at, campaign.stall_after
    silent_from = inf
    if patience is not None:
        since = now if able_at is None else able_at
        silent_from = patience + (progress_at if progress_at is not None and progress_at > since else since)
    if now <= silent_from:
        return Standing.SATURATED if is_saturated else Standing.DIALING, silent_from
    if is_saturated:
        return Standing.SATURATED, inf
    return _silent(campaign, snapshot.work_remaining if contacts is None else pending, now)


def _silent(campaign: "CampaignState", waiting: bool | None, now: float) -> tuple[Standing, float]:
    """Tell a stall from silence that may be none, since calls were not expected for long enough."""
    since, patience = campaign.expected_at, campaign.stall_after
    if not waiting or since is None or patience is None:
        return Standing.QUIET, inf
    stalled_from = patience + max(since, campaign.progress_at or 0.0)
    return (Standing.STALLED, inf) if now > stalled_from else (Standing.QUIET, stalled_from)


def _without_values(campaign: "CampaignState") -> Standing:
    if campaign.up is None:
        return Standing.NOT_POLLED
    return Standing.STALE if campaign.error is None else Standing.FAILING


def _inactive(campaign: "CampaignState", snapshot: Snapshot) -> Standing:
    if campaign.is_final:
        return Standing.CLOSED
    return Standing.PAUSED if snapshot.status in campaign.lifecycle.statuses else Standing.UNKNOWN_STATUS


def _without_work(snapshot: Snapshot) -> Standing | None:
    """Return whether an active campaign without known work is empty or drained; None where neither is certain."""
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
