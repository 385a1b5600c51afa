"""The words for where a campaign stands: title, meaning, what to do and the alert that follows."""

from collections.abc import Mapping
from dataclasses import dataclass

from exporter.campaign.standing import Standing


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


WORDS: Mapping[Standing, StateWords] = {
    Standing.FAILING: StateWords(
        "Failing",
        "bad",
        "Polls fail, and its values are too old to be shown.",
        "This depends on the error: the page and `campaign-exporter check` say it.",
        "CampaignPollsFailing",
    ),
    Standing.STALLED: StateWords(
        "Stalled",
        "bad",
        "It should be dialing, contacts wait, and it has made no progress for longer than `stall_after`.",
        "Check whether its agents run, whether the contacts that are left are scheduled for later, and whether the "
        "provider has an incident.",
        "CampaignStalled",
    ),
    Standing.NEVER_DIALS: StateWords(
        "Never dials",
        "bad",
        "It is active and has work left, but its configuration has no calling windows.",
        "Add calling windows to its configuration: without any, the provider places no call.",
        "CampaignNeverDials",
    ),
    Standing.STALE: StateWords(
        "Stale",
        "warn",
        "The last poll succeeded, but no other has followed for longer than `stale_after`.",
        "The exporter no longer polls it in time: check its log, and whether the request budget is too small.",
        "CampaignDataStale",
    ),
    Standing.SATURATED: StateWords(
        "Saturated",
        "warn",
        "Contacts wait, and the organization used more than 90 % of its concurrency limit on average over the last 10 "
        "minutes.",
        "Raise the organization's concurrency limit, pause other campaigns, or wait.",
        "CampaignConcurrencySaturated",
    ),
    Standing.UNKNOWN_STATUS: StateWords(
        "Unknown status",
        "warn",
        "The provider sends no status, or one that is not documented.",
        "Look up in the provider's dashboard what this status means.",
    ),
    Standing.QUIET: StateWords(
        "Quiet",
        "warn",
        "It has made no progress for longer than `stall_after`, but its hours are not known, or nothing shows that "
        "calls wait.",
        "Check whether calls should be made now. Where its hours are not known, configure `calling_hours`.",
    ),
    Standing.DRAINED: StateWords(
        "Drained",
        "note",
        "It is active, contacts or a queue were loaded, and no work is left.",
        "Close it, or load more contacts.",
        "CampaignDrained",
    ),
    Standing.NOT_POLLED: StateWords("Not polled yet", "note", "No poll of it has ended yet."),
    Standing.DIALING: StateWords(
        "Dialing", "good", "It may dial, and has not been silent for longer than `stall_after`."
    ),
    Standing.OUTSIDE_HOURS: StateWords("Outside its hours", "idle", "It is active, and a calling window is closed."),
    Standing.EMPTY: StateWords("Empty", "note", "It is active, nothing is loaded into it, and no call was made."),
    Standing.PAUSED: StateWords("Paused", "idle", "It is switched off (paused or inactive)."),
    Standing.CLOSED: StateWords("Closed", "idle", "It is closed for good."),
}
"""By state; what needs attention most comes first."""

ATTENTION: Mapping[Standing, int] = {state: rank for rank, state in enumerate(WORDS)}
