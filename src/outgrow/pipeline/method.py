"""The way of a choice task's method: from votes to targets, and from targets to what its student predicts."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outgrow.combine.filtering import surest
from outgrow.combine.mean import Mean
from outgrow.config import Filter, Method, Named
from outgrow.errors import ConfigError
from outgrow.labels import ChoiceTargets, ChoiceVotes, Rows, positions
from outgrow.objectives import Objective
from outgrow.registry import create
from outgrow.train.learners import ChoiceLearner, predictions_of
from outgrow.workspace import Workspace


@dataclass(frozen=True)
class ChoiceMethod:
    """A line under `methods` with every part made, so that what is misspelt is said before anything is computed."""

    name: str
    """What the experiment calls it."""
    combiner: Any
    """Votes to targets."""
    objective: Named
    """What the student minimises."""
    learner: ChoiceLearner
    """Trains the strong model."""
    filter: Filter | None = None
    """Which rows teach; None for all."""

    @classmethod
    def of(cls, name: str, settings: Method, learner: ChoiceLearner) -> ChoiceMethod:
        """The method that an experiment file describes.

        Raises:
            ConfigError: A name or a parameter is wrong, or the method cannot be used for a choice task.
        """
        if settings.refine is not None:
            raise ConfigError(
                f"methods.{name}: refinement is for text tasks, and this is a choice task.", fix="Remove `refine`."
            )
        create("objective", settings.objective.name, settings.objective.params)
        combiner = create("combiner", settings.combine.name, settings.combine.params)
        return cls(name, combiner, settings.objective, learner, settings.filter)

    def combined(self, votes: ChoiceVotes) -> ChoiceTargets:
        """One target per row that has a usable vote; with every vote beside it where the objective learns from each."""
        targets: ChoiceTargets = self.combiner(votes)
        objective: Objective = create("objective", self.objective.name, self.objective.params)
        if not objective.takes_votes or not isinstance(self.combiner, Mean):
            # A posterior is one opinion: whoever estimated it has already weighed every vote.
            return targets
        lambdas = self.combiner.lambdas(votes.supervisors, votes)
        kept = votes.take(positions(votes.ids, targets.ids)).probs
        return dataclasses.replace(targets, votes=kept, lambdas=lambdas)

    def student(self, targets: ChoiceTargets, rows: Rows, workspace: Workspace, *, seed: int) -> NDArray[np.float64]:
        """What the strong model predicts once it has learnt the combined targets.

        Args:
            targets: See `combined`.
            rows: The unlabelled and the test rows, N of them.
            workspace: Store and reporter.
            seed: Training seed.

        Returns:
            Probabilities, shape (N, K).
        """
        step = f"{self.name}, seed {seed}"
        if self.filter is not None:
            targets = surest(targets, self.filter.keep, per_class=self.filter.per_class, seed=seed)
        return predictions_of(self.learner, targets, self.objective, rows, workspace, seed=seed, name=step)
