from __future__ import annotations

import pytest
import torch
from torch import Tensor

from outgrow.objectives.sweep import Plan, sweep

PLANS = [Plan("exp"), Plan("exp", 0.5), Plan("softplus", 0.5), Plan("exp", 0.5, "shrunk", 10.0)]


def drawn(n: int, k: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(n)
    return 4 * torch.randn(n, k, generator=generator), torch.randint(k, (n,), generator=generator)


@pytest.mark.parametrize("plan", PLANS)
def test_a_retained_graph_gives_the_same_gradient_again(plan: Plan) -> None:
    logits, labels = drawn(5, 7)
    logits.requires_grad_()
    loss = sweep(logits, labels, plan).sum()
    (first,) = torch.autograd.grad(loss * 2, logits, retain_graph=True)
    kept = first.clone()
    (second,) = torch.autograd.grad(loss * 2, logits)
    assert torch.equal(first, kept)
    assert torch.equal(second, kept)


@pytest.mark.parametrize("plan", PLANS)
def test_losses_are_the_same_without_a_gradient(plan: Plan) -> None:
    logits, labels = drawn(5, 7)
    with torch.no_grad():
        without = sweep(logits, labels, plan)
    assert torch.equal(without, sweep(logits.requires_grad_(), labels, plan).detach())


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("plan", PLANS)
def test_rows_do_not_depend_on_their_neighbours(plan: Plan, soft: bool) -> None:
    logits, labels = drawn(40, 20_000)  # several chunks, in several threads where there are some
    targets = torch.nn.functional.one_hot(labels, 20_000).float() if soft else labels
    leaf = logits.requires_grad_()
    sweep(leaf, targets, plan).sum().backward()
    for row in (0, 17, 39):
        alone = logits[row : row + 1].detach().requires_grad_()
        loss = sweep(alone, targets[row : row + 1], plan)
        loss.sum().backward()
        assert alone.grad is not None
        assert leaf.grad is not None
        torch.testing.assert_close(leaf.grad[row : row + 1], alone.grad, rtol=1e-5, atol=1e-9)


def test_the_number_of_threads_survives() -> None:
    logits, labels = drawn(64, 20_000)
    before = torch.get_num_threads()
    sweep(logits, labels, Plan("exp", 1.0))
    assert torch.get_num_threads() == before


def test_threads_and_one_thread_give_the_same() -> None:
    logits, labels = drawn(64, 20_000)
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 3):
            torch.set_num_threads(threads)
            leaf = logits.detach().clone().requires_grad_()
            sweep(leaf, labels, Plan("exp", 1.0)).sum().backward()
            assert leaf.grad is not None
            results.append(leaf.grad)
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(results[0], results[1], rtol=1e-6, atol=0)


def test_logits_that_are_not_contiguous_are_taken() -> None:
    logits, labels = drawn(6, 6)
    straight = logits.t().contiguous().requires_grad_()
    turned = logits.detach().clone().requires_grad_()
    sweep(straight, labels, PLANS[1]).sum().backward()
    sweep(turned.t(), labels, PLANS[1]).sum().backward()
    assert straight.grad is not None
    assert turned.grad is not None
    assert torch.equal(turned.grad.t(), straight.grad)


def test_no_rows_give_no_losses() -> None:
    logits = torch.zeros(0, 3, requires_grad=True)
    losses = sweep(logits, torch.zeros(0, dtype=torch.long), Plan("exp", 1.0))
    losses.sum().backward()
    assert losses.shape == (0,)
