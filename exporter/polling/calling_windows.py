"""When an account's campaigns may dial, by the configurations that the provider keeps for them."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Generic, TypeVar

from exporter.campaign.schedule import Hours
from exporter.campaign.state import CampaignState
from exporter.polling.discovery import RETRY, walk
from exporter.polling.job import AccountJob
from exporter.providers import Directory
from exporter.providers.errors import ForbiddenError, InvalidResponseError, NotFoundError, PollError
from exporter.providers.listing import Listing
from exporter.turns import Turns

log = logging.getLogger(__name__)

T = TypeVar("T")

WINDOWS_CHECK_INTERVAL = 5.0
"""Seconds between two checks of what is due to be read."""
CONFIGURATION_REFRESH = 600.0
REFERENCE_REFRESH = 3600.0
"""Seconds for which a campaign is taken to have the configuration that it had; a listing by discovery renews that."""

_WORTH_A_LISTING = 20
_MOST_LISTED = 100_000


@dataclass(slots=True)
class _Known(Generic[T]):
    """
    What was read last: the id of a campaign's configuration, or the hours of a configuration.

    Attributes:
        due: When to read it again (monotonic).
        error: Why it can't be read or understood.
    """

    value: T | None = None
    due: float = 0.0
    error: PollError | None = None


@dataclass(slots=True, eq=False)
class CallingWindows(AccountJob):
    """
    Keeps known when the campaigns may dial that have no configured hours.

    Each configuration is read once, however many campaigns share it. What was read stays in force when it can't be read
    again; what can't be understood is unknown, never closed.

    Attributes:
        readable: Whether those can be read that were asked for; None before the first answer.
    """

    readable: bool | None = field(default=None, init=False)
    _references: dict[str, _Known[str]] = field(default_factory=dict, init=False)
    _configurations: dict[str, _Known[Hours]] = field(default_factory=dict, init=False)
    _forbidden: ForbiddenError | None = field(default=None, init=False)
    """What has turned it off."""
    _list_again: float = field(default=0.0, init=False)
    _forbidden_campaign: str | None = field(default=None, init=False)

    @property
    def wanted(self) -> bool:
        return self.account.settings.calling_windows == "auto" and self.account.directory is not None

    def settings_changed(self) -> None:
        if not self.wanted:
            self.readable = None
        AccountJob.settings_changed(self)

    def learned(self, campaign_id: str, configuration_id: str | None) -> None:
        """Take in what an answer says of a campaign's configuration."""
        if configuration_id is not None:
            reference = self._references.setdefault(campaign_id, _Known())
            reference.value, reference.due = configuration_id, self.account.now() + REFERENCE_REFRESH
            reference.error = None

    def hours_of(self, campaign_id: str) -> Hours | None:
        """What is known of a campaign's hours; None for nothing."""
        reference = self._references.get(campaign_id)
        configuration = self._configurations.get(reference.value or "") if reference else None
        return configuration.value if configuration else None

    def error_of(self, campaign_id: str) -> PollError | None:
        """Why a campaign's hours can't be read; None where they are read, and where it has not failed."""
        reference = self._references.get(campaign_id)
        if reference is None or self.hours_of(campaign_id) is not None:
            return None
        configuration = self._configurations.get(reference.value or "")
        return reference.error or (configuration and configuration.error) or self._forbidden

    def campaigns_changed(self) -> None:
        for campaign_id in self._references.keys() - self.account.poller.targets.keys():
            del self._references[campaign_id]
        used = {reference.value for reference in self._references.values()}
        for configuration_id in self._configurations.keys() - used:
            del self._configurations[configuration_id]
        if self.wanted:
            self.account.agenda.put(self, self.account.now())

    def credentials_accepted(self) -> None:
        self._list_again = 0.0
        self._forbidden_campaign = None
        for reference in self._references.values():
            reference.due = 0.0
        for configuration in self._configurations.values():
            configuration.due = 0.0
        AccountJob.credentials_accepted(self)

    async def run(self) -> float:
        """Ask for what is not known or has become too old."""
        account, directory = self.account, self.account.directory
        if directory is None or not self.wanted:
            return inf
        targets = account.poller.targets
        campaign_ids = [known for known, target in targets.items() if target.state.campaign.hours is None]
        if self._many_are_due(campaign_ids):
            await self._read_list(directory)
        turns, unread = Turns(), None
        for campaign_id in campaign_ids:
            await turns.give_way()
            if not self.wanted or self.paused:
                break
            reference = self._references.setdefault(campaign_id, _Known())
            if account.now() >= reference.due:
                await self._read_campaign(directory, campaign_id, reference)
            if reference.value:
                configuration = self._configurations.setdefault(reference.value, _Known())
                if account.now() >= configuration.due:
                    await self._read_configuration(directory, reference.value, configuration)
            if (target := targets.get(campaign_id)) is not None:
                account.poller.set_hours(campaign_id, account.hours(target.state.campaign))
                if _is_news(error := self.error_of(campaign_id), target.state):
                    unread = error
        else:
            self._report(unread or self._forbidden)
        return account.now() + WINDOWS_CHECK_INTERVAL

    def _many_are_due(self, campaign_ids: Sequence[str]) -> bool:
        now = self.account.now()
        if self.paused or now < self._list_again:
            return False
        due = [known for known in campaign_ids if known not in self._references or now >= self._references[known].due]
        return len(due) > _WORTH_A_LISTING

    async def _read_list(self, directory: Directory) -> None:
        """Learn of many campaigns at once: a page of the list takes one request for a hundred of them."""
        self._list_again = self.account.now() + CONFIGURATION_REFRESH
        listing = Listing(max_campaigns=_MOST_LISTED)
        try:
            await walk(self.account.requests, directory, listing)
        except PollError as exc:
            # Single campaigns may be readable all the same, so nothing is turned off.
            extra = self.account.log_as | {"error": str(exc)}
            log.debug("campaigns can't be listed for their calling windows", extra=extra)
        for record in listing.campaigns:
            self.account.name(record.id, record)

    async def _read_campaign(self, directory: Directory, campaign_id: str, reference: _Known[str]) -> None:
        reference.due = self.account.now() + CONFIGURATION_REFRESH
        try:
            record = await self.account.requests.ask("campaign", lambda: directory.campaign(campaign_id))
        except ForbiddenError as exc:
            # One campaign may be somebody else's; two of them, with no success between, are the token's fault.
            if self._forbidden_campaign not in (None, campaign_id):
                self._refused(exc)
            self._forbidden_campaign = campaign_id
            reference.error = exc
        except PollError as exc:
            if not isinstance(exc, NotFoundError):
                reference.due = self.account.now() + RETRY
            reference.error = exc
        else:
            self._forbidden_campaign = None
            unnamed = InvalidResponseError("the provider's answer about the campaign names no configuration")
            reference.error = None if record.configuration_id else unnamed
            self.account.name(campaign_id, record)

    async def _read_configuration(
        self, directory: Directory, configuration_id: str, configuration: _Known[Hours]
    ) -> None:
        try:
            schedule = await self.account.requests.ask("configuration", lambda: directory.schedule(configuration_id))
        except PollError as exc:
            if isinstance(exc, ForbiddenError):
                self._refused(exc)
            configuration.error = exc
            configuration.due = self.account.now() + RETRY
            return
        self._forbidden = None
        if self.readable is None:
            self.readable = True
        unclear = InvalidResponseError(f"the calling windows of configuration {configuration_id} can't be understood")
        configuration.error = unclear if schedule is None else None
        configuration.value = None if schedule is None else self.account.shared.watch.of(schedule)
        configuration.due = self.account.now() + CONFIGURATION_REFRESH

    def _refused(self, error: ForbiddenError) -> None:
        self._forbidden = error
        self.turn_off()
        self._report(error)

    def _report(self, error: PollError | None) -> None:
        """Log when hours are unknown since they can't be read, and when that is over: once for all campaigns."""
        if error is not None:
            if self.readable is not False:
                log.warning(
                    "calling windows can't be read: stalls are not detected",
                    extra=self.account.log_as | {"error": str(error)},
                )
            self.readable = False
        elif self.readable is False:
            log.info("calling windows can be read again", extra=self.account.log_as)
            self.readable = True


def _is_news(error: PollError | None, state: CampaignState) -> bool:
    """Whether an error says why hours can't be read."""
    # A campaign that is not found is reported by its polls, if they find it neither; one that is forbidden may be
    # somebody else's.
    if isinstance(error, NotFoundError):
        return state.last_success is not None and state.error != "not_found"
    return error is not None and not isinstance(error, ForbiddenError)
