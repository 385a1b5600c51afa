"""
The dialer behind the simulated Anyreach: organizations, their campaigns, and one worker that gives out slots.

It follows https://docs.anyreach.ai/campaigns/dialing-and-retries. Where that page is silent, this world decides:
a higher priority number is served first and equals take turns; free global slots are shared among the organizations
that have somebody to call; a stale lock is five minutes old; the retry limit counts the first call.
"""

import math
from collections import deque
from collections.abc import Callable, Mapping
from random import Random
from typing import Literal
from uuid import UUID

from exporter.simulator.anyreach_campaign import CallPattern, Campaign, Configuration, Lane
from exporter.simulator.anyreach_contacts import Attempt, Contact, Order, Status
from exporter.simulator.faults import Fault
from exporter.simulator.hours import Schedule
from exporter.simulator.timeline import Timeline

STALE_LOCK_SECONDS = 300.0


class Organization:
    """
    A customer of the provider: campaigns that share a number of slots.

    Attributes:
        listing: The shape of its list pages, since the provider documents none.
        active_calls_scope: Whose calls `active_calls` counts, since the provider's pages can be read both ways.
        deletion_lowers_attempts: Whether deleted contacts take their attempts out of `attempts.total`.
        contact_order: The order of its contact lists, since the provider documents none.
        filters_contacts: Whether `status` filters a contact list; the contract says so, a server may ignore it.
        fault: How requests for anything of it go wrong, None while they don't.
    """

    def __init__(self, dialer: "Dialer", organization_id: str, limit: int, ids: Random) -> None:
        self.dialer = dialer
        self.id = organization_id
        self.limit = limit
        self.listing: Literal["array", "envelope"] = "array"
        self.active_calls_scope: Literal["campaign", "organization"] = "campaign"
        self.deletion_lowers_attempts = True
        self.contact_order: Order = "created"
        self.filters_contacts = True
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
        """Let that many calls with contacts of no campaign take slots, until the next call of this."""
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
        """Return now, or just after the last such moment, since cursors are made of creation times."""
        self._last_moment = max(self.timeline.now, self._last_moment + self._moment_step)
        return self._last_moment

    def hold_elsewhere(self, calls: int) -> None:
        """Let customers outside of this world hold that many of the global slots, until the next call of this."""
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
        contact = lane.take()
        self._move(contact, "locked")
        campaign = lane.campaign
        campaign.pending -= 1
        campaign.locked += 1
        campaign.organization.calls += 1
        self._after(campaign.pattern.lock_seconds, self._ring, lane, contact)
        lane.offer()

    def _ring(self, lane: Lane, contact: Contact) -> None:
        campaign, pattern = lane.campaign, lane.campaign.pattern
        if campaign.stalled:
            self.timeline.at(self.timeline.now + STALE_LOCK_SECONDS, self._unlock, lane, contact)
            return
        campaign.locked -= 1
        campaign.in_progress += 1
        campaign.attempts_made += 1
        campaign.attempts_total += 1
        answered = self._random.random() < pattern.answer_rate
        contact.attempts.append(Attempt(self.timeline.now, answered))
        self._move(contact, "in_progress")
        duration = pattern.answered_seconds if answered else pattern.unanswered_seconds
        self._after(duration, self._hang_up, lane, contact)

    def _unlock(self, lane: Lane, contact: Contact) -> None:
        campaign = lane.campaign
        campaign.locked -= 1
        campaign.pending += 1
        self._move(contact, "pending")
        lane.put(contact)
        self._free_slot(campaign)

    def _hang_up(self, lane: Lane, contact: Contact) -> None:
        campaign, pattern = lane.campaign, lane.campaign.pattern
        campaign.in_progress -= 1
        attempt, attempts = contact.attempts[-1], len(contact.attempts)
        attempt.ended_at = self.timeline.now
        if attempt.answered:
            campaign.completed[attempts] += 1
            self._move(contact, "completed")
        elif attempts >= pattern.max_attempts:
            campaign.exhausted[attempts] += 1
            self._move(contact, "exhausted")
        else:
            campaign.pending += 1
            self._move(contact, "pending")
            # A retry keeps to the ordinary windows, whatever the first call kept to.
            campaign.lane(lane.timezone).wait(contact, self.timeline.now + pattern.retry_delay)
        self._free_slot(campaign)

    def _move(self, contact: Contact, status: Status) -> None:
        contact.status = status
        contact.updated_at = self.timeline.now

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
