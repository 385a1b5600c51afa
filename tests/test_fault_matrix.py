"""
Every fault of an upstream, with both providers: the reason that is shown, what stays, what goes, and how it heals.

A faulty campaign and two well ones share an account; another account is somewhere else altogether. Everything goes
over sockets on loopback, on a clock that belongs to the test.
"""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
import trustme

from tests.exporting import Page, Running, anyreach_account, anyreach_stats, exporting, osvi_account, osvi_status
from tests.providers.loopback import Answer, Loopback, http, listening, reset

pytestmark = pytest.mark.virtual_time


FAULTY, WELL = "1", ("2", "3")
TIMEOUT = 4.0
MAX_BODY = 65_536

SNAPSHOT = {
    "anyreach": {"campaign_contacts", "campaign_attempts", "campaign_active_calls", "campaign_concurrency_limit"},
    "osvi": {"campaign_calls", "campaign_calls_made", "campaign_queues", "campaign_retry_delay_seconds"},
}
WORKED_OUT = {
    "campaign_status",
    "campaign_work_remaining",
    "campaign_dialing_expected",
    "campaign_dialing_expected_since_timestamp_seconds",
    "campaign_last_progress_timestamp_seconds",
}
COUNTERS = {
    "anyreach": {
        "campaign_observed_attempts_total",
        "campaign_observed_contacts_total",
        "campaign_observed_seconds_total",
        "campaign_active_call_seconds_total",
        "campaign_saturated_seconds_total",
    },
    "osvi": {"campaign_observed_calls_total", "campaign_observed_seconds_total"},
}
ALWAYS_THERE = {
    "campaign_info",
    "campaign_state",
    "campaign_up",
    "campaign_poll_interval_seconds",
    "campaign_last_success_timestamp_seconds",
    "campaign_stale_after_seconds",
    "campaign_stall_after_seconds",
}


async def saying_nothing(writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def dripping(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.5)


async def resetting(writer: asyncio.StreamWriter) -> None:
    reset(writer)


def cut_off(answer: bytes) -> Answer:
    async def send(writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()
        writer.close()

    return send


ANSWERS: dict[str, tuple[Answer, str]] = {
    "silence": (saying_nothing, "timeout"),
    "slow drip": (dripping, "timeout"),
    "reset": (resetting, "protocol"),
    "cut off": (cut_off(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"status": '), "protocol"),
    "no HTTP": (cut_off(b"SSH-2.0-OpenSSH_9.6\r\n"), "protocol"),
    "endless headers": (cut_off(b"HTTP/1.1 200 OK\r\n" + b"X-Filler: x\r\n" * 10_000), "protocol"),
    "forbidden": (http("{}", 403), "forbidden"),
    "not found": (http("{}", 404), "not_found"),
    "client error": (http("{}", 422), "client_error"),
    "server error": (http("{}", 500), "server_error"),
    "bad gateway": (http("<html>502</html>", 502), "server_error"),
    "redirect": (http("", 302, "Location: http://127.0.0.1:1/"), "redirect"),
    "too large": (http(b"[" + b" " * MAX_BODY + b"]"), "too_large"),
    "accepted": (http("{}", 202), "invalid_response"),
    "no content": (http("", 204), "invalid_response"),
    "HTML": (http("<html>Welcome to the hotel</html>"), "invalid_response"),
    "no UTF-8": (http(b'{"status": "\xff\xfe"}'), "invalid_response"),
    "array": (http("[]"), "invalid_response"),
    "other object": (http('{"hello": "world"}'), "invalid_response"),
    "deep": (http("[" * 30_000 + "]" * 30_000), "invalid_response"),
    "wrong kinds": (
        http('{"status": "active", "contacts": [], "success": true, "data": {"calls": []}}'),
        "invalid_response",
    ),
    "not true": (http('{"success": false, "data": {}, "attempts": 7}'), "invalid_response"),
}


class Upstream(Loopback):
    """Answers well about all campaigns, but about the faulty one as it was told."""

    def __init__(self, provider: str) -> None:
        super().__init__(http(json.dumps(anyreach_stats() if provider == "anyreach" else osvi_status())))
        self.fault: Answer | None = None
        self.everything_fails = False

    def answer_to(self, request: str) -> Answer:
        hit = self.everything_fails or f"/campaigns/{FAULTY}/" in request.split("\r\n")[0]
        return self.fault if self.fault is not None and hit else super().answer_to(request)


def account(provider: str, url: str, name: str = "acme", **options: Any) -> dict[str, Any]:
    if provider == "anyreach":
        return anyreach_account(url, FAULTY, *WELL, name=name, **options)
    return osvi_account(url, int(FAULTY), *map(int, WELL), name=name, calling_windows="always", **options)


def configuration(*accounts: dict[str, Any]) -> dict[str, Any]:
    poll = {"active_interval": "5s", "stale_after": "15s", "timeout": f"{TIMEOUT:.0f}s", "max_body_bytes": MAX_BODY}
    return {"poll": poll, "accounts": list(accounts)}


async def seconds_until(running: Running, campaigns: int) -> float:
    """Wait until so many campaigns of the account are up; returns how long it took."""
    loop = asyncio.get_running_loop()
    begin = loop.time()
    while (await running.page()).all("campaign_up", account="acme").count(1) != campaigns:
        await asyncio.sleep(0.5)
        assert loop.time() - begin < 700
    return loop.time() - begin


def fails_for(page: Page, reason: str, campaign: str = FAULTY) -> None:
    assert page.one("campaign_up", account="acme", campaign=campaign) == 0
    assert page.one("campaign_poll_error", account="acme", campaign=campaign, reason=reason) == 1
    assert len(page.all("campaign_poll_error", account="acme", campaign=campaign)) == 1


def nobody_else_has_noticed(page: Page, name: str, campaigns: tuple[str, ...]) -> None:
    for campaign in campaigns:
        assert page.one("campaign_up", account=name, campaign=campaign) == 1
        assert page.all("campaign_poll_error", account=name, campaign=campaign) == []
    newest = max(page.all("campaign_last_success_timestamp_seconds"))
    assert (
        newest
        - min(
            page.all("campaign_last_success_timestamp_seconds", account=name, campaign=campaign)[0]
            for campaign in campaigns
        )
        < 6.5
    )


@pytest.mark.parametrize("provider", ["anyreach", "osvi"])
class TestOneCampaign:
    @pytest.mark.parametrize("fault", list(ANSWERS))
    async def test_it_fails_alone_keeps_its_values_until_they_are_stale_and_heals(
        self, provider: str, fault: str
    ) -> None:
        answer, reason = ANSWERS[fault]
        served = Upstream(provider)
        async with listening(served):
            url = f"http://127.0.0.1:{served.port}"
            async with exporting(configuration(account(provider, url))) as running:
                await asyncio.sleep(12)
                before = await running.page()
                values = {
                    (name, labels): value
                    for (name, labels), value in before.samples.items()
                    if name in SNAPSHOT[provider] and ("campaign", FAULTY) in labels
                }
                assert {name for name, _ in values} == SNAPSHOT[provider]

                served.fault = answer
                await asyncio.sleep(10)
                page = await running.page()
                fails_for(page, reason)
                assert {key: page.samples.get(key) for key in values} == values
                assert page.names(campaign=FAULTY) >= WORKED_OUT
                nobody_else_has_noticed(page, "acme", WELL)

                await asyncio.sleep(15)
                page = await running.page()
                fails_for(page, reason)
                assert page.names(campaign=FAULTY) == ALWAYS_THERE | COUNTERS[provider] | {"campaign_poll_error"}
                for name in COUNTERS[provider]:
                    assert sum(page.all(name, campaign=FAULTY)) >= sum(before.all(name, campaign=FAULTY))
                nobody_else_has_noticed(page, "acme", WELL)
                polls = page.one("campaign_exporter_polls_total", account="acme", result=reason)
                assert polls is not None
                assert 2 <= polls <= 6
                assert page.one("campaign_exporter_breaker_open", account="acme") == 0

                served.fault = None
                assert await seconds_until(running, 3) <= 80
                page = await running.page()
                assert {key: page.samples.get(key) for key in values} == values
                assert page.names(campaign=FAULTY) >= WORKED_OUT
                assert page.all("campaign_poll_error", campaign=FAULTY) == []


@pytest.mark.parametrize("provider", ["anyreach", "osvi"])
class TestWholeAccount:
    """Faults that all campaigns of an account share; another account on another server goes on."""

    @asynccontextmanager
    async def two_accounts(
        self, provider: str, url: str | None = None, tls: ssl.SSLContext | None = None, **options: Any
    ) -> AsyncIterator[tuple[Upstream, Running]]:
        served, elsewhere = Upstream(provider), Upstream(provider)
        async with listening(served, tls=tls), listening(elsewhere):
            url = url or f"http{'s' if tls else ''}://localhost:{served.port}"
            other = account(provider, f"http://127.0.0.1:{elsewhere.port}", name="other")
            async with exporting(configuration(account(provider, url, **options), other)) as running:
                yield served, running

    async def all_fail_for(self, running: Running, reason: str) -> None:
        page = await running.page()
        for campaign in (FAULTY, *WELL):
            fails_for(page, reason, campaign)
        nobody_else_has_noticed(page, "other", (FAULTY, *WELL))
        assert running.exporter.ready

    async def test_unauthorized(self, provider: str) -> None:
        async with self.two_accounts(provider) as (served, running):
            served.fault, served.everything_fails = http("{}", 401), True
            await asyncio.sleep(8)
            await self.all_fail_for(running, "unauthorized")
            page = await running.page()
            assert page.one("campaign_exporter_breaker_open", account="acme") == 1
            assert page.one("campaign_exporter_breaker_open", account="other") == 0
            served.fault = None
            # A probe within 66 seconds, and then everybody.
            assert await seconds_until(running, 3) <= 66 + 6

    async def test_forbidden(self, provider: str) -> None:
        async with self.two_accounts(provider) as (served, running):
            served.fault, served.everything_fails = http("{}", 403), True
            await asyncio.sleep(8)
            await self.all_fail_for(running, "forbidden")
            assert (await running.page()).one("campaign_exporter_breaker_open", account="acme") == 1
            served.fault = None
            assert await seconds_until(running, 3) <= 66 + 6

    @pytest.mark.parametrize("status", [429, 503])
    async def test_retry_after(self, provider: str, status: int) -> None:
        async with self.two_accounts(provider) as (served, running):
            await asyncio.sleep(6)
            served.fault = http("{}", status, "Retry-After: 120")
            await asyncio.sleep(6)
            page = await running.page()
            fails_for(page, "rate_limited" if status == 429 else "server_error")
            polls = page.all("campaign_exporter_polls_total", account="acme")
            served.fault = None
            await asyncio.sleep(100)
            page = await running.page()
            assert page.all("campaign_exporter_polls_total", account="acme") == polls
            # All of the account's values are too old by now, while only one of its polls has failed.
            assert page.all("campaign_status", account="acme") == []
            assert page.one("campaign_up", account="acme", campaign="2") == 1
            nobody_else_has_noticed(page, "other", (FAULTY, *WELL))
            assert await seconds_until(running, 3) <= 30
            assert (await running.page()).one("campaign_exporter_throttled_seconds_total", account="acme") == (
                pytest.approx(120, abs=8)
            )

    async def test_connect(self, provider: str) -> None:
        served, elsewhere = Upstream(provider), Upstream(provider)
        async with listening(elsewhere):
            other = account(provider, f"http://127.0.0.1:{elsewhere.port}", name="other")
            async with listening(served):
                url = f"http://127.0.0.1:{served.port}"
            # Nobody listens there any more, for the moment.
            async with exporting(configuration(account(provider, url), other)) as running:
                await asyncio.sleep(8)
                await self.all_fail_for(running, "connect")
                async with listening(served, port=served.port):
                    assert await seconds_until(running, 3) <= 60

    async def test_dns(self, provider: str) -> None:
        async with self.two_accounts(provider, url="http://provider.invalid") as (_, running):
            await asyncio.sleep(8)
            await self.all_fail_for(running, "dns")

    @pytest.mark.parametrize("kind", ["expired", "for another host", "of an unknown authority"])
    async def test_tls(self, provider: str, kind: str, tmp_path_factory: pytest.TempPathFactory) -> None:
        authority = trustme.CA()
        host = "elsewhere.example" if kind == "for another host" else "localhost"
        options: dict[str, Any] = {}
        if kind == "expired":
            certificate = authority.issue_cert(host, not_after=datetime(2020, 1, 1, tzinfo=UTC))
        else:
            certificate = authority.issue_cert(host)
        if kind != "of an unknown authority":
            ca_file = tmp_path_factory.mktemp("tls") / "ca.pem"
            authority.cert_pem.write_to_path(str(ca_file))
            options = {"http": {"ca_file": str(ca_file)}}
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        certificate.configure_cert(context)
        async with self.two_accounts(provider, tls=context, **options) as (served, running):
            # That a handshake was refused is nothing that the server has to say to the log.
            asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
            await asyncio.sleep(8)
            await self.all_fail_for(running, "tls")
            url = f"https://localhost:{served.port}"
            trusting = account(provider, url, http={"insecure_skip_verify": True})
            other = running.exporter.settings.accounts[1]
            repaired = configuration(trusting, account(provider, other.base_url, name="other"))
            assert await running.reload(repaired) is None
            assert await seconds_until(running, 3) <= 30
