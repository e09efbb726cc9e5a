"""Class proportions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outgrow.combine.targets import match_proportions, shifted_proportions
from outgrow.errors import DataError


@given(st.integers(0, 10_000), st.integers(2, 30), st.integers(2, 6))
def test_the_mean_of_matched_targets_has_the_wanted_proportions(seed: int, rows: int, choices: int) -> None:
    random = np.random.default_rng(seed)
    probs = random.dirichlet(np.ones(choices), size=rows)
    wanted, weights = random.dirichlet(np.full(choices, 5.0)), random.uniform(0.1, 2, size=rows)
    matched = match_proportions(probs, wanted, weights=weights)
    assert matched.sum(axis=1) == pytest.approx(np.ones(rows))
    assert weights @ matched / weights.sum() == pytest.approx(wanted, abs=1e-4)


def test_all_rows_are_reweighted_by_the_same_factors() -> None:
    probs = np.random.default_rng(0).dirichlet(np.ones(3), size=50)
    factors = match_proportions(probs, [0.2, 0.3, 0.5]) / probs
    ratios = factors / factors[:, :1]
    assert ratios == pytest.approx(np.tile(ratios[0], (50, 1)), rel=1e-6)


def test_targets_that_have_the_proportions_stay_as_they_are() -> None:
    probs = np.random.default_rng(0).dirichlet(np.ones(3), size=50)
    assert match_proportions(probs, probs.mean(axis=0)) == pytest.approx(probs)


def test_certain_targets_cannot_be_moved() -> None:
    with pytest.raises(DataError, match=r"cannot reach(.|\n)*do not harden"):
        match_proportions(np.eye(2), [0.9, 0.1])


@pytest.mark.parametrize("wanted", [[0.5, 0.6], [1.5, -0.5], [1.0], [np.nan, 1.0]])
def test_proportions_that_are_none_are_refused(wanted: list[float]) -> None:
    with pytest.raises(DataError, match="no distribution over the choices"):
        match_proportions(np.full((2, 2), 0.5), wanted)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
def test_a_shift_of_the_classes_is_found_from_calibrated_predictions(share: float) -> None:
    random = np.random.default_rng(0)
    signal = random.normal(2.0 * (random.random(20_000) < share) - 1)
    positive = 1 / (1 + np.exp(-2 * signal))  # the exact posterior under equal classes
    found = shifted_proportions(np.stack([1 - positive, positive], axis=1), [0.5, 0.5])
    assert found == pytest.approx([1 - share, share], abs=0.02)


def test_a_class_nobody_learned_from_is_refused() -> None:
    with pytest.raises(DataError, match="A class is missing"):
        shifted_proportions(np.full((2, 2), 0.5), [1.0, 0.0])
