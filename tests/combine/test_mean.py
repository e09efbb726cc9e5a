from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outgrow.combine import Mean
from outgrow.errors import ConfigError, DataError
from outgrow.labels import ChoiceVotes

SILENT = [np.nan, np.nan]


def votes(*rows: list[list[float]]) -> ChoiceVotes:
    names = tuple("xyz"[: len(rows[0])])
    return ChoiceVotes(tuple(f"row{index}" for index in range(len(rows))), names, np.array(rows, dtype=np.float64))


def test_without_weights_it_is_the_plain_mean() -> None:
    assert Mean().choices(votes([[0.2, 0.8], [0.6, 0.4]])).probs.tolist() == [pytest.approx([0.4, 0.6])]


@given(st.lists(st.integers(0, 5), min_size=3, max_size=3).filter(any), st.integers(0, 10_000), st.integers(1, 7))
def test_only_the_ratios_of_weights_matter(weights: list[int], seed: int, factor: int) -> None:
    made = votes(*np.random.default_rng(seed).dirichlet(np.ones(3), size=(4, 3)).tolist())
    one = Mean(dict(zip("xyz", map(float, weights), strict=True))).choices(made)
    other = Mean({name: float(factor * weight) for name, weight in zip("xyz", weights, strict=True)}).choices(made)
    np.testing.assert_allclose(one.probs, other.probs)
    np.testing.assert_allclose(one.probs, np.average(made.probs, axis=1, weights=weights))


def test_a_row_is_averaged_over_those_who_voted() -> None:
    made = Mean({"x": 3.0, "y": 1.0}).choices(votes([[0.2, 0.8], SILENT], [[0.2, 0.8], [0.6, 0.4]]))
    assert made.probs.tolist() == [pytest.approx([0.2, 0.8]), pytest.approx([0.3, 0.7])]


def test_a_row_without_a_vote_is_left_out_not_guessed() -> None:
    assert Mean().choices(votes([SILENT, SILENT], [[0.2, 0.8], SILENT])).ids == ("row1",)


def test_a_row_voted_on_by_those_of_no_weight_is_left_out() -> None:
    assert Mean({"x": 0.0, "y": 1.0}).choices(votes([[0.2, 0.8], SILENT], [SILENT, [1.0, 0.0]])).ids == ("row1",)


def test_no_vote_at_all_is_an_error() -> None:
    with pytest.raises(DataError, match="No row has a usable vote"):
        Mean().choices(votes([SILENT, SILENT]))


def test_hardening_puts_all_on_the_likeliest() -> None:
    assert Mean(harden=True).choices(votes([[0.2, 0.8], [0.6, 0.4]])).probs.tolist() == [[0.0, 1.0]]


def test_hardened_ties_are_shared() -> None:
    assert Mean(harden=True).choices(votes([[0.0, 1.0], [1.0, 0.0]])).probs.tolist() == [[0.5, 0.5]]


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_any_number_of_supervisors_can_be_combined(count: int) -> None:
    """Methods §10: hard-coded weights that crash for 2 or 4 supervisors."""
    names = tuple(f"s{index}" for index in range(count))
    made = ChoiceVotes(("a",), names, np.full((1, count, 2), 0.5))
    assert Mean().choices(made).probs.tolist() == [[0.5, 0.5]]


@pytest.mark.parametrize("weights", [{"x": 1.0}, {"x": 1.0, "y": 1.0, "q": 1.0}])
def test_weights_that_do_not_fit_the_supervisors_are_refused(weights: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="each of x, y"):
        Mean(weights).choices(votes([[0.2, 0.8], [0.6, 0.4]]))


@pytest.mark.parametrize("weights", [{"x": -1.0, "y": 1.0}, {"x": float("nan"), "y": 1.0}, {"x": 0.0, "y": 0.0}])
def test_weights_that_make_no_sense_are_refused(weights: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="weights of the combiner"):
        Mean(weights).choices(votes([[0.2, 0.8], [0.6, 0.4]]))
