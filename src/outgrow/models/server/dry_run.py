"""Models for dry runs: they send and load nothing; servers count the requests and tokens that a run would cost."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from outgrow.labels import Completion
from outgrow.models.protocols import GenerateOptions, Messages, TooLong
from outgrow.models.server.cache import ResponseCache
from outgrow.models.server.model import ServerLanguageModel
from outgrow.models.server.usage import BYTES_PER_TOKEN, Estimate, guess_tokens
from outgrow.models.server.wire import Request, read_reply, to_completion, to_score

_RATING = " [[1]]"
"""End of made-up texts, so that a judge's reply can be read and is not asked for again."""


@dataclass
class DryRunServer:
    """Count what a served model would be asked, every request once; answers are from the cache or made up."""

    model: ServerLanguageModel
    """The model that would be asked."""
    found: dict[str, int] = field(default_factory=dict)
    """Requests behind artefacts that the store has already, by key."""
    trained: dict[str, int] = field(default_factory=dict)
    """Tokens of the fine-tunings that its provider would be asked for, by key."""
    _missing: dict[str, tuple[int, int]] = field(default_factory=dict)
    _kept: set[str] = field(default_factory=set)

    @property
    def name(self) -> str:
        """Name of the model that would be asked."""
        return self.model.name

    @property
    def refusals(self) -> Mapping[str, str]:
        """Empty: what a server would decline is not known."""
        return {}

    @property
    def estimate(self) -> Estimate:
        """Requests and tokens of everything so far: the most a run takes, without failures and repeated ratings."""
        costs, kept = self._missing.values(), len(self._kept) + sum(self.found.values())
        read, most = sum(read for read, _ in costs), sum(most for _, most in costs)
        return Estimate(len(costs), kept, read, most, sum(self.trained.values()))

    @property
    def chats(self) -> bool:
        """As the model that would be asked."""
        return self.model.chats

    def generate(self, prompts: Sequence[str | Messages], options: GenerateOptions) -> list[list[Completion]]:
        """Return cached answers, and made-up ones of `options.max_new_tokens` where there are none.

        Raises:
            ConfigError: As the model's `generate`.
        """
        requests = self.model.requests(prompts, options)
        kept = self._cached([request.key for own in requests for request in own])
        return [[self._answer(one, kept.get(one.key), options) for one in own] for own in requests]

    def logprobs(
        self, pairs: Sequence[tuple[str, str]], *, end: bool = False, too_long: TooLong = "error"
    ) -> list[Completion]:
        """Return cached scores, and made-up ones where there are none, which count a request without an answer each.

        Raises:
            ConfigError: As the model's `check_scores`.
        """
        requests = self.model.score_requests(pairs)
        kept = self._cached([request.key for request in requests])
        found = []
        for request, (prompt, text) in zip(requests, pairs, strict=True):
            if request.key in kept:
                self._kept.add(request.key)
                found.append(to_score(read_reply(kept[request.key], request.api), prompt, text))
            else:
                self._missing[request.key] = (guess_tokens(request.text), 1)  # vLLM generates a token and drops it
                found.append(Completion(text, (-1.0,), ((0, len(text)),), finished=False))
        return found

    def _answer(self, request: Request, body: str | None, options: GenerateOptions) -> Completion:
        if body is not None:
            self._kept.add(request.key)
            return to_completion(read_reply(body, request.api), options)
        self._missing[request.key] = (guess_tokens(request.text), options.max_new_tokens)
        return made_up(request.key, options)

    def _cached(self, keys: Sequence[str]) -> dict[str, str]:
        if not self.model.cache.is_file():
            return {}
        with ResponseCache(self.model.cache) as cache:
            return cache.get(keys)


@dataclass(frozen=True)
class DryRunModel:
    """A `LanguageModel` that stands for one that runs here: it makes everything up, at no cost."""

    name: str
    """A name for records."""
    chats: bool = False
    """Whether it takes messages."""

    def generate(self, prompts: Sequence[str | Messages], options: GenerateOptions) -> list[list[Completion]]:
        """Return texts of `options.max_new_tokens`, another one for every prompt, sample and seed."""
        return [
            [made_up(f"{self.name}/{options.seed}/{sample}/{prompt}", options) for sample in range(options.n)]
            for prompt in prompts
        ]

    def logprobs(
        self, pairs: Sequence[tuple[str, str]], *, end: bool = False, too_long: TooLong = "error"
    ) -> list[Completion]:
        """Return the texts as one token each, all with the same log-probability."""
        return [Completion(text, (-1.0,), ((0, len(text)),), finished=False) for _, text in pairs]

    def embed(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return the same direction for all texts, shape (len(texts), 1)."""
        return np.ones((len(texts), 1))


def made_up(key: str, options: GenerateOptions) -> Completion:
    """Return a text of `options.max_new_tokens` that belongs to a key and to no other.

    Example:
        >>> guess_tokens(made_up("a", GenerateOptions(max_new_tokens=12)).text)
        12
    """
    size = BYTES_PER_TOKEN * options.max_new_tokens
    digits = hashlib.shake_128(key.encode()).hexdigest(size // 2 + 1)[:size]
    if size > 4 * len(_RATING):
        digits = digits[: -len(_RATING)] + _RATING
    return Completion(digits, (), (), finished=False)
