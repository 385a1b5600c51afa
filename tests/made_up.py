"""Made-up campaigns, known as the exporter would know them, and a server that shows them."""

import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import aiohttp
from aiohttp import web
from yarl import URL

from exporter.campaign.account import AccountState
from exporter.campaign.schedule import Hours, Schedule, Window
from exporter.campaign.snapshot import Snapshot
from exporter.campaign.state import Campaign, CampaignState
from exporter.config.addresses import ListenAddress
from exporter.exposition.negotiation import Format
from exporter.ui.fleet import Overview
from exporter.ui.handlers import routes
from exporter.ui.rows import WatchedAccount
from exporter.web.routes import create_app
from exporter.web.server import Limits, serving
from exporter.web.sockets import listening, location

ANYREACH = SimpleNamespace(
    name="anyreach", statuses=("active", "paused", "closed"), active_status="active", final_status="closed"
)
OSVI = SimpleNamespace(name="osvi", statuses=("active", "inactive"), active_status="active", final_status=None)

WALL = 1_780_000_000.0
ROUND_THE_CLOCK = Hours(None, WALL)
SHUT = Hours(Schedule("Asia/Kolkata", (Window(frozenset(range(7)), 0, 1),)), WALL)
NO_WINDOWS = Hours(Schedule("UTC", ()), WALL)

# What a campaign at work tells
WORKING: dict[str, Any] = {
    "status": "active",
    "contacts": {"pending": 310.0, "in_progress": 8.0, "completed": 902.0, "exhausted": 20.0},
    "contacts_loaded": 1240.0,
    "attempts": 1730.0,
    "active_calls": 8.0,
    "concurrency_limit": 10.0,
    "work_remaining": True,
    "calls_in_flight": True,
}
CALLING: dict[str, Any] = {
    "status": "active",
    "calls": {"picked": 88.0, "not_picked": 25.0, "failed": 7.0, "busy": 0.0, "voicemail": 0.0, "in_progress": 2.0},
    "calls_made": 122.0,
    "work_remaining": True,
    "calls_in_flight": True,
}


RUNBOOK = """# Stalled

Put the alert's labels in place of ACCOUNT and CAMPAIGN.

```promql
up{account="ACCOUNT"}
# of this campaign
campaign_info{account="ACCOUNT", campaign="CAMPAIGN"}
```

Look at `campaign_info` <b>first</b>.
"""


class Clock:
    """Both clocks of the exporter, moved by the test."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return WALL + self.now - 1000.0


class RealClock(Clock):
    """The real time, for what a browser compares with its own."""

    def monotonic(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()


class MadeUpAccount:
    """An account whose campaigns say what a test wants."""

    def __init__(self, name: str, lifecycle: SimpleNamespace, clock: Clock) -> None:
        self.lifecycle = lifecycle
        self.clock = clock
        self.state = AccountState(lifecycle.name, name)
        self.state.horizon = self.state.stale_after = 1e9
        self.breaker_open = False
        self.conversation_url: str | None = None
        self.campaigns: list[CampaignState] = []

    def add(self, name: str, *, hours: Hours | None = ROUND_THE_CLOCK, **campaign: Any) -> CampaignState:
        """Add a campaign that was never polled."""
        described: dict[str, Any] = {"id": f"{name}-id", "stall_after": 3600.0} | campaign
        state = CampaignState(Campaign(account=self.state.name, name=name, **described), self.lifecycle, lambda: None)
        state.hours, state.interval, state.stale_after = hours, 15.0, 60.0
        self.campaigns.append(state)
        return state

    def watched(self, seconds: float, **numbers: Any) -> None:
        """Let every campaign say the same for a while."""
        for _ in range(int(seconds / 15)):
            self.clock.now += 15
            for campaign in self.campaigns:
                self.says(campaign, **numbers)

    def says(self, state: CampaignState, **numbers: Any) -> CampaignState:
        """Let a poll of a campaign succeed."""
        state.succeeded(Snapshot(**numbers), self.clock.monotonic(), self.clock.wall())
        self.state.succeeded(state, self.clock.monotonic())
        return state

    def view(self) -> WatchedAccount:
        for campaign in self.state.look(self.clock.monotonic()):
            campaign.settle(self.clock.monotonic())
        return WatchedAccount(
            self.state,
            self.breaker_open,
            lambda reason: f"Cure `{reason}`.",
            lambda campaign_id: f"GET /{campaign_id}: HTTP 404. Write `calling_hours`.",
            self.campaigns,
            self.conversation_url,
        )


class MadeUp:
    """Accounts and their campaigns, and an overview of them."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        self.accounts: list[MadeUpAccount] = []
        self.overview = Overview(self.views, now=self.clock.monotonic, wall=self.clock.wall, hours_wall=self.clock.wall)

    def account(self, name: str, lifecycle: SimpleNamespace = ANYREACH) -> MadeUpAccount:
        self.accounts.append(MadeUpAccount(name, lifecycle, self.clock))
        return self.accounts[-1]

    def views(self) -> list[WatchedAccount]:
        return [account.view() for account in self.accounts]


def crowd(number: int, clock: Clock | None = None) -> MadeUp:
    """So many campaigns in four accounts, many of them in trouble of some kind; always the same ones."""
    luck = random.Random(7)
    made = MadeUp(clock)
    accounts = [made.account(f"account-{letter}", OSVI if letter == "d" else ANYREACH) for letter in "abcd"]
    for place in range(number):
        account = accounts[place % len(accounts)]
        campaign = account.add(f"campaign-{place:05}", hours=luck.choice([ROUND_THE_CLOCK, SHUT, None]))
        if account.lifecycle is OSVI:
            account.says(campaign, **CALLING, name=f"Campaign {place}")
        else:
            status = luck.choice(["active", "active", "paused", "closed"])
            pending = float(luck.randrange(900))
            account.says(
                campaign,
                name=f"Campaign {place}",
                **WORKING | {"status": status, "contacts": WORKING["contacts"] | {"pending": pending}},
            )
        if luck.random() < 0.1:
            campaign.failed("timeout", "no complete answer from api.anyreach.ai within 10 s")
            campaign.withdraw()
    return made


async def _no_metrics(format_: Format, compressed: bool, names: frozenset[str]) -> Sequence[bytes]:
    return ()


@asynccontextmanager
async def behind_proxy(address: str) -> AsyncIterator[str]:
    """Serve what an address serves under `/calls/`, as a reverse proxy does that takes the prefix off."""

    async def forward(request: web.Request) -> web.Response:
        target = URL(address + request.raw_path.removeprefix("/calls"), encoded=True)
        async with session.get(target, headers=request.headers) as answer:
            kept = {name: value for name, value in answer.headers.items() if name not in ("Date", "Content-Length")}
            return web.Response(status=answer.status, body=await answer.read(), headers=kept)

    app = web.Application()
    app.router.add_get("/calls/{path:.*}", forward)
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            yield f"http://127.0.0.1:{runner.addresses[0][1]}/calls"
        finally:
            await runner.cleanup()


@asynccontextmanager
async def serving_frontend(
    overview: Overview, *, port: int = 0, runbooks: Sequence[str] = ("CampaignStalled", "CampaignPollsFailing")
) -> AsyncIterator[str]:
    """Serve the page and the API; yields the address."""
    app = create_app(
        page=_no_metrics,
        ready=lambda: True,
        reload=None,
        frontend=routes(
            overview, version="1.2.3<", telemetry_path="/metrics", runbooks=dict.fromkeys(runbooks, RUNBOOK)
        ),
    )
    with listening([ListenAddress.parse(f"127.0.0.1:{port}")], {}) as (sock,):
        async with serving(app, [sock], limits=Limits(), shutdown_timeout=0.2):
            yield location(sock)
