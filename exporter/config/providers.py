"""What the settings of the providers' accounts differ in."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

ProviderName = Literal["anyreach", "osvi"]


@dataclass(frozen=True, slots=True)
class ProviderFacts:
    """
    What one provider has, and the defaults that follow from it.

    Attributes:
        title: Its name as people write it.
        base_url: The API's URL.
        stall_after: Seconds of silence that mean a stall.
        stall_follows_retry_delay: Whether twice the retry delay counts where it is longer; its answers tell the delay.
        numeric_ids: Whether campaigns have numbers, in place of a text.
        has_organizations: Whether a token may need to say whose campaigns it asks for.
        lists_campaigns: Whether it has a route that does.
        tells_windows: Whether it has a route that tells calling windows.
    """

    title: str
    base_url: str
    stall_after: float
    stall_follows_retry_delay: bool
    numeric_ids: bool
    has_organizations: bool
    lists_campaigns: bool
    tells_windows: bool


FACTS: Mapping[str, ProviderFacts] = MappingProxyType(
    {
        "anyreach": ProviderFacts(
            title="Anyreach",
            base_url="https://api.anyreach.ai",
            stall_after=3600.0,
            stall_follows_retry_delay=False,
            numeric_ids=False,
            has_organizations=True,
            lists_campaigns=True,
            tells_windows=True,
        ),
        "osvi": ProviderFacts(
            title="OSVI",
            base_url="https://api.osvi.ai",
            stall_after=900.0,
            stall_follows_retry_delay=True,
            numeric_ids=True,
            has_organizations=False,
            lists_campaigns=False,
            tells_windows=False,
        ),
    }
)
"""The facts of each provider, by its name in the settings."""


def facts_of(provider: Any) -> ProviderFacts | None:
    """The facts of what may be a provider's name; None where it is none."""
    return FACTS.get(provider) if isinstance(provider, str) else None
