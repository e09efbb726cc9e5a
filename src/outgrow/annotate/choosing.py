"""Which row an annotator is asked about next: the one about which one more vote is expected to tell most."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

import numpy as np
from numpy.typing import NDArray

from outgrow.combine import Ballots, DawidSkene

Array = NDArray[np.float64]

_ACCURACY, _WORTH = 0.8, 4.0
"""Accuracy of an annotator before any vote, and the number of votes that this is worth."""
_BEST = 0.98
_SHARE, _LEAST = 0.05, 20
"""Votes are combined anew after so many more of them, as a share and in number."""


def expected_gain(probs: Array, accuracy: float) -> Array:
    """Return how many nats one more vote is expected to tell about each row, shape (N,).

    This is the mutual information of answer and vote, H(vote) − H(vote | answer), for an annotator who is right with
    probability `accuracy` and else picks one of the other choices at random; `probs` has shape (N, K).

    Source:
        Expected information gain (Lindley 1956), for the one-accuracy model of annotators.

    Example:
        >>> probs = np.array([[0.5, 0.5], [0.8, 0.2], [1.0, 0.0]])
        >>> expected_gain(probs, 0.8).round(3).tolist()
        [0.193, 0.126, 0.0]
    """
    others = (1 - accuracy) / (probs.shape[1] - 1)
    vote = others + (accuracy - others) * probs
    noise = np.array([accuracy, *[others] * (probs.shape[1] - 1)])
    gain: Array = _entropy(vote) - _entropy(noise)
    return gain


class Chooser:
    """Beliefs about the answers from the votes so far, and the row to ask about next.

    After a batch of votes they are combined by Dawid–Skene; in between, a vote changes the belief about its row alone.

    Args:
        gold: Answer of each row as an index, shape (N,), -1 where unknown.
        choices: K.
    """

    def __init__(self, gold: NDArray[np.int64], choices: int) -> None:
        self._gold, self._choices = gold, choices
        self._votes: dict[tuple[str, int], int] = {}
        self._accuracy: dict[str, float] = {}
        self._log_probs = np.zeros((len(gold), choices))
        self._gain = expected_gain(self._probs(slice(None)), _ACCURACY)
        self._since = 0

    def vote(self, worker: str, row: int, choice: int) -> None:
        """Take a vote into account."""
        self._votes[worker, row] = choice
        self._update(worker, row, choice, 1)

    def withdraw(self, worker: str, row: int) -> None:
        """Take back a vote."""
        self._update(worker, row, self._votes.pop((worker, row)), -1)

    def next(self, among: NDArray[np.bool_], open_elsewhere: AbstractSet[int], *, worker: str, turn: int) -> int | None:
        """Return the row of the largest expected gain; None if there is none.

        Rows that somebody else is looking at count half. Equal ones are drawn at random, by worker and turn.

        Args:
            among: Rows that may be asked about, shape (N,).
            open_elsewhere: Rows that others are looking at.
            worker: Who is asked.
            turn: Its number of events so far.
        """
        if not among.any():
            return None
        gain = self._gain + 1e-9 * np.random.default_rng([zlib.crc32(worker.encode()), turn]).random(len(self._gain))
        gain[[*open_elsewhere]] /= 2
        return int(np.where(among, gain, -np.inf).argmax())

    def _update(self, worker: str, row: int, choice: int, sign: int) -> None:
        right = self._accuracy.get(worker, _ACCURACY)
        self._log_probs[row, choice] += sign * np.log(right * (self._choices - 1) / (1 - right))
        self._gain[row] = expected_gain(self._probs([row]), _ACCURACY)[0]
        self._since += 1
        if self._since >= max(_LEAST, _SHARE * len(self._votes)):
            self._combine()

    def _combine(self) -> None:
        self._since = 0
        if not self._votes:
            return
        workers = {worker: number for number, worker in enumerate(sorted({worker for worker, _ in self._votes}))}
        row, person, label = np.array([(row, workers[who], own) for (who, row), own in self._votes.items()]).T
        names = tuple(workers)
        ballots = Ballots.from_labels(row, person, label, rows=len(self._gold), choices=self._choices, names=names)
        probs = DawidSkene().posterior(ballots, gold=self._gold).probs
        hits = np.bincount(person, probs[row, label], minlength=len(names)) + _ACCURACY * _WORTH
        accuracy = np.clip(hits / (ballots.per_supervisor + _WORTH), 1.05 / self._choices, _BEST)
        self._accuracy = dict(zip(names, accuracy.tolist(), strict=True))
        self._log_probs = np.log(np.maximum(probs, 1e-9))
        self._gain = expected_gain(probs, _ACCURACY)

    def _probs(self, rows: slice | Sequence[int]) -> Array:
        shifted = np.exp(self._log_probs[rows] - self._log_probs[rows].max(axis=1, keepdims=True))
        probs: Array = shifted / shifted.sum(axis=1, keepdims=True)
        return probs

    def checks(self) -> Mapping[str, tuple[int, int]]:
        """Return how many of the checks each worker answered as gold says, and how many it answered."""
        found: dict[str, tuple[int, int]] = {}
        for (worker, row), choice in self._votes.items():
            if self._gold[row] >= 0:
                right, given = found.get(worker, (0, 0))
                found[worker] = right + (choice == self._gold[row]), given + 1
        return found


def _entropy(probs: Array) -> Array:
    entropy: Array = -(probs * np.log(np.maximum(probs, 1e-300))).sum(axis=-1)
    return entropy
