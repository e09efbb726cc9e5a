"""λ: how much each supervisor counts in a mixture of their opinions, from numbers, votes, or scores of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outgrow.combine.ballots import Ballots
from outgrow.errors import ConfigError, DataError, did_you_mean

Array = NDArray[np.float64]
Weights: TypeAlias = "str | Mapping[str, float] | Sequence[float] | Array"
"""`uniform`, `calibrated` (from gold), `estimated` (from the posterior, no gold), or a number per supervisor."""

WEIGHTINGS = ("uniform", "calibrated", "estimated")
_PRIOR_VOTES = 2.0
"""Strength of the prior that a supervisor is at chance, in votes per answer."""
_SWEEPS = 200


def explicit_weights(weights: Mapping[str, float] | Sequence[float] | Array, names: Sequence[str]) -> Array:
    """Return given λ as an array of shape (M,) that sums to one.

    Raises:
        ConfigError: A weight is missing, negative, not finite, or for a supervisor that does not exist; or all are 0.
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


def informed_weights(ballots: Ballots, belief: Array, errors: Array | None) -> Array:
    """Return λ (M,) in proportion to the log-odds of each supervisor being right, over its copies.

    λ_m ∝ max(0, log(a_m (K−1) / (1 − a_m))) / Σ_j max(0, ρ_mj), with a_m the accuracy averaged over the answers, so
    that constant supervisors and those below chance have λ = 0. If none is above chance all count alike. The answers
    have the posterior `belief` (N, K); ρ are the shared `errors` (M, M), None where they are not known.

    Source:
        Optimal weights of independent voters, Nitzan & Paroush 1982; the division by shared errors is ours.
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
    worth = np.where(worth > 1e-9, worth, 0.0)
    if errors is not None:
        worth = worth / np.maximum(errors, 0.0).sum(axis=1)
    weights: Array = worth / worth.sum() if worth.sum() > 0 else np.full(people, 1.0 / people)
    return weights


def score_weights(
    weights: Mapping[str, float] | str | None, supervisors: Sequence[str], scores: Sequence[ArrayLike]
) -> Array:
    """Return λ of each supervisor of a text task, shape (M,), summing to one.

    Weights are a number per supervisor, `estimated` from scores (C, M) per row (`agreement_weights`), or `uniform`.
    """
    if weights is None or weights == "uniform":
        return np.full(len(supervisors), 1 / len(supervisors))
    return agreement_weights(scores) if isinstance(weights, str) else explicit_weights(weights, supervisors)


def agreement_weights(scores: Sequence[ArrayLike]) -> Array:
    """Estimate λ, without gold, from how often supervisors would choose the same candidate.

    If supervisor m chooses well with probability a_m, independently of the others, and at random otherwise, then i and
    j agree beyond chance with probability a_i·a_j. λ are the a that fit all pairs best by least squares, weighted by
    the rows of each pair. With two supervisors a_1 and a_2 are not identified: both get the same λ.

    Scores are (C, M) per row, as in `joint_scores`; rows with one candidate are skipped. λ is (M,) and sums to one.

    Source:
        Ours; the rank-one structure of agreement is Dawid & Skene's (1979) with one parameter per supervisor.

    Example:
        >>> good, lost = [-1.0, -1.0, -3.0], [-3.0, -3.0, -1.0]
        >>> agreement_weights([[good, lost], [lost, good], [good, lost]]).round(2).tolist()
        [0.5, 0.5, 0.0]
    """
    arrays = [np.asarray(each, dtype=np.float64) for each in scores]
    if not arrays:
        raise DataError("There are no rows to estimate the supervisors' weights from.")
    people = arrays[0].shape[1]
    agreed, possible = np.zeros((people, people)), np.zeros((people, people))
    for each in (one for one in arrays if len(one) > 1):
        read = ~np.isnan(each).all(axis=0)
        chosen = np.where(np.isnan(each), -np.inf, each).argmax(axis=0)
        chance = 1 / len(each)
        both = np.outer(read, read)
        agreed += both * ((chosen[:, None] == chosen[None, :]) - chance)
        possible += both * (1 - chance)
    # Less agreement than by chance is no sign of skill on either side.
    skill = _rank_one(np.maximum(agreed, 0.0), possible)
    return skill / skill.sum() if skill.sum() > 0 else np.full(people, 1 / people)


def _rank_one(agreed: Array, possible: Array) -> Array:
    """Minimise Σ_{i≠j} n_ij (A_ij / n_ij − a_i a_j)² over a in [0, 1]^M by coordinate descent; equal where M < 3."""
    people = len(agreed)
    skill = np.full(people, 0.7)
    if people < 3:
        return skill
    for matrix in (agreed, possible):
        np.fill_diagonal(matrix, 0.0)
    for _ in range(_SWEEPS):
        for m in range(people):
            norm = possible[m] @ skill**2
            skill[m] = np.clip(agreed[m] @ skill / norm, 0.0, 1.0) if norm > 0 else 0.0
    return skill
