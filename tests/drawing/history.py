"""
Hours of the demo's history within seconds: simulator and exporter run in one loop, on a clock that jumps.

The page is recorded as a Prometheus would scrape it. Two runs differ by the order in which answers come, no more.
"""

import asyncio
import logging
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from exporter.exposition.negotiation import Format
from exporter.simulator import Scenario, Schedule, Servers, SimulatedClock, World, demo, serving
from exporter.simulator.hours import ROUND_THE_CLOCK
from tests.exporting import exporting
from tests.virtual_time import VirtualTimeLoop

END = 1_780_502_400
"""When the exporter is gone: 2026-06-03 16:00:00 UTC, a Wednesday."""
STEP = 30
"""Seconds between two scrapes."""
START = END - int(6.5 * 3600) + STEP
"""The first scrape."""
GONE = END + 10 * 60
"""The last scrape, long enough without an exporter for the alert on that to fire."""
TARGET = 'job="campaign-exporter",instance="demo:10077"'

_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)
_STARTED = "process_start_time_seconds"


def record(into: Path, metrics: Collection[str]) -> None:
    """Write the samples of these metrics from `START` to `GONE`, as OpenMetrics text without its last line."""
    with (
        _without_a_log(),
        into.open("w", encoding="utf-8") as file,
        asyncio.Runner(loop_factory=VirtualTimeLoop) as runner,
    ):
        runner.run(_record(file, frozenset(metrics)))
        for moment in range(END, GONE + 1, STEP):
            file.write(f"up{{{TARGET}}} 0 {moment}\n")


@contextmanager
def _without_a_log() -> Iterator[None]:
    logging.disable()
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


async def _record(file: TextIO, metrics: frozenset[str]) -> None:
    loop = asyncio.get_running_loop()
    start, began = START - STEP, loop.time()

    def wall() -> float:
        return start + loop.time() - began

    scenario = demo(SimulatedClock(start=start, monotonic=loop.time), seed=1)
    _make_eventful(scenario.world)
    async with (
        serving(scenario.world) as servers,
        exporting(_configuration(scenario, servers), wall=wall) as running,
    ):
        for moment in range(START, END, STEP):
            await asyncio.sleep(moment - wall())
            pieces = await running.exporter.exposition.page(Format.TEXT, False, frozenset())
            file.writelines(_stamped(b"".join(pieces).decode(), moment, metrics))


def _configuration(scenario: Scenario, servers: Servers) -> dict[str, Any]:
    """The demo's, at a calmer pace: no more is seen at 5 s, and it takes six times as long."""
    configuration = scenario.configuration(servers)
    accounts = [_at_default_pace(account) for account in configuration["accounts"]]
    return {"poll": {"active_interval": "30s", "idle_interval": "2m"}, "accounts": accounts}


def _at_default_pace(account: Mapping[str, Any]) -> dict[str, Any]:
    attempts = account.get("attempts")
    return {**account, **({"attempts": {**attempts, "refresh_interval": "15m"}} if attempts else {})}


def _stamped(page: str, moment: int, metrics: frozenset[str]) -> Iterator[str]:
    """The samples of a page with the labels of their target and a time."""
    for found in _SAMPLE.finditer(page):
        name, labels, value = found.groups()
        if name not in metrics:
            continue
        if name == _STARTED:
            value = str(START - STEP)
        yield f"{name}{{{TARGET}{',' + labels if labels else ''}}} {value} {moment}\n"
    yield f"up{{{TARGET}}} 1 {moment}\n"


def _make_eventful(world: World) -> None:
    """Let what goes wrong in the demo go wrong within its last hours, where it can be seen to."""
    campaigns = {
        campaign.name: campaign for organization in world.organizations for campaign in organization.campaigns.values()
    }
    june, storm, welcome = (
        campaigns["June policy renewals"],
        campaigns["Storm season outreach"],
        campaigns["Welcome calls"],
    )
    june.organization.set_limit(30)  # else the calls of the others hold it at its cap, and it saturates
    storm.recover()
    world.timeline.every(60, partial(storm.add_contacts, 1))
    world.timeline.at(END - 80 * 60, storm.stall)
    welcome.add_contacts(300)
    _globex_until(world, END - 40 * 60)


def _globex_until(world: World, moment: float) -> None:
    """Give the demo's account whose key is not valid one that is valid until then."""
    token = "ak_globex.expired"
    organization = world.add_organization()
    always = organization.add_configuration("Round the clock", Schedule("UTC", ROUND_THE_CLOCK))
    for name in ("payment-reminders", "invoice-follow-up"):
        campaign = organization.add_campaign(name.replace("-", " ").capitalize(), always, external_id=name)
        campaign.add_contacts(20)
        world.timeline.every(90, partial(campaign.add_contacts, 1))
    world.grant(token, organization)
    world.timeline.at(moment, world.revoke, token)
