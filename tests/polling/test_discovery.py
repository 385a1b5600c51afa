"""Campaigns that nobody has written down, and the hours that their configurations tell."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Literal

import pytest

from exporter.campaign.schedule import Hours, HoursWatch, Schedule, Window
from exporter.polling.discovery import WindowReader, ask
from exporter.polling.throttle import Slots, Throttle
from exporter.providers.errors import (
    ForbiddenError,
    InternalError,
    NotFoundError,
    PollError,
    RateLimitedError,
    ServerFaultError,
    UnauthorizedError,
)
from exporter.providers.listing import CampaignRecord, Listing
from exporter.simulator import ROUND_THE_CLOCK, Fault, Organization, Servers, World, serving
from exporter.simulator import Schedule as SimulatedSchedule
from exporter.simulator import Window as SimulatedWindow
from tests.exporting import EPOCH, Page, Running, anyreach_account, exporting

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


class TestWindowsOfTheProvider:
    async def test_they_are_read_once_for_each_configuration_and_shown(self) -> None:
        site = Site()
        workdays = site.organization.add_configuration("workdays", SimulatedSchedule("UTC", (WORKDAY,)))
        never = site.organization.add_configuration("never", SimulatedSchedule("UTC", ()))
        june = site.organization.add_campaign("June", workdays)
        site.organization.add_campaign("July", never)
        june.add_contacts(100_000)
        site.add(3)
        loop = asyncio.get_running_loop()
        begin = loop.time()

        # Friday, 29 May 2026, half a minute before 09:00 UTC.
        def hours_wall() -> float:
            return 1_780_045_170 + loop.time() - begin

        async with site.exporting(hours_wall=hours_wall, calling_windows="auto") as running:
            await asyncio.sleep(20)
            page = await running.page()
            assert page.one("campaign_calling_windows", campaign=june.id) == 1
            assert sorted(page.all("campaign_calling_windows"))[0] == 0
            assert len(page.all("campaign_calling_window_open", timezone="UTC")) == 4
            assert page.one("campaign_exporter_windows_readable") == 1
            assert page.one("campaign_dialing_expected", campaign=june.id) == 0
            await asyncio.sleep(12)
            assert (await running.page()).one("campaign_dialing_expected", campaign=june.id) == 1

    async def test_a_missing_scope_turns_them_off_with_one_warning_and_polls_go_on(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        site = Site()
        site.add(3)
        site.world.grant(TOKEN, site.organization, refused=("configurations",))
        async with site.exporting(calling_windows="auto") as running:
            await asyncio.sleep(3000)
            page = await running.page()
            assert page.all("campaign_up") == [1] * 3
            assert page.one("campaign_exporter_windows_readable") == 0
            assert page.one("campaign_exporter_breaker_open") == 0
            assert page.all("campaign_dialing_expected") == []
            assert [record.levelname for record in caplog.records] == ["WARNING"]
            site.world.grant(TOKEN, site.organization)
            await asyncio.sleep(700)
            assert (await running.page()).one("campaign_exporter_windows_readable") == 1


class ScriptedDirectory:
    """Says of campaigns and configurations what it was told to; an exception is raised."""

    def __init__(self) -> None:
        self.campaigns: dict[str, str | PollError | None] = {}
        """Configuration id by campaign id."""
        self.schedules: dict[str, Schedule | PollError | None] = {}
        self.listed: dict[str, str] | PollError = ForbiddenError("no")
        """Configuration id by campaign id."""
        self.asked: list[tuple[float, str]] = []

    def count(self) -> Counter[str]:
        return Counter(name for _, name in self.asked)

    async def campaign(self, campaign_id: str) -> CampaignRecord:
        self.asked.append((asyncio.get_running_loop().time(), campaign_id))
        answer = self.campaigns[campaign_id]
        if isinstance(answer, PollError):
            raise answer
        return CampaignRecord(campaign_id, name=campaign_id.title(), configuration_id=answer)

    async def schedule(self, configuration_id: str) -> Schedule | None:
        self.asked.append((asyncio.get_running_loop().time(), configuration_id))
        answer = self.schedules[configuration_id]
        if isinstance(answer, PollError):
            raise answer
        return answer

    async def list_page(self, listing: Listing) -> None:
        self.asked.append((asyncio.get_running_loop().time(), "list"))
        if isinstance(self.listed, PollError):
            raise self.listed
        campaigns = [{"id": name, "configuration_id": conf} for name, conf in self.listed.items()]
        listing.take({"campaigns": campaigns, "next": None})


class TestWindowReader:
    ALWAYS = Schedule("UTC", (Window(frozenset(range(7)), 0, 1439),))
    LATER = Schedule("UTC", (Window(frozenset(range(7)), 60, 120),))

    paused = False

    def reader(self) -> tuple[WindowReader, dict[str, CampaignRecord], list[PollError]]:
        loop = asyncio.get_running_loop()
        found: dict[str, CampaignRecord] = {}
        failed: list[PollError] = []
        reader = WindowReader(
            Throttle(20, 4, Slots(10)),
            HoursWatch(lambda: EPOCH + loop.time()),
            found.__setitem__,
            lambda error, sent: failed.append(error),
            lambda: self.paused,
            {"account": "acme"},
            loop.time,
        )
        return reader, found, failed

    async def read_for(
        self, reader: WindowReader, directory: ScriptedDirectory, campaigns: list[str], seconds: float
    ) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while loop.time() < end:
            async for _ in reader.read(directory, campaigns):
                pass
            await asyncio.sleep(5)

    async def test_each_configuration_is_asked_for_once_in_ten_minutes_and_each_campaign_once(self) -> None:
        reader, found, _ = self.reader()
        directory = ScriptedDirectory()
        campaigns = [f"c{place}" for place in range(40)]
        directory.campaigns = {name: f"conf{place % 2}" for place, name in enumerate(campaigns)}
        directory.schedules = {"conf0": self.ALWAYS, "conf1": self.LATER}
        await self.read_for(reader, directory, campaigns, 3590)
        assert directory.count() == {**dict.fromkeys(campaigns, 1), "conf0": 6, "conf1": 6, "list": 1}
        assert found["c3"].name == "C3"
        hours = [reader.hours(name) for name in campaigns]
        assert hours[0] is hours[2] is not hours[1] is hours[3]
        assert isinstance(hours[0], Hours)
        assert hours[0].schedule == self.ALWAYS

    async def test_many_campaigns_are_learned_of_by_one_walk_through_the_list(self) -> None:
        reader, _, _ = self.reader()
        directory = ScriptedDirectory()
        campaigns = [f"c{place}" for place in range(300)]
        directory.listed = dict.fromkeys(campaigns, "conf")
        directory.schedules = {"conf": self.ALWAYS}
        reader._found = lambda campaign_id, record: reader.learned(campaign_id, record.configuration_id)
        await self.read_for(reader, directory, campaigns, 500)

        assert directory.count() == {"list": 1, "conf": 1}
        assert all(reader.hours(name) for name in campaigns)

    async def test_a_campaign_that_is_given_another_configuration_is_noticed_within_the_hour(self) -> None:
        reader, _, _ = self.reader()
        directory = ScriptedDirectory()
        directory.campaigns = {"june": "one"}
        directory.schedules = {"one": self.ALWAYS, "two": self.LATER}
        await self.read_for(reader, directory, ["june"], 60)
        directory.campaigns = {"june": "two"}
        await self.read_for(reader, directory, ["june"], 3600)

        hours = reader.hours("june")
        assert hours is not None
        assert hours.schedule == self.LATER

    async def test_nothing_is_asked_from_the_moment_the_credentials_are_refused(self) -> None:
        reader, _, _ = self.reader()
        directory = ScriptedDirectory()
        campaigns = [f"c{place}" for place in range(20)]
        directory.campaigns = dict.fromkeys(campaigns, UnauthorizedError("no"))
        self.paused = False

        def refused(error: PollError, sent: float) -> None:
            self.paused = True

        reader._failed = refused
        await self.read_for(reader, directory, campaigns, 3000)

        assert directory.count() == {"c0": 1}

    async def test_a_wish_to_be_left_alone_is_heard_on_the_list_too(self) -> None:
        reader, _, failed = self.reader()
        directory = ScriptedDirectory()
        campaigns = [f"c{place}" for place in range(30)]
        directory.campaigns = dict.fromkeys(campaigns)
        directory.listed = RateLimitedError("slow down", retry_after=60)
        await self.read_for(reader, directory, campaigns, 5)

        assert [error.retry_after for error in failed] == [60]

    async def test_a_request_that_is_given_up_before_its_turn_was_never_begun(self) -> None:
        throttle = Throttle(20, 4, Slots(10))
        throttle.hold(asyncio.get_running_loop().time() + 3600)
        begun = []

        async def request() -> None:
            begun.append(True)

        waiting = asyncio.create_task(ask(throttle, request))
        await asyncio.sleep(1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

        assert begun == []
        assert throttle.in_flight == 0

    async def test_a_defect_in_reading_an_answer_is_told_and_ends_nothing(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        reader, _, failed = self.reader()
        await self.read_for(reader, ScriptedDirectory(), ["unheard-of"], 5)

        assert [type(error) for error in failed] == [InternalError]
        assert "KeyError" in caplog.text

    async def test_what_a_listing_has_told_is_not_asked_for(self) -> None:
        reader, _, _ = self.reader()
        directory = ScriptedDirectory()
        directory.schedules = {"conf": self.ALWAYS}
        reader.learned("june", "conf")
        await self.read_for(reader, directory, ["june"], 20)
        assert directory.count() == {"conf": 1}
        assert reader.hours("june") is not None

    async def test_failures_are_tried_again_and_leave_in_force_what_is_known(self) -> None:
        reader, _, failed = self.reader()
        directory = ScriptedDirectory()
        directory.campaigns = {"june": ServerFaultError("down"), "gone": NotFoundError("gone")}
        await self.read_for(reader, directory, ["june", "gone"], 130)
        assert directory.count() == {"june": 3, "gone": 1}
        assert len(failed) == 4
        directory.campaigns["june"] = "conf"
        directory.schedules = {"conf": self.ALWAYS}
        await self.read_for(reader, directory, ["june", "gone"], 60)
        known = reader.hours("june")
        assert known is not None
        directory.schedules["conf"] = ServerFaultError("down")
        directory.asked.clear()
        await self.read_for(reader, directory, ["june", "gone"], 780)
        assert reader.hours("june") is known
        assert 3 <= directory.count()["conf"] <= 4
        directory.schedules["conf"] = self.LATER
        await self.read_for(reader, directory, ["june", "gone"], 65)
        changed = reader.hours("june")
        assert changed is not None
        assert changed.schedule == self.LATER

    async def test_what_cannot_be_understood_is_unknown_and_told_once(self, caplog: pytest.LogCaptureFixture) -> None:
        reader, _, _ = self.reader()
        directory = ScriptedDirectory()
        directory.schedules = {"conf": None}
        reader.learned("june", "conf")
        await self.read_for(reader, directory, ["june"], 3600)
        assert reader.hours("june") is None
        assert len(caplog.records) == 1
        assert directory.count()["conf"] >= 5

    async def test_one_campaign_that_is_forbidden_costs_the_others_nothing(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        reader, _, _ = self.reader()
        directory = ScriptedDirectory()
        directory.campaigns = {"foreign": ForbiddenError("no"), "june": "conf"}
        directory.schedules = {"conf": self.ALWAYS}
        await self.read_for(reader, directory, ["foreign", "june"], 3000)
        assert reader.hours("june") is not None
        assert reader.readable is True
        assert directory.count()["conf"] == 5
        assert caplog.records == []

    async def test_two_campaigns_that_are_forbidden_turn_it_off_until_the_token_changes(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        reader, _, _ = self.reader()
        directory = ScriptedDirectory()
        campaigns = [f"c{place}" for place in range(10)]
        directory.campaigns = dict.fromkeys(campaigns, ForbiddenError("no"))
        await self.read_for(reader, directory, campaigns, 3000)
        assert directory.count() == {"c0": 1, "c1": 1}
        assert reader.readable is False
        assert len(caplog.records) == 1
        directory.campaigns = dict.fromkeys(campaigns, "conf")
        directory.schedules = {"conf": self.ALWAYS}
        reader.allow()
        await self.read_for(reader, directory, campaigns, 20)
        assert reader.readable is True
        assert all(reader.hours(name) for name in campaigns)

    async def test_campaigns_that_have_gone_are_forgotten(self) -> None:
        reader, _, _ = self.reader()
        directory = ScriptedDirectory()
        directory.schedules = {"one": self.ALWAYS, "two": self.LATER}
        reader.learned("june", "one")
        reader.learned("july", "two")
        await self.read_for(reader, directory, ["june", "july"], 5)
        reader.forget_others(["july"])
        assert reader.hours("june") is None
        assert reader.hours("july") is not None
        directory.asked.clear()
        await self.read_for(reader, directory, ["july"], 700)
        assert directory.count() == {"two": 1}
