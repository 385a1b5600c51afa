"""
The lines of all campaigns, made when a number changes.

Each family has a column with one piece of text for each campaign; a poll replaces the pieces whose numbers it changed.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import repeat

from exporter.campaign.state import CampaignState
from exporter.exposition.attempt_families import ATTEMPT_FAMILIES
from exporter.exposition.families import CAMPAIGN_FAMILIES, Family, Reading
from exporter.exposition.lines import Writer, durations_writer, label_block, writer

Column = list[bytes]
_Row = tuple[int, Callable[[CampaignState], Reading], Writer, Column]
"""A family: its place among those of a provider, how it is read and written, and its lines."""

_WRITERS = tuple(map(writer, CAMPAIGN_FAMILIES))
_ATTEMPT_WRITERS = tuple(map(writer, ATTEMPT_FAMILIES))
_EXEMPLAR_WRITERS = {
    place: durations_writer(family, exemplars=True)
    for place, family in enumerate(ATTEMPT_FAMILIES)
    if family.type == "histogram"
}


class Board:
    """
    The lines of all campaigns, by family and campaign.

    A campaign has the same place in every column, from the day it comes until it goes, so the order is stable. A column
    grows with the first line of a campaign: what no provider of these campaigns tells takes no memory.
    """

    def __init__(self) -> None:
        self.generation = 0
        """Another number after campaigns have come, gone or changed their labels, and after a reload."""
        self._columns: tuple[Column, ...] = tuple([] for _ in CAMPAIGN_FAMILIES)
        self._attempt_columns: tuple[Column, ...] = tuple([] for _ in ATTEMPT_FAMILIES)
        self._exemplar_columns: dict[int, Column] = {place: [] for place in _EXEMPLAR_WRITERS}
        """The same lines as in the columns of these places, with exemplars, for OpenMetrics."""
        self._rows: dict[str, tuple[_Row, ...]] = {}
        """The families that a provider's campaigns have, by provider."""
        self._readings: list[list[Reading]] = []
        """What the lines of each campaign show, by row of its provider."""
        self._labels: list[str] = []
        self._free: list[int] = []

    def add(self, state: CampaignState) -> None:
        """Give a campaign its place and show what is known of it."""
        if self._free:
            state.slot = self._free.pop()
        else:
            state.slot = len(self._labels)
            self._labels.append("")
            self._readings.append([])
        self._label(state)

    def update(self, state: CampaignState) -> None:
        """Write the lines whose numbers have changed; a campaign that is not on the board has none."""
        slot = state.slot
        if slot < 0:
            return
        readings, labels = self._readings[slot], self._labels[slot]
        for place, read, write, column in self._rows[state.lifecycle.name]:
            reading, before = read(state), readings[place]
            if reading is before or reading == before:
                continue
            readings[place] = reading
            line = write(labels, reading)
            # As `_put`, without a call for each line of each poll.
            try:
                column[slot] = line
            except IndexError:
                _put(column, slot, line)

    def update_attempts(self, state: CampaignState) -> None:
        """Write the lines about single attempts, which change much more rarely than those of a poll."""
        slot = state.slot
        if slot < 0:
            return
        labels = self._labels[slot]
        for place, family in enumerate(ATTEMPT_FAMILIES):
            reading = family.read(state)
            _put(self._attempt_columns[place], slot, _ATTEMPT_WRITERS[place](labels, reading))
            if write := _EXEMPLAR_WRITERS.get(place):
                _put(self._exemplar_columns[place], slot, write(labels, reading))

    def relabel(self, state: CampaignState) -> None:
        """Write all lines, after the campaign's labels have changed."""
        if state.slot >= 0:
            self._clear(state.slot)
            self._label(state)

    def remove(self, state: CampaignState) -> None:
        """Take all lines of a campaign away."""
        if state.slot >= 0:
            self._clear(state.slot)
            self._free.append(state.slot)
            state.slot = -1
            self.generation += 1

    def reloaded(self) -> None:
        """Let pages that are under way begin again, though no campaign may have come or gone."""
        self.generation += 1

    def columns(self, *, exemplars: bool = False) -> Iterator[tuple[Family[CampaignState], Sequence[bytes]]]:
        yield from zip(CAMPAIGN_FAMILIES, self._columns, strict=True)
        for place, (family, column) in enumerate(zip(ATTEMPT_FAMILIES, self._attempt_columns, strict=True)):
            yield family, self._exemplar_columns.get(place, column) if exemplars else column

    def _label(self, state: CampaignState) -> None:
        campaign, provider = state.campaign, state.lifecycle.name
        if provider not in self._rows:
            self._rows[provider] = self._rows_of(provider)
        self._readings[state.slot] = [None] * len(self._rows[provider])
        common = (("account", campaign.account), ("campaign", campaign.name), ("provider", provider))
        self._labels[state.slot] = label_block((*common, *campaign.labels))
        self.generation += 1
        self.update(state)
        if state.attempts is not None:
            self.update_attempts(state)

    def _rows_of(self, provider: str) -> tuple[_Row, ...]:
        families = zip(CAMPAIGN_FAMILIES, _WRITERS, self._columns, strict=True)
        rows = [(family.read, write, column) for family, write, column in families if family.only in (None, provider)]
        return tuple((place, *row) for place, row in enumerate(rows))

    def _clear(self, slot: int) -> None:
        for lines in (*self._columns, *self._attempt_columns, *self._exemplar_columns.values()):
            if slot < len(lines):
                lines[slot] = b""
        self._readings[slot] = []


def _put(column: Column, slot: int, line: bytes) -> None:
    if slot < len(column):
        column[slot] = line
    elif line:
        column.extend(repeat(b"", slot - len(column)))
        column.append(line)
