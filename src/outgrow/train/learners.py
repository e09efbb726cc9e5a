"""Learners of choice tasks: anything trained on targets and then asked for logits, kept in the store."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from outgrow.config import ModelSupervisor, Named, Strong
from outgrow.labels import ChoiceTargets, Rows
from outgrow.models.adapters import Probe
from outgrow.models.classifier import Encoder, default_pooling, embed
from outgrow.models.loading import load_encoder, model_identity, short_name
from outgrow.objectives import Objective
from outgrow.registry import create
from outgrow.scale.local import map_shards, read_shards
from outgrow.store import Artefact, replacing, table_hash
from outgrow.train.choice import by_length, load_network, new_network, predict_logits, save_network, train_choice
from outgrow.train.probe import TrainedProbe, train_probe
from outgrow.workspace import Workspace

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
    """
    settings = create("adapter", config.adapter.name, config.adapter.params)
    if isinstance(settings, Probe):
        return ProbeLearner(config.model, settings, config.max_length, config.batch_size)
    early_stopping = config.early_stopping
    return NetworkLearner(config.model, config.adapter, config.max_length, config.batch_size, trainer, early_stopping)


@dataclass(frozen=True)
class NetworkLearner:
    """Fine-tuning a network with a fresh head, wholly or through LoRA."""

    model: str
    """A folder or hub id."""
    adapter: Named
    """`none` or `lora` with its parameters."""
    max_length: int | None
    """Cut prompts to so many tokens."""
    batch_size: int
    """Rows at once when predicting."""
    trainer: Mapping[str, Any] = field(default_factory=dict)
    """TrainingArguments of the user."""
    early_stopping: int | None = None
    """Patience in epochs, or None to train to the end."""

    def train(
        self, rows: Rows, targets: ChoiceTargets, objective: Named, workspace: Workspace, *, seed: int, name: str
    ) -> Artefact:
        """See `ChoiceLearner.train`."""
        learned = _rows_of(rows, targets)
        loss, about_loss = _objective(objective)

        def make(folder: Path) -> None:
            network = new_network(self.model, self.adapter, targets.probs.shape[1], seed=seed)
            encoder = Encoder.load(self.model, network.backbone, max_length=self.max_length)
            train_choice(
                network,
                encoder,
                learned.prompts,
                targets.probs,
                loss,
                folder / "checkpoints",
                weights=targets.weights,
                seed=seed,
                trainer=self.trainer,
                early_stopping=self.early_stopping,
                reporter=workspace.reporter,
                name=name,
            )
            save_network(network, folder, model=self.model, adapter=self.adapter)
            shutil.rmtree(folder / "checkpoints")

        recipe = {
            "model": model_identity(self.model),
            "adapter": self.adapter.model_dump(),
            "max_length": self.max_length,
            "trainer": dict(self.trainer),
            "early_stopping": self.early_stopping,
            "objective": about_loss,
            "seed": seed,
        }
        return workspace.get("student", {**recipe, **_learned(learned, targets)}, make)

    def logits(self, trained: Artefact, rows: Rows, workspace: Workspace, *, name: str) -> Tensor:
        """See `ChoiceLearner.logits`."""

        def make(folder: Path) -> None:
            network = load_network(trained.path)
            encoder = Encoder.load(self.model, network.backbone, max_length=self.max_length)

            def work(prompts: Sequence[str]) -> pa.Table:
                return _matrix_table(predict_logits(network, encoder, prompts, batch_size=self.batch_size))

            map_shards(work, rows.prompts, folder, shard_size=SHARD_ROWS, reporter=workspace.reporter, name=name)

        recipe = {"student": trained.key, "max_length": self.max_length, "prompts": _prompts_hash(rows)}
        return _read_matrix(workspace.get("logits", recipe, make))


@dataclass(frozen=True)
class ProbeLearner:
    """A linear head on frozen features, which are computed once and shared by all students."""

    model: str
    """A folder or hub id."""
    settings: Probe
    """Epochs, learning rate and the like."""
    max_length: int | None
    """Cut prompts to so many tokens."""
    batch_size: int
    """Rows at once when embedding."""

    def train(
        self, rows: Rows, targets: ChoiceTargets, objective: Named, workspace: Workspace, *, seed: int, name: str
    ) -> Artefact:
        """See `ChoiceLearner.train`."""
        learned = _rows_of(rows, targets)
        loss, about_loss = _objective(objective)

        def make(folder: Path) -> None:
            position = {row: index for index, row in enumerate(rows.ids)}
            features = self._features(rows, workspace)[[position[row] for row in learned.ids]]
            goals, weights = (torch.tensor(values, dtype=torch.float32) for values in (targets.probs, targets.weights))
            with workspace.reporter.step(name, total=self.settings.epochs) as step:
                head = train_probe(features, goals, weights, loss, self.settings, seed=seed, step=step)
            with replacing(folder / "probe.safetensors") as temporary:
                save_file({key: value.contiguous() for key, value in vars(head).items()}, temporary)

        recipe = {
            "model": model_identity(self.model),
            "probe": dataclasses.asdict(self.settings),
            "max_length": self.max_length,
            "objective": about_loss,
            "seed": seed,
        }
        return workspace.get("student", {**recipe, **_learned(learned, targets)}, make)

    def logits(self, trained: Artefact, rows: Rows, workspace: Workspace, *, name: str) -> Tensor:
        """See `ChoiceLearner.logits`."""
        head = TrainedProbe(**load_file(trained.path / "probe.safetensors"))
        return head.logits(self._features(rows, workspace))

    def _features(self, rows: Rows, workspace: Workspace) -> Tensor:
        """Pooled states (N, D) of the frozen network."""

        def make(folder: Path) -> None:
            network = load_encoder(self.model)
            encoder = Encoder.load(self.model, network, max_length=self.max_length)
            pooling = default_pooling(network)

            def work(prompts: Sequence[str]) -> pa.Table:
                return _matrix_table(
                    by_length(
                        lambda **batch: embed(network, batch, pooling), encoder, prompts, batch_size=self.batch_size
                    )
                )

            name = f"embed with {short_name(self.model)}"
            map_shards(work, rows.prompts, folder, shard_size=SHARD_ROWS, reporter=workspace.reporter, name=name)

        identity = model_identity(self.model)
        recipe = {"model": identity, "max_length": self.max_length, "prompts": _prompts_hash(rows)}
        return _read_matrix(workspace.get("features", recipe, make))


def gold_targets(rows: Rows) -> ChoiceTargets:
    """Targets that put all probability on the gold answer."""
    probs = np.eye(len(rows.choices or ()))[rows.gold_indices()]
    return ChoiceTargets(rows.ids, probs, np.ones(len(rows)))


def _rows_of(rows: Rows, targets: ChoiceTargets) -> Rows:
    position = {row: index for index, row in enumerate(rows.ids)}
    return rows.take([position[row] for row in targets.ids])


def _objective(config: Named) -> tuple[Objective, dict[str, Any]]:
    objective = create("objective", config.name, config.params)
    # Defaults written out: whether the user spelt them or not is the same training.
    return objective, {"name": config.name, **dataclasses.asdict(objective)}


def _learned(rows: Rows, targets: ChoiceTargets) -> dict[str, str]:
    return {"prompts": _prompts_hash(rows), "targets": table_hash(targets.to_arrow())}


def _prompts_hash(rows: Rows) -> str:
    return table_hash(pa.table({"prompt": pa.array(rows.prompts, pa.string())}))


def _matrix_table(matrix: Tensor) -> pa.Table:
    flat = pa.array(matrix.contiguous().numpy().reshape(-1), pa.float32())
    return pa.table({"values": pa.FixedSizeListArray.from_arrays(flat, matrix.shape[1])})


def _read_matrix(artefact: Artefact) -> Tensor:
    values = read_shards(artefact.path)["values"].combine_chunks()
    return torch.tensor(values.flatten().to_numpy().reshape(len(values), -1))
