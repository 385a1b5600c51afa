"""What can go wrong with a simulated answer, on demand."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random


@dataclass(frozen=True, slots=True)
class Fault:
    """
    How requests to a campaign, an organization or an account go wrong while it is set.

    Attributes:
        status: Answered in place of the true answer; None gives the true one, late.
        share: The part of the requests that is hit, drawn by the world's seed.
        path: Hits only requests that hold this text in path or query, as sent: `cursor=` spares a first page.
        delay: Seconds of real time before the answer.
        hang_up: Close the connection with no answer.
        headers: Sent with `status`, for example Retry-After.
        body: Sent with `status`; None sends the provider's usual error body.
    """

    status: int | None = None
    share: float = 1.0
    path: str = ""
    delay: float = 0.0
    hang_up: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None

    def hits(self, path: str, luck: Random) -> bool:
        """Whether it strikes a request with this path and query."""
        return self.path in path and (self.share >= 1.0 or luck.random() < self.share)
