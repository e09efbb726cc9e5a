from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from outgrow.errors import ConfigError, DataError
from outgrow.objectives import Confidence, StepContext, class_offsets, confidence, cross_entropy


def drawn(n: int, k: int, seed: int, scale: float = 2.0) -> tuple[Tensor, Tensor]:
    """Float64 logits of N rows, uneven between the K classes, and target distributions."""
    generator = torch.Generator().manual_seed(seed)
    tilt = torch.randn(k, generator=generator, dtype=torch.float64)
    logits = scale * torch.randn(n, k, generator=generator, dtype=torch.float64) + tilt
    return logits, torch.softmax(torch.randn(n, k, generator=generator, dtype=torch.float64), dim=-1)


def wanted_proportions(k: int, seed: int) -> Tensor:
    return torch.softmax(torch.randn(k, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), dim=0)


def hardened_counts(log_probs: Tensor, offsets: Tensor) -> Tensor:
    return torch.bincount((log_probs + offsets).argmax(1), minlength=log_probs.shape[1])


SEEDS = st.integers(0, 10_000)


@given(SEEDS, st.floats(0, 1))
def test_the_loss_is_a_mixture_of_weak_labels_and_hardened_predictions(seed: int, coefficient: float) -> None:
    logits, targets = drawn(5, 3, seed)
    mixed = (1 - coefficient) * cross_entropy(logits, targets) + coefficient * cross_entropy(logits, logits.argmax(1))
    torch.testing.assert_close(confidence(logits, targets, coefficient=coefficient), mixed)


@given(SEEDS)
def test_without_confidence_it_is_cross_entropy(seed: int) -> None:
    logits, targets = drawn(5, 4, seed)
    torch.testing.assert_close(confidence(logits, targets, coefficient=0), cross_entropy(logits, targets))


@given(SEEDS)
def test_with_all_confidence_it_is_cross_entropy_against_hardened_predictions(seed: int) -> None:
    logits, targets = drawn(5, 4, seed)
    own = cross_entropy(logits, logits.argmax(1))
    torch.testing.assert_close(confidence(logits, targets, coefficient=1), own)


@pytest.mark.parametrize("coefficient", [0.0, 0.5, 1.0])
def test_gradients_are_those_of_finite_differences(coefficient: float) -> None:
    logits, targets = drawn(6, 3, 4, scale=1.0)
    logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda z: confidence(z, targets, coefficient=coefficient), logits)


def test_no_gradient_flows_through_the_hardened_predictions_or_the_targets() -> None:
    logits, targets = drawn(6, 3, 4)
    logits.requires_grad_()
    targets.requires_grad_()
    confidence(logits, targets, coefficient=1.0, proportions=torch.tensor([0.2, 0.3, 0.5])).backward()
    assert logits.grad is not None
    assert targets.grad is None
    offsets = class_offsets(torch.log_softmax(logits.detach(), dim=-1), torch.tensor([0.2, 0.3, 0.5]))
    hardened = (torch.log_softmax(logits.detach(), dim=-1) + offsets).argmax(1)
    plain = logits.detach().clone().requires_grad_()
    cross_entropy(plain, hardened).backward()
    torch.testing.assert_close(logits.grad, plain.grad)


@given(st.integers(2, 60), SEEDS)
def test_two_classes_get_their_proportions_within_a_row(n: int, seed: int) -> None:
    log_probs = torch.log_softmax(drawn(n, 2, seed)[0], dim=-1)
    wanted = wanted_proportions(2, seed)
    counts = hardened_counts(log_probs, class_offsets(log_probs, wanted))
    assert (counts - wanted * n).abs().max() <= 0.5 + 1e-6


@given(st.sampled_from([(12, 3), (256, 20), (32, 5), (7, 4), (1000, 10), (5, 9)]), SEEDS)
@settings(max_examples=20)
def test_more_classes_get_exactly_the_rows_promised(shape: tuple[int, int], seed: int) -> None:
    n, k = shape
    log_probs = torch.log_softmax(drawn(n, k, seed)[0].double(), dim=-1)
    whole = np.random.default_rng(seed).multinomial(n, np.full(k, 1 / k))
    offsets = class_offsets(log_probs, torch.tensor(whole / n))
    counts = hardened_counts(log_probs, offsets)
    assert counts.tolist() == whole.tolist()
    # No other assignment with these counts is better: brute force by linear programming.
    columns = np.repeat(np.arange(k), whole)
    scores = log_probs.numpy()[:, columns]
    best = scores[linear_sum_assignment(scores, maximize=True)].sum()
    assert float(log_probs.gather(1, (log_probs + offsets).argmax(1, keepdim=True)).sum()) == pytest.approx(best)


@given(st.integers(3, 10), SEEDS)
def test_up_to_ten_classes_get_their_proportions_within_a_row(k: int, seed: int) -> None:
    n = 1000
    log_probs = torch.log_softmax(drawn(n, k, seed)[0], dim=-1)
    wanted = wanted_proportions(k, seed)
    counts = hardened_counts(log_probs, class_offsets(log_probs, wanted))
    assert (counts - n * wanted).abs().max() < 1 + 1e-6


@given(SEEDS)
def test_predictions_without_doubt_still_get_their_proportions(seed: int) -> None:
    """Log-probabilities of −inf, where the student is quite sure of the wrong classes."""
    log_probs = torch.log_softmax(drawn(200, 3, seed, scale=300.0)[0].float(), dim=-1)
    counts = hardened_counts(log_probs, class_offsets(log_probs, torch.tensor([0.2, 0.3, 0.5])))
    assert (counts / 200 - torch.tensor([0.2, 0.3, 0.5])).abs().max() <= 0.02


@pytest.mark.parametrize("empty", [0, 1, 2])
def test_a_class_of_no_share_is_never_chosen(empty: int) -> None:
    wanted = torch.full((3,), 0.5)
    wanted[empty] = 0
    log_probs = torch.log_softmax(drawn(50, 3, 1)[0], dim=-1)
    counts = hardened_counts(log_probs, class_offsets(log_probs, wanted))
    assert counts[empty] == 0
    assert counts.max() - counts.sum() / 2 <= 1


def test_proportions_the_predictions_have_already_leave_them_as_they_are() -> None:
    log_probs = torch.log_softmax(drawn(400, 3, 9)[0], dim=-1)
    own = torch.bincount(log_probs.argmax(1), minlength=3) / 400
    assert torch.equal(hardened_counts(log_probs, class_offsets(log_probs, own)), (own * 400).round().long())


def test_a_batch_is_hardened_with_offsets_from_a_larger_set() -> None:
    offsets = torch.tensor([0.0, 3.0])
    logits, targets = torch.tensor([[2.0, 0.0]]), torch.tensor([[1.0, 0.0]])
    loss = confidence(logits, targets, coefficient=1.0, offsets=offsets)
    torch.testing.assert_close(loss, cross_entropy(logits, torch.tensor([1])))


def test_proportions_and_offsets_together_are_refused() -> None:
    logits, targets = drawn(2, 2, 0)
    with pytest.raises(DataError, match="not both"):
        confidence(logits, targets, coefficient=0.5, proportions=torch.ones(2) / 2, offsets=torch.zeros(2))


def test_a_coefficient_outside_its_range_is_refused() -> None:
    with pytest.raises(DataError, match="coefficient"):
        confidence(*drawn(2, 2, 0), coefficient=1.5)


def test_the_coefficient_rises_without_a_jump() -> None:
    """Methods §10: warm-up that jumps."""
    logits, targets = drawn(8, 2, 3)
    named = Confidence(maximum=0.6, warmup=0.5)
    weak = cross_entropy(logits, targets, reduction="none")
    own = cross_entropy(logits, logits.argmax(1), reduction="none")
    for progress, coefficient in ((0.0, 0.0), (0.25, 0.3), (0.5, 0.6), (0.75, 0.6), (1.0, 0.6)):
        loss = named(logits, targets, StepContext(progress))
        torch.testing.assert_close(loss, (1 - coefficient) * weak + coefficient * own)


def test_without_warmup_the_coefficient_is_full_from_the_start() -> None:
    logits, targets = drawn(8, 2, 3)
    loss = Confidence(maximum=1.0, warmup=0.0)(logits, targets, StepContext(0.0))
    torch.testing.assert_close(loss, cross_entropy(logits, logits.argmax(1), reduction="none"))


@pytest.mark.parametrize("wrong", [{"maximum": 1.1}, {"warmup": -0.1}, {"window": -1}])
def test_parameters_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="out of range"):
        Confidence(**wrong)
