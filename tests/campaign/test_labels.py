from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.campaign.labels import MAX_LENGTH, MAX_VALUES, LabelBudget, clean


@pytest.mark.parametrize(
    ("value", "cleaned"),
    [
        ("active", "active"),
        ("", ""),
        ("line\nbreak", "line\nbreak"),
        ("half a \ud83d pair", "half a � pair"),
        ("\udc00", "�"),
        ("😀", "😀"),
        ("x" * 200, "x" * 128),
    ],
)
def test_a_label_value_is_short_and_valid_unicode(value: str, cleaned: str) -> None:
    assert clean(value) == cleaned


@given(st.text(st.characters(codec=None, categories=None), max_size=300))
def test_any_text_becomes_a_value_that_can_be_encoded(value: str) -> None:
    assert len(clean(value).encode()) <= 4 * MAX_LENGTH


class TestLabelBudget:
    def budget(self, *known: str) -> LabelBudget:
        self.overflows = Counter[str]()
        return LabelBudget(known, lambda: self.overflows.update(["once"]))

    def test_documented_values_pass_however_many_have_been_invented_before(self) -> None:
        budget = self.budget("picked", "failed")
        for number in range(100):
            budget.admit(f"invented-{number}")

        assert budget.admit("failed") == "failed"

    def test_as_many_values_pass_as_there_are_places_and_the_rest_is_other(self) -> None:
        budget = self.budget("picked", "failed")

        admitted = {budget.admit(f"invented-{number}") for number in range(60)}

        assert len(admitted - {"other"}) == MAX_VALUES - 2
        assert self.overflows["once"] == 60 - (MAX_VALUES - 2)

    def test_what_passed_once_passes_for_ever(self) -> None:
        budget = self.budget()
        for number in range(60):
            budget.admit(f"invented-{number}")

        assert budget.admit("invented-0") == "invented-0"
        assert budget.admit("invented-59") == "other"

    def test_numbers_of_values_that_share_a_label_are_added_up(self) -> None:
        budget = self.budget("picked")
        long = "x" * 128

        assert budget.fold({long + "a": 1.0, long + "b": 2.0, "picked": 3.0}) == {"picked": 3.0, long: 3.0}

    def test_the_order_is_the_documented_one_then_first_sight_then_other(self) -> None:
        budget = self.budget("picked", "failed")
        budget.fold({"zebra": 1.0, "failed": 1.0, "ant": 1.0})

        folded = budget.fold({"other": 5.0, "ant": 1.0, "zebra": 1.0, "failed": 2.0, "picked": 1.0})

        assert list(folded) == ["picked", "failed", "zebra", "ant", "other"]

    def test_a_provider_that_says_other_itself_overflows_nothing(self) -> None:
        budget = self.budget()

        assert budget.admit("other") == "other"
        assert not self.overflows
