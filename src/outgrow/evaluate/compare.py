"""From per-example scores to a `Summary`: all models of an experiment on the same resamples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outgrow.errors import DataError
from outgrow.evaluate.calibration_summary import summarise_calibration
from outgrow.evaluate.gap import Gap, gain_interval, gap_from_draws
from outgrow.evaluate.intervals import (
    NO_SPREAD,
    RESAMPLES,
    aligned_scores,
    bounded_interval,
    resampled_means,
    sign_test,
    weighted_mean,
)
from outgrow.evaluate.notes import summary_notes
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


def summarise(
    models: Sequence[ModelScores], chance: Mapping[str, float], *, sweeps: Sequence[Sweep] = (), seed: int = 0
) -> Summary:
    """Compare all models of an experiment on the same resamples of examples and seeds.

    Args:
        models: Supervisors, base, ceiling and students; base and ceiling may be absent.
        chance: Per metric the score of a blind guess, where known.
        sweeps: Students whose methods differ in one number (`find_sweeps`).
        seed: Seed of the resamples.

    Raises:
        DataError: A name occurs twice in a role, two bases or ceilings, no scores, or scores that do not fit.

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
    swept = tuple(each for each in (_summarise_sweep(sweep, sheets) for sweep in sweeps) if each.metrics)
    return Summary(metrics, summary_notes(metrics), RESAMPLES, calibration, swept)


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
    """One model on one metric: its scores, their mean, and the mean in every resample."""

    model: ModelScores
    seeds: int
    scores: NDArray[np.float64]
    mean: float
    draws: NDArray[np.float64]


@dataclass(frozen=True)
class _Sheet:
    """All columns of one metric."""

    columns: tuple[_Column, ...]
    examples: int
    low: float
    high: float

    @property
    def span(self) -> float:
        return self.high - self.low

    def of(self, role: Role) -> list[_Column]:
        return [column for column in self.columns if column.model.role == role]

    def estimate(self, mean: float, draws: NDArray[np.float64]) -> Estimate:
        interval = bounded_interval(mean, draws, low=self.low, high=self.high, examples=self.examples)
        return Estimate(mean, interval)


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
    low = min(0.0, *(float(array.min()) for array in arrays))
    high = max(1.0, *(float(array.max()) for array in arrays))
    return _Sheet(columns, arrays[0].shape[1], low, high)


def _weights(
    metric: str, models: Sequence[ModelScores], arrays: Sequence[NDArray[np.float64]]
) -> list[NDArray[np.float64]] | None:
    """Weights of the examples for each model; None for an unweighted metric."""
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
    floors, best = _floors(sheet), _best(sheet)
    return MetricSummary(
        metric=metric,
        examples=sheet.examples,
        chance=chance,
        lines=tuple(_line(column, sheet, floors) for column in sheet.columns),
        best_supervisor=None if best is None else best.model.name,
        best_supervisor_doubt=0.0 if best is None else _doubt(best, sheet),
        mean_supervisor=sheet.estimate(*floors["mean"]) if floors else None,
    )


def _best(sheet: _Sheet) -> _Column | None:
    return max(sheet.of("supervisor"), key=lambda column: column.mean, default=None)


def _floors(sheet: _Sheet) -> dict[str, tuple[float, NDArray[np.float64]]]:
    """Mean and resamples of the best and of the average supervisor."""
    supervisors, best = sheet.of("supervisor"), _best(sheet)
    if best is None:
        return {}
    average = float(np.mean([column.mean for column in supervisors]))
    draws = np.mean([column.draws for column in supervisors], axis=0)
    return {"best": (best.mean, best.draws), "mean": (average, draws)}


def _doubt(best: _Column, sheet: _Sheet) -> float:
    highest = np.max([column.draws for column in sheet.of("supervisor")], axis=0)
    return float(np.mean(highest > best.draws))


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
        gain_over_best=_gain(column, _best(sheet), sheet),
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
    return gap_from_draws(means, draws, examples=sheet.examples, span=sheet.span)


def _gain(column: _Column, other: _Column | None, sheet: _Sheet) -> Estimate | None:
    if other is None:
        return None
    gain = column.mean - other.mean
    return Estimate(gain, gain_interval(gain, column.draws - other.draws, sheet.span, sheet.examples))


def _comparison(column: _Column, students: Sequence[_Column]) -> Comparison | None:
    others = [student for student in students if student is not column]
    if not others:
        return None
    naive = next((student for student in students if student.model.name == "naive"), students[0])
    other = max(others, key=lambda student: student.mean) if column is naive else naive
    test = sign_test(column.scores, other.scores)
    return Comparison(other.model.name, test.wins, test.losses, test.p)


def _summarise_sweep(sweep: Sweep, sheets: Mapping[str, _Sheet]) -> SweepSummary:
    found = (_swept(metric, sheet, sweep) for metric, sheet in sheets.items())
    return SweepSummary(sweep.setting, sweep.reference, tuple(filter(None, found)))


def _swept(metric: str, sheet: _Sheet, sweep: Sweep) -> SweptMetric | None:
    """A sweep on one metric; None where fewer than two of its students have scores."""
    students = {column.model.name: column for column in sheet.of("student")}
    columns = [students[name] for name in sweep.values if name in students]
    if len(columns) < 2:
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
    best, last = max(columns, key=lambda column: column.mean), columns[-1]
    fall = _gain(last, best, sheet) if best.mean - last.mean > NO_SPREAD else None
    return SweptMetric(metric, points, pays_from(points), sweep.values[best.model.name], fall)
