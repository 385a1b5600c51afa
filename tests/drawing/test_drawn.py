"""
What a person sees of the dashboards, in every situation of a history of six hours.

The text of what was drawn is judged (`checks`). A dashboard that has each of the faults shows that they are found.
"""

import asyncio
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.drawing import checks, planted
from tests.drawing.browser import Drawer, Dump, View, drawing
from tests.drawing.database import DASHBOARDS, make_blocks
from tests.drawing.situations import NOT_WELL, SITUATIONS, view

NARROW = 1350
WRONG = "wall-wrong"
# What has colours of its own in the light theme, and is drawn in it too.
IN_LIGHT = (WRONG, "campaign-dialing", "campaign-osvi", "exporter")

# One history, one browser: in two workers they would take twice the time.
pytestmark = pytest.mark.xdist_group("drawing")

Check = Callable[[Dump], list[str]]


def _views() -> dict[str, View]:
    views = {f"{situation}, dark": view(situation, "dark", NARROW) for situation in SITUATIONS}
    views |= {f"{situation}, light": view(situation, "light", NARROW) for situation in IN_LIGHT}
    views[planted.NAME] = View(planted.NAME, view(WRONG, "dark", NARROW).now)
    return views


async def _draw(directory: Path, dashboards: Path) -> dict[str, Dump]:
    await asyncio.to_thread(make_blocks, directory)
    async with drawing(directory, dashboards) as drawer:
        return await _draw_all(drawer, _views())


async def _draw_all(drawer: Drawer, views: Mapping[str, View]) -> dict[str, Dump]:
    room = asyncio.Semaphore(os.cpu_count() or 1)

    async def one(looked_at: View) -> Dump:
        async with room:
            return await drawer.draw(looked_at)

    return dict(zip(views, await asyncio.gather(*map(one, views.values())), strict=True))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Dump]:
    """Everything that was drawn, by situation and theme."""
    directory = tmp_path_factory.mktemp("drawing")
    dashboards = shutil.copytree(DASHBOARDS, directory / "dashboards")
    planted.write(dashboards)
    return asyncio.run(_draw(directory, dashboards))


def _faults(check: Check, drawn: dict[str, Dump]) -> list[str]:
    return [f"{name}: {fault}" for name in _views() if name != planted.NAME for fault in check(drawn[name])]


@pytest.mark.parametrize("check", checks.CHECKS)
def test_no_dashboard_has_a_fault_in_any_situation(check: Check, drawn: dict[str, Dump]) -> None:
    assert _faults(check, drawn) == []


@pytest.mark.parametrize("check", checks.CHECKS)
def test_each_check_finds_the_fault_that_was_planted_for_it(check: Check, drawn: dict[str, Dump]) -> None:
    assert any(fault.startswith(check.__name__) for fault in check(drawn[planted.NAME]))


def test_pale_numbers_and_pale_lines_are_both_found(drawn: dict[str, Dump]) -> None:
    faults = checks.illegible(drawn[planted.NAME])
    assert {"line" in fault for fault in faults} == {True, False}


def test_campaigns_that_need_somebody_are_on_the_first_screen(drawn: dict[str, Dump]) -> None:
    assert checks.overlooked(drawn[f"{WRONG}, dark"], NOT_WELL) == []


def test_an_alert_has_fired_for_as_long_as_its_cause_lasts(drawn: dict[str, Dump]) -> None:
    rows = [row for panel in drawn[f"{WRONG}, dark"]["panels"] for row in panel["rows"]]
    (since,) = (row[-1] for row in rows if "CampaignAccountUnauthorized" in row)
    assert since in {"38 minutes ago", "39 minutes ago", "40 minutes ago"}


def test_a_table_with_the_calmest_first_hides_them(drawn: dict[str, Dump]) -> None:
    assert len(checks.overlooked(drawn[planted.NAME], NOT_WELL)) == len(NOT_WELL)
