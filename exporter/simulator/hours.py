"""
Calling windows of the simulated world, worked out the slow and plain way: look at the wall clock of each minute.

Nothing of this is shared with the exporter, so that either can be held against the other.
See https://docs.anyreach.ai/campaigns/configurations.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from exporter.simulator.timeline import Timeline

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_MINUTE = 60
_LOOK_AHEAD = 1440


class Window(NamedTuple):
    """
    Hours of the day, `HH:MM`, on some days of the week.

    `end` is the first minute outside. A window whose start is after its end crosses midnight, and its morning belongs
    to the day on which it starts.
    """

    days: tuple[str, ...]
    start: str
    end: str


ROUND_THE_CLOCK = (Window(DAYS, "00:00", "12:00"), Window(DAYS, "12:00", "00:00"))
"""Every minute of the week; one window can't say so, since its end must differ from its start."""


class Schedule(NamedTuple):
    """When a configuration lets its campaigns dial; left at its defaults it never does."""

    default_timezone: str = "America/New_York"
    default_windows: tuple[Window, ...] = ()
    overrides: Mapping[str, tuple[Window, ...]] = {}
    """Windows of other timezones; shown, but no simulated contact has a timezone of its own."""


def is_open(windows: Iterable[Window], timezone: str, moment: float) -> bool:
    """Whether the wall clock of a timezone shows a minute inside one of the windows at a moment (Unix time)."""
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


@dataclass(eq=False)
class Hours:
    """Some windows in one timezone, open or closed as the timeline goes on; calls `on_open` when they open."""

    timeline: Timeline
    windows: tuple[Window, ...]
    timezone: str
    on_open: list[Callable[[], None]] = field(default_factory=list)
    open: bool = field(init=False)

    def __post_init__(self) -> None:
        self._turn()

    def _turn(self) -> None:
        self.open = is_open(self.windows, self.timezone, self.timeline.now)
        if self.windows:
            self.timeline.at(self._next_change(), self._turn)
        if self.open:
            for action in self.on_open:
                action()

    def _next_change(self) -> float:
        """The first minute that differs from now, or one that is a day ahead, to look again."""
        moment = self.timeline.now // _MINUTE * _MINUTE
        for _ in range(_LOOK_AHEAD):
            moment += _MINUTE
            if is_open(self.windows, self.timezone, moment) != self.open:
                break
        return moment
