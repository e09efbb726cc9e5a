"""Learners of choice tasks: anything trained on targets and then asked for logits, kept in the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from outgrow.config import ModelSupervisor, Named, Strong
from outgrow.labels import ChoiceTargets, Rows, positions
from outgrow.models.adapters import Probe
from outgrow.models.loading import check_model
from outgrow.registry import create
from outgrow.scale.local import map_shards, read_shards
from outgrow.store import Artefact, table_hash
from outgrow.workspace import Workspace

if TYPE_CHECKING:
    from torch import Tensor

    from outgrow.objectives import Objective

SHARD_ROWS = 1024
"""Rows between two savings: what a killed run may have to compute again."""


class ChoiceLearner(Protocol):
    """A way to train a model for a choice task."""

    def train(
        self, rows: Rows, targets: ChoiceTargets, objective: Named, workspace: Workspace, *, seed: int, name: str
    ) -> Artefact:
        """Trains on `targets`, which are about some of `rows`; found in the store if it was done before."""

    def logits(self, trained: Artefact, rows: Rows, workspace: Workspace, *, name: str) -> Tensor:
        """Logits (N, K) of what was trained."""


def choice_learner(config: Strong | ModelSupervisor, trainer: Mapping[str, Any]) -> ChoiceLearner:
    """The learner that an experiment file describes.

    Args:
        config: The strong model, or a supervisor that is trained.
        trainer: TrainingArguments of the user; probes do not use them.

    Raises:
        ConfigError: The adapter, one of its parameters or a trainer setting does not exist.
        ModelError: See `outgrow.models.loading.check_model`.
    """
    check_model(config.model)
    settings = create("adapter", config.adapter.name, config.adapter.params)
    if isinstance(settings, Probe):
        from outgrow.train.features import FrozenFeatures
        from outgrow.train.probe import ProbeLearner

        return ProbeLearner(FrozenFeatures.of(config), settings)
    # Only here, because the Trainer takes seconds to import and a probe does without.
    from outgrow.train.network import NetworkLearner

    early_stopping = config.early_stopping
    return NetworkLearner(config.model, config.adapter, config.max_length, config.batch_size, trainer, early_stopping)


class Outlook(NamedTuple):
    """What a trained model predicts on N rows."""

    probs: NDArray[np.float64]
    """Distributions, shape (N, K)."""
    vacuity: NDArray[np.float64] | None
    """How little evidence it has, shape (N,); None unless it was trained with evidence."""


def outlook_of(
    learner: ChoiceLearner,
    targets: ChoiceTargets,
    objective: Named,
    rows: Rows,
    workspace: Workspace,
    *,
    seed: int,
    name: str,
) -> Outlook:
    """What a model predicts on all of `rows` once it has learnt targets on some of them."""
    trained = learner.train(rows, targets, objective, workspace, seed=seed, name=f"train {name}")
    logits = learner.logits(trained, rows, workspace, name=f"predict {name}")
    loss = make_objective(objective)
    vacuity = loss.vacuity(logits).double().numpy() if hasattr(loss, "vacuity") else None
    return Outlook(loss.predict(logits).double().numpy(), vacuity)


def gold_targets(rows: Rows) -> ChoiceTargets:
    """Targets that put all probability on the gold answer."""
    probs = np.eye(len(rows.choices or ()))[rows.gold_indices()]
    return ChoiceTargets(rows.ids, probs, np.ones(len(rows)))


def rows_of(rows: Rows, targets: ChoiceTargets) -> Rows:
    """The rows that targets are about, in the targets' order."""
    return rows.take(positions(rows.ids, targets.ids))


def make_objective(config: Named) -> Objective:
    """The objective that a configuration names."""
    objective: Objective = create("objective", config.name, config.params)
    return objective


def learned_hashes(rows: Rows, targets: ChoiceTargets) -> dict[str, str]:
    """What was learned, for a recipe."""
    return {"prompts": prompts_hash(rows), "targets": table_hash(targets.to_arrow())}


def prompts_hash(rows: Rows) -> str:
    """Hash of the prompts, in order."""
    return table_hash(pa.table({"prompt": pa.array(rows.prompts, pa.string())}))


def in_shards(
    work: Callable[[Sequence[str]], pa.Table], rows: Rows, folder: Path, workspace: Workspace, *, name: str
) -> None:
    """Applies `work` to the rows' prompts, kept shard by shard in a folder."""
    map_shards(work, rows.prompts, folder, shard_size=SHARD_ROWS, reporter=workspace.reporter, name=name)


def matrix_table(matrix: Tensor) -> pa.Table:
    """A matrix (N, D) as a table with a line per row."""
    flat = pa.array(matrix.contiguous().numpy().reshape(-1), pa.float32())
    return pa.table({"values": pa.FixedSizeListArray.from_arrays(flat, matrix.shape[1])})


def read_matrix(artefact: Artefact) -> Tensor:
    """The matrix that an artefact's shards hold."""
    import torch

    values = read_shards(artefact.path)["values"].combine_chunks()
    return torch.tensor(values.flatten().to_numpy().reshape(len(values), -1))
