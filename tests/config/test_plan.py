"""What a reload is compared by: the plans of two configurations."""

from typing import Any

import pytest

from exporter.config.model import Settings
from exporter.config.plan import Plan, discovered, plan_of
from tests.exporting import anyreach_account, osvi_account, settings_of

BASE = "https://api.example"
HOURS = {"timezone": "Asia/Kolkata", "windows": [{"days": ["mon"], "start": "09:00", "end": "18:00"}]}
OTHER_HOURS = {**HOURS, "timezone": "America/New_York"}


def settings(*campaigns: Any, **options: Any) -> Settings:
    accounts = [anyreach_account(BASE, *campaigns, **options), osvi_account(BASE, 7)]
    return settings_of({"accounts": accounts})


def plan(*campaigns: Any, before: Plan | None = None, **options: Any) -> Plan:
    return plan_of(settings(*campaigns, **options), before)


def test_accounts_and_campaigns_that_are_as_they_were_are_the_same_objects() -> None:
    before = plan("june", "july")

    after = plan("june", "july", before=before)

    assert {name: account is before.accounts[name] for name, account in after.accounts.items()} == {
        "acme-us": True,
        "acme-in": True,
    }
    assert after.config_hash == before.config_hash


@pytest.mark.parametrize(
    "changed",
    [
        {"id": "july", "labels": {"team": "renewals"}},
        {"id": "july", "name": "renewals"},
        {"id": "july", "stall_after": "never"},
        {"id": "july", "calling_hours": HOURS},
    ],
    ids=["labels", "name", "silence", "hours"],
)
def test_of_an_account_only_the_campaigns_that_differ_are_others(changed: dict[str, Any]) -> None:
    before = plan("june", "july")

    after = plan("june", changed, before=before)

    old, new = before.accounts["acme-us"], after.accounts["acme-us"]
    assert new is not old
    assert new.campaigns["june"] is old.campaigns["june"]
    assert new.campaigns["july"] != old.campaigns["july"]
    assert after.accounts["acme-in"] is before.accounts["acme-in"]
    assert after.config_hash != before.config_hash


def test_campaigns_come_and_go() -> None:
    before = plan("june", "july")

    after = plan("july", "august", before=before)

    assert list(after.accounts["acme-us"].campaigns) == ["july", "august"]


def test_another_account_of_the_same_campaigns_keeps_their_objects() -> None:
    before = plan("june")

    after = plan("june", before=before, max_in_flight=3)

    assert after.accounts["acme-us"] is not before.accounts["acme-us"]
    assert after.accounts["acme-us"].campaigns["june"] is before.accounts["acme-us"].campaigns["june"]


def test_what_an_account_says_for_all_reaches_its_campaigns() -> None:
    before = plan("june", {"id": "july", "calling_hours": OTHER_HOURS})

    after = plan("june", {"id": "july", "calling_hours": OTHER_HOURS}, before=before, calling_hours=HOURS)

    campaigns = after.accounts["acme-us"].campaigns
    assert campaigns["june"].hours is not None
    assert campaigns["june"].hours.default_timezone == "Asia/Kolkata"
    assert campaigns["july"] is before.accounts["acme-us"].campaigns["july"]


def test_a_discovered_campaign_has_what_the_account_says() -> None:
    account = plan(labels={"team": "renewals"}, calling_hours=HOURS, discovery={}).accounts["acme-us"]

    campaign = discovered(account, "6c6f", "June")

    assert (campaign.id, campaign.name) == ("6c6f", "June")
    assert campaign.labels == (("team", "renewals"),)
    assert campaign.hours is account.hours is not None


def test_only_this_shards_accounts_are_planned_and_all_are_hashed() -> None:
    everything = settings("june")
    shards = [
        plan_of(
            everything.model_copy(update={"shard": everything.shard.model_copy(update={"count": 2, "index": index})})
        )
        for index in (0, 1)
    ]

    assert sorted([*shards[0].accounts, *shards[1].accounts]) == ["acme-in", "acme-us"]
    assert shards[0].config_hash == shards[1].config_hash


def test_the_settings_of_a_plan_hold_no_campaigns() -> None:
    given = settings("june")

    kept = plan_of(given).settings

    assert [account.name for account in kept.accounts] == ["acme-us", "acme-in"]
    assert [account.campaigns for account in kept.accounts] == [(), ()]
    assert [len(account.campaigns) for account in given.accounts] == [1, 1]
