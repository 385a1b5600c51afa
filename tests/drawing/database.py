"""The blocks of a Prometheus that has watched the demo for hours."""

import re
import subprocess
from pathlib import Path

from tests.drawing import history, rules

ROOT = Path(__file__).parents[2]
DASHBOARDS = ROOT / "grafana" / "dashboards"
RULES = ROOT / "deploy" / "prometheus" / "rules" / "campaign-exporter.rules.yml"


def make_blocks(directory: Path, dashboards: Path = DASHBOARDS) -> None:
    """Write to `data` in a directory what these dashboards and the rules select, and what the rules record."""
    text = directory / "history.txt"
    history.record(text, _selected(RULES, *dashboards.glob("*.json")))
    made = list(rules.evaluated(text, RULES, start=history.START, end=history.GONE, step=history.STEP))
    with text.open("a", encoding="utf-8") as file:
        file.writelines(made)
        file.write("# EOF\n")
    command = ("promtool", "tsdb", "create-blocks-from", "--quiet", "openmetrics")
    subprocess.run([*command, text, directory / "data"], check=True)
    text.unlink()


def _selected(*files: Path) -> set[str]:
    """The metrics of the exporter that are mentioned."""
    texts = (file.read_text(encoding="utf-8") for file in files)
    return {name for text in texts for name in re.findall(r"\b(?:campaign|process)_\w+", text)}
