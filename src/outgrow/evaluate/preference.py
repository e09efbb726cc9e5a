"""Pairwise accuracy: how often a reward, or a judge, ranks two texts the right way round."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outgrow.errors import DataError
from outgrow.evaluate.intervals import bounded_interval, resampled_means
from outgrow.evaluate.wording import Interval


def preference_accuracy(margins: ArrayLike) -> NDArray[np.float64]:
    """Return 1 for each pair with a positive margin, ½ for a margin of zero, else 0.

    Args:
        margins: Score of the better text minus that of the other, shape (N,): a difference of rewards, of ratings, or
            of log π − log ref (the implicit reward of Rafailov et al. 2023, arXiv 2305.18290).

    Returns:
        Shape (N,); their mean is the accuracy.

    Raises:
        DataError: A margin is NaN.

    Example:
        >>> preference_accuracy([1.5, 0.0, -0.1]).tolist()
        [1.0, 0.5, 0.0]
    """
    found = np.asarray(margins, dtype=np.float64)
    if np.isnan(found).any():
        raise DataError("A margin is NaN.", found=f"{int(np.isnan(found).sum())} of {len(found)}")
    scores: NDArray[np.float64] = (1 + np.sign(found)) / 2
    return scores


@dataclass(frozen=True)
class JudgeAccuracy:
    """How a judge rated right and wrong answers to the same questions."""

    pairs: int
    """Number of questions with both ratings, N."""
    right: float
    """Mean rating of the right answers."""
    wrong: float
    """Mean rating of the wrong answers."""
    accuracy: float
    """Share of the pairs whose right answer is rated higher; ties count half, so a guess has ½."""
    interval: Interval | None
    """95 % interval of the accuracy; None for a single pair."""


def judge_accuracy(right: NDArray[np.float64], wrong: NDArray[np.float64]) -> JudgeAccuracy:
    """Measure how often a judge rates the right answer above the wrong one.

    Args:
        right: Ratings of right answers, shape (N,), finite.
        wrong: Ratings of wrong answers to the same questions, shape (N,), finite.

    Raises:
        DataError: The shapes differ, or there are no pairs.

    Source:
        For pairs, the common-language effect size of McGraw and Wong 1992.

    Example:
        >>> found = judge_accuracy(np.array([9.0, 9.0, 8.0, 5.0]), np.array([2.0, 3.0, 1.0, 5.0]))
        >>> found.right, found.wrong, found.accuracy
        (7.75, 2.75, 0.875)
    """
    if right.shape != wrong.shape or right.ndim != 1 or not right.size:
        raise DataError(
            "Ratings of right and of wrong answers must be pairs.",
            found=(right.shape, wrong.shape),
            wanted="(N,) twice",
        )
    wins = preference_accuracy(right - wrong)
    accuracy = float(wins.mean())
    draws = resampled_means([wins[None]])[:, 0]
    interval = bounded_interval(accuracy, draws, low=0.0, high=1.0, examples=len(wins))
    return JudgeAccuracy(len(wins), float(right.mean()), float(wrong.mean()), accuracy, interval)
