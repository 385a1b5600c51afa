"""
The dialer behind the simulated Anyreach: organizations, their campaigns, and one worker that gives out slots.

It follows https://docs.anyreach.ai/campaigns/dialing-and-retries. Where that page is silent, this world decides:
a higher priority number is served first and equals take turns; free global slots are shared among the organizations
that have somebody to call; a stale lock is five minutes old; the retry limit counts the first call.

Contacts are counted in batches of equal ones, not held one by one, so that a list of thousands costs as much as its
calls in flight.
"""

import math
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Literal
from uuid import UUID

from exporter.simulator.faults import Fault
from exporter.simulator.hours import Hours, Schedule
from exporter.simulator.timeline import Timeline

STALE_LOCK_SECONDS = 300.0

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


class Configuration:
    """Calling windows that campaigns of an organization share."""

    def __init__(
        self, timeline: Timeline, configuration_id: str, name: str, schedule: Schedule, created_at: float
    ) -> None:
        self.id = configuration_id
        self.name = name
        self.schedule = schedule
        self.created_at = created_at
        self._timeline = timeline
        self._hours: dict[tuple[str | None, bool], tuple[Hours, list[Lane]]] = {}

    def reschedule(self, schedule: Schedule) -> None:
        """Replace the windows for all its campaigns, at once."""
        self._timeline.catch_up()
        self.schedule = schedule
        for (timezone, scheduled), (hours, _) in self._hours.items():
            hours.change(
                schedule.windows(timezone, first_scheduled=scheduled), timezone or self.schedule.default_timezone
            )

    def hours(self, lane: "Lane") -> Hours:
        """Return the hours of a lane, and tell the lane from now on when they open."""
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

    Contacts are known by the attempts that they have behind them: `due` holds [attempts, how many] in order,
    `waiting` counts those that wait for a retry or for the time that they are scheduled for.
    """

    def __init__(self, campaign: "Campaign", timezone: str | None, scheduled: bool) -> None:
        self.campaign = campaign
        self.timezone = timezone
        self.scheduled = scheduled
        self.queued = False
        self.due: deque[list[int]] = deque()
        self.waiting: Counter[int] = Counter()
        self._deleted: Counter[int] = Counter()
        self._hours = campaign.configuration.hours(self)

    @property
    def dialable(self) -> bool:
        """Whether the worker may take a contact from here."""
        return bool(self.due) and self._hours.open and self.campaign.dialing

    def put(self, attempts: int, contacts: int = 1) -> None:
        """Make contacts due, behind those that are."""
        if self.due and self.due[-1][0] == attempts:
            self.due[-1][1] += contacts
        else:
            self.due.append([attempts, contacts])
        self.offer()

    def take(self) -> int:
        """Remove the contact that has been due for longest, and return its attempts."""
        batch = self.due[0]
        batch[1] -= 1
        if not batch[1]:
            self.due.popleft()
        return batch[0]

    def wait(self, attempts: int, until: float, contacts: int = 1) -> None:
        """Make contacts due at `until`, unless they are deleted before."""
        self.waiting[attempts] += contacts
        self.campaign.organization.dialer.timeline.at(until, self._wake, attempts, contacts)

    def _wake(self, attempts: int, contacts: int) -> None:
        gone = min(contacts, self._deleted[attempts])
        self._deleted[attempts] -= gone
        if left := contacts - gone:
            self.waiting[attempts] -= left
            self.put(attempts, left)

    def delete(self, contacts: int) -> Iterator[tuple[int, int]]:
        """Delete contacts that are due, then ones that wait; yield (attempts, how many)."""
        for batch in list(self.due):
            if taken := min(contacts, batch[1]):
                batch[1] -= taken
                contacts -= taken
                yield batch[0], taken
        self.due = deque(batch for batch in self.due if batch[1])
        for attempts in sorted(self.waiting):
            if taken := min(contacts, self.waiting[attempts]):
                self.waiting[attempts] -= taken
                self._deleted[attempts] += taken
                contacts -= taken
                yield attempts, taken

    def offer(self) -> None:
        """Stand in line for slots, if there is somebody to call."""
        if not self.queued and self.dialable:
            self.campaign.organization.line_up(self)


def _offer(lanes: Iterable[Lane]) -> None:
    for lane in lanes:
        lane.offer()


class Campaign:
    """
    A campaign, and the truth about it.

    Attributes:
        attempts_total: What the provider shows: falls with deleted contacts, where deletion takes their attempts along.
        attempts_made: Attempts that truly began; never falls.
        stalled: Its agent was stopped: it looks alive and calls nobody.
        fault: How requests for it go wrong, None while they don't.
    """

    def __init__(
        self,
        organization: "Organization",
        campaign_id: str,
        name: str,
        configuration: Configuration,
        *,
        external_id: str | None,
        priority: int,
        pattern: CallPattern,
        created_at: float,
    ) -> None:
        self.organization = organization
        self.id = campaign_id
        self.external_id = external_id
        self.name = name
        self.configuration = configuration
        self.priority = priority
        self.pattern = pattern
        self.created_at = created_at
        self.status: Literal["active", "paused", "closed"] = "active"
        self.stalled = False
        self.fault: Fault | None = None
        self.pending = 0
        self.locked = 0
        self.in_progress = 0
        self.completed: Counter[int] = Counter()
        self.exhausted: Counter[int] = Counter()
        self.attempts_total = 0
        self.attempts_made = 0
        self._lanes: dict[tuple[str | None, bool], Lane] = {}

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
        if scheduled_at is None:
            lane.put(0, contacts)
        else:
            lane.wait(0, scheduled_at, contacts)

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


class Organization:
    """
    A customer of the provider: campaigns that share a number of slots.

    Attributes:
        listing: The shape of its list pages, since the provider documents none.
        active_calls_scope: Whose calls `active_calls` counts, since the provider's pages can be read both ways.
        deletion_lowers_attempts: Whether deleted contacts take their attempts out of `attempts.total`.
        fault: How requests for anything of it go wrong, None while they don't.
    """

    def __init__(self, dialer: "Dialer", organization_id: str, limit: int, ids: Random) -> None:
        self.dialer = dialer
        self.id = organization_id
        self.limit = limit
        self.listing: Literal["array", "envelope"] = "array"
        self.active_calls_scope: Literal["campaign", "organization"] = "campaign"
        self.deletion_lowers_attempts = True
        self.fault: Fault | None = None
        self.campaigns: dict[str, Campaign] = {}
        self.configurations: dict[str, Configuration] = {}
        self.ad_hoc_calls = 0
        self.calls = 0
        self._ids = ids
        self._by_external_id: dict[str, Campaign] = {}
        self._line: dict[int, deque[Lane]] = {}

    @property
    def active_calls(self) -> int:
        """Slots held, by campaigns and by ad-hoc contacts."""
        return self.calls + self.ad_hoc_calls

    @property
    def room(self) -> int:
        """Slots that are free; 0 where the limit was lowered below the calls that run."""
        return max(0, self.limit - self.active_calls)

    @property
    def in_line(self) -> bool:
        """Whether a campaign may want a slot."""
        return any(self._line.values())

    def add_configuration(self, name: str, schedule: Schedule) -> Configuration:
        """Make a configuration; one with the default schedule never dials."""
        configuration = Configuration(
            self.dialer.timeline, random_uuid(self._ids), name, schedule, self.dialer.distinct_moment()
        )
        self.configurations[configuration.id] = configuration
        return configuration

    def add_campaign(
        self,
        name: str,
        configuration: Configuration,
        *,
        external_id: str | None = None,
        priority: int = 0,
        pattern: CallPattern | None = None,
    ) -> Campaign:
        """Make an active campaign with no contacts."""
        self.dialer.timeline.catch_up()
        campaign = Campaign(
            self,
            random_uuid(self._ids),
            name,
            configuration,
            external_id=external_id,
            priority=priority,
            pattern=pattern or CallPattern(),
            created_at=self.dialer.distinct_moment(),
        )
        self.campaigns[campaign.id] = campaign
        if external_id is not None:
            self._by_external_id[external_id] = campaign
        return campaign

    def remove_campaign(self, campaign: Campaign) -> None:
        """Take a campaign away, as if it had never been; requests for it answer 404."""
        if campaign.status != "closed":
            campaign.close()
        del self.campaigns[campaign.id]
        if campaign.external_id is not None:
            del self._by_external_id[campaign.external_id]

    def find(self, key: str) -> Campaign | None:
        """Look a campaign up by UUID, then by external id."""
        return self.campaigns.get(key) or self._by_external_id.get(key)

    def set_limit(self, limit: int) -> None:
        """Change the cap; calls above a lower one run to their end."""
        self.dialer.timeline.catch_up()
        self.limit = limit
        self.dialer.wake()

    def hold_ad_hoc(self, calls: int) -> None:
        """Let that many calls with contacts of no campaign take slots, until told otherwise."""
        self.dialer.timeline.catch_up()
        self.ad_hoc_calls = calls
        self.dialer.wake()

    def line_up(self, lane: Lane) -> None:
        """Put a lane behind the others of its priority."""
        priority = lane.campaign.priority
        if priority not in self._line:
            self._line[priority] = deque()
            self._line = dict(sorted(self._line.items(), reverse=True))
        lane.queued = True
        self._line[priority].append(lane)
        if self.room:
            self.dialer.wake()

    def next_lane(self) -> Lane | None:
        """Take the lane whose turn it is out of the line; None when nobody can be called."""
        for lanes in self._line.values():
            while lanes:
                lane = lanes.popleft()
                lane.queued = False
                if lane.dialable:
                    return lane
        return None


class Dialer:
    """One worker for all organizations: looks once a second, and gives out the slots that are free."""

    def __init__(self, timeline: Timeline, random: Random, *, global_limit: int, moment_step: float) -> None:
        self.timeline = timeline
        self.global_limit = global_limit
        self.organizations: list[Organization] = []
        self.calls_elsewhere = 0
        self._random = random
        self._moment_step = moment_step
        self._last_moment = -math.inf
        self._cycle_planned = False

    def distinct_moment(self) -> float:
        """Return now, or just after the last such moment: a cursor made of creation times must tell two apart."""
        self._last_moment = max(self.timeline.now, self._last_moment + self._moment_step)
        return self._last_moment

    def hold_elsewhere(self, calls: int) -> None:
        """Let customers outside of this world hold that many of the global slots, until told otherwise."""
        self.timeline.catch_up()
        self.calls_elsewhere = calls
        self.wake()

    @property
    def free(self) -> int:
        """Global slots that nobody holds."""
        held = sum(organization.active_calls for organization in self.organizations)
        return max(0, self.global_limit - held - self.calls_elsewhere)

    def wake(self) -> None:
        """Plan the worker's next look; a second in which nothing can have changed is not looked at."""
        if not self._cycle_planned:
            self._cycle_planned = True
            self.timeline.at(math.floor(self.timeline.now) + 1.0, self._cycle)

    def _cycle(self) -> None:
        self._cycle_planned = False
        wanting = {org.id: org for org in self.organizations if org.in_line and org.room}
        shares = share_slots(self.free, {key: (org.limit, org.room) for key, org in wanting.items()})
        for key, slots in shares.items():
            for _ in range(slots):
                if (lane := wanting[key].next_lane()) is None:
                    break
                self._lock(lane)
        if self.free and any(org.in_line and org.room for org in self.organizations):
            self.wake()

    def _lock(self, lane: Lane) -> None:
        attempts = lane.take()
        campaign = lane.campaign
        campaign.pending -= 1
        campaign.locked += 1
        campaign.organization.calls += 1
        self._after(campaign.pattern.lock_seconds, self._ring, lane, attempts)
        lane.offer()

    def _ring(self, lane: Lane, attempts: int) -> None:
        campaign, pattern = lane.campaign, lane.campaign.pattern
        if campaign.stalled:
            self.timeline.at(self.timeline.now + STALE_LOCK_SECONDS, self._unlock, lane, attempts)
            return
        campaign.locked -= 1
        campaign.in_progress += 1
        campaign.attempts_made += 1
        campaign.attempts_total += 1
        answered = self._random.random() < pattern.answer_rate
        duration = pattern.answered_seconds if answered else pattern.unanswered_seconds
        self._after(duration, self._hang_up, lane, attempts + 1, answered)

    def _unlock(self, lane: Lane, attempts: int) -> None:
        campaign = lane.campaign
        campaign.locked -= 1
        campaign.pending += 1
        lane.put(attempts)
        self._free_slot(campaign)

    def _hang_up(self, lane: Lane, attempts: int, answered: bool) -> None:
        campaign, pattern = lane.campaign, lane.campaign.pattern
        campaign.in_progress -= 1
        if answered:
            campaign.completed[attempts] += 1
        elif attempts >= pattern.max_attempts:
            campaign.exhausted[attempts] += 1
        else:
            campaign.pending += 1
            # A retry keeps to the ordinary windows, whatever the first call kept to.
            campaign.lane(lane.timezone).wait(attempts, self.timeline.now + pattern.retry_delay)
        self._free_slot(campaign)

    def _free_slot(self, campaign: Campaign) -> None:
        campaign.organization.calls -= 1
        if any(organization.in_line for organization in self.organizations):
            self.wake()

    def _after(self, seconds: tuple[float, float], action: Callable[..., None], *arguments: object) -> None:
        self.timeline.at(self.timeline.now + self._random.uniform(*seconds), action, *arguments)


def share_slots(free: int, organizations: Mapping[str, tuple[int, int]]) -> dict[str, int]:
    """
    Share free global slots in proportion to each organization's limit, bounded by its room.

    Floors first, leftovers to the largest fractional shares. What the bounds leave over waits for the next cycle.

    Args:
        free: Slots to give.
        organizations: (limit, room) of those that want some.

    Returns:
        Slots for each of them.
    """
    limits = sum(limit for limit, _ in organizations.values())
    if not limits:
        return {}
    exact = {key: free * limit / limits for key, (limit, _) in organizations.items()}
    shares = {key: min(math.floor(exact[key]), room) for key, (_, room) in organizations.items()}
    leftover = free - sum(math.floor(part) for part in exact.values())
    for key in sorted(exact, key=lambda key: exact[key] % 1, reverse=True)[:leftover]:
        shares[key] = min(shares[key] + 1, organizations[key][1])
    return shares


def random_uuid(random: Random) -> str:
    """Return a version 4 UUID drawn from `random`."""
    return str(UUID(int=random.getrandbits(128), version=4))
