"""The Dockerfile, judged by hadolint; and what of it can be run without a container engine, run."""

import json
import re
import shutil
import subprocess
import sys
import threading
import tomllib
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

Instruction = tuple[str, str]


@pytest.fixture(scope="session")
def dockerfile(root: Path) -> Path:
    return root / "deploy" / "Dockerfile"


@pytest.fixture(scope="session")
def stages(dockerfile: Path) -> list[list[Instruction]]:
    """The instructions of each stage, continuation lines joined."""
    lines = [line for line in dockerfile.read_text().splitlines() if not line.startswith("#")]
    text = "\n".join(lines).replace("\\\n", " ")
    found: list[list[Instruction]] = [[]]
    for line in text.splitlines():
        if line.strip():
            name, _, argument = line.partition(" ")
            if name == "FROM":
                found.append([])
            found[-1].append((name, " ".join(argument.split())))
    return found


def arguments(stage: list[Instruction], name: str) -> list[str]:
    return [argument for instruction, argument in stage if instruction == name]


def copied_from_context(stages: list[list[Instruction]]) -> list[tuple[list[str], str]]:
    """Sources and destination of every COPY that reads the build context."""
    copies = [argument.split() for stage in stages for argument in arguments(stage, "COPY") if "--from" not in argument]
    return [(words[:-1], words[-1]) for words in copies]


def test_hadolint_finds_nothing(hadolint: Path, dockerfile: Path) -> None:
    done = subprocess.run([hadolint, "--no-color", dockerfile], capture_output=True, text=True, check=False)

    assert done.stdout + done.stderr == ""
    assert done.returncode == 0


def test_every_base_is_pinned_to_a_release_of_python_that_the_project_supports(
    root: Path, stages: list[list[Instruction]]
) -> None:
    before, *rest = stages
    ((name, version),) = [argument.split("=") for argument in arguments(before, "ARG")]
    classifiers = tomllib.loads((root / "pyproject.toml").read_text())["project"]["classifiers"]

    assert {argument.split()[0] for stage in rest for argument in arguments(stage, "FROM")} == {
        f"python:${{{name}}}-slim-bookworm"
    }
    assert re.fullmatch(r"3\.\d+\.\d+", version)
    assert f"Programming Language :: Python :: {version.rpartition('.')[0]}" in classifiers


def test_the_final_image_runs_as_a_number_that_is_not_root(stages: list[list[Instruction]]) -> None:
    (user,) = arguments(stages[-1], "USER")

    assert re.fullmatch(r"[1-9]\d{4,}:[1-9]\d{4,}", user)


def test_the_final_image_installs_nothing_and_takes_nothing_from_the_context(stages: list[list[Instruction]]) -> None:
    assert not [argument for argument in arguments(stages[-1], "RUN") if "install" in argument.replace("uninstall", "")]
    assert arguments(stages[-1], "COPY") == ["--from=build /opt/campaign-exporter /opt/campaign-exporter"]


def test_every_download_is_checked_by_hash_and_needs_no_compiler(stages: list[list[Instruction]]) -> None:
    commands = [
        command.strip() for stage in stages for argument in arguments(stage, "RUN") for command in argument.split("&&")
    ]
    downloads = [command for command in commands if re.search(r"\bpip\b.* (install|wheel|download) ", command)]

    assert downloads
    for command in downloads:
        assert "--no-index" in command or ("--require-hashes" in command and "--only-binary :all:" in command)


def test_what_builds_the_wheel_is_locked_as_the_project_file_and_the_development_lock_have_it(root: Path) -> None:
    def pins(path: Path) -> set[str]:
        return set(re.findall(r"^([\w.-]+==[\w.]+)", path.read_text(), re.MULTILINE))

    locked = pins(root / "deploy" / "requirements-build.txt")

    assert set(tomllib.loads((root / "pyproject.toml").read_text())["build-system"]["requires"]) <= locked
    assert locked <= pins(root / "requirements-dev.txt")


def test_the_ignore_file_lets_through_what_is_copied_and_nothing_else(
    dockerfile: Path, stages: list[list[Instruction]]
) -> None:
    lines = dockerfile.with_name("Dockerfile.dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    sources = {source for copied, _ in copied_from_context(stages) for source in copied}

    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == sources
    assert not [
        source for source in sources for rule in rules[1:] if not rule.startswith("!") and fnmatch(source, rule)
    ]


def test_the_wheel_can_be_built_from_what_is_copied_and_holds_the_runbooks(
    root: Path, stages: list[list[Instruction]], tmp_path: Path
) -> None:
    source, wheels = tmp_path / "src", tmp_path / "wheel"
    source.mkdir()
    for copied, destination in copied_from_context(stages):
        for name in copied:
            target = source / destination
            if (root / name).is_dir():
                shutil.copytree(root / name, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                target.mkdir(parents=True, exist_ok=True)
                shutil.copy(root / name, target)

    (build,) = (argument for argument in arguments(stages[1], "RUN") if argument.startswith("pip wheel"))
    command = build.partition("&&")[0].replace("/wheel", str(wheels)).split()
    done = subprocess.run([sys.executable, "-m", *command], cwd=source, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    (wheel,) = wheels.iterdir()
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (entry_points,) = (name for name in names if name.endswith(".dist-info/entry_points.txt"))
        assert b"campaign-exporter = exporter.__main__:main" in archive.read(entry_points)
    runbooks = {f"exporter/runbooks/{path.name}" for path in (root / "docs" / "runbooks").glob("*.md")}
    assert runbooks
    assert runbooks <= names


@contextmanager
def answering(status: int) -> Iterator[int]:
    """Serve one status on a free port of the loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/-/healthy" else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def health_check(stages: list[list[Instruction]], port: int) -> int:
    """Run the image's own health check against another port."""
    (check,) = arguments(stages[-1], "HEALTHCHECK")
    python, *rest = json.loads(check.partition("CMD ")[2])
    assert python == "python"
    assert sum(word.count("10077") for word in rest) == 1
    command = [sys.executable, *(word.replace("10077", str(port)) for word in rest)]
    # A proxy in the environment must not be asked about the loopback.
    proxies = {"http_proxy": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
    return subprocess.run(command, env=proxies, capture_output=True, check=False).returncode


@pytest.mark.parametrize(("status", "exit_status"), [(200, 0), (503, 1), (404, 1)])
def test_the_health_check_is_the_answer_of_the_healthy_path(
    stages: list[list[Instruction]], status: int, exit_status: int
) -> None:
    with answering(status) as port:
        assert health_check(stages, port) == exit_status


def test_the_health_check_fails_where_nothing_listens(stages: list[list[Instruction]]) -> None:
    with answering(200) as port:
        pass

    assert health_check(stages, port) == 1
