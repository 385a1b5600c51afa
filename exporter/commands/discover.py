"""
Lists the campaigns of the Anyreach accounts as YAML that the configuration file can take in.

Names are made fit for the label `campaign`, and campaigns that the account names already are left out.
"""

import asyncio
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, count
from typing import get_args

from pydantic import ValidationError

from exporter.campaign.labels import MAX_LENGTH, clean
from exporter.commands.upstream import Upstream
from exporter.config.model import AccountSettings, CampaignSettings, DiscoverySettings, ListedStatus
from exporter.polling.discovery import walk
from exporter.providers import Directory
from exporter.providers.advice import advice
from exporter.providers.campaign_api import plain
from exporter.providers.errors import PollError
from exporter.providers.listing import CampaignRecord, Listing
from exporter.providers.redaction import REDACTED

_GAPS = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029]+")
_ID_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Found:
    """
    The campaigns of one account's list.

    Attributes:
        campaigns: Those that are new, ready for the configuration, each with its status where that is a known one.
        configured: Number of those that the account names already.
        problems: Why the list is not complete, a sentence or two each.
    """

    account: AccountSettings
    campaigns: Sequence[tuple[CampaignSettings, str | None]] = ()
    configured: int = 0
    problems: Sequence[str] = ()


async def discover(
    upstreams: Iterable[Upstream],
    *,
    statuses: Sequence[str] | None = None,
    name_contains: str | None = None,
) -> list[Found]:
    """
    List the campaigns of all accounts, at the same time.

    Args:
        statuses: Campaigns in these; None for what the account's `discovery` says, or its defaults without one.
        name_contains: Campaigns whose name contains this; None as above.
    """
    return await asyncio.gather(*(_list(upstream, statuses, name_contains) for upstream in upstreams))


async def _list(upstream: Upstream, statuses: Sequence[str] | None, name_contains: str | None) -> Found:
    account, provider = upstream.account, upstream.provider
    if not isinstance(provider, Directory):
        return Found(account)
    listing = Listing.of(account.discovery or DiscoverySettings(), statuses, name_contains)
    problems = []
    async with upstream.transport:
        try:
            await walk(upstream.requests, provider, listing)
        except PollError as exc:
            problems.append(f"{exc.reason}: {exc}. {advice(exc.reason, account, listing=True)}")
    if listing.problem:
        problems.append(f"{listing.problem}.")
    configured = {plain(str(campaign.id)) for campaign in account.campaigns}
    new = [
        record
        for record in listing.campaigns
        if configured.isdisjoint((plain(record.id), plain(record.external_id or "")))
    ]
    campaigns = list(configurable(account, new))
    if refused := len(new) - len(campaigns):
        problems.append(f"{refused} of its campaigns have ids that the configuration does not take.")
    return Found(account, campaigns, len(listing.campaigns) - len(new), problems)


def configurable(
    account: AccountSettings, records: Iterable[CampaignRecord]
) -> Iterator[tuple[CampaignSettings, str | None]]:
    """
    Make new campaigns ready for the account's configuration, each with its status where that is a known one.

    Skips those whose id the configuration refuses, or whose id contains a secret.
    """
    names = {campaign.name for campaign in account.campaigns}
    for record in records:
        if REDACTED in record.id:
            continue
        try:
            campaign = CampaignSettings(id=record.id, name=_unique_name(record.id, record.name or "", names))
        except ValidationError:
            continue
        names.add(campaign.name)
        yield campaign, record.status if record.status in get_args(ListedStatus) else None


def _unique_name(campaign_id: str, name: str, names: set[str]) -> str:
    name = _fit(name) or _fit(campaign_id)
    endings = chain(("", f" {_fit(campaign_id[:_ID_SHOWN])}"), (f" {number}" for number in count(2)))
    candidates = (name[: MAX_LENGTH - len(ending)] + ending for ending in endings)
    return next(candidate for candidate in candidates if candidate not in names)


def _fit(text: str) -> str:
    return clean(_GAPS.sub(" ", text).strip())


def as_yaml(found: Iterable[Found]) -> str:
    """Write what was found as an `accounts` list; every text of a provider stands between double quotes."""
    comments: list[str] = []
    accounts: list[str] = []
    for one in found:
        name = quoted(one.account.name)
        if not one.account.facts.lists_campaigns:
            comments.append(
                f"# {name}: the API of this provider has no route that lists campaigns; "
                "its dashboard shows their numbers."
            )
            continue
        if one.configured:
            comments.append(
                f"# {name}: {one.configured} campaigns are left out, which the configuration names already."
            )
        if one.problems:
            comments.append(f"# {name}: the list is not complete.")
        elif not one.campaigns:
            comments.append(f"# {name}: no{' other' if one.configured else ''} campaigns were found.")
        if not one.campaigns:
            continue
        accounts += [f"  - name: {name}", f"    provider: {one.account.provider}", "    campaigns:"]
        for campaign, status in one.campaigns:
            accounts.append(f"      - id: {quoted(str(campaign.id))}" + (f"  # {status}" if status else ""))
            accounts.append(f"        name: {quoted(campaign.name)}")
    return "".join(f"{line}\n" for line in (*comments, "accounts:" if accounts else "accounts: []", *accounts))


def quoted(text: str) -> str:
    """
    A double-quoted scalar of YAML, on one line, with everything escaped that is no printable character.

    See https://yaml.org/spec/1.2.2/#57-escaped-characters. It must hold no lone surrogates.
    """
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in escaped) + '"'
