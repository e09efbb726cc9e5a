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
    """P distinct lines. Plain choices are symbols, votes with a strength are evidence."""

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

    @classmethod
    def of(cls, lines: Ballots, gold: NDArray[np.int64], belief: NDArray[np.float64]) -> Lines:
        """Encodes the votes.

        Args:
            lines: The votes, merged where they can be: P rows.
            gold: Answers of shape (P,), -1 where unknown.
            belief: A posterior of shape (P, K) to which votes with a strength are calibrated.
        """
        k = lines.choices
        soft = lines.soft_supervisors()[lines.supervisor]
        hard, strong = lines.select(~soft), lines.select(soft)
        pairs, symbol = hard.symbols()
        symbols = hard.incidence(symbol, len(pairs))
        evidence, column = np.zeros((lines.rows, k)), np.zeros(0, dtype=np.int64)
        samples: list[NDArray[np.float64]] = []
        if soft.any():
            votes = SoftVotes(strong)
            for _ in range(_CALIBRATION_ROUNDS):
                votes.fit(belief)
            votes.add_to(evidence)
            people, samples = votes.samples()
            column = np.searchsorted(people, strong.supervisor)
        present = strong.incidence(column, len(samples))
        return cls(symbols, pairs // k, evidence, present, tuple(samples), gold, lines.count)
