"""Probes: a linear head on frozen features. A plain loop, because a student is then a matter of a second."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from outgrow.models.adapters import Probe
from outgrow.objectives import Objective, StepContext
from outgrow.progress import Step
from outgrow.train.window import PredictionWindow


@dataclass(frozen=True)
class TrainedProbe:
    """A head and the standardisation it was trained with."""

    weight: Tensor
    """Shape (K, D)."""
    bias: Tensor
    """Shape (K,)."""
    mean: Tensor
    """Shape (D,), subtracted from features."""
    scale: Tensor
    """Shape (D,), divides features."""

    def logits(self, features: Tensor) -> Tensor:
        """Logits (N, K) of features (N, D)."""
        return nn.functional.linear((features - self.mean) / self.scale, self.weight, self.bias)


def train_probe(
    features: Tensor,
    targets: Tensor,
    weights: Tensor,
    objective: Objective,
    settings: Probe,
    *,
    seed: int,
    step: Step | None = None,
) -> TrainedProbe:
    """Trains a head that starts at zero.

    Args:
        features: Shape (N, D).
        targets: Target distributions, shape (N, K).
        weights: Row weights, shape (N,).
        objective: What to minimise.
        settings: Epochs, learning rate and the like.
        seed: Fixes the order of the rows.
        step: Told of every finished epoch.

    Returns:
        The trained head.
    """
    mean, scale = features.mean(0), features.std(0, correction=0).clamp_min(1e-6)
    inputs = (features - mean) / scale
    head = nn.Linear(features.shape[1], targets.shape[1])
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    generator = torch.Generator().manual_seed(seed)
    window = PredictionWindow(objective.window, _proportions(targets, weights)) if objective.window else None
    optimizer = torch.optim.AdamW(head.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    steps = settings.epochs * math.ceil(len(inputs) / settings.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
    done = 0
    for _ in range(settings.epochs):
        for rows in torch.randperm(len(inputs), generator=generator).split(settings.batch_size):
            context = StepContext(progress=done / steps, offsets=window.offsets() if window else None)
            logits = head(inputs[rows])
            losses = objective(logits, targets[rows], context) * weights[rows]
            optimizer.zero_grad()
            (losses.sum() / weights[rows].sum()).backward()
            optimizer.step()
            schedule.step()
            if window is not None:
                window.add(torch.log_softmax(logits.detach(), dim=-1))
            done += 1
        if step is not None:
            step.advance()
    return TrainedProbe(head.weight.detach(), head.bias.detach(), mean, scale)


def _proportions(targets: Tensor, weights: Tensor) -> Tensor:
    return (targets * weights[:, None]).sum(0) / weights.sum()
