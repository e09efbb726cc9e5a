"""What can be made of weak labels: estimators of the target's linear predictor, batched over repetitions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from outgrow.errors import ConfigError
from outgrow.theory.checks import at_least
from outgrow.theory.hull import simplex_least_squares
from outgrow.theory.world import RegressionWorld, log_likelihood, posterior

Array = NDArray[np.float64]


class Estimator(Protocol):
    """From weakly labelled prompts to a linear predictor."""

    def shape(self, n: int) -> tuple[int, int]:
        """How many prompts it wants, and how many items in each, where `n` demonstrations are asked for."""

    def __call__(self, world: RegressionWorld, x: Array, y: Array) -> Array:
        """Inputs (R, m, n, d) and weak labels (R, m, n) to predictors of shape (R, d)."""


@dataclass(frozen=True)
class Source:
    """The untouched strong model: predicts the mean over its prior, whatever the data are."""

    def shape(self, n: int) -> tuple[int, int]:
        """No prompt is read."""
        return 0, n

    def __call__(self, world: RegressionWorld, x: Array, y: Array) -> Array:
        """β_P for every repetition."""
        return np.broadcast_to(world.source, (len(x), world.dimension))


@dataclass(frozen=True)
class Naive:
    """Training the strong model on weak labels: least squares that shrinks towards the source.

    argmin_β (1/n) Σ (y′ − βᵀx)² + η ‖β − β_P‖². With η = 0 and fewer labels than dimensions there are many minimisers,
    and the one nearest to the source is taken, as the limit η → 0 does; without labels that is the source itself.

    Source:
        [TL] §3, reconstruction.
    """

    eta: float = 0.0
    """η: how strongly the student stays at the source."""

    def __post_init__(self) -> None:
        if not self.eta >= 0:
            raise ConfigError("eta must not be negative.", found=self.eta)

    def shape(self, n: int) -> tuple[int, int]:
        """One pool of n weak labels."""
        return 1, n

    def __call__(self, world: RegressionWorld, x: Array, y: Array) -> Array:
        """Minimiser over the pool of all prompts."""
        pooled, labels = x.reshape(len(x), -1, world.dimension), y.reshape(len(y), -1)
        return shrunk_least_squares(pooled, labels, world.source, self.eta)


@dataclass(frozen=True)
class HullLeastSquares:
    """Least squares over the convex hull of the concepts: what a student is when it can only mix what it knows.

    Source:
        [TL] §3, reconstruction.
    """

    def shape(self, n: int) -> tuple[int, int]:
        """One pool of n weak labels."""
        return 1, n

    def __call__(self, world: RegressionWorld, x: Array, y: Array) -> Array:
        """Σ_k w_k β_k with w on the simplex; without labels the source."""
        pooled, labels = x.reshape(len(x), -1, world.dimension), y.reshape(len(y), -1)
        if not labels.shape[1]:
            return np.broadcast_to(world.source, (len(x), world.dimension))
        features = pooled @ world.components.T
        gram = features.mT @ features
        weights = simplex_least_squares(gram, np.einsum("rnk,rn->rk", features, labels))
        predictors: Array = weights @ world.components
        return predictors


@dataclass(frozen=True)
class Refined:
    """Refinement: the strong model's prediction after n weak demonstrations, one prompt or the mean over several.

    The mean is what a student of any capacity learns from the refined labels of so many prompts.

    Source:
        [TL] Algorithm 1; that the strong model is Bayesian is a reconstruction.
    """

    prompts: int = 1
    """m: prompts over which the predictions are averaged."""

    def __post_init__(self) -> None:
        at_least("prompts", self.prompts, 1)

    def shape(self, n: int) -> tuple[int, int]:
        """Prompts of n demonstrations each."""
        return self.prompts, n

    def __call__(self, world: RegressionWorld, x: Array, y: Array) -> Array:
        """Σ_k w_k β_k with w the exact posterior."""
        weights = posterior(x, y, world.components, world.sigma, world.prior).mean(axis=1)
        predictors: Array = weights @ world.components
        return predictors


@dataclass(frozen=True)
class RefinedStudent:
    """The whole method: every item is relabelled from the others of its prompt, then the student learns all of them.

    Source:
        [TL] Algorithm 1 (leave-one-out), reconstruction.
    """

    prompts: int = 32
    """m: prompts; the student sees m·(n + 1) refined labels."""
    eta: float = 0.0
    """η of the student's least squares, see `Naive`."""

    def __post_init__(self) -> None:
        at_least("prompts", self.prompts, 1)

    def shape(self, n: int) -> tuple[int, int]:
        """Prompts of an item and its n demonstrations."""
        return self.prompts, n + 1

    def __call__(self, world: RegressionWorld, x: Array, y: Array) -> Array:
        """Least squares on the refined labels."""
        scores = log_likelihood(x, y, world.components, world.sigma)
        with np.errstate(divide="ignore"):
            others = scores.sum(axis=2, keepdims=True) - scores + np.log(world.prior)
        weights = np.exp(others - others.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        refined = np.einsum("rmnk,rmnk->rmn", weights, x @ world.components.T)
        return Naive(self.eta)(world, x, refined)


def shrunk_least_squares(x: Array, y: Array, centre: Array, eta: float) -> Array:
    """argmin_β (1/n) Σ (y − βᵀx)² + η ‖β − centre‖²; of several minimisers the one nearest to the centre.

    Args:
        x: Inputs, shape (R, n, d).
        y: Labels, shape (R, n).
        centre: Shape (d,).
        eta: η, not negative.

    Returns:
        Shape (R, d).

    Example:
        >>> shrunk_least_squares(np.array([[[1.0, 0.0]]]), np.array([[2.0]]), np.array([1.0, 5.0]), eta=1.0).tolist()
        [[1.5, 5.0]]
    """
    size = max(x.shape[1], 1)
    gram = x.mT @ x / size
    moment = np.einsum("rnd,rn->rd", x, y - x @ centre) / size
    scale, axes = np.linalg.eigh(gram)
    # Along an axis in which no input varies the moment is 0, and so is the step.
    seen = scale > 1e-12 * scale[:, -1:]
    along = np.where(seen, (moment[:, None] @ axes)[:, 0] / np.where(seen, scale + eta, 1.0), 0.0)
    predictors: Array = centre + (axes @ along[..., None])[..., 0]
    return predictors
