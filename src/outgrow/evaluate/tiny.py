"""The tinyBenchmarks estimators: a benchmark's score from a hundred of its items.

By item response theory a model of ability θ solves item i with probability σ(α_iᵀθ − β_i). Where α and β of all items
are known, results on a few of them, the anchors, give θ, and with it the expected results on the others.

Source:
    Maia Polo, Weber, Choshen, Sun, Xu, Yurochkin 2024, *tinyBenchmarks* (arXiv 2402.14992), sections 3 and 4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outgrow.errors import DataError

_STEPS, _HALVINGS, _CLOSE, _FLAT = 200, 40, 1e-9, 1e-6
"""Most Newton steps, most halvings of a step, the step that ends the search, and the least curvature at a maximum."""


@dataclass(frozen=True, eq=False)
class TinyEstimate:
    """Estimates of a model's mean result on all items."""

    irt: float
    """Weighted mean of the results on the anchors."""
    p_irt: float
    """Mean of results on the anchors and expected results elsewhere."""
    gp_irt: float
    """`mixing` · irt + (1 − `mixing`) · p_irt."""
    ability: NDArray[np.float64]
    """θ, shape (D,)."""
    p_irt_error: float
    """Standard error of `p_irt` if α and β are right (ours): uncertainty of θ (Laplace) and of unseen results."""


def estimate_benchmark(
    results: ArrayLike,
    discrimination: ArrayLike,
    difficulty: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    mixing: float = 0.5,
    prior: float = 1.0,
) -> TinyEstimate:
    """Estimate a model's mean result on all N items of a benchmark from its results on the anchors.

    Args:
        results: Results in [0, 1], shape (N,); NaN for items that are no anchors.
        discrimination: α, shape (N, D).
        difficulty: β, shape (N,).
        weights: Share of the benchmark that each anchor stands for, shape (N,), of which those of the anchors sum to 1.
            Default: equal shares.
        mixing: Weight of the anchors' mean in gp-IRT. The paper chooses it for each benchmark; one half is ours.
        prior: Precision of the normal prior of θ; 0 is the paper's maximum likelihood, which does not exist for a model
            that solves all anchors or none.

    Raises:
        DataError: Shapes or ranges that do not fit, no anchors, or a likelihood without a maximum.

    Example:
        >>> found = estimate_benchmark([1, 0, np.nan], np.ones((3, 1)), [-1, 0, 1])
        >>> found.irt, round(found.p_irt, 3)
        (0.5, 0.413)
    """
    seen, alpha, beta = (np.asarray(each, dtype=np.float64) for each in (results, discrimination, difficulty))
    anchor = ~np.isnan(seen)
    share = np.full(seen.shape, 1 / max(anchor.sum(), 1)) if weights is None else np.asarray(weights, dtype=np.float64)
    shapes = (seen.shape, alpha.shape, beta.shape, share.shape)
    if alpha.ndim != 2 or {seen.shape, beta.shape, share.shape} != {alpha.shape[:1]}:
        raise DataError("The items do not fit together.", found=shapes, wanted="(N,), (N, D), (N,) and (N,)")
    if not (np.isfinite(alpha).all() and np.isfinite(beta).all()):
        raise DataError("Some item parameters are not finite.", wanted="a number for each")
    if not anchor.any() or not ((seen[anchor] >= 0) & (seen[anchor] <= 1)).all():
        raise DataError("Results must be in [0, 1], on at least one item.", found=f"{int(anchor.sum())} results")
    if not (share[anchor] >= 0).all() or not np.isclose(share[anchor].sum(), 1, atol=1e-3) or not 0 <= mixing <= 1:
        raise DataError(
            "The weights of the anchors, or the mixing weight, are not shares.",
            found=f"sum {share[anchor].sum():.4f}, mixing {mixing}",
            wanted="weights ≥ 0 with sum 1, mixing from 0 to 1",
        )
    ability = fit_ability(alpha[anchor], beta[anchor], seen[anchor], prior=prior)
    chances = _sigmoid(alpha @ ability - beta)
    irt = float(share[anchor] @ seen[anchor])
    p_irt = float(seen[anchor].sum() + chances[~anchor].sum()) / len(seen)
    spread = chances * (1 - chances)
    information = (alpha[anchor].T * spread[anchor]) @ alpha[anchor] + prior * np.eye(alpha.shape[1])
    slope = spread[~anchor] @ alpha[~anchor]
    variance = slope @ np.linalg.pinv(information) @ slope + spread[~anchor].sum()
    gp_irt = mixing * irt + (1 - mixing) * p_irt
    return TinyEstimate(irt, p_irt, gp_irt, ability, float(np.sqrt(variance)) / len(seen))


def fit_ability(
    discrimination: NDArray[np.float64],
    difficulty: NDArray[np.float64],
    results: NDArray[np.float64],
    *,
    prior: float = 1.0,
) -> NDArray[np.float64]:
    """Return the most probable ability θ, shape (D,), by Newton's method; arguments as above, for the anchors only.

    Raises:
        DataError: The likelihood has no single maximum (and `prior` is 0).
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


def _sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.exp(-np.logaddexp(0, -logits))
