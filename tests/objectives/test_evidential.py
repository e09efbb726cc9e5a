from __future__ import annotations

import math

import mpmath
import pytest
import torch
from dirichlet_oracle import exact_label_loss, gradient_error, plain_evidential
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from outgrow.errors import ConfigError, DataError
from outgrow.objectives import Evidential, StepContext, evidential
from outgrow.objectives.special import unit_divergence
from outgrow.registry import create


def strength(k: int) -> float:
    """Factor of R in the default preset with ρ = 1."""
    return unit_divergence(2) / unit_divergence(k)


def with_gradient(logits: Tensor, targets: Tensor, **options: object) -> tuple[Tensor, Tensor]:
    leaf = logits.detach().clone().requires_grad_()
    losses = evidential(leaf, targets, reduction="none", **options)  # type: ignore[arg-type]
    losses.sum().backward()
    assert leaf.grad is not None
    return losses.detach(), leaf.grad


@pytest.mark.parametrize("rho", [0.0, 1.0, 100.0])
@pytest.mark.parametrize("scale", [1.0, 10.0, 40.0])
@pytest.mark.parametrize("k", [2, 3, 60, 300])
def test_classes_agree_with_eighty_digits_in_value_and_gradient(k: int, scale: float, rho: float) -> None:
    generator = torch.Generator().manual_seed(k)
    logits = (scale * torch.randn(2, k, generator=generator)).clamp(-80, 80)
    labels = torch.tensor([0, logits[1].argmax().item()])
    losses, gradient = with_gradient(logits, labels, regularization=rho)
    for row in range(2):
        value, slopes = exact_label_loss(logits[row].tolist(), int(labels[row]), rho * strength(k))
        assert losses[row].item() == pytest.approx(float(value), rel=1e-6)
        wanted = torch.tensor([[float(each) for each in slopes]], dtype=torch.float64)
        assert gradient_error(gradient[row : row + 1], wanted) < 1e-6


@pytest.mark.parametrize("label_logit", [-80.0, 0.0, 30.0, 80.0])
@pytest.mark.parametrize("other_logit", [-80.0, -5.0, 0.0, 30.0, 80.0])
def test_a_vocabulary_with_one_label_agrees_with_eighty_digits(label_logit: float, other_logit: float) -> None:
    # All other tokens alike: the closed form then needs one of them, 31,999 times over.
    k = 32_000
    logits = torch.full((1, k), other_logit)
    logits[0, 7] = label_logit
    losses, gradient = with_gradient(logits, torch.tensor([7]), regularization=1.0)
    a, e = mpmath.e**label_logit + 1, mpmath.e**other_logit
    total = (k - 1) * e
    size, others = a + total + k - 1, total + k
    own = e * mpmath.psi(0, 1 + e) - mpmath.loggamma(1 + e)
    divergence = mpmath.loggamma(others) - mpmath.loggamma(k) - total * mpmath.psi(0, others) + (k - 1) * own
    value = mpmath.log(size) - mpmath.log(a) + strength(k) * divergence
    assert losses.item() == pytest.approx(float(value), rel=1e-6)
    regular = e * (e * mpmath.psi(1, 1 + e) - total * mpmath.psi(1, others))
    assert gradient[0, 0].item() == pytest.approx(float(e / size + strength(k) * regular), rel=1e-6, abs=1e-37)
    own_slope = (a - 1) * (1 / size - 1 / a)
    assert gradient[0, 7].item() == pytest.approx(float(own_slope), rel=1e-6, abs=1e-37)


@pytest.mark.parametrize("preset", ["default", "paper"])
@pytest.mark.parametrize("kind", ["exp", "softplus", "relu"])
@pytest.mark.parametrize("k", [2, 5, 40, 200])
def test_soft_targets_agree_with_the_formulas_to_the_letter(k: int, kind: str, preset: str) -> None:
    generator = torch.Generator().manual_seed(k)
    logits = 2 * torch.randn(8, k, generator=generator)
    targets = torch.softmax(2 * torch.randn(8, k, generator=generator), dim=1)
    for rho in (0.0, 1.0):
        losses, gradient = with_gradient(logits, targets, evidence=kind, preset=preset, regularization=rho)
        exact = logits.double().requires_grad_()
        factor = rho * (strength(k) if preset == "default" else 1.0)
        wanted = plain_evidential(exact, targets.double(), kind, factor, preset)
        wanted.sum().backward()
        torch.testing.assert_close(losses.double(), wanted.detach(), rtol=1e-6, atol=0.0)
        assert exact.grad is not None
        assert gradient_error(gradient, exact.grad) < 1e-6


def test_the_paper_preset_has_its_published_strength_and_cap() -> None:
    logits = torch.tensor([[1.0, 20.0, 0.5]], dtype=torch.float64)  # e²⁰ is far above 2·10⁵
    target = torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64)
    wanted = plain_evidential(logits, target, "exp", 1e-4, "paper")
    torch.testing.assert_close(evidential(logits, target, preset="paper", reduction="none"), wanted, rtol=1e-7, atol=0)
    _, with_cap = with_gradient(logits, target, preset="paper", regularization=1.0)
    _, without = with_gradient(logits, target, preset="paper", regularization=0.0)
    assert with_cap[0, 1].item() == without[0, 1].item()


@given(st.integers(2, 6), st.integers(0, 10_000), st.sampled_from(["default", "paper"]))
def test_a_class_and_its_one_hot_distribution_are_the_same(k: int, seed: int, preset: str) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = 5 * torch.randn(4, k, generator=generator)
    labels = torch.randint(k, (4,), generator=generator)
    one_hot = torch.nn.functional.one_hot(labels, k).float()
    by_class = with_gradient(logits, labels, preset=preset, regularization=1.0)
    by_share = with_gradient(logits, one_hot, preset=preset, regularization=1.0)
    torch.testing.assert_close(by_class, by_share, rtol=1e-5, atol=1e-7)


def test_the_default_loss_of_a_soft_target_is_the_mean_over_its_labels() -> None:
    logits = torch.randn(5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    share = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
    soft = evidential(logits, share.expand(5, 3), regularization=1.0, reduction="none")
    single = [
        evidential(logits, torch.full((5,), k), regularization=1.0, reduction="none") * share[k] for k in range(3)
    ]
    torch.testing.assert_close(soft, sum(single), rtol=1e-7, atol=0)


def test_the_gradient_is_that_of_finite_differences() -> None:
    logits = torch.randn(3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    targets = torch.tensor([0, 3, 1])
    assert torch.autograd.gradcheck(lambda z: evidential(z, targets, regularization=1.0), logits, atol=1e-6)


@pytest.mark.parametrize("k", [3, 500])
@pytest.mark.parametrize("size", [200.0, 1000.0, 1e5])
def test_logits_beyond_all_exponentials_stay_finite_and_signed_right(k: int, size: float) -> None:
    logits = torch.full((2, k), -15.0)
    logits[0, 0], logits[1, 1] = size, size
    logits[1, 0] = 0.0
    losses, gradient = with_gradient(logits, torch.zeros(2, dtype=torch.long), regularization=1.0)
    assert losses.isfinite().all()
    assert gradient.isfinite().all()
    assert losses[0] < 0.01
    assert losses[1] > size * 0.9
    assert gradient[1, 1] > 0.9  # wrong evidence goes down,
    assert -1 <= gradient[1, 0] <= -0.49  # the label's up


def test_the_data_term_is_exact_beyond_all_exponentials() -> None:
    logits = torch.tensor([[1000.0, 990.0, 0.0]])
    loss = evidential(logits, torch.tensor([2]), regularization=0)
    assert loss.item() == pytest.approx(1000 + math.log1p(math.exp(-10)) - math.log(2), rel=1e-6)


def test_soft_targets_keep_their_gradient_beyond_all_exponentials() -> None:
    _, gradient = with_gradient(torch.tensor([[1000.0, 0.0, 2.0]]), torch.tensor([[0.2, 0.5, 0.3]]), regularization=0.0)
    wanted = torch.tensor([[0.8, -0.5 * 0.5, -0.3 * torch.sigmoid(torch.tensor(2.0))]])
    torch.testing.assert_close(gradient, wanted)


def test_masked_classes_take_no_part() -> None:
    logits = torch.tensor([[1.0, -math.inf, 0.3]])
    losses, gradient = with_gradient(logits, torch.tensor([0]))
    assert losses.isfinite().all()
    assert gradient[0, 1] == 0


def test_half_precision_logits_are_computed_on_in_single() -> None:
    logits = torch.randn(4, 300, generator=torch.Generator().manual_seed(0)).bfloat16()
    labels = torch.arange(4)
    losses, gradient = with_gradient(logits, labels)
    wanted, wanted_gradient = with_gradient(logits.float(), labels)
    assert gradient.dtype == torch.bfloat16
    torch.testing.assert_close(losses, wanted)
    torch.testing.assert_close(gradient, wanted_gradient.bfloat16())


def test_no_gradient_reaches_soft_targets() -> None:
    targets = torch.tensor([[0.3, 0.7]], requires_grad=True)
    logits = torch.zeros(1, 2, requires_grad=True)
    evidential(logits, targets).backward()
    assert targets.grad is None
    assert logits.grad is not None


def test_the_regulariser_grows_with_progress_and_then_stays() -> None:
    logits, labels = torch.tensor([[0.0, 3.0]]), torch.tensor([0])
    losses = [evidential(logits, labels, progress=progress).item() for progress in (0.0, 0.5, 1.0, 2.0)]
    assert losses[0] == pytest.approx(evidential(logits, labels, regularization=0).item())
    assert losses[1] - losses[0] == pytest.approx((losses[2] - losses[0]) / 2, rel=1e-4)
    assert losses[3] == losses[2]


def test_one_strength_means_the_same_for_few_and_many_choices() -> None:
    # Evidence 1 for every wrong answer of 2 and of 32,000 costs nearly the same.
    costs = [
        evidential(torch.zeros(1, k), torch.tensor([0]), regularization=1.0).item()
        - evidential(torch.zeros(1, k), torch.tensor([0]), regularization=0.0).item()
        for k in (1000, 32_000)
    ]
    assert costs[0] == pytest.approx(costs[1], rel=0.01)


def test_weights_make_the_mean_a_weighted_one() -> None:
    logits, labels = torch.tensor([[0.0, 1.0], [2.0, 0.0]]), torch.tensor([0, 0])
    losses = evidential(logits, labels, reduction="none")
    mean = evidential(logits, labels, weights=torch.tensor([3.0, 1.0]))
    assert mean.item() == pytest.approx(((3 * losses[0] + losses[1]) / 4).item())


def test_the_prediction_and_vacuity_are_those_of_the_dirichlet() -> None:
    logits = torch.tensor([[2.0, -1.0, 0.0], [300.0, 0.0, 0.0]])
    objective = Evidential()
    alpha = logits[0].exp() + 1
    torch.testing.assert_close(objective.predict(logits)[0], alpha / alpha.sum())
    assert objective.vacuity(logits)[0].item() == pytest.approx(3 / alpha.sum().item())
    torch.testing.assert_close(objective.predict(logits)[1], torch.tensor([1.0, 0.0, 0.0]))
    assert objective.vacuity(logits)[1].item() == 0


def test_the_objective_ramps_its_regulariser_over_the_warm_up() -> None:
    logits, targets = torch.tensor([[0.0, 3.0]]), torch.tensor([[1.0, 0.0]])
    loss = Evidential(warmup=0.4)(logits, targets, StepContext(progress=0.1))
    torch.testing.assert_close(loss, evidential(logits, targets, progress=0.25, reduction="none"))


@pytest.mark.parametrize(
    "options", [{"evidence": "square"}, {"preset": "mine"}, {"regularization": -1.0}, {"progress": math.nan}]
)
def test_a_parameter_out_of_range_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(DataError):
        evidential(torch.zeros(1, 2), torch.tensor([0]), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("params", [{"evidence": "square"}, {"preset": "mine"}, {"regularization": -1}, {"warmup": 2}])
def test_an_experiment_file_with_a_wrong_parameter_is_refused(params: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        create("objective", "evidential", params)


def test_a_single_choice_is_refused() -> None:
    with pytest.raises(DataError):
        evidential(torch.zeros(1, 1), torch.tensor([0]))


def test_the_paper_preset_caps_every_class_not_the_divergence() -> None:
    # At V = 32,000 with one wrong token at a logit of 30: R of the capped concentrations, by the closed form.
    k = 32_000
    logits = torch.zeros(1, k, dtype=torch.float64)
    logits[0, 5] = 30.0
    label = torch.tensor([7])
    found = [evidential(logits, label, preset="paper", regularization=rho).item() for rho in (0.0, 1.0)]
    alpha = torch.full((k,), 2.0, dtype=torch.float64)
    alpha[5], alpha[7] = 2e5, 1.0
    flat = torch.distributions.Dirichlet(torch.ones(k, dtype=torch.float64))
    capped = float(torch.distributions.kl_divergence(torch.distributions.Dirichlet(alpha), flat))
    assert found[1] - found[0] == pytest.approx(capped, rel=1e-6)
    assert capped == pytest.approx(49_050, rel=1e-3)


@pytest.mark.parametrize("scale", [0.5, 3.0])
def test_float64_logits_have_the_accuracy_that_is_promised(scale: float) -> None:
    logits = scale * torch.randn(20, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = torch.arange(20) % 4
    found = [evidential(logits, labels, regularization=rho, reduction="none") for rho in (0.0, 1.0)]
    alpha = (logits.exp() + 1).scatter(1, labels[:, None], 1.0)
    flat = torch.distributions.Dirichlet(torch.ones(20, 4, dtype=torch.float64))
    exact = strength(4) * torch.distributions.kl_divergence(torch.distributions.Dirichlet(alpha), flat)
    errors = ((found[1] - found[0] - exact) / exact).abs()
    assert errors.max() < 1e-6
    own = logits.exp() + 1
    data = torch.log(own.sum(1)) - torch.log(own.gather(1, labels[:, None])).squeeze(1)
    torch.testing.assert_close(found[0], data, rtol=0, atol=1e-13)
