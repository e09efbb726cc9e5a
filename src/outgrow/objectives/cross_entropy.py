"""Cross entropy on soft targets: the naive way to learn from weak labels, and the baseline of everything else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from outgrow._lazy import torch
from outgrow.errors import DataError
from outgrow.objectives.protocol import NO_CONTEXT, Objective, StepContext

if TYPE_CHECKING:
    from torch import Tensor

Reduction = Literal["none", "mean"]


def cross_entropy(
    logits: Tensor, targets: Tensor, *, weights: Tensor | None = None, reduction: Reduction = "mean"
) -> Tensor:
    """−Σ_k t_k log softmax(z)_k, in nats, from logits z (N, K) and class indices (N,) or probabilities t (N, K).

    No gradient flows into the targets. Half-precision logits are computed on in fp32. Row weights are (N,). Reduction
    `none` gives (N,), each row times its weight; `mean` the weighted mean.

    Source:
        Burns et al. 2023 (arXiv 2312.09390), naive finetuning; Cui et al. 2025 (arXiv 2406.03199), naive multi-weak
        (a λ-weighted mean of targets gives the λ-weighted sum of losses).

    Example:
        >>> cross_entropy(torch.zeros(1, 2), torch.tensor([[0.3, 0.7]])).item()
        0.6931471824645996
    """
    check_logits_and_targets(logits, targets)
    log_probs = torch.log_softmax(logits.float() if logits.itemsize < 4 else logits, dim=-1)
    if targets.ndim == 1:
        losses = -log_probs.gather(-1, targets[:, None].long()).squeeze(-1)
    else:
        targets = targets.detach().to(log_probs.dtype)
        # A class of zero target probability costs nothing even where the student's log-probability is −inf.
        losses = -torch.where(targets > 0, targets * log_probs, 0.0).sum(-1)
    return reduce(losses, weights, reduction)


def reduce(losses: Tensor, weights: Tensor | None, reduction: Reduction, counted: Tensor | None = None) -> Tensor:
    """Return losses (N,) times weights, or their weighted mean; rows that are not `counted` (N,) have loss 0."""
    if counted is not None:
        losses = torch.where(counted, losses, torch.zeros_like(losses))
        weights = counted.to(losses.dtype) if weights is None else weights * counted
    if weights is not None:
        losses = losses * weights
    if reduction == "none":
        return losses
    if reduction != "mean":
        raise DataError("Unknown reduction.", found=reduction, wanted="'none' or 'mean'")
    if weights is None:
        return losses.mean()
    mass = weights.sum()
    return losses.sum() / (mass if counted is None else mass.clamp_min(torch.finfo(mass.dtype).tiny))


def check_logits_and_targets(logits: Tensor, targets: Tensor) -> None:
    """Raise `DataError` unless logits are (N, K) and targets whole numbers (N,) or floats (N, K)."""
    indices = targets.ndim == 1 and not targets.is_floating_point()
    probabilities = targets.ndim == 2 and targets.is_floating_point() and targets.shape == logits.shape
    if logits.ndim != 2 or len(targets) != len(logits) or not (indices or probabilities):
        raise DataError(
            "Logits and targets do not fit together.",
            found=f"logits {tuple(logits.shape)}, targets {tuple(targets.shape)} of {targets.dtype}",
            wanted="logits (N, K) with integer targets (N,) or float targets (N, K)",
        )


@dataclass(frozen=True)
class CrossEntropy(Objective):
    """Learn the targets as they are (`objective: cross_entropy`)."""

    def __call__(self, logits: Tensor, targets: Tensor, context: StepContext = NO_CONTEXT) -> Tensor:
        """Return the loss of each row, shape (N,)."""
        return cross_entropy(logits, targets, reduction="none")
