"""The performance gap recovered (PGR): how far a student gets from its supervisors towards the ceiling.

PGR = (student − floor) / (ceiling − floor), Burns et al. (2023, arXiv 2312.09390), of mean scores over examples and
seeds. It is not clipped: below 0 the student is worse than its supervisor, above 1 better than the ceiling. It is
undefined where the ceiling is not above the floor.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outgrow.evaluate.intervals import (
    NO_SPREAD,
    TAIL,
    aligned_scores,
    bounded_interval,
    percentile_interval,
    resampled_means,
    unseen_share,
)
from outgrow.evaluate.wording import Interval, estimate_text, number_text, share_text

_MOST_UNDEFINED = TAIL
"""Above this share of resamples without a gap, zero lies inside the 95 % interval of the gap itself. By Fieller (1954)
the confidence set of a ratio whose denominator may be zero is unbounded, so there is no finite interval."""


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
    """Share of the bootstrap resamples in which the ceiling is not above the floor."""
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
            if self.undefined_share:
                share = share_text(self.undefined_share)
                sentences.append(f"The {share} of resamples in which there is no gap are left out of the interval.")
        if self.gain_over_base is not None:
            gain = estimate_text(self.gain_over_base, self.gain_interval, signed=True)
            sentences.append(f"Gain over the untouched strong model: {gain}.")
        return " ".join(sentences)


def performance_gap(
    student: ArrayLike, floor: ArrayLike, ceiling: ArrayLike, *, base: ArrayLike | None = None, seed: int = 0
) -> Gap:
    """Return performance gap recovered and gain over base, with 95 % intervals from a paired bootstrap.

    Args:
        student: Per-example scores in any unit, shape (seeds, examples); higher is better.
        floor: Scores of the supervisor on the same examples; here and below, one seed stands for all.
        ceiling: Scores of the strong model trained on gold labels.
        base: Scores of the untouched strong model.
        seed: Seed of the resamples.

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
    arrays = aligned_scores(given)
    columns = resampled_means(list(arrays.values()), seed=seed).T
    draws = dict(zip(arrays, columns, strict=True))
    means = {name: float(array.mean()) for name, array in arrays.items()}
    low, high = score_range(arrays.values())
    return gap_from_draws(means, draws, examples=arrays["student"].shape[1], span=high - low)


def score_range(arrays: Iterable[NDArray[np.float64]]) -> Interval:
    """Return the smallest and the largest score possible: 0 and 1, or those that occur beyond them."""
    found = list(arrays)
    return min(0.0, *(float(array.min()) for array in found)), max(1.0, *(float(array.max()) for array in found))


def gap_from_draws(
    means: Mapping[str, float], draws: Mapping[str, NDArray[np.float64]], *, examples: int, span: float
) -> Gap:
    """Return the gap from means of `student`, `floor`, `ceiling` and perhaps `base`, and their joint resamples (B,).

    `span` is the largest difference that two scores can have.
    """
    student, floor, ceiling, base = means["student"], means["floor"], means["ceiling"], means.get("base")
    undefined_share = float(np.mean(draws["ceiling"] - draws["floor"] <= NO_SPREAD))
    reason = _reason(floor, ceiling, undefined_share, examples)
    pgr = (student - floor) / (ceiling - floor) if ceiling - floor > NO_SPREAD else None
    gain = gain_interval = None
    if base is not None:
        gain, gain_draws = student - base, draws["student"] - draws["base"]
        gain_interval = bounded_interval(gain, gain_draws, low=-span, high=span, examples=examples)
    return Gap(
        student=student,
        floor=floor,
        ceiling=ceiling,
        base=base,
        pgr=pgr,
        pgr_interval=None if pgr is None or reason else _pgr_interval(pgr, draws, span / (ceiling - floor), examples),
        gain_over_base=gain,
        gain_interval=gain_interval,
        undefined_share=undefined_share,
        reason=reason,
    )


def _pgr_interval(pgr: float, draws: Mapping[str, NDArray[np.float64]], largest_step: float, examples: int) -> Interval:
    widths = draws["ceiling"] - draws["floor"]
    defined = widths > NO_SPREAD
    ratios = (draws["student"] - draws["floor"])[defined] / widths[defined]
    if np.ptp(ratios) > NO_SPREAD:
        return percentile_interval(ratios)
    # The student is as good as the ceiling (or the floor) on every example, so the resamples do not vary. A share of
    # the unseen examples may still differ, each by the largest step that one example can make.
    doubt = unseen_share(examples) * largest_step
    return pgr - doubt, pgr + doubt


def _reason(floor: float, ceiling: float, undefined_share: float, examples: int) -> str | None:
    ends = f"floor ({number_text(floor)}) and ceiling ({number_text(ceiling)})"
    if ceiling - floor <= NO_SPREAD:
        low, high = number_text(floor), number_text(ceiling)
        return f"the ceiling ({high}) is not above the floor ({low}): there is no gap to recover"
    if examples < 2:
        # Resampling one example returns that example: the interval would have width zero and claim certainty.
        return "a single test example says nothing about the spread between examples"
    if undefined_share > _MOST_UNDEFINED:
        return (
            f"the gap between {ends} cannot be told from zero on {examples} examples "
            f"(none in {share_text(undefined_share)} of the resamples), so the ratio could be almost anything"
        )
    return None
