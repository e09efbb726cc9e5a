from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from outgrow.errors import ConfigError, DataError
from outgrow.theory.deconvolution import Deconvolved, estimate_prior, relabelling_risks, unit_likelihood
from outgrow.theory.estimators import Refined
from outgrow.theory.regression import simulate
from outgrow.theory.world import RegressionWorld, orthonormal_world, posterior


def planted(target: list[float], seed: int = 0, units: int = 400, n: int = 8) -> np.ndarray:
    """Log-likelihoods of prompts whose concepts were drawn from a target."""
    world = orthonormal_world(dimension=6, concepts=4, target=target)
    x, y = world.sample(np.random.default_rng(seed), 1, units, n)
    return np.log(unit_likelihood(world, x, y)[0])


def test_the_planted_prior_is_found() -> None:
    found = estimate_prior(planted([0.6, 0.3, 0.1], units=4000))
    np.testing.assert_allclose(found.prior, [0.6, 0.3, 0.1, 0.0], atol=0.025)
    assert found.confounded == ()


def test_standard_errors_cover_the_planted_prior() -> None:
    target = np.array([0.5, 0.3, 0.1, 0.1])
    found = [estimate_prior(planted(target.tolist(), seed)) for seed in range(100, 160)]
    missed = np.array([(one.prior - target) / one.standard_error for one in found])
    np.testing.assert_allclose(missed.std(axis=0), 1.0, atol=0.35)
    np.testing.assert_allclose(missed.mean(axis=0), 0.0, atol=0.45)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 5))
def test_no_general_optimiser_finds_a_likelier_prior(seed: int, concepts: int) -> None:
    scores = np.random.default_rng(seed).normal(0, 1.5, (30, concepts))
    found = estimate_prior(scores, tolerance=1e-6)

    def loss(prior: np.ndarray) -> float:
        return -float(np.log(np.exp(scores) @ prior).sum())

    limits = {"type": "eq", "fun": lambda prior: prior.sum() - 1}
    start = np.full(concepts, 1 / concepts)
    other = minimize(loss, start, bounds=[(1e-12, 1)] * concepts, constraints=limits, method="SLSQP")
    assert loss(found.prior) <= other.fun + 1e-5
    assert found.shortfall <= 1e-5


def test_refinement_is_one_round_of_em_from_the_source_prior() -> None:
    world = orthonormal_world(dimension=6, concepts=4, prior=[0.4, 0.3, 0.2, 0.1])
    x, y = world.sample(np.random.default_rng(0), 1, 50, 4)
    refined = posterior(x[0], y[0], world.components, world.sigma, world.prior).mean(axis=0)
    one_round = estimate_prior(np.log(unit_likelihood(world, x, y)[0]), start=world.prior, rounds=1)
    np.testing.assert_allclose(one_round.prior, refined, rtol=1e-12)


@pytest.mark.parametrize("mixing", ["prompt", "item"])
def test_on_a_mixture_it_beats_refinement_with_intervals_apart(mixing: str) -> None:
    world = orthonormal_world(target=[0.6, 0.3, 0.1], mixing=mixing)
    for n in (1, 4):
        deconvolved = simulate(world, Deconvolved(prompts=64), n=n, repetitions=60, seed=1)
        refined = simulate(world, Refined(prompts=64), n=n, repetitions=60, seed=1)
        assert deconvolved.interval[1] < refined.interval[0]


def test_on_a_single_concept_both_end_at_no_excess() -> None:
    world = orthonormal_world()
    for estimator in (Deconvolved(prompts=16), Refined(prompts=16)):
        assert simulate(world, estimator, n=40, repetitions=50, seed=0).mean < 1e-4


def test_equal_concepts_are_named_as_confounded_and_keep_the_proportions_of_the_start() -> None:
    components = np.eye(4)[[0, 1, 1, 2]]
    world = RegressionWorld(components, components, np.full(4, 0.25), np.array([0.3, 0.35, 0.35, 0.0]))
    x, y = world.sample(np.random.default_rng(0), 1, 500, 8)
    found = estimate_prior(np.log(unit_likelihood(world, x, y)[0]), start=[0.2, 0.2, 0.4, 0.2])
    assert found.confounded == ((1, 2),)
    assert found.prior[2] == pytest.approx(2 * found.prior[1])
    assert np.isinf(found.standard_error[1:3]).all()
    assert np.isfinite(found.standard_error[[0, 3]]).all()


def test_a_mixture_that_equals_another_mixture_is_not_identified() -> None:
    """The likelihood of the last concept is the mean of two others: shares move between all three for free."""
    first = np.exp(np.random.default_rng(0).normal(0, 1, (500, 3)))
    likelihood = np.column_stack([first, first[:, :2].mean(axis=1)])
    assert estimate_prior(np.log(likelihood)).confounded == ((0, 1, 3),)


def test_nearly_equal_concepts_are_told_apart_by_more_data() -> None:
    components = np.array([[1.0, 0.0, 0.0], [1.0, 0.05, 0.0], [0.0, 0.0, 1.0]])
    world = RegressionWorld(components, components, np.full(3, 1 / 3), np.array([0.4, 0.4, 0.2]))
    found = {}
    for units in (20, 2000):
        x, y = world.sample(np.random.default_rng(0), 1, units, 8)
        found[units] = estimate_prior(np.log(unit_likelihood(world, x, y)[0]))
    assert found[20].confounded == ((0, 1),)
    assert found[2000].confounded == ()


def test_a_concept_without_a_share_that_two_units_cannot_rule_out_is_confounded() -> None:
    found = estimate_prior([[0.0, -0.1]] * 2, tolerance=1e-12)
    assert found.prior[1] < 1e-6
    assert found.confounded == ((0, 1),)
    assert estimate_prior([[0.0, -0.1]] * 200, tolerance=1e-12).confounded == ()


def test_equal_concepts_that_the_data_rule_out_do_no_harm() -> None:
    scores = np.log(np.tile([0.9, 0.05, 0.05], (200, 1)))
    assert estimate_prior(scores).confounded == ()


def test_labels_refined_from_the_estimated_prior_are_nearly_those_of_an_oracle() -> None:
    risks = relabelling_risks(orthonormal_world(target=[0.6, 0.3, 0.1]), n=4, prompts=100, repetitions=40, seed=0)
    assert risks["oracle"].mean < risks["deconvolved"].mean < risks["oracle"].mean + 0.02
    assert risks["deconvolved"].interval[1] < risks["refined"].interval[0]
    with pytest.raises(ConfigError, match="one concept per prompt"):
        relabelling_risks(orthonormal_world(mixing="item"), n=1, prompts=1, repetitions=1, seed=0)


def test_units_without_demonstrations_leave_the_start_and_say_so() -> None:
    found = estimate_prior(np.zeros((50, 3)), start=[0.5, 0.3, 0.2])
    np.testing.assert_allclose(found.prior, [0.5, 0.3, 0.2])
    assert found.confounded == ((0, 1, 2),)


def test_a_concept_that_starts_at_zero_stays_there() -> None:
    assert estimate_prior(planted([0.5, 0.5]), start=[0.0, 0.5, 0.25, 0.25]).prior[0] == 0


def test_a_concept_that_the_source_has_never_seen_is_never_found() -> None:
    world = orthonormal_world(dimension=6, concepts=4, prior=[0.0, 0.4, 0.3, 0.3], sigma=0.01)
    x, y = world.sample(np.random.default_rng(0), 3, 5, 40)
    found = Deconvolved(prompts=5)(world, x, y)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[:, 0], 0.0)
    with pytest.raises(ConfigError, match="prior excludes a concept"):
        relabelling_risks(world, n=1, prompts=1, repetitions=1, seed=0)


def test_too_few_rounds_leave_a_shortfall() -> None:
    found = estimate_prior(planted([0.6, 0.3, 0.1], n=1), rounds=2)
    assert found.shortfall > 0.1


def test_impossible_units_and_wrong_numbers_are_refused() -> None:
    with pytest.raises(DataError, match="1 units are impossible") as refused:
        estimate_prior([[0.0, 0.0], [-np.inf, -np.inf]])
    assert "row 1" in str(refused.value)
    with pytest.raises(DataError, match="that the start allows"):
        estimate_prior([[0.0, -np.inf]], start=[0.0, 1.0])
    with pytest.raises(DataError, match="not numbers"):
        estimate_prior([[0.0, np.nan]])
    with pytest.raises(DataError, match="wrong shape"):
        estimate_prior(np.zeros((0, 3)))
    with pytest.raises(ConfigError, match="negative"):
        estimate_prior([[0.0, 0.0]], start=[1.5, -0.5])
