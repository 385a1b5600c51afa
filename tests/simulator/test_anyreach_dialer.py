import time
from random import Random

import pytest

from exporter.simulator import (
    DAYS,
    ROUND_THE_CLOCK,
    CallPattern,
    Campaign,
    ManualClock,
    Organization,
    Schedule,
    Window,
    World,
)
from exporter.simulator.anyreach_dialer import STALE_LOCK_SECONDS

START = 1_780_315_200.0  # Monday, 2026-06-01 12:00 UTC
HOUR = 3600.0
ALWAYS = Schedule("UTC", ROUND_THE_CLOCK)
STEADY = CallPattern(
    answer_rate=1.0, lock_seconds=(2, 2), answered_seconds=(58, 58), unanswered_seconds=(58, 58), retry_delay=600
)
NEVER_ANSWERS = CallPattern(
    answer_rate=0.0, lock_seconds=(2, 2), answered_seconds=(58, 58), unanswered_seconds=(58, 58), retry_delay=600
)


def new_world(*, seed: int = 1) -> World:
    world = World(ManualClock(START), seed=seed)
    world.advance()
    return world


def new_campaign(
    organization: Organization,
    contacts: int,
    *,
    schedule: Schedule = ALWAYS,
    pattern: CallPattern = STEADY,
) -> Campaign:
    configuration = organization.add_configuration("configuration", schedule)
    campaign = organization.add_campaign("campaign", configuration, pattern=pattern)
    campaign.add_contacts(contacts)
    return campaign


def counts(campaign: Campaign) -> tuple[int, ...]:
    return (
        campaign.counts["pending"],
        campaign.counts["locked"],
        campaign.counts["in_progress"],
        campaign.counts["completed"],
        campaign.counts["exhausted"],
        campaign.attempts_total,
        campaign.attempts_made,
    )


def test_a_contact_is_locked_then_rings_then_is_completed() -> None:
    world = new_world()
    campaign = new_campaign(world.add_organization(), 1)

    seen = []
    for moment in (0.5, 1, 2.9, 3, 60.9, 61):
        world.advance_to(START + moment)
        seen.append(
            (
                campaign.counts["pending"],
                campaign.counts["locked"],
                campaign.counts["in_progress"],
                campaign.counts["completed"],
            )
        )

    assert seen == [(1, 0, 0, 0), (0, 1, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 1, 0), (0, 0, 0, 1)]
    assert campaign.attempts_made == 1


def test_a_lock_is_no_attempt_yet_and_holds_a_slot() -> None:
    world = new_world()
    campaign = new_campaign(world.add_organization(limit=3), 10)
    world.advance_to(START + 1)

    assert (campaign.active_calls, campaign.counts["locked"], campaign.attempts_made) == (3, 3, 0)


def test_campaigns_of_an_organization_share_its_slots_in_turn() -> None:
    world = new_world()
    organization = world.add_organization(limit=4)
    one, other = new_campaign(organization, 100), new_campaign(organization, 100)
    world.advance_to(START + 10)

    assert (one.active_calls, other.active_calls) == (2, 2)


def test_a_lowered_cap_lets_calls_run_to_their_end() -> None:
    world = new_world()
    organization = world.add_organization(limit=10)
    campaign = new_campaign(organization, 500)
    world.advance_to(START + 10)
    organization.set_limit(4)
    world.advance_to(START + 20)
    assert campaign.active_calls == 10

    world.advance_to(START + 70)
    assert campaign.active_calls == 4


def test_a_raised_cap_is_used_within_a_second() -> None:
    world = new_world()
    organization = world.add_organization(limit=2)
    campaign = new_campaign(organization, 500)
    world.advance_to(START + 10)
    organization.set_limit(8)
    world.advance_to(START + 11)

    assert campaign.active_calls == 8


def test_a_retry_waits_for_its_delay_and_the_last_one_exhausts_the_contact() -> None:
    world = new_world()
    campaign = new_campaign(world.add_organization(), 1, pattern=NEVER_ANSWERS)
    ends = START + 61

    world.advance_to(ends + 599)
    assert (campaign.attempts_made, campaign.counts["pending"]) == (1, 1)
    world.advance_to(ends + 604)
    assert (campaign.attempts_made, campaign.counts["in_progress"]) == (2, 1)
    world.advance_to(START + HOUR)
    assert (campaign.attempts_made, campaign.counts["exhausted"], campaign.counts["pending"]) == (3, 1, 0)


def test_a_list_is_worked_through_and_stays_active() -> None:
    world = new_world()
    campaign = new_campaign(world.add_organization(), 300, pattern=CallPattern(retry_delay=300))
    world.advance_to(START + 8 * HOUR)

    assert (campaign.status, campaign.counts["pending"], campaign.active_calls) == ("active", 0, 0)
    assert campaign.counts["completed"] + campaign.counts["exhausted"] == 300
    assert campaign.attempts_made == sum(len(contact.attempts) for contact in campaign.contacts.values())


def test_a_pause_halts_new_calls_and_lets_those_in_flight_end() -> None:
    world = new_world()
    campaign = new_campaign(world.add_organization(limit=5), 100)
    world.advance_to(START + 10)
    campaign.pause()
    assert campaign.active_calls == 5

    world.advance_to(START + HOUR)
    assert (campaign.active_calls, campaign.attempts_made) == (0, 5)
    campaign.start()
    world.advance_to(START + HOUR + 10)
    assert (campaign.active_calls, campaign.attempts_made) == (5, 10)


def test_lifecycle_calls_refuse_what_their_precondition_forbids() -> None:
    campaign = new_campaign(new_world().add_organization(), 1)
    with pytest.raises(ValueError, match="is active, not paused"):
        campaign.start()
    campaign.close()

    for move in (campaign.start, campaign.pause, campaign.close):
        with pytest.raises(ValueError, match="is closed"):
            move()


def test_a_closed_campaign_never_calls_again() -> None:
    world = new_world()
    campaign = new_campaign(world.add_organization(), 100, pattern=NEVER_ANSWERS)
    world.advance_to(START + 10)
    campaign.close()
    world.advance_to(START + 24 * HOUR)

    assert (campaign.attempts_made, campaign.active_calls, campaign.counts["pending"]) == (10, 0, 100)


def test_a_stalled_campaign_looks_alive_and_calls_nobody_until_it_recovers() -> None:
    world = new_world()
    campaign = new_campaign(world.add_organization(), 100)
    world.advance_to(START + 100)
    before = campaign.attempts_made
    campaign.stall()
    world.advance_to(START + 6 * HOUR)
    assert (campaign.status, campaign.attempts_made, campaign.active_calls) == ("active", before, 0)
    assert campaign.counts["pending"] > 0

    campaign.recover()
    world.advance_to(START + 6 * HOUR + 10)
    assert campaign.attempts_made > before


def test_a_stale_lock_is_swept_back_to_pending_with_no_attempt() -> None:
    world = new_world()
    campaign = new_campaign(world.add_organization(), 1)
    world.advance_to(START + 1)
    campaign.stall()

    world.advance_to(START + 2 + STALE_LOCK_SECONDS)
    assert (campaign.counts["locked"], campaign.counts["pending"]) == (1, 0)
    world.advance_to(START + 3 + STALE_LOCK_SECONDS)
    assert counts(campaign) == (1, 0, 0, 0, 0, 0, 0)


def test_no_attempt_begins_outside_the_windows() -> None:
    world = new_world()
    schedule = Schedule("UTC", (Window(DAYS, "14:00", "15:00"),))
    campaign = new_campaign(world.add_organization(), 5000, schedule=schedule, pattern=CallPattern())

    minutes_with_attempts = set()
    for minute in range(2 * 1440):
        before = campaign.counts["locked"] + campaign.attempts_made
        world.advance_to(START + (minute + 1) * 60 - 0.001)
        if campaign.counts["locked"] + campaign.attempts_made > before:
            minutes_with_attempts.add(minute % 1440)

    assert minutes_with_attempts == set(range(120, 180))


def test_a_default_configuration_never_dials() -> None:
    world = new_world()
    campaign = new_campaign(world.add_organization(), 5, schedule=Schedule())
    world.advance_to(START + 168 * HOUR)
    assert campaign.attempts_made == 0


def test_deleted_contacts_take_attempts_along() -> None:
    world = new_world()
    campaign = new_campaign(world.add_organization(), 20)
    world.advance_to(START + HOUR)
    assert campaign.delete_contacts(8, "completed") == 8

    assert (len(campaign.contacts), campaign.attempts_total) == (12, 12)
    assert campaign.attempts_made == 20


def test_a_contact_deleted_before_its_retry_is_not_called_again() -> None:
    world = new_world()
    campaign = new_campaign(world.add_organization(), 10, pattern=NEVER_ANSWERS)
    world.advance_to(START + 300)
    assert campaign.delete_contacts(4) == 4
    assert (campaign.counts["pending"], campaign.attempts_total) == (6, 6)

    world.advance_to(START + 0.5 * HOUR)
    assert (campaign.attempts_made, campaign.attempts_total, len(campaign.contacts)) == (22, 18, 6)


def test_deleting_too_many_contacts_spares_those_in_a_call() -> None:
    world = new_world()
    campaign = new_campaign(world.add_organization(limit=2), 10)
    world.advance_to(START + 10)

    assert campaign.delete_contacts(100) == 8
    assert len(campaign.contacts) == campaign.active_calls == 2
    assert campaign.delete_contacts(100, "exhausted") == 0


def test_contacts_can_be_added_while_it_dials() -> None:
    world = new_world()
    campaign = new_campaign(world.add_organization(), 5)
    world.advance_to(START + HOUR)
    campaign.add_contacts(5)
    world.advance_to(START + 2 * HOUR)

    assert campaign.counts["completed"] == 10


@pytest.mark.parametrize("seed", range(8))
def test_whatever_is_done_nobody_is_lost_and_no_cap_is_passed(seed: int) -> None:
    chance = Random(seed)
    world = new_world(seed=seed)
    organizations = [world.add_organization(limit=limit) for limit in (4, 9, 12)]
    windows = (Window(DAYS, "08:00", "20:00"), Window(("sat",), "22:00", "02:00"))
    campaigns = [
        new_campaign(organization, 30, schedule=schedule, pattern=CallPattern(retry_delay=400))
        for organization in organizations
        for schedule in (ALWAYS, Schedule("America/New_York", windows), Schedule())
    ]
    held = {campaign.id: 30 for campaign in campaigns}
    for _ in range(250):
        world.advance_to(world.now + chance.expovariate(1 / 120))
        campaign = chance.choice(campaigns)
        match chance.randrange(6):
            case 0:
                number = chance.randrange(20)
                campaign.add_contacts(number)
                held[campaign.id] += number
            case 1:
                bucket = chance.choice(("pending", "completed", "exhausted"))
                held[campaign.id] -= campaign.delete_contacts(chance.randrange(20), bucket)  # type: ignore[arg-type]  # choice() widens the literals
            case 2:
                campaign.stall()
            case 3:
                campaign.recover()
            case 4 if campaign.status == "active":
                campaign.pause()
            case _ if campaign.status == "paused":
                campaign.start()

        for each in campaigns:
            assert len(each.contacts) == held[each.id]
            assert min(counts(each)) >= 0
            assert each.attempts_total <= each.attempts_made
        for organization in organizations:
            mine = [each for each in campaigns if each.organization is organization]
            assert organization.active_calls == sum(each.active_calls for each in mine) <= organization.limit
    assert sum(each.attempts_made for each in campaigns) > 100


def busy_world(seed: int) -> tuple[World, list[Campaign]]:
    world = new_world(seed=seed)
    organizations = [world.add_organization(limit=limit) for limit in (5, 10)]
    return world, [new_campaign(o, 400, pattern=CallPattern(retry_delay=900)) for o in organizations for _ in range(3)]


def test_the_same_seed_gives_the_same_world_however_often_it_is_looked_at() -> None:
    (leaped, one), (walked, other) = busy_world(7), busy_world(7)
    leaped.advance_to(START + 4 * HOUR)
    for step in range(4 * 360 + 1):
        walked.advance_to(START + step * 10)

    assert [counts(campaign) for campaign in one] == [counts(campaign) for campaign in other]
    assert [campaign.id for campaign in one] == [campaign.id for campaign in other]


def test_another_seed_gives_another_world() -> None:
    (first, one), (second, other) = busy_world(7), busy_world(8)
    first.advance_to(START + HOUR)
    second.advance_to(START + HOUR)

    assert [counts(campaign) for campaign in one] != [counts(campaign) for campaign in other]


def test_hours_pass_in_milliseconds() -> None:
    world, campaigns = busy_world(1)
    started = time.process_time()
    world.advance_to(START + 8 * HOUR)

    assert sum(campaign.attempts_made for campaign in campaigns) > 2000
    # Some 50 ms on an idle machine.
    assert time.process_time() - started < 1


def test_idle_weeks_cost_nothing_worth_mentioning() -> None:
    world = new_world()
    new_campaign(world.add_organization(), 10)
    started = time.process_time()
    world.advance_to(START + 4 * 168 * HOUR)

    assert time.process_time() - started < 1


def test_changes_made_between_requests_happen_when_they_are_made() -> None:
    clock = ManualClock(START)
    world = World(clock)
    campaign = new_campaign(world.add_organization(limit=1), 10)
    world.advance()
    clock.advance(90)
    campaign.pause()
    clock.advance(HOUR)
    world.advance()

    assert campaign.attempts_made == 2
