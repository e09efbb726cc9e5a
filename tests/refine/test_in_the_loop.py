"""A student in the loop: planted truths, scikit-learn's discriminant analysis, and who teaches whom."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from outgrow.errors import DataError
from outgrow.labels import ChoiceTargets
from outgrow.refine.in_the_loop import InTheLoop, cross_fitted, discriminant, evidence, vote_symbols
from outgrow.refine.refinement import ChoiceRefinement

Array = NDArray[np.float64]


def planted(
    rights: tuple[float, ...], apart: float = 2.0, shares: tuple[float, ...] = (0.5, 0.3, 0.2), count: int = 300
) -> tuple[NDArray[np.float32], NDArray[np.int64], ChoiceTargets]:
    """Classes around points `apart` along axes of their own, and supervisors that are right by these probabilities."""
    rng, classes = np.random.default_rng(0), len(shares)
    truth = rng.choice(classes, count, p=shares)
    features = (apart * np.eye(classes, 10)[truth] + rng.normal(size=(count, 10))).astype(np.float32)
    said = np.tile(truth[:, None], (1, len(rights)))
    wrong = rng.random(said.shape) > np.array(rights)
    said[wrong] = (said[wrong] + rng.integers(1, classes, wrong.sum())) % classes
    votes = np.eye(classes)[said]
    ids = tuple(map(str, range(count)))
    return features, truth, ChoiceTargets(ids, votes.mean(axis=1), np.ones(count), votes, np.ones(len(rights)))


def accuracy(probs: Array, truth: NDArray[np.int64]) -> float:
    return float((probs.argmax(axis=1) == truth).mean())


def test_truth_is_recovered_where_the_features_carry_it() -> None:
    features, truth, targets = planted((0.6, 0.6, 0.6), apart=4)
    found = InTheLoop(folds=3)(features, targets)
    assert accuracy(targets.probs, truth) < 0.75
    assert accuracy(found.targets.probs, truth) > 0.95
    assert [note.severity for note in found.notes("loop", 0)] == ["info"]


def test_labels_stay_as_they_are_where_the_features_are_noise_and_a_note_says_so() -> None:
    features, _, targets = planted((0.8, 0.7, 0.7), apart=0)
    found = InTheLoop()(features, targets)
    np.testing.assert_array_equal(found.targets.probs, targets.probs)
    (note,) = found.notes("loop", 0)
    assert (note.code, note.severity) == ("refined.agreement", "caution")
    assert note.values["kappa"] == pytest.approx(0, abs=2 * note.values["error"])


def test_votes_are_not_forgotten_where_the_features_say_little() -> None:
    features, truth, targets = planted((0.8, 0.7, 0.7), apart=0.7)
    found = InTheLoop()(features, targets)
    assert found.agreement is not None
    assert found.agreement[0] > 2 * found.agreement[1]
    assert accuracy(found.targets.probs, truth) > accuracy(targets.probs, truth) - 0.01


def test_good_votes_are_not_spoilt_by_a_student_who_agrees_with_them_less_than_they_do() -> None:
    features, truth, targets = planted((0.8,) * 6, apart=0.7)
    found = InTheLoop()(features, targets)
    assert accuracy(found.targets.probs, truth) >= accuracy(targets.probs, truth) > 0.96


def test_the_student_finds_out_which_supervisor_to_believe() -> None:
    features, truth, targets = planted((0.9, 0.4, 0.4), shares=(0.4, 0.3, 0.3))
    symbols = vote_symbols(targets.votes)  # type: ignore[arg-type]
    posterior = InTheLoop()(features, targets).targets.probs
    heard = evidence(symbols, posterior, targets.weights)
    assert accuracy(heard, truth) > 0.88 > 0.75 > accuracy(targets.probs, truth)


def test_class_proportions_stay_those_of_the_targets() -> None:
    features, _, targets = planted((0.7, 0.6))
    weights = np.linspace(0.5, 2, len(targets.ids))
    weighted = ChoiceTargets(targets.ids, targets.probs, weights, targets.votes, targets.lambdas)
    found = InTheLoop(rounds=1, folds=2)(features, weighted).targets
    np.testing.assert_array_equal(found.weights, weights)
    np.testing.assert_allclose(weights @ found.probs, weights @ targets.probs, rtol=1e-6)


@pytest.mark.parametrize("row", [0, 17, 39])
def test_a_student_never_labels_a_row_whose_target_it_learned(row: int) -> None:
    features, truth, _ = planted((1.0,), count=40)
    targets, weights, points = np.eye(3)[truth], np.ones(40), features.astype(np.float64)
    changed = targets.copy()
    changed[row] = np.roll(changed[row], 1)
    before, after = (cross_fitted(discriminant, points, each, weights, folds=4, seed=1) for each in (targets, changed))
    np.testing.assert_array_equal(before[row], after[row])
    assert (before != after).any(axis=1).sum() == 30  # every row of the other folds


def test_a_row_of_weight_zero_teaches_nobody() -> None:
    features, _, targets = planted((0.7, 0.6), count=60)
    weights = np.ones(60)
    weights[7] = 0
    changed = targets.votes.copy()  # type: ignore[union-attr]
    changed[7] = np.roll(changed[7], 1, axis=1)
    one, other = (
        InTheLoop(rounds=2, folds=2)(
            features, ChoiceTargets(targets.ids, votes.mean(axis=1), weights, votes, np.ones(2))
        )
        for votes in (targets.votes, changed)
    )
    others = weights > 0
    np.testing.assert_array_equal(one.targets.probs[others], other.targets.probs[others])


def test_the_discriminant_is_that_of_scikit_learn() -> None:
    features, truth, _ = planted((1.0,), count=200)
    points = features.astype(np.float64)
    theirs = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.5).fit(points, truth)
    ours = discriminant(points, np.eye(3)[truth], np.full(200, 3.0), points)
    np.testing.assert_allclose(ours, theirs.predict_proba(points), atol=1e-10)


def test_a_vote_says_its_choice_and_the_third_of_its_confidence() -> None:
    own = [[0.6, 0.4], [0.3, 0.7], [0.8, 0.2], [0.1, 0.9], [0.95, 0.05], [0.02, 0.98], [np.nan, np.nan]]
    people = np.eye(2)[[0, 1, 0, 1, 0, 1, 1]]
    symbols = vote_symbols(np.stack([np.array(own), people], axis=1))
    assert symbols[:, 0].tolist() == [0, 3, 1, 4, 2, 5, -1]
    assert symbols[:, 1].tolist() == [0, 3, 0, 3, 0, 3, 3]


def test_a_posterior_counts_as_the_votes_of_one_supervisor() -> None:
    features, truth, targets = planted((0.6, 0.6, 0.6), apart=4, count=200)
    alone = ChoiceTargets(targets.ids, targets.probs, targets.weights)
    assert accuracy(InTheLoop(rounds=1, folds=2)(features, alone).targets.probs, truth) > 0.95


def test_a_class_that_nobody_votes_for_gets_no_probability_and_silence_is_no_vote() -> None:
    features, _, targets = planted((0.8,), shares=(0.5, 0.5), count=60)
    votes = np.pad(targets.votes, ((0, 0), (0, 1), (0, 1)))  # type: ignore[arg-type]
    votes[:, 1] = np.nan
    silent = ChoiceTargets(targets.ids, votes[:, 0], targets.weights, votes, np.ones(2))
    probs = InTheLoop(rounds=1, folds=2)(features, silent).targets.probs
    assert np.isfinite(probs).all()
    assert (probs[:, 2] == 0).all()


def test_proportions_are_reached_where_the_student_is_certain_of_others() -> None:
    features, truth, targets = planted((1.0,), apart=60)
    votes = np.eye(3)[truth]
    votes[truth.argmin()] = [0, 1, 0]  # the first row of class 0
    leaning = ChoiceTargets(targets.ids, votes, targets.weights, votes[:, None], np.ones(1))
    found = InTheLoop(rounds=1, folds=2)(features, leaning).targets
    np.testing.assert_allclose(found.probs.mean(axis=0), votes.mean(axis=0), atol=1e-4)


def test_too_few_rows_are_refused() -> None:
    features, _, targets = planted((0.8,), count=4)
    with pytest.raises(DataError, match="Too few rows for 5 folds"):
        InTheLoop()(features, targets)


def test_agreement_goes_to_arrow_and_back_and_into_a_note() -> None:
    targets = ChoiceTargets(("a",), np.array([[0.2, 0.8]]), np.ones(1))
    again = ChoiceRefinement.from_arrow(ChoiceRefinement(targets, agreement=(0.6, 0.1)).to_arrow())
    assert [note.values for note in again.notes("loop", 0)] == [{"kappa": 0.6, "error": 0.1}]
