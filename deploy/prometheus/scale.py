#!/usr/bin/env python3
"""
Write a copy of the monitoring configuration in which every duration is divided, so that alerts can be tried in minutes.

python3 deploy/prometheus/scale.py --speed 60 drill

writes drill/prometheus.yml, drill/rules/campaign-exporter.rules.yml and drill/alertmanager.yml. Needs Python alone.
"""

import argparse
import re
from pathlib import Path

HERE = Path(__file__).parent
COPIES = {
    "prometheus.yml": HERE / "prometheus.yml",
    "rules/campaign-exporter.rules.yml": HERE / "rules/campaign-exporter.rules.yml",
    "alertmanager.yml": HERE.parent / "alertmanager/alertmanager.yml",
}

LEAST_FOR = 8.0
"""Seconds below which no `for` gets: Prometheus takes five to its first scrape, and a missing target is an alert."""

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(
    r"(?P<before>\[|\boffset |\b(?:for|keep_firing_for|group_wait|group_interval|repeat_interval|"
    r"scrape_interval|evaluation_interval): )(?P<number>\d+)(?P<unit>[smhd])\b"
)
_PORT = re.compile(r"(?<=\blocalhost:)\d+")
_SECONDS = re.compile(r"\b(?P<number>\d+) \* (?P<unit>60|3600)\b")


def scaled(text: str, speed: float) -> str:
    """
    Divide every duration of a rules file, an alertmanager.yml or a prometheus.yml.

    Seconds inside expressions are found by their spelling, a product with 60 or 3600.

    Args:
        speed: How many times faster; 60 makes a minute a second.
    """

    def shortened(found: re.Match[str]) -> str:
        milliseconds = int(found["number"]) * _UNITS[found["unit"]] * 1000 / speed
        if found["before"] == "for: ":
            milliseconds = max(milliseconds, LEAST_FOR * 1000)
        return f"{found['before']}{max(1, round(milliseconds))}ms"

    text = _DURATION.sub(shortened, text)
    return _SECONDS.sub(lambda found: f"{int(found['number']) * int(found['unit']) / speed:g}", text)


def write(directory: Path, speed: float, ports: dict[str, str]) -> None:
    """Write the copies. Scrapes are half as fast as the rest, at twice their interval, which the rules allow."""
    for name, original in COPIES.items():
        # The comment says how to start with this file.
        text = original.read_text("utf-8").replace("deploy/prometheus/prometheus.yml", str(directory / name))
        text = _PORT.sub(lambda found: ports.get(found[0], found[0]), text)
        file = directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(scaled(text, speed / 2 if name == "prometheus.yml" else speed), "utf-8")


def _port(text: str) -> tuple[str, str]:
    if not (found := re.fullmatch(r"(\d+)=(\d+)", text)):
        raise argparse.ArgumentTypeError("expected two ports, as in 10077=8077")
    return found[1], found[2]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().splitlines()[0])
    parser.add_argument(
        "--speed", type=float, default=60, help="how many times faster (default: 60, a minute a second)"
    )
    parser.add_argument(
        "--port",
        type=_port,
        action="append",
        default=[],
        metavar="OLD=NEW",
        help="write another port of this machine, for example 10077=8077; may be repeated",
    )
    parser.add_argument("directory", type=Path, help="where to write")
    arguments = parser.parse_args()
    if not 1 <= arguments.speed <= 600:
        parser.error("--speed must be between 1 and 600")
    ports = dict(arguments.port)
    known = {found[0] for original in COPIES.values() for found in _PORT.finditer(original.read_text("utf-8"))}
    if unknown := ports.keys() - known:
        parser.error(f"--port: expected one of {', '.join(sorted(known))}: found {', '.join(sorted(unknown))}")
    write(arguments.directory, arguments.speed, ports)


if __name__ == "__main__":
    main()
