"""Single attempts: nobody's data leaves the process, and a bucket leads to its conversation."""

import asyncio
import json
from pathlib import Path

import aiohttp

from exporter.exposition.negotiation import Format
from exporter.simulator import ROUND_THE_CLOCK, CallPattern, Schedule, SimulatedClock, World, serving
from tests.exporting import EPOCH, anyreach_account, exporting
from tests.process import exporter, prometheus, text, until
from tests.providers import loopback
from tests.virtual_time import VirtualTimeLoop

TOKEN, OSVI_TOKEN = "ak_test.secret", "osvi-secret"
# What the simulated providers send about the people who are called, and about who calls them.
PERSONAL = ("+1555", "Jordan", "policy_number", "P-0000", "crm-", "+9199", "+9180", "Meera")


def world_with_calls() -> World:
    """Both providers, with an hour of calls behind them."""
    world = World(SimulatedClock(), history=3600.0)
    organization = world.add_organization()
    world.grant(TOKEN, organization)
    always = organization.add_configuration("Always", Schedule("UTC", ROUND_THE_CLOCK))
    organization.add_campaign("June", always, external_id="june").add_contacts(30)
    july = world.add_osvi_account(OSVI_TOKEN).add_campaign(7, "July")
    july.add_agent("agent_x")
    july.add_contacts(30, "agent_x")
    world.advance()
    return world


async def test_personal_data_is_in_nothing_that_the_process_writes(tmp_path: Path) -> None:
    async with serving(world_with_calls()) as servers:
        of_both = {"attempts": {"exemplars": True}, "calling_windows": "always"}
        accounts = [
            {
                **{"name": "us", "provider": "anyreach", "token": TOKEN, "base_url": servers.anyreach},
                **{"campaigns": [{"id": "june"}], **of_both},
            },
            {
                **{"name": "in", "provider": "osvi", "token": OSVI_TOKEN, "base_url": servers.osvi},
                **{"campaigns": [{"id": 7, "name": "july"}], **of_both},
            },
        ]
        file = tmp_path / "campaign-exporter.yml"
        file.write_text(json.dumps({"accounts": accounts, "log": {"level": "debug"}}), encoding="utf-8")
        async with exporter("--config.file", file) as (process, address):
            campaigns = ("anyreach/us/june", "osvi/in/july")

            async def were_read() -> bool:
                lists = [await text(f"{address}/api/v1/campaigns/{campaign}/attempts") for campaign in campaigns]
                return all(json.loads(one)["attempts"] for one in lists)

            await until(were_read)
            written = [await text(f"{address}{path}") for path in ("/metrics", "/", "/api/v1/campaigns")]
            for campaign in campaigns:
                written.append(await text(f"{address}/campaigns/{campaign}"))
                written.append(await text(f"{address}/api/v1/campaigns/{campaign}"))
                written.append(await text(f"{address}/api/v1/campaigns/{campaign}/attempts?limit=200"))
            written.append(process.log)

    everything = "\n".join(written)
    assert "Newest attempts" in everything
    assert [personal for personal in PERSONAL if personal in everything] == []


async def openmetrics_after_two_hours() -> str:
    loop = asyncio.get_running_loop()
    world = World(lambda: EPOCH + loop.time())
    organization = world.add_organization()
    world.grant(TOKEN, organization)
    always = organization.add_configuration("Always", Schedule("UTC", ROUND_THE_CLOCK))
    june = organization.add_campaign("June", always, pattern=CallPattern(answer_rate=1.0))
    june.add_contacts(60)
    async with serving(world) as servers:
        account = anyreach_account(servers.anyreach, june.id, attempts={"refresh_interval": "1m", "exemplars": True})
        async with exporting({"accounts": [account]}) as running:
            await asyncio.sleep(7200)
            return b"".join(await running.exporter.exposition.page(Format.OPENMETRICS, False, frozenset())).decode()


def test_a_bucket_leads_to_its_conversation_in_a_real_prometheus(tmp_path: Path) -> None:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        page = runner.run(openmetrics_after_two_hours())

    asyncio.run(asyncio.wait_for(scraped(page, tmp_path), timeout=60))


async def scraped(page: str, directory: Path) -> None:
    kind = f"Content-Type: {Format.OPENMETRICS.value}"
    answer = loopback.http(page, 200, kind)
    async with loopback.serving(answer) as server:
        target = server.url.removeprefix("http://")
        jobs = [{"job_name": "campaign-exporter", "static_configs": [{"targets": [target]}]}]
        configuration = json.dumps({"global": {"scrape_interval": "1s"}, "scrape_configs": jobs})
        async with prometheus(directory, configuration, "--enable-feature=exemplar-storage") as address:
            query = 'campaign_call_duration_seconds_bucket{status="completed"}'
            url = f"{address}/api/v1/query_exemplars?query={query}&start=0&end={EPOCH * 2}"

            async def exemplars() -> list[str]:
                async with aiohttp.ClientSession() as session, session.get(url) as response:
                    data = (await response.json())["data"]
                return [one["labels"]["conversation_id"] for series in data for one in series["exemplars"]]

            async def are_there() -> bool:
                return bool(await exemplars())

            await until(are_there)
            found = await exemplars()

    assert all(f'conversation_id="{conversation}"' in page for conversation in found)
