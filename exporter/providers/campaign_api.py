"""What the providers have in common: a route for each campaign, whose answer may name the campaign that it is about."""

import re
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Container
from dataclasses import dataclass
from typing import ClassVar, Final, TypeVar

from msgspec.structs import replace
from multidict import CIMultiDict, istr
from yarl import URL

from exporter.campaign.snapshot import Snapshot
from exporter.providers import Provider
from exporter.providers.credentials import Token
from exporter.providers.errors import CredentialsError, InvalidResponseError, PollError
from exporter.providers.http import Transport, segment
from exporter.providers.wire import read

T = TypeVar("T")

# Discovered campaigns come and go: beyond this all are forgotten and learned again. Each takes about 0.8 kB.
_MOST: Final = 50_000
_UUID_DIGITS: Final = re.compile(r"[0-9a-f]{32}")


@dataclass(slots=True)
class _Target:
    """One campaign, by the id that it is asked for by."""

    id: str
    url: URL
    """Kept, since making it takes a ninth of a request's instructions."""
    named: str | None = None
    """The id that the answers name it by; None before the first."""
    doubted: str | None = None
    """Another id, which the last answer named."""


class CampaignApi(Provider):
    """
    Asks for the campaigns of one account.

    An answer may name its campaign. If that is another one, for example since a gateway has sent one answer too many,
    then all that follow on the connection may be another one's too. But a campaign that is asked for by an external id
    may be named by its own id, the same external id may later be given to another campaign, and what an answer names
    need not be an id that the routes take.

    Args:
        transport: Entered by the caller; may be replaced at any time.
        token: As `authorize`.
        organization: Whose campaigns they are, where the token does not say it.
        polled: Gives the ids of the account's campaigns, of which some may not have been asked for yet.
    """

    poll_path: ClassVar[str]
    """The path that a campaign is polled at, with braces in place of its id."""

    def __init__(
        self,
        transport: Transport,
        token: Token,
        *,
        organization: str | None = None,
        polled: Callable[[], Container[str]] = tuple,
    ) -> None:
        self.transport = transport
        self._organization = organization
        self._polled = polled
        self._targets: dict[str, _Target] = {}
        self.authorize(token)

    @staticmethod
    @abstractmethod
    def headers_with(token: str, organization: str | None) -> dict[str, str]:
        """The headers that carry a token."""

    @staticmethod
    @abstractmethod
    def read_answer(body: bytes) -> Snapshot:
        """Read the answer to a poll."""

    @staticmethod
    @abstractmethod
    def is_own(campaign_id: str, /) -> bool:
        """Whether an id can be one that the provider has given; external ids are their owners'."""

    def authorize(self, token: Token) -> None:
        self._no_token = None if isinstance(token, str) else str(token)
        headers = self.headers_with(token, self._organization) if isinstance(token, str) else {}
        # Names of this class need no conversion at each request.
        self._headers = CIMultiDict({istr(name): value for name, value in headers.items()})

    async def poll(self, campaign_id: str) -> Snapshot:
        target = self._targets.get(campaign_id) or self._new_target(campaign_id)
        snapshot = await read(await self._get(target.url), self.read_answer)
        named = snapshot.campaign_id
        if named is not None and named != target.named and not self._check(target, named):
            return replace(snapshot, campaign_id=None)
        return snapshot

    async def get(self, path: str, parse: Callable[[bytes], T], query: str = "") -> T:
        """
        Send one request that is no poll; returns what is read from the body of the answer.

        Raises:
            PollError: Any failure that a later request may cure; the message names the path.
        """
        try:
            return await read(await self._get(self.transport.url(path, query)), parse)
        except PollError as exc:
            raise type(exc)(f"GET {path}: {exc}", retry_after=exc.retry_after) from None

    def _get(self, url: URL) -> Awaitable[bytes]:
        if self._no_token is not None:
            raise CredentialsError(self._no_token)
        return self.transport.get(url, self._headers)

    def _new_target(self, campaign_id: str) -> _Target:
        if len(self._targets) >= _MOST:
            self._targets.clear()
        target = _Target(campaign_id, self.transport.url(self.poll_path.format(segment(campaign_id))))
        self._targets[campaign_id] = target
        return target

    def _check(self, target: _Target, named: str) -> bool:
        """
        Compare the id that an answer names with the campaign that was asked for; True for an id of the provider's own.

        Raises:
            InvalidResponseError: It is another campaign of the account. Or it is one that the campaign was not named by
                before; where the next answer names it again, it is believed.
        """
        is_own = self.is_own(named)
        if plain(named) != plain(target.id):
            if named in self._targets or named in self._polled():
                # Only an id of the owner's and one of the provider's can mean the same campaign.
                is_wrong = target.named is not None or self.is_own(target.id) or not is_own
            else:
                is_wrong = is_own and target.named is not None and named != target.doubted
                target.doubted = named
            if is_wrong:
                self.transport.distrust_connections()
                raise InvalidResponseError("the answer is about another campaign")
            if not is_own:
                return False
        target.named, target.doubted = named, None
        return is_own


def is_uuid(campaign_id: str) -> bool:
    """In any case, with or without hyphens."""
    return _UUID_DIGITS.fullmatch(_digits(campaign_id)) is not None


def plain(campaign_id: str) -> str:
    """A UUID in lower case and with hyphens, however it is spelled; any other id as it is."""
    digits = _digits(campaign_id)
    if not _UUID_DIGITS.fullmatch(digits):
        return campaign_id
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _digits(campaign_id: str) -> str:
    return campaign_id.replace("-", "").lower()
