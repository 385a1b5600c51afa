"""The benchmarks run and yield all their figures; none is judged here, where other tests run besides."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

from benchmarks.holds import Holds
from benchmarks.results import row, table
from benchmarks.soak import Counters, flat


def test_a_quick_run_yields_every_figure(tmp_path: Path) -> None:
    file = tmp_path / "results.json"

    subprocess.run([sys.executable, "-m", "benchmarks", "--quick", "--json", file], check=True, timeout=300)

    rows = json.loads(file.read_text(encoding="utf-8"))["rows"]
    assert {one["area"] for one in rows} == {"scrape", "poll", "memory", "start", "growth"}
    assert all(one["lowest"] <= one["value"] <= one["highest"] for one in rows)
    failed = [one["value"] for one in rows if "failed polls" in one["what"]]
    assert failed == [0.0, 0.0, 0.0]


def test_a_figure_is_the_median_and_is_held_against_its_target() -> None:
    rows = [
        row("poll", "cost", 10, [3.0, 1.0, 2.0], "us", at_most=1.5),
        row("poll", "rate", 10, [5.0], "/s", at_least=5),
    ]

    assert [one.met for one in rows] == [False, True]
    assert "| poll | cost | 10 | 2 us | 1 to 3 | at most 1.5 us: **missed** |" in table(rows)


def test_the_soak_sees_a_counter_that_falls_and_not_one_that_was_away() -> None:
    counters = Counters()
    for page in ("a_total 5\nb_total 5\n", "a_total 4\n", "a_total 4\nb_total 1\n"):
        counters.look("# TYPE a_total counter\n# TYPE b_total counter\n" + page)

    assert len(counters.fallen) == 1


def test_the_soak_sees_growth() -> None:
    assert flat([50.0, 100.0, 100.0, 100.0, 101.0, 99.0, 104.0, 104.0], 0.05)[0]
    assert not flat([50.0, 100.0, 100.0, 100.0, 101.0, 99.0, 106.0, 106.0], 0.05)[0]


def test_a_step_that_takes_long_is_noticed() -> None:

    async def work() -> None:
        await asyncio.sleep(0)
        sum(range(2_000_000))

    holds = Holds()
    with asyncio.Runner() as runner:
        holds.watch(runner.get_loop())
        runner.run(work())
    assert holds.longest > 0.005
