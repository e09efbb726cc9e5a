"""From per-example scores to a `Summary`: all models of an experiment on the same examples and seeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outgrow.errors import DataError
from outgrow.evaluate.calibration_summary import summarise_calibration
from outgrow.evaluate.gap import Gap, gap_of, score_range
from outgrow.evaluate.intervals import NO_SPREAD, RESAMPLES, aligned_scores
from outgrow.evaluate.summary import (
    LEVEL,
    ROLES,
    Comparison,
    Estimate,
    Line,
    MetricSummary,
    ModelScores,
    Rival,
    Role,
    Summary,
    SweepPoint,
    SweepSummary,
    SweptMetric,
)
from outgrow.evaluate.sweeps import Sweep, pays_from
from outgrow.evaluate.variance import Contrast, MeanScores, holm, mean_scores
from outgrow.labels.notes import Note

_ENOUGH_SEEDS = 3
"""With two runs intervals are wide, and cover in 90 % instead of 95 % at worst; with one they reflect examples only."""
_ENOUGH_EXAMPLES = 30
"""With fewer examples the mean of a score is far from normal, and intervals are rough."""
_TITLES = {"combined": "combination", "gold": "strong model"}
"""Roles in notes, where another word is clearer."""
_LEAST_DOUBT = 0.05
"""Do not warn about the choice of the best supervisor below this p-value."""


def summarise(
    models: Sequence[ModelScores],
    chance: Mapping[str, float],
    *,
    sweeps: Sequence[Sweep] = (),
    best: Mapping[str, str] | None = None,
    seed: int = 0,
) -> Summary:
    """Compare all models of an experiment on the same examples and seeds.

    Intervals and tests are those of `outgrow.evaluate.variance`; the intervals of calibration are a bootstrap.

    Args:
        models: Their scores.
        chance: Score of a blind guess on each metric, where known.
        sweeps: Those of `find_sweeps`.
        best: The best supervisor on each metric, where it was chosen without the test rows. Default: the one with the
            highest mean on test.
        seed: Seed of the bootstrap of calibration.

    Example:
        >>> weak, student, strong = ({"accuracy": np.arange(100)[None] < right} for right in (60, 75, 80))
        >>> models = [ModelScores("tfidf", "supervisor", weak), ModelScores("naive", "student", student)]
        >>> summary = summarise([*models, ModelScores("gold", "ceiling", strong)], {"accuracy": 0.5})
        >>> round(summary.metrics[0].of("student")[0].against_best.pgr, 6)
        0.75
    """
    _check(models)
    names = list(dict.fromkeys(metric for model in models for metric in model.scores))
    sheets = {metric: _sheet(metric, models, (best or {}).get(metric)) for metric in names}
    metrics = tuple(_summarise_metric(metric, sheet, chance.get(metric)) for metric, sheet in sheets.items())
    calibration = summarise_calibration(models, seed=seed)
    swept = []
    for sweep in sweeps:
        found = tuple(filter(None, (_swept(metric, sheet, sweep) for metric, sheet in sheets.items())))
        swept += [SweepSummary(sweep.setting, sweep.reference, found)] * bool(found)
    return Summary(metrics, tuple(_notes(metrics)), RESAMPLES, calibration, tuple(swept))


def _check(models: Sequence[ModelScores]) -> None:
    if not models:
        raise DataError("There are no scores to summarise.", wanted="at least one model")
    seen: set[tuple[str, str]] = set()
    for model in models:
        if model.role not in ROLES:
            raise DataError(f"{model.name!r} has an unknown role.", found=model.role, wanted=", ".join(ROLES))
        if (model.role, model.name) in seen:
            raise DataError(f"Two models are the {model.role} {model.name!r}.", fix="Give each its own name.")
        seen.add((model.role, model.name))
    for role in ("base", "gold", "ceiling"):
        found = [name for own, name in seen if own == role]
        if len(found) > 1:
            raise DataError(f"There is more than one {role}.", found=", ".join(sorted(found)), wanted="at most one")


@dataclass(frozen=True)
class _Sheet:
    """All models on one metric; a model, or an average of models, is a vector of weights, shape (J,)."""

    models: tuple[ModelScores, ...]
    arrays: tuple[NDArray[np.float64], ...]
    scores: MeanScores
    low: float
    high: float
    chosen: str | None
    """The best supervisor, where it was chosen on other rows."""

    def of(self, role: Role) -> list[_Vector]:
        return [_unit(len(self.models), index) for index, model in enumerate(self.models) if model.role == role]

    def mean(self, vector: _Vector) -> float:
        return float(vector @ self.scores.means)

    def name(self, vector: _Vector) -> str:
        return self.models[int(vector.argmax())].name

    def first(self, role: Role) -> _Vector | None:
        return next(iter(self.of(role)), None)

    def best(self, role: Role) -> _Vector | None:
        found = self.of(role)
        if role == "supervisor":
            found = [each for each in found if self.name(each) == self.chosen] or found
        return max(found, key=self.mean, default=None)

    @property
    def average(self) -> _Vector | None:
        found = self.of("supervisor")
        return np.mean(found, axis=0) if found else None

    def estimate(self, vector: _Vector) -> Estimate:
        contrast = self.scores.contrast(vector)
        return Estimate(contrast.value, contrast.interval(self.low, self.high))

    def gain(self, vector: _Vector, other: _Vector | None) -> Estimate | None:
        if other is None:
            return None
        contrast, span = self.scores.contrast(vector - other), self.high - self.low
        return Estimate(contrast.value, contrast.interval(-span, span))


_Vector = NDArray[np.float64]


def _unit(size: int, index: int) -> _Vector:
    unit: _Vector = np.eye(1, size, index)[0]
    return unit


def _sheet(metric: str, models: Sequence[ModelScores], chosen: str | None) -> _Sheet:
    present = tuple(model for model in models if metric in model.scores)
    given: dict[str, ArrayLike] = {f"{each.name} ({each.role}, {metric})": each.scores[metric] for each in present}
    arrays = tuple(aligned_scores(given).values())
    weights = _weights(metric, present, arrays)
    return _Sheet(present, arrays, mean_scores(arrays, weights), *score_range(arrays), chosen)


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
    best, average = sheet.best("supervisor"), sheet.average
    students = sheet.of("student")
    comparisons = _comparisons(sheet, students)
    rivals = _rivals(sheet, students, chance)
    lines = []
    for index, model in enumerate(sheet.models):
        own = _unit(len(sheet.models), index)
        line = Line(model.name, model.role, model.note, len(model.scores[metric]), sheet.estimate(own))
        if model.role == "student":
            line = replace(
                line,
                against_best=_gap(own, best, sheet),
                against_mean=_gap(own, average, sheet),
                against_combined=_gap(own, sheet.best("combined"), sheet),
                gain_over_best=sheet.gain(own, best),
                gain_over_base=sheet.gain(own, sheet.first("base")),
                comparison=comparisons.get(model.name),
                rivals=rivals[model.name],
            )
        lines.append(line)
    return MetricSummary(
        metric=metric,
        examples=sheet.scores.examples,
        chance=chance,
        lines=tuple(lines),
        best_supervisor=None if best is None else sheet.name(best),
        best_supervisor_doubt=0.0 if best is None or sheet.chosen else _doubt(best, sheet),
        mean_supervisor=None if average is None else sheet.estimate(average),
    )


def _doubt(best: _Vector, sheet: _Sheet) -> float:
    others = [each for each in sheet.of("supervisor") if each.argmax() != best.argmax()]
    leads = [sheet.scores.contrast(best - each) for each in others]
    return max((lead.p() / 2 for lead in leads if lead.variance), default=0.0)


def _gap(student: _Vector, floor: _Vector | None, sheet: _Sheet) -> Gap | None:
    ceiling, base = sheet.first("ceiling"), sheet.first("base")
    if floor is None or ceiling is None:
        return None
    return gap_of(sheet.scores, student, floor, ceiling, base, span=sheet.high - sheet.low)


def _comparisons(sheet: _Sheet, students: Sequence[_Vector]) -> dict[str, Comparison]:
    if len(students) < 2:
        return {}
    naive = next((each for each in students if sheet.name(each) == "naive"), students[0])
    found = {}
    for own in students:
        other = naive
        if own is naive:
            other = max((each for each in students if each is not naive), key=sheet.mean)
        difference = np.subtract(*(sheet.arrays[int(each.argmax())].mean(axis=0) for each in (own, other)))
        wins, losses = int((difference > NO_SPREAD).sum()), int((difference < -NO_SPREAD).sum())
        p = sheet.scores.contrast(own - other).p(sheet.high - sheet.low)
        found[sheet.name(own)] = Comparison(sheet.name(other), wins, losses, p, p)
    corrected = holm([each.p for each in found.values()])
    return {name: replace(each, corrected=p) for (name, each), p in zip(found.items(), corrected, strict=True)}


def _rivals(sheet: _Sheet, students: Sequence[_Vector], chance: float | None) -> dict[str, tuple[Rival, ...]]:
    """Test each student against all that it must beat, and correct for the number of students.

    A student beats all its rivals if it beats the hardest (intersection-union test, Berger 1982), so only the number of
    students needs a correction, and picking the best supervisor on test does not flatter the student.
    """
    found = {sheet.name(own): tuple(_rivals_of(own, sheet, chance)) for own in students}
    corrected = holm([max((rival.p for rival in rivals), default=1.0) for rivals in found.values()])
    return {
        name: tuple(replace(rival, p=min(largest, len(found) * rival.p)) for rival in rivals)
        for (name, rivals), largest in zip(found.items(), corrected, strict=True)
    }


def _rivals_of(own: _Vector, sheet: _Sheet, chance: float | None) -> Iterator[Rival]:
    span = sheet.high - sheet.low

    def rival(kind: Any, name: str, contrast: Contrast) -> Rival:
        p = contrast.p(span) if contrast.value > 0 else 1.0
        needed = contrast.needed() if LEVEL < p < 1 else (None, None)
        gain = Estimate(contrast.value, contrast.interval(-span, span))
        return Rival(kind, name, sheet.mean(own) - contrast.value, gain, p, *needed)

    for kind in ("supervisor", "combined", "base"):
        every = [rival(kind, sheet.name(each), sheet.scores.contrast(own - each)) for each in sheet.of(kind)]
        if every:
            yield max(every, key=lambda each: (each.p, -each.gain.value))
    if chance is not None:
        contrast = sheet.scores.contrast(own)
        yield rival("chance", "chance", replace(contrast, value=contrast.value - chance))


def _swept(metric: str, sheet: _Sheet, sweep: Sweep) -> SweptMetric | None:
    students = {sheet.name(own): own for own in sheet.of("student")}
    columns = {name: students[name] for name in sweep.values if name in students}
    if len(columns) < 2:  # too few of its students have scores
        return None
    reference = students.get(sweep.reference) if sweep.reference is not None else None
    points = tuple(
        SweepPoint(sweep.values[name], name, sheet.estimate(own), sheet.gain(own, reference))
        for name, own in columns.items()
    )
    best, last = max(columns, key=lambda name: sheet.mean(columns[name])), list(columns)[-1]
    fall = sheet.gain(columns[last], columns[best])
    falls = fall is not None and -fall.value > NO_SPREAD
    return SweptMetric(metric, points, pays_from(points), sweep.values[best], fall if falls else None)


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
    floors = [("best", metric.best_supervisor, student.against_best)]
    floors += [("mean", None, student.against_mean)] * several
    combined = max(metric.of("combined"), key=lambda line: line.score.value, default=None)
    floors += [("combined", combined.name, student.against_combined)] if combined else []
    for floor, supervisor, gap in floors:
        if gap is None:
            continue
        about = {"best_of_several": several, "floor": floor}
        if gap.pgr is None:
            yield "pgr.undefined", "caution", supervisor, about | {"reason": gap.reason}
        elif gap.reason is not None:
            yield "pgr.no_interval", "caution", supervisor, about | {"reason": gap.reason}


def _on_scores(metric: MetricSummary) -> _Found:
    if metric.chance is None and all(line.score.value == 0 for line in metric.lines):
        yield "score.all_zero", "warning", None, {"name": metric.metric}
    for line in metric.lines:
        # The untouched model with a new head guesses by construction, so its score is not worth a note.
        if metric.chance is None or line.role == "base":
            continue
        values = {"role": _TITLES.get(line.role, line.role), "score": _numbers(line.score), "chance": metric.chance}
        if line.score.value <= metric.chance:
            yield "score.at_chance", "caution" if line.role == "supervisor" else "warning", line.name, values
        elif line.score.ends[0] <= metric.chance:
            yield "score.near_chance", "caution", line.name, values
    for line in metric.of("student"):
        gain = line.gain_over_base
        if gain is not None and gain.sign < 0:
            yield "score.below_base", "warning", line.name, {"gain": _numbers(gain)}
    if metric.best_supervisor_doubt >= _LEAST_DOUBT:
        yield "best.picked_on_test", "caution", metric.best_supervisor, {"p": metric.best_supervisor_doubt}
    if metric.examples < _ENOUGH_EXAMPLES:
        yield "test.few_examples", "caution", None, {"examples": metric.examples}


def _numbers(estimate: Estimate) -> list[float]:
    return [estimate.value, *(estimate.interval or ())]
