"""
Whether a timezone is open at a moment, and until when: weeks of open minutes on wall clocks that are shifted.

Windows are read off the wall clock. A minute is open when its local time, on its local weekday, lies inside a window:
minutes that a daylight-saving change skips never happen, and minutes that it repeats count both times.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from datetime import date, datetime
from zoneinfo import ZoneInfo

DAY = 24 * 60
WEEK = 7 * DAY
"""Minutes."""
DAY_SECONDS = DAY * 60

_EVERY_MINUTE = (1 << WEEK) - 1
# The Unix epoch was a Thursday.
_EPOCH_WEEKDAY = 3
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()


class Zone:
    """The openings of one timezone: a week on the wall clock, dates without windows, and the shifts of that clock."""

    def __init__(self, clock: ZoneInfo, today: int, yesterday: int, closed_on: Iterable[date]) -> None:
        self._clock = clock
        self._today, self._yesterday = today, yesterday
        self._closed = frozenset(day.toordinal() - _EPOCH_ORDINAL for day in closed_on)
        self._last_closed = max(self._closed, default=-math.inf)
        self._changes_weekly = today | yesterday not in (0, _EVERY_MINUTE)
        # A date opens and closes at midnight, and leaves open what began on the day before.
        changes = sum(1 << day * DAY for day in range(7)) if self._closed else 0
        for part in (today, yesterday):
            changes |= part ^ (part << 1 & _EVERY_MINUTE | part >> (WEEK - 1))
        self._changes = tuple(_members(changes))
        self._last = (math.inf, -math.inf, False)

    def period(self, second: int) -> tuple[bool, float]:
        """Return whether it is open at a second (Unix time), and the second at which that changes; inf for never."""
        since, until, is_open = self._last
        if not since <= second < until:
            is_open, until = self._find(second)
            self._last = second, until, is_open
        return is_open, until

    def _find(self, second: int) -> tuple[bool, float]:
        is_open = self._is_open(second)
        moment = second
        while self._is_open(moment) == is_open:
            if not self._changes_weekly and self._local(moment) // DAY_SECONDS > self._last_closed + 1:
                return is_open, math.inf
            moment = self._first_shift(moment, moment + self._until_change(moment))
        return is_open, moment

    def _is_open(self, second: int) -> bool:
        local = self._local(second)
        minute, day = _second_of_week(local) // 60, local // DAY_SECONDS
        return bool(
            (self._today >> minute & 1 and day not in self._closed)
            or (self._yesterday >> minute & 1 and day - 1 not in self._closed)
        )

    def _until_change(self, second: int) -> int:
        """Count the seconds to the next change, if the wall clock is not shifted before."""
        now = _second_of_week(self._local(second))
        following = bisect_right(self._changes, now // 60)
        change = self._changes[following] if following < len(self._changes) else self._changes[0] + WEEK
        return change * 60 - now

    def _first_shift(self, start: int, end: int) -> int:
        """Find the first second after `start` at which the wall clock is shifted, at most `end`."""
        offset = self._offset(start)
        while start < end:
            # No timezone of the database has been shifted twice within a day since 2000.
            step = min(start + DAY_SECONDS, end)
            if self._offset(step) != offset:
                seconds = range(start + 1, step)
                return start + 1 + bisect_left(seconds, True, key=lambda second: self._offset(second) != offset)
            start = step
        return end

    def _local(self, second: int) -> int:
        """What the wall clock shows, in seconds since the date of the Unix epoch."""
        return second + self._offset(second)

    def _offset(self, second: int) -> int:
        offset = datetime.fromtimestamp(second, self._clock).utcoffset()
        assert offset is not None  # noqa: S101 -- an aware datetime has one; this tells mypy
        return offset.days * DAY_SECONDS + offset.seconds


def _second_of_week(local: int) -> int:
    return (local + _EPOCH_WEEKDAY * DAY_SECONDS) % (WEEK * 60)


def _members(bits: int) -> Iterable[int]:
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest
