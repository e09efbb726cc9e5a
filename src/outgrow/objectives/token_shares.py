"""Weak log-probabilities split among a student's tokens by the student's current confidence in each."""

from __future__ import annotations

import math
import sys

import torch
from torch import Tensor

from outgrow.objectives.chunks import in_chunks, rows_per_chunk

_LEAST = math.log(sys.float_info.min)
"""Pooled log-confidences are clipped here, so that they stay finite where all weak models give probability 0."""


def largest_probabilities(logits: Tensor) -> Tensor:
    """Return the largest probability at each position, shape (N,), of logits (N, V), without a gradient.

    Example:
        >>> largest_probabilities(torch.tensor([[0.0, 0.0], [0.0, 1.0]]).log_softmax(1)).tolist()
        [0.5, 0.7310585975646973]
    """

    def chunk(part: slice, z: Tensor, out: Tensor | None) -> Tensor:
        return 1 / (z - z.amax(1, keepdim=True)).exp_().sum(1)

    work = torch.promote_types(logits.dtype, torch.float32)
    return in_chunks(logits.detach(), chunk, rows=rows_per_chunk(logits), work=work)


def student_split(logprobs: Tensor, segments: Tensor, confidence: Tensor) -> Tensor:
    """Split each segment's log-probability by the softmax of −m over its tokens: log s_j = ω_j · Σ_segment log p.

    As `split="student"` of `outgrow.bridge.bridge`, for a batch; Σ log s over a segment does not change.

    Args:
        logprobs: Log-probabilities of the tokens in any other split, shape (…, T).
        segments: A number in [0, T) that the tokens of a segment share, shape (…, T).
        confidence: m, the student's largest probability at each token, of a shape that broadcasts to (…, T); a
            constant, through which no gradient flows.

    Source:
        Cui et al. 2025 (arXiv 2406.03199), the weights ω of the word bridge.

    Example:
        >>> logs, segments = torch.tensor([-1.0, -1.0, -3.0]), torch.tensor([0, 0, 2])
        >>> student_split(logs, segments, torch.tensor([0.5, 0.5, 0.9])).tolist()
        [-1.0, -1.0, -3.0]
    """
    doubt = (-confidence.detach()).exp().to(logprobs).expand_as(logprobs)
    return _over_segments(logprobs, segments) * (doubt / _over_segments(doubt, segments))


def pooled(log_s: Tensor, shares: Tensor) -> Tensor:
    """Return log Σ_i λ_i s_i, the mean of O opinions: shape (…, T) from log s (…, O, T) and shares λ (…, O).

    Example:
        >>> print(pooled(torch.tensor([[0.8], [0.2]]).log(), torch.tensor([0.75, 0.25])).exp())
        tensor([0.6500])
    """
    return torch.logsumexp(log_s + shares.log()[..., None], dim=-2).clamp(_LEAST, 0.0)


def _over_segments(values: Tensor, segments: Tensor) -> Tensor:
    return torch.zeros_like(values).scatter_add(-1, segments, values).gather(-1, segments)
