"""Preference pairs from the supervisors' scores of a student's own candidates, with a probability for each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outgrow.combine.texts import Scale, centred, joint_scores, standardised
from outgrow.errors import DataError

Array = NDArray[np.float64]
Which = Literal["extremes", "all"]
"""The best candidate of a row against its worst, or every two of which one is better."""
Reason = Literal["one candidate", "unread", "unusable", "tied"]
"""Why a row gives no pair: fewer than two different texts; fewer than two that the supervisors could read; none that
the task can use; or all scores equal."""


class RankedPair(NamedTuple):
    """Two candidates of a row, the first better than the second."""

    row: int
    """Which row."""
    chosen: int
    """Place of the better candidate."""
    rejected: int
    """Place of the worse one."""
    p_chosen: float
    """Posterior probability that it is so; 1 where the task says so, because it can use only the better one."""
    weight: float
    """How much the pair counts: the pairs of a row share 1."""


@dataclass(frozen=True)
class Ranking:
    """The pairs of all rows, and the number of rows without a pair."""

    pairs: tuple[RankedPair, ...]
    """In the order of the rows."""
    without: Mapping[Reason, int]
    """How many rows give no pair, and why; reasons that do not occur are left out."""


@dataclass(frozen=True)
class Spread:
    """Variance components of the candidates' scores for one prompt."""

    signal: float
    """τ², variance between candidates that supervisors agree on."""
    noise: float
    """σ², variance that is one supervisor's alone."""

    @classmethod
    def of(cls, scores: Sequence[ArrayLike]) -> Spread | None:
        """Estimate both from covariances between supervisors within rows; None where no two have scored a row.

        Scores are (C, M) per row, as in `rank`, on one scale.

        Example:
            >>> Spread.of([[[1.0, 1.0], [-1.0, -1.0]], [[1.0, -1.0], [-1.0, 1.0]]])
            Spread(signal=0.0, noise=2.0)
        """
        rows = [centred(np.asarray(each, dtype=np.float64)) for each in scores]
        people = rows[0].shape[1] if rows else 0
        moments, degrees = np.zeros((people, people)), np.zeros((people, people))
        for each in rows:
            readers = ~np.isnan(each).any(axis=0)
            moments[np.ix_(readers, readers)] += each[:, readers].T @ each[:, readers]
            degrees += np.outer(readers, readers) * max(len(each) - 1, 0)
        covariance = np.divide(moments, degrees, out=np.full_like(moments, np.nan), where=degrees > 0)
        between = covariance[~np.eye(people, dtype=bool)]
        if np.isnan(between).all():
            return None
        total = float(np.nanmean(np.diag(covariance)))
        signal = float(np.clip(np.nanmean(between), 0.0, total))
        return cls(signal, total - signal)

    def p_better(self, difference: ArrayLike, weights: ArrayLike) -> Array:
        """Return the posterior probability that of two candidates the one with the higher mean score is better.

        With x_m = θ + e_m for supervisor m, θ ~ N(0, τ²), e_m ~ N(0, σ²) and v = σ² Σλ², a difference D of two
        λ-weighted means gives Φ(D τ / √(2 v (τ² + v))), for D ≥ 0 of any shape and λ (M,) that sum to one. The prior
        corrects for selection: the best-scored of many candidates is partly lucky. Errors that supervisors share count
        as signal: with copies it is overconfident.

        Source:
            Ours; the posterior of a one-way random-effects model.

        Example:
            >>> Spread(signal=0.5, noise=0.5).p_better([0.0, 1.0, 3.0], [0.5, 0.5]).round(3).tolist()
            [0.5, 0.876, 1.0]
        """
        d, lambdas = np.asarray(difference, dtype=np.float64), np.asarray(weights, dtype=np.float64)
        alone = self.noise * float(lambdas @ lambdas)
        scale = np.sqrt(2 * alone * (self.signal + alone))
        with np.errstate(divide="ignore", invalid="ignore"):
            z = d * np.sqrt(self.signal) / scale
        # Without noise z is infinite; without a difference it is 0/0, and the probability ½.
        from scipy.special import ndtr  # slow to import

        found: Array = ndtr(np.where(d == 0, 0.0, z))
        return found


def rank(
    scores: Sequence[ArrayLike],
    weights: ArrayLike,
    usable: Sequence[ArrayLike] | None = None,
    *,
    scale: Scale = "standardise",
    which: Which = "extremes",
    margin: float = 0.0,
) -> Ranking:
    """Return pairs of candidates, the better one first, by the λ-weighted mean of the supervisors' scores.

    A candidate that the task cannot use ranks below all that it can, and two such make no pair. In each row those
    supervisors count that could read any of its candidates, and those candidates that all of these could read.

    Args:
        scores: Mean token log-probabilities of each row's candidates, all different, shape (C, M); NaN where a
            supervisor could not read one.
        weights: λ ≥ 0, shape (M,).
        usable: Whether the task can use each candidate, shape (C,) per row; by default all.
        scale: See `standardised`.
        which: Which two become a pair.
        margin: Two usable candidates make a pair only if their scores differ by more.

    Source:
        Cui et al. 2025 (arXiv 2406.03199): best against worst by λ-weighted scores. Scales, margins and probabilities
        are ours.

    Example:
        >>> found = rank([[[-1.0, -1.0], [-2.0, -3.0]], [[-1.0, -1.0]]], [0.5, 0.5])
        >>> found.pairs[0][:3], found.without
        ((0, 0, 1), {'one candidate': 1})
    """
    if not margin >= 0:
        raise DataError("The margin of pairs is negative.", found=margin, wanted="a number ≥ 0")
    matrices = [np.asarray(each, dtype=np.float64) for each in scores]
    if scale == "standardise":
        matrices = standardised(matrices)
    lambdas = np.asarray(weights, dtype=np.float64)
    spread = Spread.of(matrices)
    pairs: list[RankedPair] = []
    without: Counter[Reason] = Counter()
    for row, matrix in enumerate(matrices):
        good = np.ones(len(matrix), dtype=bool) if usable is None else np.asarray(usable[row], dtype=bool)
        found = _row_pairs(row, matrix, lambdas, good, spread, which, margin)
        if isinstance(found, str):
            without[found] += 1
        else:
            pairs += found
    return Ranking(tuple(pairs), dict(without))


def _row_pairs(
    row: int, matrix: Array, lambdas: Array, good: NDArray[np.bool_], spread: Spread | None, which: Which, margin: float
) -> list[RankedPair] | Reason:
    if len(matrix) < 2:
        return "one candidate"
    readers = ~np.isnan(matrix).all(axis=0) & (lambdas > 0)
    places = np.flatnonzero(~np.isnan(matrix[:, readers]).any(axis=1)) if readers.any() else np.zeros(0, dtype=np.intp)
    if len(places) < 2:
        return "unread"
    if not good[places].any():
        return "unusable"
    shares = lambdas[readers] / lambdas[readers].sum()
    joint = joint_scores(matrix[np.ix_(places, readers)], shares)
    chosen = list(_candidates(joint, good[places], which, margin))
    if not chosen:
        return "tied"
    sure = [
        1.0 if spread is None or not good[places[b]] else float(spread.p_better(joint[a] - joint[b], shares))
        for a, b in chosen
    ]
    share = 1 / len(chosen)
    return [RankedPair(row, int(places[a]), int(places[b]), p, share) for (a, b), p in zip(chosen, sure, strict=True)]


def _candidates(joint: Array, good: NDArray[np.bool_], which: Which, margin: float) -> Iterator[tuple[int, int]]:
    """Places of better and worse candidates, from best and worst inwards."""
    order = np.lexsort((-joint, ~good)).tolist()  # usable ones first, each kind from its best to its worst
    pairs = [(a, b) for place, a in enumerate(order) for b in reversed(order[place + 1 :])]
    for a, b in pairs[:1] if which == "extremes" else pairs:
        if good[a] and (not good[b] or joint[a] - joint[b] > margin):
            yield a, b
