"""Learners that fine-tune a network with a fresh head."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
from torch import Tensor

from outgrow.config import Named
from outgrow.identity import identity
from outgrow.labels import ChoiceTargets, Rows
from outgrow.models.classifier import Encoder
from outgrow.models.loading import model_identity
from outgrow.registry import create
from outgrow.run import Run
from outgrow.store import Artefact
from outgrow.train.choice import load_network, new_network, predict_logits, save_network, train_choice
from outgrow.train.learners import (
    blank_matrix,
    in_shards,
    learned_hashes,
    make_objective,
    matrix_table,
    prompts_hash,
    read_matrix,
    rows_of,
)
from outgrow.train.supervised import training_arguments


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

    def __post_init__(self) -> None:
        training_arguments(Path(), self.trainer, seed=0)  # refuses wrong settings before anything is computed

    def train(
        self, rows: Rows, targets: ChoiceTargets, objective: Named, run: Run, *, seed: int, name: str
    ) -> Artefact:
        """See `ChoiceLearner.train`."""
        learned = rows_of(rows, targets)
        loss = make_objective(objective)

        def make(folder: Path) -> None:
            network = new_network(self.model, self.adapter, targets.probs.shape[1], seed=seed)
            encoder = Encoder.load(self.model, network.backbone, max_length=self.max_length)
            train_choice(
                network,
                encoder,
                learned.prompts,
                targets.probs if targets.votes is None else targets.votes,
                loss,
                folder / "checkpoints",
                weights=targets.weights,
                lambdas=targets.lambdas,
                seed=seed,
                trainer=self.trainer,
                early_stopping=self.early_stopping,
                reporter=run.reporter,
                name=name,
            )
            save_network(network, folder, model=self.model, adapter=self.adapter)
            shutil.rmtree(folder / "checkpoints")

        recipe = {
            "model": model_identity(self.model),
            "adapter": identity(create("adapter", self.adapter.name, self.adapter.params)),
            "max_length": self.max_length,
            "trainer": dict(self.trainer),
            "early_stopping": self.early_stopping,
            "objective": identity(loss),
            "seed": seed,
        }
        return run.stage("student", {**recipe, **learned_hashes(learned, targets)}, make)

    def logits(self, trained: Artefact, rows: Rows, run: Run, *, name: str) -> Tensor:
        """See `ChoiceLearner.logits`."""

        def make(folder: Path) -> None:
            # The model as named now: an equal one may have lain elsewhere when the student was trained.
            network = load_network(trained.path, model=self.model)
            encoder = Encoder.load(self.model, network.backbone, max_length=self.max_length)

            def work(prompts: Sequence[str]) -> pa.Table:
                return matrix_table(predict_logits(network, encoder, prompts, batch_size=self.batch_size))

            in_shards(work, rows, folder, run, name=name)

        recipe = {"student": trained.key, "max_length": self.max_length, "prompts": prompts_hash(rows)}
        blank = blank_matrix(len(rows), len(rows.choices or ()))
        return read_matrix(run.stage("logits", recipe, make, blank=blank))
