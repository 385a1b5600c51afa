"""
What each colour means, on every panel of every dashboard.

Every one has a contrast of at least 3:1 on the dark and on the light theme, and people with any of the common colour
deficiencies can tell them apart.
"""

GOOD = "#147D55"
"""As it should be: completed, picked, successful, open, fresh."""
IN_FLIGHT = "#2C8AE2"
"""Happening now: calls in flight, contacts being dialed, requests under way."""
PACE = "#385AE7"
"""How much and how fast: attempts, rates, sizes; no judgement."""
WAITING = "#8E6E28"
"""Waits for its turn, for a retry or for a person: pending, not picked, drained."""
WARNING = "#CF7310"
"""Past a threshold of severity warning, or a middling outcome: busy."""
BAD = "#E53261"
"""Past a threshold that pages, or lost: failed, exhausted."""
SET_BY_PEOPLE = "#AC4D9C"
"""Set by people or answered by a machine of theirs: limits, reloads, voicemail."""
AT_REST = "#868686"
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
UNDER_WAY = ("pending", "in_progress")
"""Those of them that are no outcome."""
