"""The confidence loss: the student is encouraged to trust its own hardened predictions over its supervisors' labels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from outgrow.errors import DataError
from outgrow.objectives.cross_entropy import Reduction, check_logits_and_targets, cross_entropy, reduce
from outgrow.objectives.protocol import NO_CONTEXT, Objective, StepContext, check_parameters


def confidence(
    logits: Tensor,
    targets: Tensor,
    *,
    coefficient: float,
    proportions: Tensor | None = None,
    offsets: Tensor | None = None,
    weights: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """(1 − c)·CE(p, y) + c·CE(p, ŷ), with ŷ the student's own hardened prediction, through which no gradient flows.

    Logits, targets, `weights` and `reduction` are those of `cross_entropy`.

    Args:
        logits: Shape (N, K).
        targets: Weak labels.
        coefficient: c in [0, 1].
        proportions: Class proportions (K,) that the hardened predictions of this batch should have, as nearly as N rows
            allow. Default: harden by plain argmax.
        offsets: Instead of `proportions`: offsets (K,) added to the log-probabilities before the argmax, from
            `class_offsets` on a larger set of predictions, so that minibatches of one row work.
        weights: Row weights.
        reduction: `none` or `mean`.

    Source:
        Burns et al. 2023 (arXiv 2312.09390), appendix A.4: for K = 2 a threshold on p such that the hardened
        proportions equal the weak labels' mean. Per-class offsets for K > 2 are ours.

    Example:
        >>> logits = torch.tensor([[2.0, 0.0], [0.0, 2.0]])
        >>> targets = torch.tensor([[0.0, 1.0], [0.0, 1.0]])
        >>> round(confidence(logits, targets, coefficient=0.5).item(), 4)
        0.6269
    """
    check_logits_and_targets(logits, targets)
    if not 0 <= coefficient <= 1:
        raise DataError("The coefficient of the confidence loss is outside [0, 1].", found=coefficient)
    if proportions is not None and offsets is not None:
        raise DataError("Give the confidence loss either proportions or offsets, not both.")
    log_probs = torch.log_softmax(logits.detach().float(), dim=-1)
    if proportions is not None:
        offsets = class_offsets(log_probs, proportions)
    hardened = (log_probs if offsets is None else log_probs + offsets).argmax(dim=-1)
    weak_part = cross_entropy(logits, targets, reduction="none")
    own_part = cross_entropy(logits, hardened, reduction="none")
    return reduce((1 - coefficient) * weak_part + coefficient * own_part, weights, reduction)


def class_offsets(log_probs: Tensor, proportions: Tensor, *, sweeps: int = 50) -> Tensor:
    """Return offsets b (K,) such that argmax_k(log p_k + b_k) of N rows falls on each class in given proportions (K,).

    For K = 2 this is the quantile of log p_1 − log p_0. For more classes each class in turn gets the offset that gives
    it its exact share while the others stay, in at most so many sweeps (coordinate descent on the dual of the
    assignment problem). Every share ends within a few rows of the wanted one. The first offset is 0; a class of
    proportion 0 has −inf.

    Source:
        Ours; for K = 2 equal to the adaptive threshold of Burns et al. 2023.

    Example:
        >>> p = torch.tensor([0.6, 0.7, 0.8, 0.9])
        >>> b = class_offsets(torch.stack([1 - p, p], dim=1).log(), torch.tensor([0.5, 0.5]))
        >>> (torch.stack([1 - p, p], dim=1).log() + b).argmax(1).tolist()
        [0, 0, 1, 1]
    """
    n, k = log_probs.shape
    scores = log_probs.detach().double().clamp_min(-1e3)
    counts = proportions.double() * n
    offsets = torch.where(counts > 0, 0.0, -torch.inf).to(scores)
    active = [index for index in range(k) if counts[index] > 0]
    for _ in range(1 if k == 2 else sweeps):
        before = offsets.clone()
        for index in active[1:]:
            others = [other for other in active if other != index]
            margin = scores[:, index] - (scores[:, others] + offsets[others]).max(dim=1).values
            offsets[index] = -_cut(margin, n - int(counts[index].round().item()))
        hard = torch.bincount((scores + offsets).argmax(dim=1), minlength=k)
        if (hard - counts).abs().max() <= 1 or torch.equal(before, offsets):
            break
    return offsets.to(log_probs.dtype)


def _cut(values: Tensor, below: int) -> Tensor:
    """A point with `below` of the values under it: halfway between neighbours, outside all where none is on a side."""
    ordered = values.sort().values
    if below <= 0:
        return ordered[0] - 1
    if below >= len(ordered):
        return ordered[-1] + 1
    return (ordered[below - 1] + ordered[below]) / 2


@dataclass(frozen=True)
class Confidence(Objective):
    """The confidence loss with a linear warm-up (`objective: confidence`).

    c = maximum · min(1, progress / warmup). Hardened predictions follow the class proportions of the weak labels,
    measured over the rows of the optimizer step, and of earlier steps where these are fewer than `window`. So neither
    gradient accumulation nor the number of processes changes the loss, and minibatches of one row work.
    """

    maximum: float = 0.5
    """c after the warm-up, in [0, 1]; 0.75 for the strongest students of Burns et al."""
    warmup: float = 0.2
    """Share of training over which c rises."""
    window: int = 32
    """Number of predictions, at least, for the class proportions; 0 hardens by plain argmax."""

    def __post_init__(self) -> None:
        fits = 0 <= self.maximum <= 1 and 0 <= self.warmup <= 1 and self.window >= 0
        check_parameters(self, fits, "0 ≤ maximum ≤ 1, 0 ≤ warmup ≤ 1, window ≥ 0")

    def __call__(self, logits: Tensor, targets: Tensor, context: StepContext = NO_CONTEXT) -> Tensor:
        """Return the loss of each row, shape (N,)."""
        coefficient = self.maximum * context.ramp(self.warmup)
        return confidence(logits, targets, coefficient=coefficient, offsets=context.offsets, reduction="none")
