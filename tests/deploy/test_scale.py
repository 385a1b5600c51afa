"""The faster copy of rules and routes, which drills and the end-to-end tests use."""

import re
import subprocess
import sys
from pathlib import Path

from deploy.prometheus.scale import COPIES, scaled

ROOT = Path(__file__).parents[2]
DURATIONS = r"\[\d+[smhd]\]|offset \d+[smhd]\b|: \d+[smhd]\b|\* (?:60|3600)\b"


def test_every_kind_of_duration_is_divided() -> None:
    assert scaled("rate(x[3m] offset 1h)\nfor: 10m\nkeep_firing_for: 1h\n> 4 * 3600 + 2 * 60", 60) == (
        "rate(x[3000ms] offset 60000ms)\nfor: 10000ms\nkeep_firing_for: 60000ms\n> 240 + 2"
    )
    assert scaled("group_wait: 30s\ngroup_interval: 1d", 100) == "group_wait: 300ms\ngroup_interval: 864000ms"


def test_no_alert_is_faster_than_the_first_scrape() -> None:
    assert scaled("for: 2m\nkeep_firing_for: 2m", 60) == "for: 8000ms\nkeep_firing_for: 2000ms"


def test_nothing_but_durations_changes_in_the_shipped_files() -> None:
    for file in COPIES.values():
        text = file.read_text()
        code = re.sub(r"#.*", "", text)

        assert scaled(text, 1).count("\n") == text.count("\n")
        assert re.findall(DURATIONS, re.sub(r"#.*", "", scaled(text, 60))) == []
        assert re.findall(DURATIONS, code)


def test_the_command_writes_a_configuration_that_prometheus_loads(tmp_path: Path) -> None:
    drill = tmp_path / "drill"
    subprocess.run([sys.executable, ROOT / "deploy/prometheus/scale.py", "--speed", "30", drill], check=True)

    assert f"--config.file={drill}/prometheus.yml`" in (drill / "prometheus.yml").read_text()
    checks: list[list[str | Path]] = [
        ["promtool", "check", "config", drill / "prometheus.yml"],
        ["amtool", "check-config", drill / "alertmanager.yml"],
    ]
    for check in checks:
        done = subprocess.run(check, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "for: 10000ms" in (drill / "rules/campaign-exporter.rules.yml").read_text()
    assert "scrape_interval: 1000ms" in (drill / "prometheus.yml").read_text()


def test_ports_can_be_chosen_for_targets_and_links(tmp_path: Path) -> None:
    ports = ["--port", "10077=8077", "--port", "9093=9193"]
    subprocess.run([sys.executable, ROOT / "deploy/prometheus/scale.py", *ports, tmp_path], check=True)

    assert re.findall(r"localhost:\d+", (tmp_path / "prometheus.yml").read_text()) == [
        *("localhost:9193", "localhost:8077", "localhost:9090")
    ]
    links = re.findall(r"http://localhost:\d+", (tmp_path / "rules/campaign-exporter.rules.yml").read_text())
    assert links == ["http://localhost:8077", "http://localhost:3000"]


def test_a_port_that_stands_nowhere_is_an_error(tmp_path: Path) -> None:
    command = (sys.executable, ROOT / "deploy/prometheus/scale.py", "--port", "9999=1", tmp_path / "drill")
    ended = subprocess.run(command, check=False, capture_output=True, text=True)

    assert ended.returncode == 2
    assert "--port: expected one of 10077, 3000, 9090, 9093, 9095: found 9999" in ended.stderr
    assert not (tmp_path / "drill").exists()
