"""Readings of the call log of simulated OSVI accounts, over HTTP and on the loop's clock."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from exporter.exposition.negotiation import Format
from exporter.providers.osvi import Osvi
from exporter.providers.osvi_calls import CallsPage
from exporter.simulator import Fault, OsviCampaign, World, serving
from tests.exporting import EPOCH, Page, Running, exporting, osvi_account

pytestmark = pytest.mark.virtual_time

HOUR = 3600.0
TOKEN = "osvi-secret"


class Site:
    """A simulated OSVI account on the loop's clock."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.world = World(lambda: EPOCH + loop.time())
        self.account = self.world.add_osvi_account(TOKEN)
        self.world.advance()

    def add(self, campaign_id: int, contacts: int, *, channels: int = 5, **options: Any) -> OsviCampaign:
        campaign = self.account.add_campaign(campaign_id, f"campaign {campaign_id}", **options)
        campaign.add_agent("agent_x", channels=channels)
        campaign.add_contacts(contacts, "agent_x")
        return campaign

    @asynccontextmanager
    async def exporting(self, *campaigns: OsviCampaign, **attempts: Any) -> AsyncIterator[Running]:
        async with serving(self.world) as servers:
            account = {
                **osvi_account(servers.osvi, *(campaign.id for campaign in campaigns)),
                "attempts": {"refresh_interval": "1m", **attempts},
            }
            async with exporting({"accounts": [account]}) as running:
                yield running

    def ended(self, campaign: OsviCampaign) -> Counter[str]:
        self.world.advance()
        return Counter({status: n for status, n in campaign.calls.items() if status != "in_progress" and n})


def counted(page: Page, campaign: OsviCampaign) -> dict[str, float]:
    found = page.by("status", "campaign_call_duration_seconds_count", campaign=str(campaign.id))
    return {status: number for status, number in found.items() if number}


async def test_every_call_that_ends_is_counted_once_by_its_campaign() -> None:
    site = Site()
    june, july = site.add(7, 150, channels=20), site.add(8, 80)
    async with site.exporting(june, july) as running:
        await asyncio.sleep(2 * HOUR)
        page = await running.page()

        for campaign in (june, july):
            ended = site.ended(campaign)
            assert ended.total() > 100
            assert counted(page, campaign) == ended
        assert page.all("campaign_call_end_reasons_total", campaign="7", reason="customer-busy") == [
            site.ended(june)["busy"]
        ]
        assert sum(page.all("campaign_call_tags_total", campaign="7")) <= site.ended(june)["picked"]


async def test_calls_that_ended_before_do_not_count() -> None:
    site = Site()
    june = site.add(7, 60, retry_delay=None)
    await asyncio.sleep(HOUR)
    before = site.ended(june)
    async with site.exporting(june) as running:
        await asyncio.sleep(300)
        page = await running.page()

        assert before.total() == 60
        assert page.by("status", "campaign_call_duration_seconds_count") == dict.fromkeys(before, 0)


async def test_a_long_call_is_followed_until_it_ends() -> None:
    site = Site()
    long = site.add(7, 1, outcomes={"picked": 1}, call_seconds=(3000, 3000))
    busy = site.add(8, 800, channels=30, retry_delay=None)
    async with site.exporting(long, busy) as running:
        await asyncio.sleep(2900)
        assert counted(await running.page(), long) == {}
        await asyncio.sleep(300)
        page = await running.page()

        assert counted(page, long) == {"picked": 1}
        assert page.number("campaign_call_duration_seconds_sum", campaign="7", status="picked") == 3000
        assert counted(page, busy) == site.ended(busy)


async def test_a_failed_reading_loses_and_doubles_nothing() -> None:
    site = Site()
    june = site.add(7, 300, channels=30)
    async with site.exporting(june) as running:
        await asyncio.sleep(120)
        site.account.fault = Fault(status=500, path="/v1/calls")
        await asyncio.sleep(900)
        site.account.fault = None
        await asyncio.sleep(3 * HOUR)
        page = await running.page()

        assert page.number("campaign_exporter_attempts_readings_total", result="server_error") > 1
        assert counted(page, june) == site.ended(june)


async def test_a_quiet_account_takes_one_request_a_reading() -> None:
    site = Site()
    june = site.add(7, 0)
    async with site.exporting(june) as running:
        await asyncio.sleep(HOUR)
        page = await running.page()

        assert page.number("campaign_exporter_attempts_readings_total", result="complete") == pytest.approx(60, abs=2)
        assert page.number("campaign_attempts_last_read_timestamp_seconds") == pytest.approx(
            EPOCH + asyncio.get_running_loop().time(), abs=61
        )
        assert page.number("campaign_attempts_read_interval_seconds") == 60


async def test_calls_in_progress_cost_no_further_request(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0
    calls = Osvi.calls

    async def count(provider: Osvi, number: int, *, in_progress: bool = False) -> CallsPage:
        nonlocal asked
        asked += 1
        return await calls(provider, number, in_progress=in_progress)

    site = Site()
    june = site.add(7, 400, channels=20)
    async with site.exporting(june) as running:
        await asyncio.sleep(600)
        monkeypatch.setattr(Osvi, "calls", count)
        before = (await running.page()).number("campaign_exporter_attempts_readings_total", result="complete")
        await asyncio.sleep(600)
        read = (await running.page()).number("campaign_exporter_attempts_readings_total", result="complete") - before

        assert site.account.campaigns[7].calls["in_progress"] > 0
        assert asked == read > 5


async def test_a_reload_may_end_the_readings_while_one_is_under_way() -> None:
    site = Site()
    june = site.add(7, 150)
    async with site.exporting(june) as running:
        await asyncio.sleep(HOUR)
        site.account.fault = Fault(delay=5, path="/v1/calls")
        (account,) = running.exporter.accounts.values()
        account.agenda.put(account.attempts, account.now())
        await asyncio.sleep(1)
        assert await running.reload({"accounts": [osvi_account(account.settings.base_url, june.id)]}) is None
        await asyncio.sleep(120)

        names = (await running.page()).names()
        assert not [name for name in names if name.startswith(("campaign_call_", "campaign_exporter_attempts_"))]


async def test_exemplars_are_left_out_as_soon_as_a_reload_says_so() -> None:
    site = Site()
    june = site.add(7, 900, channels=20)
    async with site.exporting(june, exemplars=True) as running:
        await asyncio.sleep(600)
        site.account.fault = Fault(delay=5, path="/v1/calls")
        (account,) = running.exporter.accounts.values()
        account.agenda.put(account.attempts, account.now())
        await asyncio.sleep(1)
        settings = osvi_account(account.settings.base_url, june.id)
        assert await running.reload({"accounts": [{**settings, "attempts": {"refresh_interval": "1h"}}]}) is None
        await asyncio.sleep(60)

        pieces = await running.exporter.exposition.page(Format.OPENMETRICS, False, frozenset())
        assert b"# {" not in b"".join(pieces)


async def test_calls_that_end_while_the_readings_are_off_do_not_count() -> None:
    site = Site()
    june = site.add(7, 400, retry_delay=None)
    async with site.exporting(june) as running:
        await asyncio.sleep(600)
        (account,) = running.exporter.accounts.values()
        off = osvi_account(account.settings.base_url, june.id)
        assert counted(await running.page(), june)
        assert await running.reload({"accounts": [off]}) is None
        await asyncio.sleep(1200)
        before = site.ended(june)
        assert await running.reload({"accounts": [{**off, "attempts": {"refresh_interval": "1m"}}]}) is None
        await asyncio.sleep(1200)
        page = await running.page()

        since = site.ended(june) - before
        assert since.total() > 50
        assert sum(counted(page, june).values()) == pytest.approx(since.total(), abs=10)
