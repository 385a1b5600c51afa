"""Every value of campaign_state and its near misses, on clocks that the test moves."""

from typing import Any

import pytest

from exporter.campaign.account import AccountState
from exporter.campaign.schedule import Hours, Schedule, Window
from exporter.campaign.standing import Standing
from exporter.campaign.state import CampaignState
from tests.campaign.test_state import ANYREACH, OSVI, ROUND_THE_CLOCK, WALL, Watched, bucketed, look

ALL_WEEK = frozenset(range(7))
SHUT = Hours(Schedule("UTC", (Window(ALL_WEEK, 0, 1),)), WALL)
NO_WINDOWS = Hours(Schedule("UTC", ()), WALL)
ONE_ZONE_SHUT = Hours(
    Schedule("UTC", (Window(ALL_WEEK, 0, 1440),), overrides={"Asia/Tokyo": (Window(ALL_WEEK, 0, 1),)}), WALL
)
STALL_AFTER = 3600.0

DIALING: dict[str, Any] = {
    "status": "active",
    "contacts": bucketed(pending=310.0, in_progress=8.0, completed=902.0),
    "contacts_loaded": 1220.0,
    "attempts": 1730.0,
    "active_calls": 8.0,
    "concurrency_limit": 10.0,
    "work_remaining": True,
    "calls_in_flight": True,
}
EMPTY = DIALING | {
    "contacts": bucketed(),
    "contacts_loaded": 0.0,
    "attempts": 0.0,
    "active_calls": 0.0,
    "work_remaining": False,
    "calls_in_flight": False,
}
DRAINED = EMPTY | {"contacts": bucketed(completed=902.0), "contacts_loaded": 902.0, "attempts": 1730.0}
QUEUED: dict[str, Any] = {
    "status": "active",
    "calls": {"picked": 88.0, "in_progress": 0.0},
    "calls_made": 88.0,
    "uploads": 1.0,
    "queues": {("agent", "open"): 1.0, ("agent", "completed"): 0.0},
    "work_remaining": True,
}
INBOUND = QUEUED | {"uploads": 0.0, "queues": {}, "work_remaining": False, "calls_made": 528.0}


class Clocked:
    """A campaign of an organization that is looked at once a second."""

    def __init__(self, lifecycle: Any = ANYREACH, *, hours: Hours | None = ROUND_THE_CLOCK, **campaign: Any) -> None:
        self.account = AccountState(lifecycle.name, "acme")
        self.account.horizon, self.account.stale_after = 30.0, 60.0
        self.watched = Watched(lifecycle, **({"stall_after": STALL_AFTER} | campaign))
        self.state: CampaignState = self.watched.state
        self.state.hours = hours
        self.now = 0.0

    def says(self, **numbers: Any) -> Standing:
        self.watched.says(self.now, **numbers)
        self.account.succeeded(self.state, 1000.0 + self.now)
        return self.look()

    def look(self) -> Standing:
        for campaign in look(self.account, 1000.0 + self.now):
            campaign.settle(1000.0 + self.now)
        return self.state.standing

    def goes_on(self, seconds: float, **numbers: Any) -> Standing:
        """Answer the same every 15 seconds."""
        end = self.now + seconds
        while self.now + 15 <= end:
            self.now += 15
            self.says(**numbers)
        self.now = end
        return self.look()


@pytest.mark.parametrize(
    ("numbers", "hours", "standing"),
    [
        (DIALING, ROUND_THE_CLOCK, Standing.DIALING),
        (DIALING | {"status": "closed"}, ROUND_THE_CLOCK, Standing.CLOSED),
        (DIALING | {"status": "paused"}, SHUT, Standing.PAUSED),
        (DIALING | {"status": "hibernating"}, ROUND_THE_CLOCK, Standing.UNKNOWN_STATUS),
        (DIALING | {"status": None}, NO_WINDOWS, Standing.UNKNOWN_STATUS),
        (EMPTY, NO_WINDOWS, Standing.EMPTY),
        ({"status": "active", "contacts_loaded": 0.0}, SHUT, Standing.EMPTY),
        (EMPTY | {"attempts": 5.0}, ROUND_THE_CLOCK, Standing.DRAINED),
        (DRAINED, SHUT, Standing.DRAINED),
        (DRAINED | {"active_calls": 8.0}, ROUND_THE_CLOCK, Standing.DRAINED),
        (DRAINED | {"contacts": None, "contacts_loaded": None}, ROUND_THE_CLOCK, Standing.DRAINED),
        (DIALING, NO_WINDOWS, Standing.NEVER_DIALS),
        (DIALING | {"work_remaining": None, "contacts": None}, NO_WINDOWS, Standing.DIALING),
        (DIALING, SHUT, Standing.OUTSIDE_HOURS),
        (DIALING, ONE_ZONE_SHUT, Standing.OUTSIDE_HOURS),
        (DIALING, None, Standing.DIALING),
        ({"status": "active"}, None, Standing.DIALING),
    ],
)
def test_an_anyreach_campaign_stands_where_its_first_answer_says(
    numbers: dict[str, Any], hours: Hours | None, standing: Standing
) -> None:
    assert Clocked(hours=hours).says(**numbers) is standing


@pytest.mark.parametrize(
    ("numbers", "standing"),
    [
        (QUEUED, Standing.DIALING),
        (QUEUED | {"status": "inactive"}, Standing.PAUSED),
        (INBOUND, Standing.DIALING),
        (INBOUND | {"calls": {"picked": 0.0}, "calls_made": 0.0}, Standing.EMPTY),
        (QUEUED | {"queues": {("agent", "completed"): 1.0}, "work_remaining": False}, Standing.DRAINED),
        (
            QUEUED | {"queues": {("agent", "completed"): 1.0}, "work_remaining": False, "calls": {"in_progress": 1.0}},
            Standing.DIALING,
        ),
        (QUEUED | {"uploads": None, "queues": None, "work_remaining": None}, Standing.DIALING),
    ],
)
def test_an_osvi_campaign_stands_where_its_first_answer_says(numbers: dict[str, Any], standing: Standing) -> None:
    assert Clocked(OSVI).says(**numbers) is standing


class TestWithoutValues:
    def test_a_campaign_that_was_never_polled_is_not_polled(self) -> None:
        assert Clocked().state.standing is Standing.NOT_POLLED

    def test_a_first_poll_that_fails_is_failing(self) -> None:
        june = Clocked()
        june.state.failed("timeout", "")

        assert june.state.standing is Standing.FAILING

    def test_a_failed_poll_changes_nothing_until_the_values_are_withdrawn(self) -> None:
        june = Clocked()
        june.says(**DIALING)
        june.state.failed("timeout", "")
        before = june.state.standing
        june.state.withdraw()

        assert (before, june.state.standing) == (Standing.DIALING, Standing.FAILING)

    def test_values_that_are_too_old_without_a_failure_are_stale(self) -> None:
        june = Clocked()
        june.says(**DIALING)
        june.state.withdraw()

        assert june.state.standing is Standing.STALE

    def test_a_closed_campaign_is_failing_once_its_values_are_withdrawn(self) -> None:
        june = Clocked()
        june.says(**DIALING | {"status": "closed"})
        june.state.failed("not_found", "")
        june.state.withdraw()

        assert june.state.standing is Standing.FAILING


class TestStalled:
    def test_begins_with_the_moment_after_stall_after(self) -> None:
        june = Clocked()
        june.says(**DIALING)

        assert june.goes_on(STALL_AFTER, **DIALING) is Standing.DIALING
        june.now += 1
        assert june.look() is Standing.STALLED

    def test_calls_that_hang_are_a_stall(self) -> None:
        june = Clocked()
        june.says(**DIALING)

        assert june.goes_on(STALL_AFTER + 15, **DIALING) is Standing.STALLED

    @pytest.mark.parametrize(
        "progress",
        [
            {"attempts": 1731.0},
            {"contacts": bucketed(pending=310.0, in_progress=7.0, completed=902.0)},
            {"contacts": bucketed(pending=310.0, in_progress=8.0, completed=902.0, exhausted=1.0)},
        ],
    )
    def test_ends_with_the_first_progress(self, progress: dict[str, Any]) -> None:
        june = Clocked()
        june.says(**DIALING)
        june.goes_on(STALL_AFTER + 15, **DIALING)

        assert june.says(**DIALING | progress) is Standing.DIALING

    def test_counts_from_the_opening_of_the_windows(self) -> None:
        june = Clocked(hours=SHUT)
        june.says(**DIALING)
        june.goes_on(9 * STALL_AFTER, **DIALING)
        june.state.hours = ROUND_THE_CLOCK
        june.state.expect(1000.0 + june.now, WALL + june.now)

        assert june.goes_on(STALL_AFTER, **DIALING) is Standing.DIALING
        assert june.goes_on(15, **DIALING) is Standing.STALLED

    def test_is_none_without_contacts_that_wait(self) -> None:
        june = Clocked()
        hanging = DIALING | {"contacts": bucketed(in_progress=8.0, completed=902.0)}
        june.says(**hanging)

        assert june.goes_on(STALL_AFTER + 15, **hanging) is Standing.QUIET

    def test_is_none_where_silence_never_means_one(self) -> None:
        june = Clocked(stall_after=None)
        june.says(**DIALING)

        assert june.goes_on(9 * STALL_AFTER, **DIALING) is Standing.DIALING

    def test_an_open_queue_without_calls_is_one(self) -> None:
        june = Clocked(OSVI)
        june.says(**QUEUED)

        assert june.goes_on(STALL_AFTER + 15, **QUEUED) is Standing.STALLED

    def test_a_wall_clock_that_is_set_makes_none(self) -> None:
        june = Clocked()
        june.says(**DIALING)
        june.state.succeeded(june.state.snapshot, 1015.0, WALL + 86400)
        june.state.settle(1016.0)

        assert june.state.standing is Standing.DIALING


class TestSaturated:
    AT_CAP: dict[str, Any] = DIALING | {
        "active_calls": 10.0,
        "contacts": bucketed(pending=310.0, in_progress=10.0, completed=902.0),
    }

    def test_is_an_average_use_above_nine_tenths_while_contacts_wait(self) -> None:
        june = Clocked()
        june.says(**self.AT_CAP)

        assert june.goes_on(285, **self.AT_CAP) is Standing.DIALING
        assert june.goes_on(15, **self.AT_CAP) is Standing.SATURATED

    def test_is_not_a_use_of_nine_tenths(self) -> None:
        june = Clocked()
        nine = self.AT_CAP | {"active_calls": 9.0, "contacts": bucketed(pending=310.0, in_progress=9.0)}
        june.says(**nine)

        assert june.goes_on(600, **nine) is Standing.DIALING

    def test_excuses_silence(self) -> None:
        june = Clocked()
        june.says(**self.AT_CAP)

        assert june.goes_on(STALL_AFTER + 15, **self.AT_CAP) is Standing.SATURATED

    def test_needs_contacts_that_wait(self) -> None:
        june = Clocked()
        nobody_waits = self.AT_CAP | {"contacts": bucketed(in_progress=10.0)}
        june.says(**nobody_waits)

        assert june.goes_on(600, **nobody_waits) is Standing.DIALING

    def test_ends_when_the_average_falls(self) -> None:
        june = Clocked()
        june.says(**self.AT_CAP)
        june.goes_on(600, **self.AT_CAP)

        assert june.goes_on(60, **DIALING | {"active_calls": 1.0, "contacts": bucketed(pending=310.0)}) is (
            Standing.SATURATED
        )
        assert june.goes_on(60, **DIALING | {"active_calls": 1.0, "contacts": bucketed(pending=310.0)}) is (
            Standing.DIALING
        )

    def test_is_the_organizations_whenever_each_campaign_is_seen(self) -> None:
        account = AccountState("anyreach", "acme")
        account.horizon, account.stale_after = 30.0, 60.0
        campaigns = [Watched(stall_after=STALL_AFTER) for _ in range(5)]
        numbers = DIALING | {"active_calls": 2.0, "contacts": bucketed(pending=5.0, in_progress=2.0)}
        for second in range(0, 400, 3):
            watched = campaigns[second // 3 % 5]
            watched.says(second, **numbers)
            account.succeeded(watched.state, 1000.0 + second)
            for state in look(account, 1000.0 + second):
                state.settle(1000.0 + second)

        assert account.utilization(1400.0) == pytest.approx(1.0)
        assert {watched.state.standing for watched in campaigns} == {Standing.SATURATED}

    def test_a_campaign_that_joins_a_busy_organization_is_saturated_at_once(self) -> None:
        june = Clocked()
        june.says(**self.AT_CAP)
        june.goes_on(600, **self.AT_CAP)
        july = Watched(stall_after=STALL_AFTER)
        july.says(june.now, **DIALING)
        june.account.succeeded(july.state, 1000.0 + june.now)

        assert july.state.standing is Standing.SATURATED


class TestQuiet:
    def test_is_silence_while_the_hours_are_unknown(self) -> None:
        june = Clocked(hours=None)
        june.says(**DIALING)

        assert june.goes_on(STALL_AFTER, **DIALING) is Standing.DIALING
        assert june.goes_on(15, **DIALING) is Standing.QUIET

    def test_is_silence_of_an_inbound_campaign(self) -> None:
        june = Clocked(OSVI)
        june.says(**INBOUND)

        assert june.goes_on(STALL_AFTER + 15, **INBOUND) is Standing.QUIET
        assert june.says(**INBOUND | {"calls_made": 529.0}) is Standing.DIALING

    def test_becomes_a_stall_only_a_whole_silence_after_the_hours_are_known(self) -> None:
        june = Clocked(hours=None)
        june.says(**DIALING)
        june.goes_on(STALL_AFTER + 15, **DIALING)
        june.state.hours = ROUND_THE_CLOCK
        june.state.expect(1000.0 + june.now, WALL + june.now)

        assert june.goes_on(STALL_AFTER, **DIALING) is Standing.QUIET
        june.now += 1
        assert june.look() is Standing.STALLED

    def test_begins_a_whole_silence_after_a_pause(self) -> None:
        june = Clocked(hours=None)
        june.says(**DIALING)
        june.goes_on(2 * STALL_AFTER, **DIALING | {"status": "paused"})

        assert june.says(**DIALING) is Standing.DIALING
        assert june.goes_on(STALL_AFTER + 15, **DIALING) is Standing.QUIET
