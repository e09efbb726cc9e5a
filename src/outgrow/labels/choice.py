"""Records of choice tasks: votes and training targets."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from outgrow.errors import DataError
from outgrow.labels.arrow import error_column, errors_of, lists, matrix, metadata, read_errors, with_metadata
from outgrow.labels.columns import Column, blocks, gathered, in_batches, packed, picked, slices, taken

Status = Literal["ok", "abstained", "failed", "missing"]
"""A vote was given, withheld, failed with an error, or was never requested."""

_STATUSES: tuple[Status, ...] = get_args(Status)

SUM_TOLERANCE = 1e-3
"""Tolerance of the sum of the probabilities of a vote, for rounding in files."""


@dataclass(frozen=True, eq=False)
class ChoiceVotes:
    """Votes of M supervisors on N rows with K choices.

    Example:
        >>> votes = ChoiceVotes(("a",), ("tfidf",), np.array([[[0.2, 0.8]]]))
        >>> votes.status.tolist()
        [['ok']]
    """

    ids: Sequence[str]
    """Row ids, N of them."""
    supervisors: tuple[str, ...]
    """Supervisor names, M of them, unique."""
    probs: NDArray[np.float64]
    """Probabilities of shape (N, M, K); K NaNs without a vote."""
    status: NDArray[np.object_] = None  # type: ignore[assignment]  # filled in below
    """A `Status` per vote, shape (N, M); by default `ok`, or `abstained` where the vote is NaN."""
    errors: Mapping[tuple[str, str], str] = dataclasses.field(default_factory=dict)
    """For failed votes: (row id, supervisor) → error message."""

    def __post_init__(self) -> None:
        n, m = len(self.ids), len(self.supervisors)
        if self.probs.ndim != 3 or self.probs.shape[:2] != (n, m):
            raise DataError("Votes have the wrong shape.", found=self.probs.shape, wanted=f"({n}, {m}, K)")
        if len(set(self.supervisors)) != m:
            raise DataError("Two supervisors share a name.", found=", ".join(self.supervisors), fix="Give them names.")
        given = in_batches(lambda own: ~np.isnan(own).all(axis=2), self.probs)
        if self.status is None:
            object.__setattr__(self, "status", _statuses((~given).astype(np.int8)))
        for own, known in zip(blocks(self.probs), blocks(given), strict=True):
            check_probabilities(own[known], f"votes of {', '.join(self.supervisors)}")

    @classmethod
    def stack(cls, votes: Sequence[ChoiceVotes]) -> ChoiceVotes:
        """Join the votes of several supervisors on the same rows."""
        if any(other.ids != votes[0].ids for other in votes):
            raise DataError("Votes to be joined are about different rows.")
        if len(votes) == 1:
            return votes[0]
        return cls(
            votes[0].ids,
            tuple(name for each in votes for name in each.supervisors),
            gathered(np.concatenate(own, axis=1) for own in zip(*(blocks(each.probs) for each in votes), strict=True)),
            _statuses(np.concatenate([_codes(each.status) for each in votes], axis=1)),
            {key: text for each in votes for key, text in each.errors.items()},
        )

    def take(self, indices: Sequence[int] | NDArray[np.intp]) -> ChoiceVotes:
        """Return the votes on the rows at these positions."""
        chosen = np.asarray(indices, dtype=np.intp)
        ids, errors = taken(self.ids, chosen), self.errors
        probs, status = picked(self.probs, chosen), self.status[slices(chosen)]
        return ChoiceVotes(ids, self.supervisors, probs, status, errors and errors_of(errors, ids))

    def to_arrow(self) -> pa.Table:
        """Return a table with a line per row: `probs` flat (M·K), `status` (M), `error` (M)."""
        _, m, k = self.probs.shape
        probs = pa.FixedSizeListArray.from_arrays(pa.array(self.probs.reshape(-1), pa.float64()), m * k)
        codes = pa.array(_codes(self.status).reshape(-1))
        status = pa.DictionaryArray.from_arrays(codes, pa.array(_STATUSES, pa.string()))
        table = pa.table(
            {
                "id": pa.array(self.ids, pa.string()),
                "probs": probs,
                "status": pa.FixedSizeListArray.from_arrays(status, m),
                "error": error_column(self.errors, self.ids, self.supervisors),
            }
        )
        return with_metadata(table, supervisors=self.supervisors, choices=k)

    @classmethod
    def from_arrow(cls, table: pa.Table) -> ChoiceVotes:
        """Read the table of `to_arrow`."""
        about = metadata(table)
        ids: Sequence[str] = packed(Column(table["id"]))
        supervisors = tuple(about["supervisors"])
        probs = matrix(table["probs"]).reshape(len(ids), len(supervisors), about["choices"])
        codes = [_renumbered(chunk.flatten()) for chunk in table["status"].chunks]
        status = _statuses(np.concatenate([np.zeros(0, dtype=np.int8), *codes]).reshape(len(ids), len(supervisors)))
        return cls(ids, supervisors, probs, status, read_errors(table, ids, supervisors))


@dataclass(frozen=True, eq=False)
class ChoiceTargets:
    """Training targets of a choice task: a distribution and a weight per row, and for some objectives the votes."""

    ids: Sequence[str]
    """Row ids, N of them."""
    probs: NDArray[np.float64]
    """Target distributions of shape (N, K)."""
    weights: NDArray[np.float64]
    """Weight of each row, shape (N,), not negative."""
    votes: NDArray[np.float64] | None = None
    """The votes behind `probs`, shape (N, M, K) with NaN for abstentions, for objectives that use each vote."""
    lambdas: NDArray[np.float64] | None = None
    """λ of each supervisor, shape (M,), together with `votes`."""

    def __post_init__(self) -> None:
        count = len(self.ids)
        if self.probs.shape[:1] != (count,) or self.weights.shape != (count,):
            raise DataError("Targets have the wrong shape.", found=(self.probs.shape, self.weights.shape))
        if self.votes is not None and (self.lambdas is None or self.votes.shape[:2] != (count, len(self.lambdas))):
            raise DataError("The votes behind targets have the wrong shape.", found=self.votes.shape)
        for block in blocks(self.probs):
            check_probabilities(block, "targets")

    def take(self, indices: Sequence[int] | NDArray[np.intp]) -> ChoiceTargets:
        """Return the targets at these positions."""
        chosen = np.asarray(indices, dtype=np.intp)
        votes = None if self.votes is None else picked(self.votes, chosen)
        probs, weights = picked(self.probs, chosen), picked(self.weights, chosen)
        return ChoiceTargets(taken(self.ids, chosen), probs, weights, votes, self.lambdas)

    def to_arrow(self) -> pa.Table:
        """Return a table with a line per row: `id`, `probs`, `weight`, and any `votes` as one flat list (M·K)."""
        columns = {
            "id": pa.array(self.ids, pa.string()),
            "probs": lists(self.probs),
            "weight": pa.array(self.weights),
        }
        if self.votes is None or self.lambdas is None:
            return pa.table(columns)
        columns["votes"] = lists(self.votes)
        return with_metadata(pa.table(columns), lambdas=self.lambdas.tolist())

    @classmethod
    def from_arrow(cls, table: pa.Table) -> ChoiceTargets:
        """Read the table of `to_arrow`."""
        about = metadata(table)
        ids: Sequence[str] = packed(Column(table["id"]))
        probs = matrix(table["probs"])
        weights = table["weight"].to_numpy()
        if "votes" not in table.column_names:
            return cls(ids, probs, weights)
        lambdas = np.array(about["lambdas"], dtype=np.float64)
        votes = matrix(table["votes"]).reshape(len(ids), len(lambdas), probs.shape[1])
        return cls(ids, probs, weights, votes, lambdas)


def _statuses(codes: NDArray[np.int8]) -> NDArray[np.object_]:
    """Return the statuses of some codes; where all are the same, as almost always, they take no memory."""
    names = np.array(_STATUSES, dtype=object)
    if codes.size and (codes == codes.flat[0]).all():
        return np.broadcast_to(names[codes.flat[0]], codes.shape)
    return names[codes]


def _codes(status: NDArray[np.object_]) -> NDArray[np.int8]:
    codes = np.zeros(status.shape, dtype=np.int8)
    if status.size and not any(status.strides):  # see `_statuses`
        codes[:] = _STATUSES.index(status.flat[0])
        return codes
    for code, name in enumerate(_STATUSES):
        codes[status == name] = code
    return codes


def _renumbered(statuses: pa.Array) -> NDArray[np.int8]:
    """Codes of statuses, which a file may number in another order."""
    coded = statuses.dictionary_encode() if not pa.types.is_dictionary(statuses.type) else statuses
    numbers = np.array([_STATUSES.index(name) for name in coded.dictionary.to_pylist()], dtype=np.int8)
    found: NDArray[np.int8] = numbers[coded.indices.to_numpy(zero_copy_only=False)]
    return found


def check_probabilities(probs: NDArray[np.float64], what: str) -> None:
    """Raise DataError unless every row of `probs`, shape (…, K), is a distribution."""
    if not probs.size:
        return
    if np.isnan(probs).any():
        raise DataError(f"NaN among the probabilities of the {what}.", fix="An abstention leaves the whole vote empty.")
    if probs.min() < 0 or probs.max() > 1 + SUM_TOLERANCE:
        found = f"{probs.min():.4g} to {probs.max():.4g}"
        raise DataError(f"Probabilities of the {what} are outside [0, 1].", found=found)
    worst = np.abs(probs.sum(axis=-1) - 1).max()
    if worst > SUM_TOLERANCE:
        raise DataError(f"Probabilities of the {what} do not sum to one.", found=f"a sum off by {worst:.4g}")
