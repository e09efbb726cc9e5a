"""Texts that begin alike are read together, so that what they share is computed once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

LEAST_TOKENS = 16
"""A shared beginning is at least so long: below, copying its cache costs as much as computing it."""
LEAST_SHARE = 0.5
"""At least this share of every text is the shared beginning: smaller batches must pay."""

LEAST_FILLED = 0.25
"""At least this share of a batch is filled by different texts that begin alike."""


@dataclass(frozen=True)
class Batch:
    """Texts for one forward pass."""

    members: tuple[int, ...]
    """Their positions."""
    shared: int
    """How many first tokens they share and that are to be computed once; 0 where that does not pay."""


def batches(sequences: Sequence[Sequence[int]], size: int, *, last: Sequence[int] | None = None) -> Iterator[Batch]:
    """Cuts texts into batches: those with a long common beginning together, the others by length.

    Args:
        sequences: Tokens of each text.
        size: Most texts of a batch.
        last: For each text the most of its tokens that may count as its beginning, at least 0; by default all but one.

    Example:
        >>> block = list(range(100, 130))
        >>> list(batches([[1, 2], [*block, 1], [3], [*block, 2], [*block, 3, 4]], 4))
        [Batch(members=(1, 3, 4), shared=30), Batch(members=(2, 0), shared=0)]
    """
    limits = [len(tokens) - 1 for tokens in sequences] if last is None else list(last)
    order = sorted(range(len(sequences)), key=lambda index: list(sequences[index]))
    alone: list[int] = []
    for family, shared in _families(sequences, limits, order):
        # Fewer in a batch cost more than is saved; samples of one prompt read it once anyway.
        if len({tuple(sequences[index]) for index in family}) < max(2, LEAST_FILLED * size):
            alone += family
            continue
        by_length = sorted(family, key=lambda index: len(sequences[index]))
        for start in range(0, len(family), size):
            yield Batch(tuple(by_length[start : start + size]), shared)
    by_length = sorted(sorted(alone), key=lambda index: len(sequences[index]))
    for start in range(0, len(by_length), size):
        yield Batch(tuple(by_length[start : start + size]), 0)


def _families(
    sequences: Sequence[Sequence[int]], limits: Sequence[int], order: Sequence[int]
) -> Iterator[tuple[list[int], int]]:
    """Runs of texts, in sorted order, with a beginning worth sharing, and its length."""
    family: list[int] = []
    shared = longest = 0
    for index in order:
        if family:
            common = min(shared, limits[index], _common(sequences[family[-1]], sequences[index]))
            longest = max(longest, len(sequences[index]))
            if common >= max(LEAST_TOKENS, LEAST_SHARE * longest):
                family.append(index)
                shared = common
                continue
            yield family, shared
        family, shared, longest = [index], limits[index], len(sequences[index])
    if family:
        yield family, shared


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many first tokens two texts share."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))
