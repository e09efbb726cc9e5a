"""Class proportions: correcting a supervisor's bias towards a class in the targets, without gold for any row."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outgrow.errors import DataError

Array = NDArray[np.float64]
_ITERATIONS = 1000
_TOLERANCE = 1e-9


def match_proportions(probs: ArrayLike, proportions: ArrayLike, *, weights: ArrayLike | None = None) -> Array:
    """Reweight the classes of all rows alike so that the mean of the targets has given proportions.

    Returns q_nk ∝ p_nk·w_k with the one w (up to a factor) for which Σ_n v_n q_nk / Σ_n v_n = π_k. Of all ways to reach
    the proportions this changes the targets least, in the sum of Kullback–Leibler divergences.

    Args:
        probs: Targets of shape (N, K).
        proportions: π, shape (K,), not negative, summing to one; a class of proportion 0 loses all probability.
        weights: Row weights v of shape (N,); by default all 1.

    Raises:
        DataError: `proportions` is no distribution, or certain targets make it unreachable.

    Source:
        Iterative proportional fitting (Deming & Stephan 1940); its use on weak labels is ours.

    Example:
        >>> leaning = np.array([[0.1, 0.9], [0.3, 0.7], [0.4, 0.6]])
        >>> match_proportions(leaning, [0.5, 0.5]).round(2).tolist()
        [[0.26, 0.74], [0.57, 0.43], [0.67, 0.33]]
    """
    p, wanted = np.asarray(probs, dtype=np.float64), checked_proportions(proportions, np.shape(probs)[1])
    v = np.ones(len(p)) if weights is None else np.asarray(weights, dtype=np.float64)
    v = v / v.sum()
    reached, matched = v @ p, p
    factors = np.ones(len(wanted))
    for _ in range(_ITERATIONS):
        if np.abs(reached - wanted).max() < _TOLERANCE:
            return matched
        factors *= np.divide(wanted, reached, out=np.zeros_like(wanted), where=reached > 0)
        factors /= factors.max()
        matched = p * factors
        total = matched.sum(axis=1, keepdims=True)
        if (total <= 0).any():
            break
        matched = matched / total
        reached = v @ matched
    if np.abs(reached - wanted).max() < 1e-4:
        return matched
    raise DataError(
        "The targets cannot reach these class proportions.",
        found=", ".join(f"{share:.3g}" for share in v @ p),
        wanted=", ".join(f"{share:.3g}" for share in wanted),
        fix="Targets that are certain cannot move: combine by `mean` or a posterior, and do not harden.",
    )


def shifted_proportions(probs: ArrayLike, prior: ArrayLike) -> Array:
    """Estimate the class proportions of unlabelled rows from a supervisor trained under other proportions.

    Expectation–maximisation: the rows' posteriors are reweighted by the ratio of new to old proportions, and their
    mean gives the next ones. Right if the supervisor is calibrated under `prior` and only the proportions have changed.

    Args:
        probs: Predictions of shape (N, K).
        prior: Proportions among the rows the supervisor learned from, shape (K,).

    Returns:
        Proportions of shape (K,).

    Raises:
        DataError: `prior` is no distribution, or gives a class no probability.

    Source:
        Saerens, Latinne & Decaestecker 2002, Adjusting the outputs of a classifier to new a priori probabilities.

    Example:
        >>> sure = np.array([[0.99, 0.01]] * 9 + [[0.01, 0.99]])
        >>> shifted_proportions(sure, [0.5, 0.5]).round(2).tolist()
        [0.91, 0.09]
    """
    p = np.asarray(probs, dtype=np.float64)
    old = checked_proportions(prior, p.shape[1])
    if old.min() <= 0:
        raise DataError("A class is missing among the rows the supervisors learned from.", found=old.tolist())
    new = old
    for _ in range(_ITERATIONS):
        posterior = p * (new / old)
        posterior /= np.maximum(posterior.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
        before, new = new, posterior.mean(axis=0)
        if np.abs(new - before).max() < _TOLERANCE:
            break
    estimated: Array = new / new.sum()
    return estimated


def checked_proportions(proportions: ArrayLike, choices: int) -> Array:
    """Return proportions as an array (K,); raises `DataError` where they are no distribution over the choices."""
    values = np.asarray(proportions, dtype=np.float64)
    sensible = values.shape == (choices,) and np.isfinite(values).all() and values.min() >= 0
    if not sensible or abs(values.sum() - 1) > 1e-6:
        raise DataError(
            "Class proportions are no distribution over the choices.",
            found=values.tolist(),
            wanted=f"{choices} numbers ≥ 0 that sum to one",
        )
    return values
