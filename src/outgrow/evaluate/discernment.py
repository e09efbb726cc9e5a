"""How well a judge tells right answers from wrong ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from outgrow.errors import DataError
from outgrow.evaluate.intervals import bounded_interval, resampled_means
from outgrow.evaluate.wording import Interval


@dataclass(frozen=True)
class Discernment:
    """What a judge said of right and of wrong answers to the same questions."""

    pairs: int
    """Questions with a rating of either answer, N."""
    right: float
    """Mean rating of the right answers."""
    wrong: float
    """Mean rating of the wrong ones."""
    share: float
    """Share of the questions on which the right answer is rated higher; ties count as half. A guess has one half."""
    interval: Interval | None
    """95 % interval of the share; None for a single question."""


def discernment(right: NDArray[np.float64], wrong: NDArray[np.float64]) -> Discernment:
    """How often a judge rates the right answer above the wrong one.

    Args:
        right: Ratings of right answers, shape (N,), finite.
        wrong: Ratings of wrong answers to the same questions, shape (N,), finite.

    Raises:
        DataError: The shapes differ, or there is nothing.

    Source:
        The share of wins is the common-language effect size (McGraw and Wong 1992), for pairs; its interval is that of
        `outgrow.evaluate.intervals`.

    Example:
        >>> found = discernment(np.array([9.0, 9.0, 8.0, 5.0]), np.array([2.0, 3.0, 1.0, 5.0]))
        >>> found.right, found.wrong, found.share
        (7.75, 2.75, 0.875)
    """
    if right.shape != wrong.shape or right.ndim != 1 or not right.size:
        raise DataError(
            "Ratings of right and of wrong answers must be pairs.",
            found=(right.shape, wrong.shape),
            wanted="(N,) twice",
        )
    wins = (right > wrong) + 0.5 * (right == wrong)
    share = float(wins.mean())
    draws = resampled_means([wins[None]])[:, 0]
    interval = bounded_interval(share, draws, low=0.0, high=1.0, examples=len(wins))
    return Discernment(len(wins), float(right.mean()), float(wrong.mean()), share, interval)
