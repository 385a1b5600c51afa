"""Arbitrary JSON, and answers with arbitrary values in arbitrary places."""

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from hypothesis import strategies as st
from msgspec import structs

from exporter.campaign.snapshot import Snapshot

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.integers(min_value=10**300, max_value=10**320)
    | st.text(st.characters(exclude_categories=()))
    | st.from_regex(r"[0-9]+(\.[0-9]+)?", fullmatch=True)
)
keys = st.text() | st.sampled_from(
    [
        *("status", "contacts", "attempts", "total", "pending", "in_progress", "active_calls", "average_per_contact"),
        *("success", "data", "campaign", "calls", "by_status", "uploads", "queues", "agent_uuid", "completed"),
        *("campaigns", "items", "id", "name", "created_at", "next_cursor", "has_more", "meta"),
    ]
)
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=6), max_leaves=20
)
words = st.text(st.characters(exclude_categories=()), max_size=140) | st.sampled_from(
    ['quo"te', "new\nline", "back\\slash", "\\n", "end\\", "\ud800", "\x85\u2028\x1b[31m", "<script>", "", "other"]
)
"""What may stand where a word is expected, with all that is special to one outlet or another."""


def shuffled(answer: dict[str, object]) -> st.SearchStrategy[Any]:
    """An answer in which up to four values, anywhere, are replaced or gone."""
    places = list(_places(answer, ()))

    @st.composite
    def build(draw: st.DrawFn) -> Any:
        changed: Any = copy.deepcopy(answer)
        for place in draw(st.lists(st.sampled_from(places), min_size=1, max_size=4)):
            parent = changed
            for step in place[:-1]:
                parent = _child(parent, step)
            if _child(parent, place[-1]) is None:
                continue
            if isinstance(parent, dict) and draw(st.booleans()):
                del parent[place[-1]]
            else:
                parent[place[-1]] = draw(json_values)
        return changed

    return build()


def _child(parent: Any, step: Any) -> Any:
    """What stands there now; an earlier change may have taken it away."""
    if isinstance(parent, dict):
        return parent.get(step)
    return parent[step] if isinstance(parent, list) and isinstance(step, int) and step < len(parent) else None


def _places(value: object, path: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in steps:
        yield (*path, step)
        yield from _places(inner, (*path, step))


def numbers_of(snapshot: Snapshot) -> Iterator[float]:
    """Every number in a snapshot."""
    for value in structs.astuple(snapshot):
        if isinstance(value, Mapping):
            yield from value.values()
        elif isinstance(value, int | float):
            yield value
