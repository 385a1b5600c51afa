"""What an account does besides its polls; all of it is sent through `account.requests`, by one budget and breaker."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING

from exporter.polling.agenda import Job

if TYPE_CHECKING:
    from exporter.polling.account import Account

OFF_FOR = 3600.0
"""Seconds for which a feature that the token may not use is left alone; a changed token ends it at once."""


@dataclass(slots=True, eq=False)
class AccountJob(Job):
    """A job about an account as a whole; made for each account, also where the settings don't ask for it."""

    account: Account
    _off_until: float = field(default=0.0, init=False)

    @property
    def wanted(self) -> bool:
        """Whether the settings ask for it."""
        return True

    @property
    def paused(self) -> bool:
        """Whether nothing may be sent: the credentials are refused, or it was turned off."""
        return self.account.breaker.is_open or self.account.now() < self._off_until

    def turn_off(self) -> None:
        """Send nothing for a while: the token may not do it."""
        self._off_until = self.account.now() + OFF_FOR

    def settings_changed(self) -> None:
        """The account begins, or goes on with other settings."""
        if not self.wanted:
            self._off_until = 0.0
        self.account.agenda.put(self, self.account.now() if self.wanted else inf)

    def campaigns_changed(self) -> None:
        """Campaigns have come or gone."""

    def credentials_accepted(self) -> None:
        """Requests may be sent again, or the token has changed: what was forbidden may be allowed now."""
        self._off_until = 0.0
        if self.wanted:
            self.account.agenda.put(self, self.account.now())
