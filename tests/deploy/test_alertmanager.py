"""The shipped Alertmanager and Prometheus configuration, judged by amtool and promtool."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "deploy/alertmanager/alertmanager.yml"
PROMETHEUS = ROOT / "deploy/prometheus/prometheus.yml"
RULES = ROOT / "deploy/prometheus/rules/campaign-exporter.rules.yml"
RECEIVERS = {"critical": "page", "warning": "chat", "info": "digest"}
ALERTS: dict[str, str] = {
    rule["alert"]: rule["labels"]["severity"]
    for group in yaml.safe_load(RULES.read_text())["groups"]
    for rule in group["rules"]
    if "alert" in rule
}


def run(*command: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def load() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(CONFIG.read_text())
    return content


def receiver_of(**labels: str) -> str:
    pairs = [f"{name}={value}" for name, value in labels.items()]
    result = run("amtool", "config", "routes", "test", f"--config.file={CONFIG}", *pairs)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def matches(matchers: list[str], labels: dict[str, str]) -> bool:
    """Whether all matchers fit, in the way that Alertmanager documents: an absent label is an empty one."""
    for matcher in matchers:
        found = re.fullmatch(r'(\w+)(=~|!~|!=|=)"(.*)"', matcher)
        assert found is not None
        name, operator, value = found.groups()
        pattern = value if operator in ("=~", "!~") else re.escape(value)
        if bool(re.fullmatch(pattern, labels.get(name, ""))) == operator.startswith("!"):
            return False
    return True


def muted(target: dict[str, str], source: dict[str, str]) -> bool:
    return any(
        matches(rule["source_matchers"], source)
        and matches(rule["target_matchers"], target)
        and all(source.get(label, "") == target.get(label, "") for label in rule.get("equal", []))
        for rule in load()["inhibit_rules"]
    )


def alert(name: str, **labels: str) -> dict[str, str]:
    return {"alertname": name, "severity": ALERTS[name], "job": "campaign-exporter", **labels}


INSTALLATION = ["job", "installation", "cluster", "environment", "region", "namespace", "service", "prometheus"]
"""Labels of targets that may tell two installations apart."""
JUNE = {"provider": "anyreach", "account": "acme", "campaign": "june"}
DOWN = alert("CampaignExporterDown")
UNAUTHORIZED = alert("CampaignAccountUnauthorized", provider="anyreach", account="acme")


def test_amtool_finds_no_fault() -> None:
    result = run("amtool", "check-config", CONFIG)

    assert result.returncode == 0, result.stdout + result.stderr
    assert "4 inhibit rules" in result.stdout
    assert "3 receivers" in result.stdout


def test_the_alternatives_are_sound_when_their_marks_are_taken_off(tmp_path: Path) -> None:
    text = re.sub(r"(?m)^    # ?", "    ", CONFIG.read_text().partition("\nreceivers:\n")[2])
    file = tmp_path / "alertmanager.yml"
    file.write_text(CONFIG.read_text().partition("\nreceivers:\n")[0] + "\nreceivers:\n" + text)

    result = run("amtool", "check-config", file)

    assert result.returncode == 0, result.stdout + result.stderr
    kinds = [set(receiver) - {"name"} for receiver in yaml.safe_load(file.read_text())["receivers"]]
    assert kinds == [
        {"webhook_configs", "pagerduty_configs"},
        {"webhook_configs", "slack_configs"},
        {"webhook_configs", "email_configs"},
    ]


@pytest.mark.parametrize("name", ALERTS)
def test_severity_decides_who_hears_of_an_alert(name: str) -> None:
    assert receiver_of(**alert(name, **JUNE)) == RECEIVERS[ALERTS[name]]


def test_another_alert_pages_nobody() -> None:
    assert receiver_of(alertname="DiskFull") == "chat"


def test_alerts_of_an_account_are_one_message() -> None:
    route = load()["route"]

    assert route["group_by"] == ["job", "installation", "cluster", *INSTALLATION[5:], "provider", "account"]
    assert INSTALLATION[5:] == ["namespace", "service", "prometheus"]
    assert [child["group_by"] for child in route["routes"] if "group_by" in child] == [["alertname"]]


@pytest.mark.parametrize("name", sorted(set(ALERTS) - {"CampaignExporterDown"}))
def test_an_exporter_that_is_down_mutes_everything_else(name: str) -> None:
    assert muted(alert(name, **JUNE), source=DOWN)


def test_an_exporter_that_is_down_does_not_mute_itself() -> None:
    assert not muted(DOWN, source=DOWN)


def test_a_single_shard_that_is_down_mutes_only_what_follows_from_it() -> None:
    shard = {**DOWN, "shard": "2"}

    assert muted(alert("CampaignExporterShardMissing"), source=shard)
    assert not muted(alert("CampaignStalled", **JUNE), source=shard)
    assert not muted(UNAUTHORIZED, source=shard)
    assert not muted(shard, source={**shard, "shard": "1"})


@pytest.mark.parametrize("name", ["CampaignPollsFailing", "CampaignDataStale", "CampaignStalled", "CampaignNotFound"])
def test_a_refused_token_mutes_what_follows_from_it_in_its_account_alone(name: str) -> None:
    assert muted(alert(name, **JUNE), source=UNAUTHORIZED)
    assert not muted(alert(name, **{**JUNE, "account": "other"}), source=UNAUTHORIZED)
    assert not muted(alert(name, **{**JUNE, "provider": "osvi"}), source=UNAUTHORIZED)


def test_a_refused_token_mutes_a_failing_listing_but_no_process_and_not_itself() -> None:
    assert muted(alert("CampaignExporterDiscoveryFailing", provider="anyreach", account="acme"), source=UNAUTHORIZED)
    assert not muted(alert("CampaignExporterConfigReloadFailed"), source=UNAUTHORIZED)
    assert not muted(DOWN, source=UNAUTHORIZED)
    assert not muted(UNAUTHORIZED, source=UNAUTHORIZED)


def test_a_stall_mutes_the_stuck_queue_of_the_same_campaign() -> None:
    stalled = alert("CampaignStalled", **JUNE)

    assert muted(alert("CampaignQueueStuck", **JUNE), source=stalled)
    assert not muted(alert("CampaignQueueStuck", **{**JUNE, "campaign": "july"}), source=stalled)


@pytest.mark.parametrize("label", INSTALLATION)
def test_one_installation_never_mutes_another(label: str) -> None:
    for source, target in (
        (DOWN, alert("CampaignStalled", **JUNE)),
        ({**DOWN, "shard": "2"}, alert("CampaignExporterShardMissing")),
        (UNAUTHORIZED, alert("CampaignPollsFailing", **JUNE)),
        (alert("CampaignStalled", **JUNE), alert("CampaignQueueStuck", **JUNE)),
    ):
        assert muted({**target, label: "a"}, source={**source, label: "a"})
        assert not muted({**target, label: "a"}, source={**source, label: "b"})
        assert not muted({**target, label: "a"}, source={key: source[key] for key in source if key != label})


def test_paths_of_secrets_do_not_depend_on_the_working_directory() -> None:
    paths = re.findall(r"(?m)^[ #-]*\w+_file: (.*)$", CONFIG.read_text())

    assert len(paths) == 6
    assert all(path.startswith("/etc/alertmanager/secrets/") for path in paths)


def test_no_secret_stands_in_the_configuration() -> None:
    keys = re.findall(r"(?m)^[ #-]*(\w*(?:key|url|password|credentials|token)\w*):", CONFIG.read_text())

    assert set(keys) - {"url"} == {
        "credentials_file",
        "routing_key_file",
        "api_url_file",
        "auth_password_file",
    }


def test_promtool_finds_no_fault_in_the_configuration_of_prometheus() -> None:
    result = run("promtool", "check", "config", PROMETHEUS)

    assert result.returncode == 0, result.stdout + result.stderr
    assert "1 rule files found" in result.stdout


def test_prometheus_scrapes_the_job_that_rules_select() -> None:
    config = yaml.safe_load(PROMETHEUS.read_text())
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}

    assert jobs["campaign-exporter"]["static_configs"] == [{"targets": ["localhost:10077"]}]
    assert config["rule_files"] == [str(RULES.relative_to(PROMETHEUS.parent))]
    assert config["alerting"]["alertmanagers"] == [{"static_configs": [{"targets": ["localhost:9093"]}]}]
