"""What a combination returns: posteriors, λ, the effective number of supervisors, and diagnostics."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from outgrow.combine.agreement import Agreement
from outgrow.combine.ballots import Ballots
from outgrow.errors import DataError
from outgrow.labels import ChoiceTargets, ChoiceVotes
from outgrow.labels.columns import picked, taken

_FEW = 8


@dataclass(frozen=True, eq=False)
class Posterior:
    """The posterior of every row, with what the diagnostics need of the fit."""

    probs: NDArray[np.float64]
    """Probabilities of shape (N, K); uniform where a row has neither a vote nor gold."""
    copies: tuple[tuple[int, ...], ...] = ()
    """Groups of supervisors that were counted as one because they copy each other (two or more each)."""
    shared_evidence: float | None = None
    """Share ρ of the votes' evidence that is the same; None if the method does not estimate it."""
    notes: tuple[str, ...] = ()
    """Sentences about this fit for readers."""
    agreement: Agreement | None = None
    """How the supervisors agree, where the method counted it."""


@dataclass(frozen=True, eq=False)
class Diagnostics:
    """Accuracies, copies and shared errors of the supervisors, and notes."""

    names: tuple[str, ...]
    """Supervisor names, M of them."""
    votes: NDArray[np.int64]
    """Votes of each, shape (M,)."""
    accuracy: NDArray[np.float64]
    """Estimated accuracy of each under the posterior, shape (M,); NaN for one that never votes."""
    accuracy_interval: NDArray[np.float64]
    """95 % intervals, shape (M, 2): Wilson's, from as many votes as the posterior tells about. They hold if it does."""
    copies: tuple[tuple[str, ...], ...]
    """Groups that copy each other."""
    shared_errors: NDArray[np.float64] | None
    """Correlation of votes that remains once the answer is known, shape (M, M), zero where not significant; None for
    more than 2,000 supervisors."""
    rows_without_votes: int
    """Rows without a vote or gold: uniform in `probs`, never a target."""
    shared_evidence: float | None
    """Share ρ of the votes' evidence that is the same, by which it was discounted; None if it was not estimated."""
    notes: tuple[str, ...] = field(default=())
    """Sentences for readers: peculiarities of these votes, and what votes alone cannot identify."""


def targets_of(votes: ChoiceVotes, probs: NDArray[np.float64], usable: NDArray[np.bool_]) -> ChoiceTargets:
    """Return targets for the usable rows; raises `DataError` where there are none."""
    kept = np.flatnonzero(usable)
    if not len(kept):
        raise DataError("No row has a usable vote.", found=f"{len(votes.ids)} rows of abstentions")
    return ChoiceTargets(taken(votes.ids, kept), picked(probs, kept), np.ones(len(kept)))


def finished(probs: NDArray[np.float64], ballots: Ballots, gold: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return a copy with gold rows certain and rows without votes uniform."""
    return held(probs, ballots.has_votes | (gold >= 0), gold)


def held(probs: NDArray[np.float64], usable: NDArray[np.bool_], gold: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return a copy with gold rows certain and unusable rows uniform."""
    probs = probs.copy()
    probs[~usable] = 1.0 / probs.shape[1]
    known = np.flatnonzero(gold >= 0)
    probs[known] = 0.0
    probs[known, gold[known]] = 1.0
    return probs


def normalised(log_joint: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the softmax over the last axis, in place: the N × K array is the largest one in memory."""
    log_joint -= _over_last(np.maximum, log_joint)
    np.exp(log_joint, out=log_joint)
    log_joint /= _over_last(np.add, log_joint)
    return log_joint


def _over_last(ufunc: np.ufunc, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Reduce the last axis and keep it; a few choices column by column, which is several times as fast."""
    if values.shape[-1] > _FEW:
        return np.asarray(ufunc.reduce(values, axis=-1, keepdims=True))
    found = values[..., :1].copy()
    for column in range(1, values.shape[-1]):
        ufunc(found, values[..., column : column + 1], out=found)
    return found
