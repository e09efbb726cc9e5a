"""Text metrics by name (`task: {metric: rouge_l}`): similarity of each answer to its gold text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from outgrow.errors import DataError, MissingExtraError
from outgrow.evaluate.accuracy import score_texts, words_of

_MARK = "####"
"""Mark before the final answer in GSM8K's solutions."""

_WHOLE = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)"
_NUMBER = re.compile(
    rf"""
    (?P<sign>(?<![\w.)\]])[-−])?\s*[$€£]?\s*
    (?:
        (?:(?P<units>{_WHOLE})\s+)?(?P<over>{_WHOLE})\s*/\s*(?P<under>0*[1-9]\d*)(?!\.\d)  # 3 1/2 or 1/2
        | (?P<decimal>{_WHOLE}(?:\.\d+)?|\.\d+)
    )
    """,
    re.VERBOSE,
)
_LATEX_FRACTION = re.compile(r"\\[dt]?frac\s*\{\s*(\d+)\s*\}\s*\{\s*(\d+)\s*\}")


class TextMetric(Protocol):
    """The registry kind `metric`: a frozen dataclass, or a function whose keyword-only arguments are its parameters."""

    def __call__(self, answers: Sequence[str | None], gold: Sequence[str]) -> NDArray[np.float64]:
        """Return N finite scores, higher is better. A missing answer (None) is wrong, not skipped."""


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

        return score_texts(score, answers, gold)


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

        return score_texts(score, answers, gold)


@dataclass(frozen=True)
class FinalAnswer:
    """Final answers of worked solutions in mathematics, compared as exact numbers (`metric: final_answer`).

    Example:
        >>> FinalAnswer()(["It costs 0.50 dollars.", "#### 12", None], ["#### 1/2", "#### 13", "#### 1"]).tolist()
        [1.0, 0.0, 0.0]
    """

    def __call__(self, answers: Sequence[str | None], gold: Sequence[str]) -> NDArray[np.float64]:
        """Return 1 where a solution ends in the number of the gold text, else 0, shape (N,)."""
        without = next((text for text in gold if final_answer(text) is None), None)
        if without is not None:
            raise DataError("A gold text has no final answer.", found=without[-80:], wanted="a number")
        return score_texts(lambda mine, right: float(final_answer(mine) == final_answer(right)), answers, gold)


@dataclass(frozen=True)
class MathAnswer:
    r"""Final answers in mathematics, compared symbolically (`metric: math_answer`; extra `math`).

    The final answer is in the last `\boxed{…}`, else the last formula or number. Sets, intervals, matrices and
    equations are read too; ½ equals .5. A comparison that takes longer than five seconds counts as wrong.

    Source:
        Parsing and comparison by math-verify.
    """

    def __call__(self, answers: Sequence[str | None], gold: Sequence[str]) -> NDArray[np.float64]:
        """Return 1 where the final answer equals that of the gold text, else 0, shape (N,)."""
        try:
            from math_verify import parse, verify
        except ImportError as error:
            raise MissingExtraError("Comparing answers in mathematics", "math") from error
        right = {text: parse(text) for text in {*gold}}
        without = next((text for text, found in right.items() if not found), None)
        if without is not None:
            raise DataError("A gold text has no final answer.", found=without[-80:], wanted=r"such as \boxed{1}")
        return score_texts(lambda mine, wanted: float(verify(right[wanted], parse(mine))), answers, gold)


def final_answer(text: str) -> Fraction | None:
    r"""Return the final answer of a worked solution as an exact number; None without one.

    It is the first number after the last `####`, else after the last `\boxed{`, else the last number of the text.
    Commas between thousands, currency signs, units and percent signs are ignored; fractions and mixed numbers are read.

    Source:
        Cobbe et al. 2021 (GSM8K) for the mark; the rest is ours.

    Example:
        >>> final_answer("Half of 2,400 is 1,200.\n#### 1,200 marbles")
        Fraction(1200, 1)
        >>> final_answer("So each of the 4 gets $3 1/2."), final_answer("I do not know.")
        (Fraction(7, 2), None)
    """
    plain = _LATEX_FRACTION.sub(r" \1/\2", text)
    for mark in (_MARK, r"\boxed{"):
        _, found, rest = plain.rpartition(mark)
        if found:
            first = _NUMBER.search(rest)
            return _value(first) if first else None
    numbers = [_value(found) for found in _NUMBER.finditer(plain)]
    return numbers[-1] if numbers else None


def _ngrams(text: str, n: int) -> Counter[str]:
    return Counter(text[start : start + n] for start in range(len(text) - n + 1))


def _f(precision: float, recall: float, beta: float) -> float:
    if not precision or not recall:
        return 0.0
    return (1 + beta**2) * precision * recall / (beta**2 * precision + recall)


def _value(found: re.Match[str]) -> Fraction:
    if found["decimal"]:
        size = Fraction(_digits(found["decimal"]))
    else:
        size = Fraction(int(_digits(found["over"])), int(found["under"])) + int(_digits(found["units"] or "0"))
    return -size if found["sign"] else size


def _digits(text: str) -> str:
    return text.replace(",", "")
