"""A dashboard with a fault for each check to find: panels of the wall, each spoilt in one way."""

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from grafana import palette
from tests.drawing import checks
from tests.drawing.database import DASHBOARDS
from tests.drawing.situations import WALL

NAME = "planted"

Panel = dict[str, Any]
Spoil = Callable[[Panel], None]

NOTHING = "vector(1) > 2"


def write(into: Path) -> None:
    """Write the dashboard; each panel has the name of the check that is to find it, the table of campaigns none."""
    wall = json.loads((DASHBOARDS / f"{WALL}.json").read_text(encoding="utf-8"))
    wall["panels"] = list(_panels(wall["panels"]))
    (into / f"{NAME}.json").write_text(json.dumps(wall), encoding="utf-8")


def _panels(sound: list[Panel]) -> Iterator[Panel]:
    for number, (title, kind, spoil) in enumerate(_SPOILT):
        # The table of campaigns is the last of its kind.
        panel = copy.deepcopy(next(panel for panel in reversed(sound) if panel["type"] == kind))
        spoil(panel)
        place = {"x": 0, "y": 6 * number, "w": 12, "h": 6}
        yield {**panel, "id": number, "title": title, "gridPos": place}


def _asks(panel: Panel, expr: str) -> None:
    panel["targets"] = [{**panel["targets"][0], "expr": expr}]


def _paint(panel: Panel, colour: str) -> None:
    panel["options"]["colorMode"] = "value"
    panel["fieldConfig"]["overrides"] = []
    panel["fieldConfig"]["defaults"]["color"] = {"mode": "fixed", "fixedColor": colour}


def _calmest_first(table: Panel) -> None:
    table["options"]["sortBy"] = [{"displayName": "State", "desc": False}]


def _is_narrow(table: Panel) -> None:
    table["fieldConfig"]["overrides"].append(
        {"matcher": {"id": "byName", "options": "Account"}, "properties": [{"id": "custom.width", "value": 30}]}
    )


def _names_what_is_not_there(table: Panel) -> None:
    table["transformations"][-1]["options"]["renameByName"]["no_such_label"] = "Nowhere"


def _says_nothing(figure: Panel) -> None:
    figure["options"]["textMode"] = "none"


def _is_green_without_data(figure: Panel) -> None:
    _asks(figure, NOTHING)
    _paint(figure, palette.GOOD)


def _has_the_colour_of_the_panel(panel: Panel) -> None:
    _asks(panel, "vector(1)")
    _paint(panel, "#22252b")


def _is_tiny(figure: Panel) -> None:
    figure["options"]["text"] = {"valueSize": 7}


def _has_a_point_for_each_pixel(chart: Panel) -> None:
    _asks(chart, "vector(1)")
    chart["targets"][0]["interval"] = "5s"
    chart["maxDataPoints"] = 3000


def _only_says_that_there_is_no_data(chart: Panel) -> None:
    _asks(chart, NOTHING)
    chart["fieldConfig"]["defaults"]["noValue"] = "No data"


def _asks_what_cannot_be_read(chart: Panel) -> None:
    _asks(chart, "rate(")


_SPOILT: tuple[tuple[str, str, Spoil], ...] = (
    (checks.overlooked.__name__, "table", _calmest_first),
    (checks.illegible.__name__, "stat", _has_the_colour_of_the_panel),
    (checks.illegible.__name__, "timeseries", _has_the_colour_of_the_panel),
    (checks.blank_figures.__name__, "stat", _says_nothing),
    (checks.reassuring_gaps.__name__, "stat", _is_green_without_data),
    (checks.small_texts.__name__, "stat", _is_tiny),
    (checks.crowded_lines.__name__, "timeseries", _has_a_point_for_each_pixel),
    (checks.unexplained_gaps.__name__, "timeseries", _only_says_that_there_is_no_data),
    (checks.failed_panels.__name__, "timeseries", _asks_what_cannot_be_read),
    (checks.cut_headers.__name__, "table", _is_narrow),
    (checks.missing_columns.__name__, "table", _names_what_is_not_there),
)
"""Check, type of panel, and how it is spoilt; tables that are sound enough come after the first screen."""
