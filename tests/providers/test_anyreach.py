import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.campaign.schedule import Schedule, Window
from exporter.campaign.snapshot import Snapshot
from exporter.providers import Provider
from exporter.providers.anyreach import Anyreach, read_answer, read_campaign, read_schedule, read_stats
from exporter.providers.errors import (
    ClientFaultError,
    CredentialsError,
    ForbiddenError,
    InvalidResponseError,
    PollError,
    ServerFaultError,
)
from exporter.providers.listing import CampaignRecord, Listing
from exporter.providers.wire import read_object
from tests.providers.loopback import body_of, http, recorded, serving, transport
from tests.providers.payloads import json_values, numbers_of, shuffled

CONFIGURATION = "c0000000-0000-4000-8000-000000000001"
WEEKDAYS = frozenset(range(5))


def outcome(read: Callable[[], Snapshot]) -> str:
    """What a reader makes of an answer: numbers by their spelling, since 8 and 8.0 are equal."""
    try:
        return repr(read())
    except InvalidResponseError as exc:
        return str(exc)


def stats(**fields: object) -> Snapshot:
    return read_stats({"status": "active", **fields})


class TestReadStats:
    def test_the_documented_answer_is_read_in_full(self) -> None:
        assert read_stats(read_object(body_of("anyreach/stats_documented"))) == Snapshot(
            status="active",
            contacts={"pending": 310, "in_progress": 8, "completed": 902, "exhausted": 20},
            contacts_loaded=1240,
            attempts=1730,
            attempts_per_contact=1.39,
            active_calls=8,
            concurrency_limit=10,
            work_remaining=True,
            calls_in_flight=True,
            campaign_id="...",
        )

    def test_a_campaign_without_contacts_has_zeros_and_no_work(self) -> None:
        assert read_stats(read_object(body_of("anyreach/stats_empty"))) == Snapshot(
            status="active",
            contacts={"pending": 0, "in_progress": 0, "completed": 0, "exhausted": 0},
            contacts_loaded=0,
            attempts=0,
            attempts_per_contact=0,
            active_calls=0,
            concurrency_limit=10,
            work_remaining=False,
            campaign_id="6c6f7b0e-0000-4000-8000-000000000001",
        )

    def test_odd_values_cost_their_own_samples_and_new_words_are_kept(self) -> None:
        assert read_stats(read_object(body_of("anyreach/stats_odd"))) == Snapshot(
            status="archived",
            contacts={"pending": 3, "dnc": 4},
            contacts_loaded=12,
            attempts_per_contact=1.25,
            concurrency_limit=123456789012345678901234567890.0,
            work_remaining=True,
        )

    def test_what_was_not_sent_is_unknown(self) -> None:
        assert read_stats(read_object(body_of("anyreach/stats_status_only"))) == Snapshot(status="paused")

    @pytest.mark.parametrize("payload", [{}, {"status": None, "contacts": None}, {"active_calls": 8}])
    def test_an_answer_about_nothing_is_invalid(self, payload: dict[str, object]) -> None:
        with pytest.raises(InvalidResponseError, match="neither"):
            read_stats(payload)

    @pytest.mark.parametrize("payload", [{"contacts": {}}, {"attempts": {}}, {"status": "active"}])
    def test_one_of_the_three_is_enough(self, payload: dict[str, object]) -> None:
        assert isinstance(read_stats(payload), Snapshot)

    @pytest.mark.parametrize("key", ["contacts", "attempts"])
    @pytest.mark.parametrize("value", [[], "x", 8, True])
    def test_another_kind_where_an_object_must_stand_is_invalid(self, key: str, value: object) -> None:
        with pytest.raises(InvalidResponseError, match=key):
            stats(**{key: value})

    def test_a_status_that_is_no_text_is_unknown(self) -> None:
        assert stats(status=5, contacts={}).status is None

    @pytest.mark.parametrize(
        ("contacts", "remaining"),
        [
            ({"pending": 1, "in_progress": 0}, True),
            ({"pending": 0, "in_progress": 1}, True),
            ({"pending": 1}, True),
            ({"in_progress": 1}, True),
            ({"pending": 0, "in_progress": 0}, False),
            ({"pending": 0}, None),
            ({"in_progress": 0}, None),
            ({"completed": 5}, None),
            (None, None),
        ],
    )
    def test_work_remains_when_some_is_known_to(self, contacts: object, remaining: bool | None) -> None:
        assert stats(contacts=contacts).work_remaining is remaining

    @pytest.mark.parametrize(
        ("fields", "in_flight"),
        [
            ({"active_calls": 1}, True),
            ({"contacts": {"in_progress": 1}}, True),
            ({"active_calls": 0, "contacts": {"in_progress": 0}}, False),
            ({"active_calls": "many"}, False),
        ],
    )
    def test_calls_are_in_flight_by_either_number(self, fields: dict[str, object], in_flight: bool) -> None:
        assert stats(**fields).calls_in_flight is in_flight

    @given(json_values)
    def test_any_json_gives_a_snapshot_or_an_invalid_response(self, payload: Any) -> None:
        try:
            snapshot = read_stats(read_object(json.dumps(payload).encode()))
        except InvalidResponseError:
            return
        assert all(math.isfinite(value) and value >= 0 for value in numbers_of(snapshot))

    @given(shuffled(read_object(body_of("anyreach/stats_documented"))))
    def test_any_value_anywhere_gives_a_snapshot_or_an_invalid_response(self, payload: Any) -> None:
        try:
            snapshot = read_stats(read_object(json.dumps(payload).encode()))
        except InvalidResponseError:
            return
        assert all(math.isfinite(value) and value >= 0 for value in numbers_of(snapshot))

    @given(shuffled(read_object(body_of("anyreach/stats_documented"))) | json_values)
    def test_an_ordinary_answer_is_read_as_an_odd_one_is(self, payload: Any) -> None:
        body = json.dumps(payload).encode()

        assert outcome(lambda: read_answer(body)) == outcome(lambda: read_stats(read_object(body)))

    @pytest.mark.parametrize(
        "member",
        [
            *[b'"active_calls": 8.0', b'"active_calls": "8"', b'"active_calls": NaN', b'"active_calls": -1'],
            *[b'"attempts": {"average_per_contact": %b}' % number for number in (b"-0.0", b"3", b"1e400", b'"1.5"')],
            *[b'"contacts": {"pending": %d}' % 2**53, b'"contacts": {"new": 1, "total": null}', b'"contacts": []'],
            *[b'"other": "\\ud800"', b'"other": "\xff"', b'"other": ' + b"[" * 100_000],
        ],
    )
    def test_each_oddity_is_read_alike_by_both_ways(self, member: bytes) -> None:
        body = b'{"status": "active", ' + member + b"}"

        assert outcome(lambda: read_answer(body)) == outcome(lambda: read_stats(read_object(body)))

    @given(st.binary())
    def test_any_bytes_give_a_snapshot_or_an_invalid_response(self, body: bytes) -> None:
        try:
            snapshot = read_stats(read_object(body))
        except InvalidResponseError:
            return
        assert all(math.isfinite(value) and value >= 0 for value in numbers_of(snapshot))


class TestPolling:
    async def test_it_asks_for_the_stats_with_the_key_alone(self) -> None:
        async with serving(recorded("anyreach/stats_documented")) as server, transport(server.url) as sender:
            provider: Provider = Anyreach(sender, "ak_id.secret")
            snapshot = await provider.poll("crm:june/renewals")

        assert snapshot.contacts_loaded == 1240
        assert server.paths() == ["/campaign/campaigns/crm%3Ajune%2Frenewals/stats"]
        assert server.header("Authorization") == "Bearer ak_id.secret"
        assert server.header("X-Anyreach-Org") is None

    async def test_a_personal_token_names_its_organization(self) -> None:
        async with serving(recorded("anyreach/stats_documented")) as server, transport(server.url) as sender:
            await Anyreach(sender, "pat_secret", organization="0b7c").poll("june")

        assert server.header("Authorization") == "Bearer pat_secret"
        assert server.header("X-Anyreach-Org") == "0b7c"

    async def test_a_token_that_cannot_be_read_sends_nothing(self) -> None:
        async with serving(recorded("anyreach/stats_documented")) as server, transport(server.url) as sender:
            with pytest.raises(CredentialsError):
                await Anyreach(sender, CredentialsError("no such file")).poll("june")

        assert server.connections == 0

    async def test_a_missing_scope_is_forbidden(self) -> None:
        async with serving(recorded("anyreach/forbidden", 403)) as server, transport(server.url) as sender:
            with pytest.raises(ForbiddenError):
                await Anyreach(sender, "ak_id.secret").poll("june")


class TestCampaign:
    async def test_one_campaign_is_asked_for_by_its_own_path(self) -> None:
        async with serving(recorded("anyreach/campaign")) as server, transport(server.url) as sender:
            record = await Anyreach(sender, "ak_id.secret").campaign("crm:june/renewals")

        assert server.paths() == ["/campaign/campaigns/crm%3Ajune%2Frenewals"]
        assert record == CampaignRecord(
            id="6c6f7b0e-0000-4000-8000-000000000001",
            external_id="crm:june/renewals",
            name="June renewals",
            status="active",
            configuration_id=CONFIGURATION,
        )

    @pytest.mark.parametrize(
        "reference",
        [
            {"configuration_id": "c1"},
            {"config_id": "c1"},
            {"configuration": "c1"},
            {"configuration": {"id": "c1", "name": "Weekdays"}},
            {"configuration_id": None, "config": {"id": "c1"}},
        ],
    )
    def test_the_configuration_is_found_under_any_likely_key(self, reference: dict[str, object]) -> None:
        assert read_campaign({"id": "a", **reference}).configuration_id == "c1"

    @pytest.mark.parametrize("reference", [{}, {"configuration_id": None}, {"configuration": []}, {"config_id": ""}])
    def test_without_one_it_is_unknown(self, reference: dict[str, object]) -> None:
        assert read_campaign({"id": "a", **reference}).configuration_id is None

    @pytest.mark.parametrize("key", ["campaign", "data"])
    def test_the_campaign_may_stand_under_a_key_of_its_own(self, key: str) -> None:
        assert read_campaign({key: {"id": "a"}}).id == "a"

    @pytest.mark.parametrize("payload", [{}, {"id": None}, {"id": ""}, {"campaign": []}, {"data": {"name": "x"}}])
    def test_an_answer_without_a_campaign_is_invalid(self, payload: dict[str, object]) -> None:
        with pytest.raises(InvalidResponseError):
            read_campaign(payload)


NIGHT = {"days": ["fri"], "start": "22:30", "end": "03:30"}
NIGHT_WINDOW = Window(frozenset({4}), 22 * 60 + 30, 3 * 60 + 30)


class TestSchedule:
    async def test_a_configuration_is_asked_for_and_read(self) -> None:
        async with serving(recorded("anyreach/configuration_nested")) as server, transport(server.url) as sender:
            schedule = await Anyreach(sender, "ak_id.secret").schedule(CONFIGURATION)

        assert server.paths() == [f"/campaign/configurations/{CONFIGURATION}"]
        assert schedule == Schedule(
            default_timezone="America/Chicago",
            default_windows=(Window(WEEKDAYS, 9 * 60, 17 * 60 + 30), NIGHT_WINDOW),
            overrides={"Europe/Berlin": (Window(frozenset({5}), 600, 1440),), "Asia/Tokyo": ()},
            scheduled_windows=None,
            scheduled_overrides={},
        )

    def test_the_fields_may_stand_at_the_top(self) -> None:
        assert read_schedule(read_object(body_of("anyreach/configuration_flat"))) == Schedule(
            default_timezone="America/New_York", default_windows=(), scheduled_windows=()
        )

    @pytest.mark.parametrize("key", ["configuration", "data"])
    def test_the_configuration_may_stand_under_a_key_of_its_own(self, key: str) -> None:
        inner = {"id": "c1", "schedule": {"default_windows": []}}

        assert read_schedule({key: inner}) == Schedule(default_timezone="America/New_York", default_windows=())

    @pytest.mark.parametrize(
        "overrides",
        [
            [{"timezone": "Europe/Berlin", "windows": [NIGHT]}],
            [{"tz": "Europe/Berlin", "time_windows": [NIGHT]}],
            [{"time_zone": "Europe/Berlin", "windows": [NIGHT], "label": "x"}],
            {"Europe/Berlin": [NIGHT]},
        ],
    )
    def test_an_override_is_understood_in_several_spellings(self, overrides: object) -> None:
        schedule = read_schedule({"default_windows": [], "overrides": overrides})

        assert schedule is not None
        assert schedule.overrides == {"Europe/Berlin": (NIGHT_WINDOW,)}

    @pytest.mark.parametrize(
        "schedule",
        [
            {},
            {"default_windows": None},
            {"default_windows": {}},
            {"default_windows": "always"},
            {"default_windows": [None]},
            {"default_windows": [{"days": ["fri"], "start": "09:00"}]},
            {"default_windows": [{"days": "fri", "start": "09:00", "end": "17:00"}]},
            {"default_windows": [{"days": [5], "start": "09:00", "end": "17:00"}]},
            {"default_windows": [{"days": [], "start": "09:00", "end": "17:00"}]},
            {"default_windows": [{"days": ["friday"], "start": "09:00", "end": "17:00"}]},
            {"default_windows": [{"days": ["fri"], "start": "9 am", "end": "17:00"}]},
            {"default_windows": [{"days": ["fri"], "start": 540, "end": 1020}]},
            {"default_windows": [{"days": ["fri"], "start": "09:00", "end": "09:00"}]},
            {"default_windows": [], "default_timezone": "Mars/Olympus"},
            {"default_windows": [], "default_timezone": 5},
            {"default_windows": [], "overrides": "none"},
            {"default_windows": [], "overrides": [[]]},
            {"default_windows": [], "overrides": [{"windows": []}]},
            {"default_windows": [], "overrides": [{"timezone": "Europe/Berlin"}]},
            {"default_windows": [], "overrides": [{"timezone": "Europe/Berlin", "windows": None}]},
            {"default_windows": [], "overrides": [{"timezone": "Asia/Tokyo", "windows": []}] * 2},
            {"default_windows": [], "scheduled_windows": "none"},
            {"default_windows": [], "scheduled_overrides": [5]},
        ],
    )
    def test_what_is_not_understood_is_unknown_and_never_closed(self, schedule: object) -> None:
        assert read_schedule({"id": "c1", "schedule": schedule}) is None

    @given(shuffled(read_object(body_of("anyreach/configuration_nested"))))
    def test_any_json_gives_a_schedule_or_none(self, payload: Any) -> None:
        if isinstance(payload, dict):
            assert isinstance(read_schedule(payload), Schedule | None)


async def walked(provider: Anyreach, listing: Listing) -> Listing:
    while not listing.ended:
        await provider.list_page(listing)
    return listing


class TestListPage:
    async def test_pages_are_asked_for_one_by_one(self) -> None:
        answers = recorded("anyreach/list_envelope"), recorded("anyreach/list_envelope_last")
        async with serving(*answers) as server, transport(server.url) as sender:
            listing = await walked(Anyreach(sender, "ak_id.secret"), Listing(max_campaigns=10))

        assert listing.complete
        assert len(listing.campaigns) == 3
        assert listing.campaigns[0] == CampaignRecord(
            id="6c6f7b0e-0000-4000-8000-000000000001",
            external_id="crm-1",
            name="Campaign 1",
            status="active",
            configuration_id=CONFIGURATION,
        )
        assert server.paths() == ["/campaign/campaigns?limit=100", "/campaign/campaigns?limit=100&cursor=bmV4dA%3D%3D"]

    async def test_a_page_that_failed_can_be_asked_for_again(self) -> None:
        answers = recorded("anyreach/list_envelope"), http("", 503), recorded("anyreach/list_envelope_last")
        async with serving(*answers) as server, transport(server.url) as sender:
            provider, listing = Anyreach(sender, "ak_id.secret"), Listing(max_campaigns=10)
            await provider.list_page(listing)
            with pytest.raises(ServerFaultError):
                await provider.list_page(listing)
            await walked(provider, listing)

        assert listing.complete
        assert len(listing.campaigns) == 3

    async def test_a_server_that_refuses_the_page_size_is_asked_without(self) -> None:
        answers = http("", 422), recorded("anyreach/list_array")
        async with serving(*answers) as server, transport(server.url) as sender:
            listing = await walked(Anyreach(sender, "ak_id.secret"), Listing(max_campaigns=10))

        assert listing.complete
        assert len(listing.campaigns) == 3
        assert server.paths()[:2] == ["/campaign/campaigns?limit=100", "/campaign/campaigns"]
        assert all("limit" not in path for path in server.paths()[1:])

    @pytest.mark.parametrize("status", [401, 403, 404, 500])
    async def test_another_error_is_no_guess_gone_wrong(self, status: int) -> None:
        async with serving(http("", status)) as server, transport(server.url) as sender:
            with pytest.raises(PollError):
                await walked(Anyreach(sender, "ak_id.secret"), Listing(max_campaigns=10))

        assert len(server.requests) == 1

    async def test_a_server_that_refuses_everything_is_asked_twice(self) -> None:
        async with serving(http("", 400)) as server, transport(server.url) as sender:
            with pytest.raises(ClientFaultError):
                await walked(Anyreach(sender, "ak_id.secret"), Listing(max_campaigns=10))

        assert len(server.requests) == 2
