"""What both simulated APIs do with a request: the true answer, an error, or a fault."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from exporter.simulator.faults import Fault
from exporter.simulator.world import World


class RefusedError(Exception):
    """An answer that is no success; `body` is sent as JSON."""

    def __init__(self, status: int, body: Mapping[str, Any]) -> None:
        super().__init__(body)
        self.status = status
        self.body = body


@dataclass(frozen=True, slots=True)
class Answers:
    """
    The answers of one API.

    Attributes:
        error: Makes the body of an error from its reason.
    """

    world: World
    error: Callable[[str], Mapping[str, Any]]

    def application(self, routes: Mapping[str, Handler]) -> web.Application:
        """Answer GETs by path, and any error with a body as the API has it."""
        application = web.Application(middlewares=[self._errors()])
        for path, handler in routes.items():
            application.router.add_get(path, handler)
        return application

    async def answer(self, request: web.Request, fault: Fault | None, payload: Callable[[], Any]) -> web.Response:
        if fault is not None and fault.hits(request.raw_path, self.world.request_luck):
            if fault.delay:
                await asyncio.sleep(fault.delay)
                self.world.advance()
            if fault.hang_up and request.transport is not None:
                request.transport.abort()
            if fault.status is not None:
                if fault.body is not None:
                    return web.Response(status=fault.status, body=fault.body, headers=fault.headers)
                return _json(self.error("Simulated fault"), status=fault.status, headers=fault.headers)
        return _json(payload())

    def _errors(self) -> Middleware:
        @web.middleware
        async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
            try:
                return await handler(request)
            except RefusedError as exc:
                return _json(exc.body, status=exc.status)
            except web.HTTPException as exc:
                return _json(self.error(exc.reason), status=exc.status)

        return answer_errors


def _json(payload: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(
        status=status, body=json.dumps(payload).encode(), content_type="application/json", headers=headers
    )
