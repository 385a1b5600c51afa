"""The faster clock of the tests that run real parts."""

import re
from pathlib import Path

from tests.deploy.scaled import scaled

ROOT = Path(__file__).parents[2]
SHIPPED = [
    ROOT / "deploy/prometheus/rules/campaign-exporter.rules.yml",
    ROOT / "deploy/prometheus/prometheus.yml",
    ROOT / "deploy/alertmanager/alertmanager.yml",
]


def test_every_kind_of_duration_is_divided() -> None:
    assert scaled("rate(x[3m])\nfor: 5m\nkeep_firing_for: 1h\n> 4 * 3600 + 2 * 60", 60) == (
        "rate(x[3000ms])\nfor: 5000ms\nkeep_firing_for: 60000ms\n> 240 + 2"
    )
    assert scaled("group_wait: 30s\ngroup_interval: 1d", 100) == "group_wait: 300ms\ngroup_interval: 864000ms"


def test_nothing_but_durations_changes_in_the_shipped_files() -> None:
    for file in SHIPPED:
        text = file.read_text()
        code = re.sub(r"#.*", "", text)

        assert scaled(text, 1).count("\n") == text.count("\n")
        assert re.findall(r"\[\d+[smhd]\]|: \d+[smhd]\b|\* (?:60|3600)\b", re.sub(r"#.*", "", scaled(text, 60))) == []
        assert re.findall(r"\[\d+[smhd]\]|: \d+[smhd]\b|\* (?:60|3600)\b", code)
