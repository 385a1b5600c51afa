"""Values of the chart that are easily taken for something else, one by one and in a chart that depends on it."""

import json
import re
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from aiohttp import web

import exporter
from deploy.prometheus.scale import scaled
from tests.deploy.charts import (
    Manifest,
    Render,
    RunHelm,
    container,
    of_kind,
    the,
    validate,
    workloads,
)
from tests.process import prometheus, query, text, until

HOSTILE = ["123", "0777", "1e3", "1_000", "12:30", "2026-12-25", "true", "no", "null", "~", ".inf", "0x1f"]
"""What YAML takes for another type where it is not quoted."""
ODD = [
    "a: b",
    "a #b",
    "- a",
    "{{ .Release.Name }}",
    "'",
    '"',
    "\\",
    "*a",
    "&a",
    "!a",
    "@",
    "%",
    "`",
    "|",
    "äöü ",
    "[",
    "{",
]
"""What YAML or Go templates take for syntax."""
EVERYTHING: Manifest = {
    "existingConfigSecret": "calls",
    "existingWebConfigSecret": "calls-web",
    "existingTokenSecrets": ["tokens"],
    "imagePullSecrets": [{"name": "registry"}],
    "serviceMonitor": {"enabled": True},
    "prometheusRule": {"enabled": True},
    "dashboards": {"enabled": True},
    "ingress": {"enabled": True, "hosts": [{"host": "a", "paths": [{"path": "/"}]}], "tls": [{"secretName": "a"}]},
    "extraArgs": ["a"],
    "extraEnv": [{"name": "A", "value": "a"}],
    "extraVolumes": [{"name": "a", "emptyDir": {"medium": "a"}}],
    "extraVolumeMounts": [{"name": "a", "mountPath": "/a"}],
    "nodeSelector": {"a": "a"},
    "podLabels": {"a": "a"},
    "podAnnotations": {"a": "a"},
    "serviceAccount": {"annotations": {"a": "a"}},
    "service": {"annotations": {"a": "a"}},
}
Place = tuple[str | int, ...]


def strings(value: Any, path: Place = ()) -> Iterator[Place]:
    """Where a string stands in nested values."""
    if isinstance(value, str):
        yield path
    elif isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from strings(inner, (*path, key))


def all_strings(value: Any) -> set[str]:
    if isinstance(value, str):
        return {value}
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return set().union(*map(all_strings, inner))


def merged(values: Manifest, others: Manifest) -> Manifest:
    return {
        **values,
        **{
            key: merged(values.get(key) or {}, value) if isinstance(value, dict) else value
            for key, value in others.items()
        },
    }


def replaced(values: Any, path: Place, new: str) -> Any:
    """A copy with another string in one place."""
    if not path:
        return new
    copy: Any = dict(values) if isinstance(values, dict) else list(values)
    copy[path[0]] = replaced(copy[path[0]], path[1:], new)
    return copy


@pytest.fixture(scope="session")
def defaults(chart: Path) -> Manifest:
    content: Manifest = yaml.safe_load((chart / "values.yaml").read_text())
    return content


@pytest.fixture(scope="session")
def schema(chart: Path) -> jsonschema.Draft7Validator:
    return jsonschema.Draft7Validator(json.loads((chart / "values.schema.json").read_text()))


@pytest.mark.parametrize("hostile", [*HOSTILE, *ODD])
def test_every_string_stays_a_string(
    render: Render, defaults: Manifest, schema: jsonschema.Draft7Validator, hostile: str
) -> None:
    values, given = merged(defaults, EVERYTHING), set()
    for path in strings(values):
        other = replaced(values, path, hostile)
        if schema.is_valid(other):
            values = other
            given.add(path)

    manifests = render(values)

    assert {("image", "repository"), ("priorityClassName",), ("extraArgs", 0)} <= given
    validate(manifests)
    found = all_strings(manifests)
    assert {
        f"{hostile}:{exporter.__version__}",
        f"{hostile}@{values['image']['digest']}",
        f"{hostile}:{hostile}",
    } & found
    assert hostile in found


@pytest.mark.parametrize("name", ["123", "0777", "1e3", "2024", "1-2"])
def test_names_that_look_like_numbers_stay_names(
    render: Render, run_node: Callable[[str, Any], Any], name: str
) -> None:
    for values in (
        {"fullnameOverride": name},
        {"nameOverride": name, "shards": 2},
        {"existingConfigSecret": name, "existingTokenSecrets": [name], "existingWebConfigSecret": name},
        {"serviceAccount": {"name": name}, "priorityClassName": name, "image": {"tag": name}},
        {"serviceAccount": {"create": False, "name": name}},
    ):
        manifests = render(merged(EVERYTHING, values), release=name, namespace=name)
        of_operator = [one for one in manifests if one["apiVersion"] == "monitoring.coreos.com/v1"]

        validate(manifests)
        assert run_node("operator.mjs", of_operator) == []
        for manifest in manifests:
            assert manifest["metadata"]["namespace"] == name
            assert manifest["metadata"]["labels"]["app.kubernetes.io/instance"] == name
            assert isinstance(manifest["metadata"]["name"], str)


def test_the_name_of_a_service_begins_with_a_letter(render: Render) -> None:
    manifests = render({"shards": 2, "ingress": EVERYTHING["ingress"]}, release="123")
    service = the(manifests, "Service")["metadata"]["name"]
    (path,) = the(manifests, "Ingress")["spec"]["rules"][0]["http"]["paths"]

    assert service == "svc-123-campaign-exporter"
    assert workloads(manifests)[0]["spec"]["serviceName"] == service
    assert path["backend"]["service"]["name"] == service


def test_the_configuration_in_the_configmap_is_what_was_given(render: Render) -> None:
    config = {
        "accounts": [
            {
                "name": text,
                "labels": {"a": text},
                "campaigns": [{"id": text, "calling_hours": {"closed_on": ["2026-12-25"], "start": "09:00"}}],
            }
            for text in [*HOSTILE, *ODD]
        ],
        "poll": {"max_body_bytes": 8388608, "active_interval": "1m"},
    }

    assert yaml.safe_load(the(render({"config": config}), "ConfigMap")["data"]["campaign-exporter.yml"]) == config


def groups_and_leaves(values: Manifest, prefix: str = "") -> Iterator[str]:
    """The dotted name of every value, mappings included."""
    for key, value in values.items():
        yield prefix + key
        if isinstance(value, dict):
            yield from groups_and_leaves(value, f"{prefix}{key}.")


def test_null_leaves_a_value_out_or_is_refused_by_name(chart: Path, run_helm: RunHelm, defaults: Manifest) -> None:
    # Without its type a seccompProfile is nothing that Kubernetes takes, and the whole can be left out.
    for name in set(groups_and_leaves(defaults)) - {"podSecurityContext.seccompProfile.type"}:
        null: Any = None
        for key in reversed(name.split(".")):
            null = {key: null}
        values = merged(EVERYTHING, null)
        done = run_helm("template", "calls", chart, "--values", "-", stdin=json.dumps(values))

        if done.returncode == 0:
            validate([one for one in yaml.load_all(done.stdout, yaml.CSafeLoader) if one])
        else:
            complaint = done.stderr.replace("'", "")
            assert f"missing property {name.rpartition('.')[2]}" in complaint or f"needs {name}" in complaint


def test_openshift_chooses_user_and_groups_where_they_are_left_out(render: Render) -> None:
    chosen = {"podSecurityContext": {"runAsUser": None, "runAsGroup": None, "fsGroup": None}}
    (workload,) = workloads(render(chosen))
    (bare,) = workloads(render({"podSecurityContext": None, "securityContext": None}))

    assert workload["spec"]["template"]["spec"]["securityContext"] == {
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert "securityContext" not in bare["spec"]["template"]["spec"]
    assert "securityContext" not in container(bare)


def test_security_contexts_can_be_set(render: Render) -> None:
    values = {
        "podSecurityContext": {"runAsUser": 1000680000, "supplementalGroups": [1]},
        "securityContext": {"readOnlyRootFilesystem": False},
    }
    (workload,) = workloads(render(values))

    assert workload["spec"]["template"]["spec"]["securityContext"]["runAsUser"] == 1000680000
    assert workload["spec"]["template"]["spec"]["securityContext"]["runAsNonRoot"] is True
    assert container(workload)["securityContext"]["readOnlyRootFilesystem"] is False
    assert container(workload)["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_probes_can_be_tuned_replaced_and_left_out(render: Render) -> None:
    values = {
        "startupProbe": None,
        "livenessProbe": {"tcpSocket": {"port": "http"}},
        "readinessProbe": {"periodSeconds": 7},
    }
    rendered = container(*workloads(render(values)))

    assert "startupProbe" not in rendered
    assert rendered["livenessProbe"].keys() == {"tcpSocket", "periodSeconds", "timeoutSeconds", "failureThreshold"}
    assert rendered["readinessProbe"]["periodSeconds"] == 7
    assert rendered["readinessProbe"]["httpGet"] == {"path": "/-/ready", "port": "http", "scheme": "HTTP"}


def test_a_slow_start_has_a_minute_before_it_counts_as_dead(render: Render) -> None:
    probe = container(*workloads(render({})))["startupProbe"]

    assert probe["httpGet"]["path"] == "/-/healthy"
    assert probe["periodSeconds"] * probe["failureThreshold"] == 60


def test_dns_is_reached_on_either_port_over_udp_and_tcp(render: Render) -> None:
    (egress,) = the(render({}), "NetworkPolicy")["spec"]["egress"]

    assert [(one["port"], one["protocol"]) for one in egress["ports"]] == [
        (53, "UDP"),
        (53, "TCP"),
        (5353, "UDP"),
        (5353, "TCP"),
        (443, "TCP"),
    ]


@pytest.mark.parametrize(
    ("monitor", "timeout"),
    [
        ({}, "10s"),
        ({"interval": "5s"}, "5s"),
        ({"interval": "9s999ms"}, "9s999ms"),
        ({"interval": "1m30s"}, "10s"),
        ({"interval": "1m30s", "scrapeTimeout": "20s"}, "20s"),
    ],
)
def test_a_scrape_never_takes_longer_than_its_interval(render: Render, monitor: Manifest, timeout: str) -> None:
    rendered = render({"serviceMonitor": {"enabled": True, **monitor}})

    assert the(rendered, "ServiceMonitor")["spec"]["endpoints"][0]["scrapeTimeout"] == timeout


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"serviceMonitor": {"enabled": True, "interval": "5s", "scrapeTimeout": "6s"}}, "scrapeTimeout is longer"),
        ({"serviceMonitor": {"interval": "0s"}}, "/serviceMonitor/interval"),
        ({"ingress": {"enabled": True}}, "ingress.enabled needs ingress.hosts"),
        ({"podLabels": {"app.kubernetes.io/name": "a"}}, "app.kubernetes.io/name"),
        ({"serviceMonitor": {"labels": {"app.kubernetes.io/instance": "a"}}}, "app.kubernetes.io/instance"),
        ({"nameOverride": "Calls"}, "/nameOverride"),
        ({"prometheusRule": {"runbookBaseUrl": "https://a/ #/"}}, "/prometheusRule/runbookBaseUrl"),
        ({"podSecurityContexts": {}}, "podSecurityContexts"),
    ],
)
def test_what_kubernetes_would_refuse_is_refused_by_name(
    chart: Path, run_helm: RunHelm, values: Manifest, complaint: str
) -> None:
    done = run_helm("template", "calls", chart, "--values", "-", stdin=json.dumps(values))

    assert done.returncode != 0
    assert complaint in done.stderr.replace("'", "")


def test_what_a_servicemonitor_may_have_besides_is_passed_on(render: Render) -> None:
    relabeling = {"action": "replace", "targetLabel": "cluster", "replacement": "eu"}
    dropped = {"action": "drop", "sourceLabels": ["__name__"], "regex": "python_.*"}
    extra = {"relabelings": [relabeling], "metricRelabelings": [dropped], "sampleLimit": 2000000}
    spec = the(render({"serviceMonitor": {"enabled": True, **extra}}), "ServiceMonitor")["spec"]
    plain = the(render({"serviceMonitor": {"enabled": True}}), "ServiceMonitor")["spec"]

    assert spec["endpoints"][0]["relabelings"][-1] == relabeling
    assert spec["endpoints"][0]["metricRelabelings"] == [dropped]
    assert spec["sampleLimit"] == 2000000
    assert "sampleLimit" not in plain
    assert "metricRelabelings" not in plain["endpoints"][0]


def test_an_ingress_leads_to_the_service(render: Render) -> None:
    rendered = render({"ingress": {"enabled": True, "hosts": [{"host": "calls.example.com"}]}})
    (rule,) = the(rendered, "Ingress")["spec"]["rules"]

    assert rule["host"] == "calls.example.com"
    assert rule["http"]["paths"] == [
        {
            "path": "/",
            "pathType": "Prefix",
            "backend": {"service": {"name": the(rendered, "Service")["metadata"]["name"], "port": {"name": "http"}}},
        }
    ]
    assert of_kind(render({}), "Ingress") == []


@pytest.fixture
def umbrella(chart: Path, run_helm: RunHelm, tmp_path: Path) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Render a chart that depends on this one."""

    def run(values: Manifest, **dependency: str) -> "subprocess.CompletedProcess[str]":
        parent = tmp_path / "umbrella"
        parent.mkdir()
        one = {"name": "campaign-exporter", "version": ">=0", "repository": f"file://{chart}", **dependency}
        described = {"apiVersion": "v2", "name": "umbrella", "version": "1.0.0", "dependencies": [one]}
        (parent / "Chart.yaml").write_text(yaml.safe_dump(described))
        built = run_helm("dependency", "build", parent)
        assert built.returncode == 0, built.stderr
        return run_helm("template", "all", parent, "--namespace", "calls", "--values", "-", stdin=json.dumps(values))

    return run


@pytest.mark.parametrize("enabled", [True, False])
def test_a_parent_chart_switches_it_on_and_off(
    umbrella: Callable[..., "subprocess.CompletedProcess[str]"], enabled: bool
) -> None:
    values = {"global": {"imageRegistry": "a"}, "campaign-exporter": {"enabled": enabled, "demo": True}}
    done = umbrella(values, condition="campaign-exporter.enabled")

    assert done.returncode == 0, done.stderr
    assert ("kind: Deployment" in done.stdout) is enabled


def test_a_parent_chart_may_rename_it_and_leave_values_out(
    umbrella: Callable[..., "subprocess.CompletedProcess[str]"],
) -> None:
    values = {"calls": {"enabled": True, "podSecurityContext": {"runAsUser": None, "fsGroup": None}, "resources": None}}
    done = umbrella({"tags": {"calls": True}, **values}, alias="calls")
    manifests = [one for one in yaml.safe_load_all(done.stdout) if one]

    assert done.returncode == 0, done.stderr
    validate(manifests)
    context = workloads(manifests)[0]["spec"]["template"]["spec"]["securityContext"]
    assert context.get("runAsUser") is None
    assert context.get("fsGroup") is None
    assert the(manifests, "Service")["metadata"]["name"] == "all-calls"


SPEED = 60.0
"""How many of a rule's seconds pass in a real one."""


@asynccontextmanager
async def refusing_exporter() -> AsyncIterator[str]:
    """The page of an exporter that could not load its configuration; yields host and port."""

    async def page(request: web.Request) -> web.Response:
        return web.Response(text="campaign_exporter_config_last_reload_successful 0\n")

    application = web.Application()
    application.router.add_get("/metrics", page)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_rules_of_two_releases_in_one_prometheus_keep_apart(render: Render, tmp_path: Path) -> None:
    jobs, releases = [], ("eu", "us")
    for release in releases:
        links = {"runbookBaseUrl": f"https://{release}.example/r/", "dashboardBaseUrl": f"https://{release}.example/d/"}
        values = {"serviceMonitor": {"enabled": True}, "prometheusRule": {"enabled": True, **links}}
        rendered = render(values, release=release)
        rules = yaml.safe_dump(the(rendered, "PrometheusRule")["spec"], width=10_000)
        (tmp_path / f"{release}.yml").write_text(scaled(rules, SPEED))
        relabelings = the(rendered, "ServiceMonitor")["spec"]["endpoints"][0]["relabelings"]
        jobs.append({one["targetLabel"]: one["replacement"] for one in relabelings})
    async with refusing_exporter() as target:
        configuration = {
            "global": {"scrape_interval": "250ms", "scrape_timeout": "250ms", "evaluation_interval": "250ms"},
            "rule_files": [f"{release}.yml" for release in releases],
            "scrape_configs": [
                {"job_name": release, "static_configs": [{"targets": [target], "labels": labels}]}
                for release, labels in zip(releases, jobs, strict=True)
            ],
        }
        async with prometheus(tmp_path, yaml.safe_dump(configuration)) as server:

            async def both() -> list[dict[str, Any]]:
                alerts = json.loads(await text(f"{server}/api/v1/alerts"))["data"]["alerts"]
                firing = [one for one in alerts if one["state"] == "firing" and "Reload" in one["labels"]["alertname"]]
                return firing if len(firing) > 1 else []

            firing = await until(both)
            recorded = await query(server, "campaign_exporter:links:info")

    found = {one["labels"]["installation"]: one["annotations"] for one in firing}
    assert len(firing) == len(recorded) == 2
    for release in releases:
        annotations = found[f"monitoring/{release}-campaign-exporter"]
        assert annotations["runbook_url"].startswith(f"https://{release}.example/r/CampaignExporter")
        assert annotations["dashboard_url"].startswith(f"https://{release}.example/d/")


def test_every_rule_of_a_release_selects_its_own_targets(render: Render) -> None:
    rendered = render({"serviceMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}})
    rules = yaml.safe_dump(the(rendered, "PrometheusRule")["spec"], width=10_000)
    selectors = re.findall(r'[^{"]*\bjob="campaign-exporter"[^}]*', rules.replace('\\"', '"'))

    assert len(selectors) > 50
    assert not [one for one in selectors if 'installation="monitoring/calls-campaign-exporter"' not in one]
