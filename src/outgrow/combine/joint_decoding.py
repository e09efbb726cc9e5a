"""Joint decoding: of all texts that supervisors wrote for a prompt, the one that all together find most probable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outgrow.combine.mean import Mean
from outgrow.combine.scaling import Scale, standardised
from outgrow.combine.weights import explicit_weights
from outgrow.errors import DataError
from outgrow.labels import ChoiceTargets, ChoiceVotes

Array = NDArray[np.float64]

Per = Literal["token", "character"]
"""What a text's log-probability is divided by. Tokens are the supervisor's own, characters the same for all."""

_LEAST = 1e-6
"""Probability below which a single supervisor rules a choice out no further, where logarithms are averaged."""
_SWEEPS = 200


def joint_scores(scores: ArrayLike, weights: ArrayLike) -> Array:
    """The λ-weighted mean of what each supervisor thinks of each candidate.

    Args:
        scores: Mean token log-probabilities, shape (C, M); NaN where a supervisor could not read a candidate.
        weights: λ ≥ 0, shape (M,).

    Returns:
        Shape (C,), λ shared out among the supervisors that read the candidate; NaN where none with a weight did.

    Source:
        Cui et al. 2025 (arXiv 2406.03199), joint decoding.

    Example:
        >>> joint_scores([[-1.0, -4.0], [-2.0, -2.0]], [0.5, 0.5]).tolist()
        [-2.5, -2.0]
    """
    scores, weights = np.asarray(scores, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    heard = ~np.isnan(scores) & (weights > 0)
    mass = (heard * weights).sum(axis=1)
    total = np.where(heard, scores, 0.0) @ weights
    means: Array = np.divide(total, mass, out=np.full(len(scores), np.nan), where=mass > 0)
    return means


def agreement_weights(scores: Sequence[ArrayLike]) -> Array:
    """λ from how often supervisors would choose the same candidate, without gold.

    If supervisor m chooses well with probability a_m, independently of the others, and at random otherwise, then i and
    j agree beyond chance with probability a_i·a_j. The a that fit all pairs best by least squares, weighted by the rows
    of each pair, are λ. Two supervisors cannot be told apart so: they count alike.

    Args:
        scores: One array (C, M) per row, as in `joint_scores`; rows with one candidate say nothing.

    Returns:
        Shape (M,), summing to one.

    Source:
        Ours; the rank-one structure of agreement is Dawid & Skene's (1979) with one parameter per supervisor.

    Example:
        >>> good, lost = [-1.0, -1.0, -3.0], [-3.0, -3.0, -1.0]
        >>> agreement_weights([[good, lost], [lost, good], [good, lost]]).round(2).tolist()
        [0.5, 0.5, 0.0]
    """
    arrays = [np.asarray(each, dtype=np.float64) for each in scores]
    if not arrays:
        raise DataError("There is nothing to estimate the supervisors' weights from.", found="no rows")
    people = arrays[0].shape[1]
    agreed, possible = np.zeros((people, people)), np.zeros((people, people))
    for each in (one for one in arrays if len(one) > 1):
        heard = ~np.isnan(each).all(axis=0)
        chosen = np.where(np.isnan(each), -np.inf, each).argmax(axis=0)
        chance = 1 / len(each)
        both = np.outer(heard, heard)
        agreed += both * ((chosen[:, None] == chosen[None, :]) - chance)
        possible += both * (1 - chance)
    # Less agreement than by chance is no sign of skill on either side.
    trust = _rank_one(np.maximum(agreed, 0.0), possible)
    return trust / trust.sum() if trust.sum() > 0 else np.full(people, 1 / people)


def _rank_one(agreed: Array, possible: Array) -> Array:
    """A in [0, 1]^M of the least Σ_{i≠j} n_ij (A_ij / n_ij − a_i a_j)², by coordinate descent; equal where M < 3."""
    people = len(agreed)
    trust = np.full(people, 0.7)
    if people < 3:
        return trust
    for matrix in (agreed, possible):
        np.fill_diagonal(matrix, 0.0)
    for _ in range(_SWEEPS):
        for m in range(people):
            norm = possible[m] @ trust**2
            trust[m] = np.clip(agreed[m] @ trust / norm, 0.0, 1.0) if norm > 0 else 0.0
    return trust


@dataclass(frozen=True)
class JointDecoding:
    """What all supervisors together find most probable (`combine: joint_decoding`).

    Text tasks: all n-best texts of a row are pooled, every supervisor scores each by its mean token log-probability
    (or per character), and the best λ-weighted mean is the row's one target. Choice tasks, where all choices are
    candidates: the λ-weighted mean of the supervisors' probabilities.

    Source:
        Cui et al. 2025 (arXiv 2406.03199), joint decoding.

    Example:
        >>> votes = ChoiceVotes(("a",), ("x", "y"), np.array([[[0.2, 0.8], [0.8, 0.2]]]))
        >>> JointDecoding(pooling="log")(votes).probs.tolist()
        [[0.5, 0.5]]
    """

    weights: dict[str, float] | Literal["uniform", "estimated"] | None = None
    """λ by supervisor, `uniform` (the default), or `estimated` from agreement, which needs no gold."""
    pooling: Literal["linear", "log"] = "linear"
    """Choice tasks: the arithmetic mean of the probabilities, or the geometric one."""
    scores: Per = "token"
    """Text tasks: log-probability per token of each supervisor's own, or per character, which compares supervisors with
    different tokenizers."""
    scale: Scale = "none"
    """Text tasks: `standardise` brings the supervisors' scores to one spread within rows, so that none has more say
    because its probabilities differ more."""

    def __call__(self, votes: ChoiceVotes, gold: NDArray[np.int64] | None = None) -> ChoiceTargets:
        """Targets for the rows that have at least one usable vote.

        Args:
            votes: Votes on N rows.
            gold: Known answers, shape (N,), -1 where unknown, from which `calibrated` weights are taken.

        Raises:
            ConfigError: The weights do not fit the supervisors.
            DataError: No row has a usable vote.
        """
        mean = Mean(weights=self.weights)
        weights = mean.lambdas(votes.supervisors, votes, gold)
        linear = mean.weighted(votes, weights)
        if self.pooling == "linear":
            return linear
        kept = set(linear.ids)
        rows = [index for index, row in enumerate(votes.ids) if row in kept]
        logs = np.log(np.maximum(votes.probs[rows], _LEAST))
        total = np.stack([joint_scores(row.T, weights) for row in logs])
        probs = np.exp(total - total.max(axis=1, keepdims=True))
        return ChoiceTargets(linear.ids, probs / probs.sum(axis=1, keepdims=True), linear.weights)

    def lambdas(self, supervisors: Sequence[str], scores: Sequence[ArrayLike]) -> Array:
        """λ of each supervisor of a text task, shape (M,), summing to one.

        Args:
            supervisors: Names, M of them.
            scores: See `agreement_weights`.

        Raises:
            ConfigError: Given weights do not fit the supervisors.
        """
        if self.weights == "estimated":
            return agreement_weights(scores)
        if self.weights is None or self.weights == "uniform":
            return np.full(len(supervisors), 1 / len(supervisors))
        return explicit_weights(self.weights, supervisors)

    def comparable(self, scores: Sequence[ArrayLike]) -> list[Array]:
        """The scores that are averaged: as they are, or standardised.

        Args:
            scores: One array (C, M) per row, as in `joint_scores`.

        Example:
            >>> JointDecoding(scale="standardise").comparable([[[-1.0, -10.0], [-3.0, -30.0]]])[0].round(2).tolist()
            [[0.71, 0.71], [-0.71, -0.71]]
        """
        arrays = [np.asarray(each, dtype=np.float64) for each in scores]
        return standardised(arrays) if self.scale == "standardise" else arrays

    def choose(self, scores: ArrayLike, weights: ArrayLike) -> int | None:
        """The best candidate of a row, the first of several equal ones; None if nobody could read any.

        Args:
            scores: Shape (C, M), as in `joint_scores`.
            weights: λ, shape (M,).
        """
        joint = joint_scores(scores, weights)
        return None if np.isnan(joint).all() else int(np.nanargmax(joint))
