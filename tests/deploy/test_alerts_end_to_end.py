"""
Alerts from a dialer to the one who is told, with real parts in between.

The simulated dialers stand in for the providers; the exporter, Prometheus with the shipped rules and Alertmanager with
the shipped routes are what they are in use, on a clock that is 60 times faster.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry

from exporter.accounts import Exporter
from exporter.config.plan import plan_of
from exporter.daemon import serve
from exporter.exposition.own import Instruments
from exporter.providers.redaction import Redactor
from exporter.simulator import (
    DAYS,
    ROUND_THE_CLOCK,
    Campaign,
    Schedule,
    Servers,
    SimulatedClock,
    Window,
    World,
    serving,
)
from exporter.web.sockets import listening, location
from tests.deploy.monitoring import PATIENCE, SPEED, Monitoring, monitored, recorded_series
from tests.exporting import settings_of
from tests.process import Process, answers, exporter, text, until

MINUTE, HOUR = 60.0, 3600.0
ALWAYS = Schedule("UTC", ROUND_THE_CLOCK)
BY_DAY = Schedule("UTC", (Window(DAYS, "07:00", "18:00"),))


class Account:
    """An organization whose campaigns are called as their external ids, and the key that reads them."""

    def __init__(self, world: World, name: str) -> None:
        self.name = name
        self.token = f"ak_{name}.secret"
        self.campaigns: dict[str, Campaign] = {}
        self._world = world
        self.organization = world.add_organization()
        world.grant(self.token, self.organization)

    def add(self, name: str, schedule: Schedule = ALWAYS, *, contacts: int = 0) -> Campaign:
        """Add a campaign with contacts to begin with."""
        configuration = self.organization.add_configuration(name, schedule)
        campaign = self.organization.add_campaign(name.replace("-", " ").title(), configuration, external_id=name)
        campaign.add_contacts(contacts)
        self.campaigns[name] = campaign
        return campaign

    def feed(self, campaign: Campaign, contacts: int, *, every: float) -> None:
        """Add contacts again and again, so that calls go on below the cap; the period is in simulated seconds."""
        self._world.timeline.every(every, lambda: campaign.add_contacts(contacts))

    def configuration(self, servers: Servers, **options: Any) -> dict[str, Any]:
        """The account as the configuration file has it."""
        return {
            "name": self.name,
            "provider": "anyreach",
            "base_url": servers.anyreach,
            "stall_after": "5s",
            "labels": {"team": "renewals"},
            "campaigns": [{"id": name} for name in self.campaigns],
            **({} if "token_file" in options else {"token": self.token}),
            **options,
        }


def polled_each_second(*accounts: Mapping[str, Any]) -> dict[str, Any]:
    poll = {"active_interval": "1s", "idle_interval": "1s", "stale_after": "3s"}
    return {"poll": poll, "accounts": accounts}


@asynccontextmanager
async def replicas(directory: Path, configuration: Mapping[str, Any]) -> AsyncIterator[list[tuple[Process, str]]]:
    """Run a pair of exporters; yields their processes and addresses, once both have polled."""
    file = directory / "campaign-exporter.yml"
    file.write_text(json.dumps(configuration))  # JSON is YAML
    async with AsyncExitStack() as stack:
        starting = (stack.enter_async_context(exporter("--config.file", file)) for _ in range(2))
        pair = await asyncio.gather(*starting)
        for _, address in pair:
            await until(lambda address=address: answers(f"{address}/-/ready"))  # type: ignore[misc]  # mypy can't infer it
        yield pair


async def test_two_replicas_tell_a_stall_a_full_organization_and_a_revoked_token_once_each(tmp_path: Path) -> None:
    world = World(SimulatedClock(SPEED), speed=SPEED)
    acme, northwind, globex = (Account(world, name) for name in ("acme", "northwind", "globex"))
    for account, names in ((acme, ("june-renewals", "welcome-calls")), (globex, ("dunning", "winback", "survey"))):
        for name in names:
            account.feed(account.add(name), 1, every=MINUTE)
    # What a campaign says of its active calls is then true of all. Had they to be added up from polls at different
    # moments, calls that change hands in between would hide a part of the time at the cap.
    northwind.organization.active_calls_scope = "organization"
    for number in range(5):
        northwind.add(f"tariff-{number}", contacts=2000)
    token_file = tmp_path / "token"
    token_file.write_text(globex.token)
    async with serving(world) as servers:
        configuration = polled_each_second(
            acme.configuration(servers),
            northwind.configuration(servers),
            globex.configuration(servers, token_file=str(token_file)),
        )
        async with (
            replicas(tmp_path, configuration) as ((_, address), (_, other)),
            monitored(tmp_path, address, other) as monitoring,
        ):
            async with asyncio.TaskGroup() as at_once:
                at_once.create_task(stall_and_recover(monitoring, acme.campaigns["june-renewals"], address))
                at_once.create_task(stay_at_the_cap(monitoring))
                at_once.create_task(revoke_and_replace(monitoring, world, globex, token_file))
            await monitoring.passes(minutes=6)

            assert monitoring.inbox.told == [
                ("chat", "firing", ["CampaignConcurrencySaturated"]),
                ("page", "firing", ["CampaignAccountUnauthorized"]),
                ("page", "firing", ["CampaignStalled"]),
                ("page", "resolved", ["CampaignAccountUnauthorized"]),
                ("page", "resolved", ["CampaignStalled"]),
            ]


async def stall_and_recover(monitoring: Monitoring, campaign: Campaign, address: str) -> None:
    await monitoring.sees('campaign_observed_attempts_total{campaign="june-renewals"} > 0')
    campaign.stall()
    (alert,) = (await monitoring.inbox.message("page", "firing", "CampaignStalled")).alerts
    assert alert["labels"] == {
        "alertname": "CampaignStalled",
        "severity": "critical",
        "job": "campaign-exporter",
        "provider": "anyreach",
        "account": "acme",
        "campaign": "june-renewals",
        "campaign_name": "June Renewals",
        "team": "renewals",
    }
    runbook = urlsplit(alert["annotations"]["runbook_url"])
    assert runbook.path == "/runbooks/CampaignStalled"
    assert "CampaignStalled" in await text(address + runbook.path)
    campaign.recover()
    await monitoring.inbox.message("page", "resolved", "CampaignStalled")


async def stay_at_the_cap(monitoring: Monitoring) -> None:
    (alert,) = (await monitoring.inbox.message("chat", "firing", "CampaignConcurrencySaturated")).alerts
    assert alert["labels"]["account"] == "northwind"
    assert "campaign" not in alert["labels"]


async def revoke_and_replace(monitoring: Monitoring, world: World, account: Account, token_file: Path) -> None:
    await monitoring.sees('count(campaign_up{account="globex"} == 1) == 2 * 3')
    world.revoke(account.token)
    (alert,) = (await monitoring.inbox.message("page", "firing", "CampaignAccountUnauthorized")).alerts
    assert alert["labels"]["account"] == "globex"

    async def the_rest_is_muted() -> bool:
        return await monitoring.muted() == [("CampaignPollsFailing", name) for name in sorted(account.campaigns)]

    await until(the_rest_is_muted, patience=PATIENCE)
    world.grant("ak_globex.new", account.organization)
    token_file.write_text("ak_globex.new")  # noqa: ASYNC240 -- a few bytes
    await monitoring.inbox.message("page", "resolved", "CampaignAccountUnauthorized")


async def test_a_killed_exporter_is_told_once_and_only_when_no_replica_is_left(tmp_path: Path) -> None:
    world = World(SimulatedClock(SPEED), speed=SPEED)
    acme = Account(world, "acme")
    acme.feed(acme.add("june-renewals"), 1, every=MINUTE)
    async with serving(world) as servers:
        configuration = polled_each_second(acme.configuration(servers))
        async with (
            replicas(tmp_path, configuration) as ((first, address), (second, other)),
            monitored(tmp_path, address, other) as monitoring,
        ):
            await monitoring.sees('count(up{job="campaign-exporter"} == 1) == 2')
            await first.kill()
            await monitoring.sees('up{job="campaign-exporter"} == 0')
            await monitoring.passes(minutes=3 + 2 + 1)  # what the rule remembers, what it waits, and some more
            assert monitoring.inbox.told == []

            await second.kill()
            (alert,) = (await monitoring.inbox.message("page", "firing", "CampaignExporterDown")).alerts
            assert alert["labels"] == {
                "alertname": "CampaignExporterDown",
                "severity": "critical",
                "job": "campaign-exporter",
            }
            await monitoring.passes(minutes=3)
            assert monitoring.inbox.told == [("page", "firing", ["CampaignExporterDown"])]
            assert [one["labels"]["alertname"] for one in await monitoring.firing()] == ["CampaignExporterDown"]


async def test_nobody_is_told_of_a_night(tmp_path: Path) -> None:
    morning = datetime(2026, 6, 10, 10, tzinfo=UTC).timestamp()
    clock = SimulatedClock(HOUR, start=morning)  # an hour in a second, so that a night passes
    world = World(clock, speed=HOUR)
    acme = Account(world, "acme")
    for name, schedule in (("day-shift", BY_DAY), ("helpline", ALWAYS)):
        acme.feed(acme.add(name, schedule), 10, every=HOUR / 4)
    async with serving(world) as servers:
        configuration = polled_each_second(acme.configuration(servers, stall_after="3s"))
        async with (
            exporter_on(configuration, clock) as address,
            monitored(tmp_path, address) as monitoring,
        ):
            day_shift = '{campaign="day-shift"}'
            await monitoring.sees(f"campaign_dialing_expected{day_shift} == 1")
            await monitoring.sees(f"campaign_dialing_expected{day_shift} == 0")
            await monitoring.sees(f"campaign_dialing_expected{day_shift} == 1")
            await monitoring.passes(minutes=6)

            silence = f"time() - campaign_last_progress_timestamp_seconds{day_shift}"
            enough_for_a_page = f"campaign_stall_after_seconds{day_shift} + {5 * MINUTE / SPEED}"
            await monitoring.sees(f"max_over_time(({silence})[5m:500ms]) > {enough_for_a_page}")
            assert monitoring.inbox.told == []


@asynccontextmanager
async def exporter_on(configuration: dict[str, Any], clock: SimulatedClock) -> AsyncIterator[str]:
    """Run the exporter with calling windows that open and close by another clock; yields its address."""
    settings = settings_of(configuration | {"web": {"listen_address": "127.0.0.1:0"}})
    registry = CollectorRegistry()
    served = Exporter(
        plan_of(settings), registry, Instruments(registry, "1.2.3", "abc"), redactor=Redactor(), hours_wall=clock
    )
    started = asyncio.Event()
    with listening(settings.web.listen_address) as (sock,):
        async with asyncio.TaskGroup() as group:
            serving_it = group.create_task(serve(served, [sock], lambda: settings, lambda: None, started.set))
            await started.wait()
            yield location(sock)
            serving_it.cancel()


async def test_every_rule_holds_against_the_demo(tmp_path: Path) -> None:
    speed = 2 * SPEED  # nothing here depends on how long something lasts
    flags = ("--speed", f"{speed:g}", "--poll.active-interval", "1s")
    async with (
        exporter("demo", *flags, directory=tmp_path) as (_, address),
        monitored(tmp_path, address, speed=speed) as monitoring,
    ):
        for name in recorded_series():
            await monitoring.sees(f"{{__name__={name!r}}}")
        for name in ("CampaignAccountUnauthorized", "CampaignNeverDials", "CampaignNotFound", "CampaignPollsFailing"):
            await monitoring.sees(f'ALERTS{{alertname="{name}", alertstate="firing"}}')

        for alert in await monitoring.firing():
            assert "error expanding" not in json.dumps(alert["annotations"])
            assert await answers(address + urlsplit(alert["annotations"]["runbook_url"]).path)
