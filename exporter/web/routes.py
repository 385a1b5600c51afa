"""
Routes and answers. It shows what it is handed, and knows neither pollers nor providers.

A page may have tens of megabytes, so it is written piece by piece: the event loop is never held for longer than one
piece takes, and no second copy of the page is made.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

from aiohttp import web

from exporter.exposition.negotiation import Format, accepts_gzip, choose_format

_PIECE = 64 * 1024

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Page = Callable[[Format, bool, frozenset[str]], Awaitable[Sequence[bytes]]]
"""
Makes the page of metrics: its pieces, for a format, as one gzip stream or not, and for these names alone (`name[]` of
the official client) where there are any.
"""


def create_app(
    *,
    page: Page,
    ready: Callable[[], bool],
    reload: Callable[[], Awaitable[str | None]] | None,
    frontend: Mapping[str, Handler],
    telemetry_path: str = "/metrics",
    max_scrapes: int = 64,
    write_timeout: float = 60.0,
    patience: float = 0.5,
    waiting_time: float = 3.0,
) -> web.Application:
    """
    Build the application.

    Args:
        ready: Whether every campaign was polled and the exporter is not on its way out.
        reload: Reads the configuration again and returns what is wrong with it; None refuses to (403).
        frontend: What answers a GET of the pages for people, of their files and of the API, by path.
        max_scrapes: Scrapes at once, making and sending the page.
        write_timeout: Seconds for a client to take in the whole page.
        patience: Seconds without progress after which a scrape may lose its place to a new one.
        waiting_time: Seconds for which a scrape waits for a place; past it 503.
    """
    app = web.Application()
    app.on_response_prepare.append(_name_server)
    routes = app.router
    routes.add_get(telemetry_path, _Metrics(page, max_scrapes, write_timeout, patience, waiting_time).scrape)
    for path, handler in frontend.items():
        routes.add_get(path, handler)
    routes.add_get("/-/healthy", _healthy)
    routes.add_get("/-/ready", _ready(ready))
    reloader = _reload(reload)
    routes.add_post("/-/reload", reloader)
    routes.add_put("/-/reload", reloader)
    return app


class _Metrics:
    """The page of metrics, for so many scrapes at once."""

    def __init__(self, page: Page, limit: int, write_timeout: float, patience: float, waiting_time: float) -> None:
        self._page = page
        self._limit = limit
        self._write_timeout = write_timeout
        self._patience = patience
        self._waiting_time = waiting_time
        self._scrapes: set[_Scrape] = set()
        self._place_freed = asyncio.Event()

    async def scrape(self, request: web.Request) -> web.StreamResponse:
        if not await self._find_place():
            return web.Response(status=503, headers={"Retry-After": "1"}, text="Too many scrapes at once.\n")
        scrape = _Scrape(request)
        self._scrapes.add(scrape)
        try:
            return await self._answer(request, scrape)
        finally:
            self._scrapes.discard(scrape)
            self._place_freed.set()

    async def _find_place(self) -> bool:
        """Wait until a scrape ends, or may lose its place; clients that read nothing come in crowds."""
        deadline = time.monotonic() + self._waiting_time
        while len(self._scrapes) >= self._limit and not self._displace():
            now = time.monotonic()
            if now >= deadline:
                return False
            displaceable = min(scrape.progress for scrape in self._scrapes) + self._patience
            self._place_freed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(deadline, displaceable) - now):
                    await self._place_freed.wait()
        return True

    async def _answer(self, request: web.Request, scrape: "_Scrape") -> web.StreamResponse:
        choice = choose_format(_joined(request, "Accept"))
        gzip = accepts_gzip(_joined(request, "Accept-Encoding"))
        # Empty values are left out, as the official client leaves them out.
        names = frozenset(filter(None, request.query.getall("name[]", ())))
        chunks = await self._page(choice.format, gzip, names)

        response = web.StreamResponse(headers={"Content-Type": choice.content_type, "Vary": "Accept, Accept-Encoding"})
        if gzip:
            response.headers["Content-Encoding"] = "gzip"
        response.content_length = sum(map(len, chunks))
        try:
            async with asyncio.timeout(self._write_timeout):
                await response.prepare(request)
                if request.method != "HEAD":
                    await send(chunks, response.write, scrape.goes_on)
        except (TimeoutError, ConnectionError):
            # Half a page must not look like a whole one; and what is unsent would be kept for a client that never
            # takes it.
            scrape.abort()
        return response

    def _displace(self) -> bool:
        """Give up the scrape whose client has taken in nothing for longest, if that is worth a word."""
        slowest = min(self._scrapes, key=lambda scrape: scrape.progress, default=None)
        if slowest is None or slowest.progress > time.monotonic() - self._patience:
            return False
        self._scrapes.discard(slowest)
        slowest.abort()
        return True


class _Scrape:
    """One scrape under way."""

    def __init__(self, request: web.Request) -> None:
        self._transport = request.transport
        self.progress = float("inf")
        """When its client last took something in; never is it to blame before there is a page to take."""

    def goes_on(self) -> None:
        self.progress = time.monotonic()

    def abort(self) -> None:
        if self._transport:
            self._transport.abort()


async def send(
    chunks: Sequence[bytes], write: Callable[[bytes | memoryview], Awaitable[None]], on_progress: Callable[[], None]
) -> None:
    """Write chunks in pieces, and let others have their turn after each; `on_progress` is called before each."""
    for piece in pieces(chunks):
        on_progress()
        await write(piece)
        # A quick client never makes `write` wait.
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


async def _name_server(request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = "campaign-exporter"  # and not what it is made of, and of which age
    response.headers["X-Content-Type-Options"] = "nosniff"


async def _healthy(request: web.Request) -> web.Response:
    return web.Response(text="campaign-exporter is healthy.\n")


def _ready(ready: Callable[[], bool]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handler(request: web.Request) -> web.Response:
        if ready():
            return web.Response(text="campaign-exporter is ready.\n")
        return web.Response(status=503, text="campaign-exporter is not ready.\n")

    return handler


def _reload(
    reload: Callable[[], Awaitable[str | None]] | None,
) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handler(request: web.Request) -> web.Response:
        if reload is None:
            return web.Response(status=403, text="Reloading over HTTP needs --web.enable-lifecycle.\n")
        if error := await reload():
            return web.Response(status=500, text=f"{error}\n")
        return web.Response(text="The configuration was reloaded.\n")

    return handler
