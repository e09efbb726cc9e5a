"""Preference objectives against their formulas in float64, their closed optima and their published special cases."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from outgrow.errors import ConfigError, DataError
from outgrow.objectives import (
    DPO,
    KTO,
    ConservativeDPO,
    PreferenceObjective,
    dpo,
    kto,
    kto_reference_point,
    preference_margins,
)

NO_POINT = torch.tensor(0.0)


def example(seed: int, pairs: int = 7, scale: float = 20.0) -> tuple[Tensor, Tensor, Tensor]:
    """Log-probabilities of texts under student and reference, and ε."""
    random = torch.Generator().manual_seed(seed)
    policy, reference = -scale * torch.rand(2, pairs, 2, generator=random)
    return policy.requires_grad_(), reference, 0.5 * torch.rand(pairs, generator=random)


def test_a_student_that_has_not_moved_loses_log_2_on_every_pair() -> None:
    policy, _, wrong = example(0)
    for epsilon in (0.0, 0.1, wrong):
        losses = dpo(policy, policy.detach(), epsilon=epsilon, reduction="none")
        assert losses.tolist() == pytest.approx([math.log(2)] * len(losses))


@pytest.mark.parametrize("seed", range(3))
def test_loss_and_gradient_are_those_of_the_formula_in_float64(seed: int) -> None:
    policy, reference, wrong = example(seed)
    losses = dpo(policy, reference, beta=0.3, epsilon=wrong, reduction="none")
    exact = policy.detach().double().requires_grad_()
    h = (exact[:, 0] - exact[:, 1]) - (reference[:, 0].double() - reference[:, 1].double())
    right = 1 / (1 + (-0.3 * h).exp())
    wanted = -(1 - wrong.double()) * right.log() - wrong.double() * (1 - right).log()
    torch.testing.assert_close(losses.double(), wanted, rtol=1e-5, atol=1e-6)
    (gradient,) = torch.autograd.grad(losses.sum(), policy)
    (wanted_gradient,) = torch.autograd.grad(wanted.sum(), exact)
    torch.testing.assert_close(gradient.double(), wanted_gradient, rtol=1e-5, atol=1e-6)
    # In closed form: ∂L/∂log π(c) = β (σ(βh) − (1 − ε)).
    torch.testing.assert_close(wanted_gradient[:, 0], 0.3 * (right - (1 - wrong.double())).detach())


@given(st.floats(0.01, 0.49), st.floats(0.05, 5.0))
def test_the_optimal_margin_is_the_log_odds_over_beta(epsilon: float, beta: float) -> None:
    best = torch.tensor([[math.log((1 - epsilon) / epsilon) / beta, 0.0]], dtype=torch.float64, requires_grad=True)
    loss = dpo(best, torch.zeros_like(best), beta=beta, epsilon=epsilon)
    (gradient,) = torch.autograd.grad(loss, best)
    assert gradient.abs().max() < 1e-9
    # There the loss is the entropy of the doubt.
    assert loss.item() == pytest.approx(-epsilon * math.log(epsilon) - (1 - epsilon) * math.log(1 - epsilon))


def test_gradient_descent_on_pairs_of_different_doubt_finds_the_optimum_of_each() -> None:
    wrong = torch.tensor([0.05, 0.2, 0.4, 0.5], dtype=torch.float64)
    policy = torch.zeros(4, 2, dtype=torch.float64, requires_grad=True)
    reference = torch.tensor([[-3.0, -1.0], [0.0, 0.0], [-2.0, -9.0], [-4.0, -4.0]], dtype=torch.float64)
    optimizer = torch.optim.LBFGS([policy], line_search_fn="strong_wolfe", tolerance_grad=1e-10)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = dpo(policy, reference, beta=0.5, epsilon=wrong)
        loss.backward()
        return loss

    optimizer.step(closure)
    found = preference_margins(policy, reference)
    torch.testing.assert_close(found.detach(), ((1 - wrong) / wrong).log() / 0.5, rtol=1e-4, atol=1e-4)


def test_turning_a_pair_round_is_the_same_as_turning_its_doubt_round() -> None:
    policy, reference, wrong = example(1)
    turned = dpo(policy.flip(1), reference.flip(1), epsilon=1 - wrong, reduction="none")
    torch.testing.assert_close(turned, dpo(policy, reference, epsilon=wrong, reduction="none"))


def test_a_penalty_is_paid_for_the_fall_of_the_text_that_is_held_to_be_the_better_one() -> None:
    policy, reference, wrong = example(4)
    fallen = 3.0 * (reference - policy.detach()).clamp_min(0)
    losses = dpo(policy, reference, beta=0.2, epsilon=wrong, penalty=3.0, reduction="none")
    margins = preference_margins(policy, reference).detach()
    right, turned = (1 / (1 + (-0.2 * one).exp()) for one in (margins - fallen[:, 0], -margins - fallen[:, 1]))
    torch.testing.assert_close(losses.detach(), -(1 - wrong) * right.log() - wrong * turned.log())
    mirrored = dpo(policy.flip(1), reference.flip(1), beta=0.2, epsilon=1 - wrong, penalty=3.0, reduction="none")
    torch.testing.assert_close(losses, mirrored)


def test_with_a_penalty_a_step_that_makes_both_texts_improbable_no_longer_pays() -> None:
    reference = torch.tensor([[-4.0, -4.0]])
    sunk = torch.tensor([[-6.0, -12.0]])  # a margin of 6, and the chosen text e² times less probable
    assert dpo(sunk, reference) < dpo(reference, reference)
    assert dpo(sunk, reference, penalty=5.0) > dpo(reference, reference, penalty=5.0)


def test_a_hopeless_margin_has_a_finite_loss_and_gradient() -> None:
    policy = torch.tensor([[-3e4, 0.0], [0.0, -3e4]], requires_grad=True)
    loss = dpo(policy, torch.zeros(2, 2), beta=1.0, epsilon=0.1)
    (gradient,) = torch.autograd.grad(loss, policy)
    assert loss.item() == pytest.approx((0.9 * 3e4 + 0.1 * 3e4) / 2)
    assert gradient.isfinite().all()


def test_half_precision_is_computed_on_in_full() -> None:
    policy, reference, _ = example(2)
    low = dpo(policy.bfloat16(), reference.bfloat16(), reduction="none")
    assert low.dtype == torch.float32
    torch.testing.assert_close(low, dpo(policy.bfloat16().float(), reference.bfloat16().float(), reduction="none"))


def test_the_reference_gets_no_gradient() -> None:
    policy, reference, _ = example(3)
    reference.requires_grad_()
    dpo(policy, reference).backward()
    assert reference.grad is None


def test_kto_and_its_gradient_are_those_of_the_published_value_function() -> None:
    policy, reference, _ = example(4)
    good = torch.tensor([1.0, 0.0] * len(policy))
    point = torch.tensor(1.5)
    losses = kto(policy.flatten(), reference.flatten(), good, point, beta=0.2, gain=1.3, loss=0.7, reduction="none")
    exact = policy.detach().double().requires_grad_()
    ratio = (exact - reference.double()).flatten()
    value = torch.where(good > 0, 1.3 * torch.sigmoid(0.2 * (ratio - 1.5)), 0.7 * torch.sigmoid(0.2 * (1.5 - ratio)))
    wanted = torch.where(good > 0, 1.3, 0.7) - value
    torch.testing.assert_close(losses.double(), wanted, rtol=1e-5, atol=1e-6)
    (gradient,) = torch.autograd.grad(losses.sum(), policy)
    (wanted_gradient,) = torch.autograd.grad(wanted.sum(), exact)
    torch.testing.assert_close(gradient.double(), wanted_gradient, rtol=1e-5, atol=1e-6)


def test_kto_of_an_uncertain_text_is_the_mean_over_both_readings() -> None:
    ratio, zero = torch.tensor([0.4, -2.0]), torch.zeros(2)

    def at(p: float) -> Tensor:
        return kto(ratio, zero, torch.full((2,), p), NO_POINT, gain=2.0, reduction="none")

    torch.testing.assert_close(at(0.3), 0.3 * at(1.0) + 0.7 * at(0.0))


def test_the_reference_point_is_a_weighted_mean_that_is_never_negative() -> None:
    policy = torch.tensor([-1.0, -7.0, -4.0], requires_grad=True)
    reference = torch.tensor([-3.0, -3.0, -4.0])
    point = kto_reference_point(policy, reference, torch.tensor([3.0, 1.0, 0.0]))
    assert point.item() == pytest.approx((3 * 2.0 - 4.0) / 4)
    assert not point.requires_grad
    assert kto_reference_point(policy, reference, torch.tensor([0.0, 1.0, 1.0])).item() == 0.0
    assert kto_reference_point(policy, reference, torch.zeros(3)).item() == 0.0


@pytest.mark.parametrize(
    ("objective", "pairs"),
    [
        (DPO(beta=0.3), lambda policy, reference, wrong: dpo(policy, reference, beta=0.3, reduction="none")),
        (DPO(penalty=2.0), lambda policy, reference, wrong: dpo(policy, reference, penalty=2.0, reduction="none")),
        (
            ConservativeDPO(epsilon="ensemble", penalty=2.0),
            lambda policy, reference, wrong: dpo(policy, reference, epsilon=wrong, penalty=2.0, reduction="none"),
        ),
        (
            ConservativeDPO(epsilon=0.2),
            lambda policy, reference, wrong: dpo(policy, reference, epsilon=0.2, reduction="none"),
        ),
        (
            ConservativeDPO(epsilon="ensemble"),
            lambda policy, reference, wrong: dpo(policy, reference, epsilon=wrong, reduction="none"),
        ),
        (
            KTO(epsilon="ensemble"),
            lambda policy, reference, wrong: (
                (
                    kto(policy[:, 0], reference[:, 0], 1 - wrong, NO_POINT, reduction="none")
                    + kto(policy[:, 1], reference[:, 1], wrong, NO_POINT, reduction="none")
                )
                / 2
            ),
        ),
    ],
)
def test_what_a_file_names_is_the_function_of_that_name(objective: PreferenceObjective, pairs: object) -> None:
    policy, reference, wrong = example(5)
    torch.testing.assert_close(objective(policy, reference, wrong, NO_POINT), pairs(policy, reference, wrong))  # type: ignore[operator]
    assert objective.takes_doubt == (getattr(objective, "epsilon", 0.0) == "ensemble")


@pytest.mark.parametrize(
    "make",
    [
        lambda: DPO(beta=0.0),
        lambda: DPO(penalty=-1.0),
        lambda: ConservativeDPO(epsilon=0.5),
        lambda: ConservativeDPO(epsilon=-0.1),
        lambda: KTO(gain=-1.0),
        lambda: KTO(gain=0.0, loss=0.0),
    ],
)
def test_parameters_out_of_range_are_refused(make: object) -> None:
    with pytest.raises(ConfigError, match="out of range"):
        make()  # type: ignore[operator]


def test_shapes_and_probabilities_that_do_not_fit_are_refused() -> None:
    policy, reference, wrong = example(6)
    for broken in (
        lambda: dpo(policy, reference[:3]),
        lambda: dpo(policy.flatten(), reference.flatten()),
        lambda: dpo(policy, reference, epsilon=wrong[:2]),
        lambda: dpo(policy, reference, epsilon=1.1),
        lambda: dpo(policy, reference, epsilon=math.nan),
    ):
        with pytest.raises(DataError):
            broken()
