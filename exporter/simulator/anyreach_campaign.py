"""
Campaigns of the simulated Anyreach: the contacts that wait to be called, and the truth about them.

The dialer that calls them stands in `exporter.simulator.anyreach_dialer`.
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Literal

from exporter.simulator.anyreach_contacts import Contact, ContactList, Fresh
from exporter.simulator.faults import Fault
from exporter.simulator.hours import Hours, Schedule
from exporter.simulator.timeline import Timeline

if TYPE_CHECKING:
    from exporter.simulator.anyreach_dialer import Organization

Bucket = Literal["pending", "completed", "exhausted"]


@dataclass(frozen=True, slots=True)
class CallPattern:
    """How the contacts of a campaign behave, and how often it tries them; ranges are seconds, drawn evenly."""

    answer_rate: float = 0.55
    """The part of the attempts that complete their contact."""
    lock_seconds: tuple[float, float] = (1.0, 3.0)
    """From taking the slot to the first ring."""
    unanswered_seconds: tuple[float, float] = (15.0, 35.0)
    answered_seconds: tuple[float, float] = (30.0, 240.0)
    max_attempts: int = 3
    retry_delay: float = 1800.0


@dataclass(eq=False)
class Configuration:
    """Calling windows that campaigns of an organization share."""

    _timeline: Timeline
    id: str
    name: str
    schedule: Schedule
    created_at: float
    _hours: "dict[tuple[str | None, bool], tuple[Hours, list[Lane]]]" = field(default_factory=dict)

    def reschedule(self, schedule: Schedule) -> None:
        """Replace the windows for all its campaigns, at once."""
        self._timeline.catch_up()
        self.schedule = schedule
        for (timezone, scheduled), (hours, _) in self._hours.items():
            hours.change(
                schedule.windows(timezone, first_scheduled=scheduled), timezone or self.schedule.default_timezone
            )

    def hours(self, lane: "Lane") -> Hours:
        """Return the hours of a lane, which is called from now on when they open."""
        key = (lane.timezone, lane.scheduled)
        if key not in self._hours:
            lanes: list[Lane] = []
            windows = self.schedule.windows(lane.timezone, first_scheduled=lane.scheduled)
            zone = lane.timezone or self.schedule.default_timezone
            self._hours[key] = (Hours(self._timeline, windows, zone, lambda: _offer(lanes)), lanes)
        hours, lanes = self._hours[key]
        lanes.append(lane)
        return hours


class Lane:
    """
    The contacts of one campaign that may be called at the same hours.

    `due` holds those to be called, in order; `waiting` holds those that wait for a retry or for the time that they are
    scheduled for, by the number of the first.
    """

    def __init__(self, campaign: "Campaign", timezone: str | None, scheduled: bool) -> None:
        self.campaign = campaign
        self.timezone = timezone
        self.scheduled = scheduled
        self.queued = False
        self.due: deque[Contact | Fresh] = deque()
        self.waiting: dict[int, Contact | Fresh] = {}
        self._hours = campaign.configuration.hours(self)

    @property
    def dialable(self) -> bool:
        """Whether the worker may take a contact from here."""
        return bool(self.due) and self._hours.open and self.campaign.dialing

    def put(self, contacts: Contact | Fresh) -> None:
        """Make contacts due, behind those that are."""
        self.due.append(contacts)
        self.offer()

    def take(self) -> Contact:
        """Remove the contact that has been due for longest."""
        batch = self.due[0]
        now = self.campaign.organization.dialer.timeline.now
        if isinstance(batch, Contact):
            self.due.popleft()
            return batch
        (number,) = _take(batch, 1)
        if not batch.count:
            self.due.popleft()
        return self.campaign.contacts.dial(number, now)

    def wait(self, contacts: Contact | Fresh, until: float) -> None:
        """Make contacts due at `until`, unless they are deleted before."""
        number = contacts.first if isinstance(contacts, Fresh) else contacts.number
        self.waiting[number] = contacts
        self.campaign.organization.dialer.timeline.at(until, self._wake, number)

    def _wake(self, number: int) -> None:
        if (contacts := self.waiting.pop(number, None)) is not None:
            self.put(contacts)

    def delete(self, contacts: int) -> Iterator[tuple[int, int]]:
        """Delete contacts that are due, then ones that wait; yield (attempts, how many)."""
        for batch in list(self.due):
            if taken := self._delete(batch, contacts):
                contacts -= taken
                yield _attempts(batch), taken
        self.due = deque(batch for batch in self.due if not _is_gone(batch))
        for number, batch in sorted(self.waiting.items(), key=lambda item: _attempts(item[1])):
            if taken := self._delete(batch, contacts):
                contacts -= taken
                yield _attempts(batch), taken
            if _is_gone(batch):
                del self.waiting[number]

    def _delete(self, batch: Contact | Fresh, most: int) -> int:
        if isinstance(batch, Fresh):
            numbers = _take(batch, min(most, batch.count))
        else:
            numbers = range(batch.number, batch.number + min(most, 1))
            if numbers:
                batch.status = "deleted"
        self.campaign.contacts.delete(numbers)
        return len(numbers)

    def offer(self) -> None:
        """Stand in line for slots, if there is somebody to call."""
        if not self.queued and self.dialable:
            self.campaign.organization.line_up(self)


def _take(batch: Fresh, count: int) -> range:
    """Remove the first contacts of a batch, and return their numbers."""
    numbers = range(batch.first, batch.first + count)
    batch.first += count
    batch.count -= count
    return numbers


def _attempts(batch: Contact | Fresh) -> int:
    return 0 if isinstance(batch, Fresh) else len(batch.attempts)


def _is_gone(batch: Contact | Fresh) -> bool:
    return not batch.count if isinstance(batch, Fresh) else batch.status == "deleted"


def _offer(lanes: Iterable[Lane]) -> None:
    for lane in lanes:
        lane.offer()


@dataclass(eq=False)
class Campaign:
    """
    A campaign, and the truth about it.

    Attributes:
        attempts_total: What the provider shows: falls with deleted contacts, where deletion takes their attempts along.
        attempts_made: Attempts that truly began; never falls.
        stalled: Its agent was stopped: it looks alive and calls nobody.
        fault: How requests for it go wrong, None while they don't.
    """

    organization: "Organization"
    id: str
    name: str
    configuration: Configuration
    external_id: str | None
    priority: int
    pattern: CallPattern
    created_at: float
    status: Literal["active", "paused", "closed"] = "active"
    stalled: bool = False
    fault: Fault | None = None
    pending: int = 0
    locked: int = 0
    in_progress: int = 0
    completed: Counter[int] = field(default_factory=Counter)
    exhausted: Counter[int] = field(default_factory=Counter)
    contacts: ContactList = field(init=False)
    attempts_total: int = 0
    attempts_made: int = 0
    _lanes: dict[tuple[str | None, bool], Lane] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.contacts = ContactList(self.id)

    @property
    def dialing(self) -> bool:
        """Whether the worker may start calls, hours apart."""
        return self.status == "active" and not self.stalled

    @property
    def contacts_total(self) -> int:
        """Contacts in all buckets."""
        ended = self.completed.total() + self.exhausted.total()
        return self.pending + self.locked + self.in_progress + ended

    @property
    def active_calls(self) -> int:
        """Slots held by this campaign: locked, ringing and talking."""
        return self.locked + self.in_progress

    def add_contacts(self, contacts: int, *, timezone: str | None = None, scheduled_at: float | None = None) -> None:
        """
        Load contacts.

        Args:
            contacts: How many.
            timezone: IANA name; None leaves it to the configuration's default.
            scheduled_at: Unix time before which none of them is called.
        """
        self._catch_up()
        if not contacts:
            return
        self.pending += contacts
        lane = self.lane(timezone, scheduled=scheduled_at is not None)
        fresh = self.contacts.load(contacts, self.organization.dialer.timeline.now)
        if scheduled_at is None:
            lane.put(fresh)
        else:
            lane.wait(fresh, scheduled_at)

    def delete_contacts(self, contacts: int, bucket: Bucket = "pending") -> int:
        """Delete up to so many contacts of a bucket, and return how many there were; those being called stay."""
        self._catch_up()
        deleted = 0
        for attempts, taken in self._deleted_from(bucket, contacts):
            deleted += taken
            if self.organization.deletion_lowers_attempts:
                self.attempts_total -= attempts * taken
        if bucket == "pending":
            self.pending -= deleted
        return deleted

    def _deleted_from(self, bucket: Bucket, contacts: int) -> Iterator[tuple[int, int]]:
        if bucket == "pending":
            for lane in self._lanes.values():
                for attempts, taken in lane.delete(contacts):
                    contacts -= taken
                    yield attempts, taken
            return
        counts = self.completed if bucket == "completed" else self.exhausted
        for attempts in sorted(counts):
            taken = min(contacts, counts[attempts])
            counts[attempts] -= taken
            contacts -= taken
            self.contacts.delete(islice(self.contacts.ended(bucket, attempts), taken))
            yield attempts, taken

    def pause(self) -> None:
        """Halt new calls; those in flight run to their end."""
        self._move("active", "paused")

    def start(self) -> None:
        """Go on after a pause."""
        self._move("paused", "active")
        _offer(self._lanes.values())

    def close(self) -> None:
        """Stop for good."""
        if self.status == "closed":
            raise ValueError(f"{self.name} is closed")
        self._catch_up()
        self.status = "closed"

    def stall(self) -> None:
        """Stop its agent: no call begins, and what is locked rings nobody until the lock is found stale."""
        self._catch_up()
        self.stalled = True

    def recover(self) -> None:
        """Start its agent again."""
        self._catch_up()
        self.stalled = False
        _offer(self._lanes.values())

    def lane(self, timezone: str | None, *, scheduled: bool = False) -> Lane:
        """Return the lane for contacts of a timezone; `scheduled` until the first call of a scheduled contact."""
        key = (timezone, scheduled)
        if key not in self._lanes:
            self._lanes[key] = Lane(self, timezone, scheduled)
        return self._lanes[key]

    def _move(self, before: str, after: Literal["active", "paused"]) -> None:
        if self.status != before:
            raise ValueError(f"{self.name} is {self.status}, not {before}")
        self._catch_up()
        self.status = after

    def _catch_up(self) -> None:
        self.organization.dialer.timeline.catch_up()
