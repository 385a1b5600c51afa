"""
The page of all metrics: a scrape joins lines that are ready.

Making 280,000 lines takes prometheus-client two seconds, and joining them eleven milliseconds. A scrape joins the
lines of each family in slices, and gives the event loop a turn between them, so that a page of any size never holds
up a poll.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence

from isal import isal_zlib
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.exposition import generate_latest as generate_text
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from exporter.campaign.account import AccountState
from exporter.exposition.board import Board
from exporter.exposition.families import ACCOUNT_FAMILIES, AccountView, CampaignFamily, Family
from exporter.exposition.lines import label_block, renderer
from exporter.exposition.negotiation import Format
from exporter.turns import Turns

# Large enough that a slice costs little besides the copying, small enough that joining and compressing one
# (about 100 kB) takes a fraction of a millisecond.
_SLICE = 1000
_GZIP_LEVEL = 1
_GZIP_CONTAINER = 31


class Exposition:
    """Makes the page, in either format, plain or compressed; scrapes at once share one."""

    def __init__(
        self,
        board: Board,
        accounts: Callable[[], Iterable[AccountState]],
        registry: CollectorRegistry,
        monotonic: Callable[[], float],
    ) -> None:
        self._board = board
        self._accounts = accounts
        self._registry = registry
        self._monotonic = monotonic
        self._account_rows = tuple((family, renderer(family)) for family in ACCOUNT_FAMILIES)
        self._under_way: dict[tuple[Format, bool, frozenset[str]], asyncio.Task[list[bytes]]] = {}
        self._duration = Histogram(
            "campaign_exporter_scrape_duration_seconds",
            "Time to make the page of metrics.",
            registry=registry,
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
        )

    async def page(self, format: Format, compress: bool, names: frozenset[str]) -> Sequence[bytes]:
        """
        Make the page in pieces that are ready to be sent one after the other.

        With `names`, only samples of these names are in it, as with `name[]` of the official clients.
        """
        key = (format, compress, names)
        task = self._under_way.get(key)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._make(format, compress, names))
            self._under_way[key] = task
            task.add_done_callback(lambda _: self._under_way.pop(key, None))
        # A client that goes away must not take the page from the others who wait for it.
        return await asyncio.shield(task)

    async def _make(self, format: Format, compress: bool, names: frozenset[str]) -> list[bytes]:
        started = time.perf_counter()
        openmetrics = format is Format.OPENMETRICS
        page = _Pieces(compress)
        turns = Turns()
        for family, column in self._board.columns():
            if names and family.name not in names:
                continue
            header: bytes | None = _header(family, openmetrics)
            for start in range(0, len(column), _SLICE):
                if lines := b"".join(column[start : start + _SLICE]):
                    if header is not None:
                        page.add(header)
                        header = None
                    page.add(lines)
                await turns.give_way()
        now = self._monotonic()
        views = [AccountView(state, now) for state in self._accounts()]
        for account_family, render in self._account_rows:
            if names and account_family.name not in names:
                continue
            if lines := b"".join(render(_account_labels(v.state), account_family.read(v)) for v in views):
                page.add(_header(account_family, openmetrics) + lines)
            await turns.give_way()
        # Written in a thread: it reads files of /proc, and grows with the number of accounts.
        own = await asyncio.to_thread(self._own_metrics, openmetrics, names)
        page.add(own)
        pieces = page.finish()
        self._duration.observe(time.perf_counter() - started)
        return pieces

    def _own_metrics(self, openmetrics: bool, names: frozenset[str]) -> bytes:
        registry = self._registry.restricted_registry(names) if names else self._registry
        if openmetrics:
            return bytes(generate_openmetrics(registry))  # type: ignore[no-untyped-call]
        return generate_text(registry)


def _header(family: CampaignFamily | Family[AccountView], openmetrics: bool) -> bytes:
    name, text = family.name, family.help
    if openmetrics and family.type == "counter":
        name = name.removesuffix("_total")
    return f"# HELP {name} {text}\n# TYPE {name} {family.type}\n".encode()


def _account_labels(account: AccountState) -> str:
    return label_block((("account", account.name), ("provider", account.provider), *account.labels))


class _Pieces:
    """Pieces of a page, compressed on the way where that is wanted."""

    def __init__(self, compress: bool) -> None:
        self._pieces: list[bytes] = []
        self._gzip = isal_zlib.compressobj(_GZIP_LEVEL, wbits=_GZIP_CONTAINER) if compress else None

    def add(self, text: bytes) -> None:
        if self._gzip is None:
            self._pieces.append(text)
        elif compressed := self._gzip.compress(text):
            self._pieces.append(compressed)

    def finish(self) -> list[bytes]:
        if self._gzip is not None:
            self._pieces.append(self._gzip.flush())
        return self._pieces
