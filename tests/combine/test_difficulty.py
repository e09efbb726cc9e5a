import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.special import logsumexp
from voting_worlds import gaussian, independent

from outgrow.combine.ballots import Ballots, Merged
from outgrow.combine.dawid_skene import DawidSkene
from outgrow.combine.difficulty import DifficultyModel, Lines, _Objective, difficulty_posterior


def merged_of(votes, gold=None):
    return Merged.of(Ballots.of(votes), np.full(len(votes), -1) if gold is None else gold)


def lines_of(votes, gold=None):
    merged = merged_of(votes, gold)
    return Lines.of(merged.ballots, merged.gold, DawidSkene().posterior(merged.ballots).probs)


def test_the_gradient_is_that_of_the_objective():
    plain, strong = independent([0.7, 0.8], rows=60, choices=3), gaussian([1, 1], exponents=[3, 1], rows=60, choices=3)
    votes = np.concatenate([plain.votes, strong.votes], axis=1)
    votes[3, 0] = votes[4, 3] = np.nan
    gold = np.where(np.arange(60) < 5, plain.truth, -1)
    lines = lines_of(votes, gold)
    objective = _Objective(lines, 3)
    point = np.random.default_rng(0).normal(size=len(lines.owner) * 4 + 4) * 0.5
    numeric = approx_fprime(point, lambda flat: objective(flat)[0], 1e-6)
    np.testing.assert_allclose(objective(point)[1], numeric, atol=2e-4)


def test_a_wild_step_of_the_optimiser_costs_much_and_overflows_nothing():
    lines = lines_of(independent([0.7, 0.8], rows=60).votes)
    objective = _Objective(lines, 2)
    here = np.zeros(len(lines.owner) * 3 + 3)
    wild = here.copy()
    wild[-1] = 1000.0
    assert objective(here)[0] < objective(wild)[0] < np.inf


def test_the_posterior_is_the_integral_over_the_row_effect():
    votes = independent([0.7, 0.8], rows=30).votes
    lines = lines_of(votes)
    random = np.random.default_rng(0)
    half = random.normal(size=4)
    model = DifficultyModel(random.normal(size=4), np.stack([-half, half], axis=1), np.log([0.3, 0.7]), 0.4)
    effect = np.linspace(-8, 8, 4001)
    density = np.exp(-(effect**2) / 2) / np.sqrt(2 * np.pi) * (effect[1] - effect[0])
    expected = np.zeros((30, 2))
    for row in range(30):
        for answer in (0, 1):
            total = density.copy()
            for person in (0, 1):
                own = slice(2 * person, 2 * person + 2)
                logits = model.intercept[own, None] + model.slope[own, answer, None] * (1 + 0.4 * effect)
                total *= np.exp(logits - logsumexp(logits, axis=0))[votes[row, person].argmax()]
            expected[row, answer] = np.log(total.sum()) + model.log_balance[answer]
    found = difficulty_posterior(model, lines)[merged_of(votes).of_row]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_rows_on_which_the_same_was_said_become_one_line():
    votes = independent([0.6, 0.7, 0.8], rows=500).votes
    lines = lines_of(votes)
    assert len(lines.count) == 8
    assert lines.count.sum() == 500
    np.testing.assert_array_equal(lines.symbols.toarray()[merged_of(votes).of_row][:, 1::2], votes[:, :, 1])


def test_rows_that_differ_in_gold_stay_apart():
    votes = np.tile([[[1.0, 0.0]]], (4, 2, 1))
    lines = lines_of(votes, np.array([-1, 0, 1, 0]))
    assert sorted(zip(lines.gold.tolist(), lines.count.tolist(), strict=True)) == [(-1, 1.0), (0, 2.0), (1, 1.0)]


@pytest.mark.parametrize("spread", [0.0, 0.7])
def test_strengths_of_a_calibrated_supervisor_are_normalised(spread):
    # At τ = 0 the likelihood of a vote is exactly its evidence; with τ its normaliser keeps the total at one.
    lines = lines_of(gaussian([1], exponents=[1], rows=400).votes)
    model = DifficultyModel(np.zeros(0), np.zeros((0, 2)), np.log([0.5, 0.5]), spread)
    likelihood = np.exp(difficulty_posterior(model, lines) - model.log_balance)
    np.testing.assert_allclose(likelihood.mean(axis=0), 1.0, atol=0.05)
