from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from outgrow.errors import DataError
from outgrow.evaluate import agreement

MISSING = np.nan
# Four observers and twelve units of Krippendorff 2011, section E.
EXAMPLE = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, MISSING, MISSING, MISSING],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, MISSING, 3],
        [MISSING, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, MISSING],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, MISSING],
    ]
)


def by_pairs(ratings: np.ndarray) -> float:
    """Alpha from its definition: every ordered pair of values, once within units and once among all."""
    units = [column[np.isfinite(column)] for column in ratings.T]
    units = [unit for unit in units if len(unit) > 1]
    values = np.concatenate(units)
    within = sum(sum((a - b) ** 2 for a, b in permutations(unit, 2)) / (len(unit) - 1) for unit in units)
    among = sum((a - b) ** 2 for a, b in permutations(values, 2)) / (len(values) - 1)
    return float(1 - within / among)


def test_alpha_of_the_published_example_is_the_published_one() -> None:
    assert agreement(EXAMPLE).alpha == pytest.approx(0.849, abs=5e-4)


@given(arrays(np.float64, (3, 5), elements=st.sampled_from([1.0, 2.0, 4.0, MISSING])))
def test_alpha_is_that_of_all_pairs(ratings: np.ndarray) -> None:
    counts = np.isfinite(ratings).sum(axis=0)
    pairable = ratings[:, counts > 1]
    assume(np.isfinite(pairable).any() and np.ptp(pairable[np.isfinite(pairable)]) > 0)
    assert agreement(ratings).alpha == pytest.approx(by_pairs(ratings))


def test_a_judge_who_is_milder_correlates_and_differs() -> None:
    strict = np.array([1.0, 3.0, 2.0, 5.0])
    found = agreement(np.stack([strict, strict + 2]))
    assert found.correlations[0, 1] == pytest.approx(1.0)
    np.testing.assert_allclose(found.differences, [[0, -2], [2, 0]])
    assert found.alpha < 0.6


def test_a_judge_who_always_says_the_same_has_no_correlation() -> None:
    found = agreement(np.array([[1.0, 2.0, 3.0], [2.0, 2.0, 2.0]]))
    assert np.isnan(found.correlations[0, 1])
    assert np.isnan(agreement(np.full((2, 3), 4.0)).alpha)


@pytest.mark.parametrize("ratings", [np.ones((1, 3)), np.array([[1.0, MISSING], [MISSING, 1.0]])])
def test_without_two_ratings_of_an_item_there_is_no_agreement(ratings: np.ndarray) -> None:
    with pytest.raises(DataError, match="no agreement"):
        agreement(ratings)
