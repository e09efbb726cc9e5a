"""Uncertainty of mean scores by two-way variance components: intervals and tests for any contrast of models.

A score is y[s, i] = μ + example_i + seed_s + residual[s, i] for each model, and everything that is compared is a linear
contrast of models, such as student − base. All models are scored on the same examples, so the difficulty of an example
cancels in a contrast. With S seeds, N examples and the mean squares of the contrast (Searle, Casella and McCulloch
1992, ch. 4) the variance of its mean is

    V = (MS_examples + max(0, MS_seeds − MS_residual)) / (S·N),

and the mean is compared with Student's t at df degrees of freedom: 1/df = f/(S − 1) + (1 − f)/(N − 1), where f is the
share MS_seeds / (S·N·V), at most 1, and √f takes its place where S = 2. Satterthwaite (1946) weighs with f² instead;
with two or three seeds his intervals cover too rarely (.87 and .91 of nominal .95), because the variance between seeds
is often estimated much too small (`benchmarks/coverage.py`). With one seed V = MS_examples/N, which says nothing about
training randomness.

The resampling of `outgrow.evaluate.intervals` knows at most (S − 1)/S of the variance between seeds, and no tail of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outgrow.evaluate.intervals import NO_SPREAD, TAIL, unseen_share
from outgrow.evaluate.wording import Interval

_ROUNDING = 1e-12
"""Mean squares of a contrast below this share of those of its models are rounding."""

_POWER = 0.8416
"""Normal quantile of a power of 80 %."""


@dataclass(frozen=True)
class Contrast:
    """A mean over examples and seeds, or a difference of means, with its variance."""

    value: float
    examples: int
    """Number N."""
    seeds: int
    """Number S."""
    squares: tuple[float, float, float]
    """Mean squares of examples, seeds and residual; 0 where undefined, or where nothing but rounding is left."""

    @property
    def variance(self) -> float:
        """Variance of the value."""
        return self._total / (self.seeds * self.examples)

    @property
    def df(self) -> float:
        """Degrees of freedom of the variance; 0 on a single example."""
        if self.examples < 2:
            return 0.0
        share = min(1.0, self.squares[1] / self._total) if self._total else 0.0
        if self.seeds == 2:  # a variance from one difference: the test would reject .08 of true hypotheses without this
            share **= 0.5
        between = share / (self.seeds - 1) if self.seeds > 1 else 0.0
        return 1 / (between + (1 - share) / (self.examples - 1))

    @property
    def _total(self) -> float:
        rows, runs, rest = self.squares
        return rows + max(0.0, runs - rest)

    @property
    def margin(self) -> float:
        """Half the width of the 95 % interval, before it is clipped; infinite on a single example."""
        from scipy.special import stdtrit

        return float(stdtrit(self.df, 1 - TAIL)) * self.variance**0.5 if self.df > 0 else np.inf

    def interval(self, low: float, high: float) -> Interval | None:
        """Return the 95 % interval of a value that lies in [low, high]; None on a single example.

        Where all examples agree, the `unseen_share` of the population may still differ by the whole range.
        """
        if self.examples < 2:
            return None
        if self._agree:
            unseen = unseen_share(self.examples)
            return self.value - unseen * (self.value - low), self.value + unseen * (high - self.value)
        return max(low, self.value - self.margin), min(high, self.value + self.margin)

    def p(self, span: float = 1.0) -> float:
        """Return the two-sided p-value of a true value of zero, from the model of `interval`; 1 on a single example.

        `span` is the largest possible value: it decides where all examples agree.
        """
        from scipy.special import stdtr

        size = abs(self.value)
        if self.examples < 2 or size <= NO_SPREAD:
            return 1.0
        if self._agree:
            return min(1.0, 2 * float(span / (size + span)) ** self.examples)
        return 2 * float(stdtr(self.df, -size / self.variance**0.5))

    def needed(self) -> tuple[int | None, int | None]:
        """Return how many seeds, or else how many examples, would settle a true difference of this size.

        The test then finds it four times in five. None where a hundred seeds, or a thousand times the examples, would
        not do; the number of seeds is None with one seed too, which tells nothing of the variance between seeds.
        """
        rows, runs, rest = self.squares

        def enough(seeds: int, examples: int) -> bool:
            # The components are kept: rows = S·σ²(example) + σ²(residual), runs = N·σ²(seed) + σ²(residual).
            example, seed = max(0.0, rows - rest) / self.seeds, max(0.0, runs - rest) / self.examples
            found = seeds * example + min(rows, rest), examples * seed + rest, rest
            planned = Contrast(self.value, examples, seeds, found)
            return bool(planned.margin + _POWER * planned.variance**0.5 <= abs(self.value))

        if self.examples < 2 or self._agree:
            return None, None
        seeds = _smallest(lambda n: enough(n, self.examples), self.seeds, 100) if self.seeds > 1 else None
        return seeds, _smallest(lambda n: enough(self.seeds, n), self.examples, 1000 * self.examples)

    @property
    def _agree(self) -> bool:
        return self.variance == 0


@dataclass(frozen=True, eq=False)
class MeanScores:
    """Mean scores of J models with all that the variance of a contrast needs; made by `mean_scores`."""

    means: NDArray[np.float64]
    """Shape (J,)."""
    seeds: int
    examples: int
    squares: NDArray[np.float64]
    """Mean squares and products of examples, seeds and residual, shape (3, J, J)."""

    def contrast(self, weights: ArrayLike) -> Contrast:
        """Return Σ_j weights[j]·mean of model j.

        Example:
            >>> student, base = (np.arange(100)[None] < right for right in (75, 60))
            >>> gain = mean_scores([student, base]).contrast([1, -1])
            >>> round(gain.value, 3), [round(end, 3) for end in gain.interval(-1, 1)]
            (0.15, [0.079, 0.221])
        """
        own = np.asarray(weights, dtype=np.float64)
        value, squares = float(own @ self.means), own @ self.squares @ own
        # Where two models always agree, what is left of their mean squares is rounding.
        rounding = _ROUNDING * (np.abs(own) @ np.abs(self.squares) @ np.abs(own))
        rows, runs, rest = np.where(squares > rounding, squares, 0.0).tolist()
        return Contrast(value, self.examples, self.seeds, (rows, runs, rest))

    def planned(self, examples: int) -> MeanScores:
        """Return the same means with the mean squares that another number of examples would have on average."""
        rows, runs, rest = self.squares
        squares = np.stack([rows, (runs - rest) * examples / self.examples + rest, rest])
        return MeanScores(self.means, self.seeds, examples, squares)


def mean_scores(scores: Sequence[ArrayLike], weights: Sequence[ArrayLike] | None = None) -> MeanScores:
    """Return means and mean squares of J models in one pass over their scores.

    Args:
        scores: J arrays of shape (S, N) on the same examples, as `aligned_scores` returns them.
        weights: J arrays of the same shape, for means that are weighted over examples, such as the F1 of a corpus. A
            run is then linearised: example i has the influence w_i (y_i − mean)/mean(w). A run whose weights are all
            zero keeps its plain mean.
    """
    stacked = np.stack([np.asarray(each, dtype=np.float64) for each in scores])
    if weights is not None:
        heavy = np.stack([np.asarray(each, dtype=np.float64) for each in weights])
        load = heavy.mean(axis=2, keepdims=True)
        even = np.where(load > 0, heavy / np.where(load > 0, load, 1.0), 1.0)
        run = (even * stacked).mean(axis=2, keepdims=True)
        stacked = run + even * (stacked - run)
    models, seeds, examples = stacked.shape
    means = stacked.mean(axis=(1, 2))
    rows = stacked.mean(axis=1) - means[:, None]
    runs = stacked.mean(axis=2) - means[:, None]
    stacked = stacked - rows[:, None] - runs[:, :, None] - means[:, None, None]
    rest = stacked.reshape(models, -1)
    squares = np.stack(
        [
            seeds * (rows @ rows.T) / max(examples - 1, 1),
            examples * (runs @ runs.T) / max(seeds - 1, 1),
            rest @ rest.T / max((seeds - 1) * (examples - 1), 1),
        ]
    )
    return MeanScores(means, seeds, examples, squares)


def ratio_interval(scores: MeanScores, numerator: ArrayLike, denominator: ArrayLike) -> Interval | None:
    """Return the 95 % interval of a ratio of two contrasts, by Fieller (1954).

    It holds every r for which the contrast numerator − r·denominator does not differ from zero. None where the interval
    of the denominator reaches zero: the set is then unbounded.

    Example:
        >>> floor, student, ceiling = (np.arange(100)[None] < right for right in (60, 75, 80))
        >>> low, high = ratio_interval(mean_scores([floor, student, ceiling]), [-1, 1, 0], [-1, 0, 1])
        >>> round(low, 2), round(high, 2)
        (0.54, 0.96)
    """
    over, under = np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)
    width = scores.contrast(under)
    if width.value <= width.margin:
        return None
    ratio = float(over @ scores.means) / width.value

    def excess(r: float) -> float:
        difference = scores.contrast(over - r * under)
        return abs(difference.value) - difference.margin

    step = scores.contrast(over - ratio * under).margin / width.value
    if step == 0:
        return ratio, ratio
    ends = []
    for direction in (-step, step):
        while excess(ratio + direction) <= 0:
            direction *= 2
        # Bisection: importing scipy.optimize takes longer than all of it.
        inside = 0.0
        while abs(direction - inside) > 1e-9 * step:
            middle = (inside + direction) / 2
            inside, direction = (middle, direction) if excess(ratio + middle) <= 0 else (inside, middle)
        ends.append(ratio + direction)
    return ends[0], ends[1]


def rows_for_width(scores: MeanScores, numerator: ArrayLike, denominator: ArrayLike, width: float) -> int | None:
    """Return how many examples make the interval of a ratio (`ratio_interval`) at most `width` wide.

    At least the number of examples in `scores`. None where a thousand times as many would not do: the variance between
    seeds stays, and so does a denominator of no size.

    Example:
        >>> floor, student, ceiling = (np.arange(100)[None] % 20 < right for right in (12, 15, 16))
        >>> scores = mean_scores([floor, student, ceiling])
        >>> rows_for_width(scores, [-1, 1, 0], [-1, 0, 1], 0.5), rows_for_width(scores, [-1, 1, 0], [-1, 0, 1], 0.1)
        (100, 1474)
    """

    def enough(examples: int) -> bool:
        ends = ratio_interval(scores.planned(examples), numerator, denominator)
        return ends is not None and ends[1] - ends[0] <= width

    if enough(scores.examples):
        return scores.examples
    return _smallest(enough, scores.examples, 1000 * scores.examples)


def _smallest(enough: Callable[[int], bool], low: int, high: int) -> int | None:
    # The smallest number in (low, high] that is enough, where all above it are too.
    if not enough(high):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number by Holm (1979), in the given order.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    found, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        found[index] = largest
    return found
