"""Objectives on the tokens of a text with uncertain labels: p(label) = s, where s comes from a bridge.

The target of a position is s on its label and, on the other tokens, the student's own distribution scaled to 1 − s: the
weak model gives no information on them. No gradient flows into the target, and it is never formed: only sums over the
other tokens are needed. Every 1 − p is a sum over the others, never a difference.

Both objectives take logits z (N, V), V ≥ 2, token ids y (N,), log-confidences log s ≤ 0 (N,), and weights of the
positions (N,); `none` gives (N,), `mean` the weighted mean. The other functions prepare log s.
"""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, NamedTuple

from outgrow._lazy import functional, torch
from outgrow.errors import DataError
from outgrow.objectives.cross_entropy import Reduction, reduce
from outgrow.objectives.evidential import PAPER_CEILING, REGULARIZATION, Preset
from outgrow.objectives.special import divergence, unit_divergence, wide

if TYPE_CHECKING:
    from torch import Tensor

    from outgrow.objectives.chunks import Chunk

_LEAST = math.log(sys.float_info.min)
"""Pooled log-confidences are clipped here, so that they stay finite where all weak models give probability 0."""
_MOST = 600.0
"""Logits are clipped here in the regulariser: the sum over a vocabulary then stays finite in float64."""


def token_divergence(
    logits: Tensor,
    labels: Tensor,
    log_confidences: Tensor,
    *,
    weights: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """KL(target ‖ p) = s log(s / p_y) + (1 − s) log((1 − s) / (1 − p_y)), in nats.

    The divergence of the whole target from the student's distribution p is that of two Bernoulli variables, as the
    shares of the other tokens agree. Its minimum is p_y = s. At s = 1 it is the cross entropy.

    Source:
        Cui et al. 2025 (arXiv 2406.03199), the soft target of the naive method for generation; the closed form is ours.

    Example:
        >>> logits = torch.tensor([[2.0, 0.0, 1.0]])
        >>> p = logits.softmax(1)[0, 0]
        >>> token_divergence(logits, torch.tensor([0]), p.log()[None]).item() < 1e-7
        True
    """
    labels, log_s = _checked(logits, labels, log_confidences)

    def chunk(part: slice, z: Tensor, out: Tensor | None) -> Tensor:
        others = _others(z, labels[part], out)
        own, s = others.odds, log_s[part].exp()
        rest = -torch.expm1(log_s[part])  # 1 − s
        losses = (
            s * functional.softplus(-own)
            + rest * functional.softplus(own)
            + torch.xlogy(s, s)
            + torch.xlogy(rest, rest)
        )
        if out is not None:
            excess = rest - torch.sigmoid(-own)  # p_y − s
            slope = others.scaled.mul_((-excess / others.sum).to(z.dtype)[:, None])
            slope.scatter_(1, others.label, excess.to(z.dtype)[:, None])
            _write(slope, out)
        return losses

    return reduce(_in_chunks(logits, chunk), weights, reduction)


def token_evidential(
    logits: Tensor,
    labels: Tensor,
    log_confidences: Tensor,
    *,
    own_share: float = 0.0,
    preset: Preset = "default",
    progress: float = 1.0,
    regularization: float | None = None,
    weights: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Σ_k t_k (log S − log α_k) + ρ·min(1, progress)·R, in nats, with α = exp(z) + 1, S = Σα and the target t.

    t is the target of this module, of which the share c in [0, 1] (`own_share`) goes to the student's own first choice,
    through which no gradient flows. ρ ≥ 0 (`regularization`; None takes the preset's, 0 leaves R out) rises with
    `progress`, the share of the warm-up that is done. With q the student's distribution over the other tokens, the sum
    is

        log S − (1−c)·[s·softplus(z_y) + (1−s)·Σ_{k≠y} q_k softplus(z_k)] − c·max_k softplus(z_k)

    R is the divergence of Dir(α̃) from the uniform Dirichlet:

    - `default`: α̃ = α without all of the label's evidence, R divided by c(V)/c(2) (see `evidential`), ρ = 0.1;
    - `paper`: α̃ = (α − 1)(1 − t) + 1, at most 2·10⁵, R as it is, ρ = 10⁻⁴.

    Source:
        Cui et al. 2025 (arXiv 2406.03199), evidential learning for generation, with the self-training share as in the
        paper's code; the closed form and the default preset are ours.

    Example:
        >>> logits, label = torch.tensor([[2.0, 0.0]]), torch.tensor([0])
        >>> round(token_evidential(logits, label, torch.tensor([0.0]), regularization=0).item(), 4)
        0.2138
        >>> half = torch.tensor([0.5]).log()
        >>> round(token_evidential(logits, label, half, regularization=0).item(), 4)  # log 10.389 − ½(2.1269 + .6931)
        0.9307
    """
    labels, log_s = _checked(logits, labels, log_confidences)
    rho = REGULARIZATION[preset] if regularization is None else regularization
    if not 0 <= own_share <= 1 or not 0 <= rho < math.inf or not progress >= 0:
        raise DataError(
            "The evidential objective of tokens has a parameter out of range.",
            found=f"own share {own_share}, regularization {rho}, progress {progress}",
            wanted="0 ≤ own share ≤ 1, regularization ≥ 0, progress ≥ 0",
        )
    plan = _Plan(own_share, rho * min(1.0, progress), preset)

    def chunk(part: slice, z: Tensor, out: Tensor | None) -> Tensor:
        return _evidential_chunk(z, labels[part], log_s[part], plan, out)

    return reduce(_in_chunks(logits, chunk), weights, reduction)


def largest_probabilities(logits: Tensor) -> Tensor:
    """Return the largest probability at each position, shape (N,), of logits (N, V), without a gradient."""

    def chunk(part: slice, z: Tensor, out: Tensor | None) -> Tensor:
        return 1 / (z - z.amax(1, keepdim=True)).exp_().sum(1)

    return _in_chunks(logits.detach(), chunk)


def student_split(logprobs: Tensor, segments: Tensor, confidence: Tensor) -> Tensor:
    """Split each segment's log-probability by the softmax of −m over its tokens: log s_j = ω_j · Σ_segment log p.

    As `split="student"` of `outgrow.bridge.bridge`, for a batch; Σ log s over a segment does not change. All are
    (…, T): log-probabilities of the tokens in any other split; a number in [0, T) that the tokens of a segment share;
    and m (`confidence`, may broadcast, without gradient), the student's largest probability at each token.

    Source:
        Cui et al. 2025 (arXiv 2406.03199), the weights ω of the word bridge.
    """
    doubt = (-confidence.detach()).exp().to(logprobs).expand_as(logprobs)
    return _over_segments(logprobs, segments) * (doubt / _over_segments(doubt, segments))


def pooled(log_s: Tensor, shares: Tensor) -> Tensor:
    """Return log Σ_i λ_i s_i, the mean of O opinions: shape (…, T) from log s (…, O, T) and shares λ (…, O)."""
    return torch.logsumexp(log_s + shares.log()[..., None], dim=-2).clamp(_LEAST, 0.0)


class _Plan(NamedTuple):
    own_share: float
    strength: float
    preset: Preset


class _Others(NamedTuple):
    """The tokens of each row that are not its label; sums are (n,) and wide."""

    label: Tensor
    """Labels, (n, 1)."""
    own: Tensor
    """The label's logit."""
    top: Tensor
    """The largest logit of the others."""
    scaled: Tensor
    """exp(z − top), (n, V), 0 at the label."""
    sum: Tensor
    """Its row sums."""

    @property
    def odds(self) -> Tensor:
        """The logit of p_y."""
        return self.own - self.top - self.sum.log()


def _others(z: Tensor, labels: Tensor, out: Tensor | None) -> _Others:
    """Set the labels apart; `scaled` is written into `out` where its type is that of the logits."""
    at, precise = labels[:, None], wide(z.device)
    buffer = out if out is not None and out.dtype == z.dtype else torch.empty_like(z)
    scaled = buffer.copy_(z).scatter_(1, at, -math.inf)
    top = scaled.amax(1, keepdim=True)
    scaled.sub_(top).exp_()
    own = z.gather(1, at)
    return _Others(at, own.squeeze(1).to(precise), top.squeeze(1).to(precise), scaled, scaled.sum(1).to(precise))


def _evidential_chunk(z: Tensor, labels: Tensor, log_s: Tensor, plan: _Plan, out: Tensor | None) -> Tensor:
    others = _others(z, labels, out)
    choices, own_share = z.shape[1], plan.own_share
    s, rest = (1 - own_share) * log_s.exp(), -(1 - own_share) * torch.expm1(log_s)
    # log S − log α_y and, of the others, log S − Σ q log α, as differences to the largest: no large number is left.
    rest_size = torch.logaddexp(others.top + others.sum.log(), torch.full_like(others.top, math.log(choices - 1)))
    own_alpha, top_alpha = functional.softplus(others.own), functional.softplus(others.top)
    own_odds = rest_size - own_alpha
    log_size = own_alpha + functional.softplus(own_odds)
    share = functional.softplus(z).sub_(top_alpha.to(z.dtype)[:, None])
    deviation = (share * others.scaled).sum(1).to(log_size) / others.sum
    losses = s * functional.softplus(own_odds) + rest * (log_size - top_alpha - deviation)
    first = torch.where(others.own >= others.top, labels, others.scaled.argmax(1))
    if own_share:
        losses += own_share * (log_size - torch.maximum(own_alpha, top_alpha))
    extra, extra_own = None, torch.zeros_like(losses)
    if plan.strength:
        regulariser, extra, extra_own = _regulariser(z, others, s, rest / others.sum, first, plan)
        losses += regulariser
    if out is None:
        return losses
    # Of another token: exp(z_k)/S − (1−c)(1−s) q_k σ(z_k); both parts hold exp(z_k − top).
    slope = torch.sigmoid(z).mul_((-rest / others.sum).to(z.dtype)[:, None])
    slope.add_((others.top - log_size).exp().to(z.dtype)[:, None]).mul_(others.scaled)
    if extra is not None:
        slope += extra
    rate = torch.sigmoid(others.own)
    slope.scatter_(1, others.label, (rate * (1 - s - torch.sigmoid(own_odds)) + extra_own).to(z.dtype)[:, None])
    if own_share:
        chosen = -own_share * torch.sigmoid(torch.maximum(others.own, others.top))
        slope.scatter_add_(1, first[:, None], chosen.to(z.dtype)[:, None])
    _write(slope, out)
    return losses


def _regulariser(
    z: Tensor, others: _Others, s: Tensor, scale: Tensor, first: Tensor, plan: _Plan
) -> tuple[Tensor, Tensor, Tensor]:
    """ρ·R (n,), its derivative in the other tokens' logits (n, V; anything at the label), and in the label's (n,)."""
    limit = math.log(torch.finfo(z.dtype).max) - math.log(z.shape[1]) - 1
    if bool(others.top.amax() > limit):  # rare enough to pay for float64
        z, limit = z.double(), _MOST
    bounded = z.clamp(max=limit)
    e = bounded.exp()
    if plan.preset == "default":
        strength = plan.strength * unit_divergence(2) / unit_divergence(z.shape[1])
        e.scatter_(1, others.label, 0.0)
        value, slopes = divergence(e, e.sum(1).to(s))
        slopes.mul_(e).mul_(strength * (bounded == z))
        return strength * value, slopes.to(others.scaled.dtype), torch.zeros_like(value)
    # kept = 1 − t, with t = (1−c)(1−s) q of the others; the student's first choice, whose share may be near one, and
    # the label apart.
    kept = 1 - others.scaled.to(z.dtype) * scale.to(z.dtype)[:, None]
    kept.scatter_(1, others.label, (1 - s).to(z.dtype)[:, None])
    chosen = 1 - plan.own_share - torch.where(first == others.label.squeeze(1), s, scale)
    kept.scatter_(1, first[:, None], chosen.to(z.dtype)[:, None])
    shrunk = e.mul_(kept.clamp_(min=0))
    capped = shrunk.clamp(max=PAPER_CEILING - 1)
    value, slopes = divergence(capped, capped.sum(1).to(s))
    slopes.mul_(shrunk).mul_(plan.strength * ((capped == shrunk) & (bounded == z)))
    return plan.strength * value, slopes.to(others.scaled.dtype), slopes.gather(1, others.label).squeeze(1).to(value)


def _write(slope: Tensor, out: Tensor) -> None:
    if slope is not out:
        out.copy_(slope)


def _in_chunks(logits: Tensor, chunk: Chunk) -> Tensor:
    from outgrow.objectives.chunks import in_chunks, rows_per_chunk

    work = torch.promote_types(logits.dtype, torch.float32)
    return in_chunks(logits, chunk, rows=rows_per_chunk(logits), work=work)


def _checked(logits: Tensor, labels: Tensor, log_confidences: Tensor) -> tuple[Tensor, Tensor]:
    rows = len(logits)
    fitting = logits.ndim == 2 and labels.shape == log_confidences.shape == (rows,) and logits.shape[1] >= 2
    if not fitting or labels.is_floating_point():
        raise DataError(
            "Logits, labels and confidences do not fit together.",
            found=f"logits {tuple(logits.shape)}, labels {tuple(labels.shape)} of {labels.dtype}, confidences "
            f"{tuple(log_confidences.shape)}",
            wanted="logits (N, V), integer labels (N,), log-confidences (N,)",
        )
    log_s = log_confidences.detach().to(device=logits.device, dtype=wide(logits.device))
    if not bool((log_s <= 0).all()):
        raise DataError(
            "A confidence is not a probability.",
            found=f"a log-confidence of {log_s.max().item()}",
            wanted="at most 0",
        )
    return labels.long(), log_s


def _over_segments(values: Tensor, segments: Tensor) -> Tensor:
    return torch.zeros_like(values).scatter_add(-1, segments, values).gather(-1, segments)
