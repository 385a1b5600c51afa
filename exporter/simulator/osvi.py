"""
The simulated OSVI API: the campaign status route and the call log, as an aiohttp application.

See https://docs.osvi.ai/api-reference/endpoint/campaign_status, https://docs.osvi.ai/api-reference/endpoint/list_calls
and https://docs.osvi.ai/api-reference/introduction.
Outcomes that no call has had are left out of `by_status`, as in the documented sample.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from exporter.simulator.faults import Fault
from exporter.simulator.osvi_dialer import OsviAccount, OsviCampaign, Upload
from exporter.simulator.world import World

DEFAULT_PAGE = 25
LARGEST_PAGE = 100


class _RefusedError(Exception):
    """An answer that is no success; `body` is what it says besides."""

    def __init__(self, status: int, body: Mapping[str, Any]) -> None:
        super().__init__(body)
        self.status = status
        self.body = body


def osvi_application(world: World, *, prefix: str = "") -> web.Application:
    """Serve the OSVI accounts of a world, below a path prefix if one is given."""
    application = web.Application(middlewares=[_answer_errors])
    api = _Api(world)
    application.router.add_get(f"{prefix}/v1/campaigns/{{campaign}}/status", api.status)
    application.router.add_get(f"{prefix}/v1/calls", api.calls)
    return application


@web.middleware
async def _answer_errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except _RefusedError as exc:
        return _json({"success": False, **exc.body}, status=exc.status)
    except web.HTTPException as exc:
        return _json({"success": False, "error": exc.reason, "details": None}, status=exc.status)


class _Api:
    def __init__(self, world: World) -> None:
        self._world = world

    async def status(self, request: web.Request) -> web.Response:
        account = self._account(request)
        campaign_id = request.match_info["campaign"]
        if not campaign_id.isdecimal():
            raise _RefusedError(422, {"errors": ["id must be an integer"]})
        campaign = account.campaigns.get(int(campaign_id))
        if campaign is None:
            raise _RefusedError(404, {"error": "Campaign not found", "details": None})
        return await self._answer(request, campaign.fault or account.fault, lambda: {"data": self._describe(campaign)})

    async def calls(self, request: web.Request) -> web.Response:
        account = self._account(request)
        page, per_page = _number(request, "page", 1), _number(request, "per_page", DEFAULT_PAGE, LARGEST_PAGE)
        statuses = frozenset(filter(None, request.query.get("status", "").split(",")))
        campaign_id = _number(request, "campaign_id", 0) if "campaign_id" in request.query else None

        def answer() -> dict[str, Any]:
            found = [
                call
                for call in account.log.newest_first()
                if (not statuses or call.status in statuses) and campaign_id in (None, call.campaign_id)
            ]
            return {
                "data": [
                    account.log.describe(call, self._world.sent_indian_moment, self._world.sent_duration)
                    for call in found[(page - 1) * per_page : page * per_page]
                ],
                "meta": {
                    "current_page": page,
                    "total_pages": -(-len(found) // per_page),
                    "total_count": len(found),
                    "per_page": per_page,
                },
            }

        return await self._answer(request, account.fault, answer)

    def _account(self, request: web.Request) -> OsviAccount:
        self._world.advance()
        account = self._world.osvi_account(request.headers.get("API-Token", ""))
        if account is None:
            raise _RefusedError(401, {"error": "Invalid API token"})
        return account

    async def _answer(
        self, request: web.Request, fault: Fault | None, payload: Callable[[], dict[str, Any]]
    ) -> web.Response:
        if fault is not None and fault.hits(request.raw_path, self._world.request_luck):
            if fault.delay:
                await asyncio.sleep(fault.delay)
                self._world.advance()
            if fault.hang_up and request.transport is not None:
                request.transport.abort()
            if fault.status is not None:
                if fault.body is not None:
                    return web.Response(status=fault.status, body=fault.body, headers=fault.headers)
                return _json({"success": False, "error": "Simulated fault"}, status=fault.status, headers=fault.headers)
        return _json({"success": True, **payload()})

    def _describe(self, campaign: OsviCampaign) -> dict[str, Any]:
        delay = campaign.retry_delay
        by_status = {outcome: calls for outcome, calls in campaign.calls.items() if calls}
        return {
            "campaign": {
                "id": campaign.id,
                "name": campaign.name,
                "status": campaign.status,
                "is_retry_enabled": campaign.retries,
                "retry_threshold": campaign.retry_threshold,
                "retry_delay": None if delay is None else self._world.sent_duration(delay),
                "created_at": self._world.sent_indian_moment(campaign.created_at),
            },
            "calls": {"total": sum(by_status.values()), "by_status": by_status},
            "uploads": [self._describe_upload(upload) for upload in campaign.uploads],
        }

    def _describe_upload(self, upload: Upload) -> dict[str, Any]:
        return {
            "campaign_upload_id": upload.id,
            "file_name": upload.file_name,
            "agent_uuid": upload.agent_uuid,
            "created_at": self._world.sent_indian_moment(upload.created_at),
            "queues": [
                {
                    "agent_uuid": queue.agent.uuid,
                    "total_queued": queue.total_queued,
                    "completed": queue.completed,
                }
                for queue in upload.queues
            ],
        }


def _number(request: web.Request, name: str, default: int, most: int | None = None) -> int:
    text = request.query.get(name, str(default))
    if not text.isdecimal() or not (number := int(text)) or (most is not None and number > most):
        raise _RefusedError(422, {"errors": [f"{name} must be an integer from 1{f' to {most}' if most else ''}"]})
    return number


def _json(payload: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(
        status=status, body=json.dumps(payload).encode(), content_type="application/json", headers=headers
    )
