"""Learners of choice tasks: what trains a model on targets and predicts with it, by way of the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from outgrow.config import Intermediate, Named, weights_of
from outgrow.errors import DataError
from outgrow.identity import identity
from outgrow.labels import ChoiceTargets, Rows
from outgrow.labels.arrow import matrix
from outgrow.models.loading import check_local, check_model, short_name
from outgrow.registry import can, create
from outgrow.run import Run
from outgrow.store import Artefact
from outgrow.train.targets import make_objective, prompts_hash

if TYPE_CHECKING:
    from torch import Tensor

    from outgrow.objectives import EvidentialObjective
    from outgrow.train.features import TrainedSection


class ChoiceLearner(Protocol):
    """A way to train a model for a choice task."""

    @property
    def model(self) -> str:
        """Folder or hub id of the model that it starts from."""

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
        trainer: TrainingArguments of the user; probes check them only.

    Raises:
        ConfigError: The adapter, one of its parameters or a trainer setting does not exist.
        ModelError: See `outgrow.models.loading.check_model`.
    """
    model = weights_of(config.model)
    check_model(model)
    check_local(config.local)
    adapter = create("adapter", config.adapter.name, config.adapter.params)
    if can(adapter, "fit"):
        from outgrow.train.features import FrozenFeatures
        from outgrow.train.probe import ProbeLearner

        if trainer:
            from outgrow.train.arguments import training_arguments

            training_arguments(Path(), trainer, seed=0)  # not used, but a misspelt key is an error
        return ProbeLearner(FrozenFeatures.of(config), adapter)
    # Only here, because the Trainer takes seconds to import and a probe does without.
    from outgrow.train.choice import NetworkLearner

    return NetworkLearner(
        model, config.adapter, config.max_length, trainer, config.early_stopping, config.batch_size, local=config.local
    )


class PredictedChoices(NamedTuple):
    """What a trained model predicts on N rows."""

    probs: NDArray[np.float64]
    """Distributions, shape (N, K)."""
    vacuity: NDArray[np.float64] | None
    """Lack of evidence, shape (N,); None unless the objective measures evidence."""

    def to_arrow(self) -> pa.Table:
        """Return a table with a line per row."""
        flat = pa.array(self.probs.reshape(-1), pa.float64())
        columns = {"probs": pa.FixedSizeListArray.from_arrays(flat, self.probs.shape[1])}
        return pa.table(columns if self.vacuity is None else {**columns, "vacuity": self.vacuity})

    @classmethod
    def from_arrow(cls, table: pa.Table) -> PredictedChoices:
        """Read the table of `to_arrow`."""
        return cls(matrix(table["probs"]), table["vacuity"].to_numpy() if "vacuity" in table.column_names else None)


def train_and_predict(
    learner: ChoiceLearner,
    targets: ChoiceTargets,
    objective: Named,
    rows: Rows,
    run: Run,
    *,
    seed: int,
    name: str,
    others: Rows | None = None,
    student: str | None = None,
) -> PredictedChoices:
    """Train a model on targets of some of the rows (or of `others`), and predict all rows.

    What the store has of it is read without loading a model. With `student`, the name of a method, the trained model is
    recorded as its student; see `Run.keep`.
    """
    trained = learner.train(others or rows, targets, objective, run, seed=seed, name=f"train {name}")
    if student is not None:
        run.keep(student, seed, trained.path, learner.model)
    loss = make_objective(objective)

    def predict(folder: Path) -> PredictedChoices:
        logits = learner.logits(trained, rows, run, name=f"predict {name}")
        vacuity = cast("EvidentialObjective", loss).vacuity(logits).double().numpy() if can(loss, "vacuity") else None
        return PredictedChoices(loss.predict(logits).double().numpy(), vacuity)

    recipe = {"student": trained.key, "objective": identity(loss), "prompts": prompts_hash(rows)}
    return run.stage("predictions", recipe, predict, PredictedChoices, blank=predict, together=True)


@dataclass(frozen=True)
class IntermediateModel:
    """A model of a `chain`: it learns the labels of the one before it, and labels the rows for the one after.

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
        """Return its predictions on all rows, as targets of weight 1, after training on targets of some of them.

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
