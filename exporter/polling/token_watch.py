"""Follows the content of an account's token file."""

import asyncio
import logging
from dataclasses import dataclass

from exporter.polling.job import AccountJob

log = logging.getLogger(__name__)

TOKEN_LOOK = 2.0
"""Seconds between two looks at a token file."""


@dataclass(slots=True, eq=False)
class TokenWatch(AccountJob):
    """Reads the token file again and again, and puts a changed token into force."""

    @property
    def wanted(self) -> bool:
        return self.account.settings.token_file is not None

    async def run(self) -> float:
        credentials = self.account.credentials
        if await asyncio.to_thread(credentials.refresh) and credentials is self.account.credentials:
            log.info("the token has changed", extra=self.account.log_as)
            self.account.token_changed()
        return self.account.now() + TOKEN_LOOK
