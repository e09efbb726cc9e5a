"""The latent-concept regression world: a strong model that knows all concepts, and weak labels for one of them.

Inputs x are uniform on [−1, 1]^d, so their covariance is c·I with c = 1/3. The strong model was pretrained on the
mixture p(y|x) = Σ_k α_k N(β_kᵀx, σ²). A prompt holds demonstrations of one concept k, labelled by a weak supervisor:
y′ = β_k^wᵀx + noise. β_k^w may be biased, the noise large, or both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logsumexp

from outgrow.errors import ConfigError, DataError
from outgrow.theory.checks import Floats, Ints, above_zero, at_least, distribution

COVARIANCE_SCALE = 1 / 3
"""c: the variance of every coordinate of x."""


@dataclass(frozen=True, eq=False)
class RegressionWorld:
    """The concepts, the strong model's prior over them, and the weak supervisor.

    Source:
        [TL] §2. Mixtures as targets and non-orthogonal components are ours.

    Example:
        >>> world = orthonormal_world(dimension=8, concepts=5, kappa=0.8)
        >>> world.components.shape, round(float(world.excess(world.source)), 4)
        ((5, 8), 0.2667)
    """

    components: Floats
    """β_k, shape (K, d)."""
    weak: Floats
    """β_k^w: the weak supervisor's predictor for concept k, shape (K, d)."""
    prior: Floats
    """α: share of each concept in the strong model's pretraining, shape (K,)."""
    target: Floats
    """π: share of each concept in the target, shape (K,); one-hot for a single concept."""
    sigma: float = 0.5
    """σ: standard deviation of y in pretraining, which the strong model also assumes for weak labels."""
    weak_noise: float = 0.5
    """Standard deviation of the noise in weak labels."""
    mixing: Literal["prompt", "item"] = "prompt"
    """Whether one concept is drawn per prompt or per demonstration."""
    rotated: bool = True
    """Rotates the inputs at random in every repetition: the same as drawing a new orthonormal basis. Without it results
    belong to one basis; a coordinate basis differs by up to 8 %."""

    def __post_init__(self) -> None:
        components, weak = (np.asarray(array, dtype=np.float64) for array in (self.components, self.weak))
        if components.ndim != 2 or weak.shape != components.shape:
            raise ConfigError(
                "Components and weak components must have one shape (K, d).", found=(components.shape, weak.shape)
            )
        if not (np.isfinite(components).all() and np.isfinite(weak).all()):
            raise ConfigError("Components are not finite.")
        above_zero("sigma", self.sigma, fix="Use a small sigma for exact labels.")
        if not (np.isfinite(self.weak_noise) and self.weak_noise >= 0):
            raise ConfigError("weak_noise must not be negative.", found=self.weak_noise)
        for name, value in (("components", components), ("weak", weak)):
            object.__setattr__(self, name, value)
        for name in ("prior", "target"):
            object.__setattr__(self, name, distribution(f"The {name}", getattr(self, name), len(components)))

    @property
    def concepts(self) -> int:
        """Number of concepts, K."""
        return len(self.components)

    @property
    def dimension(self) -> int:
        """Number of inputs, d."""
        return int(self.components.shape[1])

    @property
    def source(self) -> Floats:
        """β_P = Σ_k α_k β_k: the strong model's prediction without demonstrations, shape (d,)."""
        return self.prior @ self.components

    @property
    def truth(self) -> Floats:
        """β* = Σ_k π_k β_k: the best linear predictor on the target, shape (d,)."""
        return self.target @ self.components

    @property
    def weak_mean(self) -> Floats:
        """Σ_k π_k β_k^w: the limit of training on infinitely many weak labels, shape (d,)."""
        return self.target @ self.weak

    def excess(self, beta: Floats) -> Floats:
        """Return the excess risk c·‖β − β*‖² of linear predictors of shape (…, d)."""
        return np.asarray(COVARIANCE_SCALE * ((beta - self.truth) ** 2).sum(axis=-1))

    def sample(
        self, rng: np.random.Generator, repetitions: int, prompts: int, items: int, concept: Ints | None = None
    ) -> tuple[Floats, Floats]:
        """Draw weakly labelled prompts: inputs of shape (R, m, n, d) and weak labels of shape (R, m, n).

        `concept` is that of every prompt or item, shape (R, m, 1) or (R, m, n); by default it is drawn from the target.
        """
        x = rng.uniform(-1.0, 1.0, (repetitions, prompts, items, self.dimension))
        if self.rotated:
            x = x @ random_rotations(rng, repetitions, self.dimension)[:, None]
        if concept is None:
            shape = (repetitions, prompts, items if self.mixing == "item" else 1)
            concept = rng.choice(self.concepts, size=shape, p=self.target)
        y = np.einsum("rmnd,rmnd->rmn", x, np.broadcast_to(self.weak[concept], x.shape))
        return x, y + self.weak_noise * rng.standard_normal(y.shape)


def orthonormal_world(
    *,
    dimension: int = 20,
    concepts: int = 10,
    sigma: float = 0.5,
    kappa: float = 1.0,
    noise: float = 1.0,
    target: ArrayLike | Sequence[float] = (1.0,),
    prior: ArrayLike | None = None,
    mixing: Literal["prompt", "item"] = "prompt",
    rotated: bool = True,
) -> RegressionWorld:
    """Return the world of the paper: orthonormal concepts, and weak components of unit norm with β_kᵀβ_k^w = κ.

    The rest of a weak component lies in one direction orthogonal to all concepts: the bias of the supervisor. The noise
    of weak labels is in multiples of σ. The target is padded with zeros and is by default the first concept alone; the
    prior is by default uniform. For the other parameters see `RegressionWorld`.

    Raises:
        ConfigError: κ is outside [−1, 1], or there are more concepts than orthonormal directions.

    Source:
        [TL] §2; the direction of the bias is a reconstruction.
    """
    at_least("concepts", concepts, 1)
    if not abs(kappa) <= 1:
        raise ConfigError("A weak component of unit norm cannot have a kappa beyond ±1.", found=kappa)
    needed = concepts + (abs(kappa) < 1)
    if needed > dimension:
        bias = ", one more for the weak bias" if needed > concepts else ""
        raise ConfigError(
            f"{concepts} orthonormal components need {needed} dimensions{bias}.",
            found=f"dimension {dimension}",
            fix="Lower concepts, or give a RegressionWorld components of your own that are not orthonormal.",
        )
    components = np.eye(concepts, dimension)
    weak = kappa * components
    weak[:, needed - 1] += np.sqrt(1 - kappa**2)
    shares = np.zeros(concepts)
    given = np.asarray(target, dtype=np.float64)
    if given.ndim != 1 or len(given) > concepts:
        raise ConfigError("The target has more shares than there are concepts.", found=given.shape, wanted=concepts)
    shares[: len(given)] = given
    alpha = np.full(concepts, 1 / concepts) if prior is None else np.asarray(prior, dtype=np.float64)
    return RegressionWorld(components, weak, alpha, shares, sigma, noise * sigma, mixing, rotated)


def random_rotations(rng: np.random.Generator, count: int, dimension: int) -> Floats:
    """Return orthogonal matrices from the Haar measure, shape (count, dimension, dimension).

    Source:
        Mezzadri 2007 (arXiv math-ph/0609050): QR of a Gaussian matrix, with the signs of R's diagonal.
    """
    q, r = np.linalg.qr(rng.standard_normal((count, dimension, dimension)))
    return np.asarray(q * np.sign(np.diagonal(r, axis1=1, axis2=2))[:, None, :])


def log_likelihood(x: Floats, y: Floats, components: Floats, sigma: float) -> Floats:
    """Return −(y − β_kᵀx)² / 2σ², shape (…, n, K): the log-likelihood of each item up to a constant.

    Inputs have shape (…, n, d), labels (…, n), components (K, d).
    """
    return -((y[..., None] - x @ components.T) ** 2) / (2 * sigma**2)


def posterior(x: ArrayLike, y: ArrayLike, components: ArrayLike, sigma: float, prior: ArrayLike) -> Floats:
    """Return the posterior of the concepts after a prompt's demonstrations, shape (…, K).

    w_k ∝ α_k exp(−Σ_i (y_i − β_kᵀx_i)² / 2σ²) from inputs (…, n, d), labels (…, n), components (K, d) and the prior α
    (K,); without demonstrations it is the prior.

    Raises:
        DataError: The shapes do not match.

    Source:
        [TL] §2, reconstruction.

    Example:
        >>> posterior([[1.0, 0.0]], [1.0], np.eye(2), sigma=0.5, prior=[0.5, 0.5]).round(3).tolist()
        [0.881, 0.119]
    """
    x, y, components = (np.asarray(array, dtype=np.float64) for array in (x, y, components))
    above_zero("sigma", sigma)
    if components.ndim != 2 or x.shape[-1:] != components.shape[1:] or x.shape[:-1] != y.shape:
        raise DataError(
            "Inputs, labels and components do not fit together.",
            found=(x.shape, y.shape, components.shape),
            wanted="(…, n, d), (…, n), (K, d)",
        )
    alpha = distribution("The prior", prior, len(components))
    with np.errstate(divide="ignore"):
        joint = np.log(alpha) + log_likelihood(x, y, components, sigma).sum(axis=-2)
    return np.asarray(np.exp(joint - logsumexp(joint, axis=-1, keepdims=True)))
