from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outgrow.errors import ConfigError, DataError
from outgrow.theory.estimators import HullLeastSquares
from outgrow.theory.hull import project_to_hull, simplex_least_squares, statistical_dimension
from outgrow.theory.regression import simulate
from outgrow.theory.topics.hull import hull_limit
from outgrow.theory.world import RegressionWorld, orthonormal_world


def nearest_by_faces(point: np.ndarray, components: np.ndarray) -> float:
    """Least squared distance to the hull: the best over all faces whose affine minimiser lies inside."""
    found = []
    for size in range(1, len(components) + 1):
        for face in combinations(range(len(components)), size):
            corners = components[list(face)]
            edges = (corners[1:] - corners[0]).T
            share = np.linalg.lstsq(edges, point - corners[0], rcond=None)[0] if size > 1 else np.zeros(0)
            if (share >= -1e-9).all() and share.sum() <= 1 + 1e-9:
                found.append(((point - corners[0] - edges @ share) ** 2).sum())
    return float(min(found))


def simplex_projection(point: np.ndarray) -> np.ndarray:
    """Projection onto the standard simplex by sorting (Held, Wolfe & Crowder 1974)."""
    ordered = np.sort(point)[::-1]
    thresholds = (np.cumsum(ordered) - 1) / np.arange(1, len(point) + 1)
    return np.maximum(point - thresholds[ordered > thresholds][-1], 0)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 5))
def test_the_projection_is_the_best_over_all_faces(seed: int, concepts: int, dimension: int) -> None:
    rng = np.random.default_rng(seed)
    components, point = rng.normal(size=(concepts, dimension)), 2 * rng.normal(size=dimension)
    weights = project_to_hull(point, components)
    assert (weights >= 0).all()
    assert weights.sum() == pytest.approx(1)
    distance = ((weights @ components - point) ** 2).sum()
    assert distance == pytest.approx(nearest_by_faces(point, components), abs=1e-8)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 40))
def test_onto_orthonormal_components_it_is_the_projection_onto_the_simplex(seed: int, concepts: int) -> None:
    points = np.random.default_rng(seed).normal(0, 1, (5, concepts))
    wanted = [simplex_projection(point) for point in points]
    np.testing.assert_allclose(project_to_hull(points, np.eye(concepts)), wanted, atol=1e-10)


def test_projecting_twice_changes_nothing_and_repeated_components_do_no_harm() -> None:
    rng = np.random.default_rng(0)
    components = np.repeat(rng.normal(size=(4, 3)), 2, axis=0)
    once = project_to_hull(rng.normal(0, 2, (20, 3)), components) @ components
    np.testing.assert_allclose(project_to_hull(once, components) @ components, once, atol=1e-7)


def test_a_problem_alone_and_among_others_has_one_answer() -> None:
    rng = np.random.default_rng(1)
    root = rng.normal(size=(30, 8, 5))
    gram, linear = root @ root.mT, rng.normal(0, 3, (30, 8))
    together = simplex_least_squares(gram, linear)
    alone = np.concatenate([simplex_least_squares(gram[i : i + 1], linear[i : i + 1]) for i in range(30)])
    np.testing.assert_allclose(together, alone, atol=1e-9)


@pytest.mark.parametrize(
    ("concepts", "wanted"),
    [(2, 0.5), (3, 0.8333), (5, 1.2950), (10, 1.9921), (20, 2.7634), (50, 3.8824), (100, 4.7933), (200, 5.7511)],
)
def test_statistical_dimension_at_a_vertex(concepts: int, wanted: float) -> None:
    assert statistical_dimension(concepts) == pytest.approx(wanted, abs=1e-4)


def test_statistical_dimension_of_a_corner_of_a_triangle_is_that_of_its_angle() -> None:
    """A cone of 60° in the plane has half of its own share of the circle and of its polar's edges: 1/2 + 2/6."""
    assert statistical_dimension(3) == pytest.approx(5 / 6, abs=1e-9)


@pytest.mark.parametrize(("concepts", "active"), [(4, 1), (4, 2), (8, 3), (6, 5), (6, 6)])
def test_statistical_dimension_is_the_mean_of_its_definition(concepts: int, active: int) -> None:
    """The definition by Monte Carlo: the squared distance to the polar cone, minimised over τ on its breakpoints."""
    g = np.random.default_rng(0).standard_normal((40_000, concepts))
    inside, outside = g[:, :active], -np.sort(-g[:, active:], axis=1)
    values = []
    for above in range(concepts - active + 1):
        chosen = np.concatenate([inside, outside[:, :above]], axis=1)
        tau = chosen.mean(axis=1, keepdims=True)
        values.append(((inside - tau) ** 2).sum(axis=1) + (np.maximum(outside - tau, 0) ** 2).sum(axis=1))
    least = np.min(values, axis=0)
    assert statistical_dimension(concepts, active) == pytest.approx(
        least.mean(), abs=4 * least.std() / len(least) ** 0.5 + 1e-9
    )


def test_hull_least_squares_errs_by_the_statistical_dimension_over_n() -> None:
    """At a vertex, where labels are well specified and n is large: excess risk σ²δ/n."""
    world = orthonormal_world(dimension=8, concepts=5, rotated=False)
    risk = simulate(world, HullLeastSquares(), n=1500, repetitions=500, seed=0)
    wanted = world.sigma**2 * statistical_dimension(5) / 1500
    assert abs(risk.mean - wanted) < 3 * risk.standard_error + 0.02 * wanted


def test_with_endless_labels_it_ends_at_the_projection_of_what_they_teach() -> None:
    """In a world whose concepts are not orthogonal and whose weak supervisor is biased."""
    rng = np.random.default_rng(4)
    components = rng.normal(size=(5, 6)) / 2
    target = np.array([0.7, 0.3, 0, 0, 0])
    world = RegressionWorld(components, components + rng.normal(size=6) / 2, np.full(5, 0.2), target)
    risk = simulate(world, HullLeastSquares(), n=20_000, repetitions=20, seed=0)
    assert risk.mean == pytest.approx(hull_limit(world), rel=0.05)


def test_points_that_are_not_there_and_data_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigError, match="active"):
        statistical_dimension(3, active=4)
    with pytest.raises(ConfigError, match="at least 1"):
        statistical_dimension(0)
    with pytest.raises(DataError, match="do not fit"):
        project_to_hull([1.0, 2.0], np.eye(3))
    with pytest.raises(DataError, match="not finite"):
        project_to_hull([1.0, np.nan], np.eye(2))
