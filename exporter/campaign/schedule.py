"""
When a campaign may dial: calling windows by timezone, and whether they are open at a moment.

Windows are read off the wall clock.
A minute is open when its local time, on its local weekday, lies inside a window:
minutes that a daylight-saving change skips never happen, and minutes that it repeats count both times.
The meaning of a schedule's fields is Anyreach's, https://docs.anyreach.ai/campaigns/configurations;
hours that a user gives are a schedule with one timezone.
"""

import math
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Self
from weakref import WeakValueDictionary
from zoneinfo import ZoneInfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
"""Names of the days in the order of their numbers, Monday being 0."""

_DAY = 24 * 60
_WEEK = 7 * _DAY
_EVERY_MINUTE = (1 << _WEEK) - 1
# The Unix epoch was a Thursday.
_EPOCH_WEEKDAY = 3

# Seconds are tolerated as long as they are none: some serializers write every time with them.
_CLOCK_TIME = re.compile(r"(\d{1,2}):(\d{2})(?::00)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Window:
    """
    A span of the wall clock that recurs on some days of the week.

    The span contains its first minute and not its last: whether Anyreach still dials in the closing minute is not
    documented, and a minute too few is the safe reading where an open window means that silence is suspicious.

    Raises:
        ValueError: A day or a minute is out of range, no day is given, or start and end are the same.
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
        if not 0 <= self.start < _DAY or not 0 <= self.end <= _DAY:
            raise ValueError(f"a window lies within 0 to {_DAY} minutes, not {self.start} to {self.end}")
        if self.start == self.end:
            raise ValueError("a window's end must differ from its start")

    @classmethod
    def parse(cls, days: Iterable[str], start: str, end: str) -> Self:
        """
        Read a window as both the providers and the configuration file write it.

        Days are `mon` to `sun`, times `HH:MM` of a 24-hour clock; `24:00` is accepted as an end.

        Raises:
            ValueError: A day or a time cannot be understood, or they make no window.
        """
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
    Nobody tells which contacts are left, so a timezone is open only while both kinds of calls may be made:
    while it is open, whatever is left in it can be dialed, and silence means something.
    A kind that has no window in a timezone is left out of this, since no passing of time will ever get it dialed:
    what waits for it is stuck indeed.
    A timezone where neither kind has a window is closed for good and is not among `timezones`.

    Equal schedules are interchangeable, so that campaigns with the same configuration can share one;
    the answer about a moment is kept until the next change, whoever asks.

    Raises:
        ValueError: A timezone is not in the IANA database.
    """

    default_timezone: str
    """IANA name, for contacts without a timezone of their own."""
    default_windows: tuple[Window, ...]
    """Windows of every timezone that has no override; empty for none."""
    overrides: Mapping[str, tuple[Window, ...]] = field(default_factory=dict)
    """Windows that stand in for the default ones, by timezone; empty to close a timezone."""
    scheduled_windows: tuple[Window, ...] | None = None
    """Default windows of first scheduled calls; None for `default_windows`, empty for none."""
    scheduled_overrides: Mapping[str, tuple[Window, ...]] | None = None
    """Overrides for first scheduled calls; None for `overrides`."""

    timezones: tuple[str, ...] = field(init=False, compare=False, repr=False)
    """The timezones named here that have windows, the default one first."""
    window_count: int = field(init=False, compare=False, repr=False)
    """
    Number of windows in all lists together; what is None has none of its own.

    0 means that the campaign never dials.
    With more, `timezones` may still be empty: the default windows are for timezones that are not named, too.
    """
    _openings: "_Openings" = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        lists = [self.default_windows, *self.overrides.values()]
        lists += [] if self.scheduled_windows is None else [self.scheduled_windows]
        lists += [] if self.scheduled_overrides is None else self.scheduled_overrides.values()
        first_windows = self.default_windows if self.scheduled_windows is None else self.scheduled_windows
        first_overrides = self.overrides if self.scheduled_overrides is None else self.scheduled_overrides
        zones = {}
        for timezone in dict.fromkeys((self.default_timezone, *self.overrides, *first_overrides)):
            clock = _clock(timezone)
            usual = _open_minutes(self.overrides.get(timezone, self.default_windows))
            first = _open_minutes(first_overrides.get(timezone, first_windows))
            if usual or first:
                zones[timezone] = _Zone(clock, usual & first if usual and first else usual or first)

        def settle(name: str, value: object) -> None:
            object.__setattr__(self, name, value)

        settle("overrides", MappingProxyType(dict(self.overrides)))
        if self.scheduled_overrides is not None:
            settle("scheduled_overrides", MappingProxyType(dict(self.scheduled_overrides)))
        settle("timezones", tuple(zones))
        settle("window_count", sum(map(len, lists)))
        settle("_openings", _Openings(zones))

    def __hash__(self) -> int:
        return hash((self.default_timezone, self.default_windows, frozenset(self.overrides), self.scheduled_windows))

    def open_at(self, timestamp: float) -> Mapping[str, bool]:
        """Tell for each of `timezones`, in their order, whether it is open at a moment (Unix time)."""
        return self._openings.at(timestamp).open

    def all_open(self, timestamp: float) -> bool:
        """Tell whether there are `timezones`, and all of them are open at a moment (Unix time)."""
        return self._openings.at(timestamp).all_open

    def next_change(self, timestamp: float) -> float | None:
        """Find the next moment (Unix time) at which one of `timezones` opens or closes; None when none ever does."""
        until = self._openings.at(timestamp).until
        return None if until == math.inf else until

    def openings(self, timestamp: float) -> Iterator[tuple[str, bool, float | None]]:
        """Yield `timezones`, whether each is open at a moment (Unix time), and when that changes; None for never."""
        return self._openings.each(timestamp)


def _clock(timezone: str) -> ZoneInfo:
    try:
        return ZoneInfo(timezone)
    # A name that is no file of the database fails in as many ways as a path can.
    except (KeyError, ValueError, OSError) as exc:
        raise ValueError(f"no timezone is called {timezone!r}") from exc


def _open_minutes(windows: Iterable[Window]) -> int:
    """Make the set of a week's open minutes: bit 0 is the first minute of Monday."""
    minutes = 0
    for window in windows:
        length = window.end - window.start + (_DAY if window.end < window.start else 0)
        for day in window.days:
            minutes |= ((1 << length) - 1) << (day * _DAY + window.start)
    # Sunday's night goes on in Monday's morning.
    return minutes & _EVERY_MINUTE | minutes >> _WEEK


class _Zone:
    """The openings of one timezone: a week on the wall clock, and the shifts of that clock."""

    def __init__(self, clock: ZoneInfo, open_minutes: int) -> None:
        self._clock = clock
        self._open_minutes = open_minutes
        before = open_minutes << 1 & _EVERY_MINUTE | open_minutes >> (_WEEK - 1)
        self._changes = tuple(_members(open_minutes ^ before))

    def period(self, second: int) -> tuple[bool, float]:
        """Tell whether it is open at a second (Unix time), and the first second of the contrary; inf for never."""
        is_open = self._is_open(second)
        if not self._changes:
            return is_open, math.inf
        moment = second
        while self._is_open(moment) == is_open:
            moment = self._first_shift(moment, moment + self._until_change(moment))
        return is_open, moment

    def _is_open(self, second: int) -> bool:
        return bool(self._open_minutes >> self._second_of_week(second) // 60 & 1)

    def _until_change(self, second: int) -> int:
        """Count the seconds to the next change, if the wall clock is not shifted before."""
        now = self._second_of_week(second)
        following = bisect_right(self._changes, now // 60)
        change = self._changes[following] if following < len(self._changes) else self._changes[0] + _WEEK
        return change * 60 - now

    def _first_shift(self, start: int, end: int) -> int:
        """Find the first second after `start` at which the wall clock is shifted, at most `end`."""
        offset = self._offset(start)
        while start < end:
            # No timezone of the database has been shifted twice within a day since 2000.
            step = min(start + _DAY * 60, end)
            if self._offset(step) != offset:
                seconds = range(start + 1, step)
                return start + 1 + bisect_left(seconds, True, key=lambda second: self._offset(second) != offset)
            start = step
        return end

    def _second_of_week(self, second: int) -> int:
        return (second + self._offset(second) + _EPOCH_WEEKDAY * _DAY * 60) % (_WEEK * 60)

    def _offset(self, second: int) -> int:
        offset = datetime.fromtimestamp(second, self._clock).utcoffset()
        assert offset is not None  # noqa: S101 -- an aware datetime has one; this tells mypy
        return offset.days * 86400 + offset.seconds


def _members(bits: int) -> Iterable[int]:
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest


@dataclass(frozen=True, slots=True)
class _Period:
    """A stretch of time in which nothing opens or closes."""

    since: float
    until: float
    open: Mapping[str, bool]
    all_open: bool


class _Openings:
    """The periods of some timezones; remembers the last one, since most questions are about now."""

    def __init__(self, zones: Mapping[str, _Zone]) -> None:
        self._zones = zones
        self._last = _Period(math.inf, -math.inf, {}, False)

    def at(self, timestamp: float) -> _Period:
        if not self._last.since <= timestamp < self._last.until:
            self._last = self._find(timestamp)
        return self._last

    def each(self, timestamp: float) -> Iterator[tuple[str, bool, float | None]]:
        for timezone, zone in self._zones.items():
            is_open, until = zone.period(math.floor(timestamp))
            yield timezone, is_open, None if until == math.inf else until

    def _find(self, timestamp: float) -> _Period:
        second = math.floor(timestamp)
        periods = {timezone: zone.period(second) for timezone, zone in self._zones.items()}
        is_open = MappingProxyType({timezone: is_open for timezone, (is_open, _) in periods.items()})
        until = min((until for _, until in periods.values()), default=math.inf)
        return _Period(second, until, is_open, bool(is_open) and all(is_open.values()))


class Hours:
    """
    When a campaign may dial, and whether it may now; shared by all campaigns of one schedule.

    Without a schedule it stands for "round the clock". Hours that are not known are None in place of an object.
    """

    __slots__ = ("__weakref__", "all_open", "open", "schedule", "windows")

    def __init__(self, schedule: Schedule | None, wall: float) -> None:
        self.schedule = schedule
        self.windows = None if schedule is None else schedule.window_count
        """Number of windows in all; None for round the clock, which has none to count."""
        self.open: Mapping[str, float] = {}
        self.all_open = True
        self.refresh(wall)

    def refresh(self, wall: float) -> bool:
        """Look at the clock again; True when any timezone has opened or closed since."""
        if self.schedule is None:
            return False
        before = self.open
        self.open = {zone: int(is_open) for zone, is_open in self.schedule.open_at(wall).items()}
        self.all_open = self.schedule.all_open(wall)
        return self.open != before


class HoursWatch:
    """
    One `Hours` for each schedule, however many campaigns have it.

    Windows open and close by the wall clock, which can be set: looking at it every second is right then, too, where
    a timer for the next change would not be, and costs nothing with the few schedules that there are.

    Args:
        wall: Unix time by which windows open and close.
    """

    def __init__(self, wall: Callable[[], float]) -> None:
        self.around_the_clock = Hours(None, 0.0)
        self._wall = wall
        self._known: WeakValueDictionary[Schedule, Hours] = WeakValueDictionary()

    def of(self, schedule: Schedule) -> Hours:
        """Give the hours of a schedule; equal schedules share them."""
        hours = self._known.get(schedule)
        if hours is None:
            hours = self._known[schedule] = Hours(schedule, self._wall())
        return hours

    def refresh(self) -> frozenset[Hours]:
        """Look at the clock, and tell the hours in which a timezone has opened or closed since the last look."""
        wall = self._wall()
        return frozenset(hours for hours in tuple(self._known.values()) if hours.refresh(wall))
