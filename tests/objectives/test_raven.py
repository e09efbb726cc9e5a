"""Weights of the supervisors learned together with the student."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from outgrow.errors import ConfigError
from outgrow.objectives import CrossEntropy, Raven, StepContext, cross_entropy
from outgrow.train.step_context import StepContextTracker

NAN = float("nan")


def one_hot(indices: list[int]) -> torch.Tensor:
    return torch.eye(2)[torch.tensor(indices)]


@given(st.integers(0, 10_000), st.integers(2, 4), st.integers(2, 5))
def test_weights_move_down_the_gradient_of_the_mixtures_loss(seed: int, people: int, choices: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    log_probs = torch.randn(7, choices, generator=generator, dtype=torch.float64).log_softmax(1)
    votes = torch.rand(7, people, choices, generator=generator, dtype=torch.float64).softmax(2)
    weights = torch.rand(7, generator=generator, dtype=torch.float64) + 0.1
    start = torch.rand(people, generator=generator, dtype=torch.float64) + 0.1
    theta = start.log().requires_grad_()
    mixture = torch.einsum("m,nmk->nk", torch.softmax(theta, 0), votes)
    loss = (weights * -(mixture * log_probs).sum(1)).sum() / weights.sum()
    (slope,) = torch.autograd.grad(loss, theta)
    expected = torch.softmax(theta - 0.5 * slope, 0)
    found = Raven(rate=0.5).memory(start).step(log_probs, votes, weights)
    torch.testing.assert_close(found.double(), expected.detach(), atol=1e-6, rtol=0)


def test_a_supervisor_who_says_nothing_in_a_step_neither_gains_nor_loses() -> None:
    memory = Raven(rate=5.0).memory(torch.ones(3))
    votes = torch.stack([one_hot([0, 0]), one_hot([1, 1]), torch.full((2, 2), NAN)], dim=1)
    first, second, silent = memory.step(torch.tensor([[0.9, 0.1]] * 2).log(), votes, torch.ones(2)).tolist()
    assert first > 1 / 3 > second
    assert (silent * 3 - 1) ** 2 < (first * 3 - 1) ** 2


def test_a_supervisor_of_no_weight_stays_without() -> None:
    memory = Raven(rate=1.0).memory(torch.tensor([1.0, 0.0]))
    votes = torch.stack([one_hot([1]), one_hot([0])], dim=1)
    assert memory.step(torch.tensor([[0.9, 0.1]]).log(), votes, torch.ones(1)).tolist() == [1.0, 0.0]


def test_at_first_only_rows_on_which_all_agree_teach() -> None:
    logits = torch.randn(4, 2)
    votes = torch.tensor(
        [
            [[0.9, 0.1], [0.6, 0.4]],  # agree
            [[0.9, 0.1], [0.4, 0.6]],
            [[NAN, NAN], [0.4, 0.6]],  # one voter agrees with himself
            [[NAN, NAN], [NAN, NAN]],
        ]
    )
    easy = Raven(easy=0.5)(logits, votes, StepContext(0.4))
    later = Raven(easy=0.5)(logits, votes, StepContext(0.5))
    assert (easy > 0).tolist() == [True, False, True, False]
    assert (later > 0).tolist() == [True, True, True, False]
    mean = torch.tensor([[0.75, 0.25], [0.65, 0.35], [0.4, 0.6]])
    torch.testing.assert_close(later[:3], cross_entropy(logits[:3], mean, reduction="none"))


def test_weight_goes_to_the_supervisors_whom_a_student_can_follow() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(3000, 20, generator=generator)
    truth = (features[:, 0] > 0).long()

    def opinion(wrong: float) -> torch.Tensor:
        flipped = torch.rand(3000, generator=generator) < wrong
        return torch.eye(2)[torch.where(flipped, 1 - truth, truth)]

    misled = torch.eye(2)[torch.where(features[:, 1] > 0, 1 - truth, truth)]
    votes = torch.stack([opinion(0.15), opinion(0.5), misled], dim=1)
    memory = StepContextTracker(Raven(), votes, torch.ones(3000), torch.ones(3))
    student = torch.stack([0.9 - 0.8 * truth, 0.1 + 0.8 * truth], dim=1).log()
    for _ in range(300):
        memory.update(student, votes, torch.ones(3000))
    lambdas = memory.context(1.0, torch.device("cpu")).lambdas
    assert lambdas is not None
    assert lambdas.argmax() == 0
    assert lambdas[0] > 0.6


def test_raven_without_votes_of_each_supervisor_is_cross_entropy() -> None:
    logits, targets = torch.randn(5, 3), torch.rand(5, 3).softmax(1)
    torch.testing.assert_close(*(each(logits, targets, StepContext(1.0)) for each in (Raven(), CrossEntropy())))
    assert not StepContextTracker(Raven(), targets, torch.ones(5), None).needed


def test_what_was_learned_about_the_supervisors_survives_an_interruption() -> None:
    votes = torch.rand(8, 3, 2).softmax(2)
    log_probs = torch.randn(8, 2).log_softmax(1)
    whole = StepContextTracker(Raven(rate=2.0), votes, torch.ones(8), torch.ones(3))
    whole.update(log_probs, votes, torch.ones(8))
    resumed = StepContextTracker(Raven(rate=2.0), votes, torch.ones(8), torch.ones(3))
    resumed.restore(whole.state())
    for each in (whole, resumed):
        each.update(log_probs, votes, torch.ones(8))
    assert whole.state() == resumed.state()


@pytest.mark.parametrize("params", [{"rate": -1.0}, {"easy": 1.0}, {"easy": -0.1}])
def test_parameters_out_of_range_are_refused(params: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="out of range"):
        Raven(**params)
