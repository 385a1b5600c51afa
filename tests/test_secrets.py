"""No secret gets out, whatever fails: everything that the real process writes and answers is searched for them."""

import asyncio
import base64
import contextlib
import json
import signal
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
import trustme
from prometheus_client.parser import text_string_to_metric_families

from tests.process import Process, answers, output_of, running, text, until
from tests.providers import loopback

# Each with characters that look different in a URL, in JSON or in a `repr`.
IN_FILE = "planted+in/a\\file="
IN_FILE_LATER = "planted+in/a\\file'later="
IN_VALUE = "ak_planted+in/a\\value="
IN_VALUE_LATER = "ak_planted+in/a\\value'later="
IN_VARIABLE = "pat_planted+in/a\\variable="
BEHIND_PROXY = "planted+behind/a\\proxy="
PROXY_PASSWORD = "planted+password/of'a=proxy"
MISPLACED = "ak_planted+in/a\\wrong=place"
SECRETS = (IN_FILE, IN_FILE_LATER, IN_VALUE, IN_VALUE_LATER, IN_VARIABLE, BEHIND_PROXY, PROXY_PASSWORD, MISPLACED)

ORGANIZATION = "0b7c0000-0000-4000-8000-000000000000"
ENVIRON = {"PLANTED_TOKEN": IN_VARIABLE}

Answer = Callable[[str], bytes]


def forms_of(secret: str) -> set[str]:
    """A secret as it is, and as it looks in a URL, in JSON, in a `repr`, in HTML and in base64."""
    plain = {secret, quote(secret, safe=""), quote(secret), json.dumps(secret)[1:-1], repr(secret)[1:-1]}
    plain |= {secret.replace("'", "&#x27;"), secret.replace("'", "&#39;"), secret.rstrip("=")}
    # In the middle of something longer, it begins at any of three places of base64's groups.
    encoded = {base64.b64encode(b" " * shift + secret.encode())[8:-8] for shift in range(3)}
    return plain | {form.decode() for form in encoded}


def leaks(written: str) -> list[str]:
    """The secrets that stand in a text."""
    return [secret for secret in SECRETS if any(form in written for form in forms_of(secret))]


def answer(status: int, body: str, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Some Reason", f"Content-Length: {len(body.encode())}", *headers]
    return "\r\n".join([*lines, "", body]).encode()


def good(echo: str) -> bytes:
    """An answer that is understood, with the token in each text that is shown."""
    echo = "token " + echo.partition("Token: ")[2]  # a label is cut after 128 characters
    uploads = [{"queues": [{"agent_uuid": echo, "completed": False, "total_queued": 3}]}]
    calls = {"total": 9, "by_status": {echo: 9}}
    return answer(
        200,
        json.dumps(
            {"success": True, "data": {"campaign": {"name": echo, "status": echo}, "calls": calls, "uploads": uploads}}
        ),
    )


ANSWERS: dict[str, tuple[str, Answer]] = {
    "70": ("", good),
    # Before the others: of many failures within a minute only a few are logged with their error.
    "66": ("internal", lambda echo: answer(200, json.dumps({"success": True, "data": {}, "defect": echo}))),
    "1": ("redirect", lambda echo: answer(302, echo, f"Location: http://elsewhere.invalid/?{quote(echo)}")),
    "2": ("invalid_response", lambda echo: answer(200, echo)),
    "3": ("server_error", lambda echo: answer(500, echo, f"X-Echo: {echo}")),
    "4": ("protocol", lambda echo: f"HTTP/1.1 200 {echo}\r\n{echo}\r\n\r\n".encode()),
    "5": ("rate_limited", lambda echo: answer(429, echo, f"Retry-After: {echo}")),
    "6": ("invalid_response", lambda echo: answer(200, json.dumps({"success": False, "error": echo}))),
    "7": ("invalid_response", lambda echo: answer(200, json.dumps({"success": True, "data": {"campaign": echo}}))),
    "8": ("protocol", lambda echo: f"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{echo}".encode()),
    "9": ("not_found", lambda echo: answer(404, json.dumps({"success": False, "error": echo}))),
    "10": ("client_error", lambda echo: answer(418, echo)),
    "11": ("protocol", lambda echo: f"{echo}\r\n\r\n".encode()),
    "12": ("invalid_response", lambda echo: answer(200, echo, "Content-Encoding: gzip")),
}
"""By the number of the campaign: the reason that it fails for, if any, and an answer that repeats what was asked."""

DEFECT = """
import sys
from exporter.cli import main
from exporter.providers import osvi

def read_status(payload, read=osvi.read_status):
    if "defect" in payload:
        raise RuntimeError(f"unexpected {payload}") from ValueError(payload["defect"])
    return read(payload)

osvi.read_status = read_status
sys.exit(main())
"""


class Upstream(loopback.Loopback):
    """Refuses or spoils every request, and repeats in its answer what was sent."""

    @property
    def heard(self) -> str:
        return "".join(self.requests)

    def answer_to(self, request: str) -> loopback.Answer:
        path, echo = request.split(" ")[1], " ".join(request.split("\r\n"))
        parts = path.split("/")
        if "refused" in parts:
            return answer(401, echo, f"WWW-Authenticate: Bearer {echo}")
        if path.startswith("proxied.invalid"):  # of CONNECT
            return answer(407, echo, f"Proxy-Authenticate: {echo}")
        return partial(_and_close, ANSWERS[parts[-2]][1](echo))


async def _and_close(sent: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(sent)
    await writer.drain()
    writer.close()


def configuration(served: Upstream, tls: Upstream, token_file: Path, token: str) -> dict[str, Any]:
    url = f"http://127.0.0.1:{served.port}"
    proxy = {"proxy_url": f"http://user:{quote(PROXY_PASSWORD, safe='')}@127.0.0.1:{served.port}"}
    faulty = [{"id": int(number)} for number in ANSWERS]
    return {
        "poll": {"active_interval": "1s"},
        "accounts": [
            {"name": "file", "provider": "osvi", "token_file": str(token_file), "base_url": url, "campaigns": faulty},
            {
                "name": "value",
                "provider": "anyreach",
                "token": token,
                "base_url": f"{url}/refused",
                "campaigns": [{"id": "june"}],
                "discovery": {},
            },
            {
                "name": "variable",
                "provider": "anyreach",
                "token_env": "PLANTED_TOKEN",
                "organization": ORGANIZATION,
                "base_url": f"https://localhost:{tls.port}",
                "campaigns": [{"id": "june"}],
            },
            {
                "name": "proxy",
                "provider": "osvi",
                "token": BEHIND_PROXY,
                "base_url": "http://proxied.invalid",
                "http": proxy,
                "campaigns": faulty,
            },
            {
                "name": "tunnel",
                "provider": "osvi",
                "token": BEHIND_PROXY,
                "base_url": "https://proxied.invalid",
                "http": proxy,
                "campaigns": [{"id": 7}],
            },
        ],
    }


WRONG = {
    "token": MISPLACED,
    "web": {"listen_address": MISPLACED},
    MISPLACED.lower(): 1,
    "poll": {"timeout": MISPLACED, "max_in_flight": [MISPLACED]},
    "accounts": [
        {"name": "a", "provider": MISPLACED, "token": MISPLACED, "token_file": MISPLACED, "base_url": MISPLACED},
        {"name": "b", "provider": "anyreach", "token": f"{MISPLACED}\n", "http": {"proxy_url": MISPLACED}},
        {"name": "c", "provider": "anyreach", "token": MISPLACED, "organization": MISPLACED},
        {"name": "d", "provider": "anyreach", "token_env": MISPLACED, "discovery": MISPLACED},
        {"name": "e", "provider": "osvi", "token_file": MISPLACED, "campaigns": [{"id": MISPLACED}, MISPLACED]},
        MISPLACED,
    ],
}
UNREADABLE = f"accounts:\n  - token {MISPLACED}\n    name: a: b\n\t- {MISPLACED}"


async def reasons(address: str) -> dict[tuple[str, str], str]:
    """Why each campaign fails, by account and campaign."""
    return {
        (sample.labels["account"], sample.labels["campaign"]): sample.labels["reason"]
        for family in text_string_to_metric_families(await text(f"{address}/metrics"))
        if family.name == "campaign_poll_error"
        for sample in family.samples
    }


async def everything_served(address: str) -> str:
    paths = (
        *("/metrics", "/", "/api/v1/campaigns", "/api/v1/openapi.json", "/-/healthy", "/-/ready", "/missing"),
        *("/?q=june", "/api/v1/campaigns?q=june", "/api/v1/campaigns?limit=x", "/runbooks/CampaignStalled"),
    )
    pages = []
    async with aiohttp.ClientSession(address) as session:
        for path in paths:
            for accept in ("*/*", "application/openmetrics-text"):
                async with session.get(path, headers={"Accept": accept}) as response:
                    pages.append(f"{response.status} {response.headers} {await response.text()}")
    return "\n".join(pages)


async def reloaded(address: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.post(f"{address}/-/reload") as response:
        return response.status, await response.text()


@contextlib.asynccontextmanager
async def exporter(log_format: str, file: Path) -> AsyncIterator[tuple[Process, str]]:
    """Run the exporter with a defect built in; what it prints goes where its log goes."""
    flags = (
        *(f"--config.file={file}", "--web.listen-address=127.0.0.1:0", "--web.enable-lifecycle"),
        *("--log.level=debug", f"--log.format={log_format}"),
    )
    command = ("sh", "-c", 'exec "$@" >&2', "sh", sys.executable, "-X", "dev", "-c", DEFECT, *flags)
    async with running(*command, environ=ENVIRON) as process:
        yield process, (await process.logged(r'listening.*address"?[=:]"?(http://[^\s"]+)'))[1]


@pytest.mark.parametrize("log_format", ["logfmt", "json"])
async def test_no_secret_is_written_or_served_while_everything_fails(log_format: str, tmp_path: Path) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    token_file, file = tmp_path / "token", tmp_path / "campaign-exporter.yml"
    token_file.write_text(IN_FILE)
    async with loopback.listening(Upstream()) as served, loopback.listening(Upstream(), tls=context) as tls:
        file.write_text(json.dumps(configuration(served, tls, token_file, IN_VALUE)))
        async with exporter(log_format, file) as (process, address):
            await until(lambda: answers(f"{address}/-/ready"))
            found = await reasons(address)
            written = await everything_served(address)

            token_file.write_text(IN_FILE_LATER)
            await process.logged("the token has changed")
            file.write_text(json.dumps(configuration(served, tls, token_file, IN_VALUE_LATER)))
            process.signal(signal.SIGHUP)
            await process.logged("configuration reloaded")
            await until(lambda: heard(served, IN_FILE_LATER, IN_VALUE_LATER))
            written += await everything_served(address)

            for wrong in (json.dumps(WRONG), UNREADABLE):
                file.write_text(wrong)
                status, problem = await reloaded(address)
                assert status == 500
                written += problem
            written += await everything_served(address)
            process.signal(signal.SIGTERM)
            assert await process.ended() == 0
    written += process.log

    assert leaks(written) == []
    # It has been as bad as it was meant to be.
    faults = {number: reason for number, (reason, _) in ANSWERS.items() if reason}
    assert found == {
        **{(account, number): reason for account in ("file", "proxy") for number, reason in faults.items()},
        ("value", "june"): "unauthorized",
        ("variable", "june"): "tls",
        ("tunnel", "7"): "connect",
    }
    assert "RuntimeError" in process.log
    assert "<redacted>" in process.log
    assert 'campaign_calls{account="file",campaign="70",provider="osvi",status="token <redacted>' in written
    credentials = base64.b64encode(f"user:{PROXY_PASSWORD}".encode()).decode()
    assert await heard(served, IN_FILE, IN_VALUE, BEHIND_PROXY, credentials)


async def heard(served: Upstream, *secrets: str) -> bool:
    return all(secret in served.heard for secret in secrets)


async def test_no_secret_is_in_what_the_other_commands_print(tmp_path: Path) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    token_file, file, wrong = tmp_path / "token", tmp_path / "campaign-exporter.yml", tmp_path / "wrong.yml"
    token_file.write_text(IN_FILE)
    wrong.write_text(json.dumps(WRONG))
    printed = []
    environ = ENVIRON | {"COLUMNS": "4000"}
    async with loopback.listening(Upstream()) as served, loopback.listening(Upstream(), tls=context) as tls:
        file.write_text(json.dumps(configuration(served, tls, token_file, IN_VALUE)))
        for command, status in (
            (("check",), 1),
            (("check", "--output", "json", "--log.level", "debug"), 1),
            (("discover",), 1),
            (("serve", "--help"), 0),
            (("check", "--config.file", str(wrong)), 2),
            (("serve", "--config.file", str(wrong)), 2),
            (("serve", "--poll.timeout", MISPLACED), 2),
            (("serve", "--tokn", MISPLACED), 2),
        ):
            program = (sys.executable, "-X", "dev", "-c", DEFECT)
            given = () if "--config.file" in command or "--help" in command else ("--config.file", str(file))
            ended = await output_of(*program, *command, *given, environ=environ)
            assert ended.status == status, ended
            printed.append(ended.output + ended.errors)
        assert await heard(served, IN_FILE, IN_VALUE, BEHIND_PROXY)

    assert leaks("\n".join(printed)) == []
    assert leaks(IN_FILE) == [IN_FILE]
