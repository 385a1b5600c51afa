"""
The simulated OSVI API, https://docs.osvi.ai/api-reference/introduction: the campaign status route and the call log.

Outcomes that no call has had are left out of `by_status`, as in the documented sample.
"""

from typing import Any

from aiohttp import web

from exporter.simulator.answers import Answer, RefusedError, application
from exporter.simulator.osvi_calls import describe
from exporter.simulator.osvi_dialer import OsviAccount, OsviCampaign, Upload
from exporter.simulator.world import World

DEFAULT_PAGE = 25
LARGEST_PAGE = 100


def osvi_application(world: World) -> web.Application:
    """Serve the OSVI accounts of a world."""
    api = _Api(world)
    return application(
        world,
        lambda reason: _failure(error=reason, details=None),
        {"/v1/campaigns/{campaign}/status": api.status, "/v1/calls": api.calls},
    )


def _failure(**body: Any) -> dict[str, Any]:
    return {"success": False, **body}


class _Api:
    def __init__(self, world: World) -> None:
        self._world = world

    def status(self, request: web.Request) -> Answer:
        account = self._account(request)
        campaign_id = request.match_info["campaign"]
        if not campaign_id.isdecimal():
            raise RefusedError(422, _failure(errors=["id must be an integer"]))
        campaign = account.campaigns.get(int(campaign_id))
        if campaign is None:
            raise RefusedError(404, _failure(error="Campaign not found", details=None))
        return campaign.fault or account.fault, lambda: {"success": True, "data": self._describe(campaign)}

    def calls(self, request: web.Request) -> Answer:
        account = self._account(request)
        page, per_page = _number(request, "page", 1), _number(request, "per_page", DEFAULT_PAGE, LARGEST_PAGE)
        statuses = frozenset(filter(None, request.query.get("status", "").split(",")))
        campaign_id = _number(request, "campaign_id", 0) if "campaign_id" in request.query else None

        def answer() -> dict[str, Any]:
            found = [
                call
                for call in reversed(account.calls)
                if (not statuses or call.status in statuses) and campaign_id in (None, call.campaign_id)
            ]
            return {
                "success": True,
                "data": [
                    describe(call, self._world.sent_indian_moment, self._world.sent_duration)
                    for call in found[(page - 1) * per_page : page * per_page]
                ],
                "meta": {
                    "current_page": page,
                    "total_pages": -(-len(found) // per_page),
                    "total_count": len(found),
                    "per_page": per_page,
                },
            }

        return account.fault, answer

    def _account(self, request: web.Request) -> OsviAccount:
        account = self._world.osvi_account(request.headers.get("API-Token", ""))
        if account is None:
            raise RefusedError(401, _failure(error="Invalid API token"))
        return account

    def _describe(self, campaign: OsviCampaign) -> dict[str, Any]:
        delay = campaign.retry_delay
        by_status = {outcome: calls for outcome, calls in campaign.calls.items() if calls}
        return {
            "campaign": {
                "id": campaign.id,
                "name": campaign.name,
                "status": campaign.status,
                "is_retry_enabled": delay is not None,
                "retry_threshold": None if delay is None else campaign.retry_threshold,
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
        raise RefusedError(422, _failure(errors=[f"{name} must be an integer from 1{f' to {most}' if most else ''}"]))
    return number
