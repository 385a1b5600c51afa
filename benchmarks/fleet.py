"""Fleets of campaigns: as a configuration file, and as states that have been polled."""

import json
from collections.abc import Collection, Iterator

from benchmarks.upstream import anyreach
from exporter.campaign.schedule import Schedule, Window
from exporter.campaign.state import Campaign, CampaignState
from exporter.polling.hours import HoursWatch
from exporter.providers.anyreach import Anyreach, read_stats

WALL = 1_780_000_000.0
ROUND_THE_CLOCK = {
    "timezone": "Asia/Kolkata",
    "windows": [{"days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], "start": "00:00", "end": "24:00"}],
}
"""Hours that are known, so that every series of a campaign is there."""


def campaign_id(place: int) -> str:
    return f"6c6f7b0e-0000-4000-8000-{place:012d}"


def configuration(
    base_url: str,
    campaigns: int,
    interval: float,
    *,
    accounts: int = 1,
    osvi: int = 0,
    team: str = "renewals",
    places: Collection[int] | None = None,
) -> str:
    """
    A configuration file.

    Args:
        interval: Seconds between two polls of a campaign.
        accounts: Number of Anyreach accounts, over which the campaigns are spread.
        osvi: Campaigns in an OSVI account besides.
        team: A label of the first campaign.
        places: Those of the Anyreach campaigns that are there; all of them by default.
    """
    lines = [
        f"poll: {{active_interval: {interval * 1000:.0f}ms, timeout: 2s, max_body_bytes: 262144}}",
        "accounts:",
    ]
    for account in range(accounts):
        lines += _account(base_url, f"acme-{account}", "anyreach")
        lines += [
            f'      - {{id: "{campaign_id(place)}", name: june-renewals-{place}'
            + (f", labels: {{team: {team}}}}}" if place == 0 else "}")
            for place in range(account, campaigns, accounts)
            if places is None or place in places
        ]
    if osvi:
        lines += _account(base_url, "acme-in", "osvi")
        lines += [f"      - {{id: {place + 1}, name: june-renewals-{place}}}" for place in range(osvi)]
    return "\n".join(lines) + "\n"


def _account(base_url: str, name: str, provider: str) -> list[str]:
    return [
        f"  - name: {name}",
        f"    provider: {provider}",
        "    token: ak_benchmark",
        f"    base_url: {base_url}",
        "    max_requests_per_second: 20000",
        "    max_in_flight: 256",
        f"    calling_hours: {json.dumps(ROUND_THE_CLOCK)}",
        "    campaigns:",
    ]


class Words:
    """Anyreach's words for where a campaign stands."""

    name = Anyreach.name
    statuses = Anyreach.statuses
    active_status = Anyreach.active_status
    final_status = Anyreach.final_status


def states(campaigns: int) -> Iterator[CampaignState]:
    """Campaigns that have been polled twice, with every series that an Anyreach campaign can have."""
    hours = HoursWatch(lambda: WALL).of(Schedule("Asia/Kolkata", (Window(frozenset(range(7)), start=0, end=24 * 60),)))
    for place in range(campaigns):
        campaign = Campaign("acme", f"june-renewals-{place}", campaign_id(place), stall_after=3600.0)
        state = CampaignState(campaign, Words(), lambda: None)
        state.interval, state.stale_after, state.hours = 5.0, 60.0, hours
        for poll in range(2):
            snapshot = read_stats(json.loads(anyreach(place + 1 + poll)))
            state.succeeded(snapshot, 1000.0 + poll * 5.1234567, WALL + poll * 5.1234567)
        yield state
