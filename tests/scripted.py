"""A provider with prepared answers, and one account's poller around it, on the clock of the running loop."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import ClassVar

from exporter.campaign.account import AccountState
from exporter.campaign.schedule import Hours
from exporter.campaign.snapshot import Snapshot
from exporter.campaign.state import Campaign, CampaignState
from exporter.polling.health import AccountHealth
from exporter.polling.poller import AccountPoller, Pace
from exporter.polling.throttle import Slots, Throttle
from exporter.providers.errors import PollError

ACTIVE = Snapshot(status="active", work_remaining=True)
PAUSED = Snapshot(status="paused", work_remaining=True)
CLOSED = Snapshot(status="closed", work_remaining=True)

PACE = Pace(active=15.0, idle=120.0, closed=3600.0, stale_after=60.0)
EPOCH = 1_780_000_000.0
"""What the wall clock would have shown when the loop's clock was at 0."""

Answer = Snapshot | Exception | Callable[[], Snapshot]


class ScriptedProvider:
    """
    Answers with what was prepared, and remembers what it was asked.

    Attributes:
        answer: For every campaign that `answers` says nothing of; an exception is raised.
        answers: By campaign id.
        latency: Seconds from a request to its answer.
        asked: Moment (of the loop's clock) and campaign of each request.
        most_at_once: The largest number of requests that were under way together.
    """

    name: ClassVar[str] = "anyreach"
    statuses: ClassVar[tuple[str, ...]] = ("active", "paused", "closed")
    active_status: ClassVar[str] = "active"
    final_status: ClassVar[str | None] = "closed"

    def __init__(self, answer: Answer = ACTIVE, *, latency: float = 0.05) -> None:
        self.answer = answer
        self.answers: dict[str, Answer] = {}
        self.latency = latency
        self.asked: list[tuple[float, str]] = []
        self.under_way: Counter[str] = Counter()
        self.most_at_once = 0
        self.most_of_one = 0
        self._loop = asyncio.get_running_loop()

    async def poll(self, campaign_id: str) -> Snapshot:
        self.asked.append((self._loop.time(), campaign_id))
        self.under_way[campaign_id] += 1
        self.most_at_once = max(self.most_at_once, self.under_way.total())
        self.most_of_one = max(self.most_of_one, self.under_way[campaign_id])
        try:
            await asyncio.sleep(self.latency)
        finally:
            self.under_way[campaign_id] -= 1
        answer = self.answers.get(campaign_id, self.answer)
        if isinstance(answer, Exception):
            raise answer
        return answer() if callable(answer) else answer

    def moments(self, campaign_id: str) -> list[float]:
        """When a campaign was asked for."""
        return [at for at, asked in self.asked if asked == campaign_id]

    def gaps(self, campaign_id: str) -> list[float]:
        """Seconds from each request for a campaign to the next one."""
        moments = self.moments(campaign_id)
        return [later - earlier for earlier, later in pairwise(moments)]


class Rig:
    """
    One account's poller with all that it needs; made inside a running loop.

    Attributes:
        changed: How often the page was told of a change, by campaign.
        faults: What the poller has found so wrong that the process has to end.
        wall_jump: Seconds by which the wall clock has been set.
    """

    def __init__(
        self,
        provider: ScriptedProvider,
        *,
        pace: Pace = PACE,
        rate: float = 1000.0,
        max_in_flight: int = 1000,
        slots: Slots | None = None,
        seed: int = 1,
    ) -> None:
        self.provider = provider
        self.account = AccountState("anyreach", "acme")
        self.health = AccountHealth("anyreach", "acme")
        self.throttle = Throttle(rate, max_in_flight, slots or Slots(100_000))
        self.changed: Counter[str] = Counter()
        self.faults: list[BaseException] = []
        self.wall_jump = 0.0
        self.loop = asyncio.get_running_loop()
        self.poller = AccountPoller(
            provider,
            self.account,
            self.health,
            self.throttle,
            pace,
            changed=self._on_change,
            wall=self.wall,
            rng=random.Random(seed),
            on_overflow=lambda: None,
            fatal=self.faults.append,
        )

    def wall(self) -> float:
        return EPOCH + self.loop.time() + self.wall_jump

    def _on_change(self, state: CampaignState) -> None:
        self.changed[state.campaign.id] += 1

    def add(self, *campaign_ids: str, hours: Hours | None = None) -> list[CampaignState]:
        """Begin to poll campaigns."""
        return self.poller.add((Campaign("acme", campaign_id, campaign_id), hours) for campaign_id in campaign_ids)

    def add_many(self, number: int) -> list[CampaignState]:
        """Begin to poll campaigns named c0, c1 and so on."""
        return self.add(*(f"c{place}" for place in range(number)))

    @property
    def states(self) -> list[CampaignState]:
        return [target.state for target in self.poller.targets.values()]

    def reasons(self) -> Counter[str | None]:
        """How many campaigns fail for each reason; None for those that don't."""
        return Counter(state.error for state in self.states)


def failing(error: type[PollError], *, retry_after: float | None = None) -> PollError:
    """An error as a provider raises it."""
    return error(f"scripted {error.reason}", retry_after=retry_after)


def most_in_a_second(moments: list[float]) -> int:
    """The largest number of moments that lie in one second, wherever it begins; its end is not part of it."""
    moments = sorted(moments)
    most = first = 0
    for last, moment in enumerate(moments):
        while moment - moments[first] >= 1.0:
            first += 1
        most = max(most, last - first + 1)
    return most
