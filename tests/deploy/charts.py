"""What a chart renders to, and how to look into it."""

import subprocess
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]  # it ships no types

Manifest = dict[str, Any]
Render = Callable[..., list[Manifest]]
RunHelm = Callable[..., subprocess.CompletedProcess[str]]


def of_kind(manifests: list[Manifest], kind: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def the(manifests: list[Manifest], kind: str) -> Manifest:
    (manifest,) = of_kind(manifests, kind)
    return manifest


def workloads(manifests: list[Manifest]) -> list[Manifest]:
    return of_kind(manifests, "Deployment") + of_kind(manifests, "StatefulSet")


def container(workload: Manifest) -> Manifest:
    (only,) = workload["spec"]["template"]["spec"]["containers"]
    assert isinstance(only, dict)
    return only


def environment(workload: Manifest) -> dict[str, str]:
    return {variable["name"]: variable.get("value", "") for variable in container(workload).get("env", [])}


def validate(manifests: list[Manifest], kubernetes: str = "1.33") -> None:
    """Hold manifests of Kubernetes' own kinds to its schemas."""
    for manifest in manifests:
        if manifest["apiVersion"] != "monitoring.coreos.com/v1":
            kubernetes_validate.validate(manifest, kubernetes, strict=True)


def leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every value that is no mapping, or an empty one, with its dotted name."""
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value
