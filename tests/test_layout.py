"""Imports go one way: each package imports only from the packages in its row."""

import ast
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "exporter"

MAY_IMPORT: dict[str, AbstractSet[str]] = {
    "campaign": set(),
    "config": {"campaign"},
    "providers": {"campaign", "config"},
    "polling": {"campaign", "config", "providers"},
    "exposition": {"campaign", "polling"},
    "ui": {"campaign", "exposition"},
    "web": {"config", "exposition"},
    "commands": {"campaign", "config", "providers", "polling"},
    "simulator": set(),
}
BY_ALL = frozenset({"turns"})
"""Modules at the top that every package may import."""


def _imports() -> Iterator[tuple[str, str]]:
    """Each package (or module at the top) with each of them that it imports."""
    for file in sorted(PACKAGE.rglob("*.py")):
        importer = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("exporter."):
                yield importer, (node.module or "").split(".")[1]
            elif isinstance(node, ast.ImportFrom) and node.module == "exporter":
                yield from ((importer, name.name) for name in node.names if not name.name.startswith("__"))
            elif isinstance(node, ast.Import):
                names = [name.name.split(".") for name in node.names]
                yield from ((importer, parts[1]) for parts in names if parts[0] == "exporter" and len(parts) > 1)


IMPORTS = frozenset(_imports())


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_a_package_imports_only_from_those_in_its_row(package: str) -> None:
    imported = {target for importer, target in IMPORTS if importer == package}

    assert imported - MAY_IMPORT[package] - {package} - BY_ALL == set()


def test_every_package_has_a_row() -> None:
    assert {file.parent.name for file in PACKAGE.glob("*/__init__.py")} == MAY_IMPORT.keys()


def test_only_the_command_line_imports_the_simulator() -> None:
    assert {importer for importer, target in IMPORTS if target == "simulator"} == {"cli", "simulator"}


def test_at_most_eight_modules_stand_at_the_top() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= 8


def test_no_module_is_longer_than_400_lines() -> None:
    lengths = {file: len(file.read_text(encoding="utf-8").splitlines()) for file in PACKAGE.rglob("*.py")}

    assert {str(file.relative_to(PACKAGE)): length for file, length in lengths.items() if length > 400} == {}
