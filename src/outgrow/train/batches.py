"""Which rows stand in which piece of which optimizer step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Sampler

_GROUPED = 50
"""Steps whose rows are sorted by length together (`train_sampling_strategy: group_by_length`), as in transformers."""


@dataclass(frozen=True)
class PaddedRows:
    """Rows of a training; every index behind the last is padding, None."""

    rows: Sequence[Mapping[str, Any]]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Mapping[str, Any] | None:
        return self.rows[index] if index < len(self.rows) else None


class ShuffledRows(Sampler[int]):
    """A new order every epoch, each step's rows sorted by length.

    For several processes, every step is padded so that each gets whole batches; accelerate would pad with rows from
    the beginning, which then count twice.
    """

    def __init__(
        self, rows: int, lengths: list[int] | None, *, groups: bool, step: int, padded: int | None, seed: int
    ) -> None:
        self._lengths, self._groups = lengths, groups and lengths is not None
        self._rows, self._step, self._padded, self._seed, self._epoch = rows, step, padded, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self._rows if self._padded is None else -(-self._rows // self._step) * self._padded

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + self._epoch)
        steps = torch.randperm(self._rows, generator=generator).split(self._step)
        for rows in map(torch.Tensor.tolist, self._grouped(steps, generator) if self._groups else steps):
            if self._lengths is not None:
                rows.sort(key=self._lengths.__getitem__, reverse=True)
            yield from rows
            yield from [self._rows] * ((self._padded or len(rows)) - len(rows))

    def _grouped(self, steps: Sequence[Tensor], generator: torch.Generator) -> Iterator[Tensor]:
        """The same rows in steps of similar lengths: sorted within each `_GROUPED` steps, which then are shuffled."""
        lengths = torch.tensor(self._lengths)
        for start in range(0, len(steps), _GROUPED):
            rows = torch.cat(list(steps[start : start + _GROUPED]))
            ordered = rows[lengths[rows].argsort(descending=True, stable=True)].split(self._step)
            last = len(ordered) - 1  # it may be smaller, and an epoch ends with that
            order = [*torch.randperm(last, generator=generator).tolist(), last]
            yield from (ordered[index] for index in order)


def padding_without_weight(collate: Any, any_row: Mapping[str, Any]) -> Callable[[Sequence[Any]], dict[str, Tensor]]:
    """Return a collate function that takes padding (None) as any row, with weight zero."""

    def collate_all(rows: Sequence[Mapping[str, Any] | None]) -> dict[str, Tensor]:
        batch: dict[str, Tensor] = collate([any_row if row is None else row for row in rows])
        batch["weights"][[index for index, row in enumerate(rows) if row is None]] = 0.0
        return batch

    return collate_all
