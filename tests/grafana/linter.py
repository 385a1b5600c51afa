"""
The rules of Grafana's dashboard-linter (https://github.com/grafana/dashboard-linter), each as a function.

A rule takes a dashboard and tells its faults; none is an exclusion. Where the linter looks at some types of panels
only, or at the end of a selector's text, the rule here looks at all.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from tests.grafana.promql import Selector, filled_in, parse_errors, selectors

Dashboard = dict[str, Any]
Rule = Callable[[Dashboard], list[str]]

# Of the units that https://grafana.com/docs/grafana/latest/panels-visualizations/configure-standard-options/ offers,
# the identifiers that these dashboards have a use for.
UNITS = {"none", "short", "percentunit", "s", "bytes", "reqps", "suffix: /min", "dateTimeFromNow", "bool_on_off"}


def _panels(dashboard: Dashboard) -> list[dict[str, Any]]:
    return [inner for panel in dashboard["panels"] for inner in (panel, *panel.get("panels", []))]


def _targets(dashboard: Dashboard) -> Iterator[tuple[str, dict[str, Any]]]:
    for panel in _panels(dashboard):
        for target in panel.get("targets", []):
            yield f"{panel.get('title')}, {target.get('refId')}", target


def _selectors(dashboard: Dashboard) -> Iterator[tuple[str, Selector]]:
    for place, target in _targets(dashboard):
        for selector in selectors(target.get("expr", "")):
            yield place, selector


def _variables(dashboard: Dashboard, kind: str) -> list[dict[str, Any]]:
    return [variable for variable in dashboard["templating"]["list"] if variable["type"] == kind]


def template_datasource(dashboard: Dashboard) -> list[str]:
    sources = _variables(dashboard, "datasource")
    named = [(source["name"], source.get("label")) for source in sources]
    return [] if named == [("datasource", "Data source")] else [f"data source variables {named}"]


def _template(dashboard: Dashboard, name: str) -> list[str]:
    expected = {
        "type": "query",
        "label": name.capitalize(),
        "multi": True,
        "allValue": ".+",
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
    }
    variable: dict[str, Any] = next((v for v in dashboard["templating"]["list"] if v["name"] == name), {})
    return [f"{name}: {key} is {variable.get(key)!r}" for key, value in expected.items() if variable.get(key) != value]


def template_job(dashboard: Dashboard) -> list[str]:
    return _template(dashboard, "job")


def template_instance(dashboard: Dashboard) -> list[str]:
    return _template(dashboard, "instance")


def template_label_promql(dashboard: Dashboard) -> list[str]:
    queries = [(variable["name"], variable["query"]["query"]) for variable in _variables(dashboard, "query")]
    shape = re.compile(r"(label_names|metrics|query_result)\(.*\)|label_values\([\w:]+(\{[^{}]+\})?, \w+\)")
    return [f"{name}: {query}" for name, query in queries if not shape.fullmatch(query)]


def template_on_time_change_reload(dashboard: Dashboard) -> list[str]:
    return [variable["name"] for variable in _variables(dashboard, "query") if variable.get("refresh") != 2]


def panel_datasource(dashboard: Dashboard) -> list[str]:
    return [panel["title"] for panel in _panels(dashboard) if panel.get("datasource", {}).get("uid") != "${datasource}"]


def panel_title_description(dashboard: Dashboard) -> list[str]:
    return [str(panel["id"]) for panel in _panels(dashboard) if not (panel.get("title") and panel.get("description"))]


def panel_units(dashboard: Dashboard) -> list[str]:
    faults = []
    for panel in _panels(dashboard):
        config = panel["fieldConfig"]
        units = [config["defaults"].get("unit")]
        units += [
            entry["value"]
            for override in config["overrides"]
            for entry in override["properties"]
            if entry["id"] == "unit"
        ]
        faults += [f"{panel['title']}: {unit}" for unit in units if unit not in UNITS]
    return faults


def panel_no_targets(dashboard: Dashboard) -> list[str]:
    # The list of alerts asks Grafana's ruler, not a data source.
    return [panel["title"] for panel in _panels(dashboard) if panel["type"] != "alertlist" and not panel.get("targets")]


def _loki(dashboard: Dashboard) -> list[tuple[str, str]]:
    loki_for_all = any(variable["query"] == "loki" for variable in _variables(dashboard, "datasource"))
    return [
        (place, target.get("expr", ""))
        for place, target in _targets(dashboard)
        if loki_for_all or target.get("datasource", {}).get("type") == "loki"
    ]


def target_logql(dashboard: Dashboard) -> list[str]:
    # Stricter than the linter, which parses LogQL: nothing here is meant for Loki, and nothing could judge it.
    return [f"{place}: {expr}" for place, expr in _loki(dashboard)]


def target_logql_auto(dashboard: Dashboard) -> list[str]:
    return [f"{place}: {expr}" for place, expr in _loki(dashboard) if re.search(r"\[(?!\$__auto\])", expr)]


def target_promql(dashboard: Dashboard) -> list[str]:
    return parse_errors([filled_in(target.get("expr", "")) for _, target in _targets(dashboard)])


def target_rate_interval(dashboard: Dashboard) -> list[str]:
    return [
        f"{place}: [{selector.window}]"
        for place, selector in _selectors(dashboard)
        if selector.window not in {"", "$__rate_interval"}
    ]


def _target_matcher(dashboard: Dashboard, label: str) -> list[str]:
    return [
        f"{place}: {selector.metric}"
        for place, selector in _selectors(dashboard)
        # An alert has the labels of its rule, not of a target.
        if (label, "=~", json.dumps(f"${label}")) not in selector.matchers and not selector.metric.startswith("ALERTS")
    ]


def target_job(dashboard: Dashboard) -> list[str]:
    return _target_matcher(dashboard, "job")


def target_instance(dashboard: Dashboard) -> list[str]:
    return _target_matcher(dashboard, "instance")


def target_counter_agg(dashboard: Dashboard) -> list[str]:
    return [
        f"{place}: {selector.metric}"
        for place, selector in _selectors(dashboard)
        if selector.metric.endswith(("_total", "_bucket", "_sum", "_count"))
        and (selector.function not in {"rate", "irate", "increase"} or not selector.window)
    ]


def uneditable_dashboard(dashboard: Dashboard) -> list[str]:
    return [] if dashboard.get("editable") is False else ["editable"]


RULES: tuple[Rule, ...] = (
    template_datasource,
    template_job,
    template_instance,
    template_label_promql,
    template_on_time_change_reload,
    panel_datasource,
    panel_title_description,
    panel_units,
    panel_no_targets,
    target_logql,
    target_logql_auto,
    target_promql,
    target_rate_interval,
    target_job,
    target_instance,
    target_counter_agg,
    uneditable_dashboard,
)
