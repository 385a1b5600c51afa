"""All accounts of this process at work, the page that shows them, and what a reload changes of them."""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence, Set
from functools import partial
from typing import Any

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from exporter.campaign.schedule import Hours
from exporter.campaign.state import CampaignState
from exporter.config.model import AccountSettings, LogSettings, PollSettings, Settings
from exporter.config.plan import AccountPlan, Plan, plan_of
from exporter.config.section import ConfigurationError
from exporter.exposition.board import Board
from exporter.exposition.own import Instruments
from exporter.exposition.page import Exposition
from exporter.polling.account import Account, Changes, Shared
from exporter.polling.hours import HoursWatch
from exporter.polling.throttle import Slots
from exporter.polling.transports import same_upstream, transport_of
from exporter.providers.advice import advice, hours_advice
from exporter.providers.redaction import Redactor
from exporter.turns import Turns
from exporter.ui.fleet import Overview
from exporter.ui.rows import WatchedAccount

log = logging.getLogger(__name__)

CLOCK_CHECK_INTERVAL = 1.0
# A wall clock that falls back by less was slewed, not set.
_DRIFT = 0.5

Spawn = Callable[[Coroutine[Any, Any, None]], None]


class Exporter:
    """
    Everything but the web server: the accounts of this shard, and the page that shows them.

    Args:
        registry: Holds the instruments, and gets the metrics of the process.
        redactor: Gets every token and password, so that the log can leave it out.
        configure_log: Called with settings that have come into force.
        wall: Unix time, for time stamps.
        hours_wall: Unix time by which calling windows open and close; a simulated one in the demo.

    Raises:
        ConfigurationError: A certificate of an account cannot be used.
    """

    def __init__(
        self,
        plan: Plan,
        registry: CollectorRegistry,
        instruments: Instruments,
        *,
        redactor: Redactor,
        configure_log: Callable[[LogSettings], None] = lambda settings: None,
        wall: Callable[[], float] = time.time,
        hours_wall: Callable[[], float] = time.time,
        rng: random.Random | None = None,
    ) -> None:
        self._plan = plan
        self._configure_log = configure_log
        self.instruments = instruments
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=registry)
        self._wall = wall
        self._board = Board()
        self._shared = Shared(
            slots=Slots(plan.settings.poll.max_in_flight),
            display=self._board,
            watch=HoursWatch(hours_wall, instruments.label_overflow.inc),
            wall=wall,
            rng=rng or random.Random(),  # noqa: S311 -- jitter, no secret
            redactor=redactor,
            on_overflow=instruments.label_overflow.inc,
        )
        self._now = asyncio.get_running_loop().time
        self.exposition = Exposition(self._board, lambda: self.accounts.values(), registry, self._now)
        self.overview = Overview(self._views, now=self._now, wall=wall, hours_wall=hours_wall)
        self._group: asyncio.TaskGroup
        self._tasks: dict[Account, asyncio.Task[None]] = {}
        self._ready = False
        self._reloading = asyncio.Lock()
        self._faults: Sequence[str] = ()
        """What was wrong with the configuration at the last reload."""
        self.accounts = {
            name: self._make_account(account, plan.settings.poll) for name, account in plan.accounts.items()
        }

    @property
    def settings(self) -> Settings:
        """Those in force, without the campaigns of their accounts."""
        return self._plan.settings

    @property
    def ready(self) -> bool:
        """Whether every campaign was polled once; a reload never takes that back."""
        self._ready = self._ready or (
            self._tasks.keys() >= set(self.accounts.values())
            and all(account.ready for account in self.accounts.values())
        )
        return self._ready

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Spawn]:
        """
        Poll until the block is left; what is known stays on the page.

        Yields:
            A function that runs a loop until then.

        Raises:
            ExceptionGroup: A loop has died: the process must not go on half dead.
        """
        loops: list[asyncio.Task[None]] = []
        async with asyncio.TaskGroup() as group:
            self._group = group
            for account in self.accounts.values():
                self._begin(account)
            self._loaded()

            def spawn(loop: Coroutine[Any, Any, None]) -> None:
                loops.append(group.create_task(loop))

            spawn(self._watch_clocks())
            try:
                yield spawn
            finally:
                for task in loops:
                    task.cancel()
                await self._end(self.accounts.values())

    # Reloading

    async def reload(self, load: Callable[[], Settings]) -> str | None:
        """
        Read the configuration again and put it into force, entirely or not at all.

        Args:
            load: Reads it; blocks, and raises ConfigurationError.

        Returns:
            What is wrong with it; None when it is in force.
        """
        async with self._reloading:
            try:
                plan = await asyncio.to_thread(lambda: plan_of(load(), self._plan))
                changes = await self._apply(plan)
            except ConfigurationError as exc:
                faults: Sequence[str] = exc.faults
            except Exception as exc:
                log.exception("the reload failed by a defect of the exporter")
                faults = [f"a defect of the exporter, see its log: {type(exc).__name__}"]
            else:
                self._faults = ()
                log.info(
                    "configuration reloaded",
                    extra={"added": changes.added, "removed": changes.removed, "changed": changes.changed},
                )
                return None
            # A file that is checked again and again is reported once for each cause.
            if faults != self._faults:
                for fault in faults:
                    log.error("the configuration can't be reloaded, the old one stays", extra={"error": fault})
            self._faults = faults
            self.instruments.reload_successful.set(0)
            return "\n".join(faults)

    @property
    def last_reload_failed(self) -> bool:
        return bool(self._faults)

    def web_config_read(self, usable: bool) -> None:
        """Show whether the web configuration could be read just now."""
        self.instruments.web_config_successful.set(usable)
        if usable:
            self.instruments.web_config_timestamp.set_function(self._time_stamp())

    async def _apply(self, plan: Plan) -> Changes:
        wanted, poll = plan.accounts, plan.settings.poll
        stays = {
            name: account
            for name, account in self.accounts.items()
            if name in wanted and same_upstream(account.settings, wanted[name].settings)
        }
        self._ready = self.ready
        # Whatever can fail comes first, so that a fault leaves everything as it was.
        new: dict[str, Account] = {}
        with contextlib.ExitStack() as undo:
            for name, account_plan in wanted.items():
                if name not in stays:
                    new[name] = self._make_account(account_plan, poll)
                    undo.callback(new[name].secrets.forget)
            transports = {
                name: transport_of(wanted[name].settings, poll, self._wall, account.secrets)
                for name, account in stays.items()
                if _needs_other_connections(account, wanted[name].settings, poll)
            }
            undo.pop_all()
        changes = Changes()
        # None of this gives up its turn on the event loop, so that no scrape sees a part of it.
        gone = [account for name, account in self.accounts.items() if name not in stays]
        for account in gone:
            changes.removed += account.remove_all()
        for name, account in stays.items():
            done = await account.change(wanted[name], poll, transports.get(name))
            changes.added += done.added
            changes.removed += done.removed
            changes.changed += done.changed
        for account in new.values():
            self._begin(account)
            changes.added += len(account.poller.targets)
        self._shared.slots.limit = poll.max_in_flight
        at_work = stays | new
        self.accounts = {name: at_work[name] for name in wanted}
        if plan.settings.web != self.settings.web:
            log.warning("changes of web.* take effect at the next start")
        self._plan = plan
        self._board.reloaded()
        self._loaded()
        await self._end(gone)
        return changes

    def _loaded(self) -> None:
        settings = self.settings
        self._configure_log(settings.log)
        for warning in settings.warnings():
            log.warning(warning)
        self.instruments.reload_successful.set(1)
        self.instruments.reload_timestamp.set_function(self._time_stamp())
        self.instruments.config_hash.set(self._plan.config_hash)
        self.instruments.shard_index.set(settings.shard.index)
        self.instruments.shards.set(settings.shard.count)

    # Accounts

    def _make_account(self, plan: AccountPlan, poll: PollSettings) -> Account:
        secrets = self._shared.redactor.account()
        return Account(plan, poll, transport_of(plan.settings, poll, self._wall, secrets), self._shared, secrets)

    def _begin(self, account: Account) -> None:
        account.begin()
        self._tasks[account] = self._group.create_task(account.run())

    async def _end(self, accounts: Iterable[Account]) -> None:
        ending = tuple(accounts)
        for account in ending:
            account.close()
        await asyncio.sleep(0)
        tasks = [self._tasks.pop(account) for account in ending if account in self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _views(self) -> list[WatchedAccount]:
        return [
            WatchedAccount(
                account.state,
                account.breaker.is_open,
                partial(advice, account=account.settings),
                partial(_explain_hours, account),
                [target.state for target in account.poller.targets.values()],
                attempts.conversation_url if (attempts := account.settings.attempts) else None,
            )
            for account in self.accounts.values()
        ]

    async def _watch_clocks(self) -> None:
        """Once a second, see what has changed with time alone: hours, and where campaigns stand."""
        offset = self._offset()
        while True:
            await asyncio.sleep(CLOCK_CHECK_INTERVAL)
            other_hours = self._shared.watch.refresh()
            before, offset = offset, self._offset()
            was_set_back = offset < before - _DRIFT
            turns = Turns()
            for account in tuple(self.accounts.values()):
                if other_hours or was_set_back:
                    for target in tuple(account.poller.targets.values()):
                        if not target.gone:
                            self._check_standing(target.state, other_hours, was_set_back)
                        await turns.give_way()
                for _ in account.state.add_up(self._now()):
                    await turns.give_way()
                for campaign in account.state.look(self._now()):
                    if campaign.settle(self._now()):
                        self._board.update(campaign)
                    await turns.give_way()

    def _check_standing(self, campaign: CampaignState, other_hours: Set[Hours], was_set_back: bool) -> None:
        if was_set_back:
            campaign.cut_time_stamps(self._wall())
            self._board.update_attempts(campaign)
        if campaign.hours in other_hours:
            campaign.expect(self._now(), self._wall())
        elif not was_set_back:
            return
        self._board.update(campaign)

    def _time_stamp(self) -> Callable[[], float]:
        """This moment as Unix time, cut at now where the wall clock is set back later."""
        at = self._wall()
        return lambda: min(at, self._wall())

    def _offset(self) -> float:
        """What the wall clock is ahead of the monotonic one."""
        return self._wall() - self._now()


def _explain_hours(account: Account, campaign_id: str) -> str | None:
    return hours_advice(account.calling_windows.error_of(campaign_id), account.settings)


def _needs_other_connections(account: Account, settings: AccountSettings, after: PollSettings) -> bool:
    before = account.poll
    return (
        account.settings.http != settings.http
        or account.settings.max_in_flight != settings.max_in_flight
        or (before.timeout, before.max_body_bytes) != (after.timeout, after.max_body_bytes)
    )
