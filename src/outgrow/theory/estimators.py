"""Estimators of the target's linear predictor from weak labels, batched over repetitions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.special import softmax

from outgrow.errors import ConfigError
from outgrow.theory.checks import Floats, at_least
from outgrow.theory.hull import simplex_least_squares
from outgrow.theory.world import RegressionWorld, log_likelihood, posterior


class Estimator(Protocol):
    """Maps weakly labelled prompts to a linear predictor."""

    prompts: int = 1
    """m."""

    def shape(self, n: int) -> tuple[int, int]:
        """Return the numbers of prompts and of items per prompt to draw for n demonstrations."""
        return self.prompts, n

    def __call__(self, world: RegressionWorld, x: Floats, y: Floats) -> Floats:
        """Return predictors of shape (R, d) for inputs (R, m, n, d) and weak labels (R, m, n)."""


@dataclass(frozen=True)
class Naive(Estimator):
    """Training the strong model on weak labels: least squares with shrinkage towards the source.

    argmin_β (1/n) Σ (y′ − βᵀx)² + η ‖β − β_P‖². With η = 0 and fewer labels than dimensions the minimiser nearest to
    the source is taken, the limit η → 0; without labels that is the source itself.

    Source:
        [TL] §3, reconstruction.
    """

    eta: float = 0.0
    """η: shrinkage towards the source."""

    def __post_init__(self) -> None:
        if not self.eta >= 0:
            raise ConfigError("eta must not be negative.", found=self.eta)

    def __call__(self, world: RegressionWorld, x: Floats, y: Floats) -> Floats:
        """Return the minimiser over the pool of all prompts."""
        pooled, labels = x.reshape(len(x), -1, world.dimension), y.reshape(len(y), -1)
        return shrunk_least_squares(pooled, labels, world.source, self.eta)


@dataclass(frozen=True)
class HullLeastSquares(Estimator):
    """Least squares over the convex hull of the concepts; without labels the source.

    Source:
        [TL] §3, reconstruction.
    """

    def __call__(self, world: RegressionWorld, x: Floats, y: Floats) -> Floats:
        """Return Σ_k w_k β_k with w on the simplex; without labels the source."""
        pooled, labels = x.reshape(len(x), -1, world.dimension), y.reshape(len(y), -1)
        if not labels.shape[1]:
            return np.broadcast_to(world.source, (len(x), world.dimension))
        features = pooled @ world.components.T
        gram = features.mT @ features
        weights = simplex_least_squares(gram, np.einsum("rnk,rn->rk", features, labels))
        return weights @ world.components


@dataclass(frozen=True)
class Refined(Estimator):
    """Refinement: the strong model's prediction after n weak demonstrations, averaged over prompts.

    The mean is what a student of any capacity learns from the refined labels of these prompts.

    Source:
        [TL] Algorithm 1; that the strong model is Bayesian is a reconstruction.
    """

    prompts: int = 1
    """m."""

    def __post_init__(self) -> None:
        at_least("prompts", self.prompts, 1)

    def __call__(self, world: RegressionWorld, x: Floats, y: Floats) -> Floats:
        """Return Σ_k w_k β_k with the exact posterior w."""
        weights = posterior(x, y, world.components, world.sigma, world.prior).mean(axis=1)
        return np.asarray(weights @ world.components)


@dataclass(frozen=True)
class RefinedStudent(Estimator):
    """The whole method: each item is relabelled from the others of its prompt, then a student is fitted to all of them.

    Source:
        [TL] Algorithm 1 (leave-one-out), reconstruction.
    """

    prompts: int = 32
    """m; the student is trained on m·(n + 1) refined labels."""
    eta: float = 0.0
    """η of the student's least squares, see `Naive`."""

    def __post_init__(self) -> None:
        at_least("prompts", self.prompts, 1)

    def shape(self, n: int) -> tuple[int, int]:
        """Return m prompts of an item and its n demonstrations."""
        return self.prompts, n + 1

    def __call__(self, world: RegressionWorld, x: Floats, y: Floats) -> Floats:
        """Return least squares on the refined labels."""
        scores = log_likelihood(x, y, world.components, world.sigma)
        with np.errstate(divide="ignore"):
            others = scores.sum(axis=2, keepdims=True) - scores + np.log(world.prior)
        refined = np.einsum("rmnk,rmnk->rmn", softmax(others, axis=-1), x @ world.components.T)
        return Naive(self.eta)(world, x, refined)


def shrunk_least_squares(x: Floats, y: Floats, centre: Floats, eta: float) -> Floats:
    """Return argmin_β (1/n) Σ (y − βᵀx)² + η ‖β − centre‖², shape (R, d).

    Of several minimisers it is the one nearest the centre. Inputs have shape (R, n, d), labels (R, n), the centre (d,).
    """
    size = max(x.shape[1], 1)
    gram = x.mT @ x / size
    moment = np.einsum("rnd,rn->rd", x, y - x @ centre) / size
    scale, axes = np.linalg.eigh(gram)
    # Along an axis in which no input varies the moment is 0, and so is the step.
    seen = scale > 1e-12 * scale[:, -1:]
    along = np.where(seen, (moment[:, None] @ axes)[:, 0] / np.where(seen, scale + eta, 1.0), 0.0)
    return np.asarray(centre + (axes @ along[..., None])[..., 0])
