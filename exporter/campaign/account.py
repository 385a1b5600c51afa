"""What the campaigns of one account say of their organization together."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from math import inf

from exporter.campaign.snapshot import ODD
from exporter.campaign.standing import BUSY, MAY_DIAL
from exporter.campaign.state import CampaignState

# A slice holds the event loop for a fraction of a millisecond.
_SLICE = 1000
# Seconds between two sums at most.
_OLDEST = 4.0
# Sums are older only where nobody adds up every second.
_RECENT = _OLDEST + 1.0


@dataclass(slots=True)
class Sums:
    """What the campaigns of an account say of it together; None for what is not known."""

    calls: float | None = None
    """The most active calls that any campaign says."""
    in_progress: float = 0
    average_calls: float | None = None
    """The highest average of one campaign over the last ten minutes."""
    average_in_progress: float = 0
    waiting: float | None = None
    """Pending contacts of active campaigns whose values are fresh."""

    def add(self, campaigns: Iterable[CampaignState], oldest: float) -> None:
        """Add campaigns; calls are those of answers that are not older than a moment."""
        for campaign in campaigns:
            if campaign.waiting is not None:
                self.waiting = campaign.waiting + (self.waiting or 0)
            calls = campaign.counted_calls
            if calls is None or campaign.last_success is None or campaign.last_success < oldest:
                continue
            self.in_progress += campaign.counted_in_progress
            if self.calls is None or calls > self.calls:
                self.calls = calls
            averages = campaign.averages
            if averages.calls is not None and averages.in_progress is not None:
                self.average_in_progress += averages.in_progress
                if self.average_calls is None or averages.calls > self.average_calls:
                    self.average_calls = averages.calls

    @property
    def active_calls(self) -> float | None:
        """
        Calls in flight of the organization, estimated from below.

        It holds whether `active_calls` is a campaign's own number or the organization's: at least as many as any one
        campaign says, and at least as many as its contacts in progress add up to.
        """
        return None if self.calls is None else max(self.calls, self.in_progress)

    @property
    def average_active_calls(self) -> float | None:
        """The same estimate from the averages of the last ten minutes."""
        return None if self.average_calls is None else max(self.average_calls, self.average_in_progress)


@dataclass(slots=True, eq=False)
class AccountState:
    """
    One account: what its campaigns say of the organization together, for providers that tell of calls in flight.

    Sums are worked out from the campaigns, about once a second. Integrals follow the rule of `CampaignState`, over the
    successful polls of any of its campaigns.
    """

    provider: str
    name: str
    labels: tuple[tuple[str, str], ...] = ()
    horizon: float = 0.0
    """Seconds for which a campaign's last answer counts: two active intervals."""
    stale_after: float = 0.0
    """Seconds after which time between two answers is not covered, and the limit is not shown any more."""
    observed_seconds: float | None = None
    saturated_seconds: float | None = None
    busy: bool = False
    """Whether the average use of the cap is so high that the silence of one campaign is no sign."""
    _campaigns: dict[CampaignState, None] = field(default_factory=dict)
    """Those that have answered, in the order of their first answer."""
    _limit: float | None = None
    _limit_at: float = -inf
    """The time of the newest answer that has a limit (monotonic)."""
    _last_success: float = -inf
    _saturated: bool = False
    _sums: Sums = field(default_factory=Sums)
    _summed_at: float = -inf

    def succeeded(self, campaign: CampaignState, now: float) -> None:
        """Take in what one of its campaigns has just answered."""
        if campaign.organization is not self:
            self._adopt(campaign, now)
        if campaign.counted_calls is None:
            return
        elapsed = now - self._last_success
        if self.observed_seconds is not None and elapsed <= self.stale_after:
            self.observed_seconds += elapsed
            if self._saturated and self.saturated_seconds is not None:
                self.saturated_seconds += elapsed
        self._last_success = now
        limit = campaign.snapshot.concurrency_limit
        if limit is not None and limit < ODD:
            self._limit, self._limit_at = limit, now
            if self.observed_seconds is None:
                self.observed_seconds = self.saturated_seconds = 0.0

    def forget(self, campaign: CampaignState) -> None:
        """Leave out a campaign that has gone."""
        self._campaigns.pop(campaign, None)
        campaign.organization = None

    def add_up(self, now: float) -> Iterator[None]:
        """
        Work out the sums as of a moment, a slice of the campaigns at each step.

        To be gone through about once a second, for `look` after it. Sums that are younger than a tenth of the active
        interval are kept.
        """
        if now - self._summed_at < min(_OLDEST, self.horizon / 20):
            return
        sums, campaigns = Sums(), tuple(self._campaigns)
        if self._last_success > -inf:
            for start in range(0, len(campaigns), _SLICE):
                sums.add(campaigns[start : start + _SLICE], now - self.horizon)
                yield
        self._sums, self._summed_at = sums, now

    def look(self, now: float) -> list[CampaignState]:
        """Give the campaigns whose standing may have changed with time alone; each of them has to `settle`."""
        before = self.busy
        calls, limit, use = self.active_calls(now), self.concurrency_limit(now), self.utilization(now)
        self._saturated = limit is not None and calls is not None and calls >= limit > 0
        self.busy = use is not None and use > BUSY
        if self.busy != before:
            return [campaign for campaign in self._campaigns if campaign.standing in MAY_DIAL]
        return [campaign for campaign in self._campaigns if campaign.next_change < now]

    def active_calls(self, now: float) -> float | None:
        """Calls in flight of the organization, at least; None without an answer that is recent enough."""
        return self._sums_at(now).active_calls

    def contacts_waiting(self, now: float) -> float | None:
        """Pending contacts of its active campaigns whose values are fresh; None where no campaign tells."""
        return self._sums_at(now).waiting

    def concurrency_limit(self, now: float) -> float | None:
        """The organization's cap by the newest answer that has one; None when that one is too old."""
        return self._limit if now - self._limit_at <= self.stale_after else None

    def utilization(self, now: float) -> float | None:
        """Average use of the cap over the last ten minutes; None before five of them are covered."""
        limit, calls = self.concurrency_limit(now), self._sums_at(now).average_active_calls
        return calls / limit if limit and calls is not None else None

    def _adopt(self, campaign: CampaignState, now: float) -> None:
        self._campaigns[campaign] = None
        campaign.organization = self
        if self.busy:
            campaign.settle(now)

    def _sums_at(self, now: float) -> Sums:
        if now - self._summed_at <= _RECENT:
            return self._sums
        sums = Sums()
        if self._last_success > -inf:
            sums.add(self._campaigns, now - self.horizon)
        return sums
