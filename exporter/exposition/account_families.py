"""The metric families of accounts, as tables: what they say of their organizations, and how their polling goes."""

from collections.abc import Callable
from dataclasses import dataclass

from exporter.exposition.families import Family, counter, gauge, truth
from exporter.polling.account import Account
from exporter.polling.counters import Distribution


@dataclass(frozen=True, slots=True)
class AccountNow:
    """An account at the moment (monotonic) of a scrape."""

    account: Account
    now: float


def histogram(name: str, help: str, read: Callable[[AccountNow], Distribution]) -> Family[AccountNow]:
    return Family(name, "histogram", help, (), read)


def _cut(at: float | None, wall: Callable[[], float]) -> float | None:
    """Leave no time stamp in the future: the wall clock may have been set back."""
    return None if at is None else min(at, wall())


ACCOUNT_FAMILIES: tuple[Family[AccountNow], ...] = (
    gauge(
        "campaign_account_active_calls",
        "Calls in flight of the whole organization, estimated from below by its campaigns polled within the "
        "last two active intervals (Anyreach).",
        lambda a: a.account.state.active_calls(a.now),
    ),
    gauge(
        "campaign_account_concurrency_limit",
        "Cap on the organization's calls in flight, by the newest answer (Anyreach concurrency_limit).",
        lambda a: a.account.state.concurrency_limit(a.now),
    ),
    gauge(
        "campaign_account_utilization_ratio",
        "Average use of the concurrency limit over the last 10 minutes: the larger of one campaign's highest average "
        "of active calls and the sum of the averages of contacts in progress, over the limit. No series before 5 "
        "minutes are covered (Anyreach).",
        lambda a: a.account.state.utilization(a.now),
    ),
    gauge(
        "campaign_account_contacts_waiting",
        "Pending contacts of the account's active campaigns whose values are fresh (Anyreach).",
        lambda a: a.account.state.contacts_waiting(a.now),
    ),
    counter(
        "campaign_account_saturated_seconds_total",
        "Observed time with campaign_account_active_calls at or above the concurrency limit. What is shorter than the "
        "poll interval is an estimate (Anyreach).",
        lambda a: a.account.state.saturated_seconds,
        by_clock=True,
    ),
    counter(
        "campaign_account_observed_seconds_total",
        "Time covered by successful polls of the account's campaigns (Anyreach).",
        lambda a: a.account.state.observed_seconds,
        by_clock=True,
    ),
)
"""Everything about one organization; each sample carries provider, account and the account's labels besides."""

POLLING_FAMILIES: tuple[Family[AccountNow], ...] = (
    counter(
        "campaign_exporter_polls_total",
        "Polls by result: success, or the reason of the failure.",
        lambda a: a.account.poller.counters.polls,
        "result",
    ),
    gauge(
        "campaign_exporter_requests_in_flight",
        "Places of max_in_flight that requests take: those that have been sent, and those about to be sent.",
        lambda a: a.account.throttle.in_flight,
    ),
    counter(
        "campaign_exporter_throttled_seconds_total",
        "Time during which polls were due and had to wait: for max_requests_per_second, for max_in_flight of the "
        "account or of all, or as long as a Retry-After asked for.",
        lambda a: a.account.agenda.held_seconds,
    ),
    gauge(
        "campaign_exporter_interval_stretch",
        "Factor by which all poll intervals are stretched so that max_requests_per_second carries them; 1 for none.",
        lambda a: a.account.poller.stretch,
    ),
    gauge(
        "campaign_exporter_breaker_open",
        "1 while the account's credentials are refused and only one request a minute goes out, else 0.",
        lambda a: truth(a.account.breaker.is_open),
    ),
    gauge(
        "campaign_exporter_campaigns",
        "Campaigns polled, configured or discovered.",
        lambda a: len(a.account.poller.targets),
    ),
    gauge(
        "campaign_exporter_discovery_success",
        "1 when the last listing of campaigns was complete, else 0; no series without discovery.",
        lambda a: truth(a.account.discovery.success),
    ),
    gauge(
        "campaign_exporter_discovery_last_success_timestamp_seconds",
        "Unix time of the last complete listing of campaigns.",
        lambda a: _cut(a.account.discovery.last_success, a.account.shared.wall),
    ),
    gauge(
        "campaign_exporter_windows_readable",
        "1 when calling windows can be read from the provider, 0 when the token may not, or when those of a campaign "
        "are unknown since they can't be read; no series where they are not read.",
        lambda a: truth(a.account.calling_windows.readable) if a.account.calling_windows.wanted else None,
    ),
    histogram(
        "campaign_exporter_request_duration_seconds",
        "Time from the start of a poll to its last byte or its failure.",
        lambda a: a.account.poller.counters.request_seconds,
    ),
    histogram(
        "campaign_exporter_poll_lag_seconds",
        "How late polls start, by the moment at which they were due.",
        lambda a: a.account.poller.counters.lag_seconds,
    ),
)
"""How the polling of an account goes; each sample carries provider, account and the account's labels besides."""
