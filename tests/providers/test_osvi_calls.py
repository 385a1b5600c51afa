import json

from exporter.providers.osvi_calls import read_calls


def test_an_odd_row_costs_no_other() -> None:
    call = {"call_id": "a", "campaign_id": 7, "status": "picked", "duration_seconds": 12}
    page = read_calls(json.dumps({"success": True, "data": [None, 5, call, "x"], "meta": 1}).encode())

    assert [(call.campaign_id, call.attempt.seconds) for call in page.calls] == [("7", 12)]
    assert page.pages is None
