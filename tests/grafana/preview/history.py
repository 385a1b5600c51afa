"""
Hours of the demo's history within minutes, as blocks that a Prometheus can serve.

The demo runs with a clock that is behind and fast (faketime), until it has caught up with the real one. Its page is
recorded with the time that it believes in.
"""

import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

TARGET = {"job": "campaign-exporter", "instance": "demo:10077"}
STEP_SECONDS = 30
"""Seconds of the demo's time between two recorded pages."""

_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$")


def stamped(page: str, moment: float) -> Iterator[str]:
    """The samples of a page with the labels of their target and a time."""
    target = ",".join(f'{name}="{value}"' for name, value in TARGET.items())
    for line in page.splitlines():
        if found := _SAMPLE.match(line):
            name, labels, value = found.groups()
            yield f"{name}{{{target}{',' + labels if labels else ''}}} {value} {moment:.3f}"
    yield f"up{{{target}}} 1 {moment:.3f}"


def record(into: Path, *, hours: float, pace: int, port: int) -> None:
    """Write the demo's samples of the last hours, as OpenMetrics text."""
    clock = f"-{hours * 3600:.0f}s x{pace}"
    address = f"127.0.0.1:{port}"
    started = time.time()
    demo = subprocess.Popen(
        ["faketime", "-f", clock, sys.executable, "-m", "exporter", "demo", f"--web.listen-address={address}"],
        stderr=subprocess.DEVNULL,
    )
    try:
        with into.open("w", encoding="utf-8") as file:
            while (moment := started - hours * 3600 + (time.time() - started) * pace) < time.time():
                try:
                    page = urllib.request.urlopen(f"http://{address}/metrics", timeout=5).read().decode()
                except OSError:
                    page = ""
                if page:
                    file.writelines(f"{line}\n" for line in stamped(page, moment))
                time.sleep(max(0.0, STEP_SECONDS / pace - 0.02))
            file.write("# EOF\n")
    finally:
        demo.terminate()
        demo.wait()


if __name__ == "__main__":
    record(Path(sys.argv[1]), hours=float(sys.argv[2]), pace=int(sys.argv[3]), port=int(sys.argv[4]))
