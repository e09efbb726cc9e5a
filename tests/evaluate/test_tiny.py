from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from outgrow.errors import DataError
from outgrow.evaluate import ItemBank, estimate_benchmark
from outgrow.evaluate.tiny import fit_ability


def planted(items: int = 2000, anchors: int = 100, dimensions: int = 2, seed: int = 0) -> ItemBank:
    """A benchmark whose items follow the theory; anchors at random, each standing for as much as any other."""
    rng = np.random.default_rng(seed)
    weights = np.full(items, np.nan)
    weights[rng.permutation(items)[:anchors]] = 1 / anchors
    alpha, beta = rng.uniform(0.3, 1.5, (items, dimensions)), rng.normal(0, 1.5, items)
    return ItemBank(tuple(f"q{item}" for item in range(items)), alpha, beta, weights, mixing=0.3)


def sat(bank: ItemBank, ability: np.ndarray, seed: int) -> np.ndarray:
    """Results of one model on all items."""
    return (np.random.default_rng([seed, 7]).random(len(bank.ids)) < bank.chances(ability)).astype(float)


def test_the_ability_is_the_top_of_a_fine_grid() -> None:
    bank = planted(items=60, anchors=60)
    results = sat(bank, np.array([0.5, -0.3]), seed=1)
    found = fit_ability(bank.discrimination, bank.difficulty, results, prior=0.5)
    steps = np.linspace(-3, 3, 601)
    grid = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2)
    logits = grid @ bank.discrimination.T - bank.difficulty
    heights = logits @ results - np.logaddexp(0, logits).sum(axis=1) - 0.25 * (grid**2).sum(axis=1)
    np.testing.assert_allclose(found, grid[heights.argmax()], atol=0.0051)


def test_maximum_likelihood_finds_a_planted_ability_with_many_anchors() -> None:
    bank = planted(items=20_000, anchors=20_000)
    ability = np.array([0.8, -0.6])
    found = fit_ability(bank.discrimination, bank.difficulty, sat(bank, ability, seed=2), prior=0.0)
    np.testing.assert_allclose(found, ability, atol=0.12)  # three standard errors


def test_p_irt_is_nearer_to_the_whole_benchmark_than_the_anchors_alone_and_its_error_is_honest() -> None:
    bank = planted()
    rng = np.random.default_rng(3)
    errors = []
    for model in range(200):
        results = sat(bank, rng.normal(0, 0.7, 2), seed=model)
        found = estimate_benchmark(bank, results[bank.is_anchor])
        errors.append([found.irt - results.mean(), found.p_irt - results.mean(), found.p_irt_error])
        assert found.gp_irt == pytest.approx(0.3 * found.irt + 0.7 * found.p_irt)
    anchors, p_irt, claimed = np.array(errors).T
    assert np.sqrt((p_irt**2).mean()) < 0.8 * np.sqrt((anchors**2).mean())
    assert 0.9 < (np.abs(p_irt) < 1.96 * claimed).mean() <= 1.0


def test_where_all_items_are_anchors_all_estimates_are_the_mean() -> None:
    bank = planted(items=50, anchors=50)
    results = sat(bank, np.zeros(2), seed=4)
    found = estimate_benchmark(bank, results)
    assert [found.irt, found.p_irt, found.gp_irt] == pytest.approx([results.mean()] * 3)
    assert found.p_irt_error == 0


@pytest.mark.parametrize("result", [0.0, 1.0])
def test_a_model_that_solves_all_or_nothing_has_an_ability_under_a_prior_only(result: float) -> None:
    bank = planted(items=200, anchors=20)
    everything = np.full(20, result)
    assert np.isfinite(estimate_benchmark(bank, everything).ability).all()
    with pytest.raises(DataError, match="no single maximum"):
        estimate_benchmark(bank, everything, prior=0.0)


@pytest.mark.parametrize("name", ["bank.json", "bank.parquet"])
def test_a_bank_is_read_as_it_was_written(name: str, tmp_path: Path) -> None:
    bank = planted(items=30, anchors=5)
    bank.save(tmp_path / name)
    again = ItemBank.load(tmp_path / name)
    for field in dataclasses.fields(bank):
        np.testing.assert_array_equal(getattr(again, field.name), getattr(bank, field.name))


def test_a_file_of_another_form_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bank.json"
    path.write_text(json.dumps({"items": [{"id": "a", "difficulty": 0.0}]}))
    for wrong in (path, tmp_path / "missing.json", tmp_path / "missing.parquet"):
        with pytest.raises(DataError, match="no bank of items"):
            ItemBank.load(wrong)


def test_what_does_not_fit_is_refused() -> None:
    bank = planted(items=10, anchors=4)
    for results in ([1, 0, 1], [1, 0, 1, 2], [1, 0, 1, np.nan]):
        with pytest.raises(DataError, match="not about the anchors"):
            estimate_benchmark(bank, results)
    for changed, message in [
        ({"weights": np.full(10, np.nan)}, "no shares"),
        ({"weights": bank.weights * 2}, "no shares"),
        ({"difficulty": np.zeros(9)}, "do not fit"),
        ({"difficulty": np.full(10, np.inf)}, "not finite"),
        ({"ids": ("a",) * 10}, "do not fit"),
        ({"mixing": 1.5}, "mixing"),
    ]:
        with pytest.raises(DataError, match=message):
            dataclasses.replace(bank, **changed)
