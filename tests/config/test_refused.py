"""What a later stage would refuse is a fault of the configuration, with its key and what to write instead."""

import datetime
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from exporter.config.files import read_regular
from tests.config.loading import ACCOUNTS, OSVI, faults, read

PLACE = "campaign-exporter.yml:"


def fault_of(tmp_path: Path, **keys: Any) -> str:
    """The one fault of an account with these keys, without its line."""
    (found,) = faults(tmp_path, {"accounts": [{**OSVI, **keys}]})
    return found.split(": ", 1)[1]


# --- URLs and addresses


@pytest.mark.parametrize(
    "host", ["10.0.0.256", "1.2.3", "127.1", "010.0.0.1", "1.2.3.4.5", "[::zz]", "a..b", "ex<ample", "a" * 64 + ".com"]
)
def test_a_host_that_the_http_client_refuses_is_a_fault(tmp_path: Path, host: str) -> None:
    assert fault_of(tmp_path, base_url=f"http://{host}").startswith("accounts[0].base_url: expected a URL ")
    assert fault_of(tmp_path, http={"proxy_url": f"http://u:p@{host}:1"}).startswith(
        "accounts[0].http.proxy_url: expected a URL "
    )


@pytest.mark.parametrize(
    "url",
    [
        "http://10.0.0.255",
        "http://[::1]:80",
        "http://[fe80::1%25eth0]",
        "https://xn--e1afmkfd.xn--p1ai/v1",
        "https://a_b.example.com.",
        "http://0x7f.example.com",
    ],
)
def test_a_host_that_the_http_client_takes_is_taken(tmp_path: Path, url: str) -> None:
    assert read(tmp_path, {"accounts": [{**OSVI, "base_url": url}]}).accounts[0].base_url == url


@pytest.mark.parametrize(
    "proxy",
    [r"http://CORP\svc:t0psecret@127.0.0.1:3128", "http://u:t0psecret[b]@127.0.0.1", "http://CORP%3Asvc:t0psecret@x"],
)
def test_a_proxy_that_the_http_client_refuses_is_a_fault(tmp_path: Path, proxy: str) -> None:
    found = fault_of(tmp_path, http={"proxy_url": proxy})

    assert found.startswith("accounts[0].http.proxy_url: expected a ")
    assert "t0psecret" not in found


@pytest.mark.parametrize("address", ["10.0.0.256:80", "1.2.3:80", "a..b:80", "-.-.:.:1"])
def test_an_address_to_listen_on_that_is_none_is_a_fault(tmp_path: Path, address: str) -> None:
    (found,) = faults(tmp_path, {"web": {"listen_address": [address]}})

    assert found == f"{PLACE}3: web.listen_address[0]: expected host:port, :port, [::1]:port or unix:/path"


# --- Certificates


@pytest.fixture
def pems(tmp_path: Path) -> Path:
    authority, certificate = trustme.CA(), trustme.CA().issue_cert("localhost")
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    certificate.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    certificate.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    other = trustme.CA(key_type=trustme.KeyType.RSA)
    trustme.CA().private_key_pem.write_to_path(str(tmp_path / "other-key.pem"))
    other.private_key_pem.write_to_path(str(tmp_path / "key-of-another-kind.pem"))
    key = load_pem_private_key(certificate.private_key_pem.bytes(), None)
    encrypted = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
    (tmp_path / "encrypted-key.pem").write_bytes(encrypted)
    (tmp_path / "none.pem").write_text("no certificate")
    (tmp_path / "empty.pem").write_text("")
    return tmp_path


def test_certificates_that_openssl_loads_are_taken(pems: Path) -> None:
    http = {"ca_file": "ca.pem", "cert_file": "cert.pem", "key_file": "key.pem"}

    assert read(pems, {"accounts": [{**OSVI, "http": http}]}).accounts[0].http.ca_file == pems / "ca.pem"


@pytest.mark.parametrize(
    ("http", "fault"),
    [
        ({"ca_file": "none.pem"}, "ca_file: expected certificates as PEM"),
        ({"ca_file": "empty.pem"}, "ca_file: expected certificates as PEM"),
        ({"ca_file": "key.pem"}, "ca_file: expected certificates as PEM"),
        ({"cert_file": "none.pem", "key_file": "key.pem"}, "cert_file: expected certificates as PEM"),
        ({"cert_file": "cert.pem", "key_file": "none.pem"}, "key_file: expected a private key as PEM"),
        (
            {"cert_file": "cert.pem", "key_file": "other-key.pem"},
            "key_file: expected the key of the certificate in cert_file",
        ),
        (
            {"cert_file": "cert.pem", "key_file": "key-of-another-kind.pem"},
            "key_file: expected the key of the certificate in cert_file",
        ),
        (
            {"cert_file": "cert.pem", "key_file": "encrypted-key.pem"},
            "key_file: expected a key that is not encrypted: nobody is there to decrypt it",
        ),
        ({"ca_file": "."}, "ca_file: expected a file that can be read: Is a directory: "),
    ],
)
def test_certificates_that_openssl_refuses_are_faults(pems: Path, http: dict[str, str], fault: str) -> None:
    found = fault_of(pems, http=http)

    assert found.removesuffix(str(pems)) == f"accounts[0].http.{fault}"


# --- Files that never end


@contextmanager
def unreadables(tmp_path: Path) -> Iterator[list[Path]]:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "socket"))
        yield [tmp_path / "fifo", tmp_path / "link", tmp_path / "socket", Path("/dev/zero"), Path("/dev/tty")]


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    begin = time.monotonic()
    with unreadables(tmp_path) as files:
        for file in files:
            assert fault_of(tmp_path, token=None, token_file=str(file)).startswith(
                "accounts[0].token_file: expected a file that can be read: "
            )
            http = {"ca_file": str(file), "cert_file": str(file), "key_file": str(file)}
            assert len(faults(tmp_path, {"accounts": [{**OSVI, "http": http}]})) == 3
            with pytest.raises(OSError, match=r"regular|such device"):
                read_regular(file)

    assert time.monotonic() - begin < 10


def test_a_link_to_a_regular_file_is_read_and_no_more_than_its_bound(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("x" * 65_537)
    (tmp_path / "link").symlink_to("token")

    assert len(read_regular(tmp_path / "link")) == 65_537
    assert fault_of(tmp_path, token=None, token_file="link") == (
        f"accounts[0].token_file: expected a file that can be read: it is larger than 65536 bytes: {tmp_path}/link"
    ).replace(f"{tmp_path}/", "")


# --- YAML


def test_aliases_that_unfold_without_end_are_refused_quickly(tmp_path: Path) -> None:
    names = "abcdefghi"
    lists = "".join(f"{x}: &{x} [{', '.join([f'*{y}'] * 9)}]\n" for y, x in pairwise(names))
    merges = "".join(f"{x}: &{x} {{<<: [{', '.join([f'*{y}'] * 9)}]}}\n" for y, x in pairwise(names))
    begin = time.monotonic()

    for text in (f"a: &a [{', '.join('x' * 9)}]\n{lists}", f"a: &a {{x: 1}}\n{merges}"):
        assert faults(tmp_path, text) == [
            f"{PLACE[:-1]}: expected YAML with fewer aliases: they unfold to too many values"
        ]
    for text in ("[" * 100_000, "- " * 100_000, "{a: " * 100_000):
        assert faults(tmp_path, text) == [f"{PLACE[:-1]}: expected YAML that is not nested so deeply"]
    assert time.monotonic() - begin < 5


@pytest.mark.parametrize("merged", ["c", "", "~", "7", "[]", "[{a: 1}, c]", "{}", '"*c"'])
def test_a_merge_key_that_merges_nothing_is_a_fault(tmp_path: Path, merged: str) -> None:
    assert faults(tmp_path, f"{ACCOUNTS}  <<: {merged}\n") == [
        f"{PLACE}7: accounts[0]: expected a mapping to merge behind <<, as in <<: *name: this merges nothing"
    ]


# --- Variables


@pytest.mark.parametrize(
    ("keys", "path", "reads"),
    [
        ({"token": "${ANYREACH_TOKEN}"}, "token", "token_env reads a variable"),
        ({"base_url": "https://${HOST}/v1"}, "base_url", "token_env reads a variable"),
        ({"token": None, "token_file": "${DIR}/token"}, "token_file", "token_env reads a variable"),
        ({"labels": {"team": "a-${TEAM}"}}, "labels.team", "token_env reads a variable"),
        ({"campaigns": [{"id": "${ID}"}]}, "campaigns[0].id", "token_env reads a variable"),
        ({"http": {"proxy_url": "http://u:${PW}@proxy"}}, "http.proxy_url", "token_env reads a variable"),
        ({"max_in_flight": "${N}"}, "max_in_flight", "token_env reads a variable"),
    ],
)
def test_a_value_that_still_holds_a_variable_is_a_fault(
    tmp_path: Path, keys: dict[str, Any], path: str, reads: str
) -> None:
    expected = f"accounts[0].{path}: expected a value without $(...), which is not replaced here: {reads}"

    found = fault_of(tmp_path, **keys)

    assert found == expected.replace("$(...)", "${...}")


def test_outside_of_the_accounts_the_variable_of_the_key_is_named(tmp_path: Path) -> None:
    assert faults(tmp_path, {"poll": {"timeout": "${TIMEOUT}"}}) == [
        f"{PLACE}2: poll.timeout: expected a value without ${{...}}, which is not replaced here: "
        "CAMPAIGN_EXPORTER_POLL__TIMEOUT sets this key"
    ]


@pytest.mark.parametrize("text", ["$ANYREACH_TOKEN", "$(ANYREACH_TOKEN)", "x${ANYREACH_TOKEN}"])
def test_a_token_that_is_a_variables_name_is_a_fault_wherever_it_stands(tmp_path: Path, text: str) -> None:
    (tmp_path / "token").write_text(text)
    words = "expected a token and not a variable, which is not replaced here: token_env reads one"

    assert fault_of(tmp_path, token=None, token_file="token") == f"accounts[0].token_file: {words}"
    (found,) = faults(tmp_path, {"accounts": [{**OSVI, "token": None, "token_env": "T"}]}, environ={"T": text})
    assert found.endswith(f"accounts[0].token_env: {words}")


@pytest.mark.parametrize("around", ["{}\n", "\ufeff{}", " \r\n{}\t\n\n", "\ufeff {}\u00a0\ufeff\n"])
def test_white_space_and_a_byte_order_mark_around_a_token_are_cut(tmp_path: Path, around: str) -> None:
    text = around.format("pat_x")
    words = "a personal access token (pat_) needs `organization`: the id of the organization that owns the campaigns"
    account = {**OSVI, "provider": "anyreach", "campaigns": [{"id": "june"}]}

    for encoding in ("utf-8", "utf-16"):
        (tmp_path / "token").write_text(text, encoding=encoding)
        for source in ({"token": text}, {"token": None, "token_file": "token"}, {"token": None, "token_env": "T"}):
            # That the prefix is seen shows what has been read.
            (found,) = faults(tmp_path, {"accounts": [account | source]}, environ={"T": text})
            assert found.endswith(words)


def test_what_kubernetes_injects_for_other_services_is_ignored(tmp_path: Path) -> None:
    names = ("SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "PORT", "PORT_80_TCP", "PORT_80_TCP_ADDR")
    environ = {f"CAMPAIGN_EXPORTER_{service}{name}": "x" for name in names for service in ("", "A_", "POLL_", "B_2_")}

    assert read(tmp_path, {}, environ=environ).poll.timeout == 10
    assert faults(tmp_path, {}, environ={"CAMPAIGN_EXPORTER_REPORT": "x"}) == [
        "CAMPAIGN_EXPORTER_REPORT: no option has this variable"
    ]


# --- Names and suggestions


def test_a_missing_token_file_and_variable_are_named(tmp_path: Path) -> None:
    file = "/run/no-such-directory/anyreach-token-2"

    assert fault_of(tmp_path, token=None, token_file=file) == (
        f"accounts[0].token_file: expected a file that can be read: No such file or directory: {file}"
    )
    assert fault_of(tmp_path, token=None, token_file="anyreach").endswith(": No such file or directory: anyreach")
    assert fault_of(tmp_path, token=None, token_env="OSVI_TOKEN") == (
        "accounts[0].token_env: expected the name of a variable that is set: OSVI_TOKEN is not"
    )


@pytest.mark.parametrize(
    "token", ["pat_t0psecret", "ak_x", "t0psecret/t0psecret", "0123456789abcdef", "x" * 300, "aGVs/bG8K"]
)
def test_a_token_in_place_of_a_file_or_variable_is_not_repeated(tmp_path: Path, token: str) -> None:
    by_file = fault_of(tmp_path, token=None, token_file=token)
    by_variable = faults(tmp_path, {"accounts": [{**OSVI, "token": None, "token_env": token}]})

    assert token not in f"{by_file}{by_variable}"


@pytest.mark.parametrize(
    ("timezone", "suggestion"),
    [
        ("Asia/Calcuta", ": did you mean Asia/Calcutta?"),
        ("asia/kolkata", ": did you mean Asia/Kolkata?"),
        ("America/NewYork", ": did you mean America/New_York?"),
        ("Mars/Olympus", ""),
    ],
)
def test_a_wrong_time_zone_gets_a_suggestion(tmp_path: Path, timezone: str, suggestion: str) -> None:
    hours = {"timezone": timezone, "windows": [{"days": ["mon"], "start": "09:00", "end": "19:00"}]}

    assert fault_of(tmp_path, calling_hours=hours) == (
        "accounts[0].calling_hours.timezone: "
        f"expected a time zone of the IANA database, such as Asia/Kolkata{suggestion}"
    )


@pytest.mark.parametrize(
    ("text", "level"), [("warn", "warning"), ("WARN", "warning"), ("Info", "info"), ("DEBUG", "debug")]
)
def test_levels_are_taken_as_prometheus_and_others_write_them(tmp_path: Path, text: str, level: str) -> None:
    assert read(tmp_path, {"log": {"level": text}}).log.level == level
    assert read(tmp_path, {}, environ={"CAMPAIGN_EXPORTER_LOG__LEVEL": text}).log.level == level
    assert read(tmp_path, {}, flags=["--log.level", text]).log.level == level


@pytest.mark.parametrize("value", ["true", "false"])
def test_a_switch_takes_its_value_behind_an_equals_sign(tmp_path: Path, value: str) -> None:
    file = {"web": {"enable_lifecycle": value == "false"}}

    settings = read(tmp_path, file, flags=[f"--web.enable-lifecycle={value}"])

    assert settings.web.enable_lifecycle == (value == "true")


# --- Keys of the file


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        ("mon-fri", ("mon", "tue", "wed", "thu", "fri")),
        ("fri-mon", ("fri", "sat", "sun", "mon")),
        ("wed-wed", ("wed",)),
        (["sun"], ("sun",)),
    ],
)
def test_days_are_a_list_or_a_span(tmp_path: Path, days: Any, expected: tuple[str, ...]) -> None:
    hours = {"timezone": "UTC", "windows": [{"days": days, "start": "09:00", "end": "19:00"}]}

    (account,) = read(tmp_path, {"accounts": [{**OSVI, "calling_hours": hours}]}).accounts

    assert account.calling_hours is not None
    assert account.calling_hours.windows[0].days == expected


def test_holidays_are_dates_quoted_or_not(tmp_path: Path) -> None:
    hours = "{timezone: UTC, windows: [{days: mon-fri, start: 09:00, end: 19:00}], closed_on: [%s]}"
    text = ACCOUNTS + f"  calling_hours: {hours}\n"

    (account,) = read(tmp_path, text % '2026-12-25, "2027-01-01"').accounts
    assert account.calling_hours is not None
    assert account.calling_hours.closed_on == (datetime.date(2026, 12, 25), datetime.date(2027, 1, 1))
    for wrong in ("25.12.2026", '"2026-02-30"', "20261225", "2026-12-25 10:00:00", "christmas"):
        assert faults(tmp_path, text % wrong) == [
            f"{PLACE}7: accounts[0].calling_hours.closed_on[0]: expected a date as YYYY-MM-DD, for example 2026-12-25"
        ]


def test_discovery_on_osvi_is_not_supported(tmp_path: Path) -> None:
    assert fault_of(tmp_path, discovery={}) == (
        "accounts[0].discovery: `discovery` is not supported for OSVI: it has no route that lists campaigns"
    )


@pytest.mark.parametrize("name", ["\\ud800", "\\u0000"])
@pytest.mark.parametrize("key", ["ca_file", "token_file"])
def test_what_no_file_can_be_called_is_a_fault(tmp_path: Path, key: str, name: str) -> None:
    where = '"http": {"ca_file": "%s"}, "token": "t"' if key == "ca_file" else '"token_file": "%s"'
    accounts = '[{"name": "a", "provider": "osvi", "campaigns": [{"id": 7}], ' + where % name + "}]"

    found = faults(tmp_path, "", environ={"CAMPAIGN_EXPORTER_ACCOUNTS": accounts})

    assert all(f"{key}: expected " in fault for fault in found)
    assert found


@pytest.mark.parametrize("outcome", ["maybe", 1, None, ["na"]])
def test_an_outcome_that_no_verdict_has_is_one_fault(tmp_path: Path, outcome: object) -> None:
    assert fault_of(tmp_path, attempts={"expected": {"fraud": outcome}}) == (
        "accounts[0].attempts.expected.fraud: expected true, false, abstain or na"
    )


@pytest.mark.parametrize("name", ["attempts", "criterion", "outcome", "tag"])
def test_a_label_of_attempts_is_free_where_they_are_not_read(tmp_path: Path, name: str) -> None:
    (account,) = read(tmp_path, {"accounts": [{**OSVI, "labels": {name: "a"}}]}).accounts
    assert account.labels == {name: "a"}
    assert fault_of(tmp_path, labels={name: "a"}, attempts={}) == (
        f"accounts[0].labels.{name}: expected another label name: the metrics of attempts have this one"
    )


def test_a_bad_environment_hides_no_accounts_of_the_file(tmp_path: Path) -> None:
    found = faults(tmp_path, "poll: {timeout: 1}\n", environ={"CAMPAIGN_EXPORTER_ACCOUNTS": "["})

    assert [fault.split(":")[0] for fault in found] == ["CAMPAIGN_EXPORTER_ACCOUNTS", "campaign-exporter.yml"]
    assert read(tmp_path, "", environ={"CAMPAIGN_EXPORTER_ACCOUNTS": json.dumps([OSVI])}).accounts[0].name == "acme"


def test_a_flag_for_a_key_of_what_is_no_section_leaves_its_fault(tmp_path: Path) -> None:
    assert faults(tmp_path, "poll: 15s\n" + ACCOUNTS, flags=["--poll.timeout=5s"]) == [
        f"{PLACE}1: poll: expected a mapping of keys to values"
    ]


def test_names_that_mean_something_to_the_library_are_unknown_keys(tmp_path: Path) -> None:
    for name in ("_env_file", "_secrets_dir", "self"):
        (found,) = faults(tmp_path, f"{name}: /etc/passwd\n" + ACCOUNTS)
        assert found.startswith(f"{PLACE}1: {name}: unknown key")
