"""Changes to targets: the most confident rows alone, or other class proportions, without gold for any row."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outgrow.errors import ConfigError, DataError
from outgrow.labels import ChoiceTargets

Array = NDArray[np.float64]
_ITERATIONS = 1000
_TOLERANCE = 1e-9


def surest(targets: ChoiceTargets, keep: float, *, per_class: bool = False, seed: int = 0) -> ChoiceTargets:
    """Return the share of rows with the most confident targets, by the probability of their likeliest choice.

    Supervisors are often more confident about some choices, which then dominate. With `per_class` the same share is
    kept of the rows of every likeliest choice (the first of equally likely ones). Ties, such as all rows where one
    person voted, are broken at random, so that the order of a file does not matter. A fraction of a row counts as a
    whole one; the rows that remain keep their order.

    Source:
        Selection by confidence is as old as self-training; per-class shares follow the class-balanced self-training of
        Zou et al. 2018 (arXiv 1810.07911), here applied to the supervisors' confidence.

    Example:
        >>> probs = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.4, 0.6]])
        >>> targets = ChoiceTargets(("a", "b", "c", "d"), probs, np.ones(4))
        >>> surest(targets, 0.5).ids, surest(targets, 0.5, per_class=True).ids
        (('a', 'b'), ('a', 'c'))
    """
    if not 0 < keep <= 1:
        raise ConfigError("The share of rows to keep is out of range.", found=keep, wanted="above 0, at most 1")
    sureness = targets.probs.max(axis=1)
    # Sorting is stable: after a shuffle, equals stay in a random order.
    shuffled = np.random.default_rng(seed).permutation(len(sureness))
    surest_first = shuffled[np.argsort(-sureness[shuffled].round(12), kind="stable")]
    group = targets.probs.argmax(axis=1)[surest_first] if per_class else np.zeros(len(sureness), dtype=np.intp)
    classes = [surest_first[group == each] for each in np.unique(group)]
    kept = [rows[: math.ceil(round(keep * len(rows), 9))] for rows in classes]  # rounded: 0.07 * 100 is above 7
    return targets.take(np.sort(np.concatenate([np.empty(0, dtype=np.intp), *kept])))


def match_proportions(probs: ArrayLike, proportions: ArrayLike, *, weights: ArrayLike | None = None) -> Array:
    """Reweight the classes of all rows alike so that the mean of the targets has given proportions.

    Returns q_nk ∝ p_nk·w_k with the one w (up to a factor) for which Σ_n v_n q_nk / Σ_n v_n = π_k, from targets p
    (N, K), proportions π (K,) and row weights v (N,). Of all ways to reach the proportions this changes the targets
    least, in the sum of Kullback–Leibler divergences. A class of proportion 0 loses all probability.

    Raises:
        DataError: `proportions` is no distribution, or certain targets make it unreachable.

    Source:
        Iterative proportional fitting (Deming & Stephan 1940); its use on weak labels is ours.
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

    Expectation–maximisation: the rows' predictions (N, K) are reweighted by the ratio of new to old proportions, and
    their mean gives the next ones (K,). Right if the supervisor is calibrated under `prior` (K,), the proportions among
    the rows it learned from, and only the proportions have changed.

    Source:
        Saerens, Latinne & Decaestecker 2002, Adjusting the outputs of a classifier to new a priori probabilities.
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
