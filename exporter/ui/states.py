"""Where a campaign stands, and the words for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from exporter.campaign.account import AccountState
from exporter.campaign.state import CampaignState

RECENT_SECONDS = 300.0
"""How long a call is a sign that a campaign is dialing."""


class State(StrEnum):
    """Where a campaign stands, worked out of its numbers; what needs attention most comes first."""

    FAILING = "failing"
    STALLED = "stalled"
    NEVER_DIALS = "never_dials"
    STALE = "stale"
    SATURATED = "saturated"
    UNKNOWN = "unknown"
    QUIET = "quiet"
    DRAINED = "drained"
    UNPOLLED = "unpolled"
    DIALING = "dialing"
    WAITING = "waiting"
    EMPTY = "empty"
    PAUSED = "paused"
    CLOSED = "closed"

    # Enum's own is a function in Python, and thousands of rows are counted by their state.
    __hash__ = str.__hash__


@dataclass(frozen=True, slots=True)
class StateWords:
    """How a state is shown."""

    title: str
    tone: str
    """The class that colours it: bad, warn, note, good or idle."""
    meaning: str
    advice: str | None = None
    """What to do about it, where something is to be done."""
    alert: str | None = None
    """The alert that follows from it."""


WORDS: Mapping[State, StateWords] = {
    State.FAILING: StateWords(
        "Failing",
        "bad",
        "It can't be read: its values were withdrawn, the provider knows no such campaign, or the account's "
        "credentials are refused.",
        alert="CampaignPollsFailing",
    ),
    State.STALLED: StateWords(
        "Stalled",
        "bad",
        "It should be dialing, and has made no progress for longer than stall_after.",
        "Check whether its agents run, whether the contacts that are left are scheduled for later, and whether the "
        "provider has an incident.",
        "CampaignStalled",
    ),
    State.NEVER_DIALS: StateWords(
        "Never dials",
        "bad",
        "It is active and has work left, but its configuration has no calling windows.",
        "Add calling windows to its configuration: without any, the provider places no call.",
        "CampaignNeverDials",
    ),
    State.STALE: StateWords(
        "Stale",
        "warn",
        "The last poll succeeded, but no other has followed for longer than stale_after.",
        "The exporter no longer polls it in time: check its log, and whether the request budget is too small.",
        "CampaignDataStale",
    ),
    State.SATURATED: StateWords(
        "At its cap",
        "warn",
        "Contacts wait while the organization's calls are at the concurrency limit.",
        "Raise the organization's concurrency limit, pause other campaigns, or wait.",
        "CampaignConcurrencySaturated",
    ),
    State.UNKNOWN: StateWords(
        "Unknown status",
        "warn",
        "The provider sends no status, or one that is not documented.",
        "Look up in the provider's dashboard what this status means.",
    ),
    State.QUIET: StateWords(
        "Quiet", "warn", "It may dial and has work left, and no call was seen within the last five minutes."
    ),
    State.DRAINED: StateWords(
        "Drained",
        "note",
        "All contacts are worked through, and it is still active.",
        "Close it, or load more contacts.",
        "CampaignDrained",
    ),
    State.UNPOLLED: StateWords("Not polled yet", "note", "It has not been polled yet."),
    State.DIALING: StateWords("Dialing", "good", "Calls are in progress, or were seen within the last five minutes."),
    State.WAITING: StateWords(
        "Outside its hours", "idle", "It is active and has work left, outside its calling hours."
    ),
    State.EMPTY: StateWords("Empty", "note", "It is active, and nothing has been loaded into it yet."),
    State.PAUSED: StateWords("Paused", "idle", "It is switched off (paused or inactive)."),
    State.CLOSED: StateWords("Closed", "idle", "It is closed for good."),
}

ATTENTION: Mapping[State, int] = {state: rank for rank, state in enumerate(State)}


def stand(campaign: CampaignState, breaker_open: bool, at_cap: bool, wall: float) -> State:
    """
    Work out where a campaign stands, by the rules of the alerts as far as one moment can tell.

    Args:
        breaker_open: Whether its account's credentials are refused.
        at_cap: Whether its organization's calls are at the concurrency limit.
        wall: Unix time.
    """
    if campaign.error and (breaker_open or not campaign.fresh or campaign.error == "not_found"):
        # A campaign that was closed may disappear later, and that is no incident.
        return State.CLOSED if campaign.is_final and campaign.error == "not_found" else State.FAILING
    if not campaign.polled:
        return State.UNPOLLED
    if not campaign.fresh:
        return State.STALE
    if campaign.is_final:
        return State.CLOSED
    if not campaign.is_active:
        return State.PAUSED if campaign.snapshot.status in campaign.lifecycle.statuses else State.UNKNOWN
    return _stand_of_active(campaign, at_cap, wall)


def is_at_cap(account: AccountState, now: float) -> bool:
    """Tell whether an organization's calls are at its concurrency limit."""
    calls, limit = account.active_calls(now), account.concurrency_limit(now)
    return calls is not None and limit is not None and calls >= limit > 0


def _stand_of_active(campaign: CampaignState, at_cap: bool, wall: float) -> State:
    snapshot = campaign.snapshot
    if snapshot.work_remaining is False:
        return State.DRAINED if snapshot.contacts_loaded or snapshot.queues else State.EMPTY
    if campaign.windows == 0 and snapshot.work_remaining:
        return State.NEVER_DIALS
    # Others hold the slots: silence says nothing of this campaign, so this comes before a stall.
    may_dial = campaign.expected != 0 or campaign.calls_in_flight
    if at_cap and may_dial and (snapshot.contacts or {}).get("pending", 0) > 0:
        return State.SATURATED
    if _is_stalled(campaign, wall):
        return State.STALLED
    if campaign.calls_in_flight or _has_called_lately(campaign, wall):
        return State.DIALING
    return State.WAITING if campaign.expected == 0 else State.QUIET


def _is_stalled(campaign: CampaignState, wall: float) -> bool:
    since, progress, patience = campaign.expected_since, campaign.last_progress, campaign.stall_after
    if since is None or progress is None or patience is None:
        return False
    return wall - max(since, progress) > patience


def _has_called_lately(campaign: CampaignState, wall: float) -> bool:
    if campaign.last_progress is None or wall - campaign.last_progress > RECENT_SECONDS:
        return False
    # The first successful poll counts as progress, and is no sign of a call.
    return bool(campaign.rises.attempts) or any((campaign.rises.calls or {}).values())
