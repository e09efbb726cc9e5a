"""How far several judges of the same items agree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from outgrow.errors import DataError


@dataclass(frozen=True, eq=False)
class Agreement:
    """How far J judges agree on N items."""

    alpha: float
    """Krippendorff's α for interval data: 1 for full agreement, 0 for that of chance; NaN where all ratings are one."""
    correlations: NDArray[np.float64]
    """Pearson's r of every two judges over the items that both rated, shape (J, J); NaN where one never varies."""
    differences: NDArray[np.float64]
    """Mean rating of the judge of the row minus that of the column, over the items that both rated, shape (J, J)."""


def agreement(ratings: NDArray[np.float64]) -> Agreement:
    """How far judges agree: on ranks and distances, and on the level.

    Args:
        ratings: Of shape (J, N); NaN where a judge gave none.

    Raises:
        DataError: There are fewer than two judges, or no item was rated by two.

    Source:
        Krippendorff 2011, *Computing Krippendorff's alpha-reliability*, for squared differences.

    Example:
        >>> found = agreement(np.array([[1.0, 2.0, 3.0], [2.0, 3.0, 4.0]]))
        >>> round(found.alpha, 3), round(float(found.correlations[0, 1]), 3), float(found.differences[0, 1])
        (0.545, 1.0, -1.0)
    """
    both = np.isfinite(ratings)
    if len(ratings) < 2 or not (both.sum(axis=0) >= 2).any():
        raise DataError("There is no agreement to measure.", found=ratings.shape, wanted="items rated by two judges")
    judges = len(ratings)
    correlations, differences = np.ones((judges, judges)), np.zeros((judges, judges))
    for one in range(judges):
        for other in range(judges):
            shared = both[one] & both[other]
            if one != other:
                correlations[one, other] = _correlation(ratings[one, shared], ratings[other, shared])
                gaps = ratings[one, shared] - ratings[other, shared]
                differences[one, other] = gaps.mean() if gaps.size else np.nan
    return Agreement(_alpha(ratings), correlations, differences)


def _alpha(ratings: NDArray[np.float64]) -> float:
    pairable = ratings[:, np.isfinite(ratings).sum(axis=0) >= 2]
    counts = np.isfinite(pairable).sum(axis=0)
    # A sum of squared differences over ordered pairs is twice the count times the sum of squares about the mean.
    means = np.nanmean(pairable, axis=0)
    within = 2 * counts * np.nansum((pairable - means) ** 2, axis=0)
    values = pairable[np.isfinite(pairable)]
    total = len(values)
    observed = float((within / (counts - 1)).sum()) / total
    expected = 2 * total * float(((values - values.mean()) ** 2).sum()) / (total * (total - 1))
    return 1 - observed / expected if expected else float("nan")


def _correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    if len(one) < 2 or not np.ptp(one) or not np.ptp(other):
        return float("nan")
    return float(np.corrcoef(one, other)[0, 1])
