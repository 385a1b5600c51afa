"""
The values of `campaign_state` from the most urgent to the calmest: word, colour, why it is so, and what a person does.

What a failing campaign needs depends on the reason of its last error.
"""

from dataclasses import dataclass

from grafana import palette
from grafana.alerts import CHOSEN
from grafana.queries import KEY, newest_label, of_campaign, once, per_campaign


@dataclass(frozen=True, slots=True)
class State:
    """
    One value of `campaign_state`.

    Attributes:
        name: The value.
        colour: Of its cell.
        why: What the wall says beside it; empty where the reason of an error stands there.
        advice: What a person does about it.
    """

    name: str
    colour: str
    why: str
    advice: str

    @property
    def word(self) -> str:
        return self.name.replace("_", " ")


STATES = (
    State("failing", palette.BAD, "", "Read Why below"),
    State("stalled", palette.BAD, "should dial, does not", "Open it at the provider: it should dial and does not"),
    State("stale", palette.BAD, "no poll comes", "Look at the exporter: polls no longer come"),
    State("never_dials", palette.WARNING, "no calling window", "Give it calling windows, or close it"),
    State("unknown_status", palette.WARNING, "status not known", "Look up its status at the provider"),
    State("saturated", palette.WARNING, "limit used up", "Raise the limit, or pause another campaign"),
    State("quiet", palette.WAITING, "no call for long", "Check whether it should call now"),
    State("drained", palette.WAITING, "no work left", "Add contacts, or close it"),
    State("empty", palette.WAITING, "nothing loaded", "Load contacts, or close it"),
    State("not_polled", palette.AT_REST, "first poll to come", "Wait for its first poll"),
    State("dialing", palette.GOOD, "calls go out", "Nothing: it dials"),
    State("outside_hours", palette.AT_REST, "hours are over", "Nothing: its calling hours are over"),
    State("paused", palette.AT_REST, "set at the provider", "Nothing, unless it should run"),
    State("closed", palette.AT_REST, "set at the provider", "Nothing"),
)

FAILURES = {
    "unauthorized|credentials": "Renew the token of its account",
    "forbidden": "Give the account's token the scope that it lacks",
    "not_found": "Correct its id, or take it out of the configuration",
    "rate_limited": "Lower max_requests_per_second of its account",
    "server_error": "Wait: the fault is the provider's",
    "timeout|dns|connect|tls|protocol|redirect": "Check base_url and the network to the provider",
    "client_error|too_large|invalid_response|internal": "Read the log of the exporter",
}
"""What a person does about a failing campaign, by the reason of its last error (a PromQL pattern)."""

_WEIGHTS = {len(STATES) - index: state for index, state in enumerate(STATES)}
_FAILURE_BASE = 100
_UNDER_ALERT = 50
"""It dials, and an alert fires all the same: calls fail, or contacts run out of attempts."""


def _in(name: str) -> str:
    return once(of_campaign("campaign_state", f'state="{name}"'))


_WEIGHED = " or ".join(f"{_in(state.name)} * {weight}" for weight, state in _WEIGHTS.items())
WEIGHT = per_campaign(_WEIGHED)
"""Each campaign's state as a number that sorts by urgency; with the most urgent one where replicas disagree."""


def _advice() -> str:
    failures = (
        once(of_campaign("campaign_poll_error", f'reason=~"{reasons}"')) + f" * {number}"
        for number, reasons in enumerate(FAILURES, start=_FAILURE_BASE)
    )
    key = ", ".join(KEY)
    failing = f"{per_campaign(' or '.join(failures))} and on ({key}) {_in('failing')}"
    alert = f'ALERTS{{alertname=~"Campaign.+", {CHOSEN}, campaign!="", alertstate="firing", severity!="info"}}'
    troubled = f"{per_campaign(once(alert))} * {_UNDER_ALERT} and on ({key}) {_in('dialing')}"
    return f"{failing} or {troubled} or {WEIGHT}"


ADVICE = _advice()
"""Each campaign's state as a number; where it fails the group of the reason, where it dials under an alert that."""


def _why() -> str:
    states = _WEIGHED
    for state in STATES:
        if state.why:
            states = f'label_replace({states}, "why", "{state.why}", "state", "{state.name}")'
    error = f'label_replace({once(of_campaign("campaign_poll_error"))}, "why", "$1", "reason", "(.+)")'
    return newest_label(f"({error} or on ({', '.join(KEY)}) {states})", "why")


WHY = _why()
"""Why each campaign is where it is, as label `why`: the reason of the last error, else what its state means."""

WORDS = {str(weight): (state.word, state.colour) for weight, state in _WEIGHTS.items()}
_ADVICE = (
    {weight: state.advice for weight, state in _WEIGHTS.items()}
    | {_UNDER_ALERT: "Follow the alert below: it dials, but not well"}
    | dict(enumerate(FAILURES.values(), start=_FAILURE_BASE))
)
ADVICE_WORDS = {str(number): (advice, palette.AT_REST) for number, advice in _ADVICE.items()}


def number_in(name: str) -> str:
    """How many campaigns are in a state; 0 where campaigns are known and none is, nothing where none is known."""
    return f"count({_in(name)}) or count({once(of_campaign('campaign_state'))}) * 0"
