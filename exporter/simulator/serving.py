"""Both simulated APIs on loopback."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from aiohttp import web

from exporter.simulator.anyreach import anyreach_application
from exporter.simulator.osvi import osvi_application
from exporter.simulator.world import World


class Servers(NamedTuple):
    """Base URLs, with no slash at the end."""

    anyreach: str
    osvi: str


@asynccontextmanager
async def serving(world: World) -> AsyncIterator[Servers]:
    """Serve a world until the block is left, each API on a free port of 127.0.0.1."""
    async with _listening(anyreach_application(world)) as anyreach, _listening(osvi_application(world)) as osvi:
        yield Servers(anyreach, osvi)


@asynccontextmanager
async def _listening(application: web.Application) -> AsyncIterator[str]:
    # Keep-alive connections of clients that are still there must not hold up the end.
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        _, port = runner.addresses[0][:2]
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()
