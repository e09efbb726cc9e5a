"""Slots of utterances: SLU-F1, which gives credit for fillers that are nearly right, and slots as JSON.

Source of SLU-F1: Bastianelli et al. 2020, *SLURP* (arXiv 2011.13205), section 5.1; edit distances by rapidfuzz.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein

from outgrow.errors import DataError

Slot = Mapping[str, str]
"""One filled slot: `{"type": "date", "filler": "tomorrow"}`."""

Problem = Literal["empty", "unparsable", "unknown slots"]

_Pairs = list[tuple[str, str]]
_TP, _FP, _FN = 0, 1, 2


@dataclass(frozen=True)
class SluScore:
    """Scores of a corpus, as fractions."""

    f1: float
    """SLU-F1: micro F1 of the sum of word and character counts."""
    word_f1: float
    """Micro F1 with word error rates."""
    char_f1: float
    """Micro F1 with edit distances over the longer length."""
    span_f1: float
    """Micro F1 of slots whose type and filler are exactly right."""
    per_type: Mapping[str, float]
    """SLU-F1 of each slot type of gold or predictions, sorted by name."""


@dataclass(frozen=True, eq=False)
class SluCounts:
    """True positives, false positives and false negatives of each utterance, shapes (N, 3); sums give corpus scores."""

    word: NDArray[np.float64]
    """With word error rates."""
    char: NDArray[np.float64]
    """With character errors."""
    span: NDArray[np.float64]
    """Of exact slots."""
    per_type: Mapping[str, NDArray[np.float64]]
    """Word and character counts of each slot type over the corpus, shape (3,)."""

    @property
    def slu(self) -> NDArray[np.float64]:
        """Sum of word and character counts, shape (N, 3)."""
        return self.word + self.char

    def score(self) -> SluScore:
        """Return the scores of the corpus."""
        return SluScore(
            f1=f1_of_counts(self.slu.sum(axis=0)),
            word_f1=f1_of_counts(self.word.sum(axis=0)),
            char_f1=f1_of_counts(self.char.sum(axis=0)),
            span_f1=f1_of_counts(self.span.sum(axis=0)),
            per_type={name: f1_of_counts(counts) for name, counts in sorted(self.per_type.items())},
        )


def slu_f1(gold: Sequence[Sequence[Slot]], predictions: Sequence[Sequence[Slot] | None]) -> SluScore:
    """Score the slots of a corpus.

    Each predicted slot, in order, is matched to the unused gold slot of its type with the smallest error d: one true
    positive, with d added to false positives and to false negatives. Without such a slot it is a false positive, and
    unused gold slots are false negatives. This is done with word errors and with character errors, and F1 is taken of
    the sum of both counts.

    A missing prediction (None) is empty, not skipped. Without gold and predicted slots F1 is 1.

    Example:
        >>> gold = [[{"type": "date", "filler": "tomorrow"}]]
        >>> score = slu_f1(gold, [[{"type": "date", "filler": "the day after tomorrow please"}]])
        >>> f"{score.word_f1:.3f} {score.char_f1:.3f} {score.f1:.3f} {score.span_f1:.3f}"
        '0.200 0.580 0.297 0.000'
    """
    return slu_counts(gold, predictions).score()


def slu_counts(gold: Sequence[Sequence[Slot]], predictions: Sequence[Sequence[Slot] | None]) -> SluCounts:
    """Return the counts of `slu_f1` for each utterance."""
    if len(gold) != len(predictions):
        raise DataError("Gold and predicted slots differ in number.", found=f"{len(gold)} and {len(predictions)}")
    words, chars, spans = (np.zeros((len(gold), 3)) for _ in range(3))
    per_type: dict[str, NDArray[np.float64]] = {}
    for row, (right, mine) in enumerate(zip(gold, predictions, strict=True)):
        wanted, given = _pairs(right, f"gold of utterance {row}"), _pairs(mine or (), f"prediction {row}")
        for total, error in ((words, _word_error), (chars, Levenshtein.normalized_distance)):
            for name, counts in _matched(wanted, given, error).items():
                total[row] += counts
                per_type[name] = per_type.get(name, np.zeros(3)) + counts
        shared = (Counter(wanted) & Counter(given)).total()
        spans[row] = shared, len(given) - shared, len(wanted) - shared
    return SluCounts(words, chars, spans, per_type)


def f1_of_counts(counts: NDArray[np.float64]) -> float:
    """Return the F1 of true positives, false positives and false negatives, shape (3,); 1 where all are zero."""
    total = 2 * counts[_TP] + counts[_FP] + counts[_FN]
    return float(2 * counts[_TP] / total) if total else 1.0


def _pairs(slots: Sequence[Slot], where: str) -> _Pairs:
    try:
        pairs = [(slot["type"], slot["filler"]) for slot in slots]
    except (KeyError, TypeError) as error:
        raise DataError(f"A slot in the {where} has no type or filler.", wanted='{"type": …, "filler": …}') from error
    if not all(isinstance(text, str) for pair in pairs for text in pair):
        raise DataError(f"A slot in the {where} has a type or filler that is no text.", wanted="two strings")
    return pairs


def _matched(gold: _Pairs, given: _Pairs, error: Callable[[str, str], float]) -> dict[str, NDArray[np.float64]]:
    counts: dict[str, NDArray[np.float64]] = {name: np.zeros(3) for name, _ in (*gold, *given)}
    unused = list(gold)
    for name, filler in given:
        errors = {place: error(right, filler) for place, (own, right) in enumerate(unused) if own == name}
        if not errors:
            counts[name][_FP] += 1
            continue
        nearest = min(errors, key=errors.__getitem__)
        counts[name] += (1, errors[nearest], errors[nearest])
        del unused[nearest]
    for name, _ in unused:
        counts[name][_FN] += 1
    return counts


def _word_error(gold: str, given: str) -> float:
    words = gold.split()
    return Levenshtein.distance(words, given.split()) / max(len(words), 1)  # may exceed one


@dataclass(frozen=True)
class Reading:
    """Slots read from an answer."""

    slots: tuple[Slot, ...]
    """Empty where the answer cannot be parsed."""
    problem: Problem | None
    """What is wrong, if anything. Slots of an unknown name are kept, and count as wrong."""


def write_slots(slots: Sequence[Slot]) -> str:
    """Return slots as JSON: a list of fillers for each type, in the order of first occurrence."""
    fillers: dict[str, list[str]] = {}
    for slot in slots:
        fillers.setdefault(slot["type"], []).append(slot["filler"])
    return json.dumps(fillers, ensure_ascii=False)


def read_slots(answer: str, schema: Sequence[str]) -> Reading:
    """Read the JSON object that an answer begins with; what follows it is ignored.

    A single filler may stand without its list. Fillers stay as they are: like the official scorer, SLU-F1 takes another
    case for an error. `schema` holds the valid types.
    """
    if not answer.strip():
        return Reading((), "empty")
    try:
        pairs, _ = json.JSONDecoder(object_pairs_hook=_Object).raw_decode(answer.strip())
    except (ValueError, RecursionError):
        return Reading((), "unparsable")
    if not isinstance(pairs, _Object):
        return Reading((), "unparsable")
    given = [(name, filler) for name, value in pairs for filler in (value if type(value) is list else [value])]
    if not all(isinstance(filler, str) for _, filler in given):
        return Reading((), "unparsable")
    slots = slots_of((name, filler) for name, filler in given)
    return Reading(slots, "unknown slots" if any(slot["type"] not in schema for slot in slots) else None)


def slots_of(pairs: Iterable[tuple[str, str]]) -> tuple[Slot, ...]:
    """Return slots from pairs of type and filler."""
    return tuple({"type": name, "filler": filler} for name, filler in pairs)


def tidy(text: str) -> str:
    """Return a text in lower case, with single spaces."""
    return " ".join(text.lower().split())


class _Object(list[tuple[str, Any]]):
    """Pairs of a JSON object; unlike a dict it keeps repeated names."""
