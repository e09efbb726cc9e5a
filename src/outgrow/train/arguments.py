"""Settings of a fine-tuning: model, adapter, device and transformers' TrainingArguments."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, get_type_hints

import torch
from pydantic import TypeAdapter, ValidationError
from transformers import TrainingArguments

from outgrow import ranks
from outgrow.config import HERE, Local, Named
from outgrow.errors import ConfigError, did_you_mean
from outgrow.identity import identity
from outgrow.models.adapters import Adapter
from outgrow.models.arithmetic import Trains
from outgrow.models.loading import check_local, check_model, device_of, dtype_of, trainable, weights_identity
from outgrow.models.planning import Work
from outgrow.registry import create

_OURS = (
    "output_dir",
    "remove_unused_columns",
    "label_names",
    "seed",
    "data_seed",
    "report_to",
    "label_smoothing_factor",
)
_DEFAULTS: dict[str, Any] = {
    "num_train_epochs": 2,
    "per_device_train_batch_size": 16,
    "learning_rate": 5e-5,
    "save_strategy": "no",  # see `Arguments.save_seconds`
    "save_total_limit": 2,  # the newest may be half-written when a run is killed
    "logging_strategy": "epoch",
}
_SAME_NUMBERS = (
    "activation_checkpointing",
    "activation_checkpointing_kwargs",
    "fsdp",
    "fsdp_config",
    "save_seconds",
    "save_steps",
    "save_strategy",
    "save_total_limit",
)
"""Settings that do not change a student."""
_POSITIVE = ("per_device_train_batch_size", "gradient_accumulation_steps", "num_train_epochs", "save_seconds")


@dataclass
class Arguments(TrainingArguments):
    """transformers' TrainingArguments, and how often a checkpoint is written."""

    save_seconds: float = 300.0
    """A killed training loses at most so much time; unless `save_strategy` or `save_steps` is given."""


@dataclass(frozen=True)
class FineTuning:
    """Settings of a learner that fine-tunes a pretrained model.

    Raises:
        ConfigError: The adapter or a trainer setting is wrong.
        ModelError: See `outgrow.models.loading.check_model`.
    """

    defaults: ClassVar[Mapping[str, Any]] = {}
    """TrainingArguments where the user gives none."""

    model: str
    """A folder or hub id."""
    adapter: Named
    """`none` or `lora` with its parameters."""
    max_length: int | None = None
    """Cut prompts to this many tokens."""
    trainer: Mapping[str, Any] = field(default_factory=dict)
    """TrainingArguments of the user."""
    local: Local = field(default=HERE, kw_only=True)
    """Device, precision and chat."""

    def __post_init__(self) -> None:
        # Refuse wrong settings before anything is computed.
        check_model(self.model)
        check_local(self.local)
        trainable(self.local, frozen=self._freezes)
        self.arguments(Path(), seed=0)

    @property
    def wrapper(self) -> Adapter:
        """The adapter, which chooses the trainable parameters."""
        wrapper: Adapter = create("adapter", self.adapter.name, self.adapter.params, "wrap")
        return wrapper

    def arguments(self, folder: Path, *, seed: int) -> Arguments:
        """Return the TrainingArguments; see `training_arguments`."""
        defaults = {**getattr(self.wrapper, "trainer", {}), **self.defaults}
        return training_arguments(folder / "checkpoints", self.trainer, seed=seed, local=self.local, **defaults)

    @property
    def loaded(self) -> Local:
        """How the model is loaded for training."""
        return trainable(self.local, frozen=self._freezes)

    @property
    def _freezes(self) -> bool:
        return bool(getattr(self.wrapper, "freezes", False))

    def work(self, texts: Sequence[str], rows: int, *, head: bool = True, answers: Sequence[str] = ()) -> Work:
        """Return what training on the texts of so many rows takes, for an estimate."""
        arguments = self.arguments(Path(), seed=0)
        step = arguments.per_device_train_batch_size * arguments.gradient_accumulation_steps
        epochs = arguments.max_steps * step / rows if arguments.max_steps > 0 else arguments.num_train_epochs
        batch = arguments.per_device_train_batch_size
        trains: Trains = "adapter" if self._freezes else "all"
        return Work(self.model, texts, batch, self.loaded, epochs, trains, head, answers, self.max_length)

    def recipe(self, objective: object, seed: int) -> dict[str, Any]:
        """Return what a student depends on, apart from its training data."""
        return {
            "model": weights_identity(self.model, self.local),
            "adapter": identity(self.wrapper),
            "max_length": self.max_length,
            "trainer": {key: value for key, value in self.trainer.items() if key not in _SAME_NUMBERS},
            "objective": identity(objective),
            "seed": seed,
        }


def training_arguments(
    folder: Path, user: Mapping[str, Any], *, seed: int, local: Local = HERE, **defaults: Any
) -> Arguments:
    """Return TrainingArguments from outgrow's defaults and those of the user.

    Args:
        folder: Folder of checkpoints.
        user: The `trainer:` mapping of an experiment file.
        seed: Seed of the row order, of dropout and of everything else that is drawn.
        local: Device and precision; weights of fewer bits mean mixed precision unless the user says otherwise.
        defaults: Override outgrow's defaults, and are overridden by the user.

    Raises:
        ConfigError: A key does not exist or belongs to outgrow, or a value is refused.
    """
    known = [field.name for field in dataclasses.fields(Arguments) if field.init]
    for key in user:
        if key in _OURS:
            raise ConfigError(f"trainer.{key} is set by outgrow itself.", fix="Remove it; seeds: sets the seeds.")
        if key not in known:
            raise ConfigError(f"trainer.{key}: TrainingArguments has no such field; {did_you_mean(key, known)}")
        _check_setting(key, user[key])
    device, mixed = device_of(local), {torch.bfloat16: "bf16", torch.float16: "fp16"}.get(dtype_of(local))
    if device.index:
        fix = f"Set the environment variable CUDA_VISIBLE_DEVICES={device.index}, and leave `device` out."
        raise ConfigError("Training takes the first GPU that it sees.", found=f"device: {local.device}", fix=fix)
    settings: dict[str, Any] = {**_DEFAULTS, **({mixed: True} if mixed else {}), **defaults, **user}
    if "save_strategy" in user:
        settings["save_seconds"] = math.inf
    elif "save_steps" in user:
        settings["save_strategy"] = "steps"
    if ranks.launched() == 1:
        settings.pop("fsdp", None)  # one process has nothing to shard
    _check_loading(settings)
    if device.type == "cpu":
        settings = {"use_cpu": True, "dataloader_pin_memory": False} | settings
        if ranks.launched() > 1:
            settings.setdefault("ddp_backend", "gloo")
    try:
        arguments = Arguments(
            output_dir=str(folder),
            seed=seed,
            data_seed=seed,
            report_to="none",
            disable_tqdm=True,
            remove_unused_columns=False,
            label_names=[],
            **settings,
        )
        # One process trains on one device; torchrun starts a process for each.
        arguments._n_gpu = min(arguments.n_gpu, 1)
        return arguments
    except (ValueError, TypeError) as error:
        raise ConfigError(f"TrainingArguments refuses the trainer settings: {error}", found=dict(user)) from error


def _check_loading(settings: Mapping[str, Any]) -> None:
    # Every process predicts and labels too, and would then do so with weights that were never read.
    config = settings.get("fsdp_config")
    own = config.get("cpu_ram_efficient_loading", False) if isinstance(config, dict) else False
    if any(str(value).lower() in ("1", "true") for value in (own, os.environ.get("FSDP_CPU_RAM_EFFICIENT_LOADING"))):
        raise ConfigError(
            "FSDP would read the weights in the first process only, but all processes predict with them.",
            found="cpu_ram_efficient_loading: true",
            fix="Set it to false, in fsdp_config or (as fsdp_cpu_ram_efficient_loading) in accelerate's configuration.",
        )


def _check_setting(key: str, value: object) -> None:
    # TrainingArguments takes what it is given: a wrong value would fail much later, or train nothing.
    try:
        wanted: Any = bool | str | None if key == "fsdp" else get_type_hints(Arguments)[key]  # also true, it says
        checked = TypeAdapter(wanted).validate_python(value)
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        raise ConfigError(f"trainer.{key} has a value of the wrong kind: {reason}.", found=repr(value)) from error
    if key in _POSITIVE and checked <= 0:
        raise ConfigError(f"trainer.{key} is not positive.", found=repr(value))
