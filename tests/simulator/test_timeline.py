from exporter.simulator.clock import ManualClock
from exporter.simulator.timeline import Timeline


def test_events_run_by_their_moments_and_then_in_the_order_of_planning() -> None:
    timeline, seen = Timeline(0.0, ManualClock(0.0)), list[str]()
    timeline.at(5, seen.append, "late")
    timeline.at(1, seen.append, "early")
    timeline.at(5, seen.append, "late too")

    timeline.advance_to(5)

    assert seen == ["early", "late", "late too"]


def test_nothing_runs_before_its_moment() -> None:
    timeline, seen = Timeline(0.0, ManualClock(0.0)), list[float]()
    timeline.at(5, lambda: seen.append(timeline.now))

    timeline.advance_to(4.9)
    assert not seen
    timeline.advance_to(100)
    assert seen == [5]
    assert timeline.now == 100


def test_time_never_goes_back() -> None:
    timeline = Timeline(50.0, ManualClock(0.0))
    timeline.advance_to(10)

    assert timeline.now == 50


def test_what_repeats_comes_once_each_period() -> None:
    timeline, seen = Timeline(0.0, ManualClock(0.0)), list[float]()
    timeline.every(10, lambda: seen.append(timeline.now))

    timeline.advance_to(35)

    assert seen == [10, 20, 30]


def test_catching_up_waits_for_the_first_advance_and_stays_out_of_events() -> None:
    clock = ManualClock(100.0)
    timeline = Timeline(0.0, clock)
    timeline.catch_up()
    assert timeline.now == 0

    timeline.at(10, timeline.catch_up)
    timeline.advance_to(20)
    assert timeline.now == 20
    timeline.catch_up()
    assert timeline.now == 100
