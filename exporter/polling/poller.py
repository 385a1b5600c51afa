"""
Polls the campaigns of one account, each at its own interval, and all of them within the account's budget.

A poll is a job on the account's agenda. Here is one poll, what follows from it, and when the next one is due.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from math import inf
from typing import TYPE_CHECKING

from exporter.campaign.schedule import Hours
from exporter.campaign.snapshot import Snapshot
from exporter.campaign.state import Campaign, CampaignState
from exporter.config.model import PollSettings
from exporter.polling.agenda import MOMENT
from exporter.polling.breaker import STATS
from exporter.polling.counters import SUCCESS, PollCounters
from exporter.polling.pace import RECENT_INTERVALS, interval_of, stale_after_of, stretch_of
from exporter.polling.target import Target
from exporter.providers.errors import InternalError, PollError
from exporter.turns import Turns

if TYPE_CHECKING:
    from exporter.polling.account import Account

JITTER = 0.1
BACKOFF_CEILING = 300.0

# A change of the stretching factor below this is not worth rescheduling thousands of campaigns.
_LEAST_CHANGE = 0.05
_RESTRETCH_DELAY = 1.0
# The throttle keeps a little of the rate back, and other polls go on meanwhile.
_LEEWAY = 1.02
_POLL_SOON_SECONDS = 5.0
# Intervals are a twentieth longer on average, by their jitter: so much of the rate is left even where it is used up.
_ALWAYS_LEFT = JITTER / 2
_CREDENTIAL_REASONS = frozenset({"unauthorized", "forbidden", "credentials"})


class Poller:
    """
    The campaigns of one account.

    Attributes:
        targets: By campaign id.
        stretch: The factor in force by which all intervals are stretched; 1 for none.
        changed: Called with a campaign whose numbers have changed.
    """

    def __init__(self, account: Account) -> None:
        self.counters = PollCounters()
        self.targets: dict[str, Target] = {}
        self.stretch = 1.0
        self.changed = account.shared.display.update
        self._account = account
        self._agenda, self._throttle = account.agenda, account.throttle
        self._requests, self._breaker = account.requests, account.breaker
        self._organization, self._log, self._pace = account.state, account.log, account.poll
        self._wall, self._rng = account.shared.wall, account.shared.rng
        self._loop = asyncio.get_running_loop()
        self._unpolled = 0
        self._bases: Counter[float] = Counter()
        self._intervals: dict[float, tuple[float, float]] = {}
        """Interval and staleness by base; the same two numbers for all campaigns, which need not keep their own."""
        self._restretch_timer: asyncio.TimerHandle | None = None
        self._sweeps = 0
        self._probes = 0
        self._apply_pace()

    # Which campaigns, and at which pace

    @property
    def ready(self) -> bool:
        """Whether every campaign has been polled once, or has failed once."""
        return self._unpolled == 0

    def add(self, campaigns: Iterable[tuple[Campaign, Hours | None]]) -> list[CampaignState]:
        """Begin to poll campaigns, the first polls evenly spread over the interval of active ones."""
        added = []
        for campaign, hours in campaigns:
            state = CampaignState(campaign, self._account.provider, self._account.shared.on_overflow)
            state.hours = hours
            target = self.targets[campaign.id] = Target(self, state, self._pace.active_interval)
            self._bases[target.base] += 1
            self._unpolled += 1
            added.append(target)
        self._restretch()
        for target in added:
            self._set_interval(target)
        if self._breaker.error is None:
            self._spread(added, self._pace.active_interval * self.stretch)
        else:
            self._agenda.spawn(self._fail_all(self._breaker.error, tuple(added)))
        return [target.state for target in added]

    def remove(self, campaign_id: str) -> CampaignState:
        """Forget a campaign; the answer of a poll under way is thrown away."""
        target = self.targets.pop(campaign_id)
        target.gone = True
        target.due = target.expiry = inf
        if not target.state.polled:
            self._unpolled -= 1
        self._bases[target.base] -= 1
        self._organization.forget(target.state)
        self._restretch_soon()
        self._breaker.campaign_removed(campaign_id, len(self.targets))
        return target.state

    def set_pace(self, pace: PollSettings, rate: float, max_in_flight: int) -> None:
        """Go on at another pace, within another budget."""
        throttle = self._throttle
        if (pace, rate, max_in_flight) == (self._pace, throttle.rate, throttle.max_in_flight):
            return
        self._pace = pace
        throttle.rate, throttle.max_in_flight = rate, max_in_flight
        self._apply_pace()
        for target in self.targets.values():
            self._set_base(target)
        self._restretch(force=True)

    def set_hours(self, campaign_id: str, hours: Hours | None) -> None:
        """Take in what is now known of when a campaign may dial."""
        target = self.targets.get(campaign_id)
        if target is not None and target.state.hours is not hours:
            target.state.hours = hours
            target.state.expect(self._loop.time(), self._wall())
            self.changed(target.state)

    def close(self) -> None:
        """End what would go on by itself."""
        if self._restretch_timer is not None:
            self._restretch_timer.cancel()
        self._log.close()

    # One poll

    async def poll(self, target: Target, due: float) -> float:
        """Poll a campaign that was due at a time (monotonic); returns when it is due again, infinite for never."""
        answer: Snapshot | PollError
        target.started = self._loop.time()
        self.counters.lag_seconds.observe(target.started - due)
        try:
            answer = await self._account.provider.poll(target.state.campaign.id)
        except PollError as exc:
            # The traceback would tie this frame to itself, for the garbage collector to undo.
            answer = exc.with_traceback(None)
        except Exception as exc:  # noqa: BLE001 -- a defect in one provider must not silence all other campaigns
            answer = InternalError(f"a defect of the exporter: {type(exc).__name__}")
            answer.__cause__ = exc
        now = self._loop.time()
        self.counters.request_seconds.observe(now - target.started)
        if target.gone:
            return inf
        if isinstance(answer, PollError):
            self.counters.polls[answer.reason] += 1
            self._failed(target, answer)
        else:
            self.counters.polls[SUCCESS] += 1
            self._succeeded(target, answer, now)
        # What an answer says may have been the end of it.
        return inf if target.gone else self._next_due(target, now)

    def _succeeded(self, target: Target, snapshot: Snapshot, now: float) -> None:
        state, breaker = target.state, self._breaker
        if state.up is None:
            self._unpolled -= 1
        if state.error is not None:
            self._log.recovered(state)
        target.failures = 0
        state.succeeded(snapshot, now, self._wall())
        self._organization.succeeded(state, now)
        self._set_base(target)
        if now + state.stale_after < target.expiry:
            self._agenda.watch(target)
        breaker.succeeded(STATS, target.started)
        if breaker.error is not None:
            # While credentials are refused all campaigns fail, also by an answer to an earlier request.
            state.failed(breaker.error.reason, str(breaker.error))
        self.changed(state)
        if snapshot.campaign_id is not None and not target.identified:
            target.identified = True
            self._account.identified(state.campaign.id, snapshot.campaign_id)

    def _failed(self, target: Target, error: PollError) -> None:
        target.failures += 1
        was_open = self._breaker.is_open
        self._requests.failed(STATS, error, target.started, target.state.campaign.id)
        if self._breaker.error is error:
            # Told once for the account, in place of once for each campaign.
            return
        if not was_open or isinstance(error, InternalError):
            self._log.failed(target.state, error)
        self._fail(target, error)

    def _fail(self, target: Target, error: PollError) -> None:
        if not target.state.polled:
            self._unpolled -= 1
        target.state.failed(error.reason, str(error))
        self.changed(target.state)

    # When the next one is due

    def _next_due(self, target: Target, now: float) -> float:
        if self._breaker.error is not None:
            return inf
        interval = target.state.interval
        # What waiting for the next moment of the agenda may add is part of the jitter.
        jitter = JITTER * interval * self._rng.random() - MOMENT
        wait = interval + jitter if jitter > 0 else interval
        if target.failures > 1:
            ceiling = min(BACKOFF_CEILING, interval * 2.0 ** min(target.failures - 1, 32))
            wait = max(wait, self._rng.uniform(0, ceiling))
        due = target.started + wait
        return due if due > now else now

    def _spread(self, targets: list[Target], seconds: float) -> None:
        """Make campaigns due evenly over a time that begins now."""
        now = self._loop.time()
        seconds = self._room_for(len(targets), seconds)
        for place, target in enumerate(targets):
            self._agenda.put(target, now + seconds * place / len(targets))

    def _room_for(self, polls: int, seconds: float) -> float:
        """The time over which to spread so many polls, for none of them to be late within the budget."""
        return max(seconds, _LEEWAY * polls / self._throttle.rate)

    # Interval and budget

    @property
    def left(self) -> float:
        """The part of the rate that polls leave for other requests."""
        return max(_ALWAYS_LEFT, 1 - self._demand / self.stretch / self._throttle.rate)

    def _set_base(self, target: Target) -> None:
        state = target.state
        base = interval_of(self._pace, state.lifecycle, None if state.last_success is None else state.snapshot)
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

    def _restretch_soon(self) -> None:
        """Check soon whether the budget asks for another factor: statuses change by the thousand at once."""
        stretch = stretch_of(self._demand, self._throttle.rate)
        # A stretch that is not needed any more is an alert that would stay for ever.
        is_needed = abs(stretch / self.stretch - 1) > _LEAST_CHANGE or stretch == 1.0 != self.stretch
        if is_needed and self._restretch_timer is None:
            self._restretch_timer = self._loop.call_later(_RESTRETCH_DELAY, self._restretch)

    def _restretch(self, *, force: bool = False) -> None:
        if self._restretch_timer is not None:
            self._restretch_timer.cancel()
            self._restretch_timer = None
        before, stretch = self.stretch, stretch_of(self._demand, self._throttle.rate)
        if stretch == before and not force:
            return
        self.stretch = stretch
        if stretch != before:
            self._log.stretched(before, stretch, len(self.targets), self._demand, self._throttle.rate)
        self._apply_pace()
        self._sweeps += 1
        self._agenda.spawn(self._reschedule(tuple(self.targets.values()), self._sweeps))

    def _apply_pace(self) -> None:
        self._intervals.clear()
        for base in (self._pace.active_interval, self._pace.idle_interval, self._pace.closed_interval):
            interval = base * self.stretch
            self._intervals[base] = interval, stale_after_of(self._pace, interval)
        interval, self._organization.stale_after = self._intervals[self._pace.active_interval]
        self._organization.horizon = RECENT_INTERVALS * interval

    async def _reschedule(self, targets: tuple[Target, ...], sweep: int) -> None:
        """Bring every campaign to the interval in force, until another sweep does."""
        turns = Turns()
        for target in targets:
            await turns.give_way()
            if sweep != self._sweeps:
                return
            if target.gone:
                continue
            self._set_interval(target)
            self._agenda.watch(target)
            self.changed(target.state)
            if target.task is not None or self._breaker.is_open:
                continue
            now = self._loop.time()
            if target.started > -inf:
                self._agenda.put(target, self._next_due(target, now))
            elif target.due > now + (room := self._room_for(self._unpolled, target.state.interval)):
                self._agenda.put(target, now + self._rng.uniform(0, room))

    # Credentials that fail for all campaigns at once

    def refused(self, error: PollError) -> None:
        """Poll nothing more, and let all campaigns fail."""
        for target in self.targets.values():
            target.due = inf
        self._agenda.spawn(self._fail_all(error, tuple(self.targets.values())))

    async def _fail_all(self, error: PollError, targets: tuple[Target, ...]) -> None:
        turns = Turns()
        for target in targets:
            await turns.give_way()
            if self._breaker.error is not error:
                return
            if not target.gone:
                self._fail(target, error)

    def probe(self) -> None:
        """Poll one campaign, another one each time."""
        if targets := tuple(self.targets.values()):
            self._agenda.put(targets[self._probes % len(targets)], self._loop.time())
            self._probes += 1

    def accepted(self) -> None:
        """Poll all campaigns again."""
        self._poll_soon(self.targets.values())

    def token_changed(self) -> None:
        """Try again at once what the old token may be to blame for."""
        self._poll_soon(target for target in self.targets.values() if target.state.error in _CREDENTIAL_REASONS)

    def _poll_soon(self, targets: Iterable[Target]) -> None:
        """Poll campaigns again as soon as the budget allows, none sooner after its last poll than an active one."""
        waiting = [target for target in targets if target.task is None]
        now = self._loop.time()
        seconds = self._room_for(len(waiting), min(_POLL_SOON_SECONDS, self._pace.active_interval))
        soonest = self._pace.active_interval * self.stretch
        for place, target in enumerate(waiting):
            self._agenda.put(target, max(now + seconds * place / len(waiting), target.started + soonest))
