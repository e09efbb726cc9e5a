"""Cuts that two tokenizations of the same texts share.

All texts are processed at once: their characters form one line, with one empty position between two texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from outgrow.errors import DataError

Offsets = Sequence[tuple[int, int]] | NDArray[np.integer[Any]]
"""Half-open character spans of T tokens in order, or an array (T, 2). BOS, EOS and word marks have no width."""

Ints = NDArray[np.int64]


class Line(NamedTuple):
    """All tokens of one tokenizer on the line of characters."""

    spans: Ints
    """Spans on the line, shape (T, 2)."""
    ends: Ints
    """Text n ends before token `ends[n]`, shape (N,)."""
    side: str
    """`weak` or `student`, for messages."""

    @classmethod
    def of(cls, texts: Sequence[str], offsets: Sequence[Offsets], side: str) -> Line:
        """Put the texts' tokens on a line; a DataError if offsets are missing, of the wrong shape or outside a text."""
        if len(offsets) != len(texts):
            raise DataError(f"There must be {side} offsets for every text.", found=len(offsets), wanted=len(texts))
        arrays = [_spans(own, side) for own in offsets]
        counts = np.array([len(own) for own in arrays], dtype=np.int64)
        lengths = np.array([len(text) for text in texts], dtype=np.int64)
        spans = np.concatenate([*arrays, np.empty((0, 2), dtype=np.int64)])
        wrong = (spans[:, 0] < 0) | (spans[:, 1] < spans[:, 0]) | (spans[:, 1] > np.repeat(lengths, counts))
        if wrong.any():
            token = int(wrong.argmax())
            text = int(np.searchsorted(np.cumsum(counts), token, side="right"))
            found = f"({spans[token, 0]}, {spans[token, 1]}) in a text of {lengths[text]} characters"
            raise DataError(f"A {side} token lies outside text {text}.", found=found, wanted="0 ≤ start ≤ end ≤ L")
        # One empty position between two texts keeps their cuts apart.
        bases = np.cumsum(lengths + 1) - (lengths + 1)
        return cls(spans + np.repeat(bases, counts)[:, None], np.cumsum(counts), side)


class Cuts(NamedTuple):
    """C cuts that both sides share, from left to right; each array has shape (C,)."""

    weak: Ints
    """Number of weak tokens to the left."""
    student: Ints
    """Number of student tokens to the left."""
    low: Ints
    """First possible position on the line."""
    high: Ints
    """Last possible position."""


class _Gaps(NamedTuple):
    """Disjoint gaps where one side can be cut, from left to right."""

    tokens: Ints
    """Number of tokens to the left."""
    low: Ints
    """End of the tokens to the left."""
    high: Ints
    """Begin of the tokens to the right."""


def _spans(offsets: Offsets, side: str) -> Ints:
    if isinstance(offsets, np.ndarray):
        spans = offsets
    else:
        # Several times faster than np.array on a list of pairs.
        flat = np.fromiter(chain.from_iterable(offsets), dtype=np.int64)
        spans = flat.reshape(-1, 2) if len(flat) == 2 * len(offsets) else flat
    if spans.ndim != 2 or spans.shape[1] != 2:
        raise DataError(f"The {side} offsets have the wrong shape.", found=spans.shape, wanted="(tokens, 2)")
    return spans.astype(np.int64, copy=False)


def _gaps(line: Line, wide: NDArray[np.bool_], body_ends: Ints) -> _Gaps:
    """Gaps within texts that no token spans, with a token of some width to the left."""
    beyond = line.spans[-1, 1] + 1 if len(line.spans) else 0
    reached = np.maximum.accumulate(np.where(wide, line.spans[:, 1], 0))
    left = np.minimum.accumulate(np.where(wide, line.spans[:, 0], beyond)[::-1])[::-1]
    follows = np.append(left[1:], beyond)
    inner = wide.copy()
    inner[body_ends - 1] = False
    (tokens,) = np.nonzero(inner & (reached <= follows))
    return _Gaps(tokens + 1, reached[tokens], follows[tokens])


def _bodies(line: Line) -> tuple[NDArray[np.bool_], Ints, NDArray[np.bool_], NDArray[np.bool_]]:
    """Which tokens have width; per text the end of the last one, whether there is one, and whether others follow."""
    wide = line.spans[:, 1] > line.spans[:, 0]
    begins = np.append(0, line.ends)[:-1]
    last = np.append(0, np.maximum.accumulate(np.where(wide, np.arange(1, len(wide) + 1), 0)))[line.ends]
    has_body = last > begins
    return wide, last, has_body, line.ends > last


def shared_cuts(weak: Line, student: Line) -> Cuts:
    """Return all shared cuts, including the ends of texts; between two there are tokens of both sides.

    Raises:
        DataError: A text has tokens on one side only.
    """
    weak_wide, weak_last, weak_body, weak_tail = _bodies(weak)
    student_wide, student_last, student_body, student_tail = _bodies(student)
    some = [np.diff(line.ends, prepend=0) > 0 for line in (weak, student)]
    if (some[0] != some[1]).any():
        text = int((some[0] != some[1]).argmax())
        raise DataError(
            f"Text {text} has {'weak' if some[0][text] else 'student'} tokens only.",
            wanted="tokens on both sides, or on neither",
            fix="Leave it out, or give both sides their end-of-sequence token.",
        )
    ours = _gaps(weak, weak_wide, weak_last[weak_body])
    theirs = _gaps(student, student_wide, student_last[student_body])
    first = np.searchsorted(theirs.high, ours.low)
    inside = np.flatnonzero(first < len(theirs.low))
    met = inside[theirs.low[first[inside]] <= ours.high[inside]]
    # A gap that overlaps several gaps of the other side is cut at the first.
    partner, kept = np.unique(first[met], return_index=True)
    mine = met[kept]
    ends = weak_body & student_body & weak_tail & student_tail
    # The last token is the end token; others without width before it are bytes of the last character.
    tokens_weak = np.concatenate([ours.tokens[mine], weak.ends[ends] - 1, weak.ends[some[0]]])
    tokens_student = np.concatenate([theirs.tokens[partner], student.ends[ends] - 1, student.ends[some[0]]])
    order = np.argsort(tokens_weak, kind="stable")
    low = np.maximum(ours.low[mine], theirs.low[partner])
    high = np.minimum(ours.high[mine], theirs.high[partner])
    nowhere = np.full(len(order) - len(mine), -1)
    return Cuts(
        tokens_weak[order],
        tokens_student[order],
        np.append(low, nowhere)[order],
        np.append(high, nowhere)[order],
    )


def one_by_one(cuts: Cuts, weak: Line, student: Line) -> Cuts:
    """Add cuts between tokens with equal spans on both sides, such as bytes of a character.

    Added cuts have no position on the line (−1).
    """
    if not len(cuts.student):
        return cuts
    begins = [np.append(0, ends)[:-1] for ends in (cuts.weak, cuts.student)]
    sizes = cuts.student - begins[1]
    segment = np.repeat(np.arange(len(sizes)), sizes)
    tokens = np.arange(len(segment))
    twin = np.minimum(begins[0][segment] + tokens - begins[1][segment], len(weak.spans) - 1)
    equal = (weak.spans[twin] == student.spans).all(axis=1)
    same = (np.logical_and.reduceat(equal, begins[1]) & (cuts.weak - begins[0] == sizes))[segment]
    last = tokens + 1 == cuts.student[segment]
    kept = same | last
    return Cuts(
        np.where(same, twin + 1, cuts.weak[segment])[kept],
        tokens[kept] + 1,
        np.where(last, cuts.low[segment], -1)[kept],
        np.where(last, cuts.high[segment], -1)[kept],
    )


def at_spaces(cuts: Cuts, texts: Sequence[str]) -> Cuts:
    """Keep cuts at the ends of texts, and one between every two words."""
    # One empty position after each text, as on the line.
    codes = np.frombuffer("".join(f"{text}." for text in texts).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    ends = np.cumsum([len(text) + 1 for text in texts], dtype=np.int64) - 1
    space = np.concatenate([[False], codes == ord(" "), [False]])
    spaces = np.append(0, np.cumsum(space))
    starts = ~space[1:-1] & np.concatenate([[True], space[1:-1]])[: len(codes)]
    starts[ends] = True  # no word continues into the next text
    words = np.append(0, np.cumsum(starts))
    inner = cuts.low >= 0
    # A cut at position c touches characters c − 1 and c, which are `space[c]` and `space[c + 1]`.
    touches = inner & (spaces[np.where(inner, cuts.high, 0) + 2] > spaces[np.where(inner, cuts.low, 0)])
    between = np.flatnonzero(touches)
    _, first = np.unique(words[cuts.high[between]], return_index=True)
    kept = np.sort(np.append(between[first], np.flatnonzero(~inner)))
    return Cuts(*(column[kept] for column in cuts))
