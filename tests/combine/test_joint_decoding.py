"""Joint decoding: the chosen text, λ from agreement, and what it means for choices."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from outgrow.combine import JointDecoding, Mean, agreement_weights, joint_scores
from outgrow.combine.weights import score_weights
from outgrow.errors import ConfigError, DataError
from outgrow.labels import ChoiceVotes

NAN = np.nan


def choices_of(quality: list[float], rows: int, candidates: int, seed: int = 0) -> list[np.ndarray]:
    """Scores of supervisors of whom each prefers the true candidate with its quality, and a random one otherwise."""
    rng = np.random.default_rng(seed)
    scores = []
    for _ in range(rows):
        truth, one = rng.integers(candidates), rng.normal(-4, 0.1, (candidates, len(quality)))
        for m, own in enumerate(quality):
            one[truth if rng.random() < own else rng.integers(candidates), m] = -1.0
        scores.append(one)
    return scores


def votes_of(*rows: list[list[float]]) -> ChoiceVotes:
    probs = np.array(rows)
    names = tuple("abcdef"[: probs.shape[1]])
    return ChoiceVotes(tuple(str(index) for index in range(len(probs))), names, probs)


@given(arrays(float, (4, 3), elements=st.floats(-50, 0)), arrays(float, 3, elements=st.floats(0.1, 5)))
def test_joint_scores_are_the_weighted_mean(scores: np.ndarray, weights: np.ndarray) -> None:
    np.testing.assert_allclose(joint_scores(scores, weights), np.average(scores, axis=1, weights=weights), atol=1e-12)


def test_who_could_not_read_a_candidate_has_no_say_in_it() -> None:
    assert joint_scores([[-1.0, NAN], [NAN, NAN]], [0.2, 0.8])[0] == -1.0
    assert np.isnan(joint_scores([[-1.0, NAN], [NAN, NAN]], [0.2, 0.8])[1])


def test_an_impossible_text_in_the_eyes_of_someone_without_weight_stays_possible() -> None:
    assert joint_scores([[-1.0, -np.inf]], [1.0, 0.0]).tolist() == [-1.0]


def test_the_candidate_that_all_find_most_probable_is_chosen_and_the_first_of_equals() -> None:
    joint = JointDecoding()
    assert joint.choose([[-1.0, -9.0], [-2.0, -2.0], [-9.0, -1.0]], [0.5, 0.5]) == 1
    assert joint.choose([[-1.0], [-1.0]], [1.0]) == 0
    assert joint.choose(np.zeros((0, 2)), [0.5, 0.5]) is None
    assert joint.choose([[NAN, NAN]], [0.5, 0.5]) is None


def test_weights_from_agreement_recover_planted_qualities() -> None:
    quality = [0.9, 0.6, 0.3, 0.6]
    found = agreement_weights(choices_of(quality, rows=6000, candidates=6))
    np.testing.assert_allclose(found, np.array(quality) / sum(quality), atol=0.02)


def test_agreement_expected_by_chance_counts_for_nothing() -> None:
    found = agreement_weights(choices_of([0.8, 0.8, 0.0], rows=3000, candidates=2))
    assert found[2] < 0.05


@pytest.mark.parametrize("people", [1, 2])
def test_one_or_two_supervisors_count_alike(people: int) -> None:
    np.testing.assert_allclose(agreement_weights(choices_of([0.9, 0.2][:people], 50, 4)), 1 / people)


@pytest.mark.parametrize(
    "scores",
    [
        [np.full((1, 3), -1.0)],
        [np.zeros((0, 3))],
        [np.full((2, 3), NAN)],
        [np.array([[-1.0, -2.0, -3.0], [-2.0, -1.0, NAN], [-4.0, -4.0, -1.0]])],
    ],
    ids=["one candidate", "none", "unread", "never agreed"],
)
def test_where_agreement_says_nothing_all_count_alike(scores: list[np.ndarray]) -> None:
    np.testing.assert_allclose(agreement_weights(scores), 1 / 3)


def test_without_rows_there_is_nothing_to_estimate() -> None:
    with pytest.raises(DataError):
        agreement_weights([])


@pytest.mark.parametrize("weights", [None, "uniform"])
def test_uniform_is_the_default(weights: str | None) -> None:
    assert score_weights(weights, ("a", "b"), []).tolist() == [0.5, 0.5]


def test_given_weights_are_shares_and_must_fit() -> None:
    assert score_weights({"b": 1, "a": 3}, ("a", "b"), []).tolist() == [0.75, 0.25]
    with pytest.raises(ConfigError, match="do not fit"):
        JointDecoding(weights={"a": 3}).check_texts(("a", "b"))


def test_standardised_scores_give_equal_say_to_supervisors_whose_scores_spread_differently() -> None:
    scores = [[[-1.0, -2.0], [-2.0, -50.0], [-9.0, -1.0]], [[-3.0, -70.0], [-1.0, -1.0]]]
    loud = JointDecoding()
    even = JointDecoding(scale="standardise")
    halves = [0.5, 0.5]
    assert [loud.choose(each, halves) for each in loud.comparable(scores)] == [0, 1]
    wide = [np.array(each) * [1.0, 1000.0] + [0.0, -7.0] for each in scores]
    for one, other in zip(even.comparable(scores), even.comparable(wide), strict=True):
        np.testing.assert_allclose(one, other)


def test_for_choices_linear_pooling_is_the_mean() -> None:
    votes = votes_of([[0.2, 0.8], [0.9, 0.1]], [[0.5, 0.5], [NAN, NAN]])
    np.testing.assert_array_equal(JointDecoding().choices(votes).probs, Mean().choices(votes).probs)


def test_for_choices_log_pooling_is_the_weighted_geometric_mean_of_those_who_voted() -> None:
    votes = votes_of([[0.2, 0.8], [0.9, 0.1]], [[0.3, 0.7], [NAN, NAN]], [[NAN, NAN], [NAN, NAN]])
    targets = JointDecoding(weights={"a": 1, "b": 3}, pooling="log").choices(votes)
    product = np.array([0.2**0.25 * 0.9**0.75, 0.8**0.25 * 0.1**0.75])
    assert targets.ids == ("0", "1")
    np.testing.assert_allclose(targets.probs, [product / product.sum(), [0.3, 0.7]])


def test_certainties_that_contradict_each_other_cancel_out() -> None:
    targets = JointDecoding(pooling="log").choices(votes_of([[1.0, 0.0], [0.0, 1.0]]))
    np.testing.assert_allclose(targets.probs, [[0.5, 0.5]])
