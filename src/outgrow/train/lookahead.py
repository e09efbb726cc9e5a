"""What an objective may know of a whole optimiser step before the loss of any of its rows is computed."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from outgrow.objectives import Objective, StepContext, WeightMemory
from outgrow.train.window import PredictionWindow, window_for


class Lookahead:
    """Looks at all rows of a step at once, and remembers from step to step what the objective wants remembered.

    So neither the window of predictions nor learned λ depend on how a batch was cut into pieces or spread over
    processes.

    Args:
        objective: What is minimised.
        targets: All targets (N, K), or votes (N, M, K).
        weights: Row weights, shape (N,).
        lambdas: λ of each supervisor, shape (M,), where targets are votes.
    """

    def __init__(self, objective: Objective, targets: Tensor, weights: Tensor, lambdas: Tensor | None) -> None:
        self._window: PredictionWindow | None = window_for(objective, targets, weights)
        self._memory: WeightMemory | None = None
        if targets.ndim == 3 and hasattr(objective, "memory"):
            self._memory = objective.memory(torch.ones(targets.shape[1]) if lambdas is None else lambdas)
        self._offsets: Tensor | None = None
        self._lambdas = lambdas

    @property
    def needed(self) -> bool:
        """Whether the objective wants anything of the kind; if not, a forward pass is saved."""
        return self._window is not None or self._memory is not None

    def look(self, log_probs: Tensor, targets: Tensor, weights: Tensor) -> None:
        """Takes in the student's log-probabilities (n, K) of a whole step, with its targets and row weights (n,)."""
        # Rows without weight teach nothing, and may only fill up a batch.
        kept = weights > 0
        if self._window is not None:
            self._offsets = self._window.offsets(log_probs[kept])
        if self._memory is not None:
            self._lambdas = self._memory.step(log_probs[kept], targets[kept], weights[kept])

    def context(self, progress: float, device: torch.device) -> StepContext:
        """What the objective is told of this step."""
        offsets, lambdas = (None if each is None else each.to(device) for each in (self._offsets, self._lambdas))
        return StepContext(progress, offsets, lambdas)

    def state(self) -> Any:
        """What a resumed run needs, as JSON values."""
        return [None if each is None else each.state() for each in (self._window, self._memory)]

    def restore(self, state: Any) -> None:
        """Takes it back."""
        for each, kept in zip((self._window, self._memory), state, strict=True):
            if each is not None:
                each.restore(kept)
