"""
The routes of Anyreach's API that the exporter reads, https://docs.anyreach.ai/api-reference/campaigns/overview.

What the list pages look like is not documented: they come as a bare array, whose next cursor is the Base64 of the last
`created_at`, or as an object with `next_cursor`, as each organization's `listing` says.
"""

import base64
import binascii
import math
from bisect import bisect_left
from functools import partial
from itertools import islice
from typing import Any

from aiohttp import web

from exporter.simulator.answers import Answer, RefusedError, application
from exporter.simulator.anyreach_contacts import describe, listed
from exporter.simulator.anyreach_dialer import Campaign, Configuration, Organization
from exporter.simulator.hours import Window
from exporter.simulator.world import World

DEFAULT_PAGE = 50
LARGEST_PAGE = 200


def anyreach_application(world: World) -> web.Application:
    """Serve the Anyreach organizations of a world."""
    api = _Api(world)
    return application(
        world,
        lambda reason: {"detail": reason},
        {
            "/campaign/campaigns": api.list_campaigns,
            "/campaign/campaigns/{campaign}": api.campaign,
            "/campaign/campaigns/{campaign}/stats": api.stats,
            "/campaign/campaigns/{campaign}/contacts": api.contacts,
            "/campaign/configurations/{configuration}": api.configuration,
        },
    )


def _refused(status: int, detail: Any) -> RefusedError:
    return RefusedError(status, {"detail": detail})


class _Api:
    def __init__(self, world: World) -> None:
        self._world = world

    def stats(self, request: web.Request) -> Answer:
        campaign = self._campaign(request, "campaigns")
        return campaign.fault or campaign.organization.fault, partial(stats_of, campaign)

    def campaign(self, request: web.Request) -> Answer:
        campaign = self._campaign(request, "campaigns")
        return campaign.fault or campaign.organization.fault, partial(self._describe, campaign)

    def contacts(self, request: web.Request) -> Answer:
        campaign = self._campaign(request, "contacts")
        organization = campaign.organization
        limit, offset = _limit(request), _offset(request)
        statuses = request.query.getall("status", []) if organization.filters_contacts else []

        def page() -> dict[str, Any]:
            found = listed(campaign.contacts.values(), organization.contact_order, statuses)
            shown = found[offset : offset + limit]
            return {
                "contacts": [describe(contact, self._world.now, self._world.sent_moment) for contact in shown],
                "total": len(found),
                "limit": limit,
                "offset": offset,
            }

        return campaign.fault or organization.fault, page

    def list_campaigns(self, request: web.Request) -> Answer:
        organization = self._organization(request, "campaigns")
        name, statuses = request.query.get("name", ""), request.query.getall("status", [])
        limit, cursor = _limit(request), _decoded(request.query.get("cursor", ""))

        def page() -> Any:
            """Newest first; either shape takes a cursor made of a creation time."""
            campaigns = list(organization.campaigns.values())
            if cursor:
                # One by one would make the pages of a long list take longer and longer together.
                campaigns = campaigns[: bisect_left(campaigns, cursor, key=self._created)]
            wanted = (one for one in reversed(campaigns) if name in one.name and one.status in (statuses or one.status))
            found = [self._describe(campaign) for campaign in islice(wanted, limit + 1)]
            if organization.listing == "array":
                return found[:limit]
            following = _encoded(found[limit - 1]["created_at"]) if len(found) > limit else None
            return {"campaigns": found[:limit], "next_cursor": following}

        return organization.fault, page

    def configuration(self, request: web.Request) -> Answer:
        organization = self._organization(request, "configurations")
        configuration = organization.configurations.get(request.match_info["configuration"])
        if configuration is None:
            raise _refused(404, "Configuration not found")
        return organization.fault, partial(self._describe_configuration, configuration)

    def _organization(self, request: web.Request, route: str) -> Organization:
        """Find the organization of a request's token, which may be refused."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        credential = self._world.credential(token) if scheme == "Bearer" else None
        if credential is None:
            raise _refused(401, "Missing or invalid token")
        if token.startswith("pat_"):
            wanted = request.headers.get("X-Anyreach-Org")
            if not wanted:
                raise _refused(401, "Token lacks an organization claim")
            if wanted != credential.organization.id:
                raise _refused(403, "Not a member of this organization")
        if route in credential.refused:
            raise _refused(403, "Requires one of the scopes: campaigns:manage, campaigns:read")
        return credential.organization

    def _campaign(self, request: web.Request, route: str) -> Campaign:
        campaign = self._organization(request, route).find(request.match_info["campaign"])
        if campaign is None:
            raise _refused(404, "Campaign not found")
        return campaign

    def _created(self, campaign: Campaign) -> str:
        return self._world.sent_moment(campaign.created_at)

    def _describe(self, campaign: Campaign) -> dict[str, Any]:
        return {
            "id": campaign.id,
            "external_id": campaign.external_id,
            "name": campaign.name,
            "status": campaign.status,
            "priority": 0,
            "configuration_id": campaign.configuration.id,
            "created_at": self._created(campaign),
        }

    def _describe_configuration(self, configuration: Configuration) -> dict[str, Any]:
        schedule = configuration.schedule
        return {
            "id": configuration.id,
            "name": configuration.name,
            "schedule": {
                "default_timezone": schedule.default_timezone,
                "default_windows": _windows(schedule.default_windows),
                "overrides": [
                    {"timezone": timezone, "windows": _windows(windows)}
                    for timezone, windows in schedule.overrides.items()
                ],
                "scheduled_windows": None,
                "scheduled_overrides": None,
            },
            "created_at": self._world.sent_moment(configuration.created_at),
        }


def stats_of(campaign: Campaign) -> dict[str, Any]:
    """The stats answer of a campaign, as it stands (https://docs.anyreach.ai/campaigns/results-and-analytics)."""
    organization, counts, total = campaign.organization, campaign.counts, len(campaign.contacts)
    whole = organization.active_calls_scope == "organization"
    return {
        "campaign_id": campaign.id,
        "status": campaign.status,
        "contacts": {
            "total": total,
            "pending": counts["pending"],
            "in_progress": campaign.active_calls,
            "completed": counts["completed"],
            "exhausted": counts["exhausted"],
        },
        "attempts": {
            "total": campaign.attempts_total,
            # The documented sample gives 1.39 for 1730 / 1240: the third decimal is cut off, not rounded.
            "average_per_contact": math.floor(campaign.attempts_total * 100 / total) / 100 if total else 0.0,
        },
        "active_calls": organization.active_calls if whole else campaign.active_calls,
        "concurrency_limit": organization.limit,
    }


def _limit(request: web.Request) -> int:
    text = request.query.get("limit", str(DEFAULT_PAGE))
    if not text.isdecimal() or not 1 <= int(text) <= LARGEST_PAGE:
        raise _refused(422, [{"loc": ["query", "limit"], "msg": f"must be from 1 to {LARGEST_PAGE}"}])
    return int(text)


def _offset(request: web.Request) -> int:
    text = request.query.get("offset", "0")
    if not text.isdecimal():
        raise _refused(422, [{"loc": ["query", "offset"], "msg": "must be 0 or more"}])
    return int(text)


def _encoded(moment: str) -> str:
    return base64.b64encode(moment.encode()).decode()


def _decoded(cursor: str) -> str:
    try:
        return base64.b64decode(cursor, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise _refused(422, [{"loc": ["query", "cursor"], "msg": "is no cursor"}]) from None


def _windows(windows: tuple[Window, ...]) -> list[dict[str, Any]]:
    return [window._asdict() for window in windows]
