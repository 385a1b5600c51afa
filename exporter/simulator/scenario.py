"""The demo's world, which holds every state that a campaign can be in, with the configuration that watches it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from exporter.simulator.anyreach_dialer import CallPattern
from exporter.simulator.clock import ManualClock, SimulatedClock
from exporter.simulator.faults import Fault
from exporter.simulator.hours import DAYS, ROUND_THE_CLOCK, Schedule, Window, is_open
from exporter.simulator.osvi_dialer import OsviAccount, OsviCampaign
from exporter.simulator.serving import Servers
from exporter.simulator.world import World

HOUR = 3600.0

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


@dataclass(frozen=True, slots=True)
class Scenario:
    """A world, and the accounts that watch it in the shape of the configuration file, but for their `base_url`."""

    world: World
    accounts: tuple[Mapping[str, Any], ...]

    def configuration(self, servers: Servers) -> dict[str, Any]:
        """What the exporter's configuration file would say, for a world that is served."""
        return {
            "poll": {"active_interval": "5s", "idle_interval": "15s"},
            "accounts": [
                {**account, "base_url": servers.osvi if account["provider"] == "osvi" else servers.anyreach}
                for account in self.accounts
            ],
        }


def demo(clock: SimulatedClock | ManualClock, *, seed: int = 1) -> Scenario:
    """
    Make the demo's world, with half a day behind it: running, saturated, stalled, failing, finished and idle campaigns.

    What depends on the time of day is arranged so that one campaign is in its hours and one out of them at the start.
    """
    world = World(clock, seed=seed, speed=clock.speed, history=12 * HOUR)
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
    return Scenario(world, tuple({"stall_after": stall_after, **account} for account in accounts))


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
    add = partial(organization.add_campaign, pattern=CallPattern(retry_delay=600))

    june = add("June policy renewals", always, external_id="crm:june/renewals")
    june.add_contacts(240)
    world.timeline.every(60, partial(june.add_contacts, 2))
    welcome = add("Welcome calls", always)
    welcome.add_contacts(160)
    survey = add("Claims satisfaction survey", always)
    survey.add_contacts(600)
    world.timeline.after(2 * HOUR, survey.pause)
    may = add("May policy renewals", always)
    may.add_contacts(500)
    world.timeline.after(3 * HOUR, may.close)
    storm = add("Storm season outreach", always)
    storm.add_contacts(400)
    world.timeline.after(HOUR, storm.stall)
    enrollment = add("Autumn enrollment", always)
    reminders = add("Appointment reminders", open_now)
    world.timeline.every(90, partial(reminders.add_contacts, 1))
    callbacks = add("Evening callbacks", shut_now)
    world.timeline.every(90, partial(callbacks.add_contacts, 1))
    loyalty = add("Loyalty upgrade", unscheduled)
    loyalty.add_contacts(250)

    others = (welcome, survey, may, storm, enrollment, reminders, callbacks, loyalty)
    return {
        "name": "acme-us",
        "provider": "anyreach",
        "token": "ak_acme.demo",
        "labels": {"team": "renewals"},
        "attempts": {**_ATTEMPTS, "expected": {"qa.greeting": True, "qa.consent": True}},
        "campaigns": [
            {"id": june.external_id, "name": "june-policy-renewals"},
            *(_entry(campaign.id, campaign.name) for campaign in others),
        ],
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
        world.timeline.every(HOUR, partial(campaign.add_contacts, 70))
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
    world.timeline.every(60, partial(checkup.add_contacts, 1))
    old_numbers = CallPattern(answer_rate=0.08, retry_delay=600)
    leads = organization.add_campaign("Old leads revival", always, pattern=old_numbers)
    world.timeline.every(75, partial(leads.add_contacts, 1))
    deleted = organization.add_campaign("Spring clearance", always)
    organization.remove_campaign(deleted)
    return {
        "name": "initech-support",
        "provider": "anyreach",
        "token": "ak_initech.demo",
        "labels": {"team": "support"},
        "campaigns": [_entry(campaign.id, campaign.name) for campaign in (checkup, leads, deleted)],
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
    for agent, channels in (("agent_priya", 3), ("agent_arjun", 2)):
        june.add_agent(agent, channels=channels)
        june.add_contacts(40, agent)
        world.timeline.every(HOUR, partial(june.add_contacts, 35, agent))
    kyc = _uploaded(account, 8, "KYC reminders", contacts=90)
    festive = _uploaded(account, 9, "Festive offers", contacts=800)
    world.timeline.after(2 * HOUR, festive.deactivate)
    loans = _uploaded(account, 10, "Loan offers", contacts=500)
    world.timeline.after(HOUR, loans.stall)
    zone = timezone_where(now, opened=False)
    premium = _uploaded(account, 11, "Premium due reminders", contacts=2000, windows=BUSINESS_HOURS, timezone=zone)
    world.timeline.every(12 * HOUR, partial(premium.add_contacts, 300, "agent_meera"))
    missed = account.add_campaign(12, "Missed payment follow-up", retry_delay=None)
    missed.add_contacts(150, "agent_meera", file_name=None, enqueue=False)
    mostly_failing = {"picked": 25, "not_picked": 10, "failed": 65}
    number_change = _uploaded(account, 13, "Number change notices", contacts=200, outcomes=mostly_failing)
    world.timeline.every(HOUR, partial(number_change.add_contacts, 60, "agent_meera"))

    round_the_clock = _calling_hours(ROUND_THE_CLOCK, "Asia/Kolkata")
    hours = {premium.id: _calling_hours(BUSINESS_HOURS, zone)}
    return {
        "name": "acme-in",
        "provider": "osvi",
        "token": "demo0acme0in0key",
        "labels": {"team": "renewals"},
        "attempts": _ATTEMPTS,
        "campaigns": [
            {**_entry(campaign.id, campaign.name), "calling_hours": hours.get(campaign.id, round_the_clock)}
            for campaign in (june, kyc, festive, loans, premium, missed, number_change)
        ],
    }


def _contoso(world: World) -> dict[str, Any]:
    """An OSVI account that is called and calls nobody: silence is no sign there."""
    account = world.add_osvi_account("demo0contoso0key")
    helpline = account.add_campaign(21, "Claims helpline", retry_delay=None, call_seconds=(60, 600))
    helpline.receive_calls(per_hour=40)
    return {
        "name": "contoso-helpline",
        "provider": "osvi",
        "token": "demo0contoso0key",
        "stall_after": "never",
        "labels": {"team": "claims"},
        "campaigns": [_entry(helpline.id, helpline.name)],
    }


def _uploaded(account: OsviAccount, campaign_id: int, name: str, *, contacts: int, **options: Any) -> OsviCampaign:
    campaign = account.add_campaign(campaign_id, name, **options)
    campaign.add_agent("agent_meera")
    campaign.add_contacts(contacts, "agent_meera")
    return campaign


def _entry(campaign_id: int | str, name: str) -> dict[str, Any]:
    return {"id": campaign_id, "name": name.lower().replace(" ", "-")}


def _calling_hours(windows: Iterable[Window], timezone: str) -> dict[str, Any]:
    return {"timezone": timezone, "windows": [window._asdict() for window in windows]}


def timezone_where(now: float, *, opened: bool) -> str:
    """A timezone whose business hours are open, or shut, at `now` and for two hours to come."""
    return next(
        zone
        for zone in _TIMEZONES
        if all(is_open(BUSINESS_HOURS, zone, now + part * HOUR / 4) == opened for part in range(9))
    )
