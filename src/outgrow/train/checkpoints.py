"""Checkpoints of a training: each process writes its shard, and any number of processes can read them.

```
checkpoint-<step>/state/*.safetensors   trained weights and optimizer state, by name of the parameter
checkpoint-<step>/…                     the files of transformers' Trainer: schedule, random states, progress
checkpoint-<step>/outgrow.json          written last: state of the losses, and the SHA-256 of every file
```
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.default_planner import DefaultLoadPlanner
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.distributed.tensor import DTensor

from outgrow import ranks
from outgrow.errors import StoreError
from outgrow.files import read_json, translate_os_errors, write_json
from outgrow.integrity import digests, first_damage
from outgrow.progress import Reporter

_MARK, _STATE = "outgrow.json", "state"
_OPTIONS = StateDictOptions(ignore_frozen_params=True, flatten_optimizer_state_dict=True)


def write_state(model: nn.Module, optimizer: torch.optim.Optimizer, folder: Path) -> None:
    """Write trained weights and optimizer state; all processes call it, and each writes what the others do not.

    Raises:
        StoreError: Disk full or no permission.
    """
    with translate_os_errors(folder / _STATE), _plainly():
        writer = HuggingFaceStorageWriter(str(folder / _STATE), save_distributed=True)
        tensors = {**_weights(model), **_numbers(_optimizer_state(model, optimizer))}
        save(tensors, storage_writer=writer)


def read_state(model: nn.Module, optimizer: torch.optim.Optimizer | None, folder: Path) -> None:
    """Set the weights, and the optimizer state where one is given, to what any number of processes wrote."""
    state = {} if optimizer is None else _optimizer_state(model, optimizer)
    numbers = _numbers(state)
    reader = HuggingFaceStorageReader(str(folder / _STATE))
    planner = DefaultLoadPlanner(allow_partial_load=True)  # a parameter that is never used has no optimizer state
    # Weights are read into the tensors of the model.
    tensors = {**_weights(model), **numbers}
    with _plainly():
        load(tensors, storage_reader=reader, planner=planner)
    if optimizer is not None:
        for key, value in numbers.items():
            state[key] = value if isinstance(state[key], Tensor) else value.item()
        set_optimizer_state_dict(model, _bare(optimizer), state, options=_OPTIONS)


@contextmanager
def _plainly() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")  # one process needs none
        try:
            yield
        except CheckpointException as error:  # a BaseException with those of the processes, such as a full disk
            failure, _ = next(iter(error.failures.values()))
            raise failure from error


def _weights(model: nn.Module) -> dict[str, Any]:
    # Tied weights are one tensor, which is written and read once.
    bare = getattr(model, "module", model)
    names = [name for name, _ in bare.named_parameters(remove_duplicate=False)]
    again = {*names} - {name for name, _ in bare.named_parameters()}
    return {name: own for name, own in get_model_state_dict(model, options=_OPTIONS).items() if name not in again}


def _optimizer_state(model: nn.Module, optimizer: Any) -> dict[str, Any]:
    return get_optimizer_state_dict(model, _bare(optimizer), options=_OPTIONS)


def _bare(optimizer: Any) -> torch.optim.Optimizer:
    bare: torch.optim.Optimizer = getattr(optimizer, "optimizer", optimizer)  # accelerate wraps it
    return bare


def _numbers(state: dict[str, Any]) -> dict[str, Tensor]:
    # What is constant follows from the TrainingArguments, and the learning rate from the schedule.
    changing = {key: value for key, value in state.items() if not key.startswith("param_groups.")}
    return {key: value if isinstance(value, Tensor) else torch.tensor(value) for key, value in changing.items()}


def complete(folder: Path, losses: Any) -> None:
    """Write the mark of a complete checkpoint, with the state of the losses (JSON values)."""
    write_json(folder / _MARK, {"losses": losses, "sha256": digests(folder)})


def state_of_losses(folder: Path) -> Any:
    """Return the state of the losses."""
    return read_json(folder / _MARK)["losses"]


def last_whole(folder: Path, reporter: Reporter) -> str | None:
    """Return the newest checkpoint that is as it was written; damaged and unfinished ones after it are deleted."""
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


def whole_weights(model: nn.Module, *, trained_only: bool = False) -> dict[str, Tensor]:
    """Return the weights of a model, or only those that train, gathered where it is sharded (FSDP).

    All processes call it; only the first one gets them, the others an empty dictionary.
    """
    gathered: dict[int, Tensor] = {}
    weights = {}
    for name, value in model.state_dict(keep_vars=True).items():
        if trained_only and not value.requires_grad:
            continue
        if id(value) not in gathered:  # tied weights are gathered once, and stay one tensor
            whole = value.detach()
            gathered[id(value)] = whole.full_tensor().cpu() if isinstance(whole, DTensor) else whole
        if ranks.first():
            weights[name] = gathered[id(value)]
        else:
            gathered[id(value)] = value.new_empty(0)
    return weights
