"""
Single attempts of one campaign: what a complete reading says of them, and those that ended while they were watched.

An attempt is one call. Anyreach sends attempts with their contacts, OSVI in its call log.
"""

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from heapq import nlargest
from itertools import chain
from typing import NamedTuple

from exporter.campaign.labels import LabelBudget

SECONDS = (5, 10, 20, 30, 45, 60, 90, 120, 180, 300, 600, 1200, 1800)
"""Upper bounds of the buckets for the duration of a call."""
OUTCOMES = ("true", "false", "abstain", "na", "other")
"""Verdicts of an evaluation (https://docs.anyreach.ai/evaluation/analytics), and all that is none of them."""
NEWEST = 200
"""Attempts of a campaign that are kept to be shown."""
_MOST_ATTEMPTS = 10
_LARGEST_SKEW = 60.0
"""Seconds by which a provider's clock may be ahead of ours."""
_EXEMPLAR_LENGTH = 100
"""OpenMetrics allows 128 characters for the labels of an exemplar, names included."""


class Attempt(NamedTuple):
    """One attempt or call. Moments are Unix time; nothing in it identifies the person who was called."""

    id: str
    status: str
    started_at: float | None = None
    ended_at: float | None = None
    seconds: float | None = None
    """Its duration; None while it goes on, or where the provider's moments make no sense."""
    conversation_id: str | None = None
    """What leads to the conversation or, for OSVI, to the call."""
    verdicts: Mapping[str, str] | None = None
    """Outcome by criterion, one of `OUTCOMES`; None without an evaluation."""
    tag: str | None = None
    end_reason: str | None = None


def key_of(attempt_id: str) -> int:
    """64 bits that stand for an id: sets of them take a tenth of the memory of the ids."""
    return int.from_bytes(blake2b(attempt_id.encode("utf-8", "replace"), digest_size=8).digest(), "big")


class Exemplar(NamedTuple):
    """The newest call of a bucket: the label that leads to it, its duration and when it ended (Unix time)."""

    label: str
    id: str
    seconds: float
    at: float


@dataclass(frozen=True, slots=True)
class Durations:
    """Numbers of calls by duration; replaced by another object when a call is added."""

    counts: tuple[int, ...] = (0,) * (len(SECONDS) + 1)
    """By bucket, not added up; the last one has no upper bound."""
    sum: float = 0.0
    exemplars: tuple[Exemplar | None, ...] = (None,) * (len(SECONDS) + 1)

    def with_calls(self, calls: Iterable[Attempt], exemplar_label: str | None) -> "Durations":
        """Add calls; with a label, the newest of each bucket becomes its exemplar."""
        counts, exemplars, total = list(self.counts), list(self.exemplars), self.sum
        for call in calls:
            if call.seconds is None:
                continue
            bucket = bisect_left(SECONDS, call.seconds)
            counts[bucket] += 1
            total += call.seconds
            if exemplar_label is not None:
                exemplars[bucket] = _newer(exemplars[bucket], exemplar_label, call, call.seconds)
        return Durations(tuple(counts), total, tuple(exemplars))


def _newer(exemplar: Exemplar | None, label: str, call: Attempt, seconds: float) -> Exemplar | None:
    at = call.ended_at
    if at is None or not call.conversation_id or len(call.conversation_id) > _EXEMPLAR_LENGTH:
        return exemplar
    if exemplar is not None and exemplar.at > at:
        return exemplar
    return Exemplar(label, call.conversation_id, seconds, at)


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Whether the verdicts on a criterion are shown, and which outcomes are compliant, by criterion."""

    wanted: Callable[[str], bool]
    expected: Mapping[str, str]


@dataclass(slots=True, eq=False)
class Tally:
    """What one walk through the contacts of a campaign has found so far; a contact counts at its first sight."""

    verdicts: Verdicts
    counted: "array[int] | None" = None
    """Keys of the ended attempts that were counted before, in order; None where the counting begins with this walk."""
    by_status: Counter[str] = field(default_factory=Counter)
    by_attempts: Counter[int] = field(default_factory=Counter)
    attempts: int = 0
    open: int = 0
    oldest_open: float | None = None
    with_conversation: int = 0
    evaluated: int = 0
    awaited_from: float | None = None
    """The newest end of a conversation that has no verdicts yet."""
    outcomes: dict[str, Counter[str]] = field(default_factory=dict)
    ended_statuses: set[str] = field(default_factory=set)
    new: dict[int, Attempt] = field(default_factory=dict)
    """Ended attempts that were not counted before, by key."""
    _keys: "array[int]" = field(default_factory=lambda: array("Q"))
    """Keys of the ended attempts, where the counting begins."""
    _contacts: set[int] = field(default_factory=set)
    newest: list[Attempt] = field(default_factory=list)

    @property
    def contacts(self) -> int:
        return len(self._contacts)

    def add(self, contact_id: str, attempts: list[Attempt]) -> bool:
        """Count a contact; False when it was counted before."""
        key = key_of(contact_id)
        if key in self._contacts:
            return False
        self._contacts.add(key)
        self.by_attempts[min(len(attempts), _MOST_ATTEMPTS)] += 1
        for attempt in attempts:
            self._add(attempt)
        if len(self.newest) > 4 * NEWEST:
            self.newest = newest_of(self.newest)
        return True

    def _add(self, attempt: Attempt) -> None:
        self.attempts += 1
        self.by_status[attempt.status] += 1
        self.newest.append(attempt)
        if attempt.ended_at is None:
            self.open += 1
            started = attempt.started_at
            if started is not None and (self.oldest_open is None or started < self.oldest_open):
                self.oldest_open = started
        else:
            self._add_ended(attempt)
        if attempt.conversation_id:
            self.with_conversation += 1
        if attempt.verdicts:
            self.evaluated += 1
            for criterion, outcome in attempt.verdicts.items():
                if self.verdicts.wanted(criterion) or criterion in self.verdicts.expected:
                    self.outcomes.setdefault(criterion, Counter())[outcome] += 1
        elif attempt.conversation_id and attempt.ended_at is not None:
            self.awaited_from = max(attempt.ended_at, self.awaited_from or 0.0)

    def _add_ended(self, attempt: Attempt) -> None:
        self.ended_statuses.add(attempt.status)
        key = key_of(attempt.id)
        if self.counted is None:
            self._keys.append(key)
        elif not _holds(self.counted, key):
            self.new[key] = attempt

    def all_counted(self) -> "array[int]":
        """The keys of the ended attempts that are counted after this walk, in order; some 20 ms for 100,000."""
        if self.counted is not None and not self.new:
            return self.counted
        return array("Q", sorted(chain(self.counted or (), self._keys, self.new)))


def newest_of(attempts: Iterable[Attempt]) -> list[Attempt]:
    """The attempts that began last, the newest first."""
    return nlargest(NEWEST, attempts, key=lambda attempt: attempt.started_at or 0.0)


@dataclass(frozen=True, slots=True)
class ContactsReading:
    """What is shown of the last complete reading of the contacts."""

    by_status: Mapping[str, float] | None = None
    by_attempts: Mapping[str, float] | None = None
    open: int | None = None
    oldest_open: float | None = None
    with_conversation: int | None = None
    evaluated: int | None = None
    outcomes: Mapping[tuple[str, str], float] | None = None
    compliant: Mapping[str, float] | None = None
    coverage: float | None = None


NO_READING = ContactsReading()


@dataclass(slots=True, eq=False)
class AttemptsState:
    """
    What is known of one campaign's single attempts.

    Attributes:
        exemplar_label: `conversation_id` or `call_id`; None for no exemplars.
        reading: The last complete reading of the contacts; nothing when it is too old (Anyreach).
        read_at: Unix time of the last complete reading.
        durations: Of the calls that ended while they were watched, by status.
        end_reasons, tags: Numbers of such calls (OSVI).
        newest: The attempts that began last, the newest first.
    """

    budget: Callable[[str, tuple[str, ...]], LabelBudget]
    """Gives the campaign's budget of a family, by the family's name and documented values."""
    exemplar_label: str | None = None
    reading: ContactsReading = NO_READING
    read_at: float | None = None
    interval: float | None = None
    durations: Mapping[str, Durations] | None = None
    end_reasons: Mapping[str, float] | None = None
    tags: Mapping[str, float] | None = None
    newest: tuple[Attempt, ...] = ()
    counted: "array[int] | None" = None
    """Keys of the ended attempts that were counted, or that ended before they were watched; in order."""

    def take(self, tally: Tally, counted: "array[int]", untouched: int, coverage: float | None, wall: float) -> None:
        """
        Take in a complete walk through the contacts.

        Args:
            counted: What `tally.all_counted` gave.
            untouched: Contacts that were not read since none of them has an attempt.
            coverage: Attempts found over those in the stats answer before the walk.
        """
        by_attempts = tally.by_attempts + Counter({0: untouched})
        criteria = self.budget("criteria", ())
        outcomes: dict[tuple[str, str], float] = {}
        for criterion, numbers in tally.outcomes.items():
            for outcome in OUTCOMES if tally.verdicts.wanted(criterion) else ():
                place = (criteria.admit(criterion), outcome)
                outcomes[place] = outcomes.get(place, 0) + numbers[outcome]
        self.reading = ContactsReading(
            by_status=self.budget("attempt_status", ()).fold(tally.by_status),
            by_attempts={
                "10+" if attempts == _MOST_ATTEMPTS else str(attempts): by_attempts[attempts]
                for attempts in range(_MOST_ATTEMPTS + 1)
            },
            open=tally.open,
            # The provider's clock may be ahead of ours.
            oldest_open=None if tally.oldest_open is None else min(tally.oldest_open, wall),
            with_conversation=tally.with_conversation,
            evaluated=tally.evaluated,
            outcomes=outcomes,
            compliant={
                criterion: tally.outcomes[criterion][expected] if criterion in tally.outcomes else 0
                for criterion, expected in tally.verdicts.expected.items()
            },
            coverage=coverage,
        )
        self.read_at = wall
        self.newest = tuple(_ended_by(wall, newest_of(tally.newest)))
        if self.counted is None:
            self.durations = {self._admitted("duration_status", status): Durations() for status in tally.ended_statuses}
        self.ended(_ended_by(wall, tally.new.values()))
        self.counted = counted

    def drop_exemplars(self) -> None:
        """Show no ids of calls any more."""
        self.exemplar_label = None
        if self.durations is not None:
            self.durations = {
                status: Durations(durations.counts, durations.sum) for status, durations in self.durations.items()
            }

    def withdraw(self) -> None:
        """Show no reading: it is too old. Counters stay."""
        self.reading = NO_READING

    def ended(self, calls: Iterable[Attempt], *, counted: bool = True) -> None:
        """
        Count calls that ended while they were watched, each once; the caller knows that it was not counted.

        Those that ended before are not counted: their statuses, reasons and tags start at 0 then.
        """
        by_status: dict[str, list[Attempt]] = {}
        for call in calls:
            by_status.setdefault(self._admitted("duration_status", call.status), []).append(call)
            if call.end_reason is not None:
                self.end_reasons = _plus(counted, self.end_reasons, self._admitted("end_reason", call.end_reason))
            if call.tag is not None:
                self.tags = _plus(counted, self.tags, self._admitted("tag", call.tag))
        durations = dict(self.durations or {})
        for status, ended in by_status.items():
            before = durations.get(status, Durations())
            durations[status] = before.with_calls(ended, self.exemplar_label) if counted else before
        self.durations = durations

    def _admitted(self, family: str, value: str) -> str:
        return self.budget(family, ()).admit(value)


def _ended_by(wall: float, attempts: Iterable[Attempt]) -> Iterator[Attempt]:
    """Leave out the duration of an attempt that ends in the future: its end is no moment at which it has ended."""
    latest = wall + _LARGEST_SKEW
    for attempt in attempts:
        is_over = attempt.ended_at is None or attempt.ended_at <= latest
        yield attempt if is_over else attempt._replace(seconds=None)


def _holds(keys: "array[int]", key: int) -> bool:
    place = bisect_left(keys, key)
    return place < len(keys) and keys[place] == key


def _plus(number: int, numbers: Mapping[str, float] | None, value: str) -> Mapping[str, float]:
    return {**(numbers or {}), value: (numbers or {}).get(value, 0) + number}
