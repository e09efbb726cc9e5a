"""Rows on which exactly the same was said: ten voters with two choices say at most 3¹⁰ different things."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from outgrow.combine.ballots import Ballots


@dataclass(frozen=True, eq=False)
class Merged:
    """P distinct lines that stand for N rows."""

    ballots: Ballots
    """The votes of the lines: P rows, with how many rows of the table each stands for."""
    gold: NDArray[np.int64]
    """Gold answer of each line, shape (P,), -1 where unknown."""
    of_row: NDArray[np.intp]
    """Line of each row, shape (N,)."""

    @classmethod
    def of(cls, ballots: Ballots, gold: NDArray[np.int64]) -> Merged:
        """Merges rows with the same plain choices and the same gold.

        Votes with a strength, and rows that are merged already, are left as they are.

        Example:
            >>> ballots = Ballots.from_labels([0, 0, 1, 2, 2], [0, 1, 0, 0, 1], [1, 0, 1, 1, 0], rows=3, choices=2)
            >>> merged = Merged.of(ballots, np.full(3, -1))
            >>> sorted(merged.ballots.count.tolist()), bool(merged.of_row[0] == merged.of_row[2])
            ([1.0, 2.0], True)
        """
        if ballots.probs is not None or ballots.repeats is not None:
            return cls(ballots, gold, np.arange(ballots.rows))
        # Rows are compared by a 64-bit sum of random numbers: two of 10⁸ rows collide with probability 3·10⁻⁴.
        random = np.random.default_rng(0)
        key = random.integers(1, 2**63, size=ballots.choices + 1, dtype=np.uint64)[gold + 1]
        symbols = random.integers(1, 2**63, size=len(ballots.names) * ballots.choices, dtype=np.uint64)
        running = np.zeros(len(ballots.row) + 1, dtype=np.uint64)
        np.cumsum(symbols[ballots.codes()], out=running[1:])
        ends = np.cumsum(np.bincount(ballots.row, minlength=ballots.rows))
        key = key + running[ends] - running[np.concatenate([[0], ends[:-1]]).astype(np.intp)][: len(ends)]
        _, first, of_row, count = np.unique(key, return_index=True, return_inverse=True, return_counts=True)
        kept = np.zeros(ballots.rows, dtype=bool)
        kept[first] = True
        chosen = ballots.select(kept[ballots.row])
        # `first` is in the order of the keys; lines are numbered in the order of the rows, as ballots are.
        rank = np.argsort(np.argsort(first))
        order = np.argsort(first)
        row = (np.cumsum(kept) - 1).astype(chosen.row.dtype)[chosen.row]
        repeats = count[order].astype(np.float64)
        lines = dataclasses.replace(chosen, row=row, rows=len(first), repeats=repeats)
        return cls(lines, gold[first[order]], rank[of_row])
