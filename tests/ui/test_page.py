"""The page as it is written, and as it is answered over HTTP."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from yarl import URL

from exporter.campaign.standing import Standing
from exporter.ui import page
from exporter.ui.page import Pages, View, age, hashed
from exporter.ui.rows import AccountRow, CampaignRow
from tests.made_up import CALLING, OSVI, WALL, WORKING, MadeUp, behind_proxy, crowd, serving_frontend

AROUND: dict[str, Any] = {
    "version": "1.2.3<",
    "links": {"Metrics": "probe?a=1&b=2"},
    "runbooks": ["CampaignStalled"],
    "assets": {"icon.svg": "static/icon.0.svg", "page.css": "static/page.0.css", "page.js": "static/page.0.js"},
}
PAGES = Pages(**AROUND)

LINE = AccountRow(
    provider="anyreach",
    account="acme",
    campaigns=1,
    state=None,
    advice=None,
    alert=None,
    error=None,
    error_message=None,
    active_calls=10,
    concurrency_limit=10,
    utilization_ratio=0.83,
    contacts_waiting=310,
)

ROW = CampaignRow(
    provider="anyreach",
    account="acme",
    campaign="june",
    campaign_id="6c6f",
    campaign_name="June renewals",
    labels={"team": "renewals"},
    state=Standing.STALLED,
    status="active",
    advice="Look at `token_file`.",
    alert="CampaignStalled",
    error=None,
    error_message=None,
    contacts={"pending": 310, "in_progress": 8, "completed": 902, "exhausted": 20},
    contacts_loaded=1240,
    finished_ratio=922 / 1240,
    attempts=1730,
    active_calls=8,
    account_active_calls=10,
    concurrency_limit=10,
    account_utilization_ratio=0.83,
    calls=None,
    calls_made=None,
    work_remaining=True,
    calling_window_open={"Asia/Kolkata": True},
    calling_windows=1,
    dialing_expected=True,
    dialing_expected_since_timestamp_seconds=WALL,
    last_progress_timestamp_seconds=WALL - 7500,
    silent_since_timestamp_seconds=WALL - 7500,
    last_success_timestamp_seconds=WALL - 12,
    poll_interval_seconds=15.0,
    stale_after_seconds=60.0,
    stall_after_seconds=3600.0,
)


def selected(*rows: CampaignRow, **known: Any) -> dict[str, Any]:
    described: dict[str, Any] = {
        "view": View(),
        "rows": rows,
        "pages": 1,
        "matching": len(rows),
        "total": len(rows),
        "counts": {row.state: 1 for row in rows},
        "account_rows": {"acme": LINE},
        "providers": ["anyreach"],
        "accounts": ["acme"],
    }
    return described | known


def written(*rows: CampaignRow, **known: Any) -> str:
    return "".join(PAGES.render("wall.html", root="./", now=WALL, **selected(*rows, **known)))


class Cells(HTMLParser):
    """The text of each cell, by its class."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.cells: dict[str, str] = {}
        self._open = ""
        self.feed(document[document.index("<tbody") :])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("td", "th"):
            self._open = dict(attrs)["class"] or ""
            self.cells[self._open] = ""

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open:
            self.cells[self._open] += f" {data}"


def cells(row: CampaignRow) -> dict[str, str]:
    return {name: " ".join(words.split()) for name, words in Cells(written(row)).cells.items()}


class TestRow:
    def test_it_shows_all_columns_of_a_campaign(self) -> None:
        assert cells(ROW) == {
            "attention": "Stalled active",
            "campaign": "June renewals june",
            "account": "acme anyreach",
            "progress": "Contacts: 310 pending, 8 in progress, 902 completed, 20 exhausted "
            "74 % 922 of 1,240 contacts finished",
            "calls": "8 of 10 organization: 10 of 10",
            "dialing": "Yes",
            "called": "2 h ago",
            "updated": "12 s ago",
            "advice": "Look at token_file . Runbook for June renewals",
        }

    def test_what_is_not_known_is_no_number(self) -> None:
        bare = replace(
            ROW,
            contacts=None,
            finished_ratio=None,
            active_calls=None,
            concurrency_limit=None,
            dialing_expected=None,
            calling_window_open=None,
            last_progress_timestamp_seconds=None,
            silent_since_timestamp_seconds=None,
            last_success_timestamp_seconds=None,
            status=None,
            advice=None,
        )

        assert cells(bare) == {
            "attention": "Stalled",
            "campaign": "June renewals june",
            "account": "acme anyreach",
            "progress": "– not known",  # noqa: RUF001 -- the dash that is shown
            "calls": "– not known",  # noqa: RUF001 -- the dash that is shown
            "dialing": "– not known",  # noqa: RUF001 -- the dash that is shown
            "called": "none seen",
            "updated": "never",
        }

    def test_before_any_progress_it_says_since_when_there_is_none(self) -> None:
        row = replace(ROW, last_progress_timestamp_seconds=None, silent_since_timestamp_seconds=WALL - 12)

        assert cells(row)["called"] == "none since the first poll, 12 s ago"

    def test_a_failed_poll_is_shown_while_the_last_values_are(self) -> None:
        failed = replace(ROW, error="unauthorized", error_message="HTTP 401")

        assert cells(failed)["attention"] == "Stalled active last poll failed"
        assert cells(replace(failed, state=Standing.FAILING))["attention"] == "Failing active"

    def test_calls_are_shown_by_outcome(self) -> None:
        calls = {"picked": 88, "not_picked": 25, "failed": 7, "busy": 0, "voicemail": 0, "transferred": 2}
        row = replace(ROW, contacts=None, calls=calls, calls_made=122, active_calls=2, concurrency_limit=None)

        assert cells(row)["progress"] == (
            "Calls: 88 picked, 25 not picked, 7 failed, 2 transferred 122 calls made, 88 answered"
        )
        assert cells(row)["calls"] == "2 in progress"

    def test_an_empty_campaign_has_no_contacts(self) -> None:
        row = replace(ROW, contacts=dict.fromkeys(ROW.contacts or {}, 0), contacts_loaded=0, finished_ratio=None)

        assert cells(row)["progress"] == "no contacts"

    @pytest.mark.parametrize("changed", [{"campaign": "."}, {"campaign": ".."}, {"account": ".."}])
    def test_a_name_that_no_path_can_hold_is_no_link(self, changed: dict[str, Any]) -> None:
        line = replace(LINE, account=changed.get("account", "acme"))
        shown = written(replace(ROW, **changed), account_rows={line.account: line})

        assert '<bdi title="6c6f">June renewals</bdi>' in shown
        assert '<a href="./campaigns' not in shown

    @pytest.mark.parametrize(
        ("changed", "words"),
        [
            ({"calling_windows": 0}, "No no calling windows"),
            ({"state": Standing.PAUSED}, "No switched off"),
            ({"work_remaining": False}, "No no work left"),
            ({"calling_window_open": {"Asia/Kolkata": False}}, "No closed in Asia/Kolkata"),
            ({"calling_window_open": dict.fromkeys("abc", False)}, "No closed in 3 time zones"),
        ],
    )
    def test_it_says_why_it_need_not_dial(self, changed: dict[str, Any], words: str) -> None:
        assert cells(replace(ROW, dialing_expected=False, **changed))["dialing"] == words

    def test_unknown_hours_are_named(self) -> None:
        row = replace(ROW, dialing_expected=None, calling_window_open=None)

        assert cells(row)["dialing"] == "– not known hours not known"  # noqa: RUF001 -- the dash that is shown

    def test_an_error_is_shown_with_what_to_do(self) -> None:
        row = replace(ROW, error="timeout", error_message="no answer", alert="CampaignPollsFailing")

        assert cells(row)["advice"] == "Look at token_file . timeout : no answer"

    @pytest.mark.parametrize(("ratio", "words"), [(0, "0 %"), (0.001, "<1 %"), (0.999, ">99 %"), (1, "100 %")])
    def test_a_share_is_neither_0_nor_100_percent_before_it_is(self, ratio: float, words: str) -> None:
        assert cells(replace(ROW, finished_ratio=ratio))["progress"].split("exhausted ")[1].startswith(words)

    def test_the_bar_shows_shares_of_the_whole(self) -> None:
        document = written(replace(ROW, contacts={"completed": 50, "exhausted": 25, "odd": 25}, finished_ratio=0.75))

        assert re.findall(r'<rect class="(\w+)" x="([\d.]+)" width="([\d.]+)" height="10"/>', document) == [
            ("completed", "0.00", "100.00"),
            ("exhausted", "100.00", "50.00"),
            ("other", "150.00", "50.00"),
        ]

    def test_a_limit_of_0_has_no_meter(self) -> None:
        assert '<svg class="meter"' not in written(
            replace(ROW, concurrency_limit=0), account_rows={"acme": replace(LINE, concurrency_limit=0)}
        )

    def test_a_time_is_written_out_too(self) -> None:
        assert '<time datetime="2026-05-28T20:26:28Z" title="2026-05-28 20:26:28 UTC">12 s ago</time>' in written(ROW)


HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</title></textarea></svg><script>",
    "a\0b\x1b[31m\x85",
    "\u202egnp.exe\u2066\u200f",
    "\ud800\uffff",
    "&lt;b&gt; &amp;",
]


def strewn(foreign: str) -> str:
    """A page with this text in all places that hold text of others."""
    row = replace(
        ROW,
        provider=foreign,
        account=foreign,
        campaign=foreign,
        campaign_id=foreign,
        campaign_name=foreign + "x",
        status=foreign,
        advice=foreign,
        error="timeout",
        error_message=foreign,
        labels={foreign: foreign},
        contacts={"completed": 1, "exhausted": 1, foreign: 3},
        calling_window_open={foreign: False},
        dialing_expected=False,
    )
    return written(
        row,
        replace(row, contacts=None, calls={foreign: 3}),
        view=View(foreign, foreign, foreign, foreign),
        account_rows={
            foreign: replace(
                LINE, account=foreign, provider=foreign, error_message=foreign, state=Standing.FAILING, error="tls"
            )
        },
        providers=[foreign],
        accounts=[foreign],
        pages=10,
    )


class TestForeignText:
    @pytest.mark.parametrize("foreign", HOSTILE)
    def test_it_is_never_more_than_text_wherever_it_stands(self, foreign: str) -> None:
        document = strewn(foreign)

        assert tags_of(document) == tags_of(strewn("plain"))
        assert not re.search("[\0\x1b\x85\u202e\u2066\u200f\ud800\uffff]", document)

    def test_what_is_in_backticks_is_escaped_too(self) -> None:
        assert "<code>&lt;b&gt;</code>" in written(replace(ROW, advice="`<b>`"))

    @settings(deadline=None)
    @given(st.text(st.characters(exclude_characters="`"), max_size=50))
    def test_no_text_breaks_out_or_turns_its_surroundings(self, foreign: str) -> None:
        document = strewn(f"x{foreign}")

        document.encode()
        assert tags_of(document) == tags_of(strewn("plain"))
        assert not set(document) & set("\0\u202e\u2066")


def tags_of(document: str) -> list[tuple[str, list[str]]]:
    """Elements and the names of their attributes."""
    found = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.append((tag, [name for name, _ in attrs]))

    Tags().feed(document)
    return found


class TestAddress:
    @pytest.mark.parametrize(
        ("asked", "view"),
        [
            ({}, View()),
            ({"q": " june ", "state": "stalled"}, View("june", "", "", "stalled")),
            ({"sort": "-progress", "page": "3"}, View(sort="-progress", page=3)),
            ({"sort": "-nothing", "page": "0"}, View()),
            ({"sort": "-", "page": "-1", "other": "x"}, View()),
            ({"page": "99999999999999999999"}, View()),
            ({"page": "٣"}, View()),
            ({"q": "a " * 4000}, View(" ".join("a" * 20), cut=True)),
            ({"q": "a" * 201, "account": "b" * 501}, View("a" * 200, "", "b" * 500, cut=True)),
            ({"q": " ".join("a" * 20)}, View(" ".join("a" * 20))),
        ],
    )
    def test_an_odd_parameter_counts_as_missing(self, asked: dict[str, str], view: View) -> None:
        assert View.parse(asked) == view

    @pytest.mark.parametrize(
        "view",
        [
            View(),
            View('a&b="ü', "osvi", "x y", "stalled", "-calls", 7),
            View(sort="-attention"),
        ],
    )
    def test_an_address_leads_back_to_its_view(self, view: View) -> None:
        assert View.parse(dict(URL(f"./{view.query(page=view.page)}").query)) == view


class TestAround:
    def test_one_column_says_that_it_is_sorted_by(self) -> None:
        document = written(ROW, view=View("a", sort="-calls"))

        assert re.findall(r'class="(\w+)" aria-sort="(\w+)"><a href="([^"]+)"', document) == [
            ("calls", "descending", "./?q=a&amp;sort=calls")
        ]
        assert '<input type="hidden" name="sort" value="-calls">' in document

    def test_states_link_to_their_campaigns_and_the_chosen_one_back_to_all(self) -> None:
        view = View(q="a", state="stalled", page=1)
        document = written(ROW, view=view, counts={Standing.STALLED: 2, Standing.CLOSED: 1200})

        assert '<a href="./?q=a" data-nav aria-current="true" class="bad"' in document
        assert '<a href="./?q=a&amp;state=closed" data-nav class="idle"' in document
        assert "<b>1,200</b> Closed" in document

    def test_pages_are_links(self) -> None:
        first = written(ROW, pages=3)
        last = written(ROW, pages=3, view=View(page=3))

        assert "Page 1 of 3" in first
        assert '<span class="off">Previous</span>' in first
        assert '<a href="./?page=2" data-nav>Next</a>' in first
        assert '<span class="off">Next</span>' in last
        assert '<a href="./?page=2" data-nav>Previous</a>' in last

    def test_one_page_has_no_links_to_others(self) -> None:
        assert 'class="paging"' not in written(ROW)

    def test_no_match_and_no_campaign_have_different_words(self) -> None:
        assert "No campaign matches" in written(matching=0, total=3)
        assert "none is configured" in written()
        assert "0 of 3 campaigns" in written(matching=0, total=3)

    def test_it_links_to_what_else_there_is(self) -> None:
        document = written(ROW)

        assert '<a href="./probe?a=1&amp;b=2">Metrics</a>' in document
        assert '<a href="./runbooks/CampaignStalled">CampaignStalled</a>' in document
        assert "Version 1.2.3&lt;" in document

    def test_the_chosen_filter_is_offered_though_nothing_has_it_any_more(self) -> None:
        assert '<option value="gone" selected>gone</option>' in written(view=View(account="gone"), total=1)

    def test_nothing_needs_a_style_or_script_inside_the_page(self) -> None:
        document = written(ROW)

        assert not re.search(
            r"<style|\sstyle=|\son\w+=|javascript:|<script(?! type=\"module\" src=\"./static/)", document
        )
        assert "http" not in document.replace("https://", "http").replace("<!DOCTYPE html>", "")


def etag(shown: dict[str, Any], **changed: Any) -> str:
    return Pages(**AROUND | changed).etag(shown)


class TestTag:
    def test_time_alone_changes_nothing(self) -> None:
        assert etag(selected(ROW)) == etag(selected(replace(ROW)))

    @pytest.mark.parametrize(
        "other",
        [
            selected(replace(ROW, last_success_timestamp_seconds=WALL)),
            selected(replace(ROW, campaign_name="July")),
            selected(ROW, view=View(page=2)),
            selected(ROW, total=2),
            selected(ROW, accounts=["acme", "b"]),
            selected(ROW, account_rows={"acme": replace(LINE, active_calls=9)}),
        ],
    )
    def test_whatever_is_shown_changes_it(self, other: dict[str, Any]) -> None:
        assert etag(other) != etag(selected(ROW))

    def test_another_version_changes_it(self) -> None:
        assert etag(selected(ROW), version="2") != etag(selected(ROW))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-3, "0 s ago"),
        (0.9, "0 s ago"),
        (59.9, "59 s ago"),
        (60, "1 min ago"),
        (7199, "119 min ago"),
        (7200, "2 h ago"),
        (172799, "47 h ago"),
        (172800, "2 d ago"),
    ],
)
def test_ages_are_rounded(seconds: float, words: str) -> None:
    assert age(seconds) == words


def test_the_name_of_a_file_changes_with_its_content() -> None:
    assert re.fullmatch(r"page\.[0-9a-f]{16}\.css", hashed("page.css", b"a"))
    assert hashed("page.css", b"a") != hashed("page.css", b"b")


@asynccontextmanager
async def client(made: MadeUp) -> AsyncIterator[aiohttp.ClientSession]:
    async with serving_frontend(made.overview) as address, aiohttp.ClientSession(address) as session:
        yield session


class TestOverHttp:
    async def test_the_page_comes_with_a_strict_policy(self) -> None:
        async with client(crowd(3)) as session, session.get("/") as answer:
            body = await answer.text()

        assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self';")
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["Cache-Control"] == "no-cache"
        assert body.count("<tbody") == 3

    async def test_an_unchanged_page_is_not_sent_again_and_a_changed_one_is(self) -> None:
        made = crowd(3)
        async with client(made) as session:
            async with session.get("/") as first:
                tag = {"If-None-Match": first.headers["ETag"]}
            made.clock.now += 2
            async with session.get("/", headers=tag) as again:
                body = await again.read()
            made.accounts[0].says(made.accounts[0].campaigns[0], **WORKING)
            made.clock.now += 2
            async with session.get("/", headers=tag) as changed:
                await changed.read()

        assert (again.status, body, again.headers["ETag"]) == (304, b"", first.headers["ETag"])
        assert "Content-Security-Policy" in again.headers
        assert changed.status == 200

    async def test_a_browser_gets_it_compressed(self) -> None:
        async with client(crowd(50)) as session:
            async with session.get("/", headers={"Accept-Encoding": "gzip"}) as small:
                assert small.headers["Content-Encoding"] == "gzip"
                document = await small.text()
            async with session.get("/", headers={"Accept-Encoding": "identity"}) as plain:
                assert "Content-Encoding" not in plain.headers
                assert await plain.text() == document
        assert int(small.headers["Content-Length"]) < int(plain.headers["Content-Length"]) / 4

    async def test_pages_sorting_and_filters_work_without_a_script(self) -> None:
        async with client(crowd(450)) as session:
            names = []
            for number in (1, 2, 3, 4, 5):
                async with session.get("/", params={"sort": "-campaign", "page": str(number)}) as answer:
                    names += re.findall(r'class="campaign"><bdi title="[^"]*"><a [^>]*>([^<]+)', await answer.text())
            async with session.get("/", params={"provider": "osvi", "state": "dialing"}) as answer:
                filtered = await answer.text()
            async with session.get("/", params={"page": "99"}) as answer:
                past = await answer.text()

        assert len(names) == len(set(names)) == 450
        assert names == sorted(names, key=str.casefold, reverse=True)
        assert set(re.findall(r'class="account"><bdi>([^<]+)</bdi><small>(\w+)', filtered)) == {("account-d", "osvi")}
        assert re.findall(r'<option value="(\w+)"( selected)?>\1</option>', filtered)[:2] == [
            ("anyreach", ""),
            ("osvi", " selected"),
        ]
        assert "Page 5 of 5" in past

    async def test_files_are_kept_for_ever_under_the_hash_of_their_content(self) -> None:
        async with client(crowd(1)) as session:
            async with session.get("/") as answer:
                paths = set(re.findall(r'(?:src|href)="[.](/static/[^"]+)"', await answer.text()))
            kinds = {}
            for path in paths:
                async with session.get(path) as file:
                    kinds[path.rpartition(".")[2]] = file.headers["Content-Type"]
                    assert file.headers["Cache-Control"] == "public, max-age=31536000, immutable"
                    tag = {"If-None-Match": file.headers["ETag"]}
                async with session.get(path, headers=tag) as again:
                    assert again.status == 304
            async with session.get("/static/page.js") as unhashed:
                assert unhashed.status == 404

        assert kinds == {
            "css": "text/css; charset=utf-8",
            "js": "text/javascript; charset=utf-8",
            "svg": "image/svg+xml; charset=utf-8",
        }

    async def test_no_campaigns_are_no_error(self) -> None:
        async with client(MadeUp()) as session, session.get("/?q=x") as answer:
            assert answer.status == 200
            assert "none is configured" in await answer.text()

    async def test_numbers_that_are_no_counts_any_more_are_no_error(self) -> None:
        made = MadeUp()
        anyreach, osvi = made.account("acme"), made.account("in", OSVI)
        contacts = dict.fromkeys(WORKING["contacts"], 1.7e308)
        odd = dict.fromkeys(("contacts_loaded", "attempts", "active_calls", "concurrency_limit"), 1.7e308)
        anyreach.says(anyreach.add("june"), **WORKING | odd | {"contacts": contacts})
        calls = dict.fromkeys(CALLING["calls"], 1.7e308)
        queues = {("agent", "open"): 1.7e308}
        osvi.says(
            osvi.add("7"), **CALLING | {"calls": calls, "calls_made": None, "queues": queues, "queued_contacts": queues}
        )
        async with client(made) as session:
            for path in (
                "/",
                "/?sort=progress",
                "/?sort=calls",
                "/campaigns/anyreach/acme/june",
                "/campaigns/osvi/in/7",
            ):
                async with session.get(path) as answer:
                    assert answer.status == 200, path

    async def test_a_search_of_thousands_of_words_is_cut_and_the_page_says_so(self) -> None:
        async with client(crowd(3)) as session, session.get("/", params={"q": "a " * 2000}) as answer:
            body = await answer.text()

        assert "Only the first 20 words and 200 characters of the search are used." in body
        assert len(body) < 20_000

    async def test_odd_addresses_are_no_error(self) -> None:
        made = MadeUp()
        made.account("acme", OSVI).add("june")
        async with client(made) as session:
            for query in ("?q=%00%ff%ed%a0%80", "?page=%F0%9F%98%80", "?state=nothing&sort=%3Cscript%3E", "?q&q=b&&=="):
                async with session.get(URL(f"/{query}", encoded=True)) as answer:
                    assert answer.status == 200
                    assert "<script>" not in await answer.text()


class TestBehindAProxy:
    async def test_every_link_stays_under_the_path_of_the_proxy(self) -> None:
        async with (
            serving_frontend(crowd(250).overview) as address,
            behind_proxy(address) as proxied,
            aiohttp.ClientSession() as session,
        ):
            seen: dict[str, int] = {}
            waiting = [f"{proxied}/"]
            while waiting and len(seen) < 60:
                page = waiting.pop()
                async with session.get(page) as answer:
                    seen[page] = answer.status
                    if answer.content_type != "text/html":
                        continue
                    document = await answer.text()
                for link in re.findall(r'(?:href|src|action)="([^"#]*)"', document):
                    linked = urljoin(page, unescape(link)).partition("#")[0]
                    assert linked.startswith(f"{proxied}/"), (page, link)
                    if linked not in seen and linked not in waiting:
                        waiting.insert(0, linked)

        assert len(seen) > 20
        assert any("/campaigns/" in page and "/api/" not in page for page in seen)
        bad = {page: status for page, status in seen.items() if status != 200 and not page.endswith("/metrics")}
        assert bad == {}

    async def test_the_description_names_the_server_relative_to_itself(self) -> None:
        async with client(crowd(1)) as session, session.get("/api/v1/openapi.json") as answer:
            (server,) = (await answer.json())["servers"]

        assert urljoin("https://example.com/calls/api/v1/openapi.json", server["url"]) == "https://example.com/calls/"


def test_the_files_name_no_other_host() -> None:
    for name, content in page.read_assets().items():
        assert not re.search(r"//[\w.-]+\.\w", content.decode().replace("http://www.w3.org/2000/svg", "")), name


def test_the_files_are_those_of_the_package() -> None:
    folder = Path(page.__file__).parent / "static"

    assert page.read_assets().keys() == {"icon.svg", "page.css", "page.js"} == {file.name for file in folder.iterdir()}
