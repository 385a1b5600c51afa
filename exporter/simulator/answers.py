"""What both simulated APIs do with a request: the true answer, an error, or a fault."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from aiohttp import web
from aiohttp.typedefs import Handler

from exporter.simulator.faults import Fault
from exporter.simulator.world import World

Answer: TypeAlias = tuple[Fault | None, Callable[[], Any]]
"""The fault that is set for what a request asks for, and what makes the true answer."""


class RefusedError(Exception):
    """An answer that is no success; `body` is sent as JSON."""

    def __init__(self, status: int, body: Mapping[str, Any]) -> None:
        super().__init__(body)
        self.status = status
        self.body = body


def application(
    world: World, error: Callable[[str], Mapping[str, Any]], routes: Mapping[str, Callable[[web.Request], Answer]]
) -> web.Application:
    """
    Answer GETs by path.

    Args:
        error: Makes the body of an error from its reason.
        routes: May raise `RefusedError`.
    """

    @web.middleware
    async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except RefusedError as exc:
            return web.json_response(exc.body, status=exc.status)
        except web.HTTPException as exc:
            return web.json_response(error(exc.reason), status=exc.status)

    def handler(route: Callable[[web.Request], Answer]) -> Handler:
        async def answer(request: web.Request) -> web.Response:
            world.advance()
            fault, payload = route(request)
            if fault is not None and fault.hits(request.raw_path, world.request_luck):
                if fault.delay:
                    await asyncio.sleep(fault.delay)
                    world.advance()
                if fault.hang_up and request.transport is not None:
                    request.transport.abort()
                if fault.status is not None:
                    if fault.body is not None:
                        return web.Response(status=fault.status, body=fault.body, headers=fault.headers)
                    return web.json_response(error("Simulated fault"), status=fault.status, headers=fault.headers)
            return web.json_response(payload())

        return answer

    answering = web.Application(middlewares=[answer_errors])
    for path, route in routes.items():
        answering.router.add_get(path, handler(route))
    return answering
