"""The combined votes of several supervisors, and what is worked out about the supervisors when it is asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outgrow.combine.agreement import Agreement, agreement_of
from outgrow.combine.ballots import Ballots, Merged
from outgrow.combine.diagnostics import describe, effective_supervisors, shared_errors
from outgrow.combine.open_answers import places
from outgrow.combine.result import Diagnostics, Posterior
from outgrow.combine.weights import informed_weights

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Combined:
    """The combined votes of several supervisors."""

    merged: Merged
    """The distinct lines of votes, and their gold answers."""
    posterior: Posterior
    """Of each line."""
    given: Array | None
    """λ of each supervisor, where it does not come from the posterior, shape (M,)."""
    rows: Sequence[Hashable] | None = None
    """Name of each row: tasks of a long table in order of appearance, or row ids; None where the votes have none."""
    choices: tuple[Any, ...] | None = None
    """Name of each choice: labels of a long table, sorted; None where the votes have none."""
    answers: NDArray[np.int64] | None = None
    """Of open answers the choice behind each candidate of a row, shape (N, K), -1 for none; the last candidate is
    “none of these”. None where all rows have the same choices."""
    notes: tuple[str, ...] = ()
    """Further sentences for readers."""

    @cached_property
    def probs(self) -> Array:
        """Posterior (N, K), K counting candidates of open answers; gold rows certain, those without votes uniform."""
        found: Array = self.posterior.probs[self.merged.of_row]
        return found

    def places(self, known: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return which column of `probs` each known answer (N,), -1 where unknown, has; see `open_answers.places`."""
        return known if self.answers is None else places(self.answers, known)

    @cached_property
    def usable(self) -> NDArray[np.bool_]:
        """Whether a row has a vote or gold, shape (N,)."""
        usable: NDArray[np.bool_] = (self._ballots.has_votes | (self.merged.gold >= 0))[self.merged.of_row]
        return usable

    @cached_property
    def weights(self) -> Array:
        """λ of each supervisor, shape (M,), summing to one."""
        if self.given is not None:
            return self.given
        return informed_weights(self._ballots, self.posterior.probs, self._errors)

    @cached_property
    def effective_supervisors(self) -> float:
        """Number of independent supervisors that these amount to, between 1 and M (0 without votes)."""
        return effective_supervisors(self._ballots, self._errors)

    @cached_property
    def diagnostics(self) -> Diagnostics:
        """What was estimated about the supervisors, and what cannot be identified."""
        about = describe(self._ballots, self.posterior, self.merged.gold, self._errors)
        return dataclasses.replace(about, notes=(*about.notes, *self.notes))

    @property
    def _ballots(self) -> Ballots:
        return self.merged.ballots

    @cached_property
    def _agreement(self) -> Agreement | None:
        return self.posterior.agreement or (None if self._ballots.open else agreement_of(self._ballots))

    @cached_property
    def _errors(self) -> Array | None:
        return shared_errors(self._ballots, self.posterior.probs, self._agreement)
