from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from outgrow.errors import DataError
from outgrow.evaluate.tiny import TinyEstimate, estimate_benchmark, fit_ability


@dataclass(frozen=True)
class Bank:
    """A benchmark whose items follow the theory."""

    alpha: np.ndarray
    beta: np.ndarray
    anchor: np.ndarray

    def results(self, ability: np.ndarray, seed: int) -> np.ndarray:
        """Results of one model on all items."""
        chances = 1 / (1 + np.exp(self.beta - self.alpha @ ability))
        return (np.random.default_rng([seed, 7]).random(len(self.beta)) < chances).astype(float)

    def estimate(self, results: np.ndarray, **settings: object) -> TinyEstimate:
        return estimate_benchmark(np.where(self.anchor, results, np.nan), self.alpha, self.beta, **settings)


def planted(items: int = 2000, anchors: int = 100, dimensions: int = 2, seed: int = 0) -> Bank:
    rng = np.random.default_rng(seed)
    anchor = np.zeros(items, dtype=bool)
    anchor[rng.permutation(items)[:anchors]] = True
    return Bank(rng.uniform(0.3, 1.5, (items, dimensions)), rng.normal(0, 1.5, items), anchor)


def test_the_ability_is_the_top_of_a_fine_grid() -> None:
    bank = planted(items=60, anchors=60)
    results = bank.results(np.array([0.5, -0.3]), seed=1)
    found = fit_ability(bank.alpha, bank.beta, results, prior=0.5)
    steps = np.linspace(-3, 3, 601)
    grid = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2)
    logits = grid @ bank.alpha.T - bank.beta
    heights = logits @ results - np.logaddexp(0, logits).sum(axis=1) - 0.25 * (grid**2).sum(axis=1)
    np.testing.assert_allclose(found, grid[heights.argmax()], atol=0.0051)


def test_maximum_likelihood_finds_a_planted_ability_with_many_anchors() -> None:
    bank = planted(items=20_000, anchors=20_000)
    ability = np.array([0.8, -0.6])
    found = fit_ability(bank.alpha, bank.beta, bank.results(ability, seed=2), prior=0.0)
    np.testing.assert_allclose(found, ability, atol=0.12)  # three standard errors


def test_p_irt_is_nearer_to_the_whole_benchmark_than_the_anchors_alone_and_its_error_is_honest() -> None:
    bank = planted()
    rng = np.random.default_rng(3)
    errors = []
    for model in range(200):
        results = bank.results(rng.normal(0, 0.7, 2), seed=model)
        found = bank.estimate(results, mixing=0.3)
        errors.append([found.irt - results.mean(), found.p_irt - results.mean(), found.p_irt_error])
        assert found.gp_irt == pytest.approx(0.3 * found.irt + 0.7 * found.p_irt)
    anchors, p_irt, claimed = np.array(errors).T
    assert np.sqrt((p_irt**2).mean()) < 0.8 * np.sqrt((anchors**2).mean())
    assert 0.9 < (np.abs(p_irt) < 1.96 * claimed).mean() <= 1.0


def test_where_all_items_are_anchors_all_estimates_are_the_mean() -> None:
    bank = planted(items=50, anchors=50)
    results = bank.results(np.zeros(2), seed=4)
    found = bank.estimate(results)
    assert [found.irt, found.p_irt, found.gp_irt] == pytest.approx([results.mean()] * 3)
    assert found.p_irt_error == 0


def test_each_anchor_counts_for_the_share_it_stands_for() -> None:
    weights = np.array([0.9, 0.1, 7.0])  # the last one is no anchor
    found = estimate_benchmark([1, 0, np.nan], np.ones((3, 1)), np.zeros(3), weights)
    assert found.irt == pytest.approx(0.9)


@pytest.mark.parametrize("result", [0.0, 1.0])
def test_a_model_that_solves_all_or_nothing_has_an_ability_under_a_prior_only(result: float) -> None:
    bank = planted(items=200, anchors=20)
    everything = np.full(200, result)
    assert np.isfinite(bank.estimate(everything).ability).all()
    with pytest.raises(DataError, match="no single maximum"):
        bank.estimate(everything, prior=0.0)


def test_what_does_not_fit_is_refused() -> None:
    bank, weights = planted(items=10, anchors=4), np.full(10, 0.25)
    for results in (np.full(10, 2.0), np.full(10, np.nan)):
        with pytest.raises(DataError, match="at least one item"):
            bank.estimate(results)
    for changed, settings, message in [
        ({}, {"weights": weights * 2}, "not shares"),
        ({}, {"weights": np.where(bank.anchor, -weights, weights)}, "not shares"),
        ({}, {"weights": weights[:9]}, "do not fit"),
        ({}, {"mixing": 1.5}, "not shares"),
        ({"beta": np.zeros(9)}, {}, "do not fit"),
        ({"beta": np.full(10, np.inf)}, {}, "not finite"),
    ]:
        with pytest.raises(DataError, match=message):
            replace(bank, **changed).estimate(np.ones(10), **settings)
