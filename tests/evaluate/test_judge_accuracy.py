from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest

from outgrow.errors import DataError
from outgrow.evaluate import judge_accuracy


@pytest.mark.parametrize("distance", [0.0, 0.5, 1.5])
def test_a_planted_distance_is_found_as_the_share_it_must_give(distance: float) -> None:
    rng = np.random.default_rng(3)
    wrong = rng.normal(0, 1, 4000)
    found = judge_accuracy(wrong.mean() + distance + rng.normal(0, 1, 4000), wrong)
    expected = NormalDist().cdf(distance / np.sqrt(2))
    assert found.interval is not None
    assert found.interval[0] <= expected <= found.interval[1]
    assert found.interval[1] - found.interval[0] < 0.04


def test_ties_are_half_a_win() -> None:
    assert judge_accuracy(np.ones(8), np.ones(8)).accuracy == 0.5


def test_a_judge_that_never_errs_on_a_few_pairs_is_not_called_certain() -> None:
    found = judge_accuracy(np.full(10, 9.0), np.full(10, 1.0))
    assert found.accuracy == 1.0
    assert found.interval is not None
    assert found.interval[0] < 0.8


@pytest.mark.parametrize("wrong", [np.ones(2), np.ones((3, 1)), np.ones(0)])
def test_ratings_that_are_no_pairs_are_refused(wrong: np.ndarray) -> None:
    with pytest.raises(DataError, match="must be pairs"):
        judge_accuracy(np.ones(3) if wrong.size else wrong, wrong)
