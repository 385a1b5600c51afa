"""Every query of the documents, asked of a real Prometheus that scrapes the demo and evaluates the shipped rules."""

import contextlib
import json
import re
from pathlib import Path

import aiohttp

from deploy.prometheus.scale import scaled
from tests.deploy.blocks import ROOT, Block, written_in
from tests.process import exporter, prometheus, until

SPEED = 300
"""How many times faster the rules are: what they compare with an hour ago is there after twelve seconds."""

NEED_MINUTES = ("campaign_account_utilization_ratio", "account:utilization:ratio", "campaign_call_duration_seconds")
"""The use of a limit needs five minutes of polls, and calls are counted from the second reading of attempts on."""
NEED_A_FAULT = (
    'alertname="CampaignStalled"',  # a stall takes a minute in the demo
    'campaign_exporter_web_config_last_reload_successful{job="campaign-exporter"} == 0',
)
"""Parts of queries that are empty where all is well."""


def asked(block: Block) -> str:
    """The query, with the placeholders of a runbook standing for any account and campaign."""
    return block.text.replace('="ACCOUNT"', '=~".+"').replace('="CAMPAIGN"', '=~".+"')


def configuration(directory: Path, address: str) -> str:
    rules = directory / "rules.yml"
    shipped = (ROOT / "deploy/prometheus/rules/campaign-exporter.rules.yml").read_text(encoding="utf-8")
    # A range that holds less than two scrapes would be empty.
    rules.write_text(re.sub(r"\[\d+ms\]", "[5s]", scaled(shipped, SPEED)), encoding="utf-8")
    target = {"targets": [address.removeprefix("http://")]}
    return json.dumps(
        {
            "global": {"scrape_interval": "500ms", "evaluation_interval": "500ms"},
            "rule_files": [str(rules)],
            "scrape_configs": [{"job_name": "campaign-exporter", "static_configs": [target]}],
        }
    )


async def faults(server: str, blocks: list[Block]) -> list[str]:
    """The queries that Prometheus refuses, and those without any series that should have one."""
    found = []
    async with aiohttp.ClientSession() as session:
        for block in blocks:
            async with session.post(f"{server}/api/v1/query", data={"query": asked(block)}) as response:
                answer = await response.json()
            if answer["status"] != "success":
                found.append(f"{block}: {answer['error']}")
            elif not answer["data"]["result"] and not any(
                part in block.text for part in (*NEED_MINUTES, *NEED_A_FAULT)
            ):
                found.append(f"{block}: no series: {block.text}")
    return found


async def test_every_query_is_answered_with_series(tmp_path: Path) -> None:
    queries = written_in("promql")
    assert len(queries) > 90
    last: list[str] = []
    async with (
        exporter("demo", "--speed=60", "--poll.active-interval=1s", "--poll.idle-interval=1s") as (_, address),
        prometheus(tmp_path, configuration(tmp_path, address)) as server,
    ):

        async def all_answered() -> bool:
            last[:] = await faults(server, queries)
            return not last

        with contextlib.suppress(TimeoutError):
            await until(all_answered, patience=60)
    assert last == []
