"""Open answers, such as numbers and names: every row has its own candidates, and all of them may be wrong."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from outgrow.combine.ballots import Ballots, Index
from outgrow.combine.likelihoods import AccuracyPrior

Array = NDArray[np.float64]

MOST_CLOSED = 200
"""Most choices that are the same for every row."""
_LEAST_OPEN, _ROWS_PER_ANSWER = 20, 8
"""More choices than this, and more than one for so many rows, are open answers too."""
_LEAST_CANDIDATES, _MOST_NUMBERS = 30, 10**7
"""Answers of a row that are kept, those with most votes: at least 30, and all where rows × answers are that few."""
_START = 0.05
"""Probability that two wrong answers coincide, before it is estimated."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """Votes on open answers: as ballots whose choices are each row's own answers, most votes first, and none of these.

    Example:
        >>> votes = Ballots.from_labels([0, 0, 0, 1], [0, 1, 2, 0], [700, 3, 700, 41], rows=2, choices=1000)
        >>> found = Candidates.of(votes)
        >>> found.answers.tolist(), found.ballots.label.tolist()
        ([[700, 3, -1], [41, -1, -1]], [0, 1, 0, 0])
    """

    ballots: Ballots
    """The votes, `open`, with C + 1 choices."""
    answers: NDArray[np.int64]
    """The choice behind each candidate, shape (N, C + 1); -1 where there is none, and for none of these."""

    @classmethod
    def of(cls, ballots: Ballots) -> Candidates:
        """Return the votes by candidates; of very many answers to one of many rows the rarest are dropped."""
        cells, of_vote, votes = np.unique(ballots.cells(), return_inverse=True, return_counts=True)
        row, answer = np.divmod(cells, ballots.choices)
        order = np.lexsort((answer, -votes, row))
        first = np.searchsorted(row, np.arange(ballots.rows))  # rows are sorted in both orders
        place = np.empty(len(cells), dtype=np.int64)
        place[order] = np.arange(len(cells)) - first[row[order]]
        kept = min(int(place.max(initial=0)) + 1, max(_LEAST_CANDIDATES, _MOST_NUMBERS // max(ballots.rows, 1)))
        answers = np.full((ballots.rows, kept + 1), -1)
        shown = place < kept
        answers[row[shown], place[shown]] = answer[shown]
        label = place[of_vote]
        within = ballots.select(label < kept)
        local = dataclasses.replace(within, label=label[label < kept], choices=kept + 1, open=True)
        return cls(local, answers)


def places(answers: NDArray[np.int64], known: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return known answers (N,), -1 where unknown, as candidates; one that nobody gave is none of these.

    Example:
        >>> places(np.array([[700, 3, -1], [41, -1, -1], [5, 6, -1]]), np.array([3, 7, -1])).tolist()
        [1, 2, -1]
    """
    given = answers == known[:, None]
    place = np.where(given.any(axis=1), given.argmax(axis=1), answers.shape[1] - 1)
    return np.where(known < 0, -1, place)


def is_open(ballots: Ballots, *, listed: bool = False) -> bool:
    """Return whether labels are open answers: too many for choices that all rows share.

    That is more than 200, or more than 20 that nobody has listed and that outnumber an eighth of the rows.
    """
    if ballots.probs is not None or ballots.open:
        return False
    many = not listed and ballots.choices > max(_LEAST_OPEN, ballots.rows / _ROWS_PER_ANSWER)
    return ballots.choices > MOST_CLOSED or many


class OpenVotes:
    """An accuracy per supervisor; two wrong answers coincide with probability q, and 1/q answers are possible at first.

    Source:
        One accuracy as in Demartini et al. 2012 (ZenCrowd); q and “none of these” are ours.
    """

    votes: Array
    """How many gave each candidate, shape (N, C + 1)."""
    coincidence: float
    """q."""

    def __init__(self, ballots: Ballots, weight: Array, smoothing: float) -> None:
        self.ballots, self.coincidence, self._weight = ballots, _START, weight
        self._prior = AccuracyPrior(smoothing)
        self._bonus, self._wrong = np.zeros((2, len(ballots.names)))
        shape = (ballots.rows, ballots.choices)
        self.votes = np.bincount(ballots.cells(), minlength=shape[0] * shape[1]).reshape(shape).astype(np.float64)
        self._candidates = self.votes > 0

    def fit(self, responsibilities: Array) -> None:
        """See `Likelihood`; there is no class balance."""
        ballots, people, weight = self.ballots, len(self.ballots.names), self._weight
        own = weight[ballots.row]
        right = own * responsibilities[ballots.row, ballots.label]
        hits, given = (
            np.bincount(ballots.supervisor, each, minlength=people).astype(np.float64) for each in (right, own)
        )
        accuracy = self._prior.accuracies(hits, given, 2)
        # Pairs of wrong votes, and those of them with the same answer, if each candidate in turn is the right one.
        same = self.votes * (self.votes - 1)
        all_wrong = self.votes.sum(axis=1, keepdims=True) - self.votes
        pairs = weight @ (responsibilities * all_wrong * (all_wrong - 1)).sum(axis=1)
        coincide = weight @ (responsibilities * (same.sum(axis=1, keepdims=True) - same)).sum(axis=1)
        self.coincidence = float(np.clip((coincide + _START) / (pairs + 1), 1e-6, 0.5))
        self._wrong = np.log((1 - accuracy) * self.coincidence)
        self._bonus = np.log(accuracy) - self._wrong

    def add_to(self, log_joint: Array) -> None:
        """See `Likelihood`; includes the prior of the candidates, and rules out those that a row does not have."""
        listed = self._candidates.sum(axis=1)
        log_joint[:, :-1] += np.where(self._candidates[:, :-1], np.log(self.coincidence), -np.inf)
        log_joint[:, -1] += np.log(np.maximum(1 - listed * self.coincidence, self.coincidence))
        np.add.at(log_joint, (self.ballots.row, self.ballots.label), self._bonus[self.ballots.supervisor])

    def evidence(self, votes: Index) -> Array:
        """Return log p(vote | candidate) of some votes, shape (V, C + 1), less what is the same for all candidates."""
        found = np.zeros((len(votes), self.ballots.choices))
        found[np.arange(len(votes)), self.ballots.label[votes]] = self._bonus[self.ballots.supervisor[votes]]
        return found
