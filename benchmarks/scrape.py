"""How long it takes to make the page, and for how long that holds the event loop."""

import asyncio
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import uvloop
from isal import isal_zlib
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from benchmarks.fleet import states
from benchmarks.holds import Holds
from benchmarks.isolation import isolated
from benchmarks.results import Row, row
from exporter.campaign.state import CampaignState
from exporter.exposition.board import Board
from exporter.exposition.families import CAMPAIGN_FAMILIES
from exporter.exposition.negotiation import Format
from exporter.exposition.page import Exposition

EVERYTHING = frozenset[str]()


class Plain(Collector):
    """The same samples for the client library, made beforehand: only its writing is measured."""

    def __init__(self, campaigns: Sequence[CampaignState]) -> None:
        self._families = [*_families(campaigns)]

    def collect(self) -> Iterator[Metric]:
        return iter(self._families)


def _families(campaigns: Sequence[CampaignState]) -> Iterator[Metric]:
    for one in CAMPAIGN_FAMILIES:
        kind = CounterMetricFamily if one.type == "counter" else GaugeMetricFamily
        family = kind(one.name, one.help, labels=("account", "campaign", "provider", *one.labels))
        for state in campaigns:
            labels = (state.campaign.account, state.campaign.name, state.lifecycle.name)
            reading = one.read(state)
            if isinstance(reading, float | int):
                family.add_metric(labels, reading)
            elif isinstance(reading, tuple):
                family.add_metric((*labels, *reading), 1.0)
            elif isinstance(reading, str):
                family.add_metric((*labels, reading), 1.0)
            elif isinstance(reading, Mapping):
                for key, value in cast(Mapping[Any, float], reading).items():
                    family.add_metric((*labels, *((key,) if isinstance(key, str) else key)), value)
        yield family


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


async def _page(page: Exposition, compress: bool) -> float:
    started = time.perf_counter()
    await page.page(Format.TEXT, compress, EVERYTHING)
    return time.perf_counter() - started


async def _compare(campaigns: int, rounds: int) -> dict[str, list[float]]:
    holds = Holds()
    holds.watch(asyncio.get_running_loop())
    board = Board()
    all_states = [*states(campaigns)]
    for state in all_states:
        board.add(state)
    page = Exposition(board, lambda: (), CollectorRegistry(), time.monotonic)
    pieces = [piece for _, column in board.columns() for piece in column if piece]
    registry = CollectorRegistry()
    registry.register(Plain(all_states))
    plain, joined, compressed, joined_compressed, held, client = [], [], [], [], [], []
    for _ in range(rounds):
        holds.longest = 0.0
        plain.append(await _page(page, False))
        held.append(holds.longest)
        joined.append(_seconds(lambda: b"".join(pieces)))
        holds.longest = 0.0
        compressed.append(await _page(page, True))
        held.append(holds.longest)
        joined_compressed.append(_seconds(lambda: isal_zlib.compress(b"".join(pieces), 1, wbits=31)))
    for _ in range(min(3, rounds)):
        client.append(_seconds(lambda: generate_latest(registry)))
    return {
        "plain": plain,
        "join": joined,
        "gzip": compressed,
        "join gzip": joined_compressed,
        "held": held,
        "client": client,
    }


def compare(campaigns: int, rounds: int) -> dict[str, list[float]]:
    """Make the page in every way, one after the other, again and again; seconds."""
    return uvloop.run(_compare(campaigns, rounds))


def measure(sizes: Sequence[int], rounds: int) -> Iterator[Row]:
    per_campaign: dict[int, float] = {}
    for size in sizes:
        seconds = isolated(compare, size, rounds)
        milliseconds = {what: [value * 1000 for value in values] for what, values in seconds.items()}
        client = statistics.median(seconds["client"])
        yield row("scrape", "page, plain", size, milliseconds["plain"], "ms")
        yield row("scrape", "bare join of all pieces", size, milliseconds["join"], "ms")
        yield row("scrape", "page, gzip", size, milliseconds["gzip"], "ms")
        yield row("scrape", "bare join and ISA-L gzip", size, milliseconds["join gzip"], "ms")
        yield row("scrape", "generate_latest", size, milliseconds["client"], "ms")
        least = 100.0 if size == 10_000 else None
        times = [client / value for value in seconds["plain"]]
        yield row("scrape", "generate_latest over page", size, times, "x", at_least=least)
        most = 1.0 if size == 10_000 else None
        for kind, limit in (("plain", "join"), ("gzip", "join gzip")):
            ratios = [ours / bare for ours, bare in zip(seconds[kind], seconds[limit], strict=True)]
            yield row("scrape", f"page over bare join, {kind}", size, ratios, "x", at_most=most)
        yield row("scrape", "longest hold of the loop", size, [max(milliseconds["held"])], "ms", at_most=5.0)
        per_campaign[size] = statistics.median(seconds["gzip"]) / size
    first, last = min(sizes), max(sizes)
    growth = per_campaign[last] / per_campaign[first]
    yield row("growth", "page, gzip, for each campaign: largest over smallest", last, [growth], "x", at_most=1.2)
