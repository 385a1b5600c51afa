from zoneinfo import available_timezones

from exporter.campaign.schedule import Schedule, Window
from exporter.polling.hours import HoursWatch

ALWAYS = (Window(frozenset(range(7)), 0, 1440),)
OFFICE = (Window(frozenset(range(5)), 9 * 60, 17 * 60),)
# A Thursday.
MIDNIGHT = 0.0
MORNING = 9 * 3600.0


def test_equal_schedules_share_their_hours() -> None:
    watch = HoursWatch(lambda: MIDNIGHT)

    assert watch.of(Schedule("UTC", OFFICE)) is watch.of(Schedule("UTC", OFFICE))
    assert watch.of(Schedule("UTC", OFFICE)) is not watch.of(Schedule("UTC", ALWAYS))


def test_hours_whose_window_opens_are_found_once() -> None:
    now = MIDNIGHT
    watch = HoursWatch(lambda: now)
    office, always = watch.of(Schedule("UTC", OFFICE)), watch.of(Schedule("UTC", ALWAYS))
    assert watch.refresh() == set()

    now = MORNING

    assert watch.refresh() == {office}
    assert watch.refresh() == set()
    assert (office.all_open, always.all_open) == (True, True)


def test_hours_follow_a_clock_that_is_set_back() -> None:
    now = MORNING
    watch = HoursWatch(lambda: now)
    office = watch.of(Schedule("UTC", OFFICE))

    now = MIDNIGHT

    assert watch.refresh() == {office}
    assert not office.all_open


def test_timezones_without_a_label_of_their_own_are_counted() -> None:
    names = sorted(available_timezones())[:200]
    overflows: list[None] = []
    watch = HoursWatch(lambda: MIDNIGHT, lambda: overflows.append(None))

    hours = watch.of(Schedule(names[0], ALWAYS, overrides=dict.fromkeys(names[1:], ALWAYS)))

    assert len(overflows) == 150
    assert watch.of(hours.schedule or Schedule("UTC", ALWAYS)) is hours
    assert len(overflows) == 150
