"""Selective prediction and error detection by uncertainty. Pure functions of arrays, numpy only.

Everywhere, `uncertainty` is any finite measure, such as vacuity or one minus confidence, and `correct` is 1 where the
answer is right, 0 where it is wrong, or between the two; both have the shape (N,). DataError is raised where they do
not fit, are not finite, or correctness is outside [0, 1].
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outgrow.errors import DataError
from outgrow.evaluate.calibration import Bin, bin_indices, binned


def error_bins(uncertainty: ArrayLike, correct: ArrayLike, *, bins: int = 10, seeds: int = 1) -> tuple[Bin, ...]:
    """Return error rates by bins of equal mass, from the least uncertainty to the most.

    Equal uncertainties share a bin; for `seeds` see `reliability_bins`.

    Example:
        >>> [(each.level, each.rate) for each in error_bins([0.1, 0.3, 0.8, 1.0], [1, 1, 1, 0], bins=2)]
        [(0.2, 0.0), (0.9, 0.5)]
    """
    doubt, right = _checked(uncertainty, correct)
    return binned(doubt, 1 - right, bin_indices(doubt, bins, "mass"), seeds)


def error_detection(uncertainty: ArrayLike, correct: ArrayLike) -> float | None:
    """Return the AUROC of uncertainty as a detector of errors; None where all answers are right or all wrong.

    Ties count half, a fractional `correct` counts on both sides.

    Example:
        >>> error_detection([0.1, 0.3, 0.8, 1.0], [1, 0, 1, 0])
        0.75
    """
    terms = detection_terms(uncertainty, correct)
    return None if terms is None else float(terms.mean())


def detection_terms(uncertainty: ArrayLike, correct: ArrayLike) -> NDArray[np.float64] | None:
    """Return per-example terms whose mean is `error_detection`, shape (N,); None where that is undefined.

    The area plus its influence function (the structural components of DeLong et al. 1988): resampled means of the terms
    are, to first order, areas of the resamples.
    """
    doubt, right = _checked(uncertainty, correct)
    wrong = 1 - right
    if wrong.sum() <= 0 or right.sum() <= 0:
        return None
    _, group = np.unique(doubt, return_inverse=True)
    # Share of right answers with less uncertainty than this example, and of wrong ones with more; ties count half.
    rights, wrongs = (np.bincount(group, weights=each) / each.sum() for each in (right, wrong))
    below, above = np.cumsum(rights) - rights / 2, 1 - np.cumsum(wrongs) + wrongs / 2
    area = float(wrongs @ below)
    terms: NDArray[np.float64] = (
        area + wrong / wrong.mean() * (below[group] - area) + right / right.mean() * (above[group] - area)
    )
    return terms


def risk_coverage(uncertainty: ArrayLike, correct: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return coverage n/N and risk, the error rate among the n least uncertain answers, for n = 1 … N; shapes (N,).

    The mean of the risks is the area under the curve (AURC, Geifman et al. 2019). Among answers of equal uncertainty
    the order is random and the risk its expectation.

    Source:
        El-Yaniv & Wiener 2010.

    Example:
        >>> coverage, risk = risk_coverage([0.1, 0.3, 0.8, 1.0], [1, 1, 1, 0])
        >>> coverage.tolist(), risk.tolist()
        ([0.25, 0.5, 0.75, 1.0], [0.0, 0.0, 0.0, 0.25])
    """
    doubt, right = _checked(uncertainty, correct)
    _, group, sizes = np.unique(doubt, return_inverse=True, return_counts=True)
    shares = np.bincount(group, weights=1 - right) / sizes
    kept = np.arange(1, len(doubt) + 1)
    return kept / len(doubt), np.cumsum(np.repeat(shares, sizes)) / kept


def _checked(uncertainty: ArrayLike, correct: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    doubt, right = np.asarray(uncertainty, dtype=np.float64), np.asarray(correct, dtype=np.float64)
    if doubt.ndim != 1 or doubt.shape != right.shape or not doubt.size:
        shapes = f"{doubt.shape} and {right.shape}"
        raise DataError("Uncertainty and correctness do not fit together.", found=shapes, wanted="both (N,), N ≥ 1")
    if not np.isfinite(doubt).all() or not ((right >= 0) & (right <= 1)).all():
        raise DataError("Uncertainty is not finite, or correctness is outside [0, 1].")
    return doubt, right
