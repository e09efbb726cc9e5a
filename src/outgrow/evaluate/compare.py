"""From per-example scores to a `Summary`: all models of an experiment on the same resamples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outgrow.errors import DataError
from outgrow.evaluate.calibration_summary import summarise_calibration
from outgrow.evaluate.gap import Gap, gap_from_draws, score_range
from outgrow.evaluate.intervals import (
    NO_SPREAD,
    RESAMPLES,
    aligned_scores,
    bounded_interval,
    resampled_means,
    sign_test,
    weighted_mean,
)
from outgrow.evaluate.summary import (
    ROLES,
    Comparison,
    Estimate,
    Line,
    MetricSummary,
    ModelScores,
    Role,
    Summary,
    SweepPoint,
    SweepSummary,
    SweptMetric,
)
from outgrow.evaluate.sweeps import Sweep, pays_from
from outgrow.labels.notes import Note

_ENOUGH_SEEDS = 3
"""With fewer runs the spread between runs cannot be estimated."""
_ENOUGH_EXAMPLES = 30
"""With fewer examples percentile intervals are too narrow."""
_LEAST_DOUBT = 0.05
"""Do not warn about the choice of the best supervisor below this share of resamples."""


def summarise(
    models: Sequence[ModelScores], chance: Mapping[str, float], *, sweeps: Sequence[Sweep] = (), seed: int = 0
) -> Summary:
    """Compare all models of an experiment on the same resamples of examples and seeds.

    `chance` is the score of a blind guess on each metric, where known, and `sweeps` are those of `find_sweeps`.

    Example:
        >>> weak, student, strong = ({"accuracy": np.arange(100)[None] < right} for right in (60, 75, 80))
        >>> models = [ModelScores("tfidf", "supervisor", weak), ModelScores("naive", "student", student)]
        >>> summary = summarise([*models, ModelScores("gold", "ceiling", strong)], {"accuracy": 0.5})
        >>> round(summary.metrics[0].of("student")[0].against_best.pgr, 6)
        0.75
    """
    _check(models)
    names = list(dict.fromkeys(metric for model in models for metric in model.scores))
    sheets = {metric: _sheet(metric, models, seed) for metric in names}
    metrics = tuple(_summarise_metric(metric, sheet, chance.get(metric)) for metric, sheet in sheets.items())
    calibration = summarise_calibration(models, seed=seed)
    swept = []
    for sweep in sweeps:
        found = tuple(filter(None, (_swept(metric, sheet, sweep) for metric, sheet in sheets.items())))
        swept += [SweepSummary(sweep.setting, sweep.reference, found)] * bool(found)
    return Summary(metrics, tuple(_notes(metrics)), RESAMPLES, calibration, tuple(swept))


def _check(models: Sequence[ModelScores]) -> None:
    if not any(model.scores for model in models):
        raise DataError("There are no scores to summarise.", wanted="at least one model with a metric")
    seen: set[tuple[str, str]] = set()
    for model in models:
        if model.role not in ROLES:
            raise DataError(f"{model.name!r} has an unknown role.", found=model.role, wanted=", ".join(ROLES))
        if (model.role, model.name) in seen:
            raise DataError(f"Two models are the {model.role} {model.name!r}.", fix="Give each its own name.")
        seen.add((model.role, model.name))
    for role in ("base", "ceiling"):
        found = [name for own, name in seen if own == role]
        if len(found) > 1:
            raise DataError(f"There is more than one {role}.", found=", ".join(sorted(found)), wanted="at most one")


@dataclass(frozen=True)
class _Column:
    """One model on one metric."""

    model: ModelScores
    seeds: int
    scores: NDArray[np.float64]
    mean: float
    draws: NDArray[np.float64]


@dataclass(frozen=True)
class _Sheet:
    columns: tuple[_Column, ...]
    examples: int
    low: float
    high: float

    def of(self, role: Role) -> list[_Column]:
        return [column for column in self.columns if column.model.role == role]

    @property
    def best(self) -> _Column | None:
        return max(self.of("supervisor"), key=_mean, default=None)

    def estimate(self, mean: float, draws: NDArray[np.float64]) -> Estimate:
        interval = bounded_interval(mean, draws, low=self.low, high=self.high, examples=self.examples)
        return Estimate(mean, interval)


def _mean(column: _Column) -> float:
    return column.mean


def _sheet(metric: str, models: Sequence[ModelScores], seed: int) -> _Sheet:
    present = [model for model in models if metric in model.scores]
    given: dict[str, ArrayLike] = {f"{each.name} ({each.role}, {metric})": each.scores[metric] for each in present}
    arrays = list(aligned_scores(given).values())
    weights = _weights(metric, present, arrays)
    own_weights: Sequence[NDArray[np.float64] | None] = weights or [None] * len(arrays)
    draws = resampled_means(arrays, weights=weights, seed=seed).T
    columns = tuple(
        _Column(model, len(model.scores[metric]), array, weighted_mean(array, weight), own)
        for model, array, weight, own in zip(present, arrays, own_weights, draws, strict=True)
    )
    return _Sheet(columns, arrays[0].shape[1], *score_range(arrays))


def _weights(
    metric: str, models: Sequence[ModelScores], arrays: Sequence[NDArray[np.float64]]
) -> list[NDArray[np.float64]] | None:
    if not any(metric in each.weights for each in models):
        return None
    given = [
        np.asarray(each.weights.get(metric, np.ones_like(each.scores[metric])), dtype=np.float64) for each in models
    ]
    for each, own in zip(models, given, strict=True):
        if own.shape != np.shape(each.scores[metric]) or not (own >= 0).all() or not np.isfinite(own).all():
            raise DataError(
                f"The weights of {each.name!r} on {metric} do not fit its scores.",
                found=own.shape,
                wanted=f"{np.shape(each.scores[metric])}, finite and not negative",
            )
    return [np.broadcast_to(own, array.shape) for own, array in zip(given, arrays, strict=True)]


def _summarise_metric(metric: str, sheet: _Sheet, chance: float | None) -> MetricSummary:
    floors, best = _floors(sheet), sheet.best
    highest = np.max([column.draws for column in sheet.of("supervisor")], axis=0) if best else 0.0
    return MetricSummary(
        metric=metric,
        examples=sheet.examples,
        chance=chance,
        lines=tuple(_line(column, sheet, floors) for column in sheet.columns),
        best_supervisor=None if best is None else best.model.name,
        best_supervisor_doubt=0.0 if best is None else float(np.mean(highest > best.draws)),
        mean_supervisor=sheet.estimate(*floors["mean"]) if floors else None,
    )


def _floors(sheet: _Sheet) -> dict[str, tuple[float, NDArray[np.float64]]]:
    supervisors, best = sheet.of("supervisor"), sheet.best
    if best is None:
        return {}
    average = float(np.mean([column.mean for column in supervisors]))
    draws = np.mean([column.draws for column in supervisors], axis=0)
    return {"best": (best.mean, best.draws), "mean": (average, draws)}


def _line(column: _Column, sheet: _Sheet, floors: Mapping[str, tuple[float, NDArray[np.float64]]]) -> Line:
    model, score = column.model, sheet.estimate(column.mean, column.draws)
    line = Line(model.name, model.role, model.note, column.seeds, score)
    if model.role != "student":
        return line
    gaps = {name: _gap(column, floor, sheet) for name, floor in floors.items()}
    return replace(
        line,
        against_best=gaps.get("best"),
        against_mean=gaps.get("mean"),
        gain_over_best=_gain(column, sheet.best, sheet),
        gain_over_base=_gain(column, next(iter(sheet.of("base")), None), sheet),
        comparison=_comparison(column, sheet.of("student")),
    )


def _gap(column: _Column, floor: tuple[float, NDArray[np.float64]], sheet: _Sheet) -> Gap | None:
    ceilings, bases = sheet.of("ceiling"), sheet.of("base")
    if not ceilings:
        return None
    means = {"student": column.mean, "floor": floor[0], "ceiling": ceilings[0].mean}
    draws = {"student": column.draws, "floor": floor[1], "ceiling": ceilings[0].draws}
    if bases:
        means["base"], draws["base"] = bases[0].mean, bases[0].draws
    return gap_from_draws(means, draws, examples=sheet.examples, span=sheet.high - sheet.low)


def _gain(column: _Column, other: _Column | None, sheet: _Sheet) -> Estimate | None:
    if other is None:
        return None
    gain = column.mean - other.mean
    draws, span = column.draws - other.draws, sheet.high - sheet.low
    return Estimate(gain, bounded_interval(gain, draws, low=-span, high=span, examples=sheet.examples))


def _comparison(column: _Column, students: Sequence[_Column]) -> Comparison | None:
    others = [student for student in students if student is not column]
    if not others:
        return None
    naive = next((student for student in students if student.model.name == "naive"), students[0])
    other = max(others, key=_mean) if column is naive else naive
    test = sign_test(column.scores, other.scores)
    return Comparison(other.model.name, test.wins, test.losses, test.p)


def _swept(metric: str, sheet: _Sheet, sweep: Sweep) -> SweptMetric | None:
    students = {column.model.name: column for column in sheet.of("student")}
    columns = [students[name] for name in sweep.values if name in students]
    if len(columns) < 2:  # too few of its students have scores
        return None
    reference = students.get(sweep.reference) if sweep.reference is not None else None
    points = tuple(
        SweepPoint(
            sweep.values[column.model.name],
            column.model.name,
            sheet.estimate(column.mean, column.draws),
            _gain(column, reference, sheet),
        )
        for column in columns
    )
    best, last = max(columns, key=_mean), columns[-1]
    fall = _gain(last, best, sheet) if best.mean - last.mean > NO_SPREAD else None
    return SweptMetric(metric, points, pays_from(points), sweep.values[best.model.name], fall)


def _notes(metrics: Sequence[MetricSummary]) -> Iterator[Note]:
    for metric in metrics:
        about = {"metric": metric.metric} if len(metrics) > 1 else {}
        for code, severity, who, values in (*_on_gaps(metric), *_on_scores(metric)):
            yield Note(code, severity, who, values=values | about)
    fewest = min((line.seeds for metric in metrics for line in metric.of("student")), default=_ENOUGH_SEEDS)
    if fewest < _ENOUGH_SEEDS:
        yield Note("seeds.few", "caution", values={"seeds": fewest})


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
        elif line.score.ends[0] <= metric.chance:
            yield "score.near_chance", "caution", line.name, values
    for line in metric.of("student"):
        gain = line.gain_over_base
        if gain is not None and gain.sign < 0:
            yield "score.below_base", "warning", line.name, {"gain": _numbers(gain)}
    if metric.best_supervisor_doubt >= _LEAST_DOUBT:
        yield "best.picked_on_test", "caution", metric.best_supervisor, {"share": metric.best_supervisor_doubt}
    if metric.examples < _ENOUGH_EXAMPLES:
        yield "test.few_examples", "caution", None, {"examples": metric.examples}


def _numbers(estimate: Estimate) -> list[float]:
    return [estimate.value, *(estimate.interval or ())]
