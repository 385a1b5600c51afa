"""Counters of what rose from one answer to the next."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from exporter.campaign.snapshot import CALLS_IN_PROGRESS, ODD, Snapshot

_COUNTED_BUCKETS = ("completed", "exhausted")
_NO_NUMBERS: Mapping[str, float] = {}


def _no_numbers() -> Mapping[str, float]:
    return _NO_NUMBERS


@dataclass(slots=True, eq=False)
class Rises:
    """
    The sums of a campaign's rises since its first answer, over gaps too; None for what was never sent.

    A fall, after contacts were deleted, adds nothing.
    """

    attempts: float | None = None
    contacts: Mapping[str, float] | None = None
    """By terminal bucket."""
    calls: Mapping[str, float] | None = None
    """By outcome; a status that appears counts from 0."""
    _last_attempts: float | None = None
    _last_made: float | None = None
    _last_contacts: Mapping[str, float] = field(default_factory=_no_numbers)
    _last_calls: Mapping[str, float] = field(default_factory=_no_numbers)
    _in_progress: float | None = None
    _before_fall: dict[str, float] | None = None
    """What a number was before its last answer, for those that fell with it."""

    def count(self, snapshot: Snapshot) -> bool:
        """Add what rose since each number was last known; True when that, or calls in progress, is progress."""
        contacts, calls = snapshot.contacts, snapshot.calls
        progress = False
        if (attempts := snapshot.attempts) is not None:
            if self._last_attempts is None or self.attempts is None:
                self.attempts = 0
            elif rise := self._rise("attempts", self._last_attempts, attempts):
                self.attempts += rise
                progress = True
            self._last_attempts = attempts
        if (made := snapshot.calls_made) is not None:
            if self._last_made is not None and self._rise("calls_made", self._last_made, made):
                progress = True
            self._last_made = made
        in_progress = None
        if contacts is not None:
            progress |= self._count_contacts(contacts)
            in_progress = contacts.get("in_progress")
        if calls is not None:
            progress |= self._count_calls(calls)
            in_progress = calls.get(CALLS_IN_PROGRESS, 0)
        if in_progress is not None:
            # A number that stands still is no progress: calls may hang.
            progress |= self._in_progress is not None and in_progress != self._in_progress
            self._in_progress = in_progress
        return progress

    def _rise(self, key: str, before: float, number: float) -> float:
        """
        What a number rose by since it was last known; a fall is none.

        A single answer that is lower than both its neighbours is a slip when the next one makes up for most of the
        fall: then the rise is taken from the answer before it. A smaller rise follows deleted contacts, and counts.
        """
        falls = self._before_fall
        if number >= ODD:
            return 0
        if falls is None:
            if number >= before:
                return number - before
            self._before_fall = {key: before}
            return 0
        top = falls.pop(key, None)
        if number < before:
            falls[key] = before
            return 0
        if not falls:
            self._before_fall = None
        if top is not None and number - before >= (top - before) / 2:
            return max(0, number - top)
        return number - before

    def _count_contacts(self, contacts: Mapping[str, float]) -> bool:
        last = self._last_contacts
        observed: dict[str, float] | None = None
        complete, progress = True, False
        for bucket in _COUNTED_BUCKETS:
            number = contacts.get(bucket)
            if number is None:
                complete = False
                continue
            before = last.get(bucket)
            if before is not None:
                if before == number and self._before_fall is None:
                    continue
                if not (rise := self._rise(bucket, before, number)):
                    continue
                progress = True
            if observed is None:
                # Another mapping, since what is shown is compared with the one before.
                observed = {**(self.contacts or {})}
            observed[bucket] = observed.get(bucket, 0) + (0 if before is None else rise)
        if observed is not None:
            self.contacts = observed
        # A bucket that was left out this time is compared with what it was when it was last sent.
        self._last_contacts = contacts if complete else {**last, **contacts}
        return progress

    def _count_calls(self, calls: Mapping[str, float]) -> bool:
        last, observed = self._last_calls, self.calls
        first, progress = observed is None, False
        for status, number in calls.items():
            if status == CALLS_IN_PROGRESS:
                continue
            rise = 0 if first else self._rise(f"calls {status}", last.get(status, 0), number)
            if rise or observed is None or status not in observed:
                observed = {**(observed or {}), status: (observed or {}).get(status, 0) + rise}
                progress |= rise > 0
        self.calls = observed
        self._last_calls = calls if calls.keys() >= last.keys() else {**last, **calls}
        return progress
