"""Greedy decoding, sampling with per-prompt noise, and beam search, each over a batch of prompts.

Faster than transformers' `generate` and independent of the batch (benchmarks/generation.py): finished texts leave the
batch, a prompt is computed once for all its samples or beams, and no logits are kept.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from outgrow.models.causal import CausalNetwork, Continuation, check_number

Stops = Callable[[Sequence[int]], bool]
"""Whether the last of these tokens completes a stop string."""


@dataclass
class Draft:
    """A text that is being decoded."""

    prompt: Sequence[int]
    budget: int
    """Most new tokens, at least 1."""
    noise: torch.Generator | None = None
    """Sampling noise; None decodes greedily."""
    tokens: list[int] = field(default_factory=list)
    """New tokens, without the end-of-sequence token."""
    logprobs: list[float] = field(default_factory=list)
    """The model's log-probability of each, and of the end-of-sequence token if there is one."""
    finished: bool = False
    done: bool = False
    """Whether it is finished by the model, stopped, or out of budget."""

    def extend(self, token: int, logprob: float, ends: set[int], stops: Stops) -> None:
        """Append a token."""
        self.logprobs.append(logprob)
        self.finished = token in ends
        if not self.finished:
            self.tokens.append(token)
        self.done = self.finished or len(self.tokens) == self.budget or stops(self.tokens)


def decode(
    network: CausalNetwork,
    drafts: Sequence[Draft],
    *,
    ends: set[int],
    stops: Stops,
    temperature: float,
    shared: int = 0,
) -> None:
    """Extend a batch of drafts token by token until each is done; `temperature` is for drafts with noise.

    Equal prompts, and the first `shared` tokens of all of them, are computed once.
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
                draft.extend(token, value, ends, stops)
        alive = [row for row, draft in enumerate(running) if not draft.done]
        if not alive:
            return
        # Dropping texts copies the cache, which pays once they are a quarter of the batch.
        rows = alive if len(alive) <= 0.75 * len(running) else list(range(len(running)))
        continuation.select(rows)
        continuation.append([tokens[row] for row in rows])
        logprobs = continuation.logprobs()
        running = [running[row] for row in rows]


def choose(logprobs: Tensor, noise: Sequence[torch.Generator | None], temperature: float) -> Tensor:
    """Return the most probable token of each row (rows, V), or sample one by a number of the row's own generator."""
    if not temperature:
        return logprobs.argmax(-1)
    # Drawn on the CPU, so equal on every device; in double precision, so that probabilities of 1e-9 count.
    uniform = torch.stack([torch.rand(1, generator=generator, dtype=torch.float64) for generator in noise])
    cumulative = (logprobs.double() / temperature).softmax(-1).cumsum(-1)
    threshold = uniform.to(cumulative.device) * cumulative[:, -1:]
    drawn = torch.searchsorted(cumulative, threshold, right=True)[:, 0]
    return drawn.clamp_max(logprobs.shape[1] - 1)


def noise_for(seed: int, sample: int, prompt: str) -> torch.Generator:
    """Return the generator of one sample of one prompt, whatever the batch."""
    digest = hashlib.blake2b(f"{seed} {sample} {prompt}".encode(errors="surrogatepass"), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big", signed=True))


@dataclass(frozen=True)
class Hypothesis:
    """A text of a beam search, complete or not; tokens and log-probabilities as in `Draft`."""

    tokens: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    total: float = 0.0
    """Sum of the log-probabilities; −∞ for an empty beam."""
    finished: bool = False

    @property
    def score(self) -> float:
        """The mean token log-probability, end included: ranks texts of different lengths."""
        return self.total / len(self.logprobs)


_EMPTY = Hypothesis(total=-math.inf)


@dataclass
class Search:
    """The beams of one prompt."""

    prompt: Sequence[int]
    budget: int
    """Most new tokens, at least 1."""
    running: list[Hypothesis] = field(default_factory=lambda: [Hypothesis()])
    """Incomplete texts, best first."""
    ended: list[Hypothesis] = field(default_factory=list)
    """The best complete texts, best first."""

    def extend(
        self, best: list[tuple[float, float, tuple[int, int]]], beams: int, ends: set[int], stops: Stops
    ) -> list[int]:
        """Append one token to every beam; return the old beam that each new beam continues.

        `best` are candidates (sum, log-probability, (beam, token)), best first.
        """
        running: list[Hypothesis] = []
        parents: list[int] = []
        for rank, (total, logprob, (parent, token)) in enumerate(best):
            if total == -math.inf or (rank >= beams and len(running) == beams):
                break
            before = self.running[parent]
            finished = token in ends
            tokens = before.tokens if finished else (*before.tokens, token)
            one = Hypothesis(tokens, (*before.logprobs, logprob), before.total + logprob, finished)
            if finished or len(tokens) == self.budget or stops(tokens):
                self.ended += [one] if rank < beams else []
            elif len(running) < beams:
                running.append(one)
                parents.append(parent)
        empty = beams - len(running)
        self.ended = sorted(self.ended, key=lambda one: -one.score)[:beams]
        self.running = running + [_EMPTY] * empty
        return parents + [0] * empty

    def done(self, beams: int) -> bool:
        """Return whether no incomplete text can enter the best `beams`."""
        leader = self.running[0]
        return leader is _EMPTY or (len(self.ended) == beams and leader.score <= self.ended[-1].score)


def beam_search(
    network: CausalNetwork, searches: Sequence[Search], *, beams: int, ends: set[int], stops: Stops, shared: int = 0
) -> None:
    """Find the `beams` best texts of every prompt; they are left in `ended`.

    At every step the `beams` best continuations go on. Of those among the best `beams` that end, by an end token, a
    stop string or the budget, the best by mean token log-probability are kept. A prompt is done when it has `beams`
    texts and its best incomplete text has no better mean than the last of them.

    Source: transformers' beam search with its default length penalty of 1; texts and scores are the same.
    """
    continuation = Continuation(network, [search.prompt for search in searches], shared)
    alive = list(searches)
    # Enough that `beams` incomplete texts remain even if the best continuations of every beam are all ends.
    wanted = max(2, 1 + len(ends)) * beams
    while True:
        logprobs = continuation.logprobs()
        width = len(logprobs) // len(alive)
        totals = torch.tensor([[one.total for one in search.running] for search in alive], device=logprobs.device)
        joint = (logprobs.view(len(alive), width, -1) + totals[..., None]).flatten(1)
        values, places = joint.topk(min(wanted, joint.shape[1]))
        own = logprobs.reshape(len(alive), -1).gather(1, places)
        rows: list[int] = []
        remaining: list[Search] = []
        columns = zip(alive, values.tolist(), own.tolist(), places.tolist(), strict=True)
        for index, (search, sums, single, where) in enumerate(columns):
            check_number(sums[0], network.name)
            best = zip(sums, single, (divmod(place, logprobs.shape[1]) for place in where), strict=True)
            parents = search.extend(list(best), beams, ends, stops)
            if not search.done(beams):
                rows += [index * width + parent for parent in parents]
                remaining.append(search)
        if not remaining:
            return
        alive = remaining
        continuation.select(rows)
        continuation.append([one.tokens[-1] if one.tokens else 0 for search in alive for one in search.running])
