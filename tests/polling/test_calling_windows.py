"""The hours at which campaigns may dial, by the provider's configurations."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Literal

import pytest

from exporter.campaign.schedule import Hours, HoursWatch, Schedule, Window
from exporter.polling.breaker import Breaker
from exporter.polling.calling_windows import WindowReader
from exporter.polling.requests import Requests
from exporter.polling.throttle import Share, Slots, Throttle
from exporter.providers.errors import (
    ForbiddenError,
    NotFoundError,
    PollError,
    RateLimitedError,
    ServerFaultError,
    UnauthorizedError,
)
from exporter.providers.listing import CampaignRecord, Listing
from exporter.simulator import ROUND_THE_CLOCK, Organization, Servers, World, serving
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


class RecordedRequests(Requests):
    """Requests within a usual budget, and the errors of those that have failed."""

    def __init__(self) -> None:
        throttle = Throttle(20, 4, Slots(10))
        super().__init__(throttle, Share(throttle, 0.25), Breaker(), lambda seconds: None)
        self.errors: list[PollError] = []

    def failed(self, route: str, error: PollError, sent: float, campaign_id: str = "") -> None:
        self.errors.append(error)
        super().failed(route, error, sent, campaign_id)


class TestWindowReader:
    ALWAYS = Schedule("UTC", (Window(frozenset(range(7)), 0, 1439),))
    LATER = Schedule("UTC", (Window(frozenset(range(7)), 60, 120),))

    directory: ScriptedDirectory

    def reader(self) -> tuple[WindowReader, dict[str, CampaignRecord], list[PollError]]:
        """A reader, the records that it finds, and the failures of its requests."""
        loop = asyncio.get_running_loop()
        found: dict[str, CampaignRecord] = {}
        requests = RecordedRequests()
        watch = HoursWatch(lambda: EPOCH + loop.time())
        reader = WindowReader(lambda: self.directory, requests, watch, found.__setitem__, {"account": "acme"})
        return reader, found, requests.errors

    async def read_for(
        self, reader: WindowReader, directory: ScriptedDirectory, campaigns: list[str], seconds: float
    ) -> None:
        self.directory = directory
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while loop.time() < end:
            async for _ in reader.read(campaigns):
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

    async def test_a_defect_in_reading_an_answer_is_told_and_ends_nothing(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        reader, _, failed = self.reader()
        await self.read_for(reader, ScriptedDirectory(), ["unheard-of"], 5)

        assert failed == []
        assert reader.hours("unheard-of") is None
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
