import asyncio
import contextlib
import gc
import gzip
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from exporter.campaign.labels import clean
from exporter.campaign.schedule import Hours
from exporter.campaign.snapshot import CALL_OUTCOMES, Snapshot
from exporter.campaign.state import Campaign, CampaignState
from exporter.exposition.account_families import ACCOUNT_FAMILIES, POLLING_FAMILIES
from exporter.exposition.board import Board
from exporter.exposition.families import CAMPAIGN_FAMILIES
from exporter.exposition.negotiation import Format
from exporter.exposition.own import Instruments
from exporter.exposition.page import Exposition
from exporter.polling.account import Account
from exporter.polling.throttle import Slots
from tests.scripted import Display, ScriptedProvider, account_of

ANYREACH = SimpleNamespace(
    name="anyreach", statuses=("active", "paused", "closed"), active_status="active", final_status="closed"
)
OSVI = SimpleNamespace(name="osvi", statuses=("active", "inactive"), active_status="active", final_status=None)
WALL = 1_780_000_000.0
EVERYTHING = frozenset[str]()


def campaign(
    snapshot: Snapshot | None = None,
    lifecycle: SimpleNamespace = ANYREACH,
    *,
    account: str = "acme",
    name: str = "june",
    labels: Mapping[str, str] | None = None,
) -> CampaignState:
    labels = labels or {}
    state = CampaignState(
        Campaign(account=account, name=name, id="6c6f", labels=tuple(labels.items()), stall_after=3600.0),
        lifecycle,
        lambda: None,
    )
    state.interval, state.stale_after = 15.0, 60.0
    if snapshot is not None:
        state.succeeded(snapshot, 1000.0, WALL)
    return state


def exposition(
    *states: CampaignState, accounts: Iterable[Account] = (), registry: CollectorRegistry | None = None
) -> Exposition:
    board = Board()
    for state in states:
        board.add(state)
    return Exposition(board, lambda: accounts, registry or CollectorRegistry(), lambda: 1000.0)


async def text_of(page: Exposition, names: frozenset[str] = EVERYTHING) -> str:
    return b"".join(await page.page(Format.TEXT, False, names)).decode()


def own(text: str) -> str:
    """The page without the exporter's metrics about itself."""
    return text.partition("# HELP campaign_exporter_")[0]


async def test_the_anyreach_documentations_answer_makes_exactly_these_lines() -> None:
    snapshot = Snapshot(
        status="active",
        contacts={"pending": 310, "in_progress": 8, "completed": 902, "exhausted": 20},
        contacts_loaded=1240,
        attempts=1730,
        attempts_per_contact=1.39,
        active_calls=8,
        concurrency_limit=10,
        work_remaining=True,
        calls_in_flight=True,
    )

    lines = own(await text_of(exposition(campaign(snapshot, labels={"team": "renewals"}))))

    samples = [line for line in lines.splitlines() if not line.startswith("#")]
    common = 'account="acme",campaign="june",provider="anyreach",team="renewals"'
    assert samples == [
        f'campaign_info{{{common},campaign_id="6c6f",campaign_name=""}} 1',
        f'campaign_status{{{common},status="active"}} 1',
        f'campaign_status{{{common},status="paused"}} 0',
        f'campaign_status{{{common},status="closed"}} 0',
        f'campaign_contacts{{{common},bucket="pending"}} 310',
        f'campaign_contacts{{{common},bucket="in_progress"}} 8',
        f'campaign_contacts{{{common},bucket="completed"}} 902',
        f'campaign_contacts{{{common},bucket="exhausted"}} 20',
        f"campaign_contacts_loaded{{{common}}} 1240",
        f"campaign_attempts{{{common}}} 1730",
        f"campaign_attempts_per_contact{{{common}}} 1.39",
        f"campaign_active_calls{{{common}}} 8",
        f"campaign_concurrency_limit{{{common}}} 10",
        f'campaign_state{{{common},state="dialing"}} 1',
        f"campaign_up{{{common}}} 1",
        f"campaign_last_success_timestamp_seconds{{{common}}} 1780000000",
        f"campaign_poll_interval_seconds{{{common}}} 15.0",
        f"campaign_stale_after_seconds{{{common}}} 60.0",
        f"campaign_work_remaining{{{common}}} 1",
        f"campaign_last_progress_timestamp_seconds{{{common}}} 1780000000",
        f"campaign_stall_after_seconds{{{common}}} 3600.0",
        f"campaign_observed_attempts_total{{{common}}} 0",
        f'campaign_observed_contacts_total{{{common},bucket="completed"}} 0',
        f'campaign_observed_contacts_total{{{common},bucket="exhausted"}} 0',
        f"campaign_observed_seconds_total{{{common}}} 0",
        f"campaign_active_call_seconds_total{{{common}}} 0",
        f"campaign_saturated_seconds_total{{{common}}} 0",
    ]


async def test_the_osvi_documentations_answer_makes_exactly_these_lines() -> None:
    snapshot = Snapshot(
        status="active",
        name="June Renewals",
        calls={"picked": 88, "not_picked": 25, "failed": 7, "busy": 0, "voicemail": 0},
        calls_made=120,
        uploads=1,
        queues={("agent_x", "open"): 1, ("agent_x", "completed"): 0},
        queued_contacts={("agent_x", "open"): 50, ("agent_x", "completed"): 0},
        retry_enabled=1,
        retry_threshold=2,
        retry_delay_seconds=1800.0,
        created_timestamp_seconds=1780288200.0,
        work_remaining=True,
    )

    lines = own(await text_of(exposition(campaign(snapshot, OSVI))))

    common = 'account="acme",campaign="june",provider="osvi"'
    assert lines.startswith(f"""\
# HELP campaign_info {CAMPAIGN_FAMILIES[0].help}
# TYPE campaign_info gauge
campaign_info{{{common},campaign_id="6c6f",campaign_name="June Renewals"}} 1
""")
    samples = [line for line in lines.splitlines() if not line.startswith("#")]
    assert samples[1:] == [
        f'campaign_status{{{common},status="active"}} 1',
        f'campaign_status{{{common},status="inactive"}} 0',
        *(f'campaign_calls{{{common},status="{status}"}} {n}' for status, n in (snapshot.calls or {}).items()),
        f"campaign_calls_made{{{common}}} 120",
        f"campaign_uploads{{{common}}} 1",
        f'campaign_queues{{{common},agent="agent_x",state="open"}} 1',
        f'campaign_queues{{{common},agent="agent_x",state="completed"}} 0',
        f'campaign_queued_contacts{{{common},agent="agent_x",state="open"}} 50',
        f'campaign_queued_contacts{{{common},agent="agent_x",state="completed"}} 0',
        f"campaign_retry_enabled{{{common}}} 1",
        f"campaign_retry_threshold{{{common}}} 2",
        f"campaign_retry_delay_seconds{{{common}}} 1800.0",
        f"campaign_created_timestamp_seconds{{{common}}} 1780288200.0",
        f'campaign_state{{{common},state="dialing"}} 1',
        f"campaign_up{{{common}}} 1",
        f"campaign_last_success_timestamp_seconds{{{common}}} 1780000000",
        f"campaign_poll_interval_seconds{{{common}}} 15.0",
        f"campaign_stale_after_seconds{{{common}}} 60.0",
        f"campaign_work_remaining{{{common}}} 1",
        f"campaign_last_progress_timestamp_seconds{{{common}}} 1780000000",
        f"campaign_stall_after_seconds{{{common}}} 3600.0",
        *(f'campaign_observed_calls_total{{{common},status="{status}"}} 0' for status in CALL_OUTCOMES),
        f"campaign_observed_seconds_total{{{common}}} 0",
    ]


async def test_a_campaign_without_fresh_values_shows_health_and_counters_only() -> None:
    june = campaign(Snapshot(status="active", attempts=5.0, work_remaining=True))
    page = exposition(june)
    june.failed("timeout", "")
    june.withdraw()
    page._board.update(june)

    lines = own(await text_of(page)).splitlines()

    assert [line.partition("{")[0] for line in lines if not line.startswith("#")] == [
        "campaign_info",
        "campaign_state",
        "campaign_up",
        "campaign_last_success_timestamp_seconds",
        "campaign_poll_interval_seconds",
        "campaign_stale_after_seconds",
        "campaign_poll_error",
        "campaign_stall_after_seconds",
        "campaign_observed_attempts_total",
        "campaign_observed_seconds_total",
    ]


class TestBoard:
    async def test_a_removed_campaign_takes_every_line_along(self) -> None:
        june, july = campaign(Snapshot(status="active"), name="june"), campaign(Snapshot(attempts=1.0), name="july")
        page = exposition(june, july)

        page._board.remove(june)

        text = await text_of(page)
        assert "june" not in text
        assert "july" in text

    async def test_the_order_stays_when_campaigns_come_and_go(self) -> None:
        states = [campaign(name=name) for name in ("june", "july", "august")]
        page = exposition(*states)
        page._board.remove(states[0])
        page._board.add(campaign(name="september"))
        page._board.add(campaign(name="october"))

        infos = [line for line in (await text_of(page)).splitlines() if line.startswith("campaign_info{")]

        assert [line.split('"')[3] for line in infos] == ["september", "july", "august", "october"]

    async def test_other_labels_appear_on_every_line(self) -> None:
        june = campaign(Snapshot(status="active", attempts=5.0))
        page = exposition(june)
        june.configure(Campaign(account="acme", name="june", id="6c6f", labels=(("team", "renewals"),)))

        page._board.relabel(june)

        samples = [line for line in own(await text_of(page)).splitlines() if not line.startswith("#")]
        assert all('team="renewals"' in line for line in samples)


class TestPage:
    async def test_names_leave_only_samples_of_these_names(self) -> None:
        registry = CollectorRegistry()
        Gauge("mine", "Mine.", registry=registry).set(1)
        Gauge("other", "Other.", registry=registry).set(1)
        page = exposition(campaign(Snapshot(attempts=5.0)), registry=registry)

        text = await text_of(page, frozenset({"campaign_attempts", "mine"}))

        samples = [line.partition("{")[0] for line in text.splitlines() if not line.startswith("#")]
        assert samples == ["campaign_attempts", "mine 1.0"]

    async def test_scrapes_at_once_share_one_page(self) -> None:
        page = exposition(campaign())

        one, other = await asyncio.gather(
            page.page(Format.TEXT, False, EVERYTHING), page.page(Format.TEXT, False, EVERYTHING)
        )

        assert one is other

    async def test_only_a_few_different_pages_are_made_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        page = exposition(campaign())
        make, at_once, most = page._of_one_moment, 0, 0

        async def counted(
            openmetrics: bool, compress: bool, names: frozenset[str], *, copied: bool
        ) -> list[bytes] | None:
            nonlocal at_once, most
            at_once += 1
            most = max(most, at_once)
            try:
                return await make(openmetrics, compress, names, copied=copied)
            finally:
                at_once -= 1

        monkeypatch.setattr(page, "_of_one_moment", counted)

        pages = [page.page(Format.TEXT, False, frozenset({"campaign_info", str(number)})) for number in range(20)]

        assert all(b"campaign_info{" in b"".join(one) for one in await asyncio.gather(*pages))
        assert most == 4

    async def test_a_client_that_goes_away_leaves_the_page_to_the_others(self) -> None:
        page = exposition(campaign())
        gone = asyncio.ensure_future(page.page(Format.TEXT, False, EVERYTHING))
        stays = asyncio.ensure_future(page.page(Format.TEXT, False, EVERYTHING))
        await asyncio.sleep(0)
        gone.cancel()

        assert b"campaign_info" in b"".join(await stays)

    async def test_a_page_of_many_slices_is_whole_in_every_encoding(self) -> None:
        page = exposition(*(campaign(Snapshot(attempts=float(n)), name=f"campaign-{n}") for n in range(2500)))

        plain = await page.page(Format.TEXT, False, frozenset({"campaign_attempts"}))
        compressed = await page.page(Format.TEXT, True, frozenset({"campaign_attempts"}))

        assert gzip.decompress(b"".join(compressed)) == b"".join(plain)
        assert b"".join(plain).count(b"\n") == 2500 + 2

    async def test_openmetrics_ends_with_its_mark_and_names_counters_without_suffix(self) -> None:
        text = b"".join(
            await exposition(campaign(Snapshot(attempts=1.0))).page(Format.OPENMETRICS, False, EVERYTHING)
        ).decode()

        assert text.endswith("# EOF\n")
        assert "# TYPE campaign_observed_attempts counter\ncampaign_observed_attempts_total{" in text


def account_called(name: str) -> Account:
    account = account_of(ScriptedProvider(), Display(), Slots(1))
    account.state.name = name
    return account


class Fleet:
    """A board with many campaigns, and a page of it that is under way."""

    def __init__(self, number: int) -> None:
        self.board = Board()
        self.states = [campaign(Snapshot(attempts=1.0), name=f"campaign-{place}") for place in range(number)]
        for state in self.states:
            self.board.add(state)
        self.accounts: list[Account] = []
        self.page = Exposition(self.board, lambda: self.accounts, CollectorRegistry(), lambda: 1000.0)

    def reload(self, label: str) -> None:
        """Take all campaigns away and add them again with another label, in one turn of the loop."""
        for state in self.states:
            self.board.remove(state)
        # The other way round, so that each of them takes another one's place.
        self.states = [
            campaign(Snapshot(attempts=1.0), name=state.campaign.name, labels={"load": label})
            for state in reversed(self.states)
        ]
        for state in self.states:
            self.board.add(state)
        self.board.reloaded()

    async def scrape(self) -> list[str]:
        pieces = await self.page.page(Format.TEXT, False, EVERYTHING)
        return [line for line in own(b"".join(pieces).decode()).splitlines() if not line.startswith("#")]


class TestOneMoment:
    @pytest.mark.parametrize("turns", [1, 2, 3, 5, 8])
    async def test_campaigns_that_are_removed_and_added_again_are_on_it_once(self, turns: int) -> None:
        fleet = Fleet(4000)
        scrape = asyncio.ensure_future(fleet.scrape())
        for _ in range(turns):
            await asyncio.sleep(0)
        fleet.reload("second")

        lines = await scrape

        assert len({line.rpartition(" ")[0] for line in lines}) == len(lines)
        assert {'load="second"' in line for line in lines} in ({True}, {False})
        assert sum(line.startswith("campaign_info{") for line in lines) == 4000

    async def test_a_page_ends_though_campaigns_come_and_go_in_every_turn(self) -> None:
        fleet = Fleet(1000)
        scrape = asyncio.ensure_future(fleet.scrape())
        loads = 0
        while not scrape.done():
            fleet.reload(f"load-{loads}")
            loads += 1
            await asyncio.sleep(0)

        lines = await scrape

        assert loads > 5
        assert len({line.rpartition(" ")[0] for line in lines}) == len(lines)
        assert len({line.partition('load="')[2].partition('"')[0] for line in lines}) == 1

    async def test_an_account_comes_and_goes_together_with_its_campaigns(self) -> None:
        fleet = Fleet(4000)
        fleet.accounts = [account_called("first")]
        scrape = asyncio.ensure_future(fleet.scrape())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        fleet.accounts = [account_called("second")]
        fleet.reload("second")

        await scrape
        page = b"".join(await fleet.page.page(Format.TEXT, False, EVERYTHING)).decode()

        assert 'account="first"' not in page
        assert 'campaign_exporter_polls_total{account="second",provider="anyreach",result="success"} 0' in page

    async def test_a_page_that_nobody_takes_in_is_in_no_reference_cycle(self) -> None:
        fleet = Fleet(100)
        gc.collect()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            with contextlib.suppress(ConnectionResetError):
                pieces = await fleet.page.page(Format.TEXT, False, EVERYTHING)
                raise ConnectionResetError(f"after {len(pieces)} pieces")
            gone = asyncio.ensure_future(fleet.page.page(Format.TEXT, False, EVERYTHING))
            await asyncio.sleep(0)
            gone.cancel()
            await fleet.page.page(Format.TEXT, True, EVERYTHING)
            del pieces, gone
            gc.collect()
            held = [
                found for found in gc.garbage if isinstance(found, list) and any(isinstance(x, bytes) for x in found)
            ]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()

        assert held == []


class TestGone:
    async def test_an_update_of_a_campaign_that_is_gone_changes_no_line(self) -> None:
        june, july = campaign(Snapshot(attempts=1.0), name="june"), campaign(Snapshot(attempts=2.0), name="july")
        page = exposition(june, july)
        page._board.remove(june)
        before = own(await text_of(page))

        june.succeeded(Snapshot(attempts=77.0), 1010.0, WALL + 10)
        for change in (page._board.update, page._board.relabel, page._board.remove):
            change(june)

        assert own(await text_of(page)) == before
        page._board.add(campaign(name="august"))
        assert (await text_of(page)).count("\ncampaign_info{") == 2


class TestAccountLabels:
    async def test_every_series_of_an_account_carries_them(self) -> None:
        page = full_page(labels=(("team", "renewals"),))

        lines = [line for line in (await text_of(page)).splitlines() if 'account="acme"' in line]

        assert {"campaign_account_active_calls", "campaign_exporter_polls_total"} <= {
            line.partition("{")[0] for line in lines if 'campaign="' not in line
        }
        assert [line for line in lines if 'team="renewals"' not in line and 'campaign="june"' not in line] == []

    async def test_names_of_a_histogram_leave_the_samples_that_are_asked_for(self) -> None:
        text = await text_of(full_page(), frozenset({"campaign_exporter_poll_lag_seconds_count"}))

        assert [line.partition("{")[0] for line in text.splitlines()] == [
            "# HELP campaign_exporter_poll_lag_seconds How late polls start, by the moment at which they were due.",
            "# TYPE campaign_exporter_poll_lag_seconds histogram",
            "campaign_exporter_poll_lag_seconds_count",
        ]


class TestOddNumbers:
    async def test_what_adds_up_to_infinity_costs_its_own_series_only(self) -> None:
        june = campaign(Snapshot(contacts={f"bucket-{n}": 1.7e308 for n in range(60)}, attempts=5.0))

        lines = own(await text_of(exposition(june))).splitlines()

        assert not [line for line in lines if line.endswith(" inf")]
        assert len([line for line in lines if line.startswith("campaign_contacts{")]) == 46
        assert 'campaign_attempts{account="acme",campaign="june",provider="anyreach"} 5.0' in lines


# The page against prometheus-client's own writers and parsers

numbers = st.one_of(st.floats(0, allow_nan=False, allow_infinity=False), st.integers(0, 10**7).map(float))
hostile = st.text(st.characters(codec=None, categories=None), max_size=140) | st.sampled_from(
    ['quo"te', "new\nline", "back\\slash", "\\n", "\ud800", "😀", "\x85\u2028\x1b[31m", "<script>", "", "other"]
)
agents = st.dictionaries(st.tuples(hostile, st.sampled_from(["open", "completed"])), numbers, max_size=4)
snapshots = st.builds(
    Snapshot,
    status=st.none() | hostile,
    name=st.none() | hostile,
    contacts=st.none() | st.dictionaries(hostile, numbers, max_size=5),
    contacts_loaded=st.none() | numbers,
    attempts=st.none() | numbers,
    attempts_per_contact=st.none() | numbers,
    active_calls=st.none() | numbers,
    concurrency_limit=st.none() | numbers,
    calls=st.none() | st.dictionaries(hostile, numbers, max_size=5),
    calls_made=st.none() | numbers,
    queues=st.none() | agents,
    queued_contacts=st.none() | agents,
    uploads=st.none() | numbers,
    retry_enabled=st.none() | numbers,
    retry_threshold=st.none() | numbers,
    retry_delay_seconds=st.none() | numbers,
    created_timestamp_seconds=st.none() | numbers,
    work_remaining=st.none() | st.booleans(),
    calls_in_flight=st.booleans(),
)


class Plain(Collector):
    """The same samples, by way of the client library."""

    def __init__(self, states: list[CampaignState]) -> None:
        self._states = states

    def collect(self) -> Iterator[Metric]:
        for row in CAMPAIGN_FAMILIES:
            kind = CounterMetricFamily if row.type == "counter" else GaugeMetricFamily
            family = kind(row.name, row.help)
            for state in self._states:
                common = {
                    "provider": state.lifecycle.name,
                    "account": state.campaign.account,
                    "campaign": state.campaign.name,
                    **dict(state.campaign.labels),
                }
                reading = row.read(state) if row.only in (None, state.lifecycle.name) else None
                by_key = cast(Mapping[Any, float], reading) if isinstance(reading, Mapping) else {}
                if isinstance(reading, float | int):
                    by_key = {(): reading}
                elif isinstance(reading, str | tuple):
                    by_key = {reading: 1.0}
                for key, value in by_key.items():
                    keys = (key,) if isinstance(key, str) else key
                    family.samples.append(Sample(row.name, common | dict(zip(row.labels, keys, strict=True)), value))
            if family.samples:
                yield family


BY_CLOCK = {family.name for family in CAMPAIGN_FAMILIES if family.by_clock}


def sorted_samples(families: Iterable[Metric]) -> list[tuple[str, tuple[tuple[str, str], ...], float]]:
    """All samples; what comes from the clock to the 14 digits that are written of it."""
    return sorted(
        (s.name, tuple(sorted(s.labels.items())), float(f"{s.value:.14g}") if s.name in BY_CLOCK else s.value)
        for family in families
        for s in family.samples
    )


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(snapshots, snapshots, hostile.map(clean), hostile.map(clean)), max_size=3),
    st.sampled_from([Format.TEXT, Format.OPENMETRICS]),
)
def test_the_page_is_sample_for_sample_what_the_client_library_writes(
    campaigns: list[tuple[Snapshot, Snapshot, str, str]], format: Format
) -> None:
    states = []
    for place, (before, after, name, team) in enumerate(campaigns):
        lifecycle = ANYREACH if place % 2 else OSVI
        state = campaign(before, lifecycle, name=f"{place}{name}"[:128], labels={"team": team})
        state.succeeded(after, 1010.0, WALL + 10)
        states.append(state)
    registry = CollectorRegistry()
    registry.register(Plain(states))

    async def make() -> str:
        names = frozenset(family.name for family in CAMPAIGN_FAMILIES)
        return b"".join(await exposition(*states).page(format, False, names)).decode()

    ours = asyncio.run(make())
    if format is Format.TEXT:
        theirs, parse = generate_latest(registry).decode(), parse_text
    else:
        theirs, parse = generate_openmetrics(registry).decode(), parse_openmetrics  # type: ignore[no-untyped-call]

    assert sorted_samples(parse(ours)) == sorted_samples(parse(theirs))


def full_page(labels: tuple[tuple[str, str], ...] = ()) -> Exposition:
    """A page with every instrument on it."""
    registry = CollectorRegistry()
    Instruments(registry, "1.0", "abc")
    account = account_of(ScriptedProvider(), Display(), Slots(1))
    account.state.labels = labels
    account.discovery.success, account.discovery.last_success = True, WALL
    account.calling_windows.readable = True
    june = campaign(Snapshot(status="active", attempts=5.0, active_calls=1.0, concurrency_limit=2.0))
    account.state.succeeded(june, 1000.0)
    return exposition(june, accounts=[account], registry=registry)


class TestTable:
    def test_names_are_unique_and_counters_end_in_total(self) -> None:
        rows = [(row.name, row.type) for row in CAMPAIGN_FAMILIES]
        rows += [(row.name, row.type) for row in (*ACCOUNT_FAMILIES, *POLLING_FAMILIES)]

        assert len({name for name, _ in rows}) == len(rows)
        assert all(name.endswith("_total") == (kind == "counter") for name, kind in rows)

    def test_help_needs_no_escaping_in_either_format(self) -> None:
        texts = [row.help for row in CAMPAIGN_FAMILIES]
        texts += [row.help for row in (*ACCOUNT_FAMILIES, *POLLING_FAMILIES)]

        assert not [text for text in texts if set(text) & set('\\\n"')]

    def test_promtool_has_no_complaint(self) -> None:
        async def make() -> str:
            return await text_of(full_page())

        page = asyncio.run(make()).encode()

        check = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, check=False)

        assert (check.returncode, check.stdout, check.stderr) == (0, b"", b"")


@pytest.mark.parametrize(
    "value", [0, 1234567, 2**53 - 1, 0.1 + 0.2, 1e-7, 1e6, 1234567.5, 2.0**53, 1e16, 5e-324, 1.7e308]
)
@pytest.mark.parametrize(("format", "parse"), [(Format.TEXT, parse_text), (Format.OPENMETRICS, parse_openmetrics)])
async def test_numbers_are_read_as_they_were_sent(
    value: float, format: Format, parse: Callable[[str], Iterable[Metric]]
) -> None:
    page = exposition(campaign(Snapshot(attempts=value)))

    written = b"".join(await page.page(format, False, frozenset({"campaign_attempts"}))).decode()

    (family,) = parse(written)
    assert [sample.value for sample in family.samples] == [value]


async def test_times_are_written_to_fourteen_digits_without_the_noise_of_sums() -> None:
    state = campaign(Snapshot(status="active"))
    state.succeeded(Snapshot(status="active"), 1010.123456789, WALL + 0.123456789)

    numbers = dict(line.split("{") for line in own(await text_of(exposition(state))).splitlines() if "{" in line)

    assert state.observed_seconds == 10.123456788999988
    assert numbers["campaign_observed_seconds_total"].split()[-1] == "10.123456789"
    assert numbers["campaign_last_success_timestamp_seconds"].split()[-1] == "1780000000.1235"


def test_what_no_campaign_has_takes_no_place_on_the_page() -> None:
    board = Board()
    for _ in range(3):
        state = campaign(Snapshot(status="active", queues={}, queued_contacts={}))
        state.hours = Hours(None, WALL)
        state.expect(1000.0, WALL)
        board.add(state)

    places = {family.name: len(column) for family, column in board.columns()}

    assert {name for name, number in places.items() if number == 3} >= {"campaign_status", "campaign_up"}
    for name in ("campaign_calling_window_open", "campaign_queues", "campaign_queued_contacts", "campaign_attempts"):
        assert places[name] == 0
