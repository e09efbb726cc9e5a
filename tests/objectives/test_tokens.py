"""Objectives on tokens against their definition over the whole vocabulary, in float64 and by autograd."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from outgrow.errors import DataError
from outgrow.objectives import evidential, token_divergence, token_evidential
from outgrow.objectives.evidential import PAPER_CEILING, REGULARIZATION
from outgrow.objectives.special import unit_divergence


def target_of(logits: Tensor, labels: Tensor, log_s: Tensor, own_share: float = 0.0) -> Tensor:
    """The whole target, (N, V), in float64: s on the label, the student's own distribution on the rest."""
    z, s, at = logits.detach().double(), log_s.double().exp()[:, None], labels[:, None]
    others = z.scatter(1, at, -math.inf).softmax(1)
    target = (1 - own_share) * ((1 - s) * others).scatter(1, at, s)
    return target.scatter_add(1, z.argmax(1, keepdim=True), torch.full_like(s, own_share))


def divergence_of(alpha: Tensor) -> Tensor:
    """KL(Dir(α) ‖ Dir(1)) by torch's own gamma functions."""
    size = alpha.sum(1, keepdim=True)
    terms = (alpha - 1) * (torch.digamma(alpha) - torch.digamma(size))
    constant = torch.lgamma(size.squeeze(1)) - math.lgamma(alpha.shape[1])
    return constant - torch.lgamma(alpha).sum(1) + terms.sum(1)


def evidential_by_definition(
    logits: Tensor, labels: Tensor, log_s: Tensor, own_share: float, preset: str, rho: float | None
) -> Tensor:
    z, target = logits.double(), target_of(logits, labels, log_s, own_share)
    alpha = z.exp() + 1
    data = (target * (alpha.sum(1, keepdim=True).log() - alpha.log())).sum(1)
    rho = REGULARIZATION[preset] if rho is None else rho
    if preset == "paper":
        return data + rho * divergence_of(((alpha - 1) * (1 - target) + 1).clamp(max=PAPER_CEILING))
    scale = unit_divergence(2) / unit_divergence(logits.shape[1])
    return data + rho * scale * divergence_of(alpha.scatter(1, labels[:, None], 1.0))


def example(seed: int, rows: int = 9, tokens: int = 50, scale: float = 3.0) -> tuple[Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(rows, tokens, generator=random)
    labels = torch.randint(tokens, (rows,), generator=random)
    labels[:3] = logits[:3].argmax(1)
    log_s = -((3 * torch.rand(rows, generator=random)) ** 2)
    log_s[0], log_s[1] = 0.0, -1e-6
    return logits.requires_grad_(), labels, log_s


def assert_agree(loss: Tensor, wanted: Tensor, logits: Tensor, tolerance: float = 1e-5) -> None:
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    (wanted_gradient,) = torch.autograd.grad(wanted.sum(), logits)
    torch.testing.assert_close(loss.double(), wanted, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(gradient, wanted_gradient, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("seed", range(4))
def test_the_divergence_is_that_of_the_whole_target_from_the_prediction(seed: int) -> None:
    logits, labels, log_s = example(seed)
    target = target_of(logits, labels, log_s)
    log_p = logits.double().log_softmax(1)
    wanted = (torch.xlogy(target, target) - target * log_p).sum(1)
    assert_agree(token_divergence(logits, labels, log_s, reduction="none"), wanted, logits)


@pytest.mark.parametrize("own_share", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("preset", ["default", "paper"])
@pytest.mark.parametrize("rho", [0.0, None, 1.0])
def test_the_evidential_loss_is_that_of_the_whole_target(own_share: float, preset: str, rho: float | None) -> None:
    for seed in range(3):
        logits, labels, log_s = example(seed)
        loss = token_evidential(
            logits, labels, log_s, own_share=own_share, preset=preset, regularization=rho, reduction="none"
        )
        wanted = evidential_by_definition(logits, labels, log_s, own_share, preset, rho)
        assert_agree(loss, wanted, logits, tolerance=1e-5 if rho != 1.0 else 3e-5)


@pytest.mark.parametrize("preset", ["default", "paper"])
def test_a_whole_vocabulary_agrees_with_the_definition(preset: str) -> None:
    logits, labels, log_s = example(7, rows=6, tokens=32_000)
    loss = token_evidential(logits, labels, log_s, own_share=0.2, preset=preset, reduction="none")
    assert_agree(loss, evidential_by_definition(logits, labels, log_s, 0.2, preset, None), logits)


@pytest.mark.parametrize("preset", ["default", "paper"])
def test_sure_labels_give_the_evidential_loss_of_labels(preset: str) -> None:
    logits, labels, _ = example(1)
    sure = torch.zeros(len(labels))
    mine = token_evidential(logits, labels, sure, preset=preset, reduction="none")
    torch.testing.assert_close(mine, evidential(logits, labels, preset=preset, reduction="none"))


def test_sure_labels_give_the_cross_entropy() -> None:
    logits, labels, _ = example(2)
    mine = token_divergence(logits, labels, torch.zeros(len(labels)), reduction="none")
    torch.testing.assert_close(mine, torch.nn.functional.cross_entropy(logits, labels, reduction="none"))


def test_the_minimum_is_the_weak_model_s_confidence() -> None:
    logits = torch.zeros(1, 5, requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], max_iter=60)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = token_divergence(logits, torch.tensor([2]), torch.tensor([0.7]).log())
        loss.backward()
        return loss

    optimizer.step(closure)
    assert logits.softmax(1)[0, 2].item() == pytest.approx(0.7, abs=1e-3)


@pytest.mark.parametrize("preset", ["default", "paper"])
@settings(max_examples=60, deadline=None)
@given(
    logit=st.floats(-150, 300),
    other=st.floats(-150, 300),
    log_s=st.floats(-60, 0),
    own_share=st.sampled_from([0.0, 0.25]),
)
def test_nothing_overflows_or_turns_into_nan(
    preset: str, logit: float, other: float, log_s: float, own_share: float
) -> None:
    logits = torch.zeros(1, 300)
    logits[0, 3], logits[0, 5] = logit, other
    logits.requires_grad_()
    labels, confidence = torch.tensor([3]), torch.tensor([log_s])
    for loss in (
        token_divergence(logits, labels, confidence),
        token_evidential(logits, labels, confidence, own_share=own_share, preset=preset),
    ):
        (gradient,) = torch.autograd.grad(loss, logits)
        assert math.isfinite(loss.item())
        assert bool(gradient.isfinite().all())


def test_a_sure_label_loses_no_precision_where_one_minus_p_would_vanish() -> None:
    logits = torch.zeros(1, 32_000)
    logits[0, 1] = 30.0
    logits.requires_grad_()
    half = torch.tensor([0.5]).log()
    loss = token_divergence(logits, torch.tensor([1]), half)
    others = math.log(31_999) - 30.0
    log_p, log_rest = -math.log1p(math.exp(others)), others - math.log1p(math.exp(others))
    assert loss.item() == pytest.approx(-math.log(2) - 0.5 * log_p - 0.5 * log_rest, rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_the_gradient_has_the_type_of_the_logits(dtype: torch.dtype) -> None:
    logits, labels, log_s = example(3)
    typed = logits.detach().to(dtype).requires_grad_()
    for objective in (token_divergence, token_evidential):
        (gradient,) = torch.autograd.grad(objective(typed, labels, log_s), typed)
        plain = typed.detach().double().requires_grad_()
        (wanted,) = torch.autograd.grad(objective(plain, labels, log_s), plain)
        assert gradient.dtype == dtype
        torch.testing.assert_close(gradient.double(), wanted, rtol=1e-2, atol=1e-4)


def test_a_graph_that_is_kept_can_be_gone_back_through_twice() -> None:
    logits, labels, log_s = example(4)
    loss = token_evidential(logits, labels, log_s)
    first, second = (torch.autograd.grad(loss, logits, retain_graph=True)[0].clone() for _ in range(2))
    torch.testing.assert_close(first, second)


def test_weights_make_a_weighted_mean() -> None:
    logits, labels, log_s = example(5)
    weights = torch.arange(9.0)
    each = token_divergence(logits, labels, log_s, reduction="none")
    torch.testing.assert_close(token_divergence(logits, labels, log_s, weights=weights), each @ weights / 36)


@pytest.mark.parametrize(
    ("labels", "log_s"),
    [
        (torch.zeros(2, dtype=torch.long), torch.zeros(3)),
        (torch.zeros(3), torch.zeros(3)),
        (torch.zeros(3, dtype=torch.long), torch.tensor([0.0, 0.1, 0.0])),
        (torch.zeros(3, dtype=torch.long), torch.tensor([0.0, math.nan, 0.0])),
    ],
)
def test_what_does_not_fit_is_refused(labels: Tensor, log_s: Tensor) -> None:
    with pytest.raises(DataError):
        token_divergence(torch.zeros(3, 4), labels, log_s)
    with pytest.raises(DataError):
        token_evidential(torch.zeros(3, 4), labels, log_s)


def test_a_share_outside_its_range_is_refused() -> None:
    with pytest.raises(DataError, match="out of range"):
        token_evidential(torch.zeros(1, 2), torch.tensor([0]), torch.zeros(1), own_share=1.5)
