"""Final answers of worked solutions in mathematics, compared as exact numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from outgrow.errors import DataError
from outgrow.evaluate.accuracy import check_lengths

MARK = "####"
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
    for mark in (MARK, r"\boxed{"):
        _, found, rest = plain.rpartition(mark)
        if found:
            first = _NUMBER.search(rest)
            return _value(first) if first else None
    numbers = [_value(found) for found in _NUMBER.finditer(plain)]
    return numbers[-1] if numbers else None


@dataclass(frozen=True)
class FinalAnswer:
    """`metric: final_answer`.

    Example:
        >>> FinalAnswer()(["It costs 0.50 dollars.", "#### 12", None], ["#### 1/2", "#### 13", "#### 1"]).tolist()
        [1.0, 0.0, 0.0]
    """

    def __call__(self, answers: Sequence[str | None], gold: Sequence[str]) -> NDArray[np.float64]:
        """Return 1 where a solution ends in the number of the gold text, else 0, shape (N,).

        Raises:
            DataError: The numbers of answers and gold texts differ, or a gold text has no number.
        """
        check_lengths(answers, gold)
        wanted = [final_answer(text) for text in gold]
        if None in wanted:
            raise DataError("A gold text has no final answer.", found=gold[wanted.index(None)][-80:], wanted="a number")
        pairs = zip(answers, wanted, strict=True)
        return np.array([text is not None and final_answer(text) == right for text, right in pairs], dtype=np.float64)


def _value(found: re.Match[str]) -> Fraction:
    if found["decimal"]:
        size = Fraction(_digits(found["decimal"]))
    else:
        size = Fraction(int(_digits(found["over"])), int(found["under"])) + int(_digits(found["units"] or "0"))
    return -size if found["sign"] else size


def _digits(text: str) -> str:
    return text.replace(",", "")
