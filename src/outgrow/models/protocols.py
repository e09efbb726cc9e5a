"""The seams to everything that answers: `LanguageModel` for text, `Classifier` for choices.

A language model is asked two things only: to continue prompts, and to score given continuations. Local models, servers
and scripted stand-ins implement the same two methods, so nothing above this room knows which one it talks to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from outgrow.errors import ConfigError
from outgrow.labels import Completion

TooLong = Literal["error", "empty"]
"""What becomes of a text that a model's context has no room for: an error, or an answer without any token."""


@dataclass(frozen=True)
class GenerateOptions:
    """How to continue a prompt."""

    max_new_tokens: int = 64
    """Most tokens to add; generation also ends at the model's end-of-sequence token or at a stop string."""
    temperature: float = 0.0
    """0 decodes greedily; above 0 samples."""
    n: int = 1
    """Completions per prompt; more than one needs a temperature above 0 or as many beams."""
    beams: int = 1
    """Above 1 the texts of highest mean token log-probability are searched for, with so many beams."""
    stop: tuple[str, ...] = ()
    """Strings that end a completion; neither they nor what follows is part of the text."""
    seed: int = 0
    """Seed for sampling; the same seed and prompts give the same texts whatever the batch size."""
    too_long: TooLong = "error"
    """What becomes of a prompt that leaves no room for a new token: an error, or no completion."""

    def to_json(self) -> dict[str, Any]:
        """All settings as JSON values, for recipes of what was generated."""
        return {**vars(self), "stop": list(self.stop)}


def check_options(options: GenerateOptions) -> None:
    """Refuses options that contradict each other.

    Raises:
        ConfigError: As said.
    """
    if options.max_new_tokens < 1 or min(options.n, options.beams) < 1 or options.temperature < 0:
        raise ConfigError(
            "Generation cannot run with these options.",
            found=f"max_new_tokens={options.max_new_tokens}, n={options.n}, beams={options.beams}, "
            f"temperature={options.temperature}",
            wanted="max_new_tokens, n and beams of at least 1, temperature of at least 0",
        )
    if options.beams > 1 and options.temperature:
        raise ConfigError(
            "Beam search does not sample.",
            found=f"{options.beams} beams and a temperature of {options.temperature}",
            fix="Set beams to 1 to sample, or the temperature to 0 to search.",
        )
    if options.n > max(options.beams, 1) and not options.temperature:
        what = "Beam search" if options.beams > 1 else "Greedy decoding"
        raise ConfigError(
            f"{what} gives at most {options.beams} texts per prompt, not {options.n}.",
            fix=f"Set a temperature above 0, or beams to {options.n}.",
        )
    if "" in options.stop:
        raise ConfigError("A stop string is empty.", found=options.stop, fix="Leave it out.")


class LanguageModel(Protocol):
    """Anything that continues and scores text."""

    @property
    def name(self) -> str:
        """A short name for tables and records."""

    def generate(self, prompts: Sequence[str], options: GenerateOptions) -> list[list[Completion]]:
        """Continues every prompt: one list of at most `options.n` completions per prompt, in order."""

    def logprobs(
        self, pairs: Sequence[tuple[str, str]], *, end: bool = False, too_long: TooLong = "error"
    ) -> list[Completion]:
        """Scores each `(prompt, continuation)` pair, with `end` the end-of-sequence token too."""


@runtime_checkable
class SizedModel(Protocol):
    """A language model that can say whether a prompt is too long for it."""

    def fits(self, prompts: Sequence[str], new_tokens: int) -> list[bool]:
        """Whether the context has room for each prompt and so many tokens more."""


@runtime_checkable
class EmbeddingModel(Protocol):
    """A language model that also turns texts into points."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Points of shape (len(texts), D); texts that mean alike lie in like directions."""


@runtime_checkable
class ChatModel(Protocol):
    """A language model that may tell what it is told from what it is asked."""

    @property
    def speaks_chat(self) -> bool:
        """Whether it does."""

    def chat(self, turns: Sequence[tuple[str, str]], options: GenerateOptions) -> list[list[Completion]]:
        """Answers every `(system, user)` pair of messages; otherwise as `LanguageModel.generate`."""


def chat(model: LanguageModel, turns: Sequence[tuple[str, str]], options: GenerateOptions) -> list[list[Completion]]:
    """Answers `(system, user)` pairs; for a model that speaks no chat the two are one text."""
    if isinstance(model, ChatModel) and model.speaks_chat:
        return model.chat(turns, options)
    return model.generate([system + user for system, user in turns], options)


@runtime_checkable
class DecliningModel(Protocol):
    """A language model that may decline prompts, and says why."""

    @property
    def refusals(self) -> Mapping[str, str]:
        """Prompt → why it has no completion."""


def refusal(model: LanguageModel, prompt: str, default: str) -> str:
    """Why a model has no completion of a prompt, in its own words where it has any."""
    return model.refusals.get(prompt, default) if isinstance(model, DecliningModel) else default


def fits(model: LanguageModel, prompts: Sequence[str], new_tokens: int) -> list[bool]:
    """Whether each prompt leaves room for so many tokens; yes where the model cannot say."""
    return model.fits(prompts, new_tokens) if isinstance(model, SizedModel) else [True] * len(prompts)


def embed(model: LanguageModel, texts: Sequence[str]) -> NDArray[np.float64]:
    """Points of texts, shape (len(texts), D).

    Raises:
        ConfigError: The model has none.
    """
    if isinstance(model, EmbeddingModel):
        return model.embed(texts)
    raise ConfigError(f"{model.name} does not embed texts.", wanted="a local model", fix="Choose by tfidf instead.")


class Classifier(Protocol):
    """Anything that gives class probabilities for texts."""

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Probabilities of shape `(len(texts), K)`, rows summing to one."""
