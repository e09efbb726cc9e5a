import numpy as np
import pytest
from scipy.special import logsumexp
from voting_worlds import accuracy, gaussian, independent, nll, one_hot, read_rte

from outgrow.combine import Ballots, DawidSkene, combine
from outgrow.errors import ConfigError
from outgrow.labels import ChoiceVotes
from outgrow.registry import create


def textbook(labels, choices, smoothing, rounds):
    """Dawid–Skene by loops over people, as in the paper with a Dirichlet prior."""
    probs = np.stack([(labels == k).sum(axis=1) for k in range(choices)], axis=1).astype(float)
    probs /= probs.sum(axis=1, keepdims=True)
    for _ in range(rounds):
        log_joint = np.tile(np.log((probs.sum(axis=0) + 1) / (len(labels) + choices)), (len(labels), 1))
        for person in range(labels.shape[1]):
            voted = labels[:, person] >= 0
            confusion = np.full((choices, choices), smoothing / choices)
            for row in np.flatnonzero(voted):
                confusion[:, labels[row, person]] += probs[row]
            confusion /= confusion.sum(axis=1, keepdims=True)
            log_joint[voted] += np.log(confusion[:, labels[voted, person]]).T
        probs = np.exp(log_joint - logsumexp(log_joint, axis=1, keepdims=True))
    return probs


@pytest.mark.parametrize("choices", [2, 4])
def test_it_is_the_textbook_algorithm_on_plain_choices_with_abstentions(choices):
    world = independent([0.6, 0.7, 0.8, 0.5], rows=80, choices=choices)
    labels = world.votes.argmax(axis=2)
    labels[np.random.default_rng(1).random(labels.shape) < 0.3] = -1
    labels = labels[(labels >= 0).any(axis=1)]
    found = DawidSkene(smoothing=3, iterations=40, tolerance=1e-12).posterior(Ballots.of(one_hot(labels, choices)))
    np.testing.assert_allclose(found.probs, textbook(labels, choices, 3, 40), atol=1e-9)


@pytest.mark.parametrize("choices", [2, 4, 30])
def test_independent_voters_give_nearly_the_posterior_of_the_planted_truth(choices):
    world = independent([0.6, 0.65, 0.7, 0.75, 0.8, 0.8], choices=choices)
    probs = combine(world.votes, "dawid_skene").probs
    assert nll(probs, world.truth) < nll(world.posterior, world.truth) + 0.01
    assert accuracy(probs, world.truth) > accuracy(world.posterior, world.truth) - 0.005


def test_a_contrary_voter_is_read_the_right_way_round():
    world = independent([0.7, 0.75, 0.8, 0.1])
    combined = combine(world.votes, "dawid_skene")
    assert accuracy(combined.probs, world.truth) > accuracy(world.posterior, world.truth) - 0.005
    assert combined.diagnostics.accuracy[3] == pytest.approx(0.1, abs=0.02)
    assert combined.weights[3] == 0


@pytest.mark.parametrize("choices", [2, 3, 6])
def test_strengths_on_any_scale_give_nearly_the_posterior_of_the_planted_truth(choices):
    world = gaussian([1, 0.8, 0.6, 1.2], exponents=[4, 0.3, 1, 2], choices=choices)
    probs = combine(world.votes, "dawid_skene").probs
    assert nll(probs, world.truth) < nll(world.posterior, world.truth) + 0.01


def test_a_contrary_supervisor_with_strengths_is_read_the_right_way_round():
    world = gaussian([1, 0.8, 0.6, 1.2], exponents=[1, 1, 1, -2])
    assert nll(combine(world.votes, "dawid_skene").probs, world.truth) < nll(world.posterior, world.truth) + 0.01


def test_fractional_votes_do_not_contract_to_the_uniform_posterior():
    world = gaussian([1, 1, 1], exponents=[0.3, 0.3, 0.3])
    probs = combine(world.votes, "dawid_skene").probs
    assert probs.max(axis=1).mean() == pytest.approx(world.posterior.max(axis=1).mean(), abs=0.02)


def test_plain_choices_and_strengths_can_be_mixed():
    plain, strong = independent([0.7, 0.8], seed=3), gaussian([1, 0.8], exponents=[3, 0.5], seed=3)
    np.testing.assert_array_equal(plain.truth, strong.truth)
    probs = combine(np.concatenate([plain.votes, strong.votes], axis=1), "dawid_skene").probs
    exact = plain.posterior * strong.posterior
    exact /= exact.sum(axis=1, keepdims=True)
    assert nll(probs, plain.truth) < nll(exact, plain.truth) + 0.01


def test_gold_rows_tell_two_equal_camps_apart():
    # Two voters right nine times of ten and two wrong nine times of ten: votes alone are symmetric.
    world = independent([0.9, 0.9, 0.1, 0.1], rows=1000)
    gold = np.where(np.arange(1000) < 30, world.truth, -1)
    probs = combine(world.votes, "dawid_skene", gold=gold).probs
    assert accuracy(probs, world.truth) > 0.95


def test_a_person_with_few_votes_is_hardly_believed():
    world = independent([0.9, 0.9, 0.9, 0.9], rows=200)
    world.votes[1:, 3] = np.nan
    world.votes[0, :3] = np.nan
    assert combine(world.votes, "dawid_skene").probs[0].max() < 0.8


def test_one_supervisor_with_strengths_keeps_its_own_posterior():
    world = gaussian([1], exponents=[1], rows=200)
    np.testing.assert_allclose(combine(world.votes, "dawid_skene").probs, world.votes[:, 0], atol=0.02)


def test_people_agree_on_entailment_better_than_their_majority():
    votes, truth = read_rte()
    assert accuracy(combine(votes, "dawid_skene").probs, truth) >= 0.92


def test_whole_numbers_in_an_experiment_file_mean_what_fractions_mean():
    votes = ChoiceVotes(("a", "b"), ("x", "y"), one_hot(np.array([[0, 0], [1, 0]])))
    made = create("combiner", "dawid_skene", {"smoothing": 1})
    np.testing.assert_array_equal(made.choices(votes).probs, DawidSkene(smoothing=1.0).choices(votes).probs)


@pytest.mark.parametrize("wrong", [{"smoothing": 0}, {"iterations": 0}, {"tolerance": 0}])
def test_parameters_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError):
        create("combiner", "dawid_skene", wrong)
