"""The predictions from which hardened labels get their class proportions."""

from __future__ import annotations

from collections import deque

import torch
from torch import Tensor

from outgrow.objectives import Objective, class_offsets


class PredictionWindow:
    """Log-probabilities of all rows of this optimiser step, and of earlier steps where this one has too few.

    Whole steps only: so what a step sees does not depend on how its batch was cut into pieces or spread over processes.
    This step's own predictions must be among them. With earlier ones alone a student whose predictions all drift one
    way is hardened to the class it drifts to, which pushes it further: fine-tuned students then end up constant.

    Args:
        size: Earlier steps are kept as long as fewer rows than this would remain.
        proportions: Class proportions that hardened predictions should have, shape (K,).
    """

    def __init__(self, size: int, proportions: Tensor) -> None:
        self._size, self._proportions = size, proportions
        self._steps: deque[Tensor] = deque()

    def offsets(self, log_probs: Tensor) -> Tensor:
        """Offsets (K,) for the argmax of a step whose rows have these log-probabilities (n, K)."""
        self._steps.append(log_probs.detach().float().cpu())
        while sum(map(len, self._steps)) - len(self._steps[0]) >= self._size:
            self._steps.popleft()
        return class_offsets(torch.cat(list(self._steps)), self._proportions)

    def state(self) -> list[list[list[float]]]:
        """The contents as JSON values; floats survive exactly."""
        return [step.tolist() for step in self._steps]

    def restore(self, state: list[list[list[float]]]) -> None:
        """Takes the contents back."""
        self._steps = deque(torch.tensor(step) for step in state)


def window_for(objective: Objective, targets: Tensor, weights: Tensor) -> PredictionWindow | None:
    """The window that an objective wants, for the class proportions of targets (N, K) with row weights (N,)."""
    if not objective.window:
        return None
    return PredictionWindow(objective.window, (targets * weights[:, None]).sum(0) / weights.sum())
