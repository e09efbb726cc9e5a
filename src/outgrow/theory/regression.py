"""Excess risks in the regression world: by Monte Carlo with standard errors, and in closed form."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from outgrow.errors import DataError
from outgrow.theory.checks import Floats, above_zero, at_least
from outgrow.theory.estimators import Estimator
from outgrow.theory.world import COVARIANCE_SCALE, RegressionWorld

BLOCK = 2_000_000
"""Most numbers drawn at a time (16 MB). It takes part in fixing the random numbers: another value gives other draws."""


@dataclass(frozen=True)
class Risk:
    """A mean measured by Monte Carlo, such as an excess risk."""

    mean: float
    standard_error: float

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval by the normal approximation: too narrow where rare prompts that were not drawn matter."""
        return self.mean - 1.96 * self.standard_error, self.mean + 1.96 * self.standard_error

    def text(self, digits: int = 3) -> str:
        """Return the mean and half of the 95 % interval."""
        ends = (f"{value:.{digits}f}".removeprefix("0") for value in (self.mean, 1.96 * self.standard_error))
        return "±".join(ends)

    @classmethod
    def of(cls, values: Floats) -> Risk:
        """Return the mean of one value per repetition, shape (R,), with its standard error; NaN for one repetition."""
        spread = float(values.std(ddof=1)) if len(values) > 1 else float("nan")
        return cls(float(values.mean()), spread / len(values) ** 0.5)


def simulate(world: RegressionWorld, estimator: Estimator, *, n: int, repetitions: int, seed: int) -> Risk:
    """Return the mean excess risk of an estimator over `repetitions` fresh weakly labelled data sets.

    n, at least 0, is the number of demonstrations in a prompt, or of weak labels where the estimator pools them.

    Example:
        >>> from outgrow.theory import Naive, orthonormal_world
        >>> round(simulate(orthonormal_world(), Naive(), n=0, repetitions=10, seed=0).mean, 4)
        0.3
    """
    at_least("n", n, 0)
    at_least("repetitions", repetitions, 1)
    prompts, items = estimator.shape(n)
    drawn = prompts * items * max(world.dimension, world.concepts) + world.dimension**2 * world.rotated
    found = []
    for rng, size in blocks(repetitions, drawn, seed):
        x, y = world.sample(rng, size, prompts, items)
        found.append(world.excess(estimator(world, x, y)))
    return Risk.of(np.concatenate(found))


def blocks(repetitions: int, drawn: int, seed: int) -> Iterator[tuple[np.random.Generator, int]]:
    """Split repetitions of `drawn` values each into blocks that fit into memory; yield a generator and size of each."""
    size = max(1, BLOCK // max(drawn, 1))
    for block, start in enumerate(range(0, repetitions, size)):
        yield np.random.default_rng([seed, block]), min(size, repetitions - start)


def naive_lower_bound(source_bias: ArrayLike, weak_bias: ArrayLike, *, covariance_scale: float) -> float:
    """Return the least excess risk of naive training over all η: c·min_t ‖t u + (1 − t) v‖², t in [0, 1].

    u = β_P − β* is `source_bias` and v = β^w − β* `weak_bias`, shape (d,). Where they are orthogonal the bound is
    c·‖u‖²‖v‖² / (‖u‖² + ‖v‖²). With infinitely many weak labels the minimiser is β_P + (c / (c + η))·(β^w − β_P): it
    stays on the segment between the source and the weak supervisor. With n labels its mean does (the distribution of
    the inputs is symmetric in the coordinates and their signs), so by Jensen's inequality the bound holds for the mean
    excess risk at every n. c must be above 0: a singular covariance hides errors instead of bounding them.

    Source:
        [TL] §3, reconstruction; the argument for finite n is ours.

    Example:
        >>> naive_lower_bound([1.0, 0.0], [0.0, 1.0], covariance_scale=1 / 3) == 1 / 6
        True
    """
    u, v = np.asarray(source_bias, dtype=np.float64), np.asarray(weak_bias, dtype=np.float64)
    if u.shape != v.shape or u.ndim != 1:
        raise DataError("The biases of source and weak supervisor differ in shape.", found=(u.shape, v.shape))
    above_zero("covariance_scale", covariance_scale, fix="Leave out the directions in which inputs never vary.")
    apart = float(((u - v) ** 2).sum())
    share = float(np.clip(v @ (v - u) / apart, 0.0, 1.0)) if apart > 0 else 0.0
    nearest = share * u + (1 - share) * v
    return float(covariance_scale * (nearest @ nearest))


def naive_excess_risk(world: RegressionWorld, eta: float) -> float:
    """Return the excess risk of naive training on infinitely many weak labels, for shrinkage η ≥ 0.

    Source:
        [TL] §3, reconstruction.

    Example:
        >>> from outgrow.theory import orthonormal_world
        >>> round(naive_excess_risk(orthonormal_world(kappa=0.8), eta=0.0), 3)
        0.133
    """
    learnt = COVARIANCE_SCALE / (COVARIANCE_SCALE + eta)
    return float(world.excess(world.source + learnt * (world.weak_mean - world.source)))
