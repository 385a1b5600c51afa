"""Every other block of the documents, read by the program that it is for; and none that no test knows."""

import asyncio
import json
import re
import socket
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from exporter.config.sources import load
from exporter.providers.osvi import read_status
from tests.deploy.blocks import BLOCKS, ROOT, Block, written_in
from tests.deploy.charts import Render
from tests.process import answers, exporter, running, text, until
from tests.test_documents import exported
from tests.test_layout import MAY_IMPORT

RUN_ELSEWHERE = {"sh", "promql"}
"""Languages with a test of their own: test_document_commands.py and test_document_queries.py."""


def checked(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


class Readers:
    """What reads a block of YAML, by a key that only its kind has at the top."""

    def __init__(self, directory: Path, render: Render) -> None:
        self._directory = directory
        self._render = render

    def accounts(self, content: dict[str, Any]) -> None:
        there = self._directory / "token"
        there.write_text("ak_token")
        base = json.loads(re.sub(r'"/run/(?:secrets|credentials)/[^"]*"', json.dumps(str(there)), json.dumps(content)))
        load(Namespace(), environ={"OSVI_TOKEN": "token"}, base=base)

    def scrape_configs(self, content: dict[str, Any]) -> None:
        content = {**content, "rule_files": [str(ROOT / "deploy/prometheus/rules/campaign-exporter.rules.yml")]}
        for job in content["scrape_configs"]:
            for section in ("tls_config", "basic_auth"):
                for key in job.get(section, {}):
                    if key.endswith("_file"):
                        job[section][key] = str(self._written("", "file"))
        checked(
            "promtool", "check", "config", "--syntax-only", self._written(yaml.safe_dump(content), "prometheus.yml")
        )

    def groups(self, content: dict[str, Any]) -> None:
        checked("promtool", "check", "rules", self._written(yaml.safe_dump(content), "rules.yml"))

    def route(self, content: dict[str, Any]) -> None:
        checked("amtool", "check-config", self._written(yaml.safe_dump(content), "alertmanager.yml"))

    def image(self, content: dict[str, Any]) -> None:
        assert self._render(content)

    podSecurityContext = image  # noqa: N815 -- the key of the chart's values

    def modules(self, content: dict[str, Any]) -> None:
        """
        A module of json_exporter, which no package index has: its paths lead to numbers of the provider's answer.

        Its keys: https://github.com/prometheus-community/json_exporter/blob/master/config/config.go
        """
        answer = json.loads((ROOT / "tests/data/anyreach/stats_documented/200.json").read_text())
        (module,) = content["modules"].values()
        assert set(module) <= {"headers", "metrics", "http_client_config", "body", "valid_status_codes"}
        for metric in module["metrics"]:
            assert set(metric) <= {"name", "type", "path", "help", "labels", "values"}
            found = _at(answer, metric["path"])
            for path in metric.get("values", {}).values():
                assert isinstance(_at(found, path), int)
            assert "values" in metric or isinstance(found, int)

    def _written(self, content: str, name: str) -> Path:
        file = self._directory / name
        file.write_text(content, encoding="utf-8")
        return file


def _at(answer: Any, path: str) -> Any:
    """The value at a JSONPath of names alone, as `{ .contacts.total }`."""
    for name in path.strip("{ }").split(".")[1:]:
        answer = answer[name]
    return answer


@pytest.mark.parametrize("block", written_in("yaml"), ids=str)
def test_yaml_is_taken_by_the_program_that_it_is_for(block: Block, tmp_path: Path, render: Render) -> None:
    content = yaml.safe_load(block.text)
    readers = Readers(tmp_path, render)
    known: list[Callable[[dict[str, Any]], None]] = [
        reader for key in content if (reader := getattr(readers, key, None)) is not None
    ]

    assert len(known) == 1, f"no test knows a block with the keys {list(content)}"
    known[0](content)


async def test_the_program_of_the_guide_answers_for_a_campaign_that_stalls(tmp_path: Path) -> None:
    (program,) = written_in("python")
    (configuration,) = [block for block in written_in("yaml") if block.file == program.file]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    assert program.text.count("8080") == configuration.text.count("8080") == 1
    file = tmp_path / "campaign-exporter.yml"
    # The minute of the guide would be one of the test.
    file.write_text(configuration.text.replace("8080", port).replace("60s", "1s"), encoding="utf-8")
    async with running(sys.executable, "-c", program.text.replace("8080", port)):
        await until(lambda: is_open(int(port)))
        async with exporter("--config.file", file, "--poll.active-interval=1s") as (_, address):

            async def stalled() -> bool:
                page = await text(f"{address}/metrics")
                return 'campaign="june-renewals",provider="anyreach",state="stalled"} 1' in page

            await until(stalled)


async def is_open(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


def samples_of(block: Block) -> list[str]:
    return [line for line in block.text.splitlines() if line.startswith("campaign_")]


def test_the_answer_of_osvi_in_the_guide_is_read_whole() -> None:
    _, answer = written_in("json")

    snapshot = read_status(json.loads(answer.text))

    assert (snapshot.status, snapshot.calls_made, snapshot.work_remaining) == ("active", 120, True)
    assert (snapshot.retry_enabled, snapshot.retry_delay_seconds) == (1, 1800)
    assert snapshot.queued_contacts == {("agent_x", "open"): 50, ("agent_x", "completed"): 0}
    assert snapshot.created_timestamp_seconds is not None


async def test_the_answer_of_the_guide_becomes_the_lines_of_the_guide(tmp_path: Path) -> None:
    answer, _ = written_in("json")
    lines = [line for block in written_in("text") if block.file == answer.file for line in samples_of(block)]
    body = json.loads(answer.text)

    async def answered(request: web.Request) -> web.Response:
        return web.json_response(body)

    application = web.Application()
    application.router.add_get(f"/campaign/campaigns/{body['campaign_id']}/stats", answered)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        account = {
            **{"name": "acme-us", "provider": "anyreach", "token": "ak_a.b", "calling_windows": "unknown"},
            "base_url": f"http://127.0.0.1:{runner.addresses[0][1]}",
            "campaigns": [{"id": body["campaign_id"], "name": "june-renewals"}],
        }
        (tmp_path / "campaign-exporter.yml").write_text(json.dumps({"accounts": [account]}))
        async with exporter("--config.file", tmp_path / "campaign-exporter.yml") as (_, address):
            await until(lambda: answers(f"{address}/-/ready"))
            page = (await text(f"{address}/metrics")).splitlines()
    finally:
        await runner.cleanup()

    assert len(lines) > 3
    assert [line for line in lines if line not in page] == []


@pytest.mark.parametrize(
    "line",
    [line for block in written_in("text") for line in samples_of(block)],
    ids=lambda line: line.partition("{")[0],
)
def test_a_sample_has_the_labels_of_its_metric(line: str) -> None:
    name, labels = re.fullmatch(r"(\w+)\{(.*)\} [\d.]+", line).groups()  # type: ignore[union-attr]

    assert set(re.findall(r"(\w+)=", labels)) - {"team"} == exported()[name]


def import_order(block: Block) -> None:
    """The order of imports in CONTRIBUTING.md."""
    at = {name: place for place, part in enumerate(block.text.split("->")) for name in re.findall(r"\w+", part)}
    for package, imported in MAY_IMPORT.items():
        assert all(at[one] < at[package] for one in imported), package


def log_lines(block: Block) -> None:
    """Compared with the log of a real end in tests/test_signals.py; here by their messages and fields."""
    source = (ROOT / "exporter/daemon.py").read_text(encoding="utf-8")
    for line in block.text.splitlines():
        for name in re.findall(r"(\w+)=", line)[3:]:
            assert f'"{name}"' in source, name


def diagram(block: Block) -> None:
    """Arrows between words: nothing in it can be run."""


TEXTS: dict[str, Callable[[Block], None]] = {
    "campaign -> config": import_order,
    "level=info": log_lines,
    "provider <- GET": diagram,
    "campaign_": lambda block: None,  # samples, compared above
}
"""What looks at a block of text, by its beginning."""


@pytest.mark.parametrize("block", written_in("text"), ids=str)
def test_text_is_what_it_shows(block: Block) -> None:
    known = [reader for beginning, reader in TEXTS.items() if block.text.startswith(beginning)]

    assert known, f"no test knows this block: {block.text}"
    known[0](block)


def test_there_is_no_block_in_a_language_that_no_test_knows() -> None:
    known = RUN_ELSEWHERE | {"yaml", "json", "text", "python"}

    assert {str(block): block.language for block in BLOCKS if block.language not in known} == {}


def properties(value: Any) -> set[str]:
    """The names of all properties in a description."""
    if isinstance(value, list):
        return set().union(*map(properties, value))
    if not isinstance(value, dict):
        return set()
    return set(value.get("properties", ())) | set().union(*map(properties, value.values()))


async def test_json_is_asked_only_for_keys_that_are_described() -> None:
    # jq gives null for a key that is not there.
    async with exporter("demo") as (_, address):
        known = properties(json.loads(await text(f"{address}/api/v1/openapi.json")))
    for block in written_in("sh"):
        if block.file == "docs/json.md":
            (program,) = re.findall(r"jq (?:-r )?'(.*)'", block.text)
            asked = set(re.findall(r"\.([a-z_]+)", program)) | set(re.findall(r"(?<=[{ ])([a-z_]+)(?=[,}])", program))
            assert asked - known - {"length"} == set(), block
