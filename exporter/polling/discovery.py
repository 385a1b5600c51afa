"""Which campaigns an account has, and which of its configurations says when they may dial."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from exporter.campaign.schedule import Hours, HoursWatch, Schedule
from exporter.polling.throttle import Throttle
from exporter.providers.errors import ForbiddenError, InternalError, NotFoundError, PollError
from exporter.providers.listing import CampaignRecord, Listing
from exporter.turns import Turns

log = logging.getLogger(__name__)

T = TypeVar("T")

CONFIGURATION_REFRESH = 600.0
REFERENCE_REFRESH = 3600.0
"""How long a campaign is taken to have the configuration that it had; a listing by discovery renews that."""
RETRY = 60.0
OFF_FOR = 3600.0
"""How long a feature that the token may not use is left alone; a changed token ends it at once."""

_WORTH_A_LISTING = 20
_MOST_LISTED = 100_000


class Directory(Protocol):
    """A provider that lists its campaigns and tells their calling windows."""

    async def campaign(self, campaign_id: str) -> CampaignRecord: ...
    async def schedule(self, configuration_id: str) -> Schedule | None: ...
    async def list_page(self, listing: Listing) -> None: ...


async def ask(throttle: Throttle, request: Callable[[], Awaitable[T]]) -> T:
    """
    Send one request that is no poll, within the account's budget.

    Raises:
        PollError: It failed; InternalError where the answer brought out a defect, which must not end the process.
    """
    async with throttle.one_more():
        try:
            return await request()
        except PollError:
            raise
        except Exception as exc:
            log.exception("a request broke")
            raise InternalError(f"a defect of the exporter: {type(exc).__name__}") from exc


async def walk(directory: Directory, throttle: Throttle, listing: Listing) -> None:
    """
    Go through all pages of a listing, each request within the account's budget.

    Raises:
        PollError: A page could not be had; what was found before it is in the listing.
    """
    while not listing.ended:
        await ask(throttle, lambda: directory.list_page(listing))


@dataclass(slots=True)
class _Configuration:
    """What is known of one configuration."""

    hours: Hours | None = None
    due: float = 0.0


class WindowReader:
    """
    Reads the calling windows of an account's campaigns: once for each configuration, however many campaigns share it.

    What was read stays in force when it can't be read anew; what can't be understood is unknown, never closed.

    Args:
        found: Called with a campaign's id and record when one was asked for.
        failed: Called with the error of a request, and the moment at which it was sent.
        paused: Tells whether nothing may be asked now, since the credentials are refused.
        account: What a log line says of the account.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        throttle: Throttle,
        watch: HoursWatch,
        found: Callable[[str, CampaignRecord], None],
        failed: Callable[[PollError, float], None],
        paused: Callable[[], bool],
        account: dict[str, object],
        clock: Callable[[], float],
    ) -> None:
        self.readable: bool | None = None
        """False while the token may not read configurations; None before the first answer."""
        self._throttle = throttle
        self._watch = watch
        self._found = found
        self._failed = failed
        self._paused = paused
        self._account = account
        self._clock = clock
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

    async def read(self, directory: Directory, campaign_ids: Sequence[str]) -> AsyncIterator[str]:
        """Ask for what is not known or has become too old; yields the campaigns of which something is known now."""
        if self._many_are_due(campaign_ids):
            await self._read_list(directory)
        turns = Turns()
        for campaign_id in campaign_ids:
            await turns.give_way()
            if self._paused() or self._clock() < self._off_until:
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

    async def _read_list(self, directory: Directory) -> None:
        """Learn of many campaigns at once: a page of the list takes one request for a hundred of them."""
        self._list_again = self._clock() + CONFIGURATION_REFRESH
        listing = Listing(max_campaigns=_MOST_LISTED)
        sent = self._clock()
        try:
            await walk(directory, self._throttle, listing)
        except PollError as exc:
            # Single campaigns may be readable all the same, so nothing is turned off.
            self._failed(exc, sent)
        for record in listing.campaigns:
            self._found(record.id, record)

    async def _read_campaign(self, directory: Directory, campaign_id: str) -> None:
        self._ask_again[campaign_id] = self._clock() + CONFIGURATION_REFRESH
        sent = self._clock()
        try:
            record = await ask(self._throttle, lambda: directory.campaign(campaign_id))
        except PollError as exc:
            self._failed(exc, sent)
            if isinstance(exc, ForbiddenError):
                self._campaign_is_forbidden(campaign_id, exc)
            # A campaign that is not there is told of by its polls.
            elif not isinstance(exc, NotFoundError):
                self._ask_again[campaign_id] = self._clock() + RETRY
            return
        self._forbidden_campaign = None
        self._found(campaign_id, record)
        self.learned(campaign_id, record.configuration_id)

    async def _read_configuration(
        self, directory: Directory, configuration_id: str, configuration: _Configuration
    ) -> None:
        sent = self._clock()
        try:
            schedule = await ask(self._throttle, lambda: directory.schedule(configuration_id))
        except PollError as exc:
            self._failed(exc, sent)
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
