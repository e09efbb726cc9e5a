"""The seams to everything that answers: `LanguageModel` for text, `Classifier` for choices.

A language model is asked two things only: to continue prompts, and to score given continuations. Local models, servers
and scripted stand-ins implement the same two methods, so nothing above this room knows which one it talks to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from outgrow.labels import Completion


@dataclass(frozen=True)
class GenerateOptions:
    """How to continue a prompt."""

    max_new_tokens: int = 64
    """Most tokens to add; generation also ends at the model's end-of-sequence token or at a stop string."""
    temperature: float = 0.0
    """0 decodes greedily; above 0 samples."""
    n: int = 1
    """Completions per prompt; more than one needs a temperature above 0."""
    stop: tuple[str, ...] = ()
    """Strings that end a completion; neither they nor what follows is part of the text."""
    seed: int = 0
    """Seed for sampling; the same seed and prompts give the same texts whatever the batch size."""


class LanguageModel(Protocol):
    """Anything that continues and scores text."""

    @property
    def name(self) -> str:
        """A short name for tables and records."""

    def generate(self, prompts: Sequence[str], options: GenerateOptions) -> list[list[Completion]]:
        """Continues every prompt: one list of `options.n` completions per prompt, in order."""

    def logprobs(self, pairs: Sequence[tuple[str, str]]) -> list[Completion]:
        """Scores each `(prompt, continuation)` pair, the end-of-sequence token not included."""


class Classifier(Protocol):
    """Anything that gives class probabilities for texts."""

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Probabilities of shape `(len(texts), K)`, rows summing to one."""
