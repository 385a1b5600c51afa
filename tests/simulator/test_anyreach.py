import base64
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from yarl import URL

from exporter.simulator import (
    ROUND_THE_CLOCK,
    CallPattern,
    Fault,
    ManualClock,
    Organization,
    Schedule,
    Window,
    World,
    serving,
)

START = 1_780_315_200.0  # Monday, 2026-06-01 12:00 UTC
KEY = "ak_test.secret"
PERSONAL = "pat_test"
STEADY = CallPattern(answer_rate=1.0, lock_seconds=(2, 2), answered_seconds=(58, 58))


class Client:
    """Sends requests to one world's Anyreach, with its key unless told otherwise."""

    def __init__(self, clock: ManualClock, world: World, session: aiohttp.ClientSession, base_url: str) -> None:
        self.clock = clock
        self.world = world
        self._session = session
        self._base_url = base_url

    async def get(self, path: str, *, token: str | None = KEY, **headers: str) -> tuple[int, Any]:
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        async with self._session.get(URL(self._base_url + path, encoded=True), headers=headers) as response:
            return response.status, await response.json()


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    clock = ManualClock(START)
    world = World(clock)
    async with serving(world) as servers, aiohttp.ClientSession() as session:
        yield Client(clock, world, session, servers.anyreach)


@pytest.fixture
def organization(client: Client) -> Organization:
    organization = client.world.add_organization()
    client.world.grant(KEY, organization)
    organization.add_configuration("Always", Schedule("UTC", ROUND_THE_CLOCK))
    return organization


def always(organization: Organization) -> Any:
    return next(iter(organization.configurations.values()))


async def test_the_stats_answer_has_the_documented_shape(client: Client, organization: Organization) -> None:
    campaign = organization.add_campaign("June renewals", always(organization), pattern=STEADY)
    campaign.add_contacts(25)
    await client.get(f"/campaign/campaigns/{campaign.id}/stats")
    client.clock.advance(65)

    assert await client.get(f"/campaign/campaigns/{campaign.id}/stats") == (
        200,
        {
            "campaign_id": campaign.id,
            "status": "active",
            "contacts": {"total": 25, "pending": 5, "in_progress": 10, "completed": 10, "exhausted": 0},
            "attempts": {"total": 20, "average_per_contact": 0.8},
            "active_calls": 10,
            "concurrency_limit": 10,
        },
    )


async def test_an_average_is_cut_after_two_decimals_and_zero_without_contacts(
    client: Client, organization: Organization
) -> None:
    campaign = organization.add_campaign("June renewals", always(organization))
    path = f"/campaign/campaigns/{campaign.id}/stats"
    _, empty = await client.get(path)
    campaign.add_contacts(1240)
    campaign.attempts_total = 1730  # the provider's own sample says 1.39
    _, sample = await client.get(path)

    assert empty["attempts"] == {"total": 0, "average_per_contact": 0.0}
    assert sample["attempts"]["average_per_contact"] == 1.39


async def test_a_campaign_is_found_by_uuid_and_by_any_external_id(client: Client, organization: Organization) -> None:
    for external_id in ("crm:june/renewals", "a b%2F?#é", "100%"):
        campaign = organization.add_campaign("June", always(organization), external_id=external_id)

        for key in (campaign.id, external_id):
            status, stats = await client.get(f"/campaign/campaigns/{quote(key, safe='')}/stats")
            assert (status, stats["campaign_id"]) == (200, campaign.id)


async def test_active_calls_may_be_those_of_the_organization(client: Client, organization: Organization) -> None:
    organization.active_calls_scope = "organization"
    one, other = (organization.add_campaign(name, always(organization), pattern=STEADY) for name in ("one", "other"))
    one.add_contacts(3)
    other.add_contacts(4)
    await client.get("/campaign/campaigns")
    client.clock.advance(30)
    _, stats = await client.get(f"/campaign/campaigns/{one.id}/stats")

    assert (stats["contacts"]["in_progress"], stats["active_calls"]) == (3, 7)


async def test_a_missing_wrong_or_revoked_token_is_unauthorized(client: Client, organization: Organization) -> None:
    campaign = organization.add_campaign("June", always(organization))
    path = f"/campaign/campaigns/{campaign.id}/stats"
    refused = (401, {"detail": "Missing or invalid token"})

    assert await client.get(path, token=None) == refused
    assert await client.get(path, token="ak_other.secret") == refused
    assert await client.get(path, token=None, Authorization=KEY) == refused
    assert await client.get(path, token=None, Authorization=f"Token {KEY}") == refused
    client.world.revoke(KEY)
    assert await client.get(path) == refused
    client.world.restore(KEY)
    assert (await client.get(path))[0] == 200


async def test_a_personal_token_needs_its_organization(client: Client, organization: Organization) -> None:
    other = client.world.add_organization()
    client.world.grant(PERSONAL, organization)
    campaign = organization.add_campaign("June", always(organization))
    path = f"/campaign/campaigns/{campaign.id}/stats"

    assert await client.get(path, token=PERSONAL) == (401, {"detail": "Token lacks an organization claim"})
    assert (await client.get(path, token=PERSONAL, **{"X-Anyreach-Org": organization.id}))[0] == 200
    assert (await client.get(path, token=PERSONAL, **{"X-Anyreach-Org": other.id}))[0] == 403


async def test_a_token_without_a_scope_is_forbidden(client: Client, organization: Organization) -> None:
    campaign = organization.add_campaign("June", always(organization))
    client.world.grant("ak_caps.secret", organization, refused=["campaigns", "configurations"])
    client.world.grant("ak_no.configurations", organization, refused=["configurations"])
    stats = f"/campaign/campaigns/{campaign.id}/stats"

    status, body = await client.get(stats, token="ak_caps.secret")
    assert (status, body) == (403, {"detail": "Requires one of the scopes: campaigns:manage, campaigns:read"})
    assert (await client.get(stats, token="ak_no.configurations"))[0] == 200
    path = f"/campaign/configurations/{campaign.configuration.id}"
    assert (await client.get(path, token="ak_no.configurations"))[0] == 403
    assert (await client.get(path))[0] == 200


async def test_what_is_not_there_or_of_another_organization_is_not_found(
    client: Client, organization: Organization
) -> None:
    other = client.world.add_organization()
    theirs = other.add_campaign("Theirs", other.add_configuration("Theirs", Schedule()), external_id="theirs")
    removed = organization.add_campaign("Removed", always(organization), external_id="removed")
    organization.remove_campaign(removed)

    for key in (theirs.id, "theirs", removed.id, "removed", "default"):
        assert await client.get(f"/campaign/campaigns/{key}/stats") == (404, {"detail": "Campaign not found"})
    status, _ = await client.get(f"/campaign/configurations/{theirs.configuration.id}")
    assert status == 404
    assert await client.get("/campaign/nothing") == (404, {"detail": "Not Found"})


async def test_one_campaign_is_described_with_its_configuration(client: Client, organization: Organization) -> None:
    campaign = organization.add_campaign("June renewals", always(organization), external_id="june")

    assert await client.get("/campaign/campaigns/june") == (
        200,
        {
            "id": campaign.id,
            "external_id": "june",
            "name": "June renewals",
            "status": "active",
            "priority": 0,
            "configuration_id": campaign.configuration.id,
            "created_at": "2026-06-01T12:00:00.002Z",
        },
    )


async def test_a_configuration_tells_its_schedule_with_lists_empty_or_null(
    client: Client, organization: Organization
) -> None:
    night = Window(("mon", "tue"), "22:30", "03:30")
    full = organization.add_configuration(
        "Full", Schedule("Asia/Kolkata", (night,), {"Asia/Tokyo": (), "UTC": (night,)})
    )
    bare = organization.add_configuration("Bare", Schedule())
    window = {"days": ["mon", "tue"], "start": "22:30", "end": "03:30"}

    _, answer = await client.get(f"/campaign/configurations/{full.id}")
    assert (answer["id"], answer["name"]) == (full.id, "Full")
    assert answer["schedule"] == {
        "default_timezone": "Asia/Kolkata",
        "default_windows": [window],
        "overrides": [{"timezone": "Asia/Tokyo", "windows": []}, {"timezone": "UTC", "windows": [window]}],
        "scheduled_windows": None,
        "scheduled_overrides": None,
    }
    _, answer = await client.get(f"/campaign/configurations/{bare.id}")
    assert answer["schedule"] == {
        "default_timezone": "America/New_York",
        "default_windows": [],
        "overrides": [],
        "scheduled_windows": None,
        "scheduled_overrides": None,
    }


async def test_a_bare_array_is_paged_by_a_cursor_made_of_the_last_creation_time(
    client: Client, organization: Organization
) -> None:
    names = [f"campaign {number}" for number in range(7)]
    for name in names:
        organization.add_campaign(name, always(organization))
    pages, query = [], "limit=3"
    while True:
        _, page = await client.get(f"/campaign/campaigns?{query}")
        pages.append([item["name"] for item in page])
        if len(page) < 3:
            break
        cursor = base64.b64encode(page[-1]["created_at"].encode()).decode()
        query = f"limit=3&cursor={quote(cursor, safe='')}"

    assert pages == [names[6:3:-1], names[3:0:-1], names[:1]]


async def test_an_envelope_names_the_next_cursor_until_the_last_page(
    client: Client, organization: Organization
) -> None:
    organization.listing = "envelope"
    for number in range(5):
        organization.add_campaign(f"{number}", always(organization))
    seen, query = [], "limit=2"
    while query:
        _, page = await client.get(f"/campaign/campaigns?{query}")
        seen += [item["name"] for item in page["campaigns"]]
        query = f"limit=2&cursor={quote(page['next_cursor'], safe='')}" if page["next_cursor"] else ""

    assert seen == ["4", "3", "2", "1", "0"]


async def test_the_listing_is_filtered_by_name_and_by_any_of_several_statuses(
    client: Client, organization: Organization
) -> None:
    june, july, may, april = (
        organization.add_campaign(name, always(organization))
        for name in ("June renewals", "July renewals", "May renewals", "April survey")
    )
    july.pause()
    may.close()

    async def names(query: str) -> set[str]:
        return {item["name"] for item in (await client.get(f"/campaign/campaigns?{query}"))[1]}

    assert await names("") == {june.name, july.name, may.name, april.name}
    assert await names("status=active&status=paused") == {june.name, july.name, april.name}
    assert await names("name=renewals&status=active") == {june.name}
    assert await names("status=finished") == set()


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "limit=x", "cursor=%21%21", "cursor=/w%3D%3D"])
async def test_what_cannot_be_understood_is_refused_with_a_list_of_faults(
    client: Client, organization: Organization, query: str
) -> None:
    status, body = await client.get(f"/campaign/campaigns?{query}")

    assert status == 422
    assert body["detail"][0]["loc"] == ["query", query.partition("=")[0]]


async def test_a_page_is_fifty_long_unless_asked_otherwise(client: Client, organization: Organization) -> None:
    for number in range(60):
        organization.add_campaign(f"{number}", always(organization))

    assert len((await client.get("/campaign/campaigns"))[1]) == 50
    assert len((await client.get("/campaign/campaigns?limit=200"))[1]) == 60


async def test_only_reading_is_allowed(client: Client, organization: Organization) -> None:
    campaign = organization.add_campaign("June", always(organization))
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as session,
        serving(client.world) as servers,
        session.post(f"{servers.anyreach}/campaign/campaigns/{campaign.id}/stats") as response,
    ):
        assert response.status == 405
        assert await response.json() == {"detail": "Method Not Allowed"}


async def test_a_fault_of_a_campaign_wins_over_that_of_its_organization(
    client: Client, organization: Organization
) -> None:
    broken, sound = (organization.add_campaign(name, always(organization)) for name in ("broken", "sound"))
    broken.fault = Fault(status=503, headers={"Retry-After": "7"}, body=b"<html>")
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as session,
        serving(client.world) as servers,
        session.get(f"{servers.anyreach}/campaign/campaigns/{broken.id}/stats") as response,
    ):
        assert (response.status, response.headers["Retry-After"]) == (503, "7")
        assert await response.read() == b"<html>"
    assert (await client.get(f"/campaign/campaigns/{sound.id}/stats"))[0] == 200

    organization.fault = Fault(status=500)
    assert await client.get(f"/campaign/campaigns/{sound.id}/stats") == (500, {"detail": "Simulated fault"})
    organization.fault = None
    assert (await client.get(f"/campaign/campaigns/{sound.id}/stats"))[0] == 200


async def test_a_fault_can_spare_the_first_page(client: Client, organization: Organization) -> None:
    organization.fault = Fault(status=500, path="cursor=")

    assert (await client.get("/campaign/campaigns"))[0] == 200
    assert (await client.get("/campaign/campaigns?cursor=eA%3D%3D"))[0] == 500


async def test_a_fault_hits_its_share_of_the_requests(client: Client, organization: Organization) -> None:
    campaign = organization.add_campaign("June", always(organization))
    campaign.fault = Fault(status=500, share=0.25)
    statuses = [(await client.get(f"/campaign/campaigns/{campaign.id}/stats"))[0] for _ in range(200)]

    assert 30 < statuses.count(500) < 70
    assert statuses.count(200) == 200 - statuses.count(500)


async def test_a_fault_can_close_the_connection_without_an_answer(client: Client, organization: Organization) -> None:
    campaign = organization.add_campaign("June", always(organization))
    campaign.fault = Fault(hang_up=True)

    with pytest.raises(aiohttp.ClientConnectionError):
        await client.get(f"/campaign/campaigns/{campaign.id}/stats")


async def test_a_fault_can_delay_a_true_answer(client: Client, organization: Organization) -> None:
    campaign = organization.add_campaign("June", always(organization))
    campaign.fault = Fault(delay=30)
    async with serving(client.world) as servers, aiohttp.ClientSession() as session:
        with pytest.raises(TimeoutError):
            await session.get(
                f"{servers.anyreach}/campaign/campaigns/{campaign.id}/stats",
                headers={"Authorization": f"Bearer {KEY}"},
                timeout=aiohttp.ClientTimeout(total=0.05),
            )
    campaign.fault = Fault(delay=0.01)

    assert (await client.get(f"/campaign/campaigns/{campaign.id}/stats"))[0] == 200


async def test_moments_are_sent_in_the_time_of_the_reader() -> None:
    world = World(ManualClock(START), speed=60, history=3600)
    organization = world.add_organization()
    world.grant(KEY, organization)
    configuration = organization.add_configuration("Always", Schedule())
    first = organization.add_campaign("first", configuration)
    for number in range(20):
        organization.add_campaign(f"{number}", configuration)
    async with (
        serving(world) as servers,
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as session,
        session.get(f"{servers.anyreach}/campaign/campaigns") as response,
    ):
        listed = [item["created_at"] for item in await response.json()]

    assert first.name == "first"
    assert listed[-1] == "2026-06-01T11:59:00.002Z"
    assert listed == sorted(set(listed), reverse=True)
