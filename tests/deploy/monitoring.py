"""The shipped rules and routes in a real Prometheus and a real Alertmanager, and the person who gets their messages."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from aiohttp import web

from deploy.prometheus.scale import COPIES, write
from tests.process import alertmanager, prometheus, query, text, until

SPEED = 60.0
"""How many of a rule's seconds pass in a real one; scrapes are half as fast, at an interval that the rules allow."""
PATIENCE = 180.0
"""Seconds in which what has to happen must have happened, on a machine that is busy with other things."""

_SECRET = "webhook-secret"


@dataclass(frozen=True, slots=True)
class Message:
    """
    What Alertmanager sent.

    Attributes:
        receiver: Of the shipped ones: page, chat or digest.
        status: firing or resolved.
        alerts: As it sends them: status, labels, annotations.
    """

    receiver: str
    status: str
    alerts: list[dict[str, Any]]

    @property
    def brief(self) -> tuple[str, str, list[str]]:
        """Receiver, status, and the names of the alerts."""
        return self.receiver, self.status, [alert["labels"]["alertname"] for alert in self.alerts]


class Inbox:
    """Receives webhooks of all receivers from whoever knows the secret."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._arrived = asyncio.Condition()

    @property
    def briefs(self) -> list[tuple[str, str, list[str]]]:
        """All messages, in the order of their text."""
        return sorted(message.brief for message in self.messages)

    async def alert(self, receiver: str, status: str, name: str, **labels: str) -> dict[str, Any]:
        """Wait for a message of this kind about one such alert; returns the alert."""

        def found() -> list[dict[str, Any]]:
            messages = [one for one in self.messages if one.brief == (receiver, status, [name])]
            return [one.alerts[0] for one in messages if labels.items() <= one.alerts[0]["labels"].items()]

        try:
            async with asyncio.timeout(PATIENCE), self._arrived:
                return (await self._arrived.wait_for(found))[0]
        except TimeoutError:
            raise AssertionError(f"no {status} {name} came to {receiver}, only {self.briefs}") from None

    async def take(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {_SECRET}":
            return web.Response(status=401)
        body = await request.json()
        async with self._arrived:
            self.messages.append(Message(request.match_info["receiver"], body["status"], body["alerts"]))
            self._arrived.notify_all()
        return web.Response()


@dataclass(frozen=True, slots=True)
class Monitoring:
    """
    Prometheus and Alertmanager at work.

    Attributes:
        prometheus: Its address.
        alertmanager: Its address.
        inbox: Gets the messages.
    """

    prometheus: str
    alertmanager: str
    inbox: Inbox

    async def sees(self, promql: str) -> None:
        """Wait until a query has a result."""
        await until(lambda: query(self.prometheus, promql), patience=PATIENCE)

    async def firing(self) -> list[dict[str, Any]]:
        """The alerts that fire by Prometheus's word, with labels and annotations."""
        alerts = (await _json(f"{self.prometheus}/api/v1/alerts"))["data"]["alerts"]
        return [one for one in alerts if one["state"] == "firing"]

    async def passes(self, minutes: float) -> None:
        """Wait until every rule was judged so many of its minutes later."""
        end = datetime.now(UTC) + timedelta(minutes=minutes / SPEED)

        async def judged() -> bool:
            groups = (await _json(f"{self.prometheus}/api/v1/rules"))["data"]["groups"]
            return all(datetime.fromisoformat(group["lastEvaluation"]) > end for group in groups)

        await until(judged, patience=PATIENCE)

    async def faulty_rules(self) -> dict[str, str]:
        """The rules that can't be evaluated, now or at any time before, with Prometheus's reason."""
        groups = (await _json(f"{self.prometheus}/api/v1/rules"))["data"]["groups"]
        faulty = {
            rule["name"]: rule.get("lastError") or rule["health"]
            for group in groups
            for rule in group["rules"]
            if rule["health"] != "ok"
        }
        for line in (await text(f"{self.prometheus}/metrics")).splitlines():
            if line.startswith("prometheus_rule_evaluation_failures_total") and not line.endswith(" 0"):
                faulty[line] = "failed before"
        return faulty


@asynccontextmanager
async def monitored(
    directory: Path, *exporters: str, speed: float = SPEED, **installations: Sequence[str]
) -> AsyncIterator[Monitoring]:
    """
    Watch exporters, given by their addresses, with what is shipped: only durations and addresses are changed.

    Whatever the block expects, every rule must have been evaluated without a fault when it is left.

    Args:
        exporters: Those of a single installation.
        installations: Those of several, by the label `cluster` that tells them apart.
    """
    inbox = Inbox()
    write(directory, speed, {})
    async with _served(inbox) as receivers, alertmanager(directory, _routes(directory, receivers)) as alerts:
        configuration = (directory / "prometheus.yml").read_text()
        for shipped, place in {
            "[localhost:10077]": _targets(exporters, installations),
            "[localhost:9093]": _addresses([alerts]),
            "[localhost:9090]": _addresses(
                [alerts]
            ),  # Prometheus's own port is not known, and no alert needs its metrics
        }.items():
            assert configuration.count(shipped) == 1
            configuration = configuration.replace(shipped, place)
        async with prometheus(directory, configuration, "--rules.alert.resend-delay=1s") as server:
            monitoring = Monitoring(server, alerts, inbox)
            yield monitoring
            assert await monitoring.faulty_rules() == {}


def _targets(exporters: Sequence[str], installations: Mapping[str, Sequence[str]]) -> str:
    apart = [f"{_addresses(these)}\n        labels: {{cluster: {name}}}" for name, these in installations.items()]
    return "\n      - targets: ".join(apart or [_addresses(exporters)])


def _addresses(urls: Sequence[str]) -> str:
    return f"[{', '.join(url.removeprefix('http://') for url in urls)}]"


def _routes(directory: Path, receivers: str) -> str:
    (directory / "secrets").mkdir()
    (directory / "secrets/webhook-token").write_text(_SECRET)
    configuration = (directory / "alertmanager.yml").read_text()
    assert configuration.count("http://localhost:9095/") == 3
    configuration = configuration.replace("/etc/alertmanager/secrets", str(directory / "secrets"))
    return configuration.replace("http://localhost:9095", receivers)


@asynccontextmanager
async def _served(inbox: Inbox) -> AsyncIterator[str]:
    application = web.Application()
    application.router.add_post("/{receiver}", inbox.take)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def recorded_series() -> list[str]:
    """The names under which the shipped rules record."""
    groups = yaml.safe_load(COPIES["rules/campaign-exporter.rules.yml"].read_text())["groups"]
    return [rule["record"] for group in groups for rule in group["rules"] if "record" in rule]


async def _json(url: str) -> Any:
    async with aiohttp.ClientSession(raise_for_status=True) as session, session.get(url) as response:
        return await response.json()
