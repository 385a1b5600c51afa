from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from exporter.simulator import (
    ROUND_THE_CLOCK,
    CallPattern,
    Campaign,
    ManualClock,
    Organization,
    Schedule,
    World,
    serving,
)
from exporter.simulator.anyreach_contacts import CRITERIA, Order

START = 1_780_315_200.0  # Monday, 2026-06-01 12:00 UTC
HOUR = 3600.0
KEY = "ak_test.secret"
ORDERS: tuple[Order, ...] = ("created", "arbitrary", "updated")


class Client:
    """Reads the contacts and stats of one campaign."""

    def __init__(self, clock: ManualClock, organization: Organization, campaign: Campaign, get: Any) -> None:
        self.clock = clock
        self.organization = organization
        self.campaign = campaign
        self._get = get

    async def stats(self) -> Any:
        return await self._get("/stats")

    async def page(self, query: str = "") -> Any:
        return await self._get(f"/contacts?{query}")

    async def contacts(self, query: str = "") -> list[Any]:
        """All of them, page by page."""
        found: list[Any] = []
        while True:
            page = await self.page(f"limit=50&offset={len(found)}&{query}")
            found += page["contacts"]
            if len(found) >= page["total"]:
                return found


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    clock = ManualClock(START)
    world = World(clock)
    organization = world.add_organization(limit=20)
    world.grant(KEY, organization)
    always = organization.add_configuration("Always", Schedule("UTC", ROUND_THE_CLOCK))
    campaign = organization.add_campaign("June", always, pattern=CallPattern(retry_delay=600))
    campaign.add_contacts(300)
    world.advance()
    async with serving(world) as servers, aiohttp.ClientSession() as session:

        async def get(path: str) -> Any:
            url = f"{servers.anyreach}/campaign/campaigns/{campaign.id}{path}"
            async with session.get(url, headers={"Authorization": f"Bearer {KEY}"}) as response:
                assert response.status == 200
                return await response.json()

        yield Client(clock, organization, campaign, get)


@pytest.mark.parametrize("order", ORDERS)
async def test_every_order_lists_each_contact_once(client: Client, order: Order) -> None:
    client.organization.contact_order = order
    client.clock.advance(600)

    contacts = await client.contacts()

    assert len({contact["id"] for contact in contacts}) == len(contacts) == 300


async def test_contacts_and_attempts_add_up_to_the_stats(client: Client) -> None:
    client.clock.advance(2 * HOUR)

    stats, contacts = await client.stats(), await client.contacts()

    statuses = [contact["status"] for contact in contacts]
    assert {
        "total": len(contacts),
        "pending": statuses.count("pending"),
        "in_progress": statuses.count("in_progress") + statuses.count("locked"),
        "completed": statuses.count("completed"),
        "exhausted": statuses.count("exhausted"),
    } == stats["contacts"]
    assert sum(len(contact["attempts"]) for contact in contacts) == stats["attempts"]["total"] > 300


async def test_a_status_filters_the_list_and_its_total(client: Client) -> None:
    client.clock.advance(600)
    stats = await client.stats()

    page = await client.page("status=in_progress&status=completed&limit=200")

    found = {contact["status"] for contact in page["contacts"]}
    assert found <= {"in_progress", "locked", "completed"}
    assert page["total"] == stats["contacts"]["in_progress"] + stats["contacts"]["completed"]


async def test_a_server_may_ignore_the_filter(client: Client) -> None:
    client.organization.filters_contacts = False

    assert (await client.page("status=completed"))["total"] == 300


async def test_the_newest_update_comes_first_in_its_order(client: Client) -> None:
    client.organization.contact_order = "updated"
    client.clock.advance(600)

    first = (await client.page("limit=1"))["contacts"][0]

    assert first["attempts"] or first["status"] == "locked"


@pytest.mark.parametrize("bucket", ["pending", "completed"])
async def test_deleted_contacts_leave_the_list_with_their_attempts(client: Client, bucket: Any) -> None:
    client.clock.advance(600)
    await client.stats()

    deleted = client.campaign.delete_contacts(30, bucket)

    stats, contacts = await client.stats(), await client.contacts()
    assert deleted == 30
    assert len(contacts) == stats["contacts"]["total"] == 270
    assert sum(len(contact["attempts"]) for contact in contacts) == stats["attempts"]["total"]


async def test_an_attempt_has_the_documented_shape(client: Client) -> None:
    client.clock.advance(2 * HOUR)

    contact = (await client.page("status=completed&limit=1"))["contacts"][0]

    attempt = contact["attempts"][-1]
    assert attempt.keys() == {
        *("id", "contact_id", "phone_number", "conversation_id", "started_at", "ended_at", "status", "result")
    }
    assert attempt["contact_id"] == contact["id"]
    assert attempt["phone_number"] in contact["phone_numbers"]
    assert (attempt["status"], bool(attempt["conversation_id"])) == ("completed", True)
    assert attempt["started_at"] < attempt["ended_at"]


async def test_verdicts_come_late_and_a_few_change(client: Client) -> None:
    seen = []
    for hours in (0.5, 4):
        client.clock.advance(hours * HOUR)
        contacts = await client.contacts("status=completed")
        seen.append({a["id"]: a["result"] for contact in contacts for a in contact["attempts"] if a["result"]})

    assert len(seen[0]) < len(seen[1])
    assert all(result.keys() == set(CRITERIA) for result in seen[1].values())
    assert any(result != seen[1][attempt] for attempt, result in seen[0].items())
