"""The table of providers' facts agrees with the providers themselves, and with the sentences about settings."""

import pytest

from exporter.config.fields import format_duration
from exporter.config.model import AccountSettings
from exporter.config.providers import FACTS
from exporter.polling.account import PROVIDERS
from exporter.providers import Directory

PROVIDER_NAMES = tuple(FACTS)


@pytest.mark.parametrize("provider", PROVIDER_NAMES)
def test_a_provider_has_the_name_of_its_row(provider: str) -> None:
    assert vars(PROVIDERS[provider])["name"] == provider


@pytest.mark.parametrize("provider", PROVIDER_NAMES)
def test_a_provider_lists_campaigns_and_windows_if_its_row_says_so(provider: str) -> None:
    facts = FACTS[provider]

    assert issubclass(PROVIDERS[provider], Directory) is facts.lists_campaigns is facts.tells_windows


@pytest.mark.parametrize("provider", PROVIDER_NAMES)
def test_the_reference_names_the_defaults_of_each_provider(provider: str) -> None:
    facts, fields = FACTS[provider], AccountSettings.model_fields

    assert provider in (fields["provider"].description or "")
    assert facts.base_url in (fields["base_url"].description or "")
    assert format_duration(facts.stall_after) in (fields["stall_after"].description or "")
    assert facts.title in (fields["stall_after"].description or "")
