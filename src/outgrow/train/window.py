"""The rolling window of predictions from which hardened labels get their class proportions."""

from __future__ import annotations

from collections import deque

import torch
from torch import Tensor

from outgrow.objectives import Objective, class_offsets


class PredictionWindow:
    """Log-probabilities of the rows of recent optimiser steps.

    Only finished steps count. So what a step sees does not depend on how its batch was cut into pieces or spread over
    processes.

    Args:
        size: Predictions to keep; whole steps are dropped, oldest first, as long as `size` remain.
        proportions: Class proportions that hardened predictions should have, shape (K,).
    """

    def __init__(self, size: int, proportions: Tensor) -> None:
        self._size, self._proportions = size, proportions
        self._steps: deque[Tensor] = deque()

    def offsets(self) -> Tensor | None:
        """Offsets (K,) for the argmax, or None before the first finished step."""
        return class_offsets(torch.cat(list(self._steps)), self._proportions) if self._steps else None

    def add(self, log_probs: Tensor) -> None:
        """Adds the predictions (n, K) of one finished step, from all its pieces and processes."""
        self._steps.append(log_probs.detach().float().cpu())
        while sum(map(len, self._steps)) - len(self._steps[0]) >= self._size:
            self._steps.popleft()

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
