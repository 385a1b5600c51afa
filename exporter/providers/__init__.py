"""
The contract between the poller and a provider.

A provider is one module: wire format and pure parsing first, one class last.
It tries once and reports; pace, back-off, limits on requests and the time limit's length are decided by its caller.
"""

from typing import ClassVar, Protocol, runtime_checkable

from exporter.campaign.schedule import Schedule
from exporter.campaign.snapshot import Snapshot
from exporter.providers.listing import CampaignRecord, Listing


class Provider(Protocol):
    """Asks one provider about the campaigns of one account."""

    name: ClassVar[str]
    """The value of the label `provider`."""
    statuses: ClassVar[tuple[str, ...]]
    """The documented statuses of a campaign, in the order in which they are exported."""
    active_status: ClassVar[str]
    """The status in which the dialer may place calls."""
    final_status: ClassVar[str | None]
    """The status that a campaign never leaves, where there is one."""

    async def poll(self, campaign_id: str) -> Snapshot:
        """
        Ask once about one campaign.

        Raises:
            PollError: Any failure that a later poll may cure.
        """
        ...


@runtime_checkable
class Directory(Protocol):
    """A provider that lists its campaigns and shows their calling windows."""

    async def campaign(self, campaign_id: str) -> CampaignRecord: ...
    async def schedule(self, configuration_id: str) -> Schedule | None: ...
    async def list_page(self, listing: Listing) -> None: ...
