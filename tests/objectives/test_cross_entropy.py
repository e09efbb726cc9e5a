from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from outgrow.errors import DataError
from outgrow.objectives import CrossEntropy, StepContext, cross_entropy

SHAPES = st.tuples(st.integers(1, 6), st.integers(2, 7), st.integers(0, 10_000))


def drawn(shape: tuple[int, int, int], scale: float = 5.0) -> tuple[Tensor, Tensor]:
    """Float64 logits and target distributions of N rows and K classes."""
    n, k, seed = shape
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(n, k, generator=generator, dtype=torch.float64)
    return logits, torch.softmax(torch.randn(n, k, generator=generator, dtype=torch.float64), dim=-1)


@given(SHAPES)
def test_soft_targets_give_the_loss_of_torch(shape: tuple[int, int, int]) -> None:
    logits, targets = drawn(shape)
    for reduction in ("none", "mean"):
        ours = cross_entropy(logits, targets, reduction=reduction)
        torch.testing.assert_close(ours, functional.cross_entropy(logits, targets, reduction=reduction))


@given(SHAPES)
def test_indices_give_the_loss_of_torch(shape: tuple[int, int, int]) -> None:
    logits, targets = drawn(shape)
    labels = targets.argmax(dim=1)
    torch.testing.assert_close(cross_entropy(logits, labels), functional.cross_entropy(logits, labels))


@given(SHAPES)
def test_indices_and_their_one_hot_distributions_are_the_same(shape: tuple[int, int, int]) -> None:
    logits, targets = drawn(shape)
    labels = targets.argmax(dim=1)
    one_hot = functional.one_hot(labels, shape[1]).double()
    torch.testing.assert_close(cross_entropy(logits, one_hot), cross_entropy(logits, labels))


def test_a_class_ruled_out_costs_nothing_where_its_target_is_zero() -> None:
    logits = torch.tensor([[0.0, 1.0, -torch.inf]], requires_grad=True)
    targets = torch.tensor([[0.25, 0.75, 0.0]])
    loss = cross_entropy(logits, targets)
    torch.testing.assert_close(loss, functional.cross_entropy(logits[:, :2], targets[:, :2]))
    loss.backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_a_class_ruled_out_costs_infinitely_much_where_it_is_wanted() -> None:
    assert cross_entropy(torch.tensor([[0.0, -torch.inf]]), torch.tensor([[0.5, 0.5]])) == torch.inf


def test_gradients_are_those_of_finite_differences() -> None:
    logits, targets = drawn((4, 3, 1), scale=1.0)
    logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda z: cross_entropy(z, targets), logits)
    assert torch.autograd.gradcheck(lambda z: cross_entropy(z, targets.argmax(1), reduction="none"), logits)


def test_no_gradient_flows_into_the_targets() -> None:
    logits, targets = drawn((4, 3, 1))
    logits.requires_grad_()
    targets.requires_grad_()
    cross_entropy(logits, targets).backward()
    assert targets.grad is None
    assert logits.grad is not None


def test_the_mean_is_weighted() -> None:
    logits, targets = drawn((3, 2, 1))
    weights = torch.tensor([1.0, 0.0, 3.0], dtype=torch.float64)
    each = cross_entropy(logits, targets, reduction="none")
    torch.testing.assert_close(cross_entropy(logits, targets, weights=weights), (each[0] + 3 * each[2]) / 4)


def test_half_precision_logits_are_computed_on_in_fp32() -> None:
    logits, targets = drawn((5, 4, 2), scale=20.0)
    half = logits.to(torch.bfloat16)
    loss = cross_entropy(half, targets.float())
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, functional.cross_entropy(half.float(), targets.float()))


@pytest.mark.parametrize(
    ("logits", "targets"),
    [
        (torch.zeros(3, 2), torch.zeros(3)),  # floats of shape (N,) are no indices
        (torch.zeros(3, 2), torch.zeros(3, 3)),
        (torch.zeros(3, 2), torch.zeros(3, 2, dtype=torch.long)),
        (torch.zeros(3, 2), torch.zeros(2, dtype=torch.long)),
        (torch.zeros(3), torch.zeros(3, dtype=torch.long)),
    ],
)
def test_shapes_that_do_not_fit_are_refused(logits: Tensor, targets: Tensor) -> None:
    with pytest.raises(DataError, match="do not fit together"):
        cross_entropy(logits, targets)


def test_an_unknown_reduction_is_refused() -> None:
    with pytest.raises(DataError, match="reduction"):
        cross_entropy(*drawn((1, 2, 0)), reduction="sum")


def test_the_named_objective_is_the_function() -> None:
    logits, targets = drawn((4, 3, 5))
    each = CrossEntropy()(logits, targets, StepContext())
    torch.testing.assert_close(each, cross_entropy(logits, targets, reduction="none"))
    torch.testing.assert_close(CrossEntropy().predict(logits).sum(1), torch.ones(4))
