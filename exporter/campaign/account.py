"""What the campaigns of one account say of their organization together."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import inf

from exporter.campaign.snapshot import ODD
from exporter.campaign.standing import BUSY, MAY_DIAL
from exporter.campaign.state import CampaignState


@dataclass(frozen=True, slots=True)
class Sums:
    """What the campaigns of an account say of it at one moment; None for what is not known."""

    active_calls: float | None = None
    """
    Calls in flight of the organization, estimated from below.

    It holds whether `active_calls` is a campaign's own number or the organization's: at least as many as any one
    campaign says, and at least as many as its contacts in progress add up to.
    """
    average_calls: float | None = None
    """The same estimate from the averages of the last ten minutes."""
    contacts_waiting: float | None = None
    """Pending contacts of active campaigns whose values are fresh."""


@dataclass(slots=True, eq=False)
class AccountState:
    """
    One account: what its campaigns say of the organization together, for providers that tell of calls in flight.

    Sums are worked out from the campaigns, about once a second and when they are read. Integrals follow the rule of
    `CampaignState`, over the successful polls of any of its campaigns.
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
        self._summed_at = -inf
        limit = campaign.snapshot.concurrency_limit
        if limit is not None and limit < ODD:
            self._limit = limit
            if self.observed_seconds is None:
                self.observed_seconds = self.saturated_seconds = 0.0

    def forget(self, campaign: CampaignState) -> None:
        """Leave out a campaign that has gone."""
        self._campaigns.pop(campaign, None)
        campaign.organization = None
        self._summed_at = -inf

    def look(self, now: float) -> Iterator[CampaignState]:
        """
        Work out the sums, and give the campaigns whose standing may have changed with time alone, as of this moment.

        To be called about once a second; each of these campaigns has to `settle`.
        """
        before = self.busy
        calls, limit, use = self.active_calls(now), self.concurrency_limit(now), self.utilization(now)
        self._saturated = limit is not None and calls is not None and calls >= limit > 0
        self.busy = use is not None and use > BUSY
        if self.busy != before:
            yield from [campaign for campaign in self._campaigns if campaign.standing in MAY_DIAL]
        else:
            yield from [campaign for campaign in self._campaigns if campaign.next_change < now]

    def active_calls(self, now: float) -> float | None:
        """Calls in flight of the organization, at least; None without an answer that is recent enough."""
        return self._sums_at(now).active_calls

    def contacts_waiting(self, now: float) -> float | None:
        """Pending contacts of its active campaigns whose values are fresh; None where no campaign tells."""
        return self._sums_at(now).contacts_waiting

    def concurrency_limit(self, now: float) -> float | None:
        """The organization's cap by the newest answer; None when even that one is too old."""
        return self._limit if now - self._last_success <= self.stale_after else None

    def utilization(self, now: float) -> float | None:
        """Average use of the cap over the last ten minutes; None before five of them are covered."""
        limit, calls = self.concurrency_limit(now), self._sums_at(now).average_calls
        return calls / limit if limit and calls is not None else None

    def _adopt(self, campaign: CampaignState, now: float) -> None:
        self._campaigns[campaign] = None
        campaign.organization = self
        if self.busy:
            campaign.settle(now)

    def _sums_at(self, now: float) -> Sums:
        if self._summed_at != now:
            self._sums, self._summed_at = self._add_up(now), now
        return self._sums

    def _add_up(self, now: float) -> Sums:
        if self._last_success == -inf:
            return Sums()
        oldest = now - self.horizon
        # One pass for each number, since this is the only work that grows with the campaigns between their polls.
        waiting = [c.waiting for c in self._campaigns if c.waiting is not None]
        recent = [c for c in self._campaigns if c.counted_calls is not None and (c.last_success or 0) >= oldest]
        return Sums(
            active_calls=_from_below(
                [c.counted_calls for c in recent if c.counted_calls is not None],
                [c.counted_in_progress for c in recent],
            ),
            average_calls=_from_below(
                [c.averages.calls for c in recent if c.averages.calls is not None],
                [c.averages.in_progress for c in recent if c.averages.in_progress is not None],
            ),
            contacts_waiting=sum(waiting) if waiting else None,
        )


def _from_below(calls: list[float], in_progress: list[float]) -> float | None:
    return max(max(calls), sum(in_progress)) if calls else None
