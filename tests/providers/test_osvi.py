import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.campaign.snapshot import Snapshot
from exporter.providers import Provider
from exporter.providers.errors import CredentialsError, InvalidResponseError, NotFoundError
from exporter.providers.osvi import Osvi, read_status
from exporter.providers.wire import read_moment, read_object
from tests.providers.loopback import body_of, recorded, serving, transport
from tests.providers.payloads import json_values, numbers_of, shuffled


def status(**data: object) -> Snapshot:
    return read_status({"success": True, "data": data})


def queue(completed: object, total: object = None, agent: object = "agent_x") -> dict[str, object]:
    return {"agent_uuid": agent, "total_queued": total, "completed": completed}


class TestReadStatus:
    def test_the_documented_answer_is_read_in_full(self) -> None:
        assert read_status(read_object(body_of("osvi/status_documented"))) == Snapshot(
            status="active",
            name="June Renewals",
            campaign_id="7",
            calls={"picked": 88, "not_picked": 25, "failed": 7, "busy": 0, "voicemail": 0},
            calls_made=120,
            uploads=1,
            queues={("agent_x", "open"): 1, ("agent_x", "completed"): 0},
            queued_contacts={("agent_x", "open"): 50, ("agent_x", "completed"): 0},
            retry_enabled=1,
            retry_threshold=2,
            retry_delay_seconds=1800,
            created_timestamp_seconds=1780288200,
            work_remaining=True,
            calls_in_flight=False,
        )

    def test_queues_are_added_up_by_agent_and_state(self) -> None:
        assert read_status(read_object(body_of("osvi/status_drained"))) == Snapshot(
            status="inactive",
            name="May",
            campaign_id="8",
            calls={"picked": 200, "not_picked": 60, "failed": 10, "busy": 20, "voicemail": 8, "in_progress": 2},
            calls_made=300,
            uploads=3,
            queues={
                ("agent_a", "open"): 0,
                ("agent_a", "completed"): 2,
                ("agent_b", "open"): 0,
                ("agent_b", "completed"): 1,
            },
            queued_contacts={
                ("agent_a", "open"): 0,
                ("agent_a", "completed"): 140,
                ("agent_b", "open"): 0,
                ("agent_b", "completed"): 50,
            },
            retry_enabled=0,
            created_timestamp_seconds=1777609800,
            work_remaining=False,
            calls_in_flight=True,
        )

    def test_odd_values_cost_their_own_samples_and_new_words_are_kept(self) -> None:
        assert read_status(read_object(body_of("osvi/status_odd"))) == Snapshot(
            status="archived",
            campaign_id="7",
            calls={"picked": 88, "failed": 7, "busy": 0, "voicemail": 0, "callback": 3},
            uploads=3,
            queues={
                ("", "open"): 2,
                ("", "completed"): 0,
                ("agent_x", "open"): 0,
                ("agent_x", "completed"): 1,
                ("agent_z", "open"): 2,
                ("agent_z", "completed"): 0,
            },
            queued_contacts={
                ("", "open"): 55,
                ("", "completed"): 0,
                ("agent_x", "open"): 0,
                ("agent_z", "open"): 8,
                ("agent_z", "completed"): 0,
            },
            retry_threshold=2,
            work_remaining=True,
        )

    def test_what_was_not_sent_is_unknown(self) -> None:
        assert read_status(read_object(body_of("osvi/status_bare"))) == Snapshot(status="active", campaign_id="9")

    @pytest.mark.parametrize("payload", [{"success": True}, {"success": True, "data": None}])
    def test_a_success_without_data_is_empty(self, payload: dict[str, object]) -> None:
        assert read_status(payload) == Snapshot()

    def test_a_recorded_failure_with_status_200_is_invalid(self) -> None:
        with pytest.raises(InvalidResponseError, match="success"):
            read_status(read_object(body_of("osvi/status_failed")))

    @pytest.mark.parametrize("success", [False, None, "true", 1, [], {}])
    def test_only_true_is_a_success(self, success: object) -> None:
        with pytest.raises(InvalidResponseError, match="success"):
            read_status({"success": success, "data": {}})

    @pytest.mark.parametrize("value", [[], "x", 8, True])
    @pytest.mark.parametrize("key", ["data", "campaign", "calls", "by_status"])
    def test_another_kind_where_an_object_must_stand_is_invalid(self, key: str, value: object) -> None:
        payload = {
            "data": {"success": True, "data": value},
            "campaign": {"success": True, "data": {"campaign": value}},
            "calls": {"success": True, "data": {"calls": value}},
            "by_status": {"success": True, "data": {"calls": {"by_status": value}}},
        }[key]

        with pytest.raises(InvalidResponseError, match=f"{key} is no object"):
            read_status(payload)

    @pytest.mark.parametrize("value", [{}, "x", 8, True])
    def test_uploads_that_are_no_array_are_invalid(self, value: object) -> None:
        with pytest.raises(InvalidResponseError, match="uploads is no array"):
            status(uploads=value)

    def test_outcomes_are_zero_only_where_the_map_is_there(self) -> None:
        assert status(calls={"total": 5}).calls is None
        assert status(calls={"by_status": {}}).calls == dict.fromkeys(
            ["picked", "not_picked", "failed", "busy", "voicemail"], 0
        )

    def test_an_outcome_that_cannot_be_read_is_not_zero(self) -> None:
        calls = status(calls={"by_status": {"picked": None, "busy": "many"}}).calls

        assert calls == {"not_picked": 0, "failed": 0, "voicemail": 0}

    @pytest.mark.parametrize(
        ("uploads", "remaining"),
        [
            (None, None),
            ([], False),
            ([{"queues": []}], False),
            ([{"queues": [queue(True)]}], False),
            ([{"queues": [queue(True), queue(False)]}], True),
            ([{"queues": [queue(None)]}], None),
            ([{"queues": [queue("no"), queue(True)]}], None),
            ([{"queues": [queue(None), queue(False), queue(None)]}], True),
        ],
    )
    def test_work_remains_with_an_open_queue(self, uploads: object, remaining: bool | None) -> None:
        assert status(uploads=uploads).work_remaining is remaining

    def test_a_queue_of_unknown_state_is_in_neither(self) -> None:
        assert status(uploads=[{"queues": [queue(0, 5)]}]).queues == {}

    def test_queues_that_kept_silent_have_no_sum(self) -> None:
        snapshot = status(uploads=[{"queues": [queue(False), queue(True, 7), queue(True)]}])

        assert snapshot.queues == {("agent_x", "open"): 1, ("agent_x", "completed"): 2}
        assert snapshot.queued_contacts == {("agent_x", "completed"): 7}

    def test_a_sum_stays_finite(self) -> None:
        snapshot = status(uploads=[{"queues": [queue(True, 1.5e308), queue(True, 1.5e308)]}])

        assert snapshot.queued_contacts == {("agent_x", "completed"): 1.5e308, ("agent_x", "open"): 0}

    @pytest.mark.parametrize(("made", "in_flight"), [(1, True), (0, False), (None, False)])
    def test_a_call_in_progress_is_in_flight(self, made: object, in_flight: bool) -> None:
        assert status(calls={"by_status": {"in_progress": made}}).calls_in_flight is in_flight

    @given(json_values)
    def test_any_json_gives_a_snapshot_or_an_invalid_response(self, payload: Any) -> None:
        try:
            snapshot = read_status(read_object(json.dumps(payload).encode()))
        except InvalidResponseError:
            return
        assert all(math.isfinite(value) and value >= 0 for value in numbers_of(snapshot))

    @given(shuffled(read_object(body_of("osvi/status_documented"))))
    def test_any_value_anywhere_gives_a_snapshot_or_an_invalid_response(self, payload: Any) -> None:
        try:
            snapshot = read_status(read_object(json.dumps(payload).encode()))
        except InvalidResponseError:
            return
        assert all(math.isfinite(value) and value >= 0 for value in numbers_of(snapshot))

    @given(st.binary())
    def test_any_bytes_give_an_invalid_response(self, body: bytes) -> None:
        with pytest.raises(InvalidResponseError):
            read_status(read_object(body))


class TestMoment:
    @pytest.mark.parametrize(
        ("value", "seconds"),
        [
            ("2026-06-01T10:00:00+05:30", 1780288200),
            ("2026-06-01T04:30:00Z", 1780288200),
            ("2026-06-01T04:30:00.250+00:00", 1780288200.25),
            ("2026-06-01 04:30:00+00:00", 1780288200),
            ("2026-06-01T10:00:00", None),
            ("2026-06-01", None),
            ("1969-12-31T23:59:59Z", None),
            ("2026-13-01T10:00:00Z", None),
            ("0001-01-01T00:00:00+23:59", None),
            ("9999-12-31T23:59:59-14:00", None),
            ("yesterday", None),
            ("", None),
            (1780288200, None),
            (None, None),
            ({}, None),
        ],
    )
    def test_a_moment_needs_its_offset(self, value: object, seconds: float | None) -> None:
        assert read_moment(value) == seconds

    @given(st.text(st.characters(exclude_categories=())))
    def test_no_text_makes_it_fail(self, value: str) -> None:
        seconds = read_moment(value)

        assert seconds is None or seconds >= 0


class TestPolling:
    async def test_it_asks_for_the_status_with_its_token(self) -> None:
        async with serving(recorded("osvi/status_documented")) as server, transport(server.url) as sender:
            provider: Provider = Osvi(sender, "0123456789abcdef")
            snapshot = await provider.poll("7")

        assert snapshot.calls_made == 120
        assert server.paths() == ["/v1/campaigns/7/status"]
        assert server.header("API-Token") == "0123456789abcdef"
        assert server.header("Authorization") is None

    async def test_a_token_that_cannot_be_read_sends_nothing(self) -> None:
        async with serving(recorded("osvi/status_documented")) as server, transport(server.url) as sender:
            with pytest.raises(CredentialsError):
                await Osvi(sender, CredentialsError("no such file")).poll("7")

        assert server.connections == 0

    async def test_another_accounts_campaign_is_not_found(self) -> None:
        async with serving(recorded("osvi/not_found", 404)) as server, transport(server.url) as sender:
            with pytest.raises(NotFoundError):
                await Osvi(sender, "0123456789abcdef").poll("7")
