"""Loss and gradient of evidential objectives, for logits of any number of classes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from outgrow._lazy import functional, torch
from outgrow.objectives.special import (
    FEW,
    divergence,
    expected_divergence,
    expected_divergence_of_many,
    opinion_gain,
    wide,
)

if TYPE_CHECKING:
    from torch import Tensor

NARROW = 128
"""Most classes for which every number, not only the sums, is stored as float64; lnΓ and ψ′ are accurate to 1e-8."""

Evidence = Literal["exp", "softplus", "relu"]
"""How a logit z becomes evidence e ≥ 0: exp(z), log(1 + exp z) or max(z, 0)."""


@dataclass(frozen=True)
class Plan:
    """What to compute: Σ_k t_k (log S − log α_k), plus what the fields add."""

    evidence: Evidence
    """The evidence function; α = evidence + 1."""
    strength: float = 0.0
    """Factor of the Dirichlet divergence R from the uniform; 0 leaves it out."""
    removal: Literal["expected", "shrunk"] = "expected"
    """Evidence in R for a soft target t: the mean of R over labels drawn from t, each without its label's evidence; or
    R at evidence (1 − t)·e. The same where t is a class."""
    ceiling: float = math.inf
    """Most evidence a class brings into R; no gradient flows through what is above."""
    opinions: bool = False
    """Whether targets are opinion counts, whose Dirichlet–multinomial correction is added."""


def sweep(logits: Tensor, targets: Tensor, plan: Plan) -> Tensor:
    """Return losses (N,) of logits (N, K) and targets: classes (N,), or shares or counts (N, K), without gradient."""
    from outgrow.objectives.chunks import in_chunks, rows_per_chunk

    targets = targets.detach()
    # A few choices cost nothing in float64, and a soft target near the prediction needs it: its gradient is a small
    # difference. Of many tokens one rounding more or less does not show.
    narrow = logits.shape[1] <= NARROW
    work = wide(logits.device) if narrow else torch.promote_types(logits.dtype, torch.float32)
    rows = rows_per_chunk(logits)
    if targets.ndim == 2 and plan.strength and plan.removal == "expected" and logits.shape[1] <= FEW:
        rows = max(1, rows // 4)  # many numbers per class

    def chunk(part: slice, z: Tensor, out: Tensor | None) -> Tensor:
        return _chunk(z, targets[part], plan, out)

    return in_chunks(logits, chunk, rows=rows, work=work)


class _Pivot(NamedTuple):
    """One class per row that is kept apart, so that a share near one is never formed by subtraction; all (n,)."""

    label: Tensor
    """The label, or for soft targets the class with most evidence."""
    evidence: Tensor
    slope: Tensor
    """Derivative of its evidence in its logit."""
    log_alpha: Tensor
    rate: Tensor
    """Derivative of log α in its logit."""
    total: Tensor
    """Σ evidence of the other classes."""
    rest: Tensor
    """Σ α of the other classes."""
    odds: Tensor
    """log rest − log α: the softplus of it is log S − log α, without cancellation."""


def _chunk(z: Tensor, targets: Tensor, plan: Plan, out: Tensor | None) -> Tensor:
    shift = None
    if plan.evidence == "exp" and bool(z.amax() > _limit(z)):
        # Sums would overflow. In float64 they do not below a logit of 690; beyond that the row moves down to it.
        z = z.to(wide(z.device))
        shift = (z.amax(1, keepdim=True) - _limit(z)).clamp_(min=0)
    moved = z if shift is None else z - shift
    buffer = out if out is not None and out.dtype == z.dtype else torch.empty_like(z)
    e = evidence_of(moved, plan.evidence, buffer)
    index = targets.long() if targets.ndim == 1 else e.argmax(1)
    pivot = _set_apart(z, e, index, shift, plan.evidence)
    gradient: Tensor | None
    if targets.ndim == 1:
        losses, weight = _label_terms(e, pivot, plan)
        own = -pivot.rate * torch.sigmoid(pivot.odds)
    else:
        log_alpha = None if shift is None else functional.softplus(z)
        losses, weight, own = _soft_terms(e, log_alpha, pivot, targets.to(e.dtype), plan)
    if out is None:
        return losses
    gradient = e if plan.evidence == "exp" else _slope(moved, plan.evidence)
    gradient.mul_(weight)
    if shift is not None and targets.ndim == 2:
        gradient -= targets * torch.sigmoid(z)  # the evidence itself has moved out of reach
    gradient.scatter_(1, index[:, None], own.to(e.dtype)[:, None])
    if gradient is not out:
        out.copy_(gradient)
    return losses


def _label_terms(e: Tensor, pivot: _Pivot, plan: Plan) -> tuple[Tensor, Tensor]:
    """Losses (n,) for classes, and their derivative in the evidence of the other classes, (n, 1) or (n, K)."""
    losses = functional.softplus(pivot.odds)
    common = (1 / (pivot.rest + 1 + pivot.evidence)).to(e.dtype)[:, None]
    if not plan.strength:
        return losses, common
    regulariser, slopes = _capped_divergence(e, pivot.total, plan.ceiling)
    return losses + plan.strength * regulariser, slopes.mul_(plan.strength).add_(common)


def _soft_terms(
    e: Tensor, log_alpha: Tensor | None, pivot: _Pivot, targets: Tensor, plan: Plan
) -> tuple[Tensor, Tensor, Tensor]:
    """Losses (n,) for shares or counts, their derivative in the other classes' evidence, and in the pivot's logit.

    Where a row was moved, `log_alpha` is what it was before, and the derivative leaves the targets' own part out.
    """
    at = pivot.label[:, None]
    total = targets.sum(1, dtype=pivot.odds.dtype)
    own_share = targets.gather(1, at).to(total).squeeze(1)
    others = targets.scatter(1, at, 0.0)
    alpha = 1 + e
    size = pivot.rest + 1 + pivot.evidence
    # log(α_pivot / α_k): one rounding of the ratio, where a difference of logarithms would have two of their size.
    if log_alpha is None:
        ratio = (alpha * (1 / (1 + pivot.evidence)).to(e.dtype)[:, None]).log_().neg_()
    else:
        ratio = pivot.log_alpha.to(e.dtype)[:, None] - log_alpha
    losses = total * functional.softplus(pivot.odds) + (others * ratio).sum(1).to(total)
    weight = (total / size).to(e.dtype)[:, None].expand_as(e).clone()
    if log_alpha is None:
        weight -= others / alpha
    rest_share = others.sum(1, dtype=total.dtype)
    own = pivot.rate * (rest_share * torch.sigmoid(-pivot.odds) - own_share * torch.sigmoid(pivot.odds))
    extra: Tensor | float = 0.0
    if plan.strength:
        everything = e.scatter(1, at, pivot.evidence.to(e.dtype)[:, None])
        if plan.removal == "shrunk":
            kept = (1 - targets).clamp_(min=0)
            shrunk = everything.mul_(kept)
            regulariser, slopes = _capped_divergence(shrunk, shrunk.sum(1).to(total), plan.ceiling)
            slopes.mul_(kept)
        elif e.shape[1] > FEW:
            regulariser, slopes, at_pivot = expected_divergence_of_many(
                e, pivot.total, pivot.evidence, others, own_share
            )
            slopes.scatter_(1, at, at_pivot.to(e.dtype)[:, None])
        else:
            regulariser, slopes = expected_divergence(everything, pivot.label, targets)
        losses = losses + plan.strength * regulariser
        extra = slopes.mul_(plan.strength)
    if plan.opinions:
        gain, extra = _opinion_terms(e, size, pivot, targets)
        losses = losses + gain
    if isinstance(extra, torch.Tensor):
        weight += extra
        own = own + pivot.slope * extra.gather(1, at).squeeze(1).to(own)
    return losses, weight, own


def _capped_divergence(e: Tensor, total: Tensor, ceiling: float) -> tuple[Tensor, Tensor]:
    if ceiling == math.inf:
        return divergence(e, total)
    capped = e.clamp(max=ceiling)
    value, slopes = divergence(capped, capped.sum(1).to(total))
    return value, slopes.mul_(e <= ceiling)


def _opinion_terms(e: Tensor, size: Tensor, pivot: _Pivot, counts: Tensor) -> tuple[Tensor, Tensor]:
    counts = counts.to(size.dtype)
    alpha = 1 + e.to(size.dtype).scatter(1, pivot.label[:, None], pivot.evidence[:, None])
    value, slope = opinion_gain(size, counts.sum(1))
    slopes = slope[:, None].repeat(1, e.shape[1])
    row, column = counts.nonzero(as_tuple=True)
    own_value, own_slope = opinion_gain(alpha[row, column], counts[row, column])
    slopes[row, column] -= own_slope
    return value - torch.zeros_like(value).index_add_(0, row, own_value), slopes


def _set_apart(z: Tensor, e: Tensor, index: Tensor, shift: Tensor | None, evidence: Evidence) -> _Pivot:
    # Also sets the class's evidence in `e` to 0.
    at, precise = index[:, None], wide(z.device)
    own = z.gather(1, at).to(precise)
    offset = 0.0 if shift is None else shift.to(precise)
    if evidence == "exp":
        log_alpha, rate = functional.softplus(own), torch.sigmoid(own)
    else:
        log_alpha = torch.log1p(evidence_of(own, evidence))
        rate = _slope(own, evidence) * torch.exp(-log_alpha)
    own_evidence = evidence_of(own - offset, evidence)
    slope = own_evidence if evidence == "exp" else _slope(own, evidence)
    e.scatter_(1, at, 0.0)
    total = e.sum(1, keepdim=True).to(precise)
    rest = total + (z.shape[1] - 1)
    odds = offset + rest.log() - log_alpha
    return _Pivot(index, *(part.squeeze(1) for part in (own_evidence, slope, log_alpha, rate, total, rest, odds)))


def _limit(z: Tensor) -> float:
    # The largest logit at which K exponentials can still be added up in the type of `z`.
    return math.log(torch.finfo(z.dtype).max) - math.log(z.shape[1]) - 1


def evidence_of(z: Tensor, evidence: Evidence, out: Tensor | None = None) -> Tensor:
    """Return the evidence e ≥ 0 of logits, any shape."""
    if evidence == "exp":
        return torch.exp(z, out=out)
    if evidence == "relu":
        return torch.clamp(z, min=0, out=out)
    e = functional.softplus(z)
    return e if out is None else out.copy_(e)


def _slope(z: Tensor, evidence: Evidence) -> Tensor:
    return torch.sigmoid(z) if evidence == "softplus" else (z > 0).to(z.dtype)
