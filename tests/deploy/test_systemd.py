"""The units, judged by systemd's own tools."""

import re
import shutil
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest

from exporter.config.sources import load
from tests.deploy.accounts import ACCOUNTS

UNITS = ("campaign-exporter.service", "campaign-exporter-check.service", "campaign-exporter.socket")
INSTALLED = "/opt/campaign-exporter/bin/campaign-exporter"


@pytest.fixture(scope="session")
def shipped(root: Path) -> Path:
    return root / "deploy" / "systemd"


@pytest.fixture
def units(shipped: Path, tmp_path: Path) -> Path:
    """A copy of the units whose command is one that exists here: systemd looks whether it does."""
    for unit in UNITS:
        text = (shipped / unit).read_text()
        (tmp_path / unit).write_text(text.replace(INSTALLED, sys.executable))
    return tmp_path


def systemd_analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    if shutil.which("systemd-analyze") is None:
        pytest.fail("systemd-analyze is missing: install systemd", pytrace=False)
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, check=False)


def settings_of(unit: Path) -> list[tuple[str, str]]:
    """Every setting of a unit, sections left out, repeated ones kept."""
    return re.findall(r"^(\w+)=(.*)$", unit.read_text(), re.MULTILINE)


def test_systemd_finds_nothing_wrong_with_the_units(units: Path) -> None:
    done = systemd_analyze("verify", *units.iterdir())

    assert done.stdout + done.stderr == ""
    assert done.returncode == 0


def test_a_misspelt_setting_would_be_found(units: Path) -> None:
    service = units / "campaign-exporter.service"
    service.write_text(service.read_text().replace("WatchdogSec=", "WatchdogSecs="))

    assert "WatchdogSecs" in systemd_analyze("verify", service).stderr


def test_the_service_is_exposed_less_than_two(units: Path) -> None:
    done = systemd_analyze(
        "security", "--offline=true", "--no-pager", "--threshold=19", units / "campaign-exporter.service"
    )

    assert done.returncode == 0, done.stdout
    assert (found := re.search(r"Overall exposure level for \S+: (\d+\.\d+)", done.stdout))
    assert float(found[1]) < 2


def test_the_service_has_no_capabilities_and_no_user_of_its_own(shipped: Path) -> None:
    settings = settings_of(shipped / "campaign-exporter.service")

    assert ("DynamicUser", "yes") in settings
    assert ("CapabilityBoundingSet", "") in settings
    assert ("AmbientCapabilities", "") in settings
    assert not [name for name, _ in settings if name in ("User", "Group")]


def test_systemd_learns_when_the_service_is_ready_and_that_it_lives(shipped: Path) -> None:
    settings = settings_of(shipped / "campaign-exporter.service")

    assert ("Type", "notify") in settings
    assert ("WatchdogSec", "30s") in settings
    assert ("ExecReload", "/bin/kill -HUP $MAINPID") in settings


def test_only_what_a_later_start_may_cure_is_tried_again(shipped: Path) -> None:
    settings = settings_of(shipped / "campaign-exporter.service")

    assert ("Restart", "on-failure") in settings
    assert ("RestartPreventExitStatus", "2") in settings


@pytest.mark.parametrize("unit", ["campaign-exporter.service", "campaign-exporter-check.service"])
def test_no_core_dump_holds_a_token(shipped: Path, unit: str) -> None:
    assert ("LimitCORE", "0") in settings_of(shipped / unit)


def test_the_check_gets_the_tokens_where_the_service_has_them(shipped: Path) -> None:
    check, service = (
        settings_of(shipped / unit) for unit in ("campaign-exporter-check.service", "campaign-exporter.service")
    )
    (command,) = (value for name, value in service if name == "ExecStart")
    program, _, flags = command.partition(" ")

    assert ("ExecStart", f"{program} check {flags}") in check
    assert ("Type", "oneshot") in check
    assert ("BindReadOnlyPaths", "%d:/run/credentials/campaign-exporter.service") in check
    for name in ("LoadCredential", "EnvironmentFile", "DynamicUser"):
        assert [one for one in check if one[0] == name] == [one for one in service if one[0] == name]


def test_the_readme_installs_files_that_are_there_from_a_wheel(shipped: Path) -> None:
    text = (shipped / "README.md").read_text()
    installed = {name for names in re.findall(r"install -m 0644 (.*) \S+", text) for name in names.split()}

    assert installed - {"campaign-exporter.yml"} == {*UNITS, "campaign-exporter.env.example"}
    assert "pip wheel --no-deps --wheel-dir dist ." in text
    assert "pip install --require-hashes -r requirements.txt" in text
    assert (shipped.parents[1] / "requirements.txt").is_file()


def test_the_socket_is_the_port_of_the_contract_and_belongs_to_the_service(shipped: Path) -> None:
    socket, service = shipped / "campaign-exporter.socket", shipped / "campaign-exporter.service"

    assert ("ListenStream", "10077") in settings_of(socket)
    assert socket.stem == service.stem, "systemd hands a socket to the service of its name"
    assert not [value for name, value in settings_of(service) if name == "ExecStart" and "listen-address" in value]


def test_the_readme_names_credentials_as_the_unit_loads_them(shipped: Path) -> None:
    text = (shipped / "README.md").read_text()
    ((name, folder),) = [
        value.split(":") for key, value in settings_of(shipped / "campaign-exporter.service") if key == "LoadCredential"
    ]
    (token_file,) = re.findall(r"token_file: (\S+)", text)
    (installed,) = re.findall(rf"install -m 0600 \S+ {folder}/(\S+)", text)

    assert token_file == f"/run/credentials/campaign-exporter.service/{name}_{installed}"


def test_the_example_environment_holds_settings_that_the_exporter_takes_and_no_token(shipped: Path) -> None:
    text = (shipped / "campaign-exporter.env.example").read_text()
    environ = dict(line.split("=", 1) for line in re.findall(r"^#?(CAMPAIGN_EXPORTER_.*)$", text, re.MULTILINE))

    web_config = environ.pop("CAMPAIGN_EXPORTER_WEB__CONFIG__FILE")
    assert Path(web_config).parent == Path("/etc/campaign-exporter")
    assert load(Namespace(), environ=environ, base=ACCOUNTS).reload.auto_interval == 60
    assert not [name for name in environ if "TOKEN" in name]


def test_the_runbook_of_a_refused_token_says_that_a_credential_takes_a_restart(root: Path) -> None:
    text = (root / "docs" / "runbooks" / "CampaignAccountUnauthorized.md").read_text()

    assert "/run/credentials/" in text
    assert "`systemctl restart campaign-exporter`" in text
