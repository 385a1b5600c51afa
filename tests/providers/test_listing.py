import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.providers.errors import InvalidResponseError
from exporter.providers.listing import PAGE_SIZE, Listing
from tests.providers.payloads import json_values


def campaigns(first: int, last: int) -> list[dict[str, object]]:
    return [
        {"id": f"c{i}", "name": f"June {i}", "created_at": f"2026-06-01T00:00:00.{i:06d}Z"} for i in range(first, last)
    ]


def made_cursor(page: list[dict[str, object]]) -> str:
    return base64.b64encode(str(page[-1]["created_at"]).encode()).decode()


def walk(*pages: object, max_campaigns: int = 10_000) -> Listing:
    """Let a listing take the pages; it must want all of them."""
    listing = Listing(max_campaigns=max_campaigns)
    for page in pages:
        assert not listing.ended
        listing.take(page)
    return listing


def walk_on(*pages: object) -> Listing:
    """Let a listing take the pages, and the last one again for as long as it asks."""
    listing = walk(*pages)
    for _ in range(5):
        if not listing.ended:
            listing.take(pages[-1])
    assert listing.ended
    return listing


def with_total(said: dict[str, Any], total: int) -> dict[str, Any]:
    """Put the number where it says True for a total."""
    return {
        key: with_total(value, total)
        if isinstance(value, dict)
        else total
        if key.startswith("total") and value is True
        else value
        for key, value in said.items()
    }


class TestListing:
    def test_the_first_query_has_the_filters(self) -> None:
        listing = Listing(statuses=["active", "paused"], name_contains="june & july", max_campaigns=10)

        assert listing.query() == f"status=active&status=paused&name=june+%26+july&limit={PAGE_SIZE}"

    @pytest.mark.parametrize("page", [[], campaigns(0, 3)], ids=["empty", "repeated"])
    def test_an_array_ends_with_a_page_that_is_empty_or_repeated(self, page: list[object]) -> None:
        listing = walk(campaigns(0, 3))
        assert not listing.ended
        listing.take(page)

        assert listing.ended
        assert listing.complete
        assert [record.id for record in listing.campaigns] == ["c0", "c1", "c2"]

    def test_pages_that_the_server_makes_smaller_are_all_asked_for(self) -> None:
        listing = walk(campaigns(0, 25), campaigns(25, 50), campaigns(50, 60))
        assert not listing.ended
        listing.take([])

        assert listing.complete
        assert len(listing.campaigns) == 60

    def test_the_cursor_after_an_array_is_the_base64_of_the_last_creation_time(self) -> None:
        page = campaigns(0, PAGE_SIZE)
        listing = walk(page)

        cursor = made_cursor(page).replace("=", "%3D")
        assert not listing.ended
        assert listing.query() == f"limit={PAGE_SIZE}&cursor={cursor}"

        listing.take(campaigns(PAGE_SIZE, PAGE_SIZE + 5))
        listing.take([])

        assert listing.complete
        assert len(listing.campaigns) == PAGE_SIZE + 5

    def test_it_is_not_held_against_a_server_that_there_was_no_such_page(self) -> None:
        assert walk(campaigns(0, 50), campaigns(0, 50)).complete
        refused = walk(campaigns(0, 50))
        assert refused.refused()
        assert refused.complete

    def test_an_empty_page_ends_the_list(self) -> None:
        assert walk([]).complete
        assert walk(campaigns(0, PAGE_SIZE), []).complete
        assert walk({"campaigns": []}).complete

    @pytest.mark.parametrize("key", ["campaigns", "items", "data", "results", "whatever"])
    def test_an_object_may_hold_the_array_under_any_likely_key(self, key: str) -> None:
        assert len(walk({key: campaigns(0, 3), "count": 3}, {key: []}).campaigns) == 3

    @pytest.mark.parametrize("key", ["next_cursor", "nextCursor", "next_page_token"])
    @pytest.mark.parametrize("place", [None, "meta", "pagination"])
    def test_a_named_cursor_is_followed_until_there_is_none(self, key: str, place: str | None) -> None:
        def page(first: int, last: int, cursor: str | None) -> dict[str, object]:
            named = {key: cursor}
            return {"campaigns": campaigns(first, last), **({place: named} if place else named)}

        listing = walk(page(0, 2, "a/b"))
        assert listing.query() == f"limit={PAGE_SIZE}&cursor=a%2Fb"
        listing.take(page(2, 3, None))

        assert listing.complete
        assert len(listing.campaigns) == 3

    def test_a_full_page_with_a_named_end_is_the_last(self) -> None:
        assert walk({"items": campaigns(0, PAGE_SIZE), "next_cursor": None}).complete

    @pytest.mark.parametrize(
        "pages",
        [
            [{"items": campaigns(0, 2), "next_cursor": "a"}, {"items": campaigns(2, 4), "next_cursor": "a"}],
            [{"items": campaigns(0, 2), "next_cursor": "a"}, {"items": campaigns(0, 2), "next_cursor": "b"}],
            [campaigns(0, PAGE_SIZE), campaigns(0, PAGE_SIZE)],
            [[{"id": f"c{i}"} for i in range(PAGE_SIZE)]],
            [[{"name": "no id"}]],
            [{"items": [{"id": "a"}], "has_more": True}],
            [{"items": [{"id": "a"}], "next_cursor": None, "next": "/campaign/campaigns?page=2"}],
        ],
        ids=["repeated cursor", "nothing new", "cursor ignored", "no creation time", "no ids", "more", "next"],
    )
    def test_a_walk_that_cannot_be_finished_is_incomplete_and_says_why(self, pages: list[object]) -> None:
        listing = walk_on(*pages)

        assert not listing.complete
        assert listing.problem

    @pytest.mark.parametrize("size", [3, 25, PAGE_SIZE])
    @pytest.mark.parametrize(
        "end",
        [
            {"has_more": False},
            {"hasMore": False},
            {"has_next": False},
            {"next": None},
            {"next": ""},
            {"next_cursor": None},
            {"meta": {"has_more": False}},
            {"links": {"next": None}},
            {"total": True, "limit": 100, "offset": 0},
            {"meta": {"total_count": True}},
            {"page": 1, "total_pages": 1},
            {"meta": {"current_page": 1, "total_pages": 1}},
        ],
        ids=str,
    )
    def test_a_page_that_says_that_it_is_the_last_completes_the_list(self, size: int, end: dict[str, Any]) -> None:
        assert walk({"campaigns": campaigns(0, size), **with_total(end, size)}).complete

    @pytest.mark.parametrize(
        "more",
        [
            {"has_more": True},
            {"hasMore": True},
            {"next": "/campaign/campaigns?page=2"},
            {"links": {"next": "/campaign/campaigns?cursor=x"}},
            {"total": 60, "limit": 50, "offset": 0},
            {"total": "60"},
            {"pagination": {"totalCount": 60}},
            {"page": 1, "total_pages": 2},
            {"meta": {"current_page": 1, "total_pages": 2}},
            {"has_more": False, "total": 60},
            {"next_cursor": None, "has_more": True},
        ],
        ids=str,
    )
    def test_a_page_that_says_that_there_are_more_is_not_the_last(self, more: dict[str, Any]) -> None:
        first = {"campaigns": campaigns(0, 50), **more}
        assert not walk(first).ended
        assert not walk_on(first).complete
        assert not walk_on(first, {"campaigns": [], **more}).complete

    @pytest.mark.parametrize(
        ("said", "parameter"),
        [
            ({"total": 60, "limit": 50, "offset": 0}, "offset=50"),
            ({"meta": {"total": 60, "offset": 0}}, "offset=50"),
            ({"page": 1, "total_pages": 2}, "page=2"),
            ({"meta": {"current_page": 1, "total_pages": 2, "total_count": 60}}, "page=2"),
            ({"next": "https://api.anyreach.ai/campaign/campaigns?status=active&page=2"}, "page=2"),
            ({"next": "?cursor=abc%3D", "has_more": True}, "cursor=abc%3D"),
        ],
        ids=str,
    )
    def test_the_next_page_is_asked_for_where_the_answer_says(self, said: dict[str, Any], parameter: str) -> None:
        listing = walk({"campaigns": campaigns(0, 50), **said})
        assert listing.query() == f"limit={PAGE_SIZE}&{parameter}"
        listing.take({"campaigns": campaigns(50, 60), "total": 60})

        assert listing.complete
        assert len(listing.campaigns) == 60

    def test_offset_is_tried_where_the_cursor_is_ignored(self) -> None:
        first = {"campaigns": campaigns(0, 50), "total": 60}
        listing = walk(first)
        assert "cursor=" in listing.query()
        listing.take(first)
        assert listing.query() == f"limit={PAGE_SIZE}&offset=50"
        listing.take({"campaigns": campaigns(50, 60), "total": 60})

        assert listing.complete
        assert len(listing.campaigns) == 60

    @pytest.mark.parametrize("said", [{"total": 3}, {"has_more": True}, {"meta": {"total_pages": 2}}], ids=str)
    def test_an_empty_list_that_says_that_there_are_campaigns_is_incomplete(self, said: dict[str, Any]) -> None:
        assert not walk_on({"campaigns": [], **said}).complete

    def test_the_list_that_is_not_there_is_no_guess(self) -> None:
        assert not Listing(max_campaigns=10).refused(not_found=True)
        later = walk(campaigns(0, 3))
        assert later.refused(not_found=True)
        assert later.complete

    def test_more_campaigns_than_wanted_make_it_incomplete(self) -> None:
        listing = walk(campaigns(0, 5), max_campaigns=3)

        assert not listing.complete
        assert len(listing.campaigns) == 3
        assert walk(campaigns(0, 3), [], max_campaigns=3).complete

    def test_pages_without_end_are_cut_off(self) -> None:
        listing = Listing(max_campaigns=1_000_000)
        page = 0
        while not listing.ended:
            listing.take({"items": [{"id": f"c{page}"}], "next_cursor": f"after-{page}"})
            page += 1

        assert page == 1_000
        assert not listing.complete

    def test_a_campaign_on_two_pages_is_found_once(self) -> None:
        listing = walk({"items": campaigns(0, 3), "next_cursor": "a"}, {"items": campaigns(2, 5), "next_cursor": None})

        assert [record.id for record in listing.campaigns] == ["c0", "c1", "c2", "c3", "c4"]

    def test_the_filters_hold_even_where_the_server_ignores_them(self) -> None:
        listing = Listing(statuses=["active"], name_contains="JUNE", max_campaigns=10)
        listing.take(
            [
                {"id": "a", "status": "active", "name": "june renewals"},
                {"id": "b", "status": "closed", "name": "june sales"},
                {"id": "c", "status": "active", "name": "july"},
                {"id": "d"},
            ]
        )
        listing.take([])

        assert [record.id for record in listing.campaigns] == ["a", "d"]
        assert listing.complete

    @pytest.mark.parametrize("payload", [None, 5, "x", {}, {"campaigns": None}, {"detail": "no"}])
    def test_what_holds_no_list_is_invalid_and_leaves_the_walk_as_it_was(self, payload: object) -> None:
        listing = Listing(max_campaigns=10)

        with pytest.raises(InvalidResponseError):
            listing.take(payload)

        assert not listing.ended
        assert listing.campaigns == []

    @given(st.lists(json_values, max_size=4))
    def test_no_pages_make_it_fail_otherwise(self, pages: list[Any]) -> None:
        listing = Listing(statuses=["active"], name_contains="a", max_campaigns=5)
        for page in pages:
            if listing.ended:
                break
            try:
                listing.take(page)
            except InvalidResponseError:
                continue
            assert isinstance(listing.query(), str)
