"""
What an account has to do, and when: one agenda and one timer for all its jobs.

All that is due within the same 64th of a second waits in one list. So the cost of waiting does not grow with the number
of jobs, and one turn of the timer starts all of them.
"""

import asyncio
import heapq
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from dataclasses import dataclass, field
from itertools import count
from math import ceil, inf
from typing import Any, ClassVar

from exporter.polling.throttle import Throttle

# Moments a second at which jobs can be due; a power of two, so that each of them is exact. Each time that the process
# wakes up it finds its caches cold: with four times as many moments, 2,000 polls a second take a seventh more.
_MOMENTS = 64
MOMENT = 1 / _MOMENTS
"""Seconds by which a job may start later than at the time that was asked for."""
_SPARE_ENTRIES = 250


@dataclass(slots=True, eq=False)
class Job(ABC):
    """
    Something to do again and again: a time at which it is due, and a coroutine.

    Attributes:
        due: Monotonic seconds; infinite while it is not to be done.
        task: While it is being done.
        throttled: Whether it is a request, which takes its turn in the account's budget when it is due.
    """

    throttled: ClassVar[bool] = False
    due: float = field(default=inf, init=False)
    task: asyncio.Task[None] | None = field(default=None, init=False)

    @abstractmethod
    def run(self) -> Coroutine[Any, Any, float]:
        """Do it once; returns when it is due again (monotonic), infinite for not until something changes."""


@dataclass(slots=True, eq=False)
class Expiring(Job):
    """
    A job whose last result becomes too old.

    Attributes:
        expiry: The time at which the agenda checks whether it has; infinite for none.
    """

    expiry: float = field(default=inf, init=False)

    @property
    @abstractmethod
    def stale_at(self) -> float:
        """The time at which it becomes too old; infinite for never."""

    @abstractmethod
    def expire(self) -> None:
        """It has become too old."""


class _Queue:
    """Jobs by the moment at which they are due."""

    def __init__(self) -> None:
        self.waiting: dict[float, list[Job]] = {}
        self.moments: list[float] = []
        """The keys of `waiting`, as a heap."""
        self.entries = 0
        self.most_entries = _SPARE_ENTRIES
        """Number of entries above which those that have been superseded are removed."""

    def put(self, job: Job, moment: float) -> bool:
        """Enter a job; True when it is the first one of its moment."""
        self.entries += 1
        jobs = self.waiting.get(moment)
        if jobs is not None:
            if jobs[0].due == moment:
                # The same object, so that not each of them keeps one.
                job.due = jobs[0].due
            jobs.append(job)
            return False
        self.waiting[moment] = [job]
        heapq.heappush(self.moments, moment)
        return True

    def drop_superseded(self) -> None:
        valid = {}
        for moment, jobs in self.waiting.items():
            if still := [job for job in jobs if job.due == moment and job.task is None]:
                valid[moment] = still
        self.waiting, self.moments = valid, list(valid)
        heapq.heapify(self.moments)
        self.entries = sum(map(len, valid.values()))
        self.most_entries = 2 * self.entries + _SPARE_ENTRIES


class Agenda:
    """
    Starts jobs when they are due, each in a task of its own, and never twice at the same time.

    Args:
        throttle: The budget of the jobs that are throttled. They wait for it in the order in which they are due; all
            other jobs never wait.
    """

    def __init__(self, throttle: Throttle) -> None:
        self._held_seconds = 0.0
        self._throttle = throttle
        self._loop = asyncio.get_running_loop()
        self._group: asyncio.TaskGroup | None = None
        self._early: list[Coroutine[Any, Any, None]] = []
        """What was to be done at once before it ran."""
        self._closed = False
        self._free = _Queue()
        self._throttled = _Queue()
        self._expiries: list[tuple[float, int, Expiring]] = []
        """When to check whether a result is too old, as a heap; a later result leaves its entry where it is."""
        self._ticket = count()
        self._defect: asyncio.Future[None] = self._loop.create_future()
        """Fails when the timer finds a defect, which `run` then raises: the event loop would only log it."""
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = inf
        self._held_since: float | None = None

    @property
    def held_seconds(self) -> float:
        """Time during which jobs were due and had to wait, up to now."""
        waiting = 0.0 if self._held_since is None else self._loop.time() - self._held_since
        return self._held_seconds + waiting

    async def run(self, group: asyncio.TaskGroup) -> None:
        """
        Do what is due until it is cancelled.

        Args:
            group: Gets the tasks; a defect in one of them ends it.
        """
        self._group = group
        while self._early:
            self.spawn(self._early.pop())
        if self._timer is not None:
            self._timer.cancel()
        self._ring()
        await self._defect

    def close(self) -> None:
        """Start nothing more."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()

    def put(self, job: Job, due: float) -> None:
        """Have a job done at a time, in place of when it was due so far; one that is being done, again after that."""
        job.due = due = ceil(due * _MOMENTS) / _MOMENTS if due < inf else due
        if job.task is not None or due == inf:
            return
        queue = self._throttled if job.throttled else self._free
        if queue.entries > queue.most_entries:
            queue.drop_superseded()
        if queue.put(job, due):
            self._arm(due)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something once, now, in a task of its own."""
        if self._closed:
            work.close()
        elif self._group is None:
            self._early.append(work)
        else:
            self._group.create_task(work)

    def watch(self, job: Expiring) -> None:
        """Check a result when it becomes too old; to be called again where it becomes so earlier."""
        at = job.stale_at
        if at < job.expiry:
            job.expiry = at
            heapq.heappush(self._expiries, (at, next(self._ticket), job))
            self._arm(at)

    def wake(self) -> None:
        """Start what has waited for a request to end."""
        self._start_due(self._loop.time())

    def _start_due(self, now: float) -> None:
        if self._group is None or self._closed:
            return
        if self._held_since is not None:
            self._held_seconds += now - self._held_since
            self._held_since = None
        self._start_from(self._free, now)
        self._start_from(self._throttled, now)

    def _start_from(self, queue: _Queue, now: float) -> None:
        assert self._group is not None  # noqa: S101 -- for mypy: only started with it
        throttle = self._throttle
        while queue.moments:
            moment = queue.moments[0]
            if moment > now:
                self._arm(moment)
                return
            jobs = queue.waiting[moment]
            while jobs:
                job = jobs[-1]
                # Else the entry has been superseded.
                if job.due == moment and job.task is None:
                    if job.throttled:
                        if delay := throttle.delay(now, self.wake):
                            self._held_since = now
                            self._arm(now + delay)
                            return
                        throttle.take(now)
                    work = job.run()
                    job.due = inf
                    job.task = self._group.create_task(self._do(job, work))
                jobs.pop()
                queue.entries -= 1
            heapq.heappop(queue.moments)
            del queue.waiting[moment]

    async def _do(self, job: Job, work: Coroutine[Any, Any, float]) -> None:
        due = inf
        try:
            due = await work
        finally:
            job.task = None
            # It may have been put on the agenda meanwhile.
            self.put(job, due if due < job.due else job.due)
            if job.throttled:
                self._throttle.release()

    def _expire(self, now: float) -> None:
        expiries = self._expiries
        while expiries and expiries[0][0] <= now:
            at, _, job = heapq.heappop(expiries)
            if at != job.expiry:
                continue
            job.expiry = inf
            if job.stale_at > now:
                self.watch(job)
            else:
                job.expire()
        if expiries:
            self._arm(expiries[0][0])

    def _arm(self, at: float) -> None:
        """Have the timer ring as soon as this moment has come, unless it rings before."""
        if at >= self._timer_at:
            return
        # uvloop counts whole milliseconds: for a part of one the timer would ring again and again until the next.
        if (whole := ceil(at * 1000) / 1000) > at:
            at = whole
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
        except Exception as exc:  # noqa: BLE001 -- raised by `run`
            if not self._defect.done():
                self._defect.set_exception(exc)
