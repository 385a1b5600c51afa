import ast
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from yarl import URL

import exporter.simulator
from exporter.config.model import Settings
from exporter.simulator import ManualClock, Scenario, Servers, SimulatedClock, demo, is_open, serving
from exporter.simulator.scenario import BUSINESS_HOURS, timezone_where

START = 1_780_315_200.0  # Monday, 2026-06-01 12:00 UTC
HOUR = 3600.0
ANYWHERE = Servers("http://127.0.0.1:1", "http://127.0.0.1:2")


class Watcher:
    """Asks for every campaign of a scenario, as its configuration says."""

    def __init__(self, scenario: Scenario, servers: Servers, session: aiohttp.ClientSession) -> None:
        self._accounts = scenario.configuration(servers)["accounts"]
        self._session = session

    async def look(self) -> dict[tuple[str, str], tuple[int, Any]]:
        """Return status and body by account and campaign."""
        answers = {}
        for account in self._accounts:
            headers = {"API-Token": account["token"]}
            if account["provider"] == "anyreach":
                headers = {"Authorization": f"Bearer {account['token']}"}
            if "organization" in account:
                headers["X-Anyreach-Org"] = account["organization"]
            campaigns = account.get("campaigns")
            if campaigns is None:
                _, page = await self._get(account, "/campaign/campaigns", headers)
                campaigns = page["campaigns"]
            for campaign in campaigns:
                key = quote(str(campaign["id"]), safe="")
                path = f"/v1/campaigns/{key}/status"
                if account["provider"] == "anyreach":
                    path = f"/campaign/campaigns/{key}/stats"
                name = account["name"], campaign.get("name", campaign["id"])
                answers[name] = await self._get(account, path, headers)
        return answers

    async def _get(self, account: dict[str, Any], path: str, headers: dict[str, str]) -> tuple[int, Any]:
        url = URL(account["base_url"] + path, encoded=True)
        async with self._session.get(url, headers=headers) as response:
            return response.status, await response.json()


@pytest.fixture
async def answers() -> AsyncIterator[dict[tuple[str, str], tuple[int, Any]]]:
    scenario = demo(ManualClock(START), seed=1)
    async with serving(scenario.world) as servers, aiohttp.ClientSession() as session:
        yield await Watcher(scenario, servers, session).look()


def anyreach_state(stats: dict[str, Any]) -> str:
    contacts = stats["contacts"]
    if stats["status"] != "active" or not contacts["total"]:
        return f"{stats['status']}{'' if contacts['total'] else ', empty'}"
    if contacts["in_progress"]:
        return "saturated" if stats["concurrency_limit"] == 5 else "calling"
    return "waiting" if contacts["pending"] else "drained"


async def test_the_demo_shows_anyreach_campaigns_in_every_state(
    answers: dict[tuple[str, str], tuple[int, Any]],
) -> None:
    states = {
        name: anyreach_state(answer) if status == 200 else status
        for (account, name), (status, answer) in answers.items()
        if account in ("acme-us", "northwind-energy", "globex-collections")
    }

    assert states == {
        "june-policy-renewals": "calling",
        "welcome-calls": "drained",
        "claims-satisfaction-survey": "paused",
        "may-policy-renewals": "closed",
        "storm-season-outreach": "waiting",
        "autumn-enrollment": "active, empty",
        "appointment-reminders": "calling",
        "evening-callbacks": "waiting",
        "loyalty-upgrade": "waiting",
        "Tariff change notices": "saturated",
        "Meter reading requests": "saturated",
        "payment-reminders": 401,
        "invoice-follow-up": 401,
    }


async def test_the_demo_shows_osvi_campaigns_in_every_state(answers: dict[tuple[str, str], tuple[int, Any]]) -> None:
    states = {}
    for (account, name), (status, answer) in answers.items():
        if account in ("acme-in", "contoso-helpline"):
            assert status == 200
            data = answer["data"]
            queues = [queue["completed"] for upload in data["uploads"] for queue in upload["queues"]]
            states[name] = (
                data["campaign"]["status"],
                "calling" if data["calls"]["by_status"].get("in_progress") else "silent",
                ("no queues" if not queues else "completed" if all(queues) else "open"),
            )

    assert states == {
        "june-renewals": ("active", "calling", "open"),
        "kyc-reminders": ("active", "silent", "completed"),
        "festive-offers": ("inactive", "silent", "open"),
        "loan-offers": ("active", "silent", "open"),
        "premium-due-reminders": ("active", "silent", "open"),
        "missed-payment-follow-up": ("active", "silent", "no queues"),
        "number-change-notices": ("active", "calling", "open"),
        "claims-helpline": ("active", "calling", "no queues"),
    }


async def test_the_demo_has_a_server_that_fails_at_times_and_a_deleted_campaign() -> None:
    scenario = demo(ManualClock(START), seed=1)
    statuses: dict[str, set[int]] = {}
    async with serving(scenario.world) as servers, aiohttp.ClientSession() as session:
        watcher = Watcher(scenario, servers, session)
        for _ in range(20):
            for (account, name), (status, _) in (await watcher.look()).items():
                if account == "initech-support":
                    statuses.setdefault(name, set()).add(status)

    assert statuses == {
        "printer-service-checkup": {200, 500},
        "old-leads-revival": {200, 500},
        "spring-clearance": {404},
    }


async def test_the_demo_goes_on_for_days() -> None:
    clock = ManualClock(START)
    scenario = demo(clock, seed=1)
    async with serving(scenario.world) as servers, aiohttp.ClientSession() as session:
        watcher = Watcher(scenario, servers, session)
        before = await watcher.look()
        clock.advance(72 * HOUR)
        after = await watcher.look()

    for name in ("june-policy-renewals", "appointment-reminders", "evening-callbacks"):
        earlier, later = (look["acme-us", name][1]["attempts"]["total"] for look in (before, after))
        assert later > earlier + 500
    for name in ("june-renewals", "premium-due-reminders", "number-change-notices"):
        earlier, later = (look["acme-in", name][1]["data"]["calls"]["total"] for look in (before, after))
        assert later > earlier + 500
    assert after["acme-us", "storm-season-outreach"] == before["acme-us", "storm-season-outreach"]
    assert after["northwind-energy", "Tariff change notices"][1]["contacts"]["pending"] > 1000


@pytest.mark.parametrize("speed", [1.0, 60.0, 3600.0])
def test_the_exporter_accepts_the_configuration_of_the_demo(speed: float) -> None:
    scenario = demo(SimulatedClock(speed, start=START))
    settings = Settings.model_validate(scenario.configuration(ANYWHERE))

    assert {account.provider for account in settings.accounts} == {"anyreach", "osvi"}
    stall_after = {account.name: account.stall_after for account in settings.accounts}
    assert stall_after["acme-us"] == max(60, 1800 / speed)
    assert stall_after["contoso-helpline"] == "never"
    requests_a_second = max(len(account.campaigns) for account in settings.accounts) / settings.poll.active_interval
    assert requests_a_second < min(account.max_requests_per_second for account in settings.accounts)


def test_at_any_time_some_timezone_is_in_business_hours_and_some_is_not() -> None:
    for quarter in range(366 * 96):
        now = START + quarter * HOUR / 4

        assert is_open(BUSINESS_HOURS, timezone_where(now, opened=True), now)
        assert not is_open(BUSINESS_HOURS, timezone_where(now, opened=False), now)


def test_the_demo_of_one_seed_is_always_the_same() -> None:
    def numbers(seed: int) -> list[tuple[str, int]]:
        scenario = demo(ManualClock(START), seed=seed)
        return [
            (campaign.id, campaign.attempts_made)
            for organization in scenario.world.organizations
            for campaign in organization.campaigns.values()
        ]

    assert numbers(3) == numbers(3)
    assert numbers(3) != numbers(4)


def test_the_simulator_knows_nothing_of_the_exporter() -> None:
    for path in Path(exporter.simulator.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0
                names = [node.module or ""]
            for name in names:
                assert not name.startswith("exporter") or name.startswith("exporter.simulator."), f"{path}: {name}"
