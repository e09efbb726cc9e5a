"""The confidence loss: the student is encouraged to trust its own hardened predictions over its supervisors' labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from outgrow._lazy import torch
from outgrow.errors import DataError
from outgrow.objectives.cross_entropy import Reduction, check_logits_and_targets, cross_entropy, reduce
from outgrow.objectives.protocol import NO_CONTEXT, Objective, StepContext, check_parameters

if TYPE_CHECKING:
    from torch import Tensor

_SWEEPS = 10


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


def class_offsets(log_probs: Tensor, proportions: Tensor) -> Tensor:
    """Return offsets b (K,) such that argmax_k(log p_k + b_k) of N rows falls on each class in given proportions (K,).

    For K = 2 this is the quantile of log p_1 − log p_0. For more classes the offsets are the dual of the assignment
    problem (each row to a class, so many rows to each), whose solution is exact: every class gets its share of N,
    rounded to whole rows, unless rows are tied. The first offset is 0; a class of proportion 0 has −inf.

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
    for _ in range(1 if k == 2 else _SWEEPS):
        for index in active[1:]:
            others = [other for other in active if other != index]
            margin = scores[:, index] - (scores[:, others] + offsets[others]).max(dim=1).values
            offsets[index] = -_cut(margin, n - int(counts[index].round().item()))
    if len(active) > 2:
        # The sweeps end within a few rows of the wanted counts; the rest is moved one by one.
        rows = (scores[:, active].cpu().numpy(), (scores + offsets)[:, active].argmax(dim=1).cpu().numpy())
        exact = _potentials(*rows, _whole(counts[active].cpu().numpy()))
        offsets[active] = torch.from_numpy(exact).to(scores)
    return offsets.to(log_probs.dtype)


def _cut(values: Tensor, below: int) -> Tensor:
    """A point with `below` of the values under it: halfway between neighbours, outside all where none is on a side."""
    ordered = values.sort().values
    if below <= 0:
        return ordered[0] - 1
    if below >= len(ordered):
        return ordered[-1] + 1
    return (ordered[below - 1] + ordered[below]) / 2


def _whole(counts: NDArray[np.float64]) -> NDArray[np.int64]:
    """Whole numbers with the same sum, by the largest remainders."""
    whole = np.floor(counts + 1e-9).astype(np.int64)
    missing = round(float(counts.sum())) - int(whole.sum())
    whole[np.argsort(whole - counts, kind="stable")[:missing]] += 1
    return whole


def _potentials(
    scores: NDArray[np.float64], assigned: NDArray[np.int64], wanted: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Offsets for which `wanted` rows of scores (N, K) fall on each class, from an assignment that other offsets give.

    Such an assignment is the best one with its own counts. Moving one row along the shortest path from a class with too
    many rows to one with too few keeps it the best (successive shortest paths).
    """
    classes = scores.shape[1]
    assigned = assigned.copy()
    while True:
        # What moving the cheapest row of class a to class b costs, and which row that is.
        costs, cheapest = np.full((classes, classes), np.inf), np.zeros((classes, classes), dtype=np.int64)
        for own in range(classes):
            members = np.flatnonzero(assigned == own)
            if len(members):
                loss = scores[members, own, None] - scores[members]
                costs[own], cheapest[own] = loss.min(axis=0), members[loss.argmin(axis=0)]
        np.fill_diagonal(costs, np.inf)
        surplus = np.bincount(assigned, minlength=classes) - wanted
        if not surplus.any():
            break
        distance, before = np.where(surplus > 0, 0.0, np.inf), np.full(classes, -1)
        for _ in range(classes):
            found = distance[:, None] + costs
            better = found.min(axis=0) < distance - 1e-12
            distance, before = (
                np.where(better, found.min(axis=0), distance),
                np.where(better, found.argmin(axis=0), before),
            )
        place = int(np.where(surplus < 0, distance, np.inf).argmin())
        path: list[tuple[int, int]] = []
        while before[place] >= 0 and len(path) <= classes:
            path.append((int(before[place]), place))
            place = int(before[place])
        for own, other in path:
            assigned[cheapest[own, other]] = other
    return _centred(costs, int(wanted.argmax()))


def _centred(costs: NDArray[np.float64], root: int) -> NDArray[np.float64]:
    """Offsets with b_k − b_a ≤ costs[a, k], as far from equality as can be; the first is 0."""
    classes = len(costs)
    # The smallest mean of a cycle (Karp 1978) is the largest slack that all constraints can have together.
    walks = [np.zeros(classes)]
    for _ in range(classes):
        walks.append((walks[-1][:, None] + costs).min(axis=0))
    with np.errstate(invalid="ignore"):
        means = [(walks[-1] - walk) / (classes - length) for length, walk in enumerate(walks[:-1])]
    slack = np.nanmin(np.nanmax(means, axis=0))
    tight = costs - (slack / 2 if 0 < slack < np.inf else 0.0)
    np.fill_diagonal(tight, 0.0)
    for _ in range(classes.bit_length()):  # shortest paths, twice as long each time
        tight = np.minimum(tight, (tight[:, :, None] + tight[None]).min(axis=1))
    high, low = tight[root], -tight[:, root]
    # A class without rows needs an offset that is low enough, and no more.
    offsets = np.where(np.isfinite(low), (high + np.maximum(low, -1e9)) / 2, high - 1)
    found: NDArray[np.float64] = offsets - offsets[0]
    return found


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
