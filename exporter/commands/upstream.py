"""Each account's provider and request budget, for commands that send some requests and end."""

import logging
import time
from dataclasses import dataclass
from functools import partial

from exporter.config.model import AccountSettings, Settings
from exporter.polling.account import PROVIDERS
from exporter.polling.breaker import Breaker
from exporter.polling.requests import Requests
from exporter.polling.throttle import Share, Slots, Throttle
from exporter.polling.transports import transport_of
from exporter.providers import Provider
from exporter.providers.credentials import secrets_of_proxy, token_of
from exporter.providers.http import Transport
from exporter.providers.redaction import Redactor, Secrets

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Upstream:
    """An account, with its connections (to be entered before they are used) and the way of its requests."""

    account: AccountSettings
    transport: Transport
    provider: Provider
    requests: Requests


def upstreams(settings: Settings, redactor: Redactor) -> tuple[Upstream, ...]:
    """Set up every account's provider and budget; ConfigurationError where its certificates can't be used."""
    slots = Slots(settings.poll.max_in_flight)
    return tuple(_upstream(account, settings, slots, redactor.account()) for account in settings.accounts)


def _upstream(account: AccountSettings, settings: Settings, slots: Slots, secrets: Secrets) -> Upstream:
    token = token_of(account)
    if isinstance(token, str):
        secrets.replace("token", [token])
    secrets.replace("proxy", secrets_of_proxy(account.http.proxy_url))
    transport = transport_of(account, settings.poll, time.time, secrets)
    throttle = Throttle(account.max_requests_per_second, account.max_in_flight, slots)
    # There are no polls for which some of the rate would have to be left.
    requests = Requests(throttle, Share(throttle, 1.0), Breaker(), partial(_report_pause, account.name))
    ids = frozenset(str(campaign.id) for campaign in account.campaigns)
    provider = PROVIDERS[account.provider](transport, token, organization=account.organization, polled=lambda: ids)
    return Upstream(account, transport, provider, requests)


def _report_pause(account: str, seconds: float) -> None:
    log.warning("the provider asks for a pause", extra={"account": account, "seconds": seconds})
