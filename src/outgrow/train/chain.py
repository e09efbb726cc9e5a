"""Bootstrapping: intermediate models between the supervisors and the strong one, each taught by the one before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outgrow.config import Intermediate, Named, weights_of
from outgrow.errors import DataError
from outgrow.labels import ChoiceTargets, Rows
from outgrow.models.loading import short_name
from outgrow.run import Run
from outgrow.train.learners import ChoiceLearner, choice_learner, train_and_predict


@dataclass(frozen=True)
class IntermediateModel:
    """A model that learns the labels of the one before it, and labels the rows for the one after.

    Source:
        Burns et al. 2023 (arXiv 2312.09390) §4.3.1; there every model labels rows that it was trained on. `folds` is
        ours.
    """

    name: str
    """Its name in progress reports and errors."""
    learner: ChoiceLearner
    """Trains it."""
    folds: int | None = None
    """Number of folds, each labelled by a model trained on the others; None trains one model on all rows."""

    @classmethod
    def of(cls, config: Intermediate, trainer: Mapping[str, Any]) -> IntermediateModel:
        """Return the model of a line under `chain`, with the experiment's TrainingArguments unless it has its own.

        Raises:
            OutgrowError: See `choice_learner`.
        """
        learner = choice_learner(config, trainer if config.trainer is None else config.trainer)
        return cls(short_name(weights_of(config.model)), learner, config.folds)

    def relabel(
        self, targets: ChoiceTargets, rows: Rows, objective: Named, run: Run, *, seed: int, name: str
    ) -> ChoiceTargets:
        """Return its predictions on all rows, as targets of weight 1.

        Args:
            targets: What it learns, for some of the rows.
            rows: The unlabelled rows.
            objective: What it minimises.
            run: Store and progress.
            seed: Seed of training and of the folds.
            name: Name of the step in progress reports.

        Raises:
            DataError: There are fewer rows than folds, or no target outside of a fold.
        """
        probs = np.empty((len(rows), targets.probs.shape[1]))
        for number, (fold, others) in enumerate(self._folds(targets, rows, seed)):
            step = f"{name} by {self.name}" + (f", fold {number + 1}" if self.folds else "")
            predicted = train_and_predict(self.learner, others, objective, rows, run, seed=seed, name=step)
            probs[fold] = predicted.probs[fold]
        return ChoiceTargets(rows.ids, probs, np.ones(len(rows)))

    def _folds(self, targets: ChoiceTargets, rows: Rows, seed: int) -> list[tuple[NDArray[np.intp], ChoiceTargets]]:
        """Positions of each fold's rows, and the targets of the other rows."""
        if self.folds is None:
            return [(np.arange(len(rows)), targets)]
        pairs = []
        for fold in np.array_split(np.random.default_rng(seed).permutation(len(rows)), self.folds):
            own = {rows.ids[index] for index in fold}
            others = [index for index, row in enumerate(targets.ids) if row not in own]
            if not own or not others:
                raise DataError(
                    f"Too few rows for the {self.folds} folds of {self.name}.",
                    found=f"{len(rows)} rows, {len(targets.ids)} of them with a target",
                    fix="Lower `folds` of the chain, or give more unlabelled rows.",
                )
            pairs.append((fold, targets.take(others)))
        return pairs
