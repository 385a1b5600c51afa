"""The contract between the poller and a provider, which tries once and reports; its caller decides on the rest."""

from typing import Protocol, runtime_checkable

from exporter.campaign.schedule import Schedule
from exporter.campaign.snapshot import Snapshot
from exporter.campaign.state import Lifecycle
from exporter.providers.credentials import Token
from exporter.providers.http import Transport
from exporter.providers.listing import CampaignRecord, Listing


class Provider(Lifecycle, Protocol):
    """Asks one provider about the campaigns of one account."""

    transport: Transport
    """Sends the requests; may be replaced at any time."""

    def authorize(self, token: Token) -> None:
        """Send this token from now on; without one, nothing."""

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
