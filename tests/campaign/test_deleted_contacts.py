"""Contacts deleted and added again while a campaign dials: what the counters make of an hour of it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest

from exporter.campaign.snapshot import Snapshot
from exporter.campaign.state import CampaignState
from exporter.providers import Provider
from exporter.providers.anyreach import Anyreach
from exporter.simulator import ROUND_THE_CLOCK, Campaign, Schedule, World, serving
from tests.exporting import EPOCH, exporting
from tests.process import prometheus, query
from tests.virtual_time import VirtualTimeLoop

HOUR = 3600.0
DELETED_AT_ONCE = 150


@dataclass
class Poll:
    """What a poll saw, beside what had really happened by then."""

    at: float
    attempts: float
    truth: int


@dataclass
class Hour:
    """A campaign that is polled for an hour."""

    campaign: Campaign
    state: CampaignState
    polls: list[Poll] = field(default_factory=list)
    deletions: list[float] = field(default_factory=list)
    polled: asyncio.Event = field(default_factory=asyncio.Event)

    def delete_and_add_again(self) -> None:
        deleted = self.campaign.delete_contacts(DELETED_AT_ONCE, "completed")
        self.campaign.add_contacts(deleted)
        self.deletions.append(asyncio.get_running_loop().time())

    async def polled_again(self) -> None:
        self.polled.clear()
        await self.polled.wait()

    @property
    def truth(self) -> int:
        return self.polls[-1].truth - self.polls[0].truth

    @property
    def in_intervals_with_a_deletion(self) -> int:
        return sum(
            after.truth - before.truth
            for before, after in zip(self.polls, self.polls[1:], strict=False)
            if any(before.at < at <= after.at for at in self.deletions)
        )


class Recording:
    """A provider whose polls are written down."""

    name: ClassVar[str] = Anyreach.name
    statuses: ClassVar[tuple[str, ...]] = Anyreach.statuses
    active_status: ClassVar[str] = Anyreach.active_status
    final_status: ClassVar[str | None] = Anyreach.final_status

    def __init__(self, inner: Provider, hour: Hour) -> None:
        self._inner, self._hour = inner, hour
        self.transport, self.authorize = inner.transport, inner.authorize

    async def poll(self, campaign_id: str) -> Snapshot:
        snapshot = await self._inner.poll(campaign_id)
        now = asyncio.get_running_loop().time()
        assert snapshot.attempts is not None
        self._hour.polls.append(Poll(now, snapshot.attempts, self._hour.campaign.attempts_made))
        self._hour.polled.set()
        return snapshot


@asynccontextmanager
async def dialing() -> AsyncIterator[Hour]:
    loop = asyncio.get_running_loop()
    world = World(lambda: EPOCH + loop.time(), seed=1)
    organization = world.add_organization(limit=20)
    world.grant("ak_test.secret", organization)
    campaign = organization.add_campaign(
        "June renewals", organization.add_configuration("Always", Schedule("UTC", ROUND_THE_CLOCK)), external_id="june"
    )
    campaign.add_contacts(5000)
    account = {
        "name": "acme",
        "provider": "anyreach",
        "token": "ak_test.secret",
        "calling_windows": "always",
        "campaigns": [{"id": "june"}],
    }
    async with (
        serving(world) as servers,
        exporting({"accounts": [account | {"base_url": servers.anyreach}]}) as running,
    ):
        account_at_work = running.exporter.accounts["acme"]
        hour = Hour(campaign, account_at_work.poller.targets["june"].state)
        account_at_work.provider = Recording(account_at_work.provider, hour)
        await hour.polled_again()
        # Long enough for lists of contacts that have been worked through.
        await asyncio.sleep(HOUR / 2)
        del hour.polls[:]
        await hour.polled_again()
        yield hour


@pytest.mark.virtual_time
async def test_the_observed_rise_is_exact_when_no_call_is_made_around_a_deletion() -> None:
    async with dialing() as hour:
        before = hour.state.rises.attempts
        for _ in range(6):
            hour.campaign.stall()
            await hour.polled_again()
            hour.delete_and_add_again()
            await hour.polled_again()
            hour.campaign.recover()
            await asyncio.sleep(HOUR / 6)
        await hour.polled_again()

        assert hour.truth > 500
        assert hour.state.rises.attempts is not None
        assert before is not None
        assert hour.state.rises.attempts - before == hour.truth


@pytest.mark.virtual_time
async def test_the_observed_rise_lacks_no_more_than_intervals_with_a_deletion() -> None:
    async with dialing() as hour:
        before = hour.state.rises.attempts
        for _ in range(12):
            await asyncio.sleep(HOUR / 12)
            hour.delete_and_add_again()
        await hour.polled_again()

        assert hour.state.rises.attempts is not None
        assert before is not None
        rise = hour.state.rises.attempts - before
        assert rise < hour.truth
        assert hour.truth - rise <= hour.in_intervals_with_a_deletion < hour.truth / 10


async def test_increase_over_the_raw_gauge_is_far_off_where_the_counter_is_right(tmp_path: Path) -> None:
    samples, truth, unsure = await asyncio.to_thread(an_hour_of_scrapes)
    lines = ["# TYPE campaign_attempts gauge", *(f"campaign_attempts {raw} {at}" for at, raw, _ in samples)]
    lines += ["# TYPE campaign_observed_attempts counter"]
    lines += [f"campaign_observed_attempts_total {observed} {at}" for at, _, observed in samples]
    (tmp_path / "hour.om").write_text("\n".join([*lines, "# EOF", ""]), encoding="utf-8")
    promtool = await asyncio.create_subprocess_exec(
        "promtool", "tsdb", "create-blocks-from", "openmetrics", "--quiet", tmp_path / "hour.om", tmp_path / "data"
    )
    assert await promtool.wait() == 0

    start, end = samples[0][0], samples[-1][0]
    async with prometheus(tmp_path, json.dumps({"scrape_configs": []}), "--storage.tsdb.retention.time=100y") as server:
        raw = await increase(server, "campaign_attempts", start, end)
        observed = await increase(server, "campaign_observed_attempts_total", start, end)

    # Prometheus extrapolates to the ends of the range.
    assert truth - unsure <= observed * 1.02
    assert observed <= truth * 1.02
    assert raw > 3 * truth


async def increase(server: str, metric: str, start: float, end: float) -> float:
    (result,) = await query(server, f"increase({metric}[{round(end - start) + 1}s] @ {end})")
    value: Any = result["value"]
    return float(value[1])


def an_hour_of_scrapes() -> tuple[list[tuple[float, float, float]], int, int]:
    """
    Make an hour with twelve deletions.

    Returns:
        Unix time, raw gauge and counter at each poll; the attempts truly made, and those in intervals with a deletion.
    """

    async def hour_of_polls() -> tuple[list[tuple[float, float, float]], int, int]:
        samples: list[tuple[float, float, float]] = []
        async with dialing() as hour:
            for _ in range(12):
                hour.delete_and_add_again()
                end = asyncio.get_running_loop().time() + HOUR / 12
                while asyncio.get_running_loop().time() < end:
                    await hour.polled_again()
                    assert hour.state.rises.attempts is not None
                    at = round(EPOCH + hour.polls[-1].at, 3)
                    samples.append((at, hour.polls[-1].attempts, hour.state.rises.attempts))
            return samples, hour.truth, hour.in_intervals_with_a_deletion

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(hour_of_polls())
