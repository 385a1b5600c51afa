"""Memory, and how long starting and reloading take, of the exporter as it is run."""

import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from benchmarks.fleet import configuration
from benchmarks.results import Row, row
from benchmarks.subject import subject
from benchmarks.upstream import upstream

_MEMORY = {1_000: 60.0, 10_000: 150.0, 30_000: 300.0}


def _first_poll(base_url: str) -> float:
    """When the providers were first asked since they were last told to watch for it, on the monotonic clock."""
    with urllib.request.urlopen(f"{base_url}/first") as answer:  # noqa: S310 -- http on loopback
        return float(answer.read())


def measure_sizes(sizes: Sequence[int], rate: float, seconds: float) -> Iterator[Row]:
    """Memory, processor time for each poll and holds by scrapes, at equal polls a second."""
    resident: dict[int, float] = {}
    cost: dict[int, float] = {}
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder, upstream() as base_url:
            text = configuration(base_url, size, max(1.0, size / rate), accounts=max(1, size // 1_000))
            with subject(text, Path(folder) / "campaigns.yml") as exporter:
                exporter.until_ready()
                for _ in range(3):
                    exporter.get("/metrics", gzip=True)
                busy, polls = exporter.cpu_seconds, exporter.polls()["success"]
                time.sleep(seconds)
                busy, polls = exporter.cpu_seconds - busy, exporter.polls()["success"] - polls
                cost[size] = busy / polls
                exporter.longest_hold()
                exporter.get("/metrics", gzip=True)
                hold = exporter.longest_hold()
                resident[size] = exporter.resident_megabytes
        yield row("memory", "resident", size, [resident[size]], "MB", at_most=_MEMORY.get(size))
        yield row("growth", f"processor time of a poll at {rate:,.0f}/s", size, [cost[size] * 1e6], "us")
        yield row(
            "scrape", "longest hold of the loop, polls included, over HTTP", size, [hold * 1000], "ms", at_most=5.0
        )
    first, last = min(sizes), max(sizes)
    growth = cost[last] / cost[first]
    yield row("growth", "processor time of a poll: largest over smallest", last, [growth], "x", at_most=1.2)
    slopes = [(resident[after] - resident[before]) * 1000 / (after - before) for before, after in pairwise(sizes)]
    for after, slope in zip(sizes[1:], slopes, strict=True):
        yield row("growth", "memory for each further campaign", after, [slope], "kB")
    if len(slopes) > 1:
        # A few campaigns more may fit into the memory that there is.
        slope = slopes[-1] / slopes[0] if slopes[0] > 0 else 0.0
        yield row("growth", "memory slope: last over first", last, [slope], "x", at_most=1.2)


def measure_start(sizes: Sequence[int], rounds: int, interval: float) -> Iterator[Row]:
    """From the start to the first poll and to readiness, and from a reload to its end."""
    for size in sizes:
        first, ready, reloads, holds = [], [], [], []
        for number in range(rounds):
            with tempfile.TemporaryDirectory() as folder, upstream() as base_url:
                file = Path(folder) / "campaigns.yml"
                with subject(configuration(base_url, size, interval, accounts=10), file) as exporter:
                    ready.append(exporter.until_ready() - exporter.started)
                    first.append(_first_poll(base_url) - exporter.started)
                    changed = configuration(base_url, size, interval, accounts=10, team=f"team-{number}")
                    file.write_text(changed, encoding="utf-8")
                    exporter.longest_hold()
                    began = time.perf_counter()
                    exporter.get("/-/reload", method="POST")
                    reloads.append(time.perf_counter() - began)
                    holds.append(exporter.longest_hold() * 1000)
        large = size == 10_000
        yield row("start", "to the first poll", size, first, "s", at_most=2.0 if large else None)
        # First polls are spread over the interval.
        yield row("start", "to ready", size, ready, "s", at_most=interval + 2.5 if large else None)
        yield row("start", "reload with one change", size, reloads, "s", at_most=1.0 if large else None)
        yield row("start", "longest hold by a reload", size, holds, "ms", at_most=50.0 if large else None)
