"""What an objective may leave out."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

from outgrow import registry
from outgrow.bridge import Bridging
from outgrow.errors import DataError
from outgrow.objectives import KTO, ConservativeDPO, Objective, PreferenceObjective, StepContext, TokenObjective
from outgrow.objectives.protocol import NO_CONTEXT
from outgrow.registry import create, names, register

LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.0, 1.0, 0.5]])
TARGETS = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]])
PAIRS = torch.tensor([[-3.0, -5.0]]), torch.tensor([[-4.0, -4.0]])


@dataclass(frozen=True)
class Mine:
    """An objective of a third party: nothing but its loss."""

    strength: float = 1.0

    def __call__(self, logits: Tensor, targets: Tensor, context: StepContext) -> Tensor:
        return self.strength * ((logits.softmax(-1) - targets) ** 2).sum(-1)


@pytest.fixture(autouse=True)
def no_traces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_REGISTERED", {kind: {} for kind in registry.KINDS})


def test_what_an_objective_of_a_third_party_leaves_out_comes_from_the_protocol() -> None:
    register("objective", "mine")(Mine)
    mixed = create("objective", "mine", {"strength": 2.0})
    assert (mixed.window, mixed.takes_votes) == (0, False)
    torch.testing.assert_close(mixed.predict(LOGITS.half()), LOGITS.softmax(-1), atol=1e-3, rtol=0)
    torch.testing.assert_close(mixed(LOGITS, TARGETS, NO_CONTEXT), Mine(2.0)(LOGITS, TARGETS, NO_CONTEXT))
    assert not hasattr(mixed, "vacuity")
    assert not hasattr(mixed, "memory")


def test_a_field_without_a_default_is_not_replaced_by_the_default_of_its_name() -> None:
    @registry.register("objective", "windowed")
    @dataclass(frozen=True)
    class Windowed(Mine):
        window: int = field(kw_only=True)

    assert create("objective", "windowed", {"window": 3}).window == 3


def test_token_and_preference_objectives_have_defaults_too() -> None:
    register("token_objective", "one")(lambda logits, labels, log_confidences, context: logits.sum(-1))
    register("preference", "one")(lambda policy, reference, wrong, reference_point: policy.sum(-1))
    token, pair = create("token_objective", "one", {}), create("preference", "one", {})
    assert (token.confidences, token.bridging) == (False, Bridging())
    assert (pair.takes_doubt, pair.takes_mismatched) == (False, False)


@pytest.mark.parametrize("name", names("objective"))
def test_every_objective_works_without_a_context_as_at_the_end_of_training(name: str) -> None:
    objective: Objective = create("objective", name, {})
    losses = objective(LOGITS, TARGETS)
    torch.testing.assert_close(losses, objective(LOGITS, TARGETS, StepContext(progress=1.0)), rtol=0, atol=0)
    torch.testing.assert_close(objective.predict(LOGITS).sum(1), torch.ones(2))


@pytest.mark.parametrize("name", names("token_objective"))
def test_every_token_objective_works_without_a_context(name: str) -> None:
    objective: TokenObjective = create("token_objective", name, {})
    labels, log_s = torch.tensor([0, 2]), torch.tensor([0.9, 0.5]).log()
    end = objective(LOGITS, labels, log_s, StepContext(progress=1.0))
    torch.testing.assert_close(objective(LOGITS, labels, log_s), end, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["dpo", "cdpo"])
def test_a_preference_objective_needs_of_the_pairs_only_what_it_uses(name: str) -> None:
    objective: PreferenceObjective = create("preference", name, {})
    everything = objective(*PAIRS, torch.tensor([0.3]), torch.zeros(()))
    torch.testing.assert_close(objective(*PAIRS), everything, rtol=0, atol=0)


def test_a_preference_objective_names_what_it_was_not_given() -> None:
    with pytest.raises(DataError, match="needs `wrong`"):
        ConservativeDPO(epsilon="ensemble")(*PAIRS)
    with pytest.raises(DataError, match="needs `reference_point`"):
        KTO()(*PAIRS)
