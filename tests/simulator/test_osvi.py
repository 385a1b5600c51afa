from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from exporter.simulator import Fault, ManualClock, OsviCampaign, World, serving

START = 1_780_315_200.0  # Monday, 2026-06-01 17:30 in India
TOKEN = "0123456789abcdef"


class Client:
    """Sends requests to one world's OSVI, with its token unless told otherwise."""

    def __init__(self, clock: ManualClock, world: World, session: aiohttp.ClientSession, base_url: str) -> None:
        self.clock = clock
        self.world = world
        self._session = session
        self._base_url = base_url

    async def get(self, path: str, *, token: str | None = TOKEN) -> tuple[int, Any]:
        headers = {} if token is None else {"API-Token": token}
        async with self._session.get(self._base_url + path, headers=headers) as response:
            return response.status, await response.json()


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    clock = ManualClock(START)
    world = World(clock, speed=60)
    async with serving(world) as servers, aiohttp.ClientSession() as session:
        yield Client(clock, world, session, servers.osvi)


@pytest.fixture
def campaign(client: Client) -> OsviCampaign:
    account = client.world.add_osvi_account(TOKEN)
    campaign = account.add_campaign(7, "June Renewals", outcomes={"picked": 1}, call_seconds=(60, 60))
    campaign.add_agent("agent_x", channels=2)
    return campaign


async def test_the_status_answer_has_the_documented_shape(client: Client, campaign: OsviCampaign) -> None:
    campaign.add_contacts(3, "agent_x")
    campaign.add_contacts(5, "agent_x", file_name=None, enqueue=False)
    await client.get("/v1/campaigns/7/status")
    client.clock.advance(90)

    assert await client.get("/v1/campaigns/7/status") == (
        200,
        {
            "success": True,
            "data": {
                "campaign": {
                    "id": 7,
                    "name": "June Renewals",
                    "status": "active",
                    "is_retry_enabled": True,
                    "retry_threshold": 2,
                    "retry_delay": 30,
                    "created_at": "2026-06-01T17:30:00+05:30",
                },
                "calls": {"total": 3, "by_status": {"picked": 2, "in_progress": 1}},
                "uploads": [
                    {
                        "campaign_upload_id": 1,
                        "file_name": "contacts.csv",
                        "agent_uuid": "agent_x",
                        "created_at": "2026-06-01T17:30:00+05:30",
                        "queues": [{"agent_uuid": "agent_x", "total_queued": 3, "completed": False}],
                    },
                    {
                        "campaign_upload_id": 2,
                        "file_name": None,
                        "agent_uuid": "agent_x",
                        "created_at": "2026-06-01T17:30:00+05:30",
                        "queues": [],
                    },
                ],
            },
        },
    )


async def test_outcomes_that_no_call_has_are_left_out(client: Client, campaign: OsviCampaign) -> None:
    _, answer = await client.get("/v1/campaigns/7/status")
    assert answer["data"]["calls"] == {"total": 0, "by_status": {}}

    campaign.add_contacts(2, "agent_x")
    client.clock.advance(61)
    _, answer = await client.get("/v1/campaigns/7/status")
    assert answer["data"]["calls"] == {"total": 2, "by_status": {"picked": 2}}


async def test_retry_settings_are_null_when_retries_are_off(client: Client, campaign: OsviCampaign) -> None:
    campaign.account.add_campaign(8, "Helpline", retry_delay=None)
    _, answer = await client.get("/v1/campaigns/8/status")

    shown = answer["data"]["campaign"]
    assert (shown["is_retry_enabled"], shown["retry_threshold"], shown["retry_delay"]) == (False, None, None)


async def test_status_follows_the_switch_and_queues_close(client: Client, campaign: OsviCampaign) -> None:
    campaign.add_contacts(2, "agent_x")
    await client.get("/v1/campaigns/7/status")
    client.clock.advance(61)
    campaign.deactivate()
    _, answer = await client.get("/v1/campaigns/7/status")

    assert answer["data"]["campaign"]["status"] == "inactive"
    assert answer["data"]["uploads"][0]["queues"][0]["completed"] is True


async def test_a_missing_wrong_or_revoked_token_is_unauthorized(client: Client, campaign: OsviCampaign) -> None:
    assert campaign.status == "active"
    refused = (401, {"success": False, "error": "Invalid API token"})

    assert await client.get("/v1/campaigns/7/status", token=None) == refused
    assert await client.get("/v1/campaigns/7/status", token="fedcba9876543210") == refused
    client.world.revoke(TOKEN)
    assert await client.get("/v1/campaigns/7/status") == refused
    client.world.restore(TOKEN)
    assert (await client.get("/v1/campaigns/7/status"))[0] == 200


async def test_campaigns_of_another_account_or_removed_ones_are_not_found(
    client: Client, campaign: OsviCampaign
) -> None:
    client.world.add_osvi_account("other").add_campaign(8, "Theirs")
    campaign.account.remove_campaign(campaign)

    for number in (7, 8, 99):
        assert await client.get(f"/v1/campaigns/{number}/status") == (
            404,
            {"success": False, "error": "Campaign not found", "details": None},
        )


async def test_an_id_that_is_no_number_is_refused_with_a_list_of_errors(client: Client, campaign: OsviCampaign) -> None:
    assert campaign.id == 7
    assert await client.get("/v1/campaigns/june/status") == (
        422,
        {"success": False, "errors": ["id must be an integer"]},
    )


async def test_a_route_that_is_not_there_is_not_found(client: Client) -> None:
    assert await client.get("/v1/campaigns") == (404, {"success": False, "error": "Not Found", "details": None})


async def test_faults_hit_an_account_or_one_campaign(client: Client, campaign: OsviCampaign) -> None:
    campaign.account.add_campaign(8, "Sound")
    campaign.fault = Fault(status=500)
    assert await client.get("/v1/campaigns/7/status") == (
        500,
        {"success": False, "error": "Simulated fault", "details": None},
    )
    assert (await client.get("/v1/campaigns/8/status"))[0] == 200

    campaign.account.fault = Fault(status=429, body=b'{"slow": "down"}', delay=0.001)
    assert (await client.get("/v1/campaigns/7/status"))[0] == 500
    campaign.fault = Fault(hang_up=True)
    with pytest.raises(aiohttp.ClientConnectionError):
        await client.get("/v1/campaigns/7/status")
    campaign.fault = None
    async with (
        aiohttp.ClientSession(headers={"API-Token": TOKEN}) as session,
        serving(client.world) as servers,
        session.get(f"{servers.osvi}/v1/campaigns/7/status") as response,
    ):
        assert (response.status, await response.read()) == (429, b'{"slow": "down"}')


async def test_the_call_log_shows_the_newest_call_first(client: Client, campaign: OsviCampaign) -> None:
    campaign.add_contacts(5, "agent_x")
    await client.get("/v1/campaigns/7/status")
    client.clock.advance(90)

    status, log = await client.get("/v1/calls?campaign_id=7&per_page=3")

    assert status == 200
    assert log["meta"] == {"current_page": 1, "total_pages": 2, "total_count": 4, "per_page": 3}
    assert [call["status"] for call in log["data"]] == ["in_progress", "in_progress", "picked"]
    assert [call["created_at"] for call in log["data"]] == sorted(
        (call["created_at"] for call in log["data"]), reverse=True
    )


async def test_a_call_in_the_log_has_the_documented_shape(client: Client, campaign: OsviCampaign) -> None:
    campaign.add_contacts(1, "agent_x")
    await client.get("/v1/campaigns/7/status")
    client.clock.advance(90)

    (call,) = (await client.get("/v1/calls?status=picked,busy"))[1]["data"]

    assert call.keys() == {
        *("call_id", "agent_uuid", "agent_name", "phone_number", "from_number", "status", "call_type"),
        *("duration_seconds", "call_ended_by", "call_ended_reason", "campaign_id", "campaign_upload_id", "tag"),
        *("created_at", "call_picked_at"),
    }
    assert (call["campaign_id"], call["status"], call["call_type"]) == (7, "picked", "outbound")
    assert call["duration_seconds"] == 1  # a minute, sixty times as fast


@pytest.mark.parametrize("query", ["per_page=101", "page=0", "campaign_id=x"])
async def test_the_call_log_refuses_what_is_out_of_range(client: Client, campaign: OsviCampaign, query: str) -> None:
    status, body = await client.get(f"/v1/calls?{query}")

    assert (status, body["success"]) == (422, False)
