"""
What can go wrong with a request to a provider.

Each class has one value of the label `reason`: a closed set, spelled here and nowhere else.
A message is for the log and for `check`; it never holds a token and is never a label.
"""

from typing import ClassVar


class PollError(Exception):
    """
    A request failed in a way that a later one may cure.

    Attributes:
        retry_after: Seconds for which the server asked for no requests, None where it did not.
    """

    reason: ClassVar[str]

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class TimedOutError(PollError):
    """No complete answer within `poll.timeout`, from the first packet to the last byte; a slow drip is one too."""

    reason = "timeout"


class NameNotResolvedError(PollError):
    """The host name of the provider, or of the proxy, has no address."""

    reason = "dns"


class ConnectFailedError(PollError):
    """No connection: refused, unreachable, or turned away by a proxy."""

    reason = "connect"


class TlsFailedError(PollError):
    """The handshake failed: expired or foreign certificate, unknown authority, no common version."""

    reason = "tls"


class BrokenProtocolError(PollError):
    """The connection was reset or cut off, or what came was not HTTP within its limits."""

    reason = "protocol"


class CredentialsError(PollError):
    """The token could not be read; no request was sent."""

    reason = "credentials"


class UnauthorizedError(PollError):
    """401: the token is wrong, expired or revoked, or a personal access token came without its organization."""

    reason = "unauthorized"


class ForbiddenError(PollError):
    """403: the token is genuine and lacks the scope."""

    reason = "forbidden"


class NotFoundError(PollError):
    """404: no such campaign for this token's owner."""

    reason = "not_found"


class RateLimitedError(PollError):
    """429: the server wants fewer requests."""

    reason = "rate_limited"


class ClientFaultError(PollError):
    """Any other 4xx."""

    reason = "client_error"


class ServerFaultError(PollError):
    """Any 5xx."""

    reason = "server_error"


class RedirectedError(PollError):
    """Any 3xx; never followed, since the token must not travel to where it points."""

    reason = "redirect"


class TooLargeError(PollError):
    """The body, after decompression, is larger than `poll.max_body_bytes`."""

    reason = "too_large"


class InvalidResponseError(PollError):
    """A 2xx answer that cannot be read, or that reports a failure in its body."""

    reason = "invalid_response"


class InternalError(PollError):
    """A defect of the exporter; its trace is in the log."""

    reason = "internal"


REASONS: tuple[str, ...] = tuple(error.reason for error in PollError.__subclasses__())
"""Every value of the label `reason`, in the order in which they are exported."""
