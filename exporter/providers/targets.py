"""What the campaigns of an account are asked for at, and whether an answer is about the one that it was asked for."""

import re
from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import Final

from yarl import URL

from exporter.providers.errors import InvalidResponseError

# Discovered campaigns come and go: beyond this all are forgotten and learned again. Each takes about 0.8 kB.
_MOST: Final = 50_000
_UUID_DIGITS: Final = re.compile(r"[0-9a-f]{32}")


@dataclass(slots=True)
class Target:
    """One campaign, by the id that it is asked for by."""

    id: str
    url: URL
    """Kept, since making it takes a ninth of a request's instructions."""
    named: str | None = None
    """The id that the answers name it by; None before the first."""
    doubted: str | None = None
    """Another id, which the last answer named."""


class Targets:
    """
    The campaigns of one account.

    An answer may name its campaign. If that is another one, for example since a gateway has sent one answer too many,
    then all that follow on the connection may be another one's too. But a campaign that is asked for by an external id
    may be named by its own id, the same external id may later be given to another campaign, and what an answer names
    need not be an id that the routes take.

    Args:
        url: Where a campaign is asked for.
        is_own: Whether an id can be one that the provider has given; external ids are their owners'.
        distrust: Called when an answer is another campaign's.
        polled: The ids of the account's campaigns, of which some may not have been asked for yet.
    """

    def __init__(
        self,
        url: Callable[[str], URL],
        is_own: Callable[[str], bool],
        distrust: Callable[[], None],
        polled: Callable[[], Container[str]],
    ) -> None:
        self._url = url
        self._is_own = is_own
        self._distrust = distrust
        self._polled = polled
        self._targets: dict[str, Target] = {}

    def __getitem__(self, campaign_id: str) -> Target:
        target = self._targets.get(campaign_id)
        if target is None:
            if len(self._targets) >= _MOST:
                self._targets.clear()
            target = self._targets[campaign_id] = Target(campaign_id, self._url(campaign_id))
        return target

    def check(self, target: Target, named: str) -> bool:
        """
        Compare the id that an answer names with the campaign that was asked for.

        Returns:
            Whether it is an id of the provider's own.

        Raises:
            InvalidResponseError: It is another campaign of the account. Or it is one that the campaign was not named by
                before; where the next answer names it again, it is believed.
        """
        is_own = self._is_own(named)
        if plain(named) != plain(target.id):
            if named in self._targets or named in self._polled():
                # Only an id of the owner's and one of the provider's can mean the same campaign.
                is_wrong = target.named is not None or self._is_own(target.id) or not is_own
            else:
                is_wrong = is_own and target.named is not None and named != target.doubted
                target.doubted = named
            if is_wrong:
                self._distrust()
                raise InvalidResponseError("the answer is about another campaign")
            if not is_own:
                return False
        target.named, target.doubted = named, None
        return is_own


def is_uuid(campaign_id: str) -> bool:
    """Whether an id has the form of a UUID, in any case, with or without hyphens."""
    return _UUID_DIGITS.fullmatch(_digits(campaign_id)) is not None


def plain(campaign_id: str) -> str:
    """A UUID in lower case and with hyphens, however it is spelled; any other id as it is."""
    digits = _digits(campaign_id)
    if not _UUID_DIGITS.fullmatch(digits):
        return campaign_id
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _digits(campaign_id: str) -> str:
    return campaign_id.replace("-", "").lower()
