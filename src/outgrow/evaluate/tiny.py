"""A benchmark's score from a hundred of its items: the tinyBenchmarks estimators.

Item response theory says how likely a model of ability θ is to solve item i: σ(α_iᵀθ − β_i). Where α and β are known
for all items, a few *anchors* among them are enough to find a model's θ, and with it what it would do on the rest.

Source:
    Maia Polo, Weber, Choshen, Sun, Xu, Yurochkin 2024, *tinyBenchmarks* (arXiv 2402.14992), sections 3 and 4.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from numpy.typing import ArrayLike, NDArray

from outgrow.errors import DataError
from outgrow.labels.arrow import metadata, with_metadata

_STEPS, _HALVINGS, _CLOSE, _FLAT = 200, 40, 1e-9, 1e-6
"""Newton steps at most, halvings of one at most, the step that ends the search, and the curvature below which there is
no top to be found."""


@dataclass(frozen=True, eq=False)
class ItemBank:
    """All N items of a benchmark, and which of them are anchors.

    Raises:
        DataError: Shapes that do not fit, numbers that are not finite, no anchors, or weights that do not add up to 1.

    Example:
        >>> bank = ItemBank(("a", "b", "c"), np.ones((3, 1)), np.array([0.0, 0.0, 1.0]), np.array([0.4, 0.6, np.nan]))
        >>> bank.anchors
        ('a', 'b')
        >>> bank.chances(np.zeros(1)).round(3).tolist()
        [0.5, 0.5, 0.269]
    """

    ids: tuple[str, ...]
    """A unique name per item."""
    discrimination: NDArray[np.float64]
    """α, shape (N, D): which abilities help, and how sharply."""
    difficulty: NDArray[np.float64]
    """β, shape (N,)."""
    weights: NDArray[np.float64]
    """Share of the benchmark that each anchor stands for, shape (N,), NaN for items that are no anchors."""
    mixing: float = 0.5
    """Weight of the anchors' weighted mean in gp-IRT; the paper chooses it for each benchmark, one half is ours."""

    def __post_init__(self) -> None:
        count = len(self.ids)
        shapes = (self.discrimination.shape[:1], self.difficulty.shape, self.weights.shape)
        if self.discrimination.ndim != 2 or set(shapes) != {(count,)} or len(set(self.ids)) < count:
            raise DataError("The items do not fit together.", found=shapes, wanted=f"{count} items, each name once")
        if not (np.isfinite(self.discrimination).all() and np.isfinite(self.difficulty).all()):
            raise DataError("Some item parameters are not finite.", wanted="a number for each")
        known = self.weights[self.is_anchor]
        if not known.size or (known < 0).any() or not np.isclose(known.sum(), 1, atol=1e-3):
            found = f"sum {known.sum():.4f}"
            raise DataError("The anchors' weights are no shares.", found=found, wanted="sum 1, none below 0")
        if not 0 <= self.mixing <= 1:
            raise DataError("The mixing weight is no share.", found=self.mixing, wanted="0 to 1")

    @property
    def is_anchor(self) -> NDArray[np.bool_]:
        """Whether each item is an anchor, shape (N,)."""
        return np.isfinite(self.weights)

    @property
    def anchors(self) -> tuple[str, ...]:
        """The anchors' names, in the order in which their results are given."""
        return tuple(name for name, own in zip(self.ids, self.is_anchor, strict=True) if own)

    def chances(self, ability: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probability of solving each item at an ability θ of shape (D,), shape (N,)."""
        return _sigmoid(self.discrimination @ ability - self.difficulty)

    @classmethod
    def load(cls, path: str | Path) -> ItemBank:
        """Reads a bank from JSON or Parquet.

        JSON: `{"mixing": 0.4, "items": [{"id": "q1", "discrimination": [0.8, 1.1], "difficulty": -0.2, "weight": 0.01},
        …]}`, with `weight` null or left out for items that are no anchors. Parquet: a column for each of the four.

        Raises:
            DataError: The file is missing, damaged, or of another form.
        """
        try:
            if Path(path).suffix == ".parquet":
                table = pyarrow.parquet.read_table(path)
                return _from_records(table.to_pylist(), metadata(table).get("mixing"))
            about = json.loads(Path(path).read_text(encoding="utf-8"))
            return _from_records(about["items"], about.get("mixing"))
        except (OSError, KeyError, TypeError, ValueError, pa.ArrowInvalid) as error:
            raise DataError(
                f"{path} is no bank of items: {error!r}", wanted="JSON or Parquet as described for ItemBank.load"
            ) from error

    def save(self, path: str | Path) -> None:
        """Writes the bank in a form that `load` reads: Parquet if the name ends so, else JSON."""
        columns = {
            "id": list(self.ids),
            "discrimination": self.discrimination.tolist(),
            "difficulty": self.difficulty.tolist(),
            "weight": [None if np.isnan(own) else float(own) for own in self.weights],
        }
        table = pa.table(columns)
        if Path(path).suffix == ".parquet":
            pyarrow.parquet.write_table(with_metadata(table, mixing=self.mixing), path)
        else:
            text = json.dumps({"mixing": self.mixing, "items": table.to_pylist()}, allow_nan=False)
            Path(path).write_text(text, encoding="utf-8")


@dataclass(frozen=True, eq=False)
class TinyEstimate:
    """What the whole benchmark would say."""

    irt: float
    """Weighted mean of the anchors' results (anchor points chosen by IRT)."""
    p_irt: float
    """Results where they are known, and expected results elsewhere."""
    gp_irt: float
    """Both, mixed with the bank's `mixing`."""
    ability: NDArray[np.float64]
    """θ, shape (D,)."""
    p_irt_error: float
    """Standard error of `p_irt`, if the item parameters are right: doubt about θ (Laplace) and luck on unseen items
    (ours)."""


def estimate_benchmark(bank: ItemBank, results: ArrayLike, *, prior: float = 1.0) -> TinyEstimate:
    """Estimates a model's mean score on all items from its results on the anchors.

    Args:
        bank: The benchmark.
        results: Results in [0, 1] on the anchors, in the order of `bank.anchors`, shape (A,).
        prior: Precision of the normal prior of θ; 0 is the paper's maximum likelihood, which does not exist for a model
            that solves all anchors or none.

    Raises:
        DataError: Results of another shape or range, or a likelihood without a maximum.

    Example:
        >>> bank = ItemBank(tuple("abc"), np.ones((3, 1)), np.array([-1.0, 0.0, 1.0]), np.array([0.5, 0.5, np.nan]))
        >>> found = estimate_benchmark(bank, [1, 0])
        >>> found.irt, round(found.p_irt, 3)
        (0.5, 0.413)
    """
    seen = np.asarray(results, dtype=np.float64)
    anchor = bank.is_anchor
    if seen.shape != (int(anchor.sum()),) or not ((seen >= 0) & (seen <= 1)).all():
        raise DataError(
            "The results are not about the anchors.", found=seen.shape, wanted=f"{int(anchor.sum())} numbers in [0, 1]"
        )
    ability = fit_ability(bank.discrimination[anchor], bank.difficulty[anchor], seen, prior=prior)
    chances = bank.chances(ability)
    total = len(bank.ids)
    irt = float(bank.weights[anchor] @ seen)
    p_irt = float(seen.sum() + chances[~anchor].sum()) / total
    spread = chances * (1 - chances)
    alpha = bank.discrimination
    information = (alpha[anchor].T * spread[anchor]) @ alpha[anchor] + prior * np.eye(alpha.shape[1])
    slope = spread[~anchor] @ alpha[~anchor]
    variance = slope @ np.linalg.pinv(information) @ slope + spread[~anchor].sum()
    gp_irt = bank.mixing * irt + (1 - bank.mixing) * p_irt
    return TinyEstimate(irt, p_irt, gp_irt, ability, float(np.sqrt(variance)) / total)


def fit_ability(
    discrimination: NDArray[np.float64],
    difficulty: NDArray[np.float64],
    results: NDArray[np.float64],
    *,
    prior: float = 1.0,
) -> NDArray[np.float64]:
    """The most probable ability θ, shape (D,), by Newton's method.

    Args:
        discrimination: α, shape (A, D).
        difficulty: β, shape (A,).
        results: Results in [0, 1], shape (A,).
        prior: Precision of the normal prior around 0; 0 is maximum likelihood.

    Raises:
        DataError: The likelihood has no single maximum (and `prior` is 0).

    Example:
        >>> fit_ability(np.ones((2, 1)), np.zeros(2), np.array([1.0, 0.0])).tolist()
        [0.0]
    """
    ability: NDArray[np.float64] = np.zeros(discrimination.shape[1])

    def height(at: NDArray[np.float64]) -> float:
        logits = discrimination @ at - difficulty
        return float(results @ logits - np.logaddexp(0, logits).sum() - prior / 2 * at @ at)

    for _ in range(_STEPS):
        chances = _sigmoid(discrimination @ ability - difficulty)
        gradient = discrimination.T @ (results - chances) - prior * ability
        curvature = (discrimination.T * (chances * (1 - chances))) @ discrimination + prior * np.eye(len(ability))
        if np.linalg.eigvalsh(curvature)[0] < _FLAT:
            break
        step = np.linalg.solve(curvature, gradient)
        best = height(ability)
        for _ in range(_HALVINGS):
            if height(ability + step) >= best:
                break
            step = step / 2
        ability = ability + step
        if np.abs(step).max() < _CLOSE:
            return ability
    raise DataError(
        "The likelihood of the results has no single maximum.",
        found=f"results with mean {results.mean():.3f}",
        fix="Set a prior above 0.",
    )


def _from_records(records: list[dict[str, Any]], mixing: float | None) -> ItemBank:
    weights = [np.nan if item.get("weight") is None else item["weight"] for item in records]
    return ItemBank(
        ids=tuple(str(item["id"]) for item in records),
        discrimination=np.array([item["discrimination"] for item in records], dtype=np.float64),
        difficulty=np.array([item["difficulty"] for item in records], dtype=np.float64),
        weights=np.array(weights, dtype=np.float64),
        mixing=0.5 if mixing is None else mixing,
    )


def _sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.exp(-np.logaddexp(0, -logits))
