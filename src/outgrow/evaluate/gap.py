"""The performance gap recovered (PGR): how far a student gets from its supervisors towards the ceiling.

PGR = (student − floor) / (ceiling − floor), Burns et al. (2023, arXiv 2312.09390), of mean scores over examples and
seeds. It is not clipped: below 0 the student is worse than its supervisor, above 1 better than the ceiling. It is
undefined where the ceiling is not above the floor.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outgrow.evaluate.intervals import NO_SPREAD, TAIL, aligned_scores, unseen_share
from outgrow.evaluate.variance import MeanScores, mean_scores, ratio_interval
from outgrow.evaluate.wording import Interval, estimate_text, number_text, probability_text


@dataclass(frozen=True)
class Gap:
    """A student between floor and ceiling, and against the base."""

    student: float
    """Mean score of the student; likewise below."""
    floor: float
    """Of the supervisor (or of the average supervisor) it is measured against."""
    ceiling: float
    """Of the strong model trained on gold labels."""
    base: float | None
    """Of the untouched strong model, if given."""
    pgr: float | None
    """Performance gap recovered; None where the ceiling is not above the floor."""
    pgr_interval: Interval | None
    """95 % interval of `pgr`; None for the given `reason`."""
    gain_over_base: float | None
    """Student minus base; None without a base."""
    gain_interval: Interval | None
    """95 % interval of `gain_over_base`; None without a base, or on a single example."""
    undefined_share: float
    """One-sided p-value of a ceiling that is not above the floor: above .025 `pgr` has no interval."""
    reason: str | None
    """Why `pgr` or its interval is None, in words; None where both exist."""

    def describe(self) -> str:
        """Return the gap in words."""
        if self.pgr is None:
            sentences = [f"PGR is undefined, because {self.reason}."]
        elif self.pgr_interval is None:
            sentences = [f"PGR {number_text(self.pgr, decimals=2)}, without an interval, because {self.reason}."]
        else:
            pgr = estimate_text(self.pgr, self.pgr_interval, decimals=2)
            ends = f"the floor ({number_text(self.floor)}) to the ceiling ({number_text(self.ceiling)})"
            sentences = [f"PGR {pgr}: the student ({number_text(self.student)}) goes that far from {ends}."]
        if self.gain_over_base is not None:
            gain = estimate_text(self.gain_over_base, self.gain_interval, signed=True)
            sentences.append(f"Gain over the untouched strong model: {gain}.")
        return " ".join(sentences)


def performance_gap(student: ArrayLike, floor: ArrayLike, ceiling: ArrayLike, *, base: ArrayLike | None = None) -> Gap:
    """Return performance gap recovered and gain over base, with 95 % intervals (`outgrow.evaluate.variance`).

    Args:
        student: Per-example scores in any unit, shape (seeds, examples); higher is better.
        floor: Scores of the supervisor on the same examples; here and below, one seed stands for all.
        ceiling: Scores of the strong model trained on gold labels.
        base: Scores of the untouched strong model.

    Example:
        >>> right = np.arange(100)[None]
        >>> floor, student, ceiling = (right < share for share in (60, 75, 80))
        >>> gap = performance_gap(student, floor, ceiling)
        >>> round(gap.pgr, 6)
        0.75
    """
    given: dict[str, ArrayLike] = {"student": student, "floor": floor, "ceiling": ceiling}
    if base is not None:
        given["base"] = base
    arrays = list(aligned_scores(given).values())
    low, high = score_range(arrays)
    return gap_of(mean_scores(arrays), *np.eye(len(arrays)), span=high - low)


def score_range(arrays: Iterable[NDArray[np.float64]]) -> Interval:
    """Return the smallest and the largest score possible: 0 and 1, or those that occur beyond them."""
    found = list(arrays)
    return min(0.0, *(float(array.min()) for array in found)), max(1.0, *(float(array.max()) for array in found))


def gap_of(
    scores: MeanScores,
    student: NDArray[np.float64],
    floor: NDArray[np.float64],
    ceiling: NDArray[np.float64],
    base: NDArray[np.float64] | None = None,
    *,
    span: float,
) -> Gap:
    """Return the gap of a student; it and its reference points are weights of models, shape (J,).

    `span` is the largest difference that two scores can have.
    """
    own, low, high = (float(weights @ scores.means) for weights in (student, floor, ceiling))
    width = scores.contrast(ceiling - floor)
    doubt = width.p(span) / 2 if width.value > 0 else 1 - width.p(span) / 2
    reason = _reason(low, high, doubt, scores.examples)
    gain = None if base is None else scores.contrast(student - base)
    interval = None
    if reason is None:
        interval = ratio_interval(scores, student - floor, ceiling - floor)
        if interval is not None and interval[0] == interval[1]:
            # The student is as good as the ceiling (or the floor) on every example. A share of the unseen examples may
            # still differ, each by the largest step that one example can make.
            step = unseen_share(scores.examples) * span / width.value
            interval = interval[0] - step, interval[1] + step
    return Gap(
        student=own,
        floor=low,
        ceiling=high,
        base=None if base is None else float(base @ scores.means),
        pgr=(own - low) / width.value if width.value > NO_SPREAD else None,
        pgr_interval=interval,
        gain_over_base=gain.value if gain else None,
        gain_interval=gain.interval(-span, span) if gain else None,
        undefined_share=doubt,
        reason=reason,
    )


def _reason(floor: float, ceiling: float, doubt: float, examples: int) -> str | None:
    if ceiling - floor <= NO_SPREAD:
        low, high = number_text(floor), number_text(ceiling)
        return f"the ceiling ({high}) is not above the floor ({low}): there is no gap to recover"
    if examples < 2:
        return "a single test example says nothing about the spread between examples"
    if doubt >= TAIL:
        # By Fieller (1954) the confidence set of a ratio whose denominator may be zero is unbounded.
        return (
            f"the gap between floor ({number_text(floor)}) and ceiling ({number_text(ceiling)}) cannot be told from "
            f"zero on {examples} examples ({probability_text(2 * doubt)}), so the ratio could be almost anything"
        )
    return None
