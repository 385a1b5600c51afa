"""TLS: the web configurations of the exporter toolkit's own tests, and what they mean to real clients."""

import asyncio
import errno
import os
import ssl
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import bcrypt
import pytest
import trustme
import yaml

from exporter.config.addresses import ListenAddress
from exporter.config.section import ConfigurationError
from exporter.web.config import WebConfigFile, WebConfigWatch
from exporter.web.routes import create_app
from exporter.web.server import serving
from exporter.web.sockets import listening
from exporter.web.tls import Tls

FILES = {"cert_file": "server.crt", "key_file": "server.key"}
GIVEN = {"client_auth_type": "VerifyClientCertIfGiven"}
REQUIRED = {"client_auth_type": "RequireAndVerifyClientCert"}
RSA_256 = "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"
RSA_128 = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"
EVERY_SUITE = [
    *(
        f"TLS_ECDHE_{key}_WITH_{cipher}"
        for key in ("ECDSA", "RSA")
        for cipher in (
            "AES_128_GCM_SHA256",
            "AES_256_GCM_SHA384",
            "CHACHA20_POLY1305_SHA256",
            "AES_128_CBC_SHA",
            "AES_256_CBC_SHA",
        )
    ),
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
]
HASHES = {f"user-{cost}": f"$2y${cost}${'a' * 53}" for cost in (12, 18, 10)}


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA(key_type=trustme.KeyType.RSA)


@pytest.fixture
def directory(tmp_path: Path, authority: trustme.CA) -> Path:
    """Holds server.crt, server.key and ca.pem."""
    certificate = authority.issue_cert("localhost", "127.0.0.1", key_type=trustme.KeyType.RSA)
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "server.crt")
    certificate.private_key_pem.write_to_path(tmp_path / "server.key")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return tmp_path


def write(directory: Path, content: Mapping[str, Any] | str) -> WebConfigFile:
    file = directory / "web.yml"
    file.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return WebConfigFile(file)


def tls(**keys: object) -> dict[str, object]:
    return {"tls_server_config": {**FILES, **keys}}


def inline(directory: Path) -> dict[str, str]:
    return {"cert": (directory / "server.crt").read_text(), "key": (directory / "server.key").read_text()}


class TestFilesOfTheToolkit:
    @pytest.mark.parametrize(
        "content",
        [
            "",
            tls(**REQUIRED, client_ca_file="ca.pem"),
            tls(**REQUIRED, client_ca_file="ca.pem", client_allowed_sans=["one", "test3", "two"]),
            {"http_server_config": {"headers": {"X-Frame-Options": "deny", "X-XSS-Protection": 1}}},
            tls(**REQUIRED),
            tls(**GIVEN),
            tls(**GIVEN, cipher_suites=EVERY_SUITE),
            {**tls(**GIVEN, cipher_suites=[RSA_256], max_version="TLS12"), "http_server_config": {"http2": False}},
            tls(**GIVEN, cipher_suites=[RSA_128, RSA_256], min_version="TLS12", max_version="TLS12"),
            tls(**GIVEN, cipher_suites=[RSA_256, RSA_128], prefer_server_cipher_suites=False, max_version="TLS12"),
            {**tls(), "basic_auth_users": HASHES},
            {"basic_auth_users": HASHES},
        ],
        ids=[
            "empty",
            "require and verify",
            "client names",
            "headers",
            "require, no authority",
            "verify if given",
            "all ciphers",
            "no HTTP/2",
            "some ciphers",
            "some ciphers, no order",
            "users",
            "users without TLS",
        ],
    )
    def test_good_ones_are_taken(self, directory: Path, content: Mapping[str, Any] | str) -> None:
        config = write(directory, content)

        assert bool(config.tls) == ("tls_server_config" in content)

    def test_certificate_and_key_as_text_are_taken(self, directory: Path) -> None:
        assert write(directory, {"tls_server_config": inline(directory)}).tls

    def test_they_are_taken_too_where_no_file_can_be_in_memory(
        self, directory: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delattr(os, "memfd_create")

        assert write(directory, tls(**GIVEN)).tls

    def test_a_lack_of_descriptors_is_a_fault_of_the_file(
        self, directory: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(name: str) -> int:
            raise OSError(errno.EMFILE, "Too many open files")

        monkeypatch.setattr(os, "memfd_create", refuse)

        with pytest.raises(ConfigurationError, match=r"key_file: .*: Too many open files"):
            write(directory, tls(**GIVEN))

    @pytest.mark.parametrize(
        ("content", "key"),
        [
            (tls(client_auth_type="RequireAnyClientCert"), "client_auth_type"),
            (tls(**GIVEN, curve_preferences=["CurveP256", "X25519"]), "curve_preferences"),
            (tls(**GIVEN, min_version="TLS13", curve_preferences=["CurveP521"]), "curve_preferences"),
            ({"rate_limit": {"interval": "1s", "burst": 0}}, "rate_limit"),
        ],
    )
    def test_good_ones_that_cannot_be_honoured_are_refused_by_name(
        self, directory: Path, content: Mapping[str, Any], key: str
    ) -> None:
        with pytest.raises(ConfigurationError) as caught:
            write(directory, content)

        (fault,) = caught.value.faults
        assert f"{key}: " in fault
        assert "not supported" in fault

    @pytest.mark.parametrize(
        "content",
        [
            "hWkNKCp3fvIx3jKnsaBI\nTuEjdwNS8A2vYdFbiKqr\n",
            {"tls_server_config": {"cert_filse": "server.crt"}},
            tls(client_ca_file="somefile"),
            tls(client_ca_file="/dev/null"),
            {**tls(), "basic_auth_users": {"john": "doe"}},
            {"http_server_config": {"headers": {"X-Content-Type-Options": "sniff"}}},
            {"http_server_config": {"headers": {"Content-Type": "foo"}}},
            {"http_server_config": {"headers": {"X-Frame-Options": "foo"}}},
            tls(cert_file=""),
            tls(cert_file="somefile"),
            tls(cert_file="", key_file="", client_auth_type="x"),
            {"tls_server_config": {"cert": "", "key_file": "server.key"}},
            {"tls_server_config": {"cert_file": "server.crt", "key": ""}},
            tls(**GIVEN, cipher_suites=["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA2048"]),
            tls(**GIVEN, curve_preferences=["CurveP257"]),
            tls(key_file="somefile"),
            tls(**GIVEN, cipher_suites=[RSA_256], max_version="TLS12"),
            tls(**GIVEN, min_version="TLS111"),
        ],
    )
    def test_bad_ones_are_refused(self, directory: Path, content: Mapping[str, Any] | str) -> None:
        with pytest.raises(ConfigurationError):
            write(directory, content)


class TestFaults:
    def test_what_is_wrong_with_a_text_names_its_key_and_shows_nothing_of_it(self, directory: Path) -> None:
        other = trustme.CA().issue_cert("other").private_key_pem.bytes().decode()
        for key, text, expected in (
            ("cert", "-----BEGIN CERTIFICATE-----\nsecret\n", "expected certificates as PEM"),
            ("key", "-----BEGIN PRIVATE KEY-----\nsecret\n", "expected a private key as PEM"),
            ("key", other, "expected the key of the certificate in cert"),
        ):
            with pytest.raises(ConfigurationError) as caught:
                write(directory, {"tls_server_config": {**inline(directory), key: text}})
            (fault,) = caught.value.faults
            assert fault.endswith(f": tls_server_config.{key}: {expected}")

    def test_an_inline_authority_that_is_no_pem_is_reported(self, directory: Path) -> None:
        with pytest.raises(ConfigurationError, match=r"client_ca: expected certificates as PEM"):
            write(directory, tls(**REQUIRED, client_ca="junk"))

    def test_suites_of_tls_13_alone_leave_none_for_tls_12(self, directory: Path) -> None:
        suites = ["TLS_AES_128_GCM_SHA256"]
        http = {"http_server_config": {"http2": False}}

        with pytest.raises(ConfigurationError, match=r"cipher_suites: expected at least one of TLS 1.2"):
            write(directory, {**tls(cipher_suites=suites), **http})
        assert write(directory, tls(cipher_suites=suites, min_version="TLS13")).tls

    @pytest.mark.parametrize("name", ["cert_file", "key_file", "client_ca_file"])
    @pytest.mark.parametrize("kind", ["fifo", "/dev/zero"])
    def test_a_file_without_end_is_refused(self, directory: Path, name: str, kind: str) -> None:
        os.mkfifo(directory / "fifo")

        with pytest.raises(ConfigurationError, match=rf"{name}: expected a file that can be read: it is not a regular"):
            write(directory, tls(**{**REQUIRED, "client_ca_file": "ca.pem", name: kind}))

    def test_a_truncated_file_never_asks_less_of_clients(self, directory: Path) -> None:
        config = write(directory, tls(**REQUIRED, client_ca_file="ca.pem", client_allowed_sans=["one"]))
        for less in (tls(), tls(**GIVEN, client_ca_file="ca.pem"), tls(**REQUIRED, client_ca_file="ca.pem")):
            (directory / "web.yml").write_text(yaml.safe_dump(less), encoding="utf-8")
            with pytest.raises(ConfigurationError, match="asking less of clients than before takes a restart"):
                config.refresh()

    async def test_an_expensive_hash_is_taken_with_a_warning(
        self, directory: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        hashes = {name: bcrypt.hashpw(b"x", bcrypt.gensalt(4)).decode() for name in ("cheap", "dear")}
        hashes["dear"] = hashes["dear"].replace("$04$", "$15$")

        WebConfigWatch(write(directory, {"basic_auth_users": hashes}), lambda usable: None)

        (message,) = caplog.messages
        assert "'dear' has cost 15" in message


class TestHandshakes:
    """Real clients over loopback."""

    @staticmethod
    async def answered(config: WebConfigFile, client: ssl.SSLContext) -> bool:
        """Whether a client gets an answer."""

        async def page(*_: object) -> Sequence[bytes]:
            return []

        app = create_app(page=page, ready=lambda: True, reload=None, frontend={})
        with listening([ListenAddress.parse("127.0.0.1:0")], {}) as (sock,):
            async with serving(app, [sock], tls=lambda: config.tls, shutdown_timeout=0.2):
                host, port = sock.getsockname()
                with suppress(ssl.SSLError, ConnectionError):
                    reader, writer = await asyncio.open_connection(host, port, ssl=client, server_hostname=host)
                    with closing(writer):
                        writer.write(b"GET /-/healthy HTTP/1.0\r\n\r\n")
                        return b" 200 " in await reader.read()
        return False

    @pytest.fixture
    def client(self, authority: trustme.CA) -> ssl.SSLContext:
        context = ssl.create_default_context()
        authority.configure_trust(context)
        return context

    async def test_certificate_key_and_authority_as_text_work(
        self, directory: Path, client: ssl.SSLContext, authority: trustme.CA
    ) -> None:
        authorities = (directory / "ca.pem").read_text()
        config = write(directory, {"tls_server_config": {**inline(directory), **REQUIRED, "client_ca": authorities}})

        assert not await self.answered(config, client)
        authority.issue_cert("prometheus.example.com").configure_cert(client)
        assert await self.answered(config, client)

    async def test_without_authorities_those_of_the_system_vouch_for_clients(
        self, directory: Path, client: ssl.SSLContext, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        authority.issue_cert("prometheus.example.com").configure_cert(client)
        assert not await self.answered(write(directory, tls(**REQUIRED)), client)

        monkeypatch.setenv("SSL_CERT_FILE", str(directory / "ca.pem"))
        assert await self.answered(write(directory, tls(**REQUIRED)), client)

    @pytest.mark.parametrize(
        ("name", "comes_in"),
        [
            ("prometheus.example.com", True),
            ("10.1.2.3", True),
            ("2001:db8::1", True),
            ("other.example.com", False),
            ("10.1.2.4", False),
        ],
    )
    async def test_only_the_named_clients_come_in(
        self, directory: Path, client: ssl.SSLContext, authority: trustme.CA, name: str, comes_in: bool
    ) -> None:
        names = ["prometheus.example.com", "10.1.2.3", "2001:db8::1"]
        config = write(directory, tls(**REQUIRED, client_ca_file="ca.pem", client_allowed_sans=names))
        authority.issue_cert(name).configure_cert(client)

        assert await self.answered(config, client) == comes_in

    def test_a_name_counts_only_as_what_it_is(self) -> None:
        tls = Tls(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), frozenset({"a@example.com", "spiffe://example.com/a"}))

        assert tls.admits({"subjectAltName": (("email", "a@example.com"),)})
        assert tls.admits({"subjectAltName": (("DNS", "b"), ("URI", "spiffe://example.com/a"))})
        assert not tls.admits({"subjectAltName": (("othername", "a@example.com"),)})
        assert not tls.admits({"subject": ((("commonName", "a@example.com"),),)})
        assert tls.admits({})  # none was asked for, or given

    async def test_only_the_suites_that_are_named_are_spoken_in_tls_12(
        self, directory: Path, client: ssl.SSLContext
    ) -> None:
        config = write(directory, tls(cipher_suites=[RSA_128]))
        client.maximum_version = ssl.TLSVersion.TLSv1_2

        client.set_ciphers("ECDHE-RSA-AES256-GCM-SHA384")
        assert not await self.answered(config, client)
        client.set_ciphers("ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256")
        assert await self.answered(config, client)
        client.maximum_version = ssl.TLSVersion.TLSv1_3
        client.set_ciphers("ECDHE-RSA-AES256-GCM-SHA384")
        assert await self.answered(config, client)
