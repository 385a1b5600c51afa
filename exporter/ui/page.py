"""
The page for people: rows in, HTML out. Pure.

It is complete as it comes, without the script: filters are a form, sorting and paging are links. The script asks for
the same page again and again, and puts what is new into the one on the screen.
"""

import html
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from urllib.parse import urlencode

from pydantic import TypeAdapter

from exporter.campaign.snapshot import CALL_OUTCOMES, CALLS_IN_PROGRESS, CONTACT_BUCKETS
from exporter.ui.rows import MEANINGS, CampaignRow, Filters, State

PAGE_SIZE = 100

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

TITLES: Mapping[State, str] = {
    State.FAILING: "Failing",
    State.STALLED: "Stalled",
    State.NEVER_DIALS: "Never dials",
    State.STALE: "Stale",
    State.SATURATED: "At its cap",
    State.UNKNOWN: "Unknown status",
    State.QUIET: "Quiet",
    State.DRAINED: "Drained",
    State.UNPOLLED: "Not polled yet",
    State.DIALING: "Dialing",
    State.WAITING: "Outside its hours",
    State.EMPTY: "Empty",
    State.PAUSED: "Paused",
    State.CLOSED: "Closed",
}

_TONES: Mapping[State, str] = {
    State.FAILING: "bad",
    State.STALLED: "bad",
    State.NEVER_DIALS: "bad",
    State.STALE: "warn",
    State.SATURATED: "warn",
    State.UNKNOWN: "warn",
    State.QUIET: "warn",
    State.DRAINED: "note",
    State.UNPOLLED: "note",
    State.DIALING: "good",
    State.WAITING: "idle",
    State.EMPTY: "note",
    State.PAUSED: "idle",
    State.CLOSED: "idle",
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table, and by what its rows are sorted."""

    name: str
    """Its name in the address."""
    title: str
    descends: bool
    """Whether the first click puts the greatest first."""


COLUMNS = (
    Column("attention", "State", False),
    Column("campaign", "Campaign", False),
    Column("account", "Account", False),
    Column("progress", "Progress", True),
    Column("calls", "Calls", True),
    Column("dialing", "Should dial", True),
    Column("called", "Last progress", False),
    Column("updated", "Updated", False),
)

DEFAULT_SORT = "attention"
_PAGE_NUMBER = re.compile(r"[1-9][0-9]{0,6}", re.ASCII)

_COMPLETED, _EXHAUSTED, _IN_PROGRESS = "completed", "exhausted", "in_progress"
_BAR_CONTACTS = (_COMPLETED, _EXHAUSTED, _IN_PROGRESS, "pending")
_BAR_CALLS = ("picked", "voicemail", "busy", "not_picked", "failed", CALLS_IN_PROGRESS)
_BAR_WIDTH = 200.0

# Control characters, which HTML can't hold; those that turn the direction of text; and what is no character.
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")

_CODE = re.compile("`([^`]+)`")

_ROWS = TypeAdapter(tuple[CampaignRow, ...])


@dataclass(frozen=True, slots=True)
class View:
    """What an address asks to see."""

    filters: Filters
    sort: str = DEFAULT_SORT
    descending: bool = False
    page: int = 1

    @property
    def address(self) -> str:
        """The address of this view; what goes without saying is left out."""
        sort = ("-" if self.descending else "") + self.sort
        said = {
            "q": self.filters.text,
            "provider": self.filters.provider,
            "account": self.filters.account,
            "state": self.filters.state,
            "sort": "" if sort == DEFAULT_SORT else sort,
            "page": "" if self.page == 1 else str(self.page),
        }
        query = urlencode({name: value for name, value in said.items() if value}, errors="replace")
        return f"/?{query}" if query else "/"


@dataclass(frozen=True, slots=True)
class Frame:
    """What is around the campaigns, and stays the same while the exporter runs."""

    version: str
    links: Mapping[str, str]
    """Addresses of what else there is to see, by their texts."""
    runbooks: frozenset[str]
    assets: Mapping[str, str]
    """Addresses of the page's own files, by their names."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The campaigns that a view shows."""

    view: View
    """Its page is one that there is."""
    rows: Sequence[CampaignRow]
    matching: int
    """How many there are on all pages."""
    total: int
    """How many there are without filters."""
    counts: Mapping[State, int]
    """How many the other filters let through, by state."""
    providers: Sequence[str]
    accounts: Sequence[str]

    @property
    def pages(self) -> int:
        return pages(self.matching)


def pages(matching: int) -> int:
    """How many pages so many campaigns fill; an empty one is one too."""
    return max(1, -(-matching // PAGE_SIZE))


def parse(parameters: Mapping[str, str]) -> View:
    """Read an address; whatever can't be understood is taken as not said, since people write addresses by hand."""
    sort = parameters.get("sort", "")
    name = sort.removeprefix("-")
    known = name in {column.name for column in COLUMNS}
    page = parameters.get("page", "")
    return View(
        Filters(*(parameters.get(name, "").strip() for name in ("q", "provider", "account", "state"))),
        name if known else DEFAULT_SORT,
        known and sort.startswith("-"),
        int(page) if _PAGE_NUMBER.fullmatch(page) else 1,
    )


def etag(listing: Listing, frame: Frame) -> str:
    """Make the tag of a page: weak, since ages are written anew each time, and the script counts them up by itself."""
    around = (listing.view, listing.matching, listing.total, listing.counts, listing.providers, listing.accounts, frame)
    digest = blake2b(repr(around).encode(errors="replace"), digest_size=12)
    digest.update(_ROWS.dump_json(tuple(listing.rows)))
    return f'W/"{digest.hexdigest()}"'


def render(listing: Listing, frame: Frame, now: float) -> Iterator[str]:
    """
    Write the page, in pieces that are quickly made.

    Args:
        now: Unix time, to which ages are told.
    """
    view = listing.view
    yield _head(frame)
    yield "<main>"
    yield _form(listing)
    yield '<div id="live" data-live>'
    yield _states(listing)
    yield f'<p id="count" role="status">{_count(listing)}</p>'
    if listing.rows:
        yield (
            '<div class="wall" id="campaigns" role="region" aria-labelledby="caption" tabindex="0"><table>'
            '<caption id="caption" class="unseen">Campaigns</caption><thead><tr>'
        )
        yield "".join(_header(column, view) for column in COLUMNS)
        yield "</tr></thead>"
        yield from (_row(row, frame, now) for row in listing.rows)
        yield "</table></div>"
        yield _legend(listing.rows)
    else:
        yield _nothing(listing)
    yield _paging(listing)
    yield "</div></main>"
    yield _foot(frame)


def read_assets(folder: Path = Path(__file__).parent / "static") -> dict[str, bytes]:
    """Read the files that the page needs, by their names."""
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir()) if file.is_file()}


def hashed(name: str, content: bytes) -> str:
    """Put a hash of a file's content into its name, so that it can be kept for ever."""
    stem, dot, kind = name.rpartition(".")
    return f"{stem}.{blake2b(content, digest_size=8).hexdigest()}{dot}{kind}"


def text(value: str) -> str:
    """Make foreign text fit for any place in HTML; what could act on the text around it is shown as U+FFFD."""
    return html.escape(_UNFIT.sub("\N{REPLACEMENT CHARACTER}", value))


def age(seconds: float) -> str:
    """Say how long ago something was."""
    seconds = max(0, int(seconds))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size or (seconds >= size and unit == "min"):
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"


# The page's parts


def _head(frame: Frame) -> str:
    assets = frame.assets
    links = "".join(f'<li><a href="{text(href)}">{text(title)}</a></li>' for title, href in frame.links.items())
    return f"""<!DOCTYPE html>
<html lang="en" data-assets="{text(" ".join(assets.values()))}">
<head>
<meta charset="utf-8">
<title>Campaigns · campaign-exporter</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="description" content="The state of every calling campaign that this exporter polls">
<link rel="icon" href="{text(assets["icon.svg"])}" type="image/svg+xml">
<link rel="stylesheet" href="{text(assets["page.css"])}">
<script type="module" src="{text(assets["page.js"])}"></script>
</head>
<body>
<a class="skip" href="#campaigns">Skip to the campaigns</a>
<header>
<h1><img src="{text(assets["icon.svg"])}" alt="" width="28" height="28"> Campaigns</h1>
<p id="connection" class="live"><span id="reached" hidden>Live</span><noscript>Reload to update</noscript></p>
<nav aria-label="Exporter"><ul>{links}</ul></nav>
</header>
<div id="lost" role="alert" hidden></div>
"""


def _form(listing: Listing) -> str:
    filters, view = listing.view.filters, listing.view
    sort = ("-" if view.descending else "") + view.sort
    states = "".join(_option(state, TITLES[state], filters.state) for state in State)
    return f"""<form id="filters" action="/" method="get" role="search" aria-label="Campaigns">
<label>Search <input type="search" name="q" value="{text(filters.text)}" autocomplete="off" spellcheck="false" \
maxlength="500" placeholder="Name, id, label…"></label>
<label>Provider <select name="provider">{_options(listing.providers, filters.provider)}</select></label>
<label>Account <select name="account">{_options(listing.accounts, filters.account)}</select></label>
<label>State <select name="state">{_option("", "All", filters.state)}{states}</select></label>
<input type="hidden" name="sort" value="{text(sort)}">
<noscript><button>Apply</button></noscript>
<a class="clear" href="/" data-nav>Clear</a>
</form>"""


def _options(values: Iterable[str], chosen: str) -> str:
    values = list(values)
    if chosen and chosen not in values:
        values.append(chosen)
    return _option("", "All", chosen) + "".join(_option(value, value, chosen) for value in values)


def _option(value: str, title: str, chosen: str) -> str:
    selected = " selected" if value == chosen else ""
    return f'<option value="{text(value)}"{selected}>{text(title)}</option>'


def _states(listing: Listing) -> str:
    """Links to the campaigns of each state that there is, with their numbers."""
    view = listing.view
    items = []
    for state in State:
        number = listing.counts.get(state, 0)
        chosen = view.filters.state == state
        if not number and not chosen:
            continue
        # A second click on the chosen one takes the filter away.
        other = replace(view, filters=replace(view.filters, state="" if chosen else state.value), page=1)
        current = ' aria-current="true"' if chosen else ""
        items.append(
            f'<li data-key="{state}"><a href="{text(other.address)}" data-nav{current} class="{_TONES[state]}" '
            f'title="{text(MEANINGS[state])}"><b>{number:,}</b> {TITLES[state]}</a></li>'
        )
    return f'<ul class="states" aria-label="Campaigns by state">{"".join(items)}</ul>'


def _count(listing: Listing) -> str:
    if listing.matching == listing.total:
        return f"{_campaigns(listing.total)}"
    return f"{listing.matching:,} of {_campaigns(listing.total)}"


def _campaigns(number: int) -> str:
    return f"{number:,} campaign{'' if number == 1 else 's'}"


def _nothing(listing: Listing) -> str:
    if listing.total:
        words = 'No campaign matches. <a href="/" data-nav>Show all campaigns</a>.'
    else:
        words = "There are no campaigns yet: none is configured, or none has been discovered."
    return f'<p class="nothing" id="campaigns">{words}</p>'


def _header(column: Column, view: View) -> str:
    chosen = column.name == view.sort
    descending = not view.descending if chosen else column.descends
    href = replace(view, sort=column.name, descending=descending, page=1).address
    order = f' aria-sort="{"descending" if view.descending else "ascending"}"' if chosen else ""
    return f'<th scope="col" class="{column.name}"{order}><a href="{text(href)}" data-nav>{column.title}</a></th>'


def _row(row: CampaignRow, frame: Frame, now: float) -> str:
    key = blake2b(f"{row.account}\0{row.campaign}".encode(errors="replace"), digest_size=8).hexdigest()
    tone = _TONES[row.state]
    badge = f'<span class="badge" title="{text(MEANINGS[row.state])}">{TITLES[row.state]}</span>'
    status = f'<small class="status">{text(row.status)}</small>' if row.status else ""
    name = text(row.campaign_name or row.campaign)
    other = _other_name(row)
    alias = f"<small><bdi>{text(other)}</bdi></small>" if other else ""
    advice = _advice(row, frame)
    span = ' rowspan="2"' if advice else ""
    second = f'<tr><td class="advice" colspan="{len(COLUMNS) - 1}">{advice}</td></tr>' if advice else ""
    return (
        f'<tbody data-key="{key}" class="{tone}"><tr>'
        f'<td class="attention"{span}>{badge}{status}</td>'
        f'<th scope="row" class="campaign"><bdi title="{text(row.campaign_id)}">{name}</bdi>{alias}</th>'
        f'<td class="account"><bdi>{text(row.account)}</bdi><small>{text(row.provider)}</small></td>'
        f'<td class="progress">{_progress(row)}</td>'
        f'<td class="calls">{_calls(row)}</td>'
        f'<td class="dialing">{_dialing(row)}</td>'
        f'<td class="called">{_time(row.last_progress_timestamp_seconds, now)}</td>'
        f'<td class="updated">{_time(row.last_success_timestamp_seconds, now)}</td>'
        f"</tr>{second}</tbody>\n"
    )


def _other_name(row: CampaignRow) -> str | None:
    """The name that metrics and alerts have for it, or else its id, where that is not what is shown anyway."""
    names = (row.campaign, row.campaign_id)
    return next((name for name in names if name != (row.campaign_name or row.campaign)), None)


def _progress(row: CampaignRow) -> str:
    if row.contacts:
        told = _told(row.contacts, CONTACT_BUCKETS)
        if row.finished_ratio is None:
            words = told
        else:
            finished, total = row.contacts[_COMPLETED] + row.contacts[_EXHAUSTED], sum(row.contacts.values())
            words = f"<b>{_percent(row.finished_ratio)}</b> {finished:,} of {total:,} contacts finished"
        return f"{_bar(row.contacts, _BAR_CONTACTS, f'Contacts: {told}')}<small>{words}</small>"
    if row.calls is not None:
        told = _told({name: number for name, number in row.calls.items() if number}, CALL_OUTCOMES) or "none"
        made = sum(row.calls.values()) if row.calls_made is None else row.calls_made
        picked = row.calls.get("picked")
        share = f", {picked:,} answered" if picked is not None and made else ""
        return f"{_bar(row.calls, _BAR_CALLS, f'Calls: {told}')}<small>{made:,} calls made{share}</small>"
    return _UNTOLD


def _percent(ratio: float) -> str:
    # Neither "100 %" while anything is left, nor "0 %" once anything is done.
    return f"{min(99, max(1, round(100 * ratio))) if 0 < ratio < 1 else round(100 * ratio)} %"


def _told(numbers: Mapping[str, int], order: Sequence[str]) -> str:
    names = [name for name in order if name in numbers] + [name for name in numbers if name not in order]
    return ", ".join(f"{numbers[name]:,} {text(name.replace('_', ' '))}" for name in names)


def _bar(numbers: Mapping[str, int], order: Sequence[str], told: str) -> str:
    """
    Draw shares as a bar; `told` is escaped already.

    Widths are attributes of SVG, since the policy lets no style in that is not in the style sheet.
    """
    total = sum(numbers.values())
    parts = []
    left = 0.0
    for name in (*order, "other"):
        number = (
            numbers.get(name, 0)
            if name != "other"
            else sum(number for known, number in numbers.items() if known not in order)
        )
        if number:
            width = _BAR_WIDTH * number / total
            parts.append(f'<rect class="{name}" x="{left:.2f}" width="{width:.2f}" height="10"/>')
            left += width
    return (
        f'<svg class="bar" viewBox="0 0 {_BAR_WIDTH:.0f} 10" preserveAspectRatio="none" role="img">'
        f"<title>{told}</title>{''.join(parts)}</svg>"
    )


def _calls(row: CampaignRow) -> str:
    calls, limit = row.active_calls, row.concurrency_limit
    if calls is None and limit is None:
        return _UNTOLD
    shown = "?" if calls is None else f"{calls:,}"
    if limit is None:
        return f"<b>{shown}</b><small>in progress</small>"
    in_all = row.account_active_calls
    others = "" if in_all is None or in_all == calls else f"<small>{in_all:,} in all</small>"
    return f"<span><b>{shown}</b> of {limit:,}</span>{_meter(calls or 0, max(calls or 0, in_all or 0), limit)}{others}"


def _meter(own: int, in_all: int, limit: int) -> str:
    """Draw a campaign's calls, and behind them its organization's, against the limit; the text next to it says both."""
    if not limit:
        return ""
    kind = "full" if in_all >= limit else "part"
    rects = "".join(
        f'<rect class="{name}" width="{_BAR_WIDTH * min(1.0, number / limit):.2f}" height="10"/>'
        for name, number in (("others", in_all), (kind, own))
        if number
    )
    box = f'viewBox="0 0 {_BAR_WIDTH:.0f} 10" preserveAspectRatio="none"'
    return f'<svg class="meter" {box} aria-hidden="true">{rects}</svg>'


def _dialing(row: CampaignRow) -> str:
    if row.dialing_expected:
        return "<b>Yes</b>"
    if row.dialing_expected is None:
        why = "hours not known" if row.calling_window_open is None and row.last_success_timestamp_seconds else ""
        return f"{_UNTOLD}<small>{why}</small>" if why else _UNTOLD
    return f"No<small>{_why_not(row)}</small>"


def _why_not(row: CampaignRow) -> str:
    if row.calling_windows == 0:
        return "no calling windows"
    if row.state in (State.PAUSED, State.CLOSED):
        return "switched off"
    if row.work_remaining is False:
        return "no work left"
    zones = [zone for zone, is_open in (row.calling_window_open or {}).items() if not is_open]
    return f"closed in {text(', '.join(zones))}" if len(zones) in (1, 2) else f"closed in {len(zones)} time zones"


def _time(moment: float | None, now: float) -> str:
    if moment is None:
        return "<small>never</small>"
    written = datetime.fromtimestamp(moment, UTC)
    return (
        f'<time datetime="{written:%Y-%m-%dT%H:%M:%SZ}" title="{written:%Y-%m-%d %H:%M:%S} UTC">'
        f"{age(now - moment)}</time>"
    )


def _advice(row: CampaignRow, frame: Frame) -> str:
    if row.advice is None:
        return ""
    runbook = ""
    if row.alert in frame.runbooks:
        name = text(row.campaign_name or row.campaign)
        runbook = f' <a href="/runbooks/{row.alert}">Runbook<span class="unseen"> for {name}</span></a>'
    said = ""
    if row.error:
        message = f": {text(row.error_message)}" if row.error_message else ""
        said = f'<span class="said"><code>{text(row.error)}</code><bdi>{message}</bdi></span>'
    # What is to be typed or found as it stands is in backticks.
    words = _CODE.sub(r"<code>\1</code>", text(row.advice))
    return f"{words}{runbook} {said}"


def _legend(rows: Sequence[CampaignRow]) -> str:
    groups = []
    for title, order, there in (
        ("Contacts", _BAR_CONTACTS, any(row.contacts for row in rows)),
        ("Calls", _BAR_CALLS, any(row.calls for row in rows)),
    ):
        if there:
            items = "".join(f'<dd><i class="{name}"></i>{name.replace("_", " ")}</dd>' for name in order)
            groups.append(f"<dl><dt>{title}</dt>{items}</dl>")
    return f'<div class="legend">{"".join(groups)}</div>'


def _paging(listing: Listing) -> str:
    view, pages = listing.view, listing.pages
    if pages == 1:
        return ""
    links = [
        ("First", 1, view.page > 1),
        ("Previous", view.page - 1, view.page > 1),
        ("Next", view.page + 1, view.page < pages),
        ("Last", pages, view.page < pages),
    ]
    items = [
        f'<li data-key="{title}">'
        + (
            f'<a href="{text(replace(view, page=page).address)}" data-nav>{title}</a>'
            if possible
            else f'<span class="off">{title}</span>'
        )
        + "</li>"
        for title, page, possible in links
    ]
    items.insert(2, f'<li data-key="here">Page {view.page:,} of {pages:,}</li>')
    return f'<nav class="paging" aria-label="Pages"><ul>{"".join(items)}</ul></nav>'


def _foot(frame: Frame) -> str:
    runbooks = "".join(f'<li><a href="/runbooks/{name}">{name}</a></li>' for name in sorted(frame.runbooks))
    books = f"<details><summary>Runbooks</summary><ul>{runbooks}</ul></details>" if runbooks else ""
    return f"<footer><p>campaign-exporter · Version {text(frame.version)}</p>{books}</footer>\n</body>\n</html>\n"


_UNTOLD = '<span class="untold">\N{EN DASH}<span class="unseen"> not known</span></span>'
