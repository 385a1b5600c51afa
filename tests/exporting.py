"""A whole exporter in the test's own loop, its page as numbers, and upstreams that are real servers."""

import argparse
import asyncio
import json
import random
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from exporter.accounts import Exporter
from exporter.config.model import Settings
from exporter.config.plan import plan_of
from exporter.config.sources import load
from exporter.exposition.negotiation import Format
from exporter.exposition.own import Instruments
from exporter.providers.redaction import Redactor

EPOCH = 1_780_000_000.0
"""What the wall clock would have shown when the loop's clock was at 0."""

Labels = frozenset[tuple[str, str]]


def settings_of(configuration: Mapping[str, Any]) -> Settings:
    """Read a configuration as the file would be read."""
    return load(argparse.Namespace(), environ={}, base=configuration)


class Page:
    """The samples of one scrape."""

    def __init__(self, text: str) -> None:
        self.samples: dict[tuple[str, Labels], float] = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def all(self, name: str, **labels: str) -> list[float]:
        """The values of a metric's samples that carry these labels."""
        return [value for (at, block), value in self.samples.items() if at == name and labels.items() <= block]

    def one(self, name: str, **labels: str) -> float | None:
        """The value of the only such sample; None when there is none."""
        values = self.all(name, **labels)
        assert len(values) <= 1, f"several {name}: {values}"
        return values[0] if values else None

    def by(self, label: str, name: str, **labels: str) -> dict[str, float]:
        """The values of a metric's samples by the value of one label."""
        return {
            dict(block)[label]: value
            for (at, block), value in self.samples.items()
            if at == name and labels.items() <= block
        }

    def number(self, name: str, **labels: str) -> float:
        """The value of the only such sample, which has to be there."""
        value = self.one(name, **labels)
        assert value is not None, f"no {name}"
        return value

    def names(self, **labels: str) -> set[str]:
        """The metrics that have a sample with these labels."""
        return {name for name, block in self.samples if labels.items() <= block}

    def values_of(self, label: str, **labels: str) -> set[str]:
        """The values of a label in samples that carry these labels."""
        return {value for _, block in self.samples if labels.items() <= block for key, value in block if key == label}


class Running:
    """An exporter at work."""

    def __init__(self, exporter: Exporter, redactor: Redactor) -> None:
        self.exporter = exporter
        self.redactor = redactor

    async def page(self) -> Page:
        pieces = await self.exporter.exposition.page(Format.TEXT, False, frozenset())
        return Page(b"".join(pieces).decode())

    async def reload(self, configuration: Mapping[str, Any]) -> str | None:
        return await self.exporter.reload(lambda: settings_of(configuration))


@asynccontextmanager
async def exporting(
    configuration: Mapping[str, Any],
    *,
    hours_wall: Callable[[], float] | None = None,
    wall: Callable[[], float] | None = None,
    seed: int = 1,
) -> AsyncIterator[Running]:
    """Poll by a configuration until the block is left, on the clock of the running loop."""
    loop = asyncio.get_running_loop()

    def loops_wall() -> float:
        return EPOCH + loop.time()

    wall = wall or loops_wall
    registry = CollectorRegistry()
    redactor = Redactor()
    exporter = Exporter(
        plan_of(settings_of(configuration)),
        registry,
        Instruments(registry, "1.2.3", "abc"),
        redactor=redactor,
        wall=wall,
        hours_wall=hours_wall or wall,
        rng=random.Random(seed),
    )
    async with exporter.running():
        yield Running(exporter, redactor)
    assert exporter._shared.slots.taken == 0


Handler = Callable[[web.Request], Any]


class Upstream:
    """
    Both providers' campaigns as their documentation shows them, one server for all of them.

    Attributes:
        requests: Moment (of the loop's clock), path with query, and token of each request.
        connections: Those that were accepted.
        answers: By path: a status, a (status, headers) pair, or a body for a 200.
        valid: The tokens that are not answered with 401; None for all.
        latency: Seconds before each answer.
    """

    def __init__(self) -> None:
        self.requests: list[tuple[float, str, str]] = []
        self.connections: set[object] = set()
        self.answers: dict[str, Any] = {}
        self.valid: set[str] | None = None
        self.latency = 0.0
        self.url = ""
        self._loop = asyncio.get_running_loop()

    def paths(self, since: float = 0.0) -> list[str]:
        return [path for at, path, _ in self.requests if at >= since]

    async def answer(self, request: web.Request) -> web.Response:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ") or request.headers.get("API-Token", "")
        self.requests.append((self._loop.time(), request.path_qs, token))
        self.connections.add(request.transport)
        if self.latency:
            await asyncio.sleep(self.latency)
        if self.valid is not None and token not in self.valid:
            return web.Response(status=401)
        answer = self.answers.get(request.path)
        if isinstance(answer, int):
            return web.Response(status=answer)
        if isinstance(answer, tuple):
            return web.Response(status=answer[0], headers=answer[1])
        if answer is None:
            answer = anyreach_stats()
            if request.path.startswith("/v1"):
                answer = osvi_status(campaign=int(request.path.split("/")[3]))
        return web.Response(body=json.dumps(answer).encode(), content_type="application/json")


@asynccontextmanager
async def upstream(tls: ssl.SSLContext | None = None) -> AsyncIterator[Upstream]:
    """Serve on a free port of 127.0.0.1 until the block is left; with TLS as localhost."""
    served = Upstream()
    application = web.Application()
    application.router.add_get("/{path:.*}", served.answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1, keepalive_timeout=7200)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        served.url = f"{'https://localhost' if tls else 'http://127.0.0.1'}:{runner.addresses[0][1]}"
        yield served
    finally:
        await runner.cleanup()


def stats_path(campaign: str) -> str:
    """Where Anyreach answers about a campaign."""
    return f"/campaign/campaigns/{campaign}/stats"


def status_path(campaign: int) -> str:
    """Where OSVI answers about a campaign."""
    return f"/v1/campaigns/{campaign}/status"


def anyreach_stats(attempts: int = 1730, **changes: Any) -> dict[str, Any]:
    """An answer as https://docs.anyreach.ai/campaigns/results-and-analytics shows it."""
    answer: dict[str, Any] = {
        "campaign_id": "6c6f",
        "status": "active",
        "contacts": {"total": 1240, "pending": 310, "in_progress": 8, "completed": 902, "exhausted": 20},
        "attempts": {"total": attempts, "average_per_contact": 1.39},
        "active_calls": 8,
        "concurrency_limit": 10,
    }
    return answer | changes


def osvi_status(picked: int = 88, status: str = "active", campaign: int = 7) -> dict[str, Any]:
    """An answer as https://docs.osvi.ai/api-reference/endpoint/campaign_status shows it."""
    return {
        "success": True,
        "data": {
            "campaign": {
                "id": campaign,
                "name": "June Renewals",
                "status": status,
                "is_retry_enabled": True,
                "retry_threshold": 2,
                "retry_delay": 1800,
                "created_at": "2026-06-01T10:00:00+05:30",
            },
            "calls": {"total": picked + 32, "by_status": {"picked": picked, "not_picked": 25, "failed": 7}},
            "uploads": [
                {
                    "campaign_upload_id": 19,
                    "file_name": "contacts.csv",
                    "agent_uuid": "agent_x",
                    "created_at": "2026-06-02T11:00:00+05:30",
                    "queues": [{"agent_uuid": "agent_x", "total_queued": 50, "completed": False}],
                }
            ],
        },
    }


def anyreach_account(url: str, *campaigns: str | Mapping[str, Any], **options: Any) -> dict[str, Any]:
    """An account's configuration; its campaigns by id, or as they stand in the file."""
    return {
        "name": "acme-us",
        "provider": "anyreach",
        "base_url": url,
        "calling_windows": "always",
        "campaigns": [{"id": campaign} if isinstance(campaign, str) else dict(campaign) for campaign in campaigns],
        **({} if "token_file" in options else {"token": "ak_test.secret"}),
        **options,
    }


def osvi_account(url: str, *campaigns: int, **options: Any) -> dict[str, Any]:
    """An account's configuration; its campaigns by number."""
    return {
        "name": "acme-in",
        "provider": "osvi",
        "base_url": url,
        "token": "osvi-secret",
        "campaigns": [{"id": campaign} for campaign in campaigns],
        **options,
    }
