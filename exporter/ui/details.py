"""One campaign with all that is known of it, and its newest attempts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date
from itertools import islice
from math import inf
from urllib.parse import quote

from pydantic import ConfigDict

from exporter.campaign.attempts import Attempt
from exporter.campaign.labels import valid
from exporter.campaign.schedule import DAYS, Hours, Window
from exporter.campaign.state import CampaignState
from exporter.ui.queries import AttemptsQuery
from exporter.ui.rows import CampaignRow, whole, whole_numbers

MAX_TIMEZONES = 50
"""Timezones of one campaign that are shown."""


@dataclass(frozen=True, slots=True)
class CallingWindow:
    """A span of the wall clock that recurs on some days of the week."""

    days: Sequence[str]
    """The days on which it starts: mon to sun."""
    start: str
    """HH:MM, its first minute."""
    end: str
    """HH:MM, the minute after its last; before the start it is on the next day."""


@dataclass(frozen=True, slots=True)
class TimezoneHours:
    """When contacts of one timezone may be called."""

    timezone: str
    """IANA name."""
    open: bool
    """Whether a window is open now."""
    changes_at_timestamp_seconds: float | None
    """When it opens or closes next; null for never."""
    windows: Sequence[CallingWindow]
    """Windows of all calls but first scheduled ones."""
    scheduled_windows: Sequence[CallingWindow]
    """Windows of first calls that were scheduled for a time."""


@dataclass(frozen=True, slots=True)
class AgentQueues:
    """Calling queues of one agent in one state (OSVI)."""

    agent: str
    state: str
    """open or completed."""
    queues: int
    """Number of queues."""
    contacts: int | None
    """Contacts in them."""


@dataclass(frozen=True, slots=True)
class CampaignDetails(CampaignRow):
    """One campaign with all its numbers. What is not known is null, never 0."""

    attempts_per_contact: float | None
    """As sent (Anyreach)."""
    uploads: int | None
    """Number of contact uploads (OSVI)."""
    queues: Sequence[AgentQueues] | None
    """Calling queues by agent and state (OSVI)."""
    retry_enabled: bool | None
    """Whether calls are retried (OSVI)."""
    retry_threshold: float | None
    """As sent (OSVI)."""
    retry_delay_seconds: float | None
    """Wait before a retry (OSVI)."""
    created_timestamp_seconds: float | None
    """When it was created (OSVI)."""
    observed_seconds: float | None
    """Time covered by successful polls since the exporter began to watch."""
    observed_attempts: int | None
    """Attempts that began in that time (Anyreach)."""
    observed_contacts: Mapping[str, int] | None
    """Contacts that were completed or exhausted in that time (Anyreach)."""
    observed_calls: Mapping[str, int] | None
    """Calls that ended in that time, by outcome (OSVI)."""
    average_active_calls: float | None
    """Average of active calls over that time (Anyreach)."""
    saturated_seconds: float | None
    """The part of that time with active calls at the concurrency limit (Anyreach)."""
    always_open: bool | None
    """Whether it may dial round the clock; null where the hours are not known."""
    timezones: Sequence[TimezoneHours] | None
    """Its calling windows by timezone; null where they are not known."""
    calling_windows_problem: str | None
    """Why its hours are not known, and what to do about it."""
    closed_on: Sequence[date]
    """Dates without windows, as configured, in the timezone's own calendar."""


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """One attempt (Anyreach) or call (OSVI). What is not known is null. Time stamps are Unix time."""

    __pydantic_config__ = ConfigDict(use_attribute_docstrings=True, json_schema_extra={"additionalProperties": False})

    attempt_id: str
    """The provider's id of the attempt or call."""
    status: str
    """Its status in the provider's words."""
    started_at_timestamp_seconds: float | None
    """When it began."""
    ended_at_timestamp_seconds: float | None
    """When it ended; null while it goes on."""
    duration_seconds: float | None
    """Anyreach: from start to end, ringing included. OSVI: as sent."""
    conversation_id: str | None
    """What leads to the conversation (Anyreach) or call (OSVI)."""
    conversation_url: str | None
    """Where to see it; null where attempts.conversation_url is not configured."""
    verdicts: Mapping[str, str] | None
    """Outcome by criterion: true, false, abstain, na or other; null without an evaluation (Anyreach)."""
    tag: str | None
    """The name of its tag (OSVI)."""
    end_reason: str | None
    """Why it ended (OSVI)."""


def details_of(
    row: CampaignRow, campaign: CampaignState, timezones: Sequence[TimezoneHours] | None, problem: str | None
) -> CampaignDetails:
    """Add to a row what only its own page shows."""
    shown, hours = campaign.shown, campaign.hours
    return CampaignDetails(
        **{field.name: getattr(row, field.name) for field in fields(row)},
        attempts_per_contact=shown.attempts_per_contact,
        uploads=whole(shown.uploads),
        queues=_queues(shown.queues, shown.queued_contacts),
        retry_enabled=None if shown.retry_enabled is None else shown.retry_enabled == 1,
        retry_threshold=shown.retry_threshold,
        retry_delay_seconds=shown.retry_delay_seconds,
        created_timestamp_seconds=shown.created_timestamp_seconds,
        observed_seconds=campaign.observed_seconds,
        observed_attempts=whole(campaign.rises.attempts),
        observed_contacts=whole_numbers(campaign.rises.contacts),
        observed_calls=whole_numbers(campaign.rises.calls),
        average_active_calls=_average(campaign.active_call_seconds, campaign.observed_seconds),
        saturated_seconds=campaign.saturated_seconds,
        always_open=None if hours is None else hours.schedule is None,
        timezones=timezones,
        calling_windows_problem=None if problem is None else valid(problem),
        closed_on=[] if hours is None or hours.schedule is None else sorted(hours.schedule.closed_on),
    )


def timezones_of(hours: Hours, wall: float) -> Iterator[TimezoneHours]:
    """Yield the calling windows by timezone, and when each opens or closes next after a moment (Unix time)."""
    schedule = hours.schedule
    if schedule is None:
        return
    for timezone, is_open, until in islice(schedule.openings(wall), MAX_TIMEZONES):
        usual, first = ([_window(window) for window in windows] for windows in schedule.windows_in(timezone))
        yield TimezoneHours(timezone, is_open, None if until == inf else until, usual, first)


def _window(window: Window) -> CallingWindow:
    return CallingWindow([DAYS[day] for day in sorted(window.days)], _clock(window.start), _clock(window.end))


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _queues(
    queues: Mapping[tuple[str, str], float] | None, contacts: Mapping[tuple[str, str], float] | None
) -> Sequence[AgentQueues] | None:
    if queues is None:
        return None
    counted = contacts or {}
    return [
        AgentQueues(agent, state, int(number), whole(counted.get((agent, state))))
        for (agent, state), number in queues.items()
    ]


def _average(total: float | None, seconds: float | None) -> float | None:
    return total / seconds if total is not None and seconds else None


def newest_attempts(campaign: CampaignState, conversation_url: str, query: AttemptsQuery) -> list[AttemptRow]:
    """Give the newest attempts of a campaign, the newest first; the address of conversations may be empty."""
    newest = () if campaign.attempts is None else campaign.attempts.newest
    return [_row(attempt, conversation_url) for attempt in islice(filter(query.lets_through, newest), query.limit)]


def _row(attempt: Attempt, conversation_url: str) -> AttemptRow:
    verdicts = attempt.verdicts
    return AttemptRow(
        attempt_id=valid(attempt.id),
        status=valid(attempt.status),
        started_at_timestamp_seconds=attempt.started_at,
        ended_at_timestamp_seconds=attempt.ended_at,
        duration_seconds=attempt.seconds,
        conversation_id=attempt.conversation_id and valid(attempt.conversation_id),
        conversation_url=_url(attempt.conversation_id, conversation_url),
        verdicts=None if verdicts is None else {valid(key): outcome for key, outcome in verdicts.items()},
        tag=attempt.tag and valid(attempt.tag),
        end_reason=attempt.end_reason and valid(attempt.end_reason),
    )


def _url(conversation_id: str | None, template: str) -> str | None:
    if not template or conversation_id is None:
        return None
    quoted = quote(conversation_id, safe="", errors="replace")
    return template.replace("{conversation_id}", quoted).replace("{call_id}", quoted)
