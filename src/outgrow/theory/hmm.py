"""The GINC world: documents of a hidden Markov chain with a latent concept.

A hidden state is a pair of an entity and a property. The state emits one token, the one that a memory shared by all
concepts holds for that pair; property 0 always emits the delimiter, token 0. Entities and properties move
independently: the entity mostly stays, in the same way under every concept, and the property follows the concept.

Source:
    Xie, Raghunathan, Liang & Ma 2021 (arXiv 2111.02080), section 4.1 and its released generator, whose parameters are
    the defaults.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from outgrow.errors import ConfigError
from outgrow.theory.checks import Floats, Ints, above_zero, at_least, probability

DELIMITER = 0
"""The token between sentences of a document and examples of a prompt, and the property that emits it."""


@dataclass(frozen=True, eq=False)
class HiddenMarkovWorld:
    """C hidden Markov chains over E entities and P properties, with shared memory and entity transitions."""

    memory: Ints
    """Token that each state emits, shape (E, P)."""
    entity_transition: Floats
    """Probability of the next entity (column) after each (row), shape (E, E)."""
    property_transition: Floats
    """Probability of the next property (column) after each (row) under each concept, shape (C, P, P)."""
    start: Floats
    """Probability of each first state under each concept, shape (C, E, P)."""
    prior: Floats
    """Share of documents of each concept, shape (C,)."""
    vocabulary: int
    """Number of tokens V, including the delimiter; some may never be emitted."""

    def __post_init__(self) -> None:
        shape = (self.concepts, self.entities, self.properties)
        wanted = {
            "entity_transition": (shape[1], shape[1]),
            "property_transition": (shape[0], shape[2], shape[2]),
            "start": shape,
            "prior": (shape[0],),
        }
        for name, expected in wanted.items():
            _check_distributions(name, getattr(self, name), expected, last=2 if name == "start" else 1)
        if self.memory.min(initial=0) < 0 or self.memory.max(initial=0) >= self.vocabulary:
            raise ConfigError(
                "The memory holds a token that is not in the vocabulary.",
                found=f"tokens {self.memory.min()} to {self.memory.max()}",
                wanted=f"0 to {self.vocabulary - 1}",
            )

    @property
    def concepts(self) -> int:
        """C."""
        return len(self.property_transition)

    @property
    def entities(self) -> int:
        """E."""
        return len(self.memory)

    @property
    def properties(self) -> int:
        """P, including the delimiter's property."""
        return len(self.memory[0])


def make_ginc(
    *,
    concepts: int = 5,
    entities: int = 10,
    properties: int = 10,
    vocabulary: int = 50,
    permutations: int = 10,
    temperature: float = 0.1,
    start_temperature: float = 10.0,
    self_transition: float = 0.9,
    seed: int = 0,
) -> HiddenMarkovWorld:
    """Draw a world as GINC does.

    Transition matrices are mixtures of random permutations, so that all states are equally frequent in the long run.
    With few permutations many transitions are impossible, and so may be a prompt that jumps between examples.

    Args:
        concepts: Number of concepts.
        entities: Number of entities.
        properties: Number of properties, including the delimiter's.
        vocabulary: Number of tokens, including the delimiter.
        permutations: Random permutations in each mixture.
        temperature: Of the softmax over their weights; at a low temperature one of them prevails.
        start_temperature: Of the softmax over first states; at a high temperature they are nearly uniform.
        self_transition: Probability, in [0, 1], that the entity stays before the mixture applies.
        seed: Seed of all draws.

    Raises:
        ConfigError: A size is too small, or a temperature or probability out of range.

    Example:
        >>> world = make_ginc(seed=1)
        >>> bool(world.entity_transition.diagonal().min() >= 0.9)
        True
    """
    sizes = ("concepts", concepts, 1), ("entities", entities, 1), ("properties", properties, 2)
    for name, size, least in (*sizes, ("vocabulary", vocabulary, 2), ("permutations", permutations, 1)):
        at_least(name, size, least)
    above_zero("temperature", temperature)
    above_zero("start_temperature", start_temperature)
    probability("self_transition", self_transition)
    rng = np.random.default_rng(seed)
    memory = rng.integers(1, vocabulary, size=(entities, properties))
    memory[:, 0] = DELIMITER
    moves = _mixed_permutations(rng, entities, permutations, temperature)
    chains = [_mixed_permutations(rng, properties, permutations, temperature) for _ in range(concepts)]
    start = _softmax(rng.random((concepts, entities * properties)) / start_temperature)
    return HiddenMarkovWorld(
        memory=memory,
        entity_transition=(1 - self_transition) * moves + self_transition * np.eye(entities),
        property_transition=np.stack(chains),
        start=start.reshape(concepts, entities, properties),
        prior=np.full(concepts, 1 / concepts),
        vocabulary=vocabulary,
    )


@dataclass(frozen=True, eq=False)
class Documents:
    """N documents of T tokens with their hidden states."""

    tokens: Ints
    """Shape (N, T)."""
    concept: Ints
    """Concept of each document, shape (N,)."""
    entity: Ints
    """Entity behind each token, shape (N, T)."""
    property: Ints
    """Property behind each token, shape (N, T)."""


def sample_documents(
    world: HiddenMarkovWorld, *, count: int, length: int, seed: int | np.random.Generator, concept: Ints | None = None
) -> Documents:
    """Draw documents, all at once.

    Args:
        world: The world.
        count: Number of documents N.
        length: Tokens T in each; may be 0.
        seed: Seed or generator.
        concept: Concept of each document, shape (N,); by default drawn from the prior.

    Raises:
        ConfigError: `count` or `length` is negative, or a concept does not exist.
    """
    at_least("count", count, 0)
    at_least("length", length, 0)
    rng = np.random.default_rng(seed)
    if concept is None:
        concept = rng.choice(world.concepts, size=count, p=world.prior)
    elif concept.shape != (count,) or concept.min(initial=0) < 0 or concept.max(initial=0) >= world.concepts:
        raise ConfigError(
            "A document's concept does not exist.", found=concept, wanted=f"{count} of 0 to {world.concepts - 1}"
        )
    first = world.start.reshape(world.concepts, -1).cumsum(axis=1)[concept]
    entity, prop = np.divmod(_draw(rng, first), world.properties)
    move, turn = world.entity_transition.cumsum(axis=1), world.property_transition.cumsum(axis=2)
    entities = np.empty((length, count), dtype=np.int64)
    properties = np.empty((length, count), dtype=np.int64)
    for step in range(length):
        entities[step], properties[step] = entity, prop
        entity, prop = _draw(rng, move[entity]), _draw(rng, turn[concept, prop])
    return Documents(world.memory[entities, properties].T, concept, entities.T, properties.T)


def faulty_memory(world: HiddenMarkovWorld, share: float, *, seed: int) -> Ints:
    """Return a memory, shape (E, P), with a share of wrong cells: the systematic mistakes of a weak supervisor.

    A wrong cell holds another token than the world's, drawn from all but the delimiter. The share, in [0, 1], is
    rounded to whole cells; the delimiter's cells are always right.

    Raises:
        ConfigError: The share is out of range, or there is no second token.

    Source:
        Ours: the counterpart in this world of a supervisor that knows the concept but lacks knowledge.

    Example:
        >>> world = make_ginc(entities=2, properties=3, vocabulary=20, seed=0)
        >>> int((faulty_memory(world, 0.5, seed=0) != world.memory).sum())
        2
    """
    probability("share", share)
    cells = world.entities * (world.properties - 1)
    wrong = round(share * cells)
    memory = world.memory.copy()
    if not wrong:
        return memory
    if world.vocabulary < 3:
        raise ConfigError("A faulty memory needs a second token.", found=f"vocabulary {world.vocabulary}", wanted="≥ 3")
    rng = np.random.default_rng(seed)
    entity, prop = np.divmod(rng.choice(cells, size=wrong, replace=False), world.properties - 1)
    right = memory[entity, prop + 1]
    # Skip the right token: it and those after it move up by one.
    other = rng.integers(1, world.vocabulary - 1, size=wrong)
    memory[entity, prop + 1] = other + (other >= right)
    return memory


def _check_distributions(name: str, values: Floats, shape: tuple[int, ...], *, last: int) -> None:
    if values.shape != shape:
        raise ConfigError(f"{name} has the wrong shape.", found=values.shape, wanted=shape)
    total = values.sum(axis=tuple(range(-last, 0)))
    if not (values >= 0).all() or np.abs(total - 1).max() > 1e-9:
        raise ConfigError(f"{name} is not a probability distribution.", wanted="values ≥ 0 that sum to 1")


def _softmax(values: Floats) -> Floats:
    weights = np.exp(values - values.max(axis=-1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


def _mixed_permutations(rng: np.random.Generator, size: int, count: int, temperature: float) -> Floats:
    weights = _softmax(rng.random(count) / temperature)
    mixed = np.zeros((size, size))
    for weight in weights:
        mixed[np.arange(size), rng.permutation(size)] += weight
    return mixed


def _draw(rng: np.random.Generator, cumulative: Floats) -> Ints:
    """Draw once from each row of cumulative probabilities, shape (N, K)."""
    # Scaled by the last value: a sum of probabilities may miss 1 by a rounding error.
    points = rng.random(len(cumulative)) * cumulative[:, -1]
    return np.asarray((points[:, None] >= cumulative).sum(axis=1))
