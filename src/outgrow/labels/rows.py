"""The rows of a task, and a model's answers to them with their scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import add
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from outgrow.errors import DataError
from outgrow.labels.arrow import lists, matrix, metadata, with_metadata
from outgrow.labels.columns import Column, among, packed, repeated, taken

Part = Literal["gold", "validation", "unlabelled", "test"]
"""Gold rows train supervisors; gold of validation rows estimates their accuracies; unlabelled rows train the student;
test rows are only scored."""
PARTS: tuple[Part, ...] = get_args(Part)
_COLUMNS = ("ids", "prompts", "parts", "gold", "options")
_PART = pa.dictionary(pa.int8(), pa.string())


@dataclass(frozen=True)
class Rows:
    """The rows of a task, all parts together.

    Example:
        >>> rows = Rows(("a", "b"), prompts=("good", "bad"), parts=("gold", "test"), gold=(1, 0), choices=("−", "+"))
        >>> rows.part("test").prompts
        ('bad',)
    """

    ids: Sequence[str]
    """Unique name of each row."""
    prompts: Sequence[str]
    parts: Sequence[Part]
    gold: Sequence[int | str | None]
    """The right answer: an index into `choices`, or a text; None where unknown."""
    choices: tuple[str, ...] | None = None
    """Names of the K answers of a choice task; None for a text task."""
    options: Sequence[tuple[str, ...]] | None = None
    """Where every row has choices of its own: their K texts, by row. `choices` are then letters: A, B, …"""

    def __post_init__(self) -> None:
        for name, column in self._columns().items():
            object.__setattr__(self, name, packed(column, _PART if name == "parts" else None))
        lengths = {*map(len, self._columns().values())}
        if len(lengths) != 1:
            raise DataError("The columns of the rows have different lengths.", found=sorted(lengths))
        double = repeated(self.ids)
        if double:
            raise DataError(
                f"{len(double)} row id(s) occur more than once.",
                found=", ".join(double[:3]),
                wanted="one id per row",
                fix="Drop task.columns.id to number the rows, or make the ids unique.",
            )

        wrong = next((own for own in self.options or () if len({*own}) != len(self.choices or ())), None)
        if wrong is not None:
            raise DataError(
                "A row does not have K different choices of its own.",
                found=list(wrong),
                wanted=f"K = {len(self.choices or ())}",
            )

    def __len__(self) -> int:
        return len(self.ids)

    def _columns(self) -> dict[str, Sequence[Any]]:
        return {name: getattr(self, name) for name in _COLUMNS if getattr(self, name) is not None}

    @property
    def texts(self) -> Sequence[str]:
        """What a model of choices reads: the N prompts; or N·K, each prompt with each of its row's own choices."""
        if self.options is None:
            return self.prompts
        pairs = zip(self.prompts, self.options, strict=True)
        return packed(f"{prompt}\n{option}" for prompt, own in pairs for option in own)

    def choices_of(self, index: int) -> tuple[str, ...]:
        """Return the texts of a row's choices."""
        return (self.choices or ()) if self.options is None else self.options[index]

    def where(self, *parts: Part) -> NDArray[np.intp]:
        """Return the positions of the rows of these parts, in order."""
        return np.flatnonzero(among(self.parts, parts))

    def part(self, part: Part) -> Rows:
        """Return the rows of one part, in order."""
        return self.take(self.where(part))

    def take(self, indices: Sequence[int] | NDArray[np.intp]) -> Rows:
        """Return the rows at these positions, in this order; neighbours in a large table are not copied."""
        chosen = np.asarray(indices, dtype=np.intp)
        columns = {name: taken(column, chosen) for name, column in self._columns().items()}
        if len(chosen) > 1 and (np.diff(chosen) <= 0).any():
            return Rows(**columns, choices=self.choices)
        # In the same order they need no new check, which takes longer than the copy.
        rows = object.__new__(Rows)
        rows.__dict__.update({"options": None, **columns, "choices": self.choices})
        return rows

    def with_test(self, other: Rows) -> Rows:
        """Return the rows with those of `other` as the test part, of which all have the same kind of choices."""
        kept, further = self.take(self.where("gold", "validation", "unlabelled"))._columns(), other._columns()
        return Rows(**{name: add(own, further[name]) for name, own in kept.items()}, choices=self.choices)

    def gold_indices(self) -> NDArray[np.int64]:
        """Return the gold answers of a choice task as indices, shape (N,); a DataError if a row has none."""
        missing = self.gold.count(None)
        if missing:
            raise DataError(f"{missing} of {len(self)} rows have no gold answer.", wanted="gold for every row here")
        return np.asarray(self.gold, dtype=np.int64)

    def gold_shares(self) -> NDArray[np.float64]:
        """Return the share of rows with each of the K choices as gold answer, shape (K,)."""
        if not len(self):
            raise DataError("There are no rows, so shares of gold answers are undefined.")
        return np.bincount(self.gold_indices(), minlength=len(self.choices or ())) / len(self)

    def to_arrow(self) -> pa.Table:
        """Return a table with a line per row; the choices are in the schema's metadata."""
        gold_type = pa.string() if self.choices is None else pa.int64()
        types = (*[pa.string()] * 3, gold_type, pa.list_(pa.string()))
        arrays = [pa.array(own, kind) for own, kind in zip(self._columns().values(), types, strict=False)]
        table = pa.table(arrays, names=["id", "prompt", "part", "gold", "choices"][: len(arrays)])
        return with_metadata(table, choices=self.choices)

    @classmethod
    def from_arrow(cls, table: pa.Table) -> Rows:
        """Read the table of `to_arrow`."""
        names = zip(_COLUMNS, ("id", "prompt", "part", "gold", "choices"), strict=True)
        columns: dict[str, Any] = {
            name: Column(table[own], tuples=own == "choices") for name, own in names if own in table.column_names
        }
        choices = metadata(table)["choices"]
        return cls(**columns, choices=None if choices is None else tuple(choices))


class Weighted(NamedTuple):
    """Scores of rows whose mean is weighted, such as those of a corpus F1; both of shape (N,), weights not negative."""

    scores: NDArray[np.float64]
    weights: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Predictions:
    """Answers of one model to N rows, with their scores."""

    ids: Sequence[str]
    answers: Sequence[str]
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
            columns["probs"] = lists(self.probs)
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
        probs = matrix(table["probs"]) if "probs" in table.column_names else None
        # In a table of several models the column exists for all of them, and may be empty.
        known = "vacuity" in table.column_names and not table["vacuity"].null_count
        vacuity = table["vacuity"].to_numpy() if known else None
        return cls(packed(Column(table["id"])), packed(Column(table["answer"])), scores, probs, vacuity, weights)
