"""Budgets hold in every second, wherever it begins, and leave nobody out."""

import asyncio
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.polling.throttle import Share, Slots, Throttle
from tests.scripted import Rig, ScriptedProvider, most_in_a_second
from tests.virtual_time import VirtualTimeLoop

quick = settings(deadline=None, database=None, derandomize=True)

RATES = st.one_of(st.sampled_from([0.1, 0.5, 1.0, 1.5, 20.0, 99.0, 100.0, 101.0, 1000.0, 5000.0]), st.floats(0.2, 3000))


def throttle(rate: float = 20.0, max_in_flight: int = 16, limit: int = 1000) -> Throttle:
    return Throttle(rate, max_in_flight, Slots(limit))


@quick
@given(rate=RATES, gaps=st.lists(st.one_of(st.just(0.0), st.floats(0, 0.5), st.floats(0, 5)), max_size=30))
def test_no_second_sees_more_requests_than_the_rate_allows(rate: float, gaps: list[float]) -> None:
    tested = throttle(rate, max_in_flight=10**6, limit=10**6)
    now, sent = 1000.0, []
    for gap in gaps:
        now += gap
        for _ in range(ceil(rate / 5) + 1):
            while delay := tested.delay(now, lambda: None):
                now += delay
            tested.take(now)
            sent.append(now)
    assert most_in_a_second(sent) <= ceil(rate)


@quick
@given(rate=st.floats(1, 2000), lateness=st.sampled_from([0.0, 0.001, 0.005]))
def test_the_rate_is_all_but_used_up_though_timers_are_late(rate: float, lateness: float) -> None:
    tested = throttle(rate, max_in_flight=10**6, limit=10**6)
    now = 1000.0
    number = ceil(3 * rate)
    for _ in range(number):
        if delay := tested.delay(now, lambda: None):
            now += delay + lateness
        while delay := tested.delay(now, lambda: None):
            now += delay
        tested.take(now)
    assert now - 1000.0 <= number / rate * 1.02 + lateness


def test_a_new_rate_counts_from_the_next_request_on() -> None:
    tested = throttle(rate=1)
    tested.take(1000.0)
    tested.rate = 10
    tested.take(1001.1)
    assert tested.delay(1001.1, lambda: None) == pytest.approx(65 / 640 - 0.0156)


def test_nothing_goes_out_during_a_hold_and_a_shorter_one_does_not_end_it() -> None:
    tested = throttle()
    tested.hold(1030.0)
    tested.hold(1010.0)
    assert tested.delay(1000.0, lambda: None) == pytest.approx(30)
    assert tested.delay(1029.0, lambda: None) == pytest.approx(1)
    assert tested.delay(1030.0, lambda: None) == 0


@settings(quick, max_examples=20)
@given(
    rate=st.floats(2, 300),
    walkers=st.integers(1, 4),
    holds=st.lists(st.tuples(st.floats(0, 5), st.floats(0, 3)), max_size=3),
    latency=st.floats(0.001, 0.5),
)
def test_polls_and_other_requests_share_one_budget(
    rate: float, walkers: int, holds: list[tuple[float, float]], latency: float
) -> None:
    async def main() -> None:
        provider = ScriptedProvider(latency=latency)
        rig = Rig(provider, rate=rate, max_in_flight=8)
        loop = asyncio.get_running_loop()
        begin = loop.time()
        others: list[float] = []
        quiet = [(begin + at, begin + at + seconds) for at, seconds in holds]
        for at, until in quiet:
            loop.call_at(at, rig.throttle.hold, until)

        share = Share(rig.throttle, 0.25)

        async def walk() -> None:
            while True:
                async with share.turn():
                    others.append(loop.time())
                    await asyncio.sleep(latency)

        rig.add_many(300)
        tasks = [asyncio.create_task(walk()) for _ in range(walkers)]
        await asyncio.sleep(6)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await rig.stop()
        sent = others + [at for at, _ in provider.asked]
        assert most_in_a_second(sent) <= ceil(rate)
        assert not [at for at in sent for begin, end in quiet if begin < at < end - 1e-9]
        assert rig.throttle.in_flight == 0
        if not holds:
            assert 1 <= len(others) <= 6 * rate / 4 + 1
            assert len(provider.asked) >= min(100, 6 * rate / 2, 6 / latency)

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(main())


@pytest.mark.virtual_time
class TestPlaces:
    async def test_an_account_has_no_more_requests_under_way_than_it_may(self) -> None:
        provider = ScriptedProvider(latency=20)
        rig = Rig(provider, max_in_flight=7)
        rig.add_many(100)
        await asyncio.sleep(120)
        assert provider.most_at_once == 7
        assert rig.throttle.in_flight == 7
        assert rig.agenda.held_seconds > 60
        await rig.stop()
        assert rig.throttle.in_flight == 0

    async def test_all_accounts_together_have_no_more_requests_under_way_than_they_may_and_share_fairly(self) -> None:
        slots = Slots(10)
        providers = [ScriptedProvider(latency=10) for _ in range(4)]
        rigs = [Rig(provider, slots=slots, max_in_flight=8) for provider in providers]
        for number, rig in zip((200, 100, 20, 10), rigs, strict=True):
            rig.add_many(number)
        most = 0
        for _ in range(1000):
            await asyncio.sleep(1)
            most = max(most, slots.taken, sum(provider.under_way.total() for provider in providers))
        assert most == 10
        # 1,000 polls of 10 seconds in 10 places; the account of 10 campaigns wants no more than a quarter of them.
        shares = [len(provider.asked) for provider in providers]
        assert sum(shares) == pytest.approx(1000, abs=20)
        assert min(shares) > 200
        for rig in rigs:
            await rig.stop()
        assert slots.taken == 0

    async def test_an_account_that_only_asks_now_and_then_gets_its_turn_among_accounts_that_always_wait(self) -> None:
        slots = Slots(4)
        busy = [Rig(ScriptedProvider(latency=10), slots=slots) for _ in range(3)]
        for rig in busy:
            rig.add_many(50)
        await asyncio.sleep(60)
        quiet = Throttle(20, 16, slots)
        loop = asyncio.get_running_loop()
        for _ in range(5):
            asked = loop.time()
            async with Share(quiet, 1.0).turn():
                assert loop.time() - asked <= 11
        for rig in busy:
            await rig.stop()
        assert slots.taken == 0

    async def test_a_request_that_is_no_poll_gets_its_turn_though_polls_are_always_due(self) -> None:
        rig = Rig(ScriptedProvider(latency=10), max_in_flight=2)
        rig.add_many(100)
        await asyncio.sleep(60)
        asked = rig.loop.time()
        async with Share(rig.throttle, 0.25).turn():
            assert rig.loop.time() - asked <= 21
        await rig.stop()

    async def test_a_request_that_waits_in_vain_gives_its_place_to_the_next(self) -> None:
        tested = Throttle(1000, 1, Slots(10))
        order: list[str] = []

        async def request(name: str) -> None:
            async with Share(tested, 1.0).turn():
                order.append(name)
                await asyncio.sleep(1)

        first, second, third = [asyncio.create_task(request(name)) for name in ("first", "second", "third")]
        await asyncio.sleep(0.5)
        second.cancel()
        await asyncio.gather(first, third)
        assert order == ["first", "third"]
        assert second.cancelled()
        assert tested.in_flight == 0

    async def test_a_place_that_comes_with_a_cancellation_is_not_lost(self) -> None:
        slots = Slots(1)
        tested = Throttle(1000, 1, slots)
        tested.take(asyncio.get_running_loop().time())

        async def request() -> None:
            async with Share(tested, 1.0).turn():
                pass

        waiting = asyncio.create_task(request())
        await asyncio.sleep(0.1)
        tested.release()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert (tested.in_flight, slots.taken) == (0, 0)

    async def test_a_request_that_has_its_turn_when_a_hold_begins_waits_for_its_end(self) -> None:
        tested = Throttle(1, 4, Slots(10))
        loop = asyncio.get_running_loop()
        begin = loop.time()
        tested.take(begin)
        loop.call_at(begin + 0.5, tested.hold, begin + 60)
        async with Share(tested, 1.0).turn():
            assert loop.time() - begin >= 60
        assert tested.in_flight == 1

    async def test_an_account_that_is_held_keeps_no_place_from_the_others(self) -> None:
        slots = Slots(1)
        held, free = Throttle(20, 1, slots), Throttle(20, 1, slots)
        loop = asyncio.get_running_loop()
        held.hold(loop.time() + 600)

        async def request() -> None:
            async with Share(held, 1.0).turn():
                pass

        waiting = asyncio.create_task(request())
        await asyncio.sleep(1)
        asked = loop.time()
        async with Share(free, 1.0).turn():
            assert loop.time() == asked
        await waiting
        assert loop.time() >= asked + 599
        assert slots.taken == 0

    async def test_the_place_of_a_poll_that_brings_a_hold_goes_to_another_account(self) -> None:
        slots = Slots(1)
        held, free = Throttle(20, 1, slots), Throttle(20, 1, slots)
        loop = asyncio.get_running_loop()
        held.take(loop.time())
        sent: list[float] = []

        async def request(throttle: Throttle) -> None:
            async with Share(throttle, 1.0).turn():
                sent.append(loop.time())

        waiting = asyncio.create_task(request(held))
        await asyncio.sleep(1)
        held.hold(loop.time() + 600)
        held.release()
        asked = loop.time()
        await request(free)
        await waiting
        assert sent == [asked, asked + 600]
        assert slots.taken == 0

    async def test_stopping_gives_back_the_place_of_a_poll_that_has_not_begun(self) -> None:
        slots = Slots(5)
        rig = Rig(ScriptedProvider(), slots=slots)
        rig.add_many(1)
        await asyncio.sleep(0)
        # The poll's task exists, but has not had its first step.
        rig.agenda.wake()
        assert slots.taken == 1
        await rig.stop()
        assert slots.taken == 0
