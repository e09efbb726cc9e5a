"""The share of supervisors behind each choice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from outgrow.combine.ballots import Ballots, checked_gold
from outgrow.combine.combiner import PosteriorCombiner
from outgrow.combine.result import Posterior, finished


@dataclass(frozen=True)
class Majority(PosteriorCombiner):
    """The share of supervisors behind each choice, by their most probable choice (`combine: majority`).

    Example:
        >>> from outgrow.labels import ChoiceVotes
        >>> votes = ChoiceVotes(("a",), ("x", "y", "z"), np.array([[[0.9, 0.1], [0.4, 0.6], [0.4, 0.6]]]))
        >>> Majority().choices(votes).probs.round(3).tolist(), Majority(harden=True).choices(votes).probs.tolist()
        ([[0.333, 0.667]], [[0.0, 1.0]])
    """

    harden: bool = False
    """Put all probability on the choice with the most votes; ties share it."""

    @property
    def weighting(self) -> str:
        """Every vote counts alike, unless `combine` is given λ."""
        return "uniform"

    def posterior(
        self, ballots: Ballots, *, gold: NDArray[np.int64] | None = None, weights: NDArray[np.float64] | None = None
    ) -> Posterior:
        """Return shares of the votes (N, K), each supervisor's vote counting λ (M,)."""
        known = checked_gold(gold, ballots.rows, ballots.choices)
        shares = pooled(ballots, weights, favourites=True)
        if self.harden:
            shares = split_ties(shares)
        return Posterior(finished(shares, ballots, known)[0])


def pooled(
    ballots: Ballots, weights: NDArray[np.float64] | None = None, *, favourites: bool = False
) -> NDArray[np.float64]:
    """Return the λ-weighted mean vote of each row, shape (N, K); uniform where nobody voted.

    If all voters of a row have λ = 0 they count alike.

    Args:
        ballots: The votes.
        weights: λ of each supervisor, shape (M,); by default all are equal.
        favourites: Count each vote's most probable choice (a tie is split) instead of its probabilities.
    """
    k = ballots.choices
    strength = np.ones(len(ballots.row)) if weights is None else weights[ballots.supervisor]
    mass = np.bincount(ballots.row, strength, minlength=ballots.rows)
    strength = np.where(mass[ballots.row] > 0, strength, 1.0)
    if ballots.probs is None:
        cell = np.multiply(ballots.row, k, dtype=np.int64) + ballots.label
        total = np.bincount(cell, strength, minlength=ballots.rows * k)
        total = total.reshape(ballots.rows, k)
    else:
        votes = split_ties(ballots.probs) if favourites else ballots.probs
        columns = [np.bincount(ballots.row, strength * column, minlength=ballots.rows) for column in votes.T]
        total = np.stack(columns, axis=1)
    mass = total.sum(axis=1, keepdims=True)
    return np.where(mass > 0, total / np.where(mass > 0, mass, 1.0), 1.0 / k)


def split_ties(probs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return distributions (N, K) with all probability on the most probable choice; ties share it."""
    best = np.isclose(probs, probs.max(axis=1, keepdims=True), rtol=0, atol=1e-12)
    shares: NDArray[np.float64] = best / best.sum(axis=1, keepdims=True)
    return shares
