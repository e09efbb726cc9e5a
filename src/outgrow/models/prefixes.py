"""Batches of texts with a common prefix, which is then computed once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from outgrow.models.tokens import common_length

LEAST_TOKENS = 16
"""Shortest shared prefix: below, copying its cache costs as much as computing it."""
LEAST_SHARE = 0.5
"""Smallest share of every text that the prefix must be, since batches become smaller."""

LEAST_FILLED = 0.25
"""Smallest share of a batch that different texts with one prefix must fill."""


@dataclass(frozen=True)
class Batch:
    """Texts for one forward pass."""

    members: tuple[int, ...]
    """Their indices."""
    shared: int
    """Length of the prefix to compute once; 0 if that does not pay."""


def batches(sequences: Sequence[Sequence[int]], size: int, *, last: Sequence[int] | None = None) -> Iterator[Batch]:
    """Split texts into batches of at most `size`: those with a long common prefix together, the others by length.

    `last` is the longest prefix of each text that counts; by default all tokens but one.
    """
    limits = [len(tokens) - 1 for tokens in sequences] if last is None else list(last)
    order = sorted(range(len(sequences)), key=lambda index: list(sequences[index]))
    alone: list[int] = []
    for family, shared in _families(sequences, limits, order):
        # Smaller batches cost more than is saved; samples of one prompt share it anyway.
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
    """Runs of sorted texts with a prefix worth sharing, and its length."""
    family: list[int] = []
    shared = longest = 0
    for index in order:
        if family:
            common = min(shared, limits[index], common_length(sequences[family[-1]], sequences[index]))
            longest = max(longest, len(sequences[index]))
            if common >= max(LEAST_TOKENS, LEAST_SHARE * longest):
                family.append(index)
                shared = common
                continue
            yield family, shared
        family, shared, longest = [index], limits[index], len(sequences[index])
    if family:
        yield family, shared
