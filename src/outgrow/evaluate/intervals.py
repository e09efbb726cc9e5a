"""Uncertainty of mean scores: a paired bootstrap over examples and seeds, and a sign test between two methods.

All methods are scored on the same examples and trained with the same seeds. So a resample draws examples once and seeds
once *for all methods together*, and the difficulty of an example cancels in differences and ratios. Seeds and examples
are drawn independently (a crossed design); by Owen (2007, *The pigeonhole bootstrap*) the intervals err on the wide
side.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True)
class SignTest:
    """How often one method beats another on the same examples."""

    wins: int
    """Examples on which the first method scores higher."""
    losses: int
    """Examples on which it scores lower; ties count for neither."""
    p: float
    """Two-sided p-value of the exact binomial test that wins and losses are equally likely."""


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


def weighted_mean(scores: NDArray[np.float64], weights: NDArray[np.float64] | None = None) -> float:
    """Return the mean over runs of the (weighted) mean over examples; a run without any weight keeps its plain mean."""
    if weights is None:
        return float(scores.mean())
    total, plain = weights.sum(axis=1), scores.mean(axis=1)
    return float(np.divide((scores * weights).sum(axis=1), total, out=plain, where=total > 0).mean())


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


def sign_test(first: ArrayLike, second: ArrayLike) -> SignTest:
    """Test whether one method beats another more often than the other way round, on the same examples.

    Scores have the shape (seeds, examples), and are averaged over seeds first, since the seeds of one example are not
    independent evidence. Without any difference p is 1.

    Example:
        >>> sign_test([[1, 1, 1, 1, 1, 1, 0]], [[0, 0, 0, 0, 0, 0, 0]])
        SignTest(wins=6, losses=0, p=0.03125)
    """
    from scipy.stats import binomtest

    given = {"first": first, "second": second}
    means = [aligned_scores({name: scores})[name].mean(axis=0) for name, scores in given.items()]
    if means[0].shape != means[1].shape:
        raise DataError("Methods are scored on different numbers of examples.", found=[len(mean) for mean in means])
    difference = means[0] - means[1]
    wins, losses = int((difference > NO_SPREAD).sum()), int((difference < -NO_SPREAD).sum())
    p = float(binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0
    return SignTest(wins, losses, p)
