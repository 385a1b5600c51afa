"""Checking that OpenSSL can load the certificates and keys that an account names."""

import ssl
from collections.abc import Iterator
from typing import NoReturn

from exporter.config.files import read_regular, unreadable

_NO_CERTIFICATES = "expected certificates as PEM"


def unusable(ca_file: str | None, cert_file: str | None, key_file: str | None) -> Iterator[tuple[str, str]]:
    """Each of these keys whose file can't be used, with what was expected there."""
    contents: dict[str, bytes] = {}
    for name, path in (("ca_file", ca_file), ("cert_file", cert_file), ("key_file", key_file)):
        if path:
            try:
                contents[name] = read_regular(path)
            except OSError as exc:
                yield name, unreadable(path, exc)
    authorities = [name for name in ("ca_file", "cert_file") if name in contents and not _holds_some(contents[name])]
    yield from ((name, _NO_CERTIFICATES) for name in authorities)
    if {"cert_file", "key_file"} <= contents.keys() and "cert_file" not in authorities:
        yield from _pair_faults(str(cert_file), str(key_file))


def _holds_some(pem: bytes) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem.decode("ascii", errors="ignore"))
    except (ssl.SSLError, ValueError):  # the latter for an empty file
        return False
    return True


def _pair_faults(cert_file: str, key_file: str) -> Iterator[tuple[str, str]]:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(cert_file, key_file, _no_passphrase)
    except _EncryptedError:
        yield "key_file", "expected a key that is not encrypted: nobody is there to decrypt it"
    except ssl.SSLError as exc:
        reason = exc.reason or ""
        if reason.endswith(("TOO_SMALL", "TOO_WEAK")):
            yield "cert_file", f"expected a certificate that OpenSSL finds safe: {reason}"
        elif reason.endswith("MISMATCH"):
            yield "key_file", "expected the key of the certificate in cert_file"
        else:
            yield "key_file", "expected a private key as PEM"


class _EncryptedError(Exception):
    """The key is encrypted."""


def _no_passphrase() -> NoReturn:
    raise _EncryptedError  # without a callback OpenSSL asks on the terminal
