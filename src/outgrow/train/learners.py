"""Learners of choice tasks: what trains a model on targets and predicts with it, by way of the store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from outgrow.config import Named, weights_of
from outgrow.labels import ChoiceTargets, Rows
from outgrow.models.loading import check_model
from outgrow.registry import can, create
from outgrow.run import Run
from outgrow.store import Artefact
from outgrow.train.targets import make_objective

if TYPE_CHECKING:
    from torch import Tensor

    from outgrow.objectives import EvidentialObjective
    from outgrow.train.features import TrainedSection


class ChoiceLearner(Protocol):
    """A way to train a model for a choice task."""

    def train(
        self, rows: Rows, targets: ChoiceTargets, objective: Named, run: Run, *, seed: int, name: str
    ) -> Artefact:
        """Train on targets of some of the rows; found in the store if it was done before."""

    def logits(self, trained: Artefact, rows: Rows, run: Run, *, name: str) -> Tensor:
        """Return logits (N, K) of what `train` returned."""


def choice_learner(config: TrainedSection, trainer: Mapping[str, Any]) -> ChoiceLearner:
    """Return the learner that a section of an experiment file describes.

    Args:
        config: The strong model, or a supervisor that is trained.
        trainer: TrainingArguments of the user; probes do not use them.

    Raises:
        ConfigError: The adapter, one of its parameters or a trainer setting does not exist.
        ModelError: See `outgrow.models.loading.check_model`.
    """
    model = weights_of(config.model)
    check_model(model)
    adapter = create("adapter", config.adapter.name, config.adapter.params)
    if can(adapter, "fit"):
        from outgrow.train.features import FrozenFeatures
        from outgrow.train.probe import ProbeLearner

        return ProbeLearner(FrozenFeatures.of(config), adapter)
    # Only here, because the Trainer takes seconds to import and a probe does without.
    from outgrow.train.choice import NetworkLearner

    return NetworkLearner(
        model, config.adapter, config.max_length, trainer, config.early_stopping, batch_size=config.batch_size
    )


class PredictedChoices(NamedTuple):
    """What a trained model predicts on N rows."""

    probs: NDArray[np.float64]
    """Distributions, shape (N, K)."""
    vacuity: NDArray[np.float64] | None
    """Lack of evidence, shape (N,); None unless the objective measures evidence."""


def train_and_predict(
    learner: ChoiceLearner, targets: ChoiceTargets, objective: Named, rows: Rows, run: Run, *, seed: int, name: str
) -> PredictedChoices:
    """Train a model on targets of some of the rows, and predict all of them."""
    trained = learner.train(rows, targets, objective, run, seed=seed, name=f"train {name}")
    logits = learner.logits(trained, rows, run, name=f"predict {name}")
    loss = make_objective(objective)
    vacuity = cast("EvidentialObjective", loss).vacuity(logits).double().numpy() if can(loss, "vacuity") else None
    return PredictedChoices(loss.predict(logits).double().numpy(), vacuity)
