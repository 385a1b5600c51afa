"""How long the commands take, on a clock that jumps from request to request."""

import asyncio
import json
from typing import Any

import pytest

from exporter.commands.check import check
from exporter.commands.discover import discover
from exporter.commands.upstream import Upstream, upstreams
from exporter.config.model import PollSettings, Settings
from exporter.providers.redaction import Redactor
from tests.commands.test_check import NoBar
from tests.providers.loopback import http, serving

pytestmark = pytest.mark.virtual_time

RATE = 2.0


def upstream(url: str, campaigns: int = 0, **keys: Any) -> tuple[tuple[Upstream, ...], PollSettings]:
    account = {
        "name": "acme",
        "provider": "anyreach",
        "token": "ak_acme.secret",
        "base_url": url,
        "campaigns": [{"id": f"c{n}"} for n in range(campaigns)],
        "max_requests_per_second": RATE,
        **keys,
    }
    settings = Settings.model_validate({"accounts": [account]})
    return upstreams(settings, Redactor()), settings.poll


async def test_check_uses_the_whole_budget_of_an_account() -> None:
    loop = asyncio.get_running_loop()
    async with serving(http('{"status": "active"}')) as server:
        began = loop.time()
        (report,) = await check(*upstream(server.url, 100, calling_windows="always"), NoBar())
        took = loop.time() - began

    assert report.ok
    assert 99 / RATE <= took <= 1.05 * 100 / RATE


async def test_discover_uses_the_whole_budget_of_an_account() -> None:
    loop = asyncio.get_running_loop()
    pages = [http(json.dumps({"campaigns": [{"id": f"c{n}"}], "next_cursor": n + 1})) for n in range(60)]
    async with serving(*pages, http('{"campaigns": [], "next_cursor": null}')) as server:
        began = loop.time()
        (found,) = await discover(upstream(server.url, discovery={})[0])
        took = loop.time() - began

    assert len(found.campaigns) == 60
    assert found.problems == []
    assert 60 / RATE <= took <= 1.05 * 61 / RATE
