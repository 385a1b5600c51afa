"""Attacks by providers, and by what stands in files, on the real process; those of clients are in `tests/web`."""

import asyncio
import json
import os
import signal
import sys
import time
import zoneinfo
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from exporter.simulator import Schedule, Window, World, serving
from tests.exporting import anyreach_account, anyreach_stats, osvi_account, osvi_status
from tests.process import Process, exporter, output_of, text, until
from tests.providers.loopback import Answer, Loopback, http, listening

POLL = {"active_interval": "1s", "idle_interval": "1s", "timeout": "2s"}
OWN, OTHER = "6c6f7b0e-0000-4000-8000-000000000001", "6c6f7b0e-0000-4000-8000-000000000002"
WELL = json.dumps(osvi_status())


class Provider(Loopback):
    """Gives the answer of the test for campaign 1, and ordinary ones for the others."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(http(WELL))
        self.answer = answer

    def answer_to(self, request: str) -> Answer:
        return self.answer if "/campaigns/1/" in request else super().answer_to(request)


class Victim:
    """An exporter, and what it shows."""

    def __init__(self, process: Process, address: str) -> None:
        self.process = process
        self.address = address

    @property
    def megabytes(self) -> float:
        return float(psutil.Process(self.process.pid).memory_info().rss) / 1e6

    async def samples(self, name: str, **labels: str) -> list[tuple[Mapping[str, str], float]]:
        return [
            (sample.labels, sample.value)
            for family in text_string_to_metric_families(await text(f"{self.address}/metrics?name[]={name}"))
            for sample in family.samples
            if labels.items() <= sample.labels.items()
        ]

    async def has_failed_for(self, reason: str, campaign: str = "1") -> bool:
        return bool(await self.samples("campaign_poll_error", campaign=campaign, reason=reason))

    async def has_polled(self, times: int) -> bool:
        return sum(value for _, value in await self.samples("campaign_exporter_polls_total")) >= times

    async def longest_wait_until(self, happened: Callable[[], Any]) -> float:
        """Ask for health until something has happened; returns the longest time that it took, in seconds."""
        longest = 0.0

        async def look() -> bool:
            nonlocal longest
            began = time.monotonic()
            await text(f"{self.address}/-/healthy")
            longest = max(longest, time.monotonic() - began)
            return bool(await happened())

        await until(look)
        return longest


@asynccontextmanager
async def attacked(directory: Path, *accounts: Mapping[str, Any], **poll: Any) -> AsyncIterator[Victim]:
    configuration = {"accounts": accounts, "poll": {**POLL, **poll}}
    (directory / "campaign-exporter.yml").write_text(json.dumps(configuration), encoding="utf-8")
    async with exporter("--web.enable-lifecycle", directory=directory) as (process, address):
        yield Victim(process, address)


@asynccontextmanager
async def attacked_by(directory: Path, answer: Answer, **poll: Any) -> AsyncIterator[tuple[Victim, Provider]]:
    """Campaign 1 is the attacker's; campaign 2 belongs to another account."""
    async with listening(Provider(answer)) as provider:
        accounts = [osvi_account(provider.url, place, name=name) for place, name in ((1, "bad"), (2, "good"))]
        async with attacked(directory, *accounts, **poll) as victim:
            yield victim, provider


async def test_an_answer_that_was_not_asked_for_is_shown_nowhere(tmp_path: Path) -> None:
    async def one_too_many(writer: asyncio.StreamWriter) -> None:
        writer.write(http(json.dumps(osvi_status(picked=88))))
        await writer.drain()
        await asyncio.sleep(0.05)  # as long as it takes: later, and it could be the answer to the next request
        writer.write(http(json.dumps(osvi_status(picked=999))))

    async with attacked_by(tmp_path, one_too_many) as (victim, provider):
        await until(lambda: victim.has_polled(8))

        shown = await victim.samples("campaign_calls", campaign="1", status="picked")
        assert [value for _, value in shown] == [88]
        assert provider.connections > 3


class Gateway(Loopback):
    """Answers about the campaign that it is asked for, and later about a single one."""

    answers_about = ""

    def answer_to(self, request: str) -> Answer:
        campaign = self.answers_about or request.split("/campaigns/")[1].split("/")[0]
        if request.startswith("GET /v1/"):
            return http(json.dumps(osvi_status(campaign=int(campaign))))
        return http(json.dumps(anyreach_stats(campaign_id=campaign)))


@pytest.mark.parametrize(("own", "other"), [(OWN, OTHER), ("7", "8")], ids=["anyreach", "osvi"])
@pytest.mark.parametrize("honest_at_first", [True, False])
async def test_an_answer_about_another_campaign_fails(
    tmp_path: Path, own: str, other: str, honest_at_first: bool
) -> None:
    async with listening(Gateway()) as gateway:
        account = osvi_account(gateway.url, 7, 8) if own == "7" else anyreach_account(gateway.url, own, other)
        gateway.answers_about = "" if honest_at_first else other
        async with attacked(tmp_path, account) as victim:
            await until(lambda: victim.has_polled(4))
            if honest_at_first:
                assert [value for _, value in await victim.samples("campaign_up")] == [1, 1]

            gateway.answers_about = other
            await until(lambda: victim.has_failed_for("invalid_response", own))
            assert not await victim.has_failed_for("invalid_response", other)


async def test_interim_answers_without_end_fail_and_cost_no_memory(tmp_path: Path) -> None:
    async def flood(writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 10_000)
            await writer.drain()

    async with attacked_by(tmp_path, flood) as (victim, _):
        before = victim.megabytes
        longest = await victim.longest_wait_until(lambda: victim.has_failed_for("protocol"))

        assert longest < 1
        assert victim.megabytes - before < 30
        assert [value for _, value in await victim.samples("campaign_up", campaign="2")] == [1]


async def test_a_large_legal_answer_holds_nobody_up(tmp_path: Path) -> None:
    by_status = {f"k{number}": 1 for number in range(620_000)} | {"picked": 5}
    body = json.dumps(
        {"success": True, "data": {"campaign": {"status": "active"}, "calls": {"by_status": by_status}}},
        separators=(",", ":"),
    )
    assert len(body) > 7_000_000

    async with attacked_by(tmp_path, http(body), max_body_bytes=8_388_608, timeout="30s") as (victim, _):
        longest = await victim.longest_wait_until(lambda: victim.samples("campaign_calls", campaign="1"))

        assert longest < 1
        calls = {labels["status"]: value for labels, value in await victim.samples("campaign_calls", campaign="1")}
        assert calls["picked"] == 5
        assert sum(calls.values()) == 620_005
        assert len(calls) < 100


async def test_timezones_without_end_are_capped(tmp_path: Path) -> None:
    world = World(time.time)
    organization = world.add_organization(limit=10)
    world.grant("ak_test.secret", organization)
    day = (Window(("mon",), "09:00", "17:00"),)
    overrides = dict.fromkeys(sorted(zoneinfo.available_timezones())[:400], day)
    campaigns = [
        organization.add_campaign(name, organization.add_configuration(name, Schedule("UTC", day, overrides))).id
        for name in ("June", "July")
    ]
    async with serving(world) as servers:
        account = anyreach_account(servers.anyreach, *campaigns, calling_windows="auto")
        async with attacked(tmp_path, account) as victim:
            await until(lambda: victim.samples("campaign_calling_window_open"))
            shown = await victim.samples("campaign_calling_window_open", campaign=campaigns[0])
            assert len(shown) <= 51
            windows = await victim.samples("campaign_calling_windows", campaign=campaigns[0])
            assert windows[0][1] >= 400


async def test_a_token_that_comes_back_is_shown_nowhere(tmp_path: Path) -> None:
    def echo(secret: str) -> bytes:
        return http(WELL.replace('"picked"', json.dumps(f"said {secret}")).replace('"active"', json.dumps(secret)))

    async with attacked_by(tmp_path, echo("osvi-secret")) as (victim, _):
        await until(lambda: victim.samples("campaign_calls", campaign="1"))
        for path in ("/metrics", "/", "/campaigns/osvi/bad/1", "/api/v1/campaigns"):
            page = await text(victim.address + path)
            assert "osvi-secret" not in page
        assert "redacted" in await text(f"{victim.address}/metrics")
    assert "osvi-secret" not in victim.process.log


@pytest.mark.parametrize("kind", ["pipe", "endless"])
async def test_a_token_file_that_has_no_end_hangs_nothing(tmp_path: Path, kind: str) -> None:
    path = Path("/dev/zero")
    if kind == "pipe":
        path = tmp_path / "token"
        os.mkfifo(path)
    account = osvi_account("http://127.0.0.1:9", 1)
    async with attacked(tmp_path, account) as victim:
        del account["token"]
        file = tmp_path / "campaign-exporter.yml"
        file.write_text(json.dumps({"accounts": [{**account, "token_file": str(path)}], "poll": POLL}), "utf-8")
        before = victim.megabytes

        victim.process.signal(signal.SIGHUP)
        await victim.process.logged("not a regular file")
        assert victim.megabytes - before < 30
        victim.process.signal(signal.SIGTERM)
        assert await victim.process.ended() == 0


@pytest.mark.parametrize("form", ["aliases", "merges"])
async def test_yaml_that_unfolds_without_end_is_refused_at_the_start(tmp_path: Path, form: str) -> None:
    shape = "[{}]" if form == "aliases" else "{{<<: [{}]}}"
    first = "a: &a [x]" if form == "aliases" else "a: &a {x: 1}"
    lines = [f"{x}: &{x} " + shape.format(", ".join([f"*{y}"] * 9)) for y, x in pairwise("abcdefghi")]
    file = tmp_path / "bomb.yml"
    file.write_text("\n".join([first, *lines]), encoding="utf-8")

    ended = await output_of(sys.executable, "-m", "exporter", f"--config.file={file}")

    assert ended.status == 2
    assert "fewer aliases" in ended.errors
