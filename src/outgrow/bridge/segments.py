"""The character bridge: two tokenizations of one text share some cuts; between two cuts, probability is handed over.

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
from typing import Literal, NamedTuple, cast, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outgrow.bridge.cuts import Cuts, Ints, Line, Offsets, at_spaces, one_by_one, shared_cuts
from outgrow.errors import ConfigError, DataError

Split = Literal["uniform", "characters", "student"]
"""How a segment's log-probability is shared out among the student's tokens in it."""

Where = Literal["characters", "words"]
"""Where texts are cut: wherever both tokenizations can be, or at spaces only ([BW])."""

_Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Bridging:
    """Which bridge log-probabilities take to the tokens of another model.

    Example:
        >>> Bridging(where="words", split="student")  # as in [BW]
        Bridging(where='words', split='student')
    """

    where: Where = "characters"
    """Where texts are cut."""
    split: Split = "uniform"
    """How the log-probability between two cuts is shared out."""


class Bridged(NamedTuple):
    """Log-probabilities on the student's tokens, and which tokens they came from."""

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
    """Hands a weak model's token log-probabilities over to the tokens of another tokenizer.

    The text is cut wherever both tokenizations can be cut; in each segment the weak log-probabilities are summed and
    shared out among the student's tokens. So Σ_j log s_j = Σ_i log p_i, whatever the script, and a tokenizer bridged to
    itself gets its own log-probabilities back: where both have the same spans in a segment (bytes of one character),
    token answers to token. Text that no token claims can be cut anywhere. A token without width stays with the token
    after it; those after the last character (end of sequence) are a segment of their own where both sides have any, and
    otherwise stay with the segment before.

    Args:
        text: The text, L characters.
        weak_offsets: Spans of the weak model's I tokens; see `Offsets`.
        weak_logprobs: Their natural log-probabilities, shape (I,).
        student_offsets: Spans of the student's J tokens.
        split: Shares within a segment: `uniform` (equal), `characters` (by width, at least one), or `student`, softmax
            of −m with m the student's largest probability at each token ([BW]).
        student_confidence: m, shape (J,), for `split="student"`; a constant, through which no gradient flows.

    Raises:
        DataError: A span is outside the text, numbers do not fit the tokens or are no log-probabilities, or only one
            side has tokens.
        ConfigError: An unknown `split`, or one that lacks the student's confidences.

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
    """`bridge` for N texts at once, at millions of characters a second; arguments and errors as there.

    With `where="words"` texts are cut as in `bridge_words`.

    Example:
        >>> [found.logprobs.tolist() for found in bridge_many(["ab", ""], [[(0, 2)], []], [[-2.0], []], [[(0, 2)], []])]
        [[-2.0], []]
    """
    if where not in get_args(Where):
        raise ConfigError(f"There is no bridge over {where!r}.", wanted="characters or words")
    weak, student = Line.of(texts, weak_offsets, "weak"), Line.of(texts, student_offsets, "student")
    logprobs = _logprobs(weak_logprobs, weak)
    weights = _weights(split, student, student_confidences)
    cuts = shared_cuts(weak, student)
    cuts = one_by_one(cuts, weak, student) if where == "characters" else at_spaces(cuts, texts)
    return _hand_over(weak, student, logprobs, weights, cuts)


def bridge_words(
    text: str,
    weak_offsets: Offsets,
    weak_logprobs: ArrayLike,
    student_offsets: Offsets,
    *,
    student_confidence: ArrayLike | None = None,
) -> Bridged:
    """[BW]'s bridge (`paper` preset): as `bridge`, but text is cut at spaces only, and shares are softmax(−m).

    A word's log-probability is the sum over its weak tokens, and log s_j = ω_j · log P_w. A space belongs to the word
    that its token belongs to; words are not parted where a token reaches over the space between them (reconstruction:
    the paper does not say what happens then, and Σ_j log s_j = Σ_i log p_i holds so).

    Args:
        text: The text, L characters.
        weak_offsets: Spans of the weak model's I tokens; see `Offsets`.
        weak_logprobs: Their natural log-probabilities, shape (I,).
        student_offsets: Spans of the student's J tokens.
        student_confidence: m, the student's largest probability at each token, shape (J,), through which no gradient
            flows; without it ω is uniform (the paper's ablation).

    Raises:
        DataError: As in `bridge`.

    Example:
        >>> bridge_words("so it is", [(0, 5), (5, 8)], [-1.0, -3.0], [(0, 2), (2, 5), (5, 6), (6, 8)]).logprobs.tolist()
        [-0.5, -0.5, -1.5, -1.5]
    """
    split: Split = "uniform" if student_confidence is None else "student"
    confidences = None if student_confidence is None else [student_confidence]
    return bridge_many(
        [text],
        [weak_offsets],
        [weak_logprobs],
        [student_offsets],
        split=split,
        where="words",
        student_confidences=confidences,
    )[0]


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
    return logprobs


def _weights(split: Split, student: Line, confidences: Sequence[ArrayLike] | None) -> _Floats:
    """How much of its segment each student token takes, before normalisation; all positive."""
    if split == "uniform":
        return np.ones(len(student.spans))
    if split == "characters":
        # A token without width is not free of doubt, so it counts as one character.
        return cast(_Floats, np.maximum(student.spans[:, 1] - student.spans[:, 0], 1).astype(np.float64))
    if split != "student":
        raise ConfigError(f"There is no split {split!r}.", wanted="uniform, characters or student")
    if confidences is None:
        raise ConfigError("This split needs the student's confidence.", found=split, fix="Give student_confidence.")
    return cast(_Floats, np.exp(-_numbers(confidences, student, "confidence")))


def _hand_over(weak: Line, student: Line, logprobs: _Floats, weights: _Floats, cuts: Cuts) -> list[Bridged]:
    if not len(cuts.weak):
        return [Bridged(np.empty(0), np.empty((0, 4), dtype=np.int64)) for _ in weak.ends]
    begins = [np.append(0, ends)[:-1] for ends in (cuts.weak, cuts.student)]
    segment = np.repeat(np.arange(len(cuts.student)), cuts.student - begins[1])
    sums = np.add.reduceat(logprobs, begins[0])
    shares = weights / np.add.reduceat(weights, begins[1])[segment]
    return _apart(weak, student, sums[segment] * shares, np.stack([begins[0], cuts.weak, begins[1], cuts.student], 1))


def _apart(weak: Line, student: Line, handed: _Floats, segments: Ints) -> list[Bridged]:
    """The result of each text, its tokens counted from 0."""
    places = np.append(0, np.searchsorted(segments[:, 1], weak.ends, side="right")).tolist()
    weak_begins, begins = ([0, *line.ends[:-1].tolist()] for line in (weak, student))
    bases = [np.array([first, first, second, second]) for first, second in zip(weak_begins, begins, strict=False)]
    return [
        Bridged(handed[begins[text] : end], segments[places[text] : places[text + 1]] - bases[text])
        for text, end in enumerate(student.ends.tolist())
    ]
