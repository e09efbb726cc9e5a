"""Bootstrapping: intermediate models between the supervisors and the strong one, each taught by the one before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from outgrow.config import Intermediate, Named, weights_of
from outgrow.errors import DataError
from outgrow.labels import ChoiceTargets, Rows
from outgrow.models.loading import short_name
from outgrow.run import Run
from outgrow.train.learners import ChoiceLearner, choice_learner, outlook_of


@dataclass(frozen=True)
class Link:
    """One intermediate model: it learns the labels of the one before, and labels the rows for the one after.

    Source:
        Burns et al. 2023 (arXiv 2312.09390) §4.3.1; there every model labels rows that it was trained on. `folds` is
        ours.
    """

    name: str
    """What it is called."""
    learner: ChoiceLearner
    """Trains it."""
    folds: int | None = None
    """Let every row be labelled by a model that was trained on the other folds; None trains one model on all."""

    @classmethod
    def of(cls, config: Intermediate, trainer: Mapping[str, Any]) -> Link:
        """The link that an experiment file describes.

        Args:
            config: A line under `chain`.
            trainer: TrainingArguments of the experiment, which it uses where it has none of its own.

        Raises:
            OutgrowError: See `choice_learner`.
        """
        learner = choice_learner(config, trainer if config.trainer is None else config.trainer)
        return cls(short_name(weights_of(config.model)), learner, config.folds)

    def relabel(
        self, targets: ChoiceTargets, rows: Rows, objective: Named, run: Run, *, seed: int, name: str
    ) -> ChoiceTargets:
        """What the intermediate model says of all `rows`.

        Args:
            targets: What it learns, about some of the rows.
            rows: The unlabelled rows; also those without a target get one.
            objective: What it minimises.
            run: Store and progress.
            seed: Training seed; also deals the folds.
            name: What the step is called.

        Raises:
            DataError: There are fewer rows than folds, or no target outside of a fold.
        """
        probs = np.empty((len(rows), targets.probs.shape[1]))
        for number, (fold, taught) in enumerate(self._folds(targets, rows, seed)):
            step = f"{name} by {self.name}" + (f", fold {number + 1}" if self.folds else "")
            probs[fold] = outlook_of(self.learner, taught, objective, rows, run, seed=seed, name=step).probs[fold]
        return ChoiceTargets(rows.ids, probs, np.ones(len(rows)))

    def _folds(
        self, targets: ChoiceTargets, rows: Rows, seed: int
    ) -> list[tuple[np.ndarray[Any, np.dtype[np.intp]], ChoiceTargets]]:
        """Positions of the rows to label, and the targets that whoever labels them learns."""
        if self.folds is None:
            return [(np.arange(len(rows)), targets)]
        dealt = np.array_split(np.random.default_rng(seed).permutation(len(rows)), self.folds)
        pairs = []
        for fold in dealt:
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
