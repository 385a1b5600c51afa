"""What an account makes of its settings, of its listings and of a reload, against the simulated provider."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from exporter.campaign.schedule import Hours
from exporter.config.model import CallingHours
from exporter.config.plan import schedule_of
from exporter.simulator import ROUND_THE_CLOCK, Campaign, Fault, Schedule, World, serving
from tests.exporting import EPOCH, Running, anyreach_account, exporting, osvi_account, upstream

pytestmark = pytest.mark.virtual_time

TOKEN = "ak_test.secret"


class Site:
    """An organization with three campaigns that share a configuration, on the loop's clock."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.world = World(lambda: EPOCH + loop.time())
        self.organization = self.world.add_organization(limit=10)
        self.world.grant(TOKEN, self.organization)
        always = self.organization.add_configuration("always", Schedule("UTC", ROUND_THE_CLOCK))
        self.june, self.july, self.august = (
            self.organization.add_campaign(name, always, external_id=name.lower())
            for name in ("June", "July", "August")
        )
        osvi = self.world.add_osvi_account("osvi-secret")
        self.inbound = osvi.add_campaign(7, "Inbound", retry_delay=None)
        self.slow = osvi.add_campaign(8, "Slow", retry_delay=3600.0)
        self.anyreach = self.osvi = ""

    @property
    def campaigns(self) -> set[str]:
        return {campaign.id for campaign in (self.june, self.july, self.august)}

    def settings(self, *campaigns: Any, **options: Any) -> dict[str, Any]:
        account = anyreach_account(self.anyreach, *campaigns, **options)
        return {"accounts": [account, osvi_account(self.osvi, 7, 8)]}

    @asynccontextmanager
    async def exporting(self, *campaigns: Any, **options: Any) -> AsyncIterator[Running]:
        async with (
            serving(self.world) as (self.anyreach, self.osvi),
            exporting(self.settings(*campaigns, **options)) as running,
        ):
            yield running


class TestStallAfter:
    async def test_each_provider_has_its_own_and_the_retry_delay_counts_twice_where_it_is_longer(self) -> None:
        site = Site()
        async with site.exporting("june", {"id": "july", "stall_after": "never"}) as running:
            await asyncio.sleep(20)
            page = await running.page()
            assert page.one("campaign_stall_after_seconds", campaign="june") == 3600
            assert page.one("campaign_stall_after_seconds", campaign="july") is None
            assert page.one("campaign_stall_after_seconds", campaign="7") == 900
            assert page.one("campaign_stall_after_seconds", campaign="8") == 7200


class TestNames:
    async def test_a_configured_campaign_is_asked_for_its_name_when_its_hours_are(self) -> None:
        site = Site()
        async with site.exporting("june", site.july.id, calling_windows="auto") as running:
            await asyncio.sleep(20)
            page = await running.page()
            assert page.one("campaign_info", campaign="june", campaign_name="June") == 1
            assert page.one("campaign_info", campaign=site.july.id, campaign_name="July") == 1
            assert page.one("campaign_calling_windows", campaign="june") == len(ROUND_THE_CLOCK)

    async def test_a_discovered_campaign_that_would_take_a_configured_ones_name_is_left_out(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        site = Site()
        taken = {"id": "june", "name": site.july.id}
        async with site.exporting(taken, calling_windows="unknown", discovery={}) as running:
            await asyncio.sleep(20)
            page = await running.page()
            assert page.one("campaign_info", campaign=site.july.id, campaign_id="june") == 1
            assert page.values_of("campaign_id", account="acme-us") == {"june", site.august.id}
            assert [record.levelname for record in caplog.records] == ["WARNING"]

    @pytest.mark.parametrize(
        ("one", "other"),
        [("x" * 128 + "a", "x" * 128 + "b"), ("\ud800", "\ud801")],
        ids=["longer than a label", "no valid Unicode"],
    )
    async def test_discovered_ids_that_make_the_same_label_make_no_series_twice(self, one: str, other: str) -> None:
        async with upstream() as served:
            served.answers["/campaign/campaigns"] = [{"id": one, "status": "active"}, {"id": other, "status": "active"}]
            account = {
                "name": "acme-us",
                "provider": "anyreach",
                "token": "ak_test.secret",
                "base_url": served.url,
                "calling_windows": "unknown",
                "discovery": {},
            }
            async with exporting({"accounts": [account]}) as running:
                await asyncio.sleep(20)

                assert len((await running.page()).all("campaign_info", account="acme-us")) == 1


class TestChange:
    async def test_discovery_comes_and_goes_with_a_reload(self) -> None:
        site = Site()
        async with site.exporting("june") as running:
            await asyncio.sleep(20)
            assert (await running.page()).one("campaign_exporter_discovery_success") is None
            assert await running.reload(site.settings("june", discovery={})) is None
            await asyncio.sleep(20)
            page = await running.page()
            assert page.values_of("campaign_id", account="acme-us") == {"june", site.july.id, site.august.id}
            assert page.one("campaign_exporter_discovery_success") == 1
            assert await running.reload(site.settings("june")) is None
            page = await running.page()
            assert page.values_of("campaign_id", account="acme-us") == {"june"}
            assert page.one("campaign_exporter_discovery_success") is None

    async def test_a_reload_may_end_discovery_while_a_listing_is_under_way(self) -> None:
        site = Site()
        site.organization.fault = Fault(delay=5, path="/campaigns?")
        async with site.exporting("june", discovery={}) as running:
            await asyncio.sleep(3)
            assert await running.reload(site.settings("june")) is None
            await asyncio.sleep(60)
            page = await running.page()
            assert page.values_of("campaign_id", account="acme-us") == {"june"}
            assert page.one("campaign_exporter_discovery_success") is None

    async def test_discovered_campaigns_stay_over_a_reload_of_something_else(self) -> None:
        site = Site()
        async with site.exporting(discovery={}) as running:
            await asyncio.sleep(20)
            before = await running.page()
            assert await running.reload(site.settings(discovery={}, labels={"team": "renewals"})) is None
            page = await running.page()
            assert page.values_of("campaign_id", team="renewals") == site.campaigns
            for campaign in site.campaigns:
                for name in ("campaign_last_success_timestamp_seconds", "campaign_observed_seconds_total"):
                    assert page.one(name, campaign=campaign) == before.one(name, campaign=campaign)
            assert page.one("campaign_account_concurrency_limit", account="acme-us", team="renewals") == 10
            assert page.one("campaign_info", campaign=site.june.id, campaign_name="June") == 1

    async def test_windows_that_are_not_asked_for_any_more_are_not_shown(self) -> None:
        site = Site()
        async with site.exporting("june", calling_windows="auto") as running:
            await asyncio.sleep(20)
            page = await running.page()
            assert page.one("campaign_exporter_windows_readable") == 1
            assert page.one("campaign_calling_windows", campaign="june") == len(ROUND_THE_CLOCK)
            assert await running.reload(site.settings("june", calling_windows="unknown")) is None
            page = await running.page()
            assert page.one("campaign_exporter_windows_readable") is None
            assert page.one("campaign_calling_windows", campaign="june") is None

    async def test_a_listing_is_tried_again_soon_after_the_token_is_good_again(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        site = Site()
        async with site.exporting("june", discovery={"refresh_interval": "1h"}) as running:
            site.world.revoke(TOKEN)
            await asyncio.sleep(200)
            page = await running.page()
            assert page.one("campaign_exporter_breaker_open", account="acme-us") == 1
            assert running.exporter.ready
            site.world.restore(TOKEN)
            await asyncio.sleep(66 + 60 + 20)
            page = await running.page()
            assert page.values_of("campaign_id", account="acme-us") == {"june", site.july.id, site.august.id}
            assert set(page.all("campaign_up", account="acme-us")) == {1}


class TestOneAccountsTrouble:
    async def test_nobody_else_notices(self) -> None:
        site = Site()
        campaigns: list[Campaign] = [site.june, site.july]
        async with site.exporting("june", "july", "august") as running:
            await asyncio.sleep(20)
            for campaign in campaigns:
                campaign.fault = Fault(hang_up=True)
            await asyncio.sleep(100)
            page = await running.page()
            assert page.all("campaign_poll_error", reason="protocol") == [1, 1]
            assert page.one("campaign_up", campaign="august") == 1
            assert page.all("campaign_up", account="acme-in") == [1, 1]


async def test_hours_as_a_user_writes_them_are_a_schedule_of_one_timezone() -> None:
    hours = CallingHours.model_validate(
        {"timezone": "Asia/Kolkata", "windows": [{"days": ["fri", "sat"], "start": "22:00", "end": "02:00"}]}
    )
    schedule = schedule_of(hours)
    assert schedule.window_count == 1
    # Saturday, 30 May 2026, 01:59 and 02:00; Monday, 1 June, 22:30; all in Kolkata.
    assert Hours(schedule, 1_780_086_540).open == {"Asia/Kolkata": 1}
    assert Hours(schedule, 1_780_086_600).open == {"Asia/Kolkata": 0}
    assert Hours(schedule, 1_780_333_200).open == {"Asia/Kolkata": 0}
