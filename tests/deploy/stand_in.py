"""
What a command of a document is in the tests, where it can't be run as it stands.

Run as `python stand_in.py PROGRAM ARGUMENT ...` in the directory where the document's reader is. It ends with a status
other than 0 when the command would fail for the reader. What keeps each from running, and what is looked at instead:

* `campaign-exporter`: runs, but its requests go to a simulated provider (by CAMPAIGN_EXPORTER_ACCOUNTS, after the file
  was checked as it stands), it listens on a free port, and it gets SIGTERM once it listens.
* `make`: its targets build environments or run for minutes. They are expanded by a dry run, and the exporter that they
  would start is started.
* `docker`: needs a daemon and a network. The files that it names are there, and the image's command runs.
* `helm install` and `helm upgrade`: need a cluster. The same arguments render the chart.
* `kubectl`: needs a cluster. The files that it names are there.
* `systemctl` and `journalctl`: need systemd as the first process. The unit that they name was installed before.
* `prometheus` and `alertmanager`: run until they are stopped, on ports that may be taken. Their configuration is read
  by the tools that come with them, promtool and amtool.
* `promtool test rules`: takes minutes in a test of its own. The files are there.
"""

import itertools
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import yaml

Arguments = Sequence[str]

DAEMONS = {"serve", "demo"}
COMMANDS = DAEMONS | {"check", "discover"}


def run(*command: str, quiet: bool = False, environ: Mapping[str, str] | None = None) -> None:
    """Run a program to its end, with the PATH of the machine."""
    environ = {**os.environ, "PATH": os.environ["MACHINE_PATH"], **(environ or {})}
    status = subprocess.run(command, env=environ, stdout=subprocess.DEVNULL if quiet else None, check=False).returncode
    if status:
        sys.exit(f"{' '.join(command)} ended with {status}")


def campaign_exporter(arguments: Arguments) -> None:
    program = os.environ["EXPORTER"]
    command = next((one for one in arguments if one in COMMANDS), "serve")
    simulated = {"CAMPAIGN_EXPORTER_ACCOUNTS": os.environ["SIMULATED_ACCOUNTS"]}
    file = [one for one in arguments if one.startswith("--config.file")]
    if command != "demo" and "--version" not in arguments:
        run(program, "check", "--offline", *file, quiet=True)
    if "--offline" in arguments or "--version" in arguments:
        run(program, *arguments)
    elif command not in DAEMONS:
        run(program, *arguments, environ=simulated)
    else:
        environ = os.environ | ({} if command == "demo" else simulated)
        environ["CAMPAIGN_EXPORTER_WEB__LISTEN_ADDRESS"] = '["127.0.0.1:0"]'
        with subprocess.Popen([program, *arguments], env=environ, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr
            listens = any("msg=listening" in line for line in process.stderr)
            process.send_signal(signal.SIGTERM)
            rest = process.stderr.read()
        if process.returncode or not listens:
            sys.exit(f"the exporter ended with {process.returncode}: {rest}")


def make(arguments: Arguments) -> None:
    environ = os.environ | {"PATH": os.environ["MACHINE_PATH"]}
    recipe = subprocess.run(
        ["make", "--dry-run", *arguments], env=environ, stdout=subprocess.PIPE, text=True, check=True
    )
    for line in recipe.stdout.splitlines():
        if found := re.search(r"-m exporter\b(.*)", line):
            campaign_exporter(found[1].split())


def docker(arguments: Arguments) -> None:
    command, *rest = arguments
    files = [Path(value) for name, value in itertools.pairwise(rest) if name == "--file"]
    assert all(file.is_file() for file in files), files
    if command == "build":
        assert files
        assert Path(rest[-1]).is_dir()
    elif command == "compose":
        assert files
        assert all(yaml.safe_load(file.read_text())["services"] for file in files)
    elif command == "run":
        image = rest.index("campaign-exporter")
        campaign_exporter(rest[image + 1 :])
    else:
        assert command == "push", command


def helm(arguments: Arguments) -> None:
    if arguments[0] in {"install", "upgrade"}:
        arguments = ["template", *(one for one in arguments[1:] if one != "--install")]
    run(os.environ["HELM"], *arguments)


def kubectl(arguments: Arguments) -> None:
    assert list(arguments[:3]) == ["create", "secret", "generic"], arguments
    for one in arguments[4:]:
        assert Path(one.rpartition("=")[2]).is_file(), one


def systemctl(arguments: Arguments) -> None:
    verb, *rest = [one for one in arguments if not one.startswith("--")]
    assert verb in {"daemon-reload", "start", "stop", "enable", "reload", "restart"}, verb
    for unit in rest:
        text = installed_unit(unit)
        assert verb != "enable" or "[Install]" in text, f"{unit} can't be enabled"


def journalctl(arguments: Arguments) -> None:
    for one in arguments:
        if one.startswith("--unit="):
            installed_unit(one.removeprefix("--unit="))


def installed_unit(name: str) -> str:
    file = name if "." in name else f"{name}.service"
    return (Path(os.environ["INSTALLED"]) / "etc/systemd/system" / file).read_text()


def prometheus(arguments: Arguments) -> None:
    run("promtool", "check", "config", named_file(arguments))


def alertmanager(arguments: Arguments) -> None:
    run("amtool", "check-config", named_file(arguments))


def named_file(arguments: Arguments) -> str:
    (file,) = (one.removeprefix("--config.file=") for one in arguments if one.startswith("--config.file="))
    return file


def promtool(arguments: Arguments) -> None:
    if list(arguments[:2]) == ["test", "rules"]:
        assert all(Path(file).is_file() for file in arguments[2:]), arguments
    else:
        run("promtool", *arguments)


def amtool(arguments: Arguments) -> None:
    run("amtool", *arguments)


PROGRAMS: dict[str, Callable[[Arguments], None]] = {
    "campaign-exporter": campaign_exporter,
    "make": make,
    "docker": docker,
    "helm": helm,
    "kubectl": kubectl,
    "systemctl": systemctl,
    "journalctl": journalctl,
    "prometheus": prometheus,
    "alertmanager": alertmanager,
    "promtool": promtool,
    "amtool": amtool,
}


if __name__ == "__main__":
    PROGRAMS[sys.argv[1]](sys.argv[2:])
