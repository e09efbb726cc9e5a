"""The named objectives of text tasks, and their warm-ups."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from outgrow.bridge import Bridging
from outgrow.errors import ConfigError
from outgrow.objectives import (
    StepContext,
    TokenBayesian,
    TokenCrossEntropy,
    TokenEvidential,
    token_divergence,
    token_evidential,
)
from outgrow.registry import create, names

LOGITS = torch.tensor([[2.0, 0.5, -1.0, 0.0], [0.0, 3.0, 1.0, -2.0]])
LABELS = torch.tensor([1, 1])
LOG_S = torch.tensor([-0.5, -0.1])


def loss_of(objective: Any, progress: float = 1.0) -> torch.Tensor:
    return objective(LOGITS, LABELS, LOG_S, StepContext(progress))


def same(one: torch.Tensor, other: torch.Tensor) -> None:
    torch.testing.assert_close(one, other, check_dtype=False)


def test_cross_entropy_learns_labels_as_certain_unless_asked_for_confidences() -> None:
    same(loss_of(TokenCrossEntropy()), torch.nn.functional.cross_entropy(LOGITS, LABELS, reduction="none"))
    wanted = token_divergence(LOGITS, LABELS, LOG_S, reduction="none")
    same(loss_of(TokenCrossEntropy(confidences=True)), wanted)


@pytest.mark.parametrize("preset", ["default", "paper"])
def test_evidential_raises_its_regulariser_over_the_warm_up(preset: str) -> None:
    objective = TokenEvidential(preset=preset, warmup=0.5)  # type: ignore[arg-type]
    for progress, behind in ((0.0, 0.0), (0.25, 0.5), (0.9, 1.0)):
        wanted = token_evidential(LOGITS, LABELS, LOG_S, preset=preset, progress=behind, reduction="none")  # type: ignore[arg-type]
        same(loss_of(objective, progress), wanted)


def test_bayesian_raises_its_trust_in_the_student_over_the_warm_up() -> None:
    for progress, behind in ((0.0, 0.0), (0.125, 0.5), (1.0, 1.0)):
        wanted = token_evidential(LOGITS, LABELS, LOG_S, own_share=0.25 * behind, progress=behind, reduction="none")
        same(loss_of(TokenBayesian(), progress), wanted)


@pytest.mark.parametrize("name", ["evidential", "bayesian"])
def test_the_paper_s_preset_takes_its_bridge_unless_told_otherwise(name: str) -> None:
    assert create("token_objective", name, {}).bridging == Bridging("characters", "uniform")
    assert create("token_objective", name, {"preset": "paper"}).bridging == Bridging("words", "student")
    told = create("token_objective", name, {"preset": "paper", "bridge": "characters", "split": "characters"})
    assert told.bridging == Bridging("characters", "characters")


@pytest.mark.parametrize("kind", [TokenEvidential, TokenBayesian])
def test_confidences_can_be_left_aside(kind: Any) -> None:
    certain = kind()(LOGITS, LABELS, torch.zeros(2), StepContext(0.0))
    same(loss_of(kind(confidences=False), 0.0), certain)
    assert not torch.allclose(loss_of(kind(), 0.0), certain)


def test_every_name_makes_an_objective() -> None:
    assert names("token_objective") == ["bayesian", "cross_entropy", "evidential"]
    for name in names("token_objective"):
        assert loss_of(create("token_objective", name, {})).shape == (2,)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("bayesian", {"gamma": 1.5}),
        ("bayesian", {"warmup": -1}),
        ("evidential", {"warmup": 2}),
        ("evidential", {"preset": "other"}),
        ("evidential", {"regularization": -1}),
        ("cross_entropy", {"confidences": "perhaps"}),
        ("cross_entropy", {"bridge": "sentences"}),
        ("bayesian", {"split": "even"}),
    ],
)
def test_parameters_out_of_range_are_refused(name: str, parameters: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        create("token_objective", name, parameters)
