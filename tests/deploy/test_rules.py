"""The shipped rules, judged by promtool, by planted faults, and by what they name."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.exposition.families import CAMPAIGN_FAMILIES
from tests.test_documents import exported

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy/prometheus/rules/campaign-exporter.rules.yml"
RUNBOOKS = ROOT / "docs/runbooks"

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
    "CampaignExporterWebConfigReloadFailed": "warning",
    "CampaignExporterPollsLate": "warning",
    "CampaignExporterThrottled": "warning",
    "CampaignExporterDiscoveryFailing": "warning",
    "CampaignExporterShardMissing": "warning",
    "CampaignExporterConfigDiffers": "warning",
    "CampaignDrained": "info",
}


OF_A_SCRAPE = (
    "job, installation, cluster, environment, region, namespace, service, prometheus, pod, instance, provider, account"
)
"""What the scrape may put on an account's series: the labels that inhibitions compare, and its replica."""


def load(file: Path = RULES) -> dict[str, Any]:
    content: dict[str, Any] = yaml.load(file.read_text(), yaml.CSafeLoader)
    return content


CASES = {
    file.name.removesuffix(".test.yml"): load(file)
    for file in sorted((Path(__file__).parent / "rules").glob("*.test.yml"))
}


def all_rules() -> list[dict[str, Any]]:
    return [rule for group in load()["groups"] for rule in group["rules"]]


def alerts() -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for rule in all_rules() if "alert" in rule}


def all_cases() -> list[dict[str, Any]]:
    return [case for content in CASES.values() for case in content["tests"]]


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
    """The queries to paste, each in a block of its own, so that the button of the page copies one."""
    return [block.strip() for block in re.findall(r"```promql\n(.*?)```", runbook.read_text(), re.DOTALL)]


def rows_of(heading: str) -> list[list[str]]:
    """Cells of the first table under a heading of docs/alerts.md, code marks taken off."""
    section = (ROOT / "docs/alerts.md").read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def promtool(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    # It ends before its garbage would matter: to collect less of it saves a fifth of the time.
    environ = {**os.environ, "GOGC": "400", "GOMAXPROCS": "1"}
    return subprocess.run(
        ["promtool", *arguments], capture_output=True, text=True, timeout=120, check=False, env=environ
    )


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
        account, campaign = "?account={{ $labels.account | urlquery }}", "&campaign={{ $labels.campaign | urlquery }}"
        assert annotations["runbook_url"].split("{{ end }}" + name)[1] in {"", account, account + campaign}
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

    assert {name for name, _ in asked} <= {"up", "ALERTS", "process_cpu_seconds_total", *exported()} | recorded()
    assert [selector for selector in asked if 'job="campaign-exporter"' not in selector[1]] == []


def test_rules_and_runbooks_name_only_labels_that_exist() -> None:
    alerts_own = {"alertname", "alertstate", "alertgroup", "severity"}
    targets_own = {label.strip() for label in OF_A_SCRAPE.split(",")} - {"provider", "account"}
    known = {"shard", "le"}.union(alerts_own, targets_own, *exported().values())
    expressions = [rule["expr"] for rule in all_rules()]
    pasted = [query for page in RUNBOOKS.iterdir() for query in queries_of(page)]

    assert set().union(*map(labels_named, (*expressions, *pasted))) <= known


def test_the_help_of_the_state_names_the_alerts_that_fire_by_it() -> None:
    (help_text,) = (family.help for family in CAMPAIGN_FAMILIES if family.name == "campaign_state")
    fired_by_state = re.compile(r'\band ignoring \([^)]*\) campaign:state:current\{[^}]*\bstate="')

    assert set(re.findall(r"Campaign\w+", help_text)) == {
        name for name, rule in alerts().items() if fired_by_state.search(flat(rule["expr"]))
    }


def test_every_query_of_the_runbooks_can_be_pasted(tmp_path: Path) -> None:
    pasted = [query for page in RUNBOOKS.iterdir() for query in queries_of(page)]
    rules = [{"record": f"pasted:query{number}", "expr": query} for number, query in enumerate(pasted)]
    file = tmp_path / "pasted.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "pasted", "rules": rules}]}))

    result = promtool("check", "rules", file)

    assert result.returncode == 0, result.stdout + result.stderr


def test_series_are_matched_by_every_label_that_a_target_may_have() -> None:
    matched = [on for rule in all_rules() for on in re.findall(r"\bon\s*\(([^)]*)\)", rule["expr"])]

    assert matched == [OF_A_SCRAPE]


def test_no_label_of_an_alert_is_a_reason_or_a_state() -> None:
    fired = [
        query["exp_samples"]
        for case in all_cases()
        for query in case.get("promql_expr_test", [])
        if query["expr"].startswith("ALERTS") and "exp_samples" in query
    ]

    labels = {label for samples in fired for sample in samples for label in re.findall(r'(\w+)="', sample["labels"])}
    assert labels & {"instance", "pod", "reason", "state", "status"} == set()


def test_cases_have_series_with_the_labels_that_the_exporter_writes() -> None:
    written = exported()
    for case in all_cases():
        for series in case["input_series"]:
            name, labels = re.fullmatch(r"(\w+)\{(.*)\}", series["series"]).groups()  # type: ignore[union-attr]
            assert written.get(name, set()) <= set(re.findall(r'(\w+)="', labels)), series["series"]


def test_alerts_that_fire_side_by_side_say_which_one_each_is() -> None:
    known = {"shard"}.union(*exported().values())
    seen = set()
    for case in all_cases():
        for expected in case.get("alert_rule_test", []):
            for alert in expected.get("exp_alerts", []):
                description = alert["exp_annotations"]["description"]
                for label in known & alert["exp_labels"].keys():
                    assert str(alert["exp_labels"][label]) in description, (expected["alertname"], label)
                seen.add(expected["alertname"])
    assert seen == set(alerts())


def test_recorded_series_are_named_level_metric_operations() -> None:
    assert all(re.fullmatch(r"(campaign|account|campaign_exporter):\w+:\w+", name) for name in recorded())


def test_a_rule_stands_below_the_recorded_series_that_it_reads() -> None:
    # Prometheus and promtool evaluate groups in no order, and the rules of a group from the first to the last.
    for group in load()["groups"]:
        above: set[str] = set()
        for rule in group["rules"]:
            name = rule.get("record") or rule["alert"]
            assert {read for read, _ in selectors(rule["expr"])} & recorded() <= {*above, name}
            above.add(name)


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


# Alerts on what counters say: their windows bridge a lost scrape by themselves.
RATES = {
    "CampaignConcurrencySaturated",
    "CampaignFailureRateHigh",
    "CampaignExhaustionHigh",
    "CampaignExporterPollsLate",
}
# Alerts that compare instances, or that are about their absence.
ONE_FOR_ALL = {"CampaignExporterConfigDiffers"}

STATE = 'campaign:state:current{job="campaign-exporter", '
UNSEEN = ' or ignoring (alertname) campaign:alerts:unseen{job="campaign-exporter", alertname='
TIMED_OUT = 'max without (instance, pod) (last_over_time(campaign_poll_error{reason="timeout"}[3m]))'
PAUSED = f' unless ignoring (state) {STATE}state=~"closed|paused"}}'
EXPECTED = 'max without (instance, pod) (last_over_time(campaign_dialing_expected{job="campaign-exporter"}[3m]))'
BREAKER = f' and on ({OF_A_SCRAPE}) max_over_time(campaign_exporter_breaker_open{{job="campaign-exporter"}}[6m]) == 1'
NAMES_SEEN = (
    "sum without (instance, pod, campaign_id) "
    '(count_over_time(campaign_info{job="campaign-exporter", campaign_name!=""}[10m]))'
)

# By the case that must notice it: the rule, and one fault in it: what stands there and what is put in its place.
FAULTS: dict[str, list[tuple[str, str, str]]] = {
    "a stalled campaign pages once, through lost scrapes, replicas and names": [
        ("campaign:info:named", f"topk without (campaign_name) (1, {NAMES_SEEN})", "vector(0) < 0"),
        ("campaign:info:named", ', campaign_name!=""', ""),
        (
            "campaign:info:named",
            ' or ignoring (campaign_name) max without (state) (campaign:state:current{job="campaign-exporter"})',
            "",
        ),
    ],
    "no other state is a stall": [("CampaignStalled", 'state="stalled"', 'state=~"stalled|quiet"')],
    "a stall that keeps ending and one that the exporter did not outlive do not page": [
        ("campaign:state:current", ' unless ignoring (state) campaign_state{job="campaign-exporter"}', ""),
        ("campaign:state:current", "[3m]", "[10m]"),
    ],
    "two installations with equal account names have stalls of their own": [
        ("campaign:state:current", "(instance, pod)", "(instance, pod, cluster)"),
        (
            "CampaignStalled",
            "and ignoring (campaign_name, state)",
            "unless on (provider, account) campaign:data_stale:bool and on (provider, account, cluster)",
        ),
    ],
    "a replica that starts late or goes blind does not end a page": [
        ("campaign:state:current", "max without (instance, pod)", "topk without (instance, pod, state) (1, "),
    ],
    "a page stands while its campaign cannot be read, and is not made then": [
        ("CampaignStalled", f'{UNSEEN}"CampaignStalled"}}', ""),
        ("campaign:alerts:unseen", ', alertstate="firing"', ""),
        (
            "campaign:alerts:unseen",
            f' unless ignoring (alertname, campaign_name, state) {STATE}state!~"not_polled|failing|stale"}}',
            "",
        ),
        (
            "campaign:alerts:unseen",
            f' and ignoring (alertname, campaign_name, state) {STATE}state=~"not_polled|failing|stale"}}',
            "",
        ),
    ],
    "a name that changes or gets known makes no other alert": [
        ("campaign:info:named", 'campaign!=""', 'campaign="none"'),
        ("campaign:info:named", 'campaign!=""', 'campaign_name!=""'),
    ],
    "a busy account is no saturated one": [
        ("CampaignConcurrencySaturated", "> 0.9", "> 0.8"),
        ("CampaignConcurrencySaturated", "[3m])) > 0", "[3m])) >= 0"),
        ("CampaignConcurrencySaturated", " offset 25m", " offset 5m"),
        ("CampaignConcurrencySaturated", ' and account:utilization:ratio{job="campaign-exporter"} and max', " or max"),
    ],
    "a full organization is one warning, whatever restarts and scrapes are lost": [
        (
            "CampaignConcurrencySaturated",
            "avg_over_time(account:utilization:ratio",
            "min_over_time(campaign_account_utilization_ratio",
        ),
        ("account:utilization:ratio", "max without (instance, pod)", "max without (instance, pod, cluster)"),
    ],
    "a campaign that is read slowly, by one replica, or in vain is not stale": [
        (
            "CampaignDataStale",
            '(last_over_time(campaign_up{job="campaign-exporter"}[3m])) == 1',
            '(last_over_time(campaign_up{job="campaign-exporter"}[3m])) >= 0',
        ),
        (
            "campaign:data_stale:bool",
            '(last_over_time(campaign_stale_after_seconds{job="campaign-exporter"}[3m])) +',
            '(last_over_time(campaign_stale_after_seconds{job="campaign-exporter"}[3m])) * 0 +',
        ),
    ],
    "polls that no longer come are reported once the values are gone": [
        ("campaign:data_stale:bool", " + 2 * 60", ""),
    ],
    "a short failure, a slow campaign, a blind replica and a 404 are no failing polls": [
        (
            "CampaignPollsFailing",
            ' unless ignoring (campaign_name) campaign:data_stale:bool{job="campaign-exporter"} == 0',
            "",
        ),
        ("CampaignPollsFailing", "not_found|", ""),
        (
            "CampaignPollsFailing",
            "== 0 unless ignoring (campaign_name) campaign:data",
            ">= 0 unless ignoring (campaign_name) campaign:data",
        ),
    ],
    "failing polls are one alert, whatever the reasons, and through lost scrapes": [
        (
            "CampaignPollsFailing",
            "and ignoring (campaign_name) max",
            f"and ignoring (campaign_name, reason) {TIMED_OUT} and ignoring (campaign_name) max",
        ),
    ],
    "what follows from a refused token is not reported": [
        ("CampaignPollsFailing", "|unauthorized", ""),
        ("CampaignPollsFailing", BREAKER, ""),
        (
            "CampaignPollsFailing",
            f"and on ({OF_A_SCRAPE})",
            "and ignoring (campaign, reason)",
        ),
        ("CampaignPollsFailing", 'reason="forbidden"', 'reason="none"'),
    ],
    "failing polls that were reported are so until they succeed": [
        ("CampaignPollsFailing", 'alertname="CampaignPollsFailing"', 'alertname="none"'),
    ],
    "two installations with equal account names fail on their own": [
        (
            "CampaignPollsFailing",
            f"and on ({OF_A_SCRAPE})",
            "and on (provider, account)",
        ),
    ],
    "a campaign that the provider does not know is reported, unless it was closed": [
        ("CampaignNotFound", 'status="closed"', 'status="none"'),
        ("CampaignNotFound", ', reason="not_found"', ""),
        ("CampaignNotFound", "== 0 unless", ">= 0 unless"),
    ],
    "404 and other errors in turns are an unknown campaign, until it is found": [
        ("CampaignNotFound", "[6m]", "[3m]"),
    ],
    "no other state never dials": [("CampaignNeverDials", 'state="never_dials"', 'state=~"never_dials|empty"')],
    "a campaign that will never dial stays reported while its token is refused": [
        ("CampaignNeverDials", f'{UNSEEN}"CampaignNeverDials"}}', ""),
    ],
    "an open queue without a call for four hours of calling time is reported": [
        ("CampaignQueueStuck", '{job="campaign-exporter"} > 4 * 3600', '{job="campaign-exporter"} >= 0'),
        ("CampaignQueueStuck", "[3m])) > 4 * 3600", "[3m])) > 1 * 3600"),
        ("CampaignQueueStuck", "<= 2 * max", "<= 0 * max"),
        ("CampaignQueueStuck", f' unless ignoring (state) {STATE}state="stalled"}}', ""),
        ("campaign:open_queue_silence:seconds", " > 0 unless", " >= 0 unless"),
        ("campaign:open_queue_silence:seconds", "|paused", ""),
        ("campaign:open_queue_silence:seconds", "|failing", ""),
    ],
    "a stuck queue stays reported while nobody can read it": [
        ("CampaignQueueStuck", f'{UNSEEN}"CampaignQueueStuck"}}', ""),
    ],
    "where the hours are unknown, three silent days while switched on must pass": [
        ("CampaignQueueStuck", "> 72 * 3600 and", "> 24 * 3600 and"),
        ("CampaignQueueStuck", "> 72 * 3600 unless", "> 0 unless"),
        (
            "CampaignQueueStuck",
            f" unless {EXPECTED}",
            "",
        ),
        ("campaign:open_queue_since_timestamp:seconds", "[15m]", "[4m]"),
    ],
    "a share of failed calls above a fifth is reported, if there are enough calls": [
        ("CampaignFailureRateHigh", "> 0.2", "> 0.1"),
        ("CampaignFailureRateHigh", ">= 30", ">= 3"),
        ("CampaignFailureRateHigh", PAUSED, ""),
        ("campaign:failed_calls:ratio_increase1h", 'status="failed"', 'status=~"failed|not_picked"'),
    ],
    "failed calls stay reported while the campaign cannot be read": [
        ("CampaignFailureRateHigh", "closed|paused", "closed|paused|failing"),
    ],
    "contacts that mostly run out of attempts are reported, but not the last ones": [
        ("CampaignExhaustionHigh", "> 0.5", "> 0.4"),
        ("CampaignExhaustionHigh", ">= 50", ">= 5"),
        ("CampaignExhaustionHigh", PAUSED, ""),
        ("CampaignExhaustionHigh", "<= 1 / 3 *", "<= 0 *"),
    ],
    "no other state is drained": [("CampaignDrained", 'state="drained"', 'state=~"drained|empty"')],
    "a drained campaign stays reported while nobody can read it": [
        ("CampaignDrained", f'{UNSEEN}"CampaignDrained"}}', ""),
    ],
    "a Prometheus that knows no target pages as well": [
        ("CampaignExporterDown", ' or absent_over_time(up{job="campaign-exporter"}[1d])', ""),
    ],
    "one replica of a pair, a lost scrape and a restart do not page": [
        (
            "CampaignExporterDown",
            "max without (instance, pod) (max_over_time(up",
            "min without (instance, pod) (max_over_time(up",
        ),
        ("CampaignExporterDown", "max_over_time(up", "min_over_time(up"),
    ],
    "an installation whose targets are gone pages while another is there": [
        (
            "CampaignExporterDown",
            'group without (instance, pod) (last_over_time(up{job="campaign-exporter"}[1d]))',
            'group without (instance, pod) (last_over_time(up{job="campaign-exporter"}[3m]))',
        ),
        ("CampaignExporterDown", "unless max without (instance, pod)", "unless on (job) max without (instance, pod)"),
    ],
    "a shard without an instance pages with its number, for as long as it is gone": [
        ("campaign_exporter:shards:seen1d", "[1d])", "[1h])"),
    ],
    "a shard that moved to another pod, or that is no longer counted, does not page": [
        ("campaign_exporter:shards:seen1d", "group_left () min", "group_left () 9 * min"),
        ("campaign_exporter:shards:seen1d", "group_left () min", "group_left () max"),
    ],
    "pairs, lost scrapes, a rollout and a single process are whole": [
        ("CampaignExporterShardMissing", " < max", " <= max"),
    ],
    "a refused configuration is reported once, with the instances that refused it": [
        ("CampaignExporterConfigReloadFailed", "min without", "max without"),
    ],
    "a refused web configuration is reported once, with the instances that refused it": [
        ("CampaignExporterWebConfigReloadFailed", "min without", "max without"),
    ],
    "late polls are reported": [
        ("CampaignExporterPollsLate", "0.95", "0.99"),
    ],
    "a stretched account is reported once, others are not": [
        ("CampaignExporterThrottled", "> 1", ">= 1"),
    ],
    "a listing that keeps failing is reported, a replica's or a passing failure is not": [
        (
            "CampaignExporterDiscoveryFailing",
            "max without (instance, pod) (last_over_time",
            "min without (instance, pod) (last_over_time",
        ),
    ],
    "a refused token explains a failing listing, but does not end a report of it": [
        ("CampaignExporterDiscoveryFailing", "campaign_exporter_breaker_open{", "none{"),
        ("CampaignExporterDiscoveryFailing", 'alertname="CampaignExporterDiscoveryFailing"', 'alertname="none"'),
    ],
    "a rollout and two installations are no difference": [
        ("CampaignExporterConfigDiffers", "(instance, pod)", "(instance, pod, namespace)"),
    ],
    "the expected finish follows the net fall of the contacts left over an hour": [
        (
            "campaign:expected_finish_timestamp:seconds",
            " unless ignoring (state) max without (instance, pod) (last_over_time(campaign_state{",
            " unless ignoring (state) max without (instance, pod) (last_over_time(campaign_info{",
        ),
        (
            "campaign:expected_finish_timestamp:seconds",
            "last_over_time(campaign:contacts_left:sum",
            "max_over_time(campaign:contacts_left:sum",
        ),
        ("campaign:expected_finish_timestamp:seconds", " > 0) unless", ") unless"),
    ],
    "a pair of replicas counts once, and a restart is no fall": [
        ("campaign:dials:rate5m", "max without", "sum without"),
        ("account:utilization:ratio", "max without", "sum without"),
    ],
}


def run(stem: str, rules: dict[str, Any], tmp_path: Path, *names: str) -> "subprocess.CompletedProcess[str]":
    """Run cases of a file, or all of them, on those of the rules that they rest on."""
    tests = [test for test in CASES[stem]["tests"] if not names or test["name"] in names]
    by_name = {rule.get("record") or rule["alert"]: rule for group in rules["groups"] for rule in group["rules"]}
    needed = {"campaign_exporter:links:info"}
    open_ends = [name for name in by_name if name in json.dumps(tests)]
    while open_ends:
        name = open_ends.pop()
        needed.add(name)
        open_ends += [other for other in by_name if other in by_name[name]["expr"] and other not in needed]
    groups = [
        {**group, "rules": [rule for rule in group["rules"] if (rule.get("record") or rule["alert"]) in needed]}
        for group in rules["groups"]
    ]
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [group for group in groups if group["rules"]]}))
    cases = tmp_path / "cases.yml"
    cases.write_text(json.dumps({**CASES[stem], "rule_files": ["rules.yml"], "tests": tests}))
    return promtool("test", "rules", cases)


def first_case(alert: str) -> str:
    name: str = CASES[alert]["tests"][0]["name"]
    return name


@pytest.mark.parametrize("stem", CASES)
def test_rules_fire_and_stay_silent_as_their_cases_say(stem: str, tmp_path: Path) -> None:
    result = run(stem, load(), tmp_path)

    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("case", "rule", "there", "instead"), [(case, *fault) for case, faults in FAULTS.items() for fault in faults]
)
def test_cases_notice_a_fault_planted_in_a_rule(case: str, rule: str, there: str, instead: str, tmp_path: Path) -> None:
    rules = load()
    (faulty,) = [r for group in rules["groups"] for r in group["rules"] if rule in (r.get("alert"), r.get("record"))]
    expression = flat(faulty["expr"])
    assert there in expression
    faulty["expr"] = expression.replace(there, instead)
    (stem,) = [stem for stem, content in CASES.items() if case in [test["name"] for test in content["tests"]]]

    assert run(stem, rules, tmp_path, case).returncode == 1


@pytest.mark.parametrize("alert", [alert for alert in SEVERITIES if alert not in RATES])
def test_cases_notice_a_gauge_that_is_read_without_a_window(alert: str, tmp_path: Path) -> None:
    rules = load()
    for group in rules["groups"]:
        for rule in group["rules"]:
            rule["expr"] = re.sub(r"(?:last|max|min)_over_time\((\w+\{[^}]*\})\[3m\]\)", r"\1", flat(rule["expr"]))

    assert run(alert, rules, tmp_path, first_case(alert)).returncode == 1


@pytest.mark.parametrize("alert", SEVERITIES)
def test_cases_notice_an_alert_that_does_not_wait(alert: str, tmp_path: Path) -> None:
    rules = load()
    for group in rules["groups"]:
        for rule in group["rules"]:
            rule.pop("for", None)

    assert run(alert, rules, tmp_path, first_case(alert)).returncode == 1


@pytest.mark.parametrize("alert", [alert for alert in SEVERITIES if alert not in ONE_FOR_ALL])
def test_cases_notice_replicas_that_are_kept_apart(alert: str, tmp_path: Path) -> None:
    rules = load()
    for group in rules["groups"]:
        for rule in group["rules"]:
            rule["expr"] = rule["expr"].replace("instance, pod", "pod")

    assert run(alert, rules, tmp_path, first_case(alert)).returncode == 1
