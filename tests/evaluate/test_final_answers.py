from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outgrow.errors import DataError
from outgrow.evaluate import FinalAnswer, final_answer
from outgrow.tasks import read_records


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("#### 72", 72),
        ("#### 1,234,567", 1234567),
        ("#### $18.50 per hour", Fraction(37, 2)),
        ("First 5, then 6. #### 11 apples out of 20", 11),
        ("#### 3\nOr rather\n#### 4", 4),
        ("The answer is 5%.", 5),
        ("He has 10-5 = 5 left, and owes -$7", -7),
        ("10-5", 5),
        ("about 1/2", Fraction(1, 2)),
        ("2 1/2 hours", Fraction(5, 2)),
        (r"so \boxed{\frac{3}{4}} of it, see page 9", Fraction(3, 4)),
        (r"\boxed{42} (page 7)", 42),
        ("It costs .5", Fraction(1, 2)),
        ("7/0", 0),
        ("48/2=<<48/2=24>>24 clips", 24),
        ("3.0", 3),
        ("", None),
        ("none at all", None),
        ("#### none, though 5 was near", 5),
        ("5 ####", None),
    ],
)
def test_the_final_answer_is_read(text: str, expected: Fraction | int | None) -> None:
    assert final_answer(text) == expected


@given(st.integers(-(10**9), 10**9), st.integers(0, 99))
def test_ways_to_write_a_number_are_the_same_number(units: int, cents: int) -> None:
    sign, size = "-" if units < 0 else "", abs(units)
    expected = (-1 if units < 0 else 1) * (size + Fraction(cents, 100))
    for text in (f"{sign}{size}.{cents:02d}", f"{sign}{size:,}.{cents:02d}", f"{sign}${size:,}.{cents:02d}0 in all"):
        assert final_answer(f"5 #### {text}") == expected
        assert final_answer(f"From 12 follows {text}.") == expected


def test_an_answer_without_a_number_is_wrong_and_gold_without_one_is_refused() -> None:
    assert FinalAnswer()(["who knows", None], ["#### 1", "#### 1"]).tolist() == [0.0, 0.0]
    with pytest.raises(DataError, match="no final answer"):
        FinalAnswer()(["1"], ["one"])


def test_every_worked_solution_of_gsm8k_ends_in_its_answer(real_data: Path) -> None:
    gold = read_records(str(real_data / "gsm8k/test.jsonl.gz"))["answer"].to_pylist()
    without_mark = [text.replace("####", "so it is") for text in gold]
    assert FinalAnswer()(without_mark, gold).all()
    assert json.dumps([str(final_answer(text)) for text in gold[:2]]) == '["18", "3"]'
