"""Accuracy on preference pairs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outgrow.errors import DataError
from outgrow.evaluate import preference_accuracy


@given(st.lists(st.floats(allow_nan=False), max_size=20))
def test_turning_all_pairs_round_turns_the_accuracy_round(margins: list[float]) -> None:
    found = preference_accuracy(margins)
    assert (found + preference_accuracy(-np.array(margins)) == 1).all()
    assert ((found == 1) == (np.array(margins) > 0)).all()


def test_a_margin_that_is_no_number_is_refused() -> None:
    with pytest.raises(DataError, match="NaN"):
        preference_accuracy([1.0, float("nan")])
