"""The newest attempts of a campaign, for its page and the JSON interface."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from urllib.parse import quote

from pydantic import ConfigDict

from exporter.campaign.attempts import Attempt
from exporter.campaign.labels import valid
from exporter.campaign.state import CampaignState
from exporter.ui.queries import AttemptsQuery


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
