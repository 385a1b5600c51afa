"""One account at work: its connections, its poller, and what looks after its token, campaigns and hours."""

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass

from exporter.campaign.account import AccountState
from exporter.campaign.labels import clean
from exporter.campaign.schedule import Hours, HoursWatch
from exporter.campaign.state import Campaign
from exporter.config.model import AccountSettings, PollSettings
from exporter.config.plan import AccountPlan, discovered
from exporter.exposition.board import Board
from exporter.exposition.own import Instruments
from exporter.polling.discovery import OFF_FOR, RETRY, Directory, WindowReader, walk
from exporter.polling.health import AccountHealth
from exporter.polling.poller import AccountPoller, Pace
from exporter.polling.throttle import Slots, Throttle
from exporter.providers import Provider
from exporter.providers.anyreach import Anyreach
from exporter.providers.credentials import Credentials, secrets_of_proxy
from exporter.providers.errors import CredentialsError, ForbiddenError, PollError
from exporter.providers.http import Transport
from exporter.providers.listing import CampaignRecord, Listing
from exporter.providers.osvi import Osvi

log = logging.getLogger(__name__)

TOKEN_LOOK = 2.0
WINDOWS_LOOK = 5.0
# Longer than a poll's time limit may be late.
_RETIRED_FOR = 1.0

PROVIDERS: dict[str, Callable[[AccountSettings, Transport, Credentials], Provider]] = {
    "anyreach": lambda account, transport, credentials: Anyreach(
        transport, credentials.token, organization=account.organization
    ),
    "osvi": lambda account, transport, credentials: Osvi(transport, credentials.token),
}
"""Adding a provider is its file and a line here."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all accounts share."""

    slots: Slots
    board: Board
    watch: HoursWatch
    instruments: Instruments
    wall: Callable[[], float]
    rng: random.Random
    hide: Callable[[str], None]
    fatal: Callable[[BaseException], None]


def transport_of(
    account: AccountSettings, poll: PollSettings, wall: Callable[[], float], hide: Callable[[str], None]
) -> Transport:
    """
    Make an account's connections, closed as yet.

    Args:
        hide: Called with what is secret of its proxy.

    Raises:
        OSError: A file of certificates cannot be read or is none.
    """
    proxy = account.http.proxy_url
    for secret in secrets_of_proxy(proxy):
        hide(secret)
    return Transport(
        account.base_url,
        timeout=poll.timeout,
        max_body_bytes=poll.max_body_bytes,
        max_in_flight=account.max_in_flight,
        # Twice the longest of the usual intervals, or every poll would have to connect anew.
        keepalive=2 * max(poll.active_interval, min(poll.idle_interval, 300.0)),
        proxy_url=proxy.get_secret_value() if proxy else None,
        ca_file=account.http.ca_file,
        cert_file=account.http.cert_file,
        key_file=account.http.key_file,
        insecure_skip_verify=account.http.insecure_skip_verify,
        wall_clock=wall,
    )


def same_upstream(one: AccountSettings, other: AccountSettings) -> bool:
    """Whether two settings mean the same campaigns, so that what is known of them stays true."""
    return (one.provider, one.base_url, one.organization) == (other.provider, other.base_url, other.organization)


@dataclass(slots=True)
class Changes:
    """How many campaigns a reload has added, removed and changed."""

    added: int = 0
    removed: int = 0
    changed: int = 0


class Account:
    """One account at work."""

    def __init__(self, plan: AccountPlan, poll: PollSettings, surroundings: Surroundings, transport: Transport) -> None:
        self.plan = plan
        self.settings = settings = plan.settings
        self.poll = poll
        self.health = AccountHealth(settings.provider, settings.name)
        self.state = AccountState(settings.provider, settings.name, tuple(sorted(settings.labels.items())))
        self._in = surroundings
        self._transport = transport
        self._credentials = self._read_credentials()
        self._provider = PROVIDERS[settings.provider](settings, transport, self._credentials)
        throttle = Throttle(settings.max_requests_per_second, settings.max_in_flight, surroundings.slots)
        self.poller = AccountPoller(
            self._provider,
            self.state,
            self.health,
            throttle,
            _pace(poll),
            changed=surroundings.board.update,
            wall=surroundings.wall,
            rng=surroundings.rng,
            on_overflow=surroundings.instruments.label_overflow.inc,
            fatal=surroundings.fatal,
        )
        self._loop = asyncio.get_running_loop()
        self._log_as: dict[str, object] = {"provider": settings.provider, "account": settings.name}
        self._windows = WindowReader(
            throttle,
            surroundings.watch,
            self._name,
            self.poller.request_failed,
            lambda: self.health.breaker_open,
            self._log_as,
            self._loop.time,
        )
        self._wanted: Mapping[str, Campaign] = {}
        """By id, what is polled: configured and discovered campaigns."""
        self._discovered: dict[str, CampaignRecord] = {}
        self._listed = settings.discovery is None
        self._listing_now = asyncio.Event()
        self._windows_now = asyncio.Event()
        self._loops: list[asyncio.Task[None]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        """The loops, those that have been told to end, and what closes retired connections."""

    @property
    def ready(self) -> bool:
        """Whether every campaign was polled once, and the campaigns were listed once; or either has failed once."""
        return self._listed and self.poller.ready

    async def start(self) -> None:
        """Open the connections and begin to poll."""
        await self._transport.__aenter__()
        self._settle_campaigns()
        self._start_loops()

    async def stop(self) -> None:
        """Stop polling, and close the connections."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.poller.stop()
        await self._transport.__aexit__(None, None, None)

    def remove_all(self) -> int:
        """Take all campaigns off the page, and list no others."""
        self._stop_loops()
        campaign_ids = tuple(self.poller.targets)
        for campaign_id in campaign_ids:
            self._in.board.remove(self.poller.remove(campaign_id))
        return len(campaign_ids)

    async def change(self, plan: AccountPlan, poll: PollSettings, transport: Transport | None) -> Changes:
        """
        Go on with another plan for the same upstream, keeping all that is known of the campaigns that stay.

        It never gives up its turn on the event loop, so that nobody sees a reload half done.

        Args:
            transport: New connections, where the old ones don't fit any more.
        """
        before, poll_before = self.settings, self.poll
        if plan is self.plan and poll == poll_before:
            return Changes()
        self._stop_loops()
        self.plan, self.poll = plan, poll
        self.settings = settings = plan.settings
        self.state.labels = tuple(sorted(settings.labels.items()))
        credentials = (settings.token, settings.token_file, settings.token_env)
        token_is_elsewhere = credentials != (before.token, before.token_file, before.token_env)
        if token_is_elsewhere:
            self._credentials = self._read_credentials()
        if token_is_elsewhere or transport is not None:
            retired, self._transport = self._transport, transport or self._transport
            self._provider = PROVIDERS[settings.provider](settings, self._transport, self._credentials)
            if transport is not None:
                await transport.__aenter__()
                self._retire(retired, poll_before.timeout)
            self.poller.provider = self._provider
            if token_is_elsewhere:
                self.poller.token_changed()
                self._windows.allow()
        self.poller.set_pace(_pace(poll), settings.max_requests_per_second, settings.max_in_flight)
        if settings.discovery is None:
            self._discovered.clear()
            self.health.discovery_success = self.health.discovery_last_success = None
        if settings.calling_windows != "auto":
            self.health.windows_readable = None
        changes = self._settle_campaigns(hours_differ=settings.calling_windows != before.calling_windows)
        self._start_loops()
        return changes

    def _read_credentials(self) -> Credentials:
        credentials = Credentials(self.settings)
        self._hide_token(credentials)
        return credentials

    def _hide_token(self, credentials: Credentials) -> None:
        with contextlib.suppress(CredentialsError):
            self._in.hide(credentials.token())

    def _retire(self, transport: Transport, timeout: float) -> None:
        """Close connections that are not used any more, once the polls that still use them must have ended."""

        async def close_later() -> None:
            try:
                await asyncio.sleep(timeout + _RETIRED_FOR)
            finally:
                await transport.__aexit__(None, None, None)

        self._run(close_later())

    # Campaigns

    def _all_wanted(self) -> Mapping[str, Campaign]:
        """The campaigns to poll: the configured ones, and the discovered ones that are none of them."""
        configured = self.plan.campaigns
        if not self._discovered:
            return configured
        wanted = dict(configured)
        names = {campaign.name for campaign in configured.values()}
        for record in self._discovered.values():
            if record.id in configured or record.external_id in configured:
                continue
            campaign = discovered(self.plan, record.id)
            if campaign.name in names:
                log.warning(
                    "a discovered campaign is not polled: another one has its id as label",
                    extra=self._log_as | {"campaign": campaign.name},
                )
                continue
            names.add(campaign.name)
            known = self._wanted.get(record.id)
            wanted[record.id] = known if known == campaign else campaign
        return wanted

    def _settle_campaigns(self, *, hours_differ: bool = False) -> Changes:
        """
        Bring the poller's campaigns in line with those that are wanted.

        Args:
            hours_differ: Where the hours of campaigns that have none of their own come from is another place now.
        """
        changes = Changes()
        board, targets = self._in.board, self.poller.targets
        before, self._wanted = self._wanted, self._all_wanted()
        for campaign_id in [known for known in targets if known not in self._wanted]:
            board.remove(self.poller.remove(campaign_id))
            changes.removed += 1
        new: list[tuple[Campaign, Hours | None]] = []
        for campaign_id, campaign in self._wanted.items():
            if campaign is before.get(campaign_id) and not hours_differ:
                continue
            hours = self._hours(campaign)
            target = targets.get(campaign_id)
            if target is None:
                new.append((campaign, hours))
                continue
            has_other_hours = target.state.hours is not hours
            self.poller.set_hours(campaign_id, hours)
            if target.state.campaign != campaign:
                target.state.configure(campaign)
                board.relabel(target.state)
            elif not has_other_hours:
                continue
            changes.changed += 1
        for state in self.poller.add(new):
            board.add(state)
        changes.added = len(new)
        for campaign_id, record in self._discovered.items():
            self._name(campaign_id, record)
        self._windows.forget_others(targets)
        self._windows_now.set()
        return changes

    def _hours(self, campaign: Campaign) -> Hours | None:
        if campaign.hours is not None:
            return self._in.watch.of(campaign.hours)
        match self.settings.calling_windows:
            case "always":
                return self._in.watch.around_the_clock
            case "auto":
                return self._windows.hours(campaign.id)
        return None

    def _name(self, campaign_id: str, record: CampaignRecord) -> None:
        """Show the name that the provider has told, under whichever id the campaign is polled."""
        for known in (campaign_id, record.external_id):
            target = self.poller.targets.get(known or "")
            if target is None:
                continue
            if record.name is not None and target.state.display_name != clean(record.name):
                target.state.rename(clean(record.name))
                self._in.board.update(target.state)
            self._windows.learned(target.state.campaign.id, record.configuration_id)

    # Loops

    def _start_loops(self) -> None:
        if self.settings.token_file is not None:
            self._loops.append(self._run(self._watch_token()))
        if isinstance(self._provider, Anyreach):
            if self.settings.discovery is not None:
                self._loops.append(self._run(self._discover(self._provider)))
            if self.settings.calling_windows == "auto":
                self._loops.append(self._run(self._read_windows(self._provider)))

    def _stop_loops(self) -> None:
        for task in self._loops:
            task.cancel()
        self._loops.clear()

    def _run(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._in.fatal(error)

    async def _watch_token(self) -> None:
        while True:
            await asyncio.sleep(TOKEN_LOOK)
            if await asyncio.to_thread(self._credentials.refresh):
                self._hide_token(self._credentials)
                log.info("the token has changed", extra=self._log_as)
                self.poller.token_changed()
                self._windows.allow()
                self._windows_now.set()
                self._listing_now.set()

    async def _discover(self, directory: Directory) -> None:
        assert self.settings.discovery is not None  # noqa: S101 -- for mypy: only started with it
        while True:
            wait = RETRY
            # Without campaigns there is nothing else that could try whether the credentials are good again.
            if not self.health.breaker_open or not self.poller.targets:
                error = await self._list(directory)
                wait = self._wait_after(error, self.settings.discovery.refresh_interval)
            self._listed = True
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._listing_now.wait()
            self._listing_now.clear()

    @staticmethod
    def _wait_after(error: PollError | None, interval: float) -> float:
        if error is None:
            return interval
        return OFF_FOR if isinstance(error, ForbiddenError) else min(interval, RETRY)

    async def _list(self, directory: Directory) -> PollError | None:
        """Walk through the list once, and poll what it shows; a walk that fails half-way takes nothing away."""
        options = self.settings.discovery
        assert options is not None  # noqa: S101 -- for mypy: only called with it
        listing = Listing(
            statuses=options.statuses, name_contains=options.name_contains, max_campaigns=options.max_campaigns
        )
        error = None
        sent = self._loop.time()
        try:
            await walk(directory, self.poller.throttle, listing)
        except PollError as exc:
            error = exc
            self.poller.request_failed(error, sent)
        else:
            self.poller.request_succeeded()
        if problem := str(error) if error else listing.problem:
            if self.health.discovery_success is not False:
                log.warning("campaigns can't be listed completely", extra=self._log_as | {"error": problem})
        elif self.health.discovery_success is False:
            log.info("campaigns are listed completely again", extra=self._log_as)
        self.health.discovery_success = listing.complete
        found = {record.id: record for record in listing.campaigns}
        if listing.complete:
            self.health.discovery_last_success = self._in.wall()
            self._discovered = found
        else:
            for campaign_id, record in found.items():
                if campaign_id in self._discovered or len(self._discovered) < options.max_campaigns:
                    self._discovered[campaign_id] = record
        changes = self._settle_campaigns()
        if changes.added or changes.removed:
            log.info(
                "discovered campaigns have changed",
                extra=self._log_as | {"added": changes.added, "removed": changes.removed},
            )
        return error

    async def _read_windows(self, directory: Directory) -> None:
        while True:
            self._windows_now.clear()
            if not self.health.breaker_open:
                unknown = [campaign.id for campaign in self._wanted.values() if campaign.hours is None]
                async for campaign_id in self._windows.read(directory, unknown):
                    self.poller.set_hours(campaign_id, self._windows.hours(campaign_id))
                    self.health.windows_readable = self._windows.readable
                self.health.windows_readable = self._windows.readable
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WINDOWS_LOOK):
                    await self._windows_now.wait()


def _pace(poll: PollSettings) -> Pace:
    return Pace(poll.active_interval, poll.idle_interval, poll.closed_interval, poll.stale_after)
