"""
Polls every campaign once, as the exporter would, and reports the results.

Requests follow the rules of the exporter: they stay within the account's budget, `Retry-After` holds the account, and
after a refused token no others are sent. The one difference is that nothing is retried.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from exporter.campaign.schedule import Schedule
from exporter.campaign.snapshot import Snapshot
from exporter.commands.upstream import Upstream
from exporter.config.model import AccountSettings, CampaignSettings, DiscoverySettings, PollSettings
from exporter.config.plan import account_plan
from exporter.polling.breaker import STATS
from exporter.polling.discovery import walk
from exporter.polling.pace import interval_of, stretch_of
from exporter.polling.roster import Roster
from exporter.providers import Directory
from exporter.providers.errors import ForbiddenError, PollError
from exporter.providers.listing import CampaignRecord, Listing

Progress: TypeAlias = Callable[[int, int], None]
"""Called with the number of polls that are done since the last call, and of those that have become known."""


class HoursGap(Enum):
    """Why it is not known when a campaign may dial, so that its silence is no sign of a stall."""

    NOT_TOLD = "not_told"
    NOT_ASKED = "not_asked"
    FORBIDDEN = "forbidden"
    NOT_READ = "not_read"


@dataclass(slots=True)
class CampaignReport:
    """
    One campaign, asked once or not at all.

    Attributes:
        name: The label `campaign`.
        interval: Seconds between two polls by its status, before stretching.
        settings: None for one that was discovered.
        record: What the listing shows of it, if it does.
        snapshot: What it said; None when it failed or was not asked.
        error: Why it failed; None when it did not.
        seconds: What the request took; None when none was sent.
        hours_gap: Why its hours are not known; None where they are known or not needed.
        hours_error: The failure, where they could not be read.
        windows: Number of calling windows; None where they were not read.
    """

    id: str
    name: str
    interval: float
    settings: CampaignSettings | None
    record: CampaignRecord | None = None
    snapshot: Snapshot | None = None
    error: PollError | None = None
    seconds: float | None = None
    hours_gap: HoursGap | None = None
    hours_error: PollError | None = None
    windows: int | None = None

    @property
    def discovered(self) -> bool:
        return self.settings is None

    @property
    def display_name(self) -> str | None:
        """The provider's name, as sent; None where it is not known."""
        shown = self.snapshot.name if self.snapshot else None
        return self.record.name if shown is None and self.record else shown


@dataclass(slots=True)
class AccountReport:
    """One account: its campaigns, the configured ones first, and how its campaigns were listed."""

    account: AccountSettings
    campaigns: list[CampaignReport]
    listing_error: PollError | None = None
    """Why listing failed; what was found before is among the campaigns."""
    listing_problem: str | None = None
    """Why the listing is not complete, though no request has failed."""

    @property
    def demand(self) -> float:
        """Requests a second that the campaigns' intervals ask for."""
        return sum(1 / campaign.interval for campaign in self.campaigns)

    @property
    def stretch(self) -> float:
        """The factor by which the budget stretches the intervals; 1 for not at all."""
        return stretch_of(self.demand, self.account.max_requests_per_second)

    @property
    def hours_gaps(self) -> Counter[HoursGap]:
        return Counter(campaign.hours_gap for campaign in self.campaigns if campaign.hours_gap is not None)

    @property
    def failed(self) -> int:
        return sum(campaign.error is not None for campaign in self.campaigns)

    @property
    def ok(self) -> bool:
        return not (self.failed or self.listing_error or self.listing_problem)


async def check(upstreams: Sequence[Upstream], poll: PollSettings, progress: Progress) -> tuple[AccountReport, ...]:
    """Ask every campaign of every account, all accounts at the same time."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_AccountCheck(upstream, poll, progress).run()) for upstream in upstreams]
    return tuple(task.result() for task in tasks)


def unasked(account: AccountSettings, poll: PollSettings) -> AccountReport:
    """Report an account as its configuration alone shows it."""
    campaigns = (CampaignReport(str(one.id), one.name, poll.active_interval, one) for one in account.campaigns)
    return AccountReport(account, [_with_gap_by_configuration(account, campaign) for campaign in campaigns])


def _with_gap_by_configuration(account: AccountSettings, campaign: CampaignReport) -> CampaignReport:
    """Say why its hours can't be known whatever the provider answers, if that is so."""
    if account.calling_windows == "unknown" and _needs_hours(account, campaign):
        campaign.hours_gap = HoursGap.NOT_ASKED if account.facts.tells_windows else HoursGap.NOT_TOLD
    return campaign


def _needs_hours(account: AccountSettings, campaign: CampaignReport) -> bool:
    settings = campaign.settings
    return account.calling_hours_of(settings) is None and account.stall_after_of(settings) is not None


class _AccountCheck:
    """Asks one account's campaigns, as many at once as it may."""

    def __init__(self, upstream: Upstream, poll: PollSettings, progress: Progress) -> None:
        self._account = upstream.account
        self._upstream = upstream
        self._requests = upstream.requests
        self._poll = poll
        self._progress = progress
        self._report = unasked(upstream.account, poll)
        self._schedules: dict[str, asyncio.Task[Schedule | None]] = {}
        """The reading of each configuration; many campaigns may share one."""
        self._hours_forbidden = False

    async def run(self) -> AccountReport:
        campaigns, options, directory = self._report.campaigns, self._account.discovery, self._upstream.provider
        async with self._upstream.transport:
            self._progress(0, len(campaigns))
            if options is not None and isinstance(directory, Directory):
                await self._list(directory, options)
                self._progress(0, len(campaigns) - len(self._account.campaigns))
            queue = iter(campaigns)

            async def work() -> None:
                # All workers draw from the one queue.
                for campaign in queue:
                    await self._ask(campaign)
                    self._progress(1, 0)

            async with asyncio.TaskGroup() as group:
                for _ in range(min(self._account.max_in_flight, len(campaigns))):
                    group.create_task(work())
        return self._report

    async def _list(self, directory: Directory, options: DiscoverySettings) -> None:
        listing = Listing.of(options)
        try:
            await walk(self._requests, directory, listing)
        except PollError as exc:
            self._report.listing_error = exc
        self._report.listing_problem = listing.problem
        records = {record.id: record for record in listing.campaigns}
        by_any_id = {record.external_id: record for record in listing.campaigns} | records
        configured = {campaign.id: campaign for campaign in self._report.campaigns}
        self._report.campaigns.clear()
        roster = Roster({"account": self._account.name})
        for campaign_id, wanted in roster.wanted(account_plan(self._account), records, {}).items():
            campaign = configured.get(campaign_id)
            if campaign is None:
                campaign = CampaignReport(campaign_id, wanted.name, self._poll.active_interval, None)
                _with_gap_by_configuration(self._account, campaign)
            campaign.record = by_any_id.get(campaign_id)
            self._report.campaigns.append(campaign)

    async def _ask(self, campaign: CampaignReport) -> None:
        await self._ask_for_stats(campaign)
        provider, snapshot = self._upstream.provider, campaign.snapshot
        campaign.interval = interval_of(self._poll, provider, snapshot)
        if snapshot is None:
            return
        if snapshot.status is not None and snapshot.status == provider.final_status:
            campaign.hours_gap = None
        elif (
            self._account.calling_windows == "auto"
            and isinstance(provider, Directory)
            and not self._requests.breaker.is_open
            and _needs_hours(self._account, campaign)
        ):
            await self._ask_for_hours(campaign, provider)

    async def _ask_for_stats(self, campaign: CampaignReport) -> None:
        clock = asyncio.get_running_loop().time
        started: float | None = None

        async def poll() -> Snapshot:
            nonlocal started
            started = clock()
            return await self._upstream.provider.poll(campaign.id)

        try:
            campaign.snapshot = await self._requests.ask(STATS, poll, campaign.id)
        except PollError as exc:
            campaign.error = exc
        campaign.seconds = None if started is None else clock() - started

    async def _ask_for_hours(self, campaign: CampaignReport, directory: Directory) -> None:
        schedule, gap = None, HoursGap.FORBIDDEN
        if not self._hours_forbidden:
            try:
                schedule, gap = await self._schedule(campaign, directory), HoursGap.NOT_READ
            except ForbiddenError:
                self._hours_forbidden = True
            except PollError as exc:
                gap, campaign.hours_error = HoursGap.NOT_READ, exc
        if schedule is None:
            campaign.hours_gap = gap
        else:
            campaign.windows = schedule.window_count

    async def _schedule(self, campaign: CampaignReport, directory: Directory) -> Schedule | None:
        record = campaign.record
        if record is None or record.configuration_id is None:
            record = await self._requests.ask("campaign", lambda: directory.campaign(campaign.id))
        configuration_id = record.configuration_id
        if configuration_id is None:
            return None
        if configuration_id not in self._schedules:
            reading = self._requests.ask("configuration", lambda: directory.schedule(configuration_id))
            self._schedules[configuration_id] = asyncio.create_task(reading)
        return await self._schedules[configuration_id]
