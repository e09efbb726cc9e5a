"""Everything that was said, ready for the difficulty model: rows on which the same was said become one line."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sparse
from numpy.typing import NDArray

from outgrow.combine.ballots import Ballots
from outgrow.combine.soft import SoftVotes

_CALIBRATION_ROUNDS = 20
"""Rounds of fitting the supervisors whose votes have a strength to a given posterior."""


@dataclass(frozen=True, eq=False)
class Lines:
    """P distinct lines of N rows. Plain choices are symbols, votes with a strength are evidence."""

    symbols: sparse.csr_matrix
    """Ones at (line, symbol); a symbol is a choice of one supervisor; shape (P, S)."""
    owner: NDArray[np.int64]
    """Supervisor of each symbol, shape (S,), not decreasing."""
    evidence: NDArray[np.float64]
    """Summed log-evidence of the votes with a strength, shape (P, K)."""
    present: sparse.csr_matrix
    """Ones at (line, supervisor with strengths), shape (P, T)."""
    samples: tuple[NDArray[np.float64], ...]
    """For each of these T supervisors the log-evidence of some of its votes, shape (≤ 1000, K)."""
    gold: NDArray[np.int64]
    """Gold answer of each line, shape (P,), -1 where unknown."""
    count: NDArray[np.float64]
    """Rows that share each line, shape (P,)."""
    of_row: NDArray[np.intp]
    """Line of each row, shape (N,)."""

    @classmethod
    def of(cls, ballots: Ballots, gold: NDArray[np.int64], belief: NDArray[np.float64]) -> Lines:
        """Encodes the votes.

        Args:
            ballots: The votes.
            gold: Answers of shape (N,), -1 where unknown.
            belief: A posterior of shape (N, K) to which votes with a strength are calibrated.
        """
        k = ballots.choices
        soft = ballots.soft_supervisors()[ballots.supervisor]
        hard = ballots.select(~soft)
        pairs, symbol = hard.symbols()
        symbols = sparse.csr_matrix((np.ones(len(symbol)), (hard.row, symbol)), (ballots.rows, len(pairs)))
        if not soft.any():
            line, first, count = _merged(symbols, gold)
            nobody = sparse.csr_matrix((len(first), 0))
            nothing = np.zeros((len(first), k))
            return cls(symbols[first], pairs // k, nothing, nobody, (), gold[first], count, line)
        strong = ballots.select(soft)
        votes = SoftVotes(strong)
        for _ in range(_CALIBRATION_ROUNDS):
            votes.fit(belief)
        evidence = np.zeros((ballots.rows, k))
        votes.add_to(evidence)
        people, samples = votes.samples()
        column = np.searchsorted(people, strong.supervisor)
        present = sparse.csr_matrix((np.ones(len(column)), (strong.row, column)), (ballots.rows, len(people)))
        every, ones = np.arange(ballots.rows), np.ones(ballots.rows)
        return cls(symbols, pairs // k, evidence, present, tuple(samples), gold, ones, every)


def _merged(
    symbols: sparse.csr_matrix, gold: NDArray[np.int64]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """Line of each row, a row of each line, rows per line; rows that differ in gold are kept apart."""
    # Rows are compared by a 64-bit sum of random numbers: two of 10⁸ rows collide with probability 3·10⁻⁴.
    random = np.random.default_rng(0)
    key = random.integers(1, 2**63, size=gold.max(initial=-1) + 2, dtype=np.uint64)[gold + 1]
    names = random.integers(1, 2**63, size=symbols.shape[1] + 1, dtype=np.uint64)
    running = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(names[symbols.indices], dtype=np.uint64)])
    key = key + running[symbols.indptr[1:]] - running[symbols.indptr[:-1]]
    _, first, line, count = np.unique(key, return_index=True, return_inverse=True, return_counts=True)
    return line, first, count.astype(np.float64)
