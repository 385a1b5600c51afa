"""Shards at work together: exporters that share 300 accounts of one simulator."""

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler

from exporter.simulator import (
    ROUND_THE_CLOCK,
    ManualClock,
    Scenario,
    Schedule,
    Servers,
    World,
    anyreach_application,
    osvi_application,
)
from tests.exporting import EPOCH, Page, Running, exporting

pytestmark = pytest.mark.virtual_time

ACCOUNTS = 300
WHILE = 35.0
"""Seconds of polling: at least two polls of each campaign."""


@asynccontextmanager
async def counting(scenario: Scenario) -> AsyncIterator[tuple[dict[str, Any], Counter[str]]]:
    """Serve a scenario; yields the configuration that watches it, and the number of requests by token."""
    requests: Counter[str] = Counter()

    @web.middleware
    async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
        headers = request.headers
        requests[headers.get("API-Token") or headers["Authorization"].removeprefix("Bearer ")] += 1
        return await handler(request)

    async with AsyncExitStack() as stack:
        urls = []
        for application in (anyreach_application(scenario.world), osvi_application(scenario.world)):
            application.middlewares.insert(0, count)
            runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1, keepalive_timeout=7200)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            urls.append(f"http://127.0.0.1:{runner.addresses[0][1]}")
        yield {**scenario.configuration(Servers(*urls)), "poll": {}}, requests


def accounts_of_one_campaign(number: int) -> Scenario:
    """A third of them with OSVI; every request is a poll."""
    world = World(ManualClock(EPOCH))
    osvi_accounts = number // 3
    accounts = tuple(
        osvi_account(world, f"osvi-{index}") if index < osvi_accounts else anyreach_account(world, f"anyreach-{index}")
        for index in range(number)
    )
    return Scenario(world, accounts)


def anyreach_account(world: World, name: str) -> dict[str, Any]:
    organization = world.add_organization()
    token = f"ak_{name}.fleet"
    world.grant(token, organization)
    always = organization.add_configuration("Round the clock", Schedule("UTC", ROUND_THE_CLOCK))
    campaign = organization.add_campaign(f"{name} campaign", always)
    campaign.add_contacts(10)
    account = {"name": name, "provider": "anyreach", "token": token, "calling_windows": "always"}
    return {**account, "campaigns": [{"id": campaign.id}]}


def osvi_account(world: World, name: str) -> dict[str, Any]:
    token = f"{name}-fleet"
    campaign = world.add_osvi_account(token).add_campaign(1, f"{name} campaign")
    campaign.add_agent("agent_meera", channels=1)
    campaign.add_contacts(10, "agent_meera")
    account = {"name": name, "provider": "osvi", "token": token, "calling_windows": "always"}
    return {**account, "campaigns": [{"id": campaign.id}]}


def of_shard(configuration: Mapping[str, Any], index: int | str, count: int) -> dict[str, Any]:
    return {**configuration, "shard": {"index": index, "count": count}}


async def start(stack: AsyncExitStack, configuration: Mapping[str, Any], index: int, count: int) -> Running:
    return await stack.enter_async_context(exporting(of_shard(configuration, index, count), seed=index))


def served_by(pages: Sequence[Page]) -> dict[str, int]:
    """The shard that shows each account; an account that two of them show is a failure."""
    shards: dict[str, int] = {}
    for index, page in enumerate(pages):
        for account in page.values_of("account"):
            assert shards.setdefault(account, index) == index, f"{account} is shown by two shards"
    return shards


async def test_three_shards_poll_each_of_300_accounts_in_exactly_one_place() -> None:
    async with AsyncExitStack() as stack:
        configuration, requests = await stack.enter_async_context(counting(accounts_of_one_campaign(ACCOUNTS)))
        shards = [await start(stack, configuration, index, 3) for index in range(3)]
        await asyncio.sleep(WHILE)
        pages = [await shard.page() for shard in shards]
        serving = served_by(pages)

        assert all(shard.exporter.ready for shard in shards)
        assert serving.keys() == {account["name"] for account in configuration["accounts"]}
        for index, page in enumerate(pages):
            own = [name for name, at in serving.items() if at == index]
            assert 80 <= len(own) <= 120
            assert page.all("campaign_up") == [1] * len(own)
            assert page.one("campaign_exporter_shard_index") == index
            assert page.one("campaign_exporter_shards") == 3
        # What the providers saw is what these shards know of: nobody else has asked in an account's name.
        for account in configuration["accounts"]:
            page = pages[serving[account["name"]]]
            polls = page.one("campaign_exporter_polls_total", account=account["name"], result="success")
            assert polls is not None
            assert polls >= 2
            assert 0 <= requests[account["token"]] - polls <= 1, "more than what is in flight now"


async def test_a_fourth_shard_takes_about_a_quarter_and_nothing_moves_between_the_old_ones() -> None:
    async with AsyncExitStack() as stack:
        configuration, requests = await stack.enter_async_context(counting(accounts_of_one_campaign(ACCOUNTS)))
        shards = [await start(stack, configuration, index, 3) for index in range(3)]
        await asyncio.sleep(WHILE)
        before_pages = [await shard.page() for shard in shards]
        before = served_by(before_pages)

        for index, shard in enumerate(shards):
            assert await shard.reload(of_shard(configuration, index, 4)) is None
        requests.clear()
        shards.append(await start(stack, configuration, 3, 4))
        await asyncio.sleep(WHILE)
        pages = [await shard.page() for shard in shards]
        after = served_by(pages)
        moved = {account for account in before if after[account] != before[account]}

        assert after.keys() == before.keys()
        assert {after[account] for account in moved} == {3}
        assert ACCOUNTS / 4 * 0.8 <= len(moved) <= ACCOUNTS / 4 * 1.2
        for account in configuration["accounts"]:
            name = account["name"]
            polls = pages[after[name]].one("campaign_exporter_polls_total", account=name, result="success") or 0
            if name not in moved:
                earlier = before_pages[before[name]].one(
                    "campaign_exporter_polls_total", account=name, result="success"
                )
                assert earlier is not None
                polls -= earlier  # what stays goes on with its counters
            assert polls >= 2
            assert 0 <= requests[account["token"]] - polls <= 1


async def test_a_pods_name_makes_it_the_shard_of_its_ordinal(monkeypatch: pytest.MonkeyPatch) -> None:
    async with AsyncExitStack() as stack:
        configuration, _ = await stack.enter_async_context(counting(accounts_of_one_campaign(12)))
        shards = []
        for pod in ("calls-campaign-exporter-a-0", "calls-campaign-exporter-a-1", "calls-campaign-exporter-a-2.calls"):
            monkeypatch.setattr(socket, "gethostname", lambda pod=pod: pod)
            shards.append(await stack.enter_async_context(exporting(of_shard(configuration, "hostname", 3))))
        await asyncio.sleep(WHILE)
        pages = [await shard.page() for shard in shards]

        assert [page.one("campaign_exporter_shard_index") for page in pages] == [0, 1, 2]
        assert set(served_by(pages).values()) == {0, 1, 2}
        assert len(served_by(pages)) == 12


async def test_replicas_and_shards_of_one_configuration_show_the_same_hash_and_others_do_not() -> None:
    configuration = accounts_of_one_campaign(12).configuration(Servers("http://127.0.0.1:9", "http://127.0.0.1:9"))
    changed = configuration | {"poll": {"active_interval": "16s"}}
    hashes = []
    for one, index in ((configuration, 0), (configuration, 0), (configuration, 2), (changed, 0)):
        async with exporting(of_shard(one, index, 3)) as shard:
            hashes.append((await shard.page()).one("campaign_exporter_config_hash"))
    replica, other_replica, other_shard, other_configuration = hashes

    assert replica == other_replica == other_shard
    assert replica != other_configuration
    assert replica is not None
    assert 0 < replica < 2**48
