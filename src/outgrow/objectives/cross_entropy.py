"""Cross entropy on soft targets: the naive way to learn from weak labels, and the baseline of everything else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from outgrow.errors import DataError
from outgrow.objectives.protocol import NO_CONTEXT, Objective, StepContext

Reduction = Literal["none", "mean"]


def cross_entropy(
    logits: Tensor, targets: Tensor, *, weights: Tensor | None = None, reduction: Reduction = "mean"
) -> Tensor:
    """−Σ_k t_k log softmax(z)_k, in nats.

    No gradient flows into the targets. Half-precision logits are computed on in fp32.

    Args:
        logits: Shape (N, K).
        targets: Class indices (N,) of an integer type, or probabilities (N, K).
        weights: Row weights, shape (N,).
        reduction: `none` gives (N,), each row times its weight; `mean` the weighted mean.

    Raises:
        DataError: Shapes or types do not fit together.

    Source:
        Burns et al. 2023 (arXiv 2312.09390), naive finetuning; Cui et al. 2025 (arXiv 2406.03199), naive multi-weak
        (a λ-weighted mean of targets gives the λ-weighted sum of losses).

    Example:
        >>> cross_entropy(torch.zeros(1, 2), torch.tensor([[0.3, 0.7]])).item()
        0.6931471824645996
    """
    check_logits_and_targets(logits, targets)
    log_probs = torch.log_softmax(logits.float() if logits.dtype in _HALF else logits, dim=-1)
    if targets.ndim == 1:
        losses = -log_probs.gather(-1, targets[:, None].long()).squeeze(-1)
    else:
        targets = targets.detach().to(log_probs.dtype)
        # A class of zero target probability costs nothing even where the student's log-probability is −inf.
        losses = -torch.where(targets > 0, targets * log_probs, 0.0).sum(-1)
    return reduce(losses, weights, reduction)


def reduce(losses: Tensor, weights: Tensor | None, reduction: Reduction) -> Tensor:
    """Weighs and reduces per-row losses (N,): `mean` divides by the sum of weights."""
    if weights is not None:
        losses = losses * weights
    if reduction == "none":
        return losses
    if reduction == "mean":
        return losses.mean() if weights is None else losses.sum() / weights.sum()
    raise DataError("Unknown reduction.", found=reduction, wanted="'none' or 'mean'")


def check_logits_and_targets(logits: Tensor, targets: Tensor) -> None:
    """Checks that logits are (N, K) and targets are indices (N,) or probabilities (N, K).

    Raises:
        DataError: They are not; float targets of shape (N,) are refused rather than read as indices.
    """
    indices = targets.ndim == 1 and not targets.is_floating_point()
    probabilities = targets.ndim == 2 and targets.is_floating_point() and targets.shape == logits.shape
    if logits.ndim != 2 or len(targets) != len(logits) or not (indices or probabilities):
        raise DataError(
            "Logits and targets do not fit together.",
            found=f"logits {tuple(logits.shape)}, targets {tuple(targets.shape)} of {targets.dtype}",
            wanted="logits (N, K) with integer targets (N,) or float targets (N, K)",
        )


_HALF = (torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class CrossEntropy(Objective):
    """Learn the targets as they are (`objective: cross_entropy`)."""

    def __call__(self, logits: Tensor, targets: Tensor, context: StepContext = NO_CONTEXT) -> Tensor:
        """Return the loss of each row, shape (N,)."""
        return cross_entropy(logits, targets, reduction="none")
