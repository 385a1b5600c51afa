"""The shipped rules, judged by promtool, by planted faults, and by what they name."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy/prometheus/rules/campaign-exporter.rules.yml"
RUNBOOKS = ROOT / "docs/runbooks"
CASES = sorted((Path(__file__).parent / "rules").glob("*.test.yml"))

SEVERITIES = {
    "CampaignStalled": "critical",
    "CampaignAccountUnauthorized": "critical",
    "CampaignExporterDown": "critical",
    "CampaignConcurrencySaturated": "warning",
    "CampaignDataStale": "warning",
    "CampaignPollsFailing": "warning",
    "CampaignNotFound": "warning",
    "CampaignNeverDials": "warning",
    "CampaignQueueStuck": "warning",
    "CampaignFailureRateHigh": "warning",
    "CampaignExhaustionHigh": "warning",
    "CampaignExporterConfigReloadFailed": "warning",
    "CampaignExporterPollsLate": "warning",
    "CampaignExporterThrottled": "warning",
    "CampaignExporterDiscoveryFailing": "warning",
    "CampaignExporterShardMissing": "warning",
    "CampaignExporterConfigDiffers": "warning",
    "CampaignDrained": "info",
}

EXPORTED: dict[str, set[str]] = {
    # metric: its own labels, besides job, provider, account, campaign and the user's
    "up": set(),
    "campaign_info": {"campaign_id", "campaign_name"},
    "campaign_status": {"status"},
    "campaign_contacts": {"bucket"},
    "campaign_contacts_loaded": set(),
    "campaign_attempts_per_contact": set(),
    "campaign_poll_interval_seconds": set(),
    "campaign_queued_contacts": {"agent", "state"},
    "campaign_queues": {"agent", "state"},
    "campaign_retry_delay_seconds": set(),
    "campaign_up": set(),
    "campaign_last_success_timestamp_seconds": set(),
    "campaign_stale_after_seconds": set(),
    "campaign_poll_error": {"reason"},
    "campaign_work_remaining": set(),
    "campaign_calling_windows": set(),
    "campaign_dialing_expected": set(),
    "campaign_dialing_expected_since_timestamp_seconds": set(),
    "campaign_last_progress_timestamp_seconds": set(),
    "campaign_stall_after_seconds": set(),
    "campaign_observed_attempts_total": set(),
    "campaign_observed_contacts_total": {"bucket"},
    "campaign_observed_calls_total": {"status"},
    "campaign_account_active_calls": set(),
    "campaign_account_concurrency_limit": set(),
    "campaign_account_saturated_seconds_total": set(),
    "campaign_account_observed_seconds_total": set(),
    "campaign_exporter_breaker_open": set(),
    "campaign_exporter_config_last_reload_successful": set(),
    "campaign_exporter_config_hash": set(),
    "campaign_exporter_poll_lag_seconds_bucket": {"le"},
    "campaign_exporter_interval_stretch": set(),
    "campaign_exporter_discovery_success": set(),
    "campaign_exporter_shard_index": set(),
    "campaign_exporter_shards": set(),
    "campaign_exporter_campaigns": set(),
    "campaign_exporter_config_last_reload_success_timestamp_seconds": set(),
    "campaign_exporter_discovery_last_success_timestamp_seconds": set(),
    "campaign_exporter_polls_total": {"result"},
    "campaign_exporter_request_duration_seconds_bucket": {"le"},
    "campaign_exporter_requests_in_flight": set(),
    "campaign_exporter_throttled_seconds_total": set(),
    "process_cpu_seconds_total": set(),
    "ALERTS": {"alertname"},
}


def load() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(RULES.read_text())
    return content


def all_rules() -> list[dict[str, Any]]:
    return [rule for group in load()["groups"] for rule in group["rules"]]


def alerts() -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for rule in all_rules() if "alert" in rule}


def recorded() -> set[str]:
    return {rule["record"] for rule in all_rules() if "record" in rule}


def flat(expression: str) -> str:
    """The expression on one line, in the one spelling that faults are planted in."""
    return re.sub(r"(?<=\() | (?=\))", "", " ".join(expression.split()))


def selectors(expression: str) -> list[tuple[str, str]]:
    """
    Every metric of an expression with what stands in its braces.

    A metric is a name that is neither called nor a word of the language; promtool has seen to the rest.
    """
    expression = re.sub(r"#.*", "", expression)
    strings: list[str] = []

    def without_string(found: re.Match[str]) -> str:
        strings.append(found[0])
        return f"${len(strings) - 1}"

    text = re.sub(r'"(?:[^"\\]|\\.)*"', without_string, expression)
    text = re.sub(r"\b(?:without|by|on|ignoring|group_left|group_right)\s*\([^)]*\)", " ", text)
    found = []
    for name, braces in re.findall(
        r"(?<![\w$.:])([a-zA-Z_:][\w:]*)\b(?!\s*\()\s*(\{[^}]*\})?", re.sub(r"\[[^]]*\]", "", text)
    ):
        if name not in {"and", "or", "unless", "bool", "offset"}:
            found.append((name, re.sub(r"\$(\d+)", lambda number: strings[int(number[1])], braces)))
    return found


def labels_named(expression: str) -> set[str]:
    """Labels that an expression matches, keeps or drops."""
    lists = re.findall(r"\b(?:without|by|on|ignoring|group_left)\s*\(([^)]*)\)", expression)
    matched = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", expression)
    return {label.strip() for names in lists for label in names.split(",") if label.strip()} | set(matched)


def queries_of(runbook: Path) -> list[str]:
    """The queries to paste, one a line."""
    blocks = re.findall(r"```promql\n(.*?)```", runbook.read_text(), re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line and not line.startswith("#")]


def rows_of(heading: str) -> list[list[str]]:
    """Cells of the first table under a heading of docs/alerts.md, code marks taken off."""
    section = (ROOT / "docs/alerts.md").read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def promtool(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=120, check=False)


def test_there_are_exactly_the_promised_alerts_with_their_severities() -> None:
    assert {name: rule["labels"] for name, rule in alerts().items()} == {
        name: {"severity": severity} for name, severity in SEVERITIES.items()
    }


def test_every_alert_says_what_happened_and_where_to_read_on() -> None:
    for name, rule in alerts().items():
        annotations = rule["annotations"]
        assert set(annotations) == {"summary", "description", "runbook_url", "dashboard_url"}
        assert "{{" not in annotations["summary"]
        assert annotations["summary"].endswith(".")
        assert "{{" in annotations["description"]
        assert annotations["runbook_url"].endswith("{{ end }}" + name)
        assert re.search(r"\}campaign-exporter-(campaigns|campaign|exporter)(\?|$)", annotations["dashboard_url"])
        assert {"for", "keep_firing_for"} <= set(rule)


def test_the_bases_of_the_links_stand_in_one_place() -> None:
    text = RULES.read_text()

    assert text.count("http://localhost:10077/runbooks/") == 1
    assert text.count("http://localhost:3000/d/") == 1
    assert text.count("http") == 2


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    assert {page.stem for page in RUNBOOKS.iterdir()} == set(alerts())


@pytest.mark.parametrize("alert", SEVERITIES)
def test_a_runbook_tells_meaning_impact_cause_and_remedy(alert: str) -> None:
    page = (RUNBOOKS / f"{alert}.md").read_text()

    assert re.findall("^#+ .*", re.sub(r"```.*?```", "", page, flags=re.DOTALL), re.MULTILINE) == [
        f"# {alert}",
        "## Meaning",
        "## Impact",
        "## Find the cause",
        "## What to do",
    ]
    assert queries_of(RUNBOOKS / f"{alert}.md")


def test_rules_and_runbooks_ask_only_for_what_is_exported_by_the_job() -> None:
    expressions = [rule["expr"] for rule in all_rules()]
    pasted = [query for page in RUNBOOKS.iterdir() for query in queries_of(page)]
    asked = [selector for expression in (*expressions, *pasted) for selector in selectors(expression)]

    assert {name for name, _ in asked} <= set(EXPORTED) | recorded()
    assert [selector for selector in asked if 'job="campaign-exporter"' not in selector[1]] == []


def test_rules_and_runbooks_name_only_labels_that_exist() -> None:
    known = {"job", "instance", "pod", "provider", "account", "campaign", "shard"}
    known = known.union(*EXPORTED.values())
    expressions = [rule["expr"] for rule in all_rules()]
    pasted = [query for page in RUNBOOKS.iterdir() for query in queries_of(page)]

    assert set().union(*map(labels_named, (*expressions, *pasted))) <= known


def test_every_query_of_the_runbooks_can_be_pasted(tmp_path: Path) -> None:
    pasted = [query for page in RUNBOOKS.iterdir() for query in queries_of(page)]
    rules = [{"record": f"pasted:query{number}", "expr": query} for number, query in enumerate(pasted)]
    file = tmp_path / "pasted.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "pasted", "rules": rules}]}))

    result = promtool("check", "rules", file)

    assert result.returncode == 0, result.stdout + result.stderr


def test_recorded_series_are_named_level_metric_operations() -> None:
    assert all(re.fullmatch(r"(campaign|account|campaign_exporter):\w+:\w+", name) for name in recorded())


def test_no_group_is_larger_than_hosted_rulers_take() -> None:
    assert all(len(group["rules"]) <= 20 for group in load()["groups"])


def test_the_document_lists_every_alert_as_it_is() -> None:
    documented = {row[0].strip("`"): (row[1], row[3], row[4]) for row in rows_of("The alerts")}

    assert documented == {
        name: (rule["labels"]["severity"], rule["for"], rule["keep_firing_for"]) for name, rule in alerts().items()
    }


def test_every_threshold_is_documented_with_its_rule() -> None:
    documented: dict[str, str] = {}
    for names, threshold, reason in rows_of("Thresholds and their reasons"):
        assert reason
        for name in re.findall("`([^`]+)`", names):
            assert threshold.strip("`") in flat({r.get("alert") or r["record"]: r for r in all_rules()}[name]["expr"])
            documented[name] = documented.get(name, "") + threshold

    for rule in all_rules():
        text = re.sub(r"\{[^}]*\}|\bs?topk without \(\w+\) \(1,|\b\w*:\w+:\w+", "", flat(rule["expr"]))
        for number in re.findall(r"\[\d+[smhd]\]|(?<![\w\[])\d+(?:\.\d+)?\b", text):
            if number not in {"0", "1", "[3m]"}:
                assert number in documented.get(rule.get("alert") or rule["record"], ""), (rule, number)


def test_promtool_finds_no_fault_in_the_rules() -> None:
    result = promtool("check", "rules", "--lint=all", "--lint-fatal", RULES)

    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.removesuffix(".test.yml"))
def test_rules_fire_and_stay_silent_as_their_cases_say(case: Path) -> None:
    result = promtool("test", "rules", case)

    assert result.returncode == 0, result.stdout + result.stderr


# Alerts on what counters say: their windows bridge a lost scrape by themselves.
RATES = {
    "CampaignConcurrencySaturated",
    "CampaignFailureRateHigh",
    "CampaignExhaustionHigh",
    "CampaignExporterPollsLate",
}
# Alerts that compare instances, or that are about their absence.
ONE_FOR_ALL = {"CampaignExporterConfigDiffers"}

ACTIVE = ' and campaign:active:fresh{job="campaign-exporter"}'
NAMED = ' * ignoring (campaign_name) group_left (campaign_name) campaign:info:named{job="campaign-exporter"}'
NAMES_SEEN = (
    "sum without (instance, pod, campaign_id) "
    '(count_over_time(campaign_info{job="campaign-exporter", campaign_name!=""}[10m]))'
)


def newest(metric: str) -> str:
    return f'max without (instance, pod) (last_over_time({metric}{{job="campaign-exporter"}}[3m]))'


CAP = newest("campaign_account_concurrency_limit")
STALE_AFTER = newest("campaign_stale_after_seconds")
SATURATED = ' unless on (provider, account) account:saturated:ratio_rate30m{job="campaign-exporter"} > 0.5'
NOT_STALE = ' unless campaign:data_stale:bool{job="campaign-exporter"} == 1'

# Cases that must notice it, the rule, and one fault in it: what stands there and what is put in its place.
FAULTS = [
    ("CampaignStalled", "CampaignStalled", NOT_STALE, ""),
    (
        "CampaignStalled",
        "CampaignStalled",
        SATURATED,
        "",
    ),
    (
        "CampaignStalled",
        "CampaignStalled",
        "min_over_time(campaign_account_active_calls",
        "max_over_time(campaign_account_active_calls",
    ),
    (
        "CampaignStalled",
        "CampaignStalled",
        f"({CAP} > 0)",
        "-1",
    ),
    (
        "CampaignStalled",
        "CampaignStalled",
        f"({CAP} > 0)",
        f"({CAP} >= 0)",
    ),
    (
        "CampaignStalled",
        "CampaignStalled",
        '(last_over_time(campaign_dialing_expected_since_timestamp_seconds{job="campaign-exporter"}[3m])) >',
        '(last_over_time(campaign_dialing_expected_since_timestamp_seconds{job="campaign-exporter"}[3m])) > 0 *',
    ),
    (
        "CampaignStalled",
        "CampaignStalled",
        "max without (instance, pod) (last_over_time(campaign_dialing_expected_since",
        "min without (instance, pod) (last_over_time(campaign_dialing_expected_since",
    ),
    (
        "CampaignStalled",
        "CampaignStalled",
        "max without (instance, pod) (last_over_time(campaign_last_progress",
        "min without (instance, pod) (last_over_time(campaign_last_progress",
    ),
    (
        "CampaignStalled",
        "CampaignStalled",
        NAMED,
        "",
    ),
    ("CampaignStalled", "CampaignStalled", "[3m]", "[10m]"),
    (
        "CampaignStalled",
        "campaign:info:named",
        f"topk without (campaign_name) (1, {NAMES_SEEN})",
        NAMES_SEEN,
    ),
    ("CampaignStalled", "campaign:info:named", ', campaign_name!=""', ""),
    ("CampaignStalled", "campaign:info:named", "campaign_up{", "campaign_info{"),
    ("CampaignConcurrencySaturated", "CampaignConcurrencySaturated", "> 0.9", "> 0.8"),
    ("CampaignConcurrencySaturated", "CampaignConcurrencySaturated", "[3m])) > 0", "[3m])) >= 0"),
    ("CampaignConcurrencySaturated", "CampaignConcurrencySaturated", ACTIVE, ""),
    ("CampaignConcurrencySaturated", "account:saturated:ratio_rate30m", " > 0.8", ""),
    ("CampaignConcurrencySaturated", "campaign:active:fresh", NOT_STALE, ""),
    ("CampaignConcurrencySaturated", "campaign:active:fresh", " == 1 unless", " >= 0 unless"),
    ("CampaignDataStale", "CampaignDataStale", " == 1 and", " >= 0 and"),
    ("CampaignDataStale", "campaign:data_stale:bool", " + 2 * 60", ""),
    (
        "CampaignDataStale",
        "campaign:data_stale:bool",
        f"{STALE_AFTER} +",
        f"0 * {STALE_AFTER} +",
    ),
    (
        "CampaignPollsFailing",
        "CampaignPollsFailing",
        ' unless ignoring (reason) campaign:data_stale:bool{job="campaign-exporter"} == 0',
        "",
    ),
    ("CampaignPollsFailing", "CampaignPollsFailing", ', reason="not_found"', ', reason="none"'),
    (
        "CampaignPollsFailing",
        "CampaignPollsFailing",
        "== 0 unless ignoring (reason) campaign:data",
        ">= 0 unless ignoring (reason) campaign:data",
    ),
    ("CampaignPollsFailing", "CampaignPollsFailing", "topk without (reason) (1,", "topk without (reason) (9,"),
    ("CampaignPollsFailing", "CampaignPollsFailing", "[15m]", "[3m]"),
    ("CampaignNotFound", "CampaignNotFound", 'status="closed"', 'status="none"'),
    ("CampaignNotFound", "CampaignNotFound", ', reason="not_found"', ""),
    ("CampaignNotFound", "CampaignNotFound", "== 0 unless", ">= 0 unless"),
    ("CampaignNeverDials", "CampaignNeverDials", "[3m])) == 0", "[3m])) >= 0"),
    ("CampaignNeverDials", "CampaignNeverDials", "[3m])) == 1", "[3m])) >= 0"),
    ("CampaignNeverDials", "campaign:active:fresh", " == 1 unless", " >= 0 unless"),
    ("CampaignNeverDials", "campaign:active:fresh", NOT_STALE, ""),
    ("CampaignQueueStuck", "CampaignQueueStuck", "4 * 3600", "2 * 3600"),
    ("CampaignQueueStuck", "CampaignQueueStuck", "> 0 and", ">= 0 and"),
    ("CampaignQueueStuck", "CampaignQueueStuck", ACTIVE, ""),
    ("CampaignQueueStuck", "CampaignQueueStuck", "<= 2 * max", "<= 0 * max"),
    ("CampaignQueueStuck-three-days", "CampaignQueueStuck", "> 72 * 3600 and", "> 24 * 3600 and"),
    ("CampaignQueueStuck-three-days", "CampaignQueueStuck", "> 72 * 3600 unless", "> 0 unless"),
    (
        "CampaignQueueStuck-three-days",
        "CampaignQueueStuck",
        f" unless {newest('campaign_dialing_expected')}",
        "",
    ),
    ("CampaignQueueStuck-three-days", "campaign:active_since_timestamp:seconds", "[15m]", "[4m]"),
    ("CampaignFailureRateHigh", "CampaignFailureRateHigh", "> 0.2", "> 0.1"),
    ("CampaignFailureRateHigh", "CampaignFailureRateHigh", ">= 30", ">= 3"),
    ("CampaignFailureRateHigh", "CampaignFailureRateHigh", ACTIVE, ""),
    (
        "CampaignFailureRateHigh",
        "campaign:failed_calls:ratio_increase1h",
        'status="failed"',
        'status=~"failed|not_picked"',
    ),
    ("CampaignExhaustionHigh", "CampaignExhaustionHigh", "> 0.5", "> 0.4"),
    ("CampaignExhaustionHigh", "CampaignExhaustionHigh", ">= 50", ">= 5"),
    ("CampaignExhaustionHigh", "CampaignExhaustionHigh", ACTIVE, ""),
    ("CampaignExhaustionHigh", "CampaignExhaustionHigh", "<= 1 / 3 *", "<= 0 *"),
    ("CampaignDrained", "CampaignDrained", "[3m])) == 0", "[3m])) >= 0"),
    ("CampaignDrained", "CampaignDrained", "[3m])) > 0", "[3m])) >= 0"),
    ("CampaignDrained", "CampaignDrained", "[3m]))) > 0", "[3m]))) >= 0"),
    ("CampaignDrained", "campaign:active:fresh", " == 1 unless", " >= 0 unless"),
    ("CampaignExporterDown", "CampaignExporterDown", ' or absent_over_time(up{job="campaign-exporter"}[3m])', ""),
    (
        "CampaignExporterDown",
        "CampaignExporterDown",
        "max without (instance, pod) (max_over_time(up",
        "min without (instance, pod) (max_over_time(up",
    ),
    ("CampaignExporterDown", "CampaignExporterDown", "max_over_time(up", "min_over_time(up"),
    ("CampaignExporterDown", "CampaignExporterDown", "[1d]) <", "[1h]) <"),
    ("CampaignExporterDown", "CampaignExporterDown", "group_left () min", "group_left () 9 * min"),
    ("CampaignExporterDown", "CampaignExporterDown", "group_left () min", "group_left () max"),
    ("CampaignExporterConfigReloadFailed", "CampaignExporterConfigReloadFailed", "max without", "min without"),
    ("CampaignExporterPollsLate", "CampaignExporterPollsLate", "0.95", "0.99"),
    ("CampaignExporterThrottled", "CampaignExporterThrottled", "> 1", ">= 1"),
    ("CampaignExporterDiscoveryFailing", "CampaignExporterDiscoveryFailing", "max without", "min without"),
    ("CampaignExporterShardMissing", "CampaignExporterShardMissing", " < max", " <= max"),
    ("CampaignExporterConfigDiffers", "CampaignExporterConfigDiffers", "(instance, pod)", "(instance, pod, namespace)"),
    ("recording", "campaign:expected_finish_timestamp:seconds", " == 0", " == 2"),
    ("recording", "campaign:expected_finish_timestamp:seconds", ACTIVE, ""),
    ("recording", "campaign:expected_finish_timestamp:seconds", "[3m])) > 0)", "[3m])) >= 0)"),
    ("recording", "campaign:dials:rate5m", "max without", "sum without"),
    ("recording", "account:concurrency_utilization:ratio", " > 0", ""),
]


def outcome(case: str, rules: dict[str, Any], tmp_path: Path) -> int:
    """Exit status of a file of cases on changed rules; those that its alert does not rest on are left out for speed."""
    named = {rule.get("record") or rule["alert"]: rule for group in rules["groups"] for rule in group["rules"]}
    needed, open_ends = {"campaign_exporter:links:info"}, [case.partition("-")[0]]
    if case == "recording":
        needed, open_ends = set(named), []
    while open_ends:
        name = open_ends.pop()
        needed.add(name)
        open_ends += [other for other in named if other in named[name]["expr"] and other not in needed]
    for group in rules["groups"]:
        group["rules"] = [rule for rule in group["rules"] if (rule.get("record") or rule["alert"]) in needed]
    rules["groups"] = [group for group in rules["groups"] if group["rules"]]
    changed = tmp_path / RULES.relative_to(ROOT)
    changed.parent.mkdir(parents=True)
    changed.write_text(yaml.safe_dump(rules, sort_keys=False))
    copy = tmp_path / "tests/deploy/rules" / f"{case}.test.yml"
    copy.parent.mkdir(parents=True)
    shutil.copy(Path(__file__).parent / "rules" / copy.name, copy)
    return promtool("test", "rules", copy).returncode


@pytest.mark.parametrize(("case", "rule", "there", "instead"), FAULTS)
def test_cases_notice_a_fault_planted_in_a_rule(case: str, rule: str, there: str, instead: str, tmp_path: Path) -> None:
    rules = load()
    (faulty,) = [r for group in rules["groups"] for r in group["rules"] if rule in (r.get("alert"), r.get("record"))]
    expression = flat(faulty["expr"])
    assert there in expression
    faulty["expr"] = expression.replace(there, instead)

    assert outcome(case, rules, tmp_path) == 1


@pytest.mark.parametrize("case", [case for case in SEVERITIES if case not in RATES])
def test_cases_notice_a_gauge_that_is_read_without_a_window(case: str, tmp_path: Path) -> None:
    rules = load()
    for group in rules["groups"]:
        for rule in group["rules"]:
            rule["expr"] = re.sub(r"(?:last|max|min)_over_time\((\w+\{[^}]*\})\[3m\]\)", r"\1", flat(rule["expr"]))

    assert outcome(case, rules, tmp_path) == 1


@pytest.mark.parametrize("case", SEVERITIES)
def test_cases_notice_an_alert_that_does_not_wait(case: str, tmp_path: Path) -> None:
    rules = load()
    for group in rules["groups"]:
        for rule in group["rules"]:
            rule.pop("for", None)

    assert outcome(case, rules, tmp_path) == 1


@pytest.mark.parametrize("case", [case for case in SEVERITIES if case not in ONE_FOR_ALL])
def test_cases_notice_replicas_that_are_kept_apart(case: str, tmp_path: Path) -> None:
    rules = load()
    for group in rules["groups"]:
        for rule in group["rules"]:
            rule["expr"] = rule["expr"].replace("instance, pod", "pod")

    assert outcome(case, rules, tmp_path) == 1
