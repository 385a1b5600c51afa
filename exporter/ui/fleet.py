"""
All campaigns of a moment: picked, sorted and looked up.

Looking through ten thousand campaigns takes a while, so it is done in slices, between which the event loop does what
is due, and once for everybody who asks within a second.
"""

import asyncio
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from operator import attrgetter
from typing import Any, TypeVar

from exporter.campaign.standing import Standing
from exporter.campaign.state import CampaignState
from exporter.turns import Turns
from exporter.ui.attempts import AttemptRow, newest_attempts
from exporter.ui.details import CampaignDetails, details_of, timezones_of
from exporter.ui.queries import AttemptsQuery, Filters
from exporter.ui.rows import (
    AccountRow,
    CampaignRow,
    WatchedAccount,
    account_row_of,
    row_of,
)
from exporter.ui.states import ATTENTION

T = TypeVar("T")

SortKey = Callable[[CampaignState, Standing], Any]
"""What a campaign in a state is sorted by; None where that is not known."""

MAX_AGE = 1.0
"""Seconds for which rows are shown to others who ask."""


@dataclass(frozen=True, slots=True, eq=False)
class Fleet:
    """
    All campaigns of one moment, by account and campaign; a campaign's number is its place in that order.

    A row is only made of those that are shown: thousands of new objects a second would keep the garbage collector busy,
    which holds up everything else.
    """

    _campaigns: Sequence[CampaignState]
    _accounts: Sequence[WatchedAccount]
    """The account of each campaign."""
    states: Sequence[Standing]
    """Where each campaign stands."""
    _lines: Mapping[WatchedAccount, AccountRow]
    _hours_wall: float

    def __len__(self) -> int:
        return len(self._campaigns)

    @property
    def providers(self) -> list[str]:
        return sorted({account.state.provider for account in dict.fromkeys(self._accounts)})

    @property
    def accounts(self) -> list[str]:
        return [account.state.name for account in dict.fromkeys(self._accounts)]

    def position(self, place: int) -> str:
        """Where a campaign stands in the order, also among those that come and go; no two have the same."""
        campaign = self._campaigns[place].campaign
        return f"{campaign.account}\0{campaign.name}"

    def lines(self, places: Iterable[int]) -> list[AccountRow]:
        """Give the accounts of campaigns, those in trouble first."""
        lines = map(self._lines.__getitem__, dict.fromkeys(map(self._accounts.__getitem__, places)))
        return sorted(lines, key=lambda line: len(ATTENTION) if line.state is None else ATTENTION[line.state])

    def row(self, place: int) -> CampaignRow:
        account = self._accounts[place]
        return row_of(self._campaigns[place], self.states[place], account, self._lines[account])

    def find(self, provider: str, account: str, campaign: str) -> int | None:
        """Give the place of a campaign; None when there is none of these names."""
        wanted = f"{account}\0{campaign}"
        place = bisect_left(range(len(self)), wanted, key=self.position)
        if place == len(self) or self.position(place) != wanted:
            return None
        return place if self._accounts[place].state.provider == provider else None

    async def details(self, place: int) -> CampaignDetails:
        """Give a campaign with all its numbers."""
        campaign = self._campaigns[place]
        hours = campaign.hours if campaign.fresh else None
        timezones = None if hours is None else await in_turns(timezones_of(hours, self._hours_wall))
        return details_of(self.row(place), campaign, timezones)

    def attempts(self, place: int, query: AttemptsQuery) -> list[AttemptRow] | None:
        """Give a campaign's newest attempts; None where single attempts are not read."""
        account = self._accounts[place]
        if not account.reads_attempts:
            return None
        return newest_attempts(self._campaigns[place], account.conversation_url, query)

    async def select(self, filters: Filters) -> list[int]:
        """Pick the campaigns that all filters let through."""
        places = list(range(len(self)))
        if filters.provider or filters.account:
            wanted = {
                account
                for account in dict.fromkeys(self._accounts)
                if filters.provider in ("", account.state.provider) and filters.account in ("", account.state.name)
            }
            places = [place for place in places if self._accounts[place] in wanted]
        if filters.state:
            places = [place for place in places if self.states[place] == filters.state]
        if words := filters.text.casefold().split():
            found = await in_turns(self._has_all(words, place) for place in places)
            places = list(compress(places, found))
        await asyncio.sleep(0)
        return places

    async def sort(self, places: Sequence[int], key: SortKey, *, descending: bool) -> list[int]:
        """Put campaigns in the order of a key; equals keep theirs, and what is not known comes last."""
        keys = await in_turns(key(self._campaigns[place], self.states[place]) for place in places)
        order = [index for index, key in enumerate(keys) if key is not None]
        order.sort(key=keys.__getitem__, reverse=descending)
        await asyncio.sleep(0)
        order += [index for index, key in enumerate(keys) if key is None]
        return [places[index] for index in order]

    def _has_all(self, words: Sequence[str], place: int) -> bool:
        campaign, account = self._campaigns[place], self._accounts[place]
        labels = (word for label in campaign.campaign.labels for word in label)
        status = (campaign.snapshot.status if campaign.fresh or campaign.is_final else None) or ""
        names = (campaign.campaign.name, campaign.campaign.id, campaign.display_name)
        text = "\n".join((*names, account.state.name, account.state.provider, status, *labels)).casefold()
        return all(word in text for word in words)


class Overview:
    """
    Looks at all campaigns when somebody asks.

    Args:
        accounts: Gives the accounts as they are.
        now: The monotonic clock of the states.
        wall: Unix time.
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
        campaigns: list[CampaignState] = []
        accounts: list[WatchedAccount] = []
        states: list[Standing] = []
        lines: dict[WatchedAccount, AccountRow] = {}
        for account in sorted(self._accounts(), key=attrgetter("state.name")):
            in_order = sorted(account.campaigns, key=attrgetter("campaign.name"))
            standings = [campaign.standing for campaign in in_order]
            campaigns += in_order
            accounts += [account] * len(in_order)
            states += standings
            await asyncio.sleep(0)  # each of these steps walks over thousands of campaigns
            lines[account] = account_row_of(account, Standing.SATURATED in standings, self._now())
            await asyncio.sleep(0)
        return Fleet(campaigns, accounts, states, lines, self._hours_wall())


async def in_turns(items: Iterable[T]) -> list[T]:
    """Collect what an iterator makes, and give way on the event loop meanwhile."""
    collected, turns = [], Turns()
    for item in items:
        collected.append(item)
        await turns.give_way()
    await asyncio.sleep(0)  # so that what follows is a turn of its own
    return collected
