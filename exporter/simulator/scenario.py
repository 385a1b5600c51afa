"""
Worlds that are ready to be watched, each with the configuration that watches it.

The demo holds every state that a campaign can be in; the fleet is many alike, for load.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from exporter.simulator.anyreach_campaign import CallPattern, Campaign
from exporter.simulator.faults import Fault
from exporter.simulator.hours import DAYS, ROUND_THE_CLOCK, Schedule, Window, is_open
from exporter.simulator.osvi_dialer import OsviAccount, OsviCampaign
from exporter.simulator.serving import Servers
from exporter.simulator.world import World

HOUR = 3600.0

DEMO_HISTORY = 12 * HOUR
"""Simulated seconds that the demo's world has behind it when it is first asked."""

BUSINESS_HOURS = (Window(DAYS, "09:00", "18:00"),)
_TIMEZONES = (
    "America/New_York",
    "Asia/Kolkata",
    "America/Los_Angeles",
    "Australia/Sydney",
    "Europe/Berlin",
    "Asia/Tokyo",
)


_ATTEMPTS: Mapping[str, Any] = {"refresh_interval": "1m", "exemplars": True}


class Clock(Protocol):
    """A simulated wall clock that knows how much faster than real time it runs."""

    speed: float

    def __call__(self) -> float:
        """Return the simulated Unix time, in seconds."""
        ...


@dataclass(frozen=True, slots=True)
class Scenario:
    """A world, and the accounts that watch it in the shape of the configuration file, but for their `base_url`."""

    world: World
    accounts: tuple[Mapping[str, Any], ...]
    poll: Mapping[str, Any] = field(default_factory=dict)

    def configuration(self, servers: Servers) -> dict[str, Any]:
        """Return what the exporter's configuration file would say, for a world that is served."""
        return {
            "poll": dict(self.poll),
            "accounts": [
                {**account, "base_url": servers.osvi if account["provider"] == "osvi" else servers.anyreach}
                for account in self.accounts
            ],
        }


def demo(clock: Clock, *, seed: int = 1) -> Scenario:
    """
    Make the demo's world, with half a day behind it: running, saturated, stalled, failing, finished and idle campaigns.

    What depends on the time of day is arranged so that one campaign is in its hours and one out of them at the start.
    """
    world = World(clock, seed=seed, speed=clock.speed, history=DEMO_HISTORY)
    stall_after = f"{max(60, round(HOUR / 2 / clock.speed))}s"
    accounts = (
        _acme_us(world, clock()),
        _northwind(world),
        _initech(world),
        _globex(),
        _acme_in(world, clock()),
        _contoso(world),
    )
    world.advance()
    return Scenario(
        world,
        tuple({"stall_after": stall_after, **account} for account in accounts),
        {"active_interval": "5s", "idle_interval": "15s"},
    )


def _acme_us(world: World, now: float) -> dict[str, Any]:
    """One organization with a campaign in nearly every state, under its cap most of the time."""
    organization = world.add_organization()
    world.grant("ak_acme.demo", organization)
    always = organization.add_configuration("Round the clock", Schedule("America/New_York", ROUND_THE_CLOCK))
    open_now = organization.add_configuration("Day shift", Schedule(timezone_where(now, opened=True), BUSINESS_HOURS))
    shut_now = organization.add_configuration(
        "Night shift", Schedule(timezone_where(now, opened=False), BUSINESS_HOURS)
    )
    unscheduled = organization.add_configuration("New configuration", Schedule())
    pattern = CallPattern(retry_delay=600)

    june = organization.add_campaign("June policy renewals", always, external_id="crm:june/renewals", pattern=pattern)
    june.add_contacts(240)
    _keep_loading(world, june, contacts=2, period=60)
    welcome = organization.add_campaign("Welcome calls", always, pattern=pattern)
    welcome.add_contacts(160)
    survey = organization.add_campaign("Claims satisfaction survey", always, pattern=pattern)
    survey.add_contacts(600)
    world.timeline.at(world.now + 2 * HOUR, survey.pause)
    may = organization.add_campaign("May policy renewals", always, pattern=pattern)
    may.add_contacts(500)
    world.timeline.at(world.now + 3 * HOUR, may.close)
    storm = organization.add_campaign("Storm season outreach", always, pattern=pattern)
    storm.add_contacts(400)
    world.timeline.at(world.now + HOUR, storm.stall)
    enrollment = organization.add_campaign("Autumn enrollment", always, pattern=pattern)
    reminders = organization.add_campaign("Appointment reminders", open_now, pattern=pattern)
    _keep_loading(world, reminders, contacts=1, period=90)
    callbacks = organization.add_campaign("Evening callbacks", shut_now, pattern=pattern)
    _keep_loading(world, callbacks, contacts=1, period=90)
    loyalty = organization.add_campaign("Loyalty upgrade", unscheduled, pattern=pattern)
    loyalty.add_contacts(250)

    campaigns = _listed((welcome, survey, may, storm, enrollment, reminders, callbacks, loyalty))
    return {
        "name": "acme-us",
        "provider": "anyreach",
        "token": "ak_acme.demo",
        "labels": {"team": "renewals"},
        "attempts": {**_ATTEMPTS, "expected": {"qa.greeting": True, "qa.consent": True}},
        "campaigns": [{"id": june.external_id, "name": "june-policy-renewals"}, *campaigns],
    }


def _northwind(world: World) -> dict[str, Any]:
    """An organization whose cap of five is always used up, found by discovery."""
    organization = world.add_organization(limit=5)
    organization.listing = "envelope"
    world.grant("pat_northwind-demo", organization)
    always = organization.add_configuration("Round the clock", Schedule("America/Chicago", ROUND_THE_CLOCK))
    for name, contacts in (("Tariff change notices", 6000), ("Meter reading requests", 2500)):
        campaign = organization.add_campaign(name, always)
        campaign.add_contacts(contacts)
        _keep_loading(world, campaign, contacts=70, period=HOUR)
    return {
        "name": "northwind-energy",
        "provider": "anyreach",
        "token": "pat_northwind-demo",
        "organization": organization.id,
        "labels": {"team": "operations"},
        "discovery": {"statuses": ["active", "paused"], "refresh_interval": "1m"},
    }


def _initech(world: World) -> dict[str, Any]:
    """An organization behind a server that fails now and then, with a list of old numbers and a deleted campaign."""
    organization = world.add_organization()
    organization.fault = Fault(status=500, share=0.25)
    world.grant("ak_initech.demo", organization)
    always = organization.add_configuration("Round the clock", Schedule("Europe/London", ROUND_THE_CLOCK))
    checkup = organization.add_campaign("Printer service checkup", always, pattern=CallPattern(retry_delay=600))
    _keep_loading(world, checkup, contacts=1, period=60)
    leads = organization.add_campaign(
        "Old leads revival", always, pattern=CallPattern(answer_rate=0.08, retry_delay=600)
    )
    _keep_loading(world, leads, contacts=1, period=75)
    deleted = organization.add_campaign("Spring clearance", always)
    organization.remove_campaign(deleted)
    return {
        "name": "initech-support",
        "provider": "anyreach",
        "token": "ak_initech.demo",
        "labels": {"team": "support"},
        "campaigns": _listed((checkup, leads, deleted)),
    }


def _globex() -> dict[str, Any]:
    """An account whose key is not valid (any more)."""
    return {
        "name": "globex-collections",
        "provider": "anyreach",
        "token": "ak_globex.expired",
        "labels": {"team": "collections"},
        "campaigns": [{"id": "payment-reminders"}, {"id": "invoice-follow-up"}],
    }


def _acme_in(world: World, now: float) -> dict[str, Any]:
    """An OSVI account with a campaign in nearly every state."""
    account = world.add_osvi_account("demo0acme0in0key")
    june = account.add_campaign(7, "June renewals", retry_delay=900)
    june.add_agent("agent_priya", channels=3)
    june.add_agent("agent_arjun", channels=2)
    for agent in ("agent_priya", "agent_arjun"):
        june.add_contacts(40, agent)
        _keep_uploading(world, june, agent, contacts=35, period=HOUR)
    kyc = _uploaded(account, 8, "KYC reminders", contacts=90)
    festive = _uploaded(account, 9, "Festive offers", contacts=800)
    world.timeline.at(world.now + 2 * HOUR, festive.deactivate)
    loans = _uploaded(account, 10, "Loan offers", contacts=500)
    world.timeline.at(world.now + HOUR, loans.stall)
    zone = timezone_where(now, opened=False)
    premium = _uploaded(account, 11, "Premium due reminders", contacts=2000, windows=BUSINESS_HOURS, timezone=zone)
    _keep_uploading(world, premium, "agent_meera", contacts=300, period=12 * HOUR)
    missed = account.add_campaign(12, "Missed payment follow-up", retry_threshold=None, retry_delay=None)
    missed.add_agent("agent_meera")
    missed.add_contacts(150, "agent_meera", file_name=None, enqueue=False)
    number_change = _uploaded(
        account, 13, "Number change notices", contacts=200, outcomes={"picked": 25, "not_picked": 10, "failed": 65}
    )
    _keep_uploading(world, number_change, "agent_meera", contacts=60, period=HOUR)

    round_the_clock = _calling_hours(ROUND_THE_CLOCK, "Asia/Kolkata")
    hours = {premium.id: _calling_hours(BUSINESS_HOURS, zone)}
    return {
        "name": "acme-in",
        "provider": "osvi",
        "token": "demo0acme0in0key",
        "labels": {"team": "renewals"},
        "attempts": _ATTEMPTS,
        "campaigns": [
            {
                "id": campaign.id,
                "name": _slug(campaign.name),
                "calling_hours": hours.get(campaign.id, round_the_clock),
            }
            for campaign in (june, kyc, festive, loans, premium, missed, number_change)
        ],
    }


def _contoso(world: World) -> dict[str, Any]:
    """An OSVI account that is called and calls nobody: silence is no sign there."""
    account = world.add_osvi_account("demo0contoso0key")
    helpline = account.add_campaign(
        21, "Claims helpline", retry_threshold=None, retry_delay=None, call_seconds=(60, 600)
    )
    helpline.receive_calls(per_hour=40)
    return {
        "name": "contoso-helpline",
        "provider": "osvi",
        "token": "demo0contoso0key",
        "stall_after": "never",
        "labels": {"team": "claims"},
        "campaigns": [{"id": helpline.id, "name": _slug(helpline.name)}],
    }


def fleet(
    clock: Clock,
    *,
    campaigns: int,
    accounts: int = 2,
    osvi_accounts: int = 0,
    contacts: int = 1000,
    seed: int = 1,
) -> Scenario:
    """
    Make many busy campaigns, spread evenly over accounts, for measuring load.

    Args:
        clock: Simulated Unix time.
        campaigns: How many, all accounts together.
        accounts: How many, both providers together.
        osvi_accounts: How many of them are OSVI's.
        contacts: Of each campaign. About a quarter of the Anyreach campaigns, and every OSVI one, is in a call.
        seed: Of all that is left to chance.
    """
    world = World(clock, seed=seed, speed=clock.speed, global_limit=campaigns + 1)
    shares = [campaigns // accounts + (index < campaigns % accounts) for index in range(accounts)]
    return Scenario(
        world,
        tuple(
            _osvi_fleet(world, f"osvi-{index}", share, contacts)
            if index >= accounts - osvi_accounts
            else _anyreach_fleet(world, f"anyreach-{index}", share, contacts)
            for index, share in enumerate(shares)
        ),
    )


def _anyreach_fleet(world: World, name: str, campaigns: int, contacts: int) -> dict[str, Any]:
    organization = world.add_organization(limit=max(1, campaigns // 4))
    token = f"ak_{name}.fleet"
    world.grant(token, organization)
    configuration = organization.add_configuration("Round the clock", Schedule("UTC", ROUND_THE_CLOCK))
    made = [organization.add_campaign(f"{name} campaign {number}", configuration) for number in range(campaigns)]
    for campaign in made:
        campaign.add_contacts(contacts)
    return {"name": name, "provider": "anyreach", "token": token, "campaigns": _listed(made)}


def _osvi_fleet(world: World, name: str, campaigns: int, contacts: int) -> dict[str, Any]:
    token = f"{name}-fleet"
    account = world.add_osvi_account(token)
    made = [
        _uploaded(account, number, f"{name} campaign {number}", contacts=contacts, channels=1)
        for number in range(1, campaigns + 1)
    ]
    return {
        "name": name,
        "provider": "osvi",
        "token": token,
        "campaigns": [{"id": campaign.id, "name": _slug(campaign.name)} for campaign in made],
    }


def _keep_loading(world: World, campaign: Campaign, *, contacts: int, period: float) -> None:
    world.timeline.every(period, lambda: campaign.add_contacts(contacts))


def _keep_uploading(world: World, campaign: OsviCampaign, agent: str, *, contacts: int, period: float) -> None:
    def upload() -> None:
        campaign.add_contacts(contacts, agent)

    world.timeline.every(period, upload)


def _uploaded(
    account: OsviAccount, campaign_id: int, name: str, *, contacts: int, channels: int = 3, **options: Any
) -> OsviCampaign:
    campaign = account.add_campaign(campaign_id, name, **options)
    campaign.add_agent("agent_meera", channels=channels)
    campaign.add_contacts(contacts, "agent_meera")
    return campaign


def _listed(campaigns: Iterable[Campaign]) -> list[dict[str, Any]]:
    return [{"id": campaign.id, "name": _slug(campaign.name)} for campaign in campaigns]


def _slug(name: str) -> str:
    return name.lower().replace(" ", "-")


def _calling_hours(windows: Iterable[Window], timezone: str) -> dict[str, Any]:
    return {
        "timezone": timezone,
        "windows": [{"days": list(window.days), "start": window.start, "end": window.end} for window in windows],
    }


def timezone_where(now: float, *, opened: bool) -> str:
    """Return a timezone whose business hours are open, or shut, at `now` and for two hours to come."""
    return next(
        zone
        for zone in _TIMEZONES
        if all(is_open(BUSINESS_HOURS, zone, now + part * HOUR / 4) == opened for part in range(9))
    )
