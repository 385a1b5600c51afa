"""TLS of the web server: the keys of `tls_server_config`, and the context that is made of them."""

import ipaddress
import os
import ssl
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator

from exporter.config.certificates import load_pair, trust
from exporter.config.fields import FilePath, Secret, Switch, Text
from exporter.config.files import read_regular
from exporter.config.section import Fault, Key, Section, refusal

_SECTION = "tls_server_config"
_VERSIONS: Mapping[str, ssl.TLSVersion] = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_CLIENT_AUTH: Mapping[str, ssl.VerifyMode] = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
_CIPHER_SUITES: Mapping[str, str] = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    # Those of TLS 1.3 are always on, in the toolkit too.
    "TLS_AES_128_GCM_SHA256": "",
    "TLS_AES_256_GCM_SHA384": "",
    "TLS_CHACHA20_POLY1305_SHA256": "",
}
"""OpenSSL's names by those of the toolkit, which are Go's (https://pkg.go.dev/crypto/tls#CipherSuites)."""


def _version(value: str) -> str:
    if value in {"TLS10", "TLS11"}:
        raise refusal("expected TLS12 or TLS13: what is older is not safe, and OpenSSL does not speak it any more")
    if value not in _VERSIONS:
        raise refusal("expected TLS12 or TLS13")
    return value


def _client_auth(value: str) -> str:
    if value in {"RequestClientCert", "RequireAnyClientCert", "RequireClientCert"}:
        raise refusal(
            f"{value} is not supported, since it trusts any certificate: expected VerifyClientCertIfGiven or "
            "RequireAndVerifyClientCert"
        )
    if value not in _CLIENT_AUTH:
        raise refusal(f"expected one of {', '.join(_CLIENT_AUTH)}")
    return value


def _cipher_suite(value: str) -> str:
    if value not in _CIPHER_SUITES:
        raise refusal(f"expected one of {', '.join(_CIPHER_SUITES)}")
    return value


def _not_empty(value: tuple[str, ...]) -> tuple[str, ...]:
    if not value:
        raise refusal("expected at least one, or no such key")
    return value


Version: TypeAlias = Annotated[Text, AfterValidator(_version)]


class TlsServerConfig(Section):
    """TLS."""

    cert_file: FilePath | None = None
    """PEM file of the certificate and, after it, those of the authorities between it and a trusted one."""
    key_file: FilePath | None = None
    """PEM file of its key, not encrypted."""
    cert: Text | None = None
    """The certificate itself, as PEM, in place of cert_file."""
    key: Secret | None = None
    """The key itself, as PEM, in place of key_file."""
    client_auth_type: Annotated[Text, AfterValidator(_client_auth)] = "NoClientCert"
    """Whether clients show a certificate."""
    client_ca_file: FilePath | None = None
    """PEM file of the authorities that vouch for clients; the system's where neither it nor client_ca is given."""
    client_ca: Text | None = None
    """The authorities themselves, as PEM, in place of client_ca_file."""
    client_allowed_sans: Annotated[tuple[Text, ...], AfterValidator(_not_empty)] | None = None
    """Names of clients: one of them must be a subject alternative name of the client's certificate."""
    min_version: Version = "TLS12"
    """Oldest version of TLS that is spoken."""
    max_version: Version = "TLS13"
    """Newest version of TLS that is spoken."""
    cipher_suites: tuple[Annotated[Text, AfterValidator(_cipher_suite)], ...] | None = None
    """Cipher suites of TLS 1.2, in the server's order of preference; those of TLS 1.3 are always on."""
    prefer_server_cipher_suites: Switch = True
    """Whether the server's preference among cipher suites goes before the client's."""

    @property
    def enabled(self) -> bool:
        """Whether TLS is spoken."""
        return self.cert_file is not None or self.cert is not None

    @property
    def verify_mode(self) -> ssl.VerifyMode:
        """What client_auth_type means to OpenSSL."""
        return _CLIENT_AUTH[self.client_auth_type]

    @classmethod
    def cross_check(cls, data: Mapping[str, Any]) -> Iterator[Fault]:
        # Also where nothing but a version is given: plain HTTP is not what that asks for.
        for key in ("cert", "key"):
            if data and not {key, f"{key}_file"} & data.keys():
                yield (f"{key}_file",), "expected this key: TLS needs a certificate and its key"
        for key in ("cert", "key", "client_ca"):
            if {key, f"{key}_file"} <= data.keys():
                yield (key,), f"expected either {key} or {key}_file"
        if data.get("client_auth_type", "NoClientCert") == "NoClientCert":
            for key in ("client_ca_file", "client_ca", "client_allowed_sans"):
                if key in data:
                    yield (
                        (key,),
                        "expected a client_auth_type of VerifyClientCertIfGiven or RequireAndVerifyClientCert with it",
                    )
        if (data.get("min_version"), data.get("max_version")) == ("TLS13", "TLS12"):
            yield ("max_version",), "expected a version that is not older than min_version"


@dataclass(frozen=True, slots=True)
class Tls:
    """What a new connection is secured with."""

    context: ssl.SSLContext
    allowed_sans: frozenset[str] | None = None

    def admits(self, certificate: Mapping[str, Any] | None) -> bool:
        """
        Say whether a client may come in.

        Args:
            certificate: As `ssl.SSLSocket.getpeercert` returns it, verified; None or empty where there is none.
        """
        if not certificate or self.allowed_sans is None:
            return True
        return not self.allowed_sans.isdisjoint(_names(certificate.get("subjectAltName", ())))


def _names(alternatives: Iterable[tuple[str, str]]) -> Iterator[str]:
    for kind, name in alternatives:
        if kind == "IP Address":
            yield str(ipaddress.ip_address(name.strip()))  # OpenSSL writes IPv6 without abbreviating
        elif kind in {"DNS", "email", "URI"}:
            yield name


def make_tls(written: TlsServerConfig, faults: list[Fault]) -> Tls:
    """Make the context; what is wrong with certificates, keys and cipher suites is added to the faults."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[written.min_version]
    context.maximum_version = _VERSIONS[written.max_version]
    context.options |= ssl.OP_NO_RENEGOTIATION
    if not written.prefer_server_cipher_suites:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    faults += _choose_ciphers(context, written)
    faults += _load_certificate(context, written)
    context.verify_mode = written.verify_mode
    if written.client_ca_file:
        faults += _trust(context, written.client_ca_file, "client_ca_file")
    elif written.client_ca is not None:
        faults += _trust(context, written.client_ca, "client_ca")
    elif context.verify_mode != ssl.CERT_NONE:
        context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
    sans = written.client_allowed_sans
    return Tls(context, None if sans is None else frozenset(sans))


def _choose_ciphers(context: ssl.SSLContext, written: TlsServerConfig) -> Iterator[Fault]:
    if written.cipher_suites is None or written.min_version == "TLS13":
        return
    try:
        context.set_ciphers(":".join(filter(None, map(_CIPHER_SUITES.__getitem__, written.cipher_suites))))
    except ssl.SSLError:
        yield (_SECTION, "cipher_suites"), "expected at least one of TLS 1.2 that OpenSSL has, or min_version: TLS13"


def _load_certificate(context: ssl.SSLContext, written: TlsServerConfig) -> Iterator[Fault]:
    certificate = written.cert_file or written.cert or ""
    key = written.key_file or (written.key.get_secret_value() if written.key else "")
    cert_key: Key = (_SECTION, "cert_file" if written.cert_file else "cert")
    key_key: Key = (_SECTION, "key_file" if written.key_file else "key")
    if unusable := list(_trust(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), certificate, str(cert_key[1]))):
        yield from unusable
        return
    try:
        with _file_of(certificate) as cert_path, _file_of(key) as key_path:
            fault = load_pair(context, cert_path, key_path, (str(cert_key[1]), str(key_key[1])))
        if fault:
            yield (_SECTION, fault[0]), fault[1]
    except OSError as exc:
        yield key_key, f"expected a file that can be read: {exc.strerror}"


@contextmanager
def _file_of(pem: Path | str) -> Iterator[Path]:
    """Return where OpenSSL reads a PEM: it takes certificates and keys from files only. Text never reaches a disk."""
    if isinstance(pem, Path):
        yield pem
        return
    with os.fdopen(os.memfd_create("pem"), "w", encoding="ascii", errors="ignore") as file:
        file.write(pem)
        file.flush()
        yield Path(f"/proc/self/fd/{file.fileno()}")


def _trust(context: ssl.SSLContext, pem: Path | str, name: str) -> Iterator[Fault]:
    try:
        content = read_regular(pem) if isinstance(pem, Path) else pem.encode("ascii", "ignore")
    except OSError as exc:
        yield (_SECTION, name), f"expected a file that can be read: {exc.strerror}"
    else:
        if problem := trust(context, content):
            yield (_SECTION, name), problem
