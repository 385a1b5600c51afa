"""What was measured, against what it was to be."""

import json
import platform
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: the median of some runs, their extremes, and the most (or least) that it was to be."""

    area: str
    what: str
    campaigns: int
    value: float
    unit: str
    lowest: float
    highest: float
    at_most: float | None = None
    at_least: float | None = None

    @property
    def met(self) -> bool:
        return (self.at_most is None or self.value <= self.at_most) and (
            self.at_least is None or self.value >= self.at_least
        )


def row(
    area: str,
    what: str,
    campaigns: int,
    values: Sequence[float],
    unit: str,
    *,
    at_most: float | None = None,
    at_least: float | None = None,
) -> Row:
    """Sum up some runs."""
    return Row(area, what, campaigns, statistics.median(values), unit, min(values), max(values), at_most, at_least)


def table(rows: Iterable[Row]) -> str:
    """The figures as a table in Markdown."""
    lines = [
        "| Area | What | Campaigns | Median | Lowest to highest | Target |",
        "| --- | --- | ---: | ---: | ---: | --- |",
    ]
    for one in rows:
        target = ""
        if one.at_most is not None:
            target = f"at most {_short(one.at_most)} {one.unit}"
        elif one.at_least is not None:
            target = f"at least {_short(one.at_least)} {one.unit}"
        if target:
            target += ": met" if one.met else ": **missed**"
        spread = "" if one.lowest == one.highest else f"{_short(one.lowest)} to {_short(one.highest)}"
        lines.append(
            f"| {one.area} | {one.what} | {one.campaigns:,} | {_short(one.value)} {one.unit} | {spread} | {target} |"
        )
    return "\n".join(lines)


def write(rows: Sequence[Row], file: Path) -> None:
    """Write the figures as JSON, with what they were measured on."""
    versions = {name: version(name) for name in ("aiohttp", "isal", "prometheus-client", "uvloop")}
    versions["python"] = platform.python_version()
    content = {"versions": versions, "rows": [asdict(one) | {"met": one.met} for one in rows]}
    file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
