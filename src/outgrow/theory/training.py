"""Shape and training of the lab's small decoders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from outgrow.errors import ConfigError, DataError
from outgrow.optimize import minimize
from outgrow.progress import Reporter
from outgrow.theory.checks import above_zero, at_least, probability


@dataclass(frozen=True)
class Shape:
    """The shape of a GPT-2 decoder."""

    width: int
    """Size of the residual stream."""
    layers: int
    heads: int
    """Attention heads per layer; they share the width."""

    def __post_init__(self) -> None:
        for name in ("width", "layers", "heads"):
            at_least(name, getattr(self, name), 1)
        if self.width % self.heads:
            raise ConfigError("The heads must share the width evenly.", found=f"{self.heads} heads, width {self.width}")


@dataclass(frozen=True)
class Schedule:
    """Length and learning rate of a training."""

    steps: int
    batch: int
    """Sequences per step."""
    learning_rate: float
    """Peak learning rate of AdamW, which then decays linearly to zero."""
    warm_up: float = 0.05
    """Share of the steps in which the learning rate rises to its peak."""

    def __post_init__(self) -> None:
        at_least("steps", self.steps, 1)
        at_least("batch", self.batch, 1)
        above_zero("learning_rate", self.learning_rate)
        probability("warm_up", self.warm_up)


def decoder_config(shape: Shape, *, positions: int, vocabulary: int) -> Any:
    """Return a `GPT2Config` without dropout; the vocabulary is 1 where sequences are given as vectors."""
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
        # The default 0.02 suits wide models; here it would delay learning by hundreds of steps.
        initializer_range=max(0.02, shape.width**-0.5),
        use_cache=False,
        bos_token_id=None,
        eos_token_id=None,
    )


def check_context(length: int, context: int) -> None:
    """Refuse sequences that are longer than a decoder's context."""
    if length > context:
        raise DataError(
            "The prompts are longer than the model's context.",
            found=f"{length} tokens or examples",
            wanted=f"at most {context}",
            fix="Use fewer demonstrations, or pretrain with a longer context.",
        )


def device() -> torch.device:
    """Return the GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def fit(
    model: torch.nn.Module, loss: Callable[[], Tensor], schedule: Schedule, *, reporter: Reporter, name: str
) -> torch.nn.Module:
    """Train a model in place by AdamW with linear warm-up and decay, and return it in evaluation mode.

    `loss` draws a batch and returns its mean loss; `name` is that of the step in progress reports.
    """
    steps, climb = schedule.steps, max(1.0, schedule.warm_up * schedule.steps)

    def rates(optimizer: torch.optim.Optimizer) -> LambdaLR:
        return LambdaLR(optimizer, lambda step: min((step + 1) / climb, (steps - step) / (steps - climb + 1)))

    model.train()
    rate = schedule.learning_rate
    with reporter.step(name, steps) as step:
        minimize(model.parameters(), loss, rates, steps=steps, learning_rate=rate, advance=step.advance)
    return model.eval()
