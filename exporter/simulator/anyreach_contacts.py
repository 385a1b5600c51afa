"""
Contacts of a simulated Anyreach campaign, with their attempts and the verdicts on their conversations.

What an answer shows of a contact (ids, phone number, verdicts) follows from its campaign and number.
See https://docs.anyreach.ai/campaigns/results-and-analytics. Where that page is silent, this world decides: an answered
call has a conversation and no other call has one; most conversations are evaluated within an hour, and a few verdicts
change two hours later.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
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
    """A contact, known by its campaign and its number in it; moments are Unix time."""

    campaign_id: str
    number: int
    created_at: float
    updated_at: float
    status: Status = "pending"
    attempts: list[Attempt] = field(default_factory=list)

    def uuid(self, *place: object) -> str:
        """The id of the contact, of an attempt (its place) or of a conversation (place and a word)."""
        return str(UUID(bytes=self._digest(*place), version=4))

    def verdicts(self, place: int, now: float) -> dict[str, str] | None:
        """What evaluations say of an attempt by now; None without a completed evaluation."""
        attempt = self.attempts[place]
        digest = self._digest(place, "verdicts")
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
        return blake2b(f"{self.campaign_id} {(self.number, *place)}".encode(), digest_size=16).digest()


def listed(contacts: Iterable[Contact], order: Order, statuses: Collection[str]) -> list[Contact]:
    """The contacts in an order, all of them or those in some statuses."""
    # The bucket of the stats answer holds locked contacts too.
    wanted = {*statuses, *({"locked"} if "in_progress" in statuses else ())}
    found = [contact for contact in contacts if not wanted or contact.status in wanted]
    if order == "updated":
        found.sort(key=lambda contact: -contact.updated_at)
    elif order == "arbitrary":
        # Knuth's multiplicative hash spreads the numbers over 32 bits.
        found.sort(key=lambda contact: contact.number * 2654435761 % 2**32)
    return found


def describe(contact: Contact, now: float, moment: Callable[[float], str]) -> dict[str, object]:
    """Show a contact as the contact route does; `moment` writes a Unix time as it is sent."""
    number, contact_id = contact.number, contact.uuid()
    phone_number = f"+1555{number % 10_000_000:07}"
    return {
        "id": contact_id,
        "external_id": f"crm-{number}",
        "phone_numbers": [phone_number],
        "data": {"first_name": "Jordan", "policy_number": f"P-{number:06}"},
        "timezone": None,
        "scheduled_at": None,
        "created_at": moment(contact.created_at),
        "status": contact.status,
        "attempts": [
            {
                "id": contact.uuid(place),
                "contact_id": contact_id,
                "phone_number": phone_number,
                "conversation_id": contact.uuid(place, "conversation") if attempt.answered else None,
                "started_at": moment(attempt.started_at),
                "ended_at": None if attempt.ended_at is None else moment(attempt.ended_at),
                "status": attempt.status,
                "result": contact.verdicts(place, now),
            }
            for place, attempt in enumerate(contact.attempts)
        ],
    }
