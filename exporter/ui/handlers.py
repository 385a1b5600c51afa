"""The HTTP handlers of the pages, their files and the JSON interface."""

import asyncio
from bisect import bisect_right
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler
from isal import igzip
from pydantic_core import to_json

from exporter.campaign.state import CampaignState
from exporter.exposition.negotiation import accepts_gzip
from exporter.ui import api, page
from exporter.ui.fleet import Fleet, Overview, in_turns, position
from exporter.ui.queries import MAX_NAME, AttemptsQuery, CampaignQuery, ProblemError, not_found, parse
from exporter.ui.runbooks import PLACEHOLDERS, placeholders, render

_GZIP_LEVEL = 1
_SMALL = 1000
_MOST_VIEWS = 16
"""Views of the list that are kept for a second."""

_PAGE_HEADERS = {
    "Content-Security-Policy": page.CONTENT_SECURITY_POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",  # for browsers that do not know frame-ancestors
    "Cache-Control": "no-cache",
}
_REVALIDATED = {"Cache-Control": "no-cache"}
_FOR_EVER = {"Cache-Control": "public, max-age=31536000, immutable"}

# Not what the machine's tables say: a browser runs no script of another kind.
_KINDS = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


def routes(
    overview: Overview, *, version: str, telemetry_path: str, runbooks: Mapping[str, str]
) -> Mapping[str, Handler]:
    """Make what answers a GET, by its path; runbooks are Markdown by the name of the alert."""
    assets = page.read_assets()
    paths = {name: f"static/{page.hashed(name, content)}" for name, content in assets.items()}
    links = {
        "Metrics": telemetry_path[1:],
        "Health": "-/healthy",
        "Readiness": "-/ready",
        "JSON": api.CAMPAIGNS[1:],
        "API description": api.DESCRIPTION[1:],
    }
    pages = page.Pages(version=version, links=links, runbooks=sorted(runbooks), assets=paths)
    frontend = _Frontend(overview, pages, runbooks)
    made: dict[str, Handler] = {
        api.CAMPAIGNS: frontend.json(_campaigns),
        api.CAMPAIGN: frontend.json(_campaign),
        api.ATTEMPTS: frontend.json(_attempts),
        api.DESCRIPTION: _fixed(api.describe(version), "application/json", _REVALIDATED),
        "/campaigns/{provider}/{account}/{campaign}": frontend.campaign,
        "/runbooks/{alert}": frontend.runbook,
    }
    if telemetry_path != "/":  # where the metrics leave a place for it
        made["/"] = frontend.wall
    for name, content in assets.items():
        made[f"/{paths[name]}"] = _fixed(content, _KINDS[name.rpartition(".")[2]], _FOR_EVER)
    return made


class _Frontend:
    """The pages, and what the answers of the JSON interface have in common."""

    def __init__(self, overview: Overview, pages: page.Pages, runbooks: Mapping[str, str]) -> None:
        self._overview = overview
        self._pages = pages
        self._runbooks = runbooks
        # One answer at a time: the rows of many would fill the memory, and their turns hold up everybody else's.
        self._turn = asyncio.Lock()

    async def wall(self, request: web.Request) -> web.Response:
        fleet, view = await self._overview.fleet(), page.View.parse(request.query)
        if view not in fleet.pages:
            if len(fleet.pages) >= _MOST_VIEWS:
                fleet.pages.clear()
            fleet.pages[view] = asyncio.get_running_loop().create_task(self._make_wall(fleet, view))
        # A client that goes away must not take the page from the others who wait for it.
        tag, body = await asyncio.shield(fleet.pages[view])
        return _answer(request, body, "text/html", _PAGE_HEADERS, tag)

    async def _make_wall(self, fleet: Fleet, view: page.View) -> tuple[str, bytes]:
        async with self._turn:
            shown = await _shown(fleet, view)
            pieces = self._pages.render("wall.html", root="./", now=self._overview.wall(), **shown)
            return self._pages.etag(shown), "".join(await in_turns(pieces)).encode()

    async def campaign(self, request: web.Request) -> web.Response:
        fleet = await self._overview.fleet()
        try:
            campaign = _find(fleet, request)
        except ProblemError:
            body = "".join(self._pages.render("missing.html", root="../../../"))
            return web.Response(status=404, text=body, content_type="text/html", headers=_PAGE_HEADERS)
        shown = {"row": await fleet.details(campaign), "attempts": fleet.attempts(campaign, AttemptsQuery())}
        pieces = self._pages.render("campaign.html", root="../../../", now=self._overview.wall(), **shown)
        body = "".join(await in_turns(pieces))
        return _answer(request, body.encode(), "text/html", _PAGE_HEADERS, self._pages.etag(shown))

    async def runbook(self, request: web.Request) -> web.Response:
        # A name is looked up in what was read at the start; no path is ever made of it.
        alert = request.match_info["alert"]
        if (text := self._runbooks.get(alert)) is None:
            raise web.HTTPNotFound(text="There is no runbook of that name.\n")
        labels = {name: page.fit(request.query.get(name, "")[:MAX_NAME]) for name in PLACEHOLDERS}
        shown = {"alert": alert, "body": render(text, labels), "asked": placeholders(text), "labels": labels}
        body = "".join(self._pages.render("runbook.html", root="../", **shown))
        return _answer(request, body.encode(), "text/html", _PAGE_HEADERS)

    def json(self, answer: Callable[[Fleet, web.Request], Awaitable[bytes]]) -> Handler:
        """Answer with JSON, or with what is wrong with the request."""

        async def handler(request: web.Request) -> web.Response:
            try:
                async with self._turn:
                    body = await answer(await self._overview.fleet(), request)
            except ProblemError as exc:
                body = _dumped(exc.problem)
                return web.Response(status=exc.problem.status, body=body + b"\n", content_type=api.PROBLEM_TYPE)
            return _answer(request, body + b"\n", "application/json", _REVALIDATED)

        return handler


async def _shown(fleet: Fleet, view: page.View) -> dict[str, Any]:
    """Collect what the list of campaigns shows."""
    campaigns = await fleet.select(view.q, view.provider, view.account)
    counts = Counter(campaign.standing for campaign in campaigns)
    await asyncio.sleep(0)
    account_rows = fleet.account_rows(campaigns)
    if view.state:
        campaigns = [campaign for campaign in campaigns if campaign.standing == view.state]
    campaigns = await fleet.sort(campaigns, page.COLUMNS[view.column].key, descending=view.descending)
    pages = max(1, -(-len(campaigns) // page.PAGE_SIZE))
    view = replace(view, page=min(view.page, pages))
    start = (view.page - 1) * page.PAGE_SIZE
    return {
        "view": view,
        "rows": await in_turns(map(fleet.row, campaigns[start : start + page.PAGE_SIZE])),
        "pages": pages,
        "matching": len(campaigns),
        "total": len(fleet.campaigns),
        "counts": counts,
        "account_rows": account_rows,
        "providers": sorted({account.state.provider for account in fleet.accounts.values()}),
        "accounts": list(fleet.accounts),
    }


async def _campaigns(fleet: Fleet, request: web.Request) -> bytes:
    query = parse(CampaignQuery, request.query.items())
    campaigns = await fleet.select(query.q, query.provider, query.account, query.state)
    start = bisect_right(campaigns, query.after, key=position) if query.after else 0
    shown = campaigns[start : start + query.limit]
    after = position(shown[-1]) if start + query.limit < len(campaigns) else None
    rows = await in_turns(_dumped(fleet.row(campaign)) for campaign in shown)
    return api.campaigns_of(rows, after, len(campaigns))


async def _campaign(fleet: Fleet, request: web.Request) -> bytes:
    return _dumped(await fleet.details(_find(fleet, request)))


async def _attempts(fleet: Fleet, request: web.Request) -> bytes:
    query = parse(AttemptsQuery, request.query.items())
    if (rows := fleet.attempts(_find(fleet, request), query)) is None:
        raise not_found("Single attempts of this account are not read.")
    return _dumped({"attempts": rows})


def _dumped(value: object) -> bytes:
    return to_json(value, inf_nan_mode="null")


def _find(fleet: Fleet, request: web.Request) -> CampaignState:
    campaign = fleet.find(**request.match_info)
    if campaign is None:
        raise not_found("There is no such campaign.")
    return campaign


def _fixed(body: bytes, kind: str, headers: Mapping[str, str]) -> Handler:
    async def handler(request: web.Request) -> web.Response:
        return _answer(request, body, kind, headers)

    return handler


def _answer(
    request: web.Request, body: bytes, kind: str, headers: Mapping[str, str], tag: str | None = None
) -> web.Response:
    """Answer with a body, by default with the tag of its content, unless the client has it already."""
    tag = tag or page.weak_tag(body)
    headers = {**headers, "ETag": tag, "Vary": "Accept-Encoding"}
    value = tag.removeprefix("W/").strip('"')
    if any(known.value in ("*", value) for known in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    response = web.Response(body=body, content_type=kind, headers=headers)
    if kind != "application/json":
        response.charset = "utf-8"
    if len(body) > _SMALL and accepts_gzip(",".join(request.headers.getall("Accept-Encoding", ()))):
        response.headers["Content-Encoding"] = "gzip"
        response.body = igzip.compress(body, _GZIP_LEVEL)
    return response
