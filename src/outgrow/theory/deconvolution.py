"""The target's prior over concepts, estimated from the likelihoods of all weak data together.

A unit of data is a prompt or an item in the regression world, and a sequence in the HMM world. Refinement, which
averages posteriors under the source's prior, is the first round of this EM.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outgrow.errors import ConfigError, DataError
from outgrow.theory.checks import Floats, at_least, distribution
from outgrow.theory.estimators import Estimator
from outgrow.theory.regression import Risk, blocks
from outgrow.theory.world import COVARIANCE_SCALE, RegressionWorld, log_likelihood

FLAT = 1.0
"""Nats: a change of the prior by 1 that costs less than half of this is not ruled out by the data."""


@dataclass(frozen=True)
class PriorEstimate:
    """An estimate of the target's prior, and what the data cannot identify."""

    prior: Floats
    """π̂, shape (K,). Within a confounded group the shares are those of the start."""
    standard_error: Floats
    """From the observed information, shape (K,); infinite for confounded concepts, 0 for those that are ruled out."""
    confounded: tuple[tuple[int, ...], ...]
    """Groups of concepts whose shares the data do not identify: only their sum is meaningful."""
    rounds: int
    """Rounds of EM."""
    shortfall: float
    """Upper bound, in nats, on the distance of the log-likelihood from its maximum; if large, allow more rounds."""


def estimate_prior(
    log_likelihood: ArrayLike, *, start: ArrayLike | None = None, rounds: int = 10_000, tolerance: float = 1e-3
) -> PriorEstimate:
    """Maximise the likelihood of the mixture Σ_k π_k r_k(unit) by EM, and check what can be identified.

    The log-likelihood is concave in π. At π it is at most N·(max_k D_k − 1) below its maximum, with
    D_k = mean_i r_k(i) / Σ_l π_l r_l(i); EM stops where this bound is below `tolerance`. Directions of next to no
    curvature, among concepts that the data do not rule out, are not identified.

    Args:
        log_likelihood: log r_k of each unit, up to a constant per unit, shape (N, K); −inf is impossible.
        start: Where EM starts, shape (K,), by default uniform. A concept that starts at 0 stays there.
        rounds: Most rounds of EM.
        tolerance: Nats below the maximum, over all units together.

    Raises:
        DataError: No units, a unit that is impossible under every concept, or numbers that are not finite.
        ConfigError: The start is not a distribution.

    Source:
        Ours, after the limits of refinement on mixtures shown in arXiv 2508.17018; the bound is that of Lindsay 1983.

    Example:
        >>> likely, unlikely = np.log([0.9, 0.1]), np.log([0.1, 0.9])
        >>> found = estimate_prior([likely] * 70 + [unlikely] * 30)
        >>> found.prior.round(2).tolist(), found.confounded
        ([0.75, 0.25], ())
    """
    scores = np.asarray(log_likelihood, dtype=np.float64)
    if scores.ndim != 2 or not scores.size:
        raise DataError("Log-likelihoods have the wrong shape.", found=scores.shape, wanted="(units, concepts)")
    if np.isnan(scores).any() or np.isposinf(scores).any():
        raise DataError("Some log-likelihoods are not numbers.")
    concepts = scores.shape[1]
    first = np.full(concepts, 1 / concepts) if start is None else distribution("The start", start, concepts)
    scores = np.where(first > 0, scores, -np.inf)
    impossible = np.flatnonzero(np.isneginf(scores).all(axis=1))
    if len(impossible):
        raise DataError(
            f"{len(impossible)} units are impossible under every concept that the start allows.",
            found=f"the first is row {impossible[0]}",
        )
    likelihood = np.exp(scores - scores.max(axis=1, keepdims=True))
    prior, used = maximise(likelihood[None], first, rounds=rounds, tolerance=tolerance)
    ratio = likelihood / (likelihood @ prior[0])[:, None]
    slope = ratio.mean(axis=0)
    possible = (first > 0) & ((prior[0] > 1e-6) | (len(scores) * (1 - slope) < FLAT))
    error, confounded = _identified(ratio, possible)
    return PriorEstimate(prior[0], error, confounded, used, float(len(scores) * max(slope[first > 0].max() - 1, 0.0)))


def maximise(likelihood: Floats, start: Floats, *, rounds: int, tolerance: float) -> tuple[Floats, int]:
    """Run EM from `start`, shape (K,), on R data sets of unit likelihoods (R, N, K), N above 0; return priors (R, K).

    A data set is done when it is at most `tolerance` nats below its maximum. Also return the rounds of the slowest one.
    """
    prior = np.tile(start, (len(likelihood), 1))
    enough = tolerance / likelihood.shape[1]
    todo, part, possible = np.arange(len(likelihood)), likelihood, start > 0
    for used in range(rounds):
        here = prior[todo]
        weight = 1 / (part @ here[..., None])[..., 0]
        slope = (weight[:, None] @ part)[:, 0] / likelihood.shape[1]
        moving = (slope * possible).max(axis=1) > 1 + enough
        prior[todo] = here * slope
        if not moving.any():
            return prior, used
        # Not in every round: selecting a part of the data copies it.
        if np.count_nonzero(moving) < 0.7 * len(moving):
            todo, part = todo[moving], part[moving]
    return prior, rounds


@dataclass(frozen=True)
class Deconvolved(Estimator):
    """A student that predicts by the mixture of concepts estimated from all weak data together; ours."""

    prompts: int = 32
    """m."""
    rounds: int = 500
    """Most rounds of EM."""

    def __post_init__(self) -> None:
        at_least("prompts", self.prompts, 1)
        at_least("rounds", self.rounds, 1)

    def __call__(self, world: RegressionWorld, x: Floats, y: Floats) -> Floats:
        """Return Σ_k π̂_k β_k; without labels the source."""
        if not y.shape[-1]:
            return np.broadcast_to(world.source, (len(x), world.dimension))
        prior, _ = maximise(unit_likelihood(world, x, y), world.prior, rounds=self.rounds, tolerance=1e-2)
        return prior @ world.components


def relabelling_risks(world: RegressionWorld, *, n: int, prompts: int, repetitions: int, seed: int) -> dict[str, Risk]:
    """Return the excess risk of refined labels relative to each prompt's own concept, by prior of the posterior.

    The priors are `refined` (the source's), `deconvolved` (estimated from all prompts together) and `oracle` (the
    target's). There are `repetitions` data sets of `prompts` prompts with n demonstrations, all at least 1.

    Raises:
        ConfigError: Concepts change within prompts, or the source's prior excludes a concept of the target.
    """
    if world.mixing != "prompt":
        raise ConfigError("Relabelling needs one concept per prompt.", found=f"mixing {world.mixing!r}")
    if ((world.prior == 0) & (world.target > 0)).any():
        raise ConfigError("The source's prior excludes a concept of the target, so no evidence can select it.")
    at_least("n", n, 1)
    at_least("prompts", prompts, 1)
    at_least("repetitions", repetitions, 1)
    found: dict[str, list[Floats]] = {"refined": [], "deconvolved": [], "oracle": []}
    for rng, size in blocks(repetitions, prompts * n * world.dimension + world.dimension**2, seed):
        concept = rng.choice(world.concepts, size=(size, prompts, 1), p=world.target)
        likelihood = unit_likelihood(world, *world.sample(rng, size, prompts, n, concept))
        estimated, _ = maximise(likelihood, world.prior, rounds=500, tolerance=1e-2)
        for name, prior in (("refined", world.prior), ("deconvolved", estimated[:, None]), ("oracle", world.target)):
            weights = likelihood * prior
            weights /= weights.sum(axis=-1, keepdims=True)
            off = weights @ world.components - world.components[concept[..., 0]]
            found[name].append(COVARIANCE_SCALE * (off**2).sum(axis=-1).mean(axis=1))
    return {name: Risk.of(np.concatenate(values)) for name, values in found.items()}


def unit_likelihood(world: RegressionWorld, x: Floats, y: Floats) -> Floats:
    """Return the likelihood of each unit, shape (R, units, K), scaled so that its largest value is 1.

    A unit is a prompt, or an item where concepts change within prompts (`world.mixing`). Concepts outside the source's
    prior have 0. Inputs have shape (R, m, n, d), labels (R, m, n).
    """
    scores = log_likelihood(x, y, world.components, world.sigma)
    scores = scores.sum(axis=2) if world.mixing == "prompt" else scores.reshape(len(scores), -1, world.concepts)
    scores = np.where(world.prior > 0, scores, -np.inf)
    return np.asarray(np.exp(scores - scores.max(axis=-1, keepdims=True)))


def _identified(ratio: Floats, possible: NDArray[np.bool_]) -> tuple[Floats, tuple[tuple[int, ...], ...]]:
    """Standard errors, and groups of possible concepts between which shares can move freely.

    `ratio` is r_k(i) / Σ_l π_l r_l(i), shape (N, K); `possible` marks concepts that the data do not rule out.
    """
    from scipy.sparse.csgraph import connected_components

    error, members = np.zeros(ratio.shape[1]), np.flatnonzero(possible)
    if len(members) == 1:
        return error, ()
    # Orthonormal directions in which shares move between the possible concepts: they sum to 0.
    moves = np.linalg.svd(np.ones((1, len(members))))[2][1:].T
    curvature, directions = np.linalg.eigh((ratio[:, members] @ moves).T @ (ratio[:, members] @ moves))
    loadings = moves @ directions
    free = curvature < FLAT
    error[members] = np.sqrt((loadings[:, ~free] ** 2 / curvature[~free]).sum(axis=1))
    together = np.abs(loadings[:, free] @ loadings[:, free].T) > 0.05
    error[members[np.diagonal(together)]] = np.inf
    count, label = connected_components(together, directed=False)
    groups = [members[label == index].tolist() for index in range(count)]
    return error, tuple(tuple(group) for group in groups if len(group) > 1)
