"""
What is known of a campaign, and every number that is worked out of it.

Nothing here waits, sends or reads a clock: `now` is an argument, in seconds of the monotonic clock, and decides
everything; `wall` is Unix time and only ever becomes a time stamp.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

from exporter.campaign.labels import LabelBudget, clean
from exporter.campaign.schedule import Hours, Schedule
from exporter.campaign.snapshot import CALL_OUTCOMES, CALLS_IN_PROGRESS, CONTACT_BUCKETS, Snapshot

NOTHING = Snapshot()
"""What is shown of a campaign without fresh values: no sample at all."""

_COUNTED_BUCKETS = ("completed", "exhausted")
_KNOWN_CALLS = (*CALL_OUTCOMES, CALLS_IN_PROGRESS)
_NEVER = float("inf")
_NO_NUMBERS: Mapping[str, float] = {}


class Lifecycle(Protocol):
    """A provider's words for where a campaign stands."""

    @property
    def name(self) -> str: ...
    @property
    def statuses(self) -> tuple[str, ...]: ...
    @property
    def active_status(self) -> str: ...
    @property
    def final_status(self) -> str | None: ...


# As many as a few thousand campaigns invent; most are the handful that providers document.
@lru_cache(4096)
def _one_of(statuses: tuple[str, ...], status: str) -> Mapping[str, float]:
    """1 for a status, 0 for the documented others; one mapping for all campaigns that stand there."""
    return {**dict.fromkeys(statuses, 0), status: 1}


@dataclass(frozen=True, slots=True)
class Campaign:
    """What the configuration, or the discovery, says of a campaign; its labels are its identity in the exposition."""

    account: str
    name: str
    id: str
    labels: tuple[tuple[str, str], ...] = ()
    stall_after: float | None = None
    """Seconds of silence that mean a stall while dialing is expected; None for never."""
    stall_follows_retry_delay: bool = False
    """Whether twice the retry delay counts where it is longer than `stall_after`."""
    hours: Schedule | None = None
    """The configured hours; None where none are."""
    id_label: str = field(init=False)
    """The id as a label value; requests take the id itself."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "id_label", clean(self.id))


class CampaignState:
    """
    One campaign: its last snapshot, its health, and the sums over all its polls.

    Between two successful polls that are not further apart than `stale_after`, the numbers of the earlier one are
    taken to hold; time that is not covered so is left out of every integral. Rises of counters are taken over gaps too.
    """

    __slots__ = (
        "_budgets",
        "_calls",
        "_contacts",
        "_last_attempts",
        "_last_calls_made",
        "_on_overflow",
        "active_call_seconds",
        "answers",
        "campaign",
        "counted_active_calls",
        "counted_at",
        "counted_in_progress",
        "display_name",
        "error",
        "errors",
        "expected",
        "expected_since",
        "fresh",
        "hours",
        "info",
        "interval",
        "is_active",
        "last_progress",
        "last_success",
        "last_success_wall",
        "lifecycle",
        "message",
        "observed_attempts",
        "observed_calls",
        "observed_contacts",
        "observed_seconds",
        "retry_delay",
        "saturated_seconds",
        "shown",
        "shown_progress",
        "slot",
        "snapshot",
        "stale_after",
        "stall_after",
        "statuses",
        "up",
        "window_open",
        "windows",
        "work_remaining",
    )

    def __init__(self, campaign: Campaign, lifecycle: Lifecycle, on_overflow: Callable[[], None]) -> None:
        self.lifecycle = lifecycle
        self.slot = -1
        """Where its lines stand in the exposition; -1 while it has none."""
        self.message = ""
        """The last failure in words, for people; provider text may be in it."""
        self.fresh = False
        self.snapshot = NOTHING
        """The last good one, its labels bounded; kept when it is no longer fresh."""
        self.is_active = False
        """Whether its last status is the one in which the provider dials."""
        self.hours: Hours | None = None
        self.last_success: float | None = None
        self.last_progress: float | None = None
        self.retry_delay: float | None = None
        self._last_attempts: float | None = None
        self._last_calls_made: float | None = None
        self._contacts = self._calls = _NO_NUMBERS
        self._budgets: dict[str, LabelBudget] | None = None
        self._on_overflow = on_overflow

        # What its account counts of it, and nobody else looks at.
        self.answers = 0
        """How often it stands in its account's queue of answers."""
        self.counted_at = -_NEVER
        """The moment (monotonic) of its answer that counts; minus infinity when none does."""
        self.counted_active_calls: float = 0
        self.counted_in_progress: float = 0

        # What is shown: brought up to date by whatever changes it, since each poll reads all of it.
        self.shown = NOTHING
        """The last good snapshot, or nothing when it is no longer fresh."""
        self.display_name = ""
        self.info: tuple[str, str]
        """Its id as a label value, and its display name."""
        self.up: float | None = None
        self.error: str | None = None
        """Reason of the last poll's failure; None when it succeeded."""
        self.errors: Mapping[str, float] | None = None
        self.interval = 0.0
        self.stale_after = 0.0
        self.last_success_wall: float | None = None
        self.statuses: Mapping[str, float] | None = None
        """1 for the current status, 0 for the documented others; a final one is shown for ever."""
        self.work_remaining: float | None = None
        self.window_open: Mapping[str, float] | None = None
        self.windows: float | None = None
        self.expected: float | None = None
        """Whether silence would be a sign: 1, 0, or None where that can't be known."""
        self.expected_since: float | None = None
        self.shown_progress: float | None = None
        self.stall_after: float | None = None
        self.observed_attempts: float | None = None
        self.observed_contacts: Mapping[str, float] | None = None
        self.observed_calls: Mapping[str, float] | None = None
        self.observed_seconds: float | None = None
        self.active_call_seconds: float | None = None
        self.saturated_seconds: float | None = None
        self.configure(campaign)

    # What the configuration, polls and clocks do to it

    def configure(self, campaign: Campaign) -> None:
        """Take in what the configuration says of it."""
        self.campaign = campaign
        self.info = (campaign.id_label, self.display_name)
        self._work_out_patience()

    def rename(self, name: str) -> None:
        """Take in the name that the provider gives it, a valid label value."""
        if name != self.display_name:
            self.display_name = name
            self.info = (self.campaign.id_label, name)

    def succeeded(self, snapshot: Snapshot, now: float, wall: float) -> None:
        """Take in a successful poll that ended at `now`."""
        self._integrate(now)
        snapshot = self._bounded(snapshot)
        if self._count_rises(snapshot) or self.last_progress is None:
            self.last_progress = wall
        if snapshot.name is not None:
            self.rename(clean(snapshot.name))
        if snapshot.retry_delay_seconds is not None:
            self.retry_delay = snapshot.retry_delay_seconds
            self._work_out_patience()
        self.fresh = True
        self.up, self.error, self.errors, self.message = 1, None, None, ""
        status, remaining = snapshot.status, snapshot.work_remaining
        if status != self.snapshot.status or self.statuses is None:
            self.statuses = None if status is None else _one_of(self.lifecycle.statuses, status)
            self.is_active = status == self.lifecycle.active_status
        self.snapshot = self.shown = snapshot
        self.work_remaining = None if remaining is None else int(remaining)
        self.last_success, self.last_success_wall = now, wall
        self.shown_progress = self.last_progress
        self.expect(wall)

    def failed(self, reason: str, message: str) -> None:
        """Take in a failed poll: the values stay until they are too old."""
        self.up, self.error, self.errors, self.message = 0, reason, {reason: 1}, message

    def withdraw(self) -> None:
        """Show no values any more: they are too old to be true."""
        self.fresh = False
        self.shown = NOTHING
        if not self.is_final:
            self.statuses = None
        self.work_remaining = self.shown_progress = None
        self.window_open = self.windows = None
        self.expected = self.expected_since = None

    def expect(self, wall: float) -> None:
        """Work out anew whether it should be dialing, after a poll or a change of the hours."""
        if not self.fresh:
            return
        hours = self.hours
        if hours is None:
            self.window_open = self.windows = None
        else:
            self.window_open, self.windows = hours.open, hours.windows
        self.expected = self._is_expected()
        if self.expected != 1:
            self.expected_since = None
        elif self.expected_since is None:
            self.expected_since = wall

    @property
    def stale_at(self) -> float:
        """The moment (monotonic) at which its values become too old; never, when none are shown."""
        if self.last_success is None or not self.fresh:
            return _NEVER
        return self.last_success + self.stale_after

    @property
    def polled(self) -> bool:
        """Whether a poll has succeeded, or failed, yet."""
        return self.up is not None

    @property
    def calls_in_flight(self) -> bool:
        return self.snapshot.calls_in_flight

    @property
    def is_final(self) -> bool:
        final = self.lifecycle.final_status
        return final is not None and self.snapshot.status == final

    # How it is worked out

    def _work_out_patience(self) -> None:
        floor = self.campaign.stall_after
        if floor is not None and self.campaign.stall_follows_retry_delay and self.retry_delay is not None:
            floor = max(floor, 2 * self.retry_delay)
        self.stall_after = floor

    def _is_expected(self) -> float | None:
        hours, remaining = self.hours, self.snapshot.work_remaining
        if hours is None:
            return None
        if hours.windows == 0 or not hours.all_open or remaining is False:
            return 0
        if self.is_active:
            return None if remaining is None else 1
        return None if self.snapshot.status is None else 0

    def _integrate(self, now: float) -> None:
        """Add the time since the last success, if it is short enough to be covered by that one's numbers."""
        if self.observed_seconds is None or self.last_success is None:
            self.observed_seconds = 0.0
            return
        elapsed = now - self.last_success
        if elapsed > self.stale_after:
            return
        self.observed_seconds += elapsed
        active = self.snapshot.active_calls
        if active is None:
            return
        if self.active_call_seconds is not None:
            self.active_call_seconds += elapsed * active
        limit = self.snapshot.concurrency_limit
        if self.saturated_seconds is not None and limit is not None and active >= limit > 0:
            self.saturated_seconds += elapsed

    def _count_rises(self, snapshot: Snapshot) -> bool:
        """Add what rose since each number was last known; True when that, or a call in progress, is progress."""
        contacts, calls = snapshot.contacts, snapshot.calls
        progress = contacts is not None and contacts.get("in_progress", 0) > 0
        if self.saturated_seconds is None and snapshot.active_calls is not None:
            if self.active_call_seconds is None:
                self.active_call_seconds = 0.0
            if snapshot.concurrency_limit is not None:
                self.saturated_seconds = 0.0
        if (attempts := snapshot.attempts) is not None:
            if self._last_attempts is None or self.observed_attempts is None:
                self.observed_attempts = 0
            elif attempts > self._last_attempts:
                # A fall means deleted contacts, not calls undone: it adds nothing.
                self.observed_attempts += attempts - self._last_attempts
                progress = True
            self._last_attempts = attempts
        if (made := snapshot.calls_made) is not None:
            progress |= self._last_calls_made is not None and made > self._last_calls_made
            self._last_calls_made = made
        if contacts is not None:
            self._count_contacts(contacts)
        if calls is not None:
            progress |= self._count_calls(calls)
        return progress

    def _count_contacts(self, contacts: Mapping[str, float]) -> None:
        last = self._contacts
        observed: dict[str, float] | None = None
        complete = True
        for bucket in _COUNTED_BUCKETS:
            number = contacts.get(bucket)
            if number is None:
                complete = False
                continue
            before = last.get(bucket)
            if before is None or number > before:
                if observed is None:
                    # Another mapping, since what is shown is compared with the one before.
                    observed = {**(self.observed_contacts or {})}
                observed[bucket] = observed.get(bucket, 0) + (0 if before is None else number - before)
        if observed is not None:
            self.observed_contacts = observed
        # A bucket that was left out this time is compared with what it was when it was last sent.
        self._contacts = contacts if complete else {**last, **contacts}

    def _count_calls(self, calls: Mapping[str, float]) -> bool:
        last, observed = self._calls, self.observed_calls
        progress = calls.get(CALLS_IN_PROGRESS, 0) > 0
        first = observed is None
        for status, number in calls.items():
            if status == CALLS_IN_PROGRESS:
                continue
            rise = 0 if first else max(0, number - last.get(status, 0))
            if rise or observed is None or status not in observed:
                observed = {**(observed or {}), status: (observed or {}).get(status, 0) + rise}
                progress |= rise > 0
        self.observed_calls = observed
        self._calls = calls if calls.keys() >= last.keys() else {**last, **calls}
        return progress

    # Bounded labels

    def _bounded(self, snapshot: Snapshot) -> Snapshot:
        """Bound what becomes a label: documented values pass as they are, invented ones within their budget."""
        status, contacts, calls = snapshot.status, snapshot.contacts, snapshot.calls
        if status is not None and status not in self.lifecycle.statuses:
            snapshot = snapshot._replace(status=self._budget("status", self.lifecycle.statuses).admit(status))
        if contacts is not None and tuple(contacts) != CONTACT_BUCKETS:
            snapshot = snapshot._replace(contacts=self._budget("bucket", CONTACT_BUCKETS).fold(contacts))
        if calls is not None and tuple(calls) != CALL_OUTCOMES:
            snapshot = snapshot._replace(calls=self._budget("calls", _KNOWN_CALLS).fold(calls))
        if snapshot.queues:
            snapshot = snapshot._replace(queues=self._bounded_agents("queues", snapshot.queues))
        if snapshot.queued_contacts:
            snapshot = snapshot._replace(
                queued_contacts=self._bounded_agents("queued_contacts", snapshot.queued_contacts)
            )
        return snapshot

    def _bounded_agents(self, family: str, numbers: Mapping[tuple[str, str], float]) -> Mapping[tuple[str, str], float]:
        budget = self._budget(family, ())
        admitted = {agent: budget.admit(agent) for agent in dict.fromkeys(agent for agent, _ in numbers)}
        folded: dict[tuple[str, str], float] = {}
        for (agent, state), number in numbers.items():
            key = (admitted[agent], state)
            folded[key] = folded.get(key, 0) + number
        return dict(sorted(folded.items(), key=lambda item: budget.rank(item[0][0])))

    def _budget(self, family: str, known: tuple[str, ...]) -> LabelBudget:
        if self._budgets is None:
            self._budgets = {}
        if (budget := self._budgets.get(family)) is None:
            budget = self._budgets[family] = LabelBudget(known, self._on_overflow)
        return budget
