"""Offsets of tokens whose tokenizer gives none: slow tokenizers, and servers that return the pieces as strings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Span = tuple[int, int]


def piece_offsets(text: str, pieces: Sequence[str]) -> list[Span]:
    """Half-open character spans in `text` of tokens given as strings.

    The joined pieces are aligned with the text by a shortest edit script (Levenshtein; rapidfuzz), so pieces may be
    lower-cased, normalised, or carry word marks such as `▁`: a replaced character counts as the character, one that is
    in the pieces only has no width, and text that no piece has goes to the piece after it (at the end, to the last).

    Args:
        text: The text, L characters.
        pieces: Surface strings of the T tokens, in order; special tokens as empty strings.

    Returns:
        T spans that do not go back; unless all pieces are empty, they cover the text.

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
    """Where in `text` each of the `len(source) + 1` places between the characters of `source` lies."""
    from rapidfuzz.distance import Levenshtein

    places = np.full(len(source) + 1, -1, dtype=np.int64)
    places[0] = 0
    for block in Levenshtein.opcodes(source, text):
        width = block.src_end - block.src_start
        inner = np.arange(1, width + 1) if block.tag in ("equal", "replace") else np.zeros(width, dtype=np.int64)
        places[block.src_start + 1 : block.src_end + 1] = block.dest_start + inner
    return places
