import numpy as np
import pytest

from outgrow.errors import DataError
from outgrow.evaluate import Certainty

PROBS, GOLD = np.array([[0.9, 0.1], [0.5, 0.5], [np.nan, np.nan]]), np.array([1, 0, 0])


def test_ties_and_abstentions_are_perfectly_calibrated_guesses():
    certainty = Certainty.of_choices(PROBS, GOLD)
    assert certainty.confidence.tolist() == [[0.9, 0.5, 0.5]]
    assert certainty.correct.tolist() == [[0.0, 0.5, 0.5]]
    assert certainty.vacuity is None


def test_runs_are_stacked_in_their_order():
    runs = [Certainty.of_choices(PROBS, GOLD, [run, 0.5, 1.0]) for run in (0.1, 0.2)]
    stacked = Certainty.stack(runs)
    assert stacked.vacuity.tolist() == [[0.1, 0.5, 1.0], [0.2, 0.5, 1.0]]
    assert all(array.shape == (2, 3) for array in stacked.arrays().values())


@pytest.mark.parametrize(
    "other", [Certainty.of_choices(PROBS, GOLD, [0.5] * 3), Certainty.of_choices(PROBS[1:], GOLD[1:])]
)
def test_runs_that_do_not_fit_together_are_refused(other):
    with pytest.raises(DataError, match="do not fit together"):
        Certainty.stack([Certainty.of_choices(PROBS, GOLD), other])


def test_arrays_of_other_shapes_are_refused():
    with pytest.raises(DataError, match="do not fit together"):
        Certainty.of_choices(PROBS, GOLD, [0.5])
    with pytest.raises(DataError, match="do not fit together"):
        Certainty(*[np.ones(3)] * 4)
