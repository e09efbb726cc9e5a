"""Fine-tuning with transformers.Trainer and an exact loss.

The loss of an optimizer step is Σ w·ℓ / Σ w over the whole accumulated batch of all processes. So 16 rows at once, four
times four, or eight on each of two processes give the same gradients, uneven last batches included.
"""

from __future__ import annotations

import copy
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.utils.data import Sampler
from transformers import (
    EarlyStoppingCallback,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer_utils import SaveStrategy

from outgrow import ranks
from outgrow.errors import ConfigError, ModelError
from outgrow.progress import Reporter, SilentReporter, Step
from outgrow.train.arguments import Arguments
from outgrow.train.batches import PaddedRows, ShuffledRows, padding_without_weight
from outgrow.train.checkpoints import complete, last_whole, read_state, state_of_losses, whole_weights, write_state

_SCHEDULE = "scheduler.pt"
_USE_FSDP = "ACCELERATE_USE_FSDP"


class Gather(Protocol):
    """Concatenates a tensor over processes along its first dimension, in order of rank."""

    def __call__(self, tensor: Tensor) -> Tensor:
        """Return the concatenation."""


class RowLosses(Protocol):
    """Losses of a batch, and what is remembered between optimizer steps; by default nothing."""

    def __call__(self, model: nn.Module, batch: dict[str, Tensor], progress: float) -> Tensor:
        """Return losses of the same shape as `batch["weights"]`; progress is the share of training that is done."""
        raise NotImplementedError

    def begin_step(self, model: nn.Module, pieces: Sequence[dict[str, Tensor]], gather: Gather) -> None:
        """Receive all pieces of an optimizer step's batch on this process, before the loss of any."""
        return None

    def state(self) -> Any:
        """Return what a resumed run needs, as JSON values."""
        return None

    def restore(self, state: Any) -> None:
        """Set the state that `state` returned."""
        return None


def fit(
    model: nn.Module,
    rows: Sequence[Mapping[str, Any]],
    collate: Any,
    row_losses: RowLosses,
    arguments: Arguments,
    length: Callable[[Mapping[str, Any]], int] | None = None,
    *,
    early_stopping: int | None = None,
    reporter: Reporter | None = None,
    name: str = "train",
) -> nn.Module:
    """Train a model in place, continuing from the last complete checkpoint in `arguments.output_dir` if there is one.

    Several processes (torchrun) share the rows of every optimizer step, and get the weights that one would get.

    Args:
        model: Any module; its parameters must be fp32 (mixed precision is `trainer: {bf16: true}`).
        rows: Training rows.
        collate: Turns a list of rows into a batch of tensors, among them `weights`.
        row_losses: Computes the losses of a batch.
        arguments: See `training_arguments`. Rows per device times accumulation are the rows of an optimizer step of
            all processes together.
        length: Number of tokens of a row. Rows of a step are then sorted by it before they are cut into pieces, which
            changes neither the step's rows nor its loss, and saves padding.
        early_stopping: Stop after this many epochs without a better loss on a held-out tenth of the rows, and keep the
            best weights; None trains to the end.
        reporter: Receives every finished optimizer step.
        name: Name of the step in progress reports.

    Raises:
        ModelError: Weights that train are not fp32, or the loss became NaN.
    """
    low = {str(p.dtype) for p in model.parameters() if p.requires_grad and p.dtype != torch.float32}
    if low:
        raise ModelError(
            "Weights that train must be fp32: small steps are lost in fewer bits.",
            found=", ".join(sorted(low)),
            fix="Load the model in fp32; trainer: {bf16: true} computes in bf16 and keeps fp32 weights.",
        )
    held_out: Sequence[Mapping[str, Any]] | None = None
    if early_stopping is not None:
        rows, held_out = _hold_out(rows, arguments.seed)
        _keep_best(arguments)
    if arguments.world_size > ranks.world():
        raise ModelError(
            f"{name}: only one of {arguments.world_size} processes trains, and would wait for the others.",
            fix="Train in a stage that all make: run.stage(…, together=True).",
        )
    trainer = SupervisedTrainer(
        row_losses,
        model=model,
        args=arguments,
        train_dataset=PaddedRows(rows),
        length=length,
        eval_dataset=held_out,
        data_collator=padding_without_weight(collate, rows[0]),
    )
    _check_sharding(trainer)
    if early_stopping is not None:
        trainer.add_callback(EarlyStoppingCallback(early_stopping))
    reporter = reporter or SilentReporter()
    found = last_whole(Path(arguments.output_dir), reporter) if ranks.first() else None
    checkpoint = ranks.share(found, f"checkpoint: {name}")
    if checkpoint is not None:
        row_losses.restore(state_of_losses(Path(checkpoint)))
    total = arguments.max_steps if arguments.max_steps > 0 else trainer.planned_steps(len(rows))
    with reporter.step(name, total=total) as step:
        trainer.add_callback(_StepCallback(trainer, step))
        trainer.train(resume_from_checkpoint=checkpoint)
    ranks.meet(f"end: {name}")  # from here on checkpoints may be deleted
    own = (each.to_local() if isinstance(each, DTensor) else each for each in model.parameters())
    if any(torch.isnan(part).any() for part in own):
        raise ModelError(f"{name}: the weights became NaN.", fix="Lower trainer.learning_rate.")
    return model


class SupervisedTrainer(Trainer):
    """A Trainer whose loss is the weighted mean over the whole accumulated batch of all processes."""

    loss_is_scaled_for_ga = True

    def __init__(
        self,
        row_losses: RowLosses,
        *,
        args: Arguments,
        length: Callable[[Mapping[str, Any]], int] | None = None,
        **options: Any,
    ) -> None:
        given = os.environ.get(_USE_FSDP)
        super().__init__(args=_shared(args), **options)
        if given is None:
            os.environ.pop(_USE_FSDP, None)  # accelerate sets it, and would shard every later training too
        self.row_losses, self._length = row_losses, length
        self.rows_per_step = args.train_batch_size * args.gradient_accumulation_steps
        self._saved, self.save_is_due = time.monotonic(), False
        self.remove_callback(PrinterCallback)  # the library does not print

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        rows = (train_dataset if train_dataset is not None else self.train_dataset).rows
        step, world = self.rows_per_step, self.args.world_size
        padded = self.args.train_batch_size * self.args.gradient_accumulation_steps * world if world > 1 else None
        groups = self.args.train_sampling_strategy == "group_by_length"
        matters = groups or self.args.train_batch_size < step
        lengths = [self._length(row) for row in rows] if matters and self._length else None
        self.order = ShuffledRows(len(rows), lengths, groups=groups, step=step, padded=padded, seed=self.args.seed)
        return self.order

    def planned_steps(self, rows: int) -> int:
        """Return the number of optimizer steps of a whole training run."""
        return int(-(-rows // self.rows_per_step) * self.args.num_train_epochs)

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: torch.device) -> tuple[list[Any], Any]:
        """Return the pieces of one optimizer step and the total weight of its rows over all processes."""
        pieces, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        if pieces:
            prepared = [self._prepare_inputs(piece) for piece in pieces]
            self.row_losses.begin_step(self.accelerator.unwrap_model(self.model), prepared, self.accelerator.gather)
        total = sum((piece["weights"].sum() for piece in pieces), torch.zeros(())).to(device)
        late = torch.tensor(float(time.monotonic() - self._saved > self.args.save_seconds), device=device)
        total, late = self.accelerator.reduce(torch.stack([total, late]), reduction="sum")
        self.save_is_due = bool(late > 0)  # in all processes, although their clocks differ
        return pieces, total.clamp_min(torch.finfo(torch.float32).tiny)

    def after_save(self) -> None:
        """Mark the checkpoint of this step as complete, and begin to wait for the time of the next."""
        self._saved = time.monotonic()
        ranks.meet(f"checkpoint {self.state.global_step}")  # every process has files of its own in it
        if self.is_world_process_zero():
            complete(Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}", self.row_losses.state())

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """Return Σ w·ℓ of this piece over Σ w of the step, times the processes, whose gradients are averaged."""
        progress = self.state.global_step / max(self.state.max_steps, 1)
        losses = (self.row_losses(model, inputs, progress) * inputs["weights"]).sum()
        if num_items_in_batch is None:
            return losses / inputs["weights"].sum()
        return losses / num_items_in_batch * self.accelerator.num_processes

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Write the part of a checkpoint that is shared out among the processes."""
        write_state(self.model_wrapped, self.optimizer, Path(output_dir or self.args.output_dir))

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if self.args.should_save:
            torch.save(self.lr_scheduler.state_dict(), Path(output_dir) / _SCHEDULE)

    def _load_from_checkpoint(self, *unused: Any, **ignored: Any) -> None:
        pass  # weights and optimizer state are read together, once both are where they train

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            read_state(self.model_wrapped, self.optimizer, Path(checkpoint))
            self.lr_scheduler.load_state_dict(torch.load(Path(checkpoint) / _SCHEDULE, weights_only=True))
            for group, rate in zip(self.optimizer.param_groups, self.lr_scheduler.get_last_lr(), strict=True):
                group["lr"] = rate

    def _load_best_model(self) -> None:
        read_state(self.model_wrapped, None, Path(self.state.best_model_checkpoint))

    def evaluate(self, *unused: Any, **ignored: Any) -> dict[str, float]:
        """Return the mean loss of held-out batches; every process computes it on all of them, so that they agree."""
        size, rows, total = self.args.eval_batch_size, self.eval_dataset, 0.0
        self.model.eval()
        for start in range(0, len(rows), size):
            batch = rows[start : start + size]
            with torch.no_grad(), self.compute_loss_context_manager():
                loss = self.compute_loss(self.model, self._prepare_inputs(self.data_collator(batch)))
            total += loss.item() * len(batch)
        metrics = {"eval_loss": total / len(rows)}
        self.log(metrics)
        self.control: TrainerControl = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


def save_model(network: Any, tokenizer: Any, folder: Path) -> None:
    """Write a folder that plain transformers load, and delete `checkpoints` beside it; of several processes, in one."""
    weights = whole_weights(network, trained_only=hasattr(network, "peft_config"))
    if not ranks.first():
        return
    network.save_pretrained(folder, state_dict=weights)
    tokenizer.save_pretrained(folder)
    shutil.rmtree(folder.parent / "checkpoints", ignore_errors=True)


class _StepCallback(TrainerCallback):
    """Reports progress, sets the order of each epoch, and says when to write a checkpoint."""

    def __init__(self, trainer: SupervisedTrainer, step: Step) -> None:
        self._trainer, self._step = trainer, step

    def on_epoch_begin(self, args: TrainingArguments, state: TrainerState, control: Any, **unused: Any) -> None:
        # accelerate does not reach the sampler where several processes skip the first steps of a resumed epoch
        self._trainer.order.set_epoch(int(state.epoch or 0))

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **unused: Any) -> None:
        self._step.advance()
        due = self._trainer.save_is_due and state.global_step < state.max_steps
        if due and args.save_strategy == SaveStrategy.NO:
            control.should_save = True

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **unused: Any) -> None:
        self._trainer.after_save()


def _check_sharding(trainer: SupervisedTrainer) -> None:
    plugin = getattr(trainer.accelerator.state, "fsdp_plugin", None)
    if plugin is not None and plugin.fsdp_version != 2:
        raise ConfigError("Only FSDP2 is supported.", found="FSDP1", fix="Set fsdp_version: 2.")
    if plugin is None and trainer.args.fsdp:
        fix = "Remove trainer.fsdp: the processes then train together without it (DDP)."
        raise ConfigError("accelerate has FSDP for GPUs only.", found=f"device {trainer.args.device}", fix=fix)


def _shared(arguments: Arguments) -> Arguments:
    """Arguments with which all processes together make the steps that one would make.

    First they share the pieces of a step, then the rows of a piece.
    """
    own = copy.copy(arguments)
    pieces = own.gradient_accumulation_steps
    own.gradient_accumulation_steps = -(-pieces // own.world_size)
    slots = own.gradient_accumulation_steps * own.world_size
    own.per_device_train_batch_size = -(-own.per_device_train_batch_size * pieces // slots)
    return own


def _hold_out(
    rows: Sequence[Mapping[str, Any]], seed: int
) -> tuple[Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]]]:
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed)).tolist()
    size = max(1, len(rows) // 10)
    return [rows[index] for index in order[size:]], [rows[index] for index in order[:size]]


def _keep_best(arguments: Arguments) -> None:
    arguments.eval_strategy = arguments.save_strategy = "epoch"
    arguments.load_best_model_at_end = True
    arguments.metric_for_best_model, arguments.greater_is_better = "loss", False
