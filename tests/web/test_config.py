"""The web configuration: what is refused, what is taken over while it runs, and who comes in, over real TLS."""

import asyncio
import base64
import contextlib
import logging
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import bcrypt
import pytest
import trustme
import uvloop
import yaml
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from yarl import URL

from exporter.config.addresses import ListenAddress
from exporter.config.section import ConfigurationError
from exporter.web.auth import protect
from exporter.web.config import WebConfigFile, WebConfigWatch
from exporter.web.routes import create_app
from exporter.web.server import serving
from exporter.web.sockets import listening, location

EXAMPLE = Path(__file__).parents[2] / "deploy" / "web-config.example.yml"
HASH = bcrypt.hashpw(b"correct", bcrypt.gensalt(4)).decode()
TLS = {"cert_file": "server.crt", "key_file": "server.key"}


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def directory(tmp_path: Path, authority: trustme.CA) -> Path:
    """Holds server.crt, server.key and client-ca.crt."""
    certify(authority, tmp_path)
    authority.cert_pem.write_to_path(tmp_path / "client-ca.crt")
    return tmp_path


def certify(authority: trustme.CA, directory: Path, name: str = "localhost") -> None:
    certificate = authority.issue_cert(name, "127.0.0.1")
    (directory / "server.crt").write_bytes(b"".join(pem.bytes() for pem in certificate.cert_chain_pems))
    certificate.private_key_pem.write_to_path(directory / "server.key")


def write(directory: Path, content: Mapping[str, Any] | str) -> Path:
    file = directory / "web.yml"
    text = content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False)
    file.write_text(text, encoding="utf-8")
    return file


def faults_of(directory: Path, content: Mapping[str, Any] | str) -> list[str]:
    """What is wrong with a file, without its path."""
    file = write(directory, content)
    with pytest.raises(ConfigurationError) as caught:
        WebConfigFile(file)
    assert all(fault.startswith(str(file)) for fault in caught.value.faults)
    return [fault.removeprefix(str(file)).lstrip(":") for fault in caught.value.faults]


def context_of(config: WebConfigFile) -> ssl.SSLContext:
    assert config.tls is not None
    return config.tls.context


class TestFaults:
    def test_all_of_them_are_told_at_once_with_line_and_key(self, tmp_path: Path) -> None:
        assert faults_of(
            tmp_path,
            "tls_server_config:\n"
            "  cert_file: nowhere.crt\n"
            "  min_version: TLS11\n"
            "  cipher_suites: [TLS_AES_128_GCM_SHA256]\n"
            "http_server_config:\n"
            "  http2: true\n"
            "  headers: {Server: nginx, X-Frame-Options: maybe}\n"
            "basic_auth_users:\n"
            "  alice: hunter2\n"
            "  alice: hunter3\n"
            "rate_limit: {burst: 5}\n"
            "tsl_server_config: {}\n",
        ) == [
            "10: basic_auth_users.alice: expected this key once: it is here twice",
            "1: tls_server_config.key_file: expected this key: TLS needs a certificate and its key",
            "2: tls_server_config.cert_file: expected a file that can be read: No such file or directory",
            "3: tls_server_config.min_version: "
            "expected TLS12 or TLS13: what is older is not safe, and OpenSSL does not speak it any more",
            "4: tls_server_config.cipher_suites: expected one of TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 and "
            "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 in it, or http2: false in http_server_config",
            "6: http_server_config.http2: expected false, or no such key: HTTP/2 is not spoken",
            "7: http_server_config.headers.Server: this header can't be configured: expected one of "
            "Content-Security-Policy, Strict-Transport-Security, X-Content-Type-Options, X-Frame-Options, "
            "X-XSS-Protection",
            "7: http_server_config.headers: X-Frame-Options: expected deny or sameorigin",
            "9: basic_auth_users.alice: expected a password's bcrypt hash ($2a$, $2b$ or $2y$) of a cost from 4 to 31",
            "11: rate_limit: not supported: requests at once and connections are limited without it",
            "12: tsl_server_config: unknown key: did you mean tls_server_config?",
        ]

    def test_what_cannot_be_honoured_is_refused_by_name(self, directory: Path) -> None:
        (fault,) = faults_of(directory, {"tls_server_config": {**TLS, "curve_preferences": ["X25519"]}})

        assert fault == "4: tls_server_config.curve_preferences: not supported: the curves are OpenSSL's choice"

    @pytest.mark.parametrize("key", ["cert", "key"])
    def test_a_text_and_a_file_for_the_same_are_one_too_many(self, directory: Path, key: str) -> None:
        assert faults_of(directory, {"tls_server_config": {**TLS, key: "-----BEGIN SECRET-----"}}) == [
            f"4: tls_server_config.{key}: expected either {key} or {key}_file"
        ]

    @pytest.mark.parametrize("kind", ["RequestClientCert", "RequireAnyClientCert", "RequireClientCert"])
    def test_trusting_any_client_certificate_is_refused_by_name(self, directory: Path, kind: str) -> None:
        assert faults_of(directory, {"tls_server_config": {**TLS, "client_auth_type": kind}}) == [
            f"4: tls_server_config.client_auth_type: {kind} is not supported, since it trusts any certificate: "
            "expected VerifyClientCertIfGiven or RequireAndVerifyClientCert"
        ]

    @pytest.mark.parametrize(
        ("given", "fault"),
        [
            (
                {"client_auth_type": "Maybe"},
                "4: tls_server_config.client_auth_type: expected one of NoClientCert, VerifyClientCertIfGiven, "
                "RequireAndVerifyClientCert",
            ),
            ({"client_auth_type": ["NoClientCert"]}, "4: tls_server_config.client_auth_type: expected a string"),
            (
                {"client_allowed_sans": ["prometheus.example.com"]},
                "4: tls_server_config.client_allowed_sans: expected a client_auth_type of VerifyClientCertIfGiven or "
                "RequireAndVerifyClientCert with it",
            ),
            (
                {"client_auth_type": "RequireAndVerifyClientCert", "client_allowed_sans": []},
                "5: tls_server_config.client_allowed_sans: expected at least one, or no such key",
            ),
            (
                {"client_ca": "-----BEGIN CERTIFICATE-----"},
                "4: tls_server_config.client_ca: expected a client_auth_type of VerifyClientCertIfGiven or "
                "RequireAndVerifyClientCert with it",
            ),
            (
                {"client_ca_file": "client-ca.crt"},
                "4: tls_server_config.client_ca_file: expected a client_auth_type of VerifyClientCertIfGiven or "
                "RequireAndVerifyClientCert with it",
            ),
            ({"min_version": "TLS14"}, "4: tls_server_config.min_version: expected TLS12 or TLS13"),
            (
                {"max_version": "TLS12", "min_version": "TLS13"},
                "4: tls_server_config.max_version: expected a version that is not older than min_version",
            ),
            (
                {"prefer_server_cipher_suites": "yes"},
                "4: tls_server_config.prefer_server_cipher_suites: expected true or false",
            ),
            (
                {"minimum_version": "TLS13"},
                "4: tls_server_config.minimum_version: unknown key: did you mean min_version?",
            ),
        ],
    )
    def test_what_tls_cannot_be_is_reported(self, directory: Path, given: Mapping[str, object], fault: str) -> None:
        assert faults_of(directory, {"tls_server_config": {**TLS, **given}}) == [fault]

    def test_a_version_alone_is_no_tls(self, tmp_path: Path) -> None:
        assert faults_of(tmp_path, {"tls_server_config": {"min_version": "TLS13"}}) == [
            "1: tls_server_config.cert_file: expected this key: TLS needs a certificate and its key",
            "1: tls_server_config.key_file: expected this key: TLS needs a certificate and its key",
        ]

    @pytest.mark.parametrize(
        ("headers", "fault"),
        [
            ({"x-frame-options": "deny"}, "3: http_server_config.headers.<not shown>: this header can't be"),
            (
                {"X-Content-Type-Options": "sniff"},
                "3: http_server_config.headers: X-Content-Type-Options: expected nos",
            ),
            (
                {"Content-Security-Policy": "a\r\nb: c"},
                "3: http_server_config.headers: Content-Security-Policy: expect",
            ),
            (
                {"Content-Security-Policy": "ü"},
                "3: http_server_config.headers: Content-Security-Policy: expected a hea",
            ),
            (
                {"X-XSS-Protection": True},
                "3: http_server_config.headers: X-XSS-Protection: expected a string: quote it",
            ),
            ("X-Frame-Options", "2: http_server_config.headers: expected a mapping of keys to values"),
        ],
    )
    def test_headers_that_cannot_be_sent_are_refused(self, tmp_path: Path, headers: object, fault: str) -> None:
        (found,) = faults_of(tmp_path, {"http_server_config": {"headers": headers}})

        assert found.startswith(fault)

    @pytest.mark.parametrize(
        ("users", "key"),
        [
            ({"alice": "correct"}, "basic_auth_users.alice"),
            ({"alice": HASH[:-1]}, "basic_auth_users.alice"),
            ({"alice": HASH.replace("$04$", "$32$")}, "basic_auth_users.alice"),
            ({"alice": 12345678}, "basic_auth_users.alice"),
            ({"alice:bob": HASH}, "basic_auth_users.<not shown>"),
            (["alice"], "basic_auth_users"),
        ],
    )
    def test_users_that_could_never_come_in_are_refused_and_not_repeated(
        self, tmp_path: Path, users: object, key: str
    ) -> None:
        (found,) = faults_of(tmp_path, {"basic_auth_users": users})

        assert found.split(": ")[1] == key
        assert not any(secret in found for secret in ("correct", HASH[7:30], "12345678"))

    def test_a_missing_file_is_one_line(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError) as caught:
            WebConfigFile(tmp_path / "web.yml")
        assert caught.value.faults == (
            f"{tmp_path}/web.yml: expected a file that can be read: No such file or directory",
        )

    def test_what_is_no_yaml_is_told_with_its_line(self, tmp_path: Path) -> None:
        (found,) = faults_of(tmp_path, "tls_server_config:\n  cert_file: [\n")

        assert found.startswith("3: expected YAML")

    @pytest.mark.parametrize("content", ["", "# nothing\n", "basic_auth_users:\ntls_server_config: {}\n"])
    def test_an_empty_one_is_plain_and_open(self, tmp_path: Path, content: str) -> None:
        config = WebConfigFile(write(tmp_path, content))

        assert not config.tls
        assert not config.users
        assert config.headers == {}


class TestCertificates:
    def put(self, directory: Path, name: str, content: bytes) -> None:
        (directory / name).write_bytes(content)

    @pytest.mark.parametrize(
        "content",
        [b"", b"junk", b"\xff\xfe", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"],
        ids=["nothing", "junk", "binary", "half"],
    )
    @pytest.mark.parametrize("name", ["server.crt", "server.key", "client-ca.crt"])
    def test_each_file_that_is_no_pem_is_named(self, directory: Path, name: str, content: bytes) -> None:
        self.put(directory, name, content)
        asked = {**TLS, "client_auth_type": "RequireAndVerifyClientCert", "client_ca_file": "client-ca.crt"}

        expected = {
            "server.crt": "2: tls_server_config.cert_file: expected certificates as PEM",
            "server.key": "3: tls_server_config.key_file: expected a private key as PEM",
            "client-ca.crt": "5: tls_server_config.client_ca_file: expected certificates as PEM",
        }
        assert faults_of(directory, {"tls_server_config": asked}) == [expected[name]]

    def test_the_key_of_another_certificate_is_reported(self, directory: Path, authority: trustme.CA) -> None:
        self.put(directory, "server.key", authority.issue_cert("other").private_key_pem.bytes())

        assert faults_of(directory, {"tls_server_config": TLS}) == [
            "3: tls_server_config.key_file: expected the key of the certificate in cert_file"
        ]

    def test_an_encrypted_key_is_refused_and_nobody_asked_for_its_passphrase(self, directory: Path) -> None:
        key = load_pem_private_key((directory / "server.key").read_bytes(), None)
        encrypted = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
        self.put(directory, "server.key", encrypted)

        assert faults_of(directory, {"tls_server_config": TLS}) == [
            "3: tls_server_config.key_file: expected a key that is not encrypted: nobody is there to decrypt it"
        ]

    def test_a_certificate_that_openssl_finds_weak_is_reported(self, directory: Path) -> None:
        key = rsa.generate_private_key(65537, 1024)  # noqa: S505 -- weak on purpose
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "weak")])
        certificate = x509.load_pem_x509_certificate((directory / "server.crt").read_bytes())
        weak = (
            x509.CertificateBuilder(name, name, key.public_key(), 1)
            .not_valid_before(certificate.not_valid_before_utc)
            .not_valid_after(certificate.not_valid_after_utc)
            .sign(key, hashes.SHA256())
        )
        self.put(directory, "server.crt", weak.public_bytes(Encoding.PEM))
        self.put(
            directory, "server.key", key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        )

        assert faults_of(directory, {"tls_server_config": TLS}) == [
            "2: tls_server_config.cert_file: expected a certificate that OpenSSL finds safe: EE_KEY_TOO_SMALL"
        ]

    def test_certificate_and_key_may_be_one_file_and_have_words_around_them(self, directory: Path) -> None:
        both = (directory / "server.key").read_bytes() + "Größe\n".encode() + (directory / "server.crt").read_bytes()
        self.put(directory, "both.pem", both)

        assert WebConfigFile(write(directory, {"tls_server_config": dict.fromkeys(TLS, "both.pem")})).tls

    def test_paths_begin_at_the_file(self, directory: Path) -> None:
        (directory / "conf").mkdir()
        for key, path in TLS.items():
            file = write(directory / "conf", {"tls_server_config": {**TLS, **{k: f"../{p}" for k, p in TLS.items()}}})
            assert WebConfigFile(file).tls, (key, path)
        absolute = {key: str(directory / path) for key, path in TLS.items()}
        assert WebConfigFile(write(directory / "conf", {"tls_server_config": absolute})).tls

    def test_the_oldest_version_is_1_2_and_can_be_raised_and_the_newest_lowered(self, directory: Path) -> None:
        version = ssl.TLSVersion

        def versions(**given: str) -> tuple[int, int]:
            context = context_of(WebConfigFile(write(directory, {"tls_server_config": {**TLS, **given}})))
            return context.minimum_version, context.maximum_version

        assert versions() == (version.TLSv1_2, version.TLSv1_3)
        assert versions(min_version="TLS13") == (version.TLSv1_3, version.TLSv1_3)
        assert versions(min_version="TLS12", max_version="TLS12") == (version.TLSv1_2, version.TLSv1_2)

    @pytest.mark.parametrize("preferred", [True, False])
    def test_the_servers_preference_of_ciphers_can_be_given_up(self, directory: Path, preferred: bool) -> None:
        given = {**TLS, "prefer_server_cipher_suites": preferred}

        context = context_of(WebConfigFile(write(directory, {"tls_server_config": given})))

        assert bool(context.options & ssl.OP_CIPHER_SERVER_PREFERENCE) == preferred

    def test_promtool_and_we_accept_the_example(self, directory: Path) -> None:
        file = write(directory, EXAMPLE.read_text(encoding="utf-8"))

        check = subprocess.run(["promtool", "check", "web-config", file], capture_output=True, text=True, check=False)

        assert (check.returncode, check.stdout, check.stderr) == (0, "", f"{file} SUCCESS\n")
        config = WebConfigFile(file)
        assert context_of(config).verify_mode == ssl.CERT_REQUIRED
        assert config.headers == {"Strict-Transport-Security": "max-age=31536000"}
        assert bcrypt.checkpw(b"change me", config.users[b"prometheus"])


class TestChanges:
    CONTENT: Mapping[str, Any] = {"tls_server_config": TLS, "basic_auth_users": {"alice": HASH}}

    @pytest.fixture
    def config(self, directory: Path) -> WebConfigFile:
        return WebConfigFile(write(directory, self.CONTENT))

    def test_nothing_changes_while_the_contents_stay(self, config: WebConfigFile, directory: Path) -> None:
        before = context_of(config)
        for name in ("server.crt", "server.key", "web.yml"):
            content = (directory / name).read_bytes()
            (directory / name).unlink()
            (directory / name).write_bytes(content)
        with (directory / "web.yml").open("a") as file:
            file.write("# a comment\n")

        assert not config.refresh()
        assert context_of(config) is before

    def test_a_renewed_certificate_makes_a_new_context(
        self, config: WebConfigFile, directory: Path, authority: trustme.CA
    ) -> None:
        before = context_of(config)
        certify(authority, directory)

        assert config.refresh()
        assert context_of(config) is not before
        assert not config.refresh()

    def test_a_symbolic_link_that_leads_elsewhere_is_a_change(self, directory: Path, authority: trustme.CA) -> None:
        for name in ("old", "new"):
            (directory / name).mkdir()
            certify(authority, directory / name)
        (directory / "current").symlink_to("old")
        given = {key: f"current/{path}" for key, path in TLS.items()}
        config = WebConfigFile(write(directory, {"tls_server_config": given}))

        (directory / "next").symlink_to("new")
        (directory / "next").rename(directory / "current")

        assert config.refresh()

    def test_other_authorities_of_clients_make_a_new_context(self, directory: Path) -> None:
        given = {**TLS, "client_auth_type": "RequireAndVerifyClientCert", "client_ca_file": "client-ca.crt"}
        config = WebConfigFile(write(directory, {"tls_server_config": given}))
        trustme.CA().cert_pem.write_to_path(directory / "client-ca.crt")

        assert config.refresh()

    def test_users_and_headers_are_taken_over(self, config: WebConfigFile, directory: Path) -> None:
        write(
            directory,
            {
                **self.CONTENT,
                "basic_auth_users": {"bob": HASH},
                "http_server_config": {"headers": {"X-XSS-Protection": 0}},
            },
        )

        assert config.refresh()
        assert set(config.users) == {b"bob"}
        assert config.headers == {"X-XSS-Protection": "0"}

    @pytest.mark.parametrize("broken", ["certificate", "key", "half a pair", "yaml", "user", "gone"])
    def test_a_broken_edit_keeps_the_last_good_one(
        self, config: WebConfigFile, directory: Path, authority: trustme.CA, broken: str
    ) -> None:
        before = context_of(config)
        if broken == "certificate":
            (directory / "server.crt").write_text("junk")
        elif broken == "key":
            (directory / "server.key").unlink()
        elif broken == "half a pair":
            certify(authority, directory)
            (directory / "server.key").write_bytes(authority.issue_cert("x").private_key_pem.bytes())
        elif broken == "yaml":
            write(directory, "basic_auth_users: {")
        elif broken == "user":
            write(directory, {**self.CONTENT, "basic_auth_users": {"alice": "correct"}})
        else:
            (directory / "web.yml").unlink()

        for _ in range(2):
            with pytest.raises(ConfigurationError):
                config.refresh()

        assert context_of(config) is before
        assert set(config.users) == {b"alice"}

    @pytest.mark.parametrize(
        ("content", "faults"),
        [
            (
                "",
                [
                    "1: tls_server_config: changing between plain HTTP and TLS takes a restart",
                    "1: basic_auth_users: letting everybody in, where a password was needed, takes a restart",
                ],
            ),
            (
                {"basic_auth_users": {"alice": HASH}},
                ["1: tls_server_config: changing between plain HTTP and TLS takes a restart"],
            ),
            (
                {"tls_server_config": TLS},
                ["1: basic_auth_users: letting everybody in, where a password was needed, takes a restart"],
            ),
        ],
    )
    def test_a_file_of_which_half_is_written_never_opens_the_door(
        self, config: WebConfigFile, directory: Path, content: Mapping[str, Any] | str, faults: Sequence[str]
    ) -> None:
        file = write(directory, content)

        with pytest.raises(ConfigurationError) as caught:
            config.refresh()

        assert [fault.removeprefix(f"{file}:") for fault in caught.value.faults] == faults
        assert config.tls
        assert config.users

    def test_tls_is_not_begun_while_running_and_users_are(self, directory: Path) -> None:
        config = WebConfigFile(write(directory, ""))
        write(directory, {"tls_server_config": TLS})
        with pytest.raises(ConfigurationError, match="takes a restart"):
            config.refresh()

        write(directory, {"basic_auth_users": {"alice": HASH}})

        assert config.refresh()
        assert config.users


class TestWatch:
    async def test_a_fault_is_reported_at_every_check_and_logged_once(
        self, directory: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        good = {"basic_auth_users": {"alice": HASH}}
        told: list[bool] = []
        watch = WebConfigWatch(WebConfigFile(file := write(directory, good)), told.append)
        assert told == [True]

        assert await watch.check() == ()
        assert told == [True]

        write(directory, {"basic_auth_users": {"alice": "one", "bob": "two"}})
        faults = [await watch.check() for _ in range(3)]
        assert [len(found) for found in faults] == [2, 2, 2]
        assert told == [True, False, False, False]
        logged = [(record.getMessage(), getattr(record, "error", None)) for record in caplog.records]
        assert logged == [("the web configuration can't be reloaded, the old one stays", fault) for fault in faults[0]]

        write(directory, "- another fault")
        await watch.check()
        assert caplog.messages[2:] == ["the web configuration can't be reloaded, the old one stays"]

        write(directory, good)  # what is in force all the time
        assert await watch.check() == ()
        assert told[4:] == [False, True]
        assert caplog.messages[3:] == ["web configuration reloaded"]

        await watch.check()
        assert len(told) == 6
        file.unlink()
        await watch.check()
        assert told[6:] == [False]

    async def test_a_defect_leaves_in_force_what_was_read_before(
        self, directory: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(config: WebConfigFile) -> bool:
            raise RuntimeError

        told: list[bool] = []
        watch = WebConfigWatch(WebConfigFile(write(directory, "")), told.append)
        monkeypatch.setattr(WebConfigFile, "refresh", fail)

        faults = {await watch.check(), await watch.check()}

        assert faults == {("a defect of the exporter, see its log: RuntimeError",)}
        assert told == [True, False, False]
        assert len(caplog.records) == 2


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Awaitable[None]], None]:
    """Run a coroutine on each of the two event loops that the exporter runs on."""

    def runner(main: Awaitable[None]) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(60):
                await main

        with asyncio.Runner(loop_factory=request.param) as loop:
            loop.run(bounded())

    return runner


Run = Callable[[Awaitable[None]], None]


def basic(name: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


class Door:
    """A running server, and its clients."""

    def __init__(self, config: WebConfigFile, address: str, authority: trustme.CA) -> None:
        self.config = config
        self.address = address
        self._authority = authority

    def context(self, client: trustme.CA | None = None) -> ssl.SSLContext:
        """What a client trusts, with a certificate from an authority where one is given."""
        context = ssl.create_default_context()
        self._authority.configure_trust(context)
        if client:
            client.issue_cert("prometheus.example.com").configure_cert(context)
        return context

    async def ask(
        self,
        path: str = "/metrics",
        method: str = "GET",
        *,
        user: tuple[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> aiohttp.ClientResponse:
        url = URL(self.address + path, encoded=True)
        async with (
            aiohttp.ClientSession() as session,
            session.request(
                method,
                url,
                headers=basic(*user) if user else {},
                ssl=tls or self.context(),
                skip_auto_headers=["Accept-Encoding"],
            ) as response,
        ):
            await response.read()
            return response


@asynccontextmanager
async def guarded(directory: Path, authority: trustme.CA, content: Mapping[str, Any]) -> AsyncIterator[Door]:
    config = WebConfigFile(write(directory, content))

    async def page(*_: object) -> Sequence[bytes]:
        return [b"campaign_up 1\n"]

    async def reload() -> str | None:
        return None

    async def page_for_people(request: web.Request) -> web.Response:
        return web.Response(text="page", headers={"Content-Security-Policy": "default-src 'self'"})

    app = create_app(
        page=page,
        ready=lambda: True,
        reload=reload,
        frontend={"/": page_for_people, "/runbooks/{alert}": page_for_people},
    )
    protect(app, lambda: config.users)
    with listening([ListenAddress.parse("127.0.0.1:0")], {}) as (sock,):
        async with serving(app, [sock], tls=lambda: config.tls, headers=lambda: config.headers, shutdown_timeout=0.2):
            yield Door(config, location(sock, "https" if config.tls else "http"), authority)


class TestPasswords:
    CONTENT: Mapping[str, Any] = {"basic_auth_users": {"alice": HASH}}

    def test_everything_but_the_probes_needs_one(self, run: Run, directory: Path, authority: trustme.CA) -> None:
        async def main() -> None:
            async with guarded(directory, authority, self.CONTENT) as door:
                for path in ("/", "/metrics", "/runbooks/CampaignStalled", "/nowhere", "/-/reload", "/-/"):
                    response = await door.ask(path)
                    assert response.status == 401, path
                    assert response.headers["WWW-Authenticate"] == 'Basic realm="campaign-exporter", charset="UTF-8"'
                    assert "campaign_up" not in await response.text()
                for method in ("POST", "PUT", "DELETE", "HEAD", "OPTIONS"):
                    assert (await door.ask("/-/reload", method)).status == 401
                    assert (await door.ask("/metrics", method)).status == 401
                for path in ("/-/healthy", "/-/ready"):
                    assert (await door.ask(path)).status == 200
                    assert (await door.ask(path, "HEAD")).status == 200

                for path in ("/", "/metrics", "/runbooks/CampaignStalled"):
                    assert (await door.ask(path, user=("alice", "correct"))).status == 200
                assert (await door.ask("/-/reload", "POST", user=("alice", "correct"))).status == 200
                assert (await door.ask("/nowhere", user=("alice", "correct"))).status == 404

        run(main())

    @pytest.mark.parametrize(
        "path",
        [
            "/-/healthy/../../metrics",
            "/-/healthy/..%2f..%2fmetrics",
            "//metrics",
            "/metrics/",
            "/-/healthy/",
            "/-/healthy;/metrics",
            "/%2d/healthy/../../metrics",
            "/metrics?/-/healthy",
            "/metrics#/-/healthy",
        ],
    )
    def test_no_spelling_of_a_path_leads_past_it(
        self, run: Run, directory: Path, authority: trustme.CA, path: str
    ) -> None:
        async def main() -> None:
            async with guarded(directory, authority, self.CONTENT) as door:
                reader, writer = await asyncio.open_connection(*door.address.removeprefix("http://").split(":"))
                writer.write(f"GET {path} HTTP/1.0\r\nHost: x\r\n\r\n".encode())
                answer = await reader.read()
                writer.close()

                assert b" 401 " in answer.splitlines()[0]
                assert b"campaign_up" not in answer

        run(main())

    @pytest.mark.parametrize(
        "headers",
        [basic("alice", "wrong"), basic("bob", "correct"), basic("", ""), {"Authorization": "Basic nonsense"}, {}],
    )
    def test_a_wrong_one_is_refused(
        self, run: Run, directory: Path, authority: trustme.CA, headers: Mapping[str, str]
    ) -> None:
        async def main() -> None:
            async with (
                guarded(directory, authority, self.CONTENT) as door,
                aiohttp.ClientSession(headers=headers) as session,
                session.get(f"{door.address}/metrics") as response,
            ):
                assert response.status == 401

        run(main())

    def test_users_come_and_go_while_connections_stay(self, run: Run, directory: Path, authority: trustme.CA) -> None:
        async def main() -> None:
            async with (
                guarded(directory, authority, self.CONTENT) as door,
                aiohttp.ClientSession(skip_auto_headers=["Accept-Encoding"]) as session,
            ):

                async def status(name: str) -> int:
                    async with session.get(f"{door.address}/metrics", headers=basic(name, "correct")) as response:
                        connection = response.connection
                        assert connection is None or connection.transport is not None
                        return response.status

                assert await status("alice") == 200
                write(directory, {"basic_auth_users": {"bob": HASH}})
                assert await asyncio.to_thread(door.config.refresh)
                assert [await status("alice"), await status("bob")] == [401, 200]

        run(main())

    def test_with_no_users_nobody_is_asked(self, run: Run, directory: Path, authority: trustme.CA) -> None:
        async def main() -> None:
            async with guarded(directory, authority, {}) as door:
                assert (await door.ask()).status == 200
                assert (await door.ask(user=("anybody", "anything"))).status == 200

        run(main())

    def test_wrong_ones_without_end_keep_neither_probes_nor_right_ones_out(
        self, run: Run, directory: Path, authority: trustme.CA
    ) -> None:
        dear = bcrypt.hashpw(b"correct", bcrypt.gensalt(8)).decode()

        async def main() -> None:
            async with guarded(directory, authority, {"basic_auth_users": {"alice": dear, "bob": dear}}) as door:
                assert (await door.ask(user=("alice", "correct"))).status == 200
                refused: list[int] = []
                enough = asyncio.Event()

                async def hammer(number: int) -> None:
                    async with aiohttp.ClientSession() as session:
                        while True:
                            wrong = basic("alice" if number % 2 else "nobody", f"wrong-{number}-{len(refused)}")
                            async with session.get(f"{door.address}/metrics", headers=wrong) as response:
                                refused.append(response.status)
                                if len(refused) >= 5:
                                    enough.set()

                hammers = [asyncio.create_task(hammer(number)) for number in range(20)]
                await enough.wait()
                before = len(refused)
                for _ in range(5):
                    async with asyncio.timeout(5):
                        assert (await door.ask("/-/healthy")).status == 200
                        assert (await door.ask(user=("alice", "correct"))).status == 200
                # One that was never seen takes its turn among the wrong ones, all from the same address.
                assert (await door.ask(user=("bob", "correct"))).status == 200
                assert len(refused) > before
                assert set(refused) == {401}
                for task in hammers:
                    task.cancel()
                await asyncio.gather(*hammers, return_exceptions=True)

        run(main())


class TestHeaders:
    def test_they_stand_on_every_answer_and_go_before_our_own(
        self, run: Run, directory: Path, authority: trustme.CA
    ) -> None:
        headers = {
            "Content-Security-Policy": "default-src 'none'",
            "Strict-Transport-Security": "max-age=1",
            "X-Frame-Options": "sameorigin",
            "X-XSS-Protection": "",
        }
        content = {"http_server_config": {"headers": headers}, "basic_auth_users": {"alice": HASH}}

        async def main() -> None:
            async with guarded(directory, authority, content) as door:
                for path in ("/", "/metrics", "/nowhere", "/-/healthy"):
                    for user in (None, ("alice", "correct")):
                        found = (await door.ask(path, user=user)).headers
                        assert found["Strict-Transport-Security"] == "max-age=1"
                        assert found.getall("Content-Security-Policy") == ["default-src 'none'"]
                        assert found["X-Frame-Options"] == "sameorigin"
                        assert found["X-Content-Type-Options"] == "nosniff"
                        assert "X-XSS-Protection" not in found

        run(main())

    def test_there_is_no_strict_transport_security_unless_it_is_asked_for(
        self, run: Run, directory: Path, authority: trustme.CA
    ) -> None:
        async def main() -> None:
            async with guarded(directory, authority, {"tls_server_config": TLS}) as door:
                assert "Strict-Transport-Security" not in (await door.ask("/")).headers

        run(main())


class TestTls:
    @pytest.fixture(autouse=True)
    def _debug(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG, "exporter.web.server")

    MUTUAL: Mapping[str, Any] = {
        "tls_server_config": {
            **TLS,
            "client_auth_type": "RequireAndVerifyClientCert",
            "client_ca_file": "client-ca.crt",
        }
    }

    async def refused(self, door: Door, context: ssl.SSLContext, log: pytest.LogCaptureFixture) -> str:
        """Connect and ask; returns why the server did not answer, as it sees it."""
        host, port = door.address.removeprefix("https://").split(":")
        log.clear()
        said = b""
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            # In TLS 1.3 the client has finished its part before the server has looked at its certificate.
            reader, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=host)
            with contextlib.closing(writer):
                writer.write(b"GET /metrics HTTP/1.0\r\nHost: x\r\n\r\n")
                said = await reader.read()
        assert said == b""
        reasons = [getattr(record, "error", "") for record in log.records if record.message == "no connection"]
        while not reasons:
            await asyncio.sleep(0)
            reasons = [getattr(record, "error", "") for record in log.records if record.message == "no connection"]
        (reason,) = reasons
        assert [record for record in log.records if record.levelno >= logging.WARNING] == []
        return str(reason)

    def test_it_is_spoken_and_plain_http_is_not(self, run: Run, directory: Path, authority: trustme.CA) -> None:
        async def main() -> None:
            async with guarded(directory, authority, {"tls_server_config": TLS}) as door:
                assert (await door.ask()).status == 200
                door.address = door.address.replace("https", "http")
                with pytest.raises(aiohttp.ClientError):
                    await door.ask("/-/healthy")

        run(main())

    @pytest.mark.parametrize(
        ("given", "spoken", "error"),
        [
            ({}, ssl.TLSVersion.TLSv1_1, "UNSUPPORTED_PROTOCOL"),
            ({"min_version": "TLS13"}, ssl.TLSVersion.TLSv1_2, "UNSUPPORTED_PROTOCOL"),
            ({"max_version": "TLS12"}, ssl.TLSVersion.TLSv1_3, "UNSUPPORTED_PROTOCOL"),
        ],
    )
    def test_a_client_of_another_version_is_refused(
        self,
        run: Run,
        directory: Path,
        authority: trustme.CA,
        given: Mapping[str, str],
        spoken: ssl.TLSVersion,
        error: str,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        async def main() -> None:
            async with guarded(directory, authority, {"tls_server_config": {**TLS, **given}}) as door:
                context = door.context()
                speak(context, spoken)
                assert error in await self.refused(door, context, caplog)
                assert (await door.ask()).status == 200

        run(main())

    def test_the_client_of_1_1_would_be_served_by_a_server_of_1_1(
        self, run: Run, directory: Path, authority: trustme.CA
    ) -> None:
        async def main() -> None:
            async with guarded(directory, authority, {"tls_server_config": TLS}) as door:
                speak(context_of(door.config), ssl.TLSVersion.TLSv1_1)
                context = door.context()
                speak(context, ssl.TLSVersion.TLSv1_1)
                assert (await door.ask(tls=context)).status == 200

        run(main())

    def test_only_a_certificate_that_the_authority_vouches_for_comes_in(
        self, run: Run, directory: Path, authority: trustme.CA, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def main() -> None:
            async with guarded(directory, authority, self.MUTUAL) as door:
                assert (await door.ask(tls=door.context(authority))).status == 200
                assert "PEER_DID_NOT_RETURN_A_CERTIFICATE" in await self.refused(door, door.context(), caplog)
                assert "CERTIFICATE_VERIFY_FAILED" in await self.refused(door, door.context(trustme.CA()), caplog)
                # Probes are no exception: they may come without a password, not without TLS.
                with pytest.raises(aiohttp.ClientError):
                    await door.ask("/-/healthy")

        run(main())

    def test_one_that_may_be_left_out_is_verified_if_given(
        self, run: Run, directory: Path, authority: trustme.CA, caplog: pytest.LogCaptureFixture
    ) -> None:
        optional = {
            "tls_server_config": {**self.MUTUAL["tls_server_config"], "client_auth_type": "VerifyClientCertIfGiven"}
        }

        async def main() -> None:
            async with guarded(directory, authority, optional) as door:
                assert (await door.ask()).status == 200
                assert (await door.ask(tls=door.context(authority))).status == 200
                assert "CERTIFICATE_VERIFY_FAILED" in await self.refused(door, door.context(trustme.CA()), caplog)

        run(main())

    def test_an_authority_that_is_taken_off_the_file_vouches_for_nobody_any_more(
        self, run: Run, directory: Path, authority: trustme.CA, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def main() -> None:
            async with guarded(directory, authority, self.MUTUAL) as door:
                context = door.context(authority)
                assert (await door.ask(tls=context)).status == 200
                trustme.CA().cert_pem.write_to_path(directory / "client-ca.crt")
                assert await asyncio.to_thread(door.config.refresh)
                # Not by a session that is resumed either.
                assert "CERTIFICATE_VERIFY_FAILED" in await self.refused(door, context, caplog)

        run(main())

    def test_a_renewed_certificate_is_shown_to_new_connections_and_drops_no_old_one(
        self, run: Run, directory: Path, authority: trustme.CA
    ) -> None:
        async def main() -> None:
            async with guarded(directory, authority, {"tls_server_config": TLS}) as door:
                host, port = door.address.removeprefix("https://").split(":")

                async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter, str]:
                    reader, writer = await asyncio.open_connection(
                        host, port, ssl=door.context(), server_hostname="127.0.0.1"
                    )
                    names = dict(writer.get_extra_info("peercert")["subjectAltName"])
                    return reader, writer, names["DNS"]

                async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
                    writer.write(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
                    return await reader.readuntil(b"healthy.\n")

                reader, writer, name = await connect()
                assert name == "localhost"
                assert b" 200 " in await ask(reader, writer)

                certify(authority, directory, "renewed.example.com")
                assert await asyncio.to_thread(door.config.refresh)

                assert b" 200 " in await ask(reader, writer)
                new_reader, new_writer, name = await connect()
                assert name == "renewed.example.com"
                assert b" 200 " in await ask(new_reader, new_writer)
                for open_writer in (writer, new_writer):
                    open_writer.close()

        run(main())


def speak(context: ssl.SSLContext, version: ssl.TLSVersion) -> None:
    """Let a context speak one version, and be it an unsafe one."""
    if version <= ssl.TLSVersion.TLSv1_1:
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="is deprecated"):
            context.minimum_version = version
        with pytest.warns(DeprecationWarning, match="is deprecated"):
            context.maximum_version = version
    else:
        context.minimum_version = context.maximum_version = version
