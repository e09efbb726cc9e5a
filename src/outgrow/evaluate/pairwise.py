"""A language model as judge between two answers, each pair shown in both orders."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outgrow.errors import DataError
from outgrow.evaluate.judge import JudgeModel, read_replies
from outgrow.templates import check_template, fill

PAIR = """Two assistants answered the same question. Decide whose answer is better.

Question: {question}

Answer A: {first}

Answer B: {second}

Write one line of reasons, then [[A]] if answer A is better, [[B]] if answer B is better, or [[tie]].
Verdict:"""
"""How a judge is asked, unless a caller has other words."""

REPAIR = """{prompt}{reply}

That reply has no verdict in the form asked for. Write nothing but [[A]], [[B]] or [[tie]].
Verdict:"""
"""How a judge is asked again after a reply that cannot be read."""

_VERDICT = re.compile(r"\[\[\s*(a|b|tie)\s*\]\]", re.IGNORECASE)
_WORTH = {"a": 1.0, "b": 0.0, "tie": 0.5}


@dataclass(frozen=True, eq=False)
class Preferences:
    """Which of two answers a judge prefers, for N pairs in two orders, n times each.

    Example:
        >>> always_first = Preferences(np.array([[[1.0], [0.0]]]))
        >>> always_first.scores.tolist(), always_first.verdicts.tolist(), always_first.first_bias
        ([0.5], [0.5], 0.5)
    """

    samples: NDArray[np.float64]
    """Worth of the left answer, shape (N, 2, n): 1 preferred, 0.5 tie, 0 not, NaN where the reply could not be read;
    it was shown first in order 0 and second in order 1."""
    repaired: int = 0
    """Verdicts that were read only after asking again."""

    @property
    def unread(self) -> int:
        """Verdicts that are missing."""
        return int(np.isnan(self.samples).sum())

    @property
    def orders(self) -> NDArray[np.float64]:
        """Mean worth of the left answer in each order, shape (N, 2); NaN where no verdict could be read."""
        known = np.isfinite(self.samples).sum(axis=2)
        means: NDArray[np.float64] = np.full(known.shape, np.nan)
        np.divide(np.nansum(self.samples, axis=2), known, out=means, where=known > 0)
        return means

    @property
    def scores(self) -> NDArray[np.float64]:
        """Mean worth of the left answer over both orders, shape (N,); NaN unless both are known."""
        scores: NDArray[np.float64] = self.orders.mean(axis=1)
        return scores

    @property
    def verdicts(self) -> NDArray[np.float64]:
        """1 where the left answer wins in both orders, 0 where the right one does, else 0.5, shape (N,); NaN as above.

        Source:
            Zheng et al. 2023 (arXiv 2306.05685), section 3.4: inconsistent verdicts are ties.
        """
        wins, losses = (self.orders > 0.5).all(axis=1), (self.orders < 0.5).all(axis=1)
        return np.where(np.isnan(self.scores), np.nan, np.where(wins, 1.0, np.where(losses, 0.0, 0.5)))

    @property
    def first_bias(self) -> float:
        """Mean worth of whatever was shown first, minus one half: 0 for a judge that minds no order."""
        shown_first = np.stack([self.orders[:, 0], 1 - self.orders[:, 1]])
        known = shown_first[:, np.isfinite(self.scores)]
        return float(known.mean() - 0.5) if known.size else float("nan")


def read_verdict(reply: str) -> float | None:
    """The worth of answer A in a reply: 1, 0.5 for a tie, 0, or None unless it has exactly one verdict.

    Example:
        >>> read_verdict("Both fine. [[Tie]]"), read_verdict("[[A]]"), read_verdict("[[A]] no, [[B]]")
        (0.5, 1.0, None)
    """
    said = {verdict.lower() for verdict in _VERDICT.findall(reply)}
    return _WORTH[said.pop()] if len(said) == 1 else None


def prefer(
    model: JudgeModel,
    left: Sequence[str],
    right: Sequence[str],
    items: Sequence[Mapping[str, str]],
    *,
    options: Any,
    template: str = PAIR,
) -> Preferences:
    """Lets a judge choose between two answers per item, once in each order, and asks once more where it is unclear.

    Args:
        model: The judge.
        left: One answer per item, N of them.
        right: The other answer, N of them.
        items: What else fills the template, such as `question`, N of them.
        options: How the judge generates; see `outgrow.evaluate.judge.rate`.
        template: The prompt, with the places `{first}` and `{second}`.

    Raises:
        ConfigError: The template lacks a place.
        DataError: The numbers of answers and items differ.
        ModelError: The model does not reply to every prompt.

    Example:
        >>> from outgrow.models.protocols import GenerateOptions
        >>> from outgrow.models.scripted import ScriptedLanguageModel
        >>> judge = ScriptedLanguageModel(lambda prompt: " [[A]]" if "A: yes" in prompt else " [[B]]")
        >>> prefer(judge, ["yes"], ["no"], [{"question": "?"}], options=GenerateOptions()).verdicts.tolist()
        [1.0]
    """
    check_template("verdict", template, needs=("first", "second"))
    if not len(left) == len(right) == len(items):
        raise DataError("Pairs and items differ in number.", found=f"{len(left)}, {len(right)} and {len(items)}")
    shown = [
        {**item, "first": first, "second": second}
        for item, one, other in zip(items, left, right, strict=True)
        for first, second in ((one, other), (other, one))
    ]

    def again(prompt: str, reply: str) -> str:
        return fill(REPAIR, {"prompt": prompt, "reply": reply})

    reading = read_replies(model, [fill(template, values) for values in shown], read_verdict, again, options)
    samples = reading.values.reshape(len(items), 2, -1)
    samples[:, 1] = 1 - samples[:, 1]
    return Preferences(samples, reading.repaired)
