"""Fine-tuning with transformers.Trainer and an exact loss.

The loss of an optimizer step is Σ w·ℓ / Σ w over the whole accumulated batch of all processes. So 16 rows at once, four
times four, or eight on each of two processes give the same gradients, uneven last batches included.
"""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
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

from outgrow import ranks
from outgrow.errors import ModelError, StoreError
from outgrow.files import read_json, write_json
from outgrow.integrity import digests, first_damage
from outgrow.progress import Reporter, SilentReporter, Step

_MARK = "outgrow.json"


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
    arguments: TrainingArguments,
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
        train_dataset=_PaddedRows(rows),
        eval_dataset=held_out,
        data_collator=_padding_without_weight(collate, rows[0]),
    )
    if early_stopping is not None:
        trainer.add_callback(EarlyStoppingCallback(early_stopping))
    reporter = reporter or SilentReporter()
    found = _last_whole_checkpoint(Path(arguments.output_dir), reporter) if ranks.first() else None
    checkpoint = ranks.share(found, f"checkpoint: {name}")
    if checkpoint is not None:
        row_losses.restore(read_json(Path(checkpoint) / _MARK)["losses"])
    total = arguments.max_steps if arguments.max_steps > 0 else trainer.planned_steps(len(rows))
    with reporter.step(name, total=total) as step:
        trainer.add_callback(_StepCallback(row_losses, step))
        trainer.train(resume_from_checkpoint=checkpoint)
    ranks.meet(f"end: {name}")  # from here on checkpoints may be deleted
    if any(torch.isnan(parameter).any() for parameter in model.parameters()):
        raise ModelError(f"{name}: the weights became NaN.", fix="Lower trainer.learning_rate.")
    return model


class SupervisedTrainer(Trainer):
    """A Trainer whose loss is the weighted mean over the whole accumulated batch of all processes."""

    loss_is_scaled_for_ga = True

    def __init__(self, row_losses: RowLosses, *, args: TrainingArguments, **options: Any) -> None:
        super().__init__(args=_shared(args), **options)
        self.row_losses = row_losses
        self.rows_per_step = args.train_batch_size * args.gradient_accumulation_steps
        self.remove_callback(PrinterCallback)  # the library does not print

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        rows = len((train_dataset if train_dataset is not None else self.train_dataset).rows)
        step, world = self.rows_per_step, self.args.world_size
        padded = self.args.train_batch_size * self.args.gradient_accumulation_steps * world if world > 1 else None
        return _ShuffledRows(rows, step=step, padded=padded, seed=self.args.seed)

    def planned_steps(self, rows: int) -> int:
        """Return the number of optimizer steps of a whole training run."""
        return int(-(-rows // self.rows_per_step) * self.args.num_train_epochs)

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: torch.device) -> tuple[list[Any], Any]:
        """Return the pieces of one optimizer step and the total weight of its rows over all processes."""
        pieces, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        total = sum((piece["weights"].sum() for piece in pieces), torch.zeros(())).to(device)
        if pieces:
            prepared = [self._prepare_inputs(piece) for piece in pieces]
            self.row_losses.begin_step(self.accelerator.unwrap_model(self.model), prepared, self.accelerator.gather)
        return pieces, self.accelerator.reduce(total, reduction="sum").clamp_min(torch.finfo(torch.float32).tiny)

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
    if not ranks.first():
        return
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    shutil.rmtree(folder.parent / "checkpoints")


@dataclass(frozen=True)
class _PaddedRows:
    """Rows; every index behind the last is padding, None."""

    rows: Sequence[Mapping[str, Any]]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Mapping[str, Any] | None:
        return self.rows[index] if index < len(self.rows) else None


class _ShuffledRows(Sampler[int]):
    """A new order every epoch; for several processes, every step is padded so that each gets whole batches.

    By default accelerate pads with rows from the beginning, which then count twice.
    """

    def __init__(self, rows: int, *, step: int, padded: int | None, seed: int) -> None:
        self._rows, self._step, self._padded, self._seed, self._epoch = rows, step, padded, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order; also called for the epochs that a resumed training skips."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self._rows if self._padded is None else -(-self._rows // self._step) * self._padded

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + self._epoch)
        for step in torch.randperm(self._rows, generator=generator).split(self._step):
            yield from step.tolist()
            yield from [self._rows] * ((self._padded or len(step)) - len(step))


def _padding_without_weight(collate: Any, any_row: Mapping[str, Any]) -> Callable[[Sequence[Any]], dict[str, Tensor]]:
    def collate_all(rows: Sequence[Mapping[str, Any] | None]) -> dict[str, Tensor]:
        batch: dict[str, Tensor] = collate([any_row if row is None else row for row in rows])
        batch["weights"][[index for index, row in enumerate(rows) if row is None]] = 0.0
        return batch

    return collate_all


class _StepCallback(TrainerCallback):
    """Reports progress, and writes the losses' state last into a checkpoint, which marks it as complete."""

    def __init__(self, row_losses: RowLosses, step: Step) -> None:
        self._row_losses, self._step = row_losses, step

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **unused: Any) -> None:
        self._step.advance()

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **unused: Any) -> None:
        ranks.meet(f"checkpoint {state.global_step}")  # every process has a file of its own in it
        if state.is_world_process_zero:
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            write_json(folder / _MARK, {"losses": self._row_losses.state(), "sha256": digests(folder)})


def _last_whole_checkpoint(folder: Path, reporter: Reporter) -> str | None:
    """The newest checkpoint that is as it was written; newer ones are deleted, because they are damaged or cut off."""
    for path in sorted(folder.glob("checkpoint-*"), key=_number, reverse=True):
        if _is_whole(path):
            return str(path)
        if (path / _MARK).is_file():
            reporter.note(f"{path.name} is damaged: the training goes on from an earlier one, or from its beginning")
        shutil.rmtree(path)
    return None


def _number(checkpoint: Path) -> int:
    number = checkpoint.name.rpartition("-")[2]
    return int(number) if number.isdecimal() else -1


def _is_whole(checkpoint: Path) -> bool:
    try:
        about = read_json(checkpoint / _MARK)
        best = read_json(checkpoint / "trainer_state.json")["best_model_checkpoint"]
        if first_damage(checkpoint, about["sha256"]) is not None or "losses" not in about:
            return False
        # The best weights so far may be in another checkpoint, which is then needed in the end.
        return best is None or Path(best).name == checkpoint.name or _is_whole(Path(best))
    except (StoreError, OSError, AttributeError, KeyError, TypeError, ValueError):
        return False


def _shared(arguments: TrainingArguments) -> TrainingArguments:
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


def _keep_best(arguments: TrainingArguments) -> None:
    arguments.eval_strategy = arguments.save_strategy = "epoch"
    arguments.load_best_model_at_end = True
    arguments.metric_for_best_model, arguments.greater_is_better = "loss", False
