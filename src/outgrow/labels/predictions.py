"""Answers of a model on the test part, with their scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


class Weighted(NamedTuple):
    """Scores of rows whose mean is weighted, such as those of a corpus F1; both of shape (N,), weights not negative."""

    scores: NDArray[np.float64]
    weights: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Predictions:
    """Answers of one model to N rows, with their scores."""

    ids: tuple[str, ...]
    answers: tuple[str, ...]
    """Names of choices, or texts."""
    scores: Mapping[str, NDArray[np.float64]]
    """Metric name → score of each row, shape (N,); higher is better."""
    probs: NDArray[np.float64] | None = None
    """Choice tasks: predicted distributions of shape (N, K)."""
    vacuity: NDArray[np.float64] | None = None
    """Evidential students: 1 without evidence for any answer, towards 0 with much of it, shape (N,)."""
    weights: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    """Metric name → weight of each row, shape (N,), for metrics that are weighted means."""

    def to_arrow(self) -> pa.Table:
        """Return a table with a line per row; each metric is a column `score.<name>`."""
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
        """Read the table of `to_arrow`."""
        scores, weights = (
            {name.removeprefix(kind): table[name].to_numpy() for name in table.column_names if name.startswith(kind)}
            for kind in ("score.", "weight.")
        )
        probs = np.array(table["probs"].to_pylist(), dtype=np.float64) if "probs" in table.column_names else None
        # In a table of several models the column exists for all of them, and may be empty.
        known = "vacuity" in table.column_names and not table["vacuity"].null_count
        vacuity = table["vacuity"].to_numpy() if known else None
        return cls(tuple(table["id"].to_pylist()), tuple(table["answer"].to_pylist()), scores, probs, vacuity, weights)
