"""Which campaigns an account has, by the provider's list."""

import logging
from dataclasses import dataclass, field
from itertools import islice
from math import inf

from exporter.config.model import DiscoverySettings
from exporter.polling.job import OFF_FOR, AccountJob
from exporter.polling.requests import Requests
from exporter.providers import Directory
from exporter.providers.errors import ForbiddenError, PollError
from exporter.providers.listing import CampaignRecord, Listing

log = logging.getLogger(__name__)

RETRY = 60.0
_SMALL = 0.5
"""The part of the known campaigns below which a listing is believed only when the next one says the same."""


async def walk(requests: Requests, directory: Directory, listing: Listing) -> None:
    """Go through all pages of a listing; when a PollError ends it, what was found before is in the listing."""
    while not listing.ended:
        await requests.ask("listing", lambda: directory.list_page(listing))


@dataclass(slots=True, eq=False)
class Discovery(AccountJob):
    """
    Lists the campaigns and has them polled.

    Attributes:
        records: The campaigns to poll, by the provider's id.
        success: Whether the last listing was complete; None before it was tried, and where nothing is discovered.
        last_success: Unix time of the last complete listing.
    """

    records: dict[str, CampaignRecord] = field(default_factory=dict, init=False)
    success: bool | None = field(default=None, init=False)
    last_success: float | None = field(default=None, init=False)
    _missing: frozenset[str] = field(default=frozenset(), init=False)
    """The campaigns that the last listing did not show, if it was so small that it was not believed."""

    @property
    def wanted(self) -> bool:
        return self.account.settings.discovery is not None and self.account.directory is not None

    @property
    def ready(self) -> bool:
        return self.success is not None or not self.wanted

    def settings_changed(self) -> None:
        if not self.wanted:
            self.records.clear()
            self.success = self.last_success = None
        AccountJob.settings_changed(self)

    async def run(self) -> float:
        options, directory = self.account.settings.discovery, self.account.directory
        if options is None or directory is None:
            return inf
        if self.account.breaker.is_open:
            self.success = self.success or False
            return self.account.now() + RETRY
        listing, error = Listing.of(options), None
        try:
            await walk(self.account.requests, directory, listing)
        except PollError as exc:
            error = exc
        if self.account.settings.discovery != options:
            return self.account.now()
        self._take(listing, error, options)
        wait = options.refresh_interval
        if error is not None:
            wait = OFF_FOR if isinstance(error, ForbiddenError) else min(wait, RETRY)
        return self.account.now() + wait

    def _take(self, listing: Listing, error: PollError | None, options: DiscoverySettings) -> None:
        """Have polled what a listing shows; one that is not complete takes nothing away."""
        if problem := str(error) if error else listing.problem:
            if self.success is not False:
                log.warning("campaigns can't be listed completely", extra=self.account.log_as | {"error": problem})
        elif self.success is False:
            log.info("campaigns are listed completely again", extra=self.account.log_as)
        self.success = listing.complete
        found = {record.id: record for record in listing.campaigns}
        if listing.complete:
            self.last_success = self.account.shared.wall()
            known = found | self._doubtful(found)
        else:
            known = self.records | found
        self.records = dict(islice(known.items(), options.max_campaigns))
        changes = self.account.settle()
        if changes.added or changes.removed:
            log.info(
                "discovered campaigns have changed",
                extra=self.account.log_as | {"added": changes.added, "removed": changes.removed},
            )

    def _doubtful(self, found: dict[str, CampaignRecord]) -> dict[str, CampaignRecord]:
        """
        The known campaigns that a complete listing does not show, and that are kept all the same.

        A much shorter list may be a fault of the provider: a campaign goes when two of them miss it in a row.
        """
        missing = self.records.keys() - found.keys()
        if len(found) >= _SMALL * len(self.records):
            self._missing = frozenset()
            return {}
        kept = {campaign_id: self.records[campaign_id] for campaign_id in missing - self._missing}
        if kept:
            log.warning(
                "the list of campaigns is much shorter than before: missing ones go if the next one says the same",
                extra=self.account.log_as | {"listed": len(found), "missing": len(kept)},
            )
        self._missing = frozenset(missing)
        return kept
