"""Follows the content of an account's token file."""

import asyncio
import logging
from dataclasses import dataclass

from exporter.polling.job import AccountJob
from exporter.providers.credentials import token_of

log = logging.getLogger(__name__)

TOKEN_CHECK_INTERVAL = 2.0
"""Seconds between two readings of a token file."""


@dataclass(slots=True, eq=False)
class TokenWatch(AccountJob):
    """Reads the token file again and again, and puts a changed token into force."""

    @property
    def wanted(self) -> bool:
        return self.account.settings.token_file is not None

    async def run(self) -> float:
        account, settings = self.account, self.account.settings
        # Compared by content, not by time stamp: Kubernetes swaps symbolic links under it.
        token = await asyncio.to_thread(token_of, settings)
        if str(token) != str(account.token) and settings is account.settings:
            log.info("the token has changed", extra=account.log_as)
            account.use_token(token)
        return account.now() + TOKEN_CHECK_INTERVAL
