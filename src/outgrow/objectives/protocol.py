"""The seam between objectives and trainers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


@dataclass(frozen=True)
class StepContext:
    """What an objective may know of the optimiser step it is part of; the same for every piece of that step's batch."""

    progress: float = 1.0
    """Share of training that is behind, from 0 to 1."""
    offsets: Tensor | None = None
    """Per-class offsets (K,) that make hardened predictions match the weak labels' class proportions."""


class Objective(Protocol):
    """A frozen dataclass whose fields are its parameters."""

    @property
    def window(self) -> int:
        """How many recent predictions the trainer should keep to compute `StepContext.offsets`; 0 for none."""

    def __call__(self, logits: Tensor, targets: Tensor, context: StepContext) -> Tensor:
        """Loss of each row, shape (N,), from logits (N, K) and target distributions (N, K)."""

    def predict(self, logits: Tensor) -> Tensor:
        """Predicted distributions (N, K) of a student trained with this objective."""
