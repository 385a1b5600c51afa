"""What the panels say of given series, as Prometheus itself works it out."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from grafana import states
from tests.grafana.promql import filled_in

Dashboard = dict[str, Any]
Samples = list[tuple[dict[str, str], float]]

TARGET = 'job="campaign-exporter", instance="a:10077"'
ACME = f'{TARGET}, provider="anyreach", account="acme"'
JUNE = f'{ACME}, campaign="june"'
EXPORTER = {f"campaign_exporter_build_info{{{TARGET}}}": "1x70"}
WORD = {name: float(weight) for weight, (name, _) in states.WORDS.items()}


def says(folder: Path, panel: dict[str, Any], series: dict[str, str], expected: Samples, *, query: str = "A") -> None:
    """Hold a query of a panel to its samples after 70 minutes of the series, which have a sample each minute."""
    (target,) = (target for target in panel["targets"] if target["refId"] == query)
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": filled_in(target["expr"], rate_interval="5m"),
                "eval_time": "70m",
                "exp_samples": [
                    {"labels": "{" + ", ".join(f"{k}={json.dumps(v)}" for k, v in labels.items()) + "}", "value": value}
                    for labels, value in expected
                ],
            }
        ],
    }
    file = folder / "test.json"
    file.write_text(json.dumps({"evaluation_interval": "1m", "tests": [test]}), encoding="utf-8")
    answer = subprocess.run(["promtool", "test", "rules", file], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr


@pytest.fixture
def panel(dashboards: dict[str, Dashboard]) -> Callable[[str, str], dict[str, Any]]:
    """Find a panel by the end of its dashboard's uid and its title."""

    def find(dashboard: str, title: str) -> dict[str, Any]:
        panels = dashboards[f"campaign-exporter-{dashboard}"]["panels"]
        return next(panel for panel in panels if panel["title"] == title)

    return find


Find = Callable[[str, str], dict[str, Any]]
OTHER_JOB = {'up{job="node", instance="b:9100"}': "0x70"}


@pytest.mark.parametrize(
    ("series", "value"),
    [
        (OTHER_JOB | EXPORTER | {f"up{{{TARGET}}}": "1x70"}, 1),
        ({f"campaign_exporter_build_info{{{TARGET}}}": "1x30 stale", f"up{{{TARGET}}}": "1x30 0x40"}, 0),
        (OTHER_JOB, -1),
    ],
    ids=["up", "down", "gone"],
)
def test_the_first_tile_judges_exporters_only(tmp_path: Path, panel: Find, series: dict[str, str], value: int) -> None:
    says(tmp_path, panel("campaigns", "Exporter"), series, [({}, value)])


def test_memory_is_that_of_exporters_only(tmp_path: Path, panel: Find) -> None:
    series = {f"process_resident_memory_bytes{{{TARGET}}}": "8x70"}
    series |= {'process_resident_memory_bytes{job="node", instance="b:9100"}': "9x70"}

    says(tmp_path, panel("exporter", "Memory"), EXPORTER | series, [({"job": "campaign-exporter"}, 8)])


def test_the_limit_is_that_of_the_chosen_campaigns_account(tmp_path: Path, panel: Find) -> None:
    series = {f'campaign_state{{{JUNE}, state="dialing"}}': "1x70"}
    series |= {f"campaign_account_concurrency_limit{{{ACME}}}": "10x70"}
    series |= {f"campaign_account_concurrency_limit{{{ACME.replace('acme', 'other')}}}": "5x70"}

    says(tmp_path, panel("campaign", "Calls at once"), series, [({}, 10)], query="Limit")


KEY = {"provider": "anyreach", "account": "acme", "campaign": "june"}


@pytest.mark.parametrize(
    ("left", "completed", "finish"),
    [
        # 30 fewer in an hour and 35 left: 70 minutes after the 70th minute.
        ("70-0.5x70", "0+0.5x70", (70 + 70) * 60 * 1000),
        ("50x70", "0+1x70", 0),
        ("50x70", "0x70", -1),
    ],
    ids=["falling", "refilled", "not falling"],
)
def test_the_finish_goes_by_the_net_fall_of_an_hour(
    tmp_path: Path, panel: Find, left: str, completed: str, finish: float
) -> None:
    series = {
        f'campaign_state{{{JUNE}, state="dialing"}}': "1x70",
        f'campaign_contacts{{{JUNE}, bucket="pending"}}': left,
        f'campaign_observed_contacts_total{{{JUNE}, bucket="completed"}}': completed,
    }

    says(tmp_path, panel("campaigns", "All campaigns"), series, [(KEY, finish)], query="Finish")


def test_a_campaign_without_a_name_is_shown_by_its_id(tmp_path: Path, panel: Find) -> None:
    july = JUNE.replace("june", "july")
    series = {
        f'campaign_info{{{JUNE}, campaign_id="june", campaign_name=""}}': "1x70",
        f'campaign_info{{{july}, campaign_id="july", campaign_name="July renewals"}}': "1x70",
    }
    expected: Samples = [(KEY | {"name": "june"}, 1), (KEY | {"campaign": "july", "name": "July renewals"}, 1)]

    says(tmp_path, panel("campaigns", "All campaigns"), series, expected, query="Name")


@pytest.mark.parametrize(
    ("state", "reason", "why", "advice"),
    [
        ("failing", "unauthorized", "unauthorized", 100.0),
        ("failing", "server_error", "server_error", 104.0),
        ("dialing", "server_error", "server_error", WORD["dialing"]),
        ("stalled", None, "should dial, does not", WORD["stalled"]),
        ("dialing", None, "calls go out", WORD["dialing"]),
    ],
)
def test_why_and_what_to_do_go_by_the_state_and_the_last_error(
    tmp_path: Path, panel: Find, state: str, reason: str | None, why: str, advice: float
) -> None:
    series = {f'campaign_state{{{JUNE}, state="{state}"}}': "1x70"}
    if reason:
        series[f'campaign_poll_error{{{JUNE}, reason="{reason}"}}'] = "1x70"
    value = 1 if reason else WORD[state]

    says(tmp_path, panel("campaigns", "All campaigns"), series, [(KEY | {"why": why}, value)], query="Why")
    says(tmp_path, panel("campaign", "What to do"), series, [(KEY, advice)])


def test_a_campaign_that_dials_under_an_alert_is_not_left_alone(tmp_path: Path, panel: Find) -> None:
    alert = 'job="campaign-exporter", alertname="CampaignFailureRateHigh", alertstate="firing", severity="warning"'
    series = {
        f'campaign_state{{{JUNE}, state="dialing"}}': "1x70",
        f'ALERTS{{{alert}, provider="anyreach", account="acme", campaign="june"}}': "1x70",
    }
    what_to_do = panel("campaign", "What to do")
    (mapping,) = what_to_do["fieldConfig"]["defaults"]["mappings"]

    says(tmp_path, what_to_do, series, [(KEY, 50)])
    assert mapping["options"]["50"]["text"] == "Follow the alert below: it dials, but not well"


@pytest.mark.parametrize("dashboard", ["campaigns", "campaign"])
def test_alerts_are_those_of_what_is_chosen_and_of_the_exporter(tmp_path: Path, panel: Find, dashboard: str) -> None:
    firing = 'job="campaign-exporter", alertstate="firing", severity="critical"'
    june = 'provider="anyreach", account="acme", campaign="june", campaign_name="June renewals"'
    series = {
        f'campaign_state{{{JUNE}, state="stalled"}}': "1x70",
        f'ALERTS{{alertname="CampaignStalled", {firing}, {june}}}': "1x70",
        f'ALERTS{{alertname="CampaignAccountUnauthorized", {firing}, provider="anyreach", account="other"}}': "1x70",
        f'ALERTS{{alertname="CampaignExporterDown", {firing}}}': "1x70",
    }
    stalled = {"alertname": "CampaignStalled", "provider": "anyreach", "account": "acme", "name": "June renewals"}
    down = {"alertname": "CampaignExporterDown", "account": "-", "name": "-"}

    says(tmp_path, panel(dashboard, "Firing alerts"), series, [(stalled, 3), (down, 3)], query="Severity")


def test_the_oldest_data_are_not_those_of_a_closed_campaign(tmp_path: Path, panel: Find) -> None:
    may = JUNE.replace("june", "may")
    series = {
        f'campaign_state{{{JUNE}, state="dialing"}}': "1x70",
        f'campaign_state{{{may}, state="closed"}}': "1x70",
        f"campaign_last_success_timestamp_seconds{{{JUNE}}}": "4190x70",
        f"campaign_last_success_timestamp_seconds{{{may}}}": "1200x70",
    }

    says(tmp_path, panel("exporter", "Oldest data"), series, [({}, 10)])


def test_a_share_is_that_of_the_last_hour_at_any_moment(tmp_path: Path, panel: Find) -> None:
    calls = f"campaign_observed_calls_total{{{JUNE.replace('anyreach', 'osvi')}, status="
    series = {f'{calls}"failed"}}': "0+1x70", f'{calls}"picked"}}': "0+3x70"}
    labels = {"job": "campaign-exporter", "provider": "osvi", "account": "acme", "campaign": "june"}

    says(tmp_path, panel("campaign", "Lost share"), series, [(labels, 0.25)])


def test_a_campaign_that_is_gone_has_no_row(tmp_path: Path, panel: Find) -> None:
    calls = f'campaign_observed_calls_total{{{JUNE}, status="failed"}}'

    says(tmp_path, panel("campaigns", "All campaigns"), {calls: "0+1x70"}, [], query="Lost")
