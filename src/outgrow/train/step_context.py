"""What objectives may know of a whole optimizer step before the loss of any of its rows is computed."""

from __future__ import annotations

from collections import deque
from typing import Any

import torch
from torch import Tensor

from outgrow.objectives import Objective, StepContext, WeightMemory, class_offsets


class StepContextTracker:
    """Computes the `StepContext` of every optimizer step, and keeps the objective's state between steps.

    The state is updated with all rows of a step at once. So neither the window of predictions nor learned λ depend on
    how a batch was cut into pieces or spread over processes.

    Args:
        objective: What is minimised.
        targets: All targets (N, K), or votes (N, M, K).
        weights: Row weights, shape (N,).
        lambdas: λ of each supervisor, shape (M,), where targets are votes.
    """

    def __init__(self, objective: Objective, targets: Tensor, weights: Tensor, lambdas: Tensor | None) -> None:
        self._window: PredictionWindow | None = None
        if objective.window:
            proportions = (targets * weights[:, None]).sum(0) / weights.sum()
            self._window = PredictionWindow(objective.window, proportions)
        self._memory: WeightMemory | None = None
        if targets.ndim == 3 and hasattr(objective, "memory"):
            self._memory = objective.memory(torch.ones(targets.shape[1]) if lambdas is None else lambdas)
        self._offsets: Tensor | None = None
        self._lambdas = lambdas

    @property
    def needed(self) -> bool:
        """Whether the objective uses such state; if not, the caller can save a forward pass."""
        return self._window is not None or self._memory is not None

    def update(self, log_probs: Tensor, targets: Tensor, weights: Tensor) -> None:
        """Update the state with the log-probabilities (n, K), targets and row weights (n,) of a whole step."""
        kept = weights > 0  # rows without weight are not learned, and may only fill up a batch
        if self._window is not None:
            self._offsets = self._window.offsets(log_probs[kept])
        if self._memory is not None:
            self._lambdas = self._memory.step(log_probs[kept], targets[kept], weights[kept])

    def context(self, progress: float, device: torch.device) -> StepContext:
        """Return the context of the current step."""
        offsets, lambdas = (None if each is None else each.to(device) for each in (self._offsets, self._lambdas))
        return StepContext(progress, offsets, lambdas)

    def state(self) -> Any:
        """Return what a resumed run needs, as JSON values."""
        return [None if each is None else each.state() for each in (self._window, self._memory)]

    def restore(self, state: Any) -> None:
        """Set the state that `state` returned."""
        for each, kept in zip((self._window, self._memory), state, strict=True):
            if each is not None:
                each.restore(kept)


class PredictionWindow:
    """Log-probabilities of the rows of this optimizer step, and of earlier steps where this one has too few.

    Hardened labels get their class proportions from it. This step's own predictions must be among them: with earlier
    ones alone, a student whose predictions all drift to one class is hardened to that class, which pushes it further.

    Args:
        size: Earlier steps are kept as long as fewer rows than this would remain.
        proportions: Class proportions that hardened predictions should have, shape (K,).
    """

    def __init__(self, size: int, proportions: Tensor) -> None:
        self._size, self._proportions = size, proportions
        self._steps: deque[Tensor] = deque()

    def offsets(self, log_probs: Tensor) -> Tensor:
        """Return the offsets (K,) for the argmax of a step with these log-probabilities (n, K)."""
        self._steps.append(log_probs.detach().float().cpu())
        while sum(map(len, self._steps)) - len(self._steps[0]) >= self._size:
            self._steps.popleft()
        return class_offsets(torch.cat(list(self._steps)), self._proportions)

    def state(self) -> list[list[list[float]]]:
        """Return the contents as JSON values, exactly."""
        return [step.tolist() for step in self._steps]

    def restore(self, state: list[list[list[float]]]) -> None:
        """Set the contents that `state` returned."""
        self._steps = deque(torch.tensor(step) for step in state)
