"""What the three dashboards share: variables, links to each other, annotations, and how they behave."""

from collections.abc import Sequence

from grafana_foundation_sdk.builders import dashboard, stat
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as models

from grafana import palette
from grafana.alerts import CHOSEN
from grafana.panels import DATASOURCE, About, Query, figure
from grafana.queries import ACCOUNT, EXPORTER, UP, once

# What Grafana 11.0 writes. A later Grafana migrates an older schema, an earlier one refuses to migrate a newer.
SCHEMA_VERSION = 39

TITLES = {
    "campaign-exporter-campaigns": "Campaigns",
    "campaign-exporter-campaign": "Campaign",
    "campaign-exporter-exporter": "Campaign exporter",
}
"""Titles of the dashboards by their uid."""

VARIABLES = ("datasource", "job", "instance", "cluster", "provider", "account", "campaign")


class PrometheusAnnotation(models.AnnotationQuery):
    """
    An annotation with the fields that the Prometheus data source reads and the SDK's type lacks.

    See https://grafana.com/docs/grafana/latest/datasources/prometheus/annotations/.
    """

    def __init__(self, name: str, colour: str, expr: str, *, title: str, text: str, at_value: bool) -> None:
        super().__init__(name=name, datasource=DATASOURCE, icon_color=colour, expr=expr)
        self.title = title
        self.text = text
        self.at_value = at_value

    def to_json(self) -> dict[str, object]:
        return super().to_json() | {
            # Newer versions read the query from here, older ones from `expr`.
            "target": {"datasource": self.datasource, "expr": self.expr, "refId": "Annotation"},
            "titleFormat": self.title,
            "textFormat": self.text,
            "useValueForTime": self.at_value,
        }


_ALERTS = f'ALERTS{{alertname=~"Campaign.+", alertstate="firing", severity="critical", {CHOSEN}}}'
_RELOADS = f"campaign_exporter_config_last_reload_success_timestamp_seconds{{{EXPORTER}}} * 1000"


def _annotations() -> list[models.AnnotationQuery]:
    return [
        PrometheusAnnotation(
            "Alerts that page",
            palette.BAD,
            _ALERTS,
            title="{{alertname}}",
            text="{{severity}} {{account}} {{campaign}}",
            at_value=False,
        ),
        PrometheusAnnotation(
            "Reloads", palette.SET_BY_PEOPLE, _RELOADS, title="Configuration loaded", text="{{instance}}", at_value=True
        ),
    ]


def _choice(name: str, query: str, *, single: bool = False, every: str = ".+") -> dashboard.QueryVariable:
    variable = (
        dashboard.QueryVariable(name)
        .label(name.capitalize())
        .datasource(DATASOURCE)
        .query({"qryType": 1, "query": query, "refId": "PrometheusVariableQueryEditor-VariableQuery"})
        .multi(not single)
        .include_all(not single)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_CASE_INSENSITIVE_ASC)
    )
    if single:
        return variable
    return variable.all_value(every).current(models.VariableOption(selected=True, text=["All"], value=["$__all"]))


def _variables(*, single: bool) -> list[Builder[models.VariableModel]]:
    accounts = "campaign_exporter_campaigns"
    return [
        dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"),
        _choice("job", "label_values(campaign_exporter_build_info, job)"),
        _choice("instance", 'label_values(campaign_exporter_build_info{job=~"$job"}, instance)'),
        # Where targets have no such label, all of it matches what is not there.
        _choice("cluster", 'label_values(campaign_exporter_build_info{job=~"$job"}, cluster)', every=".*"),
        _choice("provider", f"label_values({accounts}{{{EXPORTER}}}, provider)"),
        _choice("account", f'label_values({accounts}{{{EXPORTER}, provider=~"$provider"}}, account)'),
        _choice("campaign", f"label_values(campaign_up{{{ACCOUNT}}}, campaign)", single=single),
    ]


def _links(uid: str) -> list[Builder[models.DashboardLink]]:
    return [
        dashboard.DashboardLink(title)
        .type(models.DashboardLinkType.LINK)
        .url(f"/d/{other}")
        .icon("dashboard")
        .tooltip(f"{title}, with the same time and choices")
        .include_vars(True)
        .keep_time(True)
        for other, title in TITLES.items()
        if other != uid
    ]


def exporter_up() -> stat.Panel:
    """The first tile of every dashboard: without the exporter nothing else is current."""
    return figure(
        About(
            "Exporter",
            "Whether the exporter answers Prometheus.",
            "Down when one of the chosen targets has no instance that answers, gone when no target was an exporter"
            " within a day: then nothing else here is current.",
            "gone",
        ),
        Query(f"min({once(UP)}) or vector(-1)"),
        words={"1": ("up", palette.GOOD), "0": ("down", palette.BAD), "-1": ("gone", palette.BAD)},
    )


Row = Sequence[Builder[models.Panel]]


def assembled(uid: str, description: str, *rows: Row, single: bool = False) -> models.Dashboard:
    """A whole dashboard: its rows in reading order; `single` where it shows one campaign only."""
    builder = (
        dashboard.Dashboard(TITLES[uid])
        .uid(uid)
        .description(description)
        .tags(["campaign-exporter"])
        .readonly()
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .time("now-6h", "now")
        .refresh("30s")
        .timezone("browser")
        .variables(_variables(single=single))
        .links(_links(uid))
    )
    for panel in (panel for row in rows for panel in row):
        builder = builder.with_panel(panel)
    whole = builder.build()
    whole.schema_version = SCHEMA_VERSION
    whole.annotations = models.AnnotationContainer(list_val=_annotations())
    for number, placed in enumerate(whole.panels or [], start=1):
        placed.id_val = number
    return whole
