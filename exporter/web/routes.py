"""Routes and answers. This module shows what it is given, and knows neither pollers nor providers."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload
from aiohttp.typedefs import Handler

from exporter.exposition.negotiation import Format, accepts_gzip, choose_format

_PIECE = 64 * 1024

Page = Callable[[Format, bool, frozenset[str]], Awaitable[Sequence[bytes]]]
"""
Makes the page of metrics in pieces: in a format, as one gzip stream or not, and only with these names (`name[]` of the
official client) where there are any.
"""

_PROBES = frozenset({"/-/healthy", "/-/ready"})


def create_app(
    *,
    page: Page,
    ready: Callable[[], bool],
    reload: Callable[[], Awaitable[str | None]] | None,
    frontend: Mapping[str, Handler],
    telemetry_path: str = "/metrics",
    at_once: int = 64,
) -> web.Application:
    """
    Build the application.

    Args:
        reload: Reads the configuration again and returns what is wrong with it; None answers 403.
        frontend: What answers a GET of the pages for people, of their files and of the API, by path.
        at_once: Scrapes of single names that are answered at the same time, and as many other requests, without those
            of probes; further ones get 503. Whole pages are not counted: all who ask at the same time share them.
    """

    async def metrics(request: web.Request) -> web.Response:
        choice = choose_format(_joined(request, "Accept"))
        gzip = accepts_gzip(_joined(request, "Accept-Encoding"))
        # Empty values are left out, as the official client leaves them out.
        names = frozenset(filter(None, request.query.getall("name[]", ())))
        headers = {"Content-Type": choice.content_type, "Vary": "Accept, Accept-Encoding"}
        if gzip:
            headers["Content-Encoding"] = "gzip"
        return web.Response(body=Pieces(await page(choice.format, gzip, names)), headers=headers)

    async def metrics_or_single_ones(request: web.Request) -> web.StreamResponse:
        return await (single_metrics if "name[]" in request.query else metrics)(request)

    async def healthy(request: web.Request) -> web.Response:
        return web.Response(text="campaign-exporter is healthy.\n")

    async def readiness(request: web.Request) -> web.Response:
        if ready():
            return web.Response(text="campaign-exporter is ready.\n")
        return web.Response(status=503, text="campaign-exporter is not ready.\n")

    async def lifecycle(request: web.Request) -> web.Response:
        if reload is None:
            return web.Response(status=403, text="Reloading over HTTP needs --web.enable-lifecycle.\n")
        if error := await reload():
            return web.Response(status=500, text=f"{error}\n")
        return web.Response(text="The configuration was reloaded.\n")

    single_metrics, limited = _limit(at_once)(metrics), _limit(at_once)
    app = web.Application()
    app.router.add_get(telemetry_path, metrics_or_single_ones)
    for path, handler in frontend.items():
        app.router.add_get(path, limited(handler))
    app.router.add_get("/-/healthy", healthy)
    app.router.add_get("/-/ready", readiness)
    reloader = limited(lifecycle)
    app.router.add_post("/-/reload", reloader)
    app.router.add_put("/-/reload", reloader)
    return app


def is_probe(request: web.Request) -> bool:
    """Whether a request asks for health or readiness. A path has many spellings, so its route decides."""
    resource = request.match_info.route.resource
    return resource is not None and resource.canonical in _PROBES


def busy() -> web.Response:
    """Make the answer to a request past a limit."""
    response = web.Response(status=503, headers={"Retry-After": "1"}, text="The exporter is busy.\n")
    response.force_close()
    return response


def _limit(at_once: int) -> Callable[[Handler], Handler]:
    """Make what bounds the requests that several handlers work on, all together."""
    places = asyncio.Semaphore(at_once)

    def limit(handler: Handler) -> Handler:
        async def limited(request: web.Request) -> web.StreamResponse:
            if places.locked():
                return busy()
            async with places:
                return await handler(request)

        return limited

    return limit


class Pieces(Payload):
    """A body that is written 64 KiB at a time, which holds the event loop for a moment only and copies no page."""

    def __init__(self, chunks: Sequence[bytes]) -> None:
        super().__init__(chunks)
        self._size = sum(map(len, chunks))

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return b"".join(self._value).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        for piece in pieces(self._value):
            await writer.write(piece)
            # A fast client never makes `write` wait.
            await asyncio.sleep(0)


def pieces(chunks: Sequence[bytes], size: int = _PIECE) -> Iterator[bytes | memoryview]:
    """Cut and join chunks, in their order, to pieces of at most `size` bytes; large ones are not copied."""
    waiting: list[bytes] = []
    length = 0
    for chunk in chunks:
        if length + len(chunk) > size:
            if length:
                yield b"".join(waiting)
                waiting, length = [], 0
            if len(chunk) > size:
                view = memoryview(chunk)
                yield from (view[start : start + size] for start in range(0, len(view), size))
                continue
        waiting.append(chunk)
        length += len(chunk)
    if length:
        yield b"".join(waiting)


def _joined(request: web.Request, header: str) -> str:
    return ",".join(request.headers.getall(header, ()))
