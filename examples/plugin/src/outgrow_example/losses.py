"""The focal loss."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from outgrow.objectives import StepContext


@dataclass(frozen=True)
class Focal:
    """Cross entropy that counts rows less the surer the student is of their label (`objective: focal`).

    Source:
        Lin et al. 2017 (arXiv 1708.02002), with soft targets.
    """

    gamma: float = 2.0
    """Exponent; 0 is cross entropy."""

    def __call__(self, logits: Tensor, targets: Tensor, context: StepContext | None = None) -> Tensor:
        """Return the loss of each row, shape (N,), from logits and targets (N, K)."""
        log_p = logits.log_softmax(-1)
        return -((1 - log_p.exp()) ** self.gamma * targets * log_p).sum(-1)
