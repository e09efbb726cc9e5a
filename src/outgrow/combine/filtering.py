"""Selection of the rows with the most confident targets."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from outgrow.errors import ConfigError
from outgrow.labels import ChoiceTargets


def surest(targets: ChoiceTargets, keep: float, *, per_class: bool = False, seed: int = 0) -> ChoiceTargets:
    """Return the share of rows with the most confident targets, by the probability of their likeliest choice.

    Supervisors are often more confident about some choices, which then dominate. With `per_class` the same share is
    kept of the rows of every likeliest choice. Ties, such as all rows where one person voted, are broken at random, so
    that the order of a file does not matter.

    Args:
        targets: N rows.
        keep: The share that remains, above 0 and at most 1; a fraction of a row counts as a whole one.
        per_class: Whether the share applies to every likeliest choice (the first of equally likely ones).
        seed: Seed of the tie-breaking.

    Returns:
        The rows that remain, in their order, with their weights and votes.

    Raises:
        ConfigError: The share is not above 0 and at most 1.

    Source:
        Selection by confidence is as old as self-training; per-class shares follow the class-balanced self-training of
        Zou et al. 2018 (arXiv 1810.07911), here applied to the supervisors' confidence.

    Example:
        >>> probs = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.4, 0.6]])
        >>> targets = ChoiceTargets(("a", "b", "c", "d"), probs, np.ones(4))
        >>> surest(targets, 0.5).ids, surest(targets, 0.5, per_class=True).ids
        (('a', 'b'), ('a', 'c'))
    """
    if not 0 < keep <= 1:
        raise ConfigError("The share of rows to keep is out of range.", found=keep, wanted="above 0, at most 1")
    sureness = targets.probs.max(axis=1)
    # Sorting is stable: after a shuffle, equals stay in a random order.
    shuffled = np.random.default_rng(seed).permutation(len(sureness))
    surest_first = shuffled[np.argsort(-sureness[shuffled].round(12), kind="stable")]
    group = targets.probs.argmax(axis=1)[surest_first] if per_class else np.zeros(len(sureness), dtype=np.intp)
    kept = [_first(surest_first[group == each], keep) for each in np.unique(group)]
    return targets.take(np.sort(np.concatenate([np.empty(0, dtype=np.intp), *kept])))


def _first(rows: NDArray[np.intp], share: float) -> NDArray[np.intp]:
    # Rounded first: 0.07 * 100 is a hair above 7.
    return rows[: math.ceil(round(share * len(rows), 9))]
