"""Scores that several supervisors give to candidate texts: matrices (C, M), C candidates of a row by M supervisors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outgrow.combine.weights import explicit_weights
from outgrow.errors import DataError

Array = NDArray[np.float64]
Scale = Literal["standardise", "none"]
"""Whether the supervisors' scores are brought to one spread before they are averaged."""
_SWEEPS = 200


def joint_scores(scores: ArrayLike, weights: ArrayLike) -> Array:
    """Return the λ-weighted mean score of each candidate.

    Args:
        scores: Mean token log-probabilities, shape (C, M); NaN where a supervisor could not read a candidate.
        weights: λ ≥ 0, shape (M,).

    Returns:
        Shape (C,). λ is shared out among the supervisors that read the candidate; NaN if none with λ > 0 did.

    Source:
        Cui et al. 2025 (arXiv 2406.03199), joint decoding.

    Example:
        >>> joint_scores([[-1.0, -4.0], [-2.0, -2.0]], [0.5, 0.5]).tolist()
        [-2.5, -2.0]
    """
    scores, weights = np.asarray(scores, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    read = ~np.isnan(scores) & (weights > 0)
    mass = (read * weights).sum(axis=1)
    total = np.where(read, scores, 0.0) @ weights
    means: Array = np.divide(total, mass, out=np.full(len(scores), np.nan), where=mass > 0)
    return means


def standardised(scores: Sequence[ArrayLike]) -> list[Array]:
    """Return scores centred per row and supervisor, with a within-row standard deviation of 1 for each supervisor.

    Only differences between candidates of one prompt matter for a ranking, and supervisors spread theirs differently.

    Args:
        scores: One array (C, M) per row; NaN where a supervisor could not read a candidate.

    Returns:
        Arrays of the same shapes; zeros for a supervisor that scores all candidates of every row alike.

    Example:
        >>> standardised([[[1.0, 10.0], [3.0, 30.0]]])[0].round(2).tolist()
        [[-0.71, -0.71], [0.71, 0.71]]
    """
    rows = [centred(np.asarray(each, dtype=np.float64)) for each in scores]
    if not rows:
        return []
    squares = np.sum([np.nansum(each**2, axis=0) for each in rows], axis=0)
    degrees = np.sum([np.maximum((~np.isnan(each)).sum(axis=0) - 1, 0) for each in rows], axis=0)
    spread = np.sqrt(squares / np.maximum(degrees, 1))
    return [each / np.where(spread > 0, spread, 1.0) for each in rows]


def centred(matrix: Array) -> Array:
    """Return a matrix (C, M) minus the mean of each column; NaN entries stay NaN and are left out of the mean."""
    read = ~np.isnan(matrix)
    mean = np.where(read, matrix, 0.0).sum(axis=0) / np.maximum(read.sum(axis=0), 1)
    difference: Array = matrix - mean
    return difference


def score_weights(
    weights: Mapping[str, float] | str | None, supervisors: Sequence[str], scores: Sequence[ArrayLike]
) -> Array:
    """Return λ of each supervisor of a text task, shape (M,), summing to one.

    Args:
        weights: A number per supervisor, `estimated` for `agreement_weights`, or None or `uniform` for equal weights.
        supervisors: Names, M of them.
        scores: One array (C, M) per row; used by `estimated` only.

    Raises:
        ConfigError: Given weights do not fit the supervisors.
    """
    if weights is None or weights == "uniform":
        return np.full(len(supervisors), 1 / len(supervisors))
    return agreement_weights(scores) if isinstance(weights, str) else explicit_weights(weights, supervisors)


def agreement_weights(scores: Sequence[ArrayLike]) -> Array:
    """Estimate λ, without gold, from how often supervisors would choose the same candidate.

    If supervisor m chooses well with probability a_m, independently of the others, and at random otherwise, then i and
    j agree beyond chance with probability a_i·a_j. λ are the a that fit all pairs best by least squares, weighted by
    the rows of each pair. With two supervisors a_1 and a_2 are not identified: both get the same λ.

    Args:
        scores: One array (C, M) per row, as in `joint_scores`; rows with one candidate are skipped.

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
