"""
Every campaign as one row for people: where it stands, in words, and the numbers that say so.

The page and the JSON API show the same rows. Looking through ten thousand campaigns takes a while, so it is done in
slices, between which the event loop does what is due, and once for everybody who asks within a second.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import inf
from operator import attrgetter
from typing import Any, TypeVar

from pydantic import ConfigDict

from exporter.campaign.account import AccountState
from exporter.campaign.snapshot import CALLS_IN_PROGRESS, Snapshot
from exporter.campaign.state import CampaignState

T = TypeVar("T")

MAX_AGE = 1.0
"""Seconds for which rows are shown to others who ask."""
TURN_SECONDS = 0.002
"""How long the event loop is held at most, one item more or less."""
RECENT_SECONDS = 300.0
"""How long a call is a sign that a campaign is dialing."""
MAX_MESSAGE = 300


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


MEANINGS: Mapping[State, str] = {
    State.FAILING: "it can't be read: its values have been withdrawn, the provider knows no such campaign, or the "
    "account's credentials are refused",
    State.STALLED: "it should be dialing, and has made no progress for longer than stall_after",
    State.NEVER_DIALS: "it is active and has work left, and its configuration has no calling windows",
    State.STALE: "no poll has come for longer than stale_after, although the last one succeeded",
    State.SATURATED: "contacts wait while its organization's calls are at the concurrency limit",
    State.UNKNOWN: "the provider tells no status, or one that is not documented",
    State.QUIET: "it may dial and has work left, and no call was seen within the last five minutes",
    State.DRAINED: "everything is worked through, and it is still active",
    State.UNPOLLED: "it has not been polled yet",
    State.DIALING: "calls are in flight, or were seen within the last five minutes",
    State.WAITING: "it is active and has work left, outside its calling hours",
    State.EMPTY: "it is active, and nothing has been loaded into it yet",
    State.PAUSED: "it is switched off (paused or inactive)",
    State.CLOSED: "it is closed for good",
}
"""What each state means; the order of the states is that of the attention they need."""

ATTENTION: Mapping[State, int] = {state: rank for rank, state in enumerate(State)}

ADVICE: Mapping[State, str] = {
    State.STALLED: "It should be dialing and is not: see whether its agents run, whether the contacts that are left "
    "are scheduled for later, and whether the provider has trouble.",
    State.NEVER_DIALS: "Give its configuration calling windows: without any, the provider places no call.",
    State.STALE: "The exporter no longer polls it in time: see its log and whether its request budget is too small.",
    State.SATURATED: "Raise the organization's concurrency limit, pause other campaigns, or wait.",
    State.UNKNOWN: "See in the provider's dashboard what this status means.",
    State.DRAINED: "Close it, or load more contacts.",
}

_ALERTS: Mapping[State, str] = {
    State.FAILING: "CampaignPollsFailing",
    State.STALLED: "CampaignStalled",
    State.NEVER_DIALS: "CampaignNeverDials",
    State.STALE: "CampaignDataStale",
    State.SATURATED: "CampaignConcurrencySaturated",
    State.DRAINED: "CampaignDrained",
}


@dataclass(frozen=True, slots=True)
class CampaignRow:
    """
    One campaign as people see it. What is not known is null, never 0.

    Time stamps are Unix time; numbers of a campaign whose values have been withdrawn are not known.
    """

    __pydantic_config__ = ConfigDict(use_attribute_docstrings=True)

    provider: str
    """The provider that runs it."""
    account: str
    """The account that it is polled through."""
    campaign: str
    """Its name in the configuration, which is the metrics' label; unique within the account."""
    campaign_id: str
    """Its id as configured or discovered."""
    campaign_name: str | None
    """The provider's display name for it."""
    labels: Mapping[str, str]
    """The labels that the configuration puts on it."""
    state: State
    """Where it stands, worked out of its numbers."""
    status: str | None
    """Its status in the provider's words."""
    advice: str | None
    """What is the matter and what to do about it; null where nothing is."""
    alert: str | None
    """The alert that may fire for it as it stands, which is also its runbook's name."""
    error: str | None
    """The reason of the last poll's failure, as in the metric campaign_poll_error; null when it succeeded."""
    error_message: str | None
    """The last poll's failure in the exporter's words."""
    contacts: Mapping[str, int] | None
    """Contacts by lifecycle bucket (Anyreach)."""
    contacts_loaded: int | None
    """Contacts in all buckets (Anyreach)."""
    finished_ratio: float | None
    """The share of contacts that are completed or exhausted, 0 to 1 (Anyreach)."""
    attempts: int | None
    """Call attempts over all contacts (Anyreach)."""
    active_calls: int | None
    """Calls in flight as the provider tells them: of the campaign or of its organization (Anyreach), or the calls in
    progress (OSVI, where it tells them)."""
    account_active_calls: int | None
    """The organization's calls in flight at least, by what all its campaigns tell (Anyreach)."""
    concurrency_limit: int | None
    """The organization's cap on calls in flight (Anyreach)."""
    calls: Mapping[str, int] | None
    """Calls by outcome (OSVI)."""
    calls_made: int | None
    """Calls so far (OSVI)."""
    work_remaining: bool | None
    """Whether work is left: contacts pending or in progress (Anyreach), an open queue (OSVI)."""
    calling_window_open: Mapping[str, bool] | None
    """Whether a calling window is open now, by timezone; null where the hours are not known."""
    calling_windows: int | None
    """Number of calling windows in all; 0 means that it never dials, null that they are not known or that it may dial
    round the clock."""
    dialing_expected: bool | None
    """Whether it should be dialing now."""
    dialing_expected_since_timestamp_seconds: float | None
    """Since when it should have been dialing without a break."""
    last_progress_timestamp_seconds: float | None
    """The last poll that saw progress; at first the first successful poll."""
    last_success_timestamp_seconds: float | None
    """The last successful poll."""
    poll_interval_seconds: float
    """Seconds between two polls."""
    stale_after_seconds: float
    """Seconds without a successful poll after which values are withdrawn."""
    stall_after_seconds: float | None
    """Seconds of silence that mean a stall; null for never."""


@dataclass(frozen=True, slots=True, eq=False)
class AccountView:
    """An account and its campaigns, as an overview reads them."""

    state: AccountState
    breaker_open: bool
    """Whether its credentials are refused."""
    advise: Callable[[str], str]
    """Says what to do about a failed poll, by its reason."""
    campaigns: Sequence[CampaignState]


@dataclass(frozen=True, slots=True)
class Filters:
    """Which campaigns to show; an empty string lets all through."""

    text: str = ""
    """Words that have to be in the campaign's name, id, account, provider, status or labels, whatever their case."""
    provider: str = ""
    account: str = ""
    state: str = ""


class Fleet:
    """
    All campaigns of one moment, by account and campaign; a campaign's number is its place in that order.

    Where each of them stands is worked out at once, and a row is only made of those that are shown: thousands of new
    objects a second would keep the garbage collector busy, which holds up everything else.
    """

    def __init__(
        self,
        campaigns: Sequence[CampaignState],
        accounts: Sequence[AccountView],
        states: Sequence[State],
        now: float,
    ) -> None:
        self.states = states
        self._campaigns = campaigns
        self._accounts = accounts
        self._now = now

    def __len__(self) -> int:
        return len(self._campaigns)

    @property
    def providers(self) -> list[str]:
        return sorted({account.state.provider for account in dict.fromkeys(self._accounts)})

    @property
    def accounts(self) -> list[str]:
        return [account.state.name for account in dict.fromkeys(self._accounts)]

    def position(self, place: int) -> str:
        """Where a campaign stands in the order, also among those that come and go; no two have the same."""
        campaign = self._campaigns[place].campaign
        return f"{campaign.account}\0{campaign.name}"

    def row(self, place: int) -> CampaignRow:
        return row_of(self._campaigns[place], self._accounts[place], self.states[place], self._now)

    async def select(self, filters: Filters) -> list[int]:
        """Pick the campaigns that all filters let through."""
        places = list(range(len(self)))
        if filters.provider or filters.account:
            wanted = {
                account
                for account in dict.fromkeys(self._accounts)
                if filters.provider in ("", account.state.provider) and filters.account in ("", account.state.name)
            }
            places = [place for place in places if self._accounts[place] in wanted]
        if filters.state:
            places = [place for place in places if self.states[place] == filters.state]
        if words := filters.text.casefold().split():
            texts = await in_turns(map(self._text, places))
            places = [place for place, text in zip(places, texts, strict=True) if all(word in text for word in words)]
        return places

    async def sort(self, places: Sequence[int], by: str, *, descending: bool) -> list[int]:
        """Put campaigns in the order of one of `SORTS`; equals keep theirs, and what is not known comes last."""
        key = SORTS[by]
        keys = await in_turns(key(self._campaigns[place], self.states[place]) for place in places)
        order = [index for index, key in enumerate(keys) if key is not None]
        order.sort(key=keys.__getitem__, reverse=descending)
        order += [index for index, key in enumerate(keys) if key is None]
        return [places[index] for index in order]

    def _text(self, place: int) -> str:
        """What a search looks at."""
        campaign, account = self._campaigns[place], self._accounts[place]
        labels = (word for label in campaign.campaign.labels for word in label)
        status = (campaign.snapshot.status if campaign.fresh or campaign.is_final else None) or ""
        names = (campaign.campaign.name, campaign.campaign.id, campaign.display_name)
        return "\n".join((*names, account.state.name, account.state.provider, status, *labels)).casefold()


class Overview:
    """
    Looks at all campaigns when somebody asks.

    Args:
        accounts: Gives the accounts as they are.
        now: The monotonic clock of the states.
        wall: Unix time.
    """

    def __init__(
        self,
        accounts: Callable[[], Iterable[AccountView]],
        *,
        now: Callable[[], float],
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.wall = wall
        self._accounts = accounts
        self._now = now
        self._fleet: Fleet | None = None
        self._made_at = 0.0
        self._making = asyncio.Lock()

    async def fleet(self) -> Fleet:
        """Give the campaigns as they stand, or stood within the last second."""
        async with self._making:
            if self._fleet is None or self._now() - self._made_at >= MAX_AGE:
                self._fleet = await self._make()
                self._made_at = self._now()
            return self._fleet

    async def _make(self) -> Fleet:
        campaigns: list[CampaignState] = []
        accounts: list[AccountView] = []
        states: list[State] = []
        now, wall = self._now(), self.wall()
        for account in sorted(self._accounts(), key=attrgetter("state.name")):
            in_order = sorted(account.campaigns, key=attrgetter("campaign.name"))
            at_cap = _is_at_cap(account.state, now)
            campaigns += in_order
            accounts += [account] * len(in_order)
            states += await in_turns(stand(campaign, account, at_cap, wall) for campaign in in_order)
        return Fleet(campaigns, accounts, states, now)


async def in_turns(items: Iterable[T]) -> list[T]:
    """Collect what an iterator makes, and let the event loop do what is due every two milliseconds."""
    collected = []
    until = time.monotonic() + TURN_SECONDS
    for item in items:
        collected.append(item)
        if time.monotonic() >= until:
            await asyncio.sleep(0)
            until = time.monotonic() + TURN_SECONDS
    return collected


def row_of(campaign: CampaignState, account: AccountView, state: State, now: float) -> CampaignRow:
    """
    Say all that is known of a campaign.

    Args:
        account: The one that it belongs to.
        state: Where it stands.
        now: The monotonic clock of the states.
    """
    shown = campaign.shown
    return CampaignRow(
        provider=account.state.provider,
        account=campaign.campaign.account,
        campaign=campaign.campaign.name,
        campaign_id=_valid(campaign.campaign.id),
        campaign_name=campaign.display_name or None,
        labels=dict(campaign.campaign.labels),
        state=state,
        status=campaign.snapshot.status if campaign.fresh or campaign.is_final else None,
        advice=account.advise(campaign.error) if campaign.error else ADVICE.get(state),
        alert=_alert(state, campaign.error, account.breaker_open),
        error=campaign.error,
        error_message=_valid(campaign.message[:MAX_MESSAGE]) or None,
        contacts=_whole_numbers(shown.contacts),
        contacts_loaded=_whole(shown.contacts_loaded),
        finished_ratio=_finished(shown.contacts),
        attempts=_whole(shown.attempts),
        active_calls=_whole(_calls_now(shown)),
        account_active_calls=None if shown.concurrency_limit is None else _whole(account.state.active_calls(now)),
        concurrency_limit=_whole(shown.concurrency_limit),
        calls=_whole_numbers(shown.calls),
        calls_made=_whole(shown.calls_made),
        work_remaining=shown.work_remaining,
        calling_window_open=_truths(campaign.window_open),
        calling_windows=_whole(campaign.windows),
        dialing_expected=None if (expected := campaign.expected) is None else expected == 1,
        dialing_expected_since_timestamp_seconds=campaign.expected_since,
        last_progress_timestamp_seconds=campaign.last_progress,
        last_success_timestamp_seconds=campaign.last_success_wall,
        poll_interval_seconds=campaign.interval,
        stale_after_seconds=campaign.stale_after,
        stall_after_seconds=campaign.stall_after,
    )


def stand(campaign: CampaignState, account: AccountView, at_cap: bool, wall: float) -> State:
    """
    Work out where a campaign stands, by the rules of the alerts as far as one moment can tell.

    Args:
        account: The one that it belongs to.
        at_cap: Whether its organization's calls are at the concurrency limit.
        wall: Unix time.
    """
    if campaign.error and (account.breaker_open or not campaign.fresh or campaign.error == "not_found"):
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
    return bool(campaign.observed_attempts) or any((campaign.observed_calls or {}).values())


def _is_at_cap(account: AccountState, now: float) -> bool:
    calls, limit = account.active_calls(now), account.concurrency_limit(now)
    return calls is not None and limit is not None and calls >= limit > 0


def _alert(state: State, error: str | None, breaker_open: bool) -> str | None:
    if state is State.FAILING and breaker_open:
        return "CampaignAccountUnauthorized"
    if state is State.FAILING and error == "not_found":
        return "CampaignNotFound"
    return _ALERTS.get(state)


def _finished(contacts: Mapping[str, float] | None) -> float | None:
    if contacts is None or "completed" not in contacts or "exhausted" not in contacts:
        return None
    total = sum(contacts.values())
    return (contacts["completed"] + contacts["exhausted"]) / total if total else None


def _calls_now(shown: Snapshot) -> float | None:
    return shown.active_calls if shown.calls is None else shown.calls.get(CALLS_IN_PROGRESS)


def _whole(number: float | None) -> int | None:
    return None if number is None or number == inf else int(number)


def _whole_numbers(numbers: Mapping[str, float] | None) -> Mapping[str, int] | None:
    return None if numbers is None else {key: int(number) for key, number in numbers.items() if number < inf}


def _truths(numbers: Mapping[str, float] | None) -> Mapping[str, bool] | None:
    return None if numbers is None else {key: number == 1 for key, number in numbers.items()}


def _valid(text: str) -> str:
    """Replace what no encoding can write."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


SORTS: Mapping[str, Callable[[CampaignState, State], Any]] = {
    "attention": lambda campaign, state: ATTENTION[state],
    "campaign": lambda campaign, state: (campaign.display_name or campaign.campaign.name).casefold(),
    "account": lambda campaign, state: campaign.campaign.account.casefold(),
    "progress": lambda campaign, state: _finished(campaign.shown.contacts),
    "calls": lambda campaign, state: _calls_now(campaign.shown),
    "dialing": lambda campaign, state: campaign.expected,
    "called": lambda campaign, state: campaign.last_progress,
    "updated": lambda campaign, state: campaign.last_success_wall,
}
"""By what campaigns can be sorted; None where that is not known."""
