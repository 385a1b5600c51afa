"""Every kind of receiver that alertmanager.yml offers, in a real Alertmanager that runs in another directory."""

import asyncio
import base64
import email
import email.policy
import re
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import aiohttp
import pytest
import trustme
import yaml
from aiohttp import web

from deploy.prometheus.scale import scaled
from tests.process import PATIENCE, alertmanager

CONFIG = Path(__file__).parents[2] / "deploy/alertmanager/alertmanager.yml"
SEVERITIES = {"page": "critical", "chat": "warning", "digest": "info"}
SPEED = 600.0
HOSTILE = "<!channel> R&D <https://evil.example|click> https://evil.example/now"


class Received:
    """What arrived at the loopback servers, in order."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[tuple[str, Mapping[str, str], Any]] = asyncio.Queue()

    async def take(self, request: web.Request) -> web.Response:
        await self.queue.put((request.path, request.headers, await request.json()))
        return web.json_response({"status": "success"}, status=202)

    async def next(self) -> tuple[str, Mapping[str, str], Any]:
        async with asyncio.timeout(PATIENCE):
            return await self.queue.get()


@pytest.fixture
def received() -> Received:
    return Received()


@pytest.fixture
async def address(received: Received) -> AsyncIterator[str]:
    """A loopback server that takes every POST."""
    application = web.Application()
    application.router.add_post("/{path:.*}", received.take)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def uncommented(receiver: str, kind: str) -> dict[str, Any]:
    """The configuration in which one receiver has its commented kind in place of the webhook."""
    head, receivers = CONFIG.read_text().split("\nreceivers:\n")
    offered = {one["name"]: one for one in yaml.safe_load(re.sub(r"(?m)^    # ?", "    ", receivers))}
    config: dict[str, Any] = yaml.safe_load(f"{head}\nreceivers:\n{receivers}")
    for one in config["receivers"]:
        if one["name"] == receiver:
            one.clear()
            one |= {"name": receiver, kind: offered[receiver][kind]}
    return config


def offered_kinds() -> list[tuple[str, str]]:
    """Every receiver with every kind that stands under it, commented or not."""
    receivers = yaml.safe_load(re.sub(r"(?m)^    # ?", "    ", CONFIG.read_text().partition("\nreceivers:\n")[2]))
    return [(one["name"], kind) for one in receivers for kind in one if kind != "name"]


class Alerts:
    """Alerts of one campaign of account `acme`, sent to an Alertmanager as Prometheus does."""

    def __init__(self, alertmanager: str, severity: str) -> None:
        self._url = f"{alertmanager}/api/v2/alerts"
        self._severity = severity
        self._begin = datetime.now(UTC)

    async def send(self, *, name: str = "CampaignStalled", campaign: str = "june", resolved: bool = False) -> None:
        labels = {"alertname": name, "severity": self._severity, "job": "campaign-exporter"}
        end = datetime.now(UTC) if resolved else self._begin + timedelta(hours=1)
        alert = {
            "labels": {**labels, "provider": "anyreach", "account": "acme", "campaign": campaign},
            "annotations": {
                "summary": "A campaign should be dialing and places no calls.",
                "description": f"anyreach campaign 1 ({campaign}) of account acme has made no progress for 2h.",
                "runbook_url": f"http://localhost:10077/runbooks/{name}?account=acme&campaign=june",
                "dashboard_url": "http://localhost:3000/d/campaign-exporter-campaign?var-account=acme&var-campaign=1",
            },
            "startsAt": self._begin.isoformat(),
            "endsAt": end.isoformat(),
        }
        async with (
            aiohttp.ClientSession(raise_for_status=True) as session,
            session.post(self._url, json=[alert]),
        ):
            pass


@asynccontextmanager
async def alerting(
    directory: Path,
    receiver: str,
    kind: str,
    *,
    secret: tuple[str, str],
    places: Mapping[str, str] = MappingProxyType({}),
    environ: Mapping[str, str] | None = None,
) -> AsyncIterator[Alerts]:
    """
    Run the shipped configuration with one kind of receiver.

    Args:
        secret: Name and content of the file that the receiver reads.
        places: Addresses in the file, and what takes their place.
    """
    secrets = directory / "secrets"
    secrets.mkdir()
    (secrets / secret[0]).write_text(secret[1])
    text = yaml.safe_dump(uncommented(receiver, kind), width=10_000, sort_keys=False)
    text = text.replace("/etc/alertmanager/secrets", str(secrets))
    for old, new in places.items():
        assert old in text
        text = text.replace(old, new)
    async with alertmanager(directory, scaled(text, SPEED), environ=environ) as address:
        yield Alerts(address, SEVERITIES[receiver])


def paging(directory: Path, address: str) -> AbstractAsyncContextManager[Alerts]:
    places = {"- routing_key_file": f"- url: {address}/\n    routing_key_file"}
    return alerting(directory, "page", "pagerduty_configs", secret=("pagerduty-routing-key", "key-1\n"), places=places)


def chatting(directory: Path, address: str) -> AbstractAsyncContextManager[Alerts]:
    return alerting(directory, "chat", "slack_configs", secret=("slack-webhook-url", f"{address}/slack\n"))


def test_every_offered_kind_of_receiver_is_tried_here() -> None:
    assert offered_kinds() == [
        ("page", "webhook_configs"),
        ("page", "pagerduty_configs"),
        ("chat", "webhook_configs"),
        ("chat", "slack_configs"),
        ("digest", "webhook_configs"),
        ("digest", "email_configs"),
    ]


@pytest.mark.parametrize("receiver", SEVERITIES)
async def test_a_webhook_gets_the_alert_with_its_token(
    tmp_path: Path, received: Received, address: str, receiver: str
) -> None:
    secret, places = ("webhook-token", "secret-1\n"), {"http://localhost:9095": address}
    async with alerting(tmp_path, receiver, "webhook_configs", secret=secret, places=places) as alerts:
        await alerts.send()
        path, headers, body = await received.next()

    assert path == f"/{receiver}"
    assert headers["Authorization"] == "Bearer secret-1"
    assert body["status"] == "firing"


async def test_pagerduty_gets_the_alert_with_its_routing_key_and_its_end(
    tmp_path: Path, received: Received, address: str
) -> None:
    async with paging(tmp_path, address) as alerts:
        await alerts.send()
        _, _, firing = await received.next()
        await alerts.send(resolved=True)
        _, _, resolved = await received.next()

    assert firing["routing_key"] == "key-1"
    assert (firing["event_action"], resolved["event_action"]) == ("trigger", "resolve")
    assert firing["dedup_key"] == resolved["dedup_key"]
    assert firing["payload"]["summary"] == "FIRING acme: A campaign should be dialing and places no calls."
    assert "has made no progress" in firing["payload"]["custom_details"]["firing"]
    assert firing["payload"]["custom_details"]["resolved"] == ""


async def test_pagerduty_tells_the_ended_alerts_of_a_group_from_the_others(
    tmp_path: Path, received: Received, address: str
) -> None:
    async with paging(tmp_path, address) as alerts:
        await alerts.send(campaign="june")
        await alerts.send(campaign="july")
        await received.next()
        await alerts.send(campaign="june", resolved=True)
        _, _, mixed = await received.next()

    details = mixed["payload"]["custom_details"]
    assert mixed["event_action"] == "trigger"
    assert "july" in details["firing"]
    assert "(june)" not in details["firing"]
    assert details["resolved"] == "CampaignStalled acme june\n"


async def test_slack_shows_firing_and_ended_alerts_differently(
    tmp_path: Path, received: Received, address: str
) -> None:
    async with chatting(tmp_path, address) as alerts:
        await alerts.send()
        path, _, firing = await received.next()
        await alerts.send(resolved=True)
        _, _, resolved = await received.next()

    (first,), (last,) = firing["attachments"], resolved["attachments"]
    assert path == "/slack"
    assert (first["color"], last["color"]) == ("danger", "good")
    assert first["title"] == "FIRING acme: A campaign should be dialing and places no calls."
    assert last["title"] == "RESOLVED acme: A campaign should be dialing and places no calls."
    assert first["text"] == (
        ":red_circle: anyreach campaign 1 (june) of account acme has made no progress for 2h."
        " <http://localhost:10077/runbooks/CampaignStalled?account=acme&amp;campaign=june|runbook>"
        " <http://localhost:3000/d/campaign-exporter-campaign?var-account=acme&amp;var-campaign=1|dashboard>\n"
    )
    assert last["text"] == ":large_green_circle: Resolved: CampaignStalled acme june\n"


async def test_slack_tells_the_ended_alerts_of_a_group_from_the_others(
    tmp_path: Path, received: Received, address: str
) -> None:
    async with chatting(tmp_path, address) as alerts:
        await alerts.send(campaign="june")
        await alerts.send(campaign="july")
        await received.next()
        await alerts.send(campaign="june", resolved=True)
        _, _, mixed = await received.next()

    july, june = mixed["attachments"][0]["text"].splitlines()
    assert july.startswith(":red_circle: anyreach campaign 1 (july)")
    assert june == ":large_green_circle: Resolved: CampaignStalled acme june"


async def test_provider_text_mentions_nobody_in_slack_and_makes_no_link(
    tmp_path: Path, received: Received, address: str
) -> None:
    async with chatting(tmp_path, address) as alerts:
        await alerts.send(campaign=HOSTILE)
        _, _, firing = await received.next()
        await alerts.send(campaign=HOSTILE, resolved=True)
        _, _, resolved = await received.next()

    escaped = "&lt;!channel&gt; R&amp;D &lt;https: //evil.example|click&gt; https: //evil.example/now"
    for message in (firing, resolved):
        (attachment,) = message["attachments"]
        assert escaped in attachment["text"]
        shown = [message.get("text", ""), *(attachment[key] for key in ("title", "text", "fallback"))]
        assert not [text for text in shown if "<!channel>" in text or "://evil" in text]


async def test_the_digest_reaches_a_mail_server_that_asks_for_a_password(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))

    def digesting(port: int) -> AbstractAsyncContextManager[Alerts]:
        places = {"smtp.example.com:587": f"localhost:{port}"}
        trust = {"SSL_CERT_FILE": str(tmp_path / "ca.pem")}
        secret = ("smtp-password", "secret-2")
        return alerting(tmp_path, "digest", "email_configs", secret=secret, places=places, environ=trust)

    async with mail_server(authority) as (port, mails), digesting(port) as alerts:
        await alerts.send(name="CampaignDrained", campaign=HOSTILE)
        async with asyncio.timeout(PATIENCE):
            login, content = await mails.get()

    message = email.message_from_bytes(content, policy=email.policy.default)
    html = message.get_body(("html",))
    assert login == ["", "alertmanager@example.com", "secret-2"]
    assert message["To"] == "campaigns@example.com"
    assert "FIRING:1" in message["Subject"]
    assert html is not None
    assert "&lt;!channel&gt;" in html.get_content()
    assert "<!channel>" not in html.get_content()


@asynccontextmanager
async def mail_server(authority: trustme.CA) -> AsyncIterator[tuple[int, "asyncio.Queue[tuple[list[str], bytes]]"]]:
    """A mail server with STARTTLS and AUTH PLAIN; yields its port and what it takes, each mail with its login."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    mails: asyncio.Queue[tuple[list[str], bytes]] = asyncio.Queue()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):  # it is killed at the end of the test
            await converse(reader, writer)
        writer.close()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        login: list[str] = []
        writer.write(b"220 localhost\r\n")
        while line := (await reader.readline()).decode().strip():
            verb, _, rest = line.partition(" ")
            if verb == "EHLO":
                secure = writer.get_extra_info("sslcontext") is not None
                writer.write(b"250-localhost\r\n250 AUTH PLAIN\r\n" if secure else b"250-localhost\r\n250 STARTTLS\r\n")
            elif verb == "STARTTLS":
                writer.write(b"220 go ahead\r\n")
                await writer.start_tls(context)
            elif verb == "AUTH":
                login = base64.b64decode(rest.removeprefix("PLAIN ")).decode().split("\0")
                writer.write(b"235 welcome\r\n")
            elif verb == "DATA":
                writer.write(b"354 go ahead\r\n")
                await mails.put((login, (await reader.readuntil(b"\r\n.\r\n")).removesuffix(b".\r\n")))
                writer.write(b"250 taken\r\n")
            elif verb == "QUIT":
                break
            else:
                writer.write(b"250 fine\r\n")

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1], mails
