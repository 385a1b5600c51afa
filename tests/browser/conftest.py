"""A real Chromium, and pages in it that are watched for whatever must not happen."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Request, async_playwright, expect

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

PATIENCE = 30_000
"""Milliseconds in which what has to happen must have happened, on a machine that is busy too."""

expect.set_options(timeout=PATIENCE)

REFRESH = 5_000
"""Milliseconds after which the page asks again."""


class Tab:
    """A page whose time the test can move on, and what was wrong with it."""

    def __init__(self, context: BrowserContext, page: Page) -> None:
        self.context = context
        self.page = page
        self.faults: list[str] = []
        self.hosts: set[str] = set()
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("dialog", lambda dialog: self.faults.append(f"dialog {dialog.message}"))
        context.on("request", self._asked)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.faults.append(message.text)

    def _asked(self, request: Request) -> None:
        self.hosts.add(request.url.split("/")[2])

    async def open(self, address: str, path: str = "/") -> None:
        """Open a page and wait until its script has asked once."""
        await self.page.goto(address + path)
        await self.page.clock.fast_forward(1_100)
        await self.page.wait_for_selector("#reached:not([hidden])")

    async def refresh(self) -> int:
        """Let the time for the next look come; returns the status of the answer."""
        async with self.page.expect_response(lambda answer: "/static/" not in answer.url) as answered:
            await self.page.clock.fast_forward(REFRESH + 100)
        return (await answered.value).status

    async def names(self) -> list[str]:
        return await self.page.locator("tbody .campaign > bdi").all_inner_texts()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        await browser.close()


Opener = Callable[..., Awaitable[Tab]]


@pytest_asyncio.fixture(loop_scope="module")
async def tab(browser: Browser) -> AsyncIterator[Opener]:
    """Opens tabs; in the end no error may have been seen in any, and no request to another host."""
    tabs: list[Tab] = []

    async def make(*, frozen: bool = True, **options: Any) -> Tab:
        context = await browser.new_context(**options)
        context.set_default_timeout(PATIENCE)
        made = Tab(context, await context.new_page())
        if frozen:
            await made.page.clock.install()
        tabs.append(made)
        return made

    yield make
    faults = [fault for made in tabs for fault in made.faults]
    hosts = {host.rpartition(":")[0] for made in tabs for host in made.hosts}
    for made in tabs:
        await made.context.close()
    if faults:
        pytest.fail(f"the browser complained: {faults}")
    if hosts - {"127.0.0.1"}:
        pytest.fail(f"requests to {hosts}")
