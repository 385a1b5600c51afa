"""Which shard serves an account: stable over releases, even, and with few moves."""

from collections import Counter

import pytest

from exporter.config.plan import shard_of

ACCOUNTS = [f"account-{number}" for number in range(300)]


@pytest.mark.parametrize(
    ("account", "shards"),
    [
        ("acme-us", [0, 0, 0, 10, 87]),
        ("acme-in", [0, 0, 2, 4, 82]),
        ("Größe", [0, 1, 1, 15, 74]),
        ("", [0, 1, 2, 11, 49]),
        ("\ud800", [0, 0, 2, 4, 44]),
    ],
)
def test_an_account_keeps_its_shard_across_releases(account: str, shards: list[int]) -> None:
    assert [shard_of(account, count) for count in (1, 2, 3, 16, 100)] == shards


@pytest.mark.parametrize("count", range(1, 13))
def test_all_shards_together_serve_every_account_exactly_once(count: int) -> None:
    served = [account for index in range(count) for account in ACCOUNTS if shard_of(account, count) == index]

    assert sorted(served) == sorted(ACCOUNTS)


@pytest.mark.parametrize("count", range(1, 12))
def test_one_more_shard_takes_its_share_and_moves_nothing_else(count: int) -> None:
    moved = [account for account in ACCOUNTS if shard_of(account, count) != shard_of(account, count + 1)]
    share = len(ACCOUNTS) / (count + 1)

    assert {shard_of(account, count + 1) for account in moved} == {count}
    assert 0.7 * share <= len(moved) <= 1.3 * share


@pytest.mark.parametrize("count", [2, 3, 4, 8])
def test_accounts_are_spread_evenly(count: int) -> None:
    served = Counter(shard_of(account, count) for account in ACCOUNTS)
    share = len(ACCOUNTS) / count

    assert set(served) == set(range(count))
    assert max(served.values()) <= 1.35 * share
    assert min(served.values()) >= 0.65 * share
