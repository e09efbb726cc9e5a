from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outgrow.errors import ConfigError, DataError
from outgrow.theory.estimators import Naive, Refined, RefinedStudent, shrunk_least_squares
from outgrow.theory.regression import naive_excess_risk, naive_lower_bound, simulate
from outgrow.theory.world import COVARIANCE_SCALE, RegressionWorld, orthonormal_world, posterior, random_rotations

REFERENCE = {
    (1.0, 1.0): (0.273, 0.240, 0.171, 0.070, 0.0092, 0.0002, 0.0),
    (0.8, 1.0): (0.289, 0.276, 0.246, 0.172, 0.071, 0.0094, 0.0001),
    (0.5, 1.0): (0.307, 0.317, 0.332, 0.327, 0.269, 0.160, 0.050),
    (0.2, 1.0): (0.321, 0.346, 0.390, 0.434, 0.450, 0.434, 0.379),
    (1.0, 3.0): (0.350, 0.385, 0.407, 0.382, 0.305, 0.181, 0.061),
}
"""Excess risk of refinement for (κ, noise) at n = 1, 2, 4 … 64; d = 20, K = 10, σ = .5, known to a standard error of
.0013, measured independently of this code."""


@pytest.mark.parametrize(("kappa", "noise"), REFERENCE)
def test_refinement_has_the_reference_risks(kappa: float, noise: float) -> None:
    for n, wanted in zip((1, 2, 4, 8, 16, 32, 64), REFERENCE[kappa, noise], strict=True):
        risk = simulate(orthonormal_world(kappa=kappa, noise=noise), Refined(), n=n, repetitions=1000, seed=7)
        assert abs(risk.mean - wanted) < 3 * np.hypot(risk.standard_error, 0.0013)


@pytest.mark.parametrize(("kappa", "wanted"), [(1.0, 0.0), (0.8, 2 / 15), (0.5, 1 / 3), (0.2, 8 / 15)])
def test_naive_training_ends_at_the_weak_supervisor(kappa: float, wanted: float) -> None:
    assert naive_excess_risk(orthonormal_world(kappa=kappa), eta=0.0) == pytest.approx(wanted)


@pytest.mark.parametrize("concepts", [1, 2, 10])
def test_the_source_lacks_all_but_its_share_of_the_concept(concepts: int) -> None:
    world = orthonormal_world(concepts=concepts)
    assert world.excess(world.source) == pytest.approx((1 - 1 / concepts) / 3)


random_worlds = st.tuples(st.integers(0, 2**32 - 1), st.integers(1, 8), st.integers(1, 12), st.floats(0, 3))


@settings(max_examples=1000, deadline=None)
@given(random_worlds)
def test_naive_training_never_crosses_its_lower_bound(drawn: tuple[int, int, int, float]) -> None:
    seed, concepts, dimension, eta = drawn
    rng = np.random.default_rng(seed)
    components, weak = rng.normal(size=(2, concepts, dimension))
    prior, target = rng.dirichlet(np.ones(concepts), size=2)
    world = RegressionWorld(components, weak, prior, target)
    bound = naive_lower_bound(
        world.source - world.truth, world.weak_mean - world.truth, covariance_scale=COVARIANCE_SCALE
    )
    assert naive_excess_risk(world, eta) >= bound - 1e-12


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 8))
def test_naive_training_touches_its_lower_bound_at_the_best_eta(seed: int, dimension: int) -> None:
    rng = np.random.default_rng(seed)
    u, v = rng.normal(size=(2, dimension))
    v -= (u @ v) / (u @ u) * u
    world = RegressionWorld(np.stack([u, -u]), np.stack([v - u] * 2), np.array([1.0, 0]), np.array([0, 1.0]))
    # β* = −u, β_P = u, β^w = v − u: the biases are 2u and v, which are orthogonal.
    best = COVARIANCE_SCALE * (v @ v) / (4 * u @ u)
    bound = naive_lower_bound(2 * u, v, covariance_scale=COVARIANCE_SCALE)
    assert naive_excess_risk(world, best) == pytest.approx(bound)
    assert bound == pytest.approx(COVARIANCE_SCALE * 4 * (u @ u) * (v @ v) / (4 * u @ u + v @ v))


def test_naive_training_stays_above_its_lower_bound_with_few_labels_too() -> None:
    world = orthonormal_world(dimension=6, concepts=4, kappa=0.7)
    bound = naive_lower_bound(
        world.source - world.truth, world.weak_mean - world.truth, covariance_scale=COVARIANCE_SCALE
    )
    for eta, n in product((0.0, 0.1, 0.5, 2.0), (2, 6, 40)):
        risk = simulate(world, Naive(eta), n=n, repetitions=200, seed=3)
        assert risk.mean > bound - 3 * risk.standard_error


def test_naive_training_with_many_labels_has_the_risk_of_endless_labels() -> None:
    world = orthonormal_world(dimension=6, concepts=4, kappa=0.8)
    for eta in (0.0, 0.3):
        risk = simulate(world, Naive(eta), n=4000, repetitions=50, seed=0)
        assert risk.mean == pytest.approx(naive_excess_risk(world, eta), abs=4e-3)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 12), st.floats(0, 2))
def test_shrunk_least_squares_has_no_gradient_left_and_moves_only_where_there_are_data(
    seed: int, n: int, eta: float
) -> None:
    rng = np.random.default_rng(seed)
    x, y, centre = rng.normal(size=(1, n, 5)), rng.normal(size=(1, n)), rng.normal(size=5)
    beta = shrunk_least_squares(x, y, centre, eta)[0]
    gradient = x[0].T @ (x[0] @ beta - y[0]) / n + eta * (beta - centre)
    np.testing.assert_allclose(gradient, 0, atol=1e-6)
    outside = np.linalg.svd(x[0])[2][n:] if n < 5 else np.zeros((0, 5))
    np.testing.assert_allclose(outside @ (beta - centre), 0, atol=1e-6)


def test_the_posterior_is_bayes_rule_by_hand() -> None:
    rng = np.random.default_rng(0)
    x, y, components, prior = rng.normal(size=(4, 3)), rng.normal(size=4), rng.normal(size=(3, 3)), [0.5, 0.3, 0.2]
    joint = [
        alpha * np.prod([np.exp(-((b - beta @ a) ** 2) / (2 * 0.7**2)) for a, b in zip(x, y, strict=True)])
        for alpha, beta in zip(prior, components, strict=True)
    ]
    np.testing.assert_allclose(posterior(x, y, components, 0.7, prior), np.array(joint) / sum(joint), rtol=1e-12)


def test_rotations_are_orthogonal_and_favour_no_direction() -> None:
    turned = random_rotations(np.random.default_rng(0), 4000, 4)
    np.testing.assert_allclose(turned @ turned.mT, np.broadcast_to(np.eye(4), turned.shape), atol=1e-12)
    np.testing.assert_allclose(turned.mean(axis=0), 0.0, atol=4 * 0.5 / 4000**0.5)


def test_a_concept_without_prior_stays_without() -> None:
    assert posterior([[1.0, 0.0]], [1.0], np.eye(2), 0.1, [0.0, 1.0]).tolist() == [0.0, 1.0]


def test_the_student_of_refined_labels_beats_a_single_refinement() -> None:
    """It learns their mean: what differs between prompts averages out."""
    world = orthonormal_world(dimension=8, concepts=5)
    single = simulate(world, Refined(), n=4, repetitions=400, seed=0)
    student = simulate(world, RefinedStudent(prompts=40), n=4, repetitions=100, seed=0)
    assert student.interval[1] < single.interval[0]


def test_no_item_is_a_demonstration_for_itself() -> None:
    """With two items to a prompt, the refined label of the first must not change with its own weak label."""
    world = orthonormal_world(dimension=3, concepts=2)
    x, y = world.sample(np.random.default_rng(0), 1, 1, 2)
    x[0, 0, 1] = 0.0  # says nothing, and is itself answered by 0 whatever the weights
    changed = y.copy()
    changed[0, 0, 0] += 5
    first, second = (RefinedStudent(prompts=1)(world, x, labels) for labels in (y, changed))
    np.testing.assert_allclose(first, second, atol=1e-12)


@pytest.mark.parametrize("estimator", [Naive(), Naive(0.1), Refined(), RefinedStudent(eta=1e9)])
def test_without_demonstrations_everything_is_the_source(estimator: object) -> None:
    world = orthonormal_world()
    risk = simulate(world, estimator, n=0, repetitions=3, seed=0)  # type: ignore[arg-type]
    assert risk.mean == pytest.approx(float(world.excess(world.source)), abs=1e-6)


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others() -> None:
    world = orthonormal_world()
    first, again, other = (simulate(world, Refined(), n=4, repetitions=100, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_the_interval_holds_the_long_run_mean() -> None:
    world = orthonormal_world(dimension=6, concepts=4)
    long_run = simulate(world, Refined(), n=3, repetitions=40_000, seed=99).mean
    intervals = [simulate(world, Refined(), n=3, repetitions=100, seed=seed).interval for seed in range(100)]
    assert 88 <= sum(low < long_run < high for low, high in intervals) <= 100


@pytest.mark.parametrize("kappa", [1.01, -2.0, float("nan")])
def test_a_kappa_beyond_one_is_refused(kappa: float) -> None:
    with pytest.raises(ConfigError, match="kappa beyond ±1"):
        orthonormal_world(kappa=kappa)


def test_more_orthonormal_concepts_than_dimensions_are_refused() -> None:
    with pytest.raises(ConfigError, match="21 orthonormal components need 21 dimensions"):
        orthonormal_world(dimension=20, concepts=21)
    with pytest.raises(ConfigError, match="one more for the weak bias"):
        orthonormal_world(dimension=10, concepts=10, kappa=0.5)
    assert orthonormal_world(dimension=10, concepts=10).concepts == 10


def test_zero_noise_is_refused_for_the_strong_model_and_fine_for_the_weak_one() -> None:
    with pytest.raises(ConfigError, match="sigma must be above 0"):
        orthonormal_world(sigma=0.0)
    with pytest.raises(ConfigError, match="sigma must be above 0"):
        posterior([[1.0]], [1.0], [[1.0]], 0.0, [1.0])
    exact = orthonormal_world(noise=0.0)
    assert simulate(exact, Naive(), n=25, repetitions=20, seed=0).mean == pytest.approx(0.0, abs=1e-12)


def test_negative_counts_and_no_repetitions_are_refused() -> None:
    with pytest.raises(ConfigError, match="n must be at least 0"):
        simulate(orthonormal_world(), Refined(), n=-1, repetitions=1, seed=0)
    with pytest.raises(ConfigError, match="repetitions must be at least 1"):
        simulate(orthonormal_world(), Refined(), n=1, repetitions=0, seed=0)


@pytest.mark.parametrize(
    ("prior", "what"),
    [([1.5, -0.5], "negative"), ([0.5, 0.6], "sum to 1"), ([1.0], "wrong shape"), ([1, np.nan], "missing")],
)
def test_priors_that_are_no_distributions_are_refused(prior: list[float], what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        orthonormal_world(concepts=2, prior=prior)


def test_a_singular_covariance_is_refused_where_it_would_void_the_bound() -> None:
    with pytest.raises(ConfigError, match="covariance_scale must be above 0"):
        naive_lower_bound([1.0], [1.0], covariance_scale=0.0)
    with pytest.raises(DataError, match="differ in shape"):
        naive_lower_bound([1.0], [1.0, 2.0], covariance_scale=1.0)


def test_components_that_do_not_fit_are_refused() -> None:
    one = np.ones(1)
    with pytest.raises(ConfigError, match="one shape"):
        RegressionWorld(np.eye(1, 3), np.eye(1, 2), one, one)
    with pytest.raises(ConfigError, match="not finite"):
        RegressionWorld(np.full((1, 2), np.inf), np.eye(1, 2), one, one)
    with pytest.raises(ConfigError, match="weak_noise"):
        RegressionWorld(np.eye(1), np.eye(1), one, one, weak_noise=-1.0)
    with pytest.raises(ConfigError, match="more shares than"):
        orthonormal_world(concepts=2, target=[0.2, 0.2, 0.6])
    with pytest.raises(ConfigError, match="eta"):
        Naive(-1.0)
    with pytest.raises(DataError, match="do not fit"):
        posterior([[1.0, 2.0]], [1.0], np.eye(3), 1.0, [1 / 3] * 3)
