"""Label values that stay few, short and valid, whatever a provider invents."""

import json
from collections.abc import Callable, Iterable, Mapping
from math import inf
from typing import TypeVar

from msgspec import structs

from exporter.campaign.snapshot import CALL_OUTCOMES, CALLS_IN_PROGRESS, CONTACT_BUCKETS, Snapshot

T = TypeVar("T")

MAX_LENGTH = 128
MAX_VALUES = 50
OVERFLOW = "other"

_KNOWN_CALLS = (*CALL_OUTCOMES, CALLS_IN_PROGRESS)


def valid(text: str) -> str:
    """Replace unpaired surrogates, which no encoding can write, by U+FFFD."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def clean(value: str) -> str:
    """Cut a label value to 128 characters, all of them valid."""
    return valid(value[:MAX_LENGTH])


def printable(text: str) -> str:
    """Escape what is not printable, as JSON does, so that provider text cannot inject terminal sequences."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


class LabelBudget:
    """
    Admits the first values that a provider invents; later ones become `other`.

    The documented values are always admitted and count. An admitted value stays so for the life of the process, so
    that a series never changes its meaning.
    """

    __slots__ = ("_on_overflow", "_rank")

    def __init__(self, known: Iterable[str], on_overflow: Callable[[], None]) -> None:
        self._rank = {value: rank for rank, value in enumerate(known)}
        self._on_overflow = on_overflow

    def admit(self, value: str) -> str:
        value = clean(value)
        if value in self._rank or value == OVERFLOW:
            return value
        if len(self._rank) >= MAX_VALUES:
            self._on_overflow()
            return OVERFLOW
        self._rank[value] = len(self._rank)
        return value

    def fold(self, numbers: Mapping[str, float]) -> dict[str, float]:
        """
        Add up the numbers by admitted value: the documented ones first, then as first seen, `other` last.

        What adds up to infinity is left out.
        """
        folded = _sums((self.admit(value), number) for value, number in numbers.items())
        return dict(sorted(folded, key=lambda item: self.rank(item[0])))

    def fold_agents(self, numbers: Mapping[tuple[str, str], float]) -> dict[tuple[str, str], float]:
        """Add up numbers by (admitted agent, state), in the order of `fold`."""
        # Each agent is admitted once, so that one overflow is not counted for each of its states.
        admitted = {agent: self.admit(agent) for agent in dict.fromkeys(agent for agent, _ in numbers)}
        folded = _sums(((admitted[agent], state), number) for (agent, state), number in numbers.items())
        return dict(sorted(folded, key=lambda item: self.rank(item[0][0])))

    def rank(self, admitted: str) -> int:
        """The place of an admitted value in a stable order."""
        return self._rank.get(admitted, MAX_VALUES)


def _sums(numbers: Iterable[tuple[T, float]]) -> list[tuple[T, float]]:
    sums: dict[T, float] = {}
    for key, number in numbers:
        sums[key] = sums.get(key, 0) + number
    return [(key, total) for key, total in sums.items() if total < inf]


def bound(
    snapshot: Snapshot, statuses: tuple[str, ...], budget: Callable[[str, tuple[str, ...]], LabelBudget]
) -> Snapshot:
    """
    Bound what becomes a label of a snapshot; documented values pass as they are.

    Args:
        statuses: The provider's documented statuses.
        budget: Gives the campaign's budget of a family, by the family's name and documented values.
    """
    status, contacts, calls = snapshot.status, snapshot.contacts, snapshot.calls
    if status is not None and status not in statuses:
        snapshot = structs.replace(snapshot, status=budget("status", statuses).admit(status))
    if contacts is not None and tuple(contacts) != CONTACT_BUCKETS:
        snapshot = structs.replace(snapshot, contacts=budget("bucket", CONTACT_BUCKETS).fold(contacts))
    if calls is not None and tuple(calls) != CALL_OUTCOMES:
        snapshot = structs.replace(snapshot, calls=budget("calls", _KNOWN_CALLS).fold(calls))
    if snapshot.queues:
        snapshot = structs.replace(snapshot, queues=budget("queues", ()).fold_agents(snapshot.queues))
    if snapshot.queued_contacts:
        queued = budget("queued_contacts", ()).fold_agents(snapshot.queued_contacts)
        snapshot = structs.replace(snapshot, queued_contacts=queued)
    return snapshot
