"""What the combiners that estimate who is right have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from outgrow.combine.ballots import Ballots, checked_gold
from outgrow.combine.result import Posterior, targets_of
from outgrow.labels import ChoiceTargets, ChoiceVotes


class PosteriorCombiner(ABC):
    """A combiner whose targets are a posterior."""

    @abstractmethod
    def posterior(self, ballots: Ballots, *, gold: NDArray[np.int64] | None = None) -> Posterior:
        """Posterior of every row."""

    def __call__(self, votes: ChoiceVotes, gold: NDArray[np.int64] | None = None) -> ChoiceTargets:
        """Targets for the rows that have at least one vote; the others are left out, not guessed.

        Args:
            votes: Votes on N rows.
            gold: Known answers, shape (N,), -1 where unknown; they hold their rows, and teach who is right.

        Raises:
            DataError: No row has a usable vote.
        """
        ballots = Ballots.of(votes)
        known = checked_gold(gold, ballots.rows, ballots.choices)
        return targets_of(votes, self.posterior(ballots, gold=known).probs, ballots.has_votes)
