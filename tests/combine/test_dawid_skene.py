import math

import numpy as np
import pytest
from scipy.special import gammaln, logsumexp
from voting_worlds import (
    ON_A_SCALE,
    RARE_AND_MISSED,
    accuracy,
    alike,
    gaussian,
    independent,
    nll,
    one_hot,
    planted,
    read_rte,
)

from outgrow.combine import Ballots, DawidSkene, combine
from outgrow.combine.ballots import Merged, pooled
from outgrow.combine.likelihoods import Channels, Rules, log_gamma, one_label_only
from outgrow.combine.result import normalised
from outgrow.errors import ConfigError
from outgrow.labels import ChoiceVotes
from outgrow.registry import create


def by_loops(labels, choices, rounds):
    """Dawid–Skene with hierarchical priors, person by person; rows with a single vote say nothing of people."""
    several = (labels >= 0).sum(axis=1) > 1
    people, strength, row_strength = range(labels.shape[1]), 4.0, 30.0
    probs = np.stack([(labels == k).sum(axis=1) for k in range(choices)], axis=1).astype(float)
    probs /= probs.sum(axis=1, keepdims=True)
    for step in range(rounds):
        balance = (probs.sum(axis=0) + 1) / (len(labels) + choices)
        counts = [
            np.array([probs[several & (labels[:, m] == k)].sum(axis=0) for k in range(choices)]).T for m in people
        ]
        hits, votes = [np.trace(each) for each in counts], [(several & (labels[:, m] >= 0)).sum() for m in people]
        common = (sum(hits) + 1) / (sum(votes) + choices)
        if step % 5 == 2:
            strength = max(
                (1, 2, 4, 8, 16, 40, 100),
                key=lambda each, c=common, h=hits: sum(beta_binomial(each, c, h[m], votes[m]) for m in people),
            )
        priors = []
        for m in people:
            accuracy = (hits[m] + strength * common) / (votes[m] + strength)
            priors.append(np.eye(choices) * accuracy + (1 - np.eye(choices)) * (1 - accuracy) / (choices - 1))
        if step % 5 == 2:
            row_strength = max(
                (2, 5, 12, 30, 80, 200, 1000),
                key=lambda each, c=counts, p=priors: sum(dirichlet(each, c[m], p[m]) for m in people),
            )
        log_joint = np.tile(np.log(balance), (len(labels), 1))
        for m in people:
            confusion = counts[m] + row_strength * priors[m]
            confusion /= counts[m].sum(axis=1, keepdims=True) + row_strength
            voted = labels[:, m] >= 0
            log_joint[voted] += np.log(confusion[:, labels[voted, m]]).T
        probs = np.exp(log_joint - logsumexp(log_joint, axis=1, keepdims=True))
    return probs


def beta_binomial(strength, mean, hits, votes):
    right, wrong = strength * mean, strength * (1 - mean)
    ends = math.lgamma(hits + right) + math.lgamma(votes - hits + wrong) - math.lgamma(votes + strength)
    return ends - math.lgamma(right) - math.lgamma(wrong) + math.lgamma(strength)


def dirichlet(strength, counts, prior):
    total = 0.0
    for of_answer, expected in zip(counts, prior, strict=True):
        total += math.lgamma(strength) - math.lgamma(of_answer.sum() + strength)
        for count, each in zip(of_answer, strength * expected, strict=True):
            total += math.lgamma(count + each) - math.lgamma(each)
    return total


@pytest.mark.parametrize("choices", [2, 4])
def test_it_is_the_algorithm_by_loops_on_plain_choices_with_abstentions(choices):
    world = independent([0.6, 0.7, 0.8, 0.5], rows=80, choices=choices)
    labels = world.votes.argmax(axis=2)
    labels[np.random.default_rng(1).random(labels.shape) < 0.3] = -1
    labels = labels[(labels >= 0).any(axis=1)]
    found = DawidSkene(iterations=40, tolerance=1e-12).posterior(Ballots.of(one_hot(labels, choices)))
    np.testing.assert_allclose(found.probs, by_loops(labels, choices, 40), atol=1e-9)


def regret(kind, seed, method):
    """Accuracy and NLL by which a method is worse than the planted truth, on rows with a vote."""
    world = planted(kind, seed)
    voted = ~np.isnan(world.votes).all(axis=(1, 2))
    probs, exact, truth = combine(world.votes, method).probs[voted], world.posterior[voted], world.truth[voted]
    return accuracy(exact, truth) - accuracy(probs, truth), nll(probs, truth) - nll(exact, truth)


@pytest.mark.parametrize(
    ("kind", "less_accurate", "more_surprised"),
    [
        ("independent", 0.002, 0.005),
        ("confusion", 0.01, 0.03),
        ("contrary", 0.004, 0.01),
        ("sparse", 0.01, 0.03),
        ("unequal", 0.003, 0.01),
        ("rules", 0.01, 0.03),
    ],
)
def test_in_planted_worlds_without_copies_it_is_near_the_posterior_of_the_planted_truth(
    kind, less_accurate, more_surprised
):
    found = np.mean([regret(kind, seed, "dawid_skene") for seed in range(6)], axis=0)
    assert found[0] < less_accurate
    assert found[1] < more_surprised


@pytest.mark.parametrize("seed", [0, 3, 7, 10, 18, 29])
def test_rules_find_the_class_that_is_most_common_though_it_is_not_what_they_say_most(seed):
    less_accurate, more_surprised = regret("rules", seed, "dawid_skene")
    assert less_accurate < 0.045
    assert more_surprised < 0.05


@pytest.mark.parametrize("seed", [215, 275, 535])
def test_no_class_loses_its_rules_to_the_others(seed):
    less_accurate, more_surprised = regret("rules", seed, "dawid_skene")
    assert less_accurate < 0.02
    assert more_surprised < 0.04


def wordy_rules(seed):
    """Votes and truth of 24 rules, of which the first eight know nothing and meet in long texts."""
    random = np.random.default_rng(seed)
    truth, wordy = random.integers(0, 2, (2, 4000))
    label = np.repeat([0, 0, 1], 8)
    right = np.repeat([0.5, 0.65, 0.65], 8)
    speaks = 0.2 * np.where(label == truth[:, None], right, 1 - right)
    speaks[:, :8] *= np.where(wordy, 1.6, 0.4)[:, None]
    return np.where(random.random(speaks.shape) < speaks, label, -1), truth


@pytest.mark.parametrize("seed", [0, 1])
def test_rules_that_meet_for_another_reason_than_the_answer_count_alike(seed):
    votes, truth = wordy_rules(seed)
    heard = (votes >= 0).any(axis=1)
    found, plain = (combine(votes, name) for name in ("dawid_skene", "majority"))
    assert any("rules count alike" in note for note in found.diagnostics.notes)
    score = accuracy(found.probs[heard], truth[heard])
    assert score > accuracy(plain.probs[heard], truth[heard])
    assert score == pytest.approx(found.probs[heard].max(axis=1).mean(), abs=0.06)


def test_rules_that_count_alike_are_told_to_have_not_settled_too():
    notes = combine(wordy_rules(0)[0], DawidSkene(iterations=30, tolerance=1e-300)).diagnostics.notes
    assert [any(said in note for note in notes) for said in ("rules count alike", "not settled")] == [True, True]


@pytest.mark.parametrize("seed", [215, 275, 465, 535])
def test_every_round_makes_the_votes_of_rules_more_probable(seed):
    lines = Ballots.of(planted("rules", seed).votes)
    rules, probs, found = Rules(lines), pooled(lines), []
    for _ in range(40):
        rules.fit(probs)
        log_joint = np.tile(np.log(rules.balance), (lines.rows, 1))
        rules.add_to(log_joint)
        found.append(logsumexp(log_joint, axis=1).sum())
        probs = normalised(log_joint)
    assert np.diff(found).min() > -1.0
    assert found[-1] > max(found) - 1.0


def test_rules_of_few_votes_are_told_from_people_and_keep_every_class():
    lost = []
    for seed in range(100, 110):
        world = planted("rules", seed)
        votes, truth = world.votes[:60], world.truth[:60]
        probs, plain = (combine(votes, method).probs for method in ("dawid_skene", "majority"))
        lost.append(accuracy(plain, truth) - accuracy(probs, truth))
    assert np.mean(lost) < 0.01


def test_people_of_one_vote_each_are_no_rules():
    votes = Ballots.from_labels(np.arange(300) // 3, np.arange(300), np.arange(300) % 2, rows=100, choices=2)
    assert not one_label_only(votes).any()


def test_the_logarithm_of_gamma_is_that_of_scipy():
    values = np.concatenate([np.logspace(-9, 7, 200), np.linspace(0.1, 20, 100)])
    np.testing.assert_allclose(log_gamma(values), gammaln(values), rtol=1e-9, atol=1e-9)


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


def test_a_person_with_one_vote_is_believed_like_the_others():
    world = independent([0.9, 0.9, 0.9, 0.9], rows=200)
    world.votes[1:, 3] = np.nan
    world.votes[0, :3] = np.nan
    assert combine(world.votes, "dawid_skene").probs[0].max() == pytest.approx(0.9, abs=0.05)


@pytest.mark.parametrize("method", ["dawid_skene", "dependence"])
@pytest.mark.parametrize("overlap", [0, 20])
def test_where_tasks_have_one_vote_each_it_is_believed(method, overlap):
    world = independent([0.7, 0.75, 0.8, 0.6], rows=1000)
    alone = np.random.default_rng(0).integers(0, 4, (1000, 1)) != np.arange(4)
    alone[:overlap] = False
    world.votes[alone] = np.nan
    probs, plain = combine(world.votes, method).probs, combine(world.votes, "majority").probs
    assert accuracy(probs, world.truth) > accuracy(plain, world.truth) - 0.01


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


@pytest.mark.parametrize("method", ["dawid_skene", "dependence"])
@pytest.mark.parametrize("usual", [RARE_AND_MISSED, ON_A_SCALE], ids=["rare and missed", "on a scale"])
def test_errors_that_are_usual_among_all_are_learned_from_all(usual, method):
    world = alike(*usual)
    probs = combine(world.votes, method).probs
    assert nll(probs, world.truth) < nll(world.posterior, world.truth) + 0.02
    assert accuracy(probs, world.truth) > accuracy(world.posterior, world.truth) - 0.011


def test_errors_that_are_usual_in_a_sample_are_learned_from_all_rows():
    world = alike(*RARE_AND_MISSED, rows=8000)
    assert nll(combine(world.votes, "dawid_skene").probs, world.truth) < nll(world.posterior, world.truth) + 0.01


@pytest.mark.parametrize("kind", ["independent", "unequal"])
def test_where_nothing_is_usual_one_accuracy_describes_a_supervisor(kind):
    lines = Merged.of(Ballots.of(planted(kind, 3).votes), np.full(len(planted(kind, 3).votes), -1)).ballots
    fit = DawidSkene().fit(lines, np.full(lines.rows, -1))
    assert not any(part.usual.shift.any() for part in fit.parts if isinstance(part, Channels))


def test_with_two_votes_a_row_nothing_is_said_to_be_usual():
    world = alike(*RARE_AND_MISSED, per_row=2)
    lines = Ballots.of(world.votes)
    assert not any(part.usual.shift.any() for part in DawidSkene().fit(lines, np.full(lines.rows, -1)).parts)
