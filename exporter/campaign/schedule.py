"""
When a campaign may dial: calling windows by timezone, and whether they are open at a moment.

The fields mean what they do for Anyreach, https://docs.anyreach.ai/campaigns/configurations.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property, lru_cache
from itertools import chain
from typing import Self
from zoneinfo import ZoneInfo

from exporter.campaign.labels import MAX_VALUES, OVERFLOW
from exporter.campaign.openings import DAY, Zone

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
"""Names of the days in the order of their numbers, Monday being 0."""

# Seconds are tolerated as long as they are none: some serializers write every time with them.
_CLOCK_TIME = re.compile(r"(\d{1,2}):(\d{2})(?::00)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Window:
    """
    A span of the wall clock that recurs on some days of the week; ValueError where it can be none.

    The span contains its first minute and not its last: whether Anyreach still dials in the closing minute is not
    documented, and a minute too few is the safe reading where an open window means that silence is suspicious.
    """

    days: frozenset[int]
    """The days on which it starts, Monday being 0."""
    start: int
    """Minute of the day, 0 to 1439."""
    end: int
    """
    Minute of the day, 0 to 1440.

    Before `start`, it is on the next day, whichever days the window has: the early morning belongs to the day before.
    """

    def __post_init__(self) -> None:
        if not self.days or not self.days <= frozenset(range(7)):
            raise ValueError(f"a window needs one or more days of 0 to 6, not {sorted(self.days)}")
        if not 0 <= self.start < DAY or not 0 <= self.end <= DAY:
            raise ValueError(f"a window lies within 0 to {DAY} minutes, not {self.start} to {self.end}")
        if self.start == self.end:
            raise ValueError("a window's end must differ from its start")

    @classmethod
    def parse(cls, days: Iterable[str], start: str, end: str) -> Self:
        """Read days (`mon` to `sun`) and times (`HH:MM`, `24:00` as an end); ValueError where they make no window."""
        return cls(frozenset(_day(day) for day in days), _minute(start), _minute(end))


def _day(name: str) -> int:
    try:
        return DAYS.index(name.lower())
    except ValueError:
        raise ValueError(f"a day is one of {', '.join(DAYS)}, not {name!r}") from None


def _minute(time: str) -> int:
    match = _CLOCK_TIME.fullmatch(time)
    if match is None or int(match[2]) > 59:
        raise ValueError(f"a time is HH:MM, not {time!r}")
    return int(match[1]) * 60 + int(match[2])


@dataclass(frozen=True)
class Schedule:
    """
    The windows of a campaign, by timezone.

    Contacts are dialed by their own timezone, and two kinds of calls may have windows of their own:
    first calls of contacts that were scheduled for a time, and all other calls, every retry among them.
    Which contacts are left is not known, so a timezone is open only while both kinds of calls may be made:
    whatever is left in it can be dialed then, and silence means something.
    A kind that has no window in a timezone is left out of this, since it can never be dialed.
    A timezone where neither kind has a window is closed for good and is not among `zones`.

    Equal schedules are interchangeable, so that campaigns with the same configuration can share one.

    Raises:
        ValueError: A timezone is not in the IANA database.
    """

    default_timezone: str
    """IANA name, for contacts without a timezone of their own."""
    default_windows: tuple[Window, ...]
    """Windows of every timezone that has no override; empty for none."""
    overrides: Mapping[str, tuple[Window, ...]] = field(default_factory=dict, hash=False)
    """Windows that stand in for the default ones, by timezone; empty to close a timezone."""
    scheduled_windows: tuple[Window, ...] | None = None
    """Default windows of first scheduled calls; None for `default_windows`, empty for none."""
    scheduled_overrides: Mapping[str, tuple[Window, ...]] | None = field(default=None, hash=False)
    """Overrides for first scheduled calls; None for `overrides`."""
    closed_on: frozenset[date] = frozenset()
    """Dates on which no window begins, in each timezone; the night of the day before still ends on such a date."""

    def __post_init__(self) -> None:
        self.zones  # noqa: B018 -- finds timezones that are none

    @cached_property
    def zones(self) -> Mapping[str, Zone]:
        """The openings of the timezones that are named here and have windows, the default one first."""
        named = dict.fromkeys((self.default_timezone, *self.overrides, *(self.scheduled_overrides or ())))
        zones = {timezone: _zone(timezone, *self.windows_in(timezone), self.closed_on) for timezone in named}
        return {timezone: zone for timezone, zone in zones.items() if any(self.windows_in(timezone))}

    @property
    def window_count(self) -> int:
        """
        Number of windows in all lists together; what is None has none of its own.

        0 means that the campaign never dials.
        With more, `zones` may still be empty: the default windows are for timezones that are not named, too.
        """
        overrides = (self.overrides, self.scheduled_overrides or {})
        lists = [self.default_windows, self.scheduled_windows or (), *chain(*(each.values() for each in overrides))]
        return sum(map(len, lists))

    def windows_in(self, timezone: str) -> tuple[tuple[Window, ...], tuple[Window, ...]]:
        """The windows of a timezone: those of first scheduled calls second, those of all other calls first."""
        first_windows = self.default_windows if self.scheduled_windows is None else self.scheduled_windows
        first_overrides = self.overrides if self.scheduled_overrides is None else self.scheduled_overrides
        usual = self.overrides.get(timezone, self.default_windows)
        return usual, first_overrides.get(timezone, first_windows)

    def openings(self, timestamp: float) -> Iterator[tuple[str, bool, float]]:
        """Each timezone, whether it is open at a moment (Unix time), and when that changes; inf for never."""
        second = math.floor(timestamp)
        return ((timezone, *zone.period(second)) for timezone, zone in self.zones.items())


def _open_minutes(windows: Iterable[Window]) -> tuple[int, int]:
    """
    Make two sets of a week's open minutes, for windows that began on the same day and on the day before.

    Bit 0 is the first minute of Monday.
    """
    today = yesterday = 0
    for window in windows:
        length = window.end - window.start + (DAY if window.end < window.start else 0)
        in_day = min(length, DAY - window.start)
        for day in window.days:
            today |= ((1 << in_day) - 1) << (day * DAY + window.start)
            # Sunday's night goes on in Monday's morning.
            yesterday |= ((1 << length - in_day) - 1) << (day + 1) % 7 * DAY
    return today, yesterday


# As many as a few hundred configurations with windows of their own in every timezone have.
@lru_cache(8192)
def _zone(timezone: str, usual: tuple[Window, ...], first: tuple[Window, ...], closed_on: frozenset[date]) -> Zone:
    """The openings of one timezone; schedules with the same windows share them."""
    try:
        clock = ZoneInfo(timezone)
    # A name that is no file of the database fails in as many ways as a path can.
    except (KeyError, ValueError, OSError) as exc:
        raise ValueError(f"no timezone is called {timezone!r}") from exc
    if not usual or not first or usual == first:
        return Zone(clock, *_open_minutes(usual or first), closed_on)
    (usual_today, usual_yesterday), (first_today, first_yesterday) = _open_minutes(usual), _open_minutes(first)
    return Zone(clock, (usual_today | usual_yesterday) & (first_today | first_yesterday), 0, closed_on)


class Hours:
    """
    When a campaign may dial, and whether it may now; shared by all campaigns of one schedule.

    Without a schedule it stands for "round the clock". Hours that are not known are None in place of an object.

    Attributes:
        windows: Number of windows in all; None for round the clock, which has none to count.
        open: 1 or 0 by timezone; those past the first 50 together, as `other`: 1 when all of them are open.
    """

    def __init__(self, schedule: Schedule | None, wall: float) -> None:
        self.schedule = schedule
        self.windows = None if schedule is None else schedule.window_count
        self.open: Mapping[str, float] = {}
        self.all_open = True
        self._since, self._until = math.inf, -math.inf
        """What was read at `_since` holds before `_until`."""
        self.refresh(wall)

    def refresh(self, wall: float) -> bool:
        """Go on to another moment; True when any timezone has opened or closed since the last one."""
        if self.schedule is None or self._since <= wall < self._until:
            return False
        before = self.open
        openings = tuple(self.schedule.openings(wall))
        zones = [(timezone, int(is_open)) for timezone, is_open, _ in openings]
        self.open = dict(zones[:MAX_VALUES])
        if rest := zones[MAX_VALUES:]:
            self.open = {**self.open, OVERFLOW: min(is_open for _, is_open in rest)}
        self.all_open = bool(zones) and all(is_open for _, is_open in zones)
        self._since, self._until = wall, min((until for *_, until in openings), default=math.inf)
        return self.open != before
