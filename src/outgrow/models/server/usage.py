"""Tokens and cost of requests, actual and estimated."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from outgrow.errors import ConfigError
from outgrow.models.server.wire import Reply

BYTES_PER_TOKEN = 4
"""A rule of thumb for English, used where a server reports no counts and for estimates."""


@dataclass(frozen=True)
class Prices:
    """Prices per million tokens, in a currency of your choice.

    Example:
        >>> Prices(input=0.5, output=2.0).of(1_000_000, 500_000)
        1.5
    """

    input: float
    """Per million tokens of prompts."""
    output: float
    """Per million tokens of answers."""
    training: float | None = None
    """Per million tokens of fine-tuning, all epochs counted; None if unknown."""

    def __post_init__(self) -> None:
        if not all(math.isfinite(each) and each >= 0 for each in (self.input, self.output, self.training or 0.0)):
            found = f"input {self.input}, output {self.output}, training {self.training}"
            raise ConfigError("Prices are numbers of at least 0.", found=found)

    def of(self, prompt_tokens: int, completion_tokens: int, trained_tokens: int = 0) -> float:
        """Return the cost of so many tokens; fine-tuning at an unknown price is not in it."""
        asked = self.input * prompt_tokens + self.output * completion_tokens
        return (asked + (self.training or 0.0) * trained_tokens) / 1e6

    def text(self, prompt_tokens: int, completion_tokens: int, trained_tokens: int = 0) -> str:
        """Return the cost of so many tokens in words."""
        unknown = " without its fine-tuning" if trained_tokens and self.training is None else ""
        return f"{self.of(prompt_tokens, completion_tokens, trained_tokens):.4g}{unknown}"


@dataclass
class Usage:
    """Requests to one model and their tokens."""

    asked: int = 0
    """Requests answered by the server."""
    cached: int = 0
    """Requests answered from the cache, at no cost."""
    refused: int = 0
    """Requests that the server rejected."""
    prompt_tokens: int = 0
    """Prompt tokens of the requests answered by the server."""
    completion_tokens: int = 0
    """Tokens of their answers."""
    retried: int = 0
    """Number of retries."""
    guessed: int = 0
    """Answers without a plausible token count by the server: estimated from their length."""
    trained_tokens: int = 0
    """Tokens of fine-tuning, all epochs counted."""

    def __add__(self, other: Usage) -> Usage:
        return Usage(*map(sum, zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)))

    def add(self, reply: Reply, prompt: str) -> None:
        """Count one answer of the server."""
        self.asked += 1
        self.guessed += reply.prompt_tokens is None or reply.completion_tokens is None
        self.prompt_tokens += guess_tokens(prompt) if reply.prompt_tokens is None else reply.prompt_tokens
        self.completion_tokens += (
            guess_tokens(reply.text) if reply.completion_tokens is None else reply.completion_tokens
        )

    def text(self, prices: Prices | None = None) -> str:
        """Summarize in one line.

        Example:
            >>> Usage(asked=2, cached=1, prompt_tokens=3000, completion_tokens=500).text(Prices(1.0, 2.0))
            '2 requests (1 more from the cache), 3,000 + 500 tokens, cost 0.004'
        """
        parts = [f"{self.asked:,} requests ({self.cached:,} more from the cache)"]
        if self.refused:
            parts.append(f"{self.refused:,} declined")
        if self.retried:
            parts.append(f"{self.retried:,} sent again")
        parts.append(f"{self.prompt_tokens:,} + {self.completion_tokens:,} tokens")
        if self.guessed:
            parts.append(f"those of {self.guessed:,} answers guessed from their length")
        if self.trained_tokens:
            parts.append(f"{self.trained_tokens:,} tokens of fine-tuning")
        if prices is not None:
            parts.append(f"cost {prices.text(self.prompt_tokens, self.completion_tokens, self.trained_tokens)}")
        return ", ".join(parts)


@dataclass(frozen=True)
class Estimate:
    """Requests of a dry run and their tokens."""

    requests: int
    """Requests that would be sent."""
    cached: int
    """Requests with a cached answer."""
    prompt_tokens: int
    """Prompt tokens, estimated from their length."""
    completion_tokens: int
    """Most tokens of the answers."""
    trained_tokens: int = 0
    """Tokens of fine-tuning, all epochs counted, estimated from their length."""

    def text(self, prices: Prices | None = None) -> str:
        """Summarize in one line."""
        tokens = self.prompt_tokens, self.completion_tokens, self.trained_tokens
        return (
            f"{self.requests:,} requests ({self.cached:,} more from the cache), about {self.prompt_tokens:,} + at most "
            f"{self.completion_tokens:,} tokens"
            + (f", about {self.trained_tokens:,} tokens of fine-tuning" if self.trained_tokens else "")
            + (f", cost at most about {prices.text(*tokens)}" if prices else "")
        )


def guess_tokens(text: str) -> int:
    """Estimate the tokens of a text from its length in bytes."""
    return math.ceil(len(text.encode()) / BYTES_PER_TOKEN)
