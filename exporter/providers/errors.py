"""
What can go wrong with a request to a provider, a class for each value of the label `reason`.

A message is for the log and for `check`; it never holds a token and is never a label.
"""

from typing import ClassVar


class PollError(Exception):
    """
    A request failed in a way that a later one may cure.

    Args:
        retry_after: Seconds for which the server asked for no requests.
    """

    reason: ClassVar[str]

    def __init_subclass__(cls, *, reason: str) -> None:
        cls.reason = reason

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class TimedOutError(PollError, reason="timeout"):
    """No complete answer within `poll.timeout`, from the first packet to the last byte; a slow drip is one too."""


class NameNotResolvedError(PollError, reason="dns"):
    """The host name of the provider, or of the proxy, has no address."""


class ConnectFailedError(PollError, reason="connect"):
    """No connection: refused, unreachable, or turned away by a proxy."""


class TlsFailedError(PollError, reason="tls"):
    """The handshake failed: expired or foreign certificate, unknown authority, no common version."""


class BrokenProtocolError(PollError, reason="protocol"):
    """The connection was reset or cut off, or what came was not HTTP within its limits."""


class CredentialsError(PollError, reason="credentials"):
    """The token could not be read; no request was sent."""


class UnauthorizedError(PollError, reason="unauthorized"):
    """401: the token is wrong, expired or revoked, or a personal access token came without its organization."""


class ForbiddenError(PollError, reason="forbidden"):
    """403: the token is genuine and lacks the scope."""


class NotFoundError(PollError, reason="not_found"):
    """404: no such campaign for this token's owner."""


class RateLimitedError(PollError, reason="rate_limited"):
    """429: the server wants fewer requests."""


class ClientFaultError(PollError, reason="client_error"):
    """Any other 4xx."""


class ServerFaultError(PollError, reason="server_error"):
    """Any 5xx."""


class RedirectedError(PollError, reason="redirect"):
    """Any 3xx; never followed, since the token must not travel to where it points."""


class TooLargeError(PollError, reason="too_large"):
    """The body, after decompression, is larger than `poll.max_body_bytes`."""


class InvalidResponseError(PollError, reason="invalid_response"):
    """A 2xx answer that cannot be read, or that reports a failure in its body."""


class InternalError(PollError, reason="internal"):
    """A defect of the exporter; its trace is in the log."""


REASONS: tuple[str, ...] = tuple(error.reason for error in PollError.__subclasses__())
"""Every value of the label `reason`, in the order in which they are exported."""
