from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from outgrow.errors import ConfigError, DataError
from outgrow.objectives import (
    GCE,
    Bootstrap,
    ConfidenceWindow,
    Product,
    StepContext,
    bootstrap,
    confidence_window,
    cross_entropy,
    generalized_cross_entropy,
    product,
)
from outgrow.registry import create


def drawn() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(6, 4, generator=generator, dtype=torch.float64)
    return logits, torch.softmax(torch.randn(6, 4, generator=generator, dtype=torch.float64), dim=1)


def gradient_of(loss: Tensor, logits: Tensor) -> Tensor:
    return torch.autograd.grad(loss, logits)[0]


@pytest.mark.parametrize("q", [0.3, 0.7, 1.0])
def test_generalized_cross_entropy_follows_its_formula(q: float) -> None:
    logits, targets = drawn()
    wanted = (targets * (1 - torch.softmax(logits, 1) ** q) / q).sum(1)
    torch.testing.assert_close(generalized_cross_entropy(logits, targets, q=q, reduction="none"), wanted)


def test_generalized_cross_entropy_becomes_cross_entropy_for_small_q() -> None:
    logits, targets = drawn()
    found = generalized_cross_entropy(logits, targets, q=1e-7)
    torch.testing.assert_close(found, cross_entropy(logits, targets), rtol=1e-5, atol=0)


def test_generalized_cross_entropy_moves_a_hopeless_label_less_than_cross_entropy() -> None:
    logits = torch.tensor([[6.0, 0.0]], requires_grad=True)
    label = torch.tensor([1])
    ours = gradient_of(generalized_cross_entropy(logits, label), logits)
    assert ours.abs().max() < 0.1 * gradient_of(cross_entropy(logits, label), logits).abs().max()


def test_generalized_cross_entropy_takes_classes_and_masked_classes() -> None:
    logits = torch.tensor([[1.0, 0.0, -torch.inf]], requires_grad=True)
    loss = generalized_cross_entropy(logits, torch.tensor([0]))
    p = torch.softmax(logits.detach(), 1)[0, 0]
    torch.testing.assert_close(loss.detach(), (1 - p**0.7) / 0.7)
    assert gradient_of(loss, logits).isfinite().all()


def test_the_product_target_is_labels_times_beliefs() -> None:
    logits, targets = drawn()
    mixed = targets**2 * torch.softmax(logits, 1) ** 0.5
    wanted = cross_entropy(logits, mixed / mixed.sum(1, keepdim=True), reduction="none")
    torch.testing.assert_close(product(logits, targets, alpha=2.0, beta=0.5, reduction="none"), wanted)


def test_a_product_without_trust_in_oneself_is_cross_entropy() -> None:
    logits, targets = drawn()
    torch.testing.assert_close(product(logits, targets, beta=0.0), cross_entropy(logits, targets))


def test_no_gradient_flows_through_the_product_target() -> None:
    logits, targets = drawn()
    logits.requires_grad_()
    mixed = targets * torch.softmax(logits.detach(), 1)
    wanted = gradient_of(cross_entropy(logits, mixed / mixed.sum(1, keepdim=True)), logits)
    torch.testing.assert_close(gradient_of(product(logits, targets), logits), wanted)


def test_a_product_of_beliefs_that_exclude_each_other_falls_back_on_the_labels() -> None:
    logits, targets = torch.tensor([[0.0, -torch.inf]]), torch.tensor([[0.0, 1.0]])
    assert product(logits, targets).item() == torch.inf
    finite = product(torch.tensor([[0.0, -30.0]]), targets)
    assert finite.item() == pytest.approx(30, rel=1e-5)


def test_hard_bootstrapping_mixes_in_the_students_own_answer() -> None:
    logits, targets = drawn()
    answers = functional.one_hot(logits.argmax(1), 4).double()
    wanted = cross_entropy(logits, 0.6 * targets + 0.4 * answers)
    torch.testing.assert_close(bootstrap(logits, targets, beta=0.6), wanted)


def test_soft_bootstrapping_sharpens_the_student() -> None:
    logits, targets = drawn()
    logits.requires_grad_()
    p = torch.softmax(logits, 1)
    wanted = (-(0.9 * targets + 0.1 * p) * p.log()).sum(1).mean()
    found = bootstrap(logits, targets, beta=0.9, hard=False)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(gradient_of(found, logits), gradient_of(wanted, logits))


def test_rows_of_which_the_student_is_sure_are_left_alone() -> None:
    logits = torch.tensor([[5.0, 0.0], [0.2, 0.0]], requires_grad=True)
    loss = confidence_window(logits, torch.tensor([1, 1]), high=0.9)
    torch.testing.assert_close(loss, cross_entropy(logits[1:], torch.tensor([1])))
    gradient = gradient_of(loss, logits)
    assert (gradient[0] == 0).all()
    assert (gradient[1] != 0).all()


def test_a_window_that_no_row_is_in_gives_a_loss_of_zero() -> None:
    loss = confidence_window(torch.tensor([[9.0, 0.0]]), torch.tensor([0]), high=0.6)
    assert loss == 0


def test_weights_count_only_inside_the_window() -> None:
    logits = torch.tensor([[5.0, 0.0], [0.2, 0.0], [0.0, 0.1]])
    labels, weights = torch.tensor([1, 1, 0]), torch.tensor([7.0, 3.0, 1.0])
    wanted = cross_entropy(logits[1:], labels[1:], weights=weights[1:])
    torch.testing.assert_close(confidence_window(logits, labels, high=0.9, weights=weights), wanted)


@pytest.mark.parametrize("objective", [GCE(), Product(warmup=0.0), Bootstrap(), ConfidenceWindow(high=0.8)])
def test_the_named_objective_gives_the_losses_of_its_function(objective: object) -> None:
    logits, targets = drawn()
    functions = {
        GCE: lambda: generalized_cross_entropy(logits, targets, reduction="none"),
        Product: lambda: product(logits, targets, reduction="none"),
        Bootstrap: lambda: bootstrap(logits, targets, reduction="none"),
        ConfidenceWindow: lambda: confidence_window(logits, targets, high=0.8, reduction="none"),
    }
    torch.testing.assert_close(objective(logits, targets, StepContext()), functions[type(objective)]())  # type: ignore[operator]


def test_the_product_trusts_the_labels_alone_at_the_start() -> None:
    logits, targets = drawn()
    start = Product()(logits, targets, StepContext(progress=0.0))
    torch.testing.assert_close(start, cross_entropy(logits, targets, reduction="none"))


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("gce", {"q": 0}),
        ("product", {"alpha": -1}),
        ("product", {"warmup": 2}),
        ("bootstrap", {"beta": 1.5}),
        ("confidence_window", {"low": 0.9, "high": 0.5}),
    ],
)
def test_an_experiment_file_with_a_wrong_parameter_is_refused(name: str, params: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        create("objective", name, params)


def test_a_parameter_out_of_range_is_refused() -> None:
    logits, targets = drawn()
    with pytest.raises(DataError):
        generalized_cross_entropy(logits, targets, q=0.0)
    with pytest.raises(DataError):
        product(logits, targets, beta=-1.0)
    with pytest.raises(DataError):
        bootstrap(logits, targets, beta=2.0)
    with pytest.raises(DataError):
        confidence_window(logits, targets, low=0.9, high=0.1)
