"""`campaign-exporter check`: what it asks, what it shows, and what it advises."""

import asyncio
import contextlib
import io
import json
import os
import pty
import re
import signal
import sys
import termios
import time
import unicodedata
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from rich.console import Console

from exporter.commands.check import check, unasked
from exporter.commands.report import Report, as_json, write_text
from exporter.commands.terminal import console
from exporter.commands.upstream import upstreams
from exporter.config.model import AccountSettings, Settings
from exporter.providers.advice import advice
from exporter.providers.errors import REASONS
from exporter.providers.redaction import Redactor
from exporter.simulator import (
    ROUND_THE_CLOCK,
    Configuration,
    Fault,
    ManualClock,
    Organization,
    OsviAccount,
    Schedule,
    Servers,
    World,
    serving,
)
from tests.process import PATIENCE, Ended, output_of, running
from tests.providers import loopback

START = 1_780_000_000.0
KEY = "ak_acme.t0psecret"
PERSONAL = "pat_t0psecret"
API_TOKEN = "0123456789abcdef"
STATS = loopback.http('{"status": "active"}')


class NoBar:
    def __init__(self) -> None:
        self.expected = self.done = 0

    def __call__(self, done: int, known: int) -> None:
        self.done += done
        self.expected += known


class Simulated(NamedTuple):
    world: World
    servers: Servers
    organization: Organization
    always: Configuration
    osvi: OsviAccount

    def anyreach(self, *campaigns: Any, token: str = KEY, **keys: Any) -> dict[str, Any]:
        """An account of the organization with these campaigns: their ids, or mappings."""
        return account(self.servers.anyreach, *campaigns, token=token, **keys)

    def osvi_account(self, *campaigns: Any, token: str = API_TOKEN, **keys: Any) -> dict[str, Any]:
        return account(self.servers.osvi, *campaigns, name="acme-in", provider="osvi", token=token, **keys)


def account(base_url: str, *campaigns: Any, **keys: Any) -> dict[str, Any]:
    listed = [campaign if isinstance(campaign, dict) else {"id": campaign} for campaign in campaigns]
    found = {"name": "acme-us", "provider": "anyreach", "base_url": base_url, "campaigns": listed, **keys}
    return {key: value for key, value in found.items() if value is not None}


@pytest.fixture
async def simulated() -> AsyncIterator[Simulated]:
    world = World(ManualClock(START))
    organization = world.add_organization(limit=10)
    world.grant(KEY, organization)
    always = organization.add_configuration("Always", Schedule("UTC", ROUND_THE_CLOCK))
    osvi = world.add_osvi_account(API_TOKEN)
    async with serving(world) as servers:
        yield Simulated(world, servers, organization, always, osvi)


async def checked(*accounts: Mapping[str, Any], bar: NoBar | None = None, **keys: Any) -> Report:
    settings = Settings.model_validate({"accounts": list(accounts), **keys})
    redactor = Redactor()
    found = await check(upstreams(settings, redactor), settings.poll, bar or NoBar())
    return Report(found, settings.poll, True, settings.warnings(), redactor)


def shown(report: Report, width: int | None = None) -> str:
    """What a pipe would get, or a terminal of that width without colours."""
    stream = io.StringIO()
    write_text(report, Console(file=stream, width=width, markup=False) if width else console(stream))
    return stream.getvalue()


def rows(report: Report) -> dict[str, list[str]]:
    """The cells of the table, by campaign."""
    lines = [re.split(r"\s{2,}", line.strip()) for line in shown(report).splitlines()]
    assert lines[0] == ["Account", "Campaign", "Status", "Progress", "Calls", "Latency", "Problem"]
    return {line[1]: line for line in lines[2:] if len(line) > 1}


# --- What it asks and shows


async def test_every_campaign_of_both_providers_is_shown_as_the_provider_has_it(simulated: Simulated) -> None:
    june = simulated.organization.add_campaign("June", simulated.always, external_id="crm:june/1")
    june.add_contacts(30)
    renewals = simulated.osvi.add_campaign(7, "Renewals")
    renewals.add_agent("agent_x", channels=2)
    renewals.add_contacts(50, "agent_x")
    simulated.world.advance_to(START + 600)
    bar = NoBar()

    report = await checked(
        simulated.anyreach({"id": "crm:june/1", "name": "june"}),
        simulated.osvi_account({"id": 7, "name": "renewals"}),
        bar=bar,
    )

    done = june.counts["completed"] + june.counts["exhausted"]
    assert done
    assert renewals.calls["in_progress"]
    found = rows(report)
    assert found["june"][:5] == ["acme-us", "june", "active", f"{done}/30", f"{june.active_calls}/10"]
    assert found["renewals"][:5] == [
        *("acme-in", "renewals", "active"),
        *(f"{sum(renewals.calls.values())} calls", str(renewals.calls["in_progress"])),
    ]
    assert all(re.fullmatch(r"\d+ms|[\d.]+s", row[5]) for row in found.values())
    assert report.ok
    assert "2 of 2 campaigns answered." in shown(report)
    assert (bar.expected, bar.done) == (2, 2)


async def test_configured_and_discovered_campaigns_are_each_polled_once(
    simulated: Simulated,
) -> None:
    simulated.organization.add_campaign("June", simulated.always, external_id="june")
    may = simulated.organization.add_campaign("May", simulated.always)
    simulated.organization.add_campaign("Old", simulated.always).close()
    bar = NoBar()

    report = await checked(simulated.anyreach("june", discovery={}), bar=bar)

    assert list(rows(report)) == ["June (june)", f"May ({may.id})"]
    assert [campaign.discovered for campaign in report.accounts[0].campaigns] == [False, True]
    assert (bar.expected, bar.done) == (2, 2)


async def test_discovered_campaigns_have_the_labels_that_the_exporter_gives(simulated: Simulated) -> None:
    june, *others = (simulated.organization.add_campaign(name, simulated.always) for name in ("June", "A", "A"))

    report = await checked(simulated.anyreach({"id": june.id, "name": "B"}, discovery={"campaign_label": "name"}))

    names = {campaign.id: campaign.name for campaign in report.accounts[0].campaigns}
    assert names[june.id] == "B"
    first, second = (other.id for other in others)
    assert (names[first], names[second]) in {("A", second), (first, "A")}


async def test_two_ids_of_one_campaign_are_polled_once(simulated: Simulated, caplog: pytest.LogCaptureFixture) -> None:
    june = simulated.organization.add_campaign("June", simulated.always, external_id="june")
    may = simulated.organization.add_campaign("May", simulated.always)
    bar = NoBar()

    report = await checked(simulated.anyreach("june", june.id, may.id.upper(), discovery={}), bar=bar)

    assert [campaign.id for campaign in report.accounts[0].campaigns] == ["june", may.id.upper()]
    assert (bar.expected, bar.done) == (2, 2)
    assert {record.message for record in caplog.records} == {"two ids are one campaign, which is polled once"}


async def test_a_discovered_campaign_with_a_configured_name_as_id_is_left_out(
    simulated: Simulated,
) -> None:
    may = simulated.organization.add_campaign("May", simulated.always)
    simulated.organization.add_campaign("June", simulated.always, external_id="june")

    report = await checked(simulated.anyreach({"id": "june", "name": may.id}, discovery={}))

    assert [(campaign.id, campaign.name) for campaign in report.accounts[0].campaigns] == [("june", may.id)]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault(status=403), "could not all be listed: forbidden: GET /campaign/campaigns: HTTP 403. The token is "),
        (
            Fault(status=500, path="cursor="),
            "could not all be listed: server_error: GET /campaign/campaigns: HTTP 500. The",
        ),
    ],
    ids=["not at all", "not to its end"],
)
async def test_a_listing_that_fails_is_a_failure_and_what_it_brought_is_polled(
    simulated: Simulated, fault: Fault, words: str
) -> None:
    for number in range(120):
        simulated.organization.add_campaign(f"Campaign {number}", simulated.always)
    simulated.organization.listing = "envelope"
    simulated.organization.fault = Fault(status=fault.status, path=fault.path or "limit=")

    report = await checked(simulated.anyreach(discovery={}, max_requests_per_second=10_000))

    assert words in shown(report)
    assert not report.ok
    assert len(report.accounts[0].campaigns) == (100 if fault.path else 0)
    assert report.accounts[0].failed == 0


async def test_more_campaigns_than_discovery_may_take_are_reported(simulated: Simulated) -> None:
    for number in range(3):
        simulated.organization.add_campaign(f"Campaign {number}", simulated.always)

    report = await checked(simulated.anyreach(discovery={"max_campaigns": 2}))

    assert "acme-us: the campaigns could not all be listed: there are more than 2 campaigns." in shown(report)
    assert not report.ok


async def test_numbers_that_the_provider_does_not_send_are_no_zeros() -> None:
    answers = [
        loopback.http(json.dumps(stats))
        for stats in (
            {"status": "active"},
            {"contacts": {"pending": 3}, "active_calls": 2},
            {"contacts": {"total": 1e300, "completed": "8"}, "concurrency_limit": 10},
        )
    ]
    async with loopback.serving(*answers) as server:
        keys = {"max_in_flight": 1, "calling_windows": "always"}
        report = await checked(account(server.url, "a", "b", "c", token=KEY, **keys))

    assert [row[2:5] for row in rows(report).values()] == [
        ["active", "-", "-"],
        ["-", "?/?", "2/?"],
        ["-", "8/1e+300", "?/10"],
    ]


# --- Manners


async def test_a_bad_token_is_not_tried_on_a_thousand_campaigns() -> None:
    async with loopback.serving(loopback.http("{}", 401)) as server:
        campaigns = [str(number) for number in range(1000)]
        # A thousand turns within the budget would take 500 s; the two that wait for theirs meanwhile send nothing.
        async with asyncio.timeout(PATIENCE):
            keys: dict[str, Any] = {"max_in_flight": 3, "max_requests_per_second": 2}
            report = await checked(account(server.url, *campaigns, token=KEY, **keys))

        assert len(server.requests) == 1
    assert [campaign.error.reason for campaign in report.accounts[0].campaigns if campaign.error] == [
        "unauthorized"
    ] * 1000
    assert "acme-us: 0, 1, 2 and 997 more: unauthorized: HTTP 401." in shown(report)


async def test_two_forbidden_campaigns_end_the_check_of_an_account_but_not_one(simulated: Simulated) -> None:
    campaigns = [simulated.organization.add_campaign(f"Campaign {number}", simulated.always) for number in range(6)]
    ids = [campaign.id for campaign in campaigns]
    one_by_one: dict[str, Any] = {"max_in_flight": 1, "calling_windows": "always"}
    campaigns[1].fault = Fault(status=403)
    alone = await checked(simulated.anyreach(*ids, **one_by_one))
    campaigns[3].fault = Fault(status=403)
    with_a_success_between = await checked(simulated.anyreach(*ids, **one_by_one))
    campaigns[4].fault = Fault(status=403)
    together = await checked(simulated.anyreach(*ids, **one_by_one))

    assert alone.accounts[0].failed == 1
    assert with_a_success_between.accounts[0].failed == 2
    assert [campaign.error is not None for campaign in together.accounts[0].campaigns] == [
        *(False, True, False, True, True, True)
    ]
    assert together.accounts[0].campaigns[5].seconds is None


async def test_a_pause_that_the_provider_asks_for_is_kept(caplog: pytest.LogCaptureFixture) -> None:
    answers = (loopback.http("{}", 429, "Retry-After: 1"), STATS)
    async with loopback.serving(*answers) as server:
        began = time.monotonic()
        report = await checked(account(server.url, "a", "b", token=KEY, max_in_flight=1, calling_windows="always"))

    assert time.monotonic() - began >= 1
    assert [campaign.error.reason if campaign.error else None for campaign in report.accounts[0].campaigns] == [
        *("rate_limited", None)
    ]
    assert [record.getMessage() for record in caplog.records] == ["the provider asks for a pause"]


async def test_requests_stay_within_the_budget_and_the_number_in_flight() -> None:
    in_flight = most = 0
    full = asyncio.Event()

    async def answer(writer: asyncio.StreamWriter) -> None:
        nonlocal in_flight, most
        in_flight += 1
        most = max(most, in_flight)
        if in_flight == 3:
            full.set()
        await full.wait()
        in_flight -= 1
        writer.write(STATS)

    async with loopback.serving(answer) as server:
        began = time.monotonic()
        keys = {"max_in_flight": 3, "max_requests_per_second": 20, "calling_windows": "always"}
        report = await checked(account(server.url, *(f"campaign {n}" for n in range(9)), token=KEY, **keys))

    assert report.ok
    assert most == 3
    assert time.monotonic() - began >= 8 / 20


async def test_a_configuration_is_asked_for_once_however_many_campaigns_share_it() -> None:
    record = loopback.http('{"id": "a", "configuration_id": "c"}')
    schedule = loopback.http('{"schedule": {"default_windows": []}}')
    async with loopback.serving(STATS, record, schedule, STATS, record) as server:
        report = await checked(account(server.url, "a", "b", token=KEY, max_in_flight=1))

        assert server.paths() == [
            *("/campaign/campaigns/a/stats", "/campaign/campaigns/a", "/campaign/configurations/c"),
            *("/campaign/campaigns/b/stats", "/campaign/campaigns/b"),
        ]
    assert "2 campaigns can never be dialed" in shown(report)


@pytest.mark.parametrize(
    ("queue", "is_noted"), [({"completed": False}, False), ({"completed": 10}, True), ({"agent_uuid": "a"}, True)]
)
async def test_answers_that_do_not_tell_whether_work_is_left_are_noted(queue: dict[str, Any], is_noted: bool) -> None:
    data = {"campaign": {"status": "active"}, "uploads": [{"queues": [{"total_queued": 9, **queue}]}]}
    async with loopback.serving(loopback.http(json.dumps({"success": True, "data": data}))) as server:
        settings = {"base_url": server.url, "token": "t", "calling_windows": "always", "campaigns": [{"id": 7}]}
        report = await checked({"name": "acme", "provider": "osvi", **settings})

    assert report.ok
    assert any("do not say whether work is left" in note for note in report.notes()) == is_noted


# --- What to do


@pytest.mark.parametrize("provider", ["anyreach", "osvi"])
@pytest.mark.parametrize("reason", REASONS)
def test_there_is_advice_for_every_reason(provider: str, reason: str) -> None:
    settings = AccountSettings.model_validate({"name": "acme", "provider": provider, "token_env": "TOKEN"})

    words = advice(reason, settings)

    assert re.fullmatch(r"[A-Z][^{}]+\.", words)
    assert "base_url" not in words or reason != "not_found"


@pytest.mark.parametrize("reason", ["unauthorized", "forbidden"])
def test_an_account_without_organization_has_no_advice_about_it(reason: str) -> None:
    settings = AccountSettings.model_validate({"name": "acme", "provider": "anyreach", "token_env": "TOKEN"})

    assert "organization" not in advice(reason, settings)
    assert "`organization`" in advice(reason, settings.model_copy(update={"organization": "0b7c"}))


@pytest.mark.parametrize("reason", ["not_found", "client_error"])
def test_the_advice_for_a_listing_speaks_of_no_id(reason: str) -> None:
    settings = AccountSettings.model_validate({"name": "acme", "provider": "anyreach", "token_env": "TOKEN"})

    assert advice(reason, settings, listing=True) == "Check the path in `base_url`: the API lists no campaigns there."


async def test_a_listing_that_is_not_there_is_no_matter_of_an_id() -> None:
    async with loopback.serving(loopback.http(b"{}", 404)) as server:
        report = await checked(account(server.url, token=KEY, discovery={}))

    words = (
        "acme-us: the campaigns could not all be listed: not_found: GET /campaign/campaigns: HTTP 404. Check the path"
    )
    assert words in shown(report)


async def test_a_failure_of_each_kind_has_a_line_that_says_what_to_do(simulated: Simulated, tmp_path: Path) -> None:
    another = simulated.world.add_organization()
    simulated.world.grant(PERSONAL, simulated.organization)
    simulated.world.grant("ak_scopeless.x", simulated.organization, refused=["campaigns"])
    broken = simulated.organization.add_campaign("June", simulated.always, external_id="june")
    away = f"http://127.0.0.1:{loopback.closed_port()}"
    ours = simulated.servers.anyreach
    cases: dict[str, tuple[dict[str, Any], Fault | None, str]] = {
        "unauthorized": (
            account(ours, "june", token="ak_other.x"),
            None,
            "HTTP 401. The token in `token` is wrong, has expired or was deleted: make a new one.",
        ),
        "unauthorized in that organization": (
            account(ours, "june", token="pat_other", organization=another.id),
            None,
            "make a new one. Check also that `organization` is the id of the one that owns the campaigns.",
        ),
        "forbidden": (account(ours, "june", token="ak_scopeless.x"), None, "give it `campaigns:read`"),
        "forbidden in that organization": (
            account(ours, "june", token=PERSONAL, organization=another.id),
            None,
            "must be a member of `organization`",
        ),
        "not_found": (
            account(ours, "nowhere", token=KEY),
            None,
            "or the campaign was deleted or belongs to another account's organization: `campaign-exporter discover`",
        ),
        "credentials": (account(ours, "june", token_file=str(tmp_path / "none")), None, "where `token_file` says"),
        "dns": (account("http://nowhere.invalid", "june", token=KEY), None, "the spelling of `base_url`"),
        "connect": (account(away, "june", token=KEY), None, "`base_url` is right and 127.0.0.1 can be reached"),
        "connect to the proxy": (
            account(ours, "june", token=KEY, http={"proxy_url": away}),
            None,
            "`http.proxy_url` is right",
        ),
        "tls": (account(ours.replace("http", "https"), "june", token=KEY), None, "`http.ca_file`"),
        "timeout": (account(ours, "june", token=KEY), Fault(delay=5), "`poll.timeout`"),
        "protocol": (account(ours, "june", token=KEY), Fault(hang_up=True), "scheme and port of `base_url`"),
        "rate_limited": (account(ours, "june", token=KEY), Fault(status=429), "`max_requests_per_second`"),
        "client_error": (account(ours, "june", token=KEY), Fault(status=422), "the spelling of the id"),
        "server_error": (account(ours, "june", token=KEY), Fault(status=503), "try again later"),
        "redirect": (account(ours, "june", token=KEY), Fault(status=302), "the API's final address"),
        "invalid_response": (account(ours, "june", token=KEY), Fault(status=200, body=b"<html>"), "leads to the API"),
        "too_large": (account(ours, "june", token=KEY), Fault(status=200, body=b" " * 4096), "`poll.max_body_bytes`"),
    }
    for case, (settings, fault, words) in cases.items():
        broken.fault = fault
        limits = {"timeout": "500ms", "max_body_bytes": 2048}
        report = await checked({**settings, "token": settings.get("token")}, poll=limits)

        (line,) = [line for line in shown(report).splitlines() if line.startswith("acme-us: ")]
        reason = case.split(" ", 1)[0]
        campaign = settings["campaigns"][0]["id"]
        assert line.startswith(f"acme-us: {campaign}: {reason}: ")
        assert words in line
        assert rows(report)[campaign][-1] == reason
        assert not report.ok


@pytest.mark.parametrize(
    ("token", "campaign", "words"),
    [
        ("strangers0token", 7, "unauthorized: HTTP 401. The token in `token` is wrong or was replaced"),
        (API_TOKEN, 8, "not_found: HTTP 404. The number is wrong, or the campaign was deleted or belongs to another"),
    ],
)
async def test_osvi_has_advice_of_its_own(simulated: Simulated, token: str, campaign: int, words: str) -> None:
    simulated.osvi.add_campaign(7, "Renewals")

    assert words in shown(await checked(simulated.osvi_account(campaign, token=token)))


async def test_a_defect_costs_one_poll_and_leaves_its_trace(
    simulated: Simulated, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulated.osvi.add_campaign(7, "Renewals")
    simulated.osvi.add_campaign(8, "Reminders")
    settings = Settings.model_validate({"accounts": [simulated.osvi_account(7, 8)]})
    (upstream,) = upstreams(settings, Redactor())
    sound = upstream.provider.poll

    async def poll(campaign_id: str) -> Any:
        return 1 / 0 if campaign_id == "7" else await sound(campaign_id)

    monkeypatch.setattr(upstream.provider, "poll", poll)
    (found,) = await check([upstream], settings.poll, NoBar())

    assert [str(campaign.error) for campaign in found.campaigns] == [
        "a defect of the exporter: ZeroDivisionError",
        "None",
    ]
    assert "ZeroDivisionError" in caplog.text


# --- What to know


async def test_stretched_intervals_are_told_with_their_factor(simulated: Simulated) -> None:
    campaigns = [simulated.organization.add_campaign(f"Campaign {number}", simulated.always) for number in range(8)]
    for campaign in campaigns[2:]:
        campaign.close()
    keys: dict[str, Any] = {"max_requests_per_second": 50, "calling_windows": "always"}
    poll = {"active_interval": "1s", "idle_interval": "1m", "closed_interval": "1h"}

    enough = await checked(simulated.anyreach(*(c.id for c in campaigns), **keys), poll=poll)
    for campaign in campaigns:
        campaign.fault = Fault(status=200, body=b'{"status": "active"}')
    keys["max_requests_per_second"] = 4
    stretched = await checked(simulated.anyreach(*(c.id for c in campaigns), **keys), poll=poll)

    assert "Note:" not in shown(enough)
    assert (
        "Note: Account 'acme-us': all intervals are stretched by 2 (active ones from 1s to 2s, idle ones from 1m to 2m)"
        ", since 8 campaigns would need 8 requests a second and max_requests_per_second is 4."
    ) in shown(stretched)
    assert stretched.ok


def notes_on_hours(report: Report) -> list[str]:
    return [note for note in report.notes() if "hours" in note]


async def test_campaigns_whose_hours_are_not_known_are_counted_with_what_to_do(simulated: Simulated) -> None:
    for number in range(1, 5):
        simulated.osvi.add_campaign(number, f"Campaign {number}")
    hours = {"timezone": "Asia/Kolkata", "windows": [{"days": ["mon"], "start": "09:00", "end": "19:00"}]}
    campaigns = (1, 2, {"id": 3, "calling_hours": hours}, {"id": 4, "stall_after": "never"})

    (note,) = notes_on_hours(await checked(simulated.osvi_account(*campaigns)))

    assert "'acme-in': the hours of 2 campaigns are not known (the provider does not tell them)" in note
    assert "a stall can't be told" in note
    assert "write `calling_hours`, or `calling_windows: always`" in note
    for keys in ({"calling_windows": "always"}, {"calling_hours": hours}, {"stall_after": "never"}):
        assert notes_on_hours(await checked(simulated.osvi_account(*campaigns, **keys))) == []


@pytest.mark.parametrize("discovery", [None, {}])
async def test_hours_are_read_from_anyreach_but_not_for_closed_campaigns(
    simulated: Simulated, discovery: dict[str, Any] | None
) -> None:
    june = simulated.organization.add_campaign("June", simulated.always)
    gone = simulated.organization.add_configuration("Gone", Schedule())
    closed = simulated.organization.add_campaign("Old", gone)
    closed.close()
    del simulated.organization.configurations[gone.id]
    never = simulated.organization.add_campaign("Never", simulated.organization.add_configuration("New", Schedule()))

    report = await checked(simulated.anyreach(june.id, closed.id, never.id, discovery=discovery))

    assert report.notes() == [
        "Account 'acme-us': 1 campaign can never be dialed, since the configuration at the provider has no calling "
        "windows."
    ]


@pytest.mark.parametrize(
    ("refused", "fault", "keys", "words"),
    [
        (["configurations"], None, {}, "2 campaigns are not known (the token may not read campaigns and configurati"),
        ([], Fault(status=500, path="/configurations/"), {}, "2 campaigns are not known (the provider's answer about"),
        ([], Fault(status=200, path="/configurations/", body=b'{"schedule": 7}'), {}, "2 campaigns are not known (the"),
        ([], None, {"calling_windows": "unknown"}, "2 campaigns are not known (calling_windows is unknown), so that"),
    ],
    ids=["forbidden", "failing", "not understood", "turned off"],
)
async def test_hours_that_cannot_be_read_are_reported_and_are_no_failure(
    simulated: Simulated, refused: list[str], fault: Fault | None, keys: dict[str, Any], words: str
) -> None:
    ids = [simulated.organization.add_campaign(name, simulated.always).id for name in ("June", "May")]
    simulated.world.grant(KEY, simulated.organization, refused=refused)
    simulated.organization.fault = fault

    report = await checked(simulated.anyreach(*ids, **keys))

    (note,) = notes_on_hours(report)
    assert words in note
    assert report.ok


async def test_hours_that_an_api_does_not_have_are_reported_with_path_and_status() -> None:
    async with loopback.serving(STATS, loopback.http(b"{}", 404)) as server:
        (note,) = notes_on_hours(await checked(account(server.url, "june 1", token=KEY)))

    assert "or can't be understood: GET /campaign/campaigns/june%201: HTTP 404), so that a stall" in note
    assert "if the API has no such route, or this goes on, write `calling_hours` or `calling_windows: always`." in note


async def test_warnings_of_the_configuration_are_notes() -> None:
    report = await checked(account("http://gateway.example.com", token=KEY))

    assert shown(report).splitlines() == [
        "0 of 0 campaigns answered.",
        "Note: Account 'acme-us' sends its token unencrypted: base_url is plain http.",
    ]


# --- The form


HOSTILE = "[red]x[/red]:skull:\x1b[31m\x1b]0;title\x07\r\n\x85\u2028\u202e\x9b\x7f<script>\ud800"


async def test_text_of_the_provider_is_shown_and_never_obeyed(simulated: Simulated) -> None:
    simulated.osvi.add_campaign(7, HOSTILE)
    stats = json.dumps({"status": HOSTILE, "contacts": {HOSTILE: 3}})
    async with loopback.serving(loopback.http(stats)) as server:
        report = await checked(
            simulated.osvi_account(7, calling_windows="always"),
            account(server.url, "june", token=KEY, calling_windows="always"),
        )

    for text in (shown(report), shown(report, width=40), shown(report, width=100)):
        assert not any(unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for c in text.replace("\n", ""))
    escaped = (
        "[red]x[/red]:skull:\\u001b[31m\\u001b]0;title\\u0007\\r\\n\\u0085\\u2028\\u202e\\u009b\\u007f<script>\ufffd"
    )
    assert f"{escaped} (7)" in shown(report)
    assert f"june      {escaped}" in re.sub(" +", "      ", shown(report))
    as_text = as_json(report)
    assert as_text.isascii()
    assert as_text.replace("\n", "").isprintable()
    assert [campaign["status"] for campaign in json.loads(as_text)["campaigns"]] == [
        *("active", HOSTILE.replace("\ud800", "\ufffd"))
    ]


async def test_a_token_that_the_provider_repeats_is_not_shown(simulated: Simulated) -> None:
    simulated.osvi.add_campaign(7, f"Renewals {API_TOKEN}")

    report = await checked(simulated.osvi_account(7))

    for text in (shown(report), as_json(report)):
        assert API_TOKEN not in text
        assert "Renewals <redacted>" in text


async def test_the_report_fits_a_terminal_and_does_not_fold_in_a_pipe(simulated: Simulated) -> None:
    name = "a-campaign-with-a-long-name-" * 4
    simulated.osvi.add_campaign(7, "Renewals")
    report = await checked(simulated.osvi_account({"id": 7, "name": name}, 8, calling_windows="always"))

    (line,) = [line for line in shown(report).splitlines() if name in line]
    assert "0 calls" in line
    assert len([line for line in shown(report).splitlines() if "not_found" in line]) == 2
    for width in (30, 40, 79, 80, 120):
        lines = shown(report, width).splitlines()
        assert max(map(len, lines)) <= width
        words = " ".join(shown(report, width).split())
        assert "not_found" in words
        assert "0 calls" in words
    assert "Progress" in shown(report, 80)
    assert "Progress" not in shown(report, 79)


async def test_the_json_says_the_same_for_programs(simulated: Simulated) -> None:
    june = simulated.organization.add_campaign("June", simulated.always)
    june.add_contacts(30)
    simulated.osvi.add_campaign(7, "Renewals")

    document = json.loads(
        as_json(await checked(simulated.anyreach(june.id), simulated.osvi_account(7, {"id": 8, "name": "gone"})))
    )

    assert document["ok"] is False
    assert document["offline"] is False
    assert document["accounts"] == [
        {
            **{"account": "acme-us", "provider": "anyreach", "campaigns": 1, "failed": 0, "interval_stretch": 1.0},
            **{"hours_unknown": {}, "listing_problem": None},
        },
        {
            **{"account": "acme-in", "provider": "osvi", "campaigns": 2, "failed": 1, "interval_stretch": 1.0},
            **{"hours_unknown": {"not_told": 2}, "listing_problem": None},
        },
    ]
    active, renewals, gone = document["campaigns"]
    assert active["latency_seconds"] > 0
    assert {**active, "latency_seconds": None} == {
        **{"account": "acme-us", "provider": "anyreach", "campaign": june.id, "id": june.id, "name": None},
        **{"discovered": False, "up": True, "status": "active", "contacts_loaded": 30},
        "contacts": {"pending": 30, "in_progress": 0, "completed": 0, "exhausted": 0},
        **{"calls": None, "calls_made": None, "active_calls": 0, "concurrency_limit": 10, "latency_seconds": None},
        **{"reason": None, "problem": None, "advice": None},
    }
    assert renewals["name"] == "Renewals"
    assert renewals["calls"] == {"picked": 0, "not_picked": 0, "failed": 0, "busy": 0, "voicemail": 0}
    assert (gone["campaign"], gone["up"], gone["reason"], gone["problem"]) == ("gone", False, "not_found", "HTTP 404")
    assert gone["advice"].startswith("The number is wrong")
    assert len(document["notes"]) == 1


async def test_without_polls_the_json_says_so(simulated: Simulated) -> None:
    # A budget that would stretch the intervals, if the campaign were found to be active
    keys = {"max_requests_per_second": 0.001}
    settings = Settings.model_validate({"accounts": [simulated.osvi_account(7) | keys]})
    accounts = [unasked(account, settings.poll) for account in settings.accounts]

    document = json.loads(as_json(Report(accounts, settings.poll, False, settings.warnings(), str)))

    assert (document["ok"], document["offline"]) == (True, True)
    assert [campaign["up"] for campaign in document["campaigns"]] == [None]
    assert document["accounts"][0]["interval_stretch"] is None
    assert len(document["notes"]) == 1


# --- The command


async def command(*arguments: str, environ: Mapping[str, str] | None = None) -> Ended:
    return await output_of(sys.executable, "-m", "exporter", *arguments, environ=environ)


def written(directory: Path, *accounts: Mapping[str, Any]) -> str:
    """The flag for a file with these accounts."""
    file = directory / "campaign-exporter.yml"
    file.write_text(json.dumps({"accounts": accounts}), encoding="utf-8")  # JSON is YAML
    return f"--config.file={file}"


async def test_the_command_ends_with_0_when_all_succeed_and_1_when_a_poll_fails(
    simulated: Simulated, tmp_path: Path
) -> None:
    simulated.osvi.add_campaign(7, "Renewals é")
    fine = written(tmp_path, simulated.osvi_account(7))

    ended = await command("check", fine, environ={"PYTHONIOENCODING": "ascii", "COLUMNS": "20"})

    assert (ended.status, ended.errors) == (0, "")
    assert ended.output.splitlines()[2].split()[:5] == ["acme-in", "|", "Renewals", "\\xe9", "(7)"]

    ended = await command("check", written(tmp_path, simulated.osvi_account(7, 8)), "--output=json")

    assert (ended.status, ended.errors) == (1, "")
    assert [campaign["up"] for campaign in json.loads(ended.output)["campaigns"]] == [True, False]


async def test_offline_stops_after_the_configuration(tmp_path: Path) -> None:
    async with loopback.serving(STATS) as server:
        ended = await command("check", "--offline", written(tmp_path, account(server.url, "june", token=KEY)))

        assert server.connections == 0
    assert ended == (0, "The configuration is right: 1 account, 1 campaign. Nothing was sent.\n", "")


@pytest.mark.parametrize("offline", [["--offline"], []], ids=["offline", "online"])
async def test_a_wrong_configuration_ends_it_with_2_before_anything_is_sent(tmp_path: Path, offline: list[str]) -> None:
    async with loopback.serving(STATS) as server:
        good = account(server.url, "june", token=KEY)
        (tmp_path / "no.pem").write_text("no certificate", encoding="utf-8")
        bad = {**good, "name": "other", "http": {"ca_file": "no.pem"}}
        certificate = await command("check", *offline, written(tmp_path, good, bad))
        interval = await command("check", *offline, written(tmp_path, good), "--poll.active-interval=0s")

        assert server.connections == 0
    assert certificate.status == interval.status == 2
    assert certificate.output == interval.output == ""
    assert certificate.errors.endswith(": accounts[1].http.ca_file: expected certificates as PEM\n")
    assert "poll.active_interval" in interval.errors


async def test_a_reader_that_has_gone_away_is_no_traceback(tmp_path: Path) -> None:
    file = written(tmp_path, account("https://api.example.com", "june", token=KEY))
    for output in ("json", "table"):
        process = await asyncio.create_subprocess_exec(
            *(
                "sh",
                "-c",
                f"{{ '{sys.executable}' -m exporter check --offline --output {output} '{file}'; echo $? >&2; }} | :",
            ),
            stderr=asyncio.subprocess.PIPE,
        )
        _, errors = await process.communicate()

        assert errors.decode() in ("1\n", "0\n")


async def test_an_interrupt_ends_it_without_a_traceback(tmp_path: Path) -> None:
    asked = asyncio.Event()

    async def never(writer: asyncio.StreamWriter) -> None:
        asked.set()
        await asyncio.Event().wait()

    async with loopback.serving(never) as server:
        file = written(tmp_path, account(server.url, "june", token=KEY))
        async with running(sys.executable, "-m", "exporter", "check", file) as process, asyncio.timeout(PATIENCE):
            await asked.wait()
            process.signal(signal.SIGINT)

            assert await process.ended() == 130
    assert process.log == ""


async def on_a_terminal(*arguments: str | Path, columns: int, environ: Mapping[str, str]) -> tuple[int, str]:
    """Run the exporter on a terminal of this width; returns its status, and all that it wrote to the terminal."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, columns))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "exporter", *arguments),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        # COLUMNS would win over the terminal's own width.
        env={key: value for key, value in os.environ.items() if key != "COLUMNS"} | {"TERM": "xterm", **environ},
    )
    os.close(theirs)

    def read() -> bytes:
        seen = b""
        # Linux answers with an error when the last one at the other end has closed it.
        with contextlib.suppress(OSError):
            while part := os.read(ours, 65_536):
                seen += part
        return seen

    async with asyncio.timeout(PATIENCE):
        seen = await asyncio.to_thread(read)
        status = await process.wait()
    os.close(ours)
    return status, seen.decode().replace("\r\n", "\n")


async def test_a_terminal_gets_a_progress_bar_and_colours_if_they_are_wanted(
    simulated: Simulated, tmp_path: Path
) -> None:
    simulated.osvi.add_campaign(7, "Renewals")
    file = written(tmp_path, simulated.osvi_account(7, 8))

    status, colourful = await on_a_terminal("check", file, columns=100, environ={})
    _, plain = await on_a_terminal("check", file, columns=40, environ={"NO_COLOR": "1"})

    assert status == 1
    for seen in (colourful, plain):
        assert "Polling campaigns" in seen
        assert "1 of 2 campaigns answered." in seen
    assert "\x1b[31m" in colourful
    assert "\x1b[31m" not in plain
    report = re.sub("\x1b\\[[0-9;?]*[A-Za-z]", "", plain).partition("acme-in: Renewals (7)\n")[2]
    assert report
    assert max(map(len, report.splitlines())) <= 40


async def test_the_help_shows_every_command_in_one_line() -> None:
    ended = await command("--help", environ={"COLUMNS": "80"})

    lines = ended.output.splitlines()
    assert ended.status == 0
    for name in ("serve", "check", "discover", "demo"):
        assert len([line for line in lines if re.match(rf"  {name} +[A-Z].*\.$", line)]) == 1
    ended = await command("check", "--help")
    assert {"--offline", "--output", "--config.file"} <= set(re.findall(r"--[a-z.-]+", ended.output))
