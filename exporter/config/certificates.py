"""Loading the certificates and keys that a configuration names, with words for what OpenSSL refuses."""

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from exporter.config.files import read_regular, unreadable


def unusable(ca_file: str | None, cert_file: str | None, key_file: str | None) -> Iterator[tuple[str, str]]:
    """Each of these keys whose file can't be used, with what was expected there."""
    contents: dict[str, bytes] = {}
    for name, path in (("ca_file", ca_file), ("cert_file", cert_file), ("key_file", key_file)):
        if path:
            try:
                contents[name] = read_regular(path)
            except OSError as exc:
                yield name, unreadable(path, exc)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    wrong = {name: trust(context, contents[name]) for name in ("ca_file", "cert_file") if name in contents}
    yield from ((name, problem) for name, problem in wrong.items() if problem)
    both = {"cert_file", "key_file"} <= contents.keys() and not wrong["cert_file"]
    if both and (fault := load_pair(context, str(cert_file), str(key_file), ("cert_file", "key_file"))):
        yield fault


def trust(context: ssl.SSLContext, pem: bytes) -> str | None:
    """Add authorities to a context; returns what was expected where there are none that OpenSSL can load."""
    try:
        context.load_verify_locations(cadata=pem.decode("ascii", errors="ignore"))
    except (ssl.SSLError, ValueError):  # the latter for an empty text
        return "expected certificates as PEM"
    return None


def load_pair(
    context: ssl.SSLContext, certificate: Path | str, key: Path | str, names: tuple[str, str]
) -> tuple[str, str] | None:
    """
    Load a certificate and its key, which these keys of the configuration name.

    Returns the one of the two that can't be used, and what was expected there; None where both can.
    """
    cert_name, key_name = names
    try:
        context.load_cert_chain(certificate, key, _no_passphrase)
    except _EncryptedError:
        return key_name, "expected a key that is not encrypted: nobody is there to decrypt it"
    except ssl.SSLError as exc:
        reason = exc.reason or ""
        if reason.endswith(("TOO_SMALL", "TOO_WEAK")):
            return cert_name, f"expected a certificate that OpenSSL finds safe: {reason}"
        if reason.endswith(("MISMATCH", "NO_CERTIFICATE_ASSIGNED")):  # the latter where even the kind differs
            return key_name, f"expected the key of the certificate in {cert_name}"
        return key_name, "expected a private key as PEM"
    return None


class _EncryptedError(Exception):
    """The key needs a passphrase."""


def _no_passphrase() -> NoReturn:
    raise _EncryptedError  # otherwise OpenSSL asks on the terminal
