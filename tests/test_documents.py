"""Documents, dashboards and rules against what is really exported."""

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from docs.reference import documents
from exporter.cli import _parser
from exporter.exposition.account_families import ACCOUNT_FAMILIES, POLLING_FAMILIES
from exporter.exposition.attempt_families import ATTEMPT_FAMILIES, ATTEMPT_READING_FAMILIES
from exporter.exposition.board import Board
from exporter.exposition.families import CAMPAIGN_FAMILIES
from exporter.exposition.own import Instruments
from exporter.exposition.page import Exposition

ROOT = Path(__file__).parent.parent
RULES = ROOT / "deploy" / "prometheus" / "rules" / "campaign-exporter.rules.yml"
TARGET_LABELS = {"job", "instance", "cluster", "pod", "le", "alertname", "alertstate", "severity", "__name__"}


def exported() -> dict[str, set[str]]:
    """Every exported metric with the labels that it may carry, but for the configured ones."""
    names: dict[str, set[str]] = {}
    histograms: dict[str, set[str]] = {}
    for row in (*CAMPAIGN_FAMILIES, *ATTEMPT_FAMILIES):
        labels = {"provider", "account", "campaign", *row.labels}
        (histograms if row.type == "histogram" else names)[row.name] = labels
    for account_row in ACCOUNT_FAMILIES:
        names[account_row.name] = {"provider", "account", *account_row.labels}
    for polling_row in (*POLLING_FAMILIES, *ATTEMPT_READING_FAMILIES):
        labels = {"provider", "account", *polling_row.labels}
        (histograms if polling_row.type == "histogram" else names)[polling_row.name] = labels
    registry = CollectorRegistry()
    Instruments(registry, "", "")
    Exposition(Board(), tuple, registry, lambda: 0.0)
    for family in registry.collect():
        if family.type == "histogram":
            histograms[family.name] = set()
            continue
        name = f"{family.name}_total" if family.type == "counter" else family.name
        names[name] = {label for sample in family.samples for label in sample.labels}
    for name, labels in histograms.items():
        names |= {f"{name}_{part}": labels for part in ("bucket", "sum", "count")}
    return names


def recorded() -> set[str]:
    rules = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    return {rule["record"] for group in rules["groups"] for rule in group["rules"] if "record" in rule}


def expressions() -> Iterator[str]:
    """Every PromQL expression of the rules and the dashboards."""
    rules = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    yield from (rule["expr"] for group in rules["groups"] for rule in group["rules"])
    for file in (ROOT / "grafana" / "dashboards").glob("*.json"):
        yield from _expressions(json.loads(file.read_text(encoding="utf-8")))


def _expressions(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "expr" and isinstance(inner, str):
                yield inner
            else:
                yield from _expressions(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _expressions(inner)


@pytest.mark.parametrize("file", documents(), ids=lambda file: str(file.name))
def test_the_references_are_up_to_date(file: Path) -> None:
    assert file.read_text(encoding="utf-8") == documents()[file], "run python -m docs.reference"


def test_rules_and_dashboards_ask_only_for_metrics_that_are_exported() -> None:
    asked = {
        name
        for expression in expressions()
        for name in re.findall(r"(?<![\w:])campaign_\w+(?=\{|\[|\s|\)|$)", expression)
    }
    known = set(exported()) | {label for labels in exported().values() for label in labels}

    assert asked
    assert asked - known == set()


def test_rules_and_dashboards_select_only_labels_that_are_exported() -> None:
    unknown = {
        f"{name}{{{label}}}"
        for expression in expressions()
        for name, selector in re.findall(r"(?<![\w:])(campaign_\w+)\{([^}]*)\}", expression)
        if name in exported()
        for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector)
        if label not in exported()[name] | TARGET_LABELS
    }

    assert unknown == set()


def test_every_exported_metric_is_asked_for_by_a_document() -> None:
    reference = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")

    assert [name for name in exported() if re.sub("_(bucket|sum|count)$", "", name) not in reference] == []


@pytest.mark.parametrize(
    "file",
    ["README.md", "docs/alerts.md", *(f"docs/runbooks/{f.name}" for f in (ROOT / "docs" / "runbooks").glob("*.md"))],
)
def test_documents_name_only_metrics_that_are_exported(file: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")
    named = set(re.findall(r"(?<![\w:/.-])campaign_[a-z_]+[a-z](?![\w:]|\*|_\*)", text))
    known = set(exported()) | {re.sub("_(bucket|sum|count)$", "", name) for name in exported()}
    labels = {"campaign_id", "campaign_name"}

    assert named - known - labels == set()


DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "deploy").rglob("*.md")]


def anchors(file: Path) -> set[str]:
    """The anchors that a page of a repository gives its headings."""
    headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_between_documents_lead_somewhere() -> None:
    broken = []
    for file in DOCUMENTS:
        for target in re.findall(r"\]\(([^)\s]+)", file.read_text(encoding="utf-8")):
            path, _, anchor = target.partition("#")
            there = (file.parent / path) if path else file
            if not re.match(r"[a-z]+:", target) and (not there.exists() or (anchor and anchor not in anchors(there))):
                broken.append(f"{file.relative_to(ROOT)}: {target}")
    assert broken == []


class TestReadme:
    TEXT = (ROOT / "README.md").read_text(encoding="utf-8")

    def test_a_picture_of_wall_and_page_is_on_the_first_two_screens(self) -> None:
        beginning = "\n".join(self.TEXT.splitlines()[:40])

        assert {"docs/images/wall.png", "docs/images/page-light.png"} <= set(re.findall(r"\((\S+\.png)\)", beginning))

    @pytest.mark.parametrize("command", ["make demo", "make test"])
    def test_it_shows_the_commands_that_set_everything_up(self, command: str) -> None:
        assert f"```sh\n{command}\n```" in self.TEXT

    def test_it_lists_every_alert_with_its_severity(self) -> None:
        rules = yaml.safe_load(RULES.read_text(encoding="utf-8"))
        alerts = {
            (rule["labels"]["severity"], rule["alert"])
            for group in rules["groups"]
            for rule in group["rules"]
            if "alert" in rule
        }

        assert set(re.findall(r"^\| (critical|warning|info) \| `(\w+)` \|", self.TEXT, re.MULTILINE)) == alerts

    def test_its_index_names_every_document(self) -> None:
        index = self.TEXT.split("\n## Documentation\n")[1]
        documents = {file.relative_to(ROOT).as_posix() for file in DOCUMENTS} - {"README.md"}

        assert {name for name in documents if not name.startswith("docs/runbooks/")} <= set(
            re.findall(r"\]\(([^)#]+)", index)
        )


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_commands_within_sentences_have_flags_that_exist(file: Path) -> None:
    for line in re.findall(r"`campaign-exporter ([^`\n]+)`", file.read_text(encoding="utf-8")):
        # An ellipsis stands for a value of the reader's.
        arguments = line.replace("...", "x").split()
        with contextlib.suppress(SystemExit):
            _parser().parse_args(arguments)
            continue
        assert "--version" in arguments or "--help" in arguments, line
