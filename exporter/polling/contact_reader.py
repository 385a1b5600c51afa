"""Reads the contacts of Anyreach campaigns with their attempts, a campaign at a time."""

import asyncio
import logging
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache
from math import inf
from typing import ClassVar

from exporter.campaign.attempts import Verdicts
from exporter.campaign.snapshot import Snapshot
from exporter.campaign.state import CampaignState
from exporter.config.model import AttemptsSettings
from exporter.polling.attempts import COMPLETE, INCOMPLETE, READINGS_CHECK_INTERVAL, AttemptsJob
from exporter.polling.target import Target
from exporter.providers.anyreach import Anyreach
from exporter.providers.anyreach_contacts import ContactWalk
from exporter.providers.errors import PollError, TooLargeError
from exporter.turns import Turns

log = logging.getLogger(__name__)

VERDICTS_WITHIN = 86_400.0
"""Seconds after the end of a conversation within which verdicts are waited for."""
OLD_INTERVALS = 3
"""Intervals after which a reading is withdrawn."""
READ_WHEN_CLOSED = (0.0, 3600.0, 86_400.0)
"""Seconds after a campaign was seen closed, at which it is read once more."""
# A change of the interval below this is not shown before the next reading.
_WORTHWHILE = 0.05

_Numbers = tuple[float | None, float | None, float | None]


@dataclass(slots=True)
class _Watched:
    """
    What is known of a campaign's readings.

    Attributes:
        numbers: Those that tell of attempts, at the beginning of the last complete reading.
        tried_at: When the last reading began (monotonic), complete or not.
        read_at: When the last complete one began.
        confirmed_at: The last poll that has seen the same numbers.
        awaits_until: The time (Unix) until which verdicts are waited for.
        closed_at: When it was seen closed.
    """

    numbers: _Numbers | None = None
    tried_at: float = -inf
    read_at: float = -inf
    confirmed_at: float = -inf
    requests: int = 1
    awaits_until: float = -inf
    closed_at: float | None = None


@dataclass(slots=True, eq=False)
class ContactReader(AttemptsJob):
    """
    Walks through the contacts of one campaign after the other, the most overdue first.

    The polls tell which campaigns to read: those whose numbers have moved since, those that wait for verdicts, and
    closed ones a few times more. Nothing is asked about a quiet campaign.
    """

    route: ClassVar[str] = "contacts"
    exemplar_label: ClassVar[str] = "conversation_id"

    _watched: dict[Target, _Watched] = field(default_factory=dict, init=False)
    _verdicts_of: tuple[object, ...] | None = field(default=None, init=False)
    """The settings that say which verdicts are counted; None while nothing is read."""
    _interval: float = field(default=0.0, init=False)

    def settings_changed(self) -> None:
        settings = self.settings
        verdicts_of = None if settings is None else (settings.criteria, settings.expected)
        if verdicts_of != self._verdicts_of:
            # Nothing that was read so far says what is asked for now.
            self._verdicts_of = verdicts_of
            self._watched.clear()
        AttemptsJob.settings_changed(self)

    def campaigns_changed(self) -> None:
        for target in self._watched.keys() - set(self.account.poller.targets.values()):
            del self._watched[target]

    async def read(self, settings: AttemptsSettings) -> float:
        target = await self._most_overdue(settings)
        if target is None or target.gone or self.paused or self.settings != settings:
            return self.account.now() + READINGS_CHECK_INTERVAL
        await self._read_campaign(target, settings)
        return self.account.now()

    async def _most_overdue(self, settings: AttemptsSettings) -> Target | None:
        """Go through all campaigns: withdraw what is too old, and find the one to read now."""
        now, wall = self.account.now(), self.account.shared.wall()
        found, earliest, requests, turns = None, inf, 0, Turns()
        for target in tuple(self.account.poller.targets.values()):
            await turns.give_way()
            state, watched = target.state, self._watched.setdefault(target, _Watched())
            due = self._due(state, watched, now, wall)
            if due < inf:
                requests += watched.requests
            if due <= now and due < earliest:
                found, earliest = target, due
            self._withdraw_old(state, watched, now)
            self._show_interval(state)
        self._interval = self.interval_for(settings, requests)
        return found

    def _due(self, state: CampaignState, watched: _Watched, now: float, wall: float) -> float:
        if not state.fresh or state.snapshot.attempts is None:
            return inf
        if state.is_final:
            if watched.closed_at is None:
                watched.closed_at = now
            due = (watched.closed_at + wait for wait in READ_WHEN_CLOSED)
            return max(next((at for at in due if at > watched.read_at), inf), watched.tried_at + self._interval)
        watched.closed_at = None
        if watched.numbers != _numbers(state.snapshot) or wall < watched.awaits_until:
            return watched.tried_at + self._interval
        return inf

    def _withdraw_old(self, state: CampaignState, watched: _Watched, now: float) -> None:
        attempts = state.attempts
        if attempts is None or attempts.reading.by_status is None:
            return
        if state.fresh and watched.numbers == _numbers(state.snapshot):
            # While its numbers stand still, each poll confirms what was read.
            watched.confirmed_at = state.last_success or now
        elif now - max(watched.confirmed_at, watched.read_at) > OLD_INTERVALS * self._interval:
            attempts.withdraw()
            self.account.shared.display.update_attempts(state)

    def _show_interval(self, state: CampaignState) -> None:
        attempts = state.attempts
        if attempts is None or attempts.interval is None:
            return
        # Each campaign that is due stretches it a little, which is not worth new lines for all campaigns.
        if abs(self._interval / attempts.interval - 1) > _WORTHWHILE:
            attempts.interval = self._interval
            self.account.shared.display.update_attempts(state)

    async def _read_campaign(self, target: Target, settings: AttemptsSettings) -> None:
        """Walk through the contacts of one campaign; what is not complete changes nothing."""
        state, watched = target.state, self._watched.setdefault(target, _Watched())
        attempts = self.attempts_of(state, settings)
        walk = ContactWalk(_verdicts(settings), attempts.counted, state.snapshot, state.last_success_wall or 0.0)
        numbers, began = _numbers(state.snapshot), self.account.now()
        watched.tried_at = began
        try:
            while not walk.ended:
                await self._take_page(walk, state.campaign.id)
            counted = await asyncio.to_thread(walk.tally.all_counted)
        except PollError as exc:
            self.failed(exc)
            return
        if target.gone or self._watched.get(target) is not watched:
            return
        watched.requests = max(1, walk.requests)
        if walk.problem is not None:
            self.readings[INCOMPLETE] += 1
            log.info(
                "single attempts are not complete",
                extra=self.account.log_as | {"campaign": state.campaign.name, "error": walk.problem},
            )
            return
        self.readings[COMPLETE] += 1
        watched.numbers, watched.read_at = numbers, began
        awaited = walk.tally.awaited_from
        watched.awaits_until = -inf if awaited is None else awaited + VERDICTS_WITHIN
        attempts.take(walk.tally, counted, walk.untouched, walk.coverage, self.account.shared.wall())
        attempts.interval = self._interval
        self.account.shared.display.update_attempts(state)

    async def _take_page(self, walk: ContactWalk, campaign_id: str) -> None:
        provider = self.account.provider
        assert isinstance(provider, Anyreach)  # noqa: S101 -- for mypy: only that provider's accounts have this reader
        try:
            page = await self.ask(lambda: provider.contacts_page(campaign_id, walk.query()))
        except TooLargeError:
            if not walk.too_large():
                raise
        else:
            # A page with thousands of verdicts takes 10 ms to count.
            await asyncio.to_thread(walk.take, page)


def _numbers(snapshot: Snapshot) -> _Numbers:
    contacts = snapshot.contacts or {}
    return snapshot.attempts, contacts.get("completed"), contacts.get("exhausted")


def _verdicts(settings: AttemptsSettings) -> Verdicts:
    @lru_cache(1024)
    def wanted(criterion: str) -> bool:
        return any(fnmatchcase(criterion, pattern) for pattern in settings.criteria)

    return Verdicts(wanted, {criterion: str(outcome).lower() for criterion, outcome in settings.expected.items()})
