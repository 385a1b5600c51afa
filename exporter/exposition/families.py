"""
The metric families of campaigns, as a table: adding a metric is adding a row.

A row reads a number, a mapping from label value to number, the label value or values of a single 1, a distribution, or
None for "no sample". The families of accounts are in `account_families.py`; the metrics of the process itself are
instruments of prometheus-client, in `own.py`.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Generic, Literal, TypeVar

from exporter.campaign.attempts import Durations
from exporter.campaign.state import CampaignState
from exporter.polling.counters import Distribution

Reading = (
    float
    | str
    | tuple[str, str]
    | Mapping[str, float]
    | Mapping[tuple[str, str], float]
    | Distribution
    | Mapping[str, Durations]
    | None
)
Subject = TypeVar("Subject")


@dataclass(frozen=True, slots=True)
class Family(Generic[Subject]):
    """One row: what a metric is called and means, and how to read it from what is known."""

    name: str
    type: Literal["gauge", "counter", "histogram"]
    help: str
    labels: tuple[str, ...]
    read: Callable[[Subject], Reading]
    by_clock: bool = False
    """Whether it comes from the exporter's clock: it is written to 14 digits, and faster."""
    only: str | None = None
    """The provider whose campaigns alone have it; None for every provider's."""


def gauge(
    name: str, help: str, read: Callable[[Subject], Reading], *labels: str, by_clock: bool = False
) -> Family[Subject]:
    return Family(name, "gauge", help, labels, read, by_clock)


def counter(
    name: str, help: str, read: Callable[[Subject], Reading], *labels: str, by_clock: bool = False
) -> Family[Subject]:
    return Family(name, "counter", help, labels, read, by_clock)


def of(provider: str, *rows: Family[Subject]) -> Iterator[Family[Subject]]:
    """Rows that only one provider's campaigns have: a poll of another one's does not read them."""
    return (replace(row, only=provider) for row in rows)


def truth(value: bool | None) -> int | None:
    return None if value is None else 1 if value else 0


CAMPAIGN_FAMILIES: tuple[Family[CampaignState], ...] = (
    # What the provider said, at the last successful poll
    gauge(
        "campaign_info",
        "Always 1; the campaign's id as configured or discovered, and its display name where the provider has one.",
        lambda c: (c.campaign.id_label, c.display_name),
        "campaign_id",
        "campaign_name",
    ),
    gauge(
        "campaign_status",
        "1 for the campaign's current status, 0 for the provider's other documented ones (Anyreach status, "
        "OSVI data.campaign.status).",
        lambda c: c.statuses,
        "status",
    ),
    *of(
        "anyreach",
        gauge(
            "campaign_contacts",
            "Contacts by lifecycle bucket; pending includes those that wait for a retry (Anyreach contacts).",
            lambda c: c.shown.contacts,
            "bucket",
        ),
        gauge(
            "campaign_contacts_loaded",
            "Contacts in all buckets; falls when contacts are deleted (Anyreach contacts.total).",
            lambda c: c.shown.contacts_loaded,
        ),
        gauge(
            "campaign_attempts",
            "Call attempts over all contacts; may fall when contacts are deleted, so rate "
            "campaign_observed_attempts_total instead (Anyreach attempts.total).",
            lambda c: c.shown.attempts,
        ),
        gauge(
            "campaign_attempts_per_contact",
            "Average attempts per contact as the provider rounds it (Anyreach attempts.average_per_contact).",
            lambda c: c.shown.attempts_per_contact,
        ),
        gauge(
            "campaign_active_calls",
            "Calls in flight as sent; whether of the campaign or of the organization is not documented, so never "
            "sum it (Anyreach active_calls).",
            lambda c: c.shown.active_calls,
        ),
        gauge(
            "campaign_concurrency_limit",
            "Cap on the organization's calls in flight, the same for all its campaigns, so never sum it (Anyreach "
            "concurrency_limit).",
            lambda c: c.shown.concurrency_limit,
        ),
    ),
    *of(
        "osvi",
        gauge(
            "campaign_calls",
            "Calls so far by status; picked means answered (OSVI calls.by_status).",
            lambda c: c.shown.calls,
            "status",
        ),
        gauge("campaign_calls_made", "Calls so far (OSVI calls.total).", lambda c: c.shown.calls_made),
        gauge("campaign_uploads", "Number of contact uploads (OSVI uploads).", lambda c: c.shown.uploads),
        gauge(
            "campaign_queues",
            "Number of calling queues by agent and state, open or completed (OSVI uploads[].queues[]).",
            lambda c: c.shown.queues,
            "agent",
            "state",
        ),
        gauge(
            "campaign_queued_contacts",
            "Contacts queued, by agent and state of the queue; whether it falls as calls are made is not "
            "documented (OSVI queues[].total_queued).",
            lambda c: c.shown.queued_contacts,
            "agent",
            "state",
        ),
        gauge(
            "campaign_retry_enabled",
            "1 when unanswered contacts are called again, else 0 (OSVI is_retry_enabled).",
            lambda c: c.shown.retry_enabled,
        ),
        gauge(
            "campaign_retry_threshold",
            "Limit on retries; whether the first call counts is not documented (OSVI retry_threshold).",
            lambda c: c.shown.retry_threshold,
        ),
        gauge(
            "campaign_retry_delay_seconds",
            "Wait before a contact is called again, in seconds (OSVI retry_delay).",
            lambda c: c.shown.retry_delay_seconds,
        ),
        gauge(
            "campaign_created_timestamp_seconds",
            "Unix time at which the campaign was created (OSVI created_at).",
            lambda c: c.shown.created_timestamp_seconds,
        ),
    ),
    # Where it stands
    gauge(
        "campaign_state",
        "Always 1; where the campaign stands, worked out by the exporter. CampaignStalled, CampaignNeverDials and "
        "CampaignDrained fire by it.",
        lambda c: c.standing,
        "state",
    ),
    # Health of the polls
    gauge("campaign_up", "1 when the last poll of the campaign succeeded, else 0.", lambda c: c.up),
    gauge(
        "campaign_last_success_timestamp_seconds",
        "Unix time of the last successful poll.",
        lambda c: c.last_success_wall,
        by_clock=True,
    ),
    gauge(
        "campaign_poll_interval_seconds",
        "Interval at which the campaign is polled by its status, stretched by the account's request budget; "
        "without back-off.",
        lambda c: c.interval,
    ),
    gauge(
        "campaign_stale_after_seconds",
        "Age of the last successful poll at which the campaign's values are withdrawn.",
        lambda c: c.stale_after,
    ),
    gauge(
        "campaign_poll_error",
        "1 for the reason of the last poll's failure; no series while polls succeed.",
        lambda c: c.error,
        "reason",
    ),
    # What follows from the numbers
    gauge(
        "campaign_work_remaining",
        "1 while work is left, else 0: contacts pending or in progress (Anyreach), an open queue (OSVI).",
        lambda c: truth(c.shown.work_remaining),
    ),
    gauge(
        "campaign_calling_window_open",
        "1 while a calling window is open in the timezone, else 0; no series where the hours are not known.",
        lambda c: c.window_open,
        "timezone",
    ),
    gauge(
        "campaign_calling_windows",
        "Number of calling windows in all; 0 means that the campaign never dials. No series where the hours are not "
        "known, or where it dials round the clock (calling_windows: always).",
        lambda c: c.windows,
    ),
    gauge(
        "campaign_dialing_expected",
        "1 when the campaign is active, has work left and every timezone with windows is open, else 0; only "
        "while it is 1 is silence a sign. No series where the hours are not known.",
        lambda c: c.expected,
    ),
    gauge(
        "campaign_dialing_expected_since_timestamp_seconds",
        "Unix time since which campaign_dialing_expected has been 1 without a break; no series while it is not.",
        lambda c: c.expected_since,
        by_clock=True,
    ),
    gauge(
        "campaign_last_progress_timestamp_seconds",
        "Unix time of the last poll that saw attempts, calls, completed or exhausted contacts rise, or the number "
        "in progress change; at first that of the first successful poll.",
        lambda c: c.last_progress if c.fresh else None,
        by_clock=True,
    ),
    gauge(
        "campaign_stall_after_seconds",
        "Silence that means a stall while dialing is expected; no series where silence is never a stall.",
        lambda c: c.stall_after,
    ),
    *of(
        "anyreach",
        counter(
            "campaign_observed_attempts_total",
            "Attempts that began while the campaign was watched: the sum of the rises of campaign_attempts, where "
            "a fall adds nothing (Anyreach).",
            lambda c: c.rises.attempts,
        ),
        counter(
            "campaign_observed_contacts_total",
            "Contacts that entered a terminal bucket while the campaign was watched: the sum of the rises of "
            "campaign_contacts (Anyreach).",
            lambda c: c.rises.contacts,
            "bucket",
        ),
    ),
    *of(
        "osvi",
        counter(
            "campaign_observed_calls_total",
            "Calls that ended while the campaign was watched, by outcome: the sum of the rises of campaign_calls "
            "(OSVI).",
            lambda c: c.rises.calls,
            "status",
        ),
    ),
    counter(
        "campaign_observed_seconds_total",
        "Time covered by successful polls that are not further apart than campaign_stale_after_seconds.",
        lambda c: c.observed_seconds,
        by_clock=True,
    ),
    *of(
        "anyreach",
        counter(
            "campaign_active_call_seconds_total",
            "Active calls integrated over the observed time; its rate over that of "
            "campaign_observed_seconds_total is the average. What is shorter than the poll interval is an "
            "estimate (Anyreach).",
            lambda c: c.active_call_seconds,
            by_clock=True,
        ),
        counter(
            "campaign_saturated_seconds_total",
            "Observed time with campaign_active_calls at or above campaign_concurrency_limit. What is shorter "
            "than the poll interval is an estimate (Anyreach).",
            lambda c: c.saturated_seconds,
            by_clock=True,
        ),
    ),
)
"""Everything about one campaign; each sample carries provider, account, campaign and the configured labels besides."""
