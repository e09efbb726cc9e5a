"""How supervisors agree: second moments, from which copies and shared errors are estimated."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import scipy.sparse as sparse
from numpy.typing import NDArray

from outgrow.combine.ballots import Ballots, Index

MOST_PAIRS = 2000
"""Most supervisors for which pairs are counted: it takes M² numbers, which few shared rows would support."""
_ROWS = 50_000


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
        """Count the moments in blocks of rows; beside the votes this takes memory for M² numbers."""
        people, k = len(ballots.names), ballots.choices
        together, product, total = np.zeros((people, people)), np.zeros((people, people)), np.zeros(people * k)
        ends = np.searchsorted(ballots.row, np.arange(0, ballots.rows + _ROWS, _ROWS))
        for start, part in enumerate(slice(*pair) for pair in pairwise(ends.tolist())):
            row, person = ballots.row[part] - start * _ROWS, ballots.supervisor[part]
            weight = np.ones(len(row)) if ballots.repeats is None else ballots.repeats[ballots.row[part]]
            together += _gram(np.ones(len(row)), weight, row, person, (_ROWS, people))
            values, answer = np.ones(len(row)), ballots.label[part]
            if ballots.probs is not None:
                values, answer = ballots.probs[part].ravel(), np.tile(np.arange(k), len(row))
                row, person, weight = np.repeat(row, k), np.repeat(person, k), np.repeat(weight, k)
            cell = np.multiply(row, k, dtype=np.int64) + answer
            product += _gram(values, weight, cell, person, (_ROWS * k, people))
            cell = np.multiply(person, k, dtype=np.int64) + answer
            total += np.bincount(cell, weight * values, minlength=people * k)
        votes = np.maximum(ballots.per_supervisor, 1)[:, None]
        return cls(together, product / np.maximum(together, 1.0), total.reshape(people, k) / votes)

    def correlation(self, explained: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """Return the correlation of votes beyond what is explained, shape (M, M); zero for constant votes.

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


def agreement_of(ballots: Ballots) -> Agreement | None:
    """Return how the supervisors agree; None without votes or with more than `MOST_PAIRS` supervisors."""
    return Agreement.of(ballots) if len(ballots.names) <= MOST_PAIRS and len(ballots.row) else None


def _gram(
    values: NDArray[np.float64],
    weight: NDArray[np.float64],
    row: Index,
    column: Index,
    shape: tuple[int, int],
) -> NDArray[np.float64]:
    """AᵀWA of a sparse matrix A with a weight per row, shape (columns, columns)."""
    left = sparse.csr_matrix((values * weight, (row, column)), shape)
    right = sparse.csr_matrix((values, (row, column)), shape)
    found: NDArray[np.float64] = (left.T @ right).toarray()
    return found
