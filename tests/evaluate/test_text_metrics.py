from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu.metrics import CHRF

from outgrow.errors import ConfigError, DataError
from outgrow.evaluate.text_metrics import ChrF, RougeL, TextMetric
from outgrow.registry import create, names

# Final answers are numbers or formulas and are tested by themselves.
METRICS: list[TextMetric] = [create("metric", name, {}) for name in names("metric") if "answer" not in name]
texts = st.text(alphabet="abc dé界🙂", max_size=20)
words = st.lists(st.sampled_from(["a", "b", "c"]), max_size=6)


def longest_common(one: list[str], other: list[str]) -> int:
    """By trying every subsequence."""
    found = {
        length: set(combinations(one, length)) & set(combinations(other, length)) for length in range(len(one) + 1)
    }
    return max(length for length, shared in found.items() if shared)


@given(words, words)
def test_rouge_l_is_f_of_the_longest_common_subsequence(one: list[str], other: list[str]) -> None:
    expected = 2 * longest_common(one, other) / (len(one) + len(other)) if one or other else 1.0
    assert RougeL()([" ".join(one)], [" ".join(other)]) == pytest.approx([expected])


def test_rouge_l_weighs_recall_by_beta() -> None:
    # Precision 1, recall 1/2.
    assert RougeL(beta=2.0)(["a b"], ["a b c d"]) == pytest.approx([5 * 0.5 / (4 + 0.5)])


@given(texts, texts, st.integers(1, 6), st.sampled_from([0.5, 1, 2]))
def test_chrf_is_sacrebleus(answer: str, gold: str, order: int, beta: float) -> None:
    theirs = CHRF(char_order=order, beta=beta).sentence_score(answer, [gold]).score / 100
    empty = not answer.strip() and not gold.strip()
    assert ChrF(order=order, beta=beta)([answer], [gold]) == pytest.approx([1.0 if empty else theirs])


@pytest.mark.parametrize("metric", METRICS, ids=str)
def test_right_answers_score_one_and_foreign_or_missing_ones_zero(metric: TextMetric) -> None:
    gold = ["the cat sat", "", "ja"]
    assert metric(gold, gold).tolist() == [1.0, 1.0, 1.0]
    assert metric(["dog", "x", None], gold).tolist()[1:] == [0.0, 0.0]
    assert metric([None], [""]).tolist() == [0.0]
    assert metric([], []).shape == (0,)


@pytest.mark.parametrize("metric", METRICS, ids=str)
@given(st.lists(st.tuples(texts, texts), max_size=4))
def test_scores_are_fractions_and_rows_do_not_see_each_other(metric: TextMetric, pairs: list[tuple[str, str]]) -> None:
    together = metric([one for one, _ in pairs], [other for _, other in pairs])
    assert ((together >= 0) & (together <= 1 + 1e-12)).all()
    assert np.array_equal(together, [metric([one], [other])[0] for one, other in pairs])


@pytest.mark.parametrize("metric", METRICS, ids=str)
def test_as_many_answers_as_gold_texts_are_wanted(metric: TextMetric) -> None:
    with pytest.raises(DataError, match="1 and 2"):
        metric(["a"], ["a", "b"])


@pytest.mark.parametrize(("name", "params"), [("rouge_l", {"beta": 0}), ("chrf", {"order": 0}), ("chrf", {"beta": -1})])
def test_impossible_parameters_are_refused(name: str, params: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=f"metric '{name}' refuses its parameters"):
        create("metric", name, params)


def test_the_short_names_are_those_of_the_measures() -> None:
    shown = ["ChrF(order=6, beta=2.0)", "exact_match()", "RougeL(beta=1.0)", "token_f1()"]
    assert [str(metric) for metric in METRICS] == shown
