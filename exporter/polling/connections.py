"""An account's connections: how they are made, and when they have to be made again."""

import asyncio
import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from exporter.config.files import read_regular
from exporter.config.model import AccountSettings, HttpSettings, PollSettings
from exporter.config.section import ConfigurationError
from exporter.polling.job import AccountJob
from exporter.providers.http import Transport
from exporter.providers.redaction import Secrets

log = logging.getLogger(__name__)

CERTIFICATES_CHECK_INTERVAL = 30.0
"""Seconds between two checks of the files of certificates and keys."""
# Longer than the usual intervals, and no longer than a change of a DNS entry may go unnoticed.
_KEEPALIVE = 600.0


def transport_of(
    account: AccountSettings, poll: PollSettings, wall: Callable[[], float], secrets: Secrets
) -> Transport:
    """
    Make an account's connections, closed as yet; the secrets are kept out of its answers.

    Raises:
        ConfigurationError: A file of certificates cannot be read or is none.
    """
    proxy = account.http.proxy_url
    try:
        return Transport(
            account.base_url,
            timeout=poll.timeout,
            max_body_bytes=poll.max_body_bytes,
            max_in_flight=account.max_in_flight,
            keepalive=_KEEPALIVE,
            proxy_url=proxy.get_secret_value() if proxy else None,
            ca_file=account.http.ca_file,
            cert_file=account.http.cert_file,
            key_file=account.http.key_file,
            insecure_skip_verify=account.http.insecure_skip_verify,
            wall_clock=wall,
            redact=secrets.in_answer,
        )
    except OSError as exc:
        raise ConfigurationError([f"account {account.name!r}: http: the certificates can't be used: {exc}"]) from exc


def same_upstream(one: AccountSettings, other: AccountSettings) -> bool:
    """Whether two settings mean the same campaigns, so that what is known of them stays true."""
    return (one.provider, one.base_url, one.organization) == (other.provider, other.base_url, other.organization)


def certificates_of(http: HttpSettings) -> bytes:
    """A digest of the files of certificates and keys; it blocks while it reads them."""
    digest = hashlib.sha256()
    for file in (http.ca_file, http.cert_file, http.key_file):
        try:
            content = read_regular(file) if file is not None else b""
        except OSError:
            content = b"cannot be read"
        digest.update(len(content).to_bytes(8, "big") + content)
    return digest.digest()


@dataclass(slots=True, eq=False)
class CertificateWatch(AccountJob):
    """Connects again when a file of certificates or keys has another content."""

    _refused: bytes = field(default=b"", init=False)
    """The content that could not be used."""

    @property
    def wanted(self) -> bool:
        http = self.account.settings.http
        return http.ca_file is not None or http.cert_file is not None

    async def run(self) -> float:
        account = self.account
        http = account.settings.http
        content = await asyncio.to_thread(certificates_of, http)
        if content != account.certificates and http is account.settings.http:
            try:
                transport = transport_of(account.settings, account.poll, account.shared.wall, account.secrets)
            except ConfigurationError as exc:
                # The files may be replaced one after the other.
                if content != self._refused:
                    log.warning(
                        "the changed certificates can't be used, the old ones stay",
                        extra=account.log_as | {"error": str(exc.__cause__)},
                    )
                self._refused = content
            else:
                await account.reconnect(transport)
                log.info("the certificates have changed", extra=account.log_as)
        return account.now() + CERTIFICATES_CHECK_INTERVAL
