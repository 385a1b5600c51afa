"""How the polling of one account goes: plain numbers that the poller writes and the metrics read."""

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate

from exporter.providers.errors import REASONS

SUCCESS = "success"

REQUEST_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
LAG_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Distribution:
    """A histogram with fixed upper bounds; a tenth of the cost of an instrument with a lock, on the hottest path."""

    __slots__ = ("_bounds", "_counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self.sum += value

    def cumulative(self) -> Iterator[tuple[float, int]]:
        """Upper bound (the last is infinite) and the number of values up to it."""
        return zip((*self._bounds, float("inf")), accumulate(self._counts), strict=True)


class AccountHealth:
    """Counts since the account was configured, and how it stands now."""

    def __init__(self, provider: str, account: str) -> None:
        self.provider, self.account = provider, account
        self.polls: dict[str, int] = dict.fromkeys((SUCCESS, *REASONS), 0)
        self.request_seconds = Distribution(REQUEST_SECONDS)
        self.lag_seconds = Distribution(LAG_SECONDS)
        self.in_flight = 0
        self.throttled_seconds = 0.0
        """Time during which polls were due and the request budget, or a full set of requests, held them back."""
        self.stretch = 1.0
        self.breaker_open = False
        self.campaigns = 0
        self.discovery_success: bool | None = None
        """Whether the last listing was complete; None where nothing is discovered."""
        self.discovery_last_success: float | None = None
        """Unix time of the last complete listing."""
        self.windows_readable: bool | None = None
        """Whether calling windows can be read; None where nobody asked for them."""
