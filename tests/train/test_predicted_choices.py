"""What a trained student predicts, and how much evidence it says it has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from outgrow.config import Named
from outgrow.labels import Rows
from outgrow.run import Run
from outgrow.store import Artefact, Store
from outgrow.train.learners import train_and_predict
from outgrow.train.targets import gold_targets

ROWS = Rows(("a", "b"), ("x", "y"), ("unlabelled", "test"), (0, 1), ("no", "yes"))
LOGITS = torch.tensor([[2.0, 0.0], [0.0, 0.0]])


class Fixed:
    """A learner whose students always have the same logits."""

    def train(self, *given: Any, **options: Any) -> Any:
        return Artefact("student", "trial", Path(), 0.0)

    def logits(self, *given: Any, **options: Any) -> torch.Tensor:
        return LOGITS


def predicted(objective: Named) -> Any:
    learned = gold_targets(ROWS.part("unlabelled"))
    return train_and_predict(Fixed(), learned, objective, ROWS, Run(Store.default()), seed=0, name="trial")


@pytest.mark.parametrize("name", ["evidential", "bayesian", "dirichlet_multinomial"])
def test_a_student_trained_with_evidence_says_how_little_it_has(name: str) -> None:
    found = predicted(Named(name=name, evidence="relu"))
    assert found.vacuity.tolist() == [0.5, 1.0]  # α = (3, 1) and (1, 1)
    assert found.probs.tolist() == [[0.75, 0.25], [0.5, 0.5]]


def test_other_students_do_not() -> None:
    found = predicted(Named(name="cross_entropy"))
    assert found.vacuity is None
    assert found.probs == pytest.approx(LOGITS.double().softmax(1).numpy())
