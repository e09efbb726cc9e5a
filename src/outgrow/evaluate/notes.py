"""Notes on a summary: where its numbers are undefined, too close to chance, or rest on too little."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from outgrow.evaluate.summary import Estimate, MetricSummary
from outgrow.labels.notes import Note

ENOUGH_SEEDS = 3
"""With fewer runs the spread between runs cannot be estimated."""
ENOUGH_EXAMPLES = 30
"""With fewer examples percentile intervals are too narrow."""
LEAST_DOUBT = 0.05
"""Do not warn about the choice of the best supervisor below this share of resamples."""


def summary_notes(metrics: Sequence[MetricSummary]) -> tuple[Note, ...]:
    """Return the notes on all metrics; each has the value `metric` where there are several."""
    several = len(metrics) > 1
    return (
        *(
            Note(code, severity, who, values=values | ({"metric": metric.metric} if several else {}))
            for metric in metrics
            for code, severity, who, values in (*_on_gaps(metric), *_on_scores(metric))
        ),
        *_on_seeds(metrics),
    )


_Found = Iterator[tuple[str, Any, str | None, dict[str, Any]]]
"""Code, severity, who and values of a note."""


def _on_gaps(metric: MetricSummary) -> _Found:
    # Whether there is a gap depends on floor and ceiling only, so the first student stands for all of them.
    student = next(iter(metric.of("student")), None)
    if student is None:
        return
    several = len(metric.of("supervisor")) > 1
    floors = [(metric.best_supervisor, student.against_best)] + [(None, student.against_mean)] * several
    for supervisor, gap in floors:
        if gap is None:
            continue
        about = {"best_of_several": several}
        if gap.pgr is None:
            yield "pgr.undefined", "caution", supervisor, about | {"reason": gap.reason}
        elif gap.reason is not None:
            yield "pgr.no_interval", "caution", supervisor, about | {"reason": gap.reason}
        elif gap.undefined_share:
            yield "pgr.partly_undefined", "caution", supervisor, about | {"share": gap.undefined_share}


def _on_scores(metric: MetricSummary) -> _Found:
    for line in metric.lines:
        # The untouched model with a new head guesses by construction, so its score is not worth a note.
        if metric.chance is None or line.role == "base":
            continue
        values = {"role": line.role, "score": _numbers(line.score), "chance": metric.chance}
        if line.score.value <= metric.chance:
            yield "score.at_chance", "warning", line.name, values
        elif line.score.interval is not None and line.score.interval[0] <= metric.chance:
            yield "score.near_chance", "caution", line.name, values
    for line in metric.of("student"):
        gain = line.gain_over_base
        if gain is not None and gain.sign < 0:
            yield "score.below_base", "warning", line.name, {"gain": _numbers(gain)}
    if metric.best_supervisor_doubt >= LEAST_DOUBT:
        yield "best.picked_on_test", "caution", metric.best_supervisor, {"share": metric.best_supervisor_doubt}
    if metric.examples < ENOUGH_EXAMPLES:
        yield "test.few_examples", "caution", None, {"examples": metric.examples}


def _on_seeds(metrics: Sequence[MetricSummary]) -> Iterator[Note]:
    fewest = min((line.seeds for metric in metrics for line in metric.of("student")), default=ENOUGH_SEEDS)
    if fewest < ENOUGH_SEEDS:
        yield Note("seeds.few", "caution", values={"seeds": fewest})


def _numbers(estimate: Estimate) -> list[float]:
    return [estimate.value, *(estimate.interval or ())]
