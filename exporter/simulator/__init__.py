"""
Simulated Anyreach and OSVI: real HTTP servers on loopback, with dialers behind them.

    clock = ManualClock(start=1_780_000_000.0)
    world = World(clock)
    organization = world.add_organization(limit=10)
    world.grant("ak_test.secret", organization)
    configuration = organization.add_configuration("Always", Schedule("UTC", ROUND_THE_CLOCK))
    campaign = organization.add_campaign("June renewals", configuration, external_id="june")
    campaign.add_contacts(500)
    async with serving(world) as servers:
        clock.advance(3600)  # the next request finds an hour of calls

Campaigns are stalled, paused, fed, emptied and broken through their methods and their `fault`; tokens are revoked and
restored through the world. What truly happened stands in `attempts_made` and `calls_made`.

Nothing in here knows the exporter, and the exporter knows only its URLs.
"""

from exporter.simulator.anyreach import anyreach_application
from exporter.simulator.anyreach_dialer import CallPattern, Campaign, Configuration, Organization
from exporter.simulator.clock import ManualClock, SimulatedClock
from exporter.simulator.faults import Fault
from exporter.simulator.hours import DAYS, ROUND_THE_CLOCK, Schedule, Window, is_open
from exporter.simulator.osvi import osvi_application
from exporter.simulator.osvi_dialer import OsviAccount, OsviCampaign
from exporter.simulator.scenario import Scenario, demo
from exporter.simulator.serving import Servers, serving
from exporter.simulator.world import World

__all__ = [
    "DAYS",
    "ROUND_THE_CLOCK",
    "CallPattern",
    "Campaign",
    "Configuration",
    "Fault",
    "ManualClock",
    "Organization",
    "OsviAccount",
    "OsviCampaign",
    "Scenario",
    "Schedule",
    "Servers",
    "SimulatedClock",
    "Window",
    "World",
    "anyreach_application",
    "demo",
    "is_open",
    "osvi_application",
    "serving",
]
