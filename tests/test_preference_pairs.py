"""Records of preference pairs."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outgrow.errors import DataError
from outgrow.labels import PreferencePairs


def pairs_of(**changed: Any) -> PreferencePairs:
    columns: dict[str, Any] = {
        "ids": ("a", "b"),
        "prompts": ("2 + 2 =", "2 + 3 ="),
        "chosen": (" 4", " 5"),
        "rejected": (" 5", " 4"),
        "p_chosen": (0.9, 0.6),
        "weights": (1.0, 0.5),
    }
    return PreferencePairs(**{**columns, **changed})


texts = st.text(st.characters(codec="utf-8"), max_size=8)


@given(st.lists(st.tuples(texts, texts, texts.map("+{}".format), st.floats(0, 1), st.floats(0, 1e6)), max_size=5))
def test_pairs_go_to_and_from_arrow_unchanged(rows: list[tuple[str, str, str, float, float]]) -> None:
    columns = list(zip(*rows, strict=True)) or [()] * 5
    prompts, chosen, rejected, sure, weights = columns
    kept = [index for index, (a, b) in enumerate(zip(chosen, rejected, strict=True)) if a != b]
    pairs = PreferencePairs(
        tuple(str(index) for index in kept),
        *(tuple(column[index] for index in kept) for column in (prompts, chosen, rejected, sure, weights)),
    )
    assert PreferencePairs.from_arrow(pairs.to_arrow()) == pairs
    assert list(pairs.records()) == pairs.to_arrow().to_pylist()


def test_a_table_with_the_three_columns_of_trl_is_enough() -> None:
    table = pa.table({"prompt": ["a", "b"], "chosen": ["x", "y"], "rejected": ["y", "z"], "score": [1, 2]})
    pairs = PreferencePairs.from_arrow(table)
    assert (pairs.ids, pairs.p_chosen, pairs.weights) == (("0", "1"), (1.0, 1.0), (1.0, 1.0))


def test_pairs_are_turned_round_where_another_judge_prefers_the_rejected_text() -> None:
    judged = pairs_of().judged([0.3, 0.8])
    assert judged.chosen == (" 5", " 5")
    assert judged.rejected == (" 4", " 4")
    assert judged.p_chosen == pytest.approx((0.7, 0.8))
    assert judged.weights == (1.0, 0.5)
    assert judged.doubts().tolist() == pytest.approx([0.3, 0.2])


def test_what_was_cut_stays_so_when_a_pair_is_turned_or_stored() -> None:
    pairs = pairs_of(chosen_ended=(True, False), rejected_ended=(True, True))
    turned = pairs.turned([False, True])
    assert (turned.chosen_ended, turned.rejected_ended) == ((True, True), (True, False))
    assert PreferencePairs.from_arrow(turned.to_arrow()) == turned
    with pytest.raises(DataError, match="wanted: true or false"):
        PreferencePairs.from_arrow(pa.table({"prompt": ["p"], "chosen": ["a"], "rejected": ["b"], "chosen_ended": [1]}))


def test_a_toss_up_is_left_out() -> None:
    assert pairs_of().judged([0.5, 0.8]).ids == ("b",)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"chosen": (" 4",)}, "different lengths"),
        ({"rejected": (" 4", " 4")}, "same text twice"),
        ({"p_chosen": (0.9, 1.1)}, "no probability"),
        ({"p_chosen": (0.9, float("nan"))}, "no probability"),
        ({"weights": (1.0, -1.0)}, "negative or no number"),
        ({"weights": (1.0, float("inf"))}, "negative or no number"),
    ],
)
def test_pairs_that_make_no_sense_are_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        pairs_of(**changed)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"prompt": ["a"], "chosen": ["x"]}, "have no rejected"),
        ({"prompt": ["a"], "chosen": [None], "rejected": ["x"]}, "`chosen` of preference pair 0 is of the wrong kind"),
        ({"prompt": ["a"], "chosen": ["x"], "rejected": ["y"], "p_chosen": ["high"]}, "wanted: a number"),
        ({"prompt": [["a"]], "chosen": ["x"], "rejected": ["y"]}, "conversations are to be written out"),
    ],
)
def test_tables_of_another_form_are_refused(table: dict[str, list[Any]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        PreferencePairs.from_arrow(pa.table(table))


def test_probabilities_for_other_pairs_are_refused() -> None:
    with pytest.raises(DataError, match="differ in number"):
        pairs_of().judged([0.5])
