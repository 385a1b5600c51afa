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


class TestListing:
    def test_the_first_query_has_the_filters(self) -> None:
        listing = Listing(statuses=["active", "paused"], name_contains="june & july", max_campaigns=10)

        assert listing.query() == f"status=active&status=paused&name=june+%26+july&limit={PAGE_SIZE}"

    def test_a_short_array_is_the_whole_list(self) -> None:
        listing = walk(campaigns(0, 3))

        assert listing.ended
        assert listing.complete
        assert [record.id for record in listing.campaigns] == ["c0", "c1", "c2"]

    def test_after_a_full_array_the_cursor_is_the_base64_of_the_last_creation_time(self) -> None:
        page = campaigns(0, PAGE_SIZE)
        listing = walk(page)

        cursor = made_cursor(page).replace("=", "%3D")
        assert not listing.ended
        assert listing.query() == f"limit={PAGE_SIZE}&cursor={cursor}"

        listing.take(campaigns(PAGE_SIZE, PAGE_SIZE + 5))

        assert listing.complete
        assert len(listing.campaigns) == PAGE_SIZE + 5

    def test_an_array_of_a_round_number_may_be_the_servers_largest_page(self) -> None:
        listing = walk(campaigns(0, 50), campaigns(50, 100), campaigns(100, 103))

        assert listing.complete
        assert len(listing.campaigns) == 103

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
        assert len(walk({key: campaigns(0, 3), "count": 3}).campaigns) == 3

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
        listing = walk(*pages)

        assert listing.ended
        assert not listing.complete
        assert listing.problem

    def test_more_campaigns_than_wanted_make_it_incomplete(self) -> None:
        listing = walk(campaigns(0, 5), max_campaigns=3)

        assert not listing.complete
        assert len(listing.campaigns) == 3
        assert walk(campaigns(0, 3), max_campaigns=3).complete

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

        assert [record.id for record in listing.campaigns] == ["a", "d"]
        assert listing.complete

    @pytest.mark.parametrize("payload", [None, 5, "x", {}, {"campaigns": None}, {"detail": "no"}])
    def test_what_holds_no_list_is_invalid_and_leaves_the_walk_as_it_was(self, payload: object) -> None:
        listing = Listing(max_campaigns=10)

        with pytest.raises(InvalidResponseError):
            listing.take(payload)

        assert not listing.ended
        assert listing.campaigns == ()

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
