"""Which campaigns an account polls, configured and discovered: each of them once, under one id and one name."""

import logging
from collections.abc import Collection, Mapping

from exporter.campaign.labels import clean
from exporter.campaign.state import Campaign
from exporter.config.plan import AccountPlan, discovered
from exporter.providers.campaign_api import plain
from exporter.providers.listing import CampaignRecord

log = logging.getLogger(__name__)


class Roster:
    """
    Finds the campaigns to poll, and remembers which of their ids mean the same campaign.

    An id may be the provider's (a UUID, in any spelling) or the owner's; only an answer of the provider tells which of
    them belong together.
    """

    def __init__(self, account: dict[str, object]) -> None:
        self._account = account
        self._provider_ids: dict[str, str] = {}
        """By id as it is configured, where an answer has named another one."""
        self._warned: set[tuple[str, str]] = set()

    def identified(self, campaign_id: str, provider_id: str, polled: Collection[str]) -> str | None:
        """
        Take in the id by which an answer names a campaign.

        Returns:
            The id that is to be polled no more, since it is another polled one's campaign; None for none.
        """
        if campaign_id != provider_id:
            self._provider_ids[campaign_id] = provider_id
        elif not self._provider_ids:
            return None
        twins = [known for known in polled if self._provider_ids.get(known, known) == provider_id]
        if len(twins) < 2:
            return None
        self._warn(twins[1], twins[0])
        return twins[1]

    def wanted(
        self, plan: AccountPlan, records: Mapping[str, CampaignRecord], polled: Mapping[str, Campaign]
    ) -> dict[str, Campaign]:
        """
        The campaigns to poll, by id, the configured ones first.

        Args:
            records: The discovered campaigns, by the provider's id.
            polled: Those that are polled so far; they keep the names that they have.
        """
        for record in records.values():
            own_id = record.external_id
            if own_id is not None and own_id != record.id and own_id in plan.campaigns:
                self._provider_ids[own_id] = record.id
        wanted: dict[str, Campaign] = {}
        ids: dict[str, str] = {}
        for campaign_id, campaign in plan.campaigns.items():
            first = ids.setdefault(self._provider_ids.get(campaign_id, campaign_id), campaign_id)
            if first == campaign_id:
                wanted[campaign_id] = campaign
            else:
                self._warn(campaign_id, first)
        if records:
            self._add_discovered(wanted, ids, plan, records, polled)
        return wanted

    def _add_discovered(
        self,
        wanted: dict[str, Campaign],
        ids: dict[str, str],
        plan: AccountPlan,
        records: Mapping[str, CampaignRecord],
        polled: Mapping[str, Campaign],
    ) -> None:
        spelled_otherwise = {own: known for known in wanted if (own := plain(known)) != known}
        names = {campaign.name for campaign in wanted.values()}
        options = plan.settings.discovery
        by_name = options is not None and options.campaign_label == "name"
        # Those that are polled already come first: they keep their names.
        for record in sorted(records.values(), key=lambda record: record.id not in polled):
            own_id = self._provider_ids.get(record.id, record.id)
            if own_id in ids:
                continue
            if spelled_otherwise and (known := spelled_otherwise.get(plain(record.id))) is not None:
                self._provider_ids[known] = record.id
                self._warn(record.id, known)
                continue
            name = clean(record.name or "") if by_name else ""
            campaign = discovered(plan, record.id, name if name and name not in names else record.id)
            if campaign.name in names:
                log.warning(
                    "a discovered campaign is not polled: another one has its id as label",
                    extra=self._account | {"campaign": campaign.name},
                )
                continue
            ids[own_id] = record.id
            names.add(campaign.name)
            before = polled.get(record.id)
            wanted[record.id] = before if before == campaign else campaign

    def _warn(self, dropped: str, kept: str) -> None:
        if (dropped, kept) not in self._warned:
            self._warned.add((dropped, kept))
            log.warning(
                "two ids are one campaign, which is polled once",
                extra=self._account | {"campaign_id": kept, "not_polled": dropped},
            )
