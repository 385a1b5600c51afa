"""Every shell block of the documents is run, those of one document in turn, in a clean copy of the checkout."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import yaml

from exporter.simulator import ROUND_THE_CLOCK, ManualClock, Schedule, World, serving
from tests.deploy.blocks import ROOT, Block, written_in
from tests.deploy.stand_in import PROGRAMS
from tests.process import alertmanager, exporter

SCRIPTS: dict[str, list[Block]] = {}
for _block in written_in("sh"):
    SCRIPTS.setdefault(_block.file, []).append(_block)

AS_THEY_ARE = ["bash", "basename", "cat", "cp", "curl", "install", "jq", "rm", "sed", "sh", "uname"]
"""Programs that run as they are. What is neither here nor in PROGRAMS is not found, so that no command goes untried."""
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", "node_modules", "__pycache__", ".*_cache", ".hypothesis", "images", "benchmarks", "data", "browser"
)
SECONDS = 180
PROLOGUE = """\
set -euo pipefail
# Goes before a program of that name, and starts the one that the document has installed, if it has.
campaign-exporter() {
    local found="$(type -P campaign-exporter)"
    [ "$found" = "$STAND_INS/campaign-exporter" ] || export EXPORTER="$found"
    "$STAND_INS/campaign-exporter" "$@"
}
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the repository, with what a reader of any of the documents has there by then."""
    copy = tmp_path / "checkout"
    shutil.copytree(ROOT, copy, ignore=LEFT_OUT, symlinks=True)
    shutil.copy(ROOT / "deploy/alertmanager/alertmanager.yml", copy)
    for folder in (copy, copy / "deploy/systemd"):
        shutil.copy(ROOT / "deploy/osvi.example.yml", folder / "campaign-exporter.yml")
        for token in ("anyreach.token", "osvi.token"):
            (folder / token).write_text("token")
    return copy


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """In place of the root directory, for /etc and /opt."""
    root = tmp_path / "root"
    for folder in ("etc/default", "etc/systemd/system", "opt"):
        (root / folder).mkdir(parents=True)
    return root


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The only folder on the reader's PATH."""
    folder = tmp_path_factory.mktemp("bin")
    for name in AS_THEY_ARE:
        found = shutil.which(name)
        assert found, f"{name} is missing"
        (folder / name).symlink_to(found)
    stand_in = ROOT / "tests/deploy/stand_in.py"
    scripts = {name: f'exec {sys.executable} {stand_in} {name} "$@"' for name in PROGRAMS}
    scripts["python3"] = f'exec {sys.executable} "$@"'
    # What a reader calls whose environment has the wheel; the one of the document wins, where it installs one.
    scripts["installed-exporter"] = f'exec {sys.executable} -m exporter "$@"'
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    return folder


@asynccontextmanager
async def simulated() -> AsyncIterator[str]:
    """An Anyreach account that answers, as JSON for the exporter's variable."""
    world = World(ManualClock(1_780_000_000.0))
    organization = world.add_organization()
    schedule = organization.add_configuration("Round the clock", Schedule("UTC", ROUND_THE_CLOCK))
    organization.add_campaign("June", schedule, external_id="june").add_contacts(10)
    world.grant("ak_one.secret", organization)
    async with serving(world) as servers:
        account = {"name": "acme", "provider": "anyreach", "token": "ak_one.secret", "base_url": servers.anyreach}
        yield json.dumps([{**account, "campaigns": [{"id": "june"}]}])


def script_of(blocks: list[Block]) -> str:
    """One shell session: what a block sets, the later ones have."""
    return "\n".join([PROLOGUE, *(f"echo '--- {block}' >&2\n{block.text}" for block in blocks)])


def files_of(document: str) -> Iterator[tuple[str, str]]:
    """The files that a document shows: YAML whose first line is a comment with the name."""
    for block in written_in("yaml"):
        first, _, content = block.text.partition("\n")
        if block.file == document and first.startswith("# ") and first.endswith((".yaml", ".yml")):
            yield first.removeprefix("# "), content


@pytest.mark.parametrize("document", SCRIPTS)
async def test_every_command_of_a_document_works(
    document: str, checkout: Path, installed: Path, programs: Path, helm: Path, tmp_path: Path
) -> None:
    script = script_of(SCRIPTS[document])
    for folder in ("etc", "opt"):
        script = re.sub(rf"(?<=[\s=])/{folder}/", f"{installed}/{folder}/", script)
    for name, content in files_of(document):
        (checkout / name).write_text(content)
    if "etc/campaign-exporter" in script:
        (installed / "etc/campaign-exporter").mkdir()
        shutil.copy(ROOT / "deploy/osvi.example.yml", installed / "etc/campaign-exporter/campaign-exporter.yml")
    async with AsyncExitStack() as stack:
        if "localhost:10077/api" in script:
            _, address = await stack.enter_async_context(exporter("demo", "--speed=60"))
            script = script.replace("http://localhost:10077/api", f"{address}/api")
        if "localhost:9093" in script:
            routes = yaml.safe_dump({"route": {"receiver": "a"}, "receivers": [{"name": "a"}]})
            address = await stack.enter_async_context(alertmanager(tmp_path, routes))
            script = script.replace("http://localhost:9093", address)
        environ = {
            "PATH": str(programs),
            "HOME": str(tmp_path),
            "MACHINE_PATH": os.environ["PATH"],
            "STAND_INS": str(programs),
            "EXPORTER": str(programs / "installed-exporter"),
            "INSTALLED": str(installed),
            "SIMULATED_ACCOUNTS": await stack.enter_async_context(simulated()),
            "HELM": str(helm),
            "OSVI_TOKEN": "token",
            # No index is asked: what a new environment needs it finds in the one of the tests.
            "PYTHONPATH": sysconfig.get_path("purelib"),
            "PIP_NO_INDEX": "1",
            "PIP_NO_BUILD_ISOLATION": "0",  # pip's spelling of yes
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }
        done = await run_in_bash(script, checkout, environ)
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"


async def run_in_bash(script: str, directory: Path, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    process = await asyncio.create_subprocess_exec(
        "bash",
        *("-c", script),
        cwd=directory,
        env=environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(SECONDS):
        output, errors = await process.communicate()
    assert process.returncode is not None
    return subprocess.CompletedProcess("bash", process.returncode, output.decode(), errors.decode())
