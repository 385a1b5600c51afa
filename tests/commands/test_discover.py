"""`campaign-exporter discover`: YAML that can be pasted whatever the provider's names hold."""

import argparse
import json
import sys
import unicodedata
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.commands.discover import Found, as_yaml, configurable, discover
from exporter.commands.upstream import upstreams
from exporter.config.model import AccountSettings, Settings
from exporter.config.sources import load
from exporter.config.yaml_file import read_file
from exporter.providers.listing import CampaignRecord
from exporter.providers.redaction import Redactor
from exporter.simulator import (
    ROUND_THE_CLOCK,
    Campaign,
    Configuration,
    Fault,
    ManualClock,
    Organization,
    Schedule,
    Servers,
    World,
    serving,
)
from tests.process import output_of
from tests.providers import loopback

KEY = "ak_acme.t0psecret"


class Simulated(NamedTuple):
    world: World
    servers: Servers
    organization: Organization
    always: Configuration

    def account(self, **keys: Any) -> dict[str, Any]:
        return {"name": "acme-us", "provider": "anyreach", "base_url": self.servers.anyreach, "token": KEY, **keys}

    def add(self, name: str, **keys: Any) -> Campaign:
        return self.organization.add_campaign(name, self.always, **keys)


@pytest.fixture
async def simulated() -> AsyncIterator[Simulated]:
    world = World(ManualClock(1_780_000_000.0))
    organization = world.add_organization()
    world.grant(KEY, organization)
    always = organization.add_configuration("Always", Schedule("UTC", ROUND_THE_CLOCK))
    async with serving(world) as servers:
        yield Simulated(world, servers, organization, always)


async def discovered(*accounts: Mapping[str, Any], **options: Any) -> list[Found]:
    settings = Settings.model_validate({"accounts": list(accounts)})
    return await discover(upstreams(settings, Redactor()), **options)


def names(found: Found) -> list[str]:
    return [campaign.name for campaign, _ in found.campaigns]


# --- What is listed


@pytest.mark.parametrize("listing", ["array", "envelope"])
async def test_all_pages_are_listed_but_for_closed_campaigns(simulated: Simulated, listing: Any) -> None:
    simulated.organization.listing = listing
    campaigns = [simulated.add(f"Campaign {number}") for number in range(150)]
    campaigns[0].close()
    campaigns[1].pause()

    (found,) = await discovered(simulated.account())

    assert {campaign.id for campaign, _ in found.campaigns} == {campaign.id for campaign in campaigns[1:]}
    assert [status for campaign, status in found.campaigns if campaign.name == "Campaign 1"] == ["paused"]
    assert found.problems == []


async def test_the_accounts_own_filters_hold_unless_others_are_given(simulated: Simulated) -> None:
    for name, close in (("June renewals", False), ("May renewals", True), ("Old survey", True)):
        campaign = simulated.add(name)
        if close:
            campaign.close()
    account = simulated.account(discovery={"statuses": ["closed"], "name_contains": "renewals"})

    (own,) = await discovered(account)
    (other_status,) = await discovered(account, statuses=["active"])
    (other_name,) = await discovered(account, name_contains="survey")

    assert (names(own), names(other_status)) == (["May renewals"], ["June renewals"])
    assert names(other_name) == ["Old survey"]


async def test_campaigns_that_are_configured_are_left_out_by_either_id(simulated: Simulated) -> None:
    june = simulated.add("June")
    simulated.add("May", external_id="crm:may")
    simulated.add("April")

    (found,) = await discovered(simulated.account(campaigns=[{"id": june.id.upper()}, {"id": "crm:may"}]))

    assert names(found) == ["April"]
    assert as_yaml([found]).startswith(
        '# "acme-us": 2 campaigns are left out, which the configuration names already.\n'
    )


async def test_names_are_unique_within_the_account_that_takes_them_in(simulated: Simulated) -> None:
    campaigns = [simulated.add("June") for _ in range(3)]
    configured = {"id": "crm:other", "name": "June"}

    (found,) = await discovered(simulated.account(campaigns=[configured]))

    assert sorted(names(found)) == sorted(f"June {campaign.id[:8]}" for campaign in campaigns)


# --- What is written


def pasted(found: Found, path: Path) -> tuple[Any, Settings]:
    """What a reader of YAML takes the text for, and what the exporter makes of it with a token in its place."""
    text = as_yaml([found])
    path.write_text(text.replace("    campaigns:", "    token: t\n    campaigns:"), encoding="utf-8")
    settings = load(argparse.Namespace(**{"config.file": str(path)}), environ={}, polling=False)
    return yaml.safe_load(text), settings


HOSTILE = [
    *("a\nb: c", "a\r\n# b", "a\x85b", "a\u2028b\u2029c", 'a"b', "a\\", "a'b", "<script>alert(1)</script>", "\ud800x"),
    *(
        "{{ template }}",
        "- x",
        "*alias",
        "&anchor",
        "!!python/object",
        "%TAG",
        "\x1b[31m",
        "\0",
        "\x7f",
        "🎉",
        "\u202e",
    ),
    *("true", "null", "12:30", "0x10", "", " ", "\ufeff", "\ufffe", "x" * 300, "\U000e0001", "name: x # y", "\xa0"),
]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("discover") / "campaign-exporter.yml"


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_any_name_becomes_one_harmless_line_that_reads_back(file: Path, name: str) -> None:
    assert_harmless(file, [CampaignRecord("b1c", name=name), CampaignRecord("b2c", name=name)])


text = st.text(st.characters(), max_size=140) | st.sampled_from(HOSTILE)


@given(st.lists(st.builds(CampaignRecord, id=text.filter(bool), name=st.none() | text, status=text), max_size=5))
@settings(deadline=None)  # the machine may be busy
def test_whatever_a_listing_holds_can_be_pasted(file: Path, records: list[CampaignRecord]) -> None:
    assert_harmless(file, list({record.id: record for record in records}.values()))


def assert_harmless(file: Path, records: list[CampaignRecord]) -> None:
    account = AccountSettings.model_validate({"name": "acme", "provider": "anyreach", "token": "t"})
    found = Found(account, list(configurable(account, records)))

    read, loaded = pasted(found, file) if found.campaigns else (yaml.safe_load(as_yaml([found])), None)

    written = [(campaign.id, campaign.name) for campaign, _ in found.campaigns]
    listed = [entry for account in read["accounts"] for entry in account["campaigns"]]
    assert [(entry["id"], entry["name"]) for entry in listed] == written
    assert [(c.id, c.name) for a in (loaded.accounts if loaded else ()) for c in a.campaigns] == written
    assert len({name for _, name in written}) == len(written)
    if loaded:
        document = read_file(file, required=True)
        assert document is not None
        assert document.faults == []
    lines = as_yaml([found]).removesuffix("\n").split("\n")
    assert len(lines) == (2 if not written else 4 + 2 * len(written))
    assert not any(unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for line in lines for c in line)


def test_names_keep_their_letters() -> None:
    account = AccountSettings.model_validate({"name": "acme", "provider": "anyreach", "token": "t"})
    records = [
        CampaignRecord("a", name='Été "prime" 🎉\n2026', status="active"),
        CampaignRecord("b", status="odd\n- id: c"),
    ]

    assert as_yaml([Found(account, list(configurable(account, records)))]) == (
        "accounts:\n"
        '  - name: "acme"\n'
        "    provider: anyreach\n"
        "    campaigns:\n"
        '      - id: "a"  # active\n'
        '        name: "Été \\"prime\\" 🎉 2026"\n'
        '      - id: "b"\n'
        '        name: "b"\n'
    )


async def test_ids_that_the_configuration_refuses_are_reported(simulated: Simulated) -> None:
    items = [{"id": "..", "name": "a"}, {"id": "x\ny"}, {"id": f"x{KEY}"}, {"id": "good"}]
    async with loopback.serving(loopback.http(json.dumps(items))) as server:
        (found,) = await discovered(simulated.account(base_url=server.url))

    assert [campaign.id for campaign, _ in found.campaigns] == ["good"]
    assert found.problems == ["3 of its campaigns have ids that the configuration does not take."]


async def test_a_token_in_a_name_is_not_written(simulated: Simulated) -> None:
    simulated.add(f"June {KEY}")

    assert 'name: "June <redacted>"' in as_yaml(await discovered(simulated.account()))


# --- The command


def written(directory: Path, *accounts: Mapping[str, Any]) -> str:
    """The flag for a file with these accounts."""
    file = directory / "campaign-exporter.yml"
    file.write_text(json.dumps({"accounts": accounts}), encoding="utf-8")  # JSON is YAML
    return f"--config.file={file}"


async def test_the_command_prints_what_can_be_pasted_in_any_locale(simulated: Simulated, tmp_path: Path) -> None:
    june = simulated.add('Juin é "prime"')
    simulated.add("May").close()
    osvi = {"name": "acme-in", "provider": "osvi", "base_url": simulated.servers.osvi, "token": "t"}
    file = written(tmp_path, simulated.account(), osvi)

    ended = await output_of(
        *(sys.executable, "-m", "exporter", "discover", file), environ={"PYTHONIOENCODING": "ascii"}
    )

    assert (ended.status, ended.errors) == (0, "")
    assert ended.output.startswith('# "acme-in": the API of this provider has no route that lists campaigns; ')
    assert yaml.safe_load(ended.output) == {
        "accounts": [
            {"name": "acme-us", "provider": "anyreach", "campaigns": [{"id": june.id, "name": 'Juin é "prime"'}]}
        ]
    }
    closed = await output_of(
        *(sys.executable, "-m", "exporter", "discover", file, "--status=closed", "--status=paused"),
        "--name-contains=May",
    )
    assert [campaign["name"] for campaign in yaml.safe_load(closed.output)["accounts"][0]["campaigns"]] == ["May"]


async def test_an_incomplete_list_is_reported_and_ends_it_with_1(simulated: Simulated, tmp_path: Path) -> None:
    for number in range(120):
        simulated.add(f"Campaign {number}")
    simulated.organization.fault = Fault(status=403, path="cursor=")

    ended = await output_of(*(sys.executable, "-m", "exporter", "discover", written(tmp_path, simulated.account())))

    assert ended.status == 1
    assert ended.output.startswith('# "acme-us": the list is not complete.\n')
    assert len(yaml.safe_load(ended.output)["accounts"][0]["campaigns"]) == 100
    assert ended.errors.startswith(
        "account 'acme-us': not all campaigns are listed: forbidden: GET /campaign/campaigns: "
    )
    assert "`campaigns:read`" in ended.errors
    assert len(ended.errors.splitlines()) == 1


async def test_nothing_to_list_is_an_empty_list(simulated: Simulated, tmp_path: Path) -> None:
    ended = await output_of(*(sys.executable, "-m", "exporter", "discover", written(tmp_path, simulated.account())))

    assert ended == (0, '# "acme-us": no campaigns were found.\naccounts: []\n', "")
