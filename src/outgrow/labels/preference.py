"""Pairs of texts of which one is preferred to the other."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from outgrow.errors import DataError


@dataclass(frozen=True)
class PreferencePairs:
    """What a student learns in the preference stage; a row may occur several times, once per pair.

    Raises:
        DataError: Columns of different lengths, equal texts in a pair, a probability or a weight that is none.

    Example:
        >>> PreferencePairs(("a",), ("2 + 2 =",), (" 4",), (" 5",), (0.9,), (1.0,)).doubts().round(1).tolist()
        [0.1]
    """

    ids: tuple[str, ...]
    """Row id of each pair, N of them."""
    prompts: tuple[str, ...]
    """What is asked."""
    chosen: tuple[str, ...]
    """The preferred answer, with the space that parts it from the prompt."""
    rejected: tuple[str, ...]
    """The other one."""
    p_chosen: tuple[float, ...]
    """Probability that the chosen text is the better one."""
    weights: tuple[float, ...]
    """How much each pair counts."""
    chosen_ended: tuple[bool, ...] = ()
    """Whether each chosen text is whole, so that its end is part of it; by default all are. A text cut at a length has
    no end that could be liked or disliked."""
    rejected_ended: tuple[bool, ...] = ()
    """The same for the rejected texts."""

    def __post_init__(self) -> None:
        for name in _FLAGS:
            if not getattr(self, name):
                object.__setattr__(self, name, (True,) * len(self.ids))
        lengths = {len(getattr(self, name)) for name in _COLUMNS.values()}
        if len(lengths) != 1:
            raise DataError("The columns of the preference pairs have different lengths.", found=sorted(lengths))
        for index, (chosen, rejected) in enumerate(zip(self.chosen, self.rejected, strict=True)):
            if chosen == rejected:
                raise DataError(
                    "A preference pair has the same text twice.",
                    found=f"row {self.ids[index]}: {chosen[:60]!r}",
                    fix="Drop it: there is nothing to prefer.",
                )
        if not all(0 <= value <= 1 for value in self.p_chosen):
            wrong = next(value for value in self.p_chosen if not 0 <= value <= 1)
            raise DataError("A p_chosen of the preference pairs is no probability.", found=wrong, wanted="0 to 1")
        if not all(math.isfinite(value) and value >= 0 for value in self.weights):
            raise DataError("A weight of the preference pairs is negative or no number.", wanted="numbers ≥ 0")

    def __len__(self) -> int:
        return len(self.ids)

    def doubts(self) -> NDArray[np.float64]:
        """ε = 1 − p_chosen of each pair, shape (N,)."""
        return 1 - np.array(self.p_chosen, dtype=np.float64)

    def take(self, indices: Sequence[int] | NDArray[np.intp]) -> PreferencePairs:
        """The pairs at these positions, in this order."""
        columns = {name: tuple(getattr(self, name)[index] for index in indices) for name in _COLUMNS.values()}
        return PreferencePairs(**columns)

    def turned(self, which: Sequence[bool] | NDArray[np.bool_]) -> PreferencePairs:
        """The pairs, some of them the other way round, with the doubt that goes with it.

        Args:
            which: Whether to turn each pair, shape (N,).
        """
        both = [(r, c) if turn else (c, r) for turn, c, r in zip(which, self.chosen, self.rejected, strict=True)]
        flags = zip(which, self.chosen_ended, self.rejected_ended, strict=True)
        ends = [(r, c) if turn else (c, r) for turn, c, r in flags]
        return dataclasses.replace(
            self,
            chosen=tuple(chosen for chosen, _ in both),
            rejected=tuple(rejected for _, rejected in both),
            p_chosen=tuple(1 - p if turn else p for turn, p in zip(which, self.p_chosen, strict=True)),
            chosen_ended=tuple(ended for ended, _ in ends),
            rejected_ended=tuple(ended for _, ended in ends),
        )

    def judged(self, p_chosen: Sequence[float] | NDArray[np.float64]) -> PreferencePairs:
        """The pairs as somebody else sees them: turned round wherever that one prefers the rejected text.

        Args:
            p_chosen: Probability that the chosen text is the better one, shape (N,).

        Returns:
            The pairs without those that are a toss-up (½), which teach nothing; no p_chosen is below ½.

        Raises:
            DataError: Not one number for each pair.
        """
        if len(p_chosen) != len(self):
            raise DataError("Pairs and probabilities differ in number.", found=f"{len(self)} and {len(p_chosen)}")
        seen = dataclasses.replace(self, p_chosen=tuple(map(float, p_chosen)))
        kept = seen.take([index for index, p in enumerate(seen.p_chosen) if p != 0.5])
        return kept.turned([p < 0.5 for p in kept.p_chosen])

    def to_arrow(self) -> pa.Table:
        """One line per pair: `id`, `prompt`, `chosen`, `rejected`, `p_chosen`, `weight`, `…_ended`."""
        return pa.table({name: pa.array(getattr(self, own), _TYPES[name]) for name, own in _COLUMNS.items()})

    @classmethod
    def from_arrow(cls, table: pa.Table) -> PreferencePairs:
        """The inverse of `to_arrow`; `id` (numbers), `p_chosen` (1), `weight` (1) and ends (true) may be left out.

        Raises:
            DataError: A column is missing or holds something else.
        """
        missing = [name for name in ("prompt", "chosen", "rejected") if name not in table.column_names]
        if missing:
            raise DataError(
                f"Preference pairs have no {' and no '.join(missing)}.", found=", ".join(table.column_names)
            )
        count = table.num_rows
        default: dict[str, list[Any]] = {"id": [*map(str, range(count))]} | dict.fromkeys(_NUMBERS, [1.0] * count)
        default |= dict.fromkeys(_FLAGS, [True] * count)
        columns: dict[str, Any] = {}
        for name, own in _COLUMNS.items():
            values = table[name].to_pylist() if name in table.column_names else default[name]
            columns[own] = tuple(_typed(value, name, row) for row, value in enumerate(values))
        return cls(**columns)

    def records(self) -> Iterator[Mapping[str, Any]]:
        """The pairs as JSON values, for files that trl reads: `prompt`, `chosen`, `rejected` and the rest."""
        yield from self.to_arrow().to_pylist()


_COLUMNS = {
    "id": "ids",
    "prompt": "prompts",
    "chosen": "chosen",
    "rejected": "rejected",
    "p_chosen": "p_chosen",
    "weight": "weights",
    "chosen_ended": "chosen_ended",
    "rejected_ended": "rejected_ended",
}
_NUMBERS = ("p_chosen", "weight")
_FLAGS = ("chosen_ended", "rejected_ended")
_TYPES = (
    dict.fromkeys(_COLUMNS, pa.string()) | dict.fromkeys(_NUMBERS, pa.float64()) | dict.fromkeys(_FLAGS, pa.bool_())
)


def _typed(value: object, column: str, row: int) -> str | float | bool:
    if column in _FLAGS and isinstance(value, bool):
        return value
    number = column in _NUMBERS
    if column == "id" and isinstance(value, int):
        return str(value)
    if column in _FLAGS or isinstance(value, bool) or not isinstance(value, int | float if number else str):
        raise DataError(
            f"`{column}` of preference pair {row} is of the wrong kind.",
            found=repr(value)[:120],
            wanted="true or false"
            if column in _FLAGS
            else "a number"
            if number
            else "a text (conversations are to be written out as the model sees them)",
        )
    return float(value) if isinstance(value, int | float) else value
