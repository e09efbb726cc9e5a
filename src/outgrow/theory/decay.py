"""Predicted and measured decay of refinement's excess risk with the number of demonstrations.

The excess risk of a typical prompt falls like exp(−2cκn/σ²). The mean over prompts is dominated by the rare prompts
whose demonstrations point to a wrong concept, and falls much more slowly: at Chernoff's rate, with a factor 1/√n.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from outgrow.errors import ConfigError
from outgrow.theory.checks import Floats, above_zero, at_least
from outgrow.theory.regression import blocks
from outgrow.theory.world import COVARIANCE_SCALE, orthonormal_world

GROUPS = 20
"""Groups of repetitions, whose spread gives the standard error of a slope."""


@dataclass(frozen=True)
class Slope:
    """A fitted rate of decay per demonstration."""

    rate: float
    standard_error: float


@dataclass(frozen=True)
class DecayCurve:
    """Excess risk of refinement at n = 1, 2, …, N, in a coordinate basis."""

    means: Floats
    """Mean excess risk in each group of repetitions, shape (groups, N)."""
    logs: Floats
    """Mean logarithm of the excess risk, shape (groups, N)."""

    def typical(self, first: int, last: int) -> Slope:
        """Return the rate at which the mean logarithm falls between two n."""
        return _slope(self.logs, lambda logs, n: logs, first, last)

    def mean(self, first: int, last: int) -> Slope:
        """Return the rate at which the mean falls between two n, beyond its factor 1/√n."""
        return _slope(self.means, lambda means, n: np.log(means) + 0.5 * np.log(n), first, last)


def typical_rate(kappa: float, sigma: float) -> float:
    """Return the rate of the mean logarithm of the excess risk: twice the drift of the log-odds, 2cκ/σ².

    Source:
        [TL] §4, reconstruction; the typical risk falls at this rate by the law of large numbers.

    Example:
        >>> round(typical_rate(1.0, 0.5), 3)
        2.667
    """
    above_zero("sigma", sigma)
    return 2 * COVARIANCE_SCALE * kappa / sigma**2


def mean_rate(kappa: float, sigma: float, noise: float = 1.0) -> float:
    """Return the rate of the mean excess risk per demonstration: Chernoff's, −log min_θ E exp(−θΛ) with 0 ≤ θ ≤ 2.

    Λ = [(y′ − β_kᵀx)² − (y′ − β*ᵀx)²] / 2σ² is what one demonstration adds to the log-odds against concept k; θ ends
    at 2 because the excess risk is about min(1, exp(−2ΣΛ)). The mean over x is taken by Gauss–Legendre quadrature in a
    coordinate basis, where β*ᵀx, β_kᵀx and the weak bias are independent. The rate is 0 where the drift is not
    positive. `noise` is in multiples of σ.

    Source:
        Chernoff 1952; ours for refinement.

    Example:
        >>> round(mean_rate(1.0, 0.5), 4)
        0.2692
    """
    from scipy.optimize import minimize_scalar

    orthonormal_world(kappa=kappa, sigma=sigma, noise=noise)  # raises ConfigError
    nodes, weights = np.polynomial.legendre.leggauss(40)
    own, other, bias = np.meshgrid(nodes, nodes, nodes, indexing="ij")
    share = np.einsum("i,j,k->ijk", weights, weights, weights) / 8
    answer = kappa * own + np.sqrt(1 - kappa**2) * bias
    drift = (2 * answer * (own - other) - own**2 + other**2) / (2 * sigma**2)
    spread = (noise * (own - other) / sigma) ** 2

    def log_moment(theta: float) -> float:
        exponent = -theta * drift + theta**2 * spread / 2
        top = exponent.max()
        return float(top + np.log((share * np.exp(exponent - top)).sum()))

    least = minimize_scalar(log_moment, bounds=(0.0, 2.0), method="bounded", options={"xatol": 1e-8})
    return max(0.0, -float(least.fun))


def decay_curve(
    kappa: float, longest: int, *, concepts: int, sigma: float, noise: float = 1.0, repetitions: int, seed: int
) -> DecayCurve:
    """Measure the excess risk of refinement at n = 1 … `longest` (at least 2), also where it is too small for a float.

    There are at least 2 concepts, and at least `GROUPS` repetitions (prompts). `noise` is in multiples of σ.

    Example:
        >>> curve = decay_curve(1.0, 40, concepts=2, sigma=0.5, repetitions=400, seed=0)
        >>> abs(curve.typical(20, 40).rate / typical_rate(1.0, 0.5) - 1) < 0.1
        True
    """
    at_least("longest", longest, 2)
    at_least("concepts", concepts, 2)
    at_least("repetitions", repetitions, GROUPS)
    orthonormal_world(dimension=concepts + 1, concepts=concepts, kappa=kappa, sigma=sigma, noise=noise)
    means, logs = [], []
    each = repetitions // GROUPS
    for group in range(GROUPS):
        total = np.zeros((2, longest))
        for rng, size in blocks(each, 4 * longest * (concepts + 1), seed + group * 1_000_003):
            log_excess = _log_excess(rng, size, longest, concepts, kappa, sigma, noise)
            total += np.exp(log_excess).sum(axis=0), log_excess.sum(axis=0)
        means.append(total[0] / each)
        logs.append(total[1] / each)
    return DecayCurve(np.array(means), np.array(logs))


def _log_excess(
    rng: np.random.Generator, size: int, longest: int, concepts: int, kappa: float, sigma: float, noise: float
) -> Floats:
    """Logarithm of c[(1 − w*)² + Σ w_k²] at every n, shape (size, longest), without ever forming 1 − w*."""
    x = rng.uniform(-1.0, 1.0, (size, longest, concepts + 1))
    y = kappa * x[..., :1] + np.sqrt(1 - kappa**2) * x[..., -1:] + noise * sigma * rng.standard_normal(x[..., :1].shape)
    scores = np.cumsum((y * x[..., :-1] - x[..., :-1] ** 2 / 2) / sigma**2, axis=1)
    others = scores[..., 1:] - scores[..., :1]
    top = others.max(axis=-1)
    scaled = np.exp(others - top[..., None])
    wrong, squares = np.log(scaled.sum(axis=-1)) + top, np.log((scaled**2).sum(axis=-1)) + 2 * top
    total = np.logaddexp(0.0, wrong)
    return np.asarray(np.log(COVARIANCE_SCALE) + np.logaddexp(2 * wrong, squares) - 2 * total)


def _slope(groups: Floats, transform: Callable[[Floats, Floats], Floats], first: int, last: int) -> Slope:
    """Least squares through first … last, with the jackknife's standard error over the groups."""
    if not 1 <= first < last <= groups.shape[1]:
        raise ConfigError(
            "The range of n is outside the curve.", found=(first, last), wanted=f"in 1 … {groups.shape[1]}"
        )
    n = np.arange(first, last + 1, dtype=np.float64)
    part = groups[:, first - 1 : last]
    whole, size = part.mean(axis=0), len(part)
    curves = np.stack([whole, *((size * whole - one) / (size - 1) for one in part)])
    slopes = -np.polyfit(n, transform(curves, n).T, 1)[0]
    error = np.sqrt((size - 1) * slopes[1:].var())
    return Slope(float(slopes[0]), float(error))
