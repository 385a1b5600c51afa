"""The messages that docs/troubleshooting.md explains are the ones that appear."""

import re
import socket
import sys
from pathlib import Path

import pytest

from tests.process import output_of

PAGE = (Path(__file__).parent.parent / "docs/troubleshooting.md").read_text(encoding="utf-8")
SECTION = PAGE.split("\n## The exporter does not start\n")[1].split("\n## ")[0]
EXPLAINED = re.findall(r"^\| `([^`]+)` \|", SECTION, re.MULTILINE)

ACCOUNT = (
    "accounts: [{{name: a, provider: {provider}, {token}, base_url: 'http://127.0.0.1:9', campaigns: [{{id: 7}}]}}]"
)
FINE = ACCOUNT.format(provider="osvi", token="token: t")
CAUSES: dict[str, tuple[str | None, dict[str, str], int]] = {
    "...: accounts[0].provider: expected one of ...": (ACCOUNT.format(provider="other", token="token: t"), {}, 2),
    "expected a file that can be read": (None, {}, 2),
    "expected the name of a variable that is set": (ACCOUNT.format(provider="osvi", token="token_env: NONE"), {}, 2),
    "no option has this variable": (FINE, {"CAMPAIGN_EXPORTER_NONE": "1"}, 2),
    "cannot listen on :10077: Address already in use": (FINE, {}, 1),
}


def test_every_message_has_a_cause_here() -> None:
    assert set(EXPLAINED) == CAUSES.keys()


@pytest.mark.parametrize("message", CAUSES)
async def test_the_cause_has_the_message_and_the_status(message: str, tmp_path: Path) -> None:
    configuration, environ, status = CAUSES[message]
    file = tmp_path / "campaign-exporter.yml"
    if configuration is not None:
        file.write_text(configuration, encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        command = (sys.executable, "-m", "exporter", f"--config.file={file}", f"--web.listen-address={address}")
        ended = await output_of(*command, environ=environ)

    expected = re.escape(message.replace(":10077", address)).replace(re.escape("..."), ".*")
    assert re.search(expected, ended.errors), ended.errors
    assert ended.status == status
