"""The page of one campaign, and what it says of calling windows."""

import re
from datetime import date
from html.parser import HTMLParser
from typing import Any

import aiohttp
import pytest

from exporter.campaign.schedule import Hours, Schedule, Window
from exporter.ui.details import CallingWindow, TimezoneHours, timezones_of
from tests.made_up import CALLING, NO_WINDOWS, OSVI, ROUND_THE_CLOCK, WALL, WORKING, MadeUp, crowd, serving_frontend

WEEKDAYS = Window(frozenset(range(5)), 9 * 60, 19 * 60)
SATURDAY = Window(frozenset({5}), 22 * 60, 2 * 60)
# WALL is Thursday, 2026-05-28, 20:26:40 UTC.
EVENING = Schedule(
    "Asia/Kolkata",
    (WEEKDAYS, SATURDAY),
    {"America/New_York": (WEEKDAYS,), "Asia/Tokyo": ()},
    scheduled_windows=(WEEKDAYS,),
)


class TestWindows:
    def test_each_timezone_says_when_it_opens_or_closes_next(self) -> None:
        kolkata, new_york = timezones_of(Hours(EVENING, WALL), WALL)

        usual = [
            CallingWindow(["mon", "tue", "wed", "thu", "fri"], "09:00", "19:00"),
            CallingWindow(["sat"], "22:00", "02:00"),
        ]
        assert kolkata == TimezoneHours("Asia/Kolkata", False, 1_780_025_400.0, usual, usual[:1])
        assert new_york == TimezoneHours("America/New_York", True, 1_780_009_200.0, usual[:1], usual[:1])

    def test_round_the_clock_has_no_windows(self) -> None:
        assert list(timezones_of(ROUND_THE_CLOCK, WALL)) == []

    def test_windows_that_span_the_week_never_change(self) -> None:
        always = Schedule("UTC", (Window(frozenset(range(7)), 0, 1440),))

        assert [zone.changes_at_timestamp_seconds for zone in timezones_of(Hours(always, WALL), WALL)] == [None]


class Words(HTMLParser):
    """The text of the page's main part."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.feed(document[document.index('<div id="live"') : document.index("</main>")])

    def handle_data(self, data: str) -> None:
        self.words += data.split()


async def shown(made: MadeUp, path: str = "anyreach/acme/june") -> tuple[str, str]:
    """The document, and its words."""
    made.clock.now += 1
    async with (
        serving_frontend(made.overview) as address,
        aiohttp.ClientSession(address) as session,
        session.get(f"/campaigns/{path}") as answer,
    ):
        document = await answer.text()
    assert answer.status == 200
    return document, " ".join(Words(document).words)


def june(*, hours: Hours | None = ROUND_THE_CLOCK, **numbers: Any) -> MadeUp:
    made = MadeUp()
    account = made.account("acme")
    account.says(account.add("june", hours=hours, labels=(("team", "renewals"),)), **WORKING | numbers)
    return made


class TestPage:
    async def test_it_has_all_numbers_of_an_anyreach_campaign(self) -> None:
        document, words = await shown(june(name="June renewals", attempts_per_contact=1.5))

        assert '<h1 class="name"><bdi>June renewals</bdi></h1>' in document
        assert "<title>June renewals · campaign-exporter</title>" in document
        for fact in (
            "74 % 922 of 1,240 contacts finished",
            "Contacts pending 310 Contacts in progress 8 Contacts completed 902 Contacts exhausted 20",
            "Contacts loaded 1,240 Attempts 1,730 Attempts per contact 1.5",
            "Calls of this campaign 8 Calls of the organization 8 Concurrency limit 10",
            "Silence that means a stall 1 h",
            "Status active Last success 1 s ago Interval 15 s Values withdrawn after 1 min",
            "Provider anyreach Account acme Campaign june Id june-id team renewals",
            "It may dial round the clock.",
        ):
            assert fact in words

    async def test_it_has_all_numbers_of_an_osvi_campaign(self) -> None:
        made = MadeUp()
        account = made.account("acme", OSVI)
        account.says(
            account.add("june", hours=None),
            **CALLING,
            uploads=2.0,
            queues={("meera", "open"): 1.0, ("meera", "completed"): 3.0, ("", "open"): 1.0},
            queued_contacts={("meera", "open"): 500.0},
            retry_enabled=1.0,
            retry_threshold=2.0,
            retry_delay_seconds=1800.0,
            created_timestamp_seconds=WALL - 90_000,
        )
        _, words = await shown(made, "osvi/acme/june")

        for fact in (
            "Calls picked 88 Calls not picked 25 Calls failed 7 Calls busy 0 Calls voicemail 0",
            "Calls made 122 Uploads 2 Work left yes",
            "Retries on Retry threshold 2.0 Delay before a retry 30 min",
            "Created 2026-05-27 19:26 UTC",
            "Its calling windows are not known. GET /june-id: HTTP 404. Write calling_hours .",
            "meera open 1 500 meera completed 3 – not known no agent open 1",  # noqa: RUF001 -- the dash that is shown
        ):
            assert fact in words

    async def test_it_says_what_to_do_and_links_to_the_runbook(self) -> None:
        made = june()
        made.accounts[0].campaigns[0].failed("timeout", "no <answer>")
        made.accounts[0].campaigns[0].withdraw()
        document, words = await shown(made)

        assert "What to do Cure timeout . Runbook for june Last error: timeout : no <answer>" in words
        assert "Its last poll failed" not in words
        assert 'href="../../../runbooks/CampaignPollsFailing?account=acme&amp;campaign=june"' in document

    async def test_it_says_that_the_last_poll_failed_while_its_values_are_shown(self) -> None:
        made = june()
        made.accounts[0].campaigns[0].failed("unauthorized", "HTTP 401")
        _, words = await shown(made)

        assert "has not been silent for longer than stall_after . Its last poll failed." in words

    async def test_calling_windows_name_the_next_opening_by_the_zones_own_clock(self) -> None:
        _, words = await shown(june(hours=Hours(EVENING, WALL)))

        assert "Asia/Kolkata closed opens Fri 29 May 09:00 mon to fri 09:00 to 19:00; sat 22:00 to 02:00" in words
        assert "first scheduled calls: mon to fri 09:00 to 19:00" in words
        assert "America/New_York open closes Thu 28 May 19:00" in words

    async def test_holidays_are_listed(self) -> None:
        holidays = frozenset({date(2026, 12, 25), date(2026, 5, 29)})
        _, words = await shown(june(hours=Hours(Schedule("Asia/Kolkata", (WEEKDAYS,), closed_on=holidays), WALL)))

        assert "opens Mon 01 Jun 09:00" in words
        assert "Closed on 2026-05-29, 2026-12-25." in words

    async def test_a_campaign_without_windows_says_so(self) -> None:
        _, words = await shown(june(hours=NO_WINDOWS))

        assert "It has no calling windows: it never dials." in words

    async def test_what_is_not_known_is_no_number(self) -> None:
        made = MadeUp()
        made.account("acme").add("june", hours=None)
        document, words = await shown(made)

        assert "Contacts loaded" not in words
        assert "None" not in words
        assert "undefined" not in document

    async def test_a_campaign_that_never_answered_has_no_empty_part(self) -> None:
        made = MadeUp()
        made.account("acme").add("june")

        _, words = await shown(made)

        assert "Not polled yet" in words
        assert "Seen since the exporter started" not in words

    async def test_an_unchanged_page_is_not_sent_again_and_a_changed_one_is(self) -> None:
        made = june()
        path = "/campaigns/anyreach/acme/june"
        async with serving_frontend(made.overview) as address, aiohttp.ClientSession(address) as session:
            async with session.get(path) as first:
                tag = {"If-None-Match": first.headers["ETag"]}
            made.clock.now += 2
            async with session.get(path, headers=tag) as again:
                assert again.status == 304
            made.accounts[0].says(made.accounts[0].campaigns[0], **WORKING | {"uploads": 7.0})
            made.clock.now += 2
            async with session.get(path, headers=tag) as changed:
                assert changed.status == 200

    async def test_one_that_there_is_not_is_a_page_that_leads_back(self) -> None:
        async with (
            serving_frontend(crowd(1).overview) as address,
            aiohttp.ClientSession(address) as session,
            session.get("/campaigns/anyreach/account-a/%3Cscript%3E") as answer,
        ):
            document = await answer.text()

        assert answer.status == 404
        assert '<a href="../../../">Show all campaigns</a>' in document
        assert "Content-Security-Policy" in answer.headers

    @pytest.mark.parametrize("foreign", ['"><script>x</script>', "\u202egnp.exe", "a\ud800b"])
    async def test_foreign_text_is_never_more_than_text(self, foreign: str) -> None:
        made = MadeUp()
        account = made.account("acme", OSVI)
        campaign = account.says(
            account.add("june", id=foreign, labels=(("team", foreign),)),
            **CALLING | {"status": foreign, "name": foreign, "queues": {(foreign, "open"): 1.0}},
        )
        campaign.failed("timeout", foreign)
        document, _ = await shown(made, "osvi/acme/june")

        assert len(re.findall("<script", document)) == 1
        assert not re.search("[\u202e\ud800]", document)

    async def test_the_wall_leads_to_it(self) -> None:
        made = MadeUp()
        account = made.account("ac me")
        account.says(account.add("crm:june/renewals"), **WORKING, name="June")
        async with (
            serving_frontend(made.overview) as address,
            aiohttp.ClientSession(address) as session,
            session.get("/") as answer,
        ):
            document = await answer.text()

        assert '<a href="./campaigns/anyreach/ac%20me/crm%3Ajune%2Frenewals">June</a>' in document
