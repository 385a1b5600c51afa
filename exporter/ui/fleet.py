"""All campaigns of a moment: picked, sorted and looked up."""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from operator import attrgetter
from typing import Any, TypeVar

from exporter.campaign.state import CampaignState
from exporter.turns import Turns
from exporter.ui.details import AttemptRow, CampaignDetails, details_of, newest_attempts, timezones_of
from exporter.ui.queries import AttemptsQuery
from exporter.ui.rows import AccountRow, CampaignRow, WatchedAccount, account_row_of, row_of, status_of
from exporter.ui.states import ATTENTION

T = TypeVar("T")

SortKey = Callable[[CampaignState], Any]
"""What a campaign is sorted by; None where that is not known."""

MAX_AGE = 1.0
"""Seconds for which a look at all campaigns is shared by all who ask."""


def position(campaign: CampaignState) -> str:
    """Where a campaign stands in the order, also among those that come and go; no two have the same."""
    return f"{campaign.campaign.account}\0{campaign.campaign.name}"


@dataclass(frozen=True, slots=True, eq=False)
class Fleet:
    """
    All campaigns of one moment, looked through in slices, between which the event loop does what is due.

    A row is only made of those that are shown: thousands of new objects a second would keep the garbage collector busy.
    """

    campaigns: Sequence[CampaignState]
    """In the order of their positions."""
    accounts: Mapping[str, WatchedAccount]
    """By name, in order."""
    _rows: Mapping[str, AccountRow]
    _hours_wall: float
    pages: dict[object, asyncio.Task[tuple[str, bytes]]] = field(default_factory=dict)
    """Tag and body of the list, by view: made once for all who ask, since hundreds of clients may do so at once."""

    def account_rows(self, campaigns: Iterable[CampaignState]) -> dict[str, AccountRow]:
        """Give the accounts of campaigns by name, those in trouble first."""
        rows = [self._rows[name] for name in dict.fromkeys(campaign.campaign.account for campaign in campaigns)]
        rows.sort(key=lambda row: len(ATTENTION) if row.state is None else ATTENTION[row.state])
        return {row.account: row for row in rows}

    def row(self, campaign: CampaignState) -> CampaignRow:
        name = campaign.campaign.account
        return row_of(campaign, self.accounts[name], self._rows[name])

    def find(self, provider: str, account: str, campaign: str) -> CampaignState | None:
        """Give the campaign of these names; None when there is none."""
        watched = self.accounts.get(account)
        if watched is None or watched.state.provider != provider:
            return None
        return next((state for state in watched.campaigns if state.campaign.name == campaign), None)

    async def details(self, campaign: CampaignState) -> CampaignDetails:
        hours = campaign.hours if campaign.fresh else None
        timezones = None if hours is None else await in_turns(timezones_of(hours, self._hours_wall))
        account = self.accounts[campaign.campaign.account]
        problem = account.explain_hours(campaign.campaign.id) if campaign.hours is None else None
        return details_of(self.row(campaign), campaign, timezones, problem)

    def attempts(self, campaign: CampaignState, query: AttemptsQuery) -> list[AttemptRow] | None:
        """Give a campaign's newest attempts; None where single attempts are not read."""
        url = self.accounts[campaign.campaign.account].conversation_url
        return None if url is None else newest_attempts(campaign, url, query)

    async def select(
        self, q: str = "", provider: str | None = None, account: str | None = None, state: str | None = None
    ) -> list[CampaignState]:
        """Pick the campaigns that have all words of `q` and fit whatever else is given."""
        words = q.casefold().split()

        def fits(campaign: CampaignState) -> bool:
            return (
                (not provider or provider == campaign.lifecycle.name)
                and (not account or account == campaign.campaign.account)
                and (not state or state == campaign.standing)
                and (not words or _has_all(campaign, words))
            )

        return list(compress(self.campaigns, await in_turns(map(fits, self.campaigns))))

    async def sort(self, campaigns: Sequence[CampaignState], key: SortKey, *, descending: bool) -> list[CampaignState]:
        """Put campaigns in the order of a key; equals keep theirs, and what is not known comes last."""
        keys = await in_turns(map(key, campaigns))
        order = [index for index, key in enumerate(keys) if key is not None]
        order.sort(key=keys.__getitem__, reverse=descending)
        await asyncio.sleep(0)
        order += [index for index, key in enumerate(keys) if key is None]
        return [campaigns[index] for index in order]


def _has_all(campaign: CampaignState, words: Iterable[str]) -> bool:
    described = campaign.campaign
    names = (described.name, described.id, campaign.display_name, described.account, campaign.lifecycle.name)
    labels = (word for label in described.labels for word in label)
    text = "\n".join((*names, status_of(campaign) or "", *labels)).casefold()
    return all(word in text for word in words)


class Overview:
    """
    Looks at all campaigns when somebody asks.

    Args:
        now: The monotonic clock of the states.
        hours_wall: Unix time by which calling windows open and close.
    """

    def __init__(
        self,
        accounts: Callable[[], Iterable[WatchedAccount]],
        *,
        now: Callable[[], float],
        wall: Callable[[], float] = time.time,
        hours_wall: Callable[[], float] = time.time,
    ) -> None:
        self.wall = wall
        self._hours_wall = hours_wall
        self._accounts = accounts
        self._now = now
        self._fleet: Fleet | None = None
        self._made_at = 0.0
        self._making = asyncio.Lock()

    async def fleet(self) -> Fleet:
        """Give the campaigns as they stand, or stood within the last second."""
        async with self._making:
            if self._fleet is None or self._now() - self._made_at >= MAX_AGE:
                self._fleet = await self._make()
                self._made_at = self._now()
            return self._fleet

    async def _make(self) -> Fleet:
        accounts = {account.state.name: account for account in sorted(self._accounts(), key=attrgetter("state.name"))}
        campaigns: list[CampaignState] = []
        rows: dict[str, AccountRow] = {}
        for name, account in accounts.items():
            campaigns += sorted(account.campaigns, key=attrgetter("campaign.name"))
            await asyncio.sleep(0)  # each of these steps walks over thousands of campaigns
            rows[name] = account_row_of(account, self._now())
            await asyncio.sleep(0)
        return Fleet(campaigns, accounts, rows, self._hours_wall())


async def in_turns(items: Iterable[T]) -> list[T]:
    """Collect what an iterator makes, and give way on the event loop meanwhile."""
    collected, turns = [], Turns()
    for item in items:
        collected.append(item)
        await turns.give_way()
    await asyncio.sleep(0)  # so that what follows is a turn of its own
    return collected
