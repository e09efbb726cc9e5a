"""Decoding one text per line: greedily, or by sampling from noise that belongs to the prompt and to nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from outgrow.models.causal import CausalNetwork, Continuation, check_number

Stops = Callable[[Sequence[int]], bool]
"""Whether the last of these tokens completes a stop string."""


@dataclass
class Draft:
    """One text in the making."""

    prompt: Sequence[int]
    """Tokens of the prompt."""
    budget: int
    """How many tokens it may have at most, 1 or more."""
    noise: torch.Generator | None = None
    """Where its sampling noise comes from; None decodes greedily."""
    tokens: list[int] = field(default_factory=list)
    """Tokens taken, without the end-of-sequence token."""
    logprobs: list[float] = field(default_factory=list)
    """The model's log-probability of each, and of the end-of-sequence token if it was taken."""
    finished: bool = False
    """Whether the model ended it."""
    done: bool = False
    """Whether it is finished, stopped or full."""


def decode(
    network: CausalNetwork,
    drafts: Sequence[Draft],
    *,
    ends: set[int],
    stops: Stops,
    temperature: float,
    shared: int = 0,
) -> None:
    """Extends all drafts, token by token, until each is done.

    Args:
        network: Who continues.
        drafts: What to continue, one forward pass for all; those of one prompt share the reading of it.
        ends: Tokens that end a text.
        stops: Whether a text has come to a stop string.
        temperature: Of the distribution that drafts with noise are drawn from.
        shared: How many first tokens all prompts share; they are read once.
    """
    prompts = list(dict.fromkeys(tuple(draft.prompt) for draft in drafts))
    rows = [prompts.index(tuple(draft.prompt)) for draft in drafts]
    continuation = Continuation(network, prompts, shared)
    logprobs = continuation.logprobs()[rows]
    continuation.select(rows)
    running = list(drafts)
    while True:
        taken = choose(logprobs, [draft.noise for draft in running], temperature)
        values = logprobs.gather(1, taken[:, None])[:, 0].tolist()
        tokens = taken.tolist()
        for draft, token, value in zip(running, tokens, values, strict=True):
            if not draft.done:
                check_number(value, network.name)
                _extend(draft, token, value, ends, stops)
        alive = [row for row, draft in enumerate(running) if not draft.done]
        if not alive:
            return
        # Leaving texts behind costs a copy of the cache, which pays once they are a fair share.
        rows = alive if len(alive) <= 0.75 * len(running) else list(range(len(running)))
        continuation.select(rows)
        continuation.append([tokens[row] for row in rows])
        logprobs = continuation.logprobs()
        running = [running[row] for row in rows]


def _extend(draft: Draft, token: int, logprob: float, ends: set[int], stops: Stops) -> None:
    draft.logprobs.append(logprob)
    draft.finished = token in ends
    if not draft.finished:
        draft.tokens.append(token)
    draft.done = draft.finished or len(draft.tokens) == draft.budget or stops(draft.tokens)


def choose(logprobs: Tensor, noise: Sequence[torch.Generator | None], temperature: float) -> Tensor:
    """The most probable token of each row, or one drawn at this temperature; shape (rows,).

    Args:
        logprobs: Shape (rows, V).
        noise: A source of noise per row; each is asked for one number, so that rows do not depend on each other.
        temperature: 0 takes the most probable token.
    """
    if not temperature:
        return logprobs.argmax(-1)
    # Drawn on the CPU: the same on every device. In double precision a token of probability 10⁻⁹ has its share.
    uniform = torch.stack([torch.rand(1, generator=generator, dtype=torch.float64) for generator in noise])
    cumulative = (logprobs.double() / temperature).softmax(-1).cumsum(-1)
    threshold = uniform.to(cumulative.device) * cumulative[:, -1:]
    drawn = torch.searchsorted(cumulative, threshold, right=True)[:, 0]
    return drawn.clamp_max(logprobs.shape[1] - 1)


def noise_for(seed: int, sample: int, prompt: str) -> torch.Generator:
    """A source of noise for one sample of one prompt, whatever it is sampled together with."""
    digest = hashlib.blake2b(f"{seed} {sample} {prompt}".encode(errors="surrogatepass"), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big", signed=True))
