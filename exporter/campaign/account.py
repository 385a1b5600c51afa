"""What the campaigns of one account say of their organization together."""

from collections import deque

from exporter.campaign.state import CampaignState

_NEVER = float("inf")


class AccountState:
    """
    One account of a provider that tells of calls in flight: what its campaigns say of the organization together.

    Integrals follow the rule of `CampaignState`, over the successful polls of any of its campaigns.
    """

    def __init__(self, provider: str, name: str, labels: tuple[tuple[str, str], ...] = ()) -> None:
        self.provider, self.name, self.labels = provider, name, labels
        self.horizon = 0.0
        """Seconds for which a campaign's last answer counts: two active intervals."""
        self.stale_after = 0.0
        """Seconds after which time between two answers is not covered, and the limit is not shown any more."""
        self.observed_seconds: float | None = None
        self.saturated_seconds: float | None = None
        self._limit: float | None = None
        self._last_success = -_NEVER
        self._saturated = False
        self._answers: deque[CampaignState] = deque()
        """Who has answered, oldest answer first; those with a newer answer too are passed over."""
        self._in_progress: float = 0
        self._campaigns_by_active_calls: dict[float, int] = {}
        self._most_active_calls: float | None = None

    def succeeded(self, campaign: CampaignState, now: float) -> None:
        """Take in what one of its campaigns has just answered."""
        snapshot = campaign.snapshot
        active_calls, contacts = snapshot.active_calls, snapshot.contacts
        if active_calls is None and contacts is None:
            return
        elapsed = now - self._last_success
        if self.observed_seconds is not None and elapsed <= self.stale_after:
            self.observed_seconds += elapsed
            if self._saturated and self.saturated_seconds is not None:
                self.saturated_seconds += elapsed
        self.forget(campaign)
        self._remember(campaign, now, active_calls or 0, contacts.get("in_progress", 0) if contacts else 0)
        self._last_success = now
        if (limit := snapshot.concurrency_limit) is not None:
            self._limit = limit
            if self.observed_seconds is None:
                self.observed_seconds = self.saturated_seconds = 0.0
        active = self.active_calls(now)
        self._saturated = self._limit is not None and active is not None and active >= self._limit > 0

    def forget(self, campaign: CampaignState) -> None:
        """Leave a campaign out: it has gone, has answered anew, or its answer is too old."""
        if campaign.counted_at == -_NEVER:
            return
        campaign.counted_at = -_NEVER
        self._in_progress -= campaign.counted_in_progress
        active_calls = campaign.counted_active_calls
        left = self._campaigns_by_active_calls[active_calls] - 1
        if left:
            self._campaigns_by_active_calls[active_calls] = left
            return
        del self._campaigns_by_active_calls[active_calls]
        if active_calls == self._most_active_calls:
            self._most_active_calls = None

    def active_calls(self, now: float) -> float | None:
        """
        Estimate the organization's calls in flight from below; None without an answer that is recent enough.

        It holds whether `active_calls` is a campaign's own number or the organization's: at least as many as any
        one campaign says, and at least as many as its contacts in progress add up to.
        """
        oldest_allowed = now - self.horizon
        answers = self._answers
        while answers:
            campaign = answers[0]
            if campaign.answers == 1:
                if campaign.counted_at >= oldest_allowed:
                    break
                self.forget(campaign)
            campaign.answers -= 1
            answers.popleft()
        if not answers:
            return None
        if self._most_active_calls is None:
            self._most_active_calls = max(self._campaigns_by_active_calls)
        return max(self._most_active_calls, self._in_progress)

    def concurrency_limit(self, now: float) -> float | None:
        """The organization's cap by the newest answer; None when even that one is too old."""
        return self._limit if now - self._last_success <= self.stale_after else None

    def _remember(self, campaign: CampaignState, now: float, active_calls: float, in_progress: float) -> None:
        self._answers.append(campaign)
        campaign.answers += 1
        campaign.counted_at = now
        campaign.counted_active_calls, campaign.counted_in_progress = active_calls, in_progress
        self._in_progress += in_progress
        counts = self._campaigns_by_active_calls
        counts[active_calls] = counts.get(active_calls, 0) + 1
        if self._most_active_calls is not None and active_calls > self._most_active_calls:
            self._most_active_calls = active_calls
