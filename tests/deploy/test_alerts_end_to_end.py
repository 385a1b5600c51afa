"""
Alerts from a dialer to the person who reads them, with real parts in between.

The simulated dialers stand in for the providers; the exporter, Prometheus with the shipped rules and Alertmanager with
the shipped routes are what they are in use, on a clock that is 60 times faster.
"""

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from prometheus_client import CollectorRegistry

from exporter.accounts import Exporter
from exporter.campaign import averages
from exporter.campaign.standing import Standing
from exporter.config.plan import plan_of
from exporter.daemon import serve
from exporter.exposition.own import Instruments
from exporter.providers.redaction import Redactor
from exporter.simulator import (
    DAYS,
    ROUND_THE_CLOCK,
    CallPattern,
    Campaign,
    Fault,
    Schedule,
    Servers,
    SimulatedClock,
    Window,
    World,
    serving,
)
from exporter.ui.states import WORDS
from exporter.web.sockets import listening, location
from tests.deploy.monitoring import PATIENCE, SPEED, Monitoring, monitored, recorded_series
from tests.exporting import settings_of
from tests.process import Process, answers, exporter, query, running, text, until

MINUTE, HOUR = 60.0, 3600.0
ALWAYS = Schedule("UTC", ROUND_THE_CLOCK)
DEFAULT_PATTERN = CallPattern()
BY_DAY = Schedule("UTC", (Window(DAYS, "07:00", "18:00"),))


class Account:
    """An organization whose campaigns are called as their external ids, and the key that reads them."""

    def __init__(self, world: World, name: str, *, token: str = "") -> None:
        self.name = name
        self.token = token or f"ak_{name}.secret"
        self.campaigns: dict[str, Campaign] = {}
        self._world = world
        self.organization = world.add_organization()
        world.grant(self.token, self.organization)

    def add(
        self, name: str, schedule: Schedule = ALWAYS, *, contacts: int = 0, pattern: CallPattern = DEFAULT_PATTERN
    ) -> Campaign:
        """Add a campaign with contacts to begin with."""
        configuration = self.organization.add_configuration(name, schedule)
        title = name.replace("-", " ").title()
        campaign = self.organization.add_campaign(title, configuration, external_id=name, pattern=pattern)
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
    file = configured(directory, configuration)
    async with AsyncExitStack() as stack:
        starting = (stack.enter_async_context(exporter("--config.file", file)) for _ in range(2))
        pair = await asyncio.gather(*starting)
        for _, address in pair:
            await ready(address)
        yield pair


def configured(directory: Path, configuration: Mapping[str, Any]) -> Path:
    file = directory / "campaign-exporter.yml"
    file.write_text(json.dumps(configuration))  # JSON is YAML
    return file


async def ready(address: str) -> None:
    await until(lambda: answers(f"{address}/-/ready"))


async def shows(address: str, account: str, campaign: str, state: str) -> None:
    """Wait until the campaign's page, the interface and the metrics agree that it stands so."""

    async def all_of_them() -> bool:
        rows = json.loads(await text(f"{address}/api/v1/campaigns?account={account}"))["campaigns"]
        (row,) = [row for row in rows if row["campaign"] == campaign]
        labels = f'account="{account}",campaign="{campaign}"'
        lines = [line for line in (await text(f"{address}/metrics")).splitlines() if labels in line]
        stated = [line for line in lines if line.startswith("campaign_state{")]
        page = await text(f"{address}/campaigns/anyreach/{account}/{campaign}")
        (badge, *_) = re.findall(r'<span class="badge"[^>]*>([^<]+)</span>', page)
        return (
            row["state"] == state
            and len(stated) == 1
            and f'state="{state}"' in stated[0]
            and badge == WORDS[Standing(state)].title
        )

    await until(all_of_them, patience=PATIENCE)


async def test_stalls_hung_calls_refused_tokens_and_failures_are_read_once_each(tmp_path: Path) -> None:
    world = World(SimulatedClock(SPEED), speed=SPEED)
    acme, initech, globex, umbrella = (Account(world, name) for name in ("acme", "initech", "globex", "umbrella"))
    for account, names in (
        (acme, ("june-renewals", "welcome-calls")),
        (globex, ("dunning", "winback", "survey")),
        (umbrella, ("claims",)),
    ):
        for name in names:
            account.feed(account.add(name), 1, every=MINUTE)
    initech.add(
        "hotline", contacts=3, pattern=CallPattern(answer_rate=1.0, answered_seconds=(1000 * HOUR, 1000 * HOUR))
    )
    token_file = tmp_path / "token"
    token_file.write_text(globex.token)
    async with serving(world) as servers:
        configuration = polled_each_second(
            *(account.configuration(servers) for account in (acme, initech, umbrella)),
            globex.configuration(servers, token_file=str(token_file)),
        )
        async with (
            replicas(tmp_path, configuration) as ((_, address), (_, other)),
            monitored(tmp_path, address, other) as monitoring,
        ):
            async with asyncio.TaskGroup() as at_once:
                at_once.create_task(stall_and_recover(monitoring, acme.campaigns["june-renewals"], [address, other]))
                at_once.create_task(hang_and_recover(monitoring, initech.campaigns["hotline"], [address, other]))
                at_once.create_task(revoke_and_replace(monitoring, world, globex, token_file, address))
                at_once.create_task(fail_and_recover(monitoring, umbrella.campaigns["claims"], address))
            await monitoring.passes(minutes=15)

            assert monitoring.inbox.briefs == [
                ("chat", "firing", ["CampaignPollsFailing"]),
                ("chat", "resolved", ["CampaignPollsFailing"]),
                ("page", "firing", ["CampaignAccountUnauthorized"]),
                ("page", "firing", ["CampaignStalled"]),
                ("page", "firing", ["CampaignStalled"]),
                ("page", "resolved", ["CampaignAccountUnauthorized"]),
                ("page", "resolved", ["CampaignStalled"]),
                ("page", "resolved", ["CampaignStalled"]),
            ]


async def stall_and_recover(monitoring: Monitoring, campaign: Campaign, addresses: Sequence[str]) -> None:
    await monitoring.sees('campaign_observed_attempts_total{campaign="june-renewals"} > 0')
    campaign.stall()
    alert = await monitoring.inbox.alert("page", "firing", "CampaignStalled", account="acme")
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
    assert (runbook.path, runbook.query) == ("/runbooks/CampaignStalled", "account=acme&campaign=june-renewals")
    for address in addresses:
        assert "CampaignStalled" in await text(f"{address}{runbook.path}?{runbook.query}")
        await shows(address, "acme", "june-renewals", "stalled")
    campaign.recover()
    await monitoring.inbox.alert("page", "resolved", "CampaignStalled", account="acme")
    for address in addresses:
        await shows(address, "acme", "june-renewals", "dialing")


async def hang_and_recover(monitoring: Monitoring, campaign: Campaign, addresses: Sequence[str]) -> None:
    await monitoring.sees('campaign_contacts{campaign="hotline", bucket="in_progress"} == 3')
    campaign.stall()
    campaign.add_contacts(4)
    await monitoring.inbox.alert("page", "firing", "CampaignStalled", account="initech")
    for address in addresses:
        await shows(address, "initech", "hotline", "stalled")
    campaign.recover()
    await monitoring.inbox.alert("page", "resolved", "CampaignStalled", account="initech")


async def revoke_and_replace(
    monitoring: Monitoring, world: World, account: Account, token_file: Path, address: str
) -> None:
    await monitoring.sees('count(campaign_up{account="globex"} == 1) == 2 * 3')
    world.revoke(account.token)
    alert = await monitoring.inbox.alert("page", "firing", "CampaignAccountUnauthorized")
    assert alert["labels"]["account"] == "globex"
    await shows(address, "globex", "dunning", "failing")
    await monitoring.passes(minutes=15)  # enough for CampaignPollsFailing, which this explains
    assert not await query(monitoring.prometheus, 'ALERTS{account="globex", alertname!="CampaignAccountUnauthorized"}')
    world.grant("ak_globex.new", account.organization)
    token_file.write_text("ak_globex.new")  # noqa: ASYNC240 -- a few bytes
    await monitoring.inbox.alert("page", "resolved", "CampaignAccountUnauthorized")
    await shows(address, "globex", "dunning", "dialing")


async def fail_and_recover(monitoring: Monitoring, campaign: Campaign, address: str) -> None:
    await monitoring.sees('campaign_up{campaign="claims"} == 1')
    # One of the replicas is enough to see a change: polls that fail come less and less often, by real time.
    for fault, reason in ((Fault(status=500), "server_error"), (Fault(hang_up=True), "protocol")):
        campaign.fault = fault
        await monitoring.sees(f'campaign_poll_error{{campaign="claims", reason="{reason}"}}')
    alert = await monitoring.inbox.alert("chat", "firing", "CampaignPollsFailing")
    assert "protocol" in alert["annotations"]["description"]
    assert "reason" not in alert["labels"]
    await shows(address, "umbrella", "claims", "failing")
    campaign.fault = Fault(status=418)
    await monitoring.sees('campaign_poll_error{campaign="claims", reason="client_error"}')
    campaign.fault = None
    await monitoring.inbox.alert("chat", "resolved", "CampaignPollsFailing")
    await monitoring.sees('campaign_state{campaign="claims", state="dialing"}')


async def test_installations_with_equal_accounts_stall_and_die_on_their_own(tmp_path: Path) -> None:
    world = World(SimulatedClock(SPEED), speed=SPEED)
    eu, us = Account(world, "acme", token="ak_eu.secret"), Account(world, "acme", token="ak_us.secret")
    for account in (eu, us):
        account.feed(account.add("june-renewals"), 1, every=MINUTE)
    async with serving(world) as servers, AsyncExitStack() as stack:
        (tmp_path / "eu").mkdir()
        (tmp_path / "us").mkdir()
        pair = await stack.enter_async_context(replicas(tmp_path / "eu", polled_each_second(eu.configuration(servers))))
        (first, address), (second, other) = pair
        file = configured(tmp_path / "us", polled_each_second(us.configuration(servers)))
        _, single = await stack.enter_async_context(exporter("--config.file", file))
        await ready(single)
        async with monitored(tmp_path, eu=[address, other], us=[single]) as monitoring:
            await monitoring.sees('count(up{job="campaign-exporter"} == 1) == 3')
            eu.campaigns["june-renewals"].stall()
            await first.kill()
            alert = await monitoring.inbox.alert("page", "firing", "CampaignStalled")
            assert alert["labels"]["cluster"] == "eu"
            await shows(other, "acme", "june-renewals", "stalled")
            await shows(single, "acme", "june-renewals", "dialing")
            eu.campaigns["june-renewals"].recover()
            await monitoring.inbox.alert("page", "resolved", "CampaignStalled")
            assert len(monitoring.inbox.messages) == 2  # nothing of the replica that was killed

            await second.kill()
            alert = await monitoring.inbox.alert("page", "firing", "CampaignExporterDown")
            assert alert["labels"] == {
                "alertname": "CampaignExporterDown",
                "severity": "critical",
                "job": "campaign-exporter",
                "cluster": "eu",
            }
            assert "First steps: (1)" in alert["annotations"]["description"]
            await monitoring.passes(minutes=8)
            assert [one["labels"]["alertname"] for one in await monitoring.firing()] == ["CampaignExporterDown"]

            await stack.enter_async_context(started_again(tmp_path / "eu/campaign-exporter.yml", address))
            await monitoring.inbox.alert("page", "resolved", "CampaignExporterDown")
            await monitoring.passes(minutes=8)
            assert monitoring.inbox.briefs == [
                ("page", "firing", ["CampaignExporterDown"]),
                ("page", "firing", ["CampaignStalled"]),
                ("page", "resolved", ["CampaignExporterDown"]),
                ("page", "resolved", ["CampaignStalled"]),
            ]


@asynccontextmanager
async def started_again(file: Path, address: str) -> AsyncIterator[None]:
    """Run an exporter where another one was."""
    command = (sys.executable, "-m", "exporter", "--config.file", file)
    async with running(*command, "--web.listen-address", address.removeprefix("http://")):
        await ready(address)
        yield


async def test_nothing_is_read_of_a_night(tmp_path: Path) -> None:
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
            await monitoring.sees('campaign_state{campaign="day-shift", state="outside_hours"}')
            await shows(address, "acme", "day-shift", "outside_hours")
            await monitoring.sees(f"campaign_dialing_expected{day_shift} == 1")
            await monitoring.passes(minutes=6)

            silence = f"time() - campaign_last_progress_timestamp_seconds{day_shift}"
            enough_for_a_page = f"campaign_stall_after_seconds{day_shift} + {5 * MINUTE / SPEED}"
            await monitoring.sees(f"max_over_time(({silence})[5m:500ms]) > {enough_for_a_page}")
            assert monitoring.inbox.briefs == []


async def test_a_full_organization_is_one_warning_and_its_silent_campaign_no_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in (("WINDOW", 600), ("LEAST_COVERED", 300), ("_MARK_EVERY", 60)):
        monkeypatch.setattr(averages, name, seconds / SPEED)
    clock = SimulatedClock(SPEED)
    world = World(clock, speed=SPEED)
    northwind = Account(world, "northwind")
    # Each tells its own calls, at a moment of its own: added up, they are at the cap for a part of the time only.
    northwind.organization.active_calls_scope = "campaign"
    for number in range(5):
        northwind.add(f"tariff-{number}", contacts=2000)
    northwind.add("excused", contacts=10).stall()
    async with serving(world) as servers:
        configuration = polled_each_second(northwind.configuration(servers))
        async with (
            exporter_on(configuration, clock) as address,
            monitored(tmp_path, address) as monitoring,
        ):
            alert = await monitoring.inbox.alert("chat", "firing", "CampaignConcurrencySaturated")
            assert alert["labels"]["account"] == "northwind"
            assert "campaign" not in alert["labels"]
            for name in ("tariff-0", "excused"):
                await shows(address, "northwind", name, "saturated")
            for campaign in northwind.campaigns.values():
                campaign.pause()
            await monitoring.inbox.alert("chat", "resolved", "CampaignConcurrencySaturated")
            await shows(address, "northwind", "tariff-0", "paused")
            assert len(monitoring.inbox.messages) == 2


@asynccontextmanager
async def exporter_on(configuration: dict[str, Any], clock: SimulatedClock) -> AsyncIterator[str]:
    """Run the exporter with calling windows that open and close by another clock; yields its address."""
    settings = settings_of(configuration | {"web": {"listen_address": "127.0.0.1:0"}})
    registry = CollectorRegistry()
    served = Exporter(
        plan_of(settings), registry, Instruments(registry, "1.2.3", "abc"), redactor=Redactor(), hours_wall=clock
    )
    with listening(settings.web.listen_address) as (sock,):
        async with asyncio.TaskGroup() as group:
            serving_it = group.create_task(serve(served, [sock], lambda: settings, lambda: None))
            yield location(sock)
            serving_it.cancel()


async def test_every_rule_holds_against_the_demo(tmp_path: Path) -> None:
    speed = 2 * SPEED  # nothing here depends on how long something lasts
    flags = ("--speed", f"{speed:g}", "--poll.active-interval", "1s")
    async with (
        exporter("demo", *flags, directory=tmp_path) as (_, address),
        monitored(tmp_path, address, speed=speed) as monitoring,
    ):
        # The exporter's own averages cover five minutes at least, whatever the speed of what it watches.
        for name in {*recorded_series()} - {"account:utilization:ratio"}:
            await monitoring.sees(f"{{__name__={name!r}}}")
        for name in ("CampaignAccountUnauthorized", "CampaignNeverDials", "CampaignNotFound", "CampaignStalled"):
            await monitoring.sees(f'ALERTS{{alertname="{name}", alertstate="firing"}}')

        for alert in await monitoring.firing():
            assert "error expanding" not in json.dumps(alert["annotations"])
            runbook = urlsplit(alert["annotations"]["runbook_url"])
            assert await answers(f"{address}{runbook.path}?{runbook.query}")
