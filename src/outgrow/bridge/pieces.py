"""Offsets of tokens given as strings, for slow tokenizers and servers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Span = tuple[int, int]


def piece_offsets(text: str, pieces: Sequence[str]) -> list[Span]:
    """Return half-open character spans in `text` of tokens given as strings; special tokens are empty.

    The joined pieces are aligned with the text by a shortest edit script (Levenshtein), so pieces may be lower-cased,
    normalized, or have word marks such as `▁`. A replaced character counts as the character of the text, one that only
    the pieces have has no width, and text without a piece goes to the piece after it (at the end, to the last). Spans
    are in order and cover the text, unless all pieces are empty.

    Example:
        >>> piece_offsets("Hello  wörld", ["hello", "▁", "wo", "rld"])
        [(0, 5), (5, 7), (7, 9), (9, 12)]
        >>> piece_offsets("", ["</s>"])
        [(0, 0)]
    """
    ends = np.cumsum([len(piece) for piece in pieces], dtype=np.int64)
    places = _places("".join(pieces), text)
    spans, covered = [], 0
    for piece, end in zip(pieces, ends, strict=True):
        reached = max(covered, int(places[end])) if piece else covered
        spans.append((covered, reached))
        covered = reached
    last = max((index for index, piece in enumerate(pieces) if piece), default=None)
    if last is not None:
        spans[last:] = [(spans[last][0], len(text)), *[(len(text), len(text))] * (len(pieces) - last - 1)]
    return spans


def _places(source: str, text: str) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    # Position in the text of each of the gaps around the characters of the source.
    from rapidfuzz.distance import Levenshtein

    places = np.full(len(source) + 1, -1, dtype=np.int64)
    places[0] = 0
    for block in Levenshtein.opcodes(source, text):
        width = block.src_end - block.src_start
        inner = np.arange(1, width + 1) if block.tag in ("equal", "replace") else np.zeros(width, dtype=np.int64)
        places[block.src_start + 1 : block.src_end + 1] = block.dest_start + inner
    return places
