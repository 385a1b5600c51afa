"""When an account's campaigns may dial, by the configurations that the provider keeps for them."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field

from exporter.campaign.schedule import Hours, HoursWatch
from exporter.polling.discovery import OFF_FOR, RETRY, walk
from exporter.polling.job import AccountJob
from exporter.polling.requests import Requests
from exporter.providers import Directory
from exporter.providers.errors import ForbiddenError, NotFoundError, PollError
from exporter.providers.listing import CampaignRecord, Listing
from exporter.turns import Turns

log = logging.getLogger(__name__)

WINDOWS_LOOK = 5.0
"""Seconds between two looks at what is due to be read."""
CONFIGURATION_REFRESH = 600.0
REFERENCE_REFRESH = 3600.0
"""Seconds for which a campaign is taken to have the configuration that it had; a listing by discovery renews that."""

_WORTH_A_LISTING = 20
_MOST_LISTED = 100_000


@dataclass(slots=True)
class _Configuration:
    """What is known of one configuration."""

    hours: Hours | None = None
    due: float = 0.0


class WindowReader:
    """
    Reads the calling windows of an account's campaigns: once for each configuration, however many campaigns share it.

    What was read stays in force when it can't be read again; what can't be understood is unknown, never closed.

    Args:
        directory: Gives what answers, which may be replaced at any time.
        found: Called with a campaign's id and record when it was asked for.
        account: What a log line says of the account.

    Attributes:
        readable: False while the token may not read configurations; None before the first answer.
    """

    def __init__(
        self,
        directory: Callable[[], Directory | None],
        requests: Requests,
        watch: HoursWatch,
        found: Callable[[str, CampaignRecord], None],
        account: dict[str, object],
    ) -> None:
        self.readable: bool | None = None
        self._directory = directory
        self._requests = requests
        self._watch = watch
        self._found = found
        self._account = account
        self._clock = asyncio.get_running_loop().time
        self._configuration_of: dict[str, str | None] = {}
        self._ask_again: dict[str, float] = {}
        self._configurations: dict[str, _Configuration] = {}
        self._off_until = 0.0
        self._list_again = 0.0
        self._forbidden_campaign: str | None = None

    def learned(self, campaign_id: str, configuration_id: str | None) -> None:
        """Take in what an answer says of a campaign's configuration."""
        if configuration_id is not None:
            self._configuration_of[campaign_id] = configuration_id
            self._ask_again[campaign_id] = self._clock() + REFERENCE_REFRESH

    def hours(self, campaign_id: str) -> Hours | None:
        """What is known of a campaign's hours; None for nothing."""
        configuration = self._configurations.get(self._configuration_of.get(campaign_id) or "")
        return configuration.hours if configuration else None

    def allow(self) -> None:
        """Try again what was forbidden: the token has changed."""
        self._off_until = self._list_again = 0.0
        self._forbidden_campaign = None
        self._ask_again.clear()
        for configuration in self._configurations.values():
            configuration.due = 0.0

    def forget_others(self, campaign_ids: Iterable[str]) -> None:
        """Keep what is known of these campaigns only."""
        wanted = set(campaign_ids)
        for known in (self._configuration_of, self._ask_again):
            for campaign_id in known.keys() - wanted:
                del known[campaign_id]
        used = set(self._configuration_of.values())
        for configuration_id in self._configurations.keys() - used:
            del self._configurations[configuration_id]

    async def read(self, campaign_ids: Sequence[str]) -> AsyncIterator[str]:
        """Ask for what is not known or has become too old; yields the campaigns of which something is known now."""
        if self._many_are_due(campaign_ids):
            await self._read_list()
        turns = Turns()
        for campaign_id in campaign_ids:
            await turns.give_way()
            directory = self._directory()
            if directory is None or self._requests.breaker.is_open or self._clock() < self._off_until:
                return
            if self._is_due(campaign_id):
                await self._read_campaign(directory, campaign_id)
            if configuration_id := self._configuration_of.get(campaign_id):
                configuration = self._configurations.setdefault(configuration_id, _Configuration())
                if self._clock() >= configuration.due:
                    await self._read_configuration(directory, configuration_id, configuration)
                yield campaign_id

    def _is_due(self, campaign_id: str) -> bool:
        return self._clock() >= self._ask_again.get(campaign_id, 0.0)

    def _many_are_due(self, campaign_ids: Iterable[str]) -> bool:
        if self._clock() < max(self._list_again, self._off_until):
            return False
        return sum(map(self._is_due, campaign_ids)) > _WORTH_A_LISTING

    async def _read_list(self) -> None:
        """Learn of many campaigns at once: a page of the list takes one request for a hundred of them."""
        self._list_again = self._clock() + CONFIGURATION_REFRESH
        listing = Listing(max_campaigns=_MOST_LISTED)
        try:
            await walk(self._requests, self._list_page, listing)
        except PollError as exc:
            # Single campaigns may be readable all the same, so nothing is turned off.
            log.debug("campaigns can't be listed for their calling windows", extra=self._account | {"error": str(exc)})
        for record in listing.campaigns:
            self._found(record.id, record)

    async def _list_page(self, listing: Listing) -> None:
        if (directory := self._directory()) is not None:
            await directory.list_page(listing)

    async def _read_campaign(self, directory: Directory, campaign_id: str) -> None:
        self._ask_again[campaign_id] = self._clock() + CONFIGURATION_REFRESH
        try:
            record = await self._requests.ask("campaign", lambda: directory.campaign(campaign_id))
        except PollError as exc:
            if isinstance(exc, ForbiddenError):
                self._campaign_is_forbidden(campaign_id, exc)
            # A campaign that does not exist is reported by its polls.
            elif not isinstance(exc, NotFoundError):
                self._ask_again[campaign_id] = self._clock() + RETRY
            return
        self._forbidden_campaign = None
        self._found(campaign_id, record)
        self.learned(campaign_id, record.configuration_id)

    async def _read_configuration(
        self, directory: Directory, configuration_id: str, configuration: _Configuration
    ) -> None:
        try:
            schedule = await self._requests.ask("configuration", lambda: directory.schedule(configuration_id))
        except PollError as exc:
            if isinstance(exc, ForbiddenError):
                self._turn_off(exc)
            configuration.due = self._clock() + RETRY
            return
        if self.readable is False:
            log.info("calling windows can be read again", extra=self._account)
        self.readable = True
        if schedule is None and (configuration.hours is not None or not configuration.due):
            log.warning("a configuration's calling windows can't be understood", extra=self._account)
        configuration.hours = None if schedule is None else self._watch.of(schedule)
        configuration.due = self._clock() + CONFIGURATION_REFRESH

    def _campaign_is_forbidden(self, campaign_id: str, error: ForbiddenError) -> None:
        # One campaign may be somebody else's; two of them, with no success between, are the token's fault.
        first, self._forbidden_campaign = self._forbidden_campaign, campaign_id
        if first is not None and first != campaign_id:
            self._turn_off(error)

    def _turn_off(self, error: ForbiddenError) -> None:
        if self.readable is not False:
            log.warning(
                "the token may not read campaigns or configurations: calling windows stay unknown",
                extra=self._account | {"error": str(error)},
            )
        self.readable = False
        self._off_until = self._clock() + OFF_FOR


@dataclass(slots=True, eq=False)
class CallingWindows(AccountJob):
    """Keeps known when the campaigns may dial that have no configured hours."""

    reader: WindowReader = field(init=False)

    def __post_init__(self) -> None:
        account = self.account
        self.reader = WindowReader(
            lambda: account.directory, account.requests, account.shared.watch, account.name, account.log_as
        )

    @property
    def wanted(self) -> bool:
        return self.account.settings.calling_windows == "auto" and self.account.directory is not None

    @property
    def readable(self) -> bool | None:
        """Whether calling windows can be read; None where nothing asks for them."""
        return self.reader.readable if self.account.settings.calling_windows == "auto" else None

    async def run(self) -> float:
        async for campaign_id in self.reader.read(self.account.without_hours()):
            if self.wanted:
                self.account.poller.set_hours(campaign_id, self.reader.hours(campaign_id))
        return self.account.now() + WINDOWS_LOOK

    def campaigns_changed(self) -> None:
        self.reader.forget_others(self.account.poller.targets)
        if self.wanted:
            self.account.agenda.put(self, self.account.now())

    def credentials_accepted(self) -> None:
        self.reader.allow()
        AccountJob.credentials_accepted(self)
