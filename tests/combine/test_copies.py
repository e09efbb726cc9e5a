import dataclasses

import numpy as np
import pytest
from voting_worlds import copies, gaussian, independent, one_hot

from outgrow.combine.agreement import Agreement, find_copies, pool
from outgrow.combine.ballots import Ballots


@pytest.mark.parametrize("seed", range(5))
def test_near_copies_are_one_group_and_the_others_none(seed):
    assert find_copies(Ballots.of(copies(seed=seed).votes), excess=0.55) == ((0, 1, 2, 3),)


@pytest.mark.parametrize("accuracies", [[0.6, 0.65, 0.7, 0.75, 0.8, 0.8], [0.95, 0.96, 0.9, 0.6, 0.55], [0.9] * 8])
@pytest.mark.parametrize("choices", [2, 4])
def test_independent_voters_are_no_copies_however_good(accuracies, choices):
    assert find_copies(Ballots.of(independent(accuracies, choices=choices).votes), excess=0.55) == ()


def test_copies_of_strengths_are_found():
    world = gaussian([0.5, 1, 1, 1], exponents=[1, 1, 1, 1])
    noise = np.random.default_rng(0).dirichlet([50, 50], (5000, 3))
    votes = np.concatenate([0.9 * world.votes[:, [0, 0, 0]] + 0.1 * noise, world.votes[:, 1:]], axis=1)
    assert find_copies(Ballots.of(votes), excess=0.55) == ((0, 1, 2),)


def test_two_supervisors_that_never_differ_are_copies_even_alone():
    votes = independent([0.7], rows=100).votes
    assert find_copies(Ballots.of(votes[:, [0, 0]]), excess=0.55) == ((0, 1),)


def test_never_differing_on_a_handful_of_rows_means_nothing():
    votes = independent([0.7], rows=20).votes
    assert find_copies(Ballots.of(votes[:, [0, 0]]), excess=0.55) == ()


def test_pooled_plain_choices_are_the_majority_and_a_tie_says_nothing():
    votes = one_hot(np.array([[0, 0, 1], [1, 0, 1], [-1, 1, 0], [-1, -1, 1]]))
    pooled = pool(Ballots.of(votes), ((0, 1),))
    assert list(zip(pooled.row.tolist(), pooled.supervisor.tolist(), pooled.label.tolist(), strict=True)) == [
        (0, 0, 0),
        (0, 1, 1),
        (1, 1, 1),
        (2, 0, 1),
        (2, 1, 0),
        (3, 1, 1),
    ]
    assert pooled.names == ("supervisor 0 + supervisor 1", "supervisor 2")


def test_where_copies_tie_one_supporter_of_each_label_can_vote_apart():
    votes = Ballots.of(one_hot(np.array([[0, 2, 0], [1, 1, 0], [2, 2, 2]]), 3))
    pooled = pool(votes, ((0, 1),), ties_apart=True)
    names = [pooled.names[index] for index in pooled.supervisor.tolist()]
    assert list(zip(pooled.row.tolist(), names, pooled.label.tolist(), strict=True)) == [
        (0, "supervisor 2", 0),
        (0, "supervisor 0, where copies differ", 0),
        (0, "supervisor 1, where copies differ", 2),
        (1, "supervisor 0 + supervisor 1", 1),
        (1, "supervisor 2", 0),
        (2, "supervisor 0 + supervisor 1", 2),
        (2, "supervisor 2", 2),
    ]


def test_pooled_strengths_are_the_mean_of_those_that_voted():
    pooled = pool(Ballots.of([[[0.2, 0.8], [0.6, 0.4]], [[0.2, 0.8], [np.nan, np.nan]]]), ((0, 1),))
    np.testing.assert_allclose(pooled.probs, [[0.4, 0.6], [0.2, 0.8]])


def test_the_correlation_of_two_votes_is_pearsons():
    labels = (np.random.default_rng(0).random((400, 3)) < [0.3, 0.5, 0.6]).astype(int)
    found = Agreement.of(Ballots.of(one_hot(labels))).correlation()
    np.testing.assert_allclose(found, np.corrcoef(labels.T), atol=1e-9)


@pytest.mark.parametrize("pairs_take", [0, np.inf])
@pytest.mark.parametrize("strengths", [False, True])
def test_agreement_is_the_same_by_pairs_and_by_matrices_in_blocks_of_any_size(monkeypatch, pairs_take, strengths):
    votes = gaussian([1, 1, 1], exponents=[1, 1, 1], rows=100, choices=3).votes
    votes = votes if strengths else one_hot(votes.argmax(axis=2), 3)
    votes[::3, 1] = np.nan
    ballots = dataclasses.replace(Ballots.of(votes), repeats=np.arange(100) % 4 + 1.0)
    whole = Agreement.of(ballots)
    monkeypatch.setattr("outgrow.combine.agreement._VOTES", 7)
    monkeypatch.setattr("outgrow.combine.agreement._PAIRS_TAKE", pairs_take)
    found = Agreement.of(ballots)
    for name in ("together", "product", "mean"):
        np.testing.assert_allclose(getattr(found, name), getattr(whole, name), atol=1e-12)
    given, times = np.nan_to_num(votes), ballots.repeats
    product = np.einsum("n,nik,njk->ij", times, given, given) / np.maximum(whole.together, 1)
    np.testing.assert_allclose(whole.product, product, atol=1e-12)


@pytest.mark.parametrize("strengths", [False, True])
def test_agreement_with_two_pooled_is_that_of_the_votes_pooled(strengths):
    votes = gaussian([1, 1, 1, 1], exponents=[1, 1, 1, 1], rows=100, choices=3).votes
    votes = Ballots.of(votes if strengths else one_hot(votes.argmax(axis=2), 3))
    pooled = pool(votes, ((0,), (1, 3), (2,)))
    found, wanted = Agreement.of(votes).merged(1, 3, pooled), Agreement.of(pooled)
    for name in ("together", "product", "mean"):
        np.testing.assert_allclose(getattr(found, name), getattr(wanted, name), atol=1e-12)


def test_a_constant_voter_correlates_with_nobody():
    labels = np.stack([np.zeros(50, dtype=int), np.arange(50) % 2], axis=1)
    assert Agreement.of(Ballots.of(one_hot(labels))).correlation().tolist() == [[0, 0], [0, 1]]
