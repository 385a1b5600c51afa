import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.grafana.linter import RULES, Dashboard, Rule
from tests.grafana.promql import Selector, selectors

LOKI = {"type": "loki", "uid": "logs"}
JOB = 'job=~"$job", instance=~"$instance"'


def asking(**target: Any) -> Callable[[Dashboard], None]:
    """Make the first query of the dashboard another one."""

    def plant(dashboard: Dashboard) -> None:
        dashboard["panels"][0]["targets"][0] |= target

    return plant


def panel_with(**fields: Any) -> Callable[[Dashboard], None]:
    """Give the first panel other fields."""

    def plant(dashboard: Dashboard) -> None:
        dashboard["panels"][0] |= fields

    return plant


def variable_with(number: int, **fields: Any) -> Callable[[Dashboard], None]:
    """Give a variable other fields: 0 is the data source, 1 the job, 2 the instance."""

    def plant(dashboard: Dashboard) -> None:
        dashboard["templating"]["list"][number] |= fields

    return plant


def dashboard_with(**fields: Any) -> Callable[[Dashboard], None]:
    """Give the dashboard other fields."""

    def plant(dashboard: Dashboard) -> None:
        dashboard |= fields

    return plant


FAULTS: dict[str, list[Callable[[Dashboard], None]]] = {
    "template_datasource": [variable_with(0, name="source"), variable_with(0, label="Prometheus")],
    "template_job": [
        variable_with(1, name="jobs"),
        variable_with(1, multi=False),
        variable_with(1, allValue=".*"),
        variable_with(1, label="Jobs"),
        variable_with(1, datasource={"type": "prometheus", "uid": "prometheus"}),
    ],
    "template_instance": [variable_with(2, type="custom"), variable_with(2, allValue="")],
    "template_label_promql": [
        variable_with(1, query={"query": "label_value(up, job)"}),
        variable_with(1, query={"query": 'label_values(up{job="a", instance)'}),
    ],
    "template_on_time_change_reload": [variable_with(2, refresh=1)],
    "panel_datasource": [panel_with(datasource={"type": "prometheus", "uid": "prometheus"})],
    "panel_title_description": [panel_with(title=""), panel_with(description="")],
    "panel_units": [panel_with(fieldConfig={"defaults": {"unit": "campaigns"}, "overrides": []})],
    "panel_no_targets": [panel_with(targets=[])],
    "target_logql": [asking(datasource=LOKI, expr="{job=")],
    "target_logql_auto": [asking(datasource=LOKI, expr='rate({job="a"}[5m])')],
    "target_promql": [asking(expr=""), asking(expr="sum(up")],
    "target_rate_interval": [asking(expr=f"rate(process_cpu_seconds_total{{{JOB}}}[5m])")],
    "target_job": [
        asking(expr='up{instance=~"$instance"}'),
        asking(expr='up{job="$job", instance=~"$instance"}'),
        asking(expr=f"up{{{JOB}}} * on (job) vector(1) > scalar(up)"),
    ],
    "target_instance": [asking(expr='up{job=~"$job"}'), asking(expr='up{job=~"$job", instance=~".+"}')],
    "target_counter_agg": [
        asking(expr=f"sum(process_cpu_seconds_total{{{JOB}}})"),
        asking(expr=f"max_over_time(process_cpu_seconds_total{{{JOB}}}[$__rate_interval])"),
    ],
    "uneditable_dashboard": [dashboard_with(editable=True)],
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_dashboard_keeps_every_rule(dashboards: dict[str, Dashboard], rule: Rule) -> None:
    assert {name: rule(dashboard) for name, dashboard in dashboards.items()} == {name: [] for name in dashboards}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_rule_finds_its_planted_faults(dashboards: dict[str, Dashboard], rule: Rule) -> None:
    for plant in FAULTS[rule.__name__]:
        dashboard = copy.deepcopy(dashboards["campaign-exporter-campaigns"])
        plant(dashboard)

        assert rule(dashboard)


def test_there_are_the_seventeen_rules_of_the_linter() -> None:
    assert len({rule.__name__ for rule in RULES}) == 17


def test_selectors_are_told_from_functions_labels_and_words() -> None:
    expr = (
        'sum by (le) (rate(a_total{x=~"$y", z!="b}"}[$__rate_interval])) / on (job) group_left (team) '
        'max without (pod) (up) > bool 2 unless count_values("shard", b{c="("}) == inf'
    )

    assert selectors(expr) == [
        Selector("a_total", (("x", "=~", '"$y"'), ("z", "!=", '"b}"')), "$__rate_interval", "rate"),
        Selector("up", (), "", "max"),
        Selector("b", (("c", "=", '"("'),), "", "count_values"),
    ]
