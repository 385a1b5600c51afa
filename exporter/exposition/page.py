"""
The page of all metrics: a scrape joins lines that are ready, in slices between which the event loop has its turns.

Making 280,000 lines takes prometheus-client two seconds, and joining them eleven milliseconds.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from isal import isal_zlib
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.exposition import generate_latest as generate_text
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from exporter.campaign.account import AccountState
from exporter.campaign.state import CampaignState
from exporter.exposition.account_families import ACCOUNT_FAMILIES, POLLING_FAMILIES, AccountNow
from exporter.exposition.attempt_families import ATTEMPT_READING_FAMILIES
from exporter.exposition.board import Board
from exporter.exposition.families import Family
from exporter.exposition.lines import header, label_block, sample_names, writer
from exporter.exposition.negotiation import Format
from exporter.polling.account import Account
from exporter.turns import Turns

# Joining and compressing a slice, about 100 kB, takes a fraction of a millisecond.
_SLICE = 1000
# Reloads that follow each other so quickly that a page is begun more often than this take longer than a page.
_TRIES = 5
_DIFFERENT_PAGES = 4
_GZIP_LEVEL = 1
_GZIP_CONTAINER = 31

_ACCOUNT_ROWS = tuple(
    (family, writer(family)) for family in (*ACCOUNT_FAMILIES, *POLLING_FAMILIES, *ATTEMPT_READING_FAMILIES)
)

Columns = Iterable[tuple[Family[CampaignState], Sequence[bytes]]]


class Exposition:
    """Makes the page, in either format, plain or compressed; scrapes at once share one."""

    def __init__(
        self,
        board: Board,
        accounts: Callable[[], Iterable[Account]],
        registry: CollectorRegistry,
        monotonic: Callable[[], float],
    ) -> None:
        self._board = board
        self._accounts = accounts
        self._registry = registry
        self._monotonic = monotonic
        self._under_way: dict[tuple[Format, bool, frozenset[str]], asyncio.Task[list[bytes]]] = {}
        # Scrapes of one page share it. Each `name[]` makes another one, and a large page takes tens of megabytes.
        self._places = asyncio.Semaphore(_DIFFERENT_PAGES)
        self._duration = Histogram(
            "campaign_exporter_scrape_duration_seconds",
            "Time to make the page of metrics.",
            registry=registry,
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
        )

    async def page(self, format: Format, compress: bool, names: frozenset[str]) -> Sequence[bytes]:
        """
        Make the page in pieces, only with samples of these names where there are any (`name[]` of official clients).
        """
        key = (format, compress, names)
        task = self._under_way.get(key)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._make(format is Format.OPENMETRICS, compress, names))
            self._under_way[key] = task
            task.add_done_callback(lambda _: self._under_way.pop(key, None))
        # A client that goes away must not take the page from the others who wait for it.
        return await asyncio.shield(task)

    async def _make(self, openmetrics: bool, compress: bool, names: frozenset[str]) -> list[bytes]:
        async with self._places:
            started = time.perf_counter()
            tries = 0
            while (pieces := await self._of_one_moment(openmetrics, compress, names, copied=tries >= _TRIES)) is None:
                tries += 1
            self._duration.observe(time.perf_counter() - started)
            return pieces

    async def _of_one_moment(
        self, openmetrics: bool, compress: bool, names: frozenset[str], *, copied: bool
    ) -> list[bytes] | None:
        """
        Make the page; None when campaigns or accounts have come, gone or been changed by a reload meanwhile.

        With `copied` it is made from copies of the lines, which takes longer in one turn, whatever happens meanwhile.
        """
        generation, now = self._board.generation, self._monotonic()
        columns: Columns = self._board.columns(exemplars=openmetrics)
        if copied:
            columns = [(family, column[:]) for family, column in columns]
        accounts = [(_account_labels(account.state), AccountNow(account, now)) for account in self._accounts()]
        # Written in a thread, since it reads files of /proc.
        own = await asyncio.to_thread(self._own_metrics, openmetrics, names)
        lines = chain(_lines(columns, accounts, openmetrics, names), [own])
        pieces, turns = [], Turns()
        for piece in _compressed(lines) if compress else lines:
            if not copied and generation != self._board.generation:
                return None
            if piece:
                pieces.append(piece)
            await turns.give_way()
        return pieces

    def _own_metrics(self, openmetrics: bool, names: frozenset[str]) -> bytes:
        registry = self._registry.restricted_registry(names) if names else self._registry
        if openmetrics:
            return bytes(generate_openmetrics(registry))  # type: ignore[no-untyped-call]
        return generate_text(registry)


def _lines(
    columns: Columns, accounts: Sequence[tuple[str, AccountNow]], openmetrics: bool, names: frozenset[str]
) -> Iterator[bytes]:
    """Join the lines of all campaigns and accounts (with their labels), slice by slice."""
    of_campaigns = (
        (family, (b"".join(column[start : start + _SLICE]) for start in range(0, len(column), _SLICE)))
        for family, column in columns
    )
    of_accounts = (
        (family, (write(labels, family.read(account)) for labels, account in accounts))
        for family, write in _ACCOUNT_ROWS
    )
    families: Iterable[tuple[Family[Any], Iterable[bytes]]] = chain(of_campaigns, of_accounts)
    for family, slices in families:
        wanted = sample_names(family)
        if names and names.isdisjoint(wanted):
            continue
        # A family without lines has no header.
        head = header(family, openmetrics)
        for lines in slices:
            if names and len(wanted) > 1:
                lines = _only(names, lines)
            yield head + lines if lines else b""
            head = b"" if lines else head


def _only(names: frozenset[str], lines: bytes) -> bytes:
    """Leave the samples of these names."""
    return b"".join(line for line in lines.splitlines(keepends=True) if line.partition(b"{")[0].decode() in names)


def _account_labels(account: AccountState) -> str:
    return label_block((("account", account.name), ("provider", account.provider), *account.labels))


def _compressed(texts: Iterable[bytes]) -> Iterator[bytes]:
    gzip = isal_zlib.compressobj(_GZIP_LEVEL, wbits=_GZIP_CONTAINER)
    yield from map(gzip.compress, texts)
    yield gzip.flush()
