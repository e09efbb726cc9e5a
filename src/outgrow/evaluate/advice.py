"""Advice on a run: can the task be learned, keep the base or not, which method, how many gold rows PGR needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from outgrow.evaluate.intervals import aligned_scores
from outgrow.evaluate.summary import Line, MetricSummary, ModelScores, Summary
from outgrow.evaluate.variance import mean_scores, rows_for_width
from outgrow.labels.notes import Note

WIDTH = 0.5
"""Wanted width of the 95 % interval of PGR: ±.25."""
ENOUGH_GOLD = 100
"""Validation rows with which the order of the methods was measured."""
_GAPS = (0.05, 0.1, 0.2)
"""Distances of ceiling and floor to plan for where no ceiling is known."""
_Z = 1.959964


def method_note(*, texts: bool, choices: int = 0, by_row: bool = False, gold: int = 0) -> Note:
    """Return which method to start with (`advice.method`), by what docs/choosing.md has measured.

    `texts` says that the task has no choices, `by_row` that every row has its own, `gold` counts the gold rows that the
    combiner may use.
    """
    start = "texts" if texts else "naive" if by_row else "validated" if gold >= ENOUGH_GOLD else "in_the_loop"
    return Note("advice.method", values={"start": start, "choices": choices, "gold": gold})


def rows_by_bound(floor: float, gap: float, width: float) -> int | None:
    """Return how many test rows make the interval of PGR at most `width` wide; None where the ceiling is above 1.

    With the accuracy s of a student between floor and ceiling, the variance of student − (1 − r)·floor − r·ceiling at
    r = PGR is at most 2(1 − s), whatever answers the models share: the square of a mean of differences is at most the
    mean of their squares, and answers of two models differ in being right on at most the sum of their error rates. The
    student is taken to be half-way. One seed; seeds add to it.

    Example:
        >>> rows_by_bound(0.7, 0.1, 0.5), rows_by_bound(0.7, 0.2, 0.5), rows_by_bound(0.95, 0.1, 0.5)
        (3074, 615, None)
    """
    if floor + gap > 1:
        return None
    return int(np.ceil((2 * _Z / width) ** 2 * 2 * (1 - floor - gap / 2) / gap**2 - 1e-9))


def run_advice(
    summary: Summary,
    models: Sequence[ModelScores],
    provenance: Mapping[str, Any],
    notes: Sequence[Note],
    votes: Sequence[Note] = (),
    *,
    width: float = WIDTH,
) -> list[Note]:
    """Return the advice of a run; for `provenance` see `outgrow.results.Results`.

    Args:
        summary: Means, gaps and gains of all models.
        models: Their scores.
        provenance: `choices`, `sizes` and `refinement` are used.
        notes: Notes on the run.
        votes: `outgrow.combine.advice.votes_advice` on the votes of the unlabelled rows.
        width: Wanted width of the interval of PGR.
    """
    found, gold = list(votes), gold_note(summary, models, votes, width)
    if "choices" not in provenance:  # results that no experiment made
        return [*found, gold]
    choices, validation = provenance["choices"] or {"names": (), "by_row": False}, provenance["sizes"]["validation"]
    texts, by_row = not choices["names"], choices["by_row"]
    tried = _best(summary.metrics[0], "student") if summary.metrics else None
    if texts:
        found.append(_base(summary, provenance.get("refinement") or ()))
    elif not by_row:
        found.append(_learnable(summary, notes))
    method = method_note(texts=texts, choices=len(choices["names"]), by_row=by_row, gold=validation)
    best = {"best": tried.name, "score": tried.score.value} if tried else {}
    return [*found, replace(method, values={**method.values, **best}), gold]


def gold_note(
    summary: Summary | None, models: Sequence[ModelScores], votes: Sequence[Note], width: float = WIDTH
) -> Note:
    """Return how many test rows PGR needs (`advice.gold`), from variance components, or from a bound without scores."""
    for metric in summary.metrics if summary else ():
        student, ceiling = _best(metric, "student"), _best(metric, "ceiling")
        if student is None or ceiling is None or metric.best_supervisor is None:
            continue
        three = {("student", student.name), ("ceiling", ceiling.name), ("supervisor", metric.best_supervisor)}
        used = {each.role: each for each in models if (each.role, each.name) in three}
        if any(metric.metric in each.weights for each in used.values()):
            continue
        arrays = aligned_scores({role: each.scores[metric.metric] for role, each in used.items()})
        scores = mean_scores([arrays["supervisor"], arrays["student"], arrays["ceiling"]])
        gap = student.against_best
        values = {
            "metric": metric.metric,
            "student": student.name,
            "floor": metric.best_supervisor,
            "pgr": [gap.pgr, *gap.pgr_interval] if gap and gap.pgr_interval else None,
            "gap": float(scores.means[2] - scores.means[0]),
            "rows": metric.examples,
            "seeds": scores.seeds,
            "width": width,
            "needed": rows_for_width(scores, [-1, 1, 0], [-1, 0, 1], width),
        }
        return Note("advice.gold", values=values)
    expected = next((note.values["expected"] for note in votes if note.code == "advice.votes"), None)
    known = _best(summary.metrics[0], "supervisor") if summary and summary.metrics else None
    floor, source = (known.score.value, "the best supervisor") if known else (0.5, "not known")
    if expected is not None:
        floor, source = expected, "the combined votes"
    bound = {f"{gap:.2f}": rows_by_bound(floor, gap, width) for gap in _GAPS}
    return Note("advice.gold", values={"floor": floor, "width": width, "bound": bound, "source": source})


def _best(metric: MetricSummary, role: Any) -> Line | None:
    return max(metric.of(role), key=lambda line: line.score.value, default=None)


def _learnable(summary: Summary, notes: Sequence[Note]) -> Note:
    """By κ of a cross-fitted student; else by test rows on which the votes are far better than any student."""
    found = next((note for note in notes if note.code == "refined.agreement"), None)
    if found is None:
        best = [_best(metric, role) for metric in summary.metrics[:1] for role in ("student", "combined")]
        student, combined = best or (None, None)
        if student is None or combined is None or student.score.ends[1] >= combined.score.ends[0]:
            return Note("advice.learnable", values={"kappa": None})
        scores = {"student": student.score.value, "combined": combined.score.value}
        return Note("advice.learnable", "caution", values={"kappa": None, **scores})
    beyond = found.values["kappa"] > 2 * found.values["error"]
    return Note("advice.learnable", "info" if beyond else "caution", values={**found.values, "beyond": beyond})


def _base(summary: Summary, audits: Sequence[Mapping[str, Any]]) -> Note:
    """Whether the untouched strong model knows more than its supervisors, by test scores or else an audit."""
    for metric in summary.metrics:
        base, student = _best(metric, "base"), _best(metric, "student")
        weak = next((line for line in metric.of("supervisor") if line.name == metric.best_supervisor), None)
        if metric.metric == "concept" or base is None or weak is None:
            continue
        gain = student.gain_over_base if student else None
        low, high = base.score.ends[0], weak.score.ends[1]
        verdict = "keep" if gain and gain.sign < 0 else "refine" if low > high else "train"
        values = {
            "verdict": verdict, "metric": metric.metric, "base": base.score.value, "weak": weak.score.value,
            "student": student.name if student else None, "gain": [gain.value, *gain.ends] if gain else None,
        }  # fmt: skip
        return Note("advice.base", "caution" if verdict == "keep" else "info", values=values)
    for audit in audits:
        scores = {metric: own for metric, own in audit["scores"].items() if metric != "concept" and "base" in own}
        for metric, own in scores.items():
            verdict = "refine" if metric in (audit.get("known") or ()) else "train"
            values = {"verdict": verdict, "metric": metric, "base": own["base"], "weak": own["weak"]}
            return Note("advice.base", values=values | {"sample": audit["sample"]})
    return Note("advice.base", values={"verdict": "unknown"})
