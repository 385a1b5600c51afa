"""
One campaign over time: what is known of it, and every number that follows from its answers.

Nothing here waits, sends or reads a clock: `now` is an argument, in seconds of the monotonic clock, and decides
everything; `wall` is Unix time and only ever becomes a time stamp.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from math import inf
from typing import Protocol

from exporter.campaign.attempts import AttemptsState
from exporter.campaign.averages import Averages
from exporter.campaign.labels import LabelBudget, bound, clean
from exporter.campaign.rises import Rises
from exporter.campaign.schedule import Hours, Schedule
from exporter.campaign.snapshot import ODD, Snapshot
from exporter.campaign.standing import MAY_DIAL, Standing, stand

NOTHING = Snapshot()
"""What is shown of a campaign without fresh values: no sample at all."""


class Lifecycle(Protocol):
    """A provider's words for the statuses of a campaign."""

    @property
    def name(self) -> str:
        """The value of the label `provider`."""

    @property
    def statuses(self) -> tuple[str, ...]:
        """The documented statuses of a campaign, in the order in which they are exported."""

    @property
    def active_status(self) -> str:
        """The status in which the dialer may place calls."""

    @property
    def final_status(self) -> str | None:
        """The status that a campaign never leaves, where there is one."""


class Organization(Protocol):
    """What a campaign has to know of its siblings."""

    @property
    def busy(self) -> bool:
        """Whether the average use of the cap is so high that the silence of one campaign is no sign."""


# As many as a few thousand campaigns invent; most are the handful that providers document.
@lru_cache(4096)
def _one_of(statuses: tuple[str, ...], status: str) -> Mapping[str, float]:
    """1 for a status, 0 for the documented others; one mapping for all campaigns that have it."""
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


@dataclass(slots=True, eq=False)
class CampaignState:
    """
    One campaign: its last snapshot, its health, and the sums over all its polls.

    Between two successful polls that are not further apart than `stale_after`, the numbers of the earlier one are
    taken to hold; time that is not covered so is left out of every integral. Rises of counters are taken over gaps too.
    """

    campaign: Campaign
    lifecycle: Lifecycle
    on_overflow: Callable[[], None]
    """Called each time that a label value is counted as other."""
    slot: int = -1
    """The place of its lines in the exposition; -1 while it has none."""
    organization: Organization | None = None
    hours: Hours | None = None
    """None where they are not known."""

    # Health of the polls
    up: int | None = None
    error: str | None = None
    """Reason of the last poll's failure; None when it succeeded."""
    message: str = ""
    """The last failure in words, for people; provider text may be in it."""
    interval: float = 0.0
    stale_after: float = 0.0
    last_success: float | None = None
    last_success_wall: float | None = None

    # What the provider said
    fresh: bool = False
    """Whether the last snapshot is young enough to be shown."""
    snapshot: Snapshot = NOTHING
    """The last good one, its labels bounded; kept when it is no longer fresh."""
    shown: Snapshot = NOTHING
    """The last good snapshot, or nothing when it is no longer fresh."""
    display_name: str = ""
    statuses: Mapping[str, float] | None = None
    """1 for the current status, 0 for the documented others; a final one is shown for ever."""
    is_active: bool = False
    """Whether its last status is the one in which the provider dials."""
    retry_delay: float | None = None

    # What follows from it
    standing: Standing = Standing.NOT_POLLED
    next_change: float = inf
    """The moment after which time alone may change its standing."""
    able_at: float | None = None
    """Since when it may dial, as far as is known; None while it may not."""
    window_open: Mapping[str, float] | None = None
    """1 or 0 by timezone; None where the hours are not known, or the values are not fresh."""
    windows: float | None = None
    """Number of calling windows; None where the hours are not known, or the values are not fresh."""
    expected: float | None = None
    """Whether silence would be a sign: 1, 0, or None where that can't be known."""
    expected_at: float | None = None
    expected_since: float | None = None
    """The same moment as Unix time."""
    progress_at: float | None = None
    """The last poll that saw progress; at first the first successful one."""
    last_progress: float | None = None
    """The same moment as Unix time."""
    progress_seen: bool = False
    """Whether any poll but the first saw progress."""
    stall_after: float | None = None
    rises: Rises = field(default_factory=Rises)
    observed_seconds: float | None = None
    active_call_seconds: float | None = None
    saturated_seconds: float | None = None

    # What counts for the organization
    counted_calls: float | None = None
    """Active calls of the last answer; None where it told neither calls nor contacts, or the number is odd."""
    counted_in_progress: float = 0
    waiting: float | None = None
    """Pending contacts while it is active and its values are fresh; None where it did not tell contacts."""
    averages: Averages = field(default_factory=Averages)

    attempts: AttemptsState | None = None
    """Its single attempts; None where they are not read."""

    _budgets: dict[str, LabelBudget] | None = None

    def __post_init__(self) -> None:
        self._work_out_patience()

    # What the configuration, polls and clocks do to it

    def configure(self, campaign: Campaign) -> None:
        """Take in what the configuration says of it."""
        self.campaign = campaign
        self._work_out_patience()

    def rename(self, name: str) -> None:
        """Take in the name that the provider gives it, a valid label value."""
        self.display_name = name

    def succeeded(self, snapshot: Snapshot, now: float, wall: float) -> None:
        """Take in a successful poll that ended at `now`."""
        self._integrate(now)
        snapshot = bound(snapshot, self.lifecycle.statuses, self.budget)
        if progress := self.rises.count(snapshot):
            self.progress_seen = True
        if progress or self.progress_at is None:
            self.progress_at, self.last_progress = now, wall
        if snapshot.name is not None:
            self.display_name = clean(snapshot.name)
        if snapshot.retry_delay_seconds is not None:
            self.retry_delay = snapshot.retry_delay_seconds
            self._work_out_patience()
        self.fresh = True
        self.up, self.error, self.message = 1, None, ""
        status = snapshot.status
        if status != self.snapshot.status or self.statuses is None:
            self.statuses = None if status is None else _one_of(self.lifecycle.statuses, status)
            self.is_active = status == self.lifecycle.active_status
        self.snapshot = self.shown = snapshot
        if self.saturated_seconds is None:
            self._begin_integrals(snapshot)
        self._count_for_organization(snapshot)
        if self.last_success_wall is not None and wall < self.last_success_wall:
            self.cut_time_stamps(wall)
        self.last_success, self.last_success_wall = now, wall
        self.expect(now, wall)

    def failed(self, reason: str, message: str) -> None:
        """Take in a failed poll: the values stay until they are too old."""
        self.up, self.error, self.message = 0, reason, message
        if not self.fresh:
            self.standing = Standing.FAILING

    def withdraw(self) -> None:
        """Show no values any more: they are too old to be true."""
        self.fresh = False
        self.shown = NOTHING
        if not self.is_final:
            self.statuses = None
        self.window_open = self.windows = self.waiting = None
        self.expected = self.expected_at = self.expected_since = None
        self.settle(inf)

    def expect(self, now: float, wall: float) -> None:
        """Work out whether it should be dialing, after a poll or a change of the hours."""
        if not self.fresh:
            return
        hours = self.hours
        self.window_open, self.windows = (None, None) if hours is None else (hours.open, hours.windows)
        self.expected = self._is_expected()
        if self.expected != 1:
            self.expected_at = self.expected_since = None
        elif self.expected_at is None:
            self.expected_at, self.expected_since = now, wall
        self.settle(now)

    def settle(self, now: float) -> bool:
        """Work out where it stands; True when that has changed."""
        before = self.standing
        standing, self.next_change = stand(self, now)
        self.standing = standing
        if standing not in MAY_DIAL:
            self.able_at = None
        elif self.able_at is None:
            self.able_at = now
        return standing is not before

    def cut_time_stamps(self, wall: float) -> None:
        """Leave no time stamp in the future: the wall clock may have been set back."""
        if self.last_success_wall is not None and self.last_success_wall > wall:
            self.last_success_wall = wall
        if self.last_progress is not None and self.last_progress > wall:
            self.last_progress = wall
        if self.expected_since is not None and self.expected_since > wall:
            self.expected_since = wall
        if (attempts := self.attempts) is not None and attempts.read_at is not None and attempts.read_at > wall:
            attempts.read_at = wall

    # What is read

    @property
    def stale_at(self) -> float:
        """The moment (monotonic) at which its values become too old; never, when none are shown."""
        if self.last_success is None or not self.fresh:
            return inf
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

    def _count_for_organization(self, snapshot: Snapshot) -> None:
        calls, contacts = snapshot.active_calls, snapshot.contacts
        if contacts is None:
            self.counted_in_progress, self.waiting = 0, None
        else:
            in_progress, pending = contacts.get("in_progress", 0), contacts.get("pending", 0)
            self.counted_in_progress = in_progress if in_progress < ODD else 0
            self.waiting = pending if self.is_active and pending < ODD else 0
        if calls is None:
            self.counted_calls = None if contacts is None else 0
        else:
            self.counted_calls = calls if calls < ODD else None

    def _integrate(self, now: float) -> None:
        """Add the time since the last success, if it is short enough to be covered by that one's numbers."""
        if self.observed_seconds is None or self.last_success is None:
            self.observed_seconds = 0.0
            return
        elapsed = now - self.last_success
        if elapsed > self.stale_after:
            self.averages.reset()
            return
        self.observed_seconds += elapsed
        if self.counted_calls is not None:
            self.averages.add(now, elapsed, self.counted_calls, self.counted_in_progress)
        active, limit = self.snapshot.active_calls, self.snapshot.concurrency_limit
        if active is None or active >= ODD:
            return
        self.active_call_seconds = (self.active_call_seconds or 0.0) + elapsed * active
        if limit is not None and active >= limit > 0:
            self.saturated_seconds = (self.saturated_seconds or 0.0) + elapsed

    def _begin_integrals(self, snapshot: Snapshot) -> None:
        """Begin at zero with the first answer that has the number, so that a rate has a start."""
        if snapshot.active_calls is None:
            return
        if self.active_call_seconds is None:
            self.active_call_seconds = 0.0
        if snapshot.concurrency_limit is not None:
            self.saturated_seconds = 0.0

    def budget(self, family: str, known: tuple[str, ...]) -> LabelBudget:
        """The label values that were admitted to a family, beginning with the documented ones."""
        if self._budgets is None:
            self._budgets = {}
        if (budget := self._budgets.get(family)) is None:
            budget = self._budgets[family] = LabelBudget(known, self.on_overflow)
        return budget
