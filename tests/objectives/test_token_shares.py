"""What a student's own doubt does to weak log-probabilities."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from outgrow.objectives.tokens import largest_probabilities, pooled, student_split


def a_split(seed: int, tokens: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Log-probabilities, segments and confidences, shape (2, 3, tokens) each but the last, (2, 1, tokens)."""
    random = torch.Generator().manual_seed(seed)
    logprobs = -5 * torch.rand(2, 3, tokens, generator=random, dtype=torch.float64)
    begins = torch.rand(2, 3, tokens, generator=random) < 0.4
    begins[..., 0] = True
    places = torch.where(begins, torch.arange(tokens), 0)
    return logprobs, places.cummax(-1).values, torch.rand(2, 1, tokens, generator=random)


@given(st.integers(0, 10**6), st.integers(1, 9))
def test_every_segment_keeps_its_log_probability(seed: int, tokens: int) -> None:
    logprobs, segments, confidence = a_split(seed, tokens)
    found = student_split(logprobs, segments, confidence)
    for segment in range(tokens):
        inside = segments == segment
        torch.testing.assert_close((found * inside).sum(-1), (logprobs * inside).sum(-1))


@given(st.integers(0, 10**6))
def test_shares_within_a_segment_are_the_softmax_of_the_student_s_doubt(seed: int) -> None:
    logprobs, _, confidence = a_split(seed, 6)
    one_segment = torch.zeros_like(logprobs, dtype=torch.long)
    omega = torch.softmax(-confidence.double(), -1)
    torch.testing.assert_close(
        student_split(logprobs, one_segment, confidence), omega * logprobs.sum(-1, keepdim=True), atol=1e-6, rtol=1e-6
    )


def test_it_does_not_matter_how_a_segment_was_split_before() -> None:
    segments, confidence = torch.tensor([0, 0, 2]), torch.tensor([0.9, 0.1, 0.5])
    even = student_split(torch.tensor([-2.0, -2.0, -1.0]), segments, confidence)
    odd = student_split(torch.tensor([-4.0, 0.0, -1.0]), segments, confidence)
    torch.testing.assert_close(even, odd)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_the_largest_probability_is_the_softmax_s_without_a_gradient(dtype: torch.dtype) -> None:
    logits = (40 * torch.randn(50, 30, generator=torch.Generator().manual_seed(0))).to(dtype).requires_grad_()
    found = largest_probabilities(logits)
    assert not found.requires_grad
    torch.testing.assert_close(found, logits.detach().to(found).softmax(1).amax(1))


def test_an_impossible_token_stays_a_number() -> None:
    impossible = torch.tensor([[-torch.inf]])
    assert pooled(impossible, torch.ones(1)).isfinite().all()
    assert pooled(torch.cat([impossible, torch.zeros(1, 1)]), torch.tensor([0.5, 0.5])).exp().item() == 0.5
