"""How supervisors agree with each other: the second moments that copies and shared errors are read from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sparse
from numpy.typing import NDArray

from outgrow.combine.ballots import Ballots


@dataclass(frozen=True, eq=False)
class Agreement:
    """Pairwise moments of M supervisors' votes, as vectors of K probabilities."""

    together: NDArray[np.float64]
    """Rows that both voted on, shape (M, M)."""
    product: NDArray[np.float64]
    """Mean inner product of the two votes on those rows, shape (M, M); zero where there are none."""
    mean: NDArray[np.float64]
    """Mean vote of each, shape (M, K); zero for one that never votes."""

    @classmethod
    def of(cls, ballots: Ballots) -> Agreement:
        """Counts them, in memory linear in votes plus M²."""
        people, k = len(ballots.names), ballots.choices
        shape = (ballots.rows, people)
        given = sparse.csr_matrix((np.ones(len(ballots.row)), (ballots.row, ballots.supervisor)), shape)
        if ballots.probs is None:
            values = np.ones(len(ballots.row))
            cell, person = ballots.row * k + ballots.label, ballots.supervisor
        else:
            values = ballots.probs.ravel()
            cell, person = (ballots.row[:, None] * k + np.arange(k)).ravel(), np.repeat(ballots.supervisor, k)
        cells = sparse.csr_matrix((values, (cell, person)), (ballots.rows * k, people))
        total = np.bincount(person * k + cell % k, values, minlength=people * k).reshape(people, k)
        together = (given.T @ given).toarray()
        product = (cells.T @ cells).toarray() / np.maximum(together, 1.0)
        return cls(together, product, total / np.maximum(ballots.per_supervisor, 1)[:, None])

    def correlation(self, explained: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """Correlation of the votes beyond what is explained, shape (M, M); zero for constant votes.

        Args:
            explained: Expected inner products (M, M); by default those of unrelated votes.
        """
        if explained is None:
            explained = self.mean @ self.mean.T
        covariance = self.product - explained
        # Rounding leaves constant supervisors with a variance that is not quite zero.
        variance = np.maximum(np.diag(covariance), 0.0)
        scale = np.sqrt(np.outer(variance, variance))
        known = (self.together > 0) & (scale > 1e-12)
        return np.where(known, np.clip(covariance / np.where(known, scale, 1.0), -1.0, 1.0), 0.0)
