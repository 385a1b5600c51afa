"""
The simulated Anyreach API: the reading routes of campaigns, as an aiohttp application.

See https://docs.anyreach.ai/api-reference/campaigns/overview, https://docs.anyreach.ai/api-reference/errors and
https://docs.anyreach.ai/api-reference/authentication. What the list pages look like is not documented: they come as a
bare array, whose next cursor the client makes as the Base64 of the last `created_at`, or as an object with
`next_cursor`, as each organization's `listing` says.
"""

import base64
import binascii
import math
from bisect import bisect_left
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, TypeVar

from aiohttp import web

from exporter.simulator.answers import Answers, RefusedError
from exporter.simulator.anyreach_campaign import Campaign, Configuration
from exporter.simulator.anyreach_contacts import describe
from exporter.simulator.anyreach_dialer import Organization
from exporter.simulator.hours import Override, Window
from exporter.simulator.world import World

DEFAULT_PAGE = 50
LARGEST_PAGE = 200

T = TypeVar("T", Campaign, Configuration)

_CAMPAIGN_SCOPES = frozenset({"campaigns:read", "campaigns:manage"})
_CONCURRENCY_SCOPES = _CAMPAIGN_SCOPES | {"concurrency:read", "concurrency:manage"}


def anyreach_application(world: World, *, prefix: str = "") -> web.Application:
    """Serve the Anyreach organizations of a world, below a path prefix if one is given."""
    answers = Answers(world, _error)
    api = _Api(answers)
    base = f"{prefix}/campaign"
    return answers.application(
        {
            f"{base}/campaigns": api.list_campaigns,
            f"{base}/campaigns/{{campaign}}": api.campaign,
            f"{base}/campaigns/{{campaign}}/stats": api.stats,
            f"{base}/campaigns/{{campaign}}/contacts": api.contacts,
            f"{base}/configurations": api.list_configurations,
            f"{base}/configurations/{{configuration}}": api.configuration,
            f"{base}/concurrency-settings": api.concurrency_settings,
        }
    )


def _error(detail: Any) -> dict[str, Any]:
    return {"detail": detail}


def _refused(status: int, detail: Any) -> RefusedError:
    return RefusedError(status, _error(detail))


class _Api:
    def __init__(self, answers: Answers) -> None:
        self._world = answers.world
        self._answer = answers.answer

    async def stats(self, request: web.Request) -> web.Response:
        organization = self._organization(request, "campaigns")
        campaign = self._campaign(organization, request)
        return await self._answer(request, campaign.fault or organization.fault, lambda: stats_of(campaign))

    async def campaign(self, request: web.Request) -> web.Response:
        organization = self._organization(request, "campaigns")
        campaign = self._campaign(organization, request)
        return await self._answer(request, campaign.fault or organization.fault, lambda: self._describe(campaign))

    async def contacts(self, request: web.Request) -> web.Response:
        organization = self._organization(request, "contacts")
        campaign = self._campaign(organization, request)
        limit, offset = _limit(request), _offset(request)
        statuses = request.query.getall("status", []) if organization.filters_contacts else []

        def page() -> dict[str, Any]:
            listed, now = campaign.contacts.listed(organization.contact_order, statuses), self._world.now
            return {
                "contacts": [
                    describe(campaign.contacts, number, now, self._world.sent_moment)
                    for number in listed[offset : offset + limit]
                ],
                "total": len(listed),
                "limit": limit,
                "offset": offset,
            }

        return await self._answer(request, campaign.fault or organization.fault, page)

    async def list_campaigns(self, request: web.Request) -> web.Response:
        organization = self._organization(request, "campaigns")
        name, statuses = request.query.get("name", ""), request.query.getall("status", [])

        def asked_for(campaign: Campaign) -> bool:
            return name in campaign.name and (not statuses or campaign.status in statuses)

        return await self._answer(
            request,
            organization.fault,
            lambda: self._page(
                request, organization, "campaigns", organization.campaigns.values(), asked_for, self._describe
            ),
        )

    async def list_configurations(self, request: web.Request) -> web.Response:
        organization = self._organization(request, "configurations")
        return await self._answer(
            request,
            organization.fault,
            lambda: self._page(
                request,
                organization,
                "configurations",
                organization.configurations.values(),
                lambda _: True,
                self._describe_configuration,
            ),
        )

    async def configuration(self, request: web.Request) -> web.Response:
        organization = self._organization(request, "configurations")
        configuration = organization.configurations.get(request.match_info["configuration"])
        if configuration is None:
            raise _refused(404, "Configuration not found")
        return await self._answer(request, organization.fault, lambda: self._describe_configuration(configuration))

    async def concurrency_settings(self, request: web.Request) -> web.Response:
        organization = self._organization(request, "concurrency")
        return await self._answer(request, organization.fault, lambda: {"concurrency_limit": organization.limit})

    def _organization(self, request: web.Request, route: str) -> Organization:
        """Find the organization of a request's token, which may be refused."""
        self._world.advance()
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        credential = self._world.credential(token) if scheme == "Bearer" else None
        if credential is None:
            raise _refused(401, "Missing or invalid token")
        organization = credential.organizations[0]
        if token.startswith("pat_"):
            wanted = request.headers.get("X-Anyreach-Org")
            if not wanted:
                raise _refused(401, "Token lacks an organization claim")
            try:
                organization = next(o for o in credential.organizations if o.id == wanted)
            except StopIteration:
                raise _refused(403, "Not a member of this organization") from None
        accepted = _CONCURRENCY_SCOPES if route == "concurrency" else _CAMPAIGN_SCOPES
        if route in credential.refused or not credential.scopes & accepted:
            raise _refused(403, f"Requires one of the scopes: {', '.join(sorted(accepted))}")
        return organization

    def _campaign(self, organization: Organization, request: web.Request) -> Campaign:
        campaign = organization.find(request.match_info["campaign"])
        if campaign is None:
            raise _refused(404, "Campaign not found")
        return campaign

    def _page(
        self,
        request: web.Request,
        organization: Organization,
        kind: str,
        oldest_first: Iterable[T],
        asked_for: Callable[[T], bool],
        describe: Callable[[T], dict[str, Any]],
    ) -> Any:
        """Cut one page out of a list, newest first; either shape takes a cursor made of a creation time."""
        limit, cursor = _limit(request), request.query.get("cursor")
        listed = list(oldest_first)
        if cursor:
            # One by one would make the pages of a long list take longer and longer together.
            listed = listed[: bisect_left(listed, _decoded(cursor), key=self._created)]
        found = list(islice((item for item in reversed(listed) if asked_for(item)), limit + 1))
        page = [describe(item) for item in found[:limit]]
        if organization.listing == "array":
            return page
        following = _encoded(page[-1]["created_at"]) if len(found) > limit else None
        return {kind: page, "next_cursor": following}

    def _created(self, item: Campaign | Configuration) -> str:
        return self._world.sent_moment(item.created_at)

    def _describe(self, campaign: Campaign) -> dict[str, Any]:
        return {
            "id": campaign.id,
            "external_id": campaign.external_id,
            "name": campaign.name,
            "status": campaign.status,
            "priority": campaign.priority,
            "configuration_id": campaign.configuration.id,
            "created_at": self._world.sent_moment(campaign.created_at),
        }

    def _describe_configuration(self, configuration: Configuration) -> dict[str, Any]:
        schedule = configuration.schedule
        return {
            "id": configuration.id,
            "name": configuration.name,
            "schedule": {
                "default_timezone": schedule.default_timezone,
                "default_windows": _windows(schedule.default_windows),
                "overrides": _overrides(schedule.overrides),
                "scheduled_windows": None
                if schedule.scheduled_windows is None
                else _windows(schedule.scheduled_windows),
                "scheduled_overrides": None
                if schedule.scheduled_overrides is None
                else _overrides(schedule.scheduled_overrides),
            },
            "created_at": self._world.sent_moment(configuration.created_at),
        }


def stats_of(campaign: Campaign) -> dict[str, Any]:
    """Return the stats answer of a campaign, as it stands (https://docs.anyreach.ai/campaigns/results-and-analytics)."""
    organization = campaign.organization
    total = campaign.contacts_total
    whole = organization.active_calls_scope == "organization"
    return {
        "campaign_id": campaign.id,
        "status": campaign.status,
        "contacts": {
            "total": total,
            "pending": campaign.pending,
            "in_progress": campaign.active_calls,
            "completed": campaign.completed.total(),
            "exhausted": campaign.exhausted.total(),
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
    return [{"days": list(window.days), "start": window.start, "end": window.end} for window in windows]


def _overrides(overrides: tuple[Override, ...]) -> list[dict[str, Any]]:
    return [{"timezone": override.timezone, "windows": _windows(override.windows)} for override in overrides]
