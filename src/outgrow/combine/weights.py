"""λ: how much each supervisor counts in a mixture of their opinions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from outgrow.combine.ballots import Ballots
from outgrow.errors import ConfigError, did_you_mean

Array = NDArray[np.float64]
Weights: TypeAlias = "str | Mapping[str, float] | Sequence[float] | Array"
"""`uniform`, `calibrated` (from gold), `estimated` (from the posterior, no gold), or a number per supervisor."""

WEIGHTINGS = ("uniform", "calibrated", "estimated")
_PRIOR_VOTES = 2.0
"""Strength of the prior that a supervisor is at chance, in votes per answer."""


def explicit_weights(weights: Mapping[str, float] | Sequence[float] | Array, names: Sequence[str]) -> Array:
    """Return given λ as an array of shape (M,) that sums to one.

    Raises:
        ConfigError: A weight is missing, negative, not finite, or for a supervisor that does not exist; or all are 0.

    Example:
        >>> explicit_weights({"b": 1, "a": 3}, ("a", "b")).tolist()
        [0.75, 0.25]
    """
    if isinstance(weights, Mapping):
        fitting = set(weights) == set(names)
        values = np.array([weights[name] for name in names], dtype=np.float64) if fitting else np.zeros(0)
    else:
        values = np.asarray(weights, dtype=np.float64)
    if values.shape != (len(names),) or not np.isfinite(values).all() or values.min() < 0 or values.sum() <= 0:
        shown = ", ".join(names[:5]) + (" …" if len(names) > 5 else "")
        raise ConfigError(
            "The weights of the combiner do not fit the supervisors.",
            found=weights,
            wanted=f"one number ≥ 0 for each of {shown}, not all 0",
        )
    normalised: Array = values / values.sum()
    return normalised


def check_weighting(name: str, *, has_gold: bool) -> None:
    """Raise `ConfigError` for a weighting that does not exist, or for `calibrated` without gold."""
    if name not in WEIGHTINGS:
        raise ConfigError(f"There is no weighting {name!r}.", fix=did_you_mean(name, WEIGHTINGS))
    if name == "calibrated" and not has_gold:
        raise ConfigError(
            "Calibrated weights need gold answers.", found="none", fix="Pass gold, or choose weights: estimated."
        )


def informed_weights(ballots: Ballots, belief: Array, errors: Array) -> Array:
    """Return λ, shape (M,), in proportion to the log-odds of each supervisor being right, over its copies.

    λ_m ∝ max(0, log(a_m (K−1) / (1 − a_m))) / Σ_j max(0, ρ_mj), with a_m the accuracy averaged over the answers, so
    that constant supervisors and those below chance have λ = 0. If none is above chance all count alike.

    Source:
        Optimal weights of independent voters, Nitzan & Paroush 1982; the division by shared errors is ours.

    Args:
        ballots: The votes to judge by.
        belief: Posterior of the answers, shape (N, K).
        errors: Shared errors ρ, shape (M, M).
    """
    people, k = len(ballots.names), ballots.choices
    belief = belief * ballots.count[:, None]
    mass = np.zeros((people, k))
    for answer in range(k):
        mass[:, answer] = np.bincount(ballots.supervisor, belief[ballots.row, answer], minlength=people)
    right = belief[ballots.row, ballots.label]
    hits = np.bincount(ballots.codes(), right, minlength=people * k).reshape(people, k)
    recall = (hits + _PRIOR_VOTES / k) / (mass + _PRIOR_VOTES)
    accuracy = np.clip(recall.mean(axis=1), 1e-6, 1 - 1e-6)
    worth = np.maximum(np.log(accuracy * (k - 1) / (1 - accuracy)), 0.0)
    worth = np.where(worth > 1e-9, worth, 0.0) / np.maximum(errors, 0.0).sum(axis=1)
    weights: Array = worth / worth.sum() if worth.sum() > 0 else np.full(people, 1.0 / people)
    return weights
