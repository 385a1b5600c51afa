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
from exporter.simulator.osvi_calls import Call, CallLog
from exporter.simulator.timeline import Timeline

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
    """

    uuid: str
    channels: int
    stopped: bool = False
    calls: int = 0
    queues: "list[Queue]" = field(default_factory=list)


@dataclass(eq=False)
class Queue:
    """Contacts of one upload that one agent calls; `due` holds [calls made, how many contacts] in order."""

    agent: Agent
    total_queued: int
    due: deque[list[int]] = field(default_factory=deque)
    waiting: int = 0
    calling: int = 0
    opted_out: int = 0

    @property
    def completed(self) -> bool:
        """Whether nobody is left to call, now or later."""
        return not (self.due or self.waiting or self.calling)

    def put(self, calls: int, contacts: int) -> None:
        """Make contacts due, behind those that are."""
        self.due.append([calls, contacts])

    def take(self) -> int:
        """Remove the contact that has been due for longest, and return the calls made to it."""
        batch = self.due[0]
        batch[1] -= 1
        if not batch[1]:
            self.due.popleft()
        return batch[0]


@dataclass(eq=False)
class Upload:
    """One list of contacts as it was sent in; without queues where its contacts were stored and not released."""

    id: int
    file_name: str | None
    agent_uuid: str | None
    created_at: float
    contacts: int
    queues: list[Queue] = field(default_factory=list)


@dataclass(eq=False)
class OsviCampaign:
    """
    A campaign, and the truth about it.

    Attributes:
        outcomes: How calls end, by weight.
        hours: When it calls; None is round the clock.
        calls: Calls by outcome; those that go on are `in_progress`.
        calls_made: Calls that truly began; never falls.
        call_seconds: How long a call may last, drawn evenly.
        fault: How requests for it go wrong, None while they don't.
    """

    account: "OsviAccount"
    id: int
    name: str
    retry_threshold: int | None
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

    @property
    def retries(self) -> bool:
        """Whether calls that nobody picked up are made again."""
        return self.retry_threshold is not None and self.retry_delay is not None

    def add_agent(self, uuid: str, *, channels: int = 3) -> Agent:
        """Assign an agent, which raises the number of calls at once by its channels."""
        self.agents[uuid] = Agent(uuid, channels)
        return self.agents[uuid]

    def add_contacts(
        self, contacts: int, agent_uuid: str, *, file_name: str | None = "contacts.csv", enqueue: bool = True
    ) -> Upload:
        """Upload contacts for an assigned agent; without `enqueue` they are stored and never called."""
        self.account.timeline.catch_up()
        upload = Upload(self.account.next_upload_id(), file_name, agent_uuid, self.account.timeline.now, contacts)
        self.uploads.append(upload)
        if enqueue:
            agent = self.agents[agent_uuid]
            queue = Queue(agent, contacts)
            if contacts:
                queue.put(0, contacts)
            upload.queues.append(queue)
            agent.queues.append(queue)
            self._dial(agent)
        return upload

    def opt_out(self, contacts: int) -> int:
        """Take up to so many contacts out of the open queues, as do-not-disturb does; return how many there were."""
        self.account.timeline.catch_up()
        left = contacts
        for queue in [queue for agent in self.agents.values() for queue in agent.queues]:
            for batch in queue.due:
                taken = min(left, batch[1])
                batch[1] -= taken
                left -= taken
            queue.due = deque(batch for batch in queue.due if batch[1])
            taken = min(left, queue.waiting)
            queue.waiting -= taken
            queue.opted_out += taken
            left -= taken
        self._drop_completed()
        return contacts - left

    def deactivate(self) -> None:
        """Pause calling; the queues stay as they are."""
        self.account.timeline.catch_up()
        self.status = "inactive"

    def activate(self) -> None:
        """Go on with the queues as they are."""
        self.account.timeline.catch_up()
        self.status = "active"
        self.dial()

    def stall(self) -> None:
        """Stop its agents, each by its own control: it stays active and calls nobody."""
        self.account.timeline.catch_up()
        for agent in self.agents.values():
            agent.stopped = True

    def recover(self) -> None:
        """Start its agents again."""
        self.account.timeline.catch_up()
        for agent in self.agents.values():
            agent.stopped = False
        self.dial()

    def receive_calls(self, per_hour: float) -> None:
        """Be an inbound campaign: calls come in by chance, so many an hour on average, while it is active."""
        self.account.timeline.at(
            self.account.timeline.now + self.account.random.expovariate(per_hour / 3600), self._receive, per_hour
        )

    def dial(self) -> None:
        """Start as many calls as its agents have channels for."""
        for agent in self.agents.values():
            self._dial(agent)

    def _receive(self, per_hour: float) -> None:
        if self.status == "active":
            self._after_call(self._end, self._begin(None, "inbound"), "picked")
        self.receive_calls(per_hour)

    def _dial(self, agent: Agent) -> None:
        if self.status != "active" or agent.stopped or (self.hours is not None and not self.hours.open):
            return
        for queue in agent.queues:
            while queue.due and agent.calls < agent.channels:
                calls = queue.take()
                agent.calls += 1
                queue.calling += 1
                call = self._begin(agent.uuid, "outbound")
                self._after_call(self._hang_up, queue, calls + 1, call)

    def _hang_up(self, queue: Queue, calls: int, call: Call) -> None:
        agent = queue.agent
        agent.calls -= 1
        queue.calling -= 1
        outcome = self.account.random.choices(tuple(self.outcomes), tuple(self.outcomes.values()))[0]
        self._end(call, outcome)
        if (
            outcome in RETRIED
            and self.retry_threshold is not None
            and self.retry_delay is not None
            and calls <= self.retry_threshold
        ):
            queue.waiting += 1
            self.account.timeline.at(self.account.timeline.now + self.retry_delay, self._retry, queue, calls)
        elif queue.completed:
            agent.queues.remove(queue)
        self._dial(agent)

    def _retry(self, queue: Queue, calls: int) -> None:
        if queue.opted_out:
            queue.opted_out -= 1
            return
        queue.waiting -= 1
        queue.put(calls, 1)
        self._dial(queue.agent)

    def _drop_completed(self) -> None:
        for agent in self.agents.values():
            agent.queues = [queue for queue in agent.queues if not queue.completed]

    def _begin(self, agent_uuid: str | None, call_type: str) -> Call:
        self.calls_made += 1
        self.calls["in_progress"] += 1
        return self.account.log.begin(self.id, agent_uuid, call_type, self.account.timeline.now)

    def _end(self, call: Call, outcome: str) -> None:
        self.calls["in_progress"] -= 1
        self.calls[outcome] += 1
        call.status, call.ended_at = outcome, self.account.timeline.now

    def _after_call(self, action: Callable[..., None], *arguments: object) -> None:
        duration = self.account.random.uniform(*self.call_seconds)
        self.account.timeline.at(self.account.timeline.now + duration, action, *arguments)


class OsviAccount:
    """
    A customer of the provider, known by one token.

    Attributes:
        fault: How requests for anything of it go wrong, None while they don't.
    """

    def __init__(self, timeline: Timeline, random: Random, token: str) -> None:
        self.timeline = timeline
        self.log = CallLog(token)
        self.random = random
        self.fault: Fault | None = None
        self.campaigns: dict[int, OsviCampaign] = {}
        self._uploads = 0

    def add_campaign(
        self,
        campaign_id: int,
        name: str,
        *,
        retry_threshold: int | None = 2,
        retry_delay: float | None = 1800.0,
        outcomes: Mapping[str, float] = DEFAULT_OUTCOMES,
        call_seconds: tuple[float, float] = (15.0, 180.0),
        windows: tuple[Window, ...] | None = None,
        timezone: str = "Asia/Kolkata",
    ) -> OsviCampaign:
        """
        Make an active campaign with no agents and no uploads.

        Args:
            campaign_id: Its number.
            name: Shown in the answer.
            retry_threshold: Retries after the first call; None, as a None delay, switches retries off.
            retry_delay: Simulated seconds before a retry.
            outcomes: How calls end, by weight.
            call_seconds: How long a call may last, drawn evenly.
            windows: When it calls, which no answer shows; None is round the clock.
            timezone: IANA name, for `windows`.
        """
        self.timeline.catch_up()
        hours = None if windows is None else Hours(self.timeline, windows, timezone, lambda: campaign.dial())
        campaign = OsviCampaign(
            self,
            campaign_id,
            name,
            retry_threshold=retry_threshold,
            retry_delay=retry_delay,
            outcomes=outcomes,
            call_seconds=call_seconds,
            hours=hours,
            created_at=self.timeline.now,
        )
        self.campaigns[campaign_id] = campaign
        return campaign

    def remove_campaign(self, campaign: OsviCampaign) -> None:
        """Take a campaign away, as if it had never been; requests for it answer 404."""
        campaign.deactivate()
        del self.campaigns[campaign.id]

    def next_upload_id(self) -> int:
        """Number an upload; uploads of an account share one sequence."""
        self._uploads += 1
        return self._uploads
