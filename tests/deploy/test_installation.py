"""What the documents say about installing, while there is no release."""

import re
import shlex
from pathlib import Path

import pytest
import yaml

import exporter

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("deploy/**/*.md"), *ROOT.glob("deploy/*.yml")]
)
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def commands(text: str) -> list[list[str]]:
    """Every command of the shell blocks of a document."""
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_no_document_installs_what_nobody_has_published(file: Path) -> None:
    text = file.read_text(encoding="utf-8")

    assert not re.findall(r"pip install (?:-\S+ )*campaign-exporter\b", text)
    assert not re.findall(r"(?:docker|podman) pull \S*campaign-exporter|helm repo add|oci://", text)


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_files_and_targets_that_commands_name_are_there(file: Path) -> None:
    for program, *words in commands(file.read_text(encoding="utf-8")):
        if program == "make":
            assert {word for word in words if re.fullmatch("[a-z]+", word)} <= TARGETS
        named = [word.rpartition("=")[2] for word in words if re.match(r"(?:--\w+=)?(?:deploy|docs|tests)/", word)]
        assert [one for one in named if not list(ROOT.glob(one))] == []


def test_no_command_of_a_document_names_a_version() -> None:
    for file in [*DOCUMENTS, ROOT / "deploy/Dockerfile"]:
        text = "".join(re.findall(r"^(?:```sh\n.*?^```|#.*?$)", file.read_text("utf-8"), re.MULTILINE | re.DOTALL))
        assert exporter.__version__ not in text, file


def test_the_chart_and_the_compose_file_have_the_version_of_the_sources() -> None:
    chart = yaml.safe_load((ROOT / "deploy/helm/campaign-exporter/Chart.yaml").read_text("utf-8"))
    service = yaml.safe_load((ROOT / "deploy/compose.yml").read_text("utf-8"))["services"]["campaign-exporter"]

    assert {chart["version"], chart["appVersion"], service["build"]["args"]["VERSION"]} == {exporter.__version__}
    assert service["image"] == f"campaign-exporter:{exporter.__version__}"


def test_the_chart_takes_image_and_version_from_one_place() -> None:
    chart = ROOT / "deploy/helm/campaign-exporter"
    values = yaml.safe_load((chart / "values.yaml").read_text(encoding="utf-8"))
    templates = "".join(file.read_text(encoding="utf-8") for file in (chart / "templates").iterdir())

    assert values["image"] == {"repository": "campaign-exporter", "tag": "", "digest": "", "pullPolicy": "IfNotPresent"}
    assert exporter.__version__ not in templates
