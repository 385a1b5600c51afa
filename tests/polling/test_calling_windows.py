"""The hours at which campaigns may dial, by the provider's configurations."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Literal

import pytest

from exporter.campaign.schedule import Hours, Schedule, Window
from exporter.campaign.snapshot import Snapshot
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
from tests.scripted import CLOSED, Rig, ScriptedProvider

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


class ScriptedDirectory(ScriptedProvider):
    """Says of campaigns and configurations what it was told to; an exception is raised."""

    def __init__(self) -> None:
        super().__init__(CLOSED)
        self.campaigns: dict[str, str | PollError | None] = {}
        """Configuration id by campaign id."""
        self.schedules: dict[str, Schedule | PollError | None] = {}
        self.listed: dict[str, str] | PollError = ForbiddenError("no")
        """Configuration id by campaign id."""
        self.polls: PollError | None = None

    def count(self) -> Counter[str]:
        return Counter(name for _, name in self.asked)

    async def poll(self, campaign_id: str) -> Snapshot:
        if self.polls is not None:
            raise self.polls
        return CLOSED

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


class Windows(Rig):
    """An account at work whose campaigns have no hours of their own; their polls all say that they are closed."""

    def __init__(self, *campaigns: str) -> None:
        self.directory = ScriptedDirectory()
        super().__init__(self.directory, rate=20)
        self.job = self.account.calling_windows
        self.add(*campaigns)
        self.job.campaigns_changed()

    def hours(self, campaign_id: str) -> Hours | None:
        return self.poller.targets[campaign_id].state.hours


class TestCallingWindows:
    ALWAYS = Schedule("UTC", (Window(frozenset(range(7)), 0, 1439),))
    LATER = Schedule("UTC", (Window(frozenset(range(7)), 60, 120),))

    async def test_each_configuration_is_asked_for_once_in_ten_minutes_and_each_campaign_once(self) -> None:
        campaigns = [f"c{place}" for place in range(40)]
        windows = Windows(*campaigns)
        directory = windows.directory
        directory.campaigns = {name: f"conf{place % 2}" for place, name in enumerate(campaigns)}
        directory.schedules = {"conf0": self.ALWAYS, "conf1": self.LATER}
        await asyncio.sleep(3590)
        assert directory.count() == {**dict.fromkeys(campaigns, 1), "conf0": 6, "conf1": 6, "list": 1}
        assert windows.account.poller.targets["c3"].state.display_name == "C3"
        hours = [windows.hours(name) for name in campaigns]
        assert hours[0] is hours[2] is not hours[1] is hours[3]
        assert isinstance(hours[0], Hours)
        assert hours[0].schedule == self.ALWAYS
        await windows.stop()

    async def test_many_campaigns_are_learned_of_by_one_walk_through_the_list(self) -> None:
        campaigns = [f"c{place}" for place in range(300)]
        windows = Windows(*campaigns)
        directory = windows.directory
        directory.listed = dict.fromkeys(campaigns, "conf")
        directory.schedules = {"conf": self.ALWAYS}
        await asyncio.sleep(500)

        assert directory.count() == {"list": 1, "conf": 1}
        assert all(windows.hours(name) for name in campaigns)
        await windows.stop()

    async def test_a_campaign_that_is_given_another_configuration_is_noticed_within_the_hour(self) -> None:
        windows = Windows("june")
        directory = windows.directory
        directory.campaigns = {"june": "one"}
        directory.schedules = {"one": self.ALWAYS, "two": self.LATER}
        await asyncio.sleep(60)
        directory.campaigns = {"june": "two"}
        await asyncio.sleep(3600)

        hours = windows.hours("june")
        assert hours is not None
        assert hours.schedule == self.LATER
        await windows.stop()

    async def test_nothing_is_asked_from_the_moment_the_credentials_are_refused(self) -> None:
        campaigns = [f"c{place}" for place in range(20)]
        windows = Windows(*campaigns)
        directory = windows.directory
        directory.campaigns = dict.fromkeys(campaigns, UnauthorizedError("no"))
        await asyncio.sleep(3000)

        # Once, and by a probe a minute.
        assert directory.count().keys() == {"c0"}
        assert directory.count()["c0"] <= 51
        await windows.stop()

    async def test_a_wish_to_be_left_alone_is_heard_on_the_list_too(self) -> None:
        campaigns = [f"c{place}" for place in range(30)]
        windows = Windows(*campaigns)
        directory = windows.directory
        directory.campaigns = dict.fromkeys(campaigns)
        directory.listed = RateLimitedError("slow down", retry_after=60)
        await asyncio.sleep(5)

        assert windows.throttle.held_until == pytest.approx(windows.loop.time() + 55, abs=1)
        await windows.stop()

    async def test_a_defect_in_reading_an_answer_is_told_and_ends_nothing(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        windows = Windows("unheard-of")
        await asyncio.sleep(5)

        assert windows.faults == []
        assert windows.hours("unheard-of") is None
        assert "KeyError" in caplog.text
        await windows.stop()

    async def test_what_a_listing_has_told_is_not_asked_for(self) -> None:
        windows = Windows("june")
        directory = windows.directory
        directory.schedules = {"conf": self.ALWAYS}
        windows.job.learned("june", "conf")
        await asyncio.sleep(20)
        assert directory.count() == {"conf": 1}
        assert windows.hours("june") is not None
        await windows.stop()

    async def test_failures_are_tried_again_and_leave_in_force_what_is_known(self) -> None:
        windows = Windows("june", "gone")
        directory = windows.directory
        directory.campaigns = {"june": ServerFaultError("down"), "gone": NotFoundError("gone")}
        await asyncio.sleep(130)
        assert directory.count() == {"june": 3, "gone": 1}
        directory.campaigns["june"] = "conf"
        directory.schedules = {"conf": self.ALWAYS}
        await asyncio.sleep(60)
        known = windows.hours("june")
        assert known is not None
        directory.schedules["conf"] = ServerFaultError("down")
        directory.asked.clear()
        await asyncio.sleep(780)
        assert windows.hours("june") is known
        assert 3 <= directory.count()["conf"] <= 4
        directory.schedules["conf"] = self.LATER
        await asyncio.sleep(65)
        changed = windows.hours("june")
        assert changed is not None
        assert changed.schedule == self.LATER
        await windows.stop()

    async def test_what_cannot_be_understood_is_unknown_and_told_once(self, caplog: pytest.LogCaptureFixture) -> None:
        windows = Windows("june")
        directory = windows.directory
        directory.schedules = {"conf": None}
        windows.job.learned("june", "conf")
        await asyncio.sleep(3600)
        assert windows.hours("june") is None
        assert len(caplog.records) == 1
        assert directory.count()["conf"] >= 5
        await windows.stop()

    async def test_one_campaign_that_is_forbidden_costs_the_others_nothing(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        windows = Windows("foreign", "june")
        directory = windows.directory
        directory.campaigns = {"foreign": ForbiddenError("no"), "june": "conf"}
        directory.schedules = {"conf": self.ALWAYS}
        await asyncio.sleep(3000)
        assert windows.hours("june") is not None
        assert windows.job.readable is True
        assert directory.count()["conf"] == 5
        assert caplog.records == []
        await windows.stop()

    async def test_two_campaigns_that_are_forbidden_turn_it_off_until_the_token_changes(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        campaigns = [f"c{place}" for place in range(10)]
        windows = Windows(*campaigns)
        directory = windows.directory
        directory.campaigns = dict.fromkeys(campaigns, ForbiddenError("no"))
        await asyncio.sleep(3000)
        assert directory.count() == {"c0": 1, "c1": 1}
        assert windows.job.readable is False
        assert len(caplog.records) == 1
        directory.campaigns = dict.fromkeys(campaigns, "conf")
        directory.schedules = {"conf": self.ALWAYS}
        windows.account.use_token("ak_other.secret")
        await asyncio.sleep(20)
        assert windows.job.readable is True
        assert all(windows.hours(name) for name in campaigns)
        await windows.stop()

    async def test_a_route_that_is_not_there_is_reported_once_for_the_account(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO")
        windows = Windows("june", "july")
        directory = windows.directory
        directory.campaigns = dict.fromkeys(("june", "july"), NotFoundError("GET /campaign/campaigns/x: HTTP 404"))
        await asyncio.sleep(3000)
        assert windows.job.readable is False
        assert str(windows.job.error_of("july")) == "GET /campaign/campaigns/x: HTTP 404"
        (record,) = caplog.records
        assert (record.levelname, record.__dict__["error"]) == ("WARNING", "GET /campaign/campaigns/x: HTTP 404")
        directory.campaigns = dict.fromkeys(("june", "july"), "conf")
        directory.schedules = {"conf": self.ALWAYS}
        await asyncio.sleep(700)
        assert windows.job.readable is True
        assert windows.job.error_of("july") is None
        assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
        await windows.stop()

    async def test_a_campaign_that_its_polls_do_not_find_either_is_not_reported_twice(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        windows = Windows("gone")
        windows.directory.campaigns = {"gone": NotFoundError("HTTP 404")}
        windows.directory.polls = NotFoundError("HTTP 404")
        await asyncio.sleep(3000)
        assert [record.getMessage() for record in caplog.records] == ["campaign fails"]
        assert windows.job.readable is None
        await windows.stop()

    async def test_an_answer_that_names_no_configuration_is_reported(self, caplog: pytest.LogCaptureFixture) -> None:
        windows = Windows("june")
        windows.directory.campaigns = {"june": None}
        await asyncio.sleep(3000)
        assert [record.getMessage() for record in caplog.records] == [
            "calling windows can't be read: stalls are not detected"
        ]
        assert windows.job.readable is False
        await windows.stop()

    async def test_campaigns_that_have_gone_are_forgotten(self) -> None:
        windows = Windows("june", "july")
        directory = windows.directory
        directory.schedules = {"one": self.ALWAYS, "two": self.LATER}
        windows.job.learned("june", "one")
        windows.job.learned("july", "two")
        await asyncio.sleep(5)
        windows.poller.remove("june")
        windows.job.campaigns_changed()
        assert windows.job.hours_of("june") is None
        assert windows.hours("july") is not None
        directory.asked.clear()
        await asyncio.sleep(700)
        assert directory.count() == {"two": 1}
        await windows.stop()
