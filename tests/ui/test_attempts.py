"""The newest attempts of a campaign, on its page and in the JSON interface."""

from typing import Any

import aiohttp
import pytest

from exporter.campaign.attempts import Attempt, AttemptsState
from tests.made_up import WALL, WORKING, MadeUp, serving_frontend

DONE = Attempt(
    id="a1",
    status="completed",
    started_at=WALL - 120,
    ended_at=WALL - 60,
    seconds=60.0,
    conversation_id="c/1 <b>",
    verdicts={"qa.greeting": "true", "qa.consent": "false"},
)
OPEN = Attempt(id="a2", status="in_progress", started_at=WALL - 5)
PATH = "anyreach/acme/june"


def june(*newest: Attempt, conversation_url: str = "", reads: bool = True) -> MadeUp:
    made = MadeUp()
    acme = made.account("acme")
    acme.conversation_url = conversation_url if reads else None
    campaign = acme.says(acme.add("june"), **WORKING)
    if newest:
        campaign.attempts = AttemptsState(campaign.budget, newest=newest)
    return made


async def get(made: MadeUp, path: str) -> tuple[int, Any]:
    made.clock.now += 1
    async with (
        serving_frontend(made.overview) as address,
        aiohttp.ClientSession(address) as session,
        session.get(path) as answer,
    ):
        return answer.status, await (answer.json(content_type=None) if "/api/" in path else answer.text())


async def attempts(made: MadeUp, query: str = "") -> Any:
    status, body = await get(made, f"/api/v1/campaigns/{PATH}/attempts{query}")
    assert status == 200
    return body["attempts"]


async def test_the_answer_has_all_that_is_known_of_an_attempt() -> None:
    made = june(OPEN, DONE, conversation_url="https://example.com/x/{conversation_id}")

    assert (await attempts(made))[1] == {
        "attempt_id": "a1",
        "status": "completed",
        "started_at_timestamp_seconds": WALL - 120,
        "ended_at_timestamp_seconds": WALL - 60,
        "duration_seconds": 60.0,
        "conversation_id": "c/1 <b>",
        "conversation_url": "https://example.com/x/c%2F1%20%3Cb%3E",
        "verdicts": {"qa.greeting": "true", "qa.consent": "false"},
        "tag": None,
        "end_reason": None,
    }


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["a2", "a1"]),
        ("?status=completed", ["a1"]),
        ("?criterion=qa.greeting", ["a1"]),
        ("?criterion=qa.other", []),
        ("?outcome=false", ["a1"]),
        ("?criterion=qa.greeting&outcome=false", []),
        ("?limit=1", ["a2"]),
    ],
)
async def test_a_query_filters_the_attempts(query: str, found: list[str]) -> None:
    assert [attempt["attempt_id"] for attempt in await attempts(june(OPEN, DONE), query)] == found


@pytest.mark.parametrize(
    "query", ["?limit=0", "?limit=201", "?limit=1_0", "?outcome=maybe", "?x=1", "?limit=1&limit=2"]
)
async def test_a_query_that_is_none_is_refused(query: str) -> None:
    status, problem = await get(june(DONE), f"/api/v1/campaigns/{PATH}/attempts{query}")

    assert (status, problem["title"]) == (400, "Bad Request")


@pytest.mark.parametrize(("path", "reads"), [("anyreach/acme/may", True), (PATH, False)])
async def test_without_campaign_or_readings_there_is_no_list(path: str, reads: bool) -> None:
    status, problem = await get(june(reads=reads), f"/api/v1/campaigns/{path}/attempts")

    assert (status, problem["title"]) == (404, "Not Found")


async def test_the_page_links_to_the_conversation() -> None:
    _, page = await get(june(DONE, conversation_url="https://example.com/{conversation_id}"), f"/campaigns/{PATH}")

    assert '<a href="https://example.com/c%2F1%20%3Cb%3E" rel="noreferrer"><bdi>c/1 &lt;b&gt;</bdi></a>' in page
    assert "<bdi>qa.consent</bdi>: false" in page


async def test_without_an_address_the_page_shows_the_id_alone() -> None:
    _, page = await get(june(DONE), f"/campaigns/{PATH}")

    assert "<bdi>c/1 &lt;b&gt;</bdi>" in page
    assert "noreferrer" not in page.split("Newest attempts")[1]


@pytest.mark.parametrize(("reads", "text"), [(True, "No attempt has been read yet."), (False, None)])
async def test_a_page_without_attempts_says_so_where_they_are_read(reads: bool, text: str | None) -> None:
    _, page = await get(june(reads=reads), f"/campaigns/{PATH}")

    assert ("Newest attempts" in page) is reads
    assert text is None or text in page


async def test_another_attempt_gives_the_page_another_tag() -> None:
    made = june(DONE)
    tags = []
    for newest in ((DONE,), (DONE,), (OPEN, DONE)):
        made.clock.now += 1
        campaign = made.accounts[0].campaigns[0]
        campaign.attempts = AttemptsState(campaign.budget, newest=newest)
        async with (
            serving_frontend(made.overview) as address,
            aiohttp.ClientSession(address) as session,
            session.get(f"/campaigns/{PATH}") as answer,
        ):
            tags.append(answer.headers["ETag"])

    assert tags[0] == tags[1] != tags[2]
