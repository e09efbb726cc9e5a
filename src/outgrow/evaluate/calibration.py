"""Calibration of predicted probabilities. Pure functions of arrays, numpy only.

Everywhere, `probs` has shape (N, K), `gold` is the index of the right choice, shape (N,), and DataError is raised where
they do not fit or rows are not distributions. As in `choice_scores`, an abstention (K NaNs) is a uniform guess, with
confidence 1/K, and a tie between best choices is broken by a fair coin, so `correct` may be a fraction.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outgrow.errors import DataError
from outgrow.evaluate.accuracy import choice_scores, filled_votes
from outgrow.evaluate.wording import Interval

Spacing = Literal["width", "mass"]
"""Bins of equal width over [0, 1], or with as nearly equal numbers of examples as ties allow."""

BINS = 15
"""As many as in Guo et al. 2017."""
PROBABILITY_FLOOR = 1e-12
"""Probabilities are clipped here before the log, so one confident mistake costs at most 27.6 nats."""

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
    """Number of examples; where seeds are pooled, their mean per seed."""
    interval: Interval
    """95 % interval of the rate (Wilson)."""


def confidences(probs: ArrayLike, gold: ArrayLike) -> NDArray[np.float64]:
    """Return the probability of the most probable choice, shape (N,); `gold` is only checked.

    Example:
        >>> confidences([[0.9, 0.1], [float("nan")] * 2], [0, 1]).tolist()
        [0.9, 0.5]
    """
    votes, _ = _distributions(probs, gold)
    # What adds up to one only within rounding may lie a little above it.
    best: NDArray[np.float64] = np.minimum(votes.max(axis=1), 1.0)
    return best


def brier_scores(probs: ArrayLike, gold: ArrayLike) -> NDArray[np.float64]:
    """Return Σ_k (p_k − [k is right])² of each row, shape (N,), in [0, 2]; lower is better.

    The multi-class score of Brier (1950). For two choices it is twice the binary Brier score, which counts one of the
    two only.

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
    """Return −ln p of the right choice, p clipped at `PROBABILITY_FLOOR`, shape (N,), in nats.

    Example:
        >>> negative_log_likelihoods([[0.5, 0.5], [1.0, 0.0], [1.0, 0.0]], [0, 0, 1]).round(3).tolist()
        [0.693, -0.0, 27.631]
    """
    votes, right = _distributions(probs, gold)
    scores: NDArray[np.float64] = -np.log(np.maximum(votes[np.arange(len(right)), right], PROBABILITY_FLOOR))
    return scores


@dataclass(frozen=True, eq=False)
class Certainty:
    """Confidence of one model in its answers on the test part; every array has the shape (seeds, examples).

    Example:
        >>> probs, gold = np.array([[0.9, 0.1], [0.4, 0.6]]), np.array([0, 0])
        >>> certainty = Certainty.stack([Certainty.of_choices(probs, gold)] * 3)
        >>> certainty.confidence.shape, certainty.correct[0].tolist()
        ((3, 2), [1.0, 0.0])
    """

    confidence: NDArray[np.float64]
    """Probability of the answer."""
    correct: NDArray[np.float64]
    """1 where the answer is right, 0 where it is wrong, between the two for ties."""
    brier: NDArray[np.float64]
    """Brier score, in [0, 2]."""
    nll: NDArray[np.float64]
    """Negative log-likelihood of the right answer, in nats."""
    vacuity: NDArray[np.float64] | None = None
    """1 without evidence for any answer, towards 0 with much of it; None for all but evidential students."""

    def __post_init__(self) -> None:
        shapes = {name: array.shape for name, array in self.arrays().items()}
        if len(set(shapes.values())) > 1 or len(self.confidence.shape) != 2:
            raise DataError("Certainties do not fit together.", found=shapes, wanted="(seeds, examples) for all")

    def arrays(self) -> dict[str, NDArray[np.float64]]:
        """Return the arrays that are not None, by name."""
        found = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: array for name, array in found.items() if array is not None}

    @classmethod
    def of_choices(cls, probs: ArrayLike, gold: ArrayLike, vacuity: ArrayLike | None = None) -> Certainty:
        """Return the record of one run on a choice task."""
        return cls(
            confidences(probs, gold)[None],
            choice_scores(probs, gold)[None],
            brier_scores(probs, gold)[None],
            negative_log_likelihoods(probs, gold)[None],
            None if vacuity is None else np.asarray(vacuity, dtype=np.float64)[None],
        )

    @classmethod
    def stack(cls, runs: Sequence[Certainty]) -> Certainty:
        """Join several seeds on the same examples."""
        found = [run.arrays() for run in runs]
        if len({(*each, *(array.shape[1] for array in each.values())) for each in found}) != 1:
            raise DataError("Certainties of several runs do not fit together.", wanted="the same examples and fields")
        return cls(**{name: np.concatenate([each[name] for each in found]) for name in found[0]})


def calibration_error(
    confidence: ArrayLike, correct: ArrayLike, *, bins: int = BINS, spacing: Spacing = "width"
) -> float:
    """Return the top-label expected calibration error: Σ_b (n_b / N) · |accuracy of bin b − its mean confidence|.

    `confidence` is the probability of the answer, shape (N,), and `correct` 1 where it is right, 0 where it is wrong,
    between the two for ties, shape (N,). The default, 15 bins of equal width, is that of most of the literature. Bins
    of equal mass are better where nearly all confidences are high; equal confidences share a bin. Both errors are
    biased upwards: for a perfectly calibrated model they are of the order of √(bins / N).

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
    """Return the bins of `calibration_error` that hold examples, for a reliability diagram.

    With arrays of several concatenated runs on the same examples, pass their number as `seeds`: intervals are then
    those of N / seeds examples.

    Example:
        >>> [(each.level, each.rate, each.count) for each in reliability_bins([0.75, 0.75, 0.5], [1, 0, 1])]
        [(0.5, 1.0, 1.0), (0.75, 0.5, 2.0)]
    """
    sure, right = _checked(confidence, correct)
    return binned(sure, right, bin_indices(sure, bins, spacing), seeds)


def binned(
    level: NDArray[np.float64], hit: NDArray[np.float64], index: NDArray[np.int64], seeds: int
) -> tuple[Bin, ...]:
    """Return means of levels and hits over the examples of each index, in the order of the indices."""
    counts = np.bincount(index)
    kept = np.flatnonzero(counts)
    levels, rates = (np.bincount(index, weights=values)[kept] / counts[kept] for values in (level, hit))
    found = zip(levels.tolist(), rates.tolist(), (counts[kept] / seeds).tolist(), strict=True)
    return tuple(Bin(mean, rate, count, wilson_interval(rate * count, count)) for mean, rate, count in found)


def bin_indices(values: NDArray[np.float64], bins: int, spacing: Spacing) -> NDArray[np.int64]:
    """Return the bin of each value, from 0 to `bins` − 1, shape (N,); equal values share a bin."""
    if bins < 1 or spacing not in ("width", "mass"):
        raise DataError("Bins cannot be made.", found=f"{bins} bins by {spacing}", wanted="at least 1, width or mass")
    if spacing == "width":
        return np.minimum((values * bins).astype(np.int64), bins - 1)
    ends = np.quantile(values, np.arange(1, bins) / bins, method="inverted_cdf")
    return np.searchsorted(ends, values, side="left")


def wilson_interval(successes: float, trials: float) -> Interval:
    """Return Wilson's (1927) 95 % interval of a share; it stays within [0, 1], and is not empty where all trials agree.

    Fractions of successes and trials are allowed.

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
