"""Campaigns that are found by listing them."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Literal

import pytest

from exporter.simulator import ROUND_THE_CLOCK, Fault, Organization, Servers, World, serving
from exporter.simulator import Schedule as SimulatedSchedule
from exporter.simulator import Window as SimulatedWindow
from tests.exporting import EPOCH, Page, Running, anyreach_account, exporting, upstream

pytestmark = pytest.mark.virtual_time

TOKEN = "ak_test.secret"
WORKDAY = SimulatedWindow(("mon", "tue", "wed", "thu", "fri"), "09:00", "17:00")


class Site:
    """A simulated organization on the loop's clock, and the exporter that looks at it."""

    def __init__(self, listing: Literal["array", "envelope"] = "array") -> None:
        loop = asyncio.get_running_loop()
        self.world = World(lambda: EPOCH + loop.time())
        self.organization: Organization = self.world.add_organization(limit=10)
        self.organization.listing = listing
        self.world.grant(TOKEN, self.organization)
        self.always = self.organization.add_configuration("always", SimulatedSchedule("UTC", ROUND_THE_CLOCK))
        self.servers: Servers

    def add(self, number: int, **options: Any) -> list[str]:
        """Make campaigns; returns their ids."""
        return [
            self.organization.add_campaign(f"campaign {place}", self.always, **options).id for place in range(number)
        ]

    def account(self, *campaigns: str, **options: Any) -> dict[str, Any]:
        return {
            **anyreach_account(self.servers.anyreach, *campaigns, calling_windows="unknown"),
            "discovery": {},
            **options,
        }

    @asynccontextmanager
    async def exporting(
        self, *campaigns: str, hours_wall: Callable[[], float] | None = None, **options: Any
    ) -> AsyncIterator[Running]:
        async with (
            serving(self.world) as self.servers,
            exporting({"accounts": [self.account(*campaigns, **options)]}, hours_wall=hours_wall) as running,
        ):
            yield running


def campaigns_on(page: Page) -> set[str]:
    return page.values_of("campaign_id")


def lag_at_most(page: Page, seconds: float) -> float:
    """The share of polls that began no later than that."""
    name = "campaign_exporter_poll_lag_seconds"
    return page.all(f"{name}_bucket", le=str(seconds))[0] / page.all(f"{name}_count")[0]


class TestDiscovery:
    @pytest.mark.parametrize("listing", ["array", "envelope"])
    async def test_all_pages_of_either_shape_are_polled_under_the_names_that_they_tell(
        self, listing: Literal["array", "envelope"]
    ) -> None:
        site = Site(listing)
        ids = site.add(230)
        async with site.exporting() as running:
            await asyncio.sleep(25)
            page = await running.page()
            assert campaigns_on(page) == set(ids)
            assert page.all("campaign_up") == [1] * 230
            assert page.one("campaign_info", campaign=ids[3], campaign_id=ids[3], campaign_name="campaign 3") == 1
            assert page.one("campaign_exporter_discovery_success") == 1
            assert page.one("campaign_exporter_discovery_last_success_timestamp_seconds") == pytest.approx(
                EPOCH + 1000, abs=10
            )
            assert page.one("campaign_exporter_campaigns") == 230

    async def test_campaigns_come_and_go_with_complete_listings(self) -> None:
        site = Site()
        ids = site.add(150)
        async with site.exporting(discovery={"refresh_interval": "1m"}) as running:
            await asyncio.sleep(30)
            before = await running.page()
            site.organization.remove_campaign(site.organization.campaigns[ids[7]])
            (new,) = site.add(1)
            await asyncio.sleep(62)
            page = await running.page()
            assert campaigns_on(page) == {*ids, new} - {ids[7]}
            kept = page.one("campaign_observed_seconds_total", campaign=ids[8])
            first = before.one("campaign_observed_seconds_total", campaign=ids[8])
            assert kept is not None
            assert first is not None
            assert kept > first
            await asyncio.sleep(20)
            assert (await running.page()).one("campaign_up", campaign=new) == 1

    @pytest.mark.parametrize("path", ["cursor=", "/campaign/campaigns?"])
    async def test_a_listing_that_fails_removes_nothing_and_is_told_once(
        self, path: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        site = Site()
        ids = site.add(150)
        async with site.exporting(discovery={"refresh_interval": "1m"}) as running:
            await asyncio.sleep(30)
            for gone in ids[:20]:
                site.organization.remove_campaign(site.organization.campaigns[gone])
            site.organization.fault = Fault(status=500, path=path)
            caplog.clear()
            await asyncio.sleep(600)
            page = await running.page()
            assert campaigns_on(page) == set(ids)
            assert page.one("campaign_exporter_discovery_success") == 0
            # They are gone, and their polls say so.
            assert len(page.all("campaign_poll_error", reason="not_found")) == 20
            told = Counter(record.getMessage() for record in caplog.records)
            assert told["campaigns can't be listed completely"] == 1
            site.organization.fault = None
            await asyncio.sleep(62)
            page = await running.page()
            assert campaigns_on(page) == set(ids[20:])
            assert page.one("campaign_exporter_discovery_success") == 1

    async def test_a_campaign_that_is_configured_by_hand_too_is_polled_once(self) -> None:
        site = Site()
        by_id, by_external_id, other = (
            site.organization.add_campaign(name, site.always, external_id=external)
            for name, external in (("June", None), ("July", "july"), ("August", "august"))
        )
        async with site.exporting(by_id.id, "july") as running:
            await asyncio.sleep(20)
            page = await running.page()
            assert campaigns_on(page) == {by_id.id, "july", other.id}
            assert page.one("campaign_info", campaign="july", campaign_name="July") == 1
            assert page.one("campaign_info", campaign=by_id.id, campaign_name="June") == 1
            assert by_external_id.id not in campaigns_on(page)

    async def test_statuses_and_names_filter(self) -> None:
        site = Site()
        june, july, closed = (site.organization.add_campaign(name, site.always) for name in ("June", "July", "June 2"))
        closed.close()
        async with site.exporting(discovery={"name_contains": "Ju", "statuses": ["active"]}) as running:
            await asyncio.sleep(5)
            assert campaigns_on(await running.page()) == {june.id, july.id}

    async def test_no_more_campaigns_than_allowed_are_taken_in_however_often_it_is_listed(self) -> None:
        site = Site()
        site.add(15)
        async with site.exporting(discovery={"max_campaigns": 10, "refresh_interval": "10s"}) as running:
            for _ in range(5):
                await asyncio.sleep(11)
                site.add(3)
            page = await running.page()
            assert len(campaigns_on(page)) == 10
            assert page.one("campaign_exporter_discovery_success") == 0

    async def test_five_thousand_campaigns_are_found_while_polls_stay_on_time(self) -> None:
        site = Site("envelope")
        for campaign_id in site.add(2500) + site.add(2500):
            site.organization.campaigns[campaign_id].pause()
        own = [site.organization.add_campaign("own", site.always, external_id=f"own{place}") for place in range(30)]
        async with site.exporting(
            *(f"own{place}" for place in range(30)),
            discovery={"statuses": ["active", "paused"], "refresh_interval": "5m"},
            max_requests_per_second=100,
        ) as running:
            found_after = 0
            while (await running.page()).one("campaign_exporter_campaigns") != 5030:
                await asyncio.sleep(1)
                found_after += 1
                assert found_after < 20
            # Own campaigns were polled all the while.
            page = await running.page()
            assert lag_at_most(page, 0.1) == 1
            polled = page.one("campaign_exporter_polls_total", result="success")
            assert polled is not None

            await asyncio.sleep(30)
            page = await running.page()
            assert lag_at_most(page, 0.25) > 0.99
            assert page.all("campaign_up") == [1] * len(page.all("campaign_up"))
            assert all(campaign.status == "active" for campaign in own)

    async def test_an_account_of_discovered_campaigns_only_shows_a_refused_token(self) -> None:
        site = Site()
        site.add(5)
        site.world.revoke(TOKEN)
        async with site.exporting() as running:
            await asyncio.sleep(1)
            page = await running.page()
            assert running.exporter.ready
            assert page.one("campaign_exporter_breaker_open") == 1
            assert page.one("campaign_exporter_discovery_success") == 0
            site.world.restore(TOKEN)
            await asyncio.sleep(80)
            page = await running.page()
            assert page.one("campaign_exporter_breaker_open") == 0
            assert page.all("campaign_up") == [1] * 5

    async def test_retry_after_on_a_listing_holds_the_polls_too(self) -> None:
        site = Site()
        site.add(5)
        async with site.exporting(discovery={"refresh_interval": "1m"}) as running:
            await asyncio.sleep(55)
            site.organization.fault = Fault(status=429, path="campaigns?", headers={"Retry-After": "100"})
            await asyncio.sleep(7)
            site.organization.fault = None
            before = (await running.page()).one("campaign_exporter_polls_total", result="success")
            await asyncio.sleep(90)
            assert (await running.page()).one("campaign_exporter_polls_total", result="success") == before
            await asyncio.sleep(20)
            assert (await running.page()).all("campaign_up") == [1] * 5

    async def test_a_listing_that_is_forbidden_turns_off_only_itself(self, caplog: pytest.LogCaptureFixture) -> None:
        site = Site()
        site.organization.add_campaign("June", site.always, external_id="june")
        site.organization.fault = Fault(status=403, path="campaigns?")
        async with site.exporting("june") as running:
            await asyncio.sleep(3000)
            page = await running.page()
            assert page.one("campaign_up", campaign="june") == 1
            assert page.one("campaign_exporter_discovery_success") == 0
            assert page.one("campaign_exporter_breaker_open") == 0
            assert len(caplog.records) == 1

    @pytest.mark.parametrize("listing", ["array", "envelope"])
    async def test_one_empty_listing_among_good_ones_takes_nothing_away(
        self, listing: Literal["array", "envelope"], caplog: pytest.LogCaptureFixture
    ) -> None:
        site = Site(listing)
        ids = site.add(10)
        async with site.exporting(discovery={"refresh_interval": "1m"}) as running:
            await asyncio.sleep(30)
            hidden = [site.organization.campaigns.pop(campaign_id) for campaign_id in ids]
            await asyncio.sleep(60)
            assert campaigns_on(await running.page()) == set(ids)
            assert "much shorter" in caplog.text
            site.organization.campaigns.update((campaign.id, campaign) for campaign in hidden)
            await asyncio.sleep(120)
            assert campaigns_on(await running.page()) == set(ids)

    async def test_a_much_shorter_listing_is_believed_when_the_next_one_says_the_same(self) -> None:
        site = Site()
        ids = site.add(10)
        async with site.exporting(discovery={"refresh_interval": "1m"}) as running:
            await asyncio.sleep(30)
            for campaign_id in ids[4:]:
                site.organization.remove_campaign(site.organization.campaigns[campaign_id])
            await asyncio.sleep(60)
            assert campaigns_on(await running.page()) == set(ids)
            await asyncio.sleep(60)
            assert campaigns_on(await running.page()) == set(ids[:4])

    async def test_campaigns_kept_in_doubt_are_no_more_than_allowed(self) -> None:
        site = Site()
        ids = site.add(10)
        async with site.exporting(discovery={"refresh_interval": "1m", "max_campaigns": 10}) as running:
            await asyncio.sleep(30)
            for campaign_id in ids:
                site.organization.remove_campaign(site.organization.campaigns[campaign_id])
            others = site.add(4)
            await asyncio.sleep(60)
            polled = campaigns_on(await running.page())
            assert len(polled) == 10
            assert polled > set(others)
            await asyncio.sleep(60)
            assert campaigns_on(await running.page()) == set(others)

    async def test_fewer_campaigns_are_polled_once_fewer_are_allowed(self) -> None:
        site = Site()
        ids = site.add(10)
        async with site.exporting(discovery={"refresh_interval": "1m"}) as running:
            await asyncio.sleep(30)
            fewer = site.account(discovery={"refresh_interval": "1m", "max_campaigns": 4})
            assert await running.reload({"accounts": [fewer]}) is None
            await asyncio.sleep(30)
            polled = campaigns_on(await running.page())
            assert len(polled) == 4
            assert polled < set(ids)

    async def test_half_of_the_campaigns_may_go_at_once(self) -> None:
        site = Site()
        ids = site.add(10)
        async with site.exporting(discovery={"refresh_interval": "1m"}) as running:
            await asyncio.sleep(30)
            for campaign_id in ids[5:]:
                site.organization.remove_campaign(site.organization.campaigns[campaign_id])
            await asyncio.sleep(60)
            assert campaigns_on(await running.page()) == set(ids[:5])

    async def test_a_list_that_says_that_it_leaves_campaigns_out_is_never_believed(self) -> None:
        async with upstream() as served:
            listed = [{"id": f"c{place}", "status": "active"} for place in range(3)]
            served.answers["/campaign/campaigns"] = {"campaigns": listed, "total": 3}
            account = anyreach_account(served.url, calling_windows="unknown", discovery={"refresh_interval": "1m"})
            async with exporting({"accounts": [account]}) as running:
                await asyncio.sleep(30)
                served.answers["/campaign/campaigns"] = {"campaigns": [], "total": 3}
                await asyncio.sleep(600)
                page = await running.page()
                assert campaigns_on(page) == {"c0", "c1", "c2"}
                assert page.one("campaign_exporter_discovery_success") == 0

    async def test_a_listing_does_not_close_the_breaker_that_stats_have_opened(self) -> None:
        site = Site()
        ids = site.add(3)
        async with site.exporting(discovery={"refresh_interval": "10s"}) as running:
            await asyncio.sleep(30)
            site.organization.fault = Fault(status=403, path="/stats")
            await asyncio.sleep(20)
            for _ in range(30):
                assert (await running.page()).one("campaign_exporter_breaker_open") == 1
                await asyncio.sleep(10)
            site.organization.fault = None
            await asyncio.sleep(80)
            page = await running.page()
            assert page.one("campaign_exporter_breaker_open") == 0
            assert page.all("campaign_up") == [1] * len(ids)

    async def test_stats_do_not_close_the_breaker_that_a_listing_has_opened(self) -> None:
        site = Site()
        site.add(3)
        async with site.exporting(discovery={"refresh_interval": "10s"}) as running:
            await asyncio.sleep(30)
            site.organization.fault = Fault(status=401, path="campaigns?")
            await asyncio.sleep(12)
            polls = (await running.page()).one("campaign_exporter_polls_total", result="success")
            await asyncio.sleep(300)
            page = await running.page()
            assert page.one("campaign_exporter_breaker_open") == 1
            assert page.all("campaign_poll_error", reason="unauthorized") == [1] * 3
            assert page.one("campaign_exporter_polls_total", result="success") == polls
            site.organization.fault = None
            await asyncio.sleep(80)
            page = await running.page()
            assert page.one("campaign_exporter_breaker_open") == 0
            assert page.all("campaign_up") == [1] * 3

    async def test_campaigns_are_called_by_their_names_where_that_is_asked_for(self) -> None:
        site = Site()
        june, july, twin = (site.organization.add_campaign(name, site.always).id for name in ("June", "July", "June"))
        unnamed = site.organization.add_campaign("", site.always).id
        async with site.exporting(discovery={"campaign_label": "name", "refresh_interval": "1m"}) as running:
            await asyncio.sleep(100)
            page = await running.page()
            names = {
                campaign_id: page.values_of("campaign", campaign_id=campaign_id)
                for campaign_id in (june, july, twin, unnamed)
            }
            # The later ones of a name keep their id, in whichever order the list has them.
            assert names[july] == {"July"}
            assert {*names[june], *names[twin]} in ({"June", june}, {"June", twin})
            assert names[unnamed] == {unnamed}
            assert page.all("campaign_up") == [1] * 4
