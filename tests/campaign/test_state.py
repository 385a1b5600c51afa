from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.campaign.account import AccountState
from exporter.campaign.schedule import Hours, Schedule, Window
from exporter.campaign.snapshot import Snapshot
from exporter.campaign.state import Campaign, CampaignState

quick = settings(deadline=None, database=None, derandomize=True)

ANYREACH = SimpleNamespace(
    name="anyreach", statuses=("active", "paused", "closed"), active_status="active", final_status="closed"
)
OSVI = SimpleNamespace(name="osvi", statuses=("active", "inactive"), active_status="active", final_status=None)
WALL = 1_780_000_000.0
CLOSED_ALL_DAY = Schedule("UTC", (Window(frozenset(range(7)), 0, 1),))
ROUND_THE_CLOCK = Hours(None, WALL)
ACTIVE = {"status": "active", "work_remaining": True}


class Watched:
    """A campaign with a clock: each poll comes so many seconds after the first."""

    def __init__(self, lifecycle: SimpleNamespace = ANYREACH, *, stale_after: float = 60.0, **campaign: object) -> None:
        self.overflows = 0
        self.state = CampaignState(
            Campaign(account="acme", name="june", id="6c6f", **campaign),  # type: ignore[arg-type]
            lifecycle,
            self.count_overflow,
        )
        self.state.stale_after = stale_after

    def count_overflow(self) -> None:
        self.overflows += 1

    def says(self, at: float, **numbers: object) -> CampaignState:
        self.state.succeeded(Snapshot(**numbers), 1000.0 + at, WALL + at)  # type: ignore[arg-type]
        return self.state


def bucketed(**contacts: float) -> dict[str, float]:
    return {"pending": 0.0, "in_progress": 0.0, "completed": 0.0, "exhausted": 0.0} | contacts


def look(account: AccountState, now: float) -> list[CampaignState]:
    """Look at an account, as it happens once a second."""
    for _ in account.add_up(now):
        pass
    return account.look(now)


class TestObservedCounters:
    def test_begin_at_zero_with_the_first_success(self) -> None:
        june = Watched().says(0, attempts=1730.0, contacts=bucketed(completed=902.0, exhausted=20.0))

        assert june.rises.attempts == 0
        assert june.rises.contacts == {"completed": 0.0, "exhausted": 0.0}
        assert june.observed_seconds == 0

    def test_do_not_exist_for_numbers_that_were_never_sent(self) -> None:
        june = Watched().says(0, status="active")

        assert (june.rises.attempts, june.rises.contacts, june.rises.calls) == (None, None, None)
        assert (june.active_call_seconds, june.saturated_seconds) == (None, None)

    def test_a_fall_adds_nothing_and_rises_count_from_there(self) -> None:
        watched = Watched()
        for at, attempts in enumerate([100.0, 110.0, 60.0, 65.0]):
            watched.says(at, attempts=attempts)

        assert watched.state.rises.attempts == 15

    def test_a_rise_counts_over_a_gap_and_over_an_answer_without_the_number(self) -> None:
        watched = Watched()
        watched.says(0, attempts=100.0)
        watched.says(5000, status="active")
        watched.says(9000, attempts=130.0)

        assert watched.state.rises.attempts == 30

    def test_a_bucket_that_was_left_out_once_is_compared_with_what_it_was(self) -> None:
        watched = Watched()
        watched.says(0, contacts={"completed": 10.0, "exhausted": 1.0})
        watched.says(1, contacts={"exhausted": 2.0})
        watched.says(2, contacts={"completed": 14.0, "exhausted": 2.0})

        assert watched.state.rises.contacts == {"completed": 4.0, "exhausted": 1.0}

    def test_a_status_of_calls_that_appears_counts_from_zero(self) -> None:
        watched = Watched(OSVI)
        watched.says(0, calls={"picked": 88.0})
        watched.says(1, calls={"picked": 88.0, "transferred": 3.0})

        assert watched.state.rises.calls == {"picked": 0.0, "transferred": 3.0}

    def test_calls_in_progress_are_no_outcome(self) -> None:
        watched = Watched(OSVI)
        watched.says(0, calls={"picked": 1.0, "in_progress": 2.0})
        watched.says(1, calls={"picked": 2.0, "in_progress": 5.0})

        assert watched.state.rises.calls == {"picked": 1.0}


class TestSlips:
    @pytest.mark.parametrize(
        ("answers", "rise"),
        [
            ([1000, 1002, 0, 1003, 1004], 4),
            ([1000, 1002, 0, 1001, 1004], 5),
            ([1000, 1002, 0, 0, 1003], 1005),
            ([1000, 1002, 0, 2, 5], 7),
            ([1000, 1002, 500, 0, 1003], 505),
            ([1000, 850, 855], 5),
        ],
    )
    def test_a_single_low_answer_and_its_correction_add_nothing(self, answers: list[int], rise: int) -> None:
        attempts, contacts, calls = Watched(), Watched(), Watched(OSVI)
        for at, number in enumerate(answers):
            attempts.says(at, attempts=number)
            contacts.says(at, contacts=bucketed(completed=number, exhausted=number))
            calls.says(at, calls={"picked": number})

        assert attempts.state.rises.attempts == rise
        assert contacts.state.rises.contacts == {"completed": rise, "exhausted": rise}
        assert calls.state.rises.calls == {"picked": rise}

    def test_a_correction_is_no_progress(self) -> None:
        watched = Watched()
        for at, number in enumerate([1000, 0, 1000]):
            watched.says(at, attempts=number, calls_made=number)

        assert watched.state.last_progress == WALL


class TestClockSetBack:
    def test_the_next_poll_cuts_every_time_stamp_at_now(self) -> None:
        watched = Watched()
        watched.state.hours = ROUND_THE_CLOCK
        watched.state.succeeded(Snapshot(**ACTIVE), 1000.0, WALL + 86400)  # type: ignore[arg-type]
        june = watched.says(15, **ACTIVE)

        assert (june.last_progress, june.expected_since, june.last_success_wall) == (WALL + 15,) * 3

    def test_a_campaign_that_fails_is_cut_too(self) -> None:
        watched = Watched()
        watched.says(86400, **ACTIVE).cut_time_stamps(WALL)

        assert (watched.state.last_progress, watched.state.last_success_wall) == (WALL, WALL)


class TestIntegrals:
    def test_the_numbers_of_the_earlier_poll_hold_until_the_next(self) -> None:
        watched = Watched()
        watched.says(0, active_calls=10.0, concurrency_limit=10.0)
        watched.says(15, active_calls=4.0, concurrency_limit=10.0)
        watched.says(30, active_calls=0.0, concurrency_limit=10.0)

        assert watched.state.observed_seconds == 30
        assert watched.state.active_call_seconds == 15 * 10 + 15 * 4
        assert watched.state.saturated_seconds == 15

    def test_polls_further_apart_than_stale_after_cover_nothing(self) -> None:
        watched = Watched(stale_after=60)
        watched.says(0, active_calls=10.0, concurrency_limit=10.0)
        watched.says(61, active_calls=10.0, concurrency_limit=10.0)
        watched.says(121, active_calls=10.0, concurrency_limit=10.0)

        assert watched.state.observed_seconds == 60
        assert watched.state.saturated_seconds == 60

    def test_a_cap_of_zero_is_never_reached(self) -> None:
        watched = Watched()
        watched.says(0, active_calls=0.0, concurrency_limit=0.0)
        watched.says(15, active_calls=0.0, concurrency_limit=0.0)

        assert watched.state.saturated_seconds == 0

    def test_ten_saturated_seconds_of_each_minute_are_a_sixth(self) -> None:
        watched = Watched()
        for second in range(3601):
            watched.says(second, active_calls=10.0 if second % 60 < 10 else 3.0, concurrency_limit=10.0)

        assert watched.state.saturated_seconds is not None
        assert watched.state.saturated_seconds / 3600 == pytest.approx(1 / 6, abs=0.001)


class TestProgress:
    def test_is_at_first_the_first_success(self) -> None:
        assert Watched().says(0, attempts=5.0).last_progress == WALL

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ({"attempts": 5.0}, {"attempts": 6.0}),
            ({"calls_made": 5.0}, {"calls_made": 6.0}),
            ({"calls": {"picked": 5.0}}, {"calls": {"picked": 6.0}}),
            ({"contacts": bucketed(completed=5.0)}, {"contacts": bucketed(completed=6.0)}),
            ({"contacts": bucketed(exhausted=5.0)}, {"contacts": bucketed(exhausted=6.0)}),
            ({"contacts": bucketed(in_progress=2.0)}, {"contacts": bucketed(in_progress=1.0)}),
            ({"calls": {"picked": 5.0}}, {"calls": {"picked": 5.0, "in_progress": 1.0}}),
            ({"calls": {"picked": 5.0, "in_progress": 1.0}}, {"calls": {"picked": 5.0}}),
        ],
    )
    def test_is_a_rise_or_another_number_in_progress(self, before: dict[str, object], after: dict[str, object]) -> None:
        watched = Watched()
        watched.says(0, **before)

        assert watched.says(100, **after).last_progress == WALL + 100

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ({"attempts": 5.0}, {"attempts": 5.0}),
            ({"attempts": 5.0}, {"attempts": 1.0}),
            ({"contacts": bucketed(completed=5.0)}, {"contacts": bucketed(pending=5.0)}),
            ({"contacts": bucketed(in_progress=8.0)}, {"contacts": bucketed(in_progress=8.0)}),
            ({"calls": {"in_progress": 8.0}}, {"calls": {"in_progress": 8.0}}),
            ({}, {"contacts": bucketed(in_progress=1.0)}),
            ({"attempts": 5.0}, {"active_calls": 7.0}),
        ],
    )
    def test_is_nothing_else(self, before: dict[str, object], after: dict[str, object]) -> None:
        watched = Watched()
        watched.says(0, **before)

        assert watched.says(100, **after).last_progress == WALL


class TestExpectation:
    def watched(self, hours: Hours | None, **numbers: object) -> CampaignState:
        watched = Watched()
        watched.state.hours = hours
        return watched.says(0, **numbers)

    def test_is_there_while_an_active_campaign_with_work_may_dial(self) -> None:
        june = self.watched(ROUND_THE_CLOCK, **ACTIVE)

        assert (june.expected, june.expected_since) == (1.0, WALL)

    @pytest.mark.parametrize(
        "numbers",
        [
            {"status": "paused", "work_remaining": True},
            {"status": "active", "work_remaining": False},
            {"status": "paused"},
            {"status": "hibernating", "work_remaining": True},
        ],
    )
    def test_is_none_for_what_is_not_active_or_has_no_work(self, numbers: dict[str, object]) -> None:
        june = self.watched(ROUND_THE_CLOCK, **numbers)

        assert (june.expected, june.expected_since) == (0.0, None)

    @pytest.mark.parametrize("numbers", [{"status": "active"}, {"work_remaining": True}])
    def test_is_unknown_where_the_answer_leaves_it_open(self, numbers: dict[str, object]) -> None:
        assert self.watched(ROUND_THE_CLOCK, **numbers).expected is None

    def test_is_unknown_while_the_hours_are(self) -> None:
        assert self.watched(None, **ACTIVE).expected is None

    def test_is_none_while_a_window_is_closed_or_without_windows(self) -> None:
        assert self.watched(Hours(CLOSED_ALL_DAY, WALL), **ACTIVE).expected == 0.0
        assert self.watched(Hours(Schedule("UTC", ()), WALL), **ACTIVE).expected == 0.0

    def test_begins_again_after_each_break(self) -> None:
        watched = Watched()
        watched.state.hours = ROUND_THE_CLOCK
        watched.says(0, **ACTIVE)
        watched.says(15, status="paused", work_remaining=True)
        watched.says(30, **ACTIVE)

        assert watched.says(45, **ACTIVE).expected_since == WALL + 30

    def test_begins_again_after_values_were_withdrawn(self) -> None:
        watched = Watched()
        watched.state.hours = ROUND_THE_CLOCK
        watched.says(0, **ACTIVE).withdraw()

        assert watched.state.expected_since is None
        assert watched.says(300, **ACTIVE).expected_since == WALL + 300


class TestStallAfter:
    def test_is_as_configured(self) -> None:
        assert Watched(stall_after=3600.0).says(0, status="active").stall_after == 3600

    def test_never_has_no_number(self) -> None:
        assert Watched(stall_after=None).says(0, status="active").stall_after is None

    def test_grows_to_twice_the_retry_delay_where_it_follows_it(self) -> None:
        watched = Watched(OSVI, stall_after=900.0, stall_follows_retry_delay=True)

        assert watched.says(0, retry_delay_seconds=300.0).stall_after == 900
        assert watched.says(1, retry_delay_seconds=1800.0).stall_after == 3600

    def test_keeps_the_last_retry_delay_that_was_told(self) -> None:
        watched = Watched(OSVI, stall_after=900.0, stall_follows_retry_delay=True)
        watched.says(0, retry_delay_seconds=1800.0)

        assert watched.says(1, status="active").stall_after == 3600


class TestLabels:
    def test_an_unknown_status_gets_its_own_value_beside_the_known_ones(self) -> None:
        june = Watched().says(0, status="archived")

        assert june.statuses == {"active": 0.0, "paused": 0.0, "closed": 0.0, "archived": 1.0}

    def test_statuses_that_a_provider_keeps_inventing_end_in_other(self) -> None:
        watched = Watched()
        for number in range(60):
            watched.says(number, status=f"status-{number}")

        assert watched.state.statuses == {"active": 0.0, "paused": 0.0, "closed": 0.0, "other": 1.0}
        assert watched.overflows == 60 - 47

    def test_agents_beyond_the_budget_are_added_up_by_state(self) -> None:
        queues = {(f"agent-{number}", state): 1.0 for number in range(60) for state in ("open", "completed")}

        shown = Watched(OSVI).says(0, queues=queues).snapshot.queues

        assert shown is not None
        assert len(shown) == 2 * 51
        assert shown["other", "open"] == shown["other", "completed"] == 10

    def test_only_the_final_status_is_shown_after_values_are_withdrawn(self) -> None:
        closed, paused = Watched().says(0, status="closed"), Watched().says(0, status="paused")
        for june in (closed, paused):
            june.withdraw()

        assert closed.statuses == {"active": 0.0, "paused": 0.0, "closed": 1.0}
        assert paused.statuses is None


class TestAccount:
    def account(self) -> AccountState:
        account = AccountState("anyreach", "acme")
        account.horizon, account.stale_after = 30.0, 60.0
        return account

    def answer(self, account: AccountState, watched: Watched, at: float, **numbers: object) -> None:
        watched.says(at, **numbers)
        account.succeeded(watched.state, 1000.0 + at)

    def test_active_calls_are_the_most_that_any_campaign_says(self) -> None:
        account, june, july = self.account(), Watched(), Watched()
        self.answer(account, june, 0, active_calls=8.0, contacts=bucketed(in_progress=3.0))
        self.answer(account, july, 1, active_calls=7.0, contacts=bucketed(in_progress=4.0))

        assert account.active_calls(1001) == 8

    def test_active_calls_are_at_least_what_contacts_in_progress_add_up_to(self) -> None:
        account, june, july = self.account(), Watched(), Watched()
        self.answer(account, june, 0, active_calls=5.0, contacts=bucketed(in_progress=5.0))
        self.answer(account, july, 1, active_calls=4.0, contacts=bucketed(in_progress=4.0))

        assert account.active_calls(1001) == 9

    def test_an_answer_counts_for_two_intervals_only(self) -> None:
        account, june, july = self.account(), Watched(), Watched()
        self.answer(account, june, 0, active_calls=9.0)
        self.answer(account, july, 20, active_calls=2.0)

        assert account.active_calls(1030) == 9
        assert account.active_calls(1031) == 2
        assert account.active_calls(1051) is None

    def test_a_campaign_that_goes_counts_no_more(self) -> None:
        account, june, july = self.account(), Watched(), Watched()
        self.answer(account, june, 0, active_calls=9.0)
        self.answer(account, july, 0, active_calls=2.0)
        account.forget(june.state)

        assert account.active_calls(1000) == 2

    @quick
    @given(
        st.lists(
            st.tuples(
                st.integers(0, 3),
                st.sampled_from([0.0, 0.5, 10.0, 25.0]),
                st.one_of(st.none(), st.tuples(st.integers(0, 9), st.integers(0, 9))),
            )
        )
    )
    def test_the_newest_recent_answer_of_each_campaign_counts_and_no_other(
        self, events: list[tuple[int, float, tuple[int, int] | None]]
    ) -> None:
        account, campaigns = self.account(), [Watched() for _ in range(4)]
        newest: dict[int, tuple[float, int, int]] = {}
        now = 0.0
        for place, wait, numbers in events:
            now += wait
            if numbers is None:
                account.forget(campaigns[place].state)
                newest.pop(place, None)
            else:
                active_calls, in_progress = numbers
                contacts = bucketed(in_progress=float(in_progress))
                self.answer(account, campaigns[place], now, active_calls=float(active_calls), contacts=contacts)
                newest[place] = now, active_calls, in_progress
            recent = [numbers for at, *numbers in newest.values() if at >= now - 30]
            expected = max(max(active for active, _ in recent), sum(busy for _, busy in recent)) if recent else None
            assert account.active_calls(1000 + now) == expected

    def test_sums_are_added_up_in_slices_while_campaigns_come_and_go(self) -> None:
        account, campaigns = self.account(), [Watched() for _ in range(2500)]
        for watched in campaigns:
            self.answer(account, watched, 0, contacts=bucketed(in_progress=1.0), active_calls=1.0)
        steps = 0
        for _ in account.add_up(1001.0):
            steps += 1
            account.forget(campaigns[-steps].state)
            self.answer(account, Watched(), 0, contacts=bucketed(in_progress=1.0), active_calls=1.0)

        assert steps == 3
        assert account.active_calls(1001.0) == 2500

    def test_sums_that_are_young_for_the_interval_are_kept(self) -> None:
        account, june = self.account(), Watched()
        steps = []
        for at in (0.0, 1.0, 2.0, 3.0):
            self.answer(account, june, at, active_calls=at)
            steps.append(len(list(account.add_up(1000.0 + at))))

        assert steps == [1, 0, 1, 0]
        assert account.active_calls(1003.0) == 2

    def test_the_cap_is_that_of_the_newest_answer_until_it_is_too_old(self) -> None:
        account, june, july = self.account(), Watched(), Watched()
        self.answer(account, june, 0, active_calls=0.0, concurrency_limit=10.0)
        self.answer(account, july, 5, active_calls=0.0, concurrency_limit=20.0)

        assert account.concurrency_limit(1065) == 20
        assert account.concurrency_limit(1066) is None

    def test_a_cap_that_is_no_longer_sent_is_not_shown_for_ever(self) -> None:
        account, june = self.account(), Watched()
        self.answer(account, june, 0, active_calls=0.0, concurrency_limit=10.0)
        for at in (20, 40, 60, 80):
            self.answer(account, june, at, active_calls=0.0)

        assert account.concurrency_limit(1060) == 10
        assert account.concurrency_limit(1080) is None
        assert account.utilization(1080) is None

    def test_saturation_is_the_organizations_though_no_campaign_is_at_the_cap(self) -> None:
        account, june, july = self.account(), Watched(), Watched()
        for at in (0, 10, 20):
            for watched in (june, july):
                numbers = bucketed(in_progress=5.0)
                self.answer(account, watched, at, active_calls=5.0, contacts=numbers, concurrency_limit=10.0)
            look(account, 1000.0 + at)

        assert account.observed_seconds == 20
        assert account.saturated_seconds == 20

    @pytest.mark.parametrize("odd", [1e17, 1e308, 2.0**53])
    def test_an_odd_number_changes_nothing_for_its_siblings(self, odd: float) -> None:
        account, june, july, august = self.account(), Watched(), Watched(), Watched()
        sane = {"active_calls": 3.0, "contacts": bucketed(pending=5.0, in_progress=3.0), "status": "active"}
        self.answer(account, june, 0, concurrency_limit=10.0, **sane)
        for at, watched in ((1, july), (2, august)):
            numbers = bucketed(pending=odd, in_progress=odd)
            self.answer(
                account, watched, at, active_calls=odd, contacts=numbers, concurrency_limit=odd, status="active"
            )

        assert account.active_calls(1002) == 3
        assert account.contacts_waiting(1002) == 5
        assert account.concurrency_limit(1002) == 10
        look(account, 1002.0)
        self.answer(account, june, 12, **sane)
        assert account.saturated_seconds == 0

    def test_waiting_contacts_are_those_of_active_campaigns_with_fresh_values(self) -> None:
        account, june, july, august = self.account(), Watched(), Watched(), Watched()
        for watched, status in ((june, "active"), (july, "paused"), (august, "active")):
            self.answer(account, watched, 0, status=status, active_calls=0.0, contacts=bucketed(pending=5.0))
        august.state.withdraw()
        account.succeeded(june.state, 1001)

        assert account.contacts_waiting(1001) == 5

    def test_use_of_the_cap_is_the_average_of_the_last_ten_minutes(self) -> None:
        account, june = self.account(), Watched()
        for at in range(0, 1501, 15):
            calls = 10.0 if at < 900 else 0.0
            self.answer(account, june, at, active_calls=calls, concurrency_limit=10.0)
            use = account.utilization(1000.0 + at)
            if at < 300:
                assert use is None
            elif at <= 900:
                assert use == 1
            elif at == 1200:
                assert use == pytest.approx(0.5, abs=0.05)

        assert use == pytest.approx(0, abs=0.01)

    def test_use_of_the_cap_begins_again_after_a_gap(self) -> None:
        account, june = self.account(), Watched()
        for at in (*range(0, 601, 15), *range(700, 986, 15)):
            self.answer(account, june, at, active_calls=10.0, concurrency_limit=10.0)

        assert account.utilization(1985.0) is None
        for at in (1000, 1015):
            self.answer(account, june, at, active_calls=10.0, concurrency_limit=10.0)
        assert account.utilization(2015.0) == 1

    def test_use_of_the_cap_is_at_least_the_sum_of_averages_in_progress(self) -> None:
        account, june, july = self.account(), Watched(), Watched()
        for at in range(0, 601, 15):
            for watched in (june, july):
                numbers = bucketed(in_progress=4.0)
                self.answer(account, watched, at, active_calls=4.0, contacts=numbers, concurrency_limit=10.0)

        assert account.utilization(1600.0) == pytest.approx(0.8)

    def test_a_provider_without_such_numbers_has_none(self) -> None:
        account = AccountState("osvi", "acme-in")
        self.answer(account, Watched(OSVI), 0, calls_made=5.0)

        assert (account.active_calls(1000), account.concurrency_limit(1000)) == (None, None)
        assert (account.observed_seconds, account.saturated_seconds) == (None, None)
