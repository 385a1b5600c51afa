import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.providers import pieces
from tests.providers.payloads import json_values

TEXTS = st.sampled_from([None, 2]).flatmap(
    lambda indent: json_values.map(lambda value: json.dumps(value, indent=indent, ensure_ascii=indent is None))
)


@pytest.fixture(params=[1, 3, 10, 40], autouse=True)
def piece(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "PIECE", request.param)


def outcome(read: Any, text: str) -> str:
    """What reading comes to, comparable: NaN is not equal to itself."""
    try:
        return repr(read(text))
    except json.JSONDecodeError:
        return "no JSON"


def read(text: str) -> object:
    return pieces.read_pieces(text, int)


@given(TEXTS)
def test_a_document_is_the_same_in_pieces(text: str) -> None:
    assert outcome(read, text) == outcome(json.loads, text)


@given(TEXTS, st.data())
def test_what_is_no_json_is_none_in_pieces_either(text: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(text)))
    put = data.draw(st.sampled_from(["", ",", "]", "}", "[", "{", ":", '"', "\\", " ", "1", "x"]))
    changed = text[:at] + put + text[at + data.draw(st.integers(0, 3)) :]

    assert outcome(read, changed) == outcome(json.loads, changed)


@pytest.mark.parametrize(
    "text",
    [
        *("[1,2,]", '{"a":1,}', "[,1]", "[1 2]", '{"a" 1}', "{1:2}", "[1}", '{"a":1]', "[", "{", '"a', "1 2", ""),
        *("[" + " " * 50 + "]", "{" + " " * 50 + "}", " [ [ ] , { } ] ", "1" * 60, "-1.5e3", '"' + "x,y" * 30 + '"'),
        '["},", "],", {"},": "\\"},"}]',
    ],
)
def test_odd_documents_are_the_same_in_pieces(text: str) -> None:
    assert outcome(read, text) == outcome(json.loads, text)


def test_what_is_nested_too_deeply_is_a_recursion_error() -> None:
    with pytest.raises(RecursionError):
        read("[" * 100_000)
