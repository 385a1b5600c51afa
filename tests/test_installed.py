"""The wheel, installed by itself and run as the systemd units run it."""

import asyncio
import contextlib
import json
import re
import shlex
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from exporter.simulator import ROUND_THE_CLOCK, ManualClock, Schedule, World, serving
from tests.exporting import Page
from tests.process import PATIENCE, Process, answers, output_of, text, until

ROOT = Path(__file__).parent.parent
UNIT = (ROOT / "deploy" / "systemd" / "campaign-exporter.service").read_text(encoding="utf-8")

# As systemd does it: the socket is descriptor 3, and the variables name the process that they are meant for.
HAND_OVER = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", WATCHDOG_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT)
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command in an environment that has the wheel and what it depends on, and not this checkout."""
    folder = tmp_path_factory.mktemp("opt") / "campaign-exporter"
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    python = folder / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-index", "--no-deps", wheel)
    # The dependencies of this environment, as nothing here may need a network. The links of a folder that is named in
    # such a file are not followed, and so not the one to this checkout.
    (packages,) = (folder / "lib").glob("python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return folder / "bin" / "campaign-exporter"


def run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def setting(name: str) -> str:
    """A setting of the unit."""
    (value,) = re.findall(rf"^{name}=(.*)$", UNIT, re.MULTILINE)
    return str(value)


class Supervisor:
    """As much of systemd as a service can tell from systemd itself: its socket, its ears, and its variables."""

    def __init__(self, folder: Path, command: list[str], directory: Path) -> None:
        self._command = command
        self._directory = directory
        self._ears = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._ears.bind(str(folder / "notify"))
        self._ears.setblocking(False)
        self._port = socket.create_server(("127.0.0.1", 0))
        self.heard: list[str] = []
        self.address = f"http://127.0.0.1:{self._port.getsockname()[1]}"

    def close(self) -> None:
        self._ears.close()
        self._port.close()

    @contextlib.asynccontextmanager
    async def service(self) -> AsyncIterator[Process]:
        """Start the service; it is killed if it has not ended by the end of the block."""
        handed = str(self._port.fileno())
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", HAND_OVER, handed, *self._command),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": "/usr/bin:/bin", "NOTIFY_SOCKET": self._ears.getsockname(), "WATCHDOG_USEC": "200000"},
            cwd=self._directory,
            pass_fds=[self._port.fileno()],
        )
        watched = Process(process)
        try:
            yield watched
        finally:
            await watched.kill()

    async def hears(self, word: str) -> str:
        """Wait for the next message that begins with this word."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(PATIENCE):
            while True:
                message = (await loop.sock_recv(self._ears, 4096)).decode()
                self.heard.append(message)
                if message.startswith(word):
                    return message


@pytest.fixture
def unrelated(tmp_path: Path) -> Path:
    folder = tmp_path / "unrelated"
    folder.mkdir()
    return folder


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    """In place of the folder in /etc."""
    folder = tmp_path / "etc"
    (folder / "tokens").mkdir(parents=True)
    return folder


@pytest.fixture
def supervisor(installed: Path, etc: Path, unrelated: Path) -> Iterator[Supervisor]:
    start = setting("ExecStart").replace("/etc/campaign-exporter", str(etc))
    command = shlex.split(start.replace("/opt/campaign-exporter/bin/campaign-exporter", str(installed)))
    assert command[0] == str(installed)
    # The paths of sockets are short by law, those of tmp_path are not.
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.closing(Supervisor(Path(folder), command, unrelated)) as watching,
    ):
        yield watching


class Configuration:
    """The file in /etc, and the account that it watches."""

    def __init__(self, etc: Path, url: str) -> None:
        self._file = etc / "campaign-exporter.yml"
        self._token_file = etc / "tokens" / "anyreach"
        self._url = url

    def write(self, *campaigns: str, **poll: str) -> None:
        account = {
            "name": "acme-us",
            "provider": "anyreach",
            "token_file": str(self._token_file),
            "base_url": self._url,
            "campaigns": [{"id": campaign} for campaign in campaigns],
        }
        whole = {"poll": {"active_interval": "1s", "idle_interval": "1s", **poll}, "accounts": [account]}
        replace(self._file, json.dumps(whole))  # JSON is YAML

    def rotate(self, token: str) -> None:
        replace(self._token_file, token + "\n")


def replace(file: Path, content: str) -> None:
    """Swap a file for a new one, so that nobody reads half of it."""
    new = file.with_suffix(".new")
    new.write_text(content, encoding="utf-8")
    new.rename(file)


@contextlib.asynccontextmanager
async def simulated(etc: Path) -> AsyncIterator[tuple[World, Configuration]]:
    """Serve two campaigns and two tokens, with a configuration that watches the first of each."""
    world = World(ManualClock(1_780_000_000.0))
    organization = world.add_organization()
    schedule = organization.add_configuration("Round the clock", Schedule("UTC", ROUND_THE_CLOCK))
    for name in ("june", "july"):
        organization.add_campaign(name, schedule, external_id=name).add_contacts(100)
    for token in ("ak_first.secret", "ak_second.secret"):
        world.grant(token, organization)
    async with serving(world) as servers:
        configuration = Configuration(etc, servers.anyreach)
        configuration.rotate("ak_first.secret")
        configuration.write("june")
        yield world, configuration


async def shown(address: str) -> Page:
    return Page(await text(f"{address}/metrics"))


async def are_up(supervisor: Supervisor, **campaigns: float | None) -> bool:
    page = await shown(supervisor.address)
    return all(page.one("campaign_up", campaign=name) == value for name, value in campaigns.items())


def test_the_wheel_holds_the_package_with_its_files_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    runbooks = {f"exporter/runbooks/{file.name}" for file in (ROOT / "docs" / "runbooks").glob("*.md")}
    folders = (ROOT / "exporter" / "ui" / name for name in ("static", "templates"))
    shown = {file.relative_to(ROOT).as_posix() for folder in folders for file in folder.iterdir()}

    assert runbooks | shown | {"exporter/py.typed", "exporter/simulator/__init__.py"} <= names
    assert {name.partition("/")[0].split("-")[0] for name in names} == {"exporter", "campaign_exporter"}
    assert not [name for name in names if "__pycache__" in name]


async def test_what_is_installed_is_the_wheel_and_not_the_checkout(installed: Path) -> None:
    python = installed.with_name("python")
    where = await output_of(python, "-P", "-c", "import exporter; print(exporter.__file__)")
    version = await output_of(installed, "--version")

    assert Path(where.output.strip()).is_relative_to(installed.parent.parent)
    assert version.output == "campaign-exporter 0.1.0\n"


async def test_the_unit_starts_it_reloads_it_and_stops_it(supervisor: Supervisor, etc: Path) -> None:
    async with simulated(etc) as (_, configuration), supervisor.service() as process:
        await supervisor.hears("READY=1")
        await until(lambda: answers(f"{supervisor.address}/-/ready"))
        assert await are_up(supervisor, june=1, july=None)
        # Signs of life go on.
        for _ in range(3):
            await supervisor.hears("WATCHDOG=1")

        configuration.write("june", "july")
        process.signal(signal.SIGHUP)
        assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+", await supervisor.hears("RELOADING=1"))
        assert await supervisor.hears("READY=1") == "READY=1\nSTATUS="
        await until(lambda: are_up(supervisor, june=1, july=1))

        configuration.write("june", active_interval="soon")
        process.signal(signal.SIGHUP)
        await supervisor.hears("RELOADING=1")
        assert await supervisor.hears("READY=1") == "READY=1\nSTATUS=the last reload failed"
        page = await shown(supervisor.address)
        assert page.one("campaign_exporter_config_last_reload_successful") == 0
        assert page.one("campaign_up", campaign="july") == 1

        process.signal(signal.SIGTERM)
        await supervisor.hears("STOPPING=1")
        assert await process.ended() == 0
        assert "Traceback" not in process.log


async def test_a_token_is_rotated_in_its_file_without_a_restart(supervisor: Supervisor, etc: Path) -> None:
    async with simulated(etc) as (world, configuration), supervisor.service():
        await until(lambda: answers(f"{supervisor.address}/-/ready"))
        world.revoke("ak_first.secret")
        await until(lambda: are_up(supervisor, june=0))
        page = await shown(supervisor.address)
        assert page.one("campaign_poll_error", campaign="june") == 1
        assert page.one("campaign_exporter_breaker_open", account="acme-us") == 1

        configuration.rotate("ak_second.secret")
        # Well before the minute in which the open breaker lets a probe through.
        await until(lambda: are_up(supervisor, june=1), patience=15)


async def test_no_request_is_refused_while_the_service_restarts(supervisor: Supervisor, etc: Path) -> None:
    async with simulated(etc):
        async with supervisor.service() as process:
            await until(lambda: answers(f"{supervisor.address}/-/ready"))
            process.signal(signal.SIGTERM)
            assert await process.ended() == 0
        waiting = asyncio.create_task(text(f"{supervisor.address}/-/healthy"))
        async with supervisor.service():
            assert await waiting


async def test_pages_files_and_runbooks_come_from_the_package(supervisor: Supervisor, etc: Path) -> None:
    async with simulated(etc), supervisor.service():
        await supervisor.hears("READY=1")
        page = await text(f"{supervisor.address}/")
        files = re.findall(r"/static/[\w.-]+", page)

        assert {Path(file).suffix for file in files} == {".css", ".js", ".svg"}
        for file in files:
            assert await text(supervisor.address + file)
        for runbook in (ROOT / "docs" / "runbooks").glob("*.md"):
            assert f"<h1>{runbook.stem}</h1>" in await text(f"{supervisor.address}/runbooks/{runbook.stem}")


async def test_a_configuration_error_ends_it_with_the_status_that_is_not_tried_again(
    supervisor: Supervisor, etc: Path
) -> None:
    async with simulated(etc) as (_, configuration):
        configuration.write("june", active_interval="soon")
        async with supervisor.service() as process:
            assert await process.ended() == int(setting("RestartPreventExitStatus"))
    (fault,) = process.log.splitlines()
    assert fault.startswith(f"{etc / 'campaign-exporter.yml'}:1: poll.active_interval: expected")
