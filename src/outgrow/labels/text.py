"""Records of text tasks: texts of supervisors and training targets."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from outgrow.errors import DataError
from outgrow.labels.arrow import error_column, errors_of, metadata, read_errors, with_metadata

TextStatus = Literal["finished", "open", "repeating", "empty"]
"""Ended by its model; cut at its length or at a stop string; cut within a repetition loop; or only white space."""


@dataclass(frozen=True)
class Completion:
    """A continuation of a prompt, with the log-probability of every token."""

    text: str
    """The continuation, without special tokens."""
    logprobs: tuple[float, ...]
    """Natural log-probability of each token of the text, and of the end-of-sequence token if `finished` (some servers
    leave it out); empty for models without log-probabilities."""
    offsets: tuple[tuple[int, int], ...]
    """Half-open character span in `text` of each token; the end-of-sequence token has the empty span at the end."""
    finished: bool
    """Whether the model ended the text itself (end-of-sequence token) rather than being cut or stopped."""

    @property
    def end_scored(self) -> bool:
        """Whether the last log-probability is that of the end-of-sequence token."""
        return self.finished and self.offsets[-1:] == ((len(self.text),) * 2,)

    @property
    def score(self) -> float:
        """Mean token log-probability; NaN without log-probabilities."""
        return sum(self.logprobs) / len(self.logprobs) if self.logprobs else math.nan

    @property
    def status(self) -> TextStatus:
        """How the generation ended."""
        if not self.text.strip():
            return "empty"
        if self.finished:
            return "finished"
        return "repeating" if _repeats(self.text) else "open"


def with_leading_space(completion: Completion) -> Completion:
    """Return the completion with the space that separates it from its prompt; its first token covers the space."""
    if completion.text.startswith(" "):
        return completion
    moved = [(start + 1, end + 1) for start, end in completion.offsets]
    if moved and completion.text:
        moved[0] = (0, moved[0][1])
    return dataclasses.replace(completion, text=f" {completion.text}", offsets=tuple(moved))


@dataclass(frozen=True)
class TextLabels:
    """Texts of M supervisors for N rows: n-best lists, best first.

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
    """`texts[row][supervisor]` is an n-best list; empty after a failure. An empty text is an answer."""
    errors: Mapping[tuple[str, str], str] = dataclasses.field(default_factory=dict)
    """For empty lists: (row id, supervisor) → error message."""

    def __post_init__(self) -> None:
        widths = {len(row) for row in self.texts} or {len(self.supervisors)}
        if len(self.texts) != len(self.ids) or widths != {len(self.supervisors)}:
            found = f"{len(self.texts)} rows of {sorted(widths)} supervisors"
            wanted = f"{len(self.ids)} rows of {len(self.supervisors)} supervisors"
            raise DataError("Text labels have the wrong shape.", found=found, wanted=wanted)

    def best(self, row: int, supervisor: int) -> Completion | None:
        """Return the best text of one supervisor for one row, or None."""
        candidates = self.texts[row][supervisor]
        return candidates[0] if candidates else None

    def answers(self, supervisor: int = 0) -> tuple[str, ...]:
        """Return the best texts of one supervisor without the space before them; empty where there is none."""
        best = (self.best(row, supervisor) for row in range(len(self.ids)))
        return tuple("" if one is None else one.text.removeprefix(" ") for one in best)

    def of(self, supervisor: int) -> TextLabels:
        """Return the labels of one supervisor."""
        name = self.supervisors[supervisor]
        errors = {key: text for key, text in self.errors.items() if key[1] == name}
        return TextLabels(self.ids, (name,), tuple((row[supervisor],) for row in self.texts), errors)

    def entropies(self) -> NDArray[np.float64]:
        """Return the predictive entropy of each n-best list, shape (N, M), in nats per token; NaN without a text.

        Over the distinct texts of a list, each weighted by its share w of their probability: −Σ w·log p / length. For
        one text that is its mean negative log-probability.

        Source:
            Malinin & Gales 2021 (arXiv 2002.07650), length-normalised predictive entropy of hypotheses.
        """
        return np.array([[_entropy(cell) for cell in row] for row in self.texts]).reshape(len(self.ids), -1)

    @classmethod
    def stack(cls, labels: Sequence[TextLabels]) -> TextLabels:
        """Join the labels of several supervisors on the same rows."""
        if any(other.ids != labels[0].ids for other in labels):
            raise DataError("Text labels to be joined are about different rows.")
        texts = tuple(
            tuple(cell for row in rows for cell in row) for rows in zip(*(each.texts for each in labels), strict=True)
        )
        errors = {key: text for each in labels for key, text in each.errors.items()}
        return cls(labels[0].ids, tuple(name for each in labels for name in each.supervisors), texts, errors)

    def take(self, indices: Sequence[int] | NDArray[np.intp]) -> TextLabels:
        """Return the labels of the rows at these positions."""
        ids = tuple(self.ids[index] for index in indices)
        texts = tuple(self.texts[index] for index in indices)
        return TextLabels(ids, self.supervisors, texts, errors_of(self.errors, ids))

    def to_arrow(self) -> pa.Table:
        """Return a table with a line per row; `texts` is a list per supervisor of a list of completions."""
        texts = [[[dataclasses.asdict(one) for one in cell] for cell in row] for row in self.texts]
        columns = {
            "id": pa.array(self.ids, pa.string()),
            "texts": pa.array(texts, pa.list_(pa.list_(_COMPLETION))),
            "error": error_column(self.errors, self.ids, self.supervisors),
        }
        return with_metadata(pa.table(columns), supervisors=self.supervisors)

    @classmethod
    def from_arrow(cls, table: pa.Table) -> TextLabels:
        """Read the table of `to_arrow`."""
        supervisors = tuple(metadata(table)["supervisors"])
        ids = tuple(table["id"].to_pylist())
        texts = tuple(
            tuple(tuple(_completion(one) for one in cell) for cell in row) for row in table["texts"].to_pylist()
        )
        return cls(ids, supervisors, texts, read_errors(table, ids, supervisors))


@dataclass(frozen=True)
class Opinion:
    """Token log-probabilities of a text under one weak model, with that model's weight λ."""

    weight: float
    completion: Completion


@dataclass(frozen=True)
class TextTargets:
    """Training targets of a text task; a row may occur several times, once per text."""

    ids: tuple[str, ...]
    """Row id of each target."""
    prompts: tuple[str, ...]
    texts: tuple[str, ...]
    """The answers to learn."""
    weights: tuple[float, ...]
    """Weight of each target."""
    sources: tuple[str, ...]
    """Origin of each target: a supervisor's name, `gold`, or the refiner's name."""
    opinions: tuple[tuple[Opinion, ...], ...] = ()
    """Weak models' log-probabilities of each text, one tuple per target; empty for objectives without them."""

    def __post_init__(self) -> None:
        pairs = zip(self.texts, self.opinions, strict=False)
        others = any(opinion.completion.text != text for text, opinions in pairs for opinion in opinions)
        if len(self.opinions) not in (0, len(self.ids)) or others:
            found = f"opinions on {len(self.opinions)} texts" + (", some of them on another text" if others else "")
            wanted = f"opinions on each of {len(self.ids)} texts, or none at all"
            raise DataError("The opinions do not belong to the texts.", found=found, wanted=wanted)

    def __len__(self) -> int:
        return len(self.ids)

    def to_arrow(self) -> pa.Table:
        """Return a table with a line per target."""
        columns = {name: pa.array(getattr(self, name)) for name in _TARGET_COLUMNS}
        if self.opinions:
            opinions = [[dataclasses.asdict(one) for one in several] for several in self.opinions]
            columns["opinions"] = pa.array(opinions, pa.list_(_OPINION))
        return pa.table(columns)

    @classmethod
    def from_arrow(cls, table: pa.Table) -> TextTargets:
        """Read the table of `to_arrow`."""
        opinions = table["opinions"].to_pylist() if "opinions" in table.column_names else []
        return cls(
            **{name: tuple(table[name].to_pylist()) for name in _TARGET_COLUMNS},
            opinions=tuple(
                tuple(Opinion(one["weight"], _completion(one["completion"])) for one in each) for each in opinions
            ),
        )


_COMPLETION = pa.struct(
    [
        ("text", pa.string()),
        ("logprobs", pa.list_(pa.float64())),
        ("offsets", pa.list_(pa.list_(pa.int64()))),
        ("finished", pa.bool_()),
    ]
)
_OPINION = pa.struct([("weight", pa.float64()), ("completion", _COMPLETION)])
_TARGET_COLUMNS = ("ids", "prompts", "texts", "weights", "sources")
_REPEATS, _LOOP = 4, 12
"""A text is in a loop if its end repeats a piece at least so many times, over so many characters or more."""


def _completion(fields: Mapping[str, Any]) -> Completion:
    offsets = tuple((start, end) for start, end in fields["offsets"])
    return Completion(fields["text"], tuple(fields["logprobs"]), offsets, fields["finished"])


def _repeats(text: str) -> bool:
    for width in range(1, len(text) // _REPEATS + 1):
        times = max(_REPEATS, -(-_LOOP // width))
        if text.endswith(text[-width:] * times):
            return True
    return False


def _entropy(completions: Sequence[Completion]) -> float:
    scored = [one for one in completions if one.logprobs]
    if not scored:
        return math.nan
    totals = np.array([sum(one.logprobs) for one in scored])
    share = np.exp(totals - totals.max())
    return float(-(share / share.sum()) @ np.array([one.score for one in scored]))
