import asyncio
import json
import signal
import socket
import sys
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from exporter.providers.errors import REASONS
from exporter.simulator import ManualClock, Scenario, Servers, demo, serving
from tests.process import answers, exporter, prometheus, query, running, text, until

START = 1_780_000_000.0
Labels = frozenset[tuple[str, str]]


def samples_of(page: str) -> dict[str, dict[Labels, float]]:
    found: dict[str, dict[Labels, float]] = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            found.setdefault(sample.name, {})[frozenset(sample.labels.items())] = sample.value
    return found


def by(samples: dict[Labels, float], *names: str) -> dict[tuple[str, ...], float]:
    """Samples keyed by some of their labels."""
    return {tuple(dict(labels)[name] for name in names): value for labels, value in samples.items()}


def written(scenario: Scenario, servers: Servers, directory: Path) -> Path:
    configuration = scenario.configuration(servers) | {"poll": {"active_interval": "1s", "idle_interval": "1s"}}
    file = directory / "campaign-exporter.yml"
    file.write_text(json.dumps(configuration), encoding="utf-8")  # JSON is YAML
    return file


async def assert_promtool_has_no_complaint(page: str) -> None:
    check = await asyncio.create_subprocess_exec(
        "promtool",
        "check",
        "metrics",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    complaints, _ = await check.communicate(page.encode())
    assert (check.returncode, complaints.decode()) == (0, "")


def scrape_configuration(address: str) -> str:
    target = {"targets": [address.removeprefix("http://")]}
    job = {"job_name": "campaign-exporter", "scrape_interval": "1s", "static_configs": [target]}
    return json.dumps({"scrape_configs": [job]})


async def test_the_process_shows_what_the_providers_hold_to_a_real_prometheus_and_ends_well(tmp_path: Path) -> None:
    clock = ManualClock(START)
    scenario = demo(clock)
    async with serving(scenario.world) as servers:
        file = written(scenario, servers, tmp_path)
        async with exporter("--config.file", file) as (process, address):
            await until(lambda: answers(f"{address}/-/ready"))
            page = await text(f"{address}/metrics")
            shown = samples_of(page)

            assert_shows_what_the_simulator_holds(shown, scenario)
            assert set(by(shown["campaign_exporter_polls_total"], "result")) == {("success",), *((r,) for r in REASONS)}
            await assert_promtool_has_no_complaint(page)
            configuration = scrape_configuration(address)
            async with prometheus(tmp_path, configuration) as server:
                assert await until(lambda: query(server, 'up{job="campaign-exporter"} == 1'))
                attempts = await until(lambda: query(server, "campaign_attempts"))
                assert len(attempts) == len(shown["campaign_attempts"])

            process.signal(signal.SIGTERM)
            assert await process.ended() == 0
            assert "Traceback" not in process.log


def assert_shows_what_the_simulator_holds(shown: dict[str, dict[Labels, float]], scenario: Scenario) -> None:
    up = by(shown["campaign_up"], "account", "campaign")
    ids = {key[:2]: key[2] for key in by(shown["campaign_info"], "account", "campaign", "campaign_id")}
    contacts = by(shown["campaign_contacts"], "account", "campaign", "bucket")
    attempts = by(shown["campaign_attempts"], "account", "campaign")
    calls = by(shown["campaign_calls"], "account", "campaign", "status")
    made = by(shown["campaign_calls_made"], "account", "campaign")
    anyreach = osvi = 0
    for account in scenario.accounts:
        token = str(account["token"])
        for (name, campaign), campaign_id in ids.items():
            if name != account["name"] or not up[name, campaign]:
                continue
            if account["provider"] == "osvi":
                holder = scenario.world.osvi_account(token)
                assert holder is not None
                truth = holder.campaigns[int(campaign_id)]
                assert made[name, campaign] == sum(truth.calls.values())
                assert {s: n for (a, c, s), n in calls.items() if (a, c) == (name, campaign) and n} == {
                    s: n for s, n in truth.calls.items() if n
                }
                osvi += 1
            else:
                credential = scenario.world.credential(token)
                assert credential is not None
                found = credential.organization.find(campaign_id)
                assert found is not None
                assert attempts[name, campaign] == found.attempts_total
                assert sum(n for (a, c, _), n in contacts.items() if (a, c) == (name, campaign)) == len(found.contacts)
                anyreach += 1
    assert anyreach >= 5
    assert osvi >= 5


async def test_the_demo_needs_nothing_and_shows_both_providers_in_several_states(tmp_path: Path) -> None:
    async with exporter("demo", "--speed", "60", directory=tmp_path) as (process, address):
        await until(lambda: answers(f"{address}/-/ready"))
        page = await text(f"{address}/metrics")
        shown = samples_of(page)
        process.signal(signal.SIGINT)

        current = {labels: value for labels, value in shown["campaign_status"].items() if value}
        statuses = set(by(current, "provider", "status"))
        assert statuses >= {("anyreach", "active"), ("anyreach", "paused"), ("anyreach", "closed"), ("osvi", "active")}
        assert {reason for (reason,) in by(shown["campaign_poll_error"], "reason")} >= {"unauthorized", "not_found"}
        await assert_promtool_has_no_complaint(page)
        assert await process.ended() == 0


async def test_every_kind_of_metric_can_be_asked_for_by_name(tmp_path: Path) -> None:
    names = [
        "campaign_up",
        "campaign_exporter_build_info",
        "process_open_fds",
        "python_info",
        "python_gc_collections_total",
    ]
    async with exporter("demo", directory=tmp_path) as (_, address):
        await until(lambda: answers(f"{address}/-/ready"))

        for name in names:
            assert set(samples_of(await text(f"{address}/metrics?name[]={name}"))) == {name}


async def test_variables_alone_configure_a_container(tmp_path: Path) -> None:
    clock = ManualClock(START)
    scenario = demo(clock)
    async with serving(scenario.world) as servers:
        accounts = scenario.configuration(servers)["accounts"]
        environ = {
            "CAMPAIGN_EXPORTER_ACCOUNTS": json.dumps(accounts),
            "CAMPAIGN_EXPORTER_POLL__ACTIVE_INTERVAL": "1s",
            # What Kubernetes injects for a Service called campaign-exporter
            "CAMPAIGN_EXPORTER_PORT": "tcp://10.0.0.1:10077",
            "CAMPAIGN_EXPORTER_PORT_10077_TCP_ADDR": "10.0.0.1",
            "CAMPAIGN_EXPORTER_SERVICE_HOST": "10.0.0.1",
            "CAMPAIGN_EXPORTER_SERVICE_PORT": "10077",
        }
        async with exporter(environ=environ, directory=tmp_path) as (_, address):
            await until(lambda: answers(f"{address}/-/ready"))

            assert 'provider="osvi"' in await text(f"{address}/metrics")


MINIMAL = "accounts: [{name: acme, provider: osvi, token: 0123456789abcdef, campaigns: [{id: 7}]}]\n"


@pytest.mark.parametrize(
    ("configuration", "message"),
    [
        ("accounts: [", "campaign-exporter.yml:2: expected YAML"),
        (MINIMAL.replace("token: 0123456789abcdef", "token_file: missing"), "accounts[0].token_file"),
        (MINIMAL.replace("{id: 7}", "{id: 7, name: a}, {id: 8, name: a}"), "accounts[0].campaigns[1].name"),
        (MINIMAL + "poll: {active_interval: 0s}\n", "poll.active_interval"),
    ],
    ids=["no YAML", "missing token file", "two campaigns of one name", "interval of 0"],
)
async def test_a_wrong_configuration_is_told_in_one_line_and_ends_it(
    tmp_path: Path, configuration: str, message: str
) -> None:
    (tmp_path / "campaign-exporter.yml").write_text(configuration, encoding="utf-8")

    async with running(sys.executable, "-m", "exporter", directory=tmp_path) as process:
        assert await process.ended() == 2

    (line,) = process.log.splitlines()
    assert message in line


@pytest.mark.parametrize("kind", ["port in use", "host not ours", "no such host", "no such folder", "file"])
async def test_an_address_that_cannot_be_listened_on_is_status_1(tmp_path: Path, kind: str) -> None:
    (tmp_path / "campaign-exporter.yml").write_text(MINIMAL, encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = {
            "port in use": f"127.0.0.1:{taken.getsockname()[1]}",
            "host not ours": "192.0.2.1:10077",
            "no such host": "no-such-host.invalid:10077",
            "no such folder": f"unix:{tmp_path}/missing/exporter.sock",
            "file": f"unix:{tmp_path}/campaign-exporter.yml",
        }[kind]
        command = (sys.executable, "-m", "exporter", "--web.listen-address", address)

        async with running(*command, directory=tmp_path) as process:
            assert await process.ended() == 1

    (line,) = process.log.splitlines()
    assert line.startswith(f"cannot listen on {address}: ")


async def test_the_log_changes_with_a_reload_that_takes_effect_and_with_no_other(tmp_path: Path) -> None:
    file, certificates = tmp_path / "campaign-exporter.yml", tmp_path / "ca.pem"
    certificates.write_text("no certificate", encoding="utf-8")
    file.write_text(MINIMAL, encoding="utf-8")
    async with exporter(directory=tmp_path) as (process, _):
        in_json = MINIMAL + "log: {format: json}\n"
        file.write_text(
            in_json.replace("campaigns:", f"http: {{ca_file: {certificates}}}, campaigns:"), encoding="utf-8"
        )
        process.signal(signal.SIGHUP)
        await process.logged(r"level=error .*can't be reloaded.* error=.*certificates")

        file.write_text(in_json, encoding="utf-8")
        process.signal(signal.SIGHUP)
        await process.logged('"level":"info".*"msg":"configuration reloaded"')


async def test_a_reload_over_http_needs_the_flag_and_tells_what_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "campaign-exporter.yml"
    file.write_text(MINIMAL, encoding="utf-8")
    async with exporter("--web.enable-lifecycle", directory=tmp_path) as (process, address):
        async with aiohttp.ClientSession() as session:
            async with session.post(f"{address}/-/reload") as fine:
                assert fine.status == 200
            file.write_text(MINIMAL.replace("id: 7", "id: 0"), encoding="utf-8")
            async with session.put(f"{address}/-/reload") as wrong:
                assert wrong.status == 500
                assert "accounts[0].campaigns[0].id" in await wrong.text()
        shown = samples_of(await text(f"{address}/metrics"))
        assert list(shown["campaign_exporter_config_last_reload_successful"].values()) == [0]
        file.write_text(MINIMAL, encoding="utf-8")
        process.signal(signal.SIGHUP)
        await process.logged("configuration reloaded", after=process.log.index("can't be reloaded"))
