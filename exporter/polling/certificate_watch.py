"""Connects an account again when its certificates or keys have changed."""

import asyncio
import hashlib
import logging
from dataclasses import dataclass, field

from exporter.config.files import read_regular
from exporter.config.model import HttpSettings
from exporter.config.section import ConfigurationError
from exporter.polling.job import AccountJob
from exporter.polling.transports import transport_of

log = logging.getLogger(__name__)

CERTIFICATES_CHECK_INTERVAL = 30.0
"""Seconds between two checks of the files of certificates and keys."""


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
