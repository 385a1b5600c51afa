"""Sees once a minute whether refused credentials are accepted again."""

from dataclasses import dataclass
from math import inf

from exporter.polling.breaker import STATS
from exporter.polling.job import AccountJob

PROBE_INTERVAL = 60.0
_JITTER = 0.1


@dataclass(slots=True, eq=False)
class Probe(AccountJob):
    """Sends one request a minute on the route that was refused, while the breaker is open."""

    async def run(self) -> float:
        breaker = self.account.requests.breaker
        if breaker.is_open and breaker.route == STATS:
            self.account.poller.probe()
        elif breaker.is_open:
            await self.account.requests.ask_again()
        return self._next() if breaker.is_open else inf

    def settings_changed(self) -> None:
        """The breaker stays as it is."""

    def credentials_refused(self) -> None:
        self.account.agenda.put(self, self._next())

    def credentials_accepted(self) -> None:
        self.account.agenda.put(self, inf)

    def _next(self) -> float:
        return self.account.now() + PROBE_INTERVAL * (1 + self.account.shared.rng.uniform(0, _JITTER))
