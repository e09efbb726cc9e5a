"""How often a model prefers what it should."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outgrow.errors import DataError


def preference_accuracy(margins: ArrayLike) -> NDArray[np.float64]:
    """Whether each pair is ranked the right way round: 1 where the margin is positive, ½ where it is zero, else 0.

    Args:
        margins: How much better the model finds the chosen text than the rejected one, shape (N,): a difference of
            rewards, or of log π − log ref, the implicit reward of a student.

    Returns:
        Shape (N,); their mean is the accuracy.

    Raises:
        DataError: A margin is NaN.

    Source:
        Rafailov et al. 2023 (arXiv 2305.18290), implicit reward.

    Example:
        >>> preference_accuracy([1.5, 0.0, -0.1]).tolist()
        [1.0, 0.5, 0.0]
    """
    found = np.asarray(margins, dtype=np.float64)
    if np.isnan(found).any():
        raise DataError("A margin is NaN.", found=f"{int(np.isnan(found).sum())} of {len(found)}")
    scores: NDArray[np.float64] = (1 + np.sign(found)) / 2
    return scores
