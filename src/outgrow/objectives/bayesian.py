"""Bayesian weak-to-strong learning: evidential losses on several supervisors' votes and on the student's own answer."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from outgrow.errors import ConfigError, DataError
from outgrow.objectives.cross_entropy import Reduction
from outgrow.objectives.evidential import (
    DirichletStudent,
    Preset,
    check_parameters,
    evidential_plan,
)
from outgrow.objectives.protocol import NO_CONTEXT, StepContext
from outgrow.objectives.special import wide
from outgrow.objectives.sweep import NARROW, Evidence, sweep


def bayesian(
    logits: Tensor,
    votes: Tensor,
    *,
    weights: Tensor | None = None,
    gamma: float = 0.25,
    evidence: Evidence = "exp",
    preset: Preset = "default",
    progress: float = 1.0,
    regularization: float | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """(1 − γ) Σ_i λ_i Σ_k y_k⁽ⁱ⁾ L(z, e_k) + γ L(z, e_argmax z), with L the evidential loss of a single label e_k.

    The mean over labels is taken of the whole loss, regulariser included, so both presets are linear in the votes; they
    differ in ρ, in the scale of R and in the cap on its evidence (see `evidential`).

    Args:
        logits: z, shape (N, K).
        votes: y, probabilities of shape (N, M, K); a row of NaN is an abstention.
        weights: λ ≥ 0 of the supervisors, shape (M,) or per row (N, M), normalised over the supervisors that voted on
            the row; uniform if None.
        gamma: γ in [0, 1], the trust in the student's own answer.
        evidence: As in `evidential`, like the next three.
        preset: `default` or `paper`.
        progress: Share of training that is done.
        regularization: ρ, None for the preset's.
        reduction: `none` gives (N,), with 0 and no gradient for a row without a vote; `mean` the mean over the others.

    Raises:
        DataError: Shapes do not fit, or a parameter is out of range.

    Source:
        Cui et al. 2025 (arXiv 2406.03199), eqs. 4–5.

    Example:
        >>> logits = torch.tensor([[2.0, 0.0], [2.0, 0.0]])
        >>> nan = float("nan")
        >>> votes = torch.tensor([[[1.0, 0.0], [nan, nan]], [[nan, nan], [nan, nan]]])
        >>> [round(each, 3) for each in bayesian(logits, votes, regularization=0, reduction="none").tolist()]
        [0.214, 0.0]
    """
    if not 0 <= gamma <= 1:
        raise DataError("The trust γ in the student's own answer is outside [0, 1].", found=gamma)
    targets, voted = pooled_votes(logits, votes, weights)
    share = 1 / targets.sum(1, keepdim=True).clamp_min(torch.finfo(targets.dtype).tiny)
    targets = targets * share * (1 - gamma)
    targets.scatter_add_(1, logits.detach().argmax(1, keepdim=True), targets.new_full((len(targets), 1), gamma))
    plan = evidential_plan(logits.shape[1], evidence, preset, progress, regularization)
    losses = sweep(logits, targets, dataclasses.replace(plan, removal="expected"))
    return mean_where(losses, voted, reduction)


def pooled_votes(logits: Tensor, votes: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return Σ_i λ_i y⁽ⁱ⁾ over the votes given, shape (N, K), and which rows have a vote, (N,); λ None: 1 each."""
    if votes.ndim != 3 or logits.ndim != 2 or (votes.shape[0], votes.shape[2]) != tuple(logits.shape):
        raise DataError(
            "Logits and votes do not fit together.",
            found=f"logits {tuple(logits.shape)}, votes {tuple(votes.shape)}",
            wanted="logits (N, K) and votes (N, M, K)",
        )
    n, m, _ = votes.shape
    if weights is None:
        weights = torch.ones(m)
    if tuple(weights.shape) not in {(m,), (n, m)} or not bool((weights >= 0).all()):
        raise DataError(
            "The supervisors' weights do not fit the votes.",
            found=f"shape {tuple(weights.shape)} for {m} supervisors",
            wanted=f"({m},) or ({n}, {m}), none negative",
        )
    exact = wide(logits.device) if logits.shape[1] <= NARROW else torch.promote_types(logits.dtype, torch.float32)
    votes = votes.detach().to(device=logits.device, dtype=exact)
    given = ~votes.isnan().any(2)
    trust = weights.detach().to(device=logits.device, dtype=exact).expand(n, m) * given
    pooled = torch.einsum("nm,nmk->nk", trust, torch.where(given[..., None], votes, 0.0))
    return pooled, trust.sum(1) > 0


def mean_where(losses: Tensor, counted: Tensor, reduction: Reduction) -> Tensor:
    """Return losses with 0 where a row does not count, or their mean over the rows that do (0 if none does)."""
    losses = torch.where(counted, losses, torch.zeros_like(losses))
    if reduction == "none":
        return losses
    if reduction == "mean":
        return losses.sum() / counted.sum().clamp_min(1)
    raise DataError("Unknown reduction.", found=reduction, wanted="'none' or 'mean'")


@dataclass(frozen=True)
class Bayesian(DirichletStudent):
    """Learn a Dirichlet distribution from all supervisors' votes (`objective: bayesian`)."""

    gamma: float = 0.25
    """Trust in the student's own answer, in [0, 1]."""
    weights: tuple[float, ...] | None = None
    """λ of the supervisors in their order; None for equal weights."""
    evidence: Evidence = "exp"
    """How logits become evidence: `exp`, `softplus` or `relu`."""
    preset: Preset = "default"
    """`default`, or `paper` for the regulariser of Cui et al. 2025 as published."""
    regularization: float | None = None
    """ρ after the warm-up; None takes the preset's, 0 leaves the regulariser out."""
    warmup: float = 0.25
    """Share of training over which γ and ρ rise from 0."""

    takes_votes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_parameters("bayesian", self.evidence, self.preset, self.regularization)
        if self.weights is not None:
            object.__setattr__(self, "weights", tuple(self.weights))
        if not 0 <= self.gamma <= 1 or not 0 <= self.warmup <= 1 or min(self.weights or (0.0,)) < 0:
            raise ConfigError(
                "The bayesian objective has a parameter out of range.",
                found=self,
                wanted="0 ≤ gamma ≤ 1, 0 ≤ warmup ≤ 1, weights ≥ 0",
            )

    def __call__(self, logits: Tensor, targets: Tensor, context: StepContext = NO_CONTEXT) -> Tensor:
        """Return the loss of each row, shape (N,), from votes (N, M, K) or one combined target per row (N, K)."""
        votes, weights = as_votes(targets, self.weights, context)
        progress = context.ramp(self.warmup)
        return bayesian(
            logits,
            votes,
            weights=weights,
            gamma=self.gamma * progress,
            evidence=self.evidence,
            preset=self.preset,
            progress=progress,
            regularization=self.regularization,
            reduction="none",
        )


def as_votes(targets: Tensor, weights: tuple[float, ...] | None, context: StepContext) -> tuple[Tensor, Tensor | None]:
    """Return votes (N, M, K) and λ; a combined target (N, K) is one vote, with λ already in it."""
    if targets.ndim == 2:
        return targets[:, None, :], None
    return targets, context.lambdas if weights is None else torch.tensor(weights)
