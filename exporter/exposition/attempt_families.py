"""The metric families of single attempts, which change when attempts are read and not with each poll."""

from collections.abc import Callable

from exporter.campaign.attempts import AttemptsState
from exporter.campaign.state import CampaignState
from exporter.exposition.account_families import AccountNow
from exporter.exposition.families import Family, Reading, counter, gauge, truth


def _known(read: Callable[[AttemptsState], Reading]) -> Callable[[CampaignState], Reading]:
    return lambda c: None if c.attempts is None else read(c.attempts)


ATTEMPT_FAMILIES: tuple[Family[CampaignState], ...] = (
    gauge(
        "campaign_attempts_by_status",
        "Attempts of the contacts now in the campaign, by the status that the provider gives them, at the last "
        "complete reading (Anyreach contacts).",
        _known(lambda a: a.reading.by_status),
        "status",
    ),
    gauge(
        "campaign_contacts_by_attempts",
        "Contacts by number of attempts, at the last complete reading (Anyreach contacts).",
        _known(lambda a: a.reading.by_attempts),
        "attempts",
    ),
    gauge(
        "campaign_attempts_open",
        "Attempts without an end, at the last complete reading (Anyreach contacts).",
        _known(lambda a: a.reading.open),
    ),
    gauge(
        "campaign_attempts_oldest_open_timestamp_seconds",
        "Unix time at which the oldest attempt without an end began; no series when there is none (Anyreach contacts).",
        _known(lambda a: a.reading.oldest_open),
    ),
    gauge(
        "campaign_attempts_with_conversation",
        "Attempts that led to a conversation, at the last complete reading (Anyreach contacts).",
        _known(lambda a: a.reading.with_conversation),
    ),
    gauge(
        "campaign_attempts_evaluated",
        "Attempts whose conversation has verdicts, at the last complete reading; which ones are evaluated is the "
        "operator's choice (Anyreach contacts).",
        _known(lambda a: a.reading.evaluated),
    ),
    gauge(
        "campaign_outcomes",
        "Verdicts by criterion and outcome, at the last complete reading; verdicts come late and may change "
        "(Anyreach contacts).",
        _known(lambda a: a.reading.outcomes),
        "criterion",
        "outcome",
    ),
    gauge(
        "campaign_outcomes_compliant",
        "Verdicts equal to the expected outcome, for the criteria that attempts.expected names (Anyreach contacts).",
        _known(lambda a: a.reading.compliant),
        "criterion",
    ),
    Family(
        "campaign_call_duration_seconds",
        "histogram",
        "Duration of each attempt or call that ended while it was watched: from start to end, ringing included "
        "(Anyreach), as sent (OSVI).",
        ("status",),
        _known(lambda a: a.durations),
    ),
    counter(
        "campaign_call_end_reasons_total",
        "Calls that ended while they were watched, by reason (OSVI call log).",
        _known(lambda a: a.end_reasons),
        "reason",
    ),
    counter(
        "campaign_call_tags_total",
        "Calls that ended while they were watched, by the name of their tag (OSVI call log).",
        _known(lambda a: a.tags),
        "tag",
    ),
    gauge(
        "campaign_attempts_last_read_timestamp_seconds",
        "Unix time of the last complete reading of single attempts.",
        _known(lambda a: a.read_at),
        by_clock=True,
    ),
    gauge(
        "campaign_attempts_read_interval_seconds",
        "Shortest time between two readings of a campaign's single attempts, stretched by their share of the budget.",
        _known(lambda a: a.interval),
    ),
    gauge(
        "campaign_attempts_coverage_ratio",
        "Attempts found by the last complete reading, over campaign_attempts just before it (Anyreach contacts).",
        _known(lambda a: a.reading.coverage),
    ),
)
"""Everything about a campaign's single attempts; no series where `attempts` is not configured."""


ATTEMPT_READING_FAMILIES: tuple[Family[AccountNow], ...] = (
    counter(
        "campaign_exporter_attempts_readings_total",
        "Readings of single attempts by result: complete, incomplete, or the reason of the failure.",
        lambda a: a.account.attempts.readings if a.account.attempts.wanted else None,
        "result",
    ),
    gauge(
        "campaign_exporter_attempts_readable",
        "1 when single attempts can be read, 0 when the token may not; no series before the first answer, and where "
        "they are not read.",
        lambda a: truth(a.account.attempts.readable) if a.account.attempts.wanted else None,
    ),
)
"""How the readings of an account go; each sample carries provider, account and the account's labels besides."""
