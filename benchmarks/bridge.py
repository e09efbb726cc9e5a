"""A part of `bench.py`: the bridge, many texts at once against one at a time.

Texts are sentences of made-up words; the weak tokens are words with the space before them, the student's are pieces of
three characters, so about a third of the cuts are shared.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from harness import Case
from outgrow.bridge import bridge, bridge_many

WORDS = 20


def cases(smoke: bool) -> Iterator[Case]:
    """`bridge_many` against a loop of `bridge`, with offsets as lists and as arrays."""
    count = 20 if smoke else 2_000
    random = np.random.default_rng(0)
    letters = random.integers(ord("a"), ord("z"), size=(1000, 9), dtype=np.uint8)
    lexicon = [bytes(row[: 2 + index % 8]).decode() for index, row in enumerate(letters)]
    texts = [" ".join(lexicon[word] for word in row) for row in random.integers(1000, size=(count, WORDS))]
    weak = [[match.span() for match in re.finditer(r"\s?\S+", text)] for text in texts]
    student = [[(place, min(place + 3, len(text))) for place in range(0, len(text), 3)] for text in texts]
    logprobs = [-random.exponential(size=len(spans)) for spans in weak]
    arrays = [np.array(spans) for spans in weak], [np.array(spans) for spans in student]

    def alone() -> list[object]:
        return [bridge(*each) for each in zip(texts, weak, logprobs, student, strict=True)]

    def check() -> None:
        together = bridge_many(texts, weak, logprobs, student)
        for one, own, other in zip(together, logprobs, alone(), strict=True):
            assert np.allclose(one.logprobs, other.logprobs)  # type: ignore[attr-defined]
            assert abs(one.logprobs.sum() - own.sum()) < 1e-9

    lists = Case(
        "bridge_many, lists", lambda: bridge_many(texts, weak, logprobs, student), "bridge", alone, check=check
    )
    yield lists
    yield Case("bridge_many, arrays", lambda: bridge_many(texts, arrays[0], logprobs, arrays[1]), "bridge", alone)
