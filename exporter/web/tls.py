"""TLS of the web server: the keys of `tls_server_config`, and the context that is made of them."""

import ipaddress
import os
import ssl
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator

from exporter.config.certificates import load_pair, trust
from exporter.config.fields import FilePath, Secret, Switch, Text, only
from exporter.config.files import path_of, read_regular
from exporter.config.section import Fault, Section, refusal, value_of

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


Version: TypeAlias = Annotated[Text, AfterValidator(_version)]
CipherSuite: TypeAlias = Annotated[
    Text, AfterValidator(only(f"one of {', '.join(_CIPHER_SUITES)}", _CIPHER_SUITES.__contains__))
]


class TlsServerConfig(Section):
    cert_file: FilePath | None = None
    key_file: FilePath | None = None
    cert: Text | None = None
    key: Secret | None = None
    client_auth_type: Annotated[Text, AfterValidator(_client_auth)] = "NoClientCert"
    client_ca_file: FilePath | None = None
    """Authorities that vouch for clients; the system's where neither it nor client_ca is given."""
    client_ca: Text | None = None
    client_allowed_sans: (
        Annotated[tuple[Text, ...], AfterValidator(only("at least one, or no such key", bool))] | None
    ) = None
    """Names of clients: one of them must be a subject alternative name of the client's certificate."""
    min_version: Version = "TLS12"
    max_version: Version = "TLS13"
    cipher_suites: tuple[CipherSuite, ...] | None = None
    """Cipher suites of TLS 1.2, in the server's order of preference; those of TLS 1.3 are always on."""
    prefer_server_cipher_suites: Switch = True

    @property
    def enabled(self) -> bool:
        return self.cert_file is not None or self.cert is not None

    @property
    def verify_mode(self) -> ssl.VerifyMode:
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
        """Say whether a client may come in with its verified certificate, as `ssl.SSLSocket.getpeercert` returns it."""
        if not certificate or self.allowed_sans is None:
            return True
        return not self.allowed_sans.isdisjoint(_names(certificate.get("subjectAltName", ())))


def _names(alternatives: Iterable[tuple[str, str]]) -> Iterator[str]:
    for kind, name in alternatives:
        if kind == "IP Address":
            yield str(ipaddress.ip_address(name.strip()))  # OpenSSL writes IPv6 without abbreviating
        elif kind in {"DNS", "email", "URI"}:
            yield name


def read_pems(written: Any) -> tuple[dict[str, bytes], list[Fault]]:
    """Collect the PEMs that a section, as written, holds or names, by their keys; other keys may be at fault."""
    pems: dict[str, bytes] = {}
    faults: list[Fault] = []
    for name in ("cert", "key", "client_ca"):
        if isinstance(text := value_of(written, name), str):
            pems[name] = text.encode("ascii", "ignore")
        if path := path_of(value_of(written, f"{name}_file")):
            try:
                pems[f"{name}_file"] = read_regular(path)
            except OSError as exc:
                faults.append(((_SECTION, f"{name}_file"), f"expected a file that can be read: {exc.strerror}"))
    return pems, faults


def make_tls(written: TlsServerConfig, pems: Mapping[str, bytes], faults: list[Fault]) -> Tls:
    """Make the context; what is wrong with certificates, keys and cipher suites is added to the faults."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[written.min_version]
    context.maximum_version = _VERSIONS[written.max_version]
    context.options |= ssl.OP_NO_RENEGOTIATION
    if not written.prefer_server_cipher_suites:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    if written.cipher_suites is not None and written.min_version != "TLS13":
        try:
            context.set_ciphers(":".join(filter(None, map(_CIPHER_SUITES.__getitem__, written.cipher_suites))))
        except ssl.SSLError:
            expected = "expected at least one of TLS 1.2 that OpenSSL has, or min_version: TLS13"
            faults.append(((_SECTION, "cipher_suites"), expected))
    faults += (((_SECTION, name), expected) for name, expected in _load(context, pems))
    context.verify_mode = written.verify_mode
    if context.verify_mode != ssl.CERT_NONE and pems.keys().isdisjoint({"client_ca", "client_ca_file"}):
        context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
    sans = written.client_allowed_sans
    return Tls(context, None if sans is None else frozenset(sans))


def _load(context: ssl.SSLContext, pems: Mapping[str, bytes]) -> Iterator[tuple[str, str]]:
    """Load certificate, key and authorities; yields the keys that can't be used, and what was expected there."""
    cert, key = ("cert_file" if "cert_file" in pems else "cert"), ("key_file" if "key_file" in pems else "key")
    if problem := trust(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), pems[cert]):
        yield cert, problem
    else:
        try:
            with _file_of(pems[cert]) as cert_path, _file_of(pems[key]) as key_path:
                fault = load_pair(context, cert_path, key_path, (cert, key))
        except OSError as exc:
            # No descriptor is left, for example.
            fault = key, f"expected a certificate and key that can be handed to OpenSSL: {exc.strerror}"
        if fault:
            yield fault
    for name in pems.keys() & {"client_ca", "client_ca_file"}:
        if problem := trust(context, pems[name]):
            yield name, problem


@contextmanager
def _file_of(pem: bytes) -> Iterator[str]:
    """Put a PEM where OpenSSL reads it, which takes certificates and keys from files only; on Linux on no disk."""
    in_memory = hasattr(os, "memfd_create")
    with os.fdopen(os.memfd_create("pem"), "wb") if in_memory else tempfile.TemporaryFile() as file:
        file.write(pem)
        file.flush()
        file.seek(0)
        yield f"{'/proc/self/fd' if in_memory else '/dev/fd'}/{file.fileno()}"
