"""
What must hold of any drawn dashboard.

Each check takes the text of what was drawn and returns what is wrong, a line for each fault; empty when nothing is.
"""

import colorsys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tests.drawing.browser import Dump

LEAST_CONTRAST = 3.0
"""What WCAG asks for large text and for graphics."""
LEAST_SIZE = 10.0
"""Of text, in px."""
MOST_POINTS = 400
"""More make a band of a line."""
SAY_NOTHING = {"", "-", "No data", "N/A"}


def missing_columns(dump: Dump) -> list[str]:
    """A title that a table gives to a column, and no column of that title."""
    return [
        f"{panel['title']}: {title}"
        for panel in _with_data(dump, "table")
        for title in panel["titles"]
        if title not in _texts(panel, "header")
    ]


def cut_headers(dump: Dump) -> list[str]:
    """A title that is not wholly in sight."""
    return [
        f"{panel['title']}: {text['text']}"
        for panel, text in _every_text(dump)
        if text["role"] == "header" and text["cut"]
    ]


def blank_figures(dump: Dump) -> list[str]:
    """A figure that shows nothing, not even that there is no data."""
    return [panel["title"] for panel in dump["panels"] if panel["type"] == "stat" and not panel["texts"]]


def reassuring_gaps(dump: Dump) -> list[str]:
    """A panel without data in the colour of what is as it should be."""
    return [
        f"{panel['title']}: {text['text']} in {text['colour']} on {text['ground']}"
        for panel, text in _every_text(dump)
        if panel["empty"] and (_is_green(text["colour"]) or _is_green(text["ground"]))
    ]


def illegible(dump: Dump) -> list[str]:
    """A text or a line that hardly differs from what lies behind it."""
    texts = [
        f"{panel['title']}: {text['text']} in {text['colour']} on {text['ground']}, {text['contrast']}:1"
        for panel, text in _every_text(dump)
        if text["contrast"] < LEAST_CONTRAST
    ]
    lines = [
        f"{panel['title']}: line {line['name']} in {line['colour']}, {line['contrast']}:1"
        for panel in dump["panels"]
        for line in panel["series"]
        if line["contrast"] < LEAST_CONTRAST
    ]
    return texts + lines


def small_texts(dump: Dump) -> list[str]:
    """A text that is smaller than can be read."""
    return [
        f"{panel['title']}: {text['text']} at {text['size']} px"
        for panel, text in _every_text(dump)
        if text["size"] < LEAST_SIZE
    ]


def crowded_lines(dump: Dump) -> list[str]:
    """A line of so many points that it becomes a band."""
    return [
        f"{panel['title']}: {line['name']} has {line['points']} points"
        for panel in dump["panels"]
        for line in panel["series"]
        if line["points"] > MOST_POINTS
    ]


def unexplained_gaps(dump: Dump) -> list[str]:
    """A panel without data that does not say why."""
    return [
        panel["title"]
        for panel in dump["panels"]
        if panel["empty"] and " ".join(text["text"] for text in panel["texts"]) in SAY_NOTHING
    ]


def failed_panels(dump: Dump) -> list[str]:
    """A panel that could not be drawn."""
    return [f"{panel['title']}: {panel['error']}" for panel in dump["panels"] if panel.get("error")]


def overlooked(dump: Dump, not_well: Mapping[str, str]) -> list[str]:
    """
    A campaign that needs somebody, and no row of a table on the first screen that says so.

    Args:
        not_well: States of campaigns by the name that a table has for them.
    """
    rows = [set(row) for panel in dump["panels"] for row in panel["rows"]]
    return [
        f"{campaign}: {state}"
        for campaign, state in not_well.items()
        if not any({campaign, state} <= row for row in rows)
    ]


CHECKS = (
    missing_columns,
    cut_headers,
    blank_figures,
    reassuring_gaps,
    illegible,
    small_texts,
    crowded_lines,
    unexplained_gaps,
    failed_panels,
)
"""Those that hold in every situation."""


def _with_data(dump: Dump, kind: str) -> Iterator[dict[str, Any]]:
    return (panel for panel in dump["panels"] if panel["type"] == kind and not panel["empty"])


def _every_text(dump: Dump) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    return ((panel, text) for panel in dump["panels"] for text in panel["texts"])


def _texts(panel: dict[str, Any], role: str) -> Iterable[str]:
    return {text["text"] for text in panel["texts"] if text["role"] == role}


def _is_green(colour: str) -> bool:
    """Whether a colour such as #147d55 reads as green, whatever its shade."""
    red, green, blue = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    hue, _, saturation = colorsys.rgb_to_hls(red, green, blue)
    return 1 / 4 < hue < 1 / 2 and saturation > 0.25
