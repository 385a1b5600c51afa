"""Every option from its four sources, and what is said when one of them is wrong."""

import argparse
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import hypothesis
import pytest
import trustme
import yaml
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from exporter.config.addresses import ListenAddress
from exporter.config.fields import Unquoted, format_duration, parse_duration
from exporter.config.flags import FlagParser, add_flags, options
from exporter.config.model import AccountSettings, CampaignSettings, Settings
from exporter.config.plan import config_hash
from exporter.config.section import ConfigurationError, Section
from exporter.config.sources import config_file, load
from exporter.config.yaml_file import unquoted
from tests.config.loading import ACCOUNTS, BARE, OSVI, faults, parse, read

DATA = Path(__file__).parents[1] / "data" / "settings"
UNHURRIED = hypothesis.settings(deadline=None)  # the machine may be busy
# --- The file


@pytest.mark.parametrize("name", sorted(path.stem for path in DATA.glob("invalid-*.yml")))
def test_each_mistake_has_its_messages(name: str) -> None:
    environ = {"EMPTY_TOKEN": "", "TOKEN_WITH_LINE_BREAK": "t0psecret\n"}

    with pytest.raises(ConfigurationError) as caught:
        load(parse(f"--config.file={DATA / name}.yml"), environ=environ)

    text = "".join(fault.replace(f"{DATA}/", "").replace(str(DATA), ".") + "\n" for fault in caught.value.faults)
    assert text == (DATA / f"{name}.txt").read_text(encoding="utf-8")
    assert not re.search("t0p ?secret|tøpsecret", f"{text}{caught.value}{caught.value!r}", re.IGNORECASE)


def sections(section: type[Section]) -> Iterator[type[Section]]:
    yield section
    for field in section.model_fields.values():
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, Section):
                yield from sections(kind)


def test_every_key_says_what_it_is() -> None:
    undescribed = [
        f"{section.__name__}.{name}"
        for section in sections(Settings)
        for name, field in section.model_fields.items()
        if not field.description
    ]

    assert undescribed == []


def test_accounts_are_required_and_each_polls_something(tmp_path: Path) -> None:
    nothing: dict[str, Any] = {"name": "a", "provider": "anyreach", "token": "t"}

    assert read(tmp_path, ACCOUNTS) == BARE
    assert read(tmp_path, {"accounts": [nothing | {"discovery": {}}]}).accounts[0].campaigns == ()
    assert faults(tmp_path, "# nothing yet\n") == [
        "campaign-exporter.yml:1: accounts: expected this key: it is required"
    ]
    assert faults(tmp_path, "accounts: []\n") == [
        "campaign-exporter.yml:1: accounts: expected a list that is not empty"
    ]
    loaded = load(parse(), environ={}, base={"accounts": [nothing]}, polling=False)
    assert loaded.accounts[0].campaigns == ()
    for account in (nothing, {**nothing, "campaigns": []}, {**nothing, "campaigns": None}):
        assert faults(tmp_path, {"accounts": [account]}) == [
            "campaign-exporter.yml:2: accounts[0]: expected campaigns, discovery or both: "
            "`campaign-exporter discover` lists the campaigns of Anyreach"
        ]


def test_keys_with_nothing_behind_them_are_left_out(tmp_path: Path) -> None:
    account = "{name: acme, provider: osvi, token: t, campaigns: [{id: 7}], labels: , http: {ca_file: }}"
    text = f"poll:\n  timeout:\nlog:\naccounts:\n- {account}\n"

    settings = read(tmp_path, text)

    assert settings == BARE


def test_a_byte_order_mark_and_windows_line_ends_are_no_fault(tmp_path: Path) -> None:
    settings = read(tmp_path, "\ufeffpoll:\r\n  timeout: 5s\r\n" + ACCOUNTS)

    assert settings.poll.timeout == 5


def test_anchors_and_merges_mean_what_yaml_says(tmp_path: Path) -> None:
    text = """
accounts:
  - &one {name: a, provider: osvi, token: t, max_in_flight: 3, campaigns: [{id: 1}]}
  - {<<: *one, name: b, campaigns: [{id: 2}]}
  - {<<: [*one, {stall_after: never}], name: c}
"""

    first, second, third = read(tmp_path, text).accounts

    assert (second.name, second.max_in_flight, second.campaigns[0].id) == ("b", 3, 2)
    assert (third.campaigns, third.stall_after) == (first.campaigns, "never")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7", 7),
        ("-7", -7),
        ("0", 0),
        ("0.5", 0.5),
        ("20.0", 20.0),
        ("1e5", 100000.0),
        ("1.5e5", 150000.0),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("null", None),
        ("15s", "15s"),
        ("june-renewals", "june-renewals"),
        ("6c6f7b0e-91c4-4f6e-8a55-0c3d8a1f27b4", "6c6f7b0e-91c4-4f6e-8a55-0c3d8a1f27b4"),
        ("12345678-91c4-4f6e-8a55-0c3d8a1f27b4", "12345678-91c4-4f6e-8a55-0c3d8a1f27b4"),
        ("1.2.3", "1.2.3"),
        ("none", "none"),
        ("yesterday", "yesterday"),
        *((text, Unquoted(text)) for text in ("0123", "0x10", "0o17", "0b1", "1_000", "12:30", "1:2:3.4", "+012")),
        *((text, Unquoted(text)) for text in ("yes", "No", "ON", "off", "2024-06-01", "2024-06-01 10:00:00", ".inf")),
        *((text, Unquoted(text)) for text in ("-.INF", ".NaN", "9" * 5000, "1_0.5", "1:30", "9" * 19)),
    ],
)
def test_values_that_versions_of_yaml_read_differently_are_marked(text: str, value: object) -> None:
    found = unquoted(text)

    assert found == value
    assert type(found) is type(value)


def test_a_quoted_scalar_is_text_whatever_it_looks_like(tmp_path: Path) -> None:
    text = 'accounts: [{name: "yes", provider: anyreach, token: "0123", campaigns: [{id: "12:30"}, {id: !!str 0123}]}]'

    account = read(tmp_path, text).accounts[0]

    assert account.name == "yes"
    assert [campaign.name for campaign in account.campaigns] == ["12:30", "0123"]


def test_times_of_day_need_no_quotes(tmp_path: Path) -> None:
    hours = {"timezone": "Asia/Kolkata", "windows": [{"days": ["mon"], "start": "19:00", "end": "24:00"}]}
    text = yaml.safe_dump({"accounts": [{**OSVI, "calling_hours": hours}]}).replace("'", "")

    account = read(tmp_path, text).accounts[0]

    assert "start: 19:00" in text
    assert account.calling_hours is not None
    assert (account.calling_hours.windows[0].start, account.calling_hours.windows[0].end) == (1140, 1440)


def test_relative_paths_begin_at_the_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t")
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    account = {**OSVI, "token": None, "token_file": "token", "http": {"ca_file": "ca.pem"}}

    settings = read(tmp_path, {"accounts": [account], "web": {"config": {"file": "web.yml"}}})

    assert settings.accounts[0].token_file == tmp_path / "token"
    assert settings.accounts[0].http.ca_file == tmp_path / "ca.pem"
    assert settings.web.config.file == tmp_path / "web.yml"


def test_a_file_that_was_asked_for_must_be_there(tmp_path: Path) -> None:
    path = tmp_path / "other.yml"

    with pytest.raises(ConfigurationError) as caught:
        load(parse(f"--config.file={path}"), environ={"CAMPAIGN_EXPORTER_ACCOUNTS": json.dumps([OSVI])})

    assert caught.value.faults == (f"{path}: expected a file that can be read: No such file or directory",)


def test_accounts_in_the_environment_need_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    settings = load(parse(), environ={"CAMPAIGN_EXPORTER_ACCOUNTS": json.dumps([OSVI])})

    assert settings.accounts[0].name == "acme"


def test_without_file_and_accounts_the_message_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(ConfigurationError) as caught:
        load(parse(), environ={})

    assert caught.value.faults == (
        "campaign-exporter.yml: expected this file, another one by --config.file, or accounts in "
        "CAMPAIGN_EXPORTER_ACCOUNTS; to look around with none of them run `campaign-exporter demo`",
    )


def test_a_missing_file_hides_no_other_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(ConfigurationError) as caught:
        load(parse("--config.file=missing.yml", "--poll.active-interval=0s"), environ={})

    first, second = caught.value.faults
    assert first.startswith("missing.yml: ")
    assert second.startswith("--poll.active-interval: ")


def test_the_default_file_is_read_where_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(DATA / "invalid-shard-index.yml", "campaign-exporter.yml")

    with pytest.raises(ConfigurationError) as caught:
        load(parse(), environ={})

    assert caught.value.faults == ("campaign-exporter.yml:2: shard.index: expected an index less than shard.count",)


def test_a_broken_file_does_not_hide_what_is_wrong_around_it(tmp_path: Path) -> None:
    found = faults(tmp_path, "poll: [", environ={"CAMPAIGN_EXPORTER_POLL__TIMEOT": "5s"})

    assert len(found) == 2
    assert found[0].startswith("campaign-exporter.yml:2: expected YAML: ")
    assert found[1].startswith("CAMPAIGN_EXPORTER_POLL__TIMEOT: ")


# --- The environment and the flags


def test_a_flag_wins_over_a_variable_over_the_file_over_the_default(tmp_path: Path) -> None:
    file = {"poll": {"active_interval": "2s", "idle_interval": "3s", "closed_interval": "4s"}}
    environ = {"CAMPAIGN_EXPORTER_POLL__ACTIVE_INTERVAL": "5s", "CAMPAIGN_EXPORTER_POLL__IDLE_INTERVAL": "6s"}

    poll = read(tmp_path, file, environ=environ, flags=["--poll.active-interval=7s"]).poll

    assert (poll.active_interval, poll.idle_interval, poll.closed_interval, poll.timeout) == (7, 6, 4, 10)


def test_lists_are_replaced_and_never_merged(tmp_path: Path) -> None:
    file = {"web": {"listen_address": [":1", ":2"]}, "accounts": [OSVI]}
    environ = {
        "CAMPAIGN_EXPORTER_WEB__LISTEN_ADDRESS": '[":3"]',
        "CAMPAIGN_EXPORTER_ACCOUNTS": json.dumps([{**OSVI, "name": "other"}]),
    }

    by_variable = read(tmp_path, file, environ=environ)
    by_flag = read(tmp_path, file, environ=environ, flags=["--web.listen-address=:4", "--web.listen-address=[::1]:5"])

    assert [account.name for account in by_variable.accounts] == ["other"]
    assert by_variable.web.listen_address == (ListenAddress(port=3),)
    assert by_flag.web.listen_address == (ListenAddress(port=4), ListenAddress("::1", 5))


EXAMPLES: dict[str, tuple[str, object]] = {
    "poll.max_in_flight": ("7", 7),
    "poll.max_body_bytes": ("7", 7),
    "shard.index": ("0", 0),
    "shard.count": ("7", 7),
    "web.listen_address": ("unix:/run/a,b.sock", (ListenAddress(path="/run/a,b.sock"),)),
    "web.telemetry_path": ("/probe/metrics", "/probe/metrics"),
    "web.enable_lifecycle": ("true", True),
    "web.config.file": ("web.yml", Path("web.yml")),
    "log.level": ("debug", "debug"),
    "log.format": ("json", "json"),
}


@pytest.mark.parametrize(
    "option", [option for option in options() if option.key != ("accounts",)], ids=lambda o: o.flag
)
def test_every_key_outside_of_the_accounts_is_a_flag_and_a_variable(tmp_path: Path, option: Any) -> None:
    text, expected = EXAMPLES.get(".".join(option.key), ("1m30s", 90.0))
    flag = [option.flag] if expected is True else [option.flag, text]

    def value(settings: Settings) -> object:
        found: Any = settings
        for part in option.key:
            found = getattr(found, part)
        return found

    assert value(BARE) != expected or option.key == ("shard", "index")
    assert value(read(tmp_path, {}, environ={option.variable: text})) == expected
    assert value(read(tmp_path, {}, flags=flag)) == expected


def test_flags_and_variables_are_called_as_documented() -> None:
    names = {option.flag: option.variable for option in options()}

    assert names["--poll.active-interval"] == "CAMPAIGN_EXPORTER_POLL__ACTIVE_INTERVAL"
    assert names["--web.config.file"] == "CAMPAIGN_EXPORTER_WEB__CONFIG__FILE"
    assert {
        "--web.listen-address",
        "--web.telemetry-path",
        "--web.enable-lifecycle",
        "--log.level",
        "--log.format",
    } <= set(names)


def test_a_switch_can_be_turned_off_again(tmp_path: Path) -> None:
    file = {"web": {"enable_lifecycle": True}}

    assert read(tmp_path, file).web.enable_lifecycle
    assert not read(tmp_path, file, flags=["--no-web.enable-lifecycle"]).web.enable_lifecycle
    assert not read(tmp_path, file, environ={"CAMPAIGN_EXPORTER_WEB__ENABLE_LIFECYCLE": "false"}).web.enable_lifecycle


def test_faults_of_variables_and_flags_name_them(tmp_path: Path) -> None:
    environ = {
        "CAMPAIGN_EXPORTER_POLL__TIMEOUT": "10",
        "CAMPAIGN_EXPORTER_POLL__MAX_IN_FLIGHT": "many",
        "CAMPAIGN_EXPORTER_WEB__ENABLE_LIFECYCLE": "1",
        "CAMPAIGN_EXPORTER_WEB__LISTEN_ADDRESS": '[":1", ":x"]',
        "CAMPAIGN_EXPORTER_ACCOUNTS": '[{"name": "a", "provider": "osvi", "token": "t", "campaigns": [{"id": "7"}]}]',
    }
    flags = ["--poll.active-interval=0", "--log.level=loud", "--web.telemetry-path=/api/v1"]

    assert sorted(faults(tmp_path, {"poll": {"timeout": 1}}, environ=environ, flags=flags)) == [
        "--log.level: log.level: expected one of 'debug', 'info', 'warning' or 'error'",
        "--poll.active-interval: poll.active_interval: expected a duration of at least 1s",
        "--web.telemetry-path: web.telemetry_path: expected a path that the exporter does not use itself",
        "CAMPAIGN_EXPORTER_ACCOUNTS: accounts[0].campaigns[0].id: expected a positive whole number, not quoted",
        "CAMPAIGN_EXPORTER_POLL__MAX_IN_FLIGHT: poll.max_in_flight: expected a whole number",
        "CAMPAIGN_EXPORTER_POLL__TIMEOUT: poll.timeout: expected a duration: write a unit, such as 15s",
        "CAMPAIGN_EXPORTER_WEB__ENABLE_LIFECYCLE: web.enable_lifecycle: expected true or false",
        "CAMPAIGN_EXPORTER_WEB__LISTEN_ADDRESS: web.listen_address[1]: "
        "expected host:port, :port, [::1]:port or unix:/path",
    ]


def test_unknown_variables_are_faults(tmp_path: Path) -> None:
    environ = {
        "CAMPAIGN_EXPORTER_POLL__TIMEOT": "5s",
        "CAMPAIGN_EXPORTER_CONFIG__FILE": "x.yml",
        "CAMPAIGN_EXPORTER_POLL": '{"timeout": "5s"}',
        "CAMPAIGN_EXPORTER_poll__timeout": "5s",
        "CAMPAIGN_EXPORTERS": "unrelated",
    }

    assert faults(tmp_path, {}, environ=environ) == [
        "CAMPAIGN_EXPORTER_CONFIG__FILE: no option has this variable",
        "CAMPAIGN_EXPORTER_POLL: no option has this variable",
        "CAMPAIGN_EXPORTER_POLL__TIMEOT: no option has this variable: did you mean CAMPAIGN_EXPORTER_POLL__TIMEOUT?",
        "CAMPAIGN_EXPORTER_poll__timeout: no option has this variable: did you mean CAMPAIGN_EXPORTER_POLL__TIMEOUT?",
    ]


def test_what_kubernetes_injects_for_a_service_of_that_name_is_ignored(tmp_path: Path) -> None:
    environ = {
        "CAMPAIGN_EXPORTER_PORT": "tcp://10.0.0.1:10077",
        "CAMPAIGN_EXPORTER_PORT_10077_TCP": "tcp://10.0.0.1:10077",
        "CAMPAIGN_EXPORTER_PORT_10077_TCP_ADDR": "10.0.0.1",
        "CAMPAIGN_EXPORTER_SERVICE_HOST": "10.0.0.1",
        "CAMPAIGN_EXPORTER_SERVICE_PORT": "10077",
        "CAMPAIGN_EXPORTER_SERVICE_PORT_HTTP": "10077",
    }

    assert read(tmp_path, {}, environ=environ) == BARE
    assert faults(tmp_path, {}, environ={"CAMPAIGN_EXPORTER_SERVICE": "x", "CAMPAIGN_EXPORTER_PORTS": "x"}) == [
        "CAMPAIGN_EXPORTER_PORTS: no option has this variable",
        "CAMPAIGN_EXPORTER_SERVICE: no option has this variable",
    ]


def test_a_variable_that_is_set_to_nothing_counts_as_left_out(tmp_path: Path) -> None:
    environ = {"CAMPAIGN_EXPORTER_POLL__TIMEOUT": "", "CAMPAIGN_EXPORTER_ACCOUNTS": ""}

    assert read(tmp_path, {"poll": {"timeout": "5s"}}, environ=environ).poll.timeout == 5


@pytest.mark.parametrize(
    "text",
    ['[{"token": "t0psecret"', '[{"token": "t0psecret", "token": "x"}]', "t0psecret", "[" * 100_000],
    ids=["unfinished", "twice", "text", "deep"],
)
def test_bad_json_is_a_fault_that_repeats_nothing(tmp_path: Path, text: str) -> None:
    (found,) = faults(tmp_path, {}, environ={"CAMPAIGN_EXPORTER_ACCOUNTS": text})

    assert found.startswith("CAMPAIGN_EXPORTER_ACCOUNTS: accounts: expected a list as JSON, each key once")
    assert "t0psecret" not in found


def test_one_address_may_stand_in_its_variable_as_it_is(tmp_path: Path) -> None:
    for text in (":10078", "[::1]:10078", "unix:/run/x.sock"):
        settings = read(tmp_path, {}, environ={"CAMPAIGN_EXPORTER_WEB__LISTEN_ADDRESS": text})

        assert [str(address) for address in settings.web.listen_address] == [text]


def test_the_same_command_line_loads_a_changed_file(tmp_path: Path) -> None:
    path = tmp_path / "campaign-exporter.yml"
    arguments = parse(f"--config.file={path}", "--poll.timeout=5s")
    path.write_text("poll: {idle_interval: 3m}\n" + ACCOUNTS)
    before = load(arguments, environ={})
    path.write_text("poll: {idle_interval: 4m}\n" + ACCOUNTS)
    after = load(arguments, environ={})

    assert (before.poll.idle_interval, before.poll.timeout) == (180, 5)
    assert (after.poll.idle_interval, after.poll.timeout) == (240, 5)


def test_values_may_stand_in_place_of_the_file_and_its_accounts_win(tmp_path: Path) -> None:
    environ = {
        "CAMPAIGN_EXPORTER_ACCOUNTS": json.dumps([{**OSVI, "name": "real"}]),
        "CAMPAIGN_EXPORTER_LOG__LEVEL": "debug",
    }
    base = {"accounts": [{**OSVI, "name": "simulated"}], "poll": {"timeout": "2s"}}

    settings = load(parse("--web.listen-address=:0"), environ=environ, base=base)

    assert [account.name for account in settings.accounts] == ["simulated"]
    assert (settings.poll.timeout, settings.log.level, settings.web.listen_address[0].port) == (2, "debug", 0)


def test_the_configuration_file_is_known() -> None:
    assert config_file(parse()) == Path("campaign-exporter.yml")
    assert config_file(parse("--config.file=/etc/x.yml")) == Path("/etc/x.yml")


def test_help_shows_each_flag_with_its_default() -> None:
    parser = FlagParser(prog="campaign-exporter")
    add_flags(parser)

    text = " ".join(parser.format_help().split())

    assert "--poll.active-interval DURATION Interval of campaigns whose status is active" in text
    assert "at least 1s. (default: 15s)" in text
    assert "(default: 2m)" in text
    assert "(default: :10077)" in text
    assert "--web.enable-lifecycle, --no-web.enable-lifecycle" in text
    assert "--log.format {logfmt,json}" in text
    assert "--accounts" not in text
    assert " accounts: " not in text, "a heading without any flag"


def test_flags_before_a_command_survive_it() -> None:
    parser = FlagParser(prog="campaign-exporter")
    add_flags(parser)
    commands = parser.add_subparsers(dest="command", parser_class=FlagParser)
    check = commands.add_parser("check")
    add_flags(check)
    demo = commands.add_parser("demo")
    add_flags(demo, config_file=False)

    arguments = parser.parse_args(["--poll.timeout=5s", "--config.file=x.yml", "check", "--poll.idle-interval=5m"])

    assert config_file(arguments) == Path("x.yml")
    assert vars(arguments)["poll.timeout"] == "5s"
    assert vars(arguments)["poll.idle_interval"] == "5m"
    with pytest.raises(SystemExit):
        parser.parse_args(["demo", "--config.file=x.yml"])


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--accounts=[{token: t0psecret}]"], "error: unknown flag: --accounts"),
        (["--token t0psecret"], "error: unknown flag: --token"),
        (["--tokn", "t0psecret"], "error: unknown flag: --tokn"),
        (["t0psecret"], "error: unexpected argument"),
        (["--web.enable-lifecycle=t0psecret"], "error: argument --web.enable-lifecycle"),
        (["--poll.timeou=5s"], "error: unknown flag: --poll.timeou"),
    ],
)
def test_a_bad_command_line_is_refused_without_repeating_values(
    flags: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(*flags)

    message = capsys.readouterr().err
    assert caught.value.code == 2
    assert complaint in message
    assert "t0psecret" not in message


# --- Durations


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("15s", 15),
        ("1m30s", 90),
        ("2h", 7200),
        ("1d", 86400),
        ("1w", 604800),
        ("1y", 31536000),
        ("1h0m5s10ms", 3605.01),
        ("0", 0),
        ("0s", 0),
        (0, 0),
        ("90s", 90),
        ("100y", 3153600000),
    ],
)
def test_durations_are_read_as_prometheus_reads_them(text: object, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", [15, 1.5, "15", "1.5", 1, "00"])
def test_a_bare_number_is_asked_for_its_unit(text: object) -> None:
    with pytest.raises(ValueError, match="write a unit, such as 15s"):
        parse_duration(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "s",
        "15 s",
        "1m 30s",
        "-5s",
        "+5s",
        "1.5m",
        "30s1m",
        "1s1s",
        "15S",
        "\u0661\u0665s",  # 15 in Arabic digits
        "15s\n",
        "9" * 16 + "ms",
        True,
        None,
        [],
        {},
    ],
)
def test_anything_else_is_no_duration(text: object) -> None:
    with pytest.raises(ValueError, match="expected a duration such as 500ms"):
        parse_duration(text)


@UNHURRIED
@hypothesis.given(st.integers(min_value=0, max_value=100 * 365 * 86_400_000))
def test_a_duration_is_written_as_it_is_read(milliseconds: int) -> None:
    assert parse_duration(format_duration(milliseconds / 1000)) == milliseconds / 1000


@pytest.mark.parametrize(("seconds", "text"), [(15, "15s"), (90, "1m30s"), (3600, "1h"), (0.5, "500ms"), (0, "0s")])
def test_a_duration_is_written_shortly(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


# --- Single keys


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (":10077", ListenAddress("", 10077)),
        ("localhost:0", ListenAddress("localhost", 0)),
        ("127.0.0.1:65535", ListenAddress("127.0.0.1", 65535)),
        ("[::1]:80", ListenAddress("::1", 80)),
        ("unix:/run/x y:1.sock", ListenAddress(path="/run/x y:1.sock")),
    ],
)
def test_listen_addresses_are_read_and_written(text: str, address: ListenAddress) -> None:
    assert ListenAddress.parse(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    "text", ["", "80", ":", ":http", ":-1", ":99999", "::1:80", "[::1]", "[::1", "[x]:80", "unix:x", "a b:1"]
)
def test_what_is_no_listen_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"[Ee]xpected"):
        ListenAddress.parse(text)


@pytest.mark.parametrize(
    "path", ["/", "metrics", "/a//b", "/a/", "/a b", "/../x", "/-/ready", "/api", "/runbooks/X", "/m?x=1", ""]
)
def test_a_telemetry_path_that_cannot_be_served_is_refused(tmp_path: Path, path: str) -> None:
    (found,) = faults(tmp_path, {"web": {"telemetry_path": path}})

    assert found.startswith("campaign-exporter.yml:2: web.telemetry_path: expected ")


def test_defaults_follow_the_provider(tmp_path: Path) -> None:
    other = {**OSVI, "name": "a", "provider": "anyreach", "campaigns": [{"id": "7"}]}
    anyreach, osvi = read(tmp_path, {"accounts": [other, OSVI]}).accounts

    assert (anyreach.base_url, anyreach.calling_windows) == ("https://api.anyreach.ai", "auto")
    assert (osvi.base_url, osvi.calling_windows) == ("https://api.osvi.ai", "unknown")
    assert (anyreach.stall_after_of(None), osvi.stall_after_of(None)) == (3600, 900)


def test_a_campaigns_stall_after_wins_over_the_accounts_and_the_default() -> None:
    account = AccountSettings.model_validate(
        {
            **OSVI,
            "stall_after": "20m",
            "campaigns": [{"id": 1, "stall_after": "never"}, {"id": 2, "stall_after": "5m"}, {"id": 3}],
        }
    )

    assert [account.stall_after_of(campaign) for campaign in account.campaigns] == [None, 300, 1200]


def test_a_campaigns_labels_and_hours_win_over_the_accounts() -> None:
    hours = {"timezone": "Asia/Kolkata", "windows": [{"days": ["mon"], "start": "09:00", "end": "19:00"}]}
    account = AccountSettings.model_validate(
        {
            **OSVI,
            "labels": {"team": "a", "region": "x"},
            "calling_hours": hours,
            "campaigns": [{"id": 1, "labels": {"team": "b"}, "calling_hours": {**hours, "timezone": "UTC"}}, {"id": 2}],
        }
    )
    first, second = account.campaigns

    assert account.labels_of(first) == {"team": "b", "region": "x"}
    assert account.labels_of(second) == account.labels_of(None) == {"team": "a", "region": "x"}
    assert [getattr(account.calling_hours_of(c), "timezone", None) for c in (first, second, None)] == [
        "UTC",
        *["Asia/Kolkata"] * 2,
    ]


def test_a_base_url_keeps_its_prefix_and_loses_its_last_slash() -> None:
    assert (
        AccountSettings.model_validate({**OSVI, "base_url": "http://[::1]:80/v1/osvi/"}).base_url
        == "http://[::1]:80/v1/osvi"
    )


@pytest.mark.parametrize(
    ("keys", "warning"),
    [
        (
            {"base_url": "http://gateway.example.com"},
            "account 'acme' sends its token unencrypted: base_url is plain http",
        ),
        (
            {"http": {"insecure_skip_verify": True}},
            "account 'acme' accepts any server certificate: http.insecure_skip_verify is on",
        ),
        ({"base_url": "http://localhost:1"}, None),
        ({"base_url": "http://127.1.2.3:1"}, None),
        ({"base_url": "http://[::1]:1"}, None),
        ({"base_url": "https://gateway.example.com"}, None),
    ],
)
def test_what_is_probably_not_meant_is_warned_of(tmp_path: Path, keys: dict[str, Any], warning: str | None) -> None:
    settings = read(tmp_path, {"accounts": [{**OSVI, "campaigns": [{"id": 7}], **keys}]})

    assert settings.warnings() == ([warning] if warning else [])


def test_the_shards_index_is_taken_from_the_host_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = {"shard": {"index": "hostname", "count": 3}}

    for hostname in ("calls-2", "campaign-2-exporter-0", "campaign-exporter-2.pods-7.example.com"):
        monkeypatch.setattr("socket.gethostname", lambda name=hostname: name)
        assert read(tmp_path, file).shard.index == int(hostname.partition(".")[0][-1])
    monkeypatch.setattr("socket.gethostname", lambda: "campaign-exporter-3")
    assert faults(tmp_path, file) == ["campaign-exporter.yml:3: shard.index: expected an index less than shard.count"]


@pytest.mark.parametrize(
    "hostname",
    ["", "laptop", "laptop2", "2", "laptop-", "laptop-02", "laptop-2a", "laptop-٢", "laptop.pods-2", "laptop-2\n"],
)
def test_a_host_name_that_no_pod_of_a_statefulset_has_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hostname: str
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: hostname)

    assert faults(tmp_path, {"shard": {"index": "hostname", "count": 3}}) == [
        "campaign-exporter.yml:3: shard.index: "
        "expected a host name that ends in a number, as the pods of a StatefulSet have: this host's does not"
    ]


def test_a_token_file_may_end_with_a_line_break(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("pat_x\r\n")
    account = {"name": "acme", "provider": "anyreach", "token_file": "token", "discovery": {}}

    assert read(tmp_path, {"accounts": [{**account, "organization": "0b7c"}]}).accounts[0].organization == "0b7c"
    assert faults(tmp_path, {"accounts": [account]}) == [
        "campaign-exporter.yml:2: accounts[0].organization: "
        "a personal access token (pat_) needs `organization`: the id of the organization that owns the campaigns"
    ]


def test_a_token_may_stand_in_a_variable(tmp_path: Path) -> None:
    account = {"name": "acme", "provider": "anyreach", "token_env": "T", "organization": "0b7c", "discovery": {}}
    file = {"accounts": [account]}

    assert read(tmp_path, file, environ={"T": "pat_x"}).accounts[0].token_env == "T"
    assert faults(tmp_path, file, environ={"T": "ak_x"}) == [
        "campaign-exporter.yml:4: accounts[0].organization: "
        "an API key (ak_) belongs to one organization already: remove `organization`"
    ]


# --- The model


def test_settings_are_frozen_all_the_way_down() -> None:
    settings = Settings.model_validate({"accounts": [{**OSVI, "labels": {"team": "a"}, "campaigns": [{"id": 7}]}]})

    for section, key in ((settings, "accounts"), (settings.poll, "timeout"), (settings.accounts[0].campaigns[0], "id")):
        with pytest.raises(ValidationError):
            setattr(section, key, None)
    with pytest.raises(TypeError):
        settings.accounts[0].labels["team"] = "b"  # type: ignore[index]  # what must fail
    assert isinstance(settings.accounts[0].campaigns, tuple)


def test_settings_made_by_hand_depend_on_nothing_around_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAMPAIGN_EXPORTER_POLL__TIMEOUT", "5s")

    assert Settings.model_validate({"accounts": [OSVI]}).poll.timeout == 10


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                sorted({*Settings.model_fields, *AccountSettings.model_fields, *CampaignSettings.model_fields})
            )
            | st.text(max_size=4),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@UNHURRIED
@hypothesis.given(st.dictionaries(st.sampled_from(sorted(Settings.model_fields)), JSON))
def test_any_values_load_or_are_refused_with_key_paths(base: dict[str, Any]) -> None:
    found: tuple[str, ...] = ()
    try:
        load(argparse.Namespace(), environ={}, base=base)
    except ConfigurationError as exc:
        found = exc.faults

    assert all(re.fullmatch(r"configuration: [a-z]+.*: .+", fault) for fault in found)


@UNHURRIED
@hypothesis.given(st.text())
def test_any_text_loads_or_is_refused_with_its_line(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    found: tuple[str, ...] = ()
    try:
        load(parse(f"--config.file={path}"), environ={})
    except ConfigurationError as exc:
        found = exc.faults

    assert all(fault.startswith(f"{path}:") for fault in found)


SECRET = "s3cret-t0ken"


@pytest.mark.parametrize(
    "account",
    [
        {"token": SECRET},
        {"name": "a", "provider": "osvi", "token": SECRET, "unknown": 1},
        {"name": "a", "provider": "osvi", "token": SECRET, "campaigns": [{"name": "sibling of a missing id"}]},
        {"name": "a", "provider": "osvi", "token": SECRET + "\n"},
        {"name": "a", "provider": "osvi", "token": [SECRET]},
        {"name": "a", "provider": "osvi", "token": {"value": SECRET}},
        {"name": "a", "provider": "osvi", "token_env": SECRET},
        {"name": "a", "provider": "osvi", "token_file": SECRET},
        {"name": "a", "provider": SECRET, "token": SECRET},
        {"name": "a", "provider": "osvi", "token": "t", SECRET: SECRET},
        {"name": "a", "provider": "osvi", "token": "t", "labels": {SECRET: "x"}},
        {"name": "a", "provider": "osvi", "token": "t", "labels": [SECRET]},
        {"name": "a", "provider": "osvi", "token": "t", "campaigns": [SECRET]},
        {"name": "a", "provider": "osvi", "token": "t", "campaigns": [{"id": SECRET}]},
        {"name": "a", "provider": "osvi", "token": "t", "base_url": f"https://u:{SECRET}@x"},
        {"name": "a", "provider": "osvi", "token": "t", "base_url": f"https://x/?{SECRET}"},
        {"name": "a", "provider": "osvi", "token": "t", "http": {"proxy_url": f"ftp://u:{SECRET}@x"}},
        {"name": "a", "provider": "osvi", "token": "t", "http": {"ca_file": SECRET}},
        {"name": "a", "provider": "osvi", "token": "t", "stall_after": SECRET},
        {"name": "a", "provider": "osvi", "token": "t", "calling_hours": {"timezone": SECRET, "windows": [SECRET]}},
        {"name": "a", "provider": "anyreach", "token": "t", "organization": f"{SECRET} {SECRET}"},
        {"name": "a", "provider": "anyreach", "token": f"pat_{SECRET}"},
        {"name": "a", "provider": "anyreach", "token": f"ak_{SECRET}", "organization": "x"},
    ],
)
def test_no_fault_repeats_a_secret(tmp_path: Path, account: dict[str, Any]) -> None:
    by_file = faults(tmp_path, {"accounts": [account]})
    by_variable = faults(tmp_path, {}, environ={"CAMPAIGN_EXPORTER_ACCOUNTS": json.dumps([account])})

    assert "s3cret" not in "\n".join((*by_file, *by_variable))


def test_a_section_made_by_hand_repeats_no_secret_of_a_sibling_either() -> None:
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({"accounts": [{"token": SECRET}], "poll": {"timeout": 5}})

    assert SECRET not in f"{caught.value} {caught.value!r} {caught.value.errors()} {caught.value.__cause__}"


def test_settings_do_not_show_their_secrets() -> None:
    settings = Settings.model_validate(
        {"accounts": [{**OSVI, "token": SECRET, "http": {"proxy_url": f"http://u:{SECRET}@proxy"}}]}
    )

    for text in (repr(settings), str(settings), repr(settings.model_dump()), settings.model_dump_json()):
        assert SECRET not in text
    assert settings.accounts[0].token == SecretStr(SECRET)


# --- The hash


def hash_of(**keys: Any) -> int:
    account = {**OSVI, "token": "t", "labels": {"a": "1", "b": "2"}, "campaigns": [{"id": 7}, {"id": 8}]}
    return config_hash(Settings.model_validate({"accounts": [{**account, **keys.pop("account", {})}], **keys}))


def test_the_hash_has_48_bits_and_is_the_same_in_every_process() -> None:
    settings = f"Settings.model_validate({ {'accounts': [OSVI]} })"
    program = f"from exporter.config.plan import *; print(config_hash({settings}))"

    elsewhere = subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONHASHSEED": "7"}, capture_output=True, text=True, check=True
    )

    assert int(elsewhere.stdout) == config_hash(BARE)
    assert 0 < config_hash(BARE) < 2**48


@pytest.mark.parametrize(
    "keys",
    [
        {"account": {"token": "other"}},
        {"account": {"labels": {"b": "2", "a": "1"}}},
        {"account": {"campaigns": [{"name": "7", "id": 7}, {"id": 8}]}},
        {"account": {"base_url": "https://api.osvi.ai/"}},
        {"poll": {"timeout": "10s"}},
        {"web": {"listen_address": ":1"}},
    ],
)
def test_the_hash_is_not_moved_by(keys: dict[str, Any]) -> None:
    assert hash_of(**keys) == hash_of()


@pytest.mark.parametrize(
    "keys",
    [
        {"account": {"campaigns": [{"id": 7}, {"id": 9}]}},
        {"account": {"campaigns": [{"id": 7, "name": "june"}, {"id": 8}]}},
        {"account": {"labels": {"a": "1", "b": "3"}}},
        {"account": {"http": {"proxy_url": "http://proxy:1"}}},
        {"poll": {"timeout": "11s"}},
        {"shard": {"count": 2}},
    ],
)
def test_the_hash_is_moved_by(keys: dict[str, Any]) -> None:
    assert hash_of(**keys) != hash_of()


def test_the_hash_leaves_out_the_shards_index_and_the_proxys_password() -> None:
    proxies = [{"http": {"proxy_url": f"http://{user}proxy:1"}} for user in ("", "u:p@", "u:q@")]

    assert len({hash_of(account=proxy) for proxy in proxies}) == 1
    assert hash_of(shard={"index": 0, "count": 2}) == hash_of(shard={"index": 1, "count": 2})
