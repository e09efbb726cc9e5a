"""Checks of scores, and a paired bootstrap over examples and seeds for statistics that are not means.

Means, differences and PGR have the intervals of `outgrow.evaluate.variance`; the bootstrap serves calibration errors.
All methods are scored on the same examples and trained with the same seeds. So a resample draws examples once and seeds
once *for all methods together*, and the difficulty of an example cancels in differences and ratios. Seeds and examples
are drawn independently (the pigeonhole bootstrap, Owen 2007). Resampling S seeds knows only (S − 1)/S of the variance
between them: with few seeds these intervals are too narrow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outgrow.errors import DataError
from outgrow.evaluate.wording import Interval

TAIL = 0.025
"""Share cut off at either end of every interval: all are 95 % intervals."""
RESAMPLES = 2000
"""Bootstrap resamples: the ends of an interval then move by about 3 % of its width from seed to seed."""
NO_SPREAD = 1e-12
"""Differences below this are rounding."""

_CELLS = 4_000_000
"""Most counts in memory at a time (32 MB); more examples mean smaller blocks of resamples."""


def aligned_scores(scores: Mapping[str, ArrayLike]) -> dict[str, NDArray[np.float64]]:
    """Check scores (seeds, examples) of several methods and broadcast them to the largest number of seeds."""
    arrays: dict[str, NDArray[np.float64]] = {}
    for name, given in scores.items():
        try:
            array = arrays[name] = np.asarray(given, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise DataError(f"The scores of {name!r} are not an array of numbers: {error}") from error
        if array.ndim != 2 or not array.size:
            wanted = "(seeds, examples), not empty"
            raise DataError(f"The scores of {name!r} have the wrong shape.", found=array.shape, wanted=wanted)
        if not np.isfinite(array).all():
            raise DataError(
                f"{int((~np.isfinite(array)).sum())} scores of {name!r} are not finite.",
                wanted="a number for every example",
                fix="Score missing answers as wrong: without them the score is too high.",
            )
    examples = {name: array.shape[1] for name, array in arrays.items()}
    if len(set(examples.values())) > 1:
        raise DataError("Methods are scored on different numbers of examples.", found=examples, wanted="the same ones")
    seeds = {name: array.shape[0] for name, array in arrays.items()}
    most = max(seeds.values(), default=1)
    if set(seeds.values()) - {1, most}:
        wanted = f"{most}, or 1 that stands for all"
        raise DataError("Methods have different numbers of seeds.", found=seeds, wanted=wanted)
    return {name: np.broadcast_to(array, (most, array.shape[1])) for name, array in arrays.items()}


def resampled_means(
    scores: Sequence[NDArray[np.float64]],
    *,
    weights: Sequence[NDArray[np.float64]] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Return mean scores of J methods on the same resamples of examples and seeds, shape (B, J).

    Each resample counts how often every example and every seed was drawn, and weighs the scores by the product of the
    two counts. With one seed the intervals reflect examples only.

    Args:
        scores: J arrays of shape (S, N), as `aligned_scores` returns them.
        weights: J arrays of the same shape, for means that are weighted over examples. A run whose weights sum to zero
            in a resample keeps its plain mean over all examples.
        resamples: Number B.
        seed: Seed of the draws.

    Example:
        >>> easy, hard = np.array([[1.0, 1.0, 0.0]]), np.array([[1.0, 0.0, 0.0]])
        >>> means = resampled_means([easy, hard], resamples=500)
        >>> bool((means[:, 0] >= means[:, 1]).all())
        True
    """
    stacked = np.stack(scores)
    methods, seeds, examples = stacked.shape
    heavy = None if weights is None else np.stack(weights)
    flat = _columns(stacked if heavy is None else stacked * heavy)
    heaviness = None if heavy is None else _columns(heavy)
    plain = stacked.mean(axis=2)
    means: NDArray[np.float64] = np.empty((resamples, methods))
    for block, chosen, counts in resampled_counts(seeds, examples, resamples=resamples, seed=seed):
        sums = (counts @ flat).reshape(len(chosen), methods, seeds)
        total = float(examples) if heaviness is None else (counts @ heaviness).reshape(sums.shape)
        own = np.divide(sums, total, out=np.broadcast_to(plain, sums.shape).copy(), where=np.greater(total, 0))
        means[block] = np.einsum("bms,bs->bm", own, chosen)
    means /= seeds
    return means


def _columns(stacked: NDArray[np.float64]) -> NDArray[np.float64]:
    # (J, S, N) to (N, J·S)
    return np.ascontiguousarray(stacked.reshape(-1, stacked.shape[2]).T)


def resampled_counts(
    seeds: int, examples: int, *, resamples: int = RESAMPLES, seed: int = 0
) -> Iterator[tuple[slice, NDArray[np.float64], NDArray[np.float64]]]:
    """Yield the resamples behind every interval in blocks, for statistics that are not means of scores.

    A block is the slice of the resamples, and how often each seed (b, S) and each example (b, N) was drawn. Equal sizes
    and seeds give equal draws.
    """
    random = np.random.default_rng(seed)
    seed_counts = _draw_counts(random, resamples, seeds)
    size = max(1, _CELLS // examples)
    for start in range(0, resamples, size):
        chosen = seed_counts[start : start + size]
        yield slice(start, start + len(chosen)), chosen, _draw_counts(random, len(chosen), examples)


def _draw_counts(random: np.random.Generator, resamples: int, size: int) -> NDArray[np.float64]:
    # Counting drawn indices is several times faster than `Generator.multinomial`, which draws a binomial per cell.
    drawn = random.integers(size, size=(resamples, size))
    drawn += np.arange(resamples)[:, None] * size
    counts = np.bincount(drawn.ravel(), minlength=resamples * size)
    return counts.reshape(resamples, size).astype(np.float64)


def percentile_interval(draws: NDArray[np.float64]) -> Interval:
    """Return the central 95 % of resampled values, shape (B,)."""
    low, high = np.quantile(draws, [TAIL, 1 - TAIL])
    return float(low), float(high)


def unseen_share(examples: int) -> float:
    """Return the largest share of the population that may behave otherwise when all N examples behaved alike.

    The exact binomial bound of Clopper and Pearson (1934) for N successes in N trials: 1 − (α/2)^(1/N).
    """
    return float(1 - TAIL ** (1 / examples))


def bounded_interval(
    value: float, draws: NDArray[np.float64], *, low: float, high: float, examples: int
) -> Interval | None:
    """Return the interval of a mean of per-example values that lie in [low, high].

    In two cases the percentile interval of the resampled means, shape (B,), would have width zero. For a single example
    there is none (None). Where all examples agree (a model that is always right), the `unseen_share` of examples may
    differ by the whole range.
    """
    if examples < 2:
        return None
    if np.ptp(draws) > NO_SPREAD:
        return percentile_interval(draws)
    unseen = unseen_share(examples)
    return value - unseen * (value - low), value + unseen * (high - value)
