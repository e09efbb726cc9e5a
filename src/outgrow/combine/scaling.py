"""Scores of several supervisors on one scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Scale = Literal["standardise", "none"]
"""Whether the supervisors' scores are brought to one spread before they are averaged."""


def standardised(scores: Sequence[ArrayLike]) -> list[Array]:
    """Scores with each supervisor's mean within a row taken away and its spread within rows, over all rows, made one.

    Only differences between candidates of one prompt matter for a ranking, and supervisors spread theirs differently.

    Args:
        scores: One array (C, M) per row; NaN where a supervisor could not read a candidate.

    Returns:
        Arrays of the same shapes; zeros for a supervisor that finds all candidates of every row equal.

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
    """The matrix (C, M) without the mean of each column over what was read, NaN where nothing was.

    Example:
        >>> centred(np.array([[1.0], [3.0], [np.nan]])).tolist()
        [[-1.0], [1.0], [nan]]
    """
    read = ~np.isnan(matrix)
    mean = np.where(read, matrix, 0.0).sum(axis=0) / np.maximum(read.sum(axis=0), 1)
    centred: Array = matrix - mean
    return centred
