"""Every campaign at its own pace, within the budget, and with patience when polls fail."""

import asyncio
import gc
import logging
import random
from collections import Counter
from itertools import pairwise

import pytest
from msgspec import structs

from exporter.campaign.snapshot import Snapshot
from exporter.polling.throttle import Slots
from exporter.providers.errors import (
    REASONS,
    CredentialsError,
    ForbiddenError,
    InvalidResponseError,
    NotFoundError,
    PollError,
    RateLimitedError,
    ServerFaultError,
    TimedOutError,
    UnauthorizedError,
)
from tests.scripted import ACTIVE, CLOSED, PACE, PAUSED, Answer, Rig, ScriptedProvider, failing, most_in_a_second

pytestmark = pytest.mark.virtual_time

UNAUTHORIZED = failing(UnauthorizedError)
FORBIDDEN = failing(ForbiddenError)
BROKEN = failing(ServerFaultError)


def messages(caplog: pytest.LogCaptureFixture, level: int = logging.WARNING) -> Counter[str]:
    """What was logged at this level or above, and how often."""
    return Counter(record.getMessage() for record in caplog.records if record.levelno >= level)


class TestPace:
    @pytest.mark.parametrize(
        ("answer", "interval"),
        [
            (ACTIVE, 15.0),
            (PAUSED, 120.0),
            (CLOSED, 3600.0),
            (Snapshot(status="someday", work_remaining=True), 120.0),
            (Snapshot(contacts={"pending": 1.0}), 120.0),
            (structs.replace(PAUSED, calls_in_flight=True), 15.0),
            (structs.replace(CLOSED, calls_in_flight=True), 15.0),
        ],
    )
    async def test_a_campaign_is_polled_at_the_interval_of_its_status(self, answer: Snapshot, interval: float) -> None:
        provider = ScriptedProvider(answer)
        rig = Rig(provider)
        (state,) = rig.add("june")
        await asyncio.sleep(40 * interval)
        gaps = provider.gaps("june")
        assert 35 <= len(gaps) <= 40
        assert min(gaps) >= interval
        assert max(gaps) <= interval * 1.1 + 0.01
        # Jitter that is always the same would lock the polls to a pattern all the same.
        assert len({round(gap, 6) for gap in gaps}) > 20
        assert state.interval == interval
        assert state.stale_after == max(60.0, 3 * interval)
        await rig.stop()

    async def test_a_campaign_that_changes_its_status_changes_its_pace_from_that_poll_on(self) -> None:
        provider = ScriptedProvider(PAUSED)
        rig = Rig(provider)
        (state,) = rig.add("june")
        await asyncio.sleep(121)
        assert (len(provider.asked), state.interval) == (1, 120.0)
        provider.answer = ACTIVE
        await asyncio.sleep(12)
        assert (len(provider.asked), state.interval) == (2, 15.0)
        await asyncio.sleep(60)
        assert len(provider.asked) >= 5
        await rig.stop()

    async def test_first_polls_are_spread_evenly_over_the_active_interval(self) -> None:
        provider = ScriptedProvider()
        rig = Rig(provider)
        rig.add_many(300)
        begin = rig.loop.time()
        await asyncio.sleep(14.99)
        moments = [at - begin for at, _ in provider.asked]
        assert [name for _, name in provider.asked] == [f"c{place}" for place in range(300)]
        # They are 0.05 s apart, each at the next 64th of a second.
        assert max(later - earlier for earlier, later in pairwise(moments)) <= 0.05 + 1 / 64
        assert most_in_a_second(moments) <= 21
        await rig.stop()

    async def test_a_slow_answer_is_waited_for_and_then_the_next_poll_is_due_at_once(self) -> None:
        provider = ScriptedProvider(latency=40)
        rig = Rig(provider)
        rig.add("june")
        await asyncio.sleep(401)
        assert provider.most_of_one == 1
        assert provider.gaps("june") == pytest.approx([40] * 10)
        await rig.stop()

    async def test_nothing_is_late_and_nothing_is_throttled_within_the_budget(self) -> None:
        provider = ScriptedProvider()
        rig = Rig(provider, rate=20)
        rig.add_many(250)
        await asyncio.sleep(600)
        within = dict(rig.counters.lag_seconds.cumulative())
        assert within[2.5] == within[float("inf")] == len(provider.asked)
        assert within[0.25] > 0.95 * len(provider.asked)
        assert rig.poller.stretch == 1.0
        assert all(len(provider.moments(f"c{place}")) >= 35 for place in range(250))
        await rig.stop()


class TestStretch:
    async def test_intervals_that_the_budget_cannot_carry_are_stretched_by_one_factor(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        provider = ScriptedProvider()
        provider.answers = {f"c{place}": PAUSED for place in range(900, 1000)}
        rig = Rig(provider, rate=20)
        rig.add_many(1000)
        assert {state.interval for state in rig.states} == {50.0}
        assert {state.stale_after for state in rig.states} == {150.0}
        await asyncio.sleep(180)
        # 900 campaigns every 15 seconds, and 100 every two minutes.
        stretch = (900 / 15 + 100 / 120) / 20
        assert rig.poller.stretch == pytest.approx(stretch, rel=0.05)
        for state in rig.states:
            base = 120.0 if state.snapshot is PAUSED else 15.0
            assert state.interval == pytest.approx(base * rig.poller.stretch)
            assert state.stale_after == pytest.approx(3 * state.interval)
        assert rig.state.horizon == pytest.approx(30 * rig.poller.stretch)
        assert list(messages(caplog).values()) == [1]
        (record,) = (record for record in caplog.records if record.levelno == logging.WARNING)
        assert "stretched" in record.getMessage()
        assert vars(record)["factor"] == pytest.approx(3.33)
        for place in range(0, 900, 50):
            gaps = provider.gaps(f"c{place}")
            assert gaps
            assert min(gaps) >= min(50.0, rig.states[place].interval) - 1e-6
        assert most_in_a_second([at for at, _ in provider.asked]) <= 20
        assert max(dict(rig.counters.lag_seconds.cumulative()).values()) == len(provider.asked)
        await rig.stop()

    async def test_intervals_go_back_when_there_is_less_to_ask(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        provider = ScriptedProvider()
        rig = Rig(provider, rate=20)
        rig.add_many(400)
        assert rig.poller.stretch == pytest.approx(400 / 15 / 20)
        await asyncio.sleep(60)
        for place in range(200):
            rig.poller.remove(f"c{place}")
        await asyncio.sleep(2)
        assert rig.poller.stretch == 1.0
        assert {state.interval for state in rig.states} == {15.0}
        assert messages(caplog, logging.INFO)["intervals are no longer stretched"] == 1
        await asyncio.sleep(60)
        assert provider.gaps("c300")[-1] <= 16.51
        await rig.stop()

    async def test_a_slight_stretch_ends_when_it_is_not_needed_any_more(self) -> None:
        rig = Rig(ScriptedProvider(), rate=20)
        rig.add_many(305)
        assert 1.0 < rig.poller.stretch < 1.05
        for place in range(10):
            rig.poller.remove(f"c{place}")
        await asyncio.sleep(2)
        assert rig.poller.stretch == 1.0
        await rig.stop()

    async def test_a_shorter_interval_holds_for_campaigns_that_have_not_had_their_turn_or_that_fail(self) -> None:
        provider = ScriptedProvider()
        provider.answers = {"c0": BROKEN}
        rig = Rig(provider, pace=PACE.model_copy(update={"active_interval": 3600.0}))
        rig.add_many(10)
        await asyncio.sleep(60)
        assert len(provider.asked) == 1
        rig.poller.set_pace(PACE, 1000.0, 1000)
        await asyncio.sleep(16)
        assert {name for _, name in provider.asked} == {f"c{place}" for place in range(10)}
        assert len(provider.moments("c0")) == 2
        assert {state.interval for state in rig.states} == {15.0}
        await rig.stop()

    async def test_a_longer_interval_and_a_smaller_budget_hold_at_once(self) -> None:
        provider = ScriptedProvider()
        rig = Rig(provider)
        rig.add_many(100)
        await asyncio.sleep(60)
        changed_at = rig.loop.time()
        rig.poller.set_pace(PACE.model_copy(update={"active_interval": 60.0, "stale_after": 300.0}), 1.0, 2)
        await asyncio.sleep(600)
        assert {state.interval for state in rig.states} == {100.0}
        assert {state.stale_after for state in rig.states} == {300.0}
        sent = [at for at, _ in provider.asked if at > changed_at]
        assert most_in_a_second(sent) == 1
        assert 450 <= len(sent) <= 600
        await rig.stop()


class TestBackOff:
    async def test_waits_double_with_full_jitter_up_to_five_minutes(self) -> None:
        provider = ScriptedProvider(BROKEN)
        rig = Rig(provider)
        rig.add_many(300)
        await asyncio.sleep(6 * 3600)
        by_failure: dict[int, list[float]] = {}
        for place in range(300):
            for number, gap in enumerate(provider.gaps(f"c{place}"), start=1):
                by_failure.setdefault(number, []).append(gap)
        # The first retry comes at the interval.
        assert min(by_failure[1]) >= 15
        assert max(by_failure[1]) <= 16.5 + 1
        for number, ceiling in ((2, 30), (3, 60), (4, 120), (5, 240), (6, 300), (20, 300)):
            gaps = by_failure[number]
            assert min(gaps) >= 15
            assert ceiling * 0.9 < max(gaps) <= ceiling + 1
            # Full jitter, but for the part below the interval.
            assert sum(gaps) / len(gaps) == pytest.approx(ceiling / 2 + 15**2 / (2 * ceiling), rel=0.15)
        await rig.stop()

    async def test_the_interval_that_is_shown_never_holds_back_off(self) -> None:
        provider = ScriptedProvider()
        rig = Rig(provider)
        (state,) = rig.add("june")
        await asyncio.sleep(10)
        provider.answer = BROKEN
        await asyncio.sleep(3600)
        assert (state.interval, state.stale_after) == (15.0, 60.0)
        await rig.stop()

    async def test_a_success_brings_the_interval_back(self) -> None:
        provider = ScriptedProvider(BROKEN)
        rig = Rig(provider)
        rig.add("june")
        await asyncio.sleep(3600)
        provider.answer = ACTIVE
        await asyncio.sleep(301)
        healed = len(provider.asked)
        await asyncio.sleep(160)
        assert len(provider.asked) - healed >= 9
        await rig.stop()

    async def test_an_hourly_poll_that_fails_is_not_retried_before_its_hour(self) -> None:
        provider = ScriptedProvider(CLOSED)
        rig = Rig(provider)
        rig.add("june")
        await asyncio.sleep(10)
        provider.answer = BROKEN
        await asyncio.sleep(6 * 3600)
        assert min(provider.gaps("june")) >= 3600
        await rig.stop()

    @pytest.mark.parametrize("error", [NotFoundError, ForbiddenError, InvalidResponseError, TimedOutError])
    async def test_a_campaign_that_fails_alone_backs_off_alone(self, error: type[PollError]) -> None:
        provider = ScriptedProvider()
        provider.answers = {"c3": failing(error)}
        rig = Rig(provider)
        rig.add_many(10)
        await asyncio.sleep(1800)
        assert rig.reasons() == {None: 9, error.reason: 1}
        assert not rig.breaker.is_open
        assert len(provider.moments("c3")) < 30
        assert all(len(provider.moments(f"c{place}")) > 100 for place in range(10) if place != 3)
        assert rig.counters.polls[error.reason] == len(provider.moments("c3"))
        await rig.stop()

    async def test_a_provider_that_comes_back_is_not_asked_for_more_than_the_budget(self) -> None:
        provider = ScriptedProvider()
        rig = Rig(provider, rate=200, pace=PACE.model_copy(update={"active_interval": 60.0}))
        rig.add_many(10_000)
        await asyncio.sleep(70)
        assert rig.reasons() == {None: 10_000}
        provider.answer = BROKEN
        await asyncio.sleep(130)
        assert rig.reasons()["server_error"] > 9_900
        provider.answer = ACTIVE
        await asyncio.sleep(330)
        assert rig.reasons() == {None: 10_000}
        assert most_in_a_second([at for at, _ in provider.asked]) <= 200
        assert provider.most_of_one == 1
        await rig.stop()


class TestHold:
    async def test_retry_after_holds_the_whole_account(self, caplog: pytest.LogCaptureFixture) -> None:
        provider = ScriptedProvider()
        rig = Rig(provider)
        rig.add_many(50)
        await asyncio.sleep(60)
        provider.answers = {"c7": failing(RateLimitedError, retry_after=100.0)}
        await asyncio.sleep(17)
        held_at = provider.moments("c7")[-1]
        provider.answers = {}
        await asyncio.sleep(50)
        assert rig.agenda.held_seconds == pytest.approx(rig.loop.time() - held_at, abs=3)
        await asyncio.sleep(150)
        assert not [at for at, _ in provider.asked if held_at + 0.06 < at < held_at + 100.05]
        assert [at for at, _ in provider.asked if held_at + 100 < at < held_at + 101]
        assert messages(caplog)["the provider asks to wait"] == 1
        assert rig.agenda.held_seconds == pytest.approx(100, abs=3)
        await rig.stop()

    async def test_nobody_is_waited_for_longer_than_ten_minutes(self) -> None:
        provider = ScriptedProvider(failing(ServerFaultError, retry_after=1e9))
        rig = Rig(provider)
        rig.add("june")
        await asyncio.sleep(605)
        assert provider.gaps("june") == pytest.approx([600.05], abs=0.01)
        await rig.stop()

    async def test_a_hold_of_no_time_is_none(self, caplog: pytest.LogCaptureFixture) -> None:
        provider = ScriptedProvider(failing(ServerFaultError, retry_after=0.0))
        rig = Rig(provider)
        rig.add_many(5)
        await asyncio.sleep(600)
        assert "the provider asks to wait" not in messages(caplog)
        await rig.stop()

    async def test_a_provider_that_always_asks_for_a_moment_is_one_line(self, caplog: pytest.LogCaptureFixture) -> None:
        provider = ScriptedProvider(failing(RateLimitedError, retry_after=2.0))
        rig = Rig(provider)
        rig.add_many(100)
        await asyncio.sleep(1800)
        assert messages(caplog)["the provider asks to wait"] == 1
        await rig.stop()

    async def test_polls_go_out_one_by_one_after_a_hold(self) -> None:
        provider = ScriptedProvider()
        rig = Rig(provider, rate=10)
        rig.add_many(100)
        await asyncio.sleep(30)
        provider.answer = failing(RateLimitedError, retry_after=60.0)
        await asyncio.sleep(5)
        provider.answer = ACTIVE
        await asyncio.sleep(120)
        assert most_in_a_second([at for at, _ in provider.asked]) <= 10
        await rig.stop()

    async def test_a_request_that_is_no_poll_can_hold_the_account_too(self) -> None:
        provider = ScriptedProvider()
        rig = Rig(provider)
        rig.add("june")
        await asyncio.sleep(1)
        rig.requests.failed("listing", failing(RateLimitedError, retry_after=90.0), rig.loop.time())
        await asyncio.sleep(85)
        assert len(provider.asked) == 1
        await asyncio.sleep(10)
        assert len(provider.asked) == 2
        await rig.stop()


class TestBreaker:
    async def test_one_refused_token_fails_all_campaigns_at_once(self, caplog: pytest.LogCaptureFixture) -> None:
        provider = ScriptedProvider(UNAUTHORIZED)
        rig = Rig(provider, rate=20)
        rig.add_many(1000)
        assert not rig.poller.ready
        await asyncio.sleep(0.5)
        assert rig.breaker.is_open
        assert rig.poller.ready
        assert rig.reasons() == {"unauthorized": 1000}
        assert {state.up for state in rig.states} == {0.0}
        assert len(provider.asked) <= 11
        assert all(rig.changed[f"c{place}"] for place in range(1000))
        await asyncio.sleep(50)
        assert [record.levelname for record in caplog.records if "refused" in record.getMessage()] == ["ERROR"]
        assert sum(messages(caplog).values()) == 2  # and that the intervals are stretched
        await rig.stop()

    async def test_one_probe_a_minute_goes_out_and_campaigns_take_turns(self) -> None:
        provider = ScriptedProvider(UNAUTHORIZED)
        rig = Rig(provider)
        rig.add_many(5)
        await asyncio.sleep(2)
        probes_from = len(provider.asked)
        await asyncio.sleep(20 * 66)
        probes = provider.asked[probes_from:]
        assert 19 <= len(probes) <= 22
        assert all(60 <= later[0] - earlier[0] <= 67 for earlier, later in pairwise(probes))
        assert set(Counter(name for _, name in probes)) == {f"c{place}" for place in range(5)}
        assert max(Counter(name for _, name in probes).values()) <= 5
        await rig.stop()

    async def test_the_first_success_closes_it_and_all_campaigns_heal_within_seconds(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        provider = ScriptedProvider(UNAUTHORIZED)
        rig = Rig(provider)
        rig.add_many(1000)
        await asyncio.sleep(300)
        provider.answer = ACTIVE
        for _ in range(70):
            await asyncio.sleep(1)
            if not rig.breaker.is_open:
                break
        await asyncio.sleep(6.5)
        assert rig.reasons() == {None: 1000}
        assert sum(messages(caplog, logging.INFO).values()) <= 2 + 10
        await asyncio.sleep(70)
        # Ten campaigns are named, the others counted.
        assert "more campaigns changed within a minute" in messages(caplog, logging.INFO)
        assert sum(messages(caplog, logging.INFO).values()) <= 2 + 10 + 1
        await rig.stop()

    async def test_a_changed_token_closes_it_at_once(self) -> None:
        provider = ScriptedProvider(UNAUTHORIZED)
        rig = Rig(provider)
        rig.add_many(1000)
        await asyncio.sleep(30)
        provider.answer = ACTIVE
        rig.account.use_token("ak_other.secret")
        assert not rig.breaker.is_open
        await asyncio.sleep(6.5)
        assert rig.reasons() == {None: 1000}
        assert most_in_a_second([at for at, _ in provider.asked]) <= 1000
        await rig.stop()

    async def test_healing_keeps_to_the_budget_and_to_the_interval(self) -> None:
        provider = ScriptedProvider()
        rig = Rig(provider, rate=20)
        rig.add_many(200)
        await asyncio.sleep(60)
        provider.answers = {"c5": UNAUTHORIZED}
        await asyncio.sleep(17)
        provider.answers = {}
        rig.account.use_token("ak_other.secret")
        await asyncio.sleep(60)
        assert most_in_a_second([at for at, _ in provider.asked]) <= 20
        assert min(min(provider.gaps(f"c{place}")) for place in range(200)) >= 15
        await rig.stop()

    async def test_an_answer_to_the_old_token_says_nothing_of_the_new_one(self) -> None:
        provider = ScriptedProvider(UNAUTHORIZED, latency=5)
        rig = Rig(provider)
        rig.add_many(100)
        await asyncio.sleep(4)
        provider.answer = lambda: ACTIVE
        asked_with_old_token = {name for _, name in provider.asked}
        provider.answers = dict.fromkeys(asked_with_old_token, UNAUTHORIZED)
        rig.account.use_token("ak_other.secret")
        await asyncio.sleep(5)
        assert not rig.breaker.is_open
        provider.answers = {}
        await asyncio.sleep(40)
        assert rig.reasons() == {None: 100}
        await rig.stop()

    async def test_two_campaigns_that_are_forbidden_with_no_success_between_open_it(self) -> None:
        provider = ScriptedProvider(FORBIDDEN)
        rig = Rig(provider)
        rig.add_many(100)
        await asyncio.sleep(0.1)
        assert not rig.breaker.is_open
        await asyncio.sleep(1)
        assert rig.breaker.is_open
        assert rig.reasons() == {"forbidden": 100}
        await rig.stop()

    async def test_forbidden_campaigns_with_successes_between_fail_alone(self) -> None:
        provider = ScriptedProvider()
        provider.answers = {"c1": FORBIDDEN, "c3": FORBIDDEN}
        rig = Rig(provider, pace=PACE.model_copy(update={"active_interval": 60.0}))
        rig.add("c1", "c2", "c3", "c4")
        await asyncio.sleep(60)
        assert rig.reasons() == {None: 2, "forbidden": 2}
        assert not rig.breaker.is_open
        await rig.stop()

    async def test_the_only_campaign_that_is_forbidden_again_and_again_does_not_open_it(self) -> None:
        provider = ScriptedProvider(FORBIDDEN)
        rig = Rig(provider)
        rig.add("june")
        await asyncio.sleep(3600)
        assert len(provider.asked) > 20
        assert not rig.breaker.is_open
        await rig.stop()

    async def test_campaigns_that_come_while_it_is_open_fail_too(self) -> None:
        provider = ScriptedProvider(UNAUTHORIZED)
        rig = Rig(provider)
        rig.add_many(3)
        await asyncio.sleep(20)
        asked = len(provider.asked)
        rig.add("new1", "new2")
        await asyncio.sleep(1)
        assert rig.reasons() == {"unauthorized": 5}
        assert rig.poller.ready
        assert len(provider.asked) == asked
        await rig.stop()

    async def test_probes_go_on_when_the_campaign_whose_turn_it_was_is_removed(self) -> None:
        provider = ScriptedProvider(UNAUTHORIZED)
        rig = Rig(provider)
        rig.add_many(4)
        await asyncio.sleep(20)
        for place in range(3):
            rig.poller.remove(f"c{place}")
        provider.answer = ACTIVE
        await asyncio.sleep(67)
        assert rig.reasons() == {None: 1}
        await rig.stop()

    async def test_an_account_without_campaigns_is_refused_by_its_listing(self) -> None:
        provider = ScriptedProvider()
        rig = Rig(provider)
        rig.requests.failed("listing", UNAUTHORIZED, rig.loop.time())
        assert rig.breaker.is_open
        rig.breaker.succeeded("listing", rig.loop.time() + 1)
        assert not rig.breaker.is_open
        rig.add_many(3)
        await asyncio.sleep(20)
        assert rig.reasons() == {None: 3}
        await rig.stop()

    async def test_a_token_that_cannot_be_read_fails_each_campaign_and_heals_when_it_can(self) -> None:
        provider = ScriptedProvider(failing(CredentialsError), latency=0)
        rig = Rig(provider)
        rig.add_many(100)
        await asyncio.sleep(300)
        assert rig.reasons() == {"credentials": 100}
        assert not rig.breaker.is_open
        provider.answer = ACTIVE
        rig.account.use_token("ak_other.secret")
        await asyncio.sleep(16)
        assert rig.reasons() == {None: 100}
        await rig.stop()


class TestFreshness:
    async def test_values_are_withdrawn_exactly_when_they_are_too_old_and_come_back(self) -> None:
        provider = ScriptedProvider(structs.replace(ACTIVE, attempts=7.0))
        rig = Rig(provider)
        (state,) = rig.add("june")
        await asyncio.sleep(50)
        provider.answer = BROKEN
        assert state.last_success is not None
        stale_at = state.last_success + 60
        await asyncio.sleep(stale_at - 0.001 - rig.loop.time())
        assert state.fresh
        assert state.shown.attempts == 7.0
        changes = rig.changed["june"]
        await asyncio.sleep(0.001)
        assert not state.fresh
        assert rig.changed["june"] == changes + 1
        assert (state.shown, state.statuses, state.error) == (Snapshot(), None, "server_error")
        assert (state.rises.attempts, state.last_success) == (0.0, stale_at - 60)
        provider.answer = structs.replace(ACTIVE, attempts=9.0)
        await asyncio.sleep(301)
        assert (state.fresh, state.shown.attempts, state.rises.attempts, state.error) == (True, 9.0, 2.0, None)
        await rig.stop()

    async def test_no_value_is_shown_too_long_or_withdrawn_too_soon_whatever_the_campaigns_go_through(self) -> None:
        rng = random.Random(5)
        answers: list[Answer] = [ACTIVE, PAUSED, BROKEN, BROKEN, BROKEN]
        provider = ScriptedProvider()
        rig = Rig(provider)
        rig.add_many(40)
        withdrawn = 0
        for _ in range(3000):
            provider.answers[f"c{rng.randrange(40)}"] = rng.choice(answers)
            if rng.random() < 0.01:
                stale_after, idle = rng.choice([20.0, 60.0, 100.0]), rng.choice([20.0, 120.0])
                pace = PACE.model_copy(update={"stale_after": stale_after, "idle_interval": idle})
                rig.poller.set_pace(pace, rig.throttle.rate, rig.throttle.max_in_flight)
                await asyncio.sleep(0.01)
            until = {state: state.stale_at for state in rig.states if state.fresh}
            await asyncio.sleep(rng.uniform(0, 2))
            now = rig.loop.time()
            for state in rig.states:
                assert state.stale_at > now - 0.002
                if state in until and not state.fresh:
                    assert until[state] <= now
                    withdrawn += 1
        assert withdrawn > 100
        await rig.stop()

    async def test_values_are_withdrawn_though_no_answer_comes_at_all(self) -> None:
        provider = ScriptedProvider()
        rig = Rig(provider)
        (state,) = rig.add("june")
        await asyncio.sleep(1)
        provider.latency = 10_000
        await asyncio.sleep(60)
        assert not state.fresh
        await rig.stop()

    async def test_values_are_withdrawn_though_the_account_may_send_nothing(self) -> None:
        provider = ScriptedProvider()
        rig = Rig(provider)
        rig.add_many(20)
        await asyncio.sleep(20)
        rig.throttle.hold(rig.loop.time() + 600)
        await asyncio.sleep(60)
        assert not any(state.fresh for state in rig.states)
        await rig.stop()

    async def test_the_status_of_a_closed_campaign_stays(self) -> None:
        provider = ScriptedProvider(CLOSED)
        rig = Rig(provider)
        (state,) = rig.add("june")
        await asyncio.sleep(10)
        provider.answer = NotFoundError("gone")
        await asyncio.sleep(3 * 3600 + 10)
        assert not state.fresh
        assert state.statuses == {"active": 0.0, "paused": 0.0, "closed": 1.0}
        assert state.interval == 3600.0
        await rig.stop()

    async def test_a_shorter_stale_after_withdraws_what_is_older_at_once(self) -> None:
        provider = ScriptedProvider()
        rig = Rig(provider, pace=PACE.model_copy(update={"stale_after": 600.0}))
        (state,) = rig.add("june")
        await asyncio.sleep(1)
        provider.answer = BROKEN
        await asyncio.sleep(100)
        assert state.fresh
        rig.poller.set_pace(PACE, 1000.0, 1000)
        await asyncio.sleep(0.01)
        assert not state.fresh
        await rig.stop()

    @pytest.mark.parametrize("jump", [3600.0, -3600.0])
    async def test_a_wall_clock_that_is_set_changes_time_stamps_only(self, jump: float) -> None:
        async def run(jump: float) -> tuple[Rig, ScriptedProvider]:
            made = Snapshot(status="active", contacts={"in_progress": 1.0}, active_calls=2.0, concurrency_limit=2.0)
            provider = ScriptedProvider(made)
            rig = Rig(provider)
            rig.add_many(20)
            await asyncio.sleep(100)
            rig.wall_jump = jump
            await asyncio.sleep(100)
            provider.answers = {"c3": BROKEN}
            await asyncio.sleep(200)
            await rig.stop()
            return rig, provider

        begin = asyncio.get_running_loop().time()
        steady, steady_provider = await run(0.0)
        again = asyncio.get_running_loop().time()
        jumped, jumped_provider = await run(jump)
        assert [at - begin for at, _ in steady_provider.asked] == pytest.approx(
            [at - again for at, _ in jumped_provider.asked]
        )
        for one, other in zip(steady.states, jumped.states, strict=True):
            assert (one.fresh, one.error) == (other.fresh, other.error)
            assert one.observed_seconds == pytest.approx(other.observed_seconds)
            assert one.saturated_seconds == pytest.approx(other.saturated_seconds)
            assert one.last_success_wall is not None
            assert other.last_success_wall is not None
            assert other.last_success_wall - one.last_success_wall == pytest.approx(jump + again - begin)
        assert steady.state.saturated_seconds == pytest.approx(jumped.state.saturated_seconds)


class TestDefects:
    async def test_a_defect_fails_one_campaign_as_internal_and_logs_its_trace_once(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        provider = ScriptedProvider()
        provider.answers = {"c1": ZeroDivisionError("a defect")}
        rig = Rig(provider)
        rig.add_many(5)
        await asyncio.sleep(1800)
        assert rig.reasons() == {None: 4, "internal": 1}
        assert rig.counters.polls["internal"] > 5
        assert len(provider.moments("c0")) > 100
        assert rig.faults == []
        (record,) = caplog.records
        assert record.levelname == "ERROR"
        assert record.exc_info is not None
        assert isinstance(record.exc_info[1], ZeroDivisionError)
        assert "scripted.py" in caplog.text
        await rig.stop()

    async def test_a_defect_in_the_bookkeeping_is_fatal(self) -> None:
        provider = ScriptedProvider()
        rig = Rig(provider)
        (state,) = rig.add("june")
        state.campaign = None  # type: ignore[assignment]  # any defect will do
        await asyncio.sleep(1)
        assert [type(fault) for fault in rig.faults] == [AttributeError]
        await rig.stop()

    async def test_a_timer_that_breaks_is_fatal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rig = Rig(ScriptedProvider())
        rig.add("june")

        def broken(now: float) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(rig.throttle, "take", broken)
        await asyncio.sleep(1)
        assert [type(fault) for fault in rig.faults] == [ZeroDivisionError]
        await rig.stop()


class TestLog:
    async def test_a_campaign_is_named_when_it_starts_failing_changes_the_reason_and_recovers(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        provider = ScriptedProvider()
        rig = Rig(provider)
        rig.add("june", "july")
        told = []
        for answer in (ACTIVE, BROKEN, failing(TimedOutError), ACTIVE):
            provider.answers = {"june": answer}
            await asyncio.sleep(900)
            told.append([(r.levelname, vars(r)["campaign"], vars(r).get("reason")) for r in caplog.records])
            caplog.clear()
        assert told == [
            [],
            [("WARNING", "june", "server_error")],
            [("WARNING", "june", "timeout")],
            [("INFO", "june", None)],
        ]
        await rig.stop()

    async def test_thousands_that_fail_together_are_a_handful_of_lines(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        provider = ScriptedProvider()
        rig = Rig(provider)
        rig.add_many(3000)
        await asyncio.sleep(60)
        provider.answer = BROKEN
        await asyncio.sleep(300)
        assert len(caplog.records) <= 11
        assert "server_error 2990" in vars(caplog.records[-1])["changes"]
        caplog.clear()
        provider.answer = ACTIVE
        await asyncio.sleep(120)
        await rig.stop()
        assert len(caplog.records) <= 3 * 11


class TestMembership:
    async def test_a_campaign_that_is_removed_is_not_asked_for_again_and_its_last_answer_is_thrown_away(self) -> None:
        provider = ScriptedProvider(latency=3)
        rig = Rig(provider)
        june, july = rig.add("june", "july")
        await asyncio.sleep(1)
        rig.poller.remove("june")
        await asyncio.sleep(60)
        assert not june.polled
        assert rig.changed["june"] == 0
        assert july.polled
        assert len(provider.moments("june")) == 1
        assert rig.poller.ready
        assert len(rig.poller.targets) == 1
        await rig.stop()

    async def test_readiness_waits_for_every_campaign_and_is_not_lost_with_one_that_goes(self) -> None:
        provider = ScriptedProvider()
        rig = Rig(provider)
        rig.add_many(3)
        await asyncio.sleep(9)
        assert not rig.poller.ready
        rig.poller.remove("c2")
        assert rig.poller.ready
        await rig.stop()

    async def test_nothing_is_sent_after_the_end(self) -> None:
        provider = ScriptedProvider(latency=1)
        rig = Rig(provider)
        rig.add_many(100)
        await asyncio.sleep(10)
        await rig.stop()
        asked = len(provider.asked)
        assert provider.under_way.total() == 0
        await asyncio.sleep(3600)
        assert len(provider.asked) == asked
        assert rig.faults == []

    async def test_a_removal_while_others_wait_for_a_slot_leaves_nobody_waiting(self) -> None:
        slots = Slots(2)
        rigs = [Rig(ScriptedProvider(latency=5), slots=slots) for _ in range(3)]
        for rig in rigs:
            rig.add_many(20)
        await asyncio.sleep(20)
        await rigs[0].stop()
        asked = [len(rig.provider.asked) for rig in rigs]
        await asyncio.sleep(60)
        polls = [len(rig.provider.asked) - before for rig, before in zip(rigs, asked, strict=True)]
        assert polls[0] == 0
        assert min(polls[1:]) >= 11
        for rig in rigs[1:]:
            await rig.stop()
        assert slots.taken == 0


async def test_moments_that_have_been_superseded_do_not_pile_up() -> None:
    rig = Rig(ScriptedProvider(CLOSED))
    rig.add_many(300)
    await asyncio.sleep(20)
    for seconds in range(40):
        pace = PACE.model_copy(update={"closed_interval": PACE.closed_interval + seconds})
        rig.poller.set_pace(pace, rig.throttle.rate, rig.throttle.max_in_flight)
        await asyncio.sleep(2)
    queue = rig.agenda._throttled
    assert len(queue.waiting) == len(queue.moments) < 1000
    await rig.stop()


async def test_failed_polls_leave_nothing_to_the_garbage_collector() -> None:
    class Failing(ScriptedProvider):
        async def poll(self, campaign_id: str) -> Snapshot:
            raise ServerFaultError(campaign_id)

    rig = Rig(Failing())
    rig.add_many(30)
    await asyncio.sleep(100)
    gc.collect()
    gc.disable()
    try:
        polls = rig.counters.polls["server_error"]
        await asyncio.sleep(1000)
        assert rig.counters.polls["server_error"] > polls + 50
        assert gc.collect() < 50
    finally:
        gc.enable()
    await rig.stop()


async def test_every_reason_is_counted_under_its_own_name() -> None:
    provider = ScriptedProvider()
    answers: dict[str, Answer] = {error.reason: error("scripted") for error in PollError.__subclasses__()}
    for needs_breaker in ("unauthorized", "internal"):
        del answers[needs_breaker]
    provider.answers = answers
    rig = Rig(provider)
    rig.add(*answers)
    await asyncio.sleep(15)
    assert rig.reasons() == dict.fromkeys(answers, 1)
    assert {reason for reason, number in rig.counters.polls.items() if number} == set(answers)
    assert set(rig.counters.polls) == {"success", *REASONS}
    await rig.stop()
