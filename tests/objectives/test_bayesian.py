from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from outgrow.errors import ConfigError, DataError
from outgrow.objectives import Bayesian, StepContext, bayesian, evidential
from outgrow.registry import create

NAN = math.nan


def drawn(n: int, m: int, k: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(n, k, generator=generator, dtype=torch.float64)
    return logits, torch.softmax(torch.randn(n, m, k, generator=generator, dtype=torch.float64), dim=2)


@pytest.mark.parametrize("preset", ["default", "paper"])
@pytest.mark.parametrize("evidence", ["exp", "softplus", "relu"])
def test_the_loss_is_the_published_sum_over_supervisors_and_labels(evidence: str, preset: str) -> None:
    logits, votes = drawn(4, 3, 5)
    trust, gamma = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64), 0.25
    options = {"evidence": evidence, "preset": preset, "regularization": 0.7, "reduction": "none"}

    def single(label: Tensor) -> Tensor:
        return evidential(logits, label, **options)  # type: ignore[arg-type]

    per_label = torch.stack([single(torch.full((4,), k)) for k in range(5)], dim=1)
    wanted = (1 - gamma) * torch.einsum("m,nmk,nk->n", trust, votes, per_label) + gamma * single(logits.argmax(1))
    found = bayesian(logits, votes, weights=trust, gamma=gamma, **options)  # type: ignore[arg-type]
    torch.testing.assert_close(found, wanted, rtol=1e-7, atol=0)


def test_trust_is_shared_out_among_those_who_voted() -> None:
    logits, votes = drawn(1, 3, 4)
    votes[0, 1] = NAN
    found = bayesian(logits, votes, weights=torch.tensor([0.2, 0.5, 0.3]))
    wanted = bayesian(logits, votes[:, [0, 2]], weights=torch.tensor([0.4, 0.6]))
    torch.testing.assert_close(found, wanted)


def test_a_row_without_votes_costs_nothing_and_does_not_count() -> None:
    logits, votes = drawn(3, 2, 4)
    votes[1] = NAN
    logits.requires_grad_()
    losses = bayesian(logits, votes, reduction="none")
    assert losses[1] == 0
    mean = bayesian(logits, votes)
    torch.testing.assert_close(mean, (losses[0] + losses[2]) / 2)
    mean.backward()
    assert logits.grad is not None
    assert (logits.grad[1] == 0).all()
    assert logits.grad.isfinite().all()


def test_no_votes_at_all_are_a_loss_of_zero() -> None:
    logits, votes = drawn(2, 2, 3)
    logits.requires_grad_()
    loss = bayesian(logits, torch.full_like(votes, NAN))
    loss.backward()
    assert loss == 0
    assert logits.grad is not None
    assert (logits.grad == 0).all()


@pytest.mark.parametrize("m", [1, 2, 4, 50])
def test_any_number_of_supervisors_is_taken(m: int) -> None:
    logits, votes = drawn(3, m, 3)
    alike = votes[:, :1].expand(3, m, 3)
    torch.testing.assert_close(bayesian(logits, alike), bayesian(logits, votes[:, :1]))


def test_weights_may_differ_from_row_to_row() -> None:
    logits, votes = drawn(2, 2, 3)
    chosen = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    wanted = bayesian(logits, torch.stack([votes[0, :1], votes[1, 1:]]))
    torch.testing.assert_close(bayesian(logits, votes, weights=chosen), wanted)


def test_full_trust_in_oneself_ignores_the_votes() -> None:
    logits, votes = drawn(3, 2, 4)
    found = bayesian(logits, votes, gamma=1.0)
    torch.testing.assert_close(found, evidential(logits, logits.argmax(1)))


@given(st.integers(0, 1000), st.integers(1, 5), st.integers(2, 6))
def test_the_order_of_supervisors_does_not_matter(seed: int, m: int, k: int) -> None:
    logits, votes = drawn(3, m, k, seed)
    votes[0, 0] = NAN
    torch.testing.assert_close(bayesian(logits, votes), bayesian(logits, votes.flip(1)))


def test_the_named_objective_takes_votes_or_a_combined_target() -> None:
    logits, votes = drawn(3, 2, 4)
    named = Bayesian(weights=(1.0, 3.0))
    from_votes = named(logits, votes, StepContext())
    combined = 0.25 * votes[:, 0] + 0.75 * votes[:, 1]
    torch.testing.assert_close(from_votes, named(logits, combined, StepContext()))
    wanted = bayesian(logits, votes, weights=torch.tensor([1.0, 3.0]), reduction="none")
    torch.testing.assert_close(from_votes, wanted)


def test_the_trust_in_oneself_starts_at_zero() -> None:
    logits, votes = drawn(3, 2, 4)
    start = Bayesian()(logits, votes, StepContext(progress=0.0))
    torch.testing.assert_close(start, bayesian(logits, votes, gamma=0.0, progress=0.0, reduction="none"))


def test_a_list_of_weights_from_a_file_becomes_a_tuple() -> None:
    assert create("objective", "bayesian", {"weights": [0.25, 0.75]}) == Bayesian(weights=(0.25, 0.75))


@pytest.mark.parametrize("params", [{"gamma": 2}, {"warmup": -1}, {"weights": [1.0, -1.0]}, {"evidence": "cube"}])
def test_an_experiment_file_with_a_wrong_parameter_is_refused(params: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        create("objective", "bayesian", params)


@pytest.mark.parametrize("weights", [torch.ones(3), torch.tensor([1.0, -1.0]), torch.tensor([1.0, NAN])])
def test_weights_that_do_not_fit_are_refused(weights: Tensor) -> None:
    logits, votes = drawn(3, 2, 4)
    with pytest.raises(DataError):
        bayesian(logits, votes, weights=weights)


def test_votes_of_another_shape_are_refused() -> None:
    logits, votes = drawn(3, 2, 4)
    with pytest.raises(DataError):
        bayesian(logits, votes[:, :, :3])
