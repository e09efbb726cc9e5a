"""A combiner that believes the surest supervisor of each row."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from outgrow.labels import ChoiceTargets, ChoiceVotes


def boldest(votes: ChoiceVotes, gold: NDArray[np.int64] | None = None, *, floor: float = 0.0) -> ChoiceTargets:
    """Return the vote of the supervisor that is surest of each row; rows without a vote are left out."""
    sure = np.nan_to_num(votes.probs, nan=-1.0)
    best = sure.max(axis=2).argmax(axis=1)
    probs = np.maximum(sure[np.arange(len(best)), best], floor)
    kept = np.flatnonzero(sure.max(axis=(1, 2)) >= 0)
    shares = probs[kept] / probs[kept].sum(axis=1, keepdims=True)
    return ChoiceTargets(tuple(votes.ids[row] for row in kept), shares, np.ones(len(kept)))
