"""The divergence of a Dirichlet distribution from the uniform one, with its derivative in the evidence."""

from __future__ import annotations

import torch
from torch import Tensor

from outgrow.objectives.special import excess, tail_probability, total_part, total_part_of_many, trigamma_tail


def divergence(e: Tensor, total: Tensor) -> tuple[Tensor, Tensor]:
    """R = KL(Dir(1 + e) ‖ Dir(1)) in nats, and its derivative in e.

    Args:
        e: Evidence ≥ 0, shape (n, K), K ≥ 2; a class whose evidence is to be left out has 0.
        total: Row sums of `e`, shape (n,), in the type of `special.wide`.

    Returns:
        R, shape (n,), and ∂R/∂e_k = e_k ψ′(1+e_k) − E ψ′(K+E), shape (n, K).

    Source:
        Sensoy et al. 2018 (arXiv 1806.01768), eq. after (5); the arrangement is ours (see `special`).

    Example:
        >>> e = torch.tensor([[1.0, 1.0]])
        >>> value, slopes = divergence(e, e.double().sum(1))
        >>> round(value.item(), 5), [round(each, 5) for each in slopes[0].tolist()]
        (0.12509, [0.07729, 0.07729])
    """
    choices = e.shape[1]
    t = (1 + e).reciprocal_()
    s = e * t
    scratch, other = torch.empty_like(e), torch.empty_like(e)
    own = excess(t, s, out=scratch, scratch=other).sum(1).to(total)
    product_sum = torch.mul(e, s, out=other).sum(1).to(total)
    value = total_part(total, choices, product_sum, s.sum(1).to(total)) + own
    slopes = trigamma_tail(t, out=scratch).mul_(s).mul_(t)
    # ∂R/∂e = s + s·t·V − P = Q − t + s·t·V: the first where the row has little evidence, the second where it has much,
    # so that the difference of numbers near one is never formed.
    below, above = tail_probability(total, choices)
    little = (below <= 0.5).to(total)
    constant = (1 - little) * above - little * below
    little, constant = little.to(e.dtype)[:, None], constant.to(e.dtype)[:, None]
    slopes.addcmul_(s, little).addcmul_(t, little - 1).add_(constant)
    return value, slopes


def expected_divergence(e: Tensor, top: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
    """Σ_k t_k R(e without its k-th entry), the mean of R over labels drawn from t, and its derivative in e.

    Args:
        e: Evidence, shape (n, K), in the type of `special.wide`.
        top: The class with most evidence in each row, shape (n,).
        shares: t ≥ 0, shape (n, K), of the same type; rows need not sum to one.
    """
    choices, at = e.shape[1], top[:, None]
    t = 1 / (1 + e)
    s = e * t
    curve = s * t * trigamma_tail(t)
    own = excess(t, s)
    # The top class may hold nearly everything: sums without it are summed without it.
    total, share_sum, own_sum = (_leave_one_out(part, at) for part in (e, s, own))
    if choices > 64 and e.dtype == torch.float64:
        rest = total_part_of_many(total, choices, share_sum)
    else:
        rest = total_part(total, choices, _leave_one_out(e * s, at), share_sum)
    value = (shares * (rest + own_sum)).sum(1)
    below, above = tail_probability(total, choices)
    kept, little, much = (_leave_one_out(part, at) for part in (shares, shares * below, shares * above))
    slopes = kept * curve + torch.where(little <= 0.5 * kept, kept * s - little, much - kept * t)
    return value, slopes


def _leave_one_out(values: Tensor, at: Tensor) -> Tensor:
    """For every entry the sum of the others in its row; the entry `at` is the one that may dominate."""
    rest = values.scatter(1, at, 0.0)
    total = rest.sum(1, keepdim=True)
    return (total - rest).add_(values.gather(1, at)).scatter_(1, at, total)
