"""From whatever the providers answer to the page of metrics."""

import asyncio
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporter.campaign.snapshot import Snapshot
from exporter.campaign.state import Campaign, CampaignState, Lifecycle
from exporter.exposition.board import Board
from exporter.exposition.families import CAMPAIGN_FAMILIES
from exporter.exposition.negotiation import Format
from exporter.exposition.page import Exposition
from exporter.providers.anyreach import Anyreach, read_stats
from exporter.providers.errors import InvalidResponseError
from exporter.providers.osvi import Osvi, read_status
from exporter.providers.wire import read_object
from tests.providers.loopback import body_of
from tests.providers.payloads import shuffled, words

NUMBERS = st.integers(0, 9)
ANYREACH = shuffled(read_object(body_of("anyreach/stats_documented"))) | st.fixed_dictionaries(
    {"status": words, "contacts": st.dictionaries(words, NUMBERS, max_size=4), "attempts": st.just({})}
)
OSVI = shuffled(read_object(body_of("osvi/status_documented"))) | st.fixed_dictionaries(
    {
        "campaign": st.fixed_dictionaries({"name": words, "status": words}),
        "calls": st.fixed_dictionaries({"by_status": st.dictionaries(words, NUMBERS, max_size=4)}),
        "uploads": st.lists(
            st.fixed_dictionaries(
                {
                    "queues": st.lists(
                        st.fixed_dictionaries({"agent_uuid": words, "completed": st.booleans()}), max_size=4
                    )
                }
            ),
            max_size=2,
        ),
    }
).map(lambda data: {"success": True, "data": data})
WALL = 1_780_000_000.0

Read = Callable[[dict[str, object]], Snapshot]


def page_of(states: list[CampaignState], format: Format) -> str:
    board = Board()
    for state in states:
        board.add(state)

    async def make() -> str:
        page = Exposition(board, tuple, CollectorRegistry(), lambda: 1000.0)
        names = frozenset(family.name for family in CAMPAIGN_FAMILIES)
        return b"".join(await page.page(format, False, names)).decode()

    return asyncio.run(make())


@pytest.mark.hypothesis  # what it draws from is inside
@pytest.mark.parametrize(
    ("answers", "read", "lifecycle"),
    [(ANYREACH, read_stats, Anyreach), (OSVI, read_status, Osvi)],
    ids=["anyreach", "osvi"],
)
def test_whatever_the_providers_answer_the_page_can_be_read_by_all(
    answers: st.SearchStrategy[Any], read: Read, lifecycle: Lifecycle
) -> None:
    states: list[CampaignState] = []

    @given(st.lists(answers, min_size=1, max_size=2))
    def collect(polls: list[Any]) -> None:
        state = CampaignState(Campaign("acme", str(len(states)), "6c6f"), lifecycle, lambda: None)
        for place, answer in enumerate(polls):
            try:
                state.succeeded(read(answer), 1000.0 + place, WALL)
            except InvalidResponseError as exc:
                state.failed(exc.reason, str(exc))
        states.append(state)

    collect()
    page = page_of(states, Format.TEXT)
    samples = [sample for family in parse_text(page) for sample in family.samples]
    strict = [s for f in parse_openmetrics(page_of(states, Format.OPENMETRICS)) for s in f.samples]  # type: ignore[no-untyped-call]
    check = subprocess.run(["promtool", "check", "metrics"], input=page.encode(), capture_output=True, check=False)

    assert (check.returncode, check.stdout.decode(), check.stderr.decode()) == (0, "", "")
    assert len(samples) == len({(sample.name, *sorted(sample.labels.items())) for sample in samples})
    assert sorted(map(repr, samples)) == sorted(map(repr, strict))
