"""The real process behind TLS and passwords, scraped by a real Prometheus while keys and users are renewed."""

import json
import signal
import socket
import ssl
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import bcrypt
import pytest
import trustme
from prometheus_client.parser import text_string_to_metric_families

from tests.process import exporter, prometheus, query, running, until

SUCCESSFUL = "campaign_exporter_web_config_last_reload_successful"
READ_AT = "campaign_exporter_web_config_last_reload_success_timestamp_seconds"


def hashed(password: str) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()


class Door:
    """A web configuration with its certificates, and clients that it lets in."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.file = directory / "web.yml"
        self.address = ""
        self._authority = trustme.CA()
        self._authority.cert_pem.write_to_path(directory / "ca.crt")
        self.certify("first.example.com")
        client = self._authority.issue_cert("prometheus.example.com")
        client.cert_chain_pems[0].write_to_path(directory / "client.crt")
        client.private_key_pem.write_to_path(directory / "client.key")

    def certify(self, name: str) -> None:
        certificate = self._authority.issue_cert(name, "127.0.0.1")
        certificate.cert_chain_pems[0].write_to_path(self.directory / "server.crt")
        certificate.private_key_pem.write_to_path(self.directory / "server.key")

    def write(self, users: Mapping[str, str], **tls: str) -> None:
        mutual = {"client_auth_type": "RequireAndVerifyClientCert", "client_ca_file": "ca.crt"}
        configuration = {
            "tls_server_config": {"cert_file": "server.crt", "key_file": "server.key", **mutual, **tls},
            "basic_auth_users": users,
        }
        self.file.write_text(json.dumps(configuration), encoding="utf-8")  # JSON is YAML

    def context(self, *, certificate: bool = True) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.directory / "ca.crt")
        if certificate:
            context.load_cert_chain(self.directory / "client.crt", self.directory / "client.key")
        return context

    async def ask(self, user: str | None, path: str = "/metrics", method: str = "GET") -> tuple[int, str]:
        """Ask as this user, whose password is the name backwards; returns status and text."""
        headers = {"Authorization": aiohttp.encode_basic_auth(user, user[::-1])} if user else {}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.request(method, self.address + path, ssl=self.context()) as response,
        ):
            return response.status, await response.text()

    async def sample(self, name: str) -> float:
        status, page = await self.ask("alice")
        assert status == 200
        (family,) = (family for family in text_string_to_metric_families(page) if family.name == name)
        return float(family.samples[0].value)

    def shown_name(self) -> str:
        """The name in the certificate that is shown to a new connection."""
        host, port = self.address.removeprefix("https://").split(":")
        with (
            socket.create_connection((host, int(port)), timeout=10) as plain,
            self.context().wrap_socket(plain, server_hostname=host) as connection,
        ):
            names: Sequence[Any] = (connection.getpeercert() or {})["subjectAltName"]
            return str(dict(names)["DNS"])

    def job(self, user: str) -> dict[str, object]:
        """A scrape job of Prometheus that comes as this user."""
        files = {"ca_file": "ca.crt", "cert_file": "client.crt", "key_file": "client.key"}
        return {
            "job_name": user,
            "scheme": "https",
            "tls_config": {key: str(self.directory / file) for key, file in files.items()},
            "basic_auth": {"username": user, "password": user[::-1]},
            "scrape_interval": "1s",
            "static_configs": [{"targets": [self.address.removeprefix("https://")]}],
        }


@pytest.fixture
def door(tmp_path: Path) -> Door:
    return Door(tmp_path)


def holds(server: str, promql: str) -> Callable[[], Awaitable[list[dict[str, object]]]]:
    return lambda: query(server, promql)


async def test_prometheus_goes_on_scraping_while_certificate_and_users_are_renewed(door: Door, tmp_path: Path) -> None:
    door.write({"alice": hashed("ecila"), "old": hashed("dlo")})
    async with exporter("demo", "--web.config.file", door.file, directory=tmp_path) as (process, door.address):
        assert door.address.startswith("https://")
        scrapes = {"scrape_configs": [door.job(user) for user in ("alice", "old", "new")]}
        async with prometheus(tmp_path, json.dumps(scrapes)) as server:
            await until(holds(server, 'up{job="alice"} == 1 and on() up{job="old"} == 1 and on() up{job="new"} == 0'))
            assert await until(holds(server, 'campaign_up{job="alice"}'))
            assert door.shown_name() == "first.example.com"

            door.certify("second.example.com")
            await process.logged("web configuration reloaded")
            assert door.shown_name() == "second.example.com"

            seen = len(process.log)
            door.write({"alice": hashed("ecila"), "old": hashed("dlo"), "new": hashed("wen")})
            await process.logged("web configuration reloaded", after=seen)
            await until(holds(server, 'up{job="new"} == 1'))
            # Nobody else has lost a scrape over all that.
            assert await query(server, 'min_over_time(up{job=~"alice|old"}[5m]) == 0') == []

            seen = len(process.log)
            door.write({"alice": hashed("ecila"), "new": hashed("wen")})
            await process.logged("web configuration reloaded", after=seen)
            await until(holds(server, 'up{job="old"} == 0'))
            changed = await door.sample(READ_AT)
            await until(holds(server, f'timestamp(up{{job="new"}} == 1) > {changed + 2}'))
            assert await query(server, 'min_over_time(up{job="alice"}[5m]) == 0') == []

        process.signal(signal.SIGTERM)
        assert await process.ended() == 0
        assert "Traceback" not in process.log


async def test_a_broken_edit_changes_nothing_and_is_told_by_log_metric_and_answer(door: Door, tmp_path: Path) -> None:
    door.write({"alice": hashed("ecila")})
    flags = ("--web.config.file", door.file, "--web.enable-lifecycle")
    async with exporter("demo", *flags, directory=tmp_path) as (process, door.address):
        began = await door.sample(READ_AT)
        assert (began > 0, await door.sample(SUCCESSFUL)) == (True, 1)

        (door.directory / "server.crt").write_text("half", encoding="utf-8")
        line = r"level=error .*the web configuration can't be reloaded, the old one stays.*cert_file"
        await process.logged(line)
        assert await door.sample(SUCCESSFUL) == 0
        status, text = await door.ask("alice", "/-/reload", "POST")
        assert status == 500
        assert text == f"{door.file}:1: tls_server_config.cert_file: expected certificates as PEM\n"
        assert process.log.count("can't be reloaded") == 1
        assert await door.sample(READ_AT) == began

        door.certify("third.example.com")
        assert (await door.ask("alice", "/-/reload", "POST"))[0] == 200
        assert door.shown_name() == "third.example.com"
        assert await door.sample(SUCCESSFUL) == 1
        assert await door.sample(READ_AT) > began
        assert await door.sample("campaign_exporter_config_last_reload_successful") == 1


async def test_clients_without_password_or_certificate_or_with_old_tls_are_refused(door: Door, tmp_path: Path) -> None:
    door.write({"alice": hashed("ecila")})
    async with exporter("demo", "--web.config.file", door.file, directory=tmp_path) as (process, door.address):
        assert (await door.ask("alice"))[0] == 200
        for path in ("/", "/metrics", "/api/v1/campaigns", "/api/v1/openapi.json", "/runbooks/CampaignStalled"):
            for user in (None, "nobody"):
                assert (await door.ask(user, path))[0] == 401, path
            assert (await door.ask("alice", path))[0] == 200, path
        assert (await door.ask(None, "/-/healthy"))[0] == 200
        assert (await door.ask(None, "/-/ready"))[0] in {200, 503}

        assert refused(door, door.context(certificate=False))
        old = door.context()
        old.set_ciphers("DEFAULT:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="is deprecated"):
            old.minimum_version = ssl.TLSVersion.TLSv1
        with pytest.warns(DeprecationWarning, match="is deprecated"):
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        assert refused(door, old)

        assert (await door.ask("alice"))[0] == 200
        process.signal(signal.SIGTERM)
        assert await process.ended() == 0
        assert "Traceback" not in process.log


def refused(door: Door, context: ssl.SSLContext) -> bool:
    """Say whether a client gets no answer, be it that it was turned away politely or cut off."""
    host, port = door.address.removeprefix("https://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as plain:
        try:
            with context.wrap_socket(plain, server_hostname=host) as connection:
                connection.sendall(b"GET /-/healthy HTTP/1.0\r\nHost: x\r\n\r\n")
                return connection.recv(1024) == b""
        except (ssl.SSLError, ConnectionError):
            return True


@pytest.mark.parametrize("command", [("demo", "--web.listen-address", "127.0.0.1:0"), ("check", "--offline")])
async def test_a_web_configuration_that_cannot_be_used_stops_the_start(tmp_path: Path, command: Sequence[str]) -> None:
    file = tmp_path / "web.yml"
    file.write_text(
        "tls_server_config: {curve_preferences: [X25519]}\nbasic_auth_users: {alice: hunter2}\n", encoding="utf-8"
    )
    arguments: tuple[str | Path, ...] = (sys.executable, "-m", "exporter", *command, "--web.config.file", file)
    account = {"name": "acme", "provider": "osvi", "token": "secret-token", "campaigns": [{"id": 7}]}

    async with running(
        *arguments, environ={"CAMPAIGN_EXPORTER_ACCOUNTS": json.dumps([account])}, directory=tmp_path
    ) as process:
        assert await process.ended() == 2

    assert process.log.splitlines() == [
        f"{file}:1: tls_server_config.curve_preferences: not supported: the curves are OpenSSL's choice",
        f"{file}:1: tls_server_config.cert_file: expected this key: TLS needs a certificate and its key",
        f"{file}:1: tls_server_config.key_file: expected this key: TLS needs a certificate and its key",
        f"{file}:2: basic_auth_users.alice: expected a password's bcrypt hash ($2a$, $2b$ or $2y$) of a cost from 4 to "
        "31",
    ]
