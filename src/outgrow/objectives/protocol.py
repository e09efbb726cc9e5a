"""The seam between objectives and trainers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from torch import Tensor


@dataclass(frozen=True)
class StepContext:
    """What an objective may know of the optimiser step it is part of; the same for every piece of that step's batch."""

    progress: float = 1.0
    """Share of training that is behind, from 0 to 1."""
    offsets: Tensor | None = None
    """Per-class offsets (K,) that make hardened predictions match the weak labels' class proportions."""
    lambdas: Tensor | None = None
    """λ of each supervisor (M,), where targets are votes."""


class Objective(Protocol):
    """A frozen dataclass whose fields are its parameters."""

    @property
    def window(self) -> int:
        """How many recent predictions the trainer should keep to compute `StepContext.offsets`; 0 for none."""

    @property
    def takes_votes(self) -> bool:
        """Whether it learns from every supervisor's vote, targets (N, M, K), rather than from a combination (N, K)."""

    def __call__(self, logits: Tensor, targets: Tensor, context: StepContext) -> Tensor:
        """Loss of each row, shape (N,), from logits (N, K) and targets (N, K) or votes (N, M, K)."""

    def predict(self, logits: Tensor) -> Tensor:
        """Predicted distributions (N, K) of a student trained with this objective."""


@runtime_checkable
class EvidentialObjective(Protocol):
    """An objective whose students say how much evidence they have."""

    def vacuity(self, logits: Tensor) -> Tensor:
        """How little evidence there is for any answer, shape (N,): from 1 for none towards 0."""


class WeightMemory(Protocol):
    """λ while they are learned; kept by the trainer, since objectives are frozen."""

    def step(self, log_probs: Tensor, votes: Tensor, weights: Tensor) -> Tensor:
        """λ (M,) for a step whose rows have these log-probabilities (n, K), votes (n, M, K) and weights (n,)."""

    def state(self) -> Any:
        """What a resumed run needs, as JSON values."""

    def restore(self, state: Any) -> None:
        """Takes it back."""


@runtime_checkable
class WeighingObjective(Protocol):
    """An objective that learns the supervisors' weights together with the student."""

    def memory(self, lambdas: Tensor) -> WeightMemory:
        """λ as they are learned, starting from these (M,)."""
