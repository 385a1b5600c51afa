"""The shipped examples load as they are, and with whatever they offer uncommented."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
import yaml

from exporter.config.model import Settings
from exporter.config.section import Section, section_of
from tests.config.loading import ACCOUNTS, BARE, read

DEPLOY = Path(__file__).parents[2] / "deploy"
EXAMPLE = (DEPLOY / "campaign-exporter.example.yml").read_text(encoding="utf-8")
# A key without a space after the mark, and what belongs to it with two or more.
BLOCK = re.compile(r"^( *)#[a-z_]+:.*\n(?:\1#  .*\n)*", re.MULTILINE)
BLOCKS = [match[0] for match in BLOCK.finditer(EXAMPLE)]


def uncommented(block: str) -> str:
    return re.sub(r"^( *)#", r"\1", block, flags=re.MULTILINE)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """The files that the example names, each with one that is there."""
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    (tmp_path / "token").write_text("ak_example.secret\n")
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    certificate.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    certificate.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    names = {
        "/run/secrets/anyreach": "token",
        "/etc/ssl/corp.pem": "ca.pem",
        "/etc/ssl/client.pem": "cert.pem",
        "/etc/ssl/client.key": "key.pem",
    }
    return {file: str(tmp_path / name) for file, name in names.items()}


def loaded(tmp_path: Path, files: dict[str, str], text: str) -> Settings:
    for file, there in files.items():
        text = text.replace(file, there)
    if "\n    organization:" in text:
        (tmp_path / "token").write_text("pat_example")
    return read(tmp_path, text, environ={"OSVI_TOKEN": "0123456789abcdef"})


def test_the_example_loads_as_it_is(tmp_path: Path, files: dict[str, str]) -> None:
    settings = loaded(tmp_path, files, EXAMPLE)

    assert [account.name for account in settings.accounts] == ["acme-us", "acme-in"]
    assert settings.warnings() == []


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.partition(":")[0])
def test_the_example_loads_with_each_block_uncommented(tmp_path: Path, files: dict[str, str], block: str) -> None:
    before = loaded(tmp_path, files, EXAMPLE)

    after = loaded(tmp_path, files, EXAMPLE.replace(block, uncommented(block)))

    if block.startswith("#"):
        # Outside of the accounts the example shows the defaults.
        assert after == before
    assert after.warnings() == []


def test_the_example_loads_with_everything_uncommented(tmp_path: Path, files: dict[str, str]) -> None:
    settings = loaded(tmp_path, files, BLOCK.sub(lambda match: uncommented(match[0]), EXAMPLE))

    assert settings.accounts[0].http.ca_file == tmp_path / "ca.pem"
    assert settings.accounts[1].calling_hours is not None


def keys(section: type[Section]) -> Iterator[str]:
    for name, field in section.model_fields.items():
        yield name
        if inner := section_of(field):
            yield from keys(inner)


def test_the_example_shows_every_key_and_the_defaults(tmp_path: Path) -> None:
    written = set(re.findall(r"^[ #-]*([a-z_]+):(?: |$)", EXAMPLE, re.MULTILINE))
    outside = "".join(map(uncommented, (block for block in BLOCKS if block.startswith("#"))))

    assert read(tmp_path, outside + ACCOUNTS) == BARE
    assert set(keys(Settings)) - written == set()


@pytest.mark.parametrize(
    ("name", "edits", "environ"),
    [
        ("anyreach", {}, {"ANYREACH_TOKEN": "ak_x.y"}),
        ("anyreach", {"#organization": "organization"}, {"ANYREACH_TOKEN": "pat_x"}),
        ("osvi", {}, {"OSVI_TOKEN": "x"}),
        ("osvi", {"id: 7": "id: 4711"}, {"OSVI_TOKEN": "x"}),
    ],
)
def test_a_minimal_example_needs_at_most_one_edit(
    tmp_path: Path, name: str, edits: dict[str, str], environ: dict[str, str]
) -> None:
    text = (DEPLOY / f"{name}.example.yml").read_text(encoding="utf-8")
    for old, new in edits.items():
        text = text.replace(old, new, 1)

    settings = read(tmp_path, text, environ=environ)

    assert [account.provider for account in settings.accounts] == [name]
    assert settings.warnings() == []
    assert len(yaml.safe_load(text)["accounts"][0]) <= 5
