"""Whatever people, rules and models send in: every method and every λ gives a defined result or a clear error."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from voting_worlds import METHODS, independent

from outgrow.combine import Ballots, combine
from outgrow.combine.weights import WEIGHTINGS
from outgrow.errors import ConfigError, DataError

EXPLICIT = "explicit"


@st.composite
def crowds(draw):
    """Long lists of plain choices: 1 to 50 people, 2 to 1000 choices, each task seen by anyone from nobody to all."""
    people, choices, rows = draw(st.integers(1, 50)), draw(st.integers(2, 1000)), draw(st.integers(1, 12))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    labels = random.integers(0, choices, (rows, people))
    if draw(st.booleans()):
        labels[:, 0] = 0  # always says the same
    labels[:, -1] = labels[:, 0]  # says the same as the first
    seen = random.random((rows, people)) < draw(st.sampled_from([0.1, 0.5, 1.0]))
    if draw(st.booleans()):
        seen = np.arange(people) == random.integers(0, people, (rows, 1))  # every task is seen once
    seen[0] &= draw(st.booleans())  # nobody voted on the first task
    seen[:, people // 2] &= draw(st.booleans())  # one never votes
    row, person = np.nonzero(seen)
    names = tuple(f"p{index}" for index in range(people))
    ballots = Ballots.from_labels(row, person, labels[row, person], rows=rows, choices=choices, names=names)
    gold = np.where(random.random(rows) < draw(st.sampled_from([0.0, 0.5])), random.integers(0, choices, rows), -1)
    return ballots, gold


def check_defined(combined, ballots):
    """Distributions, λ that sum to one, an effective number and accuracies within their bounds."""
    width = ballots.choices if combined.answers is None else combined.answers.shape[1]
    assert combined.probs.shape == (ballots.rows, width)
    np.testing.assert_allclose(combined.probs.sum(axis=1), 1.0, atol=1e-9)
    assert (combined.probs >= 0).all()
    np.testing.assert_allclose(combined.weights.sum(), 1.0, atol=1e-9)
    assert (combined.weights >= 0).all()
    assert 0 <= combined.effective_supervisors <= len(ballots.names) + 1e-9
    about = combined.diagnostics
    votes = ballots.per_supervisor
    np.testing.assert_array_equal(about.votes, votes)
    np.testing.assert_array_equal(np.isnan(about.accuracy), votes == 0)
    low, high = about.accuracy_interval[votes > 0].T
    accuracy = about.accuracy[votes > 0]
    assert ((low <= accuracy + 1e-9) & (accuracy <= high + 1e-9) & (low >= -1e-9) & (high <= 1 + 1e-9)).all()


@given(st.sampled_from(METHODS), st.sampled_from([*WEIGHTINGS, EXPLICIT]), crowds())
@settings(max_examples=30)
def test_any_crowd_with_any_weighting_is_combined_or_refused_for_want_of_gold(method, weighting, case):
    ballots, gold = case
    weights = np.arange(len(ballots.names)) + 0.0 if weighting == EXPLICIT else weighting
    if weighting == "calibrated" and (gold < 0).all():
        with pytest.raises(ConfigError, match="need gold answers"):
            combine(ballots, method, gold=gold, weights=weights)
    elif weighting == EXPLICIT and len(ballots.names) == 1:
        with pytest.raises(ConfigError, match="do not fit"):  # a single λ of zero
            combine(ballots, method, gold=gold, weights=weights)
    else:
        check_defined(combine(ballots, method, gold=gold, weights=weights), ballots)


@pytest.mark.parametrize("method", METHODS)
@given(label=st.integers(-5, 9).filter(lambda label: not 0 <= label < 3), place=st.integers(0, 4))
@settings(max_examples=10)
def test_a_vote_for_an_unknown_class_is_refused_wherever_it_stands(method, label, place):
    labels = np.array([0, 1, 2, 0, 1])
    labels[place] = label
    with pytest.raises(DataError, match="a choice that does not exist"):
        combine(Ballots.from_labels(np.arange(5), np.zeros(5), labels, rows=5, choices=3), method)


@pytest.mark.parametrize("method", METHODS)
@given(factor=st.one_of(st.floats(0.0, 0.95), st.floats(1.05, 3.0)), row=st.integers(0, 9), person=st.integers(0, 2))
@settings(max_examples=10)
def test_probabilities_that_do_not_sum_to_one_are_refused_wherever_they_stand(method, factor, row, person):
    votes = np.random.default_rng(0).dirichlet([1, 1, 1], (10, 3))
    votes[row, person] *= factor
    with pytest.raises(DataError, match=r"sum to one|outside"):
        combine(votes, method)


@pytest.mark.parametrize("method", METHODS)
@given(choices=st.sampled_from([2, 3, 20, 21, 1000]), seed=st.integers(0, 99))
@settings(max_examples=8)
def test_the_only_supervisor_is_believed(method, choices, seed):
    # Left to itself, expectation–maximisation would give every row its favourite answer.
    labels = np.random.default_rng(seed).integers(0, choices, 30)
    ballots = Ballots.from_labels(np.arange(30), np.zeros(30, dtype=int), labels, rows=30, choices=choices)
    combined = combine(ballots, method)
    best = combined.probs.argmax(axis=1)
    answers = best if combined.answers is None else combined.answers[np.arange(30), best]
    np.testing.assert_array_equal(answers, labels)


@given(st.integers(0, 99), st.integers(2, 4))
@settings(max_examples=5)
def test_a_second_copy_of_a_supervisor_changes_nothing(seed, choices):
    votes = independent([0.8, 0.7, 0.6], rows=300, choices=choices, seed=seed).votes
    doubled = combine(votes[:, [0, 0, 1, 2]], "dependence")
    np.testing.assert_allclose(doubled.probs, combine(votes, "dependence").probs, atol=1e-6)
    assert doubled.effective_supervisors < 3.5
