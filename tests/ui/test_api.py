"""The API as it is answered over HTTP, and its description held against it."""

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import jsonschema
import pytest
from yarl import URL

from exporter.campaign.standing import Standing
from exporter.ui import api
from exporter.ui.queries import CampaignQuery, ProblemError, parse
from exporter.ui.rows import CampaignRow
from tests.made_up import OSVI, WALL, WORKING, MadeUp, crowd, serving_frontend

CAMPAIGNS = "/api/v1/campaigns"
DESCRIPTION = "/api/v1/openapi.json"


@asynccontextmanager
async def client(made: MadeUp) -> AsyncIterator[aiohttp.ClientSession]:
    async with serving_frontend(made.overview) as address, aiohttp.ClientSession(address) as session:
        yield session


async def ask(session: aiohttp.ClientSession, path: str = CAMPAIGNS, **asked: str) -> Any:
    async with session.get(path, params=asked, raise_for_status=True) as answer:
        return await answer.json()


def names(answer: Any) -> list[str]:
    return [campaign["campaign"] for campaign in answer["campaigns"]]


class TestQuery:
    def test_without_parameters_everything_is_listed(self) -> None:
        query = parse(CampaignQuery, [])

        assert (query.q, query.provider, query.account, query.state) == ("", None, None, None)
        assert (query.limit, query.after) == (100, "")

    def test_every_parameter_is_read(self) -> None:
        asked = {"q": "june", "provider": "osvi", "account": "a", "state": "stalled", "limit": "1000", "cursor": "YQBi"}
        query = parse(CampaignQuery, asked.items())

        assert (query.q, query.provider, query.account, query.state) == ("june", "osvi", "a", "stalled")
        assert (query.limit, query.after) == (1000, "a\0b")

    @pytest.mark.parametrize(
        ("name", "value", "problem"),
        [
            ("limit", "0", "Input should be greater than or equal to 1"),
            ("limit", "1001", "Input should be less than or equal to 1000"),
            ("limit", "-1", "Input should be a whole number"),
            ("limit", "1e2", "Input should be a whole number"),
            ("limit", "", "Input should be a whole number"),
            ("limit", "٣", "Input should be a whole number"),
            ("limit", "5\n", "Input should be a whole number"),
            ("limit", "1_0", "Input should be a whole number"),
            ("limit", "9" * 5000, "Unable to parse input string as an integer, exceeded maximum size"),
            ("q", "x" * 201, "String should have at most 200 characters"),
            ("q", "a " * 21, "Text should have at most 20 words"),
            ("provider", "", "String should have at least 1 character"),
            ("account", "", "String should have at least 1 character"),
            ("cursor", "", "String should have at least 2 characters"),
            ("cursor", "A" * 1504, "String should have at most 1500 characters"),
            ("page", "2", "Extra inputs are not permitted"),
        ],
    )
    def test_what_cannot_be_understood_is_named(self, name: str, value: str, problem: str) -> None:
        assert problems([(name, value)]) == {name: problem}

    @pytest.mark.parametrize("state", ["Stalled", ""])
    def test_a_state_that_does_not_exist_is_answered_with_those_that_do(self, state: str) -> None:
        found = problems([("state", state)])["state"]

        assert all(f"'{known}'" in found for known in Standing)

    @pytest.mark.parametrize("cursor", ["aaaaa", "YQ==", "YQ\n"])
    def test_only_a_cursor_of_an_earlier_answer_is_one(self, cursor: str) -> None:
        assert problems([("cursor", cursor)])["cursor"].startswith("String should match pattern")

    def test_all_problems_are_reported_together(self) -> None:
        found = problems([("limit", "0"), ("q", "a"), ("q", "b"), ("x", "")])

        assert found.keys() == {"limit", "q", "x"}
        assert found["q"] == "Given more than once"


def problems(asked: list[tuple[str, str]]) -> dict[str, str]:
    with pytest.raises(ProblemError) as caught:
        parse(CampaignQuery, asked)
    return {error.parameter: error.detail for error in caught.value.problem.errors}


class TestAnswer:
    async def test_it_has_every_campaign_with_all_its_numbers(self) -> None:
        made = MadeUp()
        acme = made.account("acme")
        june = acme.says(acme.add("june", labels=(("team", "renewals"),)), **WORKING, name="June <b>\u202e")
        june.failed("timeout", "no answer")
        async with client(made) as session:
            answer = await ask(session)

        assert answer == {
            "campaigns": [
                {
                    "provider": "anyreach",
                    "account": "acme",
                    "campaign": "june",
                    "campaign_id": "june-id",
                    "campaign_name": "June <b>\u202e",
                    "labels": {"team": "renewals"},
                    "state": "dialing",
                    "status": "active",
                    "advice": "Cure `timeout`.",
                    "alert": None,
                    "error": "timeout",
                    "error_message": "no answer",
                    "contacts": {"pending": 310, "in_progress": 8, "completed": 902, "exhausted": 20},
                    "contacts_loaded": 1240,
                    "finished_ratio": pytest.approx(922 / 1240),
                    "attempts": 1730,
                    "active_calls": 8,
                    "account_active_calls": 8,
                    "concurrency_limit": 10,
                    "account_utilization_ratio": None,
                    "calls": None,
                    "calls_made": None,
                    "work_remaining": True,
                    "calling_window_open": {},
                    "calling_windows": None,
                    "dialing_expected": True,
                    "dialing_expected_since_timestamp_seconds": WALL,
                    "last_progress_timestamp_seconds": None,
                    "silent_since_timestamp_seconds": WALL,
                    "last_success_timestamp_seconds": WALL,
                    "poll_interval_seconds": 15,
                    "stale_after_seconds": 60,
                    "stall_after_seconds": 3600,
                }
            ],
            "next_cursor": None,
            "matching": 1,
        }

    async def test_what_is_not_known_is_null_and_never_0(self) -> None:
        made = MadeUp()
        made.account("acme", OSVI).add("7", hours=None)
        async with client(made) as session:
            (campaign,) = (await ask(session))["campaigns"]

        assert {name for name, value in campaign.items() if value is not None} == {
            "provider",
            "account",
            "campaign",
            "campaign_id",
            "labels",
            "state",
            "poll_interval_seconds",
            "stale_after_seconds",
            "stall_after_seconds",
        }

    async def test_pages_hold_every_campaign_once_in_order(self) -> None:
        async with client(crowd(250)) as session:
            pages = [await ask(session)]
            while (cursor := pages[-1]["next_cursor"]) and len(pages) < 5:
                pages.append(await ask(session, cursor=cursor))

        seen = [(campaign["account"], campaign["campaign"]) for page in pages for campaign in page["campaigns"]]
        assert [len(page["campaigns"]) for page in pages] == [100, 100, 50]
        assert seen == sorted(set(seen))
        assert {page["matching"] for page in pages} == {250}

    async def test_a_cursor_is_good_while_campaigns_come_and_go(self) -> None:
        made = crowd(40)
        first_account = made.accounts[0]
        async with client(made) as session:
            first = await ask(session, limit="5")
            first_account.campaigns[:] = [c for c in first_account.campaigns if c.campaign.name != names(first)[-1]]
            first_account.add("aaa-comes-first")
            made.clock.now += 2
            second = await ask(session, limit="5", cursor=first["next_cursor"])

        expected = sorted(c.campaign.name for c in first_account.campaigns)
        assert names(second) == [name for name in expected if name > names(first)[-1]][:5]

    async def test_any_cursor_past_the_end_is_an_empty_page(self) -> None:
        async with client(crowd(4)) as session:
            answer = await ask(session, cursor="____")

        assert answer == {"campaigns": [], "next_cursor": None, "matching": 4}

    async def test_filters_are_those_of_the_page(self) -> None:
        async with client(crowd(200)) as session:
            answer = await ask(session, provider="osvi", account="account-d", state="dialing", q="campaign-0001 ACTIVE")

        assert answer["campaigns"]
        assert {(c["provider"], c["account"], c["state"]) for c in answer["campaigns"]} == {
            ("osvi", "account-d", "dialing")
        }
        assert all(c["campaign"].startswith("campaign-0001") for c in answer["campaigns"])

    async def test_an_unchanged_answer_is_not_sent_again_and_a_changed_one_is(self) -> None:
        made = crowd(4)
        async with client(made) as session:
            async with session.get(CAMPAIGNS) as first:
                tag = {"If-None-Match": f'"other", {first.headers["ETag"]}'}
            made.clock.now += 2
            async with session.get(CAMPAIGNS, headers=tag) as again:
                body = await again.read()
            made.accounts[0].campaigns[0].failed("dns", "")
            made.clock.now += 2
            async with session.get(CAMPAIGNS, headers=tag) as changed:
                pass

        assert (again.status, body, again.headers["ETag"]) == (304, b"", first.headers["ETag"])
        assert changed.status == 200
        assert changed.headers["Cache-Control"] == "no-cache"

    async def test_problems_are_answered_as_json(self) -> None:
        async with client(crowd(1)) as session, session.get(f"{CAMPAIGNS}?limit=0&sort=x") as answer:
            problem = await answer.json(content_type="application/problem+json")

        assert answer.status == 400
        assert (problem["type"], problem["title"], problem["status"]) == ("about:blank", "Bad Request", 400)
        assert [error["parameter"] for error in problem["errors"]] == ["limit", "sort"]

    @pytest.mark.parametrize("path", [CAMPAIGNS, DESCRIPTION])
    async def test_it_is_only_read(self, path: str) -> None:
        async with client(crowd(1)) as session, session.post(path) as answer:
            assert (answer.status, answer.headers["Allow"]) == (405, "GET,HEAD")


class TestOneCampaign:
    async def test_it_is_the_one_of_the_list_with_more_numbers(self) -> None:
        async with client(crowd(8)) as session:
            for listed in (await ask(session))["campaigns"]:
                one = await ask(session, f"{CAMPAIGNS}/{listed['provider']}/{listed['account']}/{listed['campaign']}")

                assert listed.items() <= one.items()
                assert one["observed_seconds"] == 0

    async def test_any_name_can_be_asked_for(self) -> None:
        made = MadeUp()
        names = ("crm:june/renewals", "50% ü?#", 'a"b')
        account = made.account("ac/me")
        for name in names:
            account.says(account.add(name), **WORKING)
        async with client(made) as session:
            for name in names:
                url = URL(f"{CAMPAIGNS}/anyreach/ac%2Fme/{quote(name, safe='')}", encoded=True)
                async with session.get(url, raise_for_status=True) as answer:
                    assert (await answer.json())["campaign"] == name

    @pytest.mark.parametrize(
        "path", ["anyreach/account-a/nothing", "anyreach/nothing/campaign-00000", "osvi/account-a/campaign-00000"]
    )
    async def test_one_that_there_is_not_is_answered_with_404(self, path: str) -> None:
        async with client(crowd(3)) as session, session.get(f"{CAMPAIGNS}/{path}") as answer:
            problem = await answer.json(content_type="application/problem+json")

        assert (answer.status, problem["status"], problem["title"]) == (404, 404, "Not Found")

    async def test_an_unchanged_one_is_not_sent_again(self) -> None:
        path = f"{CAMPAIGNS}/anyreach/account-a/campaign-00000"
        async with client(crowd(1)) as session:
            async with session.get(path) as first:
                tag = {"If-None-Match": first.headers["ETag"]}
            async with session.get(path, headers=tag) as again:
                assert again.status == 304

    async def test_it_is_as_described(self) -> None:
        async with client(crowd(8)) as session:
            description = await ask(session, DESCRIPTION)
            one = await ask(session, f"{CAMPAIGNS}/osvi/account-d/campaign-00003")

        schema = {"$ref": "#/components/schemas/CampaignDetails", "components": description["components"]}
        jsonschema.Draft202012Validator(schema).validate(one)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.Draft202012Validator(schema).validate({**one, "surprise": 1})


class TestDescription:
    async def test_every_field_of_a_row_is_described(self) -> None:
        async with client(crowd(1)) as session:
            description = await ask(session, DESCRIPTION)

        described = description["components"]["schemas"]["CampaignRow"]["properties"]
        assert list(described) == [field.name for field in fields(CampaignRow)]
        assert all(re.match(r".{10}.*\.$", field["description"], re.DOTALL) for field in described.values())
        assert all(
            f"`{state}`" in description["components"]["schemas"]["Standing"]["description"] for state in Standing
        )
        assert (description["openapi"], description["info"]["version"]) == ("3.1.0", "1.2.3<")

    async def test_answers_are_as_described(self) -> None:
        async with client(crowd(50)) as session:
            description = await ask(session, DESCRIPTION)
            answer = await ask(session)

        schema = {"$ref": "#/components/schemas/Campaigns", "components": description["components"]}
        jsonschema.Draft202012Validator(schema).validate(answer)
        first = answer["campaigns"][0]
        for other in ({**first, "surprise": 1}, {name: first[name] for name in first if name != "advice"}):
            with pytest.raises(jsonschema.ValidationError):
                jsonschema.Draft202012Validator(schema).validate({**answer, "campaigns": [other]})

    def test_every_parameter_is_described(self) -> None:
        operation = json.loads(api.describe("1"))["paths"][CAMPAIGNS]["get"]
        described = [parameter["name"] for parameter in operation["parameters"]]

        assert described == ["q", "provider", "account", "state", "limit", "cursor", "If-None-Match"]

    async def test_schemathesis_finds_no_fault(self, tmp_path: Path) -> None:
        async with serving_frontend(crowd(30).overview) as address:
            process = await asyncio.create_subprocess_exec(
                Path(sys.executable).with_name("schemathesis"),
                "run",
                f"{address}{DESCRIPTION}",
                "--phases=coverage,fuzzing",
                "--mode=all",
                "--max-examples=40",
                "--generation-deterministic",
                "--no-color",
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                cwd=tmp_path,
            )
            output, _ = await process.communicate()

        assert process.returncode == 0, output.decode()
        tested = re.search(r"(\d+) generated, (\d+) passed", output.decode())
        assert tested is not None
        assert int(tested[1]) == int(tested[2]) > 80
