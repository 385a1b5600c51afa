from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.providers.errors import InvalidResponseError
from exporter.providers.wire import count, number, read_json


class TestNumbers:
    @pytest.mark.parametrize("value", [8, 8.0, "8", "8.0", "08"])
    def test_a_count_may_be_written_in_three_ways(self, value: object) -> None:
        assert repr(count(value)) == "8"
        assert number(value) == 8

    @pytest.mark.parametrize(
        "value",
        [
            *[None, True, False, [], [8], {}, -1, -0.5, float("nan"), float("inf"), float("-inf"), 10**400],
            *["", "eight", "8e0", " 8", "+8", "-8", "\u0668", "0x8", "1_0", "nan", "8\n", "9" * 400, "9" * 5000],
        ],
    )
    def test_what_is_no_such_number_is_none(self, value: object) -> None:
        assert count(value) is None
        assert number(value) is None

    def test_a_fraction_is_a_number_and_no_count(self) -> None:
        assert number(1.39) == 1.39
        assert number("1.39") == 1.39
        assert count(1.39) is None
        assert count("1.39") is None

    def test_a_negative_zero_loses_its_sign(self) -> None:
        assert str(number(-0.0)) == "0.0"
        assert str(count(-0.0)) == "0"

    def test_a_number_too_large_to_be_exact_is_kept(self) -> None:
        assert repr(count(2**63 - 1)) == repr(2.0**63)


class TestReadJson:
    def test_an_integer_of_5000_digits_costs_only_itself(self) -> None:
        assert read_json(b'{"a": ' + b"9" * 5000 + b', "b": 8}') == {"a": None, "b": 8}

    @pytest.mark.parametrize("body", [b"", b"{", b"<html>", b"\xff", b'"\xed\xa0\x80"', b"[" * 100_000])
    def test_what_is_no_json_is_an_invalid_response(self, body: bytes) -> None:
        with pytest.raises(InvalidResponseError):
            read_json(body)

    @pytest.mark.parametrize("body", [b'{"a": 8}', b'{"a": 8, "b": ' + b"9" * 5000 + b"}"])
    def test_a_byte_order_mark_is_passed_over(self, body: bytes) -> None:
        read = read_json(b"\xef\xbb\xbf" + body)

        assert isinstance(read, dict)
        assert read["a"] == 8

    @given(st.binary())
    def test_no_bytes_make_it_fail_otherwise(self, body: bytes) -> None:
        with suppress(InvalidResponseError):
            read_json(body)
