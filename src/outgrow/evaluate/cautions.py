"""What a reader should know before believing the numbers of a summary, in whole sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from outgrow.evaluate.gap import Gap
from outgrow.evaluate.summary import MetricSummary
from outgrow.evaluate.wording import estimate_text, number_text, share_text

ENOUGH_SEEDS = 3
"""With fewer runs the doubt between runs cannot be seen, let alone resampled."""
ENOUGH_EXAMPLES = 30
"""With fewer examples percentile intervals are too narrow."""
WORTH_SAYING = 0.05
"""Doubt about the choice of the best supervisor below this share is not worth a sentence."""


def cautions(metrics: Sequence[MetricSummary]) -> tuple[str, ...]:
    """Collects the warnings of all metrics; each names its metric where there are several."""
    several = len(metrics) > 1
    found = [
        f"On {metric.metric}: {sentence}" if several else sentence[0].upper() + sentence[1:]
        for metric in metrics
        for sentence in _of_metric(metric)
    ]
    found.extend(_about_seeds(metrics))
    return tuple(dict.fromkeys(found))


def _of_metric(metric: MetricSummary) -> Iterator[str]:
    yield from _about_the_gap(metric)
    yield from _about_chance(metric)
    yield from _about_the_base(metric)
    if metric.best_supervisor_doubt >= WORTH_SAYING:
        yield (
            f"the best supervisor ({metric.best_supervisor}) was picked on the test part, and in "
            f"{share_text(metric.best_supervisor_doubt)} of the resamples another one is better: as a floor it is a "
            "little too high, and PGR against it a little too low."
        )
    if metric.examples < ENOUGH_EXAMPLES:
        yield f"there are only {metric.examples} test examples: the intervals are rough, and likely too narrow."


def _about_the_gap(metric: MetricSummary) -> Iterator[str]:
    students = metric.of("student")
    if not students:
        return
    # Whether there is a gap depends on floor and ceiling alone, so the first student speaks for all of them.
    several = len(metric.of("supervisor")) > 1
    best = (
        f"the best supervisor ({metric.best_supervisor})" if several else f"the supervisor ({metric.best_supervisor})"
    )
    floors = [(best, students[0].against_best)]
    if several:
        floors.append(("the average supervisor", students[0].against_mean))
    for floor, gap in floors:
        if gap is not None:
            yield from _about_one_gap(floor, gap)


def _about_one_gap(floor: str, gap: Gap) -> Iterator[str]:
    if gap.pgr is None:
        yield f"PGR against {floor} is undefined, because {gap.reason}."
    elif gap.reason is not None:
        yield f"PGR against {floor} has no interval, because {gap.reason}."
    elif gap.undefined_share:
        share = share_text(gap.undefined_share)
        yield f"in {share} of the resamples there is no gap above {floor}; PGR intervals leave these out."


def _about_chance(metric: MetricSummary) -> Iterator[str]:
    if metric.chance is None:
        return
    for line in metric.lines:
        # An untouched model with a fresh head guesses by construction: that is no news.
        if line.role == "base":
            continue
        score, chance = estimate_text(line.score.value, line.score.interval), number_text(metric.chance)
        who = f"the {line.role} {line.name!r}"
        if line.score.value <= metric.chance:
            yield f"{who} scores {score}, at or below chance ({chance})."
        elif line.score.interval is not None and line.score.interval[0] <= metric.chance:
            yield f"{who} scores {score}, which cannot be told from chance ({chance})."


def _about_the_base(metric: MetricSummary) -> Iterator[str]:
    for line in metric.of("student"):
        gain = line.gain_over_base
        if gain is not None and gain.interval is not None and gain.interval[1] < 0:
            difference = estimate_text(gain.value, gain.interval, signed=True)
            yield f"{line.name!r} is worse than the untouched strong model ({difference}): its training did harm."


def _about_seeds(metrics: Sequence[MetricSummary]) -> Iterator[str]:
    seeds = [line.seeds for metric in metrics for line in metric.of("student")]
    fewest = min(seeds, default=ENOUGH_SEEDS)
    if fewest == 1:
        yield "Students were trained with one seed: the intervals speak of test examples, not of training runs."
    elif fewest < ENOUGH_SEEDS:
        yield f"Students were trained with {fewest} seeds: too few for the intervals to show how much runs differ."
