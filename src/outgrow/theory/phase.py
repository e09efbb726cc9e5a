"""The best method for a weak supervisor: the untouched source, naive training, refinement or deconvolution.

In the orthonormal world with a single target concept, the evidence of a prompt is linear in κ, √(1 − κ²) and the
noise. So prompts are drawn once, every cell of a map reuses their sums, and boundaries are smooth.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from outgrow.errors import ConfigError, UnknownNameError, did_you_mean
from outgrow.theory.checks import Floats, Ints, at_least
from outgrow.theory.deconvolution import maximise
from outgrow.theory.regression import Risk
from outgrow.theory.world import COVARIANCE_SCALE, orthonormal_world, random_rotations

METHODS = ("base", "naive", "refined", "deconvolved")
"""The source; naive training with infinitely many labels; one prompt's refined label; a student of the mixture
estimated from all prompts together. The simplest comes first."""
TIE = 1e-4
"""Smaller differences of excess risk count as ties, which the simpler method wins."""
PART = 200
"""Repetitions per block, whose arrays fit into a processor's cache."""


@dataclass(frozen=True)
class Grid:
    """Excess risks over pairs of weak supervisor and number of demonstrations."""

    kappas: tuple[float, ...]
    """κ of each of the P weak supervisors."""
    noises: tuple[float, ...]
    """Noise of each, in multiples of σ."""
    counts: tuple[int, ...]
    """n, length N."""
    mean: Floats
    """Shape (P, N, methods), in the order of `METHODS`."""
    standard_error: Floats
    """Shape (P, N, methods); base and naive are exact."""

    def best(self, methods: Sequence[str] = METHODS) -> Ints:
        """Return the index into `METHODS` of the simplest allowed method with the least risk up to `TIE`, (P, N)."""
        columns = [_column(name) for name in sorted(methods, key=_column)]
        means = self.mean[:, :, columns]
        return np.asarray(np.array(columns)[(means <= means.min(axis=2, keepdims=True) + TIE).argmax(axis=2)])


@dataclass(frozen=True)
class Advice:
    """The best method for a weak supervisor."""

    best: str
    """The simplest method with the least mean excess risk, up to `TIE`."""
    clear: bool
    """Whether its 95 % interval lies below those of all others."""
    risks: dict[str, Risk]
    """Excess risk of every allowed method."""


def excess_grid(
    weak: Iterable[tuple[float, float]],
    counts: Sequence[int],
    *,
    dimension: int = 20,
    concepts: int = 10,
    sigma: float = 0.5,
    prompts: int = 16,
    repetitions: int = 1000,
    seed: int = 0,
) -> Grid:
    """Return the excess risks of all methods for every weak supervisor and number of demonstrations, 0 or more.

    A weak supervisor is given by κ and its noise in multiples of σ. Deconvolution pools m = `prompts` prompts. The weak
    bias needs a `dimension` above the number of concepts. Every repetition has a random orthonormal basis; the numbers
    do not depend on the number of cores.

    Example:
        >>> grid = excess_grid([(1.0, 1.0), (0.3, 1.0)], [0, 32], repetitions=100)
        >>> [[METHODS[best] for best in row] for row in grid.best(["base", "naive", "refined"])]
        [['naive', 'naive'], ['base', 'base']]
    """
    pairs = list(weak)
    at_least("prompts", prompts, 1)
    at_least("repetitions", repetitions, 2)
    if not pairs or not len(counts):
        raise ConfigError("A map needs weak supervisors and numbers of demonstrations.", found=(pairs, list(counts)))
    for n in counts:
        at_least("n", n, 0)
    for kappa, noise in pairs:
        orthonormal_world(dimension=dimension, concepts=concepts, sigma=sigma, kappa=kappa, noise=noise)  # checks
    if concepts >= dimension:
        # A world with κ = 1 needs no bias, but the same draws serve every κ.
        raise ConfigError(
            "The weak bias needs one dimension more than the concepts.", found=(concepts, dimension), wanted="K < d"
        )

    def part(block: int) -> tuple[Floats, Floats]:
        rng = np.random.default_rng([seed, block])
        size = min(PART, repetitions - block * PART)
        sums = _sums(rng, size, prompts, counts, dimension, concepts)
        values = np.array([[_excess(sums, n, sigma, *pair) for n in range(len(counts))] for pair in pairs])
        return values.sum(axis=2), (values**2).sum(axis=2)

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        parts = list(threads.map(part, range(-(-repetitions // PART))))
    mean, square = (np.sum([one[index] for one in parts], axis=0) / repetitions for index in (0, 1))
    error = np.sqrt(np.maximum(square - mean**2, 0.0) / (repetitions - 1))
    kappas, noises = (np.array(column) for column in zip(*pairs, strict=True))
    exact = np.empty((len(pairs), len(counts), 2))
    exact[..., 0] = COVARIANCE_SCALE * (1 - 1 / concepts)
    exact[..., 1] = 2 * COVARIANCE_SCALE * (1 - kappas[:, None])
    return Grid(
        tuple(kappas.tolist()),
        tuple(noises.tolist()),
        tuple(counts),
        np.concatenate([exact, mean], axis=2),
        np.concatenate([np.zeros_like(exact), error], axis=2),
    )


def recommend(kappa: float, n: int, noise: float = 1.0, *, methods: Sequence[str] = METHODS, **settings: Any) -> Advice:
    """Return the best method for a weak supervisor with alignment κ and `noise` in multiples of σ: a cell of the maps.

    n demonstrations fit into a prompt. Deconvolution needs likelihoods under every concept; where there are none, leave
    it out of `methods`. `settings` are other parameters of `excess_grid`.

    Raises:
        ConfigError: No method is allowed.
        UnknownNameError: An unknown method.

    Example:
        >>> recommend(0.7, 64, methods=("base", "naive", "refined"), repetitions=100).best
        'refined'
    """
    if not methods:
        raise ConfigError("No method is allowed.", wanted=f"some of {', '.join(METHODS)}")
    grid = excess_grid([(kappa, noise)], [n], **settings)
    risks = {
        name: Risk(float(grid.mean[0, 0, _column(name)]), float(grid.standard_error[0, 0, _column(name)]))
        for name in methods
    }
    best = METHODS[int(grid.best(methods)[0, 0])]
    others = [risk.interval[0] for name, risk in risks.items() if name != best]
    return Advice(best, all(risks[best].interval[1] < low for low in others), risks)


def _column(name: str) -> int:
    if name not in METHODS:
        raise UnknownNameError(f"There is no method {name!r} in the maps.", fix=did_you_mean(name, METHODS))
    return METHODS.index(name)


def _sums(
    rng: np.random.Generator, size: int, prompts: int, counts: Sequence[int], dimension: int, concepts: int
) -> tuple[Floats, ...]:
    """Sums over a prompt's demonstrations that give its likelihoods for any κ and noise, shape (N, R, m, K) each.

    They are those of x*·x_k, of the bias·x_k, of the noise·x_k and of x_k².
    """
    longest = max(counts)
    x = rng.uniform(-1.0, 1.0, (size, prompts, longest, dimension))
    x = x @ random_rotations(rng, size, dimension)[:, None, :, : concepts + 1]
    known, bias, noise = x[..., :concepts], x[..., concepts:], rng.standard_normal((size, prompts, longest, 1))

    def taken(terms: Floats) -> Floats:
        running = np.zeros((size, prompts, longest + 1, concepts))
        np.cumsum(terms, axis=2, out=running[:, :, 1:])
        return np.ascontiguousarray(np.moveaxis(running[:, :, list(counts)], 2, 0))

    return taken(known[..., :1] * known), taken(bias * known), taken(noise * known), taken(known**2)


def _excess(sums: tuple[Floats, ...], index: int, sigma: float, kappa: float, noise: float) -> Floats:
    """Excess risks of refinement, averaged over the prompts, and of deconvolution; shape (R, 2)."""
    own, bias, errors, squares = (part[index] for part in sums)
    scores = kappa * own + np.sqrt(1 - kappa**2) * bias
    scores += noise * sigma * errors
    scores -= 0.5 * squares
    scores /= sigma**2
    likelihood = np.exp(scores - scores.max(axis=-1, keepdims=True))
    concepts = likelihood.shape[-1]
    posterior = likelihood / likelihood.sum(axis=-1, keepdims=True)
    prior, _ = maximise(likelihood, np.full(concepts, 1 / concepts), rounds=200, tolerance=1e-2)
    return np.stack([_distance(posterior).mean(axis=1), _distance(prior)], axis=1)


def _distance(weights: Floats) -> Floats:
    """Excess risk of a mixture of concepts of which the first is the target."""
    return np.asarray(COVARIANCE_SCALE * ((weights**2).sum(axis=-1) - 2 * weights[..., 0] + 1))
