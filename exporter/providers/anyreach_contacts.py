"""
Anyreach's contacts with their attempts, page by page.

The route: https://docs.anyreach.ai/campaigns/results-and-analytics. The order of the contacts is not documented, nor
whether it is stable while they are called. Whatever identifies a person is skipped by the decoder.
"""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC
from math import ceil, inf
from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from exporter.campaign.attempts import OUTCOMES, Attempt, Tally, Verdicts
from exporter.campaign.snapshot import Snapshot
from exporter.providers.errors import InvalidResponseError
from exporter.providers.wire import LONGEST_TEXT, Odd, count, read_as, read_id, read_moment, short_text

LARGEST_PAGE: Final = 200
SMALLEST_PAGE: Final = 50
ENOUGH: Final = 0.98
"""The part of the attempts that a walk must have found to be complete."""
_ENOUGH_CONTACTS: Final = 0.99
_SLACK: Final = 0.01
_FEW_DIALED: Final = 0.8
_OVERLAP: Final = 0.1
# First those that are being called: whoever ends meanwhile is seen again later, and is not missed.
_FILTERS: Final = ("in_progress", "exhausted", "completed")
_MATCHES: Final = {"in_progress": ("in_progress", "locked")}


class _WireAttempt(msgspec.Struct):
    id: Any = None
    status: Any = None
    started_at: Any = None
    ended_at: Any = None
    conversation_id: Any = None
    result: Any = None


class _WireContact(msgspec.Struct):
    id: Any = None
    status: Any = None
    attempts: list[_WireAttempt | Odd] | Odd = None


class _WirePage(msgspec.Struct):
    contacts: list[_WireContact]
    total: Any = None


_decoder = msgspec.json.Decoder(_WirePage)


@dataclass(frozen=True, slots=True)
class Contact:
    id: str
    status: str | None
    attempts: list[Attempt]


@dataclass(frozen=True, slots=True)
class ContactsPage:
    """One page; `total` is the number of contacts in the whole list, where the answer has it."""

    contacts: list[Contact]
    total: int | None


def read_contacts(body: bytes) -> ContactsPage:
    """
    Read one page of contacts; 5 ms for a megabyte.

    Raises:
        InvalidResponseError: No page of contacts, or another kind of value where an array or object must stand.
    """
    if (page := read_as(_decoder, body)) is None:
        raise InvalidResponseError("the answer holds no contacts")
    total = count(page.total)
    return ContactsPage(list(map(_contact, page.contacts)), None if total is None else int(total))


def _contact(wire: _WireContact) -> Contact:
    contact_id = short_text(read_id(wire.id))
    if contact_id is None:
        raise InvalidResponseError("a contact has no id")
    attempts = enumerate(wire.attempts if isinstance(wire.attempts, list) else ())
    return Contact(
        contact_id,
        wire.status if isinstance(wire.status, str) else None,
        [_attempt(contact_id, place, one) for place, one in attempts if isinstance(one, _WireAttempt)],
    )


def _attempt(contact_id: str, place: int, wire: _WireAttempt) -> Attempt:
    # Whether the moments carry an offset is not documented; other routes send UTC.
    started, ended = read_moment(wire.started_at, assumed=UTC), read_moment(wire.ended_at, assumed=UTC)
    return Attempt(
        id=short_text(read_id(wire.id)) or f"{contact_id} {place}",
        status=short_text(wire.status) or "",
        started_at=started,
        ended_at=ended,
        seconds=None if started is None or ended is None or ended < started else round(ended - started, 3),
        conversation_id=short_text(read_id(wire.conversation_id)),
        verdicts=_verdicts(wire.result),
    )


def _verdicts(result: Any) -> dict[str, str] | None:
    """Outcomes by criterion; an empty object is no evaluation, and an odd value is `other`."""
    if not isinstance(result, dict) or not result:
        return None
    return {key[:LONGEST_TEXT]: _outcome(value) for key, value in result.items()}


def _outcome(value: Any) -> str:
    # Whether a verdict is a word, a truth value or an object around one of them is not documented.
    if isinstance(value, dict):
        value = next((value[key] for key in ("outcome", "verdict", "value", "result") if key in value), None)
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) and value in OUTCOMES else "other"


@dataclass(slots=True)
class _ContactList:
    """
    One list of the walk, read from its front or, where that finds more, from its end.

    Attributes:
        front, back: The first and the last place that were not read; `back` is None before the length is known.
        found_at_front, found_at_back: Attempts on the last page that was read there.
    """

    status: str | None
    front: int = 0
    back: int | None = None
    found_at_front: int = 0
    found_at_back: float = inf

    @property
    def at_front(self) -> bool:
        # Pending contacts with attempts may stand at either end: look at both, and go on where more of them were found.
        return self.status != "pending" or self.back is None or self.found_at_front > self.found_at_back


@dataclass(slots=True, eq=False)
class ContactWalk:
    """
    One walk through the contacts of a campaign, without the requests: `query` is the next one, `take` reads its answer.

    Where most contacts were dialed, it goes through the whole list. Where few were, it reads the lists of those that
    have ended or are being called, then those that are pending, and ends as soon as it has found the attempts of the
    stats answer. Pages overlap, since contacts move while they are read; a contact that is seen again is left out.

    Args:
        counted: Keys of the ended attempts that were counted before, in order; None for none.
        stats: The stats answer just before.
        began: Unix time of that answer.

    Attributes:
        ended: Whether there is nothing left to ask for.
        problem: Why what was found is not complete; None where it is.
    """

    verdicts: Verdicts
    counted: "array[int] | None"
    stats: Snapshot
    began: float
    ended: bool = False
    problem: str | None = None
    requests: int = 0
    tally: Tally = field(init=False)
    _limit: int = LARGEST_PAGE
    _lists: list[_ContactList] = field(init=False)
    _total: int | None = None
    """Length of the whole list, where it was read."""
    _before: int = 0
    """Attempts found that began before the walk."""

    def __post_init__(self) -> None:
        self.tally = Tally(self.verdicts, self.counted)
        buckets, loaded = self.stats.contacts or {}, self.stats.contacts_loaded
        known = self.stats.attempts is not None and loaded is not None and buckets.keys() >= set(_FILTERS)
        few = known and sum(buckets[status] for status in _FILTERS) < _FEW_DIALED * (loaded or 0)
        self._lists = [_ContactList(status) for status in (*_FILTERS, "pending")] if few else [_ContactList(None)]
        self.ended = self.stats.attempts == 0 and loaded is not None

    @property
    def untouched(self) -> int:
        """Contacts that were left out since all attempts had been found already."""
        return max(0, int(self.stats.contacts_loaded or 0) - self.tally.contacts) if self._found_all else 0

    @property
    def coverage(self) -> float | None:
        """Attempts found over those of the stats answer."""
        if self.stats.attempts is None:
            return None
        return self.tally.attempts / self.stats.attempts if self.stats.attempts else 1.0

    def query(self) -> str:
        current = self._lists[0]
        offset = current.front if current.at_front else max(current.front, (current.back or 0) - self._limit)
        parameters: list[tuple[str, str | int]] = [("limit", self._limit), ("offset", offset)]
        if current.status is not None:
            parameters.insert(0, ("status", current.status))
        return urlencode(parameters)

    def take(self, page: ContactsPage) -> None:
        """Count the contacts of a page, and choose the next one."""
        self.requests += 1
        current = self._lists[0]
        if current.status is not None and _ignores_filter(current.status, page):
            # Then this is the whole list already.
            self._lists = [current]
            current.status = None
        found, new = self._count(page.contacts)
        if current.status is None:
            self._total = page.total
        if self._is_read(current, page, found, new) or (current.status is not None and self._found_all):
            self._next_list()

    def too_large(self) -> bool:
        """Ask for smaller pages after this one was too large; False when they are as small as can be."""
        if self._limit <= SMALLEST_PAGE:
            return False
        self._limit //= 2
        return True

    @property
    def _found_all(self) -> bool:
        if self.stats.attempts is None:
            return False
        # Those that were being called may have slipped from one list to another that was read already.
        in_progress = (self.stats.contacts or {}).get("in_progress", 0)
        return self._before >= self.stats.attempts - min(in_progress, ceil(_SLACK * self.stats.attempts))

    def _count(self, contacts: Iterable[Contact]) -> tuple[int, int]:
        """Count contacts; returns the attempts and the contacts that are new among them."""
        found = new = 0
        for contact in contacts:
            if self.tally.add(contact.id, contact.attempts):
                new += 1
                found += len(contact.attempts)
                self._before += sum((attempt.started_at or 0) <= self.began for attempt in contact.attempts)
        return found, new

    def _is_read(self, current: _ContactList, page: ContactsPage, found: int, new: int) -> bool:
        """Move on in a list; True when all of it was read."""
        size, length = len(page.contacts), page.total
        step = max(1, size - int(self._limit * _OVERLAP))
        if current.at_front:
            at_end = size == 0 or (current.front + size >= length if length is not None else size < self._limit)
            if at_end or not new:
                return True
            current.found_at_front = found
            current.front += step
            if current.back is None:
                current.back = length
        elif current.back is not None:
            current.found_at_back = found
            current.back -= step
        if current.back is None:
            return False
        return current.back <= current.front

    def _next_list(self) -> None:
        self._lists.pop(0)
        if self._found_all:
            self._lists.clear()
        if not self._lists:
            self.ended = True
            self.problem = self._gap()

    def _gap(self) -> str | None:
        if (coverage := self.coverage) is not None and coverage < ENOUGH:
            return f"{self.tally.attempts} of {self.stats.attempts:.0f} attempts were found"
        if self._total is not None and self.tally.contacts < _ENOUGH_CONTACTS * self._total and not self._found_all:
            return f"{self.tally.contacts} of {self._total} contacts were found"
        return None


def _ignores_filter(status: str, page: ContactsPage) -> bool:
    allowed = _MATCHES.get(status, (status,))
    return any(contact.status is not None and contact.status not in allowed for contact in page.contacts)
