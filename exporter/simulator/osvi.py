"""
The simulated OSVI API: the campaign status route, as an aiohttp application.

See https://docs.osvi.ai/api-reference/endpoint/campaign_status and https://docs.osvi.ai/api-reference/introduction.
Outcomes that no call has had are left out of `by_status`, as in the documented sample.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from exporter.simulator.faults import Fault
from exporter.simulator.osvi_dialer import OsviCampaign, Upload
from exporter.simulator.world import World


def osvi_application(world: World, *, prefix: str = "") -> web.Application:
    """Serve the OSVI accounts of a world, below a path prefix if one is given."""
    application = web.Application(middlewares=[_answer_errors])
    application.router.add_get(f"{prefix}/v1/campaigns/{{campaign}}/status", _Api(world).status)
    return application


@web.middleware
async def _answer_errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as exc:
        return _json({"success": False, "error": exc.reason, "details": None}, status=exc.status)


class _Api:
    def __init__(self, world: World) -> None:
        self._world = world

    async def status(self, request: web.Request) -> web.Response:
        self._world.advance()
        account = self._world.osvi_account(request.headers.get("API-Token", ""))
        if account is None:
            return _json({"success": False, "error": "Invalid API token"}, status=401)
        campaign_id = request.match_info["campaign"]
        if not campaign_id.isdecimal():
            return _json({"success": False, "errors": ["id must be an integer"]}, status=422)
        campaign = account.campaigns.get(int(campaign_id))
        if campaign is None:
            return _json({"success": False, "error": "Campaign not found", "details": None}, status=404)
        return await self._answer(request, campaign.fault or account.fault, campaign)

    async def _answer(self, request: web.Request, fault: Fault | None, campaign: OsviCampaign) -> web.Response:
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
        return _json({"success": True, "data": self._describe(campaign)})

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


def _json(payload: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(
        status=status, body=json.dumps(payload).encode(), content_type="application/json", headers=headers
    )
