import time
from random import Random

import pytest

from exporter.simulator import DAYS, ManualClock, OsviAccount, OsviCampaign, Window, World

START = 1_780_315_200.0  # Monday, 2026-06-01 12:00 UTC, 17:30 in India
HOUR = 3600.0


def new_account(*, seed: int = 1) -> tuple[World, OsviAccount]:
    world = World(ManualClock(START), seed=seed)
    world.advance()
    return world, world.add_osvi_account("0123456789abcdef")


def new_campaign(account: OsviAccount, contacts: int, *, outcome: str = "picked", channels: int = 2) -> OsviCampaign:
    campaign = account.add_campaign(
        7, "June renewals", outcomes={outcome: 1}, call_seconds=(60, 60), retry_delay=600, retry_threshold=2
    )
    campaign.add_agent("agent_x", channels=channels)
    campaign.add_contacts(contacts, "agent_x")
    return campaign


def open_queues(campaign: OsviCampaign) -> int:
    return sum(not queue.completed for upload in campaign.uploads for queue in upload.queues)


def test_an_agent_holds_as_many_calls_as_it_has_channels() -> None:
    world, account = new_account()
    campaign = new_campaign(account, 5)
    world.advance_to(START + 30)

    assert campaign.calls == {"in_progress": 2}
    world.advance_to(START + 90)
    assert campaign.calls == {"in_progress": 2, "picked": 2}
    assert campaign.calls_made == 4


def test_several_agents_raise_the_number_of_calls_at_once() -> None:
    world, account = new_account()
    campaign = new_campaign(account, 10)
    campaign.add_agent("agent_y", channels=3)
    campaign.add_contacts(10, "agent_y")
    world.advance_to(START + 30)

    assert campaign.calls["in_progress"] == 5


def test_a_queue_is_completed_with_its_last_call_and_an_upload_opens_one() -> None:
    world, account = new_account()
    campaign = new_campaign(account, 2)
    world.advance_to(START + 59)
    assert open_queues(campaign) == 1
    world.advance_to(START + 60)
    assert open_queues(campaign) == 0

    campaign.add_contacts(4, "agent_x")
    assert open_queues(campaign) == 1
    assert [upload.id for upload in campaign.uploads] == [1, 2]


@pytest.mark.parametrize("outcome", ["not_picked", "busy"])
def test_a_call_without_answer_is_made_again_up_to_the_threshold(outcome: str) -> None:
    world, account = new_account()
    campaign = new_campaign(account, 1, outcome=outcome)
    seen = []
    for seconds in (659, 661, 1319, 1321, 3 * HOUR):
        world.advance_to(START + seconds)
        seen.append((campaign.calls_made, open_queues(campaign)))

    assert seen == [(1, 1), (2, 1), (2, 1), (3, 1), (3, 0)]


@pytest.mark.parametrize("outcome", ["picked", "failed", "voicemail"])
def test_other_outcomes_are_final(outcome: str) -> None:
    world, account = new_account()
    campaign = new_campaign(account, 3, outcome=outcome)
    world.advance_to(START + 3 * HOUR)

    assert (campaign.calls_made, campaign.calls[outcome], open_queues(campaign)) == (3, 3, 0)


def test_contacts_that_are_not_enqueued_are_stored_and_never_called() -> None:
    world, account = new_account()
    campaign = new_campaign(account, 0)
    campaign.add_contacts(50, "agent_x", enqueue=False)
    world.advance_to(START + HOUR)

    assert (campaign.uploads[-1].queues, campaign.calls_made) == ([], 0)


def test_an_inactive_campaign_keeps_its_queues_and_goes_on_when_activated() -> None:
    world, account = new_account()
    campaign = new_campaign(account, 10)
    campaign.deactivate()
    world.advance_to(START + HOUR)
    assert (campaign.calls_made, open_queues(campaign)) == (2, 1)

    campaign.activate()
    world.advance_to(START + 2 * HOUR)
    assert (campaign.calls_made, open_queues(campaign)) == (10, 0)


def test_a_stalled_campaign_stays_active_with_an_open_queue() -> None:
    world, account = new_account()
    campaign = new_campaign(account, 10)
    campaign.stall()
    world.advance_to(START + HOUR)
    assert (campaign.status, campaign.calls_made, open_queues(campaign)) == ("active", 2, 1)

    campaign.recover()
    world.advance_to(START + 2 * HOUR)
    assert campaign.calls_made == 10


def test_calls_begin_only_in_the_hours_of_the_campaign() -> None:
    world, account = new_account()
    campaign = account.add_campaign(8, "Loan offers", call_seconds=(60, 60), windows=(Window(DAYS, "18:00", "19:00"),))
    campaign.add_agent("agent_x")
    campaign.add_contacts(5000, "agent_x")
    minutes_with_calls = set()
    for minute in range(2 * 1440):
        before = campaign.calls_made
        world.advance_to(START + (minute + 1) * 60 - 0.001)
        if campaign.calls_made > before:
            minutes_with_calls.add(minute % 1440)

    assert minutes_with_calls == set(range(30, 90))


def test_an_inbound_campaign_is_called_while_it_is_active() -> None:
    world, account = new_account()
    campaign = account.add_campaign(9, "Helpline", retry_delay=None)
    campaign.receive_calls(per_hour=60)
    world.advance_to(START + 10 * HOUR)
    received = campaign.calls_made
    assert 500 < received < 700

    campaign.deactivate()
    world.advance_to(START + 20 * HOUR)
    assert campaign.calls_made == received
    assert campaign.calls == {"picked": received, "in_progress": 0}


@pytest.mark.parametrize("seed", range(5))
def test_whatever_is_done_outcomes_add_up_to_the_calls_made(seed: int) -> None:
    chance = Random(seed)
    world, account = new_account(seed=seed)
    campaign = account.add_campaign(7, "June renewals", retry_delay=300)
    for agent in ("agent_x", "agent_y"):
        campaign.add_agent(agent)
    for _ in range(200):
        world.advance_to(world.now + chance.expovariate(1 / 200))
        match chance.randrange(5):
            case 0:
                campaign.add_contacts(chance.randrange(20), chance.choice(("agent_x", "agent_y")))
            case 1:
                campaign.deactivate()
            case 2:
                campaign.stall()
            case 3:
                campaign.activate()
            case 4:
                campaign.recover()
        assert campaign.calls.total() == campaign.calls_made
        assert min(campaign.calls.values(), default=0) >= 0
        assert campaign.calls["in_progress"] == sum(agent.calls for agent in campaign.agents.values()) <= 6

    campaign.activate()
    campaign.recover()
    world.advance_to(world.now + 48 * HOUR)
    assert open_queues(campaign) == 0
    assert not any(agent.queues for agent in campaign.agents.values())
    assert campaign.calls_made > 100


def test_hours_pass_in_milliseconds() -> None:
    world, account = new_account()
    campaign = account.add_campaign(7, "June renewals")
    campaign.add_agent("agent_x", channels=20)
    campaign.add_contacts(100_000, "agent_x")
    started = time.process_time()
    world.advance_to(START + 8 * HOUR)

    assert campaign.calls_made > 4000
    # Some 40 ms on an idle machine.
    assert time.process_time() - started < 1
