"""The exporter as it is run, in a process of its own."""

import contextlib
import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
from prometheus_client.parser import text_string_to_metric_families

_PATIENCE = 120.0


class Subject:
    """An exporter in a process of its own, seen from outside."""

    def __init__(self, process: subprocess.Popen[str], address: str, started: float) -> None:
        self._process = process
        self._psutil = psutil.Process(process.pid)
        self.address = address
        self.started = started
        """When it was started, on the system's monotonic clock."""

    @property
    def cpu_seconds(self) -> float:
        times = self._psutil.cpu_times()
        return times.user + times.system

    @property
    def resident_megabytes(self) -> float:
        return self._psutil.memory_info().rss / 1e6

    @property
    def descriptors(self) -> int:
        return self._psutil.num_fds()

    @property
    def tasks(self) -> int:
        return int(self._look_inside()["tasks"])

    def longest_hold(self) -> float:
        """Seconds of processor time; begins anew."""
        return self._look_inside()["hold"]

    def _look_inside(self) -> dict[str, float]:
        self._process.send_signal(signal.SIGUSR1)
        assert self._process.stdout is not None
        inside: dict[str, float] = json.loads(self._process.stdout.readline())
        return inside

    def get(self, path: str, *, method: str = "GET", gzip: bool = False) -> bytes:
        headers = {"Accept-Encoding": "gzip"} if gzip else {}
        request = urllib.request.Request(self.address + path, method=method, headers=headers)  # noqa: S310 -- http
        with urllib.request.urlopen(request, timeout=_PATIENCE) as answer:  # noqa: S310 -- as above
            content: bytes = answer.read()
            return content

    def samples(self, *names: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        """The samples of some families, by name and labels."""
        page = self.get("/metrics?" + "&".join(f"name[]={name}" for name in names)).decode()
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(page)
            for sample in family.samples
        }

    def polls(self) -> dict[str, float]:
        """Polls so far, by result."""
        polls: dict[str, float] = {}
        for (_, labels), value in self.samples("campaign_exporter_polls_total").items():
            result = dict(labels)["result"]
            polls[result] = polls.get(result, 0.0) + value
        return polls

    def until_ready(self) -> float:
        """Wait until every campaign was polled; returns the moment."""
        while True:
            with contextlib.suppress(OSError):
                self.get("/-/ready")
                return time.monotonic()
            if time.monotonic() > self.started + _PATIENCE:
                raise TimeoutError("it does not become ready")
            time.sleep(0.02)


@contextlib.contextmanager
def subject(configuration: str, file: Path) -> Iterator[Subject]:
    """Run the exporter with a configuration, kept in a file, until the block is left."""
    file.write_text(configuration, encoding="utf-8")
    started = time.monotonic()
    command = (sys.executable, "-m", "benchmarks.instrumented", "--config.file", str(file))
    flags = ("--web.listen-address", "127.0.0.1:0", "--web.enable-lifecycle", "--log.format", "json")
    log = file.with_suffix(".log")
    with (
        log.open("wb") as written,
        subprocess.Popen((*command, *flags), stdout=subprocess.PIPE, stderr=written, text=True) as process,
    ):
        try:
            yield Subject(process, _address(process, log), started)
        finally:
            process.terminate()


def _address(process: subprocess.Popen[str], log: Path) -> str:
    while process.poll() is None:
        for line in log.read_text(encoding="utf-8").splitlines(keepends=True):
            if line.endswith("\n") and (record := json.loads(line))["msg"] == "listening":
                return str(record["address"])
        time.sleep(0.02)
    raise RuntimeError(f"it has ended before it listened: {log.read_text(encoding='utf-8')}")
