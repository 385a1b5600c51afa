"""The chart, rendered by Helm itself and judged by the schemas of what it renders."""

import json
import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import exporter
from exporter.config.flags import FlagParser, add_flags
from exporter.config.sources import load
from tests.deploy.charts import (
    Manifest,
    Render,
    RunHelm,
    container,
    environment,
    leaves,
    of_kind,
    the,
    validate,
    workloads,
)

ALL_EXTRAS: Manifest = {
    "serviceMonitor": {"enabled": True, "labels": {"release": "kube-prometheus-stack"}},
    "prometheusRule": {"enabled": True, "labels": {"release": "kube-prometheus-stack"}},
    "dashboards": {"enabled": True, "annotations": {"grafana_folder": "Campaigns"}},
}
VALUE_SETS: dict[str, Manifest] = {
    "defaults": {},
    "demo": {"demo": True},
    "accounts": {
        **ALL_EXTRAS,
        "config": {"accounts": [{"name": "acme", "provider": "anyreach", "token_file": "/run/secrets/acme/token"}]},
        "existingTokenSecrets": ["acme", "acme-in"],
        "image": {"digest": "sha256:" + "0" * 64},
        "imagePullSecrets": [{"name": "registry"}],
    },
    "pair": {**ALL_EXTRAS, "replicas": 2, "podDisruptionBudget": {"maxUnavailable": "50%"}},
    "shards": {**ALL_EXTRAS, "shards": 4},
    "pairs of shards": {**ALL_EXTRAS, "shards": 4, "replicas": 2},
    "everything from secrets": {
        **ALL_EXTRAS,
        "existingConfigSecret": "campaign-exporter",
        "existingWebConfigSecret": "campaign-exporter-web",
        "tls": True,
        "serviceMonitor": {
            "enabled": True,
            "tlsConfig": {"ca": {"secret": {"name": "ca", "key": "ca.crt"}}, "serverName": "exporter"},
            "basicAuth": {
                "username": {"name": "scrape", "key": "user"},
                "password": {"name": "scrape", "key": "password"},
            },
        },
        "extraArgs": ["--log.format=json"],
        "extraEnv": [{"name": "OSVI_TOKEN", "valueFrom": {"secretKeyRef": {"name": "osvi", "key": "token"}}}],
    },
    "placed": {
        "shards": 2,
        "fullnameOverride": "a-name-of-sixty-characters-and-more-so-that-it-must-be-cut-to-fit",
        "podLabels": {"team": "renewals"},
        "podAnnotations": {"note": "1"},
        "priorityClassName": "monitoring",
        "nodeSelector": {"kubernetes.io/arch": "arm64"},
        "tolerations": [{"key": "monitoring", "operator": "Exists", "effect": "NoSchedule"}],
        "affinity": {"nodeAffinity": {}},
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "topology.kubernetes.io/zone",
                "whenUnsatisfiable": "DoNotSchedule",
                "labelSelector": {"matchLabels": {"app.kubernetes.io/name": "campaign-exporter"}},
            }
        ],
        "serviceAccount": {"create": False, "name": "monitoring"},
        "networkPolicy": {
            "ingressFrom": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
            "egressPorts": [443, 3128],
        },
    },
    "nothing optional": {
        "serviceAccount": {"create": False},
        "podDisruptionBudget": {"enabled": False},
        "networkPolicy": {"enabled": False},
        "resources": None,
        "startupProbe": None,
    },
    "extended": {
        "config": {"accounts": [{"name": "acme", "provider": "anyreach", "token_file": "/var/run/tokens/acme"}]},
        "envFrom": [{"secretRef": {"name": "tokens"}}],
        "extraVolumes": [{"name": "tokens", "csi": {"driver": "secrets-store.csi.k8s.io", "readOnly": True}}],
        "extraVolumeMounts": [{"name": "tokens", "mountPath": "/var/run/tokens", "readOnly": True}],
        "service": {"annotations": {"prometheus.io/scrape": "true"}},
        "startupProbe": {"failureThreshold": 60, "initialDelaySeconds": 1},
        "ingress": {
            "enabled": True,
            "className": "nginx",
            "annotations": {"nginx.ingress.kubernetes.io/auth-type": "basic"},
            "hosts": [
                {"host": "campaigns.example.com"},
                {"host": "example.com", "paths": [{"path": "/calls", "pathType": "Exact"}]},
            ],
            "tls": [{"secretName": "campaigns-tls", "hosts": ["campaigns.example.com"]}],
        },
        "serviceMonitor": {
            "enabled": True,
            "interval": "1m30s",
            "scrapeTimeout": "20s",
            "sampleLimit": 200000,
            "relabelings": [{"action": "replace", "targetLabel": "cluster", "replacement": "eu"}],
            "metricRelabelings": [{"action": "drop", "sourceLabels": ["__name__"], "regex": "python_.*"}],
        },
    },
}


@pytest.fixture(params=VALUE_SETS.values(), ids=list(VALUE_SETS))
def manifests(request: pytest.FixtureRequest, render: Render) -> list[Manifest]:
    """What one of the value sets renders to."""
    return render(request.param)


@pytest.mark.parametrize("kubernetes", ["1.33", "1.37"])
def test_every_manifest_is_what_kubernetes_takes(manifests: list[Manifest], kubernetes: str) -> None:
    validate(manifests, kubernetes)


def test_the_operators_kinds_are_what_its_crds_take(render: Render, run_node: Callable[[str, Any], Any]) -> None:
    rendered = [manifest for values in VALUE_SETS.values() for manifest in render(values)]
    of_operator = [manifest for manifest in rendered if manifest["apiVersion"] == "monitoring.coreos.com/v1"]

    assert {manifest["kind"] for manifest in of_operator} == {"ServiceMonitor", "PrometheusRule"}
    assert run_node("operator.mjs", of_operator) == []


def test_a_misspelt_key_of_the_operators_kinds_would_be_found(run_node: Callable[[str, Any], Any]) -> None:
    kind = {"apiVersion": "monitoring.coreos.com/v1", "kind": "ServiceMonitor", "metadata": {"name": "calls"}}
    faults = run_node("operator.mjs", [{**kind, "spec": {"selector": {}, "endpoints": [{"intervall": "15s"}]}}])

    assert len(faults) == 1
    assert "'\"intervall\"' does not exist" in faults[0][1]


def test_the_linter_of_helm_finds_nothing(chart: Path, run_helm: RunHelm) -> None:
    for values in VALUE_SETS.values():
        done = run_helm("lint", "--strict", chart, "--values", "-", stdin=json.dumps(values))

        assert done.returncode == 0, done.stdout
        assert "WARNING" not in done.stdout


def test_names_and_labels_are_unique_short_and_in_the_release_namespace(manifests: list[Manifest]) -> None:
    names = [(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests]

    assert len(set(names)) == len(names)
    assert {manifest["metadata"]["namespace"] for manifest in manifests} == {"monitoring"}
    assert {manifest["metadata"]["labels"]["app.kubernetes.io/instance"] for manifest in manifests} == {"calls"}
    # "-<ordinal>" and "-<hash of ten>" must still fit into 63.
    assert all(len(workload["metadata"]["name"]) <= 52 for workload in workloads(manifests))


def test_every_selector_selects_the_pods(manifests: list[Manifest]) -> None:
    selectors = {
        "Service": lambda spec: spec["selector"],
        "PodDisruptionBudget": lambda spec: spec["selector"]["matchLabels"],
        "NetworkPolicy": lambda spec: spec["podSelector"]["matchLabels"],
    }
    for workload in workloads(manifests):
        pod_labels = workload["spec"]["template"]["metadata"]["labels"].items()

        assert workload["spec"]["selector"]["matchLabels"].items() <= pod_labels
        for manifest in manifests:
            if manifest["kind"] in selectors:
                assert selectors[manifest["kind"]](manifest["spec"]).items() <= pod_labels


def test_pods_meet_the_restricted_standard(manifests: list[Manifest]) -> None:
    for workload in workloads(manifests):
        pod = workload["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 10000
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        assert container(workload)["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_probes_ask_the_exporters_own_paths(manifests: list[Manifest]) -> None:
    for workload in workloads(manifests):
        exporter_container = container(workload)
        (port,) = exporter_container["ports"]
        assert (port["name"], port["containerPort"]) == ("http", 10077)
        assert exporter_container["livenessProbe"]["httpGet"]["path"] == "/-/healthy"
        assert exporter_container["readinessProbe"]["httpGet"]["path"] == "/-/ready"
        for probe in ("livenessProbe", "readinessProbe"):
            assert exporter_container[probe]["httpGet"]["port"] == "http"


def test_every_mounted_volume_exists_and_every_volume_is_mounted(manifests: list[Manifest]) -> None:
    for workload in workloads(manifests):
        mounts = container(workload).get("volumeMounts", [])
        volumes = workload["spec"]["template"]["spec"].get("volumes", [])

        assert [mount["name"] for mount in mounts] == [volume["name"] for volume in volumes]
        assert all("subPath" not in mount for mount in mounts)


def test_without_shards_there_is_one_deployment(render: Render) -> None:
    (workload,) = workloads(render({"replicas": 2}))

    assert workload["kind"] == "Deployment"
    assert workload["spec"]["replicas"] == 2
    assert "CAMPAIGN_EXPORTER_SHARD__COUNT" not in environment(workload)


def test_shards_are_a_statefulset_whose_pods_know_their_ordinal_and_number(render: Render) -> None:
    rendered = render({"shards": 4})
    (workload,) = workloads(rendered)

    assert workload["kind"] == "StatefulSet"
    assert workload["spec"]["replicas"] == 4
    assert workload["spec"]["serviceName"] == the(rendered, "Service")["metadata"]["name"]
    assert environment(workload)["CAMPAIGN_EXPORTER_SHARD__INDEX"] == "hostname"
    assert environment(workload)["CAMPAIGN_EXPORTER_SHARD__COUNT"] == "4"


def test_pairs_of_shards_are_two_statefulsets_that_share_no_pod(render: Render) -> None:
    first, second = workloads(render({"shards": 4, "replicas": 2}))

    assert first["metadata"]["name"].endswith("-a")
    assert second["metadata"]["name"].endswith("-b")
    assert not (
        first["spec"]["selector"]["matchLabels"].items() <= second["spec"]["template"]["metadata"]["labels"].items()
    )


def test_the_first_statefulset_keeps_its_name_when_a_second_joins(render: Render) -> None:
    alone, *_ = workloads(render({"shards": 4}))
    paired, *_ = workloads(render({"shards": 4, "replicas": 2}))

    assert alone == paired


def test_the_service_is_the_same_in_every_shape(render: Render) -> None:
    services = [the(render(values), "Service") for values in ({}, {"shards": 4}, {"replicas": 2}, {"demo": True})]

    assert all(service == services[0] for service in services)
    assert services[0]["spec"]["clusterIP"] == "None"


@pytest.mark.parametrize("release", ["calls", "campaign-exporter", "production-campaign-exporter"])
def test_the_job_is_campaign_exporter_whatever_the_release_is_called(render: Render, release: str) -> None:
    rendered = render({**ALL_EXTRAS, "nameOverride": "calls"}, release=release)
    (endpoint,) = the(rendered, "ServiceMonitor")["spec"]["endpoints"]

    assert {"action": "replace", "targetLabel": "job", "replacement": "campaign-exporter"} in endpoint["relabelings"]
    assert endpoint["honorLabels"] is True
    assert endpoint["path"] == "/metrics"


def test_the_servicemonitor_finds_the_service_and_its_port(render: Render) -> None:
    rendered = render(ALL_EXTRAS)
    monitor, service = the(rendered, "ServiceMonitor"), the(rendered, "Service")

    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["spec"]["namespaceSelector"]["matchNames"] == [service["metadata"]["namespace"]]
    assert [endpoint["port"] for endpoint in monitor["spec"]["endpoints"]] == [
        port["name"] for port in service["spec"]["ports"]
    ]
    assert monitor["metadata"]["labels"]["release"] == "kube-prometheus-stack"


def test_the_prometheusrule_holds_the_shipped_rules_to_the_letter(root: Path, render: Render) -> None:
    shipped = root / "deploy" / "prometheus" / "rules" / "campaign-exporter.rules.yml"

    assert the(render({"prometheusRule": {"enabled": True}}), "PrometheusRule")["spec"] == yaml.safe_load(
        shipped.read_text()
    )


def test_links_of_alerts_can_point_elsewhere(root: Path, render: Render) -> None:
    shipped = (root / "deploy" / "prometheus" / "rules" / "campaign-exporter.rules.yml").read_text()
    bases = {"runbookBaseUrl": "https://wiki.example/runbooks/", "dashboardBaseUrl": "https://grafana.example/d/"}

    assert "http://localhost:10077/runbooks/" in shipped
    assert "http://localhost:3000/d/" in shipped
    assert the(render({"prometheusRule": {"enabled": True, **bases}}), "PrometheusRule")["spec"] == yaml.safe_load(
        shipped.replace("http://localhost:10077/runbooks/", bases["runbookBaseUrl"]).replace(
            "http://localhost:3000/d/", bases["dashboardBaseUrl"]
        )
    )


def test_every_dashboard_is_a_configmap_for_grafanas_sidecar(root: Path, render: Render) -> None:
    shipped = {path.name: json.loads(path.read_text()) for path in (root / "grafana" / "dashboards").glob("*.json")}
    rendered: dict[str, Any] = {}
    for manifest in of_kind(render(ALL_EXTRAS), "ConfigMap"):
        if manifest["metadata"]["labels"].get("grafana_dashboard") == "1":
            ((name, text),) = manifest["data"].items()
            rendered[name] = json.loads(text)
            assert manifest["metadata"]["annotations"] == {"grafana_folder": "Campaigns"}
            assert len(text) < 1_000_000, "a ConfigMap holds 1 MiB"

    assert shipped
    assert rendered == shipped


def test_a_packaged_chart_holds_the_rules_and_dashboards_themselves(
    root: Path, chart: Path, run_helm: RunHelm, tmp_path: Path
) -> None:
    assert run_helm("package", chart, "--destination", tmp_path).returncode == 0

    with tarfile.open(tmp_path / f"campaign-exporter-{exporter.__version__}.tgz") as package:
        files = {member.name: member for member in package if "/files/" in member.name}
        assert all(member.isfile() for member in files.values())
        rules = package.extractfile("campaign-exporter/files/rules/campaign-exporter.rules.yml")
        assert rules is not None
        assert rules.read() == (root / "deploy/prometheus/rules/campaign-exporter.rules.yml").read_bytes()
    dashboards = {f"campaign-exporter/files/dashboards/{path.name}" for path in (root / "grafana/dashboards").glob("*")}
    assert dashboards <= set(files)


def test_tokens_are_files_of_existing_secrets(render: Render) -> None:
    rendered = render({"existingTokenSecrets": ["acme", "acme-in"]})
    (workload,) = workloads(rendered)
    mounts = {mount["name"]: mount["mountPath"] for mount in container(workload)["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in workload["spec"]["template"]["spec"]["volumes"]}

    assert of_kind(rendered, "Secret") == []
    assert {volume["secret"]["secretName"]: mounts[name] for name, volume in volumes.items() if "secret" in volume} == {
        "acme": "/run/secrets/acme",
        "acme-in": "/run/secrets/acme-in",
    }


def test_the_configuration_is_a_configmap_or_an_existing_secret_and_is_looked_at_again(render: Render) -> None:
    config = {"accounts": [{"name": "acme"}], "poll": {"idle_interval": "5m"}}
    of_map, of_secret = render({"config": config}), render({"existingConfigSecret": "campaign-exporter"})

    assert yaml.safe_load(the(of_map, "ConfigMap")["data"]["campaign-exporter.yml"]) == config
    assert of_kind(of_secret, "ConfigMap") == []
    for rendered in (of_map, of_secret):
        (workload,) = workloads(rendered)
        assert "--config.file=/etc/campaign-exporter/campaign-exporter.yml" in container(workload)["args"]
        assert environment(workload)["CAMPAIGN_EXPORTER_RELOAD__AUTO_INTERVAL"] == "30s"


def test_the_demo_takes_no_configuration_and_reaches_nothing(render: Render) -> None:
    rendered = render({"demo": True})
    (workload,) = workloads(rendered)

    assert container(workload)["args"] == ["demo"]
    assert "env" not in container(workload)
    assert of_kind(rendered, "ConfigMap") == []
    assert the(rendered, "NetworkPolicy")["spec"]["egress"] == []


def test_a_web_configuration_is_mounted_where_its_flag_says_and_needs_no_tls(render: Render) -> None:
    (workload,) = workloads(render({"existingWebConfigSecret": "web"}))
    (flag,) = [flag for flag in container(workload)["args"] if flag.startswith("--web.config.file=")]
    mounted = {mount["name"]: mount["mountPath"] for mount in container(workload)["volumeMounts"]}
    (volume,) = [
        volume
        for volume in workload["spec"]["template"]["spec"]["volumes"]
        if volume.get("secret", {}).get("secretName") == "web"
    ]

    assert flag == f"--web.config.file={mounted[volume['name']]}/web-config.yml"
    assert container(workload)["readinessProbe"]["httpGet"]["scheme"] == "HTTP"


def test_tls_is_spoken_by_probes_and_servicemonitor_alike(render: Render) -> None:
    rendered = render(VALUE_SETS["everything from secrets"])
    (workload,) = workloads(rendered)

    assert "--web.config.file=/etc/campaign-exporter-web/web-config.yml" in container(workload)["args"]
    assert container(workload)["livenessProbe"]["httpGet"]["scheme"] == "HTTPS"
    assert container(workload)["readinessProbe"]["httpGet"]["scheme"] == "HTTPS"
    assert the(rendered, "ServiceMonitor")["spec"]["endpoints"][0]["scheme"] == "https"


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"replicaCount": 2}, "replicaCount"),
        ({"shards": 0}, "/shards"),
        ({"shards": "four"}, "/shards"),
        ({"replicas": 4}, "/replicas"),
        ({"serviceMonitor": {"interval": "15 seconds"}}, "/serviceMonitor/interval"),
        ({"existingTokenSecrets": ["Not A Name"]}, "/existingTokenSecrets/0"),
        ({"config": {"accounts": [{"token": "clear"}]}}, "/config/accounts/0/token"),
        ({"config": {"shard": {"count": 2}}}, "/config/shard"),
        ({"config": {"web": {"listen_address": [":80"]}}}, "/config/web/listen_address"),
        ({"prometheusRule": {"runbookBaseUrl": "https://wiki.example"}}, "/prometheusRule/runbookBaseUrl"),
        ({"demo": True, "shards": 2}, "demo takes no configuration"),
        ({"demo": True, "config": {"accounts": []}}, "demo takes no configuration"),
        ({"config": {"accounts": []}, "existingConfigSecret": "x"}, "config and existingConfigSecret are both set"),
        ({"tls": True}, "tls needs existingWebConfigSecret"),
    ],
)
def test_a_wrong_value_is_refused_by_name(
    chart: Path,
    run_helm: RunHelm,
    values: Manifest,
    complaint: str,
) -> None:
    done = run_helm("template", "calls", chart, "--values", "-", stdin=json.dumps(values))

    assert done.returncode != 0
    assert complaint in done.stderr.replace("'", "")


def test_the_readmes_table_is_the_values_file(chart: Path) -> None:
    rows = re.findall(r"^\| `([^`]+)` \| `([^`]*)` \|", (chart / "README.md").read_text(), re.MULTILINE)

    assert [(name, yaml.safe_load(default)) for name, default in rows] == list(
        leaves(yaml.safe_load((chart / "values.yaml").read_text()))
    )


def test_every_example_of_the_readme_can_be_rendered(chart: Path, render: Render) -> None:
    examples = re.findall(r"^```yaml\n(.*?)^```", (chart / "README.md").read_text(), re.MULTILINE | re.DOTALL)

    assert len(examples) == 2
    for example in examples:
        validate(render(yaml.safe_load(example)))


@pytest.mark.parametrize("shards", [1, 3])
def test_the_exporter_takes_what_the_readmes_example_gives_it(
    chart: Path, render: Render, tmp_path: Path, shards: int
) -> None:
    example, *_ = re.findall(r"^```yaml\n(.*?)^```", (chart / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    rendered = render({**yaml.safe_load(example), "shards": shards})
    (config,) = (
        manifest["data"]["campaign-exporter.yml"]
        for manifest in of_kind(rendered, "ConfigMap")
        if "campaign-exporter.yml" in manifest["data"]
    )
    (workload,) = workloads(rendered)
    given = environment(workload)
    if shards > 1:
        given["CAMPAIGN_EXPORTER_SHARD__INDEX"] = "2"  # as the name of a pod ends, and of this host need not
    # The pod's folders, here: the tokens' are where their Secrets are mounted, and nowhere else.
    for mount in container(workload)["volumeMounts"]:
        folder = tmp_path / mount["mountPath"].lstrip("/")
        folder.mkdir(parents=True)
        config = config.replace(mount["mountPath"], str(folder))
    for account in yaml.safe_load(config)["accounts"]:
        Path(account["token_file"]).write_text("token")
    (tmp_path / "etc/campaign-exporter/campaign-exporter.yml").write_text(config)

    parser = FlagParser()
    add_flags(parser)
    command, *flags = container(workload)["args"]
    flags = [flag.replace("=/etc/", f"={tmp_path}/etc/") for flag in flags]
    settings = load(parser.parse_args(flags), environ=given)

    assert command == "serve"
    assert [account.name for account in settings.accounts] == ["acme-us", "acme-in"]
    assert settings.reload.auto_interval == 30
    assert (settings.shard.index, settings.shard.count) == ((2, 3) if shards > 1 else (0, 1))


def test_the_chart_has_the_exporters_version(chart: Path) -> None:
    described = yaml.safe_load((chart / "Chart.yaml").read_text())

    assert described["appVersion"] == exporter.__version__
    assert described["version"] == exporter.__version__
