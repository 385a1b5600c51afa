"""Files with which a Grafana shows the dashboards by itself."""

from typing import Any

import yaml

from grafana.build import ROOT

PROVISIONING = ROOT / "grafana" / "provisioning"


def loaded(path: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((PROVISIONING / path).read_text(encoding="utf-8"))
    assert content.pop("apiVersion") == 1
    return content


def test_the_data_source_is_a_prometheus_that_shows_its_alerts() -> None:
    (source,) = loaded("datasources/prometheus.yml")["datasources"]

    assert source["type"] == "prometheus"
    assert source["uid"] == "prometheus"
    assert source["isDefault"] is True
    assert source["editable"] is False
    assert source["jsonData"]["manageAlerts"] is True


def test_the_interval_of_the_data_source_is_that_of_the_scrapes() -> None:
    (source,) = loaded("datasources/prometheus.yml")["datasources"]
    prometheus = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))

    assert source["jsonData"]["timeInterval"] == prometheus["global"]["scrape_interval"]


def test_the_dashboards_are_read_from_the_path_that_containers_mount_and_stay_as_they_are() -> None:
    (provider,) = loaded("dashboards/campaign-exporter.yml")["providers"]

    assert provider["type"] == "file"
    assert provider["options"]["path"] == "/var/lib/grafana/dashboards"
    assert provider["allowUiUpdates"] is False
    assert provider["disableDeletion"] is True
