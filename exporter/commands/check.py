"""
Polls every campaign once, as the exporter would, and reports the results.

Requests follow the rules of the exporter: they stay within the account's budget, `Retry-After` holds the account, and
after a refused token no others are sent. The one difference is that nothing is retried.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from exporter.campaign.labels import clean
from exporter.campaign.schedule import Schedule
from exporter.campaign.snapshot import Snapshot
from exporter.commands.upstream import Upstream
from exporter.config.model import AccountSettings, CampaignSettings, PollSettings
from exporter.polling.breaker import STATS
from exporter.polling.discovery import walk
from exporter.polling.pace import Pace, stretch_of
from exporter.polling.requests import Requests
from exporter.providers import Directory
from exporter.providers.anyreach import Anyreach
from exporter.providers.errors import ForbiddenError, PollError
from exporter.providers.listing import CampaignRecord, Listing, not_configured

Progress: TypeAlias = Callable[[int, int], None]
"""Called with the number of polls that are done since the last call, and of those that have become known."""


class HoursGap(Enum):
    """Why it is not known when a campaign may dial, so that its silence is no sign of a stall."""

    NOT_TOLD = "not_told"
    """The provider's API has no calling windows (OSVI)."""
    NOT_ASKED = "not_asked"
    """The configuration says not to ask (`calling_windows: unknown`)."""
    FORBIDDEN = "forbidden"
    """The token may not read campaigns or configurations."""
    NOT_READ = "not_read"
    """The request for them has failed, or its answer can't be understood."""


@dataclass(frozen=True, slots=True)
class CampaignReport:
    """
    One campaign, asked once or not at all.

    Attributes:
        name: The label `campaign`.
        display_name: The provider's name, cut and valid as a label value is; None where it is not known.
        snapshot: What it said; None when it failed or was not asked.
        error: Why it failed; None when it did not.
        seconds: What the request took; None when none was sent.
        interval: Seconds between two polls by its status, before stretching.
        hours_gap: Why its hours are not known; None where they are known or not needed.
        windows: Number of calling windows; None where they were not read.
    """

    id: str
    name: str
    interval: float
    display_name: str | None = None
    discovered: bool = False
    snapshot: Snapshot | None = None
    error: PollError | None = None
    seconds: float | None = None
    hours_gap: HoursGap | None = None
    windows: int | None = None


@dataclass(frozen=True, slots=True)
class AccountReport:
    """One account: its campaigns, the configured ones first, and how its campaigns were listed."""

    account: AccountSettings
    campaigns: Sequence[CampaignReport]
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
    return AccountReport(
        account,
        [
            CampaignReport(
                id=str(campaign.id),
                name=campaign.name,
                interval=poll.active_interval,
                hours_gap=_gap_by_configuration(account, campaign),
            )
            for campaign in account.campaigns
        ],
    )


def _gap_by_configuration(account: AccountSettings, campaign: CampaignSettings | None) -> HoursGap | None:
    """Why a campaign's hours can't be known, whatever the provider answers."""
    if account.calling_windows != "unknown" or not _needs_hours(account, campaign):
        return None
    return HoursGap.NOT_TOLD if account.provider == "osvi" else HoursGap.NOT_ASKED


def _needs_hours(account: AccountSettings, campaign: CampaignSettings | None) -> bool:
    return account.calling_hours_of(campaign) is None and account.stall_after_of(campaign) is not None


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A campaign to be asked."""

    id: str
    settings: CampaignSettings | None
    record: CampaignRecord | None


class _AccountCheck:
    """Asks one account's campaigns, as many at once as it may."""

    def __init__(self, upstream: Upstream, poll: PollSettings, progress: Progress) -> None:
        self._account = upstream.account
        self._upstream = upstream
        self._pace = Pace.of(poll)
        self._progress = progress
        self._requests = upstream.requests
        self._hours: _HoursCheck | None = None
        if isinstance(upstream.provider, Anyreach) and self._account.calling_windows == "auto":
            self._hours = _HoursCheck(upstream.provider, upstream.requests)

    async def run(self) -> AccountReport:
        async with self._upstream.transport:
            self._progress(0, len(self._account.campaigns))
            listing, listing_error = await self._list()
            records = listing.campaigns if listing else ()
            wanted = list(self._wanted(records))
            self._progress(0, len(wanted) - len(self._account.campaigns))
            reports: list[CampaignReport | None] = [None] * len(wanted)
            queue = iter(enumerate(wanted))

            async def work() -> None:
                # All workers draw from the one queue.
                for place, campaign in queue:
                    reports[place] = await self._ask(campaign)
                    self._progress(1, 0)

            async with asyncio.TaskGroup() as group:
                for _ in range(min(self._account.max_in_flight, len(wanted))):
                    group.create_task(work())
        return AccountReport(
            self._account,
            [report for report in reports if report is not None],
            listing_error,
            listing.problem if listing else None,
        )

    async def _list(self) -> tuple[Listing | None, PollError | None]:
        options, provider = self._account.discovery, self._upstream.provider
        if options is None or not isinstance(provider, Anyreach):
            return None, None
        listing = Listing.of(options)
        try:
            await walk(self._requests, provider, listing)
        except PollError as exc:
            return listing, exc
        return listing, None

    def _wanted(self, records: Sequence[CampaignRecord]) -> Iterator[_Wanted]:
        by_id = {record.external_id: record for record in records} | {record.id: record for record in records}
        names = set()
        for campaign in self._account.campaigns:
            names.add(campaign.name)
            yield _Wanted(str(campaign.id), campaign, by_id.get(str(campaign.id)))
        for record in not_configured(records, {str(campaign.id) for campaign in self._account.campaigns}):
            # The exporter leaves it out too: two campaigns can't have one name.
            if record.id not in names:
                yield _Wanted(record.id, None, record)

    async def _ask(self, wanted: _Wanted) -> CampaignReport:
        snapshot, error, seconds = await self._ask_for_stats(wanted.id)
        gap = windows = None
        if snapshot is not None and self._is_final(snapshot):
            pass
        elif self._hours is None:
            gap = _gap_by_configuration(self._account, wanted.settings)
        elif (
            snapshot is not None and not self._requests.breaker.is_open and _needs_hours(self._account, wanted.settings)
        ):
            gap, windows = await self._hours.ask(wanted)
        name = snapshot.name if snapshot is not None else None
        if name is None and wanted.record is not None:
            name = wanted.record.name
        return CampaignReport(
            id=wanted.id,
            name=wanted.settings.name if wanted.settings else clean(wanted.id),
            display_name=None if name is None else clean(name),
            discovered=wanted.settings is None,
            snapshot=snapshot,
            error=error,
            seconds=seconds,
            interval=self._pace.interval(self._upstream.provider, snapshot),
            hours_gap=gap,
            windows=windows,
        )

    async def _ask_for_stats(self, campaign_id: str) -> tuple[Snapshot | None, PollError | None, float | None]:
        """What it said, or why it failed, and the seconds that the request took."""
        clock = asyncio.get_running_loop().time
        started: float | None = None

        async def poll() -> Snapshot:
            nonlocal started
            started = clock()
            return await self._upstream.provider.poll(campaign_id)

        snapshot = error = None
        try:
            snapshot = await self._requests.ask(STATS, poll, campaign_id)
        except PollError as exc:
            error = exc
        return snapshot, error, None if started is None else clock() - started

    def _is_final(self, snapshot: Snapshot) -> bool:
        return snapshot.status is not None and snapshot.status == self._upstream.provider.final_status


class _HoursCheck:
    """Asks whether calling windows can be read: once for each configuration, however many campaigns share it."""

    def __init__(self, directory: Directory, requests: Requests) -> None:
        self._directory = directory
        self._requests = requests
        self._schedules: dict[str, asyncio.Task[Schedule | None]] = {}
        self._forbidden = False

    async def ask(self, wanted: _Wanted) -> tuple[HoursGap | None, int | None]:
        """Why a campaign's hours are not known, or the number of its windows."""
        if self._forbidden:
            return HoursGap.FORBIDDEN, None
        try:
            schedule = await self._schedule(wanted)
        except ForbiddenError:
            self._forbidden = True
            return HoursGap.FORBIDDEN, None
        except PollError:
            return HoursGap.NOT_READ, None
        return (HoursGap.NOT_READ, None) if schedule is None else (None, schedule.window_count)

    async def _schedule(self, wanted: _Wanted) -> Schedule | None:
        configuration_id = wanted.record.configuration_id if wanted.record else None
        if configuration_id is None:
            record = await self._requests.ask("campaign", lambda: self._directory.campaign(wanted.id))
            configuration_id = record.configuration_id
        if configuration_id is None:
            return None
        task = self._schedules.get(configuration_id)
        if task is None:
            task = asyncio.create_task(self._read(configuration_id))
            self._schedules[configuration_id] = task
        return await task

    async def _read(self, configuration_id: str) -> Schedule | None:
        return await self._requests.ask("configuration", lambda: self._directory.schedule(configuration_id))
