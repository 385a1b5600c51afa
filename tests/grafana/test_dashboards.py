"""What a person may rely on, whatever the dashboard: the same words, numbers, colours and ways about."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from exporter.campaign.standing import BUSY, Standing
from grafana import build, palette, states, thresholds
from grafana.build import ROOT
from grafana.shell import TITLES, VARIABLES
from tests.grafana.promql import parse_errors, selectors

Dashboard = dict[str, Any]

UIDS = {"campaign-exporter-campaigns", "campaign-exporter-campaign", "campaign-exporter-exporter"}
COLOURS = {value for name, value in vars(palette).items() if name.isupper() and isinstance(value, str)}
RULES = ROOT / "deploy" / "prometheus" / "rules" / "campaign-exporter.rules.yml"


def panels(dashboards: dict[str, Dashboard]) -> Iterator[dict[str, Any]]:
    for dashboard in dashboards.values():
        yield from dashboard["panels"]


def targets(dashboards: dict[str, Dashboard]) -> Iterator[dict[str, Any]]:
    for panel in panels(dashboards):
        yield from panel.get("targets", [])


def values_of(key: str, node: object) -> Iterator[Any]:
    """Every value that stands under a key, however deep."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name == key:
                yield value
            yield from values_of(key, value)
    elif isinstance(node, list):
        for value in node:
            yield from values_of(key, value)


def test_what_is_committed_is_what_the_code_builds() -> None:
    built = build.dashboards()

    assert {path: path.read_text(encoding="utf-8") for path in (ROOT / "grafana" / "dashboards").glob("*")} == built
    assert build.DOCUMENT.read_text(encoding="utf-8") == build.document(list(built.values()))


def test_the_uids_are_those_that_alerts_and_links_name(dashboards: dict[str, Dashboard]) -> None:
    assert {dashboard["uid"] for dashboard in dashboards.values()} == UIDS == set(TITLES) == set(dashboards)


def test_the_document_tells_every_panel_and_its_purpose_in_its_dashboards_section(
    dashboards: dict[str, Dashboard],
) -> None:
    sections = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", build.DOCUMENT.read_text(encoding="utf-8"), re.M | re.S))

    for dashboard in dashboards.values():
        told = re.findall(r"^\| (?!Panel|---)(.+?) \| (.+?) \|$", sections[dashboard["title"]], re.M)
        assert told == [(panel["title"], panel["description"].splitlines()[0]) for panel in dashboard["panels"]]


def test_every_panel_says_what_it_is_for_in_which_unit_and_what_it_means_when_empty(
    dashboards: dict[str, Dashboard],
) -> None:
    for panel in panels(dashboards):
        defaults = panel["fieldConfig"]["defaults"]
        purpose, _, detail = panel["description"].partition("\n\n")

        assert panel["title"]
        assert purpose.endswith(".")
        assert detail.endswith(".")
        assert defaults["unit"]
        assert defaults["noValue"]


def test_titles_and_numbers_of_panels_are_unique(dashboards: dict[str, Dashboard]) -> None:
    for dashboard in dashboards.values():
        titles = [panel["title"] for panel in dashboard["panels"]]

        assert len(set(titles)) == len(titles)
        assert [panel["id"] for panel in dashboard["panels"]] == list(range(1, len(titles) + 1))


def test_panels_lie_side_by_side_within_the_grid(dashboards: dict[str, Dashboard]) -> None:
    for dashboard in dashboards.values():
        places = [panel["gridPos"] for panel in dashboard["panels"]]
        cells = Counter(
            (x, y)
            for place in places
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        )

        assert max(cells.values()) == 1
        assert {x for x, _ in cells} == set(range(24))
        assert len(cells) == 24 * max(place["y"] + place["h"] for place in places)


def test_variables_are_the_same_everywhere_and_take_several_or_all(dashboards: dict[str, Dashboard]) -> None:
    for dashboard in dashboards.values():
        source, *choices = dashboard["templating"]["list"]

        assert (source["type"], source["query"]) == ("datasource", "prometheus")
        assert tuple(variable["name"] for variable in [source, *choices]) == VARIABLES
        # The page of one campaign shows one.
        single = {"campaign"} if dashboard["uid"] == "campaign-exporter-campaign" else set()
        several = [variable for variable in choices if variable["name"] not in single]
        assert {variable["name"] for variable in choices if not variable["multi"]} == single
        assert {variable["name"] for variable in choices if not variable["includeAll"]} == single
        assert all(variable["current"]["value"] == ["$__all"] for variable in several)


def test_all_clusters_match_targets_that_name_none(dashboards: dict[str, Dashboard]) -> None:
    for dashboard in dashboards.values():
        (every,) = (v["allValue"] for v in dashboard["templating"]["list"] if v["name"] == "cluster")

        assert every == ".*"


def test_a_variable_offers_only_what_the_ones_before_it_leave(dashboards: dict[str, Dashboard]) -> None:
    for dashboard in dashboards.values():
        names = [variable["name"] for variable in dashboard["templating"]["list"]]
        for number, variable in enumerate(dashboard["templating"]["list"][1:], start=1):
            used = set(re.findall(r"\$(\w+)", variable["query"]["query"]))

            assert used <= set(names[1:number])


def test_queries_count_replicas_once(dashboards: dict[str, Dashboard]) -> None:
    for panel in panels(dashboards):
        for target in panel["targets"]:
            assert "max without (instance, pod) (" in target["expr"] or panel["title"] == "Instances"


def test_queries_ask_for_raw_series_and_obey_every_variable_that_these_have(dashboards: dict[str, Dashboard]) -> None:
    process = re.compile(r"campaign_exporter_(build|config|label|poll_lag|log|shard|scrape|web)|process_|up$")
    account = re.compile(r"campaign_(account|exporter)_")

    for target in targets(dashboards):
        for selector in selectors(target["expr"]):
            if selector.metric.startswith("ALERTS"):
                # An alert on an account has no campaign, and one on a shard no instance.
                chosen = [("alertname", "=~", '"Campaign.+"')]
                chosen += [(n, "=~", f'"${n}|"') for n in ("job", "cluster", "provider", "account", "campaign")]
                assert list(selector.matchers[: len(chosen)]) == chosen
                continue
            expected = ["job", "instance", "cluster", "provider", "account", "campaign"]
            if process.match(selector.metric):
                expected = expected[:3]
            elif account.match(selector.metric):
                expected = expected[:5]

            assert ":" not in selector.metric
            assert list(selector.matchers[: len(expected)]) == [(name, "=~", f'"${name}"') for name in expected]


def test_references_of_queries_are_unique_within_a_panel(dashboards: dict[str, Dashboard]) -> None:
    for panel in panels(dashboards):
        names = [target["refId"] for target in panel.get("targets", [])]

        assert len(set(names)) == len(names)


def grouping(expr: str) -> list[str]:
    """The labels that an aggregation leaves, where one stands around the whole expression."""
    by = re.match(r"\w+ by \((.*?)\)", expr)
    assert by
    return by[1].split(", ")


def test_a_table_has_a_column_for_everything_that_it_arranges(dashboards: dict[str, Dashboard]) -> None:
    for panel in panels(dashboards):
        if panel["type"] != "table":
            continue
        queries = {f"Value #{target['refId']}" for target in panel["targets"]}
        labels = {label for target in panel["targets"] for label in grouping(target["expr"])}
        merge, organize = panel["transformations"]
        shown = organize["options"]["renameByName"]
        hidden = set(organize["options"]["excludeByName"])
        titles = set(shown.values())

        assert (merge["id"], organize["id"]) == ("merge", "organize")
        assert shown.keys() | hidden == queries | labels | {"Time"}
        assert not shown.keys() & hidden
        assert sorted(organize["options"]["indexByName"].values()) == list(range(len(shown)))
        assert {override["matcher"]["options"] for override in panel["fieldConfig"]["overrides"]} <= titles
        assert panel["options"]["sortBy"][0]["displayName"] in titles


def test_each_dashboard_leads_to_the_others_with_time_and_choices(dashboards: dict[str, Dashboard]) -> None:
    for dashboard in dashboards.values():
        links = dashboard["links"]

        assert {link["url"] for link in links} == {f"/d/{uid}" for uid in UIDS - {dashboard["uid"]}}
        assert all(link["includeVars"] and link["keepTime"] for link in links)


def test_a_row_of_the_wall_leads_to_its_campaign_with_time_and_choices(dashboards: dict[str, Dashboard]) -> None:
    wall = dashboards["campaign-exporter-campaigns"]
    table = next(panel for panel in wall["panels"] if panel["title"] == "All campaigns")
    links, of_id = (
        entry["value"]
        for override in table["fieldConfig"]["overrides"]
        for entry in override["properties"]
        if entry["id"] == "links"
    )
    assert links == of_id
    path, _, question = links[0]["url"].partition("?")

    assert path == "/d/campaign-exporter-campaign"
    assert question.split("&") == [
        "${__url_time_range}",
        "${datasource:queryparam}",
        "${job:queryparam}",
        "${instance:queryparam}",
        "${cluster:queryparam}",
        "var-provider=${__data.fields.Provider:percentencode}",
        "var-account=${__data.fields.Account:percentencode}",
        "var-campaign=${__data.fields.Id:percentencode}",
    ]


def test_alerts_that_page_and_reloads_are_marked_on_every_chart(dashboards: dict[str, Dashboard]) -> None:
    for dashboard in dashboards.values():
        alerts, reloads = dashboard["annotations"]["list"]
        marks = [alerts["target"]["expr"], reloads["target"]["expr"]]

        assert [alerts["expr"], reloads["expr"]] == marks
        assert marks[0].startswith('ALERTS{alertname=~"Campaign.+", alertstate="firing", severity="critical"')
        assert marks[1].startswith("campaign_exporter_config_last_reload_success_timestamp_seconds{")
        assert reloads["useValueForTime"]
        assert alerts["enable"]
        assert reloads["enable"]
        assert parse_errors(marks) == []


def test_an_older_grafana_is_not_given_a_newer_schema(dashboards: dict[str, Dashboard]) -> None:
    assert {dashboard["schemaVersion"] for dashboard in dashboards.values()} == {39}


def test_every_colour_has_a_meaning(dashboards: dict[str, Dashboard]) -> None:
    used = {
        colour
        for key in ("color", "fixedColor", "iconColor")
        for colour in values_of(key, list(dashboards.values()))
        if isinstance(colour, str)
    }

    assert used == COLOURS


def test_a_series_has_one_colour_on_all_panels(dashboards: dict[str, Dashboard]) -> None:
    colours: dict[str, set[str]] = {}
    for panel in panels(dashboards):
        for override in panel["fieldConfig"]["overrides"]:
            for entry in override["properties"]:
                if entry["id"] == "color" and entry["value"]["mode"] == "fixed":
                    colours.setdefault(override["matcher"]["options"], set()).add(entry["value"]["fixedColor"])

    assert {name for name, several in colours.items() if len(several) > 1} == set()


# Complete deficiency, in linear RGB: Machado, Oliveira and Fernandes, A Physiologically-based Model for Simulation of
# Color Vision Deficiency, 2009, table 1.
EYES = {
    "ordinary": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    "protanope": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranope": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritanope": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}
Triple = tuple[float, float, float]


def linear(colour: str) -> list[float]:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    return [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]


def seen(colour: str, eye: tuple[Triple, Triple, Triple]) -> Triple:
    """CIELAB of a colour as an eye sees it."""
    light = linear(colour)
    r, g, b = (min(1.0, max(0.0, sum(weight * part for weight, part in zip(row, light, strict=True)))) for row in eye)
    x, y, z = (
        value ** (1 / 3) if value > 0.008856 else 7.787 * value + 16 / 116
        for value in (
            (0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.95047,
            0.2126 * r + 0.7152 * g + 0.0722 * b,
            (0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.08883,
        )
    )
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


@pytest.mark.parametrize("eye", EYES)
def test_every_eye_tells_all_colours_apart(eye: str) -> None:
    # A distance of 2.3 is just noticeable; 12 is told apart at a glance.
    points = {colour: seen(colour, EYES[eye]) for colour in COLOURS}
    close = [
        (one, other)
        for one, first in points.items()
        for other, second in points.items()
        if one < other and sum((a - b) ** 2 for a, b in zip(first, second, strict=True)) ** 0.5 < 12
    ]

    assert close == []


def rule(name: str) -> str:
    """Expression of an alert or of a recorded series, on one line."""
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    (expr,) = (
        entry["expr"]
        for group in groups
        for entry in group["rules"]
        if name in (entry.get("alert"), entry.get("record"))
    )
    return " ".join(expr.split())


def seconds(step: str) -> int:
    return int(step[:-1]) * {"s": 1, "m": 60, "h": 3600}[step[-1]]


@pytest.mark.parametrize(
    ("name", "pattern", "number"),
    [
        (
            "CampaignConcurrencySaturated",
            r"(?:ratio_rate30m\{[^}]*\}|\[30m\]\)) > ([\d.]+)",
            thresholds.SATURATED_SHARE,
        ),
        ("CampaignFailureRateHigh", r"ratio_increase1h\{[^}]*\} > ([\d.]+)", thresholds.FAILED_SHARE),
        ("CampaignExhaustionHigh", r"ratio_increase3h\{[^}]*\} > ([\d.]+)", thresholds.EXHAUSTED_SHARE),
        ("CampaignExporterPollsLate", r"> ([\d.]+)$", thresholds.POLL_LAG_SECONDS),
        ("CampaignExporterPollsLate", r"histogram_quantile\(([\d.]+)", thresholds.POLL_LAG_QUANTILE),
        ("CampaignExporterThrottled", r"> ([\d.]+)$", thresholds.INTERVAL_STRETCH),
    ],
)
def test_a_threshold_is_that_of_its_alert(name: str, pattern: str, number: float) -> None:
    assert [float(found) for found in re.findall(pattern, rule(name))] == [number]


def test_an_account_is_busy_at_the_threshold_of_its_alert() -> None:
    assert BUSY == thresholds.SATURATED_SHARE


@pytest.mark.parametrize(
    ("record", "step"),
    [
        ("campaign:calls:increase1h", thresholds.FAILED_MIN_STEP),
    ],
)
def test_a_share_is_taken_over_the_time_of_its_alert(record: str, step: str) -> None:
    (window,) = set(re.findall(r"\[(\w+)\]", rule(record)))

    assert 4 * seconds(step) == seconds(window)


def contrast(colour: str, ground: str) -> float:
    def brightness(of: str) -> float:
        r, g, b = linear(of)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05

    lighter, darker = sorted((brightness(colour), brightness(ground)), reverse=True)
    return lighter / darker


@pytest.mark.parametrize("ground", ["#181b1f", "#ffffff"], ids=["dark", "light"])
def test_every_colour_can_be_read_in_both_themes(ground: str) -> None:
    assert {colour for colour in COLOURS if contrast(colour, ground) < 3} == set()


def test_what_has_no_data_is_never_green(dashboards: dict[str, Dashboard]) -> None:
    for panel in panels(dashboards):
        if panel["type"] == "stat":
            defaults = panel["fieldConfig"]["defaults"]
            without_data = defaults["color"].get("fixedColor") or defaults["thresholds"]["steps"][0]["color"]

            assert without_data != palette.GOOD, panel["title"]


def test_a_chart_has_at_most_400_points(dashboards: dict[str, Dashboard]) -> None:
    assert all(0 < p["maxDataPoints"] <= 400 for p in panels(dashboards) if p["type"] in {"timeseries", "heatmap"})


def test_the_wall_knows_every_state_of_a_campaign() -> None:
    assert [state.name for state in states.STATES] == list(dict.fromkeys(state.name for state in states.STATES))
    assert {state.name for state in states.STATES} == set(Standing)


def test_every_threshold_of_a_panel_is_a_named_one(dashboards: dict[str, Dashboard]) -> None:
    named = {value for name, value in vars(thresholds).items() if name.isupper() and isinstance(value, float)}
    drawn = {
        step["value"]
        for steps in values_of("steps", list(dashboards.values()))
        for step in steps
        if step["value"] is not None
    }

    # A count of things that should not be is good at 0 and not from 1 on.
    assert drawn <= named | {0, 1}


def test_the_document_tells_the_meaning_of_every_colour() -> None:
    told = re.findall(r"^\| [\w ]+ `(#\w{6})` \|", build.DOCUMENT.read_text(encoding="utf-8"), re.M)

    assert sorted(told) == sorted(COLOURS)
