from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outgrow.errors import DataError
from outgrow.evaluate.slu import SluScore, slu_counts, slu_f1

Slots = list[dict[str, str]]


def slots(text: str) -> Slots:
    """`"date=tomorrow; time=ten am"` as slots."""
    return [dict(zip(("type", "filler"), one.split("="), strict=True)) for one in text.split("; ") if one]


# Gold, prediction, then by hand: slots matched by type, the sum of their word errors, the sum of their character
# errors, predictions without a partner, gold without a partner, slots that are exactly right.
CASES = [
    ("", "", 0, "0", "0", 0, 0, 0),
    ("", "date=today", 0, "0", "0", 1, 0, 0),
    ("", "date=today; date=today", 0, "0", "0", 2, 0, 0),
    ("date=today", "", 0, "0", "0", 0, 1, 0),
    ("date=today; time=noon", "", 0, "0", "0", 0, 2, 0),
    ("date=today", "date=today", 1, "0", "0", 0, 0, 1),
    ("date=today", "time=today", 0, "0", "0", 1, 1, 0),
    ("date=today", "Date=today", 0, "0", "0", 1, 1, 0),
    ("date=today", "date=monday", 1, "1", "2/6", 0, 0, 0),
    ("date=today", "date=todays", 1, "1", "1/6", 0, 0, 0),
    ("date=today", "date=oday", 1, "1", "1/5", 0, 0, 0),
    ("date=today", "date=Today", 1, "1", "1/5", 0, 0, 0),
    ("date=today", "date=", 1, "1", "1", 0, 0, 0),
    ("date=", "date=", 1, "0", "0", 0, 0, 1),
    ("date=", "date=today", 1, "1", "1", 0, 0, 0),
    ("date=", "date=to day", 1, "2", "1", 0, 0, 0),
    ("date=today", "date=not today", 1, "1", "4/9", 0, 0, 0),
    ("date=today", "date=today not", 1, "1", "4/9", 0, 0, 0),
    ("date=today", "date=to day", 1, "2", "1/6", 0, 0, 0),
    ("date=to day", "date=today", 1, "1", "1/6", 0, 0, 0),
    ("date=a b", "date=b a", 1, "1", "2/3", 0, 0, 0),
    ("date=a b c", "date=a c", 1, "1/3", "2/5", 0, 0, 0),
    ("date=a b c", "date=a x c", 1, "1/3", "1/5", 0, 0, 0),
    ("date=a b c d", "date=a", 1, "3/4", "6/7", 0, 0, 0),
    ("date=a", "date=a b c d", 1, "3", "6/7", 0, 0, 0),
    ("date=tomorrow", "date=the day after tomorrow please", 1, "4", "21/29", 0, 0, 0),
    ("date=this week", "date=week", 1, "1/2", "5/9", 0, 0, 0),
    ("date=this week", "date=next week", 1, "1/2", "4/9", 0, 0, 0),
    ("date=today; time=noon", "date=today; time=noon", 2, "0", "0", 0, 0, 2),
    ("date=today; time=noon", "time=noon; date=today", 2, "0", "0", 0, 0, 2),
    ("date=today; time=noon", "date=today", 1, "0", "0", 0, 1, 1),
    ("date=today; time=noon", "date=noon; time=today", 2, "2", "8/5", 0, 0, 0),
    ("date=today; time=noon", "date=today; place=noon", 1, "0", "0", 1, 1, 1),
    ("date=today", "date=today; time=noon", 1, "0", "0", 1, 0, 1),
    ("date=today", "date=today; date=today", 1, "0", "0", 1, 0, 1),
    ("date=today; date=today", "date=today", 1, "0", "0", 0, 1, 1),
    ("date=today; date=today", "date=today; date=today", 2, "0", "0", 0, 0, 2),
    ("date=today; date=monday", "date=monday; date=today", 2, "0", "0", 0, 0, 2),
    ("date=today; date=monday", "date=monday", 1, "0", "0", 0, 1, 1),
    # The first prediction takes the nearest gold (by words both are equally far: the first), the second what is left.
    ("date=today; date=monday", "date=mondays; date=monday", 2, "1", "1/7 + 2/6", 0, 0, 1),
    ("date=today; date=monday", "date=monday; date=mondays", 2, "1", "3/7", 0, 0, 1),
    ("date=today; date=monday", "date=x; date=y; date=z", 2, "2", "2 - 1/6", 1, 0, 0),
    ("a=x; a=y; b=z", "b=z; a=y; a=x", 3, "0", "0", 0, 0, 3),
    ("a=x; a=y; b=z", "a=z; b=y; b=x", 2, "2", "2", 1, 1, 0),
    ("a=x y; a=y", "a=y; a=x", 2, "1/2", "2/3", 0, 0, 1),
    ("a=x y; b=z", "a=x; b=z; c=y", 2, "1/2", "2/3", 1, 0, 1),
    ("a=one two three", "a=one; a=two; a=three", 1, "2/3", "10/13", 2, 0, 0),
    ("a=one; a=two; a=three", "a=one & two & three", 1, "4", "12/17", 0, 2, 0),
    ("a=naïve", "a=naive", 1, "1", "1/5", 0, 0, 0),
    ("a=שלום עולם", "a=שלום", 1, "1/2", "5/9", 0, 0, 0),
    ("a=今日は", "a=今日", 1, "1", "1/3", 0, 0, 0),
    ("a=ten  am", "a=ten am", 1, "0", "1/7", 0, 0, 0),
    ("a=ten am", "a=ten am; b=ten am", 1, "0", "0", 1, 0, 1),
    ("person=john; person=mary", "person=john and mary", 1, "2", "9/13", 0, 1, 0),
]


def total(sum_of_fractions: str) -> float:
    signed = sum_of_fractions.replace("- ", "+ -").split(" + ")
    return float(sum(Fraction(one) for one in signed))


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]} / {case[1]}")
def test_counts_are_those_of_the_definition(case: tuple[str, str, int, str, str, int, int, int]) -> None:
    gold, given, matched, word, char, spare, missed, exact = case
    counts = slu_counts([slots(gold)], [slots(given)])
    assert counts.word[0] == pytest.approx([matched, spare + total(word), missed + total(word)])
    assert counts.char[0] == pytest.approx([matched, spare + total(char), missed + total(char)])
    assert counts.span[0].tolist() == [exact, len(slots(given)) - exact, len(slots(gold)) - exact]


def test_there_are_enough_cases() -> None:
    assert len({case[:2] for case in CASES}) == len(CASES) >= 50


def test_the_worked_example_of_the_definition() -> None:
    score = slu_f1([slots("date=tomorrow")], [slots("date=the day after tomorrow please")])
    assert [round(100 * value, 1) for value in (score.word_f1, score.char_f1, score.f1)] == [20.0, 58.0, 29.7]


def test_a_missing_prediction_counts_as_empty() -> None:
    gold = [slots("date=today"), slots("time=noon")]
    assert slu_f1(gold, [gold[0], None]) == slu_f1(gold, [gold[0], []])
    assert slu_f1(gold, [gold[0], None]).f1 == pytest.approx(2 / 3)


def test_types_are_scored_apart() -> None:
    score = slu_f1([slots("a=x; b=y"), slots("b=z")], [slots("a=x; b=y; c=v"), []])
    assert score.per_type == {"a": 1.0, "b": pytest.approx(2 / 3), "c": 0.0}


def test_nothing_to_find_and_nothing_found_is_right() -> None:
    assert slu_f1([[]], [[]]) == SluScore(1.0, 1.0, 1.0, 1.0, {})
    assert slu_f1([], []).f1 == 1.0


def distance(one: list[str], other: list[str]) -> int:
    """Levenshtein's distance by its recursion."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        row, old = [i], row
        for j, b in enumerate(other, 1):
            row.append(min(old[j] + 1, row[-1] + 1, old[j - 1] + (a != b)))
    return row[-1]


def word_error(gold: str, mine: str) -> float:
    return distance(gold.split(), mine.split()) / max(1, len(gold.split()))


def char_error(gold: str, mine: str) -> float:
    return distance(list(gold), list(mine)) / max(1, len(gold), len(mine))


def by_definition(gold: list[Slots], given: list[Slots], errors: list[Callable[[str, str], float]]) -> float:
    tp = fp = fn = 0.0
    for error in errors:
        for wanted, mine in zip(gold, given, strict=True):
            rest = list(wanted)
            for slot in mine:
                same = [other for other in rest if other["type"] == slot["type"]]
                if same:
                    best = min(same, key=lambda other: error(other["filler"], slot["filler"]))
                    d = error(best["filler"], slot["filler"])
                    tp, fp, fn = tp + 1, fp + d, fn + d
                    rest.remove(best)
                else:
                    fp += 1
            fn += len(rest)
    return 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else 1.0


slot = st.builds(
    lambda name, filler: {"type": name, "filler": filler}, st.sampled_from("ab"), st.text("xy ", max_size=6)
)
corpora = st.lists(st.tuples(st.lists(slot, max_size=4), st.lists(slot, max_size=4)), max_size=4)


@given(corpora)
def test_scores_are_those_of_the_definition(corpus: list[tuple[Slots, Slots]]) -> None:
    gold, mine = [pair[0] for pair in corpus], [pair[1] for pair in corpus]
    score = slu_f1(gold, mine)
    assert score.word_f1 == pytest.approx(by_definition(gold, mine, [word_error]))
    assert score.char_f1 == pytest.approx(by_definition(gold, mine, [char_error]))
    assert score.f1 == pytest.approx(by_definition(gold, mine, [word_error, char_error]))


@given(corpora)
def test_sums_of_rows_and_of_types_are_the_same(corpus: list[tuple[Slots, Slots]]) -> None:
    counts = slu_counts([pair[0] for pair in corpus], [pair[1] for pair in corpus])
    assert counts.slu.sum(axis=0) == pytest.approx(np.sum([np.zeros(3), *counts.per_type.values()], axis=0))


def test_slots_that_are_none_are_refused() -> None:
    with pytest.raises(DataError, match="2 and 1"):
        slu_f1([[], []], [[]])
    with pytest.raises(DataError, match="prediction 0 has no type or filler"):
        slu_f1([[]], [[{"type": "date"}]])
    with pytest.raises(DataError, match="gold of utterance 0 has a type or filler that is no text"):
        slu_f1([[{"type": "date", "filler": 5}]], [[]])  # type: ignore[dict-item]
