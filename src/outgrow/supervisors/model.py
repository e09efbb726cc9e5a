"""Supervisors that are transformers classifiers, trained on gold rows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch

from outgrow.config import ModelSupervisor, Named
from outgrow.errors import ConfigError
from outgrow.labels import ChoiceVotes, Rows
from outgrow.models.loading import short_name
from outgrow.supervisors.gold import judged_rows, training_rows
from outgrow.train.learners import ChoiceLearner, choice_learner, gold_targets
from outgrow.workspace import Workspace


@dataclass(frozen=True)
class ModelLabeller:
    """`{model: gpt2, train: {}}`."""

    config: ModelSupervisor
    """The line of the experiment file."""

    def __post_init__(self) -> None:
        if self.config.train is None:
            raise ConfigError(
                f"The supervisor {self._name} is a model that is not trained, which a choice task cannot use.",
                fix="Add `train: {}` to train it on the gold part.",
            )
        _ = self._learner  # made now, so that what is misspelt is said before anything is computed

    def label(self, rows: Rows, workspace: Workspace, *, seed: int) -> ChoiceVotes:
        """Trains on gold rows and votes on the rest (see `ChoiceSupervisor.label`)."""
        name = self._name
        gold = training_rows(rows, self.config.rows, seed=seed, name=name)
        judged = judged_rows(rows)
        trained = self._learner.train(
            gold,
            gold_targets(gold),
            Named(name="cross_entropy"),
            workspace,
            seed=seed,
            name=f"train {name}, seed {seed}",
        )
        logits = self._learner.logits(trained, judged, workspace, name=f"label with {name}, seed {seed}")
        probs = torch.softmax(logits.double(), dim=-1).numpy()
        return ChoiceVotes(judged.ids, (name,), probs[:, None, :])

    @property
    def _name(self) -> str:
        return self.config.name or short_name(self.config.model)

    @cached_property
    def _learner(self) -> ChoiceLearner:
        return choice_learner(self.config, self.config.train or {})
