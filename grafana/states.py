"""The values of `campaign_state` from the most urgent to the calmest: word, colour, and what a person does about it."""

from dataclasses import dataclass

from grafana import palette
from grafana.queries import of_campaign, once, per_campaign


@dataclass(frozen=True, slots=True)
class State:
    """One value of `campaign_state`."""

    name: str
    colour: str
    advice: str

    @property
    def word(self) -> str:
        return self.name.replace("_", " ")


STATES = (
    State("failing", palette.BAD, "Read Why, then check token, id and provider"),
    State("stalled", palette.BAD, "Open it at the provider: it should dial and does not"),
    State("stale", palette.BAD, "Look at the exporter: polls no longer come"),
    State("never_dials", palette.WARNING, "Give it calling windows, or close it"),
    State("unknown_status", palette.WARNING, "Look up its status at the provider"),
    State("saturated", palette.WARNING, "Raise the cap or pause another campaign"),
    State("quiet", palette.WAITING, "Check whether it should call now"),
    State("drained", palette.WAITING, "Add contacts or close it"),
    State("empty", palette.WAITING, "Load contacts or close it"),
    State("not_polled", palette.AT_REST, "Wait for its first poll"),
    State("dialing", palette.GOOD, "Nothing: it dials"),
    State("outside_hours", palette.AT_REST, "Nothing: its calling hours are over"),
    State("paused", palette.AT_REST, "Nothing, unless it should run"),
    State("closed", palette.AT_REST, "Nothing"),
)

_WEIGHTS = {len(STATES) - index: state for index, state in enumerate(STATES)}


def _in(name: str) -> str:
    return once(of_campaign("campaign_state", f'state="{name}"'))


WEIGHT = per_campaign(" or ".join(f"{_in(state.name)} * {weight}" for weight, state in _WEIGHTS.items()))
"""Each campaign's state as a number that sorts by urgency; with the most urgent one where replicas disagree."""

WORDS = {str(weight): (state.word, state.colour) for weight, state in _WEIGHTS.items()}
ADVICE = {str(weight): (state.advice, palette.AT_REST) for weight, state in _WEIGHTS.items()}


def number_in(name: str) -> str:
    """How many campaigns are in a state; 0 where campaigns are known and none is, nothing where none is known."""
    return f"count({_in(name)}) or count({once(of_campaign('campaign_state'))}) * 0"
