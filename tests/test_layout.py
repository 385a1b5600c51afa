"""Imports point one way, and this table says which."""

import ast
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "exporter"

NOTHING_OF_OURS: AbstractSet[str] = frozenset()

MAY_IMPORT: dict[str, AbstractSet[str]] = {
    **dict.fromkeys(
        ("snapshot", "errors", "settings", "windows", "labels", "throttle", "sharding", "negotiation", "listening"),
        NOTHING_OF_OURS,
    ),
    **dict.fromkeys(("logs", "notify", "terminal", "basic_auth"), NOTHING_OF_OURS),
    # What is configured
    "configuration_file": {"settings"},
    "options": {"configuration_file", "settings"},
    "credentials": {"errors", "settings"},
    "loading": {"configuration_file", "credentials", "options", "settings"},
    "plan": {"labels", "settings", "sharding", "state", "windows"},
    "webconfig": {"basic_auth", "configuration_file", "settings"},
    # What providers say
    "providers": {"snapshot"},
    "providers.timelimit": NOTHING_OF_OURS,
    "providers.transport": {"errors", "providers.timelimit"},
    "providers.anyreach": {"providers.transport", "snapshot", "errors", "windows"},
    "providers.osvi": {"providers.transport", "snapshot", "errors"},
    # What is known of it, and how it is asked for
    "state": {"labels", "snapshot", "windows"},
    "health": {"errors"},
    "hours": {"state", "windows"},
    "transitions": {"errors", "state"},
    "poller": {"providers", "snapshot", "state", "health", "throttle", "transitions", "errors"},
    "discovery": {"providers.anyreach", "state", "hours", "throttle", "errors", "windows"},
    # What is shown
    "metrics": {"state", "health"},
    "lines": {"metrics"},
    "board": {"lines", "metrics", "snapshot", "state"},
    "exposition": {"board", "lines", "metrics", "state", "negotiation"},
    "advice": {"settings"},
    "overview": {"state", "snapshot"},
    "page": {"overview", "snapshot"},
    "api": {"overview"},
    "frontend": {"api", "page", "overview", "negotiation"},
    "web": {"negotiation"},
}
"""Modules that know several parts are not in it: they join them."""

JOINING = {"account", "app", "upstream", "check", "discover", "report", "cli"}


def _imports() -> Iterator[tuple[str, str]]:
    """Each module of the package, with each module of the package that it imports."""
    for file in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(file.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("exporter."):
                yield module, (node.module or "").removeprefix("exporter.")


IMPORTS = frozenset(_imports())


@pytest.mark.parametrize("module", MAY_IMPORT)
def test_a_module_imports_only_what_stands_before_it(module: str) -> None:
    imported = {target for importer, target in IMPORTS if importer == module}

    assert imported - MAY_IMPORT[module] == set()


def test_only_the_command_line_knows_the_simulator_and_the_simulator_nothing_of_the_exporter() -> None:
    from_outside = {pair for pair in IMPORTS if pair[1].startswith("simulator") and not pair[0].startswith("simulator")}
    from_inside = {pair for pair in IMPORTS if pair[0].startswith("simulator") and not pair[1].startswith("simulator")}

    assert from_outside == {("cli", "simulator")}
    assert from_inside == set()


def test_every_module_is_in_the_table_or_joins_parts() -> None:
    modules = {
        ".".join(file.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
        for file in PACKAGE.rglob("*.py")
    }
    placed = {module for module in modules if not module.startswith("simulator")} - {"__init__", "__main__"}

    assert placed == MAY_IMPORT.keys() | JOINING
