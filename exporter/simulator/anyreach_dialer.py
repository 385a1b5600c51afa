"""
The dialer behind the simulated Anyreach: organizations, their campaigns, and the calls that they make.

It follows https://docs.anyreach.ai/campaigns/dialing-and-retries. Where that page is silent, this world decides:
campaigns take turns; a stale lock is five minutes old; the retry limit counts the first call.
"""

import math
from collections import Counter, deque
from dataclasses import dataclass, field
from itertools import islice
from random import Random
from typing import Literal
from uuid import UUID

from exporter.simulator.anyreach_contacts import Attempt, Contact, Order, Status
from exporter.simulator.faults import Fault
from exporter.simulator.hours import Hours, Schedule
from exporter.simulator.timeline import Timeline

STALE_LOCK_SECONDS = 300.0


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

    id: str
    name: str
    schedule: Schedule
    hours: Hours
    created_at: float


@dataclass(eq=False)
class Campaign:
    """
    A campaign, and the truth about it.

    Attributes:
        contacts: By number, in the order in which they were loaded.
        counts: Number of contacts by status.
        attempts_total: What the provider shows: deleted contacts take their attempts along.
        attempts_made: Attempts that truly began; never falls.
        stalled: Its agent was stopped: it looks alive and calls nobody.
    """

    organization: "Organization"
    id: str
    name: str
    configuration: Configuration
    external_id: str | None
    pattern: CallPattern
    created_at: float
    status: Literal["active", "paused", "closed"] = "active"
    stalled: bool = False
    fault: Fault | None = None
    contacts: dict[int, Contact] = field(default_factory=dict)
    counts: Counter[Status] = field(default_factory=Counter)
    attempts_total: int = 0
    attempts_made: int = 0
    _loaded: int = 0
    _due: deque[Contact] = field(default_factory=deque)

    @property
    def active_calls(self) -> int:
        """Slots held by this campaign: locked, ringing and talking."""
        return self.counts["locked"] + self.counts["in_progress"]

    @property
    def dialable(self) -> bool:
        """Whether a call may begin, but for the slot."""
        return bool(self._due) and self.status == "active" and not self.stalled and self.configuration.hours.open

    def add_contacts(self, contacts: int) -> None:
        self._catch_up()
        now = self.organization.timeline.now
        for number in range(self._loaded, self._loaded + contacts):
            self.contacts[number] = Contact(self.id, number, now, now)
            self._due.append(self.contacts[number])
        self._loaded += contacts
        self.counts["pending"] += contacts
        self.organization.line_up(self)

    def delete_contacts(self, contacts: int, bucket: Literal["pending", "completed", "exhausted"] = "pending") -> int:
        """Delete up to so many contacts of a bucket, and return how many there were."""
        self._catch_up()
        deleted = list(islice((one for one in self.contacts.values() if one.status == bucket), contacts))
        for contact in deleted:
            self.move(contact, "deleted")
            self.attempts_total -= len(contact.attempts)
            del self.contacts[contact.number]
        self._due = deque(contact for contact in self._due if contact.status == "pending")
        return len(deleted)

    def pause(self) -> None:
        """Halt new calls; those in flight run to their end."""
        self._become("paused", "active")

    def start(self) -> None:
        self._become("active", "paused")

    def close(self) -> None:
        self._become("closed", "active", "paused")

    def stall(self) -> None:
        """Stop its agent: no call begins, and what is locked rings nobody until the lock is found stale."""
        self._catch_up()
        self.stalled = True

    def recover(self) -> None:
        self._catch_up()
        self.stalled = False
        self.organization.line_up(self)

    def put(self, contact: Contact) -> None:
        """Make a contact due, behind those that are; unless it was deleted."""
        if contact.status == "pending":
            self._due.append(contact)
            self.organization.line_up(self)

    def take(self) -> Contact:
        return self._due.popleft()

    def move(self, contact: Contact, status: Status) -> None:
        """Give a contact another status, and count it there."""
        self.counts[contact.status] -= 1
        self.counts[status] += 1
        contact.status, contact.updated_at = status, self.organization.timeline.now

    def _become(self, after: Literal["active", "paused", "closed"], *before: str) -> None:
        if self.status not in before:
            raise ValueError(f"{self.name} is {self.status}, not {' or '.join(before)}")
        self._catch_up()
        self.status = after
        self.organization.line_up(self)

    def _catch_up(self) -> None:
        self.organization.timeline.catch_up()


@dataclass(eq=False)
class Organization:
    """
    A customer of the provider: campaigns that share a number of slots, and one worker that gives these out.

    Attributes:
        limit: Calls at once.
        listing: The shape of its list pages, since the provider documents none.
        active_calls_scope: Whose calls `active_calls` counts, since the provider's pages can be read both ways.
        contact_order: The order of its contact lists, since the provider documents none.
        filters_contacts: Whether `status` filters a contact list; the contract says so, a server may ignore it.
    """

    timeline: Timeline
    id: str
    limit: int
    _random: Random
    _ids: Random
    _moment_step: float
    """Seconds between two creation times, of which cursors are made."""
    listing: Literal["array", "envelope"] = "array"
    active_calls_scope: Literal["campaign", "organization"] = "campaign"
    contact_order: Order = "created"
    filters_contacts: bool = True
    fault: Fault | None = None
    campaigns: dict[str, Campaign] = field(default_factory=dict)
    configurations: dict[str, Configuration] = field(default_factory=dict)
    active_calls: int = 0
    _last_moment: float = -math.inf
    _line: dict[Campaign, None] = field(default_factory=dict)
    """Campaigns that have somebody to call, in the order of their turns."""
    _look_planned: bool = False

    def add_configuration(self, name: str, schedule: Schedule) -> Configuration:
        """Make a configuration; one with the default schedule never dials."""
        hours = Hours(self.timeline, schedule.default_windows, schedule.default_timezone)
        configuration = Configuration(random_uuid(self._ids), name, schedule, hours, self._distinct_moment())
        self.configurations[configuration.id] = configuration
        return configuration

    def add_campaign(
        self,
        name: str,
        configuration: Configuration,
        *,
        external_id: str | None = None,
        pattern: CallPattern | None = None,
    ) -> Campaign:
        """Make an active campaign with no contacts."""
        self.timeline.catch_up()
        campaign = Campaign(
            self,
            random_uuid(self._ids),
            name,
            configuration,
            external_id=external_id,
            pattern=pattern or CallPattern(),
            created_at=self._distinct_moment(),
        )
        self.campaigns[campaign.id] = campaign
        configuration.hours.on_open.append(lambda: self.line_up(campaign))
        return campaign

    def remove_campaign(self, campaign: Campaign) -> None:
        """Take a campaign away, as if it had never been; requests for it answer 404."""
        if campaign.status != "closed":
            campaign.close()
        del self.campaigns[campaign.id]

    def find(self, key: str) -> Campaign | None:
        """Look a campaign up by UUID, then by external id."""
        by_external_id = (campaign for campaign in self.campaigns.values() if campaign.external_id == key)
        return self.campaigns.get(key) or next(by_external_id, None)

    def set_limit(self, limit: int) -> None:
        """Change the cap; calls above a lower one run to their end."""
        self.timeline.catch_up()
        self.limit = limit
        self._plan_look()

    def line_up(self, campaign: Campaign) -> None:
        """Let a campaign wait for its turn, if it has somebody to call."""
        if campaign.dialable:
            self._line.setdefault(campaign)
            self._plan_look()

    def _distinct_moment(self) -> float:
        self._last_moment = max(self.timeline.now, self._last_moment + self._moment_step)
        return self._last_moment

    def _plan_look(self) -> None:
        """Let the worker look at the next full second; one in which nothing can have changed is not looked at."""
        if self._line and self.active_calls < self.limit and not self._look_planned:
            self._look_planned = True
            self.timeline.at(math.floor(self.timeline.now) + 1.0, self._look)

    def _look(self) -> None:
        self._look_planned = False
        while self._line and self.active_calls < self.limit:
            campaign = next(iter(self._line))
            del self._line[campaign]
            if campaign.dialable:
                self._lock(campaign)
                self.line_up(campaign)

    def _lock(self, campaign: Campaign) -> None:
        contact = campaign.take()
        campaign.move(contact, "locked")
        self.active_calls += 1
        self.timeline.after(self._random.uniform(*campaign.pattern.lock_seconds), self._ring, campaign, contact)

    def _ring(self, campaign: Campaign, contact: Contact) -> None:
        if campaign.stalled:
            self.timeline.after(STALE_LOCK_SECONDS, self._unlock, campaign, contact)
            return
        pattern = campaign.pattern
        campaign.attempts_made += 1
        campaign.attempts_total += 1
        answered = self._random.random() < pattern.answer_rate
        contact.attempts.append(Attempt(self.timeline.now, answered))
        campaign.move(contact, "in_progress")
        seconds = pattern.answered_seconds if answered else pattern.unanswered_seconds
        self.timeline.after(self._random.uniform(*seconds), self._hang_up, campaign, contact)

    def _unlock(self, campaign: Campaign, contact: Contact) -> None:
        self.active_calls -= 1
        campaign.move(contact, "pending")
        campaign.put(contact)
        self._plan_look()

    def _hang_up(self, campaign: Campaign, contact: Contact) -> None:
        self.active_calls -= 1
        attempt = contact.attempts[-1]
        attempt.ended_at = self.timeline.now
        if attempt.answered:
            campaign.move(contact, "completed")
        elif len(contact.attempts) >= campaign.pattern.max_attempts:
            campaign.move(contact, "exhausted")
        else:
            campaign.move(contact, "pending")
            self.timeline.after(campaign.pattern.retry_delay, campaign.put, contact)
        self._plan_look()


def random_uuid(random: Random) -> str:
    return str(UUID(int=random.getrandbits(128), version=4))
