"""Whether an account's credentials are refused: one rule for everything that is sent."""

from collections.abc import Callable
from math import inf

from exporter.providers.errors import ForbiddenError, NotFoundError, PollError, UnauthorizedError

STATS = "stats"
"""The route of a campaign's polls; other routes are called as their jobs like."""


class Breaker:
    """
    Open while the credentials are refused; then nothing but probes is sent.

    It opens by a 401 on any route, and by a 403 from the stats of two campaigns with no success between them: a single
    one may be about somebody else's campaign, and on another route it turns off the feature that needs the route.
    It closes by the first success on the refused route that was sent after the refusal, or when the token changes.

    Args:
        closed: Called with the reason in words.

    Attributes:
        error: The refusal; None while it is closed.
        route: The route that was refused, while it is open.
    """

    def __init__(self, opened: Callable[[], None] = lambda: None, closed: Callable[[str], None] = lambda why: None):
        self.error: PollError | None = None
        self.route = ""
        self._opened = opened
        self._closed = closed
        self._refused_at = self._token_since = -inf
        self._forbidden = ""
        """The campaign whose stats were answered with 403, with no success since."""

    @property
    def is_open(self) -> bool:
        return self.error is not None

    def failed(self, route: str, error: PollError, sent: float, now: float, campaign_id: str = "") -> None:
        """Take in the failure of a request that was sent at `sent` and answered at `now` (monotonic)."""
        if self.error is not None:
            # A 403 or 404 is no refusal of the credentials any more. On stats it is about one campaign, of which there
            # are others to ask.
            if route != STATS and isinstance(error, ForbiddenError | NotFoundError):
                self.succeeded(route, sent)
        # The answer to a token that has been replaced says nothing of the new one.
        elif sent >= self._token_since and self._is_refusal(route, error, campaign_id):
            self.error, self.route, self._refused_at = error, route, now
            self._opened()

    def succeeded(self, route: str, sent: float) -> None:
        """Take in the success of a request that was sent at `sent` (monotonic)."""
        if route == STATS:
            self._forbidden = ""
        if self.error is not None and route == self.route and sent > self._refused_at:
            self._close("a request has succeeded")

    def token_changed(self, now: float) -> None:
        """Close, since nothing has been refused of the new token."""
        self._token_since = now
        self._forbidden = ""
        if self.error is not None:
            self._close("the token has changed")

    def campaign_removed(self, campaign_id: str, left: int) -> None:
        """Forget what is about a campaign; without any left on a refused route, no answer could close it."""
        if self._forbidden == campaign_id:
            self._forbidden = ""
        if self.error is not None and self.route == STATS and not left:
            self._close("no campaign is left that was refused")

    def _is_refusal(self, route: str, error: PollError, campaign_id: str) -> bool:
        if route != STATS or not isinstance(error, ForbiddenError):
            return isinstance(error, UnauthorizedError)
        first, self._forbidden = self._forbidden, campaign_id
        return first not in ("", campaign_id)

    def _close(self, why: str) -> None:
        self.error, self.route, self._forbidden = None, "", ""
        self._closed(why)
