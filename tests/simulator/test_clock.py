import pytest

from exporter.simulator import ManualClock, SimulatedClock


def test_a_simulated_clock_runs_so_many_times_as_fast_as_real_time() -> None:
    monotonic = iter([100.0, 100.0, 102.5])
    clock = SimulatedClock(60, start=1_000.0, monotonic=lambda: next(monotonic))

    assert clock() == 1_000.0
    assert clock() == 1_150.0


def test_a_clock_cannot_stand_still_or_run_backwards() -> None:
    for speed in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="speed must be above 0"):
            SimulatedClock(speed)


def test_a_manual_clock_moves_only_when_told() -> None:
    clock = ManualClock(1_000.0)
    clock.advance(30)

    assert clock() == 1_030.0
