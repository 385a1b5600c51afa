from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from exporter.simulator.clock import ManualClock
from exporter.simulator.hours import DAYS, ROUND_THE_CLOCK, Hours, Window, is_open
from exporter.simulator.timeline import Timeline

NIGHT = Window(("fri",), "22:30", "03:30")
DAY = Window(("mon", "tue", "wed", "thu", "fri"), "09:00", "17:00")


def at(text: str, timezone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(timezone)).timestamp()


@pytest.mark.parametrize(
    ("moment", "opened"),
    [
        ("2026-06-05 22:29", False),  # a Friday
        ("2026-06-05 22:30", True),
        ("2026-06-06 00:00", True),
        ("2026-06-06 03:29:59", True),
        ("2026-06-06 03:30", False),
        ("2026-06-05 01:00", False),
        ("2026-06-06 22:30", False),
    ],
)
def test_a_window_over_midnight_belongs_to_the_day_on_which_it_starts(moment: str, opened: bool) -> None:
    assert is_open([NIGHT], "UTC", at(moment)) is opened


def test_hours_are_those_of_the_timezone() -> None:
    moment = at("2026-06-05 09:00", "America/New_York")

    assert is_open([DAY], "America/New_York", moment)
    assert not is_open([DAY], "America/New_York", moment - 1)
    assert not is_open([DAY], "America/Los_Angeles", moment)


def test_round_the_clock_leaves_no_minute_out() -> None:
    start = at("2026-06-01 00:00")

    assert all(is_open(ROUND_THE_CLOCK, "Asia/Kolkata", start + minute * 60) for minute in range(7 * 1440))


def test_no_windows_are_never_open() -> None:
    assert not any(is_open((), "UTC", at("2026-06-01 00:00") + hour * 3600) for hour in range(168))


@pytest.mark.parametrize(
    ("timezone", "start"),
    [
        ("America/New_York", "2026-03-06 12:00"),  # clocks go forward on the 8th
        ("Europe/Berlin", "2026-10-23 12:00"),  # clocks go back on the 25th
        ("Australia/Sydney", "2026-04-03 12:00"),  # clocks go back on the 5th
    ],
)
def test_hours_follow_the_wall_clock_through_a_change_of_daylight_saving(timezone: str, start: str) -> None:
    windows = (Window(DAYS, "01:30", "02:30"), Window(DAYS, "22:00", "00:15"))
    timeline = Timeline(at(start), ManualClock(0.0))
    hours = Hours(timeline, windows, timezone)

    for minute in range(3 * 1440):
        timeline.advance_to(at(start) + minute * 60)
        assert hours.open is is_open(windows, timezone, timeline.now)


def test_opening_is_told_once_each_day() -> None:
    openings = list[float]()
    timeline = Timeline(at("2026-06-01 00:00"), ManualClock(0.0))
    Hours(timeline, (DAY,), "UTC", [lambda: openings.append(timeline.now)])

    timeline.advance_to(at("2026-06-02 12:00"))
    assert openings == [at("2026-06-01 09:00"), at("2026-06-02 09:00")]
