"""The formulas of the evidential objectives to the letter, in 80 digits or in float64 autograd."""

from __future__ import annotations

from collections.abc import Sequence

import mpmath
import torch
from torch import Tensor

mpmath.mp.dps = 80


def exact_divergence(evidence: Sequence[mpmath.mpf]) -> mpmath.mpf:
    """KL(Dir(1 + e) ‖ Dir(1))."""
    k, total = len(evidence), mpmath.fsum(evidence)
    own = mpmath.fsum(_own(e) for e in evidence)
    return mpmath.loggamma(k + total) - mpmath.loggamma(k) - total * mpmath.psi(0, k + total) + own


def exact_label_loss(logits: list[float], label: int, strength: float) -> tuple[mpmath.mpf, list[mpmath.mpf]]:
    """Value and gradient for exp evidence and a class target: data term + strength · divergence without the label."""
    e = [mpmath.e ** mpmath.mpf(z) for z in logits]
    size, k = len(e) + mpmath.fsum(e), len(e)
    value = mpmath.log(size) - mpmath.log(1 + e[label])
    gradient = [each / size for each in e]
    gradient[label] -= e[label] / (1 + e[label])
    e[label] = mpmath.mpf(0)
    total = mpmath.fsum(e)
    common = total * mpmath.psi(1, k + total)
    for index, each in enumerate(e):
        gradient[index] += strength * each * (each * mpmath.psi(1, 1 + each) - common)
    return value + strength * exact_divergence(e), gradient


def _own(e: mpmath.mpf) -> mpmath.mpf:
    return e * mpmath.psi(0, 1 + e) - mpmath.loggamma(1 + e)


def evidence_of(z: Tensor, kind: str) -> Tensor:
    return {"exp": torch.exp, "softplus": torch.nn.functional.softplus, "relu": torch.relu}[kind](z)


def plain_divergence(alpha: Tensor) -> Tensor:
    """KL(Dir(α) ‖ Dir(1)) over the last dimension, written down as it stands."""
    size, k = alpha.sum(-1), torch.tensor(float(alpha.shape[-1]), dtype=alpha.dtype)
    slopes = torch.digamma(alpha) - torch.digamma(size)[..., None]
    return torch.lgamma(size) - torch.lgamma(alpha).sum(-1) - torch.lgamma(k) + ((alpha - 1) * slopes).sum(-1)


def plain_evidential(z: Tensor, t: Tensor, kind: str, strength: float, preset: str) -> Tensor:
    """The evidential objective for probabilities t, in plain autograd; small K and moderate float64 logits only."""
    alpha = evidence_of(z, kind) + 1
    data = (t * (alpha.sum(-1, keepdim=True).log() - alpha.log())).sum(-1)
    if preset == "paper":
        return data + strength * plain_divergence(((alpha - 1) * (1 - t) + 1).clamp(-2e5, 2e5))
    without = (alpha - 1)[:, None, :] * (1 - torch.eye(z.shape[1], dtype=z.dtype)) + 1
    return data + strength * (t * plain_divergence(without)).sum(-1)


def exact_multinomial(logits: list[float], counts: list[float]) -> tuple[mpmath.mpf, list[mpmath.mpf]]:
    """Value and gradient of the Dirichlet–multinomial objective for exp evidence."""
    e = [mpmath.e ** mpmath.mpf(z) for z in logits]
    n = [mpmath.mpf(c) for c in counts]
    size, total = len(e) + mpmath.fsum(e), mpmath.fsum(n)
    value = _gain(size, total) - mpmath.fsum(_gain(1 + a, c) for a, c in zip(e, n, strict=True))
    common = mpmath.psi(0, size + total) - mpmath.psi(0, size)
    slopes = [mpmath.psi(0, 1 + a + c) - mpmath.psi(0, 1 + a) for a, c in zip(e, n, strict=True)]
    return value, [a * (common - slope) for a, slope in zip(e, slopes, strict=True)]


def _gain(x: mpmath.mpf, n: mpmath.mpf) -> mpmath.mpf:
    return mpmath.loggamma(x + n) - mpmath.loggamma(x)


def gradient_error(found: Tensor, wanted: Tensor) -> float:
    """Largest error of a row's gradient relative to its largest entry; rows in the first dimension."""
    wanted = wanted.double()
    return ((found.double() - wanted).abs().amax(1) / wanted.abs().amax(1).clamp_min(1e-37)).max().item()
