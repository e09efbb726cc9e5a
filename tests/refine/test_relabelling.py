"""Relabellers of choice tasks: planted truths, scikit-learn and brute force."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors

from outgrow.errors import ConfigError, DataError
from outgrow.labels import ChoiceTargets
from outgrow.refine import linear, neighbours
from outgrow.refine.linear import Linear, fit_logistic
from outgrow.refine.neighbours import Neighbours, nearest
from outgrow.registry import create

BOTH = [Neighbours(k=15), Linear()]


def targets_of(probs: NDArray[np.float64], weights: NDArray[np.float64] | None = None) -> ChoiceTargets:
    ids = tuple(f"r{index}" for index in range(len(probs)))
    return ChoiceTargets(ids, probs, np.ones(len(probs)) if weights is None else weights)


def three_clouds(count: int = 600, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Three classes far apart, far from the origin."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, count)
    centres = 4 * np.eye(3, 8)
    return (7 + centres[labels] + rng.normal(size=(count, 8))).astype(np.float32), labels


@pytest.mark.parametrize("relabeller", BOTH)
def test_random_mistakes_are_mended(relabeller: Neighbours | Linear) -> None:
    features, labels = three_clouds()
    rng = np.random.default_rng(1)
    wrong = rng.random(len(labels)) < 0.3
    said = np.eye(3)[np.where(wrong, (labels + rng.integers(1, 3, len(labels))) % 3, labels)]
    refined = relabeller(features, targets_of(said), seed=0)
    assert (refined.probs.argmax(axis=1) == labels).mean() > 0.97


@pytest.mark.parametrize("relabeller", BOTH)
@given(row=st.integers(0, 39), said=st.integers(0, 2))
def test_the_label_of_a_row_has_no_say_in_its_own(relabeller: Neighbours | Linear, row: int, said: int) -> None:
    features, labels = three_clouds(40)
    before = np.eye(3)[labels]
    after = before.copy()
    after[row] = np.eye(3)[said]
    one, other = (relabeller(features, targets_of(probs), seed=0) for probs in (before, after))
    np.testing.assert_array_equal(one.probs[row], other.probs[row])


@pytest.mark.parametrize("relabeller", BOTH)
def test_ids_and_weights_stay_and_votes_go(relabeller: Neighbours | Linear) -> None:
    features, labels = three_clouds(60)
    probs = np.eye(3)[labels]
    targets = ChoiceTargets(tuple(map(str, range(60))), probs, np.linspace(0.5, 2, 60), probs[:, None, :], np.ones(1))
    refined = relabeller(features, targets, seed=0)
    assert refined.ids == targets.ids
    np.testing.assert_array_equal(refined.weights, targets.weights)
    assert refined.votes is None
    np.testing.assert_allclose(refined.probs.sum(axis=1), 1)


@pytest.mark.parametrize("relabeller", BOTH)
def test_a_row_of_weight_zero_teaches_nobody(relabeller: Neighbours | Linear) -> None:
    features, labels = three_clouds(60)
    weights = np.ones(60)
    weights[7] = 0
    before = np.eye(3)[labels]
    after = before.copy()
    after[7] = np.roll(after[7], 1)
    one, other = (relabeller(features, targets_of(probs, weights), seed=0) for probs in (before, after))
    np.testing.assert_array_equal(one.probs, other.probs)


def test_neighbours_are_those_of_scikit_learn_however_the_work_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    features, _ = three_clouds(200)
    centred = features - features.mean(axis=0)
    distances = NearestNeighbors(n_neighbors=6, metric="cosine").fit(centred).kneighbors()[1]
    for chunk in (1 << 24, 700, 1):
        monkeypatch.setattr(neighbours, "_CHUNK", chunk)
        np.testing.assert_array_equal(nearest(features, np.arange(200), 6), distances)


def test_neighbours_count_by_their_weight() -> None:
    features = np.array([[1.0, 0], [1, 0.1], [1, -0.1], [-1, 0]], dtype=np.float32)
    targets = targets_of(np.eye(2)[[0, 0, 1, 1]], np.array([1.0, 3.0, 1.0, 1.0]))
    assert Neighbours(k=2)(features, targets).probs[0].tolist() == [0.75, 0.25]


@pytest.mark.parametrize("classes", [2, 3])
def test_the_regression_is_that_of_scikit_learn(classes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "_CHUNK", 64)
    features, labels = three_clouds(300)
    labels %= classes
    standard = ((features - features.mean(axis=0)) / features.std(axis=0)).astype(np.float32)
    rng = np.random.default_rng(0)
    soft, weights = rng.dirichlet(np.ones(classes), 300), rng.uniform(0.5, 2, 300)
    weight, bias = fit_logistic(standard, soft, weights, penalty=0.05)
    # A soft target is one row per class, weighted by its probability. For two classes theirs has one weight vector, the
    # difference of our two, whose squared norm is twice the sum of ours.
    theirs = LogisticRegression(C=(2 if classes == 2 else 1) / (0.05 * weights.sum()), tol=1e-10, max_iter=10_000)
    theirs.fit(
        np.repeat(standard.astype(np.float64), classes, axis=0),
        np.tile(np.arange(classes), 300),
        sample_weight=(soft * weights[:, None]).ravel(),
    )
    np.testing.assert_allclose(softmax(standard @ weight.T + bias, axis=1), theirs.predict_proba(standard), atol=1e-4)


def test_the_seed_deals_the_folds() -> None:
    features, labels = three_clouds(60)
    targets = targets_of(np.eye(3)[labels])
    one, again, other = (Linear(folds=3)(features, targets, seed=seed).probs for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


def test_a_feature_that_is_the_same_everywhere_and_a_class_nobody_has_do_no_harm() -> None:
    features, labels = three_clouds(60)
    features[:, 0] = 3.0
    probs = np.pad(np.eye(3)[labels], ((0, 0), (0, 1)))
    for relabeller in BOTH:
        refined = relabeller(features, targets_of(probs), seed=0)
        assert np.isfinite(refined.probs).all()
        assert (refined.probs[:, 3] < 0.01).all()


@pytest.mark.parametrize("relabeller", [Neighbours(k=4), Linear(folds=6)])
def test_too_few_rows_are_refused(relabeller: Neighbours | Linear) -> None:
    features, labels = three_clouds(4)
    with pytest.raises(DataError, match="Too few rows"):
        relabeller(features, targets_of(np.eye(3)[labels]), seed=0)


@pytest.mark.parametrize("relabeller", BOTH)
def test_features_that_do_not_fit_are_refused(relabeller: Neighbours | Linear) -> None:
    features, labels = three_clouds(60)
    targets = targets_of(np.eye(3)[labels])
    with pytest.raises(DataError, match="wrong shape"):
        relabeller(features[1:], targets, seed=0)
    features[3, 3] = np.nan
    with pytest.raises(DataError, match="not finite"):
        relabeller(features, targets, seed=0)


@pytest.mark.parametrize(
    "config",
    [
        {"name": "neighbours", "k": 0},
        {"name": "linear", "folds": 1},
        {"name": "linear", "penalty": 0.0},
        {"name": "linear", "penalty": float("nan")},
        {"name": "neigbours"},
        {"name": "infer_and_respond"},
        {"name": "icl", "draws": 0},
        {"name": "icl", "query": "Label:"},
    ],
)
def test_what_makes_no_sense_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        create("refiner", config["name"], {key: config[key] for key in config if key != "name"}, "choices")
