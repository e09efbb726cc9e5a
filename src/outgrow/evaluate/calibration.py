"""Calibration: is what a model is sure of right as often as it is sure? Pure functions of arrays, numpy only.

Two conventions hold throughout, and agree with `choice_scores`. An abstention is a uniform guess: it is sure of 1/K and
right in 1/K. Of tied best choices a fair coin picks one, so `correct` may be a fraction.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outgrow.errors import DataError
from outgrow.evaluate.accuracy import filled_votes
from outgrow.evaluate.wording import Interval

Spacing = Literal["width", "mass"]
"""Bins of equal width over [0, 1], or of as nearly equal numbers of examples as ties allow."""

BINS = 15
"""As many as in Guo et al. 2017."""
PROBABILITY_FLOOR = 1e-12
"""Least probability of the right answer in a log-likelihood: who calls it impossible loses 27.6 nats, not infinity."""

_NORMAL_QUANTILE = 1.959963984540054
"""Of the standard normal distribution at .975."""
_SUM_TOLERANCE = 1e-3
"""Probabilities written with three decimals add up to one within this."""


@dataclass(frozen=True)
class Bin:
    """Examples of similar confidence, or of similar uncertainty."""

    level: float
    """Their mean confidence (or uncertainty)."""
    rate: float
    """Share of them that is right (or wrong)."""
    count: float
    """How many there are; a mean over seeds where these are pooled."""
    interval: Interval
    """95 % interval of the rate (Wilson)."""


def confidences(probs: ArrayLike, gold: ArrayLike) -> NDArray[np.float64]:
    """Probability of the most probable choice, shape (N,); 1/K for an abstention.

    Args:
        probs: Probabilities of shape (N, K); an abstention is K NaNs.
        gold: Index of the right choice, shape (N,); only checked.

    Raises:
        DataError: Shapes do not fit, or rows are not distributions.

    Example:
        >>> confidences([[0.9, 0.1], [float("nan")] * 2], [0, 1]).tolist()
        [0.9, 0.5]
    """
    votes, _ = _distributions(probs, gold)
    # What adds up to one only within rounding may lie a little above it.
    best: NDArray[np.float64] = np.minimum(votes.max(axis=1), 1.0)
    return best


def brier_scores(probs: ArrayLike, gold: ArrayLike) -> NDArray[np.float64]:
    """Σ_k (p_k − [k is right])² of each row, in [0, 2]; lower is better. An abstention has 1 − 1/K.

    The multi-class score of Brier (1950). For two choices it is twice what is often called by that name, which looks at
    one of the two only.

    Args:
        probs: Probabilities of shape (N, K); an abstention is K NaNs.
        gold: Index of the right choice, shape (N,).

    Returns:
        Scores of shape (N,).

    Raises:
        DataError: Shapes do not fit, or rows are not distributions.

    Example:
        >>> brier_scores([[0.5, 0.5], [1.0, 0.0], [0.0, 1.0]], [0, 0, 0]).tolist()
        [0.5, 0.0, 2.0]
    """
    votes, right = _distributions(probs, gold)
    errors = votes.copy()
    errors[np.arange(len(right)), right] -= 1
    scores: NDArray[np.float64] = np.square(errors).sum(axis=1)
    return scores


def negative_log_likelihoods(probs: ArrayLike, gold: ArrayLike) -> NDArray[np.float64]:
    """−ln p of the right choice of each row, in nats; lower is better. An abstention has ln K.

    Probabilities below `PROBABILITY_FLOOR` count as that.

    Args:
        probs: Probabilities of shape (N, K); an abstention is K NaNs.
        gold: Index of the right choice, shape (N,).

    Returns:
        Scores of shape (N,).

    Raises:
        DataError: Shapes do not fit, or rows are not distributions.

    Example:
        >>> negative_log_likelihoods([[0.5, 0.5], [1.0, 0.0], [1.0, 0.0]], [0, 0, 1]).round(3).tolist()
        [0.693, -0.0, 27.631]
    """
    votes, right = _distributions(probs, gold)
    scores: NDArray[np.float64] = -np.log(np.maximum(votes[np.arange(len(right)), right], PROBABILITY_FLOOR))
    return scores


def calibration_error(
    confidence: ArrayLike, correct: ArrayLike, *, bins: int = BINS, spacing: Spacing = "width"
) -> float:
    """Expected calibration error of the top label: Σ_b (n_b / N) · |accuracy of bin b − mean confidence in it|.

    By default over 15 bins of equal width, as in most of the literature, so that numbers can be compared. Bins of equal
    mass spread the examples better where nearly all confidences are high. Either is biased upwards: where every bin is
    perfectly calibrated, chance still makes it positive, of the order of √(bins / N).

    Args:
        confidence: Probability given to the answer, in [0, 1], shape (N,).
        correct: 1 where the answer is right, 0 where not, or between the two for ties; shape (N,).
        bins: Number of bins.
        spacing: `width` or `mass`; equal confidences stay in one bin either way.

    Raises:
        DataError: Shapes do not fit, values outside [0, 1], nothing to score, or an unknown spacing.

    Source:
        Naeini et al. 2015; Guo et al. 2017 (arXiv 1706.04599); equal mass after Nguyen & O'Connor 2015.

    Example:
        >>> round(calibration_error([0.9, 0.9, 0.9, 0.6], [1, 0, 1, 1]), 3)
        0.275
    """
    sure, right = _checked(confidence, correct)
    gaps = np.bincount(bin_indices(sure, bins, spacing), weights=right - sure, minlength=bins)
    return float(np.abs(gaps).sum() / len(sure))


def reliability_bins(
    confidence: ArrayLike, correct: ArrayLike, *, bins: int = BINS, spacing: Spacing = "width", seeds: int = 1
) -> tuple[Bin, ...]:
    """The bins of `calibration_error` that have examples in them: what a reliability diagram draws.

    Args:
        confidence: Probability given to the answer, in [0, 1], shape (N,).
        correct: 1 where the answer is right, 0 where not, or between the two; shape (N,).
        bins: Number of bins.
        spacing: `width` or `mass`.
        seeds: Number of runs on the same examples that the arrays are put together from. Runs on one example are not
            independent evidence, so intervals are those of N / seeds examples.

    Raises:
        DataError: As for `calibration_error`.

    Example:
        >>> [(each.level, each.rate, each.count) for each in reliability_bins([0.75, 0.75, 0.5], [1, 0, 1])]
        [(0.5, 1.0, 1.0), (0.75, 0.5, 2.0)]
    """
    sure, right = _checked(confidence, correct)
    return binned(sure, right, bin_indices(sure, bins, spacing), seeds)


def binned(
    level: NDArray[np.float64], hit: NDArray[np.float64], index: NDArray[np.int64], seeds: int
) -> tuple[Bin, ...]:
    """Means of levels and hits over the examples of each index, from the lowest index to the highest."""
    counts = np.bincount(index)
    kept = np.flatnonzero(counts)
    levels, rates = (np.bincount(index, weights=values)[kept] / counts[kept] for values in (level, hit))
    found = zip(levels.tolist(), rates.tolist(), (counts[kept] / seeds).tolist(), strict=True)
    return tuple(Bin(mean, rate, count, wilson_interval(rate * count, count)) for mean, rate, count in found)


def bin_indices(values: NDArray[np.float64], bins: int, spacing: Spacing) -> NDArray[np.int64]:
    """The bin from 0 to `bins` − 1 of each value, shape (N,); equal values share a bin.

    Raises:
        DataError: Less than one bin, or an unknown spacing.

    Example:
        >>> bin_indices(np.array([0.0, 0.49, 0.5, 1.0]), 2, "width").tolist()
        [0, 0, 1, 1]
        >>> bin_indices(np.array([0.9, 0.97, 0.98, 0.99]), 2, "mass").tolist()
        [0, 0, 1, 1]
    """
    if bins < 1 or spacing not in ("width", "mass"):
        raise DataError("Bins cannot be made.", found=f"{bins} bins by {spacing}", wanted="at least 1, width or mass")
    if spacing == "width":
        return np.minimum((values * bins).astype(np.int64), bins - 1)
    ends = np.quantile(values, np.arange(1, bins) / bins, method="inverted_cdf")
    return np.searchsorted(ends, values, side="left")


def wilson_interval(successes: float, trials: float) -> Interval:
    """95 % interval of a share.

    Wilson (1927): unlike the normal interval it stays within [0, 1] and keeps some doubt where all trials agree.

    Args:
        successes: How many trials succeeded; fractions are allowed.
        trials: How many there were, more than 0.

    Raises:
        DataError: No trials, or not 0 ≤ successes ≤ trials.

    Example:
        >>> low, high = wilson_interval(8, 10)
        >>> round(low, 3), round(high, 3)
        (0.49, 0.943)
    """
    slack = 1e-9 * trials
    if not (trials > 0 and -slack <= successes <= trials + slack):
        raise DataError("A share of these trials does not exist.", found=f"{successes} of {trials}")
    share, square = successes / trials, _NORMAL_QUANTILE**2
    middle = (share + square / (2 * trials)) / (1 + square / trials)
    spread = max(share * (1 - share), 0.0) / trials + square / (4 * trials**2)
    half = _NORMAL_QUANTILE * math.sqrt(spread) / (1 + square / trials)
    return max(0.0, middle - half), min(1.0, middle + half)


def _distributions(probs: ArrayLike, gold: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Probabilities without abstentions, and gold, both checked."""
    votes, right = filled_votes(probs, gold)
    wrong = (votes < 0).any(axis=1) | ~(np.abs(votes.sum(axis=1) - 1) <= _SUM_TOLERANCE)
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        raise DataError(
            f"{int(wrong.sum())} rows of probabilities are not distributions.",
            found=f"row {first}: {votes[first].tolist()[:5]}",
            wanted="numbers ≥ 0 that add up to 1",
        )
    return votes, right


def _checked(confidence: ArrayLike, correct: ArrayLike) -> Sequence[NDArray[np.float64]]:
    """Both as arrays of one shape (N,), N ≥ 1, within [0, 1]."""
    arrays = [np.asarray(values, dtype=np.float64) for values in (confidence, correct)]
    if arrays[0].ndim != 1 or arrays[0].shape != arrays[1].shape or not arrays[0].size:
        raise DataError(
            "Confidences and correctness do not fit together.",
            found=f"{arrays[0].shape} and {arrays[1].shape}",
            wanted="both (N,), N ≥ 1",
        )
    for name, values in zip(("confidence", "correctness"), arrays, strict=True):
        outside = ~((values >= 0) & (values <= 1))
        if outside.any():
            raise DataError(f"A {name} is outside [0, 1].", found=float(values[outside][0]))
    return arrays
