"""One campaign, or one account, as a row for the pages and the JSON interface."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf

from pydantic import ConfigDict

from exporter.campaign.account import AccountState
from exporter.campaign.labels import valid
from exporter.campaign.snapshot import CALLS_IN_PROGRESS, Snapshot
from exporter.campaign.standing import Standing
from exporter.campaign.state import CampaignState
from exporter.ui.states import WORDS

MAX_MESSAGE = 300


@dataclass(frozen=True, slots=True)
class CampaignRow:
    """
    One campaign as people see it. What is not known is null, never 0.

    Time stamps are Unix time; numbers of a campaign whose values have been withdrawn are not known.
    """

    __pydantic_config__ = ConfigDict(use_attribute_docstrings=True, json_schema_extra={"additionalProperties": False})

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
    state: Standing
    """Where it stands, as in the metric campaign_state."""
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
    """Active calls as sent, of the campaign or of its organization (Anyreach); calls in progress (OSVI, where sent)."""
    account_active_calls: int | None
    """The organization's active calls, estimated from below from all its campaigns (Anyreach)."""
    concurrency_limit: int | None
    """The organization's limit of calls in flight (Anyreach)."""
    account_utilization_ratio: float | None
    """The organization's average use of its concurrency limit over the last 10 minutes (Anyreach)."""
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
    """The last poll that saw progress; null when none has since the exporter started."""
    silent_since_timestamp_seconds: float | None
    """The last progress, or else the first successful poll: the metric campaign_last_progress_timestamp_seconds."""
    last_success_timestamp_seconds: float | None
    """The last successful poll."""
    poll_interval_seconds: float
    """Seconds between two polls."""
    stale_after_seconds: float
    """Seconds without a successful poll after which values are withdrawn."""
    stall_after_seconds: float | None
    """Seconds of silence that mean a stall; null for never."""


@dataclass(frozen=True, slots=True)
class AccountRow:
    """One account as people see it: its organization's calls, and what concerns all its campaigns."""

    provider: str
    account: str
    campaigns: int
    state: Standing | None
    """Failing or saturated, where all its campaigns are concerned."""
    advice: str | None
    alert: str | None
    error: str | None
    """Why all its campaigns fail, as in the metric campaign_poll_error."""
    error_message: str | None
    active_calls: int | None
    concurrency_limit: int | None
    utilization_ratio: float | None
    """The organization's average use of its concurrency limit over the last 10 minutes."""
    contacts_waiting: int | None

    def covers(self, row: CampaignRow) -> bool:
        """Whether what is said of the account says what to do about one of its campaigns."""
        if row.error is not None:
            return row.error == self.error
        return row.state is Standing.SATURATED is self.state


@dataclass(frozen=True, slots=True, eq=False)
class WatchedAccount:
    """An account and its campaigns."""

    state: AccountState
    breaker_open: bool
    advise: Callable[[str], str]
    """Gives the advice for the reason of a failed poll."""
    explain_hours: Callable[[str], str | None]
    """Says why the hours of the campaign of this id are not known, and what to do."""
    campaigns: Sequence[CampaignState]
    conversation_url: str | None = None
    """The address of a conversation, with a placeholder for its id; empty where none is configured, None where single
    attempts are not read."""


def row_of(campaign: CampaignState, account: WatchedAccount, account_row: AccountRow) -> CampaignRow:
    shown = campaign.shown
    advice, alert = _advice_and_alert(account, campaign.standing, campaign.error)
    return CampaignRow(
        provider=account.state.provider,
        account=campaign.campaign.account,
        campaign=campaign.campaign.name,
        campaign_id=valid(campaign.campaign.id),
        campaign_name=campaign.display_name or None,
        labels={name: valid(value) for name, value in campaign.campaign.labels},
        state=campaign.standing,
        status=status_of(campaign),
        advice=advice,
        alert=alert,
        error=campaign.error,
        error_message=_message(campaign),
        contacts=whole_numbers(shown.contacts),
        contacts_loaded=whole(shown.contacts_loaded),
        finished_ratio=finished(shown.contacts),
        attempts=whole(shown.attempts),
        active_calls=whole(calls_now(shown)),
        account_active_calls=None if shown.concurrency_limit is None else account_row.active_calls,
        concurrency_limit=whole(shown.concurrency_limit),
        account_utilization_ratio=None if shown.concurrency_limit is None else account_row.utilization_ratio,
        calls=whole_numbers(shown.calls),
        calls_made=whole(shown.calls_made),
        work_remaining=shown.work_remaining,
        calling_window_open=_truths(campaign.window_open),
        calling_windows=whole(campaign.windows),
        dialing_expected=None if (expected := campaign.expected) is None else expected == 1,
        dialing_expected_since_timestamp_seconds=campaign.expected_since,
        last_progress_timestamp_seconds=progress_of(campaign),
        silent_since_timestamp_seconds=campaign.last_progress,
        last_success_timestamp_seconds=campaign.last_success_wall,
        poll_interval_seconds=campaign.interval,
        stale_after_seconds=campaign.stale_after,
        stall_after_seconds=campaign.stall_after,
    )


def account_row_of(account: WatchedAccount, now: float) -> AccountRow:
    """Make the row of an account at a moment (monotonic)."""
    errors = {campaign.error for campaign in account.campaigns}
    # What is wrong with a single campaign is said of the campaign.
    error = errors.pop() if len(errors) == 1 and (len(account.campaigns) > 1 or account.breaker_open) else None
    state, advice, alert = None, None, None
    if error:
        state = Standing.FAILING
    elif any(campaign.standing is Standing.SATURATED for campaign in account.campaigns):
        state = Standing.SATURATED
    if state:
        advice, alert = _advice_and_alert(account, state, error)
    limit = account.state.concurrency_limit(now)
    return AccountRow(
        provider=account.state.provider,
        account=account.state.name,
        campaigns=len(account.campaigns),
        state=state,
        advice=advice,
        alert=alert,
        error=error,
        error_message=_message(account.campaigns[0]) if error else None,
        active_calls=None if limit is None else whole(account.state.active_calls(now)),
        concurrency_limit=whole(limit),
        utilization_ratio=account.state.utilization(now),
        contacts_waiting=whole(account.state.contacts_waiting(now)),
    )


def status_of(campaign: CampaignState) -> str | None:
    """The provider's word for it, which stays where it is final."""
    return campaign.snapshot.status if campaign.fresh or campaign.is_final else None


def progress_of(campaign: CampaignState) -> float | None:
    """When progress was last seen (Unix time); the first poll alone shows none."""
    return campaign.last_progress if campaign.progress_seen else None


def _advice_and_alert(account: WatchedAccount, state: Standing, error: str | None) -> tuple[str | None, str | None]:
    words = WORDS[state]
    # That a closed campaign has disappeared is no incident.
    if error is None or (state is Standing.CLOSED and error == "not_found"):
        return words.advice, words.alert
    if account.breaker_open:
        return account.advise(error), "CampaignAccountUnauthorized"
    return account.advise(error), "CampaignNotFound" if error == "not_found" else words.alert


def _message(campaign: CampaignState) -> str | None:
    return valid(campaign.message[:MAX_MESSAGE]) or None


def finished(contacts: Mapping[str, float] | None) -> float | None:
    if contacts is None or "completed" not in contacts or "exhausted" not in contacts:
        return None
    total = sum(contacts.values())
    return (contacts["completed"] + contacts["exhausted"]) / total if 0 < total < inf else None


def calls_now(shown: Snapshot) -> float | None:
    return shown.active_calls if shown.calls is None else shown.calls.get(CALLS_IN_PROGRESS)


def whole(number: float | None) -> int | None:
    return None if number is None else int(number)


def whole_numbers(numbers: Mapping[str, float] | None) -> Mapping[str, int] | None:
    return None if numbers is None else {key: int(number) for key, number in numbers.items()}


def _truths(numbers: Mapping[str, float] | None) -> Mapping[str, bool] | None:
    return None if numbers is None else {key: number == 1 for key, number in numbers.items()}
