"""Scores of single examples, from which all means, intervals and gaps are made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outgrow.errors import DataError

_TIE = 1e-9
"""Probabilities this close are tied: averages of the same votes in another order differ in their last bits."""

_OUTER_PUNCTUATION = " \t\r\n.,;:!?\"'`()[]“”‘’"


def choice_scores(probs: ArrayLike, gold: ArrayLike) -> NDArray[np.float64]:
    """Return the expected accuracy of the most probable choice, in [0, 1], shape (N,).

    A tie is broken by a fair coin, and an abstention is a uniform guess: 1/|tied best| where gold is among them, 1/K
    for an abstention, else 0. So a supervisor that always abstains scores at chance, not at 0 or 1.

    Args:
        probs: Probabilities of shape (N, K); an abstention is K NaNs.
        gold: Index of the right choice, shape (N,).

    Example:
        >>> choice_scores([[0.9, 0.1], [0.5, 0.5], [float("nan")] * 2], [0, 1, 1]).tolist()
        [1.0, 0.5, 0.5]
    """
    votes, right = filled_votes(probs, gold)
    tied = votes >= votes.max(axis=1, keepdims=True) - _TIE
    scores: NDArray[np.float64] = tied[np.arange(len(right)), right] / tied.sum(axis=1)
    return scores


def filled_votes(probs: ArrayLike, gold: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return checked probabilities (N, K), with uniform rows for abstentions, and checked gold answers (N,)."""
    votes, right = np.asarray(probs, dtype=np.float64), np.asarray(gold)
    if votes.ndim != 2 or not votes.shape[1] or right.shape != votes.shape[:1]:
        raise DataError(
            "Probabilities and gold answers do not fit together.",
            found=f"{votes.shape} and {right.shape}",
            wanted="(N, K) and (N,), K ≥ 1",
        )
    choices = votes.shape[1]
    if not np.issubdtype(right.dtype, np.integer) or ((right < 0) | (right >= choices)).any():
        raise DataError("A gold answer is not one of the choices.", wanted=f"whole numbers from 0 to {choices - 1}")
    silent = np.isnan(votes)
    abstained = silent.all(axis=1, keepdims=True)
    if (silent & ~abstained).any():
        raise DataError("A vote is NaN only in part.", fix="An abstention leaves the whole vote empty.")
    return np.where(abstained, 1 / choices, votes), right.astype(np.int64)


def exact_match(answers: Sequence[str | None], gold: Sequence[str]) -> NDArray[np.float64]:
    """Return 1 where an answer equals the gold text up to case, spacing and outer punctuation, else 0; shape (N,).

    Inner characters count ("-5" is not "5", "3.5" is not "35"). A missing answer (None) is wrong, not skipped.

    Example:
        >>> exact_match(["Paris.", "lyon", None], ["paris", "Paris", "Paris"]).tolist()
        [1.0, 0.0, 0.0]
    """
    return score_texts(lambda mine, right: float(words_of(mine) == words_of(right)), answers, gold)


def token_f1(answers: Sequence[str | None], gold: Sequence[str]) -> NDArray[np.float64]:
    """Return the F1 of each answer's words, counted with repetition, in [0, 1], shape (N,).

    The measure of SQuAD (Rajpurkar et al. 2016), without its English-only removal of articles. Two empty texts score 1,
    a missing answer (None) 0.

    Example:
        >>> token_f1(["in the city of Paris"], ["Paris, France"]).round(3).tolist()
        [0.286]
    """

    def score(answer: str, right: str) -> float:
        mine, wanted = words_of(answer), words_of(right)
        shared = sum((Counter(mine) & Counter(wanted)).values())
        return 2 * shared / (len(mine) + len(wanted)) if mine or wanted else 1.0

    return score_texts(score, answers, gold)


def words_of(text: str) -> list[str]:
    """Return the words of a text in lower case, without punctuation around them."""
    stripped = (word.strip(_OUTER_PUNCTUATION) for word in text.casefold().split())
    return [word for word in stripped if word]


def score_texts(
    score: Callable[[str, str], float], answers: Sequence[str | None], gold: Sequence[str]
) -> NDArray[np.float64]:
    """Return `score(answer, gold text)` of each answer, 0 for a missing one; DataError if their numbers differ."""
    if len(answers) != len(gold):
        raise DataError("Answers and gold texts differ in number.", found=f"{len(answers)} and {len(gold)}")
    pairs = zip(answers, gold, strict=True)
    return np.array([0.0 if mine is None else score(mine, right) for mine, right in pairs], dtype=np.float64)
