import numpy as np
import pytest
from voting_worlds import (
    RARE_AND_MISSED,
    accuracy,
    alike,
    copies,
    gaussian,
    independent,
    nll,
    one_hot,
    overconfidence,
    planted,
    read_rte,
    read_sciq,
    read_strategyqa,
    repeated_rules,
)

from outgrow.combine import combine
from outgrow.errors import ConfigError
from outgrow.labels import ChoiceVotes
from outgrow.registry import create


def failing_together(spread, *, rows=4000, people=8, seed=0):
    """Voters whose log-odds of being right are 1 + spread·e with e ~ N(0, 1) shared by all of them on a row."""
    random = np.random.default_rng(seed)
    truth, effect = random.integers(0, 2, rows), random.normal(size=(rows, 1))
    right = random.random((rows, people)) < 1 / (1 + np.exp(-1.5 * (1 + spread * effect)))
    return one_hot(np.where(right, truth[:, None], 1 - truth[:, None])), truth


@pytest.fixture(scope="module")
def copied():
    world = copies()
    return world, combine(world.votes, "dependence")


def test_copies_of_a_weak_voter_are_found(copied):
    assert copied[1].diagnostics.copies == (tuple(f"supervisor {index}" for index in range(4)),)


def test_with_copies_it_comes_near_the_posterior_of_the_planted_truth(copied):
    world, combined = copied
    assert accuracy(combined.probs, world.truth) >= 0.88
    assert nll(combined.probs, world.truth) <= 0.29
    assert nll(combined.probs, world.truth) < nll(world.posterior, world.truth) + 0.02


def test_with_copies_its_confidence_is_its_accuracy(copied):
    world, combined = copied
    assert abs(overconfidence(combined.probs, world.truth)) < 0.03


def test_estimated_weights_in_an_experiment_file_are_those_of_the_posterior(copied):
    world, combined = copied
    names = tuple(f"supervisor {index}" for index in range(6))
    votes = ChoiceVotes(tuple(map(str, range(5000))), names, world.votes)
    targets = create("combiner", "mean", {"weights": "estimated"}).choices(votes)
    np.testing.assert_allclose(targets.probs, world.votes.transpose(0, 2, 1) @ combined.weights, atol=1e-9)


def test_four_copies_and_two_others_count_as_three(copied):
    assert copied[1].effective_supervisors == pytest.approx(3, abs=0.3)


def test_the_choice_between_copies_and_experts_is_said(copied):
    assert any("cannot tell copies from independent experts" in note for note in copied[1].diagnostics.notes)


@pytest.mark.parametrize(("accuracies", "choices"), [([0.6, 0.65, 0.7, 0.75, 0.8, 0.8], 2), ([0.5, 0.6, 0.7, 0.8], 4)])
@pytest.mark.parametrize("seed", [0, 1])
def test_independent_voters_lose_nothing(accuracies, choices, seed):
    world = independent(accuracies, choices=choices, seed=seed)
    probs = combine(world.votes, "dependence").probs
    plain = combine(world.votes, "dawid_skene").probs
    assert accuracy(probs, world.truth) > accuracy(plain, world.truth) - 0.005
    assert nll(probs, world.truth) < nll(world.posterior, world.truth) + 0.02


@pytest.mark.parametrize("choices", [2, 3])
def test_independent_supervisors_with_strengths_lose_little(choices):
    world = gaussian([1, 0.8, 0.6, 1.2], exponents=[4, 0.3, 1, 2], choices=choices)
    assert nll(combine(world.votes, "dependence").probs, world.truth) < nll(world.posterior, world.truth) + 0.02


def test_strengths_whose_noise_is_shared_are_believed_less():
    world = gaussian([1, 1, 1, 1], exponents=[1] * 4, shared=0.6)
    probs, plain = combine(world.votes).probs, combine(world.votes, "dawid_skene").probs
    assert accuracy(probs, world.truth) > accuracy(plain, world.truth) - 0.01
    assert overconfidence(probs, world.truth) < overconfidence(plain, world.truth) - 0.03
    assert nll(probs, world.truth) < nll(plain, world.truth) - 0.2


def test_strengths_whose_noise_is_shared_are_warned_of():
    votes = gaussian([1, 1, 1, 1], exponents=[0.3] * 4, shared=0.6).votes
    notes = " ".join(combine(votes).diagnostics.notes)
    assert "share errors that the answer does not explain" in notes
    assert "Their own probabilities claim" in notes


def test_strengths_with_independent_noise_are_not_warned_of():
    notes = combine(gaussian([1, 1, 1, 1], exponents=[1] * 4).votes).diagnostics.notes
    assert not any("share errors" in note for note in notes)


def test_a_contrary_voter_is_read_the_right_way_round():
    world = independent([0.7, 0.75, 0.8, 0.1])
    combined = combine(world.votes, "dependence")
    assert accuracy(combined.probs, world.truth) > accuracy(world.posterior, world.truth) - 0.005
    assert combined.diagnostics.accuracy[3] == pytest.approx(0.1, abs=0.02)


def test_voters_that_fail_together_are_not_believed_too_much():
    votes, truth = failing_together(spread=1.2)
    probs = combine(votes, "dependence").probs
    assert abs(overconfidence(probs, truth)) < 0.05
    assert overconfidence(combine(votes, "dawid_skene").probs, truth) > 0.1
    assert nll(probs, truth) < nll(combine(votes, "dawid_skene").probs, truth)


def test_voters_that_fail_together_share_evidence_and_independent_ones_do_not():
    for spread, shared in ((0.0, False), (1.2, True)):
        votes, _ = failing_together(spread)
        about = combine(votes, "dependence").diagnostics
        assert (about.shared_evidence > 0) == shared
        assert any("share evidence" in note for note in about.notes) == shared


@pytest.mark.parametrize("seed", [4, 5])
def test_a_few_rows_on_which_independent_voters_fail_together_are_no_shared_evidence(seed):
    assert combine(planted("contrary", seed).votes).diagnostics.shared_evidence == 0


def test_a_row_with_one_vote_is_not_discounted():
    votes, _ = failing_together(1.2)
    votes[:100, 1:] = np.nan
    probs, plain = (combine(votes, method).probs[:100] for method in ("dependence", "dawid_skene"))
    np.testing.assert_allclose(probs, plain, atol=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_rules_that_speak_on_the_same_rows_count_once(seed):
    world = repeated_rules(seed)
    voted = ~np.isnan(world.votes).all(axis=(1, 2))
    found, alone = combine(world.votes), combine(world.votes[:, :10])
    assert found.diagnostics.copies == (("supervisor 0", "supervisor 10", "supervisor 11", "supervisor 12"),)
    assert alone.diagnostics.copies == ()
    assert nll(found.probs[voted], world.truth[voted]) < nll(alone.probs[voted], world.truth[voted]) + 0.05


def test_votes_that_are_nearly_all_one_label_make_nobody_a_copy():
    for seed in (3, 5, 6):
        assert combine(alike(*RARE_AND_MISSED, seed=seed).votes).diagnostics.copies == ()


@pytest.mark.parametrize("seed", [*range(1, 7), 24])
def test_copies_of_any_rate_and_number_of_choices_are_told_from_the_others(seed):
    world = planted("copies", seed)
    probs = combine(world.votes).probs
    assert accuracy(probs, world.truth) > accuracy(world.posterior, world.truth) - 0.01
    assert nll(probs, world.truth) < nll(world.posterior, world.truth) + 0.03


@pytest.mark.parametrize("seed", [212, 237, 239])
def test_copies_among_many_choices_are_found_in_a_thousand_rows(seed):
    world = planted("copies", seed)
    wanted = tuple(f"supervisor {index}" for index in np.flatnonzero(world.copies))
    assert combine(world.votes).diagnostics.copies == (wanted,)


@pytest.mark.parametrize("seed", [201, 207])
def test_voters_who_agree_beside_copies_are_not_copies_too(seed):
    world = planted("copies", seed)
    assert len(combine(world.votes).diagnostics.copies) == 1


def test_gold_rows_decide_who_copies():
    # Two experts who agree beside three weak voters who share errors: by votes alone the experts look like copies.
    random = np.random.default_rng(0)
    truth = random.integers(0, 2, 2000)
    shared = np.where(random.random(2000) < 0.62, truth, 1 - truth)
    experts = [np.where(random.random(2000) < 0.97, truth, 1 - truth) for _ in range(2)]
    weak = [np.where(random.random(2000) < 0.8, shared, random.integers(0, 2, 2000)) for _ in range(5)]
    votes = one_hot(np.stack([*experts, *weak], axis=1))
    gold = np.where(np.arange(2000) < 100, truth, -1)
    assert accuracy(combine(votes, gold=gold).probs[100:], truth[100:]) > 0.95


def test_identical_supervisors_count_as_one():
    world = independent([0.8, 0.7, 0.6], rows=1000)
    combined = combine(world.votes[:, [0, 0, 0, 1, 2]])
    assert combined.diagnostics.copies == (("supervisor 0", "supervisor 1", "supervisor 2"),)
    np.testing.assert_allclose(combined.probs, combine(world.votes).probs, atol=1e-6)


def test_a_hundred_gold_rows_correct_a_bias_the_votes_do_not_show():
    # Everybody is drawn to choice 1 on the same rows: from the votes alone it looks like the truth.
    random = np.random.default_rng(0)
    truth = random.integers(0, 2, 3000)
    apparent = np.where(random.random(3000) < 0.4, 1, truth)
    right = random.random((3000, 6)) < 0.8
    votes = one_hot(np.where(right, apparent[:, None], 1 - apparent[:, None]))
    gold = np.where(np.arange(3000) < 100, truth, -1)
    rest = slice(100, None)
    without, anchored = combine(votes).probs[rest], combine(votes, gold=gold).probs[rest]
    assert nll(anchored, truth[rest]) < nll(without, truth[rest]) - 0.05


def test_an_experiment_file_can_name_it():
    votes = ChoiceVotes(("a", "b"), ("x", "y"), np.array([[[1, 0], [1, 0]], [[np.nan] * 2] * 2]))
    assert create("combiner", "dependence", {"copy_excess": 0.5}).choices(votes).ids == ("a",)


def test_parameters_out_of_range_are_refused():
    with pytest.raises(ConfigError):
        create("combiner", "dependence", {"copy_excess": 2})


def test_people_agree_on_entailment_better_than_their_majority():
    votes, truth = read_rte()
    assert accuracy(combine(votes).probs, truth) >= 0.92


def test_weak_language_models_are_combined_without_gold():
    votes, truth = read_strategyqa()
    probs = combine(votes).probs
    assert accuracy(probs, truth) >= 0.753
    assert nll(probs, truth) <= 0.65
    assert overconfidence(probs, truth) < 0.75 * overconfidence(combine(votes, "dawid_skene").probs, truth)


def test_many_configurations_of_language_models_are_as_sure_as_they_are_right():
    votes, truth = read_strategyqa(25)
    probs = combine(votes).probs
    assert accuracy(probs, truth) >= 0.79
    assert nll(probs, truth) <= 0.48
    assert abs(overconfidence(probs, truth)) <= 0.05


def test_weak_language_models_are_combined_with_a_hundred_gold_rows():
    votes, truth = read_strategyqa()
    losses, gaps = [], []
    for seed in range(3):
        anchors = np.random.default_rng(seed).choice(len(truth), 100, replace=False)
        gold = np.full(len(truth), -1)
        gold[anchors] = truth[anchors]
        probs = combine(votes, gold=gold).probs[gold < 0]
        losses.append(nll(probs, truth[gold < 0]))
        gaps.append(abs(overconfidence(probs, truth[gold < 0])))
    assert np.mean(losses) <= 0.53
    assert np.mean(gaps) <= 0.04


@pytest.mark.parametrize("seed", [0, 3])
def test_four_language_models_that_fail_together_are_doubted_and_no_worse_than_their_mean(seed):
    votes, truth = read_sciq(seed)
    combined, mean = combine(votes), combine(votes, "mean").probs
    assert nll(combined.probs, truth) < nll(mean, truth) + 0.02
    assert accuracy(combined.probs, truth) > accuracy(mean, truth) - 0.005
    assert overconfidence(combined.probs, truth) < 0.06
    assert any("share errors" in note for note in combined.diagnostics.notes)


def test_a_hundred_gold_rows_correct_four_language_models_that_fail_together():
    votes, truth = read_sciq()
    gold = np.where(np.arange(len(truth)) % 58 == 0, truth, -1)
    rest = gold < 0
    without, anchored = combine(votes).probs[rest], combine(votes, gold=gold).probs[rest]
    assert abs(overconfidence(anchored, truth[rest])) < 0.5 * overconfidence(without, truth[rest])
    assert nll(anchored, truth[rest]) < nll(without, truth[rest])
