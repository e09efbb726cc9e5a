"""Preference pairs: a chosen and a rejected answer to the same prompt."""

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
    """Training data of the preference stage; a row may occur in several pairs.

    Example:
        >>> PreferencePairs(("a",), ("2 + 2 =",), (" 4",), (" 5",), (0.9,), (1.0,)).doubts().round(1).tolist()
        [0.1]
    """

    ids: tuple[str, ...]
    """Row id of each pair, N of them."""
    prompts: tuple[str, ...]
    chosen: tuple[str, ...]
    """The preferred answers, each with the space between it and the prompt."""
    rejected: tuple[str, ...]
    p_chosen: tuple[float, ...]
    """Probability that the chosen text is the better one."""
    weights: tuple[float, ...]
    """Weight of each pair."""
    chosen_ended: tuple[bool, ...] = ()
    """Whether each chosen text includes its end-of-sequence token; false for texts cut at a length. Default: all."""
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
        for value in self.p_chosen:
            if not 0 <= value <= 1:
                raise DataError("A p_chosen of the preference pairs is no probability.", found=value, wanted="0 to 1")
        if not all(math.isfinite(value) and value >= 0 for value in self.weights):
            raise DataError("A weight of the preference pairs is negative or no number.", wanted="numbers ≥ 0")

    def __len__(self) -> int:
        return len(self.ids)

    def doubts(self) -> NDArray[np.float64]:
        """ε = 1 − p_chosen of each pair, shape (N,)."""
        return 1 - np.array(self.p_chosen, dtype=np.float64)

    def take(self, indices: Sequence[int] | NDArray[np.intp]) -> PreferencePairs:
        """Return the pairs at these positions, in this order."""
        columns = {name: tuple(getattr(self, name)[index] for index in indices) for name in _COLUMNS.values()}
        return PreferencePairs(**columns)

    def turned(self, which: Sequence[bool] | NDArray[np.bool_]) -> PreferencePairs:
        """Return the pairs with chosen and rejected swapped where `which`, shape (N,), is true; p becomes 1 − p."""

        def swapped(one: tuple[Any, ...], other: tuple[Any, ...]) -> tuple[Any, ...]:
            return tuple(b if swap else a for swap, a, b in zip(which, one, other, strict=True))

        return dataclasses.replace(
            self,
            chosen=swapped(self.chosen, self.rejected),
            rejected=swapped(self.rejected, self.chosen),
            p_chosen=swapped(self.p_chosen, tuple(1 - p for p in self.p_chosen)),
            chosen_ended=swapped(self.chosen_ended, self.rejected_ended),
            rejected_ended=swapped(self.rejected_ended, self.chosen_ended),
        )

    def judged(self, p_chosen: Sequence[float] | NDArray[np.float64]) -> PreferencePairs:
        """Return the pairs with other probabilities, shape (N,), swapped where these are below ½, dropped at ½."""
        if len(p_chosen) != len(self):
            raise DataError("Pairs and probabilities differ in number.", found=f"{len(self)} and {len(p_chosen)}")
        seen = dataclasses.replace(self, p_chosen=tuple(map(float, p_chosen)))
        kept = seen.take([index for index, p in enumerate(seen.p_chosen) if p != 0.5])
        return kept.turned([p < 0.5 for p in kept.p_chosen])

    def to_arrow(self) -> pa.Table:
        """Return a table with the columns `id`, `prompt`, `chosen`, `rejected`, `p_chosen`, `weight`, `…_ended`."""
        return pa.table({name: pa.array(getattr(self, own), _TYPES[name]) for name, own in _COLUMNS.items()})

    @classmethod
    def from_arrow(cls, table: pa.Table) -> PreferencePairs:
        """Read the table of `to_arrow`; only `prompt`, `chosen` and `rejected` are required."""
        missing = [name for name in ("prompt", "chosen", "rejected") if name not in table.column_names]
        if missing:
            found = ", ".join(table.column_names)
            raise DataError(f"Preference pairs have no {' and no '.join(missing)}.", found=found)
        count = table.num_rows
        default: dict[str, list[Any]] = {"id": [*map(str, range(count))]} | dict.fromkeys(_NUMBERS, [1.0] * count)
        default |= dict.fromkeys(_FLAGS, [True] * count)
        columns: dict[str, Any] = {}
        for name, own in _COLUMNS.items():
            values = table[name].to_pylist() if name in table.column_names else default[name]
            columns[own] = tuple(_typed(value, name, row) for row, value in enumerate(values))
        return cls(**columns)

    def records(self) -> Iterator[Mapping[str, Any]]:
        """Yield the pairs as JSON objects, in the format of trl with further keys."""
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
        text = "a text (conversations are to be written out as the model sees them)"
        wanted = "true or false" if column in _FLAGS else "a number" if number else text
        what = f"`{column}` of preference pair {row} is of the wrong kind."
        raise DataError(what, found=repr(value)[:120], wanted=wanted)
    return float(value) if isinstance(value, int | float) else value
