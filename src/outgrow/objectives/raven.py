"""RAVEN: supervisor weights learned together with the student, easy rows first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from outgrow.errors import ConfigError
from outgrow.objectives.bayesian import as_votes, pooled_votes
from outgrow.objectives.cross_entropy import cross_entropy
from outgrow.objectives.protocol import NO_CONTEXT, Objective, StepContext


class LearnedWeights:
    """λ = softmax(θ), moved down the gradient of the step's loss by plain steps (`WeightMemory`).

    With ℓ_m the student's mean cross entropy against supervisor m, the loss Σ_m λ_m ℓ_m has the gradient
    λ_m (ℓ_m − Σ_j λ_j ℓ_j) in θ_m: supervisors that the student fits well gain weight.

    Args:
        start: λ to start from, shape (M,); supervisors with λ = 0 stay at 0.
        rate: Step size.
    """

    def __init__(self, start: Tensor, rate: float) -> None:
        self._logits, self._rate = start.double().log(), rate

    def step(self, log_probs: Tensor, votes: Tensor, weights: Tensor) -> Tensor:
        """Return λ (M,) after a step on rows with log-probabilities (n, K), votes (n, M, K) and weights (n,)."""
        given = ~votes.isnan().any(2)
        shares = weights[:, None] * given
        losses = -(torch.nan_to_num(votes) * log_probs[:, None, :]).sum(2)
        voted = shares.sum(0)
        mean = ((losses * shares).sum(0) / voted.clamp_min(1e-12)).double().cpu()
        lambdas = torch.softmax(self._logits, 0)
        voting = (voted > 0).cpu() & (lambdas > 0)
        average = (lambdas * mean)[voting].sum() / lambdas[voting].sum() if voting.any() else torch.zeros(())
        # The weight of a supervisor without a vote in this step does not change.
        self._logits = self._logits - self._rate * torch.where(voting, lambdas * (mean - average), 0.0)
        return torch.softmax(self._logits, 0).float()

    def state(self) -> list[float]:
        """Return θ as JSON values; floats survive exactly."""
        return [float(each) for each in self._logits]

    def restore(self, state: list[float]) -> None:
        """Set θ."""
        self._logits = torch.tensor(state, dtype=torch.float64)


@dataclass(frozen=True)
class Raven(Objective):
    """Learn a mixture of the supervisors' votes together with the mixture's weights (`objective: raven`).

    The student's cross entropy against Σ_m λ_m y⁽ᵐ⁾ is minimised in the student and in λ. The first part of training
    uses only rows on which all supervisors agree.

    Source:
        Jeon, Sobotka, Choi & Brbić 2025 (arXiv 2510.21332); reconstruction: how λ is stepped and for how long easy rows
        come first are ours.
    """

    rate: float = 0.3
    """Step size of the logits of λ."""
    easy: float = 0.2
    """Share of training on only those rows on which all supervisors agree."""

    takes_votes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.rate < 0 or not 0 <= self.easy < 1:
            raise ConfigError("A parameter of raven is out of range.", found=self, wanted="rate ≥ 0, 0 ≤ easy < 1")

    def memory(self, lambdas: Tensor) -> LearnedWeights:
        """Return the state that learns λ, starting from these (M,)."""
        return LearnedWeights(lambdas, self.rate)

    def __call__(self, logits: Tensor, targets: Tensor, context: StepContext = NO_CONTEXT) -> Tensor:
        """Return the loss of each row, shape (N,), from votes (N, M, K) or one combined target per row (N, K)."""
        votes, weights = as_votes(targets, None, context)
        pooled, counted = pooled_votes(logits, votes, weights)
        if context.progress < self.easy:
            favourites = torch.where(votes.isnan(), -1.0, votes).argmax(2)
            given = ~votes.isnan().any(2)
            first = torch.where(given, favourites, favourites.max() + 1).min(1, keepdim=True).values
            counted = counted & ((favourites == first) | ~given).all(1).to(counted.device)
        mixture = pooled / pooled.sum(1, keepdim=True).clamp_min(torch.finfo(pooled.dtype).tiny)
        losses = cross_entropy(logits, mixture, reduction="none")
        return torch.where(counted, losses, torch.zeros_like(losses))
