"""Beam search over many prompts at once; every score belongs to the tokens it was given for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from outgrow.models.causal import CausalNetwork, Continuation, check_number
from outgrow.models.decoding import Stops


@dataclass(frozen=True)
class Hypothesis:
    """A text, or the beginning of one."""

    tokens: tuple[int, ...] = ()
    """Its tokens, without the end-of-sequence token."""
    logprobs: tuple[float, ...] = ()
    """The model's log-probability of each, and of the end-of-sequence token if it is finished."""
    total: float = 0.0
    """Their sum; −∞ for a place that is not taken."""
    finished: bool = False
    """Whether the model ended it."""

    @property
    def score(self) -> float:
        """The mean token log-probability, end included: what texts of different lengths are ranked by."""
        return self.total / len(self.logprobs)


_VACANT = Hypothesis(total=-math.inf)


@dataclass
class Search:
    """The beams of one prompt."""

    prompt: Sequence[int]
    """Tokens of the prompt."""
    budget: int
    """How many tokens a text may have at most, 1 or more."""
    running: list[Hypothesis] = field(default_factory=lambda: [Hypothesis()])
    """Beginnings that are still continued, best first."""
    ended: list[Hypothesis] = field(default_factory=list)
    """The best whole texts, best first."""


def beam_search(
    network: CausalNetwork, searches: Sequence[Search], *, beams: int, ends: set[int], stops: Stops, shared: int = 0
) -> None:
    """Finds the `beams` best texts for every prompt; they are left in `ended`.

    At every step the `beams` best continuations go on; of those among the best `beams` that end, by an end token, a
    stop string or a full budget, the best by mean token log-probability are kept. A prompt is done when it has `beams`
    texts and its best beginning has no better mean than the last of them. With room for all beginnings this is an
    exhaustive search.

    Args:
        network: Who continues.
        searches: What to continue, one forward pass for all.
        beams: Beams per prompt, 1 or more.
        ends: Tokens that end a text.
        stops: Whether a text has come to a stop string.
        shared: How many first tokens all prompts share; they are read once.

    Source:
        The rules are those of transformers' beam search with its default length penalty of 1, so that the texts and
        scores are the same.
    """
    continuation = Continuation(network, [search.prompt for search in searches], shared)
    alive = list(searches)
    # Enough that `beams` beginnings remain even if each beam's best continuations are all ends.
    wanted = max(2, 1 + len(ends)) * beams
    while True:
        logprobs = continuation.logprobs()
        width = len(logprobs) // len(alive)
        totals = torch.tensor([[one.total for one in search.running] for search in alive], device=logprobs.device)
        joint = (logprobs.view(len(alive), width, -1) + totals[..., None]).flatten(1)
        values, places = joint.topk(min(wanted, joint.shape[1]))
        own = logprobs.reshape(len(alive), -1).gather(1, places)
        rows: list[int] = []
        going_on: list[Search] = []
        columns = zip(alive, values.tolist(), own.tolist(), places.tolist(), strict=True)
        for index, (search, sums, single, where) in enumerate(columns):
            check_number(sums[0], network.name)
            best = zip(sums, single, (divmod(place, logprobs.shape[1]) for place in where), strict=True)
            parents = _extend(search, list(best), beams, ends, stops)
            if not _done(search, beams):
                rows += [index * width + parent for parent in parents]
                going_on.append(search)
        if not going_on:
            return
        alive = going_on
        continuation.select(rows)
        continuation.append([one.tokens[-1] if one.tokens else 0 for search in alive for one in search.running])


def _extend(
    search: Search, best: list[tuple[float, float, tuple[int, int]]], beams: int, ends: set[int], stops: Stops
) -> list[int]:
    """Takes a search one token further; `best` are its candidates (sum, log-probability, (beam, token)), best first.

    Returns:
        The beam that each of the new beams continues.
    """
    running: list[Hypothesis] = []
    parents: list[int] = []
    for rank, (total, logprob, (parent, token)) in enumerate(best):
        if total == -math.inf or (rank >= beams and len(running) == beams):
            break
        before = search.running[parent]
        finished = token in ends
        tokens = before.tokens if finished else (*before.tokens, token)
        one = Hypothesis(tokens, (*before.logprobs, logprob), before.total + logprob, finished)
        if finished or len(tokens) == search.budget or stops(tokens):
            search.ended += [one] if rank < beams else []
        elif len(running) < beams:
            running.append(one)
            parents.append(parent)
    vacant = beams - len(running)
    search.ended = sorted(search.ended, key=lambda one: -one.score)[:beams]
    search.running = running + [_VACANT] * vacant
    return parents + [0] * vacant


def _done(search: Search, beams: int) -> bool:
    leader = search.running[0]
    if leader is _VACANT:
        return True
    return len(search.ended) == beams and leader.score <= search.ended[-1].score
