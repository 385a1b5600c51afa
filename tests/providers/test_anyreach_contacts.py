"""Walks through the contacts of simulated campaigns, without HTTP: `describe` makes what a server would send."""

import json
from typing import Any
from urllib.parse import parse_qs

import pytest

from exporter.campaign.attempts import Verdicts
from exporter.campaign.snapshot import Snapshot
from exporter.providers.anyreach import read_stats
from exporter.providers.anyreach_contacts import ENOUGH, LARGEST_PAGE, ContactWalk, read_contacts
from exporter.providers.errors import InvalidResponseError
from exporter.simulator import ROUND_THE_CLOCK, CallPattern, Campaign, ManualClock, Organization, Schedule, World
from exporter.simulator.anyreach import stats_of
from exporter.simulator.anyreach_contacts import Order, describe, listed

START = 1_780_315_200.0
HOUR = 3600.0
ORDERS: tuple[Order, ...] = ("created", "arbitrary", "updated")
ALL = Verdicts(lambda criterion: True, {})


class Server:
    """Answers the queries of a walk from a simulated campaign, which goes on meanwhile."""

    def __init__(self, *, contacts: int, limit: int = 20, pattern: CallPattern | None = None) -> None:
        self.clock = ManualClock(START)
        self.world = World(self.clock)
        self.organization: Organization = self.world.add_organization(limit=limit)
        always = self.organization.add_configuration("Always", Schedule("UTC", ROUND_THE_CLOCK))
        pattern = pattern or CallPattern(retry_delay=600)
        self.campaign: Campaign = self.organization.add_campaign("June", always, pattern=pattern)
        self.campaign.add_contacts(contacts)
        self.world.advance()
        self.seconds_a_page = 0.5
        self.largest_page = LARGEST_PAGE
        self.ignores_offset = False

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.world.advance()

    def walk(self) -> ContactWalk:
        """Begin a walk with the campaign's numbers as they are now."""
        return ContactWalk(ALL, None, read_stats(stats_of(self.campaign)), self.clock.now)

    def answer(self, query: str) -> bytes:
        asked = parse_qs(query)
        limit = min(int(asked["limit"][0]), self.largest_page)
        offset = 0 if self.ignores_offset else int(asked["offset"][0])
        statuses = asked.get("status", []) if self.organization.filters_contacts else []
        found = listed(self.campaign.contacts.values(), self.organization.contact_order, statuses)
        shown = [describe(one, self.clock.now, self.world.sent_moment) for one in found[offset : offset + limit]]
        return json.dumps({"contacts": shown, "total": len(found)}).encode()

    def run(self) -> ContactWalk:
        walk = self.walk()
        while not walk.ended:
            walk.take(read_contacts(self.answer(walk.query())))
            self.advance(self.seconds_a_page)
            assert walk.requests < 1000
        return walk


@pytest.mark.parametrize("order", ORDERS)
def test_a_walk_at_full_speed_finds_all_attempts(order: Order) -> None:
    server = Server(contacts=2000, limit=100)
    server.organization.contact_order = order
    server.advance(HOUR)

    walk = server.run()

    assert walk.coverage is not None
    assert (walk.problem is None) == (walk.coverage >= ENOUGH)
    assert 0.98 <= walk.coverage <= 1.02
    assert walk.tally.by_attempts.total() + walk.untouched == pytest.approx(2000, rel=0.02)


@pytest.mark.parametrize("order", ORDERS)
def test_few_dialed_contacts_take_few_requests(order: Order) -> None:
    server = Server(contacts=20_000, limit=40, pattern=CallPattern(max_attempts=1))
    server.organization.contact_order = order
    while server.campaign.attempts_made < 400:
        server.advance(1)

    walk = server.run()

    assert walk.problem is None
    assert walk.requests <= 20
    assert walk.untouched > 19_000


@pytest.mark.parametrize("order", ["created", "updated"])
def test_contacts_that_wait_for_a_retry_are_found_early(order: Order) -> None:
    server = Server(contacts=20_000, limit=40)
    server.organization.contact_order = order
    while server.campaign.attempts_made < 400:
        server.advance(1)

    walk = server.run()

    assert walk.problem is None
    assert walk.requests <= 20


def test_a_campaign_without_attempts_takes_no_request() -> None:
    walk = ContactWalk(ALL, None, Snapshot(attempts=0, contacts_loaded=500), START)

    assert walk.ended
    assert (walk.coverage, walk.untouched, walk.problem) == (1.0, 500, None)


def test_a_whole_campaign_is_read_in_overlapping_pages() -> None:
    server = Server(contacts=1240, limit=300, pattern=CallPattern(max_attempts=1))
    server.seconds_a_page = 0
    server.advance(3 * HOUR)

    walk = server.run()

    assert walk.requests == 7
    assert walk.coverage == 1.0


def test_a_server_that_ignores_the_filter_is_read_as_one_list() -> None:
    server = Server(contacts=1000, limit=40)
    server.organization.filters_contacts = False
    server.advance(600)

    walk = server.run()

    assert walk.problem is None
    assert walk.requests <= 6


def test_pages_that_the_server_caps_are_read_to_the_end() -> None:
    server = Server(contacts=300, limit=300, pattern=CallPattern(max_attempts=1))
    server.largest_page = 30
    server.advance(HOUR)

    assert server.run().coverage == 1.0


def test_a_server_that_ignores_the_offset_gives_no_complete_walk() -> None:
    server = Server(contacts=1000, limit=1000, pattern=CallPattern(max_attempts=1))
    server.ignores_offset = True
    server.advance(HOUR)

    walk = server.run()

    assert walk.problem == "200 of 1000 attempts were found"


def test_a_page_that_is_too_large_is_asked_for_in_smaller_ones() -> None:
    walk = ContactWalk(ALL, None, Snapshot(attempts=10, contacts_loaded=10), START)

    assert [walk.too_large(), walk.too_large(), walk.too_large()] == [True, True, False]
    assert "limit=50" in walk.query()


def attempt(**fields: Any) -> dict[str, Any]:
    return {"id": "a", "status": "completed", "started_at": "2026-06-01T12:00:00Z", **fields}


def read_one(fields: dict[str, Any]) -> Any:
    body = json.dumps({"contacts": [{"id": "c", "status": "pending", "attempts": [fields]}]}).encode()
    return read_contacts(body).contacts[0].attempts[0]


def test_personal_data_never_leaves_the_parser() -> None:
    contact = {
        "id": "c",
        "phone_numbers": ["+15550001111"],
        "external_id": "SECRET",
        "data": {"name": "SECRET", "nested": [{"contacts": "SECRET"}]},
        "initial_context": "SECRET",
        "attempts": [attempt(phone_number="+15550001111", transcript="SECRET", recording_url="SECRET")],
    }

    page = read_contacts(json.dumps({"contacts": [contact], "total": 1}).encode())

    assert "SECRET" not in repr(page)
    assert "5550001111" not in repr(page)


@pytest.mark.parametrize(
    ("result", "verdicts"),
    [
        (None, None),
        ({}, None),
        ({"qa.greeting": None}, {"qa.greeting": "other"}),
        ({"qa.greeting": "true", "qa.consent": False}, {"qa.greeting": "true", "qa.consent": "false"}),
        ({"qa.greeting": {"outcome": "abstain"}}, {"qa.greeting": "abstain"}),
        ({"a.b.c": "na", "x": "maybe"}, {"a.b.c": "na", "x": "other"}),
        ("true", None),
    ],
)
def test_verdicts_are_read_in_every_form(result: Any, verdicts: dict[str, str] | None) -> None:
    assert read_one(attempt(result=result)).verdicts == verdicts


@pytest.mark.parametrize(
    ("ended", "seconds"),
    [
        ("2026-06-01T12:00:42.500Z", 42.5),
        ("2026-06-01T12:00:42", 42),
        ("2026-06-01T14:00:42+02:00", 42),
        ("2026-06-01T11:59:59Z", None),
        (None, None),
        (17, None),
    ],
)
def test_a_duration_needs_an_end_after_its_start(ended: object, seconds: float | None) -> None:
    assert read_one(attempt(ended_at=ended)).seconds == seconds


@pytest.mark.parametrize(
    "body",
    [
        *[b"[]", b"{}", b'{"contacts": {}}', b'{"contacts": [1]}', b'{"contacts": [{"attempts": 1}]}', b"{", b"\xff"],
        b'{"contacts": [], "skipped": "\xff"}',
    ],
)
def test_what_is_no_page_of_contacts_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidResponseError):
        read_contacts(body)


@pytest.mark.parametrize("attempts", [[None, 5, attempt(), "x", True], [attempt()]])
def test_odd_attempts_cost_no_other(attempts: list[object]) -> None:
    (contact,) = read_contacts(json.dumps({"contacts": [{"id": "c", "attempts": attempts}]}).encode()).contacts

    assert [one.seconds for one in contact.attempts] == [read_one(attempt()).seconds]


@pytest.mark.parametrize("attempts", [None, 5, "x", False])
def test_a_contact_without_a_list_of_attempts_has_none(attempts: object) -> None:
    page = read_contacts(json.dumps({"contacts": [{"id": "c", "attempts": attempts}, {"id": "d"}]}).encode())

    assert [(contact.id, contact.attempts) for contact in page.contacts] == [("c", []), ("d", [])]


def test_a_number_that_is_no_json_costs_nothing_else() -> None:
    page = read_contacts(b'{"contacts": [{"id": "c", "data": NaN, "attempts": []}], "total": 1}')

    assert (page.contacts[0].id, page.total) == ("c", 1)
