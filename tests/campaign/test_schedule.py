"""
Calling windows against an oracle that is written another way.

The oracle turns each moment into a local date and time, and lays the windows of that date and of the one before
over it as naive datetimes; it knows no weeks, no bits and no shifts of the clock.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from math import inf
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.campaign.schedule import Hours, Schedule, Window

WEEKDAYS = frozenset(range(5))
OFFICE = Window(WEEKDAYS, 9 * 60, 17 * 60)
EVENING = Window(WEEKDAYS, 16 * 60, 20 * 60)

WEEK = 7 * 24 * 60

# Weeks (their first day, in UTC) that hold a shift of the clock, with the timezone where it happens;
# the last two are ordinary ones.
WEEKS = [
    ("America/New_York", datetime(2026, 3, 5, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 10, 29, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2026, 3, 26, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2026, 10, 22, tzinfo=UTC)),
    ("Australia/Sydney", datetime(2026, 4, 1, tzinfo=UTC)),
    ("Australia/Sydney", datetime(2026, 9, 30, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 4, 1, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 9, 30, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 6, 4, tzinfo=UTC)),
    ("Asia/Kolkata", datetime(2026, 6, 4, tzinfo=UTC)),
]

# Edges inside the skipped and the repeated hours, midnights, and a window that lies in them altogether.
AWKWARD = (
    Window(frozenset({0, 2, 4}), 9 * 60, 17 * 60),
    Window(frozenset({4, 6}), 22 * 60 + 30, 3 * 60 + 30),
    Window(frozenset({6}), 2 * 60 + 10, 2 * 60 + 20),
    Window(frozenset({6}), 1 * 60 + 15, 1 * 60 + 45),
    Window(frozenset({5}), 23 * 60, 0),
    Window(frozenset({1}), 0, 24 * 60),
)


def open_at(schedule: Schedule, timestamp: float) -> dict[str, bool]:
    return {timezone: is_open for timezone, is_open, _ in schedule.openings(timestamp)}


def all_open(schedule: Schedule, timestamp: float) -> bool:
    is_open = open_at(schedule, timestamp).values()
    return bool(is_open) and all(is_open)


def next_change(schedule: Schedule, timestamp: float) -> float | None:
    until = min((until for *_, until in schedule.openings(timestamp)), default=inf)
    return None if until == inf else until


def oracle(timezone: ZoneInfo, windows: Sequence[Window], timestamp: float) -> bool:
    local = datetime.fromtimestamp(timestamp, timezone).replace(tzinfo=None)
    for window in windows:
        for day in (local.date(), local.date() - timedelta(days=1)):
            if day.weekday() in window.days:
                midnight = datetime.combine(day, time())
                end_date = midnight + timedelta(days=1) if window.end < window.start else midnight
                if midnight + timedelta(minutes=window.start) <= local < end_date + timedelta(minutes=window.end):
                    return True
    return False


def moment(timezone: str, text: str, *, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(timezone), fold=fold).timestamp()


def is_open(schedule: Schedule, timestamp: float) -> bool:
    """Ask about a schedule's only timezone."""
    (answer,) = open_at(schedule, timestamp).values()
    return answer


@pytest.mark.parametrize(("timezone", "week"), WEEKS)
def test_every_minute_of_a_week_is_open_as_the_wall_clock_says(timezone: str, week: datetime) -> None:
    schedule = Schedule(timezone, AWKWARD)
    clock = ZoneInfo(timezone)
    start = week.timestamp()

    for minute in range(WEEK):
        for second in (0.0, 59.999):
            timestamp = start + minute * 60 + second
            assert is_open(schedule, timestamp) == oracle(clock, AWKWARD, timestamp)


@pytest.mark.parametrize(("timezone", "week"), WEEKS)
def test_the_next_change_is_where_a_walk_by_minutes_finds_it(timezone: str, week: datetime) -> None:
    clock = ZoneInfo(timezone)
    start = week.timestamp()
    timestamps = [start + minute * 60 for minute in range(WEEK)]
    answers = [oracle(clock, AWKWARD, timestamp) for timestamp in timestamps]
    changes = [timestamps[i] for i in range(1, WEEK) if answers[i] != answers[i - 1]]
    # Asked in reverse, no answer can come out of what was found for an earlier moment.
    schedule = Schedule(timezone, AWKWARD)

    found = [
        (timestamp, next_change(schedule, timestamp))
        for change in reversed(changes)
        for timestamp in (change - 0.001, change - 60)
        if timestamp > changes[0]
    ]

    assert len(changes) >= 16
    for timestamp, following in found:
        assert following == min(change for change in changes if change > timestamp)
    assert [next_change(schedule, change) for change in changes[:-1]] == changes[1:]


def windows() -> st.SearchStrategy[tuple[Window, ...]]:
    span = st.tuples(st.integers(0, 1439), st.integers(0, 1440)).filter(lambda span: span[0] != span[1])
    window = st.builds(lambda days, span: Window(days, *span), st.frozensets(st.integers(0, 6), min_size=1), span)
    return st.lists(window, min_size=1, max_size=4).map(tuple)


@settings(derandomize=True, deadline=None, database=None, max_examples=150)
@given(windows(), st.sampled_from(WEEKS), st.integers(0, WEEK * 60))
def test_nothing_opens_or_closes_before_the_next_change(
    windows: tuple[Window, ...], place: tuple[str, datetime], second: int
) -> None:
    timezone, week = place
    clock = ZoneInfo(timezone)
    schedule = Schedule(timezone, windows)
    timestamp = week.timestamp() + second

    now = is_open(schedule, timestamp)
    change = next_change(schedule, timestamp)

    assert now == oracle(clock, windows, timestamp)
    horizon = timestamp + 14 * 86400 if change is None else change
    # Past the current minute only a minute's beginning can differ; a day of them, and the last ones, are looked at.
    following = timestamp - timestamp % 60 + 60
    for minute in (following, min(following + 1440 * 60, horizon)), (max(following, horizon - 3600), horizon):
        for later in range(int(minute[0]), int(minute[1]), 60):
            assert oracle(clock, windows, later) == now
    assert change is None or oracle(clock, windows, change) != now


@pytest.mark.parametrize(
    ("timezone", "start", "end", "opening", "closing", "minutes"),
    [
        # The hour from 02:00 is skipped: what would begin in it begins when the clock has jumped.
        ("America/New_York", "02:30", "04:00", "2026-03-08T03:00", "2026-03-08T04:00", 60),
        ("Europe/Berlin", "01:00", "02:30", "2026-03-29T01:00", "2026-03-29T03:00", 60),
        ("Australia/Lord_Howe", "02:15", "03:00", "2026-10-04T02:30", "2026-10-04T03:00", 30),
        # The hour is repeated within the window.
        ("America/New_York", "00:30", "03:00", "2026-11-01T00:30", "2026-11-01T03:00", 210),
        ("Australia/Sydney", "00:00", "04:00", "2026-04-05T00:00", "2026-04-05T04:00", 300),
        ("Australia/Lord_Howe", "01:00", "02:30", "2026-04-05T01:00", "2026-04-05T02:30", 120),
        # Half-hour offsets without a shift.
        ("Asia/Kolkata", "09:00", "19:00", "2026-06-07T09:00", "2026-06-07T19:00", 600),
    ],
)
def test_a_window_shrinks_and_grows_with_the_clock(
    timezone: str, start: str, end: str, opening: str, closing: str, minutes: int
) -> None:
    schedule = Schedule(timezone, (Window.parse(["sun"], start, end),))
    opened = moment(timezone, opening)

    assert next_change(schedule, opened - 600) == opened
    assert next_change(schedule, opened) == moment(timezone, closing) == opened + minutes * 60


def test_a_window_inside_the_repeated_hour_opens_twice() -> None:
    schedule = Schedule("America/New_York", (Window.parse(["sun"], "01:10", "01:20"),))
    first = moment("America/New_York", "2026-11-01T01:10")
    second = moment("America/New_York", "2026-11-01T01:10", fold=1)

    assert second == first + 3600
    assert next_change(schedule, first - 1) == first
    assert next_change(schedule, first) == first + 600
    assert next_change(schedule, first + 600) == second
    assert next_change(schedule, second) == second + 600


def test_a_window_inside_the_skipped_hour_does_not_open_that_week() -> None:
    schedule = Schedule("Europe/Berlin", (Window.parse(["sun"], "02:10", "02:20"),))

    opening = next_change(schedule, moment("Europe/Berlin", "2026-03-22T12:00"))

    assert opening == moment("Europe/Berlin", "2026-04-05T02:10")


def test_a_shift_of_the_clock_can_be_what_closes() -> None:
    schedule = Schedule("Europe/Berlin", (Window.parse(["sun"], "00:00", "02:00"),))

    assert next_change(schedule, moment("Europe/Berlin", "2026-03-29T00:00")) == moment(
        "Europe/Berlin", "2026-03-29T03:00"
    )


def test_the_early_morning_belongs_to_the_day_before() -> None:
    friday_night = Schedule("America/New_York", (Window.parse(["fri"], "22:30", "03:30"),))
    monday_night = Schedule("America/New_York", (Window.parse(["mon"], "22:30", "03:30"),))

    assert is_open(friday_night, moment("America/New_York", "2026-06-06T03:29"))
    assert not is_open(friday_night, moment("America/New_York", "2026-06-06T03:30"))
    assert not is_open(monday_night, moment("America/New_York", "2026-06-08T01:00"))
    assert is_open(monday_night, moment("America/New_York", "2026-06-09T01:00"))


def test_sundays_night_goes_on_on_monday() -> None:
    schedule = Schedule("Asia/Kolkata", (Window.parse(["sun"], "22:00", "02:00"),))

    assert next_change(schedule, moment("Asia/Kolkata", "2026-06-07T22:00")) == moment(
        "Asia/Kolkata", "2026-06-08T02:00"
    )


def test_neighbouring_windows_are_one_opening() -> None:
    schedule = Schedule("UTC", (Window.parse(["mon"], "09:00", "24:00"), Window.parse(["tue"], "00:00", "12:00")))

    assert next_change(schedule, moment("UTC", "2026-06-08T09:00")) == moment("UTC", "2026-06-09T12:00")


def test_a_schedule_that_is_always_open_never_changes() -> None:
    schedule = Schedule("America/New_York", (Window(frozenset(range(7)), 0, 1440),))
    now = moment("America/New_York", "2026-03-08T01:59")

    assert next_change(schedule, now) is None
    assert all_open(schedule, now)


@pytest.mark.parametrize("overrides", [{}, {"America/Chicago": ()}])
def test_a_schedule_without_windows_has_no_timezones_and_is_never_open(
    overrides: dict[str, tuple[Window, ...]],
) -> None:
    schedule = Schedule("America/New_York", (), overrides)

    assert schedule.window_count == 0
    assert tuple(schedule.zones) == ()
    assert open_at(schedule, 0.0) == {}
    assert next_change(schedule, 0.0) is None
    assert not all_open(schedule, 0.0)


def test_overrides_replace_the_default_windows_in_their_timezone() -> None:
    schedule = Schedule("America/New_York", (OFFICE,), {"America/Chicago": (EVENING, EVENING), "America/Denver": ()})

    assert tuple(schedule.zones) == ("America/New_York", "America/Chicago")
    assert schedule.window_count == 3
    noon = moment("America/New_York", "2026-06-08T12:00")
    assert open_at(schedule, noon) == {"America/New_York": True, "America/Chicago": False}
    assert not all_open(schedule, noon)
    assert next_change(schedule, noon) == moment("America/Chicago", "2026-06-08T16:00")


def test_all_are_open_only_while_every_timezone_is() -> None:
    schedule = Schedule("America/New_York", (OFFICE,), {"America/Los_Angeles": (OFFICE,)})

    assert not all_open(schedule, moment("America/New_York", "2026-06-08T11:59"))
    assert all_open(schedule, moment("America/New_York", "2026-06-08T12:00"))
    assert not all_open(schedule, moment("America/New_York", "2026-06-08T17:00"))


def test_a_closed_default_timezone_lends_its_windows_to_unnamed_timezones() -> None:
    schedule = Schedule("America/New_York", (OFFICE,), {"America/New_York": ()})

    assert tuple(schedule.zones) == ()
    assert schedule.window_count == 1
    assert not all_open(schedule, moment("America/New_York", "2026-06-08T12:00"))


def test_an_answer_kept_for_a_later_moment_is_not_given_for_an_earlier_one() -> None:
    schedule = Schedule("UTC", (OFFICE,))

    assert is_open(schedule, moment("UTC", "2026-06-08T12:00"))
    assert not is_open(schedule, moment("UTC", "2026-06-08T08:00"))
    assert next_change(schedule, moment("UTC", "2026-06-05T12:00")) == moment("UTC", "2026-06-05T17:00")


def test_hours_follow_a_clock_that_is_set_back() -> None:
    hours = Hours(Schedule("UTC", (OFFICE,)), moment("UTC", "2026-06-08T12:00"))

    assert not hours.refresh(moment("UTC", "2026-06-08T16:59"))
    assert hours.refresh(moment("UTC", "2026-06-08T08:00"))
    assert (hours.open, hours.all_open) == ({"UTC": 0}, False)
    assert hours.refresh(moment("UTC", "2026-06-08T09:00"))
    assert (hours.open, hours.all_open) == ({"UTC": 1}, True)


def opening_hours(schedule: Schedule) -> list[int]:
    """List the full hours of a Monday at which the default timezone is open."""
    midnight = moment(schedule.default_timezone, "2026-06-08T00:00")
    return [
        hour for hour in range(24) if open_at(schedule, midnight + hour * 3600).get(schedule.default_timezone, False)
    ]


@pytest.mark.parametrize(
    ("default", "scheduled", "hours", "count"),
    [
        ((OFFICE,), None, range(9, 17), 1),
        ((OFFICE,), (EVENING,), range(16, 17), 2),
        ((OFFICE,), (), range(9, 17), 1),
        ((), (EVENING,), range(16, 20), 1),
        ((), None, [], 0),
        ((), (), [], 0),
        ((OFFICE,), (Window(frozenset({6}), 60, 120),), [], 2),
    ],
)
def test_a_timezone_is_open_only_while_every_kind_of_call_may_be_made(
    default: tuple[Window, ...], scheduled: tuple[Window, ...] | None, hours: Sequence[int], count: int
) -> None:
    schedule = Schedule("America/New_York", default, scheduled_windows=scheduled)

    assert opening_hours(schedule) == list(hours)
    assert schedule.window_count == count


def test_first_scheduled_calls_take_the_ordinary_overrides_by_default() -> None:
    overrides = {"America/New_York": (OFFICE,)}

    fallen_back = Schedule("America/New_York", (), overrides, scheduled_windows=(EVENING,))
    own = Schedule("America/New_York", (), overrides, scheduled_windows=(EVENING,), scheduled_overrides={})
    named = Schedule("America/New_York", (), overrides, scheduled_overrides={"America/New_York": (EVENING,)})
    elsewhere = Schedule("America/New_York", (OFFICE,), scheduled_overrides={"Asia/Kolkata": (EVENING,)})
    lifted = Schedule("America/New_York", (EVENING,), {"America/New_York": ()}, scheduled_overrides={})

    assert opening_hours(fallen_back) == list(range(9, 17))
    assert opening_hours(own) == [16]
    assert opening_hours(named) == [16]
    assert opening_hours(lifted) == list(range(16, 20))
    assert opening_hours(elsewhere) == list(range(9, 17))
    assert tuple(elsewhere.zones) == ("America/New_York", "Asia/Kolkata")
    assert open_at(elsewhere, moment("Asia/Kolkata", "2026-06-08T16:30"))["Asia/Kolkata"]
    assert not open_at(elsewhere, moment("Asia/Kolkata", "2026-06-08T17:30"))["Asia/Kolkata"]


class TestHolidays:
    BUSINESS = (Window(frozenset(range(5)), 540, 1140),)
    NIGHTS = (Window(frozenset(range(7)), 1320, 360),)

    def open_hours(self, schedule: Schedule, day: date, hours: int = 24) -> list[int]:
        start = datetime.combine(day, time(), ZoneInfo(schedule.default_timezone)).timestamp()
        return [hour for hour in range(hours) if all_open(schedule, start + hour * 3600)]

    def test_a_date_has_no_windows(self) -> None:
        schedule = Schedule("Asia/Kolkata", self.BUSINESS, closed_on=frozenset({date(2026, 12, 25)}))

        assert self.open_hours(schedule, date(2026, 12, 24)) == [*range(9, 19)]
        assert self.open_hours(schedule, date(2026, 12, 25)) == []

    def test_a_night_that_began_the_day_before_still_ends_and_none_begins(self) -> None:
        schedule = Schedule("Europe/Berlin", self.NIGHTS, closed_on=frozenset({date(2026, 12, 25)}))

        assert self.open_hours(schedule, date(2026, 12, 24), 72) == [
            *range(6),
            *range(22, 30),
            *range(24 + 46, 24 + 48),
        ]

    def test_a_schedule_that_is_always_open_closes_for_the_date_alone(self) -> None:
        always = Schedule("UTC", (Window(frozenset(range(7)), 0, 1440),), closed_on=frozenset({date(2026, 12, 25)}))
        christmas = datetime(2026, 12, 25, tzinfo=UTC).timestamp()

        assert next_change(always, christmas - 86400) == christmas
        assert next_change(always, christmas) == christmas + 86400
        assert next_change(always, christmas + 86400) is None

    @pytest.mark.parametrize("windows", [BUSINESS, NIGHTS])
    def test_the_next_change_is_where_a_walk_by_minutes_finds_it(self, windows: tuple[Window, ...]) -> None:
        schedule = Schedule("UTC", windows, closed_on=frozenset({date(2026, 12, 25), date(2026, 12, 28)}))
        start = datetime(2026, 12, 23, tzinfo=UTC).timestamp()
        minutes = [start + 60 * minute for minute in range(8 * 1440)]
        for before, after in pairwise(minutes):
            changes = all_open(schedule, before) != all_open(schedule, after)
            assert (next_change(schedule, before) == after) is changes


class TestManyTimezones:
    def schedule(self, number: int) -> Schedule:
        names = sorted(available_timezones())[:number]
        windows = (Window(frozenset(range(7)), 0, 1440),)
        return Schedule(names[0], windows, overrides=dict.fromkeys(names[1:], windows))

    def test_have_fifty_labels_and_one_for_the_rest(self) -> None:
        hours = Hours(self.schedule(200), 0.0)

        assert len(hours.open) == 51
        assert hours.open["other"] == 1

    def test_fifty_have_no_other(self) -> None:
        assert "other" not in Hours(self.schedule(50), 0.0).open

    def test_one_that_is_closed_past_the_fiftieth_closes_the_campaign(self) -> None:
        names = sorted(available_timezones())[:200]
        open_, shut = (Window(frozenset(range(7)), 0, 1440),), (Window(frozenset(range(7)), 0, 1),)
        overrides = dict.fromkeys(names[1:], open_) | {names[-1]: shut}
        hours = Hours(Schedule(names[0], open_, overrides=overrides), 43200.0)

        assert (hours.open["other"], hours.all_open) == (0, False)


def test_equal_schedules_can_stand_for_each_other() -> None:
    def make(scheduled: tuple[Window, ...] | None) -> Schedule:
        return Schedule("America/New_York", (OFFICE,), {"Asia/Kolkata": (EVENING,)}, scheduled, {"UTC": ()})

    asked = make(None)
    all_open(asked, 0.0)

    assert asked == make(None)
    assert len({asked, make(None), make(()), Schedule("America/New_York", (OFFICE,))}) == 3


@pytest.mark.parametrize(
    "timezone", ["Mars/Base", "", "America", "/etc/localtime", "../UTC", "a\0b", "\ud800", "x" * 5000, "zone.tab"]
)
def test_an_unknown_timezone_is_refused(timezone: str) -> None:
    with pytest.raises(ValueError, match="no timezone is called"):
        Schedule(timezone, ())
    with pytest.raises(ValueError, match="no timezone is called"):
        Schedule("UTC", (), {timezone: ()})


@pytest.mark.parametrize(
    ("days", "start", "end", "expected"),
    [
        (["mon", "sun"], "22:30", "03:30", Window(frozenset({0, 6}), 1350, 210)),
        (["WED"], "9:00", "24:00", Window(frozenset({2}), 540, 1440)),
        (["tue", "tue"], "09:00:00", "17:30:00", Window(frozenset({1}), 540, 1050)),
    ],
)
def test_a_window_is_read_from_names_and_clock_times(days: list[str], start: str, end: str, expected: Window) -> None:
    assert Window.parse(days, start, end) == expected


@pytest.mark.parametrize(
    ("days", "start", "end", "complaint"),
    [
        ([], "09:00", "17:00", "one or more days"),
        (["monday"], "09:00", "17:00", "a day is one of mon"),
        (["mon"], "09:00", "09:00", "must differ"),
        (["mon"], "24:00", "09:00", "within 0 to 1440"),
        (["mon"], "09:00", "24:01", "within 0 to 1440"),
        (["mon"], "09:60", "17:00", "HH:MM"),
        (["mon"], "09:00:30", "17:00", "HH:MM"),
        (["mon"], "-1:00", "17:00", "HH:MM"),
        (["mon"], "٠٩:00", "17:00", "HH:MM"),
        (["mon"], "9", "17:00", "HH:MM"),
    ],
)
def test_what_is_no_window_is_refused(days: list[str], start: str, end: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Window.parse(days, start, end)


@pytest.mark.parametrize("days", [{7}, {-1}, {0, 7}])
def test_a_day_out_of_range_is_refused(days: set[int]) -> None:
    with pytest.raises(ValueError, match="days of 0 to 6"):
        Window(frozenset(days), 0, 60)
