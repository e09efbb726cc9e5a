"""What supervisors of the world `facts` take for the truth: some of it, and favourites in place of the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from outgrow.errors import ConfigError


def draw_beliefs(
    answers: NDArray[np.int64], values: Sequence[int], known: Mapping[str, float], rng: np.random.Generator
) -> dict[str, NDArray[np.int64]]:
    """Draws which facts each supervisor knows, and what it believes instead of the others.

    It answers a question that it does not know with its favourite value of the relation, or with its second favourite
    where the favourite would happen to be right. Its errors thus have a system that a student can pick up, as those of
    real models do; random ones a student would average away.

    Args:
        answers: The truth: for every entity and relation the index of a value, shape (E, R).
        values: How many values each relation has, two or more, R of them.
        known: The supervisors, and the share of the facts that each of them knows.
        rng: Source of all draws; which ones a supervisor makes does not depend on its share.

    Returns:
        By supervisor, the indices it believes in, shape (E, R); the share `known` of them, rounded, is right.

    Raises:
        ConfigError: A share is not between 0 and 1.

    Example:
        >>> answers = np.array([[0, 1], [1, 0], [2, 1]])
        >>> beliefs = draw_beliefs(answers, [3, 2], {"expert": 1.0, "fool": 0.0}, np.random.default_rng(0))
        >>> [int((own == answers).sum()) for own in beliefs.values()]
        [6, 0]
    """
    beliefs = {}
    for name, share in known.items():
        if not 0 <= share <= 1:
            raise ConfigError(f"{name!r} cannot know this share of the facts.", found=share, wanted="0 to 1")
        knows = rng.permutation(answers.size).reshape(answers.shape) < round(share * answers.size)
        first, second = np.stack([rng.permutation(count)[:2] for count in values], axis=1)
        beliefs[name] = np.where(knows, answers, np.where(answers == first, second, first))
    return beliefs
