"""The command line: what it takes, what it suggests, and how it ends."""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from exporter.cli import main
from tests.process import exporter, output_of

OSVI = {"name": "acme", "provider": "osvi", "base_url": "http://127.0.0.1:9", "campaigns": [{"id": 7}]}


def written(directory: Path, **keys: Any) -> str:
    """The flag for a file with one account that has these keys."""
    file = directory / "campaign-exporter.yml"
    file.write_text(json.dumps({"accounts": [{**OSVI, **keys}]}), encoding="utf-8")  # JSON is YAML
    return f"--config.file={file}"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["chekc"], "campaign-exporter: error: unknown command: did you mean check?"),
        (["ak_t0psecret"], "unknown command: expected one of serve, check, discover, demo"),
        (["check", "--offlin"], "campaign-exporter check: error: unknown flag: --offlin: did you mean --offline?"),
        (["check", "--output=jsno"], "argument --output: unknown value: did you mean json?"),
        (["check", "--output=t0psecret"], "argument --output: unknown value: expected one of table, json"),
        (["discover", "--status", "actve"], "argument --status: unknown value: did you mean active?"),
        (["--poll.timeou=t0psecret"], "unknown flag: --poll.timeou: did you mean --poll.timeout?"),
        (["--web.enable-lifecycle=t0psecret"], "argument --web.enable-lifecycle: expected true or false"),
        (["check", "t0psecret"], "unexpected argument"),
        (["demo", "--speed=t0psecret"], "argument --speed: expected a number above 0 and at most 3600"),
        (["--config.file=t0psecret", "demo"], "demo reads no configuration file"),
    ],
)
def test_a_wrong_word_gets_a_suggestion_and_is_not_repeated(
    words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)

    message = capsys.readouterr().err
    assert caught.value.code == 2
    assert complaint in message
    assert "t0psecret" not in message


def test_flags_before_and_after_a_command_hold(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path, token="t")

    assert main([file, "--log.level", "warn", "check", "--offline=true", "--web.enable-lifecycle=true"]) == 0
    assert "The configuration is right: 1 account, 1 campaign." in capsys.readouterr().out
    assert main(["--poll.timeout=0s", "check", "--offline", file]) == 2
    assert capsys.readouterr().err == "--poll.timeout: poll.timeout: expected a duration above 0\n"


@pytest.mark.parametrize("command", [[], ["serve"], ["check"], ["discover"]], ids=" ".join)
async def test_bad_certificates_end_it_with_2_before_it_listens(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "bad.pem").write_text("no certificate")

    ended = await output_of(
        *(sys.executable, "-m", "exporter", *command, written(tmp_path, token="t", http={"ca_file": "bad.pem"})),
        "--web.listen-address=127.0.0.1:0",
    )

    assert ended.status == 2
    assert ended.output == ""
    assert ended.errors == (
        f"{tmp_path}/campaign-exporter.yml:1: accounts[0].http.ca_file: expected certificates as PEM\n"
    )


async def test_a_bad_web_configuration_ends_it_with_2_before_it_listens(tmp_path: Path) -> None:
    (tmp_path / "web.yml").write_text("tls_server_config: {cert_file: missing.pem}")

    ended = await output_of(
        *(sys.executable, "-m", "exporter", written(tmp_path, token="t"), f"--web.config.file={tmp_path}/web.yml"),
        "--web.listen-address=127.0.0.1:1",  # which only root could listen on
    )

    assert ended.status == 2
    assert "tls_server_config.key_file" in ended.errors


async def test_a_pipe_in_place_of_a_token_file_fails_a_reload_and_stops_nothing(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first-token")
    file = written(tmp_path, token_file=str(token))
    async with exporter(file) as (process, _):
        token.unlink()
        os.mkfifo(token)
        process.signal(signal.SIGHUP)
        await process.logged(r"token_file: expected a file that can be read: it is not a regular file")
        process.signal(signal.SIGTERM)
        assert await process.ended() == 0


async def test_the_start_is_logged_with_what_is_polled(tmp_path: Path) -> None:
    async with exporter(written(tmp_path, token="t", campaigns=[{"id": 7}, {"id": 8}])) as (process, _):
        await process.logged(r"msg=started version=\S+ accounts=1 campaigns=2\n")


@pytest.mark.parametrize(("host", "said"), [("", " interfaces=all"), ("127.0.0.1", "")])
async def test_the_log_says_when_all_interfaces_are_listened_on(tmp_path: Path, host: str, said: str) -> None:
    async with exporter(written(tmp_path, token="t"), f"--web.listen-address={host}:0") as (process, _):
        await process.logged(rf"msg=listening address=http://(localhost|127.0.0.1):\d+{said}\n")


async def test_a_proxy_variable_is_logged_as_not_read_without_its_value(tmp_path: Path) -> None:
    environ = {"https_proxy": "http://user:t0psecret@proxy:1", "HTTP_PROXY": ""}
    async with exporter(written(tmp_path, token="t"), environ=environ) as (process, _):
        await process.logged("a variable is not read: http.proxy_url sets an account's proxy.* variable=https_proxy")

    assert process.log.count("a variable is not read") == 1
    assert "t0psecret" not in process.log


async def test_the_daemon_imports_nothing_that_only_a_command_needs() -> None:
    words = "import sys, exporter.cli; print(sorted({'rich', 'exporter.simulator'} & sys.modules.keys()))"

    assert await output_of(sys.executable, "-c", words) == (0, "[]\n", "")
