"""Adapters, the trained part of a model: all weights, low-rank additions, or a head on frozen features."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from outgrow.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    from torch import nn


class Adapter(Protocol):
    """What of a model is trained: a network that `wrap` returns, or a head that `fit` trains on frozen features.

    With `fit` goes `logits(state, features)`, for choice tasks only; see `outgrow.train.probe.Probe`.
    """

    freezes: bool = False
    """Whether the network's own weights stay as they are, so that these may have few bits."""
    trainer: Mapping[str, Any] = {}
    """TrainingArguments that suit it, where the user gives none."""

    def wrap(self, network: nn.Module) -> nn.Module:
        """Return the network with those parameters that train."""

    @abstractmethod
    def go_on(self, network: nn.Module, folder: str) -> nn.Module:
        """Return the network with what a folder holds, which trains on; optional."""


@dataclass(frozen=True)
class FullFineTuning:
    """All weights (`adapter: none`)."""

    def wrap(self, network: nn.Module) -> nn.Module:
        """Return the network unchanged."""
        return network


@dataclass(frozen=True)
class LoRA:
    """Low-rank additions to the linear layers (`adapter: lora`; Hu et al. 2021, through the peft library)."""

    freezes: ClassVar[bool] = True
    trainer: ClassVar[Mapping[str, Any]] = {"learning_rate": 1e-4, "num_train_epochs": 3}

    rank: int = 16
    """Rank of the additions."""
    alpha: int = 32
    """Scale of the additions, divided by the rank."""
    dropout: float = 0.0
    """Dropout on the additions' input."""
    targets: str | tuple[str, ...] = "all-linear"
    """Names of the layers, or `all-linear`."""

    def __post_init__(self) -> None:
        if self.rank < 1 or self.alpha < 1 or not 0 <= self.dropout < 1:
            wanted = "rank ≥ 1, alpha ≥ 1, 0 ≤ dropout < 1"
            raise ConfigError("A parameter of LoRA is out of range.", found=self, wanted=wanted)

    def wrap(self, network: nn.Module) -> nn.Module:
        """Return the frozen network with trainable additions."""
        peft = _peft()
        targets = self.targets if isinstance(self.targets, str) else list(self.targets)
        config = peft.LoraConfig(
            r=self.rank, lora_alpha=self.alpha, lora_dropout=self.dropout, target_modules=targets, bias="none"
        )
        if getattr(network, "is_quantized", False):
            network = peft.prepare_model_for_kbit_training(network, use_gradient_checkpointing=False)
        try:
            with _without_noise():
                wrapped: nn.Module = peft.get_peft_model(network, config)
        except ValueError as error:
            raise ConfigError(f"LoRA does not fit the model: {error}", fix="Correct the adapter's targets.") from error
        return wrapped

    def go_on(self, network: nn.Module, folder: str) -> nn.Module:
        """Return the frozen network with the additions of a folder, which are trained further with its settings."""
        with _without_noise():
            wrapped: nn.Module = _peft().PeftModel.from_pretrained(network, folder, is_trainable=True)
        return wrapped


def _peft() -> Any:
    try:
        import peft
    except ImportError as error:
        raise MissingExtraError("LoRA", "peft") from error
    return peft


@contextmanager
def _without_noise() -> Iterator[None]:
    with warnings.catch_warnings():
        # peft uses a deprecated name of transformers.
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
        yield
