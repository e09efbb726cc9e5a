"""Protocols of models: `LanguageModel` for texts, `Classifier` for choices.

Local models, servers and scripted models have the same methods; the rest of the library does not tell them apart.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from outgrow.errors import ConfigError
from outgrow.labels import Completion

Message = tuple[Literal["system", "user", "assistant"], str]
"""A role and what it says."""
Messages = tuple[Message, ...]
"""A conversation; the last message is the user's."""
TooLong = Literal["error", "empty"]
"""What becomes of a text longer than the model's context: an error, or an answer without tokens."""


@dataclass(frozen=True)
class GenerateOptions:
    """Settings of text generation."""

    max_new_tokens: int = 64
    """Most new tokens; generation also ends at an end-of-sequence token or a stop string."""
    temperature: float = 0.0
    """0 decodes greedily, above 0 samples."""
    n: int = 1
    """Completions per prompt; more than one needs a temperature above 0 or as many beams."""
    beams: int = 1
    """Width of the beam search for the texts of highest mean token log-probability; 1 does not search."""
    stop: tuple[str, ...] = ()
    """Strings that end a completion; the text is cut before them."""
    seed: int = 0
    """Seed of sampling; the texts do not depend on the batch size."""
    too_long: TooLong = "error"
    """What becomes of a prompt that leaves no room for a new token: an error, or no completion."""

    def to_json(self) -> dict[str, Any]:
        """Return all settings as JSON values."""
        return {**vars(self), "stop": list(self.stop)}


def check_options(options: GenerateOptions) -> None:
    """Raise a ConfigError if options are out of range or contradict each other."""
    if min(options.max_new_tokens, options.n, options.beams) < 1 or options.temperature < 0:
        raise ConfigError(
            "Generation cannot run with these options.",
            found=options,
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


class _ClassName:
    """Default of `name`; no property, so that a dataclass may have a field of this name."""

    def __get__(self, instance: object, owner: type) -> str:
        return owner.__name__


class LanguageModel(Protocol):
    """A model that continues prompts: the registry kind `model`.

    `generate` is all that a model needs. What else it can do is a method that it has:

    - `logprobs(pairs, *, end, too_long)`: score given texts; see `logprobs`.
    - `fits(prompts, new_tokens)`: tell which prompts fit into its context; see `fits`.
    - `embed(texts)`: embed texts; see `embed`.
    - `chats`: whether prompts may be messages; see `chats`.
    - `choose(prompts, choices)`: log-probabilities of choices; see `outgrow.pipeline.served_choices.ChoosingModel`.
    - `shown(prompt)`: the text that it reads for a prompt; see `shown`.
    - `refusals`: a mapping from prompts that it declined to reasons; see `refusal`.
    """

    if TYPE_CHECKING:

        @property
        def name(self) -> str:
            """A short name for tables and records. Default: the name of the class."""
    else:
        name = _ClassName()

    def generate(self, prompts: Sequence[Any], options: GenerateOptions) -> list[list[Completion]]:
        """Continue every prompt: one list of at most `options.n` completions per prompt, in order.

        A prompt is a text; for a model that `chats` also `Messages`, and a text is then one user's message.
        """


def logprobs(
    model: LanguageModel, pairs: Sequence[tuple[str | Messages, str]], *, end: bool = False, too_long: TooLong = "error"
) -> list[Completion]:
    """Score `(prompt, continuation)` pairs, with `end` the end-of-sequence token too; a ConfigError if it cannot.

    A pair longer than the context is an error, or with `too_long="empty"` has no log-probabilities.
    """
    if not hasattr(model, "logprobs"):
        raise _lacks(model, "score given texts", "logprobs", "Use a local model, or votes instead of scores.")
    return list(model.logprobs(pairs, end=end, too_long=too_long))


def fits(model: LanguageModel, prompts: Sequence[str | Messages], new_tokens: int) -> list[bool]:
    """Return whether the context has room for each prompt and `new_tokens`; True if the model cannot tell."""
    return list(model.fits(prompts, new_tokens)) if hasattr(model, "fits") else [True] * len(prompts)


def embed(model: LanguageModel, texts: Sequence[str]) -> NDArray[np.float64]:
    """Embed texts, shape (len(texts), D); similar texts have similar directions. A ConfigError if the model cannot."""
    if not hasattr(model, "embed"):
        raise _lacks(model, "embed texts", "embed", "Use a local model, or select by tfidf.")
    return np.asarray(model.embed(texts), dtype=np.float64)


def chats(model: LanguageModel | None) -> bool:
    """Return whether a model takes messages: it was tuned for conversations, and is asked in that form."""
    return bool(getattr(model, "chats", False))


def shown(model: LanguageModel, prompt: str | Messages) -> str:
    """Return what a model reads for a prompt, word for word; messages as JSON if it cannot tell."""
    if hasattr(model, "shown"):
        return str(model.shown(prompt))
    return prompt if isinstance(prompt, str) else json.dumps(as_turns(prompt), ensure_ascii=False)


def as_turns(messages: Messages) -> list[dict[str, str]]:
    """Return messages as templates and servers take them."""
    return [{"role": role, "content": content} for role, content in messages]


def with_system(prompt: str | Messages, system: str | None) -> Messages:
    """Return a prompt as messages behind a system message, which is joined with the one that they may have.

    Example:
        >>> with_system("1 + 1?", "Be brief.")
        (('system', 'Be brief.'), ('user', '1 + 1?'))
    """
    messages: Messages = (("user", prompt),) if isinstance(prompt, str) else prompt
    given = [content.rstrip("\n") for role, content in messages if role == "system"]
    told = "\n\n".join(part for part in (system, *given) if part)
    rest = tuple(message for message in messages if message[0] != "system")
    return (("system", told), *rest) if told else rest


def refusal(model: LanguageModel, prompt: str | Messages, default: str) -> str:
    """Return the model's reason for having no completion of a prompt, or `default`."""
    reasons: Mapping[str | Messages, str] = getattr(model, "refusals", {})
    return reasons.get(prompt, default)


def _lacks(model: LanguageModel, what: str, method: str, fix: str) -> ConfigError:
    return ConfigError(f"{model.name} does not {what}.", found=f"no method `{method}`", fix=fix)


class Classifier(Protocol):
    """A model of class probabilities."""

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return probabilities of shape (len(texts), K); rows sum to 1."""
