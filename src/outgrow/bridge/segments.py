"""The character bridge: between two cuts that both tokenizations share, log-probability moves as one sum.

```
text      I n t e r n a t i o n a l   n e w s ⏎
weak      [Inter        ][national  ][ news  ][⏎]
student   [In][ternation        ][al][ ne][ws][⏎]
segments  [            1            ][   2   ][3]
```
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, cast, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outgrow.bridge.cuts import Cuts, Ints, Line, Offsets, at_spaces, one_by_one, shared_cuts
from outgrow.errors import ConfigError, DataError

Split = Literal["uniform", "characters", "student"]
"""How a segment's log-probability is divided among the student's tokens in it."""

Where = Literal["characters", "words"]
"""Where texts are cut: at all shared cuts, or at spaces only ([BW])."""

_Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Bridging:
    """Settings of the bridge; `Bridging(where="words", split="student")` is that of [BW]."""

    where: Where = "characters"
    """Where texts are cut."""
    split: Split = "uniform"
    """How the log-probability between two cuts is divided."""


class Bridged(NamedTuple):
    """Log-probabilities of the student's tokens, and the segments they come from."""

    logprobs: _Floats
    """Natural log-probability of each student token, shape (J,)."""
    segments: Ints
    """Half-open token ranges of the G segments, shape (G, 4): weak from, weak to, student from, student to."""


def bridge(
    text: str,
    weak_offsets: Offsets,
    weak_logprobs: ArrayLike,
    student_offsets: Offsets,
    *,
    split: Split = "uniform",
    student_confidence: ArrayLike | None = None,
) -> Bridged:
    """Transfer a weak model's token log-probabilities to the tokens of another tokenizer.

    The text is cut wherever both tokenizations can be cut; in each segment the weak log-probabilities are summed and
    divided among the student's tokens. So Σ_j log s_j = Σ_i log p_i in any script, and a tokenizer bridged to itself
    gets its own log-probabilities back: tokens with equal spans in a segment (bytes of one character) correspond one to
    one. Text without tokens can be cut anywhere. A token without width belongs to the token after it. Where both sides
    have any after the last character, the last one is the end of sequence, a segment of its own, and others before it
    belong to the last character (its bytes); where one side has any, they are part of the last segment.

    Args:
        text: The text.
        weak_offsets: Spans of the weak model's I tokens; see `Offsets`.
        weak_logprobs: Their natural log-probabilities, shape (I,); up to 1e-3 above 0 is rounding, and taken as 0.
        student_offsets: Spans of the student's J tokens.
        split: Shares within a segment: `uniform` (equal), `characters` (by width, at least one), or `student`, softmax
            of −m with m the student's largest probability at each token ([BW]).
        student_confidence: m, shape (J,), for `split="student"`; constant, without gradient.

    Raises:
        DataError: A span is outside the text, log-probabilities are positive or do not match the tokens, or only one
            side has tokens.

    Source: ours, in place of [BW]'s word bridge (arXiv 2406.03199), which is `bridge_words`.

    Example:
        >>> found = bridge("unhappily", [(0, 2), (2, 9)], [-1.0, -3.0], [(0, 2), (2, 7), (7, 9)])
        >>> found.logprobs.tolist(), found.segments.tolist()
        ([-1.0, -1.5, -1.5], [[0, 1, 0, 1], [1, 2, 1, 3]])
    """
    confidences = None if student_confidence is None else [student_confidence]
    return bridge_many(
        [text], [weak_offsets], [weak_logprobs], [student_offsets], split=split, student_confidences=confidences
    )[0]


def bridge_many(
    texts: Sequence[str],
    weak_offsets: Sequence[Offsets],
    weak_logprobs: Sequence[ArrayLike],
    student_offsets: Sequence[Offsets],
    *,
    split: Split = "uniform",
    where: Where = "characters",
    student_confidences: Sequence[ArrayLike] | None = None,
) -> list[Bridged]:
    """Apply `bridge` to N texts at once, at millions of characters a second; with `where="words"`, `bridge_words`.

    Example:
        >>> [found.logprobs.tolist() for found in bridge_many(["ab"], [[(0, 2)]], [[-2.0]], [[(0, 1), (1, 2)]])]
        [[-1.0, -1.0]]
    """
    if where not in get_args(Where):
        raise ConfigError(f"There is no bridge over {where!r}.", wanted="characters or words")
    weak, student = Line.of(texts, weak_offsets, "weak"), Line.of(texts, student_offsets, "student")
    logprobs = _logprobs(weak_logprobs, weak)
    weights = _weights(split, student, student_confidences)
    cuts = shared_cuts(weak, student)
    cuts = one_by_one(cuts, weak, student) if where == "characters" else at_spaces(cuts, texts)
    return _transfer(weak, student, logprobs, weights, cuts)


def bridge_words(
    text: str,
    weak_offsets: Offsets,
    weak_logprobs: ArrayLike,
    student_offsets: Offsets,
    *,
    student_confidence: ArrayLike | None = None,
) -> Bridged:
    """Apply [BW]'s bridge (`paper` preset): as `bridge`, but cut at spaces only, with shares softmax(−m).

    A word's log-probability is the sum over its weak tokens, and log s_j = ω_j · log P_w. A space belongs to the word
    of its token. Words with a token across the space between them are one segment (reconstruction: the paper leaves
    this open, and so Σ_j log s_j = Σ_i log p_i holds). Without `student_confidence` ω is uniform (the paper's
    ablation). Arguments and errors as in `bridge`.

    Example:
        >>> bridge_words("so it is", [(0, 5), (5, 8)], [-1.0, -3.0], [(0, 2), (2, 5), (5, 6), (6, 8)]).logprobs.tolist()
        [-0.5, -0.5, -1.5, -1.5]
    """
    how: dict[str, Any] = {"where": "words"}
    if student_confidence is not None:
        how |= {"split": "student", "student_confidences": [student_confidence]}
    return bridge_many([text], [weak_offsets], [weak_logprobs], [student_offsets], **how)[0]


def _numbers(values: Sequence[ArrayLike], line: Line, what: str) -> _Floats:
    arrays = [np.asarray(own, dtype=np.float64) for own in values]
    counts = np.diff(line.ends, prepend=0)
    if [own.shape for own in arrays] != [(count,) for count in counts.tolist()]:
        found, wanted = sum(own.size for own in arrays), counts.sum()
        raise DataError(f"There must be one {what} per {line.side} token.", found=found, wanted=wanted)
    return np.concatenate([*arrays, np.empty(0)])


def _logprobs(values: Sequence[ArrayLike], weak: Line) -> _Floats:
    logprobs = _numbers(values, weak, "log-probability")
    # Rounding in low precision may leave a certain token a little above 0.
    if not (logprobs <= 1e-3).all():
        raise DataError("The weak log-probabilities are not log-probabilities.", found=logprobs.max(), wanted="≤ 0")
    return np.minimum(logprobs, 0.0)


def _weights(split: Split, student: Line, confidences: Sequence[ArrayLike] | None) -> _Floats:
    # Shares before normalization; all positive.
    if split == "uniform":
        return np.ones(len(student.spans))
    if split == "characters":
        # A token without width is uncertain too, so it counts as one character.
        return cast(_Floats, np.maximum(student.spans[:, 1] - student.spans[:, 0], 1).astype(np.float64))
    if split != "student":
        raise ConfigError(f"There is no split {split!r}.", wanted="uniform, characters or student")
    if confidences is None:
        raise ConfigError("This split needs the student's confidence.", found=split, fix="Give student_confidence.")
    return cast(_Floats, np.exp(-_numbers(confidences, student, "confidence")))


def _transfer(weak: Line, student: Line, logprobs: _Floats, weights: _Floats, cuts: Cuts) -> list[Bridged]:
    if not len(cuts.weak):
        return [Bridged(np.empty(0), np.empty((0, 4), dtype=np.int64)) for _ in weak.ends]
    begins = [np.append(0, ends)[:-1] for ends in (cuts.weak, cuts.student)]
    segment = np.repeat(np.arange(len(cuts.student)), cuts.student - begins[1])
    sums = np.add.reduceat(logprobs, begins[0])
    shares = weights / np.add.reduceat(weights, begins[1])[segment]
    return _by_text(weak, student, sums[segment] * shares, np.stack([begins[0], cuts.weak, begins[1], cuts.student], 1))


def _by_text(weak: Line, student: Line, logprobs: _Floats, segments: Ints) -> list[Bridged]:
    places = np.append(0, np.searchsorted(segments[:, 1], weak.ends, side="right")).tolist()
    weak_begins, begins = ([0, *line.ends[:-1].tolist()] for line in (weak, student))
    bases = [np.array([first, first, second, second]) for first, second in zip(weak_begins, begins, strict=False)]
    return [
        Bridged(logprobs[begins[text] : end], segments[places[text] : places[text + 1]] - bases[text])
        for text, end in enumerate(student.ends.tolist())
    ]
