from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from outgrow.combine import surest
from outgrow.errors import ConfigError
from outgrow.labels import ChoiceTargets, positions


def targets_of(probs: NDArray[np.float64]) -> ChoiceTargets:
    count = len(probs)
    return ChoiceTargets(tuple(f"r{index}" for index in range(count)), probs, np.arange(1.0, count + 1))


@st.composite
def any_targets(draw: st.DrawFn) -> ChoiceTargets:
    """Targets from few distinct values, so that ties are common."""
    shape = draw(st.tuples(st.integers(1, 30), st.integers(2, 4)))
    mass = draw(arrays(np.int64, shape, elements=st.integers(1, 4))).astype(np.float64)
    return targets_of(mass / mass.sum(axis=1, keepdims=True))


@given(any_targets(), st.integers(1, 100), st.integers(0, 3))
def test_no_row_left_out_is_surer_than_one_that_stays(targets: ChoiceTargets, percent: int, seed: int) -> None:
    kept = surest(targets, percent / 100, seed=seed)
    assert len(kept.ids) == -(-percent * len(targets.ids) // 100)
    left_out = np.setdiff1d(np.arange(len(targets.ids)), positions(targets.ids, kept.ids))
    if len(left_out):
        assert kept.probs.max(axis=1).min() >= targets.probs[left_out].max() - 1e-9


@given(any_targets(), st.integers(1, 100))
def test_per_class_the_same_share_of_every_likeliest_choice_stays(targets: ChoiceTargets, percent: int) -> None:
    kept = surest(targets, percent / 100, per_class=True)
    before, after = (np.bincount(each.probs.argmax(axis=1), minlength=4) for each in (targets, kept))
    np.testing.assert_array_equal(after, -(-percent * before // 100))


@given(any_targets())
def test_rows_keep_their_order_their_targets_and_their_weights(targets: ChoiceTargets) -> None:
    kept = surest(targets, 0.5)
    where = positions(targets.ids, kept.ids)
    assert list(where) == sorted(where)
    np.testing.assert_array_equal(kept.probs, targets.probs[where])
    np.testing.assert_array_equal(kept.weights, targets.weights[where])


@given(any_targets(), st.booleans())
def test_keeping_all_rows_changes_nothing(targets: ChoiceTargets, per_class: bool) -> None:
    assert surest(targets, 1.0, per_class=per_class).to_arrow().equals(targets.to_arrow())


def test_among_equals_the_order_of_the_file_does_not_matter_and_the_seed_does() -> None:
    targets = targets_of(np.eye(2)[np.repeat([0, 1], 500)])
    kept = surest(targets, 0.5)
    assert 0.4 < kept.probs[:, 1].mean() < 0.6
    assert surest(targets, 0.5).ids == kept.ids
    assert surest(targets, 0.5, seed=1).ids != kept.ids


def test_the_votes_of_rows_that_stay_are_kept() -> None:
    probs = np.array([[0.6, 0.4], [0.9, 0.1]])
    targets = ChoiceTargets(("a", "b"), probs, np.ones(2), probs[:, None, :], np.ones(1))
    kept = surest(targets, 0.5)
    assert kept.votes is not None
    assert kept.votes.tolist() == [[[0.9, 0.1]]]
    assert kept.lambdas is targets.lambdas


@pytest.mark.parametrize("keep", [0.0, -1.0, 1.1, float("nan")])
def test_a_share_out_of_range_is_refused(keep: float) -> None:
    with pytest.raises(ConfigError, match="out of range"):
        surest(targets_of(np.eye(2)), keep)
