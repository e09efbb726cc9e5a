from __future__ import annotations

import itertools
import math

import pytest
import torch
from dirichlet_oracle import evidence_of, exact_multinomial, gradient_error
from torch import Tensor

from outgrow.errors import ConfigError, DataError
from outgrow.objectives import DirichletMultinomial, StepContext, dirichlet_multinomial, evidential
from outgrow.registry import create


def with_gradient(logits: Tensor, counts: Tensor, evidence: str = "exp") -> tuple[Tensor, Tensor]:
    leaf = logits.detach().clone().requires_grad_()
    losses = dirichlet_multinomial(leaf, counts, evidence=evidence, reduction="none")  # type: ignore[arg-type]
    losses.sum().backward()
    assert leaf.grad is not None
    return losses.detach(), leaf.grad


@pytest.mark.parametrize("scale", [1.0, 8.0, 40.0])
@pytest.mark.parametrize("k", [2, 5, 200])
def test_values_and_gradients_agree_with_eighty_digits(k: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(k)
    logits = (scale * torch.randn(3, k, generator=generator)).clamp(-80, 80)
    counts = torch.zeros(3, k)
    counts[0, 0], counts[0, 1] = 2.0, 1.0  # disagreement
    counts[1, logits[1].argmax()] = 3.0  # agreement with the student
    counts[2, :2] = torch.tensor([0.3, 0.45])  # soft votes
    losses, gradient = with_gradient(logits, counts)
    for row in range(3):
        value, slopes = exact_multinomial(logits[row].tolist(), counts[row].tolist())
        assert losses[row].item() == pytest.approx(float(value), rel=1e-6)
        wanted = torch.tensor([[float(each) for each in slopes]], dtype=torch.float64)
        assert gradient_error(gradient[row : row + 1], wanted) < 1e-6


@pytest.mark.parametrize("kind", ["exp", "softplus", "relu"])
def test_every_evidence_agrees_with_the_formula(kind: str) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(6, 4, generator=generator)
    counts = torch.randint(0, 4, (6, 4), generator=generator).float()
    losses, gradient = with_gradient(logits, counts, kind)
    exact = logits.double().requires_grad_()
    alpha, n = evidence_of(exact, kind) + 1, counts.double()
    own = (torch.lgamma(alpha + n) - torch.lgamma(alpha)).sum(1)
    wanted = torch.lgamma(alpha.sum(1) + n.sum(1)) - torch.lgamma(alpha.sum(1)) - own
    wanted.sum().backward()
    torch.testing.assert_close(losses.double(), wanted.detach(), rtol=1e-6, atol=1e-9)
    assert exact.grad is not None
    assert gradient_error(gradient, exact.grad) < 1e-6


def test_one_opinion_costs_what_the_evidential_data_term_costs() -> None:
    logits = torch.randn(4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = torch.tensor([0, 1, 4, 2])
    counts = torch.nn.functional.one_hot(labels, 5).double()
    found = dirichlet_multinomial(logits, counts, evidence="exp")
    torch.testing.assert_close(found, evidential(logits, labels, regularization=0), rtol=1e-9, atol=0)


def test_probabilities_of_all_opinion_sequences_add_up_to_one() -> None:
    logits = torch.tensor([[0.5, -1.0, 2.0]], dtype=torch.float64)
    total = 0.0
    for sequence in itertools.product(range(3), repeat=4):
        counts = torch.bincount(torch.tensor(sequence), minlength=3).double()[None]
        total += math.exp(-dirichlet_multinomial(logits, counts).item())
    assert total == pytest.approx(1.0, rel=1e-7)


def test_opinions_that_always_split_evenly_teach_concentration_and_those_that_agree_do_not() -> None:
    # Every row says 3:3, or half of them say 6:0 and half 0:6: the mean is ½ in both.
    def evidence_learned(counts: Tensor) -> float:
        logits = torch.zeros(1, 2, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.Adam([logits], lr=0.1)
        for _ in range(300):
            optimizer.zero_grad()
            dirichlet_multinomial(logits.expand(2, 2), counts).backward()
            optimizer.step()
        return torch.nn.functional.softplus(logits.detach()).sum().item()

    assert evidence_learned(torch.tensor([[3.0, 3.0], [3.0, 3.0]])) > 10
    assert evidence_learned(torch.tensor([[6.0, 0.0], [0.0, 6.0]])) < 0.1


def test_a_row_without_opinions_costs_nothing_and_does_not_count() -> None:
    logits = torch.tensor([[1.0, 2.0], [0.0, 1.0]])
    counts = torch.tensor([[0.0, 0.0], [2.0, 1.0]])
    losses, gradient = with_gradient(logits, counts)
    assert losses[0] == 0
    assert (gradient[0] == 0).all()
    torch.testing.assert_close(dirichlet_multinomial(logits, counts, evidence="exp"), losses[1])


@pytest.mark.parametrize("size", [100.0, 1000.0])
def test_logits_beyond_all_exponentials_stay_finite_and_signed_right(size: float) -> None:
    logits = torch.tensor([[size, 0.0], [0.0, size]])
    losses, gradient = with_gradient(logits, torch.tensor([[3.0, 0.0], [3.0, 0.0]]))
    assert losses.isfinite().all()
    assert gradient.isfinite().all()
    assert losses[0] < 1e-6
    assert losses[1] > 2.5 * size
    assert gradient[1, 0] < 0 < gradient[1, 1]


def test_the_named_objective_adds_up_votes_and_passes_over_abstentions() -> None:
    logits = torch.zeros(1, 2)
    votes = torch.tensor([[[0.9, 0.1], [math.nan, math.nan], [0.5, 0.5]]])
    found = DirichletMultinomial(weights=(1.0, 1.0, 0.5))(logits, votes, StepContext())
    wanted = dirichlet_multinomial(logits, torch.tensor([[1.15, 0.35]]), reduction="none")
    torch.testing.assert_close(found, wanted)


def test_the_named_objective_takes_a_combined_target_as_one_opinion() -> None:
    logits, target = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.4, 0.6]])
    found = DirichletMultinomial(weights=(1.0, 1.0))(logits, target, StepContext())
    torch.testing.assert_close(found, dirichlet_multinomial(logits, target, reduction="none"))


def test_the_prediction_is_the_mean_of_the_dirichlet() -> None:
    predicted = DirichletMultinomial(evidence="relu").predict(torch.tensor([[2.0, -5.0]]))
    torch.testing.assert_close(predicted, torch.tensor([[0.75, 0.25]]))


@pytest.mark.parametrize("counts", [torch.tensor([[1.0, -1.0]]), torch.tensor([[1.0, math.nan]]), torch.ones(1, 3)])
def test_counts_that_are_none_are_refused(counts: Tensor) -> None:
    with pytest.raises(DataError):
        dirichlet_multinomial(torch.zeros(1, 2), counts)


@pytest.mark.parametrize("params", [{"evidence": "cube"}, {"weights": [-1.0]}])
def test_an_experiment_file_with_a_wrong_parameter_is_refused(params: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        create("objective", "dirichlet_multinomial", params)
