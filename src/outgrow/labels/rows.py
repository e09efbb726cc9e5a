"""The rows of a task, and a model's answers to them with their scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from outgrow.errors import DataError
from outgrow.labels.arrow import metadata, with_metadata

Part = Literal["gold", "validation", "unlabelled", "test"]
"""Gold rows train supervisors; gold of validation rows estimates their accuracies; unlabelled rows train the student;
test rows are only scored."""
PARTS: tuple[Part, ...] = get_args(Part)


@dataclass(frozen=True)
class Rows:
    """The rows of a task, all parts together.

    Example:
        >>> rows = Rows(("a", "b"), prompts=("good", "bad"), parts=("gold", "test"), gold=(1, 0), choices=("−", "+"))
        >>> rows.part("test").prompts
        ('bad',)
    """

    ids: tuple[str, ...]
    """Unique name of each row."""
    prompts: tuple[str, ...]
    parts: tuple[Part, ...]
    gold: tuple[int | str | None, ...]
    """The right answer: an index into `choices`, or a text; None where unknown."""
    choices: tuple[str, ...] | None = None
    """Names of the K answers of a choice task; None for a text task."""
    options: tuple[tuple[str, ...], ...] | None = None
    """Where every row has choices of its own: their K texts, by row. `choices` are then letters: A, B, …"""

    def __post_init__(self) -> None:
        lengths = {len(self.ids), len(self.prompts), len(self.parts), len(self.gold)}
        lengths |= set() if self.options is None else {len(self.options)}
        if len(lengths) != 1:
            raise DataError("The columns of the rows have different lengths.", found=sorted(lengths))
        repeated = [name for name, count in Counter(self.ids).items() if count > 1]
        if repeated:
            raise DataError(
                f"{len(repeated)} row id(s) occur more than once.",
                found=", ".join(repeated[:3]),
                wanted="one id per row",
                fix="Drop task.columns.id to number the rows, or make the ids unique.",
            )

        wrong = [own for own in self.options or () if len({*own}) != len(self.choices or ())]
        if wrong:
            raise DataError(
                "A row does not have K different choices of its own.",
                found=list(wrong[0]),
                wanted=f"K = {len(self.choices or ())}",
            )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def texts(self) -> tuple[str, ...]:
        """What a model of choices reads: the N prompts; or N·K, each prompt with each of its row's own choices."""
        if self.options is None:
            return self.prompts
        pairs = zip(self.prompts, self.options, strict=True)
        return tuple(f"{prompt}\n{option}" for prompt, own in pairs for option in own)

    def choices_of(self, index: int) -> tuple[str, ...]:
        """Return the texts of a row's choices."""
        return (self.choices or ()) if self.options is None else self.options[index]

    def part(self, part: Part) -> Rows:
        """Return the rows of one part, in order."""
        return self.take([index for index, own in enumerate(self.parts) if own == part])

    def take(self, indices: Sequence[int] | NDArray[np.intp]) -> Rows:
        """Return the rows at these positions, in this order."""

        def taken(column: tuple[Any, ...]) -> tuple[Any, ...]:
            return tuple(column[index] for index in indices)

        options = None if self.options is None else taken(self.options)
        return Rows(taken(self.ids), taken(self.prompts), taken(self.parts), taken(self.gold), self.choices, options)

    def with_test(self, other: Rows) -> Rows:
        """Return the rows with those of `other` as the test part, of which all have the same kind of choices."""
        kept = self.take([index for index, own in enumerate(self.parts) if own != "test"])
        columns = ("ids", "prompts", "parts", "gold") + (() if self.options is None else ("options",))
        return replace(kept, **{name: getattr(kept, name) + getattr(other, name) for name in columns})

    def gold_indices(self) -> NDArray[np.int64]:
        """Return the gold answers of a choice task as indices, shape (N,); a DataError if a row has none."""
        missing = sum(answer is None for answer in self.gold)
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
        columns = [pa.array(column, pa.string()) for column in (self.ids, self.prompts, self.parts)]
        columns.append(pa.array(self.gold, gold_type))
        table = pa.table(columns, names=["id", "prompt", "part", "gold"])
        if self.options is not None:
            table = table.append_column("choices", pa.array(self.options, pa.list_(pa.string())))
        return with_metadata(table, choices=self.choices)

    @classmethod
    def from_arrow(cls, table: pa.Table) -> Rows:
        """Read the table of `to_arrow`."""
        ids, prompts, parts, gold = (tuple(table[name].to_pylist()) for name in ("id", "prompt", "part", "gold"))
        choices = metadata(table)["choices"]
        options = tuple(map(tuple, table["choices"].to_pylist())) if "choices" in table.column_names else None
        return cls(ids, prompts, parts, gold, None if choices is None else tuple(choices), options)


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


def positions(among: Sequence[str], ids: Sequence[str]) -> list[int]:
    """Return the position of each of `ids` in `among`."""
    place = {row: index for index, row in enumerate(among)}
    return [place[row] for row in ids]
