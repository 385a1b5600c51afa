"""
Polls the campaigns of one account: each at its own pace, all of them within the account's budget.

One timer for each account looks after its campaigns. A campaign is either being polled, by one of as many tasks as
are needed at once, or waits for its moment; so there is never more than one poll of it under way. All that is due
within the same 64th of a second waits in one list, so that what it costs to wait does not grow with the number of
campaigns, and one turn of the timer starts all of them.
"""

import asyncio
import heapq
import random
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from itertools import count
from math import ceil, floor, inf

from exporter.campaign.account import AccountState
from exporter.campaign.schedule import Hours
from exporter.campaign.snapshot import Snapshot
from exporter.campaign.state import Campaign, CampaignState
from exporter.polling.health import SUCCESS, AccountHealth
from exporter.polling.poll_log import Transitions
from exporter.polling.throttle import Throttle
from exporter.providers import Provider
from exporter.providers.errors import ForbiddenError, InternalError, PollError, UnauthorizedError
from exporter.turns import Turns

JITTER = 0.1
BACKOFF_CEILING = 300.0
LONGEST_HOLD = 600.0
PROBE_INTERVAL = 60.0
STALE_INTERVALS = 3
RECENT_INTERVALS = 2

# A change of the stretching factor below this is not worth rescheduling thousands of campaigns.
_WORTHWHILE = 0.05
_RESTRETCH_DELAY = 1.0
# The throttle keeps a little of the rate back, and other polls go on meanwhile.
_LEEWAY = 1.02
_SLICE = 250
# Moments a second at which polls can be due; a power of two, so that each of them is exact. Each time that the process
# wakes up it finds its caches cold: with four times as many moments, 2,000 polls a second take a seventh more.
_MOMENTS = 64
_HEALING_SECONDS = 5.0
_CREDENTIAL_REASONS = frozenset({"unauthorized", "forbidden", "credentials"})


@dataclass(frozen=True, slots=True)
class Pace:
    """How often campaigns are polled, in seconds, and for how long their values are true."""

    active: float
    idle: float
    closed: float
    stale_after: float


class Target:
    """A campaign in the poller's hands."""

    __slots__ = ("base", "due", "expiry", "failures", "gone", "polling", "started", "state")

    def __init__(self, state: CampaignState, base: float) -> None:
        self.state = state
        self.base = base
        """Seconds between polls by its status, before stretching."""
        self.due = inf
        self.started = -inf
        self.failures = 0
        self.polling = False
        self.gone = False
        self.expiry = inf
        """The moment at which somebody looks whether its values are too old."""


class AccountPoller:
    """The campaigns of one account, and the one timer that polls them and withdraws what has become too old."""

    def __init__(
        self,
        provider: Provider,
        account: AccountState,
        health: AccountHealth,
        throttle: Throttle,
        pace: Pace,
        *,
        changed: Callable[[CampaignState], None],
        wall: Callable[[], float],
        rng: random.Random,
        on_overflow: Callable[[], None],
        fatal: Callable[[BaseException], None],
    ) -> None:
        self.provider = provider
        self.account = account
        self.health = health
        self.throttle = throttle
        self.targets: dict[str, Target] = {}
        """By campaign id."""
        self._pace = pace
        self._changed = changed
        self._wall = wall
        self._rng = rng
        self._on_overflow = on_overflow
        self._fatal = fatal
        self._loop = asyncio.get_running_loop()
        self._queue: dict[float, list[Target]] = {}
        """Those that wait, by the moment at which they are due."""
        self._moments: list[float] = []
        """The keys of the queue, as a heap."""
        self._queued = 0
        self._looks: dict[float, list[Target]] = {}
        """Whose values may become too old within a second, by its beginning; nearly all have answered by then."""
        self._seconds: list[float] = []
        """The keys of that, as a heap."""
        self._expiries: list[tuple[float, int, Target]] = []
        """Whose values become too old within this second, and when."""
        self._ticket = count()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = inf
        self._blocked_since: float | None = None
        self._unpolled = 0
        self._bases: Counter[float] = Counter()
        self._stretch_in_force = 1.0
        self._intervals: dict[float, tuple[float, float]] = {}
        """Interval and staleness by base; the same two numbers for all campaigns, which need not keep their own."""
        self._restretch_timer: asyncio.TimerHandle | None = None
        self._breaker: PollError | None = None
        self._probe: Target | None = None
        self._probes = 0
        self._forbidden_by: Target | None = None
        self._token_since = -inf
        self._tasks: set[asyncio.Task[None]] = set()
        self._idle: list[asyncio.Future[Target]] = []
        """Where the tasks that poll wait for their next campaign: as many as were ever needed at once."""
        self._transitions = Transitions(account.provider, account.name)
        self._stopped = False
        self._apply_pace()

    # What its owner asks of it

    @property
    def ready(self) -> bool:
        """Whether every campaign has been polled once, or has failed once."""
        return self._unpolled == 0

    def add(self, campaigns: Iterable[tuple[Campaign, Hours | None]]) -> list[CampaignState]:
        """Begin to poll campaigns, the first polls evenly spread over the interval of active ones."""
        added = []
        for campaign, hours in campaigns:
            state = CampaignState(campaign, self.provider, self._on_overflow)
            state.hours = hours
            target = self.targets[campaign.id] = Target(state, self._pace.active)
            self._bases[target.base] += 1
            self._unpolled += 1
            added.append(target)
        self.health.campaigns = len(self.targets)
        self._restretch_now()
        for target in added:
            self._set_interval(target)
        if self._breaker is None:
            self._spread(added, self._pace.active * self._stretch_in_force)
        else:
            self._in_background(self._fail_all(self._breaker, tuple(added)))
            if self._probe is None:
                self._queue_probe()
        return [target.state for target in added]

    def remove(self, campaign_id: str) -> CampaignState:
        """Forget a campaign; the answer of a poll under way is thrown away."""
        target = self.targets.pop(campaign_id)
        target.gone = True
        target.due = target.expiry = inf
        if not target.state.polled:
            self._unpolled -= 1
        if self._forbidden_by is target:
            self._forbidden_by = None
        self._bases[target.base] -= 1
        self.account.forget(target.state)
        self.health.campaigns = len(self.targets)
        self._restretch_soon()
        if self._probe is target:
            self._queue_probe()
        return target.state

    def set_pace(self, pace: Pace, rate: float, max_in_flight: int) -> None:
        """Go on at another pace, within another budget."""
        if (pace, rate, max_in_flight) == (self._pace, self.throttle.rate, self.throttle.max_in_flight):
            return
        self._pace = pace
        self.throttle.rate = rate
        self.throttle.max_in_flight = max_in_flight
        self._apply_pace()
        for target in self.targets.values():
            self._set_base(target)
        self._restretch_now(force=True)

    def set_hours(self, campaign_id: str, hours: Hours | None) -> None:
        """Tell what is now known of when a campaign may dial."""
        target = self.targets.get(campaign_id)
        if target is not None and target.state.hours is not hours:
            target.state.hours = hours
            target.state.expect(self._loop.time(), self._wall())
            self._changed(target.state)

    def token_changed(self) -> None:
        """Try again at once whatever the old token was to blame for."""
        self._token_since = self._loop.time()
        if self._breaker is not None:
            self._close_breaker("the token has changed")
            return
        self._forbidden_by = None
        self._heal([t for t in self.targets.values() if t.state.error in _CREDENTIAL_REASONS and not t.polling])

    def request_failed(self, error: PollError, sent: float) -> None:
        """Heed what the failure of a request that was no poll, sent at that moment, says of the whole account."""
        self._heed_hold(error)
        if self._breaker is None and self._is_refusal(error, sent):
            self._open_breaker(error)

    def request_succeeded(self) -> None:
        """Poll again, if the credentials were refused: a request that was no poll has succeeded."""
        if self._breaker is not None:
            self._close_breaker("a request has succeeded")

    async def stop(self) -> None:
        """Send nothing more, and end what is under way."""
        self._stopped = True
        # A task that is cancelled before its first step would never give its place in the throttle back.
        await asyncio.sleep(0)
        for timer in (self._timer, self._restretch_timer):
            if timer is not None:
                timer.cancel()
        self._transitions.close()
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # The timer

    def _arm(self, at: float) -> None:
        """Have the timer ring as soon as this moment has come, unless it rings before."""
        if at >= self._timer_at or self._stopped:
            return
        # uvloop counts whole milliseconds: for a part of one the timer would ring again and again until the next.
        at = max(at, ceil(at * 1000) / 1000)
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        self._timer = self._loop.call_at(at, self._ring)

    def _ring(self) -> None:
        self._timer, self._timer_at = None, inf
        now = self._loop.time()
        try:
            self._start_due(now)
            # Second, since it rings later than the next poll: the other way round the timer would be armed twice.
            self._expire(now)
        except Exception as exc:  # noqa: BLE001 -- a timer that dies without a word would leave frozen numbers behind
            self._fatal(exc)

    def _start_due(self, now: float) -> None:
        """Start every poll that is due, as far as the budget goes."""
        if self._stopped:
            return
        if self._blocked_since is not None:
            self.health.throttled_seconds += now - self._blocked_since
            self._blocked_since = None
        queue, moments = self._queue, self._moments
        while moments:
            moment = moments[0]
            waiting = queue[moment]
            while waiting:
                target = waiting[-1]
                if moment != target.due or target.polling:
                    waiting.pop()
                    self._queued -= 1
                    continue
                if moment > now:
                    self._arm(moment)
                    return
                if self.throttle.full:
                    self._blocked_since = now
                    self.throttle.when_free(self._wake)
                    return
                if delay := self.throttle.delay(now):
                    self._blocked_since = now
                    self._arm(now + delay)
                    return
                waiting.pop()
                self._queued -= 1
                self._start(target, now)
            heapq.heappop(moments)
            del queue[moment]

    def _wake(self) -> None:
        self._start_due(self._loop.time())

    def _expire(self, now: float) -> None:
        """Withdraw the values that have become too old."""
        seconds, expiries = self._seconds, self._expiries
        while seconds and seconds[0] <= now:
            second = heapq.heappop(seconds)
            for target in self._looks.pop(second):
                if second == target.expiry:
                    target.expiry = inf
                    self._watch_expiry(target)
        while expiries and expiries[0][0] <= now:
            at, _, target = heapq.heappop(expiries)
            if at != target.expiry:
                continue
            target.expiry = inf
            if target.state.stale_at > now:
                self._watch_expiry(target)
                continue
            target.state.withdraw()
            self._changed(target.state)
        if seconds:
            self._arm(seconds[0])
        if expiries:
            self._arm(expiries[0][0])

    def _watch_expiry(self, target: Target) -> None:
        """See to it that the timer rings no later than its values become too old."""
        at = target.state.stale_at
        # A success that moves the moment away leaves the entry where it is: it is looked at again then.
        if at >= target.expiry:
            return
        second = float(floor(at))
        if second <= self._loop.time():
            target.expiry = at
            heapq.heappush(self._expiries, (at, next(self._ticket), target))
        elif second in self._looks:
            target.expiry = second
            self._looks[second].append(target)
        else:
            target.expiry = second
            self._looks[second] = [target]
            heapq.heappush(self._seconds, second)
        self._arm(target.expiry)

    # One poll

    def _start(self, target: Target, now: float) -> None:
        self.health.lag_seconds.observe(now - target.due)
        target.polling = True
        target.started = now
        self.throttle.take(now)
        self.health.in_flight += 1
        if self._idle:
            self._idle.pop().set_result(target)
        else:
            self._in_background(self._work(target))

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # Not a failed poll, which is handled, but the handling itself: the process must not live on half dead.
            self._fatal(error)

    async def _work(self, target: Target) -> None:
        """Poll one campaign after the other; to begin and end a task costs as much as all the bookkeeping of a poll."""
        while True:
            await self._poll(target)
            next_target: asyncio.Future[Target] = self._loop.create_future()
            self._idle.append(next_target)
            target = await next_target

    async def _poll(self, target: Target) -> None:
        state, health = target.state, self.health
        error: PollError | None = None
        snapshot = None
        try:
            snapshot = await self.provider.poll(state.campaign.id)
        except PollError as exc:
            # The traceback would tie this frame to itself, for the garbage collector to undo.
            error = exc.with_traceback(None)
        except Exception as exc:  # noqa: BLE001 -- a defect in one provider must not silence all other campaigns
            error = InternalError(f"a defect of the exporter: {type(exc).__name__}")
            error.__cause__ = exc
        finally:
            health.in_flight -= 1
            self.throttle.release()
            target.polling = False
        now = self._loop.time()
        health.request_seconds.observe(now - target.started)
        if not target.gone:
            if snapshot is not None:
                health.polls[SUCCESS] += 1
                self._succeeded(target, snapshot, now)
            elif error is not None:
                health.polls[error.reason] += 1
                self._failed(target, error)
            self._schedule(target, now)

    def _succeeded(self, target: Target, snapshot: Snapshot, now: float) -> None:
        state = target.state
        if not state.polled:
            self._unpolled -= 1
        if state.error is not None:
            self._transitions.recovered(state)
        target.failures = 0
        self._forbidden_by = None
        state.succeeded(snapshot, now, self._wall())
        self.account.succeeded(state, now)
        self._set_base(target)
        if now + state.stale_after < target.expiry:
            self._watch_expiry(target)
        self._changed(state)
        if self._breaker is not None:
            self._close_breaker("a request has succeeded")

    def _failed(self, target: Target, error: PollError) -> None:
        target.failures += 1
        self._heed_hold(error)
        if self._breaker is None and self._is_for_all(target, error):
            self._open_breaker(error)
            return
        if self._breaker is None or isinstance(error, InternalError):
            self._transitions.failed(target.state, error)
        self._fail(target, error)

    def _heed_hold(self, error: PollError) -> None:
        if error.retry_after:
            hold = min(error.retry_after, LONGEST_HOLD)
            self.throttle.hold(self._loop.time() + hold)
            self._transitions.held(hold)

    def _fail(self, target: Target, error: PollError) -> None:
        if not target.state.polled:
            self._unpolled -= 1
        target.state.failed(error.reason, str(error))
        self._changed(target.state)

    # When the next one is due

    def _schedule(self, target: Target, now: float) -> None:
        if self._breaker is not None:
            target.due = inf
            if target is self._probe:
                self._queue_probe()
            return
        interval = target.state.interval
        # What the next moment may add is part of the jitter.
        jitter = JITTER * interval * self._rng.random() - 1 / _MOMENTS
        wait = interval + jitter if jitter > 0 else interval
        if target.failures > 1:
            ceiling = min(BACKOFF_CEILING, interval * 2.0 ** min(target.failures - 1, 32))
            wait = max(wait, self._rng.uniform(0, ceiling))
        self._queue_at(target, max(now, target.started + wait))

    def _queue_at(self, target: Target, due: float) -> None:
        target.due = due = ceil(due * _MOMENTS) / _MOMENTS
        if self._queued > 2 * len(self.targets) + _SLICE:
            # Entries that have been superseded are dropped as they come up; here they have become too many.
            self._drop_superseded()
        self._queued += 1
        waiting = self._queue.get(due)
        if waiting is not None:
            if waiting[0].due == due:
                # The same object, so that not each of them keeps one.
                target.due = waiting[0].due
            waiting.append(target)
            return
        self._queue[due] = [target]
        heapq.heappush(self._moments, due)
        self._arm(due)

    def _drop_superseded(self) -> None:
        valid = {}
        for moment, waiting in self._queue.items():
            if still := [target for target in waiting if moment == target.due and not target.polling]:
                valid[moment] = still
        self._queue, self._moments = valid, list(valid)
        heapq.heapify(self._moments)
        self._queued = sum(map(len, valid.values()))

    def _spread(self, targets: list[Target], seconds: float) -> None:
        """Queue campaigns evenly over a time that begins now."""
        now = self._loop.time()
        seconds = self._room_for(len(targets), seconds)
        for place, target in enumerate(targets):
            self._queue_at(target, now + seconds * place / len(targets))

    def _room_for(self, polls: int, seconds: float) -> float:
        """The time over which to spread so many polls, for none of them to be late within the budget."""
        return max(seconds, _LEEWAY * polls / self.throttle.rate)

    # Interval and budget

    def _set_base(self, target: Target) -> None:
        state = target.state
        if state.last_success is None or state.is_active or state.calls_in_flight:
            base = self._pace.active
        elif state.is_final:
            base = self._pace.closed
        else:
            base = self._pace.idle
        if base != target.base:
            self._bases[target.base] -= 1
            self._bases[base] += 1
            target.base = base
            self._set_interval(target)
            self._restretch_soon()

    def _set_interval(self, target: Target) -> None:
        target.state.interval, target.state.stale_after = self._intervals[target.base]

    @property
    def _demand(self) -> float:
        """Requests a second that the campaigns want."""
        return sum(number / base for base, number in self._bases.items())

    @property
    def _stretch(self) -> float:
        return max(1.0, self._demand / self.throttle.rate)

    def _restretch_soon(self) -> None:
        """Look soon whether the budget asks for another factor: statuses change by the thousand at once."""
        stretch, in_force = self._stretch, self._stretch_in_force
        # A stretch that is not needed any more is an alert that would stay for ever.
        worthwhile = abs(stretch / in_force - 1) > _WORTHWHILE or stretch == 1.0 != in_force
        if worthwhile and self._restretch_timer is None:
            self._restretch_timer = self._loop.call_later(_RESTRETCH_DELAY, self._restretch_now)

    def _restretch_now(self, *, force: bool = False) -> None:
        if self._restretch_timer is not None:
            self._restretch_timer.cancel()
            self._restretch_timer = None
        before, stretch = self._stretch_in_force, self._stretch
        if stretch == before and not force:
            return
        self._stretch_in_force = self.health.stretch = stretch
        self._transitions.stretched(before, stretch, len(self.targets), self._demand, self.throttle.rate)
        self._apply_pace()
        self._in_background(self._reschedule(tuple(self.targets.values()), stretch))

    def _apply_pace(self) -> None:
        self._intervals.clear()
        for base in (self._pace.active, self._pace.idle, self._pace.closed):
            interval = base * self._stretch_in_force
            self._intervals[base] = interval, max(self._pace.stale_after, STALE_INTERVALS * interval)
        interval, self.account.stale_after = self._intervals[self._pace.active]
        self.account.horizon = RECENT_INTERVALS * interval

    async def _reschedule(self, targets: tuple[Target, ...], stretch: float) -> None:
        """Bring every campaign to the interval in force, a slice at a time."""
        turns = Turns()
        for target in targets:
            await turns.give_way()
            if stretch != self._stretch_in_force:
                return
            if target.gone:
                continue
            self._set_interval(target)
            self._watch_expiry(target)
            self._changed(target.state)
            if target.polling or self._breaker is not None:
                continue
            now = self._loop.time()
            if target.started > -inf:
                self._schedule(target, now)
            elif target.due > now + (room := self._room_for(self._unpolled, target.state.interval)):
                self._queue_at(target, now + self._rng.uniform(0, room))

    # Credentials that fail for all campaigns at once

    def _is_for_all(self, target: Target, error: PollError) -> bool:
        if self._is_refusal(error, target.started):
            return True
        if not isinstance(error, ForbiddenError):
            return False
        # One campaign may be somebody else's; two of them, with no success between, are the token's fault.
        first, self._forbidden_by = self._forbidden_by, target
        return first is not None and first is not target

    def _is_refusal(self, error: PollError, sent: float) -> bool:
        # The answer to a token that has been replaced meanwhile says nothing of the new one.
        return isinstance(error, UnauthorizedError) and sent >= self._token_since

    def _open_breaker(self, error: PollError) -> None:
        self._breaker = error
        self.health.breaker_open = True
        self._transitions.breaker_opened(error, len(self.targets))
        for target in self.targets.values():
            target.due = inf
        self._queue.clear()
        self._moments.clear()
        self._queued = 0
        self._queue_probe()
        self._in_background(self._fail_all(error, tuple(self.targets.values())))

    async def _fail_all(self, error: PollError, targets: tuple[Target, ...]) -> None:
        turns = Turns()
        for target in targets:
            await turns.give_way()
            if self._breaker is not error:
                return
            if not target.gone:
                self._fail(target, error)

    def _queue_probe(self) -> None:
        """Let one campaign after the other ask, once a minute, whether the credentials are good again."""
        targets = tuple(self.targets.values())
        self._probe = targets[self._probes % len(targets)] if targets else None
        self._probes += 1
        if self._probe is not None:
            wait = PROBE_INTERVAL * (1 + self._rng.uniform(0, JITTER))
            self._queue_at(self._probe, self._loop.time() + wait)

    def _close_breaker(self, why: str) -> None:
        self._breaker = self._probe = self._forbidden_by = None
        self.health.breaker_open = False
        self._transitions.breaker_closed(why)
        self._heal([target for target in self.targets.values() if not target.polling])

    def _heal(self, targets: list[Target]) -> None:
        """Poll campaigns again as soon as the budget allows, none sooner after its last poll than an active one."""
        now = self._loop.time()
        seconds = self._room_for(len(targets), min(_HEALING_SECONDS, self._pace.active))
        soonest = self._pace.active * self._stretch_in_force
        for place, target in enumerate(targets):
            self._queue_at(target, max(now + seconds * place / len(targets), target.started + soonest))

    def _in_background(self, work: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
