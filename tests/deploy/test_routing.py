"""The guide to routing: its configuration in the exporter, its routes and silences in Alertmanager."""

import json
import re
import shlex
import subprocess
from argparse import Namespace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from exporter.config.sources import load
from tests.process import alertmanager, output_of, text, until

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/routing.md").read_text(encoding="utf-8")
EXAMPLES: list[dict[str, Any]] = [
    yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
]
OF_EXPORTER = [one for one in EXAMPLES if "accounts" in one]
OF_ALERTMANAGER = [one for one in EXAMPLES if "route" in one]
COMMANDS = [
    shlex.split(block.replace("\\\n", " "))
    for block in re.findall(r"^```sh\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
]


def receiver_of(config: Path, *labels: str) -> str:
    command = ["amtool", "config", "routes", "test", f"--config.file={config}", *labels]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("number", range(len(OF_EXPORTER)))
def test_the_exporter_takes_its_part_of_the_guide(tmp_path: Path, number: int) -> None:
    (tmp_path / "anyreach").write_text("ak_token")
    content = yaml.safe_dump(OF_EXPORTER[number]).replace("/run/secrets", str(tmp_path))

    settings = load(Namespace(), environ={"OSVI_TOKEN": "token"}, base=yaml.safe_load(content))

    assert len(settings.accounts) == 1


@pytest.mark.parametrize("number", range(len(OF_ALERTMANAGER)))
def test_alertmanager_takes_its_part_of_the_guide(tmp_path: Path, number: int) -> None:
    config = tmp_path / "alertmanager.yml"
    config.write_text(yaml.safe_dump(OF_ALERTMANAGER[number]))

    done = subprocess.run(["amtool", "check-config", config], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        (["severity=critical", "team=renewals"], "renewals-page"),
        (["severity=warning", "team=renewals"], "renewals-chat"),
        (["severity=info", "team=renewals"], "digest"),
        (["severity=critical", "team=growth"], "page"),
        (["severity=critical"], "page"),
        (["severity=warning"], "chat"),
    ],
)
def test_a_team_gets_its_own_alerts(tmp_path: Path, labels: list[str], receiver: str) -> None:
    config = tmp_path / "alertmanager.yml"
    config.write_text(yaml.safe_dump(OF_ALERTMANAGER[0]))

    assert receiver_of(config, "alertname=CampaignStalled", *labels) == receiver


def test_the_command_that_tries_a_route_works(tmp_path: Path) -> None:
    (tmp_path / "alertmanager.yml").write_text(yaml.safe_dump(OF_ALERTMANAGER[0]))
    done = subprocess.run(COMMANDS[0], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.stdout.strip() == "renewals-page"


async def test_the_silence_holds_one_campaign_and_no_other(tmp_path: Path) -> None:
    begin, end = datetime.now(UTC), datetime.now(UTC) + timedelta(hours=1)
    alerts = [
        {
            "labels": {"alertname": "CampaignStalled", "account": "acme-us", "campaign": name},
            "startsAt": begin.isoformat(),
            "endsAt": end.isoformat(),
        }
        for name in ("june-renewals", "winback")
    ]
    async with alertmanager(tmp_path, yaml.safe_dump(OF_ALERTMANAGER[0])) as address:
        done = await output_of(*(word.replace("http://localhost:9093", address) for word in COMMANDS[1]))
        assert done.status == 0, done.errors
        async with aiohttp.ClientSession(raise_for_status=True) as session:
            await session.post(f"{address}/api/v2/alerts", json=alerts)

        async def states() -> dict[str, str]:
            found = json.loads(await text(f"{address}/api/v2/alerts"))
            states = {one["labels"]["campaign"]: one["status"]["state"] for one in found}
            return states if len(states) == 2 and "unprocessed" not in states.values() else {}

        assert await until(states) == {"june-renewals": "suppressed", "winback": "active"}
