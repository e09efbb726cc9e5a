"""Shape and training of the lab's small decoders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from outgrow.errors import ConfigError
from outgrow.optimize import minimize
from outgrow.progress import Reporter
from outgrow.theory.checks import above_zero, at_least, probability


@dataclass(frozen=True)
class Shape:
    """The shape of a GPT-2 decoder."""

    width: int
    """Size of the residual stream."""
    layers: int
    """Number of transformer blocks."""
    heads: int
    """Attention heads in each; they share the width."""

    def __post_init__(self) -> None:
        for name in ("width", "layers", "heads"):
            at_least(name, getattr(self, name), 1)
        if self.width % self.heads:
            raise ConfigError("The heads must share the width evenly.", found=f"{self.heads} heads, width {self.width}")


@dataclass(frozen=True)
class Schedule:
    """The length of a training."""

    steps: int
    """Optimiser steps."""
    batch: int
    """Sequences in a step."""
    learning_rate: float
    """Peak learning rate of AdamW, from where it falls to zero on a line."""
    warm_up: float = 0.05
    """Share of the steps in which the learning rate climbs to its peak."""

    def __post_init__(self) -> None:
        at_least("steps", self.steps, 1)
        at_least("batch", self.batch, 1)
        above_zero("learning_rate", self.learning_rate)
        probability("warm_up", self.warm_up)


def decoder_config(shape: Shape, *, positions: int, vocabulary: int) -> Any:
    """A `GPT2Config` without dropout.

    Args:
        shape: Its shape.
        positions: Longest sequence.
        vocabulary: Number of tokens; 1 where sequences come as vectors.
    """
    from transformers import GPT2Config

    return GPT2Config(
        vocab_size=vocabulary,
        n_positions=positions,
        n_embd=shape.width,
        n_layer=shape.layers,
        n_head=shape.heads,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        # The customary 0.02 is made for wide models: here it would cost hundreds of steps before anything is learned.
        initializer_range=max(0.02, shape.width**-0.5),
        use_cache=False,
        bos_token_id=None,
        eos_token_id=None,
    )


def device() -> torch.device:
    """The GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def fit(
    model: torch.nn.Module, loss: Callable[[], Tensor], schedule: Schedule, *, reporter: Reporter, name: str
) -> torch.nn.Module:
    """Train a model by AdamW with linear warm-up and decay.

    Args:
        model: Trained in place.
        loss: Draws a batch and returns its mean loss.
        schedule: Number of steps and learning rate.
        reporter: Receives every step.
        name: Name of the training in progress reports.

    Returns:
        The model, in evaluation mode.

    Example:
        >>> from outgrow.progress import SilentReporter
        >>> model = torch.nn.Linear(1, 1)
        >>> one = torch.ones(1, 1)
        >>> schedule = Schedule(steps=300, batch=1, learning_rate=0.05)
        >>> _ = fit(model, lambda: (model(one) - 3).square().mean(), schedule, reporter=SilentReporter(), name="line")
        >>> round(model(one).item(), 1)
        3.0
    """
    steps, climb = schedule.steps, max(1.0, schedule.warm_up * schedule.steps)

    def rates(optimizer: torch.optim.Optimizer) -> LambdaLR:
        return LambdaLR(optimizer, lambda step: min((step + 1) / climb, (steps - step) / (steps - climb + 1)))

    model.train()
    with reporter.step(name, steps) as progress:
        minimize(
            model.parameters(),
            loss,
            rates,
            steps=steps,
            learning_rate=schedule.learning_rate,
            advance=progress.advance,
        )
    return model.eval()
