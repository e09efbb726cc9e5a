import dataclasses

import numpy as np
from voting_worlds import METHODS, gaussian, independent

from outgrow.combine.ballots import Ballots, Merged
from outgrow.combine.methods import combine


def test_lines_and_their_counts_are_the_distinct_rows():
    world = independent([0.6, 0.7, 0.8], rows=400, choices=3)
    world.votes[np.random.default_rng(1).random((400, 3)) < 0.3] = np.nan
    gold = np.where(np.arange(400) % 3 == 0, world.truth, -1)
    said = np.where(np.isnan(world.votes[:, :, 0]), -1, np.nan_to_num(world.votes).argmax(axis=2))
    rows, counts = np.unique(np.column_stack([said, gold]), axis=0, return_counts=True)
    merged = Merged.of(Ballots.of(world.votes), gold)
    lines = np.full((merged.ballots.rows, 3), -1)
    lines[merged.ballots.row, merged.ballots.supervisor] = merged.ballots.label
    found = np.column_stack([lines, merged.gold])
    order = np.lexsort(found.T[::-1])
    np.testing.assert_array_equal(found[order], rows)
    np.testing.assert_array_equal(merged.ballots.count[order], counts)
    np.testing.assert_array_equal(found[merged.of_row], np.column_stack([said, gold]))


def test_merging_changes_no_result():
    world = independent([0.6, 0.7, 0.8], rows=400, choices=3)
    gold = np.where(np.arange(400) % 3 == 0, world.truth, -1)
    ballots = Ballots.of(world.votes)
    unmerged = dataclasses.replace(ballots, repeats=np.ones(400))  # what is merged already is not merged again
    for method in METHODS:
        one, other = (combine(each, method, gold=gold, weights="estimated") for each in (ballots, unmerged))
        np.testing.assert_allclose(one.probs, other.probs, atol=2e-3)
        np.testing.assert_allclose(one.weights, other.weights, atol=2e-3)
        np.testing.assert_allclose(one.diagnostics.shared_errors, other.diagnostics.shared_errors, atol=2e-3)
        np.testing.assert_array_equal(one.diagnostics.votes, other.diagnostics.votes)


def test_rows_that_are_nearly_all_different_are_left_alone():
    votes = Ballots.of(np.random.default_rng(0).integers(0, 2, (3000, 40)))
    assert Merged.of(votes, np.full(3000, -1)).ballots is votes


def test_votes_with_strengths_are_left_row_by_row():
    ballots = Ballots.of(np.tile(gaussian([1], exponents=[1], rows=1).votes, (5, 1, 1)))
    assert Merged.of(ballots, np.full(5, -1)).ballots is ballots
