"""Sees once a minute whether refused credentials are accepted again."""

from dataclasses import dataclass
from math import inf

from exporter.polling.breaker import STATS
from exporter.polling.job import AccountJob

PROBE_INTERVAL = 60.0
_JITTER = 0.1


@dataclass(slots=True, eq=False)
class Probe(AccountJob):
    """Sends one request a minute on the refused route, while the breaker is open."""

    async def run(self) -> float:
        breaker = self.account.breaker
        if not breaker.is_open:
            return inf
        if breaker.route == STATS:
            self.account.poller.probe()
        else:
            await self.account.requests.ask_again()
        return self.next_due

    @property
    def next_due(self) -> float:
        return self.account.now() + PROBE_INTERVAL * (1 + self.account.shared.rng.uniform(0, _JITTER))
