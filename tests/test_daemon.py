"""The whole exporter against real servers: reloading, readiness, and what the page shows meanwhile."""

import asyncio
import gc
import json
import logging
import ssl
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import pytest
import trustme

from exporter.config.model import Settings
from exporter.config.plan import shard_of
from exporter.config.section import ConfigurationError
from exporter.daemon import _reload_on_change
from exporter.exposition.account_families import POLLING_FAMILIES
from exporter.exposition.attempt_families import ATTEMPT_FAMILIES
from exporter.exposition.families import CAMPAIGN_FAMILIES
from exporter.polling.transports import transport_of
from tests.exporting import (
    EPOCH,
    Upstream,
    anyreach_account,
    anyreach_stats,
    exporting,
    osvi_account,
    settings_of,
    stats_path,
    status_path,
    upstream,
)
from tests.scripted import leaves

pytestmark = pytest.mark.virtual_time

# The account is served by the other shard.
NO_ACCOUNTS: dict[str, Any] = {
    "accounts": [osvi_account("http://127.0.0.1", 7)],
    "shard": {"count": 2, "index": 1 - shard_of("acme-in", 2)},
}


def both(served: Upstream, **poll: Any) -> dict[str, Any]:
    """One account of each provider, with two campaigns each."""
    return {
        "poll": poll,
        "accounts": [anyreach_account(served.url, "june", "july"), osvi_account(served.url, 7, 8)],
    }


async def test_both_providers_are_polled_and_shown() -> None:
    async with upstream() as served, exporting(both(served)) as running:
        assert not running.exporter.ready
        await asyncio.sleep(16)
        assert running.exporter.ready
        page = await running.page()
        assert page.all("campaign_up") == [1, 1, 1, 1]
        assert page.one("campaign_attempts", account="acme-us", campaign="june", provider="anyreach") == 1730
        assert page.one("campaign_calls", account="acme-in", campaign="7", status="picked") == 88
        assert page.one("campaign_exporter_polls_total", account="acme-in", result="success") == 2
        assert page.one("campaign_exporter_config_last_reload_successful") == 1
        assert running.redactor("ak_test.secret osvi-secret") == "<redacted> <redacted>"


class TestReload:
    async def test_a_bad_configuration_changes_nothing_and_is_shown(self, caplog: pytest.LogCaptureFixture) -> None:
        async with upstream() as served, exporting(both(served)) as running:
            await asyncio.sleep(30)
            before = await running.page()
            bad = both(served)
            bad["accounts"][0]["campaigns"] = [{"id": "august"}]
            bad["accounts"][1]["campaigns"] = [{"id": 0}]
            error = await running.reload(bad)
            assert error is not None
            assert "accounts[1].campaigns[0].id" in error
            after = await running.page()
            assert after.one("campaign_exporter_config_last_reload_successful") == 0
            for name in ("campaign_info", "campaign_observed_seconds_total", "campaign_exporter_config_hash"):
                assert after.all(name) == before.all(name)
            stamp = "campaign_exporter_config_last_reload_success_timestamp_seconds"
            assert after.one(stamp) == before.one(stamp)
            assert [record.levelname for record in caplog.records] == ["ERROR"]
            await asyncio.sleep(15)
            assert min((await running.page()).all("campaign_last_success_timestamp_seconds")) > max(
                before.all("campaign_last_success_timestamp_seconds")
            )
            assert await running.reload(both(served)) is None
            assert (await running.page()).one("campaign_exporter_config_last_reload_successful") == 1

    async def test_any_exception_leaves_the_old_configuration_in_force(self, caplog: pytest.LogCaptureFixture) -> None:
        def broken() -> Settings:
            raise ZeroDivisionError("nobody has foreseen it")

        async with upstream() as served, exporting(both(served)) as running:
            await asyncio.sleep(30)
            error = await running.exporter.reload(broken)
            assert error is not None
            assert "ZeroDivisionError" in error
            assert "nobody has foreseen it" in caplog.text
            page = await running.page()
            assert page.one("campaign_exporter_config_last_reload_successful") == 0
            assert page.values_of("campaign") == {"june", "july", "7", "8"}
            polls = len(served.requests)
            await asyncio.sleep(30)
            assert len(served.requests) >= polls + 4
            assert await running.reload(both(served)) is None
            assert (await running.page()).one("campaign_exporter_config_last_reload_successful") == 1

    @pytest.mark.parametrize("reloaded", [True, False], ids=["by a reload", "by themselves"])
    async def test_certificates_are_followed_by_content(self, tmp_path: Path, reloaded: bool) -> None:
        authority, file = trustme.CA(), tmp_path / "ca.pem"
        trustme.CA().cert_pem.write_to_path(str(file))
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("localhost").configure_cert(tls)
        async with upstream(tls) as served:
            account = anyreach_account(served.url, "june", http={"ca_file": str(file)})
            async with exporting({"accounts": [account]}) as running:
                await asyncio.sleep(40)
                assert (await running.page()).all("campaign_poll_error", reason="tls") == [1]
                authority.cert_pem.write_to_path(str(file))
                if reloaded:
                    assert await running.reload({"accounts": [account]}) is None
                await asyncio.sleep(61)
                assert (await running.page()).all("campaign_up") == [1]

    async def test_certificates_that_are_half_replaced_leave_the_old_ones(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        authority, file = trustme.CA(), tmp_path / "ca.pem"
        authority.cert_pem.write_to_path(str(file))
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("localhost").configure_cert(tls)
        async with upstream(tls) as served:
            account = anyreach_account(served.url, "june", http={"ca_file": str(file)})
            async with exporting({"accounts": [account]}) as running:
                await asyncio.sleep(40)
                file.write_text("half a certificate")
                await asyncio.sleep(120)
                assert (await running.page()).all("campaign_up") == [1]
                assert len(caplog.records) == 1

    async def test_certificates_that_cannot_be_used_change_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "ca.pem").write_text("no certificate")
        async with upstream() as served, exporting(both(served)) as running:
            await asyncio.sleep(30)
            account = running.exporter.accounts["acme-us"]
            bad = both(served)
            bad["accounts"][0]["campaigns"] = []
            bad["accounts"][1]["http"] = {"ca_file": str(tmp_path / "ca.pem")}
            bad["accounts"].append(anyreach_account(served.url, "new", name="new"))
            error = await running.reload(bad)
            assert error is not None
            assert "accounts[1].http.ca_file: expected certificates as PEM" in error
            assert running.exporter.accounts["acme-us"] is account
            page = await running.page()
            assert page.values_of("campaign") == {"june", "july", "7", "8"}
            assert page.one("campaign_exporter_config_last_reload_successful") == 0

    async def test_unchanged_campaigns_keep_state_counters_pace_and_connections(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        async with upstream() as served, exporting(both(served)) as running:
            served.answers[stats_path("june")] = anyreach_stats(attempts=100)
            await asyncio.sleep(61)
            served.answers[stats_path("june")] = anyreach_stats(attempts=130)
            await asyncio.sleep(60)
            connections = len(served.connections)
            caplog.clear()
            changed = both(served)
            changed["accounts"][0]["campaigns"] = [{"id": "june"}, {"id": "august", "name": "new"}]
            changed["accounts"][1]["campaigns"][1]["labels"] = {"team": "renewals"}
            before = await running.page()
            assert await running.reload(changed) is None
            after = await running.page()
            assert after.names(campaign="july") == set()
            assert after.one("campaign_info", campaign="new", campaign_id="august") == 1
            assert after.values_of("team") == {"renewals"}
            assert after.names(campaign="8") == after.names(campaign="8", team="renewals") == before.names(campaign="8")
            for campaign in ("june", "7", "8"):
                for name in ("campaign_observed_seconds_total", "campaign_last_success_timestamp_seconds"):
                    assert after.one(name, campaign=campaign) == before.one(name, campaign=campaign)
            assert after.one("campaign_observed_attempts_total", campaign="june") == 30
            name = "campaign_exporter_polls_total"
            polls = (before.one(name, account="acme-us", result="success") or 0.0) + 1.0
            # The new campaign may have been polled by now.
            assert after.one(name, account="acme-us", result="success") in {polls - 1.0, polls}
            (record,) = (r for r in caplog.records if r.getMessage() == "configuration reloaded")
            assert [vars(record)[key] for key in ("added", "removed", "changed")] == [1, 1, 1]
            reloaded_at = asyncio.get_running_loop().time()
            await asyncio.sleep(60)
            page = await running.page()
            assert page.one("campaign_up", campaign="new") == 1
            assert page.one("campaign_observed_seconds_total", campaign="june") == pytest.approx(165, abs=20)
            assert len(served.connections) == connections
            assert stats_path("july") not in served.paths(since=reloaded_at)
            for path in (stats_path("june"), status_path(7)):
                moments = [at for at, asked, _ in served.requests if asked == path]
                assert min(later - earlier for earlier, later in pairwise(moments)) >= 15

    async def test_a_changed_interval_and_budget_apply_at_once(self) -> None:
        async with upstream() as served, exporting(both(served, active_interval="60s")) as running:
            await asyncio.sleep(130)
            assert set((await running.page()).all("campaign_poll_interval_seconds")) == {60}
            assert await running.reload(both(served, active_interval="5s", stale_after="20s")) is None
            reloaded_at = asyncio.get_running_loop().time()
            await asyncio.sleep(30)
            page = await running.page()
            assert set(page.all("campaign_poll_interval_seconds")) == {5}
            assert set(page.all("campaign_stale_after_seconds")) == {20}
            assert 5 <= served.paths(since=reloaded_at).count(stats_path("june")) <= 7
            slower = both(served, active_interval="5s")
            slower["accounts"][0]["max_requests_per_second"] = 0.1
            assert await running.reload(slower) is None
            await asyncio.sleep(1)
            page = await running.page()
            assert set(page.all("campaign_poll_interval_seconds", account="acme-us")) == {20}
            assert set(page.all("campaign_poll_interval_seconds", account="acme-in")) == {5}

    @pytest.mark.parametrize("key", ["active_interval", "idle_interval", "closed_interval", "stale_after"])
    async def test_another_interval_keeps_the_connections(self, key: str) -> None:
        async with upstream() as served, exporting(both(served)) as running:
            await asyncio.sleep(30)
            connections = len(served.connections)
            assert await running.reload(both(served, **{key: "20s"})) is None
            await asyncio.sleep(60)
            assert set((await running.page()).all("campaign_up")) == {1}
            assert len(served.connections) == connections

    async def test_another_base_url_starts_afresh(self) -> None:
        async with upstream() as served, upstream() as other, exporting(both(served)) as running:
            await asyncio.sleep(60)
            moved = both(served)
            moved["accounts"][0]["base_url"] = other.url
            assert await running.reload(moved) is None
            moved_at = asyncio.get_running_loop().time()
            page = await running.page()
            # The first of an account's campaigns is polled at once.
            assert page.names(account="acme-us", campaign="july") == {
                "campaign_info",
                "campaign_state",
                "campaign_poll_interval_seconds",
                "campaign_stale_after_seconds",
                "campaign_stall_after_seconds",
            }
            polls = page.one("campaign_exporter_polls_total", account="acme-us", result="success")
            assert polls is not None
            assert polls <= 1
            await asyncio.sleep(20)
            assert stats_path("june") in other.paths()
            assert {path for path in served.paths(since=moved_at) if path.startswith("/campaign")} == set()
            page = await running.page()
            assert page.one("campaign_observed_attempts_total", campaign="june") == 0
            assert running.exporter.ready

    async def test_an_account_that_goes_takes_all_its_series_along(self) -> None:
        async with upstream() as served, exporting(both(served)) as running:
            await asyncio.sleep(30)
            smaller = both(served)
            del smaller["accounts"][0]
            assert await running.reload(smaller) is None
            page = await running.page()
            assert page.values_of("account") == {"acme-in"}
            gone_at = asyncio.get_running_loop().time()
            await asyncio.sleep(60)
            assert all(path.startswith("/v1") for path in served.paths(since=gone_at))

    async def test_it_happens_between_two_turns_of_the_loop(self) -> None:
        async with upstream() as served, upstream() as other, exporting(both(served)) as running:
            await asyncio.sleep(30)
            old = {"june", "july", "7", "8"}
            seen: set[frozenset[str]] = set()
            done = asyncio.Event()

            async def watch() -> None:
                column = next(lines for family, lines in running.exporter.exposition._board.columns())
                while not done.is_set():
                    text = b"".join(column).decode()
                    names = old | {"august", "9"}
                    seen.add(frozenset(name for name in names if f'campaign="{name}"' in text))
                    await asyncio.sleep(0)

            watching = asyncio.create_task(watch())
            await asyncio.sleep(0)
            moved = {
                "accounts": [
                    anyreach_account(other.url, "august"),
                    osvi_account(served.url, 8, 9, http={"insecure_skip_verify": True}),
                ]
            }
            assert await running.reload(moved) is None
            done.set()
            await watching
            assert seen == {frozenset(old), frozenset({"august", "8", "9"})}

    async def test_reloads_never_overlap(self) -> None:
        async with upstream() as served, exporting(both(served)) as running:
            lock = threading.Lock()
            overlaps: list[bool] = []

            def load() -> Settings:
                overlaps.append(not lock.acquire(blocking=False))
                time.sleep(0.02)
                lock.release()
                return settings_of(both(served))

            assert await asyncio.gather(*(running.exporter.reload(load) for _ in range(4))) == [None] * 4
            assert overlaps == [False] * 4

    async def test_connections_that_were_replaced_are_closed_whatever_comes_next(self) -> None:
        problems: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
        async with upstream() as served, exporting(both(served)) as running:
            await asyncio.sleep(20)
            retired = []
            for size in (1_000_001, 1_000_002, 1_000_003):
                retired += [account._transport for account in running.exporter.accounts.values()]
                assert await running.reload(both(served, max_body_bytes=size)) is None
                await asyncio.sleep(0.5)
            await asyncio.sleep(11)
            assert len(retired) == 6
            assert all(transport._session is not None and transport._session.closed for transport in retired)
            assert set((await running.page()).all("campaign_up")) == {1}
            assert await running.reload(both(served)) is None
            retired = [account._transport for account in running.exporter.accounts.values()]
        assert all(transport._session is not None and transport._session.closed for transport in retired)
        gc.collect()
        assert problems == []

    async def test_one_that_fails_leaves_the_hidden_secrets_as_they_were(self, tmp_path: Path) -> None:
        async with upstream() as served:
            host = served.url.removeprefix("http://")
            before = both(served)
            before["accounts"][0]["http"] = {"proxy_url": f"http://user:in-force@{host}"}
            ca_file = tmp_path / "ca.pem"

            def load(wanted: dict[str, Any]) -> Settings:
                """A certificate that is gone between the check of the configuration and its use."""
                trustme.CA().cert_pem.write_to_path(ca_file)
                settings = settings_of(wanted)
                ca_file.unlink()
                return settings

            async with exporting(before) as running:
                await asyncio.sleep(20)
                for number, bad in enumerate(("new", "acme-in", "acme-in")):
                    wanted = both(served)
                    wanted["accounts"] += [
                        anyreach_account(served.url, "june", name="newer", token="ak_newer.secret"),
                        anyreach_account(served.url, "june", name="new", token="ak_new.secret"),
                    ]
                    for account in wanted["accounts"]:
                        proxy = f"http://user:refused-{number}@{host}"
                        account["http"] = {"ca_file": str(ca_file)} if account["name"] == bad else {"proxy_url": proxy}
                    error = await running.exporter.reload(lambda wanted=wanted: load(wanted))  # type: ignore[misc]
                    assert "certificates can't be used" in (error or "")
                assert running.redactor("in-force") == "<redacted>"
                shown = "ak_newer.secret ak_new.secret refused-0 refused-1 refused-2"
                assert running.redactor(shown) == shown
                assert len(running.redactor.accounts) == 2

    async def test_connections_that_are_replaced_while_an_account_ends_are_closed(self) -> None:
        async with upstream() as served, exporting(both(served)) as running:
            await asyncio.sleep(20)
            account = running.exporter.accounts["acme-us"]
            transports = [account._transport]
            account.close()
            await account.reconnect(transport_of(account.settings, account.poll, account.shared.wall, account.secrets))
            transports.append(account._transport)
        assert [transport._session is not None and transport._session.closed for transport in transports] == [True] * 2

    async def test_polls_under_way_end_over_the_connections_they_began_with(self) -> None:
        async with upstream() as served, exporting(both(served)) as running:
            await asyncio.sleep(20)
            served.latency = 4
            answered = len(served.requests)
            while len(served.requests) == answered:  # noqa: ASYNC110 -- the server sends no event
                await asyncio.sleep(0.1)
            assert await running.reload(both(served, active_interval="20s", timeout="1s")) is None
            served.latency = 0
            await asyncio.sleep(30)
            page = await running.page()
            assert set(page.all("campaign_up")) == {1}
            assert set(page.all("campaign_exporter_polls_total", result="protocol")) == {0}


class TestReadiness:
    async def test_it_waits_for_the_first_poll_of_every_campaign(self) -> None:
        async with upstream() as served, exporting(both(served)) as running:
            await asyncio.sleep(7)
            assert not running.exporter.ready
            await asyncio.sleep(1)
            assert running.exporter.ready

    async def test_a_failed_poll_counts(self) -> None:
        async with upstream() as served, exporting(both(served)) as running:
            served.valid = set()
            await asyncio.sleep(1)
            assert running.exporter.ready

    async def test_a_reload_never_takes_it_back_even_if_nobody_had_asked(self) -> None:
        async with upstream() as served, exporting(both(served)) as running:
            await asyncio.sleep(20)
            bigger = both(served)
            bigger["accounts"][0]["campaigns"] += [{"id": f"new{place}"} for place in range(10)]
            bigger["accounts"].append(anyreach_account(served.url, "august", name="third"))
            assert await running.reload(bigger) is None
            assert running.exporter.ready

    async def test_an_exporter_with_no_campaigns_is_ready(self) -> None:
        async with exporting(NO_ACCOUNTS) as running:
            assert running.exporter.ready


class TestToken:
    @pytest.fixture
    def token_file(self, tmp_path: Path) -> Path:
        return self.hold(tmp_path / "token", "ak_old.secret\n")

    @staticmethod
    def hold(path: Path, token: str | None) -> Path:
        """Have a file hold a token, or be gone."""
        if token is None:
            path.unlink()
        else:
            path.write_text(token)
        return path

    def configuration(self, served: Upstream, token_file: Path) -> dict[str, Any]:
        campaigns = [f"c{place}" for place in range(100)]
        account = anyreach_account(served.url, *campaigns, token_file=str(token_file), max_requests_per_second=200)
        return {"poll": {"active_interval": "2s"}, "accounts": [account]}

    async def test_a_repaired_file_heals_all_campaigns_within_seconds(self, token_file: Path) -> None:
        async with upstream() as served, exporting(self.configuration(served, token_file)) as running:
            served.valid = {"ak_new.secret"}
            await asyncio.sleep(30)
            page = await running.page()
            assert page.one("campaign_exporter_breaker_open") == 1
            assert page.all("campaign_poll_error", reason="unauthorized") == [1] * 100
            assert page.all("campaign_up") == [0] * 100
            assert len(served.requests) <= 3
            self.hold(token_file, "ak_new.secret\n")
            await asyncio.sleep(5)
            page = await running.page()
            assert page.one("campaign_exporter_breaker_open") == 0
            assert page.all("campaign_up") == [1] * 100
            assert page.all("campaign_poll_error") == []
            assert running.redactor("ak_old.secret ak_new.secret") == "<redacted> <redacted>"

    async def test_a_file_that_goes_fails_as_credentials_and_heals_when_it_is_back(self, token_file: Path) -> None:
        async with upstream() as served, exporting(self.configuration(served, token_file)) as running:
            await asyncio.sleep(10)
            self.hold(token_file, None)
            await asyncio.sleep(6)
            asked = len(served.requests)
            await asyncio.sleep(10)
            page = await running.page()
            assert page.all("campaign_poll_error", reason="credentials") == [1] * 100
            assert page.one("campaign_exporter_breaker_open") == 0
            assert len(served.requests) == asked
            self.hold(token_file, "ak_old.secret")
            await asyncio.sleep(6)
            assert (await running.page()).all("campaign_up") == [1] * 100

    async def test_only_a_reload_with_another_token_closes_the_breaker(self) -> None:
        async with upstream() as served, exporting(both(served)) as running:
            served.valid = {"osvi-secret", "ak_new.secret"}
            await asyncio.sleep(5)
            assert running.exporter.accounts["acme-us"].breaker.is_open
            asked = len(served.requests)
            assert await running.reload(both(served, idle_interval="90s")) is None
            assert running.exporter.accounts["acme-us"].breaker.is_open
            await asyncio.sleep(2)
            assert not [path for path in served.paths()[asked:] if path.startswith("/campaign")]
            repaired = both(served, idle_interval="90s")
            repaired["accounts"][0]["token"] = "ak_new.secret"
            assert await running.reload(repaired) is None
            assert not running.exporter.accounts["acme-us"].breaker.is_open
            await asyncio.sleep(16)
            assert set((await running.page()).all("campaign_up")) == {1}


class TestHours:
    HOURS: ClassVar = {
        "timezone": "Asia/Kolkata",
        "windows": [{"days": ["mon", "tue", "wed", "thu", "fri"], "start": "09:00", "end": "19:00"}],
    }
    # Monday, 1 June 2026, 09:00 in Kolkata.
    OPENING = 1_780_284_600.0

    async def test_expectation_changes_with_the_hours_without_any_poll(self) -> None:
        loop = asyncio.get_running_loop()
        begin = loop.time()

        def hours_wall() -> float:
            return self.OPENING - 120 + loop.time() - begin

        async with upstream() as served:
            account = osvi_account(served.url, 7, calling_hours=self.HOURS)
            configuration = {"poll": {"active_interval": "1d"}, "accounts": [account]}
            async with exporting(configuration, hours_wall=hours_wall) as running:
                await asyncio.sleep(119.5)
                page = await running.page()
                assert page.one("campaign_dialing_expected") == 0
                assert page.one("campaign_calling_window_open", timezone="Asia/Kolkata") == 0
                assert page.one("campaign_calling_windows") == 1
                assert page.one("campaign_dialing_expected_since_timestamp_seconds") is None
                await asyncio.sleep(1.5)
                page = await running.page()
                assert page.one("campaign_dialing_expected") == 1
                assert page.one("campaign_calling_window_open") == 1
                since = page.one("campaign_dialing_expected_since_timestamp_seconds")
                assert since == pytest.approx(running.exporter._wall() - 0.5, abs=1)
                await asyncio.sleep(10 * 3600 - 2)
                page = await running.page()
                assert page.one("campaign_dialing_expected") == 1
                assert page.one("campaign_dialing_expected_since_timestamp_seconds") == since
                await asyncio.sleep(2)
                page = await running.page()
                assert page.one("campaign_dialing_expected") == 0
                assert page.one("campaign_dialing_expected_since_timestamp_seconds") is None
                assert len(served.requests) == 1

    async def test_hours_that_a_reload_changes_hold_at_once(self) -> None:
        async with upstream() as served:
            closed = osvi_account(served.url, 7, calling_hours=self.HOURS)
            open_ = osvi_account(served.url, 7, calling_windows="always")
            async with exporting({"accounts": [closed]}, hours_wall=lambda: self.OPENING - 60) as running:
                await asyncio.sleep(5)
                assert (await running.page()).one("campaign_dialing_expected") == 0
                assert await running.reload({"accounts": [open_]}) is None
                page = await running.page()
                assert page.one("campaign_dialing_expected") == 1
                assert page.one("campaign_calling_windows") is None
                assert await running.reload({"accounts": [osvi_account(served.url, 7)]}) is None
                page = await running.page()
                assert page.one("campaign_dialing_expected") is None
                assert page.one("campaign_dialing_expected_since_timestamp_seconds") is None
                assert len(served.requests) == 1


class TestWatchedFile:
    async def watch(self, running: Any, contents: list[bytes | None], seconds: float) -> int:
        reloads = 0

        async def reload() -> None:
            nonlocal reloads
            reloads += 1

        def read() -> bytes | None:
            return contents.pop(0) if len(contents) > 1 else contents[0]

        task = asyncio.create_task(_reload_on_change(running.exporter, read, reload))
        await asyncio.sleep(seconds)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return reloads

    async def test_a_changed_content_reloads_once(self) -> None:
        async with exporting(NO_ACCOUNTS | {"reload": {"auto_interval": "10s"}}) as running:
            assert await self.watch(running, [b"one", b"one", b"two", b"two"], 100) == 1

    async def test_a_content_that_is_seen_once_is_not_loaded(self) -> None:
        async with exporting(NO_ACCOUNTS | {"reload": {"auto_interval": "10s"}}) as running:
            assert await self.watch(running, [b"one", b"one", b"", b"one"], 100) == 0
            assert await self.watch(running, [b"one", b"two", b"three", b"four", b"five"], 45) == 0

    async def test_it_is_tried_again_at_each_check_after_a_failure(self, caplog: pytest.LogCaptureFixture) -> None:
        async with exporting(NO_ACCOUNTS | {"reload": {"auto_interval": "10s"}}) as running:
            assert await running.reload({"accounts": "none"}) is not None
            assert await self.watch(running, [b"one"], 101) == 10

    async def test_a_file_that_is_empty_for_a_while_takes_nothing_away(self, caplog: pytest.LogCaptureFixture) -> None:
        async with upstream() as served:
            whole = {**both(served), "reload": {"auto_interval": "1s"}}
            file = [json.dumps(whole)]
            async with exporting(whole) as running:

                async def reload() -> str | None:
                    return await running.exporter.reload(lambda: settings_of(json.loads(file[0] or "{}")))

                def read() -> bytes:
                    return file[0].encode()

                watching = asyncio.create_task(_reload_on_change(running.exporter, read, reload))
                await asyncio.sleep(30)
                before = await running.page()
                file[0] = ""
                await asyncio.sleep(5)
                page = await running.page()
                assert page.one("campaign_exporter_config_last_reload_successful") == 0
                assert page.all("campaign_info") == before.all("campaign_info")
                # Each cause is reported once.
                assert len(caplog.records) == 1
                file[0] = json.dumps({**whole, "poll": {"active_interval": "20s"}})
                await asyncio.sleep(5)
                page = await running.page()
                assert page.one("campaign_exporter_config_last_reload_successful") == 1
                assert set(page.all("campaign_poll_interval_seconds")) == {20}
                watching.cancel()

    async def test_a_file_that_cannot_be_read_for_a_moment_does_not(self) -> None:
        async with exporting(NO_ACCOUNTS | {"reload": {"auto_interval": "10s"}}) as running:
            assert await self.watch(running, [b"one", None, b"one"], 100) == 0

    async def test_nothing_is_reloaded_without_an_interval(self) -> None:
        async with exporting(NO_ACCOUNTS) as running:
            assert await self.watch(running, [b"one", b"two"], 100) == 0


async def test_a_loop_that_dies_is_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    async with upstream() as served:

        async def run() -> None:
            async with exporting(both(served)) as running:
                await asyncio.sleep(20)
                monkeypatch.setattr(running.exporter._shared.watch, "refresh", broken)
                await asyncio.sleep(1000)

        with pytest.raises(ExceptionGroup) as caught:
            await run()
    assert [type(error) for error in leaves(caught.value)] == [ZeroDivisionError]


async def test_an_account_that_dies_is_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    async with upstream() as served:

        async def run() -> None:
            async with exporting(both(served)) as running:
                await asyncio.sleep(20)
                monkeypatch.setattr(running.exporter.accounts["acme-us"].poller, "changed", broken)
                await asyncio.sleep(1000)

        with pytest.raises(ExceptionGroup) as caught:
            await run()
    assert [type(error) for error in leaves(caught.value)] == [ZeroDivisionError]


async def test_only_this_shards_accounts_are_polled() -> None:
    async with upstream() as served:
        accounts = [osvi_account(served.url, 7, name=f"account-{place}") for place in range(8)]
        shown = []
        for index in range(2):
            async with exporting({"accounts": accounts, "shard": {"index": index, "count": 2}}) as running:
                await asyncio.sleep(2)
                page = await running.page()
                assert page.one("campaign_exporter_shard_index") == index
                assert page.one("campaign_exporter_shards") == 2
                shown.append(page.values_of("account"))
        assert shown[0] | shown[1] == {f"account-{place}" for place in range(8)}
        assert not shown[0] & shown[1]
        assert all(shown)


async def test_a_configuration_that_cannot_start_starts_nothing(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    async with upstream() as served:
        bad = both(served)
        bad["accounts"][1]["http"] = {"ca_file": str(tmp_path / "ca.pem")}
        with pytest.raises(ConfigurationError, match=r"accounts\[1\]\.http\.ca_file: expected certificates as PEM"):
            async with exporting(bad):
                pass
        assert served.requests == []


class TestClocks:
    async def test_a_stall_shows_at_the_scrape_after_it_without_any_poll(self) -> None:
        async with upstream() as served:
            account = osvi_account(served.url, 7, calling_windows="always", stall_after="15m")
            async with exporting({"poll": {"active_interval": "1d"}, "accounts": [account]}) as running:
                await asyncio.sleep(899)
                assert (await running.page()).values_of("state", campaign="7") >= {"dialing"}
                await asyncio.sleep(3)
                page = await running.page()

        assert page.one("campaign_state", campaign="7", state="stalled") == 1
        assert len(page.all("campaign_state", campaign="7")) == 1

    async def test_a_wall_clock_that_is_set_back_leaves_no_time_stamp_in_the_future(self) -> None:
        loop = asyncio.get_running_loop()
        ahead = 86400.0

        def wall() -> float:
            return EPOCH + loop.time() + ahead

        async with upstream() as served:
            served.answers |= {"/campaign/campaigns": [], "/v1/calls": {"success": True, "data": []}}
            accounts = [
                anyreach_account(served.url, "june", discovery={}),
                osvi_account(served.url, 7, attempts={"refresh_interval": "1d"}),
            ]
            configuration = {"poll": {"active_interval": "1d"}, "accounts": accounts}
            async with exporting(configuration, wall=wall) as running:
                await asyncio.sleep(10)
                before = await running.page()
                ahead = 0.0
                await asyncio.sleep(2)
                page = await running.page()
                now = EPOCH + loop.time()

        names = {name for name in before.names() if name.endswith("timestamp_seconds")} - {
            "campaign_created_timestamp_seconds",  # the provider's
            # 0 without a web configuration.
            "campaign_exporter_web_config_last_reload_success_timestamp_seconds",
        }
        of_accounts = [row.name for row in (*CAMPAIGN_FAMILIES, *ATTEMPT_FAMILIES)] + [
            row.name for row in POLLING_FAMILIES
        ]
        assert {name for name in of_accounts if name.endswith("timestamp_seconds")} - names == {
            "campaign_created_timestamp_seconds",
            "campaign_attempts_oldest_open_timestamp_seconds",  # the provider's too
        }
        assert [name for name in names if min(before.all(name)) <= now] == []
        assert [name for name in names if max(page.all(name)) > now] == []
