"""Students and supervisors of choice tasks: fine-tuning a network with a fresh head, and predicting with it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import TrainingArguments

from outgrow import ranks
from outgrow.config import HERE, Local, Named
from outgrow.files import read_json, replacing, write_json
from outgrow.labels import ChoiceTargets, Rows
from outgrow.models.adapters import Adapter
from outgrow.models.classifier import ChoiceNetwork, Encoder, by_length, load_choice_network
from outgrow.models.loading import weights_identity
from outgrow.models.planning import Work
from outgrow.objectives import Objective
from outgrow.progress import Reporter
from outgrow.registry import create
from outgrow.run import Run
from outgrow.store import Artefact
from outgrow.train.arguments import FineTuning
from outgrow.train.checkpoints import whole_weights
from outgrow.train.features import Batched, prompt_matrix
from outgrow.train.step_context import StepContextTracker
from outgrow.train.supervised import Gather, RowLosses, fit
from outgrow.train.targets import make_objective, rows_of, target_tensors, training_hashes


@dataclass(frozen=True)
class NetworkLearner(FineTuning):
    """Fine-tuning of a network with a fresh head, wholly or through LoRA; see `ChoiceLearner`."""

    early_stopping: int | None = None
    """Patience in epochs, or None to train to the end."""
    batch_size: int = 32
    """Rows per batch when predicting."""

    def train(
        self, rows: Rows, targets: ChoiceTargets, objective: Named, run: Run, *, seed: int, name: str
    ) -> Artefact:
        """Train on targets; see `ChoiceLearner.train`."""
        learned = rows_of(rows, targets)
        loss = make_objective(objective)

        def make(folder: Path) -> None:
            classes = targets.probs.shape[1] if learned.options is None else 1
            network = new_network(self.model, self.adapter, classes, seed=seed, local=self.loaded)
            encoder = Encoder.load(self.model, network.backbone, max_length=self.max_length)
            arguments = self.arguments(folder, seed=seed)
            patience, reporter = self.early_stopping, run.reporter
            train_choice(
                network, encoder, learned.texts, targets, loss, arguments,
                early_stopping=patience, reporter=reporter, name=name,
            )  # fmt: skip
            save_network(network, folder, model=self.model, adapter=self.adapter)
            if ranks.first():
                shutil.rmtree(folder / "checkpoints", ignore_errors=True)

        recipe = {**self.recipe(loss, seed), "early_stopping": self.early_stopping}
        recipe |= training_hashes(learned, targets)
        return run.stage(
            "student", recipe, make, together=True, work=lambda: self.work(learned.texts, len(learned), head=False)
        )

    def logits(self, trained: Artefact, rows: Rows, run: Run, *, name: str) -> Tensor:
        """Return logits (N, K); see `ChoiceLearner.logits`."""
        recipe = {"student": trained.key, "max_length": self.max_length}  # the student's key knows the precision
        columns = len(rows.choices or ()) if rows.options is None else 1

        def reads(texts: Sequence[str]) -> Work:
            return Work(self.model, texts, self.batch_size, self.local, head=False, limit=self.max_length)

        # The model as named now: an equal one may have lain elsewhere when the student was trained.
        load = partial(_predictor, trained.path.resolve(), self.model, self.local, self.max_length, self.batch_size)
        seen = partial(weights_identity, self.model, self.local)
        found = prompt_matrix("logits", recipe, load, rows, run, seen=seen, name=name, columns=columns, reads=reads)
        return found.reshape(len(rows), -1)


def _predictor(folder: Path, model: str, local: Local, max_length: int | None, batch_size: int) -> Batched:
    network = load_network(folder, model=model, local=local)
    encoder = Encoder.load(model, network.backbone, max_length=max_length)
    return Batched(partial(predict_logits, network, encoder), batch_size)


class ChoiceLosses(RowLosses):
    """Per-row losses of an objective; with `window` or `memory` it also gets the predictions of the whole step."""

    def __init__(self, objective: Objective, targets: Tensor, weights: Tensor, lambdas: Tensor | None) -> None:
        self._objective, self._tracker = objective, StepContextTracker(objective, targets, weights, lambdas)
        self._gather: Gather = lambda tensor: tensor
        self._unseen = False

    def begin_step(self, model: nn.Module, pieces: Sequence[dict[str, Tensor]], gather: Gather) -> None:
        """Predict all rows of the step, of all processes, for objectives that need it.

        A step in one piece is predicted by the forward pass of its loss; more pieces take one more pass, without
        dropout, because the loss of the first depends on the predictions of all.
        """
        if not self._tracker.needed:
            return
        self._gather = gather
        if len(pieces) == 1:
            self._unseen = True
            return
        training = model.training
        model.eval()
        with torch.no_grad():
            logits = [_logits(model, piece) for piece in pieces]
        model.train(training)
        self._update(pieces, logits)

    def _update(self, pieces: Sequence[dict[str, Tensor]], logits: Sequence[Tensor]) -> None:
        log_probs = [torch.log_softmax(each.detach(), -1) for each in logits]
        columns = (log_probs, *([piece[name] for piece in pieces] for name in ("targets", "weights")))
        self._tracker.update(*(torch.cat([self._gather(each) for each in column]) for column in columns))
        self._unseen = False

    def __call__(self, model: nn.Module, batch: dict[str, Tensor], progress: float) -> Tensor:
        """Return losses of shape (N,)."""
        logits = _logits(model, batch)
        if self._unseen:
            self._update([batch], [logits])
        return self._objective(logits, batch["targets"], self._tracker.context(progress, logits.device))

    def state(self) -> Any:
        """Return the state of the tracker."""
        return self._tracker.state()

    def restore(self, state: Any) -> None:
        """Restore the state of the tracker."""
        self._tracker.restore(state)


def _logits(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    inputs = {key: value for key, value in batch.items() if key not in ("targets", "weights")}
    return cast(Tensor, model(**inputs)).float()


def train_choice(
    network: ChoiceNetwork,
    encoder: Encoder,
    prompts: Sequence[str],
    targets: ChoiceTargets,
    objective: Objective,
    arguments: TrainingArguments,
    *,
    early_stopping: int | None = None,
    reporter: Reporter | None = None,
    name: str = "train",
) -> None:
    """Fine-tune a network on targets of N prompts, or their votes where there are any, in place; see `fit`.

    `prompts` may be N·K texts: those of the first row's choices, then of the second's (`Rows.texts`).
    """
    goals, weights, lambdas = target_tensors(targets)
    tokens = encoder.tokenise(prompts)
    each = len(tokens) // len(goals)  # texts of a row
    rows = [
        {"tokens": tokens[index * each : (index + 1) * each], "target": goals[index], "weight": weights[index]}
        for index in range(len(goals))
    ]

    def collate(batch: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        inputs = dict(encoder.batch([text for row in batch for text in row["tokens"]]))
        if each > 1:
            inputs = {name: value.unflatten(0, (len(batch), each)) for name, value in inputs.items()}
        targets, weights = (torch.stack([row[key] for row in batch]) for key in ("target", "weight"))
        return {**inputs, "targets": targets, "weights": weights}

    losses = ChoiceLosses(objective, goals, weights, lambdas)

    def length(row: Mapping[str, Any]) -> int:
        return max(len(text["input_ids"]) for text in row["tokens"])

    fit(network, rows, collate, losses, arguments, length, early_stopping=early_stopping, reporter=reporter, name=name)


@torch.inference_mode()
def predict_logits(network: ChoiceNetwork, encoder: Encoder, prompts: Sequence[str], *, batch_size: int = 32) -> Tensor:
    """Return logits (N, K) of N prompts; they do not depend on the batch size."""
    return by_length(network.eval(), network, encoder, prompts, batch_size=batch_size)


def new_network(model: str, adapter: Named, classes: int, *, seed: int, local: Local = HERE) -> ChoiceNetwork:
    """Return a pretrained network with a fresh head and the adapter's trainable parameters."""
    network = load_choice_network(model, classes, seed=seed, local=local)
    wrapper: Adapter = create("adapter", adapter.name, adapter.params, "wrap")
    network.backbone = wrapper.wrap(network.backbone)
    return network


def save_network(network: ChoiceNetwork, folder: Path, *, model: str, adapter: Named) -> None:
    """Write the trained parameters (`weights.safetensors`) and the names of base model and adapter (`network.json`).

    All processes call it, and the first one writes.
    """
    trained = {name: value.contiguous() for name, value in whole_weights(network, trained_only=True).items()}
    if not ranks.first():
        return
    with replacing(folder / "weights.safetensors") as temporary:
        save_file(trained, temporary)
    about = {"model": model, "adapter": adapter.model_dump(), "classes": network.head.out_features}
    write_json(folder / "network.json", about)


def load_network(folder: Path, *, model: str | None = None, local: Local = HERE) -> ChoiceNetwork:
    """Load what `save_network` wrote; on top of another folder of the same base model if `model` is given."""
    about = read_json(folder / "network.json")
    network = new_network(model or about["model"], Named(**about["adapter"]), about["classes"], seed=0, local=local)
    network.load_state_dict(load_file(folder / "weights.safetensors"), strict=False)
    return network
