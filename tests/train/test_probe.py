from __future__ import annotations

import pytest
import torch
from torch import Tensor

from outgrow.objectives import Confidence, CrossEntropy, Objective
from outgrow.train.probe import Probe


def planted(rows: int = 600, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Features of unequal scale, and the class that a planted direction gives."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(rows, 6, generator=generator) * torch.tensor([1, 10, 0.1, 1, 1, 100]) + 5
    standard = (features - 5) / torch.tensor([1, 10, 0.1, 1, 1, 100])
    return features, (standard @ torch.tensor([1.0, -1.0, 1.0, 0.0, 0.0, 0.0]) > 0).long()


def trained(
    features: Tensor, targets: Tensor, objective: Objective | None = None, **changed: object
) -> dict[str, Tensor]:
    weights = changed.pop("weights", torch.ones(len(features)))
    seed = changed.pop("seed", 0)
    return Probe(**changed).fit(features, targets, weights, objective or CrossEntropy(), seed=seed)


def accuracy(probe: dict[str, Tensor], features: Tensor, labels: Tensor) -> float:
    return (Probe.logits(probe, features).argmax(1) == labels).float().mean().item()


def test_a_planted_direction_is_found() -> None:
    features, labels = planted()
    probe = trained(features, torch.eye(2)[labels], epochs=40, learning_rate=1e-2)
    assert accuracy(probe, *planted(seed=1)) > 0.95


@pytest.mark.parametrize("objective", [CrossEntropy(), Confidence(window=128)])
def test_a_probe_outgrows_labels_of_which_a_third_is_wrong(objective: Objective) -> None:
    features, labels = planted(2000)
    wrong = torch.rand(2000, generator=torch.Generator().manual_seed(7)) < 0.3
    probe = trained(features, torch.eye(2)[torch.where(wrong, 1 - labels, labels)], objective, epochs=20)
    assert accuracy(probe, *planted(seed=1)) > 0.9


def test_the_same_seed_gives_the_same_probe_and_another_seed_another() -> None:
    features, labels = planted()
    one, again, other = (trained(features, torch.eye(2)[labels], seed=seed, epochs=1) for seed in (0, 0, 1))
    assert torch.equal(one["weight"], again["weight"])
    assert not torch.equal(one["weight"], other["weight"])


def test_training_leaves_the_random_state_of_others_alone() -> None:
    features, labels = planted(50)
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    trained(features, torch.eye(2)[labels], epochs=1)
    assert torch.equal(torch.rand(1), expected)


def test_a_row_of_no_weight_teaches_nothing() -> None:
    features, labels = planted()
    lies = torch.arange(600) % 2 == 0
    targets = torch.eye(2)[torch.where(lies, 1 - labels, labels)]
    probe = trained(features, targets, weights=(~lies).float(), epochs=40, learning_rate=1e-2)
    assert accuracy(probe, *planted(seed=1)) > 0.9


def test_the_scale_of_a_feature_does_not_matter() -> None:
    features, labels = planted()
    plain, scaled = (trained(each, torch.eye(2)[labels], epochs=2) for each in (features, 8 * features))
    torch.testing.assert_close(Probe.logits(plain, features), Probe.logits(scaled, 8 * features), atol=1e-4, rtol=0)


def test_a_feature_that_never_varies_does_no_harm() -> None:
    features, labels = planted(100)
    features[:, 3] = 7.0
    probe = trained(features, torch.eye(2)[labels], epochs=1)
    assert torch.isfinite(Probe.logits(probe, features)).all()
