"""
The lines of all campaigns, made when a number changes.

Each family has a column with one piece of text for each campaign; a poll replaces the pieces whose numbers it changed.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from typing import Any, cast

from exporter.campaign.snapshot import Snapshot
from exporter.campaign.state import NOTHING, CampaignState
from exporter.exposition.families import CAMPAIGN_FAMILIES, CampaignFamily, Reading
from exporter.exposition.lines import label_block, number_format, renderer

Column = list[bytes]
Readings = tuple[Reading, ...]
Writer = Callable[[CampaignState, str, Snapshot, Readings], Readings]

_OF_SNAPSHOT = "shown."


def writer(families: Sequence[CampaignFamily], columns: Sequence[Column]) -> Writer:
    """
    Make the function that writes anew those lines of a campaign whose numbers have changed.

    It is compiled from the table of families, as a dataclass is from its fields: a loop over the table takes three
    times as long, and is the largest part of a poll that is not the request itself.

    Returns:
        A function of a campaign's state, its label block, the snapshot that is shown of it as yet, and what else is
        shown of it; it returns what takes the place of the last.
    """
    names: dict[str, Any] = {"lengthen": _lengthen}
    own = [place for place, family in enumerate(families) if not family.path.startswith(_OF_SNAPSHOT)]
    fields = {family.path: place for place, family in enumerate(families)}
    shown = [fields.get(_OF_SNAPSHOT + field) for field in Snapshot._fields]
    source = [
        "def write(state, labels, snapshot, readings):",
        " slot = state.slot",
        # What no family shows goes into a name that nobody reads.
        f" {_targets('new', shown)} = state.shown",
        f" {_targets('old', shown)} = snapshot",
        f" {_targets('old', own)} = readings",
    ]
    source += [f" new{place} = state.{families[place].path}" for place in own]
    for place, family in enumerate(families):
        names[f"column{place}"] = columns[place]
        if family.labels:
            names[f"render{place}"] = renderer(family)
            text = f"render{place}(labels, new{place})"
        else:
            number = f"{{new{place}{number_format(family)}}}"
            text = f"b'' if new{place} is None else f'{family.name}{{{{{{labels}}}}}} {number}\\n'.encode()"
        source += [
            f" if new{place} is not old{place} and new{place} != old{place}:",
            f"  line = {text}",
            "  try:",
            f"   column{place}[slot] = line",
            "  except IndexError:",
            f"   lengthen(column{place}, slot, line)",
        ]
    source.append(f" return {_targets('new', own)}")
    exec(compile("\n".join(source), "<families>", "exec"), names)  # noqa: S102 -- nothing but the table is in it
    return cast(Writer, names["write"])


def _lengthen(column: Column, slot: int, line: bytes) -> None:
    if line:
        column.extend(repeat(b"", slot - len(column)))
        column.append(line)


def _targets(name: str, places: Iterable[int | None]) -> str:
    return "(" + "".join("_, " if place is None else f"{name}{place}, " for place in places) + ")"


class Board:
    """
    The lines of all campaigns, by family and campaign.

    A campaign has the same place in every column, from the day it comes until it goes, so the order is stable. A column
    grows with the first line of a campaign: what no provider of these campaigns tells takes no memory.
    """

    def __init__(self) -> None:
        self._columns: tuple[Column, ...] = tuple([] for _ in CAMPAIGN_FAMILIES)
        self._write = writer(CAMPAIGN_FAMILIES, self._columns)
        self._nothing: Readings = (None,) * sum(not f.path.startswith(_OF_SNAPSHOT) for f in CAMPAIGN_FAMILIES)
        self._snapshots: list[Snapshot] = []
        self._readings: list[Readings] = []
        """With the snapshots, what the lines show: the snapshots are kept anyway, by the states."""
        self._labels: list[str] = []
        self._free: list[int] = []

    def add(self, state: CampaignState) -> None:
        """Give a campaign its place and show what is known of it."""
        labels = self._label_block(state)
        if self._free:
            state.slot = self._free.pop()
            self._labels[state.slot] = labels
        else:
            state.slot = len(self._labels)
            self._labels.append(labels)
            self._snapshots.append(NOTHING)
            self._readings.append(self._nothing)
        self.update(state)

    def update(self, state: CampaignState) -> None:
        """Write anew the lines whose numbers have changed."""
        slot = state.slot
        self._readings[slot] = self._write(state, self._labels[slot], self._snapshots[slot], self._readings[slot])
        self._snapshots[slot] = state.shown

    def relabel(self, state: CampaignState) -> None:
        """Write all lines anew, after its labels have changed."""
        self._clear(state.slot)
        self._labels[state.slot] = self._label_block(state)
        self.update(state)

    def remove(self, state: CampaignState) -> None:
        """Take a campaign's lines away, all at once."""
        self._clear(state.slot)
        self._free.append(state.slot)
        state.slot = -1

    def columns(self) -> Iterable[tuple[CampaignFamily, Sequence[bytes]]]:
        return zip(CAMPAIGN_FAMILIES, self._columns, strict=True)

    def _clear(self, slot: int) -> None:
        for lines in self._columns:
            if slot < len(lines):
                lines[slot] = b""
        self._snapshots[slot], self._readings[slot] = NOTHING, self._nothing

    @staticmethod
    def _label_block(state: CampaignState) -> str:
        campaign = state.campaign
        return label_block(
            (
                ("account", campaign.account),
                ("campaign", campaign.name),
                ("provider", state.lifecycle.name),
                *campaign.labels,
            )
        )
