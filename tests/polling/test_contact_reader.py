"""Readings of the contacts of simulated campaigns, over HTTP and on the loop's clock."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from exporter.exposition.negotiation import Format
from exporter.simulator import ROUND_THE_CLOCK, CallPattern, Campaign, Fault, Organization, Schedule, World, serving
from exporter.simulator.anyreach_contacts import Order
from tests.exporting import EPOCH, Page, Running, anyreach_account, exporting

pytestmark = pytest.mark.virtual_time

HOUR = 3600.0
TOKEN = "ak_test.secret"
ORDERS: tuple[Order, ...] = ("created", "arbitrary", "updated")


class Site:
    """A simulated organization on the loop's clock."""

    def __init__(self, *, limit: int = 20) -> None:
        loop = asyncio.get_running_loop()
        self.world = World(lambda: EPOCH + loop.time())
        self.organization: Organization = self.world.add_organization(limit=limit)
        self.world.grant(TOKEN, self.organization)
        self.always = self.organization.add_configuration("always", Schedule("UTC", ROUND_THE_CLOCK))

    def add(self, name: str, contacts: int, **pattern: Any) -> Campaign:
        campaign = self.organization.add_campaign(name, self.always, pattern=CallPattern(retry_delay=600, **pattern))
        campaign.add_contacts(contacts)
        return campaign

    @asynccontextmanager
    async def exporting(self, *campaigns: Campaign, attempts: Any = None, **options: Any) -> AsyncIterator[Running]:
        async with serving(self.world) as servers:
            account = {
                **anyreach_account(servers.anyreach, *(c.id for c in campaigns), calling_windows="unknown"),
                "attempts": {"refresh_interval": "1m", **(attempts or {})},
                **options,
            }
            async with exporting({"accounts": [account]}) as running:
                yield running

    def truth(self, campaign: Campaign) -> Counter[str]:
        """Attempts by status, as they are."""
        self.world.advance()
        contacts = campaign.contacts.values()
        return Counter(attempt.status for contact in contacts for attempt in contact.attempts)


def by_status(page: Page) -> dict[str, float]:
    return page.by("status", "campaign_attempts_by_status")


def ended_calls(page: Page) -> float:
    return sum(page.all("campaign_call_duration_seconds_count"))


@pytest.mark.parametrize("order", ORDERS)
async def test_readings_are_true_while_the_campaign_is_dialed(order: Order) -> None:
    site = Site(limit=60)
    site.organization.contact_order = order
    june = site.add("June", 1200)
    async with site.exporting(june) as running:
        await asyncio.sleep(900)
        worst = 0.0
        for _ in range(10):
            await asyncio.sleep(60)
            page = await running.page()
            read = by_status(page)
            found, coverage = sum(read.values()), page.all("campaign_attempts_coverage_ratio")[0]
            assert coverage >= 0.98
            worst = max(worst, abs(1 - found / site.truth(june).total()))

        # Some of the difference is what was dialed since the reading, a minute ago at most.
        assert worst < 0.1


@pytest.mark.parametrize("order", ORDERS)
async def test_each_ended_attempt_is_counted_once(order: Order) -> None:
    site = Site(limit=40)
    site.organization.contact_order = order
    june = site.add("June", 400, answer_rate=0.8, max_attempts=2)
    async with site.exporting(june) as running:
        await asyncio.sleep(40)
        baseline = site.truth(june)
        counted_from = baseline.total() - baseline["in_progress"]
        await asyncio.sleep(HOUR)
        page = await running.page()
        truth = site.truth(june)

        ended = truth.total() - truth["in_progress"]
        assert ended > 400
        assert ended - ended_calls(page) <= counted_from
        assert ended_calls(page) <= ended
        assert by_status(page) == truth
        assert sum(page.all("campaign_contacts_by_attempts")) == 400


async def test_the_first_reading_is_where_the_counting_begins() -> None:
    site = Site()
    june = site.add("June", 50, answer_rate=1.0)
    site.world.advance()
    await asyncio.sleep(200)
    ended_before = site.truth(june)["completed"]
    async with site.exporting(june) as running:
        await asyncio.sleep(HOUR)

        assert 0 < ended_before < 50
        assert ended_calls(await running.page()) == pytest.approx(50 - ended_before, abs=3)


async def test_a_quiet_campaign_is_not_asked_about() -> None:
    site = Site()
    june = site.add("June", 20, answer_rate=0.0, max_attempts=1)
    async with site.exporting(june) as running:
        await asyncio.sleep(HOUR)
        readings = (await running.page()).number("campaign_exporter_attempts_readings_total", result="complete")
        await asyncio.sleep(6 * HOUR)
        page = await running.page()

        assert page.number("campaign_exporter_attempts_readings_total", result="complete") == readings
        assert by_status(page) == {"unanswered": 20}


async def test_verdicts_are_waited_for() -> None:
    site = Site()
    june = site.add("June", 100, answer_rate=1.0)
    async with site.exporting(june, attempts={"expected": {"qa.greeting": True}}) as running:
        await asyncio.sleep(600)
        early = await running.page()
        await asyncio.sleep(2 * HOUR)
        late = await running.page()

        assert late.number("campaign_attempts_with_conversation") == 100
        assert 60 < late.number("campaign_attempts_evaluated") < 100
        assert early.number("campaign_attempts_evaluated") < late.number("campaign_attempts_evaluated")
        greetings = late.by("outcome", "campaign_outcomes", criterion="qa.greeting")
        assert greetings.keys() == {"true", "false", "abstain", "na", "other"}
        assert late.number("campaign_outcomes_compliant", criterion="qa.greeting") == greetings["true"]


async def test_only_the_wanted_criteria_are_exported() -> None:
    site = Site()
    june = site.add("June", 50, answer_rate=1.0)
    async with site.exporting(june, attempts={"criteria": ["qa.*"]}) as running:
        await asyncio.sleep(2 * HOUR)

        assert (await running.page()).values_of("criterion") == {"qa.greeting", "qa.consent"}


async def test_a_closed_campaign_is_read_three_times_more() -> None:
    site = Site()
    june = site.add("June", 40, answer_rate=1.0)
    async with site.exporting(june) as running:
        await asyncio.sleep(600)
        june.close()
        await asyncio.sleep(30)
        before = (await running.page()).number("campaign_exporter_attempts_readings_total", result="complete")
        await asyncio.sleep(30 * HOUR)
        after = (await running.page()).number("campaign_exporter_attempts_readings_total", result="complete")

        assert after - before <= 3


async def test_a_reading_stays_while_polls_confirm_it_and_three_intervals_more() -> None:
    site = Site()
    june = site.add("June", 20, answer_rate=0.0, max_attempts=1)
    async with site.exporting(june) as running:
        await asyncio.sleep(2 * HOUR)
        june.close()
        await asyncio.sleep(30 * HOUR)
        assert by_status(await running.page()) == {"unanswered": 20}


async def test_a_reading_stays_until_it_is_old_when_the_numbers_move() -> None:
    site = Site()
    june = site.add("June", 20, answer_rate=0.0, max_attempts=1)
    async with site.exporting(june) as running:
        await asyncio.sleep(2 * HOUR)
        site.organization.fault = Fault(status=500, path="/contacts")
        june.add_contacts(20)
        await asyncio.sleep(120)
        page = await running.page()
        assert page.number("campaign_attempts") > 20
        assert by_status(page) == {"unanswered": 20}
        await asyncio.sleep(180)
        assert by_status(await running.page()) == {}


async def test_the_interval_that_is_shown_is_the_one_in_force() -> None:
    site = Site()
    june = site.add("June", 20, answer_rate=0.0, max_attempts=1)
    async with site.exporting(june) as running:
        await asyncio.sleep(2 * HOUR)
        assert (await running.page()).number("campaign_attempts_read_interval_seconds") == 60
        (account,) = running.exporter.accounts.values()
        base = anyreach_account(account.settings.base_url, june.id, calling_windows="unknown")
        assert await running.reload({"accounts": [{**base, "attempts": {"refresh_interval": "1h"}}]}) is None
        await asyncio.sleep(30)
        assert (await running.page()).number("campaign_attempts_read_interval_seconds") == HOUR


async def test_exemplars_go_with_the_setting() -> None:
    site = Site()
    june = site.add("June", 50, answer_rate=1.0)

    async def exemplars(running: Running) -> int:
        pieces = await running.exporter.exposition.page(Format.OPENMETRICS, False, frozenset())
        return b"".join(pieces).count(b"# {conversation_id=")

    async with site.exporting(june, attempts={"exemplars": True}) as running:
        await asyncio.sleep(HOUR)
        before, counted = await exemplars(running), ended_calls(await running.page())
        (account,) = running.exporter.accounts.values()
        base = anyreach_account(account.settings.base_url, june.id, calling_windows="unknown")
        assert await running.reload({"accounts": [{**base, "attempts": {"refresh_interval": "1m"}}]}) is None

        assert before
        assert await exemplars(running) == 0
        assert ended_calls(await running.page()) == counted > 0


async def test_a_403_turns_the_readings_off_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    site = Site()
    june = site.add("June", 40)
    site.world.grant(TOKEN, site.organization, refused=("contacts",))
    async with site.exporting(june) as running:
        await asyncio.sleep(HOUR / 2)
        page = await running.page()

        assert page.number("campaign_exporter_attempts_readable") == 0
        assert page.number("campaign_exporter_attempts_readings_total", result="forbidden") == 1
        assert page.number("campaign_exporter_breaker_open") == 0
        assert page.number("campaign_up") == 1
        assert not page.all("campaign_attempts_by_status")
    assert [record.message for record in caplog.records].count("the token may not read single attempts") == 1


async def test_readings_that_were_off_are_tried_again_although_they_were_refused() -> None:
    site = Site()
    june = site.add("June", 40)
    site.world.grant(TOKEN, site.organization, refused=("contacts",))
    async with site.exporting(june) as running:
        await asyncio.sleep(HOUR / 2)
        assert (await running.page()).number("campaign_exporter_attempts_readable") == 0
        site.world.grant(TOKEN, site.organization)
        (account,) = running.exporter.accounts.values()
        settings = anyreach_account(account.settings.base_url, june.id, calling_windows="unknown")
        assert await running.reload({"accounts": [settings]}) is None
        assert await running.reload({"accounts": [{**settings, "attempts": {}}]}) is None
        await asyncio.sleep(600)
        assert (await running.page()).number("campaign_exporter_attempts_readable") == 1


async def test_whether_attempts_can_be_read_is_not_known_before_an_answer() -> None:
    site = Site()
    june = site.add("June", 40)
    async with site.exporting(june) as running:
        assert not (await running.page()).all("campaign_exporter_attempts_readable")
        await asyncio.sleep(120)
        assert (await running.page()).all("campaign_exporter_attempts_readable") == [1]


async def test_readings_keep_to_their_share_and_polls_stay_on_time() -> None:
    site = Site(limit=100)
    campaigns = [site.add(f"campaign {number}", 300) for number in range(10)]
    async with site.exporting(*campaigns, max_requests_per_second=10) as running:
        await asyncio.sleep(600)
        page = await running.page()

        # A reading takes the turn of a poll that becomes due within the next tenth of a second, and no more.
        name = "campaign_exporter_poll_lag_seconds"
        assert page.number(f"{name}_bucket", le="0.25") == page.number(f"{name}_count") > 300
        assert page.number("campaign_exporter_attempts_readings_total", result="complete") > 20


async def test_without_the_setting_nothing_is_read() -> None:
    site = Site()
    june = site.add("June", 40)
    async with serving(site.world) as servers:
        account = anyreach_account(servers.anyreach, june.id, calling_windows="unknown")
        async with exporting({"accounts": [account]}) as running:
            await asyncio.sleep(600)
            names = (await running.page()).names()

            assert not {name for name in names if "attempts_" in name and "observed" not in name} - {
                "campaign_attempts_per_contact"
            }


async def test_a_quiet_campaign_is_read_again_after_the_readings_were_off() -> None:
    site = Site()
    june, july = (site.add(name, 20, answer_rate=0.0, max_attempts=1) for name in ("June", "July"))
    async with site.exporting(june, july) as running:
        await asyncio.sleep(2 * HOUR)
        july.close()
        await asyncio.sleep(30 * HOUR)
        (account,) = running.exporter.accounts.values()
        off = anyreach_account(account.settings.base_url, june.id, july.id, calling_windows="unknown")
        assert await running.reload({"accounts": [off]}) is None
        await asyncio.sleep(60)
        assert not (await running.page()).all("campaign_attempts_by_status")
        assert await running.reload({"accounts": [{**off, "attempts": {"refresh_interval": "1m"}}]}) is None
        await asyncio.sleep(60)
        page = await running.page()

        assert page.all("campaign_attempts_by_status", status="unanswered") == [20, 20]


async def test_a_closed_campaign_is_read_again_for_other_criteria() -> None:
    site = Site()
    june = site.add("June", 50, answer_rate=1.0)
    async with site.exporting(june, attempts={"criteria": ["qa.greeting"]}) as running:
        await asyncio.sleep(2 * HOUR)
        june.close()
        await asyncio.sleep(30 * HOUR)
        (account,) = running.exporter.accounts.values()
        base = anyreach_account(account.settings.base_url, june.id, calling_windows="unknown")
        attempts = {"refresh_interval": "1m", "criteria": ["qa.consent"]}
        assert await running.reload({"accounts": [{**base, "attempts": attempts}]}) is None
        await asyncio.sleep(60)
        page = await running.page()
        expecting = {**attempts, "expected": {"qa.consent": True}}
        assert await running.reload({"accounts": [{**base, "attempts": expecting}]}) is None
        await asyncio.sleep(60)
        later = await running.page()

        assert page.values_of("criterion") == {"qa.consent"}
        compliant = later.number("campaign_outcomes_compliant", criterion="qa.consent")
        assert compliant == page.number("campaign_outcomes", criterion="qa.consent", outcome="true") > 0
