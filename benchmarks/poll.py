"""What a poll costs besides its request, how many fit into a core, and how late they start."""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import uvloop
import yaml
from prometheus_client import CollectorRegistry
from yarl import URL

from benchmarks.fleet import campaign_id, configuration
from benchmarks.isolation import isolated
from benchmarks.results import Row, row
from benchmarks.subject import Subject, subject
from benchmarks.upstream import upstream
from exporter.accounts import Exporter
from exporter.config.flags import FlagParser, add_flags
from exporter.config.model import Settings
from exporter.config.plan import plan_of
from exporter.config.sources import load
from exporter.daemon import freeze_objects
from exporter.exposition.own import Instruments
from exporter.providers.redaction import Redactor

_WARM_UP = 1.0


def _settings(text: str) -> Settings:
    parser = FlagParser()
    add_flags(parser)
    return load(parser.parse_args([]), environ={}, base=yaml.load(text, yaml.CSafeLoader))


async def _ours(base_url: str, campaigns: int, interval: float, seconds: float) -> tuple[float, float]:
    """Poll; returns the processor time of the loop's thread for each poll, and the polls a second."""
    registry = CollectorRegistry()
    instruments = Instruments(registry, "", "")
    exporter = Exporter(
        plan_of(_settings(configuration(base_url, campaigns, interval))), registry, instruments, redactor=Redactor()
    )
    (account,) = exporter.accounts.values()
    polls = account.poller.counters.polls
    async with exporter.running() as spawn:
        spawn(freeze_objects(exporter))
        # Twice around: the first polls of a campaign connect, and make lines that stay.
        await asyncio.sleep(2 * interval + _WARM_UP)
        busy, done, started = time.thread_time(), polls["success"], time.perf_counter()
        await asyncio.sleep(seconds)
        busy, done, elapsed = time.thread_time() - busy, polls["success"] - done, time.perf_counter() - started
    assert sum(polls.values()) == polls["success"], polls
    return busy / done, done / elapsed


async def _bare(base_url: str, campaigns: int, rate: float, seconds: float) -> tuple[float, float]:
    """Send as many GETs with aiohttp alone, and read what comes; returns the same two figures."""
    urls = [URL(f"{base_url}/campaign/campaigns/{campaign_id(place)}/stats") for place in range(campaigns)]
    loop = asyncio.get_running_loop()
    done = sent = 0
    running: set[asyncio.Task[None]] = set()
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:

        async def get(url: URL) -> None:
            nonlocal done
            async with session.get(url) as response:
                await response.read()
            done += 1

        began = loop.time()
        ended = loop.create_future()

        def send_due() -> None:
            nonlocal sent
            elapsed = loop.time() - began
            while sent < elapsed * rate:
                task = loop.create_task(get(urls[sent % campaigns]))
                running.add(task)
                task.add_done_callback(running.discard)
                sent += 1
            if elapsed < _WARM_UP + seconds + 0.5:
                loop.call_at(began + (sent + 1) / rate, send_due)
            else:
                ended.set_result(None)

        send_due()
        await asyncio.sleep(_WARM_UP)
        busy, before, started = time.thread_time(), done, time.perf_counter()
        await asyncio.sleep(seconds)
        busy, polls, elapsed = time.thread_time() - busy, done - before, time.perf_counter() - started
        await ended
        await asyncio.gather(*running)
    return busy / polls, polls / elapsed


def compare(base_url: str, campaigns: int, rate: float, seconds: float, rounds: int) -> list[tuple[float, float]]:
    """Processor time for each poll and for each bare GET, by turns; seconds."""

    async def by_turns() -> list[tuple[float, float]]:
        found = []
        for _ in range(rounds):
            bare, _rate = await _bare(base_url, campaigns, rate, seconds)
            # With their jitter of 0 to 10 % polls are a twentieth further apart than their interval.
            ours, _rate = await _ours(base_url, campaigns, campaigns / rate / 1.05, seconds)
            found.append((ours, bare))
        return found

    return uvloop.run(by_turns())


def fill(base_url: str, campaigns: int, seconds: float) -> float:
    """Ask for more polls than a core can do; returns polls a second."""
    return uvloop.run(_ours(base_url, campaigns, 1.0, seconds))[1]


def lateness(subject: Subject, seconds: float) -> tuple[float, float, float, float, float]:
    """
    Watch an exporter that is ready.

    Returns:
        Share of a core; upper bounds of the median and of the 99th percentile of lateness, in seconds; polls that
        failed; the largest age of a campaign's last success, in seconds.
    """
    before, busy, started = _lags(subject), subject.cpu_seconds, time.perf_counter()
    deadline = started + seconds
    while (left := deadline - time.perf_counter()) > 0:
        time.sleep(min(left, 15.0))
        subject.get("/metrics", gzip=True)
    share = (subject.cpu_seconds - busy) / (time.perf_counter() - started)
    after = _lags(subject)
    numbers = {bound: after[bound] - before.get(bound, 0.0) for bound in sorted(after)}
    total = numbers[float("inf")]
    median, late = (next(bound for bound, n in numbers.items() if n >= total * part) for part in (0.5, 0.99))
    polls = subject.polls()
    now = time.time()
    ages = [now - at for at in subject.samples("campaign_last_success_timestamp_seconds").values()]
    return share, median, late, sum(polls.values()) - polls["success"], max(ages)


def _lags(subject: Subject) -> dict[float, float]:
    """Polls by upper bound of their lateness, of all accounts together."""
    numbers: dict[float, float] = {}
    for (name, labels), value in subject.samples("campaign_exporter_poll_lag_seconds_bucket").items():
        assert name.endswith("_bucket")
        bound = float(dict(labels)["le"])
        numbers[bound] = numbers.get(bound, 0.0) + value
    return numbers


def measure(rate: float, large: int, seconds: float, rounds: int) -> Iterator[Row]:
    campaigns = int(rate * 1.5)
    with upstream() as base_url:
        pairs = isolated(compare, base_url, campaigns, rate, seconds, rounds)
        yield row("poll", "processor time of a poll", campaigns, [ours * 1e6 for ours, _ in pairs], "us")
        yield row("poll", "processor time of a bare GET", campaigns, [bare * 1e6 for _, bare in pairs], "us")
        ratios = [ours / bare for ours, bare in pairs]
        yield row("poll", "poll over bare GET at the same rate", campaigns, ratios, "x", at_most=1.3)
        filled = [isolated(fill, base_url, large, seconds) for _ in range(min(3, rounds))]
        yield row("poll", "polls a second on one core", large, filled, "/s")
    for latency, most in ((0.0, 50.0), (0.1, 60.0)):
        interval = large / rate
        when = f"answers after {latency * 1000:.0f} ms" if latency else "answers at once"
        with tempfile.TemporaryDirectory() as folder, upstream(latency) as base_url:
            text = configuration(base_url, large, interval, accounts=10)
            with subject(text, Path(folder) / "campaigns.yml") as exporter:
                exporter.until_ready()
                time.sleep(interval)
                found = [lateness(exporter, 3 * seconds) for _ in range(min(3, rounds))]
        shares, medians, late, failed, ages = zip(*found, strict=True)
        pace = f"{interval:g} s, {when}"
        yield row("poll", f"share of one core at {pace}", large, [share * 100 for share in shares], "%", at_most=most)
        yield row("poll", f"lateness at {pace}: median below", large, [one * 1000 for one in medians], "ms")
        yield row("poll", f"lateness at {pace}: p99 below", large, [one * 1000 for one in late], "ms", at_most=50.0)
        yield row("poll", f"failed polls at {pace}", large, [max(failed)], "", at_most=0.0)
        # Its interval, a tenth of jitter, its lateness, the answer, and the second that asking takes.
        longest = interval * 1.1 + latency + 1.5
        yield row("poll", f"oldest success at {pace}", large, [statistics.median(ages)], "s", at_most=longest)


def measure_two_accounts(campaigns: int, seconds: float) -> Iterator[Row]:
    """Campaigns of both providers, each polled every second."""
    with tempfile.TemporaryDirectory() as folder, upstream() as base_url:
        text = configuration(base_url, campaigns // 2, 1.0, osvi=campaigns // 2)
        with subject(text, Path(folder) / "campaigns.yml") as exporter:
            exporter.until_ready()
            time.sleep(1.0)
            share, _, late, failed, age = lateness(exporter, seconds)
            yield row(
                "poll", "both providers every second: share of one core", campaigns, [share * 100], "%", at_most=100
            )
            yield row("poll", "both providers every second: p99 lateness below", campaigns, [late * 1000], "ms")
            yield row("poll", "both providers every second: failed polls", campaigns, [failed], "", at_most=0.0)
            yield row("poll", "both providers every second: oldest success", campaigns, [age], "s", at_most=2.6)
            resident = exporter.resident_megabytes
            yield row("poll", "both providers every second: memory", campaigns, [resident], "MB", at_most=150)
