"""What a model answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


class Weighted(NamedTuple):
    """Scores whose mean is weighted, such as the F1 of a corpus: its rows count by how much there was to find."""

    scores: NDArray[np.float64]
    """Score of each row, shape (N,)."""
    weights: NDArray[np.float64]
    """How much each row counts, shape (N,), not negative."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a model answered on the test part, and how right it was."""

    ids: tuple[str, ...]
    """Row ids, N of them."""
    answers: tuple[str, ...]
    """The answer given: the name of the choice, or the text."""
    scores: Mapping[str, NDArray[np.float64]]
    """Metric name → score of each row, shape (N,); higher is better."""
    probs: NDArray[np.float64] | None = None
    """Choice tasks: predicted distributions of shape (N, K)."""
    vacuity: NDArray[np.float64] | None = None
    """Students trained with evidence: how little of it there is for any answer, shape (N,), from 1 for none to 0."""
    weights: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    """Metric name → how much each row counts, shape (N,), for metrics that are weighted means."""

    def to_arrow(self) -> pa.Table:
        """One line per row; each metric is a column `score.<name>`."""
        columns = {"id": pa.array(self.ids, pa.string()), "answer": pa.array(self.answers, pa.string())}
        columns |= {f"score.{name}": pa.array(values, pa.float64()) for name, values in self.scores.items()}
        columns |= {f"weight.{name}": pa.array(values, pa.float64()) for name, values in self.weights.items()}
        if self.probs is not None:
            columns["probs"] = pa.array(self.probs.tolist(), pa.list_(pa.float64()))
        if self.vacuity is not None:
            columns["vacuity"] = pa.array(self.vacuity, pa.float64())
        return pa.table(columns)

    @classmethod
    def from_arrow(cls, table: pa.Table) -> Predictions:
        """The inverse of `to_arrow`."""
        scores, weights = (
            {name.removeprefix(kind): table[name].to_numpy() for name in table.column_names if name.startswith(kind)}
            for kind in ("score.", "weight.")
        )
        probs = np.array(table["probs"].to_pylist(), dtype=np.float64) if "probs" in table.column_names else None
        # In a table of several models the column is there for all of them, and empty where it says nothing.
        known = "vacuity" in table.column_names and not table["vacuity"].null_count
        vacuity = table["vacuity"].to_numpy() if known else None
        return cls(tuple(table["id"].to_pylist()), tuple(table["answer"].to_pylist()), scores, probs, vacuity, weights)
