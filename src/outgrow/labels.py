"""The records that every room passes on: rows, what supervisors said, what a student learns, what it answered.

All are frozen, check themselves when made, and go to and from Arrow unchanged.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from outgrow.errors import DataError

Part = Literal["gold", "unlabelled", "test"]
"""Where a row belongs: the gold half trains supervisors, the unlabelled half the student, nobody trains on test."""
PARTS: tuple[Part, ...] = get_args(Part)

Status = Literal["ok", "abstained", "failed", "missing"]
"""How a vote came to be: given, deliberately withheld, tried and failed, or never asked for."""

SUM_TOLERANCE = 1e-3
"""How far the probabilities of one vote may be from summing to one: rounding in a file, not a mistake."""


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
    """What is asked."""
    parts: tuple[Part, ...]
    """The part each row belongs to: known, never guessed."""
    gold: tuple[int | str | None, ...]
    """The right answer: an index into `choices`, or a text; None where unknown."""
    choices: tuple[str, ...] | None = None
    """Names of the K answers of a choice task; None for a text task."""

    def __post_init__(self) -> None:
        lengths = {len(self.ids), len(self.prompts), len(self.parts), len(self.gold)}
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

    def __len__(self) -> int:
        return len(self.ids)

    def part(self, part: Part) -> Rows:
        """The rows of one part, in order."""
        return self.take([index for index, own in enumerate(self.parts) if own == part])

    def take(self, indices: Sequence[int] | NDArray[np.intp]) -> Rows:
        """The rows at these positions, in this order."""
        return Rows(
            ids=tuple(self.ids[index] for index in indices),
            prompts=tuple(self.prompts[index] for index in indices),
            parts=tuple(self.parts[index] for index in indices),
            gold=tuple(self.gold[index] for index in indices),
            choices=self.choices,
        )

    def gold_indices(self) -> NDArray[np.int64]:
        """Gold answers of a choice task as indices, shape (N,).

        Raises:
            DataError: A row has no gold answer.
        """
        missing = sum(answer is None for answer in self.gold)
        if missing:
            raise DataError(f"{missing} of {len(self)} rows have no gold answer.", wanted="gold for every row here")
        return np.asarray(self.gold, dtype=np.int64)

    def to_arrow(self) -> pa.Table:
        """One line per row; the choices travel in the schema's metadata."""
        gold_type = pa.string() if self.choices is None else pa.int64()
        columns = [pa.array(column, pa.string()) for column in (self.ids, self.prompts, self.parts)]
        columns.append(pa.array(self.gold, gold_type))
        table = pa.table(columns, names=["id", "prompt", "part", "gold"])
        return _with_metadata(table, choices=self.choices)

    @classmethod
    def from_arrow(cls, table: pa.Table) -> Rows:
        """The inverse of `to_arrow`."""
        ids, prompts, parts, gold = (tuple(table[name].to_pylist()) for name in ("id", "prompt", "part", "gold"))
        return cls(ids, prompts, parts, gold, choices=_tuple(_metadata(table)["choices"]))


@dataclass(frozen=True, eq=False)
class ChoiceVotes:
    """What M supervisors said about N rows with K choices.

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
    """Probabilities of shape (N, M, K); a vote that was not given is K NaNs."""
    status: NDArray[np.object_] = None  # type: ignore[assignment]  # filled in below
    """A `Status` per vote, shape (N, M); by default `ok`, or `abstained` where the vote is NaN."""
    errors: Mapping[tuple[str, str], str] = dataclasses.field(default_factory=dict)
    """For failed votes: (row id, supervisor) → what went wrong."""

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
        """Joins the votes of several supervisors on the same rows.

        Raises:
            DataError: The rows differ.
        """
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
        """The votes on the rows at these positions."""
        ids = tuple(self.ids[index] for index in indices)
        kept = set(ids)
        errors = {key: text for key, text in self.errors.items() if key[0] in kept}
        return ChoiceVotes(ids, self.supervisors, self.probs[indices], self.status[indices], errors)

    def to_arrow(self) -> pa.Table:
        """One line per row: `probs` flat (M·K), `status` (M), `error` (M)."""
        _, m, k = self.probs.shape
        probs = pa.FixedSizeListArray.from_arrays(pa.array(self.probs.reshape(-1), pa.float64()), m * k)
        errors = [[self.errors.get((row, name)) for name in self.supervisors] for row in self.ids]
        table = pa.table(
            {
                "id": pa.array(self.ids, pa.string()),
                "probs": probs,
                "status": pa.array(self.status.tolist(), pa.list_(pa.string())),
                "error": pa.array(errors, pa.list_(pa.string())),
            }
        )
        return _with_metadata(table, supervisors=self.supervisors, choices=k)

    @classmethod
    def from_arrow(cls, table: pa.Table) -> ChoiceVotes:
        """The inverse of `to_arrow`."""
        about = _metadata(table)
        ids, supervisors = tuple(table["id"].to_pylist()), tuple(about["supervisors"])
        flat = table["probs"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        probs = flat.astype(np.float64).reshape(len(ids), len(supervisors), about["choices"])
        status = np.array(table["status"].to_pylist(), dtype=object).reshape(len(ids), len(supervisors))
        errors = {
            (row, name): text
            for row, texts in zip(ids, table["error"].to_pylist(), strict=True)
            for name, text in zip(supervisors, texts, strict=True)
            if text is not None
        }
        return cls(ids, supervisors, probs, status, errors)


@dataclass(frozen=True)
class Completion:
    """A continuation of a prompt, with what its model thought of every token."""

    text: str
    """The continuation, without special tokens."""
    logprobs: tuple[float, ...]
    """Natural log-probability of each token of the text, and of the end-of-sequence token if `finished`."""
    offsets: tuple[tuple[int, int], ...]
    """Half-open character span in `text` of each token; the end-of-sequence token has the empty span at the end."""
    finished: bool
    """Whether the model ended the text itself (end-of-sequence token) rather than being cut or stopped."""


@dataclass(frozen=True)
class TextLabels:
    """What M supervisors wrote for N rows: the n best texts of each, best first.

    Example:
        >>> best = Completion("Paris", (-0.1,), ((0, 5),), finished=False)
        >>> TextLabels(("q",), ("small",), (((best,),),)).best(0, 0).text
        'Paris'
    """

    ids: tuple[str, ...]
    """Row ids, N of them."""
    supervisors: tuple[str, ...]
    """Supervisor names, M of them."""
    texts: tuple[tuple[tuple[Completion, ...], ...], ...]
    """`texts[row][supervisor]` is the n-best list; empty where nothing could be had. An empty text is an answer."""
    errors: Mapping[tuple[str, str], str] = dataclasses.field(default_factory=dict)
    """For empty lists: (row id, supervisor) → what went wrong."""

    def __post_init__(self) -> None:
        widths = {len(row) for row in self.texts} or {len(self.supervisors)}
        if len(self.texts) != len(self.ids) or widths != {len(self.supervisors)}:
            raise DataError(
                "Text labels have the wrong shape.",
                found=f"{len(self.texts)} rows of {sorted(widths)} supervisors",
                wanted=f"{len(self.ids)} rows of {len(self.supervisors)} supervisors",
            )

    def best(self, row: int, supervisor: int) -> Completion | None:
        """The best text of one supervisor for one row, or None if there is none."""
        candidates = self.texts[row][supervisor]
        return candidates[0] if candidates else None

    @classmethod
    def stack(cls, labels: Sequence[TextLabels]) -> TextLabels:
        """Joins the labels of several supervisors on the same rows."""
        if any(other.ids != labels[0].ids for other in labels):
            raise DataError("Text labels to be joined are about different rows.")
        texts = tuple(
            tuple(cell for row in rows for cell in row) for rows in zip(*(each.texts for each in labels), strict=True)
        )
        errors = {key: text for each in labels for key, text in each.errors.items()}
        return cls(labels[0].ids, tuple(name for each in labels for name in each.supervisors), texts, errors)

    def take(self, indices: Sequence[int] | NDArray[np.intp]) -> TextLabels:
        """The labels of the rows at these positions."""
        ids = tuple(self.ids[index] for index in indices)
        kept = set(ids)
        errors = {key: text for key, text in self.errors.items() if key[0] in kept}
        return TextLabels(ids, self.supervisors, tuple(self.texts[index] for index in indices), errors)

    def to_arrow(self) -> pa.Table:
        """One line per row; `texts` is a list per supervisor of a list of completions."""
        texts = [[[dataclasses.asdict(one) for one in cell] for cell in row] for row in self.texts]
        errors = [[self.errors.get((row, name)) for name in self.supervisors] for row in self.ids]
        columns = {
            "id": pa.array(self.ids, pa.string()),
            "texts": pa.array(texts, pa.list_(pa.list_(_COMPLETION))),
            "error": pa.array(errors, pa.list_(pa.string())),
        }
        return _with_metadata(pa.table(columns), supervisors=self.supervisors)

    @classmethod
    def from_arrow(cls, table: pa.Table) -> TextLabels:
        """The inverse of `to_arrow`."""
        supervisors = tuple(_metadata(table)["supervisors"])
        ids = tuple(table["id"].to_pylist())
        texts = tuple(
            tuple(tuple(_completion(one) for one in cell) for cell in row) for row in table["texts"].to_pylist()
        )
        errors = {
            (row, name): text
            for row, cells in zip(ids, table["error"].to_pylist(), strict=True)
            for name, text in zip(supervisors, cells, strict=True)
            if text is not None
        }
        return cls(ids, supervisors, texts, errors)


@dataclass(frozen=True, eq=False)
class ChoiceTargets:
    """What a student of a choice task learns: a distribution and a weight per row."""

    ids: tuple[str, ...]
    """Row ids, N of them."""
    probs: NDArray[np.float64]
    """Target distributions of shape (N, K)."""
    weights: NDArray[np.float64]
    """How much each row counts, shape (N,), not negative."""

    def __post_init__(self) -> None:
        if self.probs.shape[:1] != (len(self.ids),) or self.weights.shape != (len(self.ids),):
            raise DataError("Targets have the wrong shape.", found=(self.probs.shape, self.weights.shape))
        check_probabilities(self.probs, "targets")

    def to_arrow(self) -> pa.Table:
        """One line per row: id, probs, weight."""
        probs = pa.array(self.probs.tolist(), pa.list_(pa.float64()))
        return pa.table({"id": pa.array(self.ids, pa.string()), "probs": probs, "weight": pa.array(self.weights)})

    @classmethod
    def from_arrow(cls, table: pa.Table) -> ChoiceTargets:
        """The inverse of `to_arrow`."""
        probs = np.array(table["probs"].to_pylist(), dtype=np.float64)
        return cls(tuple(table["id"].to_pylist()), probs, table["weight"].to_numpy())


@dataclass(frozen=True)
class TextTargets:
    """What a student of a text task learns; a row may occur several times, once per text."""

    ids: tuple[str, ...]
    """Row id of each target."""
    prompts: tuple[str, ...]
    """What is asked."""
    texts: tuple[str, ...]
    """What should be answered."""
    weights: tuple[float, ...]
    """How much each target counts."""
    sources: tuple[str, ...]
    """Where each target came from: a supervisor's name, `gold`, or the refiner's name."""

    def __len__(self) -> int:
        return len(self.ids)

    def to_arrow(self) -> pa.Table:
        """One line per target."""
        return pa.table(
            [pa.array(getattr(self, field.name)) for field in dataclasses.fields(self)],
            names=[field.name for field in dataclasses.fields(self)],
        )

    @classmethod
    def from_arrow(cls, table: pa.Table) -> TextTargets:
        """The inverse of `to_arrow`."""
        return cls(**{field.name: tuple(table[field.name].to_pylist()) for field in dataclasses.fields(cls)})


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

    def to_arrow(self) -> pa.Table:
        """One line per row; each metric is a column `score.<name>`."""
        columns = {"id": pa.array(self.ids, pa.string()), "answer": pa.array(self.answers, pa.string())}
        columns |= {f"score.{name}": pa.array(values, pa.float64()) for name, values in self.scores.items()}
        if self.probs is not None:
            columns["probs"] = pa.array(self.probs.tolist(), pa.list_(pa.float64()))
        return pa.table(columns)

    @classmethod
    def from_arrow(cls, table: pa.Table) -> Predictions:
        """The inverse of `to_arrow`."""
        scores = {
            name.removeprefix("score."): table[name].to_numpy()
            for name in table.column_names
            if name.startswith("score.")
        }
        probs = np.array(table["probs"].to_pylist(), dtype=np.float64) if "probs" in table.column_names else None
        return cls(tuple(table["id"].to_pylist()), tuple(table["answer"].to_pylist()), scores, probs)


def check_probabilities(probs: NDArray[np.float64], what: str) -> None:
    """Checks that every row of `probs`, shape (…, K), is a distribution.

    Raises:
        DataError: NaN, a value outside [0, 1], or a sum that is not one.
    """
    if not probs.size:
        return
    if np.isnan(probs).any():
        raise DataError(f"NaN among the probabilities of the {what}.", fix="An abstention leaves the whole vote empty.")
    if probs.min() < 0 or probs.max() > 1 + SUM_TOLERANCE:
        raise DataError(
            f"Probabilities of the {what} are outside [0, 1].", found=f"{probs.min():.4g} to {probs.max():.4g}"
        )
    worst = np.abs(probs.sum(axis=-1) - 1).max()
    if worst > SUM_TOLERANCE:
        raise DataError(f"Probabilities of the {what} do not sum to one.", found=f"a sum off by {worst:.4g}")


_COMPLETION = pa.struct(
    [
        ("text", pa.string()),
        ("logprobs", pa.list_(pa.float64())),
        ("offsets", pa.list_(pa.list_(pa.int64()))),
        ("finished", pa.bool_()),
    ]
)


def _completion(fields: Mapping[str, Any]) -> Completion:
    offsets = tuple((start, end) for start, end in fields["offsets"])
    return Completion(fields["text"], tuple(fields["logprobs"]), offsets, fields["finished"])


def _with_metadata(table: pa.Table, **about: object) -> pa.Table:
    return table.replace_schema_metadata({"outgrow": json.dumps(about)})


def _metadata(table: pa.Table) -> dict[str, Any]:
    about: dict[str, Any] = json.loads((table.schema.metadata or {}).get(b"outgrow", b"{}"))
    return about


def _tuple(values: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if values is None else tuple(values)
