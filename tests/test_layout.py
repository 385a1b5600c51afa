"""Imports go one way: each package, and each module at the top, imports only from what is in its row."""

import ast
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import get_args

import pytest

from exporter.config.providers import FACTS, ProviderName
from exporter.polling.account import PROVIDERS, READERS

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "exporter"

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
    "turns": set(),
    "signals": set(),
    "logs": {"campaign", "config"},
    "accounts": {"campaign", "config", "providers", "polling", "exposition", "ui"},
    "daemon": {"config", "ui", "web", "accounts", "signals"},
}
BY_ALL = frozenset({"turns"})
"""Modules at the top that every package may import."""
IMPORT_ANY = frozenset({"__init__", "__main__", "cli"})
"""Modules at the top without a row: the command line knows all others."""

NAMES_PROVIDERS = frozenset(
    {
        "config/providers.py",
        *(f"providers/{provider}.py" for provider in FACTS),
        "providers/advice.py",
        "polling/account.py",
        "exposition/families.py",
    }
)
"""Modules that name a provider; besides the simulator, which knows nothing of the exporter."""


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


def test_every_package_and_every_module_at_the_top_has_a_row() -> None:
    packages = {file.parent.name for file in PACKAGE.glob("*/__init__.py")}

    assert packages | {file.stem for file in PACKAGE.glob("*.py")} == MAY_IMPORT.keys() | IMPORT_ANY


def test_campaigns_know_no_clock_and_no_event_loop() -> None:
    imported = {
        name
        for file in (PACKAGE / "campaign").glob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    }

    assert imported & {"asyncio", "os", "pathlib", "socket", "time"} == set()


def test_only_the_command_line_imports_the_simulator() -> None:
    assert {importer for importer, target in IMPORTS if target == "simulator"} == {"cli", "simulator"}


def test_at_most_eight_modules_stand_at_the_top() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= 8


def test_no_module_is_longer_than_400_lines() -> None:
    lengths = {file: len(file.read_text(encoding="utf-8").splitlines()) for file in PACKAGE.rglob("*.py")}

    assert {str(file.relative_to(PACKAGE)): length for file, length in lengths.items() if length > 400} == {}


def test_a_provider_is_named_only_where_contributing_says() -> None:
    modules = {file.relative_to(PACKAGE).as_posix(): file for file in PACKAGE.rglob("*.py")}
    naming = {
        module
        for module, file in modules.items()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value in FACTS and not module.startswith("simulator/")
    }

    assert naming == NAMES_PROVIDERS


def test_contributing_names_the_places_of_a_provider() -> None:
    lines = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").splitlines()
    row = next(line for line in lines if line.startswith("| a provider |"))
    own = {f"providers/{provider}.py" for provider in FACTS}

    assert {place for place in NAMES_PROVIDERS - own if f"`exporter/{place}`" not in row} == set()


def test_every_table_of_providers_has_the_same_providers() -> None:
    assert set(get_args(ProviderName)) == FACTS.keys() == PROVIDERS.keys() == READERS.keys()
