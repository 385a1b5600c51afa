"""
Writes `grafana/dashboards/*.json` and the tables of `docs/dashboards.md`.

Run as `python -m grafana.build`. The result depends on the code alone; a test compares it with what is committed.
"""

import json
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana import campaign, campaigns, exporter

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs" / "dashboards.md"
BEGIN = "<!-- begin: written by python -m grafana.build -->"
END = "<!-- end -->"


# The SDK writes these by itself, with their defaults; some Grafana from 11.0 to 13 does not know them.
UNKNOWN_OPTIONS = {
    "heatmap": "selectionMode",
    "stat": "percentChangeColorMode",
    "state-timeline": "perPage",
    "table": "footer",
}
UNKNOWN_OF_VARIABLES = ("allowCustomValue", "auto", "auto_count", "auto_min")


def encoded(dashboard: Dashboard) -> str:
    """The JSON that every Grafana from 11.0 to 13 understands."""
    whole: dict[str, Any] = json.loads(json.dumps(dashboard, cls=JSONEncoder))
    for panel in whole["panels"]:
        panel["options"].pop(UNKNOWN_OPTIONS.get(panel["type"]), None)
        # Without a number of steps it is Grafana's own, with the SDK's it is none.
        panel["options"].get("color", {}).pop("steps", None)
    for variable in whole["templating"]["list"]:
        for key in UNKNOWN_OF_VARIABLES:
            del variable[key]
    return json.dumps(whole, indent=2, sort_keys=True) + "\n"


def dashboards() -> dict[Path, str]:
    """The JSON of each dashboard by the file that holds it."""
    built = (campaigns.build(), campaign.build(), exporter.build())
    return {ROOT / "grafana" / "dashboards" / f"{dashboard.uid}.json": encoded(dashboard) for dashboard in built}


def tables(texts: list[str]) -> str:
    """Panels and their purposes, a table for each dashboard."""
    lines = []
    for text in texts:
        dashboard: dict[str, Any] = json.loads(text)
        lines += [f"## {dashboard['title']}", "", dashboard["description"], ""]
        lines += [f"uid `{dashboard['uid']}`", "", "| Panel | Purpose |", "| --- | --- |"]
        lines += [f"| {panel['title']} | {panel['description'].splitlines()[0]} |" for panel in dashboard["panels"]]
        lines.append("")
    return "\n".join(lines)


def document(texts: list[str]) -> str:
    """`docs/dashboards.md` with new tables."""
    head, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n\n{tables(texts)}\n{END}{tail}"


def main() -> None:
    """Write everything."""
    built = dashboards()
    for path, text in built.items():
        path.write_text(text, encoding="utf-8")
    DOCUMENT.write_text(document(list(built.values())), encoding="utf-8")


if __name__ == "__main__":
    main()
