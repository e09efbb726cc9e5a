"""Exact inference in a hidden Markov world: the forward algorithm, for all concepts and a batch of sequences at once.

A state is a pair (entity, property) whose parts move on their own, so one step costs E²P + EP² and not (EP)². Forward
probabilities are rescaled at every step and the scales kept as logarithms: any length is safe in float64.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from outgrow.errors import DataError
from outgrow.theory.checks import probability
from outgrow.theory.hmm import HiddenMarkovWorld

_CELLS_AT_ONCE = 1 << 21
"""Forward probabilities held at once: 16 MiB."""


@dataclass(frozen=True, eq=False)
class Filtered:
    """What N sequences say about each of C concepts, and about the state that comes next."""

    log_likelihood: NDArray[np.float64]
    """Log-probability of each sequence under each concept in nats, shape (N, C); −inf where it is impossible."""
    ahead: NDArray[np.float64]
    """Probability of the next state given the sequence and the concept, shape (N, C, E, P); zero where impossible."""


def forward(world: HiddenMarkovWorld, tokens: NDArray[np.int64], *, jump: float = 0.0) -> Filtered:
    """The forward algorithm.

    Args:
        world: The world.
        tokens: Sequences of equal length, shape (N, T); T = 0 leaves the start distribution.
        jump: Probability in [0, 1] with which a step goes to any state alike instead of following the chain. In GINC
            most transitions have probability zero, and prompts make transitions that no document makes: with 0 many of
            them are impossible under every concept.

    Returns:
        Likelihoods and states.

    Raises:
        DataError: A token is not in the vocabulary.
        ConfigError: `jump` is out of range.

    Source:
        Baum & Petrie 1966; rescaling as in Rabiner 1989. The jump is ours.

    Example:
        >>> from outgrow.theory.hmm import make_ginc
        >>> world = make_ginc(seed=0)
        >>> forward(world, np.zeros((1, 0), dtype=np.int64)).log_likelihood.tolist()
        [[0.0, 0.0, 0.0, 0.0, 0.0]]
    """
    probability("jump", jump)
    _check_tokens(world, tokens)
    parts = [_forward(world, tokens[rows], jump) for rows in _portions(world, len(tokens))]
    return Filtered(
        np.concatenate([part.log_likelihood for part in parts]), np.concatenate([part.ahead for part in parts])
    )


def concept_posterior(world: HiddenMarkovWorld, tokens: NDArray[np.int64], *, jump: float = 0.0) -> NDArray[np.float64]:
    """Probability of each concept given a sequence, shape (N, C).

    Args:
        world: The world.
        tokens: Sequences, shape (N, T).
        jump: See `forward`.

    Raises:
        DataError: A sequence is impossible under every concept.

    Example:
        >>> from outgrow.theory.hmm import make_ginc, sample_documents
        >>> world = make_ginc(seed=0)
        >>> documents = sample_documents(world, count=3, length=200, seed=0)
        >>> bool((concept_posterior(world, documents.tokens).argmax(axis=1) == documents.concept).all())
        True
    """
    return posterior_of(world, forward(world, tokens, jump=jump), tokens)


def next_token(world: HiddenMarkovWorld, tokens: NDArray[np.int64], *, jump: float = 0.0) -> NDArray[np.float64]:
    """The exact Bayes predictor: probability of each next token, averaged over what the concept may be.

    Args:
        world: The world.
        tokens: Sequences, shape (N, T).
        jump: See `forward`.

    Returns:
        Probabilities, shape (N, V).

    Raises:
        DataError: A sequence is impossible under every concept.

    Example:
        >>> from outgrow.theory.hmm import make_ginc
        >>> world = make_ginc(seed=0)
        >>> next_token(world, world.memory[:2, 1:2]).sum(axis=1).round(12).tolist()
        [1.0, 1.0]
    """
    filtered = forward(world, tokens, jump=jump)
    return np.asarray(np.einsum("nc,ncv->nv", posterior_of(world, filtered, tokens), spoken(world, filtered.ahead)))


def log_probability(world: HiddenMarkovWorld, tokens: NDArray[np.int64], *, jump: float = 0.0) -> NDArray[np.float64]:
    """Log-probability of whole sequences under the mixture of all concepts in nats, shape (N,).

    Its negative over the length is the loss of a perfect language model of the world.

    Args:
        world: The world.
        tokens: Sequences, shape (N, T).
        jump: See `forward`.

    Raises:
        DataError: A token is not in the vocabulary.

    Example:
        >>> from outgrow.theory.hmm import make_ginc
        >>> world = make_ginc(vocabulary=2, seed=0)
        >>> every = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
        >>> round(float(np.exp(log_probability(world, every)).sum()), 12)
        1.0
    """
    return mixed(world, forward(world, tokens, jump=jump).log_likelihood)


def mixed(world: HiddenMarkovWorld, log_likelihood: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log-likelihoods per concept, shape (…, C), averaged under the prior: shape (…)."""
    return np.asarray(logsumexp(log_likelihood, b=world.prior, axis=-1))


def posterior_of(world: HiddenMarkovWorld, filtered: Filtered, tokens: NDArray[np.int64]) -> NDArray[np.float64]:
    """Concept posterior of what `forward` returned, shape (N, C).

    Raises:
        DataError: A sequence is impossible under every concept.
    """
    total = mixed(world, filtered.log_likelihood)
    if not np.isfinite(total).all():
        _refuse_impossible(world, tokens, int(np.flatnonzero(~np.isfinite(total))[0]))
    return np.asarray(world.prior * np.exp(filtered.log_likelihood - total[:, None]))


def spoken(world: HiddenMarkovWorld, states: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turns probabilities of states, shape (…, E, P), into probabilities of tokens, shape (…, V)."""
    says = np.zeros((world.memory.size, world.vocabulary))
    says[np.arange(world.memory.size), world.memory.ravel()] = 1.0
    return np.asarray(states.reshape(*states.shape[:-2], world.memory.size) @ says)


def _forward(world: HiddenMarkovWorld, tokens: NDArray[np.int64], jump: float) -> Filtered:
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


def _portions(world: HiddenMarkovWorld, rows: int) -> Iterator[slice]:
    step = max(1, _CELLS_AT_ONCE // world.start.size)
    return (slice(first, first + step) for first in range(0, max(rows, 1), step))


def _check_tokens(world: HiddenMarkovWorld, tokens: NDArray[np.int64]) -> None:
    if tokens.ndim != 2:
        raise DataError("Sequences of tokens have the wrong shape.", found=tokens.shape, wanted="(sequences, length)")
    if tokens.min(initial=0) < 0 or tokens.max(initial=0) >= world.vocabulary:
        raise DataError(
            "A sequence holds a token that is not in the vocabulary.",
            found=f"tokens {tokens.min()} to {tokens.max()}",
            wanted=f"0 to {world.vocabulary - 1}",
        )


def _refuse_impossible(world: HiddenMarkovWorld, tokens: NDArray[np.int64], row: int) -> None:
    unsaid = np.setdiff1d(tokens[row], world.memory)
    if unsaid.size:
        raise DataError(f"Sequence {row} is impossible: no state says token {unsaid[0]}.", found=_shown(tokens[row]))
    raise DataError(
        f"Sequence {row} is impossible under every concept: it makes a transition that none of them allows.",
        found=_shown(tokens[row]),
        fix="Allow jumps (jump=1e-3), as prompts that string examples together need them.",
    )


def _shown(tokens: NDArray[np.int64]) -> str:
    text = " ".join(map(str, tokens[:20]))
    return f"{text} …" if len(tokens) > 20 else text
