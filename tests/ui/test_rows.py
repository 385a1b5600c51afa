import asyncio
import time
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from benchmarks.holds import Holds
from exporter.campaign.schedule import Hours
from exporter.campaign.standing import Standing
from exporter.campaign.state import CampaignState
from exporter.ui.fleet import MAX_AGE, Fleet, Overview, in_turns, position
from exporter.ui.page import COLUMNS
from exporter.ui.rows import AccountRow, CampaignRow
from exporter.ui.states import ATTENTION, WORDS
from tests.made_up import (
    ANYREACH,
    CALLING,
    NO_WINDOWS,
    OSVI,
    ROUND_THE_CLOCK,
    SHUT,
    WALL,
    WORKING,
    MadeUp,
    crowd,
    serving_frontend,
)

IDLE = WORKING | {"contacts": WORKING["contacts"] | {"in_progress": 0.0}, "active_calls": 0.0, "calls_in_flight": False}
DONE = IDLE | {"contacts": {"pending": 0.0, "in_progress": 0.0, "completed": 9.0, "exhausted": 1.0}}
NOTHING_LOADED = IDLE | {"contacts": dict.fromkeys(WORKING["contacts"], 0.0), "contacts_loaded": 0.0}


class June:
    """One campaign of an account."""

    def __init__(self, *, hours: Hours | None = ROUND_THE_CLOCK, osvi: bool = False, **campaign: Any) -> None:
        self.made = MadeUp()
        self.account = self.made.account("acme", OSVI if osvi else ANYREACH)
        self.state: CampaignState = self.account.add("june", hours=hours, **campaign)

    def says(self, **numbers: Any) -> "June":
        self.account.says(self.state, **numbers)
        return self

    def fails(self, reason: str) -> "June":
        self.state.failed(reason, f"it was {reason}")
        return self

    def later(self, seconds: float) -> "June":
        self.made.clock.now += seconds
        return self

    async def fleet(self) -> Fleet:
        self.later(MAX_AGE)
        return await self.made.overview.fleet()

    async def row(self) -> CampaignRow:
        fleet = await self.fleet()
        return fleet.row(fleet.campaigns[0])


async def test_a_sum_that_no_float_can_hold_costs_itself_and_no_other_number() -> None:
    invented = {f"bucket-{place}": 1.7e308 for place in range(60)}
    row = await June().says(**WORKING | {"contacts": WORKING["contacts"] | invented, "active_calls": 1.7e308}).row()

    assert row.attempts == int(WORKING["attempts"])
    assert row.contacts is not None
    assert row.contacts["completed"] == WORKING["contacts"]["completed"]
    assert "other" not in row.contacts


class TestStanding:
    """The page has the state of the metrics; where a campaign stands is tested with `exporter.campaign`."""

    async def test_a_row_has_the_state_of_the_metric(self) -> None:
        june = June().says(**WORKING)
        row = await june.row()

        assert row.state is june.state.standing is Standing.DIALING

    async def test_time_alone_makes_it_stalled_with_alert_and_advice(self) -> None:
        row = await June(stall_after=600.0).says(**IDLE).later(601).row()

        assert (row.state, row.alert, row.advice) == (
            Standing.STALLED,
            "CampaignStalled",
            WORDS[Standing.STALLED].advice,
        )

    async def test_an_organization_that_is_always_full_makes_it_saturated(self) -> None:
        june = June(stall_after=60.0)
        june.account.watched(600, **WORKING | {"active_calls": 10.0})
        row = await june.row()

        assert (row.state, row.alert) == (Standing.SATURATED, "CampaignConcurrencySaturated")
        assert row.account_utilization_ratio == 1

    async def test_a_moment_at_the_cap_is_no_saturation(self) -> None:
        row = await June().says(**WORKING | {"active_calls": 10.0}).row()

        assert (row.state, row.account_active_calls, row.concurrency_limit) == (Standing.DIALING, 10, 10)

    async def test_an_inbound_campaign_with_calls_is_not_empty(self) -> None:
        calls = CALLING["calls"] | {"picked": 528.0, "in_progress": 0.0}
        row = (
            await June(osvi=True, hours=None).says(status="active", calls=calls, queues={}, work_remaining=False).row()
        )

        assert row.state is Standing.DIALING

    async def test_one_failure_changes_nothing_but_the_advice(self) -> None:
        row = await June().says(**WORKING).fails("timeout").row()

        assert (row.state, row.contacts_loaded, row.alert) == (Standing.DIALING, 1240, None)
        assert (row.error, row.error_message, row.advice) == ("timeout", "it was timeout", "Cure `timeout`.")

    async def test_it_is_failing_once_its_values_are_withdrawn(self) -> None:
        june = June().says(**WORKING).fails("timeout")
        june.state.withdraw()
        row = await june.row()

        assert (row.state, row.alert) == (Standing.FAILING, "CampaignPollsFailing")
        assert (row.contacts, row.active_calls, row.status, row.finished_ratio) == (None, None, None, None)
        assert row.last_success_timestamp_seconds == WALL

    async def test_refused_credentials_have_their_alert_from_the_first_refusal(self) -> None:
        june = June().says(**WORKING).fails("unauthorized")
        june.account.breaker_open = True

        assert (await june.row()).alert == "CampaignAccountUnauthorized"

    async def test_a_campaign_that_is_gone_has_its_alert_from_the_first_404(self) -> None:
        assert (await June().says(**WORKING).fails("not_found").row()).alert == "CampaignNotFound"

    async def test_a_closed_campaign_that_is_gone_is_no_incident(self) -> None:
        row = await June().says(**IDLE | {"status": "closed"}).fails("not_found").row()

        assert (row.state, row.alert, row.advice) == (Standing.CLOSED, None, None)

    async def test_the_first_poll_is_no_progress(self) -> None:
        june = June().says(**WORKING)
        assert (await june.row()).last_progress_timestamp_seconds is None

        june.says(**WORKING | {"attempts": 1731.0})
        assert (await june.row()).last_progress_timestamp_seconds == june.made.clock.wall() - MAX_AGE

    async def test_unknown_hours_stay_unknown(self) -> None:
        row = await June(hours=None).says(**IDLE).row()

        assert (row.dialing_expected, row.calling_window_open) == (None, None)

    async def test_closed_hours_are_named(self) -> None:
        row = await June(hours=SHUT).says(**IDLE).row()

        assert (row.state, row.calling_window_open) == (Standing.OUTSIDE_HOURS, {"Asia/Kolkata": False})

    async def test_a_configuration_without_windows_has_its_alert(self) -> None:
        row = await June(hours=NO_WINDOWS).says(**IDLE).row()

        assert (row.state, row.alert) == (Standing.NEVER_DIALS, "CampaignNeverDials")


class TestAccounts:
    """What concerns all campaigns of an account is said of the account."""

    async def line(self, june: June) -> AccountRow:
        fleet = await june.fleet()
        (line,) = fleet.account_rows(fleet.campaigns).values()
        return line

    async def test_an_account_has_the_use_of_its_cap(self) -> None:
        june = June()
        june.account.watched(600, **WORKING)
        line = await self.line(june)

        assert (line.provider, line.account, line.campaigns, line.state) == ("anyreach", "acme", 1, None)
        assert (line.active_calls, line.concurrency_limit, line.utilization_ratio) == (8, 10, 0.8)
        assert line.contacts_waiting == 310

    async def test_refused_credentials_are_the_account_s_matter(self) -> None:
        june = June().says(**WORKING).fails("unauthorized")
        june.account.breaker_open = True
        line = await self.line(june)

        assert (line.state, line.alert, line.advice) == (
            Standing.FAILING,
            "CampaignAccountUnauthorized",
            "Cure `unauthorized`.",
        )
        assert line.covers(await june.row())

    async def test_campaigns_that_all_fail_alike_share_one_advice(self) -> None:
        june = June().says(**WORKING).fails("timeout")
        assert (await self.line(june)).state is None

        june.account.add("july").failed("timeout", "")
        line = await self.line(june)
        assert (line.error, line.alert) == ("timeout", "CampaignPollsFailing")

        june.account.add("august").failed("dns", "")
        assert (await self.line(june)).error is None

    async def test_it_covers_only_what_it_says(self) -> None:
        june = June(stall_after=60.0)
        june.account.watched(600, **WORKING | {"active_calls": 10.0})
        line = await self.line(june)

        assert line.covers(await june.row())
        assert not line.covers(await june.fails("timeout").row())

    async def test_accounts_in_trouble_come_first(self) -> None:
        made = crowd(8)
        made.accounts[2].breaker_open = True
        for campaign in made.accounts[2].campaigns:
            campaign.failed("forbidden", "")
        fleet = await made.overview.fleet()

        assert [name[-1] for name in fleet.account_rows(fleet.campaigns)] == ["c", "a", "b", "d"]


async def test_what_is_not_known_is_none_and_never_0() -> None:
    row = await June().says(status="active").row()

    assert {
        name: getattr(row, name)
        for name in ("contacts", "contacts_loaded", "finished_ratio", "attempts", "active_calls", "calls", "calls_made")
    } == dict.fromkeys(
        ("contacts", "contacts_loaded", "finished_ratio", "attempts", "active_calls", "calls", "calls_made")
    )
    assert (row.concurrency_limit, row.account_active_calls, row.work_remaining, row.campaign_name) == (None,) * 4


async def test_unpaired_surrogates_are_replaced_and_long_messages_cut() -> None:
    june = June(id="a\ud800b")
    june.state.failed("invalid_response", "\udfff" + "x" * 1000)
    row = await june.row()

    assert row.campaign_id == "a\N{REPLACEMENT CHARACTER}b"
    assert row.error_message is not None
    assert row.error_message.startswith("\N{REPLACEMENT CHARACTER}xxx")
    assert len(row.error_message) == 300


def test_every_state_has_its_meaning_and_rank() -> None:
    assert set(WORDS) == set(Standing)
    assert list(ATTENTION)[:2] == [Standing.FAILING, Standing.STALLED]
    assert list(ATTENTION)[-1] is Standing.CLOSED


class TestSelecting:
    async def names(self, fleet: Fleet, **filters: str) -> list[str]:
        return [campaign.campaign.name for campaign in await fleet.select(**filters)]

    async def fleet(self) -> Fleet:
        made = MadeUp()
        acme, zeta = made.account("zeta"), made.account("acme", OSVI)
        acme.says(acme.add("straße", labels=(("team", "Renewals"),)), **WORKING, name="June Renewals")
        acme.add("b", id="crm:0815")
        zeta.says(zeta.add("a"), **CALLING)
        return await made.overview.fleet()

    async def test_the_order_is_that_of_account_and_campaign(self) -> None:
        fleet = await self.fleet()

        assert await self.names(fleet) == ["a", "b", "straße"]
        assert list(fleet.accounts) == ["acme", "zeta"]
        assert [position(campaign) for campaign in fleet.campaigns] == sorted(map(position, fleet.campaigns))

    @pytest.mark.parametrize(
        ("text", "names"),
        [
            ("STRASSE", ["straße"]),
            ("june renewals", ["straße"]),
            ("renewals TEAM zeta", ["straße"]),
            ("0815", ["b"]),
            ("osvi", ["a"]),
            ("active", ["a", "straße"]),
            ("  ", ["a", "b", "straße"]),
            ("june 0815", []),
        ],
    )
    async def test_every_word_has_to_be_somewhere(self, text: str, names: list[str]) -> None:
        assert await self.names(await self.fleet(), q=text) == names

    @pytest.mark.parametrize(
        ("filters", "names"),
        [
            ({"provider": "anyreach"}, ["b", "straße"]),
            ({"account": "acme"}, ["a"]),
            ({"state": "not_polled"}, ["b"]),
            ({"state": "dialing", "provider": "anyreach", "q": "june"}, ["straße"]),
            ({"provider": "osvi", "account": "zeta"}, []),
        ],
    )
    async def test_filters_all_apply(self, filters: dict[str, str], names: list[str]) -> None:
        assert await self.names(await self.fleet(), **filters) == names


SHOWN: dict[str, Callable[[CampaignRow], Any]] = {
    "attention": lambda row: ATTENTION[row.state],
    "campaign": lambda row: (row.campaign_name or row.campaign).casefold(),
    "account": lambda row: row.account,
    "progress": lambda row: row.finished_ratio,
    "calls": lambda row: row.active_calls,
    "dialing": lambda row: row.dialing_expected,
    "called": lambda row: row.last_progress_timestamp_seconds,
    "updated": lambda row: row.last_success_timestamp_seconds,
}


class TestSorting:
    @pytest.mark.parametrize("by", COLUMNS)
    @pytest.mark.parametrize("descending", [False, True])
    async def test_every_sort_puts_what_is_not_known_last(self, by: str, *, descending: bool) -> None:
        made = crowd(200)
        made.accounts[0].add("never polled")
        fleet = await made.overview.fleet()
        campaigns = await fleet.sort(fleet.campaigns, COLUMNS[by].key, descending=descending)
        keys = [SHOWN[by](fleet.row(campaign)) for campaign in campaigns]

        known = [key for key in keys if key is not None]
        assert sorted(campaigns, key=position) == fleet.campaigns
        assert keys[: len(known)] == sorted(known, reverse=descending)

    @pytest.mark.parametrize("descending", [False, True])
    async def test_equals_keep_their_order(self, *, descending: bool) -> None:
        fleet = await crowd(200).overview.fleet()
        campaigns = await fleet.sort(fleet.campaigns, COLUMNS["account"].key, descending=descending)
        of_one = [campaign for campaign in campaigns if campaign.campaign.account == "account-b"]

        assert of_one == sorted(of_one, key=position)


def slowly(number: int) -> int:
    time.sleep(0.001)
    return number


class TestTurns:
    async def test_others_get_their_turn_while_much_is_collected(self) -> None:
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(other())
        collected = await in_turns(map(slowly, range(20)))
        task.cancel()

        assert collected == list(range(20))
        assert turns >= 5

    async def test_all_who_ask_within_a_second_share_one_look(self) -> None:
        made = crowd(10)
        first, second = await asyncio.gather(made.overview.fleet(), made.overview.fleet())
        made.clock.now += MAX_AGE
        third = await made.overview.fleet()

        assert first is second
        assert third is not first


@pytest.mark.parametrize("path", ["/", "/?q=" + "+".join("abcdefghijklmnopqrst"), "/?sort=campaign"])
async def test_no_page_of_10_000_campaigns_holds_the_event_loop(path: str) -> None:
    made = crowd(10_000)
    views = made.views()
    overview = Overview(lambda: views, now=made.clock.monotonic, wall=made.clock.wall, hours_wall=made.clock.wall)
    holds = Holds()
    holds.watch(asyncio.get_running_loop())
    async with serving_frontend(overview) as address, aiohttp.ClientSession(address) as session:
        holds.longest = 0.0
        async with session.get(path, raise_for_status=True) as answer:
            await answer.read()

    # 2 ms on an idle machine.
    assert 0 < holds.longest < 0.01
