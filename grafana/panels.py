"""
Building blocks that carry the conventions of every panel: title, purpose, unit, what stands where no value is.

A colour is always one of `palette`; a threshold always one of `thresholds`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as dashboard_models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from grafana import palette

DATASOURCE = dashboard_models.DataSourceRef(type_val="prometheus", uid="${datasource}")

CHART_POINTS = 400
"""More make a band of a line."""

AnyPanel = TypeVar("AnyPanel", dashboard.Panel, stat.Panel, statetimeline.Panel, table.Panel, timeseries.Panel)


@dataclass(frozen=True, slots=True)
class About:
    """
    What a person is told about a panel.

    Attributes:
        title: Heading; unique within its dashboard.
        purpose: One sentence: the question that the panel answers.
        detail: What is easily read wrongly, and when the panel is empty.
        empty: What stands in the panel's place while it has no value.
    """

    title: str
    purpose: str
    detail: str
    empty: str


@dataclass(frozen=True, slots=True)
class Query:
    """
    One query of a panel.

    Attributes:
        expr: PromQL.
        legend: Legend; labels in double braces.
        name: Reference within the panel; names the column in a table.
        min_step: Smallest step, as `15m`; `$__rate_interval` is at least four times as long.
        exemplars: Whether single observations are drawn as points.
    """

    expr: str
    legend: str = ""
    name: str = "A"
    min_step: str = ""
    exemplars: bool = False


@dataclass(frozen=True, slots=True)
class Column:
    """
    One column of a table.

    Attributes:
        title: Heading.
        source: Label, or name of the query whose value it shows.
        properties: Overrides of the field configuration, by id.
    """

    title: str
    source: str
    properties: Mapping[str, object]


def thresholds(*steps: tuple[float, str], base: str = palette.AT_REST) -> dashboard.ThresholdsConfig:
    """Colours by value: `base` below the first step, then each step's colour from its value on."""
    return (
        dashboard.ThresholdsConfig()
        .mode(dashboard_models.ThresholdsMode.ABSOLUTE)
        .steps(
            [
                dashboard_models.Threshold(color=base, value=None),
                *(dashboard_models.Threshold(color=colour, value=value) for value, colour in steps),
            ]
        )
    )


def mapped(words: Mapping[str, tuple[str, str]]) -> list[dashboard_models.ValueMapping]:
    """Show words in place of values: value → (word, colour)."""
    return [
        dashboard_models.ValueMap(
            options={
                value: dashboard_models.ValueMappingResult(text=word, color=colour, index=index)
                for index, (value, (word, colour)) in enumerate(words.items())
            }
        )
    ]


def counted(colour: str) -> dashboard.ThresholdsConfig:
    """Of what should be 0: grey without data, green at 0, and a colour from 1 on."""
    return thresholds((0, palette.GOOD), (1, colour))


def fixed(colour: str) -> dashboard.FieldColor:
    return dashboard.FieldColor().mode(dashboard_models.FieldColorModeId.FIXED).fixed_color(colour)


def by_name() -> dashboard.FieldColor:
    """Many series of one meaning: each has the colour of its name on every panel."""
    return dashboard.FieldColor().mode(dashboard_models.FieldColorModeId.PALETTE_CLASSIC_BY_NAME)


def by_threshold() -> dashboard.FieldColor:
    return dashboard.FieldColor().mode(dashboard_models.FieldColorModeId.THRESHOLDS)


def words_cell(words: Mapping[str, tuple[str, str]], width: int, *, ground: bool = True) -> dict[str, object]:
    """Properties of a column whose values are shown as words, on a ground of their colour or in plain text."""
    options = {
        value: {"text": word, "color": colour, "index": index}
        for index, (value, (word, colour)) in enumerate(words.items())
    }
    cell = {"type": "color-background", "mode": "basic"} if ground else {"type": "auto"}
    return {
        "mappings": [{"type": "value", "options": options}],
        "custom.cellOptions": cell,
        "custom.width": width,
        "custom.align": "left",
    }


def _target(query: Query) -> prometheus.Dataquery:
    target = prometheus.Dataquery().datasource(DATASOURCE).expr(query.expr).ref_id(query.name)
    if query.min_step:
        target = target.interval(query.min_step)
    if query.exemplars:
        target = target.exemplar(True)
    return target


def _series(query: Query) -> prometheus.Dataquery:
    return _target(query).legend_format(query.legend).format(PromQueryFormat.TIME_SERIES).range()


def _latest(query: Query) -> prometheus.Dataquery:
    return _target(query).legend_format(query.legend).format(PromQueryFormat.TIME_SERIES).instant()


def dressed(panel: AnyPanel, about: About, *, unit: str, width: int, height: int) -> AnyPanel:
    """Give a panel what every panel has."""
    return (
        panel.title(about.title)
        .description(f"{about.purpose}\n\n{about.detail}")
        .no_value(about.empty)
        .unit(unit)
        .span(width)
        .height(height)
        .datasource(DATASOURCE)
    )


def figure(
    about: About,
    *queries: Query,
    unit: str = "none",
    colour: dashboard.FieldColor,
    steps: dashboard.ThresholdsConfig | None = None,
    words: Mapping[str, tuple[str, str]] | None = None,
    width: int = 4,
    height: int = 4,
    decimals: int | None = None,
    names_only: bool = False,
    filled: bool = False,
) -> stat.Panel:
    """One number, or one for each series; `names_only` shows a label, `filled` colours the ground."""
    panel = dressed(stat.Panel(), about, unit=unit, width=width, height=height)
    text = common_models.BigValueTextMode.NAME if names_only else common_models.BigValueTextMode.AUTO
    mode = common_models.BigValueColorMode.BACKGROUND_SOLID if filled else common_models.BigValueColorMode.VALUE
    panel = (
        panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False).fields(""))
        .color_mode(mode)
        .graph_mode(common_models.BigValueGraphMode.NONE)
        .justify_mode(common_models.BigValueJustifyMode.AUTO)
        .orientation(common_models.VizOrientation.AUTO)
        .text_mode(text)
        .color_scheme(colour)
        .targets([_latest(query) for query in queries])
    )
    if steps is not None:
        panel = panel.thresholds(steps)
    if words is not None:
        panel = panel.mappings(mapped(words))
    if decimals is not None:
        panel = panel.decimals(decimals)
    return panel


def chart(
    about: About,
    *queries: Query,
    unit: str,
    colour: dashboard.FieldColor,
    colours: Mapping[str, str] | None = None,
    steps: dashboard.ThresholdsConfig | None = None,
    stacked: bool = False,
    width: int = 12,
    height: int = 8,
    maximum: float | None = None,
    span: str = "",
) -> timeseries.Panel:
    """Lines over time from zero up; `colours` gives series their colours by name, `steps` draws thresholds."""
    legend = (
        common.VizLegendOptions()
        .display_mode(common_models.LegendDisplayMode.LIST)
        .placement(common_models.LegendPlacement.BOTTOM)
        .show_legend(True)
        .calcs(["lastNotNull"])
        .sort_by("Last *")
        .sort_desc(True)
    )
    tooltip = (
        common.VizTooltipOptions().mode(common_models.TooltipDisplayMode.MULTI).sort(common_models.SortOrder.DESCENDING)
    )
    panel = (
        dressed(timeseries.Panel(), about, unit=unit, width=width, height=height)
        .min(0)
        .color_scheme(colour)
        .axis_soft_max(1 if maximum is None else maximum)
        .max_data_points(CHART_POINTS)
        .line_width(2)
        .fill_opacity(40 if stacked else 0)
        .show_points(common_models.VisibilityMode.AUTO)
        .legend(legend)
        .tooltip(tooltip)
        .targets([_series(query) for query in queries])
    )
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(common_models.StackingMode.NORMAL).group("A"))
    if maximum is not None:
        panel = panel.max(maximum)
    if span:
        panel = panel.time_from(span)
    if steps is not None:
        panel = panel.thresholds(steps).thresholds_style(
            common.GraphThresholdsStyleConfig().mode(common_models.GraphThresholdsStyleMode.DASHED)
        )
    for name, series_colour in (colours or {}).items():
        panel = panel.override_by_name(
            name,
            [dashboard_models.DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": series_colour})],
        )
    return panel


def timeline(
    about: About,
    *queries: Query,
    words: Mapping[str, tuple[str, str]],
    width: int = 12,
    height: int = 8,
) -> statetimeline.Panel:
    """States over time, one bar for each series; `words` says what each value means and its colour."""
    return (
        dressed(statetimeline.Panel(), about, unit="none", width=width, height=height)
        .mappings(mapped(words))
        .color_scheme(fixed(palette.AT_REST))
        .show_value(common_models.VisibilityMode.NEVER)
        .row_height(0.8)
        .merge_values(True)
        .legend(
            common.VizLegendOptions()
            .display_mode(common_models.LegendDisplayMode.LIST)
            .placement(common_models.LegendPlacement.BOTTOM)
            .show_legend(True)
            .calcs([])
        )
        .tooltip(common.VizTooltipOptions().mode(common_models.TooltipDisplayMode.SINGLE))
        .targets([_series(query) for query in queries])
    )


def grid(
    about: About,
    queries: Sequence[Query],
    columns: Sequence[Column],
    *,
    sort_by: str,
    descending: bool = False,
    width: int = 24,
    height: int = 12,
    hide: Sequence[str] = (),
) -> table.Panel:
    """
    One row for each combination of labels: the queries' answers merged by the labels that they share.

    A label that has no column, and the value of a query that only brings a label, are left out.
    """
    order: dict[str, object] = {}
    names: dict[str, object] = {}
    for index, column in enumerate(columns):
        source = f"Value #{column.source}" if column.source in {query.name for query in queries} else column.source
        order[source] = index
        names[source] = column.title
    hidden: dict[str, object] = {name: True for name in ("Time", "cluster", *hide) if name not in order}
    hidden |= {f"Value #{query.name}": True for query in queries if f"Value #{query.name}" not in order}
    panel = dressed(table.Panel(), about, unit="none", width=width, height=height).show_header(True)
    panel = (
        panel.color_scheme(fixed(palette.AT_REST))
        .thresholds(thresholds(base=palette.AT_REST))
        .filterable(True)
        .cell_height(common_models.TableCellHeight.SM)
        .sort_by([common.TableSortByFieldState().display_name(sort_by).desc(descending)])
        .targets([_target(query).format(PromQueryFormat.TABLE).instant() for query in queries])
        .with_transformation(dashboard_models.DataTransformerConfig(id_val="merge", options={}))
        .with_transformation(
            dashboard_models.DataTransformerConfig(
                id_val="organize",
                options={"excludeByName": hidden, "indexByName": order, "renameByName": names},
            )
        )
    )
    for column in columns:
        # What stands for the whole table while it is empty would otherwise stand in each empty cell.
        properties = {"noValue": "-", **column.properties}
        panel = panel.override_by_name(
            column.title,
            [dashboard_models.DynamicConfigValue(id_val=key, value=value) for key, value in properties.items()],
        )
    return panel
