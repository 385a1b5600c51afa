"""
What each colour means, on every panel of every dashboard.

The hues are those of Okabe and Ito (https://jfly.uni-koeln.de/color/), which people with any of the common colour
deficiencies can tell apart.
"""

GOOD = "#009E73"
"""As it should be: completed, picked, successful, open, fresh."""
IN_FLIGHT = "#56B4E9"
"""Happening now: calls in flight, contacts being dialed, requests under way."""
PACE = "#0072B2"
"""How much and how fast: attempts, rates, sizes; no judgement."""
WAITING = "#F0E442"
"""Waits for its turn, for a retry or for a person: pending, not picked, drained."""
WARNING = "#E69F00"
"""Past a threshold of severity warning, or a middling outcome: busy."""
BAD = "#D55E00"
"""Past a threshold that pages, or lost: failed, exhausted."""
SET_BY_PEOPLE = "#CC79A7"
"""Set by people or answered by a machine of theirs: limits, reloads, voicemail."""
AT_REST = "#6B6B6B"
"""Off, closed, paused, unknown: nothing is expected of it."""

BY_STATE: dict[str, str] = {
    "pending": WAITING,
    "in_progress": IN_FLIGHT,
    "completed": GOOD,
    "exhausted": BAD,
    "picked": GOOD,
    "not_picked": WAITING,
    "busy": WARNING,
    "voicemail": SET_BY_PEOPLE,
    "failed": BAD,
}
"""Colours of the buckets of contacts and of the outcomes of calls; another word is shown in AT_REST."""
