"""A provider with prepared answers, and an account that asks it, on the clock of the running loop."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, ClassVar

from exporter.campaign.schedule import Hours
from exporter.campaign.snapshot import Snapshot
from exporter.campaign.state import Campaign, CampaignState
from exporter.config.model import AccountSettings, PollSettings
from exporter.config.plan import AccountPlan
from exporter.polling.account import Account, Shared
from exporter.polling.hours import HoursWatch
from exporter.polling.throttle import Slots
from exporter.providers.credentials import Token
from exporter.providers.errors import PollError
from exporter.providers.redaction import Redactor

ACTIVE = Snapshot(status="active", work_remaining=True)
PAUSED = Snapshot(status="paused", work_remaining=True)
CLOSED = Snapshot(status="closed", work_remaining=True)

PACE = PollSettings()
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

    transport: Any

    def __init__(self, answer: Answer = ACTIVE, *, latency: float = 0.05) -> None:
        self.answer = answer
        self.answers: dict[str, Answer] = {}
        self.latency = latency
        self.asked: list[tuple[float, str]] = []
        self.under_way: Counter[str] = Counter()
        self.most_at_once = 0
        self.most_of_one = 0
        self._loop = asyncio.get_running_loop()

    def authorize(self, token: Token) -> None: ...

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


class Display:
    """Counts how often it is told of a change, by campaign."""

    def __init__(self) -> None:
        self.changed: Counter[str] = Counter()

    def add(self, state: CampaignState) -> None: ...
    def relabel(self, state: CampaignState) -> None: ...
    def remove(self, state: CampaignState) -> None: ...

    def update_attempts(self, state: CampaignState) -> None: ...

    def update(self, state: CampaignState) -> None:
        self.changed[state.campaign.id] += 1


class NoTransport:
    """Connections that nothing uses."""

    async def __aenter__(self) -> None: ...
    async def __aexit__(self, *error: object) -> None: ...
    def distrust_connections(self) -> None: ...


def account_of(
    provider: ScriptedProvider,
    display: Display,
    slots: Slots,
    wall: Callable[[], float] = lambda: EPOCH,
    seed: int = 1,
) -> Account:
    """Make an account without campaigns, not running yet."""
    settings = AccountSettings.model_validate(
        {"name": "acme", "provider": "anyreach", "token": "ak_test.secret", "campaigns": [{"id": "unused"}]}
    )
    shared = Shared(
        slots=slots,
        display=display,
        watch=HoursWatch(wall),
        wall=wall,
        rng=random.Random(seed),
        redactor=Redactor(),
        on_overflow=lambda: None,
    )
    transport: Any = NoTransport()
    account = Account(AccountPlan(settings, None, {}), PollSettings(), transport, shared, shared.redactor.account())
    account.provider = provider
    return account


class Rig:
    """
    One account that asks a scripted provider; made inside a running loop.

    Attributes:
        changed: How often the page was told of a change, by campaign.
        wall_jump: Seconds by which the wall clock has been set.
    """

    def __init__(
        self,
        provider: ScriptedProvider,
        *,
        pace: PollSettings = PACE,
        rate: float = 1000.0,
        max_in_flight: int = 1000,
        slots: Slots | None = None,
        seed: int = 1,
    ) -> None:
        self.provider = provider
        self.wall_jump = 0.0
        self.loop = asyncio.get_running_loop()
        display = Display()
        self.changed = display.changed
        self.account = account_of(provider, display, slots or Slots(100_000), self.wall, seed)
        self.poller, self.throttle, self.agenda = self.account.poller, self.account.throttle, self.account.agenda
        self.breaker, self.requests = self.account.breaker, self.account.requests
        self.state, self.counters = self.account.state, self.account.poller.counters
        self.poller.set_pace(pace, rate, max_in_flight)
        self._running = self.loop.create_task(self.account.run())

    async def stop(self) -> None:
        """Send nothing more, and end what is under way."""
        self.account.close()
        await asyncio.sleep(0)
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)

    @property
    def faults(self) -> list[BaseException]:
        """What has ended the account."""
        if not self._running.done() or self._running.cancelled():
            return []
        return list(leaves(self._running.exception()))

    def wall(self) -> float:
        return EPOCH + self.loop.time() + self.wall_jump

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


def leaves(error: BaseException | None) -> Iterator[BaseException]:
    """The single exceptions of a group."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaves(inner)
    elif error is not None:
        yield error


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
