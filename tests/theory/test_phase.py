from __future__ import annotations

import os

import numpy as np
import pytest

from outgrow.errors import ConfigError, UnknownNameError
from outgrow.theory.deconvolution import Deconvolved
from outgrow.theory.estimators import Refined
from outgrow.theory.phase import METHODS, Grid, excess_grid, recommend
from outgrow.theory.regression import simulate
from outgrow.theory.topics.phase import log_spaced
from outgrow.theory.world import orthonormal_world

BASE, NAIVE, REFINED, DECONVOLVED = range(4)
SMALL = {"dimension": 6, "concepts": 4}


@pytest.fixture(scope="module")
def grid() -> Grid:
    return excess_grid([(1.0, 1.0), (0.6, 1.0), (0.8, 2.5)], [0, 3, 12], repetitions=1000, prompts=8, **SMALL)


def test_every_cell_is_the_risk_that_a_simulation_of_its_own_gives(grid: Grid) -> None:
    for row, (kappa, noise) in enumerate(zip(grid.kappas, grid.noises, strict=True)):
        for column, n in enumerate(grid.counts):
            world = orthonormal_world(kappa=kappa, noise=noise, **SMALL)
            alone = simulate(world, Refined(), n=n, repetitions=8000, seed=5)
            pooled = simulate(world, Deconvolved(prompts=8), n=n, repetitions=400, seed=5)
            for method, risk in ((REFINED, alone), (DECONVOLVED, pooled)):
                error = np.hypot(grid.standard_error[row, column, method], risk.standard_error)
                assert abs(grid.mean[row, column, method] - risk.mean) < 4 * error + 1e-9


def test_base_and_naive_are_exact(grid: Grid) -> None:
    np.testing.assert_allclose(grid.mean[..., BASE], 0.25)
    np.testing.assert_allclose(grid.mean[..., NAIVE], np.array([[0.0], [0.8 / 3], [0.4 / 3]]) + np.zeros(3), atol=1e-12)
    assert not grid.standard_error[..., :2].any()


def test_without_demonstrations_refinement_and_deconvolution_are_the_base(grid: Grid) -> None:
    np.testing.assert_allclose(grid.mean[:, 0, [REFINED, DECONVOLVED]], 0.25)
    np.testing.assert_array_equal(grid.best(["base", "refined", "deconvolved"])[:, 0], BASE)


def test_one_exact_answer_tells_the_concept() -> None:
    grid = excess_grid([(1.0, 0.0)], [1], sigma=1e-4, repetitions=200, **SMALL)
    assert (grid.mean[0, 0, [REFINED, DECONVOLVED]] < 1e-3).all()


def test_numbers_do_not_depend_on_the_number_of_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"repetitions": 450, "prompts": 2, **SMALL}
    several = excess_grid([(0.7, 1.0)], [5], **settings)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    np.testing.assert_array_equal(excess_grid([(0.7, 1.0)], [5], **settings).mean, several.mean)


def test_the_simplest_of_equals_is_best() -> None:
    mean = np.array([[[0.2, 0.1, 0.1, 0.1], [0.1, 0.10001, 0.3, 0.09999], [0.3, 0.2, 0.1, 0.05]]])
    found = Grid((1.0,), (1.0,), (1, 2, 3), mean, np.zeros_like(mean)).best()
    assert found.tolist() == [[NAIVE, BASE, DECONVOLVED]]


@pytest.mark.parametrize(
    ("kappa", "n", "best"), [(0.95, 4, "naive"), (0.7, 40, "refined"), (0.3, 8, "base"), (1.0, 64, "naive")]
)
def test_advice_without_deconvolution_is_that_of_the_map(kappa: float, n: int, best: str) -> None:
    advice = recommend(kappa, n, methods=METHODS[:3], repetitions=200)
    assert advice.best == best
    assert advice.clear is (kappa != 1.0)
    assert set(advice.risks) == set(METHODS[:3])


def test_noise_moves_the_boundary() -> None:
    allowed = METHODS[:3]
    assert recommend(0.8, 16, noise=1.0, methods=allowed, repetitions=200).best == "refined"
    assert recommend(0.8, 16, noise=3.0, methods=allowed, repetitions=200).best == "naive"


def test_deconvolution_is_advised_where_demonstrations_are_few() -> None:
    advice = recommend(0.6, 2, repetitions=200)
    assert advice.best == "deconvolved"
    assert advice.clear


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="kappa beyond"):
        recommend(1.2, 4)
    with pytest.raises(ConfigError, match="n must be at least 0"):
        recommend(0.5, -1)
    with pytest.raises(ConfigError, match="weak_noise"):
        recommend(0.5, 1, noise=-1.0)
    with pytest.raises(ConfigError, match="one dimension more"):
        recommend(1.0, 1, dimension=4, concepts=4)
    with pytest.raises(ConfigError, match="No method is allowed"):
        recommend(0.5, 1, methods=())
    with pytest.raises(UnknownNameError, match="did you mean 'refined'"):
        recommend(0.5, 1, methods=("refine",), repetitions=2)
    with pytest.raises(ConfigError, match="needs weak supervisors"):
        excess_grid([], [1])


@pytest.mark.parametrize(("longest", "cells"), [(128, 40), (16, 4), (10, 40), (2, 2)])
def test_counts_are_distinct_and_reach_from_one_to_the_longest(longest: int, cells: int) -> None:
    counts = log_spaced(longest, cells)
    assert len(set(counts)) == len(counts) == min(longest, cells)
    assert (counts[0], counts[-1]) == (1, longest)
