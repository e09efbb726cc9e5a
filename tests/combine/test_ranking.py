"""Preference pairs from an ensemble: a planted world of true qualities is ranked, and its doubts are calibrated."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from outgrow.combine import Spread, rank, standardised
from outgrow.errors import DataError

EVEN = [1 / 3, 1 / 3, 1 / 3]


def planted(
    rows: int = 1500, candidates: int = 5, people: int = 3, signal: float = 0.5, noise: float = 0.5, seed: int = 0
) -> tuple[NDArray[np.float64], list[NDArray[np.float64]]]:
    """True qualities (rows, candidates) and scores (candidates, people) per row."""
    rng = np.random.default_rng(seed)
    quality = np.sqrt(signal) * rng.standard_normal((rows, candidates))
    eyes = quality[..., None] + np.sqrt(noise) * rng.standard_normal((rows, candidates, people))
    return quality, list(eyes)


def test_the_spread_of_a_planted_world_is_recovered() -> None:
    found = Spread.of(planted(signal=0.7, noise=1.3)[1])
    assert found is not None
    assert found.signal == pytest.approx(0.7, abs=0.05)
    assert found.noise == pytest.approx(1.3, abs=0.05)


@pytest.mark.parametrize("which", ["extremes", "all"])
@pytest.mark.parametrize("noise", [0.2, 2.0])
def test_doubts_are_calibrated_although_pairs_are_selected(which: str, noise: float) -> None:
    quality, scores = planted(noise=noise)
    pairs = rank(scores, EVEN, which=which).pairs
    right = np.array([quality[one.row, one.chosen] > quality[one.row, one.rejected] for one in pairs])
    sure = np.array([one.p_chosen for one in pairs])
    assert sure.mean() == pytest.approx(right.mean(), abs=0.02)
    for low, high in ((0.5, 0.8), (0.8, 0.95), (0.95, 1.0)):
        inside = (sure >= low) & (sure < high)
        if inside.sum() > 300:
            assert sure[inside].mean() == pytest.approx(right[inside].mean(), abs=0.04)


def test_doubts_of_unequal_weights_are_calibrated_too() -> None:
    quality, scores = planted(rows=3000)
    pairs = rank(scores, [0.8, 0.15, 0.05]).pairs
    right = np.mean([quality[one.row, one.chosen] > quality[one.row, one.rejected] for one in pairs])
    assert np.mean([one.p_chosen for one in pairs]) == pytest.approx(right, abs=0.02)


def test_supervisors_that_agree_in_nothing_leave_every_pair_a_toss_up() -> None:
    scores = [[[1.0, -1.0], [-1.0, 1.0], [0.5, -0.2]]] * 3
    assert [one.p_chosen for one in rank(scores, [0.5, 0.5]).pairs] == [0.5] * 3


def test_supervisors_that_agree_in_everything_leave_no_doubt() -> None:
    scores = [np.array([[1.0, 1.0], [-1.0, -1.0]]), np.array([[0.3, 0.3], [0.1, 0.1]])]
    assert [one.p_chosen for one in rank(scores, [0.5, 0.5]).pairs] == pytest.approx([1.0, 1.0])


def test_one_supervisor_alone_shows_no_doubt() -> None:
    assert rank([[[1.0], [2.0]]], [1.0]).pairs == ((0, 1, 0, 1.0, 1.0),)


@given(st.integers(0, 10_000), st.floats(0.1, 50.0), st.floats(-9.0, 9.0))
def test_scale_and_level_of_a_supervisor_s_scores_do_not_matter(seed: int, factor: float, shift: float) -> None:
    _, scores = planted(rows=6, seed=seed)
    other = [each * [1.0, factor, 1.0] + [0.0, shift, 0.0] for each in scores]
    ours, theirs = rank(scores, EVEN).pairs, rank(other, EVEN).pairs
    assert [one[:3] for one in ours] == [one[:3] for one in theirs]
    assert [one.p_chosen for one in ours] == pytest.approx([one.p_chosen for one in theirs], abs=1e-9)


def test_without_standardising_the_loudest_supervisor_decides() -> None:
    scores = [[[-10.0, -1.0], [-90.0, -0.5]], [[-50.0, -1.0], [-20.0, -2.0]]]
    assert [one[:3] for one in rank(scores, [0.2, 0.8], scale="none").pairs] == [(0, 0, 1), (1, 1, 0)]
    assert [one[:3] for one in rank(scores, [0.2, 0.8]).pairs] == [(0, 1, 0), (1, 0, 1)]


def test_a_supervisor_that_finds_everything_equal_changes_no_ranking() -> None:
    scores = [np.column_stack([each, np.full(5, -2.0)]) for each in planted(rows=20)[1]]
    with_it = rank(scores, [0.25] * 4).pairs
    without = rank([each[:, :3] for each in scores], EVEN).pairs
    assert [one[:3] for one in with_it] == [one[:3] for one in without]
    assert all(one.p_chosen <= other.p_chosen for one, other in zip(with_it, without, strict=True))


def test_all_pairs_of_a_row_share_its_weight_and_leave_out_small_margins() -> None:
    scores = [[[4.0], [1.0], [0.9]], [[2.0], [0.0], [0.0]]]
    found = rank(scores, [1.0], scale="none", which="all", margin=0.5)
    assert [one[:3] for one in found.pairs] == [(0, 0, 2), (0, 0, 1), (1, 0, 2), (1, 0, 1)]
    assert [one.weight for one in found.pairs] == [0.5] * 4


def test_what_the_task_cannot_use_ranks_last_for_certain_and_never_against_its_like() -> None:
    scores = [[[9.0, 9.0], [1.0, 2.0], [0.0, 0.0], [3.0, 1.0]]]
    usable = [[False, True, False, True]]
    [best] = rank(scores, [0.5, 0.5], usable).pairs
    assert (best.chosen, best.rejected, best.p_chosen) == (3, 2, 1.0)
    pairs = {one[1:3]: one.p_chosen for one in rank(scores, [0.5, 0.5], usable, which="all").pairs}
    assert set(pairs) == {(3, 1), (3, 0), (3, 2), (1, 0), (1, 2)}
    assert pairs[3, 1] < 1.0 == pairs[1, 0]


def test_rows_without_a_pair_are_counted_by_reason() -> None:
    nothing = float("nan")
    scores = [
        np.zeros((0, 2)),
        [[1.0, 2.0]],
        [[1.0, 1.0], [1.0, 1.0]],
        [[nothing, nothing], [nothing, nothing]],
        [[nothing, 1.0], [1.0, nothing]],
        [[1.0, 2.0], [3.0, 4.0]],
    ]
    usable = [[], [True], [True, True], [True, True], [True, True], [False, False]]
    found = rank(scores, [0.5, 0.5], usable)
    assert found.pairs == ()
    assert found.without == {"one candidate": 2, "tied": 1, "unread": 2, "unusable": 1}


def test_a_supervisor_that_could_read_nothing_of_a_row_is_left_out_of_it() -> None:
    nothing = float("nan")
    scores = [[[1.0, nothing], [2.0, nothing], [0.0, nothing]], [[1.0, 5.0], [2.0, nothing], [0.0, 1.0]]]
    found = rank(scores, [0.5, 0.5], scale="none")
    assert [one[:3] for one in found.pairs] == [(0, 1, 2), (1, 0, 2)]


def test_supervisors_of_weight_zero_are_not_heard() -> None:
    [pair] = rank([[[1.0, 9.0], [2.0, 0.0]]], [1.0, 0.0]).pairs
    assert pair[:3] == (0, 1, 0)


def test_standardised_scores_have_spread_one_within_rows() -> None:
    rows = standardised(planted(people=2)[1])
    squares = sum((each**2).sum(axis=0) for each in rows)
    assert squares / sum(len(each) - 1 for each in rows) == pytest.approx([1.0, 1.0])
    assert max(abs(each.mean(axis=0)).max() for each in rows) < 1e-12


def test_no_rows_give_no_pairs_and_a_negative_margin_is_refused() -> None:
    assert rank([], [1.0]).pairs == ()
    with pytest.raises(DataError, match="margin"):
        rank([], [1.0], margin=-0.1)
