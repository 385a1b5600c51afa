"""One account at work: its connections, its jobs, and what a reload changes of them."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from exporter.campaign.account import AccountState
from exporter.campaign.labels import clean
from exporter.campaign.schedule import Hours
from exporter.campaign.state import Campaign, CampaignState
from exporter.config.model import PollSettings
from exporter.config.plan import AccountPlan
from exporter.polling.agenda import Agenda
from exporter.polling.attempts import AttemptsJob
from exporter.polling.breaker import Breaker
from exporter.polling.call_log_reader import CallLogReader
from exporter.polling.calling_windows import CallingWindows
from exporter.polling.certificate_watch import CertificateWatch, certificates_of
from exporter.polling.contact_reader import ContactReader
from exporter.polling.discovery import Discovery
from exporter.polling.hours import HoursWatch
from exporter.polling.job import AccountJob
from exporter.polling.poll_log import PollLog
from exporter.polling.poller import Poller
from exporter.polling.probe import Probe
from exporter.polling.requests import Requests
from exporter.polling.roster import Roster
from exporter.polling.throttle import Share, Slots, Throttle
from exporter.polling.token_watch import TokenWatch
from exporter.providers import Directory, Provider
from exporter.providers.anyreach import Anyreach
from exporter.providers.campaign_api import CampaignApi
from exporter.providers.credentials import Token, secrets_of_proxy, token_of
from exporter.providers.http import Transport
from exporter.providers.listing import CampaignRecord
from exporter.providers.osvi import Osvi
from exporter.providers.redaction import Redactor, Secrets

# Longer than a poll's time limit may be late.
_RETIRED_FOR = 1.0
_SHARE_OF_LISTINGS = 0.25

PROVIDERS: dict[str, type[CampaignApi]] = {"anyreach": Anyreach, "osvi": Osvi}
"""Adding a provider is its file and a line here, and one in `READERS`."""

READERS: dict[str, type[AttemptsJob]] = {"anyreach": ContactReader, "osvi": CallLogReader}
"""What reads a provider's single attempts."""


class Display(Protocol):
    """Where the campaigns are shown."""

    def add(self, state: CampaignState) -> None: ...
    def update(self, state: CampaignState) -> None: ...
    def update_attempts(self, state: CampaignState) -> None: ...
    def relabel(self, state: CampaignState) -> None: ...
    def remove(self, state: CampaignState) -> None: ...


@dataclass(frozen=True, slots=True)
class Shared:
    """
    What all accounts of the process have in common.

    Attributes:
        wall: Unix time, for time stamps.
        on_overflow: Called when a label value is counted as `other`.
    """

    slots: Slots
    display: Display
    watch: HoursWatch
    wall: Callable[[], float]
    rng: random.Random
    redactor: Redactor
    on_overflow: Callable[[], None]


@dataclass(slots=True)
class Changes:
    """Numbers of campaigns."""

    added: int = 0
    removed: int = 0
    changed: int = 0


class Account:
    """
    One account at work.

    Attributes:
        settings: Those in force, without campaigns.
        certificates: A digest of the files that its connections were made with.
        now: Monotonic seconds.
        secrets: Forgotten when it has stopped.
        log_as: What a log line says of it.
    """

    def __init__(
        self, plan: AccountPlan, poll: PollSettings, transport: Transport, shared: Shared, secrets: Secrets
    ) -> None:
        self.plan, self.poll, self.shared, self.secrets = plan, poll, shared, secrets
        self.settings = settings = plan.settings
        self.now = asyncio.get_running_loop().time
        self.log_as: dict[str, object] = {"provider": settings.provider, "account": settings.name}
        self.state = AccountState(settings.provider, settings.name, tuple(sorted(settings.labels.items())))
        self.certificates = certificates_of(settings.http)
        self.token = token_of(settings)
        self._hide_token()
        self._hide_proxy()
        self._transport = transport
        self._retired: set[Transport] = set()
        """Connections that were replaced, until they are closed."""
        self.provider: Provider = PROVIDERS[settings.provider](
            transport, self.token, organization=settings.organization, polled=lambda: self.poller.targets
        )
        self.log = PollLog(self.log_as)
        self.throttle = Throttle(settings.max_requests_per_second, settings.max_in_flight, shared.slots)
        self.agenda = Agenda(self.throttle)
        self.breaker = Breaker(self._credentials_refused, self._credentials_accepted)
        share = Share(self.throttle, _SHARE_OF_LISTINGS, lambda: self.poller.left)
        self.requests = Requests(self.throttle, share, self.breaker, self.log.held)
        self.poller = Poller(self)
        self._roster = Roster(self.log_as)
        self._probe = Probe(self)
        self.discovery = Discovery(self)
        self.calling_windows = CallingWindows(self)
        self.attempts = READERS[settings.provider](self)
        self._certificate_watch = CertificateWatch(self)
        # What it does besides its polls; adding a kind of job is its file and a line here.
        self._jobs: tuple[AccountJob, ...] = (
            TokenWatch(self),
            self._certificate_watch,
            self.discovery,
            self.calling_windows,
            self.attempts,
        )

    @property
    def directory(self) -> Directory | None:
        """What lists its campaigns; None where the provider lists none."""
        return self.provider if isinstance(self.provider, Directory) else None

    @property
    def ready(self) -> bool:
        """Whether every campaign was polled once, and the campaigns were listed once; or either has failed once."""
        return self.poller.ready and self.discovery.ready

    def begin(self) -> None:
        """Show its campaigns, and have them polled as soon as it runs."""
        self.settle()
        for job in self._jobs:
            job.settings_changed()

    async def run(self) -> None:
        """Poll until it is cancelled; to be closed before. An exception is a defect that has to end the process."""
        await self._transport.__aenter__()
        try:
            async with asyncio.TaskGroup() as group:
                await self.agenda.run(group)
        finally:
            self.close()
            for transport in (self._transport, *self._retired):
                await transport.__aexit__(None, None, None)
            self.secrets.forget()

    def close(self) -> None:
        """Begin nothing more. A turn of the event loop must pass before `run` is cancelled."""
        # A task that is cancelled before its first step would never give its place in the throttle back.
        self.agenda.close()
        self.poller.close()

    def remove_all(self) -> int:
        """Take all campaigns off the display, and begin nothing more."""
        self.close()
        campaign_ids = tuple(self.poller.targets)
        for campaign_id in campaign_ids:
            self._remove(campaign_id)
        return len(campaign_ids)

    async def change(self, plan: AccountPlan, poll: PollSettings, transport: Transport | None) -> Changes:
        """
        Go on with another plan for the same upstream, and over new connections where some are given.

        It never gives up its turn on the event loop, so that no reload is seen half done.
        """
        self._certificate_watch.settings_changed()
        if plan is self.plan and poll == self.poll and transport is None:
            return Changes()
        before, settings = self.settings, plan.settings
        self.plan, self.settings = plan, settings
        self.state.labels = tuple(sorted(settings.labels.items()))
        if transport is not None:
            await self.reconnect(transport)
        self.poll = poll
        if (settings.token, settings.token_file, settings.token_env) != (
            before.token,
            before.token_file,
            before.token_env,
        ):
            self.use_token(token_of(settings))
        self.poller.set_pace(poll, settings.max_requests_per_second, settings.max_in_flight)
        for job in self._jobs:
            job.settings_changed()
        return self.settle(hours_differ=settings.calling_windows != before.calling_windows)

    async def reconnect(self, transport: Transport) -> None:
        """Go on over new connections; the old ones are closed when the polls that still use them must have ended."""
        await transport.__aenter__()
        self.certificates = certificates_of(self.settings.http)
        self._hide_proxy()
        self._retired.add(self._transport)
        self.agenda.spawn(self._close_later(self._transport, self.poll.timeout))
        self._transport = self.provider.transport = transport

    async def _close_later(self, transport: Transport, timeout: float) -> None:
        await asyncio.sleep(timeout + _RETIRED_FOR)
        await transport.__aexit__(None, None, None)
        self._retired.discard(transport)

    def use_token(self, token: Token) -> None:
        """Send another token, and try again at once what was refused."""
        self.token = token
        self._hide_token()
        self.provider.authorize(token)
        self.breaker.token_changed(self.now())
        self.poller.token_changed()
        for job in self._jobs:
            job.credentials_accepted()

    def _hide_token(self) -> None:
        if isinstance(self.token, str):
            self.secrets.replace("token", [self.token])

    def _hide_proxy(self) -> None:
        self.secrets.replace("proxy", secrets_of_proxy(self.settings.http.proxy_url))

    def _credentials_refused(self) -> None:
        error = self.breaker.error
        assert error is not None  # noqa: S101 -- for mypy: that is why it is called
        self.log.breaker_opened(error, len(self.poller.targets))
        self.poller.refused(error)
        self.agenda.put(self._probe, self._probe.next_due)

    def _credentials_accepted(self, why: str) -> None:
        self.log.breaker_closed(why)
        self.poller.accepted()
        for job in self._jobs:
            job.credentials_accepted()

    # Campaigns

    def settle(self, *, hours_differ: bool = False) -> Changes:
        """
        Bring the campaigns that are polled in line with those that are wanted.

        Args:
            hours_differ: Whether `calling_windows` has changed.
        """
        changes = Changes()
        display, targets = self.shared.display, self.poller.targets
        before = {campaign_id: target.state.campaign for campaign_id, target in targets.items()}
        wanted = self._roster.wanted(self.plan, self.discovery.records, before)
        for campaign_id in before.keys() - wanted.keys():
            self._remove(campaign_id)
            changes.removed += 1
        new: list[tuple[Campaign, Hours | None]] = []
        for campaign_id, campaign in wanted.items():
            if campaign is before.get(campaign_id) and not hours_differ:
                continue
            hours = self.hours(campaign)
            target = targets.get(campaign_id)
            if target is None:
                new.append((campaign, hours))
                continue
            changes.changed += target.state.campaign != campaign or target.state.hours is not hours
            self.poller.set_hours(campaign_id, hours)
            if target.state.campaign != campaign:
                target.state.configure(campaign)
                display.relabel(target.state)
        for state in self.poller.add(new):
            display.add(state)
        changes.added = len(new)
        for campaign_id, record in self.discovery.records.items():
            self.name(campaign_id, record)
        for job in self._jobs:
            job.campaigns_changed()
        return changes

    def name(self, campaign_id: str, record: CampaignRecord) -> None:
        """Show the provider's name of a campaign, under whichever id it is polled."""
        for known in (campaign_id, record.external_id or ""):
            if (target := self.poller.targets.get(known)) is None:
                continue
            if record.name is not None and target.state.display_name != clean(record.name):
                target.state.rename(clean(record.name))
                self.shared.display.update(target.state)
            self.calling_windows.learned(known, record.configuration_id)

    def identified(self, campaign_id: str, provider_id: str) -> None:
        """Take in the id that the first answer about a campaign names."""
        if self.directory is None:
            # Where campaigns are no more than numbers, an odd one in an answer is a defect of the provider's.
            return
        if (twin := self._roster.identified(campaign_id, provider_id, self.poller.targets)) is not None:
            self._remove(twin)

    def _remove(self, campaign_id: str) -> None:
        self.shared.display.remove(self.poller.remove(campaign_id))

    def hours(self, campaign: Campaign) -> Hours | None:
        """When a campaign may dial; None where that is not known."""
        if campaign.hours is not None:
            return self.shared.watch.of(campaign.hours)
        match self.settings.calling_windows:
            case "always":
                return self.shared.watch.around_the_clock
            case "auto":
                return self.calling_windows.hours_of(campaign.id)
        return None
