"""
What this process has to do by its settings: the campaigns to poll, ready to be compared with those before.

The settings of single campaigns are not kept: they would take as much memory again.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from exporter.campaign.labels import clean
from exporter.campaign.schedule import DAYS, Schedule, Window
from exporter.campaign.state import Campaign
from exporter.config.model import AccountSettings, CallingHours, CampaignSettings, Settings


@dataclass(frozen=True, slots=True)
class AccountPlan:
    """
    The settings of an account, without its campaigns, and these by id.

    Attributes:
        hours: Configured for all its campaigns that have none of their own, discovered ones too; None where none are.
    """

    settings: AccountSettings
    hours: Schedule | None
    campaigns: Mapping[str, Campaign]


@dataclass(frozen=True, slots=True)
class Plan:
    """The settings, without their campaigns, and the accounts of this shard by name."""

    settings: Settings
    accounts: Mapping[str, AccountPlan]
    config_hash: int


def plan_of(settings: Settings, before: Plan | None = None) -> Plan:
    """The plan of some settings; what is as it was in the plan before is the same object again."""
    old_accounts = before.accounts if before else {}
    accounts = {}
    for account in settings.accounts:
        if shard_of(account.name, settings.shard.count) == settings.shard.index:
            accounts[account.name] = account_plan(account, old_accounts.get(account.name))
    bare = settings.model_copy(update={"accounts": tuple(map(_without_campaigns, settings.accounts))})
    return Plan(bare, accounts, config_hash(settings))


def account_plan(account: AccountSettings, before: AccountPlan | None = None) -> AccountPlan:
    """Work out the plan of one account; `before` as above."""
    old_campaigns: Mapping[str, Campaign] = before.campaigns if before else {}
    hours = schedule_of(account.calling_hours) if account.calling_hours else None
    campaigns = {}
    for settings in account.campaigns:
        given = account.calling_hours_of(settings)
        own_hours = hours if given is None or given is account.calling_hours else schedule_of(given)
        campaign = _campaign(account, str(settings.id), settings.name, settings, own_hours)
        old = old_campaigns.get(campaign.id)
        campaigns[campaign.id] = old if old == campaign else campaign
    plan = AccountPlan(_without_campaigns(account), hours, campaigns)
    return before if before == plan else plan


def _without_campaigns(account: AccountSettings) -> AccountSettings:
    return account.model_copy(update={"campaigns": ()})


def discovered(plan: AccountPlan, campaign_id: str, name: str) -> Campaign:
    """What is known beforehand of a campaign that the provider lists and the configuration does not name."""
    return _campaign(plan.settings, campaign_id, name, None, plan.hours)


def _campaign(
    account: AccountSettings, campaign_id: str, name: str, settings: CampaignSettings | None, hours: Schedule | None
) -> Campaign:
    has_default_silence = account.stall_after is None and (settings is None or settings.stall_after is None)
    return Campaign(
        account=account.name,
        name=clean(name),
        id=campaign_id,
        labels=tuple(sorted(account.labels_of(settings).items())),
        stall_after=account.stall_after_of(settings),
        stall_follows_retry_delay=account.facts.stall_follows_retry_delay and has_default_silence,
        hours=hours,
    )


def schedule_of(hours: CallingHours) -> Schedule:
    """Read the hours that a user has configured."""
    windows = tuple(
        Window(frozenset(DAYS.index(day) for day in window.days), window.start, window.end) for window in hours.windows
    )
    return Schedule(hours.timezone, windows, closed_on=frozenset(hours.closed_on))


def config_hash(settings: Settings) -> int:
    """
    48 bits that differ where two processes that should run with the same configuration do not.

    Tokens, the proxy's user and password, the shard's index and the listen addresses are left out.
    """
    # Tokens are dumped masked.
    canonical = settings.model_dump(
        mode="json",
        exclude={
            "shard": {"index"},
            "web": {"listen_address"},
            "accounts": {"__all__": {"http": {"proxy_url"}}},
        },
    )
    for account, dumped in zip(settings.accounts, canonical["accounts"], strict=True):
        if account.http.proxy_url is not None:
            url = urlsplit(account.http.proxy_url.get_secret_value())
            dumped["http"]["proxy_url"] = [url.scheme, url.hostname, url.port]
    text = json.dumps(canonical, sort_keys=True, separators=(",", ":"))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6])


def shard_of(account: str, count: int) -> int:
    """
    Choose the shard, 0 to `count` - 1, that serves an account.

    The shard with the highest hash of (account, shard) has it (rendezvous hashing, Thaler and Ravishankar 1998):
    one more shard takes about 1/`count` of the accounts, evenly from all others, and no other account moves.
    The hash is a part of the public contract: replicas of different releases must agree on it.
    """
    # A name may hold what no UTF-8 can say, and still belongs to exactly one shard.
    name = account.encode("utf-8", "surrogatepass")

    def weight(shard: int) -> bytes:
        # The shard comes first, at a fixed length, so that no name can run into it.
        return hashlib.blake2b(shard.to_bytes(4, "big") + name, digest_size=8).digest()

    return max(range(count), key=weight)
