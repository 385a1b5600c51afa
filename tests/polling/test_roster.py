"""One campaign under two ids is polled once."""

import asyncio
import logging
from itertools import pairwise
from typing import Any

import pytest

from tests.exporting import anyreach_account, anyreach_stats, exporting, stats_path, upstream

pytestmark = pytest.mark.virtual_time

UUID = "6c6f7b0e-2f53-4b1e-9d0a-0d9a1c2b3d4e"


def warnings(caplog: pytest.LogCaptureFixture) -> list[tuple[Any, Any]]:
    """The ids of which one is polled, and the other one not."""
    records = (record for record in caplog.records if record.levelno == logging.WARNING)
    return [(vars(record)["campaign_id"], vars(record)["not_polled"]) for record in records]


@pytest.mark.parametrize("other", [UUID.upper(), UUID.replace("-", ""), "june"])
@pytest.mark.parametrize("first", [True, False])
async def test_two_configured_ids_that_answers_name_as_one(
    other: str, first: bool, caplog: pytest.LogCaptureFixture
) -> None:
    ids = (UUID, other) if first else (other, UUID)
    async with upstream() as served:
        for campaign_id in ids:
            served.answers[stats_path(campaign_id)] = anyreach_stats(campaign_id=UUID)
        async with exporting({"accounts": [anyreach_account(served.url, *ids)]}) as running:
            await asyncio.sleep(20)
            page = await running.page()
            assert page.values_of("campaign_id") == {ids[0]}
            assert page.one("campaign_account_active_calls") == 8
            assert warnings(caplog) == [ids]
            assert running.exporter.ready
            since = asyncio.get_running_loop().time()
            await asyncio.sleep(100)
            assert set(served.paths(since)) == {stats_path(ids[0])}
            # Nor does a reload bring it back.
            assert await running.reload({"accounts": [anyreach_account(served.url, *ids, labels={"a": "b"})]}) is None
            assert (await running.page()).values_of("campaign_id") == {ids[0]}
            assert len(warnings(caplog)) == 1


async def test_two_external_ids_of_one_campaign(caplog: pytest.LogCaptureFixture) -> None:
    async with upstream() as served:
        for campaign_id in ("june", "juin"):
            served.answers[stats_path(campaign_id)] = anyreach_stats(campaign_id=UUID)
        async with exporting({"accounts": [anyreach_account(served.url, "june", "juin", "july")]}) as running:
            await asyncio.sleep(20)
            assert (await running.page()).values_of("campaign_id") == {"june", "july"}
            assert warnings(caplog) == [("june", "juin")]


@pytest.mark.parametrize("configured", [UUID.upper(), UUID.replace("-", ""), "june", UUID])
async def test_a_configured_campaign_that_a_listing_spells_otherwise(
    configured: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with upstream() as served:
        served.answers["/campaign/campaigns"] = [{"id": UUID, "external_id": "june", "status": "active"}]
        account = anyreach_account(served.url, configured, calling_windows="unknown", discovery={})
        async with exporting({"accounts": [account]}) as running:
            await asyncio.sleep(40)
            assert (await running.page()).values_of("campaign_id") == {configured}
            moments = [at for at, path, _ in served.requests if path.endswith("/stats")]
            assert min(later - earlier for earlier, later in pairwise(moments)) >= 15
            assert len(warnings(caplog)) == (configured not in ("june", UUID))


async def test_two_discovered_ids_of_one_campaign_stay_one_at_each_listing() -> None:
    async with upstream() as served:
        served.answers["/campaign/campaigns"] = [{"id": one, "status": "active"} for one in ("june", "juin")]
        for campaign_id in ("june", "juin"):
            served.answers[stats_path(campaign_id)] = anyreach_stats(campaign_id=UUID)
        account = anyreach_account(served.url, calling_windows="unknown", discovery={"refresh_interval": "1m"})
        async with exporting({"accounts": [account]}) as running:
            await asyncio.sleep(200)
            assert sum(path.startswith("/campaign/campaigns?") for path in served.paths(0)) >= 3
            assert (await running.page()).values_of("campaign_id") == {"june"}
            assert served.paths(0).count(stats_path("juin")) == 1


async def test_a_listing_tells_which_configured_ids_are_one(caplog: pytest.LogCaptureFixture) -> None:
    async with upstream() as served:
        served.answers["/campaign/campaigns"] = [{"id": UUID, "external_id": "june", "status": "active"}]
        account = anyreach_account(served.url, UUID, "june", calling_windows="unknown", discovery={})
        async with exporting({"accounts": [account]}) as running:
            await asyncio.sleep(2)
            assert (await running.page()).values_of("campaign_id") == {UUID}
            assert warnings(caplog) == [(UUID, "june")]


async def test_the_other_id_is_polled_when_the_first_is_no_longer_configured() -> None:
    async with upstream() as served:
        for campaign_id in (UUID, "june"):
            served.answers[stats_path(campaign_id)] = anyreach_stats(campaign_id=UUID)
        async with exporting({"accounts": [anyreach_account(served.url, UUID, "june")]}) as running:
            await asyncio.sleep(20)
            assert await running.reload({"accounts": [anyreach_account(served.url, "june")]}) is None
            await asyncio.sleep(20)
            page = await running.page()
            assert page.one("campaign_up", campaign_id="june", campaign="june") is None
            assert page.one("campaign_up", campaign="june") == 1
