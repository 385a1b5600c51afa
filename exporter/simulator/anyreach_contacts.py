"""
Contacts of a simulated Anyreach campaign, with their attempts and the verdicts on their conversations.

Only contacts that were dialed are objects; all others are ranges of numbers, so that a campaign with a hundred thousand
contacts costs as much as its calls. What an answer shows of a contact (ids, phone number, verdicts) follows from its
numbers, so nothing of it is kept.

See https://docs.anyreach.ai/campaigns/results-and-analytics. Where that page is silent, this world decides: an answered
call has a conversation and no other call has one; most conversations are evaluated within an hour, and a few verdicts
change two hours later.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import chain
from typing import Literal
from uuid import UUID

Status = Literal["pending", "locked", "in_progress", "completed", "exhausted", "deleted"]
Order = Literal["created", "arbitrary", "updated"]

CRITERIA = ("qa.greeting", "qa.consent", "compliance.disclosure")
EVALUATED = 0.85
"""The part of the conversations that is evaluated."""
EVALUATION_SECONDS = 3600.0
"""The longest time from the end of a call to its verdicts."""
SECOND_EVALUATION_SECONDS = 7200.0
CHANGED = 0.05
"""The part of the evaluations whose first verdict changes with the second evaluation."""
_OUTCOMES = ("true", "true", "true", "true", "true", "false", "abstain", "na")


@dataclass(slots=True, eq=False)
class Attempt:
    """One call to a contact; moments are Unix time."""

    started_at: float
    answered: bool
    ended_at: float | None = None

    @property
    def status(self) -> str:
        """One of the documented statuses of a conversation."""
        if self.ended_at is None:
            return "in_progress"
        return "completed" if self.answered else "unanswered"


@dataclass(slots=True, eq=False)
class Contact:
    """A contact that was dialed, known by its number in the campaign."""

    number: int
    updated_at: float
    status: Status = "locked"
    attempts: list[Attempt] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Fresh:
    """Contacts that were never dialed: `count` of them, numbered from `first`."""

    first: int
    count: int


class ContactList:
    """The contacts of one campaign, in the orders in which the provider may list them."""

    def __init__(self, campaign_id: str) -> None:
        self.dialed: dict[int, Contact] = {}
        self._campaign_id = campaign_id
        self._loaded = 0
        self._loads: list[tuple[int, float]] = []
        self._deleted: set[int] = set()

    def load(self, count: int, now: float) -> Fresh:
        """Add contacts, and return them."""
        fresh = Fresh(self._loaded, count)
        self._loads.append((self._loaded, now))
        self._loaded += count
        return fresh

    def dial(self, number: int, now: float) -> Contact:
        """Make an object of a contact that is dialed for the first time."""
        contact = self.dialed[number] = Contact(number, now)
        return contact

    def delete(self, numbers: Iterable[int]) -> None:
        """Take contacts out of the list."""
        for number in numbers:
            self._deleted.add(number)
            self.dialed.pop(number, None)

    def ended(self, status: Status, attempts: int) -> Iterator[int]:
        """The numbers of contacts that have ended so, after so many attempts; first dialed, first."""
        for contact in list(self.dialed.values()):
            if contact.status == status and len(contact.attempts) == attempts:
                yield contact.number

    def listed(self, order: Order, statuses: Sequence[str] = ()) -> Sequence[int]:
        """Number the contacts in an order, all of them or those in some statuses."""
        if not statuses:
            return self._ordered(order)
        # The bucket of the stats answer holds locked contacts too.
        wanted = {*statuses, *({"locked"} if "in_progress" in statuses else ())}
        return [number for number in self._ordered(order) if self.status(number) in wanted]

    def status(self, number: int) -> Status:
        contact = self.dialed.get(number)
        return "pending" if contact is None else contact.status

    def created_at(self, number: int) -> float:
        return self._loads[bisect_right(self._loads, number, key=lambda load: load[0]) - 1][1]

    def uuid(self, *place: object) -> str:
        """The id of a contact (its number), of an attempt (and its place) or of a conversation (and a word)."""
        return str(UUID(bytes=self._digest(*place), version=4))

    def verdicts(self, contact: Contact, place: int, now: float) -> dict[str, str] | None:
        """What evaluations say of an attempt by now; None without a completed evaluation."""
        attempt = contact.attempts[place]
        digest = self._digest(contact.number, place, "verdicts")
        evaluated, delay, changed = (byte / 256 for byte in digest[:3])
        if attempt.ended_at is None or not attempt.answered or evaluated >= EVALUATED:
            return None
        age = now - attempt.ended_at
        if age < delay * EVALUATION_SECONDS:
            return None
        outcomes = [_OUTCOMES[byte % len(_OUTCOMES)] for byte in digest[3 : 3 + len(CRITERIA)]]
        if changed < CHANGED and age >= SECOND_EVALUATION_SECONDS:
            outcomes[0] = "false" if outcomes[0] == "true" else "true"
        return dict(zip(CRITERIA, outcomes, strict=True))

    def _digest(self, *place: object) -> bytes:
        return blake2b(f"{self._campaign_id} {place}".encode(), digest_size=16).digest()

    def _ordered(self, order: Order) -> Sequence[int]:
        if order == "updated":
            dialed = sorted(self.dialed.values(), key=lambda contact: contact.updated_at, reverse=True)
            never = (number for number in reversed(self._present()) if number not in self.dialed)
            return list(chain((contact.number for contact in dialed), never))
        if order == "arbitrary":
            return sorted(self._present(), key=_scattered)
        return self._present()

    def _present(self) -> Sequence[int]:
        if not self._deleted:
            return range(self._loaded)
        return [number for number in range(self._loaded) if number not in self._deleted]


def _scattered(number: int) -> int:
    """Spread numbers over 32 bits (Knuth's multiplicative hash)."""
    return number * 2654435761 % 2**32


def describe(contacts: ContactList, number: int, now: float, moment: Callable[[float], str]) -> dict[str, object]:
    """
    Show a contact as the contact route does.

    Args:
        now: Unix time, for the verdicts that are there by then.
        moment: Writes a Unix time as it is sent.
    """
    contact_id = contacts.uuid(number)
    contact = contacts.dialed.get(number)
    phone_number = f"+1555{number % 10_000_000:07}"
    return {
        "id": contact_id,
        "external_id": f"crm-{number}",
        "phone_numbers": [phone_number],
        "data": {"first_name": "Jordan", "policy_number": f"P-{number:06}"},
        "timezone": None,
        "scheduled_at": None,
        "created_at": moment(contacts.created_at(number)),
        "status": contacts.status(number),
        "attempts": [
            {
                "id": contacts.uuid(number, place),
                "contact_id": contact_id,
                "phone_number": phone_number,
                "conversation_id": contacts.uuid(number, place, "conversation") if attempt.answered else None,
                "started_at": moment(attempt.started_at),
                "ended_at": None if attempt.ended_at is None else moment(attempt.ended_at),
                "status": attempt.status,
                "result": contacts.verdicts(contact, place, now),
            }
            for place, attempt in enumerate(contact.attempts)
        ]
        if contact
        else [],
    }
