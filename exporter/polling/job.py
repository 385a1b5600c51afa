"""What an account does besides its polls; all of it is sent through `account.requests`, by one budget and breaker."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from exporter.polling.agenda import Job

if TYPE_CHECKING:
    from exporter.polling.account import Account


@dataclass(slots=True, eq=False)
class AccountJob(Job):
    """A job about an account as a whole; made for each account, also where the settings don't ask for it."""

    account: Account

    @property
    def wanted(self) -> bool:
        """Whether the settings ask for it."""
        return True

    def settings_changed(self) -> None:
        """The account begins, or goes on with other settings."""
        self.account.agenda.put(self, self.account.now() if self.wanted else inf)

    def campaigns_changed(self) -> None:
        """Campaigns have come or gone."""

    def credentials_accepted(self) -> None:
        """Requests may be sent again, or the token has changed: what was forbidden may be allowed now."""
        if self.wanted:
            self.account.agenda.put(self, self.account.now())
