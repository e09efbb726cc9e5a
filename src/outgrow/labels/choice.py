"""Records of choice tasks: votes and training targets."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from outgrow.errors import DataError
from outgrow.labels.arrow import error_column, errors_of, metadata, read_errors, with_metadata

Status = Literal["ok", "abstained", "failed", "missing"]
"""A vote was given, withheld, failed with an error, or was never requested."""

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

    ids: tuple[str, ...]
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
        given = ~np.isnan(self.probs).all(axis=2)
        if self.status is None:
            object.__setattr__(self, "status", np.where(given, "ok", "abstained").astype(object))
        check_probabilities(self.probs[given], f"votes of {', '.join(self.supervisors)}")

    @classmethod
    def stack(cls, votes: Sequence[ChoiceVotes]) -> ChoiceVotes:
        """Join the votes of several supervisors on the same rows."""
        if any(other.ids != votes[0].ids for other in votes):
            raise DataError("Votes to be joined are about different rows.")
        return cls(
            votes[0].ids,
            tuple(name for each in votes for name in each.supervisors),
            np.concatenate([each.probs for each in votes], axis=1),
            np.concatenate([each.status for each in votes], axis=1),
            {key: text for each in votes for key, text in each.errors.items()},
        )

    def take(self, indices: Sequence[int] | NDArray[np.intp]) -> ChoiceVotes:
        """Return the votes on the rows at these positions."""
        ids = tuple(self.ids[index] for index in indices)
        errors = errors_of(self.errors, ids)
        return ChoiceVotes(ids, self.supervisors, self.probs[indices], self.status[indices], errors)

    def to_arrow(self) -> pa.Table:
        """Return a table with a line per row: `probs` flat (M·K), `status` (M), `error` (M)."""
        _, m, k = self.probs.shape
        probs = pa.FixedSizeListArray.from_arrays(pa.array(self.probs.reshape(-1), pa.float64()), m * k)
        table = pa.table(
            {
                "id": pa.array(self.ids, pa.string()),
                "probs": probs,
                "status": pa.array(self.status.tolist(), pa.list_(pa.string())),
                "error": error_column(self.errors, self.ids, self.supervisors),
            }
        )
        return with_metadata(table, supervisors=self.supervisors, choices=k)

    @classmethod
    def from_arrow(cls, table: pa.Table) -> ChoiceVotes:
        """Read the table of `to_arrow`."""
        about = metadata(table)
        ids, supervisors = tuple(table["id"].to_pylist()), tuple(about["supervisors"])
        flat = table["probs"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        probs = flat.astype(np.float64).reshape(len(ids), len(supervisors), about["choices"])
        status = np.array(table["status"].to_pylist(), dtype=object).reshape(len(ids), len(supervisors))
        return cls(ids, supervisors, probs, status, read_errors(table, ids, supervisors))


@dataclass(frozen=True, eq=False)
class ChoiceTargets:
    """Training targets of a choice task: a distribution and a weight per row, and for some objectives the votes."""

    ids: tuple[str, ...]
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
        check_probabilities(self.probs, "targets")

    def take(self, indices: Sequence[int] | NDArray[np.intp]) -> ChoiceTargets:
        """Return the targets at these positions."""
        ids = tuple(self.ids[index] for index in indices)
        votes = None if self.votes is None else self.votes[indices]
        return ChoiceTargets(ids, self.probs[indices], self.weights[indices], votes, self.lambdas)

    def to_arrow(self) -> pa.Table:
        """Return a table with a line per row: `id`, `probs`, `weight`, and any `votes` as one flat list (M·K)."""
        columns = {
            "id": pa.array(self.ids, pa.string()),
            "probs": pa.array(self.probs.tolist(), pa.list_(pa.float64())),
            "weight": pa.array(self.weights),
        }
        if self.votes is None or self.lambdas is None:
            return pa.table(columns)
        columns["votes"] = pa.array(self.votes.reshape(len(self.ids), -1).tolist(), pa.list_(pa.float64()))
        return with_metadata(pa.table(columns), lambdas=self.lambdas.tolist())

    @classmethod
    def from_arrow(cls, table: pa.Table) -> ChoiceTargets:
        """Read the table of `to_arrow`."""
        about, ids = metadata(table), tuple(table["id"].to_pylist())
        probs = np.array(table["probs"].to_pylist(), dtype=np.float64)
        weights = table["weight"].to_numpy()
        if "votes" not in table.column_names:
            return cls(ids, probs, weights)
        lambdas = np.array(about["lambdas"], dtype=np.float64)
        votes = np.array(table["votes"].to_pylist(), dtype=np.float64).reshape(len(ids), len(lambdas), probs.shape[1])
        return cls(ids, probs, weights, votes, lambdas)


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
