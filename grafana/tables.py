"""Tables: one row for each combination of labels, from the answers of several queries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import common, table
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as dashboard_models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from grafana import palette
from grafana.panels import About, Query, dressed, fixed, target, thresholds

Properties = Mapping[str, object]
"""Overrides of the field configuration of one column, by id."""


@dataclass(frozen=True, slots=True)
class Column:
    """
    One column of a table.

    Attributes:
        title: Heading.
        source: Label, or name of the query whose value it shows.
        properties: How it looks.
    """

    title: str
    source: str
    properties: Properties


def text(width: int = 0) -> Properties:
    """A column of words: of a fixed width in pixels, or with an equal share of what the others leave."""
    return {"custom.width": width} if width else {}


def linked(look: Properties, title: str, url: str, *, new_tab: bool = False) -> Properties:
    """A column whose cells lead somewhere."""
    return {"links": [{"title": title, "url": url, "targetBlank": new_tab}], **look}


def number(
    unit: str, width: int = 0, *, decimals: int | None = None, words: Mapping[str, str] | None = None
) -> Properties:
    """A column of numbers; `words` stand for some of the values."""
    properties: dict[str, object] = {"unit": unit, "custom.align": "right", **text(width)}
    if decimals is not None:
        properties["decimals"] = decimals
    if words is not None:
        options = {value: {"text": word, "index": index} for index, (value, word) in enumerate(words.items())}
        properties["mappings"] = [{"type": "value", "options": options}]
    return properties


def stepped(look: Properties, *steps: tuple[float, str], base: str = palette.AT_REST) -> Properties:
    """A column whose colour changes from some values on."""
    return {
        "custom.cellOptions": {"type": "color-text"},
        **look,
        "color": {"mode": "thresholds"},
        "thresholds": {
            "mode": "absolute",
            "steps": [
                {"color": base, "value": None},
                *({"color": colour, "value": value} for value, colour in steps),
            ],
        },
    }


def bar(width: int = 0, colour: str = palette.PACE) -> Properties:
    """A column of shares, each as a bar with its number."""
    return {
        "unit": "percentunit",
        "decimals": 0,
        "min": 0,
        "max": 1,
        "color": {"mode": "fixed", "fixedColor": colour},
        "custom.cellOptions": {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"},
        **text(width),
    }


def words_cell(words: Mapping[str, tuple[str, str]], width: int, *, ground: bool = True) -> Properties:
    """A column whose values are shown as words, on a ground of their colour or in it: value → (word, colour)."""
    options = {
        value: {"text": word, "color": colour, "index": index}
        for index, (value, (word, colour)) in enumerate(words.items())
    }
    return {
        "mappings": [{"type": "value", "options": options}],
        "custom.cellOptions": {"type": "color-background", "mode": "basic"} if ground else {"type": "color-text"},
        "custom.width": width,
        "custom.align": "left",
    }


def _arranged(
    queries: Sequence[Query], columns: Sequence[Column], hide: Sequence[str]
) -> dashboard_models.DataTransformerConfig:
    """Order and name the columns; what has none is left out."""
    names = {query.name for query in queries}
    sources = [f"Value #{column.source}" if column.source in names else column.source for column in columns]
    hidden = {"Time", "cluster", *hide, *(f"Value #{name}" for name in names)} - set(sources)
    return dashboard_models.DataTransformerConfig(
        id_val="organize",
        options={
            "excludeByName": dict.fromkeys(sorted(hidden), True),
            "indexByName": {source: index for index, source in enumerate(sources)},
            "renameByName": {source: column.title for source, column in zip(sources, columns, strict=True)},
        },
    )


def grid(
    about: About,
    queries: Sequence[Query],
    columns: Sequence[Column],
    *,
    sort_by: Mapping[str, bool],
    width: int = 24,
    height: int = 12,
    hide: Sequence[str] = (),
) -> table.Panel:
    """
    One row for each combination of labels: the queries' answers merged by the labels that they share.

    A label that has no column, and the value of a query that only brings a label, are left out. `sort_by` names the
    columns to sort by, the first one first, and whether the largest stands on top.
    """
    panel = (
        dressed(table.Panel(), about, unit="none", width=width, height=height)
        .show_header(True)
        .color_scheme(fixed(palette.AT_REST))
        .thresholds(thresholds(base=palette.AT_REST))
        .filterable(True)
        .cell_height(common_models.TableCellHeight.SM)
        .sort_by([common.TableSortByFieldState().display_name(name).desc(down) for name, down in sort_by.items()])
        .targets([target(query).format(PromQueryFormat.TABLE).instant() for query in queries])
        .with_transformation(dashboard_models.DataTransformerConfig(id_val="merge", options={}))
        .with_transformation(_arranged(queries, columns, hide))
    )
    for column in columns:
        # What stands for the whole table while it is empty would otherwise stand in each empty cell.
        properties = {"noValue": "-", **column.properties}
        panel = panel.override_by_name(
            column.title,
            [dashboard_models.DynamicConfigValue(id_val=key, value=value) for key, value in properties.items()],
        )
    return panel
