"""The GINC world: documents of a hidden Markov chain with a latent concept.

A hidden state is a pair of an entity and a property, which move independently: the entity in the same way under every
concept, the property as the concept says. The state emits the token that a memory, shared by all concepts, holds for
it; property 0 always emits the delimiter, token 0.

Source:
    Xie, Raghunathan, Liang & Ma 2021 (arXiv 2111.02080), section 4.1 and its released generator, whose parameters are
    the defaults.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

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
        concepts, entities, properties = self.concepts, self.entities, self.properties
        for name, shape in (
            ("entity_transition", (entities, entities)),
            ("property_transition", (concepts, properties, properties)),
            ("start", (concepts, entities, properties)),
            ("prior", (concepts,)),
        ):
            values = getattr(self, name)
            if values.shape != shape:
                raise ConfigError(f"{name} has the wrong shape.", found=values.shape, wanted=shape)
            total = values.sum(axis=(-2, -1) if name == "start" else -1)
            if not (values >= 0).all() or np.abs(total - 1).max() > 1e-9:
                raise ConfigError(f"{name} is not a probability distribution.", wanted="values ≥ 0 that sum to 1")
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
    With few permutations many transitions are impossible, and so may be a prompt that jumps between examples. The
    temperatures are those of the softmax over the permutations' weights and over first states; `self_transition` is the
    probability that the entity stays before the mixture applies. Properties and vocabulary include the delimiter.

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
    start = softmax(rng.random((concepts, entities * properties)) / start_temperature, axis=-1)
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
    """Draw `count` documents of `length` tokens; `concept`, shape (count,), is by default drawn from the prior."""
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


def _mixed_permutations(rng: np.random.Generator, size: int, count: int, temperature: float) -> Floats:
    mixed = np.zeros((size, size))
    for weight in softmax(rng.random(count) / temperature):
        mixed[np.arange(size), rng.permutation(size)] += weight
    return mixed


def _draw(rng: np.random.Generator, cumulative: Floats) -> Ints:
    """Draw once from each row of cumulative probabilities, shape (N, K)."""
    # Scaled by the last value: a sum of probabilities may miss 1 by a rounding error.
    points = rng.random(len(cumulative)) * cumulative[:, -1]
    return np.asarray((points[:, None] >= cumulative).sum(axis=1))
