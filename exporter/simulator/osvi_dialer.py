"""
The dialer behind the simulated OSVI: campaigns whose agents work through the queues of their uploads.

It follows https://docs.osvi.ai/platform/campaigns. Where that page is silent, this world decides: `calls.total` counts
each call as it begins, retries too; `retry_threshold` counts retries after the first call; not picked and busy are
retried; `total_queued` keeps its first value; a queue is completed when its last retry has ended.
"""

from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Literal

from exporter.simulator.faults import Fault
from exporter.simulator.hours import Hours, Window
from exporter.simulator.osvi_calls import Call
from exporter.simulator.timeline import Timeline

MOST_CALLS = 50_000
"""Calls that a log holds; older ones are dropped."""
RETRIED = frozenset({"not_picked", "busy"})

DEFAULT_OUTCOMES: Mapping[str, float] = {"picked": 55, "not_picked": 30, "busy": 6, "voicemail": 6, "failed": 3}
"""How calls end, by weight."""


@dataclass(eq=False)
class Agent:
    """
    An agent's part in a campaign.

    Attributes:
        channels: Calls that it can hold at once.
        stopped: Its own start and stop control, which the status answer does not show.
        queues: Those that are not completed.
    """

    uuid: str
    channels: int
    stopped: bool = False
    calls: int = 0
    queues: "list[Queue]" = field(default_factory=list)


@dataclass(eq=False)
class Queue:
    """
    Contacts of one upload that one agent calls.

    Attributes:
        due: Number of calls made so far to each contact that is to be called, in order.
        left: Contacts that are due, are being called or wait for a retry.
    """

    agent: Agent
    total_queued: int
    due: deque[int]
    left: int

    @property
    def completed(self) -> bool:
        return not self.left


@dataclass(eq=False)
class Upload:
    """One list of contacts as it was sent in; without queues where its contacts were stored and not released."""

    id: int
    file_name: str | None
    agent_uuid: str
    created_at: float
    queues: list[Queue] = field(default_factory=list)


@dataclass(eq=False)
class OsviCampaign:
    """
    A campaign, and the truth about it.

    Attributes:
        retry_threshold: Retries after the first call.
        retry_delay: Simulated seconds before a retry; None switches retries off.
        outcomes: How calls end, by weight.
        call_seconds: How long a call may last, drawn evenly.
        hours: When it calls; None is round the clock.
        calls: Calls by outcome; those that go on are `in_progress`.
        calls_made: Calls that truly began; never falls.
    """

    account: "OsviAccount"
    id: int
    name: str
    retry_threshold: int
    retry_delay: float | None
    outcomes: Mapping[str, float]
    call_seconds: tuple[float, float]
    hours: Hours | None
    created_at: float
    status: Literal["active", "inactive"] = "active"
    fault: Fault | None = None
    calls: Counter[str] = field(default_factory=Counter)
    calls_made: int = 0
    uploads: list[Upload] = field(default_factory=list)
    agents: dict[str, Agent] = field(default_factory=dict)

    def add_agent(self, uuid: str, *, channels: int = 3) -> None:
        """Assign an agent, which raises the number of calls at once by its channels."""
        self.agents[uuid] = Agent(uuid, channels)

    def add_contacts(
        self, contacts: int, agent_uuid: str, *, file_name: str | None = "contacts.csv", enqueue: bool = True
    ) -> None:
        """Upload contacts for an assigned agent; without `enqueue` they are stored and never called."""
        self._catch_up()
        upload = Upload(self.account.next_upload_id(), file_name, agent_uuid, self.account.timeline.now)
        self.uploads.append(upload)
        if enqueue:
            agent = self.agents[agent_uuid]
            queue = Queue(agent, contacts, deque([0] * contacts), contacts)
            upload.queues.append(queue)
            if contacts:
                agent.queues.append(queue)
                self.dial()

    def deactivate(self) -> None:
        """Pause calling; the queues stay as they are."""
        self._catch_up()
        self.status = "inactive"

    def activate(self) -> None:
        self._catch_up()
        self.status = "active"
        self.dial()

    def stall(self) -> None:
        """Stop its agents, each by its own control: it stays active and calls nobody."""
        self._catch_up()
        for agent in self.agents.values():
            agent.stopped = True

    def recover(self) -> None:
        self._catch_up()
        for agent in self.agents.values():
            agent.stopped = False
        self.dial()

    def receive_calls(self, per_hour: float) -> None:
        """Be an inbound campaign: calls come in by chance, so many an hour on average, while it is active."""
        seconds = self.account.random.expovariate(per_hour / 3600)
        self.account.timeline.after(seconds, self._receive, per_hour)

    def dial(self) -> None:
        """Start as many calls as its agents have channels for."""
        if self.status != "active" or (self.hours is not None and not self.hours.open):
            return
        for agent in self.agents.values():
            for queue in agent.queues if not agent.stopped else ():
                while queue.due and agent.calls < agent.channels:
                    agent.calls += 1
                    call = self._begin(agent.uuid, "outbound")
                    self._after_call(self._hang_up, queue, queue.due.popleft() + 1, call)

    def _receive(self, per_hour: float) -> None:
        if self.status == "active":
            self._after_call(self._end, self._begin(None, "inbound"), "picked")
        self.receive_calls(per_hour)

    def _hang_up(self, queue: Queue, calls: int, call: Call) -> None:
        queue.agent.calls -= 1
        outcome = self.account.random.choices(tuple(self.outcomes), tuple(self.outcomes.values()))[0]
        self._end(call, outcome)
        if outcome in RETRIED and self.retry_delay is not None and calls <= self.retry_threshold:
            self.account.timeline.after(self.retry_delay, self._retry, queue, calls)
        else:
            queue.left -= 1
            if queue.completed:
                queue.agent.queues.remove(queue)
        self.dial()

    def _retry(self, queue: Queue, calls: int) -> None:
        queue.due.append(calls)
        self.dial()

    def _begin(self, agent_uuid: str | None, call_type: str) -> Call:
        self.calls_made += 1
        self.calls["in_progress"] += 1
        return self.account.begin_call(self.id, agent_uuid, call_type)

    def _end(self, call: Call, outcome: str) -> None:
        self.calls["in_progress"] -= 1
        self.calls[outcome] += 1
        call.status, call.ended_at = outcome, self.account.timeline.now

    def _after_call(self, action: Callable[..., None], *arguments: object) -> None:
        self.account.timeline.after(self.account.random.uniform(*self.call_seconds), action, *arguments)

    def _catch_up(self) -> None:
        self.account.timeline.catch_up()


class OsviAccount:
    """A customer of the provider, known by one token."""

    def __init__(self, timeline: Timeline, random: Random, token: str) -> None:
        self.timeline = timeline
        self.random = random
        self.fault: Fault | None = None
        self.campaigns: dict[int, OsviCampaign] = {}
        self.calls: deque[Call] = deque(maxlen=MOST_CALLS)
        self._token = token
        self._uploads = 0
        self._calls_begun = 0

    def add_campaign(
        self,
        campaign_id: int,
        name: str,
        *,
        retry_threshold: int = 2,
        retry_delay: float | None = 1800.0,
        outcomes: Mapping[str, float] = DEFAULT_OUTCOMES,
        call_seconds: tuple[float, float] = (15.0, 180.0),
        windows: tuple[Window, ...] | None = None,
        timezone: str = "Asia/Kolkata",
    ) -> OsviCampaign:
        """Make an active campaign with no agents and no uploads; no answer shows its windows."""
        self.timeline.catch_up()
        campaign = OsviCampaign(
            self,
            campaign_id,
            name,
            retry_threshold=retry_threshold,
            retry_delay=retry_delay,
            outcomes=outcomes,
            call_seconds=call_seconds,
            hours=None if windows is None else Hours(self.timeline, windows, timezone),
            created_at=self.timeline.now,
        )
        if campaign.hours:
            campaign.hours.on_open.append(campaign.dial)
        self.campaigns[campaign_id] = campaign
        return campaign

    def remove_campaign(self, campaign: OsviCampaign) -> None:
        """Take a campaign away, as if it had never been; requests for it answer 404."""
        campaign.deactivate()
        del self.campaigns[campaign.id]

    def begin_call(self, campaign_id: int, agent_uuid: str | None, call_type: str) -> Call:
        call = Call(self._token, self._calls_begun, campaign_id, agent_uuid, call_type, self.timeline.now)
        self._calls_begun += 1
        self.calls.append(call)
        return call

    def next_upload_id(self) -> int:
        self._uploads += 1
        return self._uploads
