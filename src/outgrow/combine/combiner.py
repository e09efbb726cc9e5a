"""The seam between supervisors and students: what a combiner can do, and what its absence defaults to."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from outgrow.combine.ballots import Ballots, checked_gold
from outgrow.combine.result import Posterior, targets_of
from outgrow.combine.weights import Weights
from outgrow.labels import ChoiceTargets, ChoiceVotes, TextLabels, TextTargets


class Combiner(Protocol):
    """Turns the labels of several supervisors into targets (`combine:`).

    A combiner has the method `choices` (choice tasks), `texts` (text tasks), or both; a registered function is used as
    `choices`. With `lambdas` beside `choices` it can also hand every vote to objectives that learn from single votes
    (`Objective.takes_votes`). With `posterior` it combines long lists of votes in `outgrow.combine.combine`. See
    `ChoiceCombiner`, `WeighingCombiner`, `TextCombiner` and `PosteriorCombiner`. The members here are defaults.
    """

    @property
    def needs_gold(self) -> bool:
        """Whether `choices` or `lambdas` learn from gold answers of validation rows."""
        return False

    @property
    def needs_scores(self) -> bool:
        """Whether `texts` asks for log-probabilities of the candidates, which not every supervisor can give."""
        return False

    @property
    def weighting(self) -> Weights | None:
        """λ that `posterior` takes as its argument `weights`, for `combine`; None if it takes none."""
        return None

    def check_texts(self, supervisors: Sequence[str]) -> None:
        """Raise `ConfigError` where parameters do not suit a text task with these supervisors."""
        return


class ChoiceCombiner(Combiner, Protocol):
    """A combiner of votes."""

    def choices(self, votes: ChoiceVotes, gold: NDArray[np.int64] | None = None) -> ChoiceTargets:
        """Return targets for the rows with a usable vote, from votes on N rows and gold (N,), -1 where unknown.

        Raises:
            DataError: No row has a usable vote.
        """


class WeighingCombiner(ChoiceCombiner, Protocol):
    """A combiner whose targets are a λ-weighted mean, so that λ and the single votes say as much as the targets."""

    def lambdas(
        self, supervisors: Sequence[str], votes: ChoiceVotes | None = None, gold: NDArray[np.int64] | None = None
    ) -> NDArray[np.float64]:
        """Return λ ≥ 0 of each supervisor, shape (M,)."""


class CombinedTexts(NamedTuple):
    """Targets of a text task."""

    targets: TextTargets
    """One or more texts per row; rows without a text are left out."""
    lambdas: NDArray[np.float64] | None
    """λ of each supervisor, shape (M,), where they come from log-probabilities; None otherwise."""


class TextCombiner(Combiner, Protocol):
    """A combiner of texts."""

    def texts(self, labels: TextLabels, prompts: Sequence[str], scored: Callable[[], TextLabels]) -> CombinedTexts:
        """Return the texts that a student learns.

        Args:
            labels: What M supervisors wrote for N rows.
            prompts: What is asked, N of them, as the student will see it.
            scored: Returns the distinct texts of each row (`outgrow.combine.texts.pool`) with the log-probabilities of
                all M supervisors. Expensive; combiners that call it have `needs_scores`.

        Raises:
            DataError: No row has a text.
        """


class PosteriorCombiner(Combiner):
    """A combiner whose targets are a posterior over the choices."""

    @abstractmethod
    def posterior(self, ballots: Ballots, *, gold: NDArray[np.int64] | None = None) -> Posterior:
        """Return the posterior of every row."""

    def choices(self, votes: ChoiceVotes, gold: NDArray[np.int64] | None = None) -> ChoiceTargets:
        """Return the posterior of the rows with a vote. Gold rows keep their answer; see `ChoiceCombiner`."""
        ballots = Ballots.of(votes)
        known = checked_gold(gold, ballots.rows, ballots.choices)
        return targets_of(votes, self.posterior(ballots, gold=known).probs, ballots.has_votes)
