import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outgrow.errors import DataError
from outgrow.evaluate import choice_scores, exact_match, token_f1

NAN = float("nan")


def test_the_most_probable_choice_scores_one_where_it_is_gold_and_zero_elsewhere():
    assert choice_scores([[0.7, 0.2, 0.1], [0.7, 0.2, 0.1]], [0, 1]).tolist() == [1.0, 0.0]


def test_a_tie_earns_the_expectation_of_a_fair_draw():
    assert choice_scores([[0.4, 0.4, 0.2]] * 3, [0, 1, 2]).tolist() == [0.5, 0.5, 0.0]


def test_a_tie_that_differs_in_the_last_bit_is_still_a_tie():
    assert 0.1 + 0.2 > 0.3
    assert choice_scores([[0.1 + 0.2, 0.3, 0.0]], [1]).tolist() == [0.5]


def test_an_abstention_is_a_uniform_guess():
    assert choice_scores([[NAN] * 4], [2]).tolist() == [0.25]


@given(st.integers(2, 6), st.integers(0, 2**32 - 1))
def test_scores_over_all_gold_answers_sum_to_one(choices, seed):
    # Exactly one answer can be drawn, whatever the ties.
    vote = np.random.default_rng(seed).integers(0, 3, size=choices) / 10
    scores = choice_scores(np.tile(vote, (choices, 1)), np.arange(choices))
    assert scores.sum() == pytest.approx(1)


def test_a_vote_that_is_nan_in_part_is_refused():
    with pytest.raises(DataError, match="only in part"):
        choice_scores([[0.5, NAN]], [0])


@pytest.mark.parametrize("gold", [[2], [-1], [0.5]])
def test_a_gold_answer_outside_the_choices_is_refused(gold):
    with pytest.raises(DataError, match="not one of the choices"):
        choice_scores([[0.5, 0.5]], gold)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(DataError, match=r"\(1, 2\) and \(2,\)"):
        choice_scores([[0.5, 0.5]], [0, 1])


@pytest.mark.parametrize(
    ("answer", "gold", "score"),
    [
        (" Paris.\n", "paris", 1),
        ("New   York", "new york", 1),
        ("-5", "5", 0),
        ("3.5", "35", 0),
        ("STRASSE", "straße", 1),
        ("", "", 1),
        ("", "paris", 0),
    ],
)
def test_exact_match_ignores_case_spacing_and_outer_punctuation_only(answer, gold, score):
    assert exact_match([answer], [gold]).tolist() == [score]


def test_an_answer_that_could_not_be_had_is_wrong_under_both_metrics():
    assert exact_match([None], [""]).tolist() == token_f1([None], [""]).tolist() == [0.0]


def test_token_f1_is_the_harmonic_mean_of_precision_and_recall():
    # Two of three words are right, two of four gold words found: P = 2/3, R = 1/2.
    precision, recall = 2 / 3, 1 / 2
    f1 = token_f1(["red green blue"], ["green, red, white, black"])
    assert f1[0] == pytest.approx(2 * precision * recall / (precision + recall))


def test_token_f1_counts_a_repeated_word_as_often_as_gold_has_it():
    assert token_f1(["no no no"], ["no"])[0] == pytest.approx(0.5)


def test_token_f1_of_nothing_against_something_is_zero():
    assert token_f1(["", "."], ["a", "a"]).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("metric", [exact_match, token_f1])
def test_answers_and_gold_of_different_number_are_refused(metric):
    with pytest.raises(DataError, match="differ in number"):
        metric(["a"], ["a", "b"])
