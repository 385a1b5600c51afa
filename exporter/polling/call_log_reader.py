"""Reads the end of OSVI's call log, once for all campaigns of an account."""

from collections.abc import AsyncIterator, Set
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

from exporter.campaign.attempts import Attempt, key_of, newest_of
from exporter.config.model import AttemptsSettings
from exporter.polling.attempts import COMPLETE, READINGS_CHECK_INTERVAL, AttemptsJob
from exporter.providers.errors import PollError
from exporter.providers.osvi import Osvi
from exporter.providers.osvi_calls import CALLS_PER_PAGE, Call, CallsPage

_FIRST_PAGES = 3
_MOST_PAGES = 200
_ENOUGH_KNOWN = 50
"""Known calls in a row below which all others are older."""


@dataclass(slots=True, eq=False)
class CallLogReader(AttemptsJob):
    """
    Reads what the call log has got since the last time, and counts the calls that have ended.

    The log shows the newest call first. It is read until many calls in a row are known; a call in progress is followed
    until it ends. New calls push others to later pages, so that some are seen twice and none is missed.
    """

    route: ClassVar[str] = "calls"
    exemplar_label: ClassVar[str] = "call_id"

    _known: frozenset[int] = field(default_factory=frozenset, init=False)
    """Keys of the calls that the last reading has seen ended."""
    _open: frozenset[int] = field(default_factory=frozenset, init=False)
    """Keys of the calls that were in progress at the last reading."""
    _began: bool = field(default=False, init=False)
    _requests: int = field(default=1, init=False)

    def settings_changed(self) -> None:
        if self.settings is None:
            # Calls that end from now on are not watched.
            self._known = self._open = frozenset()
            self._began = False
        AttemptsJob.settings_changed(self)

    async def read(self, settings: AttemptsSettings) -> float:
        interval = self.interval_for(settings, self._requests)
        if self.paused:
            return self.account.now() + READINGS_CHECK_INTERVAL
        self._requests = 0
        try:
            calls = await self._calls_by_key()
        except PollError as exc:
            self.failed(exc)
        else:
            # A reload may have changed them meanwhile.
            if self.settings is not None:
                self.readings[COMPLETE] += 1
                self._take(calls, self.settings, interval)
        return self.account.now() + interval

    async def _calls_by_key(self) -> dict[int, Call]:
        """The calls that are new or have ended, those in progress, and known ones down to the end of the reading."""
        calls: dict[int, Call] = {}
        if not self._began:
            going_on = self._calls(in_progress=True)
            calls = {key_of(call.attempt.id): call async for call in going_on if not call.ended}
        known_in_a_row = 0
        async for call in self._calls(most_pages=_MOST_PAGES if self._began else _FIRST_PAGES):
            key = key_of(call.attempt.id)
            is_known = self._began and (key in self._known or key in self._open or key in calls)
            known_in_a_row = known_in_a_row + 1 if is_known else 0
            calls[key] = call
            if known_in_a_row >= _ENOUGH_KNOWN:
                break
        # Those that were in progress and stand further down still are, or have ended meanwhile.
        await self._find(self._open - calls.keys(), calls, in_progress=True)
        await self._find(self._open - calls.keys(), calls)
        return calls

    async def _find(self, missing: Set[int], calls: dict[int, Call], *, in_progress: bool = False) -> None:
        """Add calls, as far as they are found."""
        if not missing:
            return
        async for call in self._calls(in_progress=in_progress):
            if (key := key_of(call.attempt.id)) in missing:
                calls[key] = call
                if calls.keys() >= missing:
                    return

    async def _calls(self, *, in_progress: bool = False, most_pages: int = _MOST_PAGES) -> AsyncIterator[Call]:
        """The calls of page after page, the newest first."""
        provider = self.account.provider
        assert isinstance(provider, Osvi)  # noqa: S101 -- for mypy: only that provider's accounts have this reader
        for number in range(1, most_pages + 1):
            page = await self.ask(partial(provider.calls, number, in_progress=in_progress))
            self._requests += 1
            for call in page.calls:
                yield call
            if _is_last(page, number):
                return

    def _take(self, calls: dict[int, Call], settings: AttemptsSettings, interval: float) -> None:
        ended = {key for key, call in calls.items() if call.ended}
        new: dict[str, list[Attempt]] = {}
        seen: dict[str, list[Attempt]] = {}
        for key, call in calls.items():
            seen.setdefault(call.campaign_id, []).append(call.attempt)
            if call.ended and key not in self._known:
                new.setdefault(call.campaign_id, []).append(call.attempt)
        for campaign_id, target in self.account.poller.targets.items():
            attempts = self.attempts_of(target.state, settings)
            attempts.ended(new.get(campaign_id, ()), counted=self._began)
            by_id = {attempt.id: attempt for attempt in (*attempts.newest, *seen.get(campaign_id, ()))}
            attempts.newest = tuple(newest_of(by_id.values()))
            attempts.read_at, attempts.interval = self.account.shared.wall(), interval
            self.account.shared.display.update_attempts(target.state)
        self._known = frozenset(ended)
        self._open = frozenset(calls.keys() - ended)
        self._began = True


def _is_last(page: CallsPage, number: int) -> bool:
    if not page.calls:
        return True
    return number >= page.pages if page.pages is not None else len(page.calls) < CALLS_PER_PAGE
