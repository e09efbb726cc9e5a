"""Exact inference in a hidden Markov world: the forward algorithm for all concepts and a batch of sequences at once.

The parts of a state (entity, property) move independently, so one step costs E²P + EP² instead of (EP)². Forward
probabilities are rescaled at every step, so any length is safe in float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from outgrow.errors import DataError
from outgrow.theory.checks import Floats, Ints, probability
from outgrow.theory.hmm import HiddenMarkovWorld

_CELLS_AT_ONCE = 1 << 21
"""Forward probabilities per batch: 16 MiB."""


@dataclass(frozen=True, eq=False)
class Filtered:
    """Result of the forward algorithm for N sequences and C concepts."""

    log_likelihood: Floats
    """Log-probability of each sequence under each concept in nats, shape (N, C); −inf where it is impossible."""
    ahead: Floats
    """Probability of the next state given the sequence and the concept, shape (N, C, E, P); zero where impossible."""


def forward(world: HiddenMarkovWorld, tokens: Ints, *, jump: float = 0.0) -> Filtered:
    """Run the forward algorithm on sequences of equal length, shape (N, T); T = 0 leaves the start distribution.

    `jump` is the probability of a step to a uniformly drawn state. Most transitions in GINC have probability 0, and
    prompts make transitions that no document makes: without jumps many are impossible under every concept.

    Raises:
        DataError: A token is not in the vocabulary.

    Source:
        Baum & Petrie 1966; rescaling as in Rabiner 1989. The jump is ours.
    """
    probability("jump", jump)
    if tokens.ndim != 2:
        raise DataError("Sequences of tokens have the wrong shape.", found=tokens.shape, wanted="(sequences, length)")
    if tokens.min(initial=0) < 0 or tokens.max(initial=0) >= world.vocabulary:
        raise DataError(
            "A sequence holds a token that is not in the vocabulary.",
            found=f"tokens {tokens.min()} to {tokens.max()}",
            wanted=f"0 to {world.vocabulary - 1}",
        )
    step = max(1, _CELLS_AT_ONCE // world.start.size)
    parts = [_forward(world, tokens[first : first + step], jump) for first in range(0, max(len(tokens), 1), step)]
    return Filtered(
        np.concatenate([part.log_likelihood for part in parts]), np.concatenate([part.ahead for part in parts])
    )


def concept_posterior(world: HiddenMarkovWorld, tokens: Ints, *, jump: float = 0.0) -> Floats:
    """Return the probability of each concept, shape (N, C), given sequences, shape (N, T); for `jump` see `forward`.

    Raises:
        DataError: A sequence is impossible under every concept.
    """
    return posterior_of(world, forward(world, tokens, jump=jump), tokens)


def next_token(world: HiddenMarkovWorld, tokens: Ints, *, jump: float = 0.0) -> Floats:
    """Return the exact Bayes prediction of the next token, shape (N, V), given sequences, shape (N, T).

    Raises:
        DataError: A sequence is impossible under every concept.

    Example:
        >>> from outgrow.theory.hmm import make_ginc
        >>> world = make_ginc(seed=0)
        >>> next_token(world, world.memory[:2, 1:2]).sum(axis=1).round(12).tolist()
        [1.0, 1.0]
    """
    filtered = forward(world, tokens, jump=jump)
    posterior, under_each = posterior_of(world, filtered, tokens), token_probabilities(world, filtered.ahead)
    return np.asarray(np.einsum("nc,ncv->nv", posterior, under_each))


def log_probability(world: HiddenMarkovWorld, tokens: Ints, *, jump: float = 0.0) -> Floats:
    """Return the log-probability in nats, shape (N,), of sequences, shape (N, T), under the mixture of all concepts.

    Its negative over the length is the loss of a perfect language model of the world.
    """
    return mixed(world, forward(world, tokens, jump=jump).log_likelihood)


def mixed(world: HiddenMarkovWorld, log_likelihood: Floats) -> Floats:
    """Return log-likelihoods per concept, shape (…, C), averaged under the prior: shape (…)."""
    return np.asarray(logsumexp(log_likelihood, b=world.prior, axis=-1))


def posterior_of(world: HiddenMarkovWorld, filtered: Filtered, tokens: Ints) -> Floats:
    """Return the concept posterior, shape (N, C), of a result of `forward`; DataError if a sequence is impossible."""
    total = mixed(world, filtered.log_likelihood)
    for row in np.flatnonzero(~np.isfinite(total)):
        shown = " ".join(map(str, tokens[row, :20])) + (" …" if tokens.shape[1] > 20 else "")
        unsaid = np.setdiff1d(tokens[row], world.memory)
        if unsaid.size:
            raise DataError(f"Sequence {row} is impossible: no state emits token {unsaid[0]}.", found=shown)
        raise DataError(
            f"Sequence {row} is impossible under every concept: it makes a transition that none of them allows.",
            found=shown,
            fix="Allow jumps (jump=1e-3), which prompts made of several examples need.",
        )
    return np.asarray(world.prior * np.exp(filtered.log_likelihood - total[:, None]))


def token_probabilities(world: HiddenMarkovWorld, states: Floats) -> Floats:
    """Map probabilities of states, shape (…, E, P), to probabilities of tokens, shape (…, V)."""
    says = np.zeros((world.memory.size, world.vocabulary))
    says[np.arange(world.memory.size), world.memory.ravel()] = 1.0
    return np.asarray(states.reshape(*states.shape[:-2], world.memory.size) @ says)


def _forward(world: HiddenMarkovWorld, tokens: Ints, jump: float) -> Filtered:
    ahead = np.broadcast_to(world.start, (len(tokens), *world.start.shape))
    log_likelihood = np.zeros(ahead.shape[:2])
    for token in tokens.T:
        here = ahead * (world.memory == token[:, None, None])[:, None]
        scale = here.sum(axis=(2, 3))
        with np.errstate(divide="ignore"):
            log_likelihood = log_likelihood + np.log(scale)
        here /= np.where(scale > 0, scale, 1.0)[:, :, None, None]
        ahead = world.entity_transition.T @ here @ world.property_transition
        if jump:
            ahead = (1 - jump) * ahead + jump * (scale > 0)[:, :, None, None] / world.memory.size
    return Filtered(log_likelihood, np.asarray(ahead))
