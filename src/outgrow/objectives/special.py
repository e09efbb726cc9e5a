"""Gamma-function pieces of the evidential objectives, arranged so that nothing cancels.

The regulariser of an evidential objective is the divergence of a Dirichlet with evidence e_1 … e_K from the flat one:

    R = lnΓ(K+E) − lnΓ(K) − E ψ(K+E) + Σ_k f(e_k),   E = Σ_k e_k,   f(e) = e ψ(1+e) − lnΓ(1+e)

At a vocabulary of 32,000 and one logit of 30 the two halves are 10¹³ and nearly opposite. With t = 1/(1+e) and s = e·t,

    f(e) = e·s + D(e),   D(e) = s²·M(t) − (log(1+e) − s)/2,   ψ′(1+e) = t + t²·V(t)

where V stays within [.5, .65] and M within [.072, .082], so that short polynomials hold them to 10⁻⁸, in place of
lgamma, digamma and trigamma, each of which costs more than a whole cross entropy. The large parts of both halves are
then known and drop out by algebra instead of by subtraction.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

import numpy as np

from outgrow._lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

# Near-minimax fits on t ∈ [0, 1] (V, M) and s ∈ [0, ½] (L), lowest degree first; largest absolute errors 8e-9, 3e-9 and
# 3e-8. tests/objectives/test_special.py checks them against mpmath.
_V: tuple[float, ...] = (
    0.5000000078347825,
    0.16666630754170877,
    -7.03907303451802e-06,
    -0.03306482131294271,
    -0.002764862025764238,
    0.037677246390351526,
    -0.0378444532955204,
    0.017646862770745647,
    -0.0033751898137344524,
)
_M: tuple[float, ...] = (
    0.08106146473331782,
    -0.00454381410197684,
    -0.006809633703084426,
    0.001934394789032367,
    0.0031202060533329768,
    -0.003795521107522393,
    0.0018726554601174313,
    -0.00037272107019877893,
)
_L: tuple[float, ...] = (
    0.5000000252546051,
    0.33332563502288054,
    0.2503855774123659,
    0.19260793600686232,
    0.23687331092377706,
    -0.2244871807273895,
    1.2151341193236023,
    -1.645105704288708,
    1.3644871746873075,
)

FEW = 64
"""Most classes for which `expected_divergence` sums each row without every class in turn."""

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(10)
_GAUSS = (((_NODES + 1) / 2).tolist(), (_WEIGHTS / 2).tolist())


def wide(device: torch.device) -> torch.dtype:
    """The float type for one number per row: float64 where the device has it."""
    return torch.float32 if device.type == "mps" else torch.float64


def trigamma_tail(t: Tensor, out: Tensor | None = None) -> Tensor:
    """V(t), with ψ′(1/t) = t + t²·V(t), for t in [0, 1]; any shape, absolute error 10⁻⁸."""
    return _polynomial(_V, t, out)


def excess(t: Tensor, s: Tensor, out: Tensor | None = None, scratch: Tensor | None = None) -> Tensor:
    """D(e) = e ψ(1+e) − lnΓ(1+e) − e·s, with t = 1/(1+e) and s = e·t; any shape, relative error about 10⁻⁷.

    s is given apart because 1 − t loses small evidence. The result goes to `out`; `scratch` is overwritten.
    """
    # log(1+e) − s is a series in s up to s = ½ (e = 1), and beyond that the value there plus what the logarithm adds.
    # Clamping picks the part without a mask, which costs a hundred times more here than an elementwise product.
    near = torch.clamp(s, max=0.5, out=scratch)
    out = _polynomial(_L, near, out)
    out.mul_(near).mul_(near).add_(near.sub_(s))
    out.sub_(torch.clamp(t, max=0.5, out=near).mul_(2).log_())
    near = _polynomial(_M, t, near).mul_(s).mul_(s)
    return torch.add(near, out, alpha=-0.5, out=out)


def tail_probability(total: Tensor, choices: int) -> tuple[Tensor, Tensor]:
    """P = E ψ′(K+E) and Q = 1 − P for summed evidence E, each to full relative accuracy; any shape."""
    t = 1 / (choices + total)
    share = total * t
    tail = trigamma_tail(t)
    return share * (1 + t * tail), t * (choices - share * tail)


def total_part(total: Tensor, choices: int, product_sum: Tensor, share_sum: Tensor) -> Tensor:
    """lnΓ(K+E) − lnΓ(K) − E ψ(K+E) + Σ_k e_k s_k, for K ≥ 2 and E ≥ 0 of any shape and the type of `wide`.

    Σ_k e_k s_k (`product_sum`) is used up to E = K only, so it may have overflowed beyond; Σ_k s_k is `share_sum`.

    Source:
        Ours. Up to E = K an integral without cancellation, −∫₀^E v ψ′(K+v) dv, by Gauss-Legendre quadrature; beyond it
        Stirling's series, in which E itself has dropped out.
    """
    bounded = total.clamp(max=choices)
    nodes, weights = _quadrature(total)
    t = 1 / (choices + nodes * bounded)
    small = product_sum - bounded * bounded * (weights * nodes * t * (1 + t * trigamma_tail(t))).sum(0)
    size = choices + total.clamp(min=choices)
    correction, slope = _stirling(size)
    constant = 0.5 * math.log(2 * math.pi) - choices - math.lgamma(choices)
    share = (size - choices) / size
    large = (choices - 0.5) * size.log() + constant + 0.5 * share + correction - (size - choices) * slope - share_sum
    return torch.where(total <= choices, small, large)


@functools.lru_cache(maxsize=256)
def unit_divergence(choices: int) -> float:
    """c(K): the divergence of Dir(2, …, 2) from the uniform Dirichlet over K choices, in nats."""
    one = torch.ones((), dtype=torch.float64)
    sums = (one * choices / 2 for _ in range(2))
    return float(total_part(one * choices, choices, *sums) + choices * excess(one / 2, one / 2))


def opinion_gain(alpha: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    """b(α, n) = lnΓ(α+n) − lnΓ(α) − n ln α and its derivative in α, for α ≥ 1 and n ≥ 0 of one shape.

    This is what n opinions drawn from one Dirichlet add to n independent ones; about n(n−1)/2α for large α, where it
    keeps its relative accuracy.
    """
    # Up to n = α by quadrature of the derivatives between α and α+n; beyond, nothing cancels in the plain formula.
    bounded = torch.minimum(count, alpha)
    nodes, weights = _quadrature(alpha)
    step = nodes * bounded / alpha
    t = 1 / (alpha * (1 + step))
    r = t * t
    series = step.log1p() - t / 2 - r * (1 / 12 - r * (1 / 120 - r * (1 / 252 - r / 240)))
    value, slope = (weights * series).sum(0), (weights * (r * trigamma_tail(t) - step * t)).sum(0)
    plain = torch.lgamma(alpha + count) - torch.lgamma(alpha) - count * alpha.log()
    plain_slope = torch.digamma(alpha + count) - torch.digamma(alpha) - count / alpha
    value = torch.where((alpha >= 8) & (count <= alpha), count * value, plain)
    return value, torch.where(count <= alpha, count * slope, plain_slope)


def divergence(e: Tensor, total: Tensor) -> tuple[Tensor, Tensor]:
    """R = KL(Dir(1 + e) ‖ Dir(1)) in nats, (n,), and ∂R/∂e_k = e_k ψ′(1+e_k) − E ψ′(K+E), (n, K).

    Evidence e ≥ 0 is (n, K), K ≥ 2, with 0 for a class that is to be left out; its row sums `total` are (n,), in the
    type of `wide`.

    Source:
        Sensoy et al. 2018 (arXiv 1806.01768), eq. after (5); the arrangement is ours.
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

    Evidence e and shares t ≥ 0, which need not sum to one, are (n, K) in the type of `wide`; `top` (n,) is the class
    with most evidence.
    """
    choices, at = e.shape[1], top[:, None]
    t = 1 / (1 + e)
    s = e * t
    curve = s * t * trigamma_tail(t)
    own = excess(t, s)
    # The top class may hold nearly everything: sums without it are summed without it.
    total, share_sum, own_sum = (_leave_one_out(part, at) for part in (e, s, own))
    rest = total_part(total, choices, _leave_one_out(e * s, at), share_sum)
    value = (shares * (rest + own_sum)).sum(1)
    below, above = tail_probability(total, choices)
    kept, little, much = (_leave_one_out(part, at) for part in (shares, shares * below, shares * above))
    slopes = kept * curve + torch.where(little <= 0.5 * kept, kept * s - little, much - kept * t)
    return value, slopes


def expected_divergence_of_many(
    e: Tensor, total: Tensor, top: Tensor, shares: Tensor, top_share: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """`expected_divergence` for K > 64, with sums taken once per row; its derivative in the top evidence is apart (n,).

    Args:
        e: Evidence (n, K), with 0 at the class with most of it.
        total: Its row sums (n,), in the type of `wide`.
        top: Evidence of that class, (n,), in the type of `wide`.
        shares: Shares (n, K), with 0 at that class.
        top_share: Its share, (n,), in the type of `wide`.

    Source:
        Ours. With E over all classes, y = 1/(K+E), u = y e_k and v = 1/(K+E−e_k),

            R(e without its k-th) = R(e) + s_k (E y − K u) − D(e_k) − (K−½)(−ln(1−u) − u) + u/2 + v u (a − K v/12)

        with a = 1/6 − K/2 − K y/12, from Stirling's series of the part of E; the next term is of order K⁻⁴.
    """
    choices = e.shape[1]
    t = (1 + e).reciprocal_()
    s = e * t
    scratch = torch.empty_like(e)
    own = excess(t, s, scratch=scratch)
    product_sum, share_sum, own_sum = (part.sum(1).to(total) for part in (e * s, s, own))
    top_t = 1 / (1 + top)
    top_s = top * top_t
    without_top = total_part(total, choices, product_sum, share_sum) + own_sum
    everything, top_own = total + top, excess(top_t, top_s)
    whole = total_part(everything, choices, product_sum + top * top_s, share_sum + top_s) + own_sum + top_own
    y = 1 / (choices + everything)

    def column(row: Tensor) -> Tensor:
        return row.to(e.dtype)[:, None]

    u = e * column(y)
    v = (1 - u).reciprocal_().mul_(column(y))
    lost = _polynomial(_L, u, scratch).mul_(u).mul_(u).mul_(choices - 0.5).add_(own)
    lost.addcmul_(torch.mul(u, -choices, out=own).add_(column(everything * y)), s, value=-1)
    torch.mul(v, -choices / 12, out=own).add_(column(1 / 6 - choices / 2 - choices / 12 * y)).mul_(v).add_(0.5)
    lost.addcmul_(own, u, value=-1)
    rest_share = shares.sum(1).to(total)
    value = top_share * without_top + rest_share * whole - (shares * lost).sum(1).to(total)
    # ∂/∂e_j = Σ_{k≠j} t_k (f′(e_j) − P_k) with P_k = (E − e_k) ψ′(K + E − e_k) and f′ = s + s t V; as in `divergence`
    # f′ − 1 and Q = 1 − P stand for them where the row has much evidence.
    little = (tail_probability(everything, choices)[0] <= 0.5).to(total)
    held = torch.addcmul(torch.mul(v, v, out=lost).div_(6), v, v.new_tensor(0.5), out=lost)
    held.mul_(torch.sub(column(everything), e, out=own).mul_(v))
    held.mul_(column(2 * little - 1)).addcmul_(own, column(little)).addcmul_(v, column((1 - little) * choices))
    held.mul_(shares)
    held_sum, top_below, top_above = held.sum(1).to(total), *tail_probability(total, choices)
    slope_top = top_s * top_t * trigamma_tail(top_t) + little * top_s - (1 - little) * top_t
    slope_top = rest_share * slope_top + (1 - 2 * little) * held_sum
    held_sum = held_sum + top_share * (little * top_below + (1 - little) * top_above)
    slopes = trigamma_tail(t, out=own).mul_(s).mul_(t).addcmul_(s, column(little)).addcmul_(t, column(little - 1))
    slopes.mul_(torch.sub(column(rest_share + top_share), shares, out=u))
    slopes.add_(held.sub_(column(held_sum)).mul_(column(2 * little - 1)))
    return value, slopes, slope_top


def _stirling(x: Tensor) -> tuple[Tensor, Tensor]:
    """lnΓ(x) − ((x − ½) ln x − x + ½ ln 2π) and its derivative, for x ≥ 4, to 3e-9."""
    y = 1 / x
    r = y * y
    value = y * (1 / 12 - r * (1 / 360 - r * (1 / 1260 - r * (1 / 1680 - r / 1188))))
    slope = -r * (1 / 12 - r * (1 / 120 - r * (1 / 252 - r * (1 / 240 - r / 132))))
    return value, slope


def _polynomial(coefficients: tuple[float, ...], x: Tensor, out: Tensor | None) -> Tensor:
    """Horner's scheme, one fused pass per degree; `out` must not be `x`."""
    constants = _constants(coefficients, x.dtype, x.device)
    out = torch.mul(x, constants[-1], out=out).add_(constants[-2])
    for constant in reversed(constants[:-2]):
        torch.addcmul(constant, out, x, out=out)
    return out


@functools.lru_cache(maxsize=64)
def _constants(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> tuple[Tensor, ...]:
    # Tensors of no dimension, which fused operations want on the device.
    return tuple(torch.tensor(values, dtype=dtype, device=device).unbind())


def _quadrature(like: Tensor) -> tuple[Tensor, Tensor]:
    """Nodes in (0, 1) and weights of Gauss-Legendre, along a new first dimension of `like`."""
    shape = (-1, *(1 for _ in like.shape))
    nodes, weights = (torch.tensor(each, dtype=like.dtype, device=like.device).view(shape) for each in _GAUSS)
    return nodes, weights


def _leave_one_out(values: Tensor, at: Tensor) -> Tensor:
    """For every entry the sum of the others in its row; the entry `at` is the one that may dominate."""
    rest = values.scatter(1, at, 0.0)
    total = rest.sum(1, keepdim=True)
    return (total - rest).add_(values.gather(1, at)).scatter_(1, at, total)
