"""
Building blocks that carry the conventions of every panel: title, purpose, unit, what stands where no value is.

A colour is always one of `palette`; a threshold always one of `thresholds`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from grafana_foundation_sdk.builders import (
    common,
    dashboard,
    heatmap,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as dashboard_models
from grafana_foundation_sdk.models import heatmap as heatmap_models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from grafana import palette

DATASOURCE = dashboard_models.DataSourceRef(type_val="prometheus", uid="${datasource}")

CHART_POINTS = 100
"""Steps of five minutes in six hours, of half a minute in one: smooth over the first, exact over the second."""

SMOOTH_POINTS = 45
"""Steps of ten minutes in six hours, of one in one: for what happens a few times a minute."""

FIGURE_SIZE = 20
"""Pixels of the text of a single value."""

AnyPanel = TypeVar("AnyPanel", heatmap.Panel, stat.Panel, statetimeline.Panel, table.Panel, timeseries.Panel)


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


def target(query: Query) -> prometheus.Dataquery:
    """A query as its panel holds it, without saying whether it is about a moment or a span of time."""
    built = prometheus.Dataquery().datasource(DATASOURCE).expr(query.expr).ref_id(query.name)
    if query.min_step:
        built = built.interval(query.min_step)
    if query.exemplars:
        built = built.exemplar(True)
    return built


def _series(query: Query) -> prometheus.Dataquery:
    return target(query).legend_format(query.legend).format(PromQueryFormat.TIME_SERIES).range()


def _latest(query: Query) -> prometheus.Dataquery:
    return target(query).legend_format(query.legend).format(PromQueryFormat.TIME_SERIES).instant()


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
    steps: dashboard.ThresholdsConfig | None = None,
    words: Mapping[str, tuple[str, str]] | None = None,
    plain: bool = False,
    link: str = "",
    width: int = 3,
    decimals: int | None = None,
) -> stat.Panel:
    """
    One value, or one for each series.

    It stands on a ground of its colour where thresholds or words give it one, unless it is `plain`: then it is in the
    colour of text, as a number is that is neither good nor bad.
    """
    coloured = not plain and (steps is not None or words is not None)
    mode = common_models.BigValueColorMode.BACKGROUND_SOLID if coloured else common_models.BigValueColorMode.NONE
    panel = (
        dressed(stat.Panel(), about, unit=unit, width=width, height=3)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False).fields(""))
        .color_mode(mode)
        .graph_mode(common_models.BigValueGraphMode.NONE)
        .justify_mode(common_models.BigValueJustifyMode.CENTER)
        .orientation(common_models.VizOrientation.AUTO)
        .text_mode(common_models.BigValueTextMode.VALUE)
        .text(common.VizTextDisplayOptions().value_size(FIGURE_SIZE))
        .color_scheme(fixed(palette.AT_REST) if steps is None else by_threshold())
        .thresholds(steps or thresholds())
        .mappings(mapped(words or {}))
        .targets([_latest(query) for query in queries])
    )
    if decimals is not None:
        panel = panel.decimals(decimals)
    if link:
        links = [{"title": about.title, "url": link, "targetBlank": True}]
        panel = panel.override_by_query("A", [dashboard_models.DynamicConfigValue(id_val="links", value=links)])
    return panel


def _legend() -> common.VizLegendOptions:
    return (
        common.VizLegendOptions()
        .display_mode(common_models.LegendDisplayMode.LIST)
        .placement(common_models.LegendPlacement.BOTTOM)
        .show_legend(True)
        .calcs([])
    )


def _tooltip() -> common.VizTooltipOptions:
    every = common.VizTooltipOptions().mode(common_models.TooltipDisplayMode.MULTI)
    return every.sort(common_models.SortOrder.DESCENDING)


def _dashed() -> common.GraphThresholdsStyleConfig:
    return common.GraphThresholdsStyleConfig().mode(common_models.GraphThresholdsStyleMode.DASHED)


def _coloured(panel: timeseries.Panel, colours: Mapping[str, str]) -> timeseries.Panel:
    for name, of_series in colours.items():
        value = {"mode": "fixed", "fixedColor": of_series}
        panel = panel.override_by_name(name, [dashboard_models.DynamicConfigValue(id_val="color", value=value)])
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
    least_top: float = 1,
    span: str = "",
    points: int = CHART_POINTS,
) -> timeseries.Panel:
    """Lines over time from zero to `maximum`, or to `least_top` and more; `colours` are by the name of a series."""
    panel = (
        dressed(timeseries.Panel(), about, unit=unit, width=width, height=height)
        .min(0)
        .color_scheme(colour)
        .axis_soft_max(maximum or least_top)
        .max_data_points(points)
        .line_width(2)
        .fill_opacity(40 if stacked else 0)
        .show_points(common_models.VisibilityMode.AUTO)
        .legend(_legend())
        .tooltip(_tooltip())
        .targets([_series(query) for query in queries])
    )
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(common_models.StackingMode.NORMAL).group("A"))
    if maximum is not None:
        panel = panel.max(maximum)
    if span:
        panel = panel.time_from(span)
    if steps is not None:
        panel = panel.thresholds(steps).thresholds_style(_dashed())
    return _coloured(panel, colours or {})


def heat_map(about: About, query: Query, *, unit: str, width: int = 12, height: int = 8) -> heatmap.Panel:
    """How often each range of values occurs over time, from the buckets of a histogram; exemplars are its points."""
    shades = heatmap.HeatmapColorOptions().mode(heatmap_models.HeatmapColorMode.SCHEME).scheme("Blues")
    cells = target(query).legend_format("{{le}}").format(PromQueryFormat.HEATMAP).range()
    return (
        dressed(heatmap.Panel(), about, unit="none", width=width, height=height)
        .calculate(False)
        .color(shades.scale(heatmap_models.HeatmapColorScale.EXPONENTIAL).exponent(0.5))
        .y_axis(heatmap.YAxisConfig().unit(unit).axis_placement(common_models.AxisPlacement.LEFT))
        .cell_gap(1)
        .exemplars_color(palette.WARNING)
        .show_legend()
        .max_data_points(CHART_POINTS // 2)
        .targets([cells])
    )


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
        .legend(_legend())
        .tooltip(common.VizTooltipOptions().mode(common_models.TooltipDisplayMode.SINGLE))
        .targets([_series(query) for query in queries])
    )
