"""Baselines that distrust weak labels: generalized cross entropy, product, bootstrapping, confidence window.

All take logits (N, K), class indices (N,) or probabilities (N, K) as targets, row weights (N,), and a `reduction`:
`none` gives (N,), `mean` the weighted mean. No gradient flows into targets. They are plain autograd, meant for choices
rather than vocabularies, and raise `DataError` where shapes do not fit or a parameter is out of range.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from outgrow._lazy import torch
from outgrow.errors import DataError
from outgrow.objectives.cross_entropy import Reduction, check_logits_and_targets, cross_entropy, reduce
from outgrow.objectives.protocol import NO_CONTEXT, Objective, StepContext, check_parameters

if TYPE_CHECKING:
    from torch import Tensor


def generalized_cross_entropy(
    logits: Tensor, targets: Tensor, *, q: float = 0.7, weights: Tensor | None = None, reduction: Reduction = "mean"
) -> Tensor:
    """Σ_k t_k (1 − p_k^q) / q, 0 < q ≤ 1: cross entropy for q → 0, mean absolute error for q = 1.

    Source:
        Zhang and Sabuncu 2018 (arXiv 1805.07836), eq. 6.

    Example:
        >>> round(generalized_cross_entropy(torch.zeros(1, 4), torch.tensor([2]), q=0.5).item(), 4)  # (1 − ½) / ½
        1.0
    """
    check_logits_and_targets(logits, targets)
    if not 0 < q <= 1:
        raise DataError("The exponent q of generalized cross entropy is outside (0, 1].", found=q)
    costs = -torch.expm1(q * _log_probs(logits)) / q
    if targets.ndim == 1:
        losses = costs.gather(1, targets[:, None].long()).squeeze(1)
    else:
        losses = (targets.detach() * costs).sum(1)
    return reduce(losses, weights, reduction)


def product(
    logits: Tensor,
    targets: Tensor,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    weights: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Cross entropy with t ∝ y^α·p^β, α, β ≥ 0: the labels y, sharpened by the student's own prediction p.

    No gradient flows through t. Where y and p exclude each other (t = 0 everywhere) the labels alone count, as they do
    if they are class indices.

    Source:
        A product of experts (Hinton 2002) as a self-training target; reconstruction.

    Example:
        >>> logits = torch.tensor([[1.0, 0.0]])  # equal doubts cancel: the labels say the opposite of the student
        >>> product(logits, torch.softmax(-logits, dim=1)).isclose(cross_entropy(logits, torch.tensor([[0.5, 0.5]])))
        tensor(True)
    """
    check_logits_and_targets(logits, targets)
    if alpha < 0 or beta < 0:
        raise DataError("An exponent of the product objective is negative.", found=f"alpha {alpha}, beta {beta}")
    if targets.ndim == 1:
        return cross_entropy(logits, targets, weights=weights, reduction=reduction)
    believed = beta * _log_probs(logits.detach()) if beta else 0.0
    trusted = alpha * targets.detach().log() if alpha else 0.0
    mixed = torch.softmax(torch.zeros_like(targets) + trusted + believed, dim=1)
    mixed = torch.where(mixed.isnan().any(1, keepdim=True), targets, mixed)
    return cross_entropy(logits, mixed, weights=weights, reduction=reduction)


def bootstrap(
    logits: Tensor,
    targets: Tensor,
    *,
    beta: float = 0.8,
    hard: bool = True,
    weights: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Cross entropy with β·y + (1 − β)·ŷ, 0 ≤ β ≤ 1, where ŷ is the student's own answer.

    Hard: ŷ is its most probable class, through which no gradient flows. Soft: ŷ = p, with its gradient (which makes it
    entropy minimisation). The source has β = 0.8 (hard) and 0.95 (soft).

    Source:
        Reed et al. 2015 (arXiv 1412.6596), eqs. 6–7.

    Example:
        >>> round(bootstrap(torch.tensor([[0.0, 2.0]]), torch.tensor([0]), beta=0.5).item(), 4)
        1.1269
    """
    check_logits_and_targets(logits, targets)
    if not 0 <= beta <= 1:
        raise DataError("The trust β in the labels is outside [0, 1].", found=beta)
    weak = cross_entropy(logits, targets, reduction="none")
    if hard:
        own = cross_entropy(logits, logits.detach().argmax(1), reduction="none")
    else:
        log_probs = _log_probs(logits)
        probs = log_probs.exp()
        own = -torch.where(probs > 0, probs * log_probs, 0.0).sum(1)
    return reduce(beta * weak + (1 - beta) * own, weights, reduction)


def confidence_window(
    logits: Tensor,
    targets: Tensor,
    *,
    low: float = 0.0,
    high: float = 0.95,
    weights: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Cross entropy on the rows where the student's highest probability lies in [low, high]; 0 on the others.

    Where the student is sure it keeps its own answer, right or wrong, instead of unlearning it from a weak label. The
    mean is over the rows inside.

    Source:
        Ours, a form of active selection.

    Example:
        >>> logits = torch.tensor([[0.0, 0.0], [9.0, 0.0]])
        >>> [round(each, 3) for each in confidence_window(logits, torch.tensor([1, 1]), reduction="none").tolist()]
        [0.693, 0.0]
    """
    if not 0 <= low <= high <= 1:
        raise DataError("The confidence window is out of range.", found=f"[{low}, {high}]", wanted="0 ≤ low ≤ high ≤ 1")
    losses = cross_entropy(logits, targets, reduction="none")
    surest = _log_probs(logits.detach()).amax(1).exp()
    return reduce(losses, weights, reduction, (surest >= low) & (surest <= high))


def _log_probs(logits: Tensor) -> Tensor:
    return torch.log_softmax(logits, dim=1, dtype=torch.promote_types(logits.dtype, torch.float32))


@dataclass(frozen=True)
class GCE(Objective):
    """Generalized cross entropy (`objective: gce`)."""

    q: float = 0.7
    """Between 0 (cross entropy, not included) and 1 (mean absolute error)."""

    def __post_init__(self) -> None:
        check_parameters(self, 0 < self.q <= 1, "0 < q ≤ 1")

    def __call__(self, logits: Tensor, targets: Tensor, context: StepContext = NO_CONTEXT) -> Tensor:
        """Return the loss of each row, shape (N,)."""
        return generalized_cross_entropy(logits, targets, q=self.q, reduction="none")


@dataclass(frozen=True)
class Product(Objective):
    """Labels sharpened by the student's own belief (`objective: product`)."""

    alpha: float = 1.0
    """Exponent of the labels, ≥ 0."""
    beta: float = 1.0
    """Exponent of the student's prediction after the warm-up, ≥ 0."""
    warmup: float = 0.2
    """Share of training over which β rises."""

    def __post_init__(self) -> None:
        fits = self.alpha >= 0 and self.beta >= 0 and 0 <= self.warmup <= 1
        check_parameters(self, fits, "alpha ≥ 0, beta ≥ 0, 0 ≤ warmup ≤ 1")

    def __call__(self, logits: Tensor, targets: Tensor, context: StepContext = NO_CONTEXT) -> Tensor:
        """Return the loss of each row, shape (N,)."""
        beta = self.beta * context.ramp(self.warmup)
        return product(logits, targets, alpha=self.alpha, beta=beta, reduction="none")


@dataclass(frozen=True)
class Bootstrap(Objective):
    """Labels mixed with the student's own answers (`objective: bootstrap`)."""

    beta: float = 0.8
    """Trust in the labels, in [0, 1]."""
    hard: bool = True
    """Whether the student's answer is hardened."""

    def __post_init__(self) -> None:
        check_parameters(self, 0 <= self.beta <= 1, "0 ≤ beta ≤ 1")

    def __call__(self, logits: Tensor, targets: Tensor, context: StepContext = NO_CONTEXT) -> Tensor:
        """Return the loss of each row, shape (N,)."""
        return bootstrap(logits, targets, beta=self.beta, hard=self.hard, reduction="none")


@dataclass(frozen=True)
class ConfidenceWindow(Objective):
    """Train only where the student is unsure (`objective: confidence_window`)."""

    low: float = 0.0
    """Least highest probability of a row that is trained on."""
    high: float = 0.95
    """Greatest."""

    def __post_init__(self) -> None:
        check_parameters(self, 0 <= self.low <= self.high <= 1, "0 ≤ low ≤ high ≤ 1")

    def __call__(self, logits: Tensor, targets: Tensor, context: StepContext = NO_CONTEXT) -> Tensor:
        """Return the loss of each row, shape (N,); 0 where the student is sure."""
        return confidence_window(logits, targets, low=self.low, high=self.high, reduction="none")
