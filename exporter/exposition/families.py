"""
The metric families of campaigns and accounts, as tables: adding a metric is adding a row.

A row reads a number, a mapping from label value to number, the label values of a single 1, or None for "no sample".
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Generic, Literal, TypeVar, cast

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from exporter.campaign.account import AccountState
from exporter.campaign.state import CampaignState
from exporter.polling.health import AccountHealth, Distribution

Reading = float | Mapping[str, float] | Mapping[tuple[str, str], float] | tuple[str, str] | None
Subject = TypeVar("Subject")


@dataclass(frozen=True, slots=True)
class Family(Generic[Subject]):
    """One row: what a metric is called and means, and how to read it from what is known."""

    name: str
    type: Literal["gauge", "counter"]
    help: str
    labels: tuple[str, ...]
    read: Callable[[Subject], Reading]
    by_clock: bool = False
    """Whether it comes from the exporter's clock, and 14 digits are more than it is worth; they are written faster."""


@dataclass(frozen=True, slots=True)
class CampaignFamily:
    """One row about campaigns; a path in place of a function, since what writes its lines is compiled from it."""

    name: str
    type: Literal["gauge", "counter"]
    help: str
    labels: tuple[str, ...]
    path: str
    """The attribute of `CampaignState` that holds the reading, or `shown.` and that of the snapshot."""
    by_clock: bool = False
    """As in `Family`."""

    def read(self, state: CampaignState) -> Reading:
        return cast(Reading, attrgetter(self.path)(state))


CAMPAIGN_FAMILIES: tuple[CampaignFamily, ...] = (
    # What the provider said, at the last successful poll
    CampaignFamily(
        "campaign_info",
        "gauge",
        "Always 1; the campaign's id as configured or discovered, and its display name where the provider tells one.",
        ("campaign_id", "campaign_name"),
        "info",
    ),
    CampaignFamily(
        "campaign_status",
        "gauge",
        (
            "1 for the campaign's current status, 0 for the provider's other documented ones (Anyreach status, "
            "OSVI data.campaign.status)."
        ),
        ("status",),
        "statuses",
    ),
    CampaignFamily(
        "campaign_contacts",
        "gauge",
        "Contacts by lifecycle bucket; pending includes those that wait for a retry (Anyreach contacts).",
        ("bucket",),
        "shown.contacts",
    ),
    CampaignFamily(
        "campaign_contacts_loaded",
        "gauge",
        "Contacts in all buckets; falls when contacts are deleted (Anyreach contacts.total).",
        (),
        "shown.contacts_loaded",
    ),
    CampaignFamily(
        "campaign_attempts",
        "gauge",
        (
            "Call attempts over all contacts; may fall when contacts are deleted, so rate "
            "campaign_observed_attempts_total instead (Anyreach attempts.total)."
        ),
        (),
        "shown.attempts",
    ),
    CampaignFamily(
        "campaign_attempts_per_contact",
        "gauge",
        "Average attempts per contact as the provider rounds it (Anyreach attempts.average_per_contact).",
        (),
        "shown.attempts_per_contact",
    ),
    CampaignFamily(
        "campaign_active_calls",
        "gauge",
        (
            "Calls in flight as sent; whether of the campaign or of the organization is not documented, so never "
            "sum it (Anyreach active_calls)."
        ),
        (),
        "shown.active_calls",
    ),
    CampaignFamily(
        "campaign_concurrency_limit",
        "gauge",
        (
            "Cap on the organization's calls in flight, the same for all its campaigns, so never sum it (Anyreach "
            "concurrency_limit)."
        ),
        (),
        "shown.concurrency_limit",
    ),
    CampaignFamily(
        "campaign_calls",
        "gauge",
        "Calls so far by status; picked means answered (OSVI calls.by_status).",
        ("status",),
        "shown.calls",
    ),
    CampaignFamily(
        "campaign_calls_made",
        "gauge",
        "Calls so far (OSVI calls.total).",
        (),
        "shown.calls_made",
    ),
    CampaignFamily(
        "campaign_uploads",
        "gauge",
        "Number of contact uploads (OSVI uploads).",
        (),
        "shown.uploads",
    ),
    CampaignFamily(
        "campaign_queues",
        "gauge",
        "Number of calling queues by agent and state, open or completed (OSVI uploads[].queues[]).",
        ("agent", "state"),
        "shown.queues",
    ),
    CampaignFamily(
        "campaign_queued_contacts",
        "gauge",
        (
            "Contacts queued, by agent and state of the queue; whether it falls as calls are made is not "
            "documented (OSVI queues[].total_queued)."
        ),
        ("agent", "state"),
        "shown.queued_contacts",
    ),
    CampaignFamily(
        "campaign_retry_enabled",
        "gauge",
        "1 when unanswered contacts are called again, else 0 (OSVI is_retry_enabled).",
        (),
        "shown.retry_enabled",
    ),
    CampaignFamily(
        "campaign_retry_threshold",
        "gauge",
        "Limit on retries; whether the first call counts is not documented (OSVI retry_threshold).",
        (),
        "shown.retry_threshold",
    ),
    CampaignFamily(
        "campaign_retry_delay_seconds",
        "gauge",
        "Wait before a contact is called again, in seconds (OSVI retry_delay).",
        (),
        "shown.retry_delay_seconds",
    ),
    CampaignFamily(
        "campaign_created_timestamp_seconds",
        "gauge",
        "Unix time at which the campaign was created (OSVI created_at).",
        (),
        "shown.created_timestamp_seconds",
    ),
    # Health of the polls
    CampaignFamily(
        "campaign_up",
        "gauge",
        "1 when the last poll of the campaign succeeded, else 0.",
        (),
        "up",
    ),
    CampaignFamily(
        "campaign_last_success_timestamp_seconds",
        "gauge",
        "Unix time of the last successful poll.",
        (),
        "last_success_wall",
        by_clock=True,
    ),
    CampaignFamily(
        "campaign_poll_interval_seconds",
        "gauge",
        (
            "Interval at which the campaign is polled by its status, stretched by the account's request budget; "
            "without back-off."
        ),
        (),
        "interval",
    ),
    CampaignFamily(
        "campaign_stale_after_seconds",
        "gauge",
        "Age of the last successful poll at which the campaign's values are withdrawn.",
        (),
        "stale_after",
    ),
    CampaignFamily(
        "campaign_poll_error",
        "gauge",
        "1 for the reason of the last poll's failure; no series while polls succeed.",
        ("reason",),
        "errors",
    ),
    # What follows from the numbers
    CampaignFamily(
        "campaign_work_remaining",
        "gauge",
        "1 while work is left, else 0: contacts pending or in progress (Anyreach), an open queue (OSVI).",
        (),
        "work_remaining",
    ),
    CampaignFamily(
        "campaign_calling_window_open",
        "gauge",
        "1 while a calling window is open in the timezone, else 0; no series where the hours are not known.",
        ("timezone",),
        "window_open",
    ),
    CampaignFamily(
        "campaign_calling_windows",
        "gauge",
        (
            "Number of calling windows in all; 0 means that the campaign never dials. No series where the hours "
            "are not known."
        ),
        (),
        "windows",
    ),
    CampaignFamily(
        "campaign_dialing_expected",
        "gauge",
        (
            "1 when the campaign is active, has work left and every timezone with windows is open, else 0; only "
            "while it is 1 is silence a sign. No series where the hours are not known."
        ),
        (),
        "expected",
    ),
    CampaignFamily(
        "campaign_dialing_expected_since_timestamp_seconds",
        "gauge",
        "Unix time since which campaign_dialing_expected has been 1 without a break; no series while it is not.",
        (),
        "expected_since",
        by_clock=True,
    ),
    CampaignFamily(
        "campaign_last_progress_timestamp_seconds",
        "gauge",
        (
            "Unix time of the last poll that saw attempts or calls rise, or contacts in progress; at first that "
            "of the first successful poll."
        ),
        (),
        "shown_progress",
        by_clock=True,
    ),
    CampaignFamily(
        "campaign_stall_after_seconds",
        "gauge",
        "Silence that means a stall while dialing is expected; no series where silence never does.",
        (),
        "stall_after",
    ),
    CampaignFamily(
        "campaign_observed_attempts_total",
        "counter",
        (
            "Attempts that began while the campaign was watched: the sum of the rises of campaign_attempts, where "
            "a fall adds nothing (Anyreach)."
        ),
        (),
        "observed_attempts",
    ),
    CampaignFamily(
        "campaign_observed_contacts_total",
        "counter",
        (
            "Contacts that entered a terminal bucket while the campaign was watched: the sum of the rises of "
            "campaign_contacts (Anyreach)."
        ),
        ("bucket",),
        "observed_contacts",
    ),
    CampaignFamily(
        "campaign_observed_calls_total",
        "counter",
        "Calls that ended while the campaign was watched, by outcome: the sum of the rises of campaign_calls (OSVI).",
        ("status",),
        "observed_calls",
    ),
    CampaignFamily(
        "campaign_observed_seconds_total",
        "counter",
        "Time covered by successful polls that are not further apart than campaign_stale_after_seconds.",
        (),
        "observed_seconds",
        by_clock=True,
    ),
    CampaignFamily(
        "campaign_active_call_seconds_total",
        "counter",
        (
            "Active calls integrated over the observed time; its rate over that of "
            "campaign_observed_seconds_total is the average. What is shorter than the poll interval is an "
            "estimate (Anyreach)."
        ),
        (),
        "active_call_seconds",
        by_clock=True,
    ),
    CampaignFamily(
        "campaign_saturated_seconds_total",
        "counter",
        (
            "Observed time with campaign_active_calls at or above campaign_concurrency_limit. What is shorter "
            "than the poll interval is an estimate (Anyreach)."
        ),
        (),
        "saturated_seconds",
        by_clock=True,
    ),
)
"""Everything about one campaign; each sample carries provider, account, campaign and the configured labels besides."""


@dataclass(frozen=True, slots=True)
class AccountView:
    """An account at the moment (monotonic) of a scrape."""

    state: AccountState
    now: float


ACCOUNT_FAMILIES: tuple[Family[AccountView], ...] = (
    Family(
        "campaign_account_active_calls",
        "gauge",
        (
            "Calls in flight of the whole organization, estimated from below by its campaigns polled within the "
            "last two active intervals (Anyreach)."
        ),
        (),
        lambda a: a.state.active_calls(a.now),
    ),
    Family(
        "campaign_account_concurrency_limit",
        "gauge",
        "Cap on the organization's calls in flight, by the newest answer (Anyreach concurrency_limit).",
        (),
        lambda a: a.state.concurrency_limit(a.now),
    ),
    Family(
        "campaign_account_saturated_seconds_total",
        "counter",
        (
            "Observed time with campaign_account_active_calls at or above the cap. What is shorter than the poll "
            "interval is an estimate (Anyreach)."
        ),
        (),
        lambda a: a.state.saturated_seconds,
        by_clock=True,
    ),
    Family(
        "campaign_account_observed_seconds_total",
        "counter",
        "Time covered by successful polls of the account's campaigns (Anyreach).",
        (),
        lambda a: a.state.observed_seconds,
        by_clock=True,
    ),
)
"""Everything about one organization; each sample carries provider, account and the account's labels besides."""


HEALTH_FAMILIES: tuple[Family[AccountHealth], ...] = (
    Family(
        "campaign_exporter_polls_total",
        "counter",
        "Polls by result: success, or the reason of the failure.",
        ("result",),
        lambda h: h.polls,
    ),
    Family(
        "campaign_exporter_requests_in_flight",
        "gauge",
        "Polls that wait for their answer.",
        (),
        lambda h: h.in_flight,
    ),
    Family(
        "campaign_exporter_throttled_seconds_total",
        "counter",
        "Time during which polls were due and had to wait for max_requests_per_second or max_in_flight.",
        (),
        lambda h: h.throttled_seconds,
    ),
    Family(
        "campaign_exporter_interval_stretch",
        "gauge",
        "Factor by which all poll intervals are stretched so that max_requests_per_second carries them; 1 for none.",
        (),
        lambda h: h.stretch,
    ),
    Family(
        "campaign_exporter_breaker_open",
        "gauge",
        "1 while the account's credentials are refused and only one request a minute goes out, else 0.",
        (),
        lambda h: float(h.breaker_open),
    ),
    Family(
        "campaign_exporter_campaigns",
        "gauge",
        "Campaigns polled, configured or discovered.",
        (),
        lambda h: h.campaigns,
    ),
    Family(
        "campaign_exporter_discovery_success",
        "gauge",
        "1 when the last listing of campaigns was complete, else 0; no series without discovery.",
        (),
        lambda h: None if h.discovery_success is None else float(h.discovery_success),
    ),
    Family(
        "campaign_exporter_discovery_last_success_timestamp_seconds",
        "gauge",
        "Unix time of the last complete listing of campaigns.",
        (),
        lambda h: h.discovery_last_success,
    ),
    Family(
        "campaign_exporter_windows_readable",
        "gauge",
        (
            "1 when calling windows can be read from the provider, 0 when the token may not; no series where "
            "nobody asks."
        ),
        (),
        lambda h: None if h.windows_readable is None else float(h.windows_readable),
    ),
)
"""How the polling of an account goes; each sample carries provider and account besides."""

HEALTH_HISTOGRAMS: tuple[tuple[str, str, Callable[[AccountHealth], Distribution]], ...] = (
    (
        "campaign_exporter_request_duration_seconds",
        "Time from the start of a poll to its last byte or its failure.",
        lambda h: h.request_seconds,
    ),
    (
        "campaign_exporter_poll_lag_seconds",
        "How late polls start, by the moment at which they were due.",
        lambda h: h.lag_seconds,
    ),
)


class HealthCollector(Collector):
    """Shows the accounts as they are at the scrape, so that one that goes takes its series along."""

    def __init__(self, accounts: Callable[[], Iterable[AccountHealth]]) -> None:
        self._accounts = accounts

    def describe(self) -> Iterator[Metric]:
        return self._families(())

    def collect(self) -> Iterator[Metric]:
        return self._families(tuple(self._accounts()))

    @staticmethod
    def _families(accounts: tuple[AccountHealth, ...]) -> Iterator[Metric]:
        for row in HEALTH_FAMILIES:
            kind = CounterMetricFamily if row.type == "counter" else GaugeMetricFamily
            family = kind(row.name, row.help, labels=("provider", "account", *row.labels))
            for health in accounts:
                reading = row.read(health)
                numbers = {(): reading} if isinstance(reading, float | int) else reading or {}
                for key, value in cast(Mapping[str | tuple[str, ...], float], numbers).items():
                    extra = (key,) if isinstance(key, str) else key
                    family.add_metric((health.provider, health.account, *extra), value)
            yield family
        for name, text, read in HEALTH_HISTOGRAMS:
            histogram = HistogramMetricFamily(name, text, labels=("provider", "account"))
            for health in accounts:
                distribution = read(health)
                buckets = [
                    ("+Inf" if bound == float("inf") else str(bound), n) for bound, n in distribution.cumulative()
                ]
                histogram.add_metric((health.provider, health.account), buckets, sum_value=distribution.sum)
            yield histogram
