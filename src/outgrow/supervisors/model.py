"""Supervisors that are transformers classifiers, trained on gold rows."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from outgrow.config import ModelSupervisor, Named
from outgrow.errors import ConfigError
from outgrow.labels import ChoiceVotes, Rows
from outgrow.models.loading import short_name
from outgrow.supervisors.gold import judged_rows, training_rows
from outgrow.train.learners import choice_learner, gold_targets
from outgrow.workspace import Workspace


@dataclass(frozen=True)
class ModelLabeller:
    """`{model: gpt2, train: {}}`."""

    config: ModelSupervisor
    """The line of the experiment file."""

    def label(self, rows: Rows, workspace: Workspace, *, seed: int) -> ChoiceVotes:
        """Trains on gold rows and votes on the rest (see `ChoiceSupervisor.label`)."""
        name = self.config.name or short_name(self.config.model)
        if self.config.train is None:
            raise ConfigError(
                f"The supervisor {name} is a model that is not trained, which a choice task cannot use.",
                fix="Add `train: {}` to train it on the gold part.",
            )
        gold = training_rows(rows, self.config.rows, seed=seed, name=name)
        judged = judged_rows(rows)
        learner = choice_learner(self.config, self.config.train)
        trained = learner.train(
            gold,
            gold_targets(gold),
            Named(name="cross_entropy"),
            workspace,
            seed=seed,
            name=f"train {name}, seed {seed}",
        )
        logits = learner.logits(trained, judged, workspace, name=f"label with {name}, seed {seed}")
        probs = torch.softmax(logits.double(), dim=-1).numpy()
        return ChoiceVotes(judged.ids, (name,), probs[:, None, :])
