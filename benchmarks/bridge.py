"""Speed of the bridge: characters a second on one core, one text at a time and many at once.

    python benchmarks/bridge.py

Texts are sentences of made-up words; the weak tokens are words with the space before them, the student's are pieces of
three characters, so about a third of the cuts are shared.
"""

from __future__ import annotations

import re
import time

import numpy as np

from outgrow.bridge import bridge, bridge_many, piece_offsets

TEXTS, WORDS = 20_000, 20


def main() -> None:
    """Prints one line per way."""
    random = np.random.default_rng(0)
    letters = random.integers(ord("a"), ord("z"), size=(1000, 9), dtype=np.uint8)
    lexicon = [bytes(row[: 2 + index % 8]).decode() for index, row in enumerate(letters)]
    texts = [" ".join(lexicon[word] for word in row) for row in random.integers(1000, size=(TEXTS, WORDS))]
    weak = [[match.span() for match in re.finditer(r"\s?\S+", text)] for text in texts]
    student = [[(place, min(place + 3, len(text))) for place in range(0, len(text), 3)] for text in texts]
    logprobs = [-random.exponential(size=len(spans)) for spans in weak]
    characters = sum(len(text) for text in texts)

    begin = time.perf_counter()
    together = bridge_many(texts, weak, logprobs, student)
    report("bridge_many, offsets as lists", characters, begin)

    arrays = [np.array(spans) for spans in weak], [np.array(spans) for spans in student]
    begin = time.perf_counter()
    bridge_many(texts, arrays[0], logprobs, arrays[1])
    report("bridge_many, offsets as arrays", characters, begin)

    begin = time.perf_counter()
    few = range(TEXTS // 10)
    alone = [bridge(texts[n], weak[n], logprobs[n], student[n]) for n in few]
    report("bridge", sum(len(texts[n]) for n in few), begin)

    begin = time.perf_counter()
    for n in few:
        piece_offsets(texts[n], texts[n].split(" "))
    report("piece_offsets", sum(len(texts[n]) for n in few), begin)

    worst = max(abs(found.logprobs.sum() - own.sum()) for found, own in zip(together, logprobs, strict=True))
    same = all(np.allclose(one.logprobs, other.logprobs) for one, other in zip(alone, together, strict=False))
    print(f"largest |Σ log s − Σ log p| {worst:.1e}; one by one as all at once: {same}")


def report(what: str, characters: int, begin: float) -> None:
    """Prints a rate."""
    seconds = time.perf_counter() - begin
    print(f"{what:32s}{characters / seconds / 1e6:8.2f} million characters a second", flush=True)


if __name__ == "__main__":
    main()
