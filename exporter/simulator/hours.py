"""
Calling windows of the simulated world, worked out the slow and plain way: look at the wall clock of each minute.

Nothing of this is shared with the exporter, so that either can be held against the other.
See https://docs.anyreach.ai/campaigns/configurations.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from exporter.simulator.timeline import Timeline

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_MINUTE = 60
_LOOK_AHEAD = 1440


@dataclass(frozen=True, slots=True)
class Window:
    """
    Hours of the day, `HH:MM`, on some days of the week.

    `end` is the first minute outside. A window whose start is after its end crosses midnight, and its morning belongs
    to the day on which it starts.
    """

    days: tuple[str, ...]
    start: str
    end: str

    def __post_init__(self) -> None:
        if self.start == self.end:
            raise ValueError(f"a window's end must differ from its start: {self.start}")
        if not self.days or set(self.days) - set(DAYS):
            raise ValueError(f"days must be one or more of {', '.join(DAYS)}: {self.days}")


ROUND_THE_CLOCK = (Window(DAYS, "00:00", "12:00"), Window(DAYS, "12:00", "00:00"))
"""Every minute of the week; one window can't say so, since its end must differ from its start."""


@dataclass(frozen=True, slots=True)
class Override:
    """Windows that replace the default ones for contacts of one timezone; none close it."""

    timezone: str
    windows: tuple[Window, ...]


@dataclass(frozen=True, slots=True)
class Schedule:
    """
    When a configuration lets its campaigns dial; left at its defaults it never does.

    None in the two `scheduled_` fields means that the default ones hold for scheduled contacts as well.
    """

    default_timezone: str = "America/New_York"
    default_windows: tuple[Window, ...] = ()
    overrides: tuple[Override, ...] = ()
    scheduled_windows: tuple[Window, ...] | None = None
    scheduled_overrides: tuple[Override, ...] | None = None

    def windows(self, timezone: str | None, *, first_scheduled: bool = False) -> tuple[Window, ...]:
        """Return the windows for a contact of `timezone`, for the first call of a scheduled contact or any other."""
        windows, overrides = self.default_windows, self.overrides
        if first_scheduled:
            windows = windows if self.scheduled_windows is None else self.scheduled_windows
            overrides = overrides if self.scheduled_overrides is None else self.scheduled_overrides
        for override in overrides:
            if override.timezone == (timezone or self.default_timezone):
                return override.windows
        return windows


def is_open(windows: Iterable[Window], timezone: str, moment: float) -> bool:
    """Say whether the wall clock of `timezone` shows a minute inside one of the windows at `moment`."""
    local = datetime.fromtimestamp(moment, ZoneInfo(timezone))
    today, yesterday = DAYS[local.weekday()], DAYS[local.weekday() - 1]
    minute = f"{local.hour:02}:{local.minute:02}"
    for window in windows:
        if window.start < window.end:
            if today in window.days and window.start <= minute < window.end:
                return True
        elif (today in window.days and minute >= window.start) or (yesterday in window.days and minute < window.end):
            return True
    return False


class Hours:
    """Some windows in one timezone, open or closed as the timeline goes on; calls `on_open` when they open."""

    def __init__(
        self, timeline: Timeline, windows: tuple[Window, ...], timezone: str, on_open: Callable[[], None]
    ) -> None:
        self._timeline = timeline
        self._on_open = on_open
        self._version = 0
        self._windows, self._timezone = windows, timezone
        self.open = self._look()

    def change(self, windows: tuple[Window, ...], timezone: str) -> None:
        """Replace the windows, from now on."""
        self._windows, self._timezone = windows, timezone
        self._version += 1
        self._turn(self._version)

    def _turn(self, version: int) -> None:
        if version != self._version:
            return
        self.open = self._look()
        if self.open:
            self._on_open()

    def _look(self) -> bool:
        now = is_open(self._windows, self._timezone, self._timeline.now)
        if self._windows:
            self._timeline.at(self._next_change(now), self._turn, self._version)
        return now

    def _next_change(self, now: bool) -> float:
        """Return the first minute that differs from now, or one that is a day ahead, to look again."""
        moment = self._timeline.now // _MINUTE * _MINUTE
        for _ in range(_LOOK_AHEAD):
            moment += _MINUTE
            if is_open(self._windows, self._timezone, moment) != now:
                break
        return moment
