"""The convex hull of the concepts: projection onto it, and its statistical dimension."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, wofz

from outgrow.errors import ConfigError, DataError
from outgrow.theory.checks import Floats, at_least

SLACK = 1e-11
"""Relative size below which a gradient or a step counts as rounding."""


def project_to_hull(points: ArrayLike, components: ArrayLike) -> Floats:
    """Return the weights, shape (…, K), of the nearest points in the convex hull of the components.

    Points have shape (…, d), components (K, d); they may be dependent. The projections are `weights @ components`.

    Raises:
        DataError: The shapes do not match, or a value is not finite.

    Example:
        >>> project_to_hull([2.0, 1.0], np.eye(2)).tolist()
        [1.0, 0.0]
    """
    points, components = np.asarray(points, dtype=np.float64), np.asarray(components, dtype=np.float64)
    if components.ndim != 2 or not len(components) or points.shape[-1:] != components.shape[1:]:
        raise DataError("Points and components do not fit.", found=(points.shape, components.shape))
    if not (np.isfinite(points).all() and np.isfinite(components).all()):
        raise DataError("Points or components are not finite.")
    linear = (points @ components.T).reshape(-1, len(components))
    gram = np.broadcast_to(components @ components.T, (len(linear), len(components), len(components)))
    return simplex_least_squares(gram, linear).reshape(*points.shape[:-1], len(components))


def simplex_least_squares(gram: Floats, linear: Floats) -> Floats:
    """Return argmin_w ½ wᵀHw − fᵀw over the simplex {w ≥ 0, Σw = 1}, exactly, for R problems at once.

    H (`gram`, shape (R, K, K)) is positive semidefinite, f (`linear`) has shape (R, K). A primal active-set method: a
    problem steps towards the minimiser over the affine hull of its active concepts; a weight that reaches 0 on the
    way leaves the set, and at the minimiser the concept with the most negative reduced gradient joins. A concept that
    joins is affinely independent of the set in the metric of H, so singular H are no problem.

    Source:
        Lawson & Hanson 1974, Wolfe 1976 (minimum-norm points), batched by us.
    """
    problems, size = linear.shape
    weights, active = np.zeros((problems, size)), np.zeros((problems, size), dtype=bool)
    first = (0.5 * np.diagonal(gram, axis1=1, axis2=2) - linear).argmin(axis=1)
    weights[np.arange(problems), first] = active[np.arange(problems), first] = 1
    scale = np.abs(gram).max(axis=(1, 2), initial=0.0) + np.abs(linear).max(axis=1, initial=0.0)
    todo = np.arange(problems)
    for _ in range(100 * size):
        if not len(todo):
            break
        goal = _affine_minimum(gram[todo], linear[todo], active[todo])
        inside = (goal >= 0).all(axis=1)
        there, away = todo[inside], todo[~inside]
        weights[there] = goal[inside]
        active[there] &= weights[there] > 0
        if len(away):
            weights[away], active[away] = _walk(weights[away], goal[~inside], active[away])
        gradient = np.einsum("rkl,rl->rk", gram[there], weights[there]) - linear[there]
        reduced = gradient - (gradient * weights[there]).sum(axis=1, keepdims=True)
        reduced[active[there]] = 0.0
        best = reduced.argmin(axis=1)
        improves = reduced[np.arange(len(there)), best] < -SLACK * scale[there]
        active[there[improves], best[improves]] = True
        todo = np.concatenate([there[improves], away])
    return weights


def statistical_dimension(concepts: int, active: int = 1) -> float:
    """Return the statistical dimension δ of the simplex's tangent cone where `active` of `concepts` concepts are mixed.

    δ = E min_τ [Σ_{j∈S} (g_j − τ)² + Σ_{j∉S} (g_j − τ)₊²], with g standard normal and |S| = active: from 1 (a vertex)
    to K (the interior, δ = K − 1). As δ is also the expected divergence of the projection,
    δ = |S| − 1 + (K − |S|)·P(a concept outside S joins the projection), and the one with g_j = b joins exactly if
    Σ_S (b − g_i) exceeds what the others outside S have above b. That probability is inverted from its characteristic
    function (Gil-Pelaez) and integrated over b, to about 1e-9.

    Source:
        Formula: [TL] §3; Amelunxen et al. 2014 (arXiv 1303.6672). The quadrature is ours.

    Example:
        >>> [round(statistical_dimension(concepts), 4) for concepts in (2, 3, 10)]
        [0.5, 0.8333, 1.9921]
    """
    at_least("concepts", concepts, 1)
    if not 1 <= active <= concepts:
        raise ConfigError(
            "active must be between 1 and the number of concepts.", found=active, wanted=f"1 to {concepts}"
        )
    outside = concepts - active
    if not outside:
        return float(active - 1)
    b, width = np.linspace(-8, 8, 161, retstep=True)
    density = np.exp(-(b**2) / 2) / np.sqrt(2 * np.pi)
    return float(active - 1 + outside * (_joins(b, active, outside - 1) * density).sum() * width)


def _joins(b: Floats, active: int, others: int) -> Floats:
    # P(W > 0) with W = active·b − √active·Z − Σ (g − b)₊, the sum over `others` standard normal g; shape of b.
    density, above = np.exp(-(b**2) / 2) / np.sqrt(2 * np.pi), ndtr(-b)
    excess = density - b * above
    variance = active + others * ((1 + b**2) * above - b * density - excess**2)
    standardised = (active * b - others * excess) / np.sqrt(variance)
    found: Floats = (standardised > 0).astype(np.float64)
    # Beyond nine standard deviations the probability is 0 or 1, and the integrand oscillates too fast for the grid.
    near = np.abs(standardised) < 9
    b = b[near, None]
    step = 9 / np.sqrt(active) / 600
    t = (np.arange(600) + 0.5) * step
    positive_part = ndtr(b) + 0.5 * np.exp(-(b**2) / 2) * wofz(1j * (b + 1j * t) / np.sqrt(2))
    function = positive_part**others * np.exp(1j * t * active * b - active * t**2 / 2)
    found[near] = 0.5 + (function.imag / t).sum(axis=1) * step / np.pi
    return found


def _affine_minimum(gram: Floats, linear: Floats, active: NDArray[np.bool_]) -> Floats:
    problems, size = linear.shape
    system = np.zeros((problems, size + 1, size + 1))
    both = active[:, :, None] & active[:, None, :]
    system[:, :size, :size] = np.where(both, gram, np.eye(size) * ~active[:, None, :])
    system[:, :size, size] = system[:, size, :size] = active
    right = np.concatenate([np.where(active, linear, 0.0), np.ones((problems, 1))], axis=1)
    solved: Floats = np.linalg.solve(system, right[..., None])[:, :size, 0]
    return np.where(active, solved, 0.0)


def _walk(weights: Floats, goal: Floats, active: NDArray[np.bool_]) -> tuple[Floats, NDArray[np.bool_]]:
    """Step from weights towards a goal outside the simplex until the first weight is 0, and deactivate its concept."""
    falling = active & (goal < 0)
    share = np.where(falling, weights / np.where(falling, weights - goal, 1.0), np.inf)
    first = share.argmin(axis=1)
    rows = np.arange(len(weights))
    moved = weights + share[rows, first][:, None] * (goal - weights)
    moved[rows, first] = 0.0
    still = active.copy()
    still[rows, first] = False
    return np.where(still, np.maximum(moved, 0.0), 0.0), still
