import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from voting_worlds import METHODS, accuracy, copies, independent, one_hot

from outgrow.combine import Ballots, DawidSkene, combine
from outgrow.errors import ConfigError, DataError, UnknownNameError
from outgrow.evaluate import wilson_interval
from outgrow.labels import ChoiceVotes
from outgrow.registry import create, names

ABSTAINED = [np.nan, np.nan]


@st.composite
def anybody_voting(draw):
    """Votes of any small shape: plain or with strengths, abstentions, copies, constant and silent supervisors, gold."""
    rows, people, choices = draw(st.integers(1, 12)), draw(st.integers(1, 7)), draw(st.integers(2, 5))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    plain = one_hot(random.integers(0, choices, (rows, people)), choices)
    strengths = random.dirichlet(np.full(choices, 0.3), (rows, people))
    kinds = draw(
        st.lists(st.sampled_from(["plain", "strength", "silent", "constant", "copy"]), min_size=people, max_size=people)
    )
    votes = np.empty((rows, people, choices))
    for person, kind in enumerate(kinds):
        made = {"plain": plain, "strength": strengths, "silent": np.full_like(plain, np.nan), "constant": plain[:1]}
        votes[:, person] = votes[:, 0] if kind == "copy" and person else made.get(kind, plain)[:, person]
    votes[random.random((rows, people)) < draw(st.sampled_from([0.0, 0.5, 0.95]))] = np.nan
    gold = np.where(random.random(rows) < draw(st.sampled_from([0.0, 0.5])), random.integers(0, choices, rows), -1)
    return votes, gold


@pytest.mark.parametrize("method", METHODS)
@given(case=anybody_voting())
@settings(max_examples=25)
def test_whoever_votes_the_result_is_a_distribution_and_lambdas_sum_to_one(method, case):
    votes, gold = case
    combined = combine(votes, method, gold=gold)
    np.testing.assert_allclose(combined.probs.sum(axis=1), 1.0, atol=1e-9)
    assert (combined.probs >= 0).all()
    np.testing.assert_allclose(combined.weights.sum(), 1.0, atol=1e-9)
    assert (combined.weights >= 0).all()
    voting = int((~np.isnan(votes).all(axis=(0, 2))).sum())
    assert (voting > 0) - 1e-9 <= combined.effective_supervisors <= voting + 1e-9


@pytest.mark.parametrize("method", METHODS)
@given(case=anybody_voting())
@settings(max_examples=15)
def test_rows_without_votes_or_gold_stay_uniform_and_are_counted(method, case):
    votes, gold = case
    combined = combine(votes, method, gold=gold)
    empty = np.isnan(votes).all(axis=(1, 2)) & (gold < 0)
    np.testing.assert_array_equal(combined.usable, ~empty)
    np.testing.assert_allclose(combined.probs[empty], 1 / votes.shape[2])
    assert combined.diagnostics.rows_without_votes == empty.sum()


@pytest.mark.parametrize("method", METHODS)
@given(case=anybody_voting())
@settings(max_examples=15)
def test_gold_rows_are_certain(method, case):
    votes, gold = case
    known = np.flatnonzero(gold >= 0)
    np.testing.assert_array_equal(combine(votes, method, gold=gold).probs[known, gold[known]], 1.0)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("people", "choices"), [(1, 2), (50, 2), (2, 1000), (50, 1000), (1, 11)])
def test_any_number_of_supervisors_and_choices_gives_a_result(method, people, choices):
    world = independent(np.full(people, 0.6), rows=30, choices=choices)
    probs = combine(world.votes, method).probs
    np.testing.assert_allclose(probs.sum(axis=1), 1.0, atol=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_the_order_of_the_rows_does_not_matter(method):
    world = independent([0.6, 0.7, 0.8, 0.9], rows=300)
    order = np.random.default_rng(1).permutation(300)
    shuffled = combine(world.votes[order], method).probs
    np.testing.assert_allclose(shuffled, combine(world.votes, method).probs[order], atol=2e-3)


@pytest.mark.parametrize("method", METHODS)
def test_the_names_of_the_choices_do_not_matter(method):
    world = independent([0.6, 0.7, 0.8, 0.9], rows=300, choices=3)
    swapped = combine(world.votes[:, :, [2, 0, 1]], method).probs
    np.testing.assert_allclose(swapped, combine(world.votes, method).probs[:, [2, 0, 1]], atol=5e-3)


@pytest.mark.parametrize("method", METHODS)
def test_the_same_votes_give_the_same_numbers(method):
    world = independent([0.6, 0.7, 0.8], rows=200)
    np.testing.assert_array_equal(combine(world.votes, method).probs, combine(world.votes, method, seed=7).probs)


def test_records_and_arrays_and_long_lists_are_the_same_votes():
    world = independent([0.6, 0.7, 0.8], rows=50)
    record = ChoiceVotes(tuple(map(str, range(50))), ("a", "b", "c"), world.votes)
    row, person = np.divmod(np.arange(150), 3)
    long = Ballots.from_labels(row, person, world.votes.argmax(axis=2).ravel(), rows=50, choices=2)
    expected = combine(world.votes, "dawid_skene").probs
    np.testing.assert_array_equal(combine(record, "dawid_skene").probs, expected)
    np.testing.assert_array_equal(combine(long, "dawid_skene").probs, expected)


def test_a_configured_method_can_be_passed_instead_of_a_name():
    world = independent([0.6, 0.7, 0.8], rows=100)
    hesitant = combine(world.votes, DawidSkene(smoothing=50)).probs
    assert hesitant.max() < combine(world.votes, "dawid_skene").probs.max()


def test_explicit_lambdas_weigh_the_mean():
    votes = one_hot(np.array([[0, 1]]))
    assert combine(votes, "mean", weights=[3, 1]).probs.tolist() == [[0.75, 0.25]]


def test_explicit_lambdas_weigh_the_majority():
    votes = np.array([[[0.9, 0.1], [0.4, 0.6]]])
    np.testing.assert_allclose(combine(votes, "majority", weights=[1, 3]).probs, [[0.25, 0.75]])


def test_estimated_lambdas_let_four_copies_share_the_weight_of_one():
    world = copies()
    combined = combine(world.votes, "mean", weights="estimated")
    assert combined.weights[:4].sum() < combined.weights[4:].min()
    assert accuracy(combined.probs, world.truth) > 0.87  # the unweighted mean has .66


def test_calibrated_lambdas_follow_the_gold_rows():
    world = copies()
    gold = np.where(np.arange(5000) < 300, world.truth, -1)
    weights = combine(world.votes, "mean", gold=gold, weights="calibrated").weights
    assert weights[:4].max() < weights[4:].min()


def test_a_supervisor_that_always_says_the_same_has_no_lambda():
    world = independent([0.7, 0.8, 0.9])
    constant = np.tile([[[1.0, 0.0]]], (5000, 1, 1))
    combined = combine(np.concatenate([world.votes, constant], axis=1), "dependence")
    assert combined.weights[3] < 0.01
    assert any("same label to every row" in note for note in combined.diagnostics.notes)


def test_the_true_accuracies_lie_in_their_intervals():
    truth = [0.6, 0.7, 0.8, 0.9]
    found = combine(independent(truth).votes, "dependence").diagnostics
    assert (found.accuracy_interval[:, 0] < truth).all()
    assert (found.accuracy_interval[:, 1] > truth).all()


@pytest.mark.parametrize("choices", [2, 3, 5])
def test_the_accuracy_of_guessers_has_an_interval_with_chance_in_it(choices: int):
    votes = [np.random.default_rng(seed).integers(0, choices, (300, 4)) for seed in range(20)]
    ends = np.stack([combine(each, "dependence").diagnostics.accuracy_interval for each in votes])
    assert ((ends[..., 0] < 1 / choices) & (1 / choices < ends[..., 1])).mean() > 0.9


def test_votes_on_known_answers_have_wilson_intervals():
    world = independent([0.7, 0.8, 0.9], rows=100)
    found = combine(world.votes, gold=world.truth).diagnostics
    for share, interval in zip(found.accuracy, found.accuracy_interval, strict=True):
        assert interval == pytest.approx(wilson_interval(100 * share, 100))


def test_a_silent_supervisor_is_named_and_has_no_accuracy():
    world = independent([0.7, 0.8, 0.9], rows=100)
    world.votes[:, 1] = np.nan
    found = combine(world.votes).diagnostics
    assert np.isnan(found.accuracy[1])
    assert any("Never voted: supervisor 1" in note for note in found.notes)


def test_the_diagnostics_say_that_votes_alone_cannot_tell_right_together_from_wrong_together():
    world = independent([0.7, 0.8, 0.9], rows=100)
    notes = " ".join(combine(world.votes).diagnostics.notes)
    assert "right together" in notes
    assert "right together" not in " ".join(combine(world.votes, gold=world.truth).diagnostics.notes)


def test_two_supervisors_are_said_to_be_too_few():
    world = independent([0.7, 0.8], rows=100)
    assert any("Fewer than three" in note for note in combine(world.votes).diagnostics.notes)


def test_independent_supervisors_count_in_full():
    assert combine(independent([0.6, 0.7, 0.8, 0.9, 0.7]).votes).effective_supervisors == pytest.approx(5, abs=0.3)


def test_nobody_voting_at_all_gives_uniform_rows():
    combined = combine(np.full((3, 2, 2), np.nan))
    assert combined.probs.tolist() == [[0.5, 0.5]] * 3
    assert combined.effective_supervisors == 0


@pytest.mark.parametrize("method", METHODS)
def test_no_rows_at_all_give_no_rows(method):
    assert combine(np.zeros((0, 3, 2)), method).probs.shape == (0, 2)


@pytest.mark.parametrize(
    ("votes", "message"),
    [
        (np.zeros((3, 2)), "wrong shape"),
        (np.zeros((3, 0, 2)), "wrong shape"),
        (np.ones((3, 1, 1)), "wrong shape"),
        ([[[0.5, 0.6]]], "do not sum to one"),
        ([[[np.nan, 1.0]]], "NaN"),
        ([[[-0.5, 1.5]]], "outside"),
    ],
)
def test_votes_that_are_no_distributions_are_refused(votes, message):
    with pytest.raises(DataError, match=message):
        combine(votes)


@pytest.mark.parametrize(
    ("gold", "message"), [([0], "do not fit"), ([0, 2], "outside"), ([-2, 0], "outside"), ([0.5, 0], "whole")]
)
def test_gold_that_does_not_fit_is_refused(gold, message):
    with pytest.raises(DataError, match=message):
        combine(one_hot(np.array([[0], [1]])), gold=gold)


def test_a_vote_for_a_choice_that_does_not_exist_is_refused():
    with pytest.raises(DataError, match="names a choice that does not exist"):
        Ballots.from_labels([0], [0], [2], rows=1, choices=2)


def test_a_misspelt_method_gets_the_nearest_name():
    with pytest.raises(UnknownNameError, match="did you mean 'dawid_skene'"):
        combine(one_hot(np.array([[0]])), "david_skene")


@pytest.mark.parametrize("weights", [[1.0], [-1, 2], [0, 0], [np.nan, 1], {"x": 1, "y": 1}, "estimate", "calibrated"])
def test_weights_that_do_not_fit_are_refused(weights):
    with pytest.raises(ConfigError):
        combine(one_hot(np.array([[0, 1]])), "mean", weights=weights)


def test_calibration_without_gold_is_refused():
    with pytest.raises(ConfigError, match="on gold answers"):
        combine(one_hot(np.array([[0, 1]])), calibrate=True)


def test_calibrating_first_takes_back_the_confidence_of_a_supervisor_that_is_often_wrong():
    votes = np.tile([[[0.99, 0.01]]], (40, 1, 1))
    record = ChoiceVotes(tuple(map(str, range(40))), ("loud",), votes)
    gold = np.where(np.arange(40) < 20, np.arange(40) % 4 == 0, -1).astype(int)
    combined = combine(record, "mean", gold=gold, calibrate=True)
    np.testing.assert_allclose(combined.probs[30], [0.75, 0.25], atol=0.01)


def test_results_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        combine(one_hot(np.array([[0]]))).probs = None


@pytest.mark.parametrize("name", names("combiner"))
def test_every_combiner_of_an_experiment_takes_gold_for_some_rows(name):
    world = independent([0.7, 0.8, 0.9], rows=60)
    votes = ChoiceVotes(tuple(map(str, range(60))), ("a", "b", "c"), world.votes)
    targets = create("combiner", name, {}).choices(votes, np.where(np.arange(60) < 20, world.truth, -1))
    assert targets.ids == votes.ids
    assert (targets.probs.argmax(axis=1) == world.truth).mean() > 0.75
