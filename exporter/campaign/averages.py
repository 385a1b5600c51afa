"""Averages of a campaign's calls over the last ten minutes."""

from array import array
from dataclasses import dataclass, field

WINDOW = 600.0
"""Seconds over which the averages are taken."""
LEAST_COVERED = 300.0
"""Seconds that must be covered before there is an average."""
_MARK_EVERY = 60.0


def _no_marks() -> "array[float]":
    return array("d")


@dataclass(slots=True, eq=False)
class Averages:
    """
    Active calls and contacts in progress, integrated over time, with a mark about every minute.

    The window begins at the newest mark that is at least `WINDOW` old, so it is up to a minute longer.
    """

    calls: float | None = None
    """Average of active calls; None until enough time is covered."""
    in_progress: float | None = None
    """Average of contacts in progress; None until enough time is covered."""
    _call_seconds: float = 0.0
    _in_progress_seconds: float = 0.0
    # Moment and both integrals, one after the other: a list of tuples takes five times as much memory.
    _marks: "array[float]" = field(default_factory=_no_marks)

    def reset(self) -> None:
        """Start again: a time that no answer covers is in the window."""
        self.calls = self.in_progress = None
        self._call_seconds = self._in_progress_seconds = 0.0
        del self._marks[:]

    def add(self, now: float, elapsed: float, calls: float, in_progress: float) -> None:
        """Add the seconds up to `now`, in which these numbers held."""
        marks = self._marks
        if not marks:
            marks.extend((now - elapsed, 0.0, 0.0))
        self._call_seconds += elapsed * calls
        self._in_progress_seconds += elapsed * in_progress
        while len(marks) > 3 and marks[3] <= now - WINDOW:
            del marks[:3]
        covered = now - marks[0]
        if covered >= LEAST_COVERED:
            self.calls = (self._call_seconds - marks[1]) / covered
            self.in_progress = (self._in_progress_seconds - marks[2]) / covered
        if now - marks[-3] >= _MARK_EVERY:
            marks.extend((now, self._call_seconds, self._in_progress_seconds))
