"""Text metrics by name (`task: {metric: rouge_l}`): similarity of each answer to its gold text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from outgrow.evaluate.accuracy import check_lengths, exact_match, token_f1, words_of


class TextMetric(Protocol):
    """The registry kind `metric`: a frozen dataclass, or a function whose keyword-only arguments are its parameters."""

    def __call__(self, answers: Sequence[str | None], gold: Sequence[str]) -> NDArray[np.float64]:
        """Return N finite scores, higher is better. A missing answer (None) is wrong, not skipped."""


@dataclass(frozen=True)
class ExactMatch:
    """`metric: exact_match`; see `outgrow.evaluate.exact_match`."""

    def __call__(self, answers: Sequence[str | None], gold: Sequence[str]) -> NDArray[np.float64]:
        """Return scores of shape (N,)."""
        return exact_match(answers, gold)


@dataclass(frozen=True)
class TokenF1:
    """`metric: token_f1`; see `outgrow.evaluate.token_f1`."""

    def __call__(self, answers: Sequence[str | None], gold: Sequence[str]) -> NDArray[np.float64]:
        """Return scores of shape (N,)."""
        return token_f1(answers, gold)


@dataclass(frozen=True)
class RougeL:
    """The longest common subsequence of words (`metric: rouge_l`).

    Precision and recall are its length over the number of words of answer and gold. Words are compared without case
    and punctuation around them, in any script. Two empty texts agree.

    Source:
        Lin 2004, *ROUGE*, eq. 2–4 (sentence level); the subsequence by rapidfuzz.

    Example:
        >>> RougeL()(["police kill the gunman"], ["Police killed the gunman."]).tolist()
        [0.75]
    """

    beta: float = 1.0
    """Weight of recall relative to precision."""

    def __post_init__(self) -> None:
        if self.beta <= 0:
            raise ValueError("beta is above 0")

    def __call__(self, answers: Sequence[str | None], gold: Sequence[str]) -> NDArray[np.float64]:
        """Return scores of shape (N,)."""
        from rapidfuzz.distance import LCSseq

        def score(answer: str, right: str) -> float:
            mine, wanted = words_of(answer), words_of(right)
            if not mine or not wanted:
                return float(mine == wanted)
            shared = LCSseq.similarity(mine, wanted)
            return _f(shared / len(mine), shared / len(wanted), self.beta)

        return _each(score, answers, gold)


@dataclass(frozen=True)
class ChrF:
    """Character n-gram F (`metric: chrf`), the mean over sentences; works in any script.

    Precision and recall are averaged over n = 1 … `order`, as far as both texts have n-grams; white space does not
    count. Two empty texts agree.

    Source:
        Popović 2015, *chrF*; the same numbers as sacrebleu's sentence scores, over 100.

    Example:
        >>> ChrF()(["The cat sat."], ["The cat sits."]).round(3).tolist()
        [0.552]
    """

    order: int = 6
    """Longest n-grams."""
    beta: float = 2.0
    """Weight of recall relative to precision."""

    def __post_init__(self) -> None:
        if self.order < 1 or self.beta <= 0:
            raise ValueError("order is at least 1, beta above 0")

    def __call__(self, answers: Sequence[str | None], gold: Sequence[str]) -> NDArray[np.float64]:
        """Return scores of shape (N,)."""

        def score(answer: str, right: str) -> float:
            mine, wanted = ("".join(text.split()) for text in (answer, right))
            orders = range(1, min(self.order, len(mine), len(wanted)) + 1)
            if not orders:
                return float(mine == wanted)
            shared = [(_ngrams(mine, n) & _ngrams(wanted, n)).total() for n in orders]
            precision = sum(hits / (len(mine) - n + 1) for n, hits in zip(orders, shared, strict=True))
            recall = sum(hits / (len(wanted) - n + 1) for n, hits in zip(orders, shared, strict=True))
            return _f(precision / len(orders), recall / len(orders), self.beta)

        return _each(score, answers, gold)


def _each(
    score: Callable[[str, str], float], answers: Sequence[str | None], gold: Sequence[str]
) -> NDArray[np.float64]:
    check_lengths(answers, gold)
    pairs = zip(answers, gold, strict=True)
    return np.array([0.0 if mine is None else score(mine, right) for mine, right in pairs], dtype=np.float64)


def _ngrams(text: str, n: int) -> Counter[str]:
    return Counter(text[start : start + n] for start in range(len(text) - n + 1))


def _f(precision: float, recall: float, beta: float) -> float:
    if not precision or not recall:
        return 0.0
    return (1 + beta**2) * precision * recall / (beta**2 * precision + recall)
