"""Sweeps in tables and reports: from which number on they pay, a table, and figures."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from outgrow.evaluate.intervals import NO_SPREAD
from outgrow.evaluate.summary import Summary, SweepPoint, SweepSummary, SweptMetric
from outgrow.evaluate.wording import number_text
from outgrow.report.plots import sweep_plot
from outgrow.report.words import estimate_cell, typeset

_SUBJECTS = {
    "combine": "the combination",
    "filter": "the filter",
    "objective": "the objective",
    "prefer": "the preference stage",
    "refine": "refinement",
}
"""Names of the parts of a method in a sentence."""


def sweep_sentences(summary: Summary) -> tuple[str, ...]:
    """Return a sentence per sweep and metric: from which number on students beat the reference, and the curve's shape.

    A student is better where the 95 % interval of the paired difference lies above 0.
    """
    return tuple(_sentences(sweep, swept) for sweep in summary.sweeps for swept in sweep.metrics)


def _sentences(sweep: SweepSummary, swept: SweptMetric) -> str:
    part, key = sweep.setting.partition(".")[0], sweep.setting.rpartition(".")[2]
    verdict = _verdict(_SUBJECTS.get(part, f"`{part}`"), key, f"over “{sweep.reference}”", swept)
    return f"On {swept.metric}, {verdict}. {_shape(swept)}."


def _verdict(what: str, key: str, against: str, swept: SweptMetric) -> str:
    points = swept.points
    first, last = points[0], points[-1]
    tested = f"{key} = {first.value:g} to {last.value:g}"
    better = [point for point in points if point.sign > 0]
    if first.gain is None:
        return f"it cannot be said whether {what} pays ({tested}): no other method goes without it"
    if len(better) == len(points):
        ends = f"{_gain(first)} {against} at {first.value:g}, {_gain(last)} at {last.value:g}"
        return f"{what} pays at every value tested ({tested}): {ends}"
    if swept.pays_from is not None:
        start = next(point for point in points if point.value == swept.pays_from)
        place = f"{key} = {start.value:g}"
        where = f"from {place} on" if start is not last else f"at {place} only, the largest value tested"
        before = [point for point in points if point.value < start.value]
        return f"{what} pays {where}: {_gain(start)} {against}; {_told(before)}"
    if better:
        values = ", ".join(f"{point.value:g}" for point in better)
        rest = [point for point in points if point.sign <= 0]
        return f"{what} pays at {key} = {values}, but not from any value on; {_told(rest)}"
    most = max(points, key=lambda point: point.gain.value if point.gain else 0.0)
    worse = [point for point in points if point.sign < 0 and point is not most]
    verdict = f"{what} pays nowhere ({tested}): the largest gain {against} is {_gain(most)}, at {most.value:g}"
    return f"{verdict}; {_told(worse)}" if worse else verdict


def _told(points: Sequence[SweepPoint]) -> str:
    words = {1: "better", -1: "worse", 0: "not told apart"}
    return ", ".join(f"at {each.value:g} {words[each.sign]} ({_gain(each)})" for each in points)


def _gain(point: SweepPoint) -> str:
    return "" if point.gain is None else point.gain.text(signed=True)


def _shape(swept: SweptMetric) -> str:
    steps = [after.score.value - before.score.value for before, after in pairwise(swept.points)]
    if all(abs(step) <= NO_SPREAD for step in steps):
        return "The mean is the same at every value"
    if all(step > -NO_SPREAD for step in steps):
        return "The mean never falls as the number grows"
    highest = next(point for point in swept.points if point.value == swept.best)
    course = "never rises" if all(step < NO_SPREAD for step in steps) else "neither rises nor falls throughout"
    top = f"it is highest at {highest.value:g} ({number_text(highest.score.value)})"
    text = f"As the number grows the mean {course}: {top}"
    if swept.fall is None:
        return text
    fall = swept.fall.text(signed=True)
    doubt = "" if swept.fall.sign < 0 else ", which may be chance"
    return f"{text}, and the change from there to {swept.points[-1].value:g} is {fall}{doubt}"


def sweep_section(summary: Summary, sweep: SweepSummary, prefix: str) -> dict[str, Any]:
    """Return the values of the template, with `prefix` in the ids of the figures."""
    from markupsafe import Markup

    about = {metric.metric: metric for metric in summary.metrics}
    key = sweep.setting.rpartition(".")[2]
    points = {point.name: point.value for swept in sweep.metrics for point in swept.points}
    gains = sweep.reference is not None
    return {
        "setting": sweep.setting,
        "key": key,
        "reference": sweep.reference,
        "columns": [
            title
            for swept in sweep.metrics
            for title in (swept.metric, f"{swept.metric} − {sweep.reference}’s")[: 1 + gains]
        ],
        "rows": [
            {"value": f"{value:g}", "name": name, "cells": _cells(sweep, name, gains=gains)}
            for name, value in sorted(points.items(), key=lambda each: each[1])
        ],
        "sentences": [typeset(_sentences(sweep, swept)) for swept in sweep.metrics],
        "figures": [
            {
                "metric": swept.metric,
                # Written by matplotlib, which escapes the text in it.
                "plot": Markup(sweep_plot(about[swept.metric], swept, sweep, f"{prefix}-{index}")),
                "alternative": "; ".join(f"at {point.value:g} {point.score.text()}" for point in swept.points),
            }
            for index, swept in enumerate(sweep.metrics)
        ],
    }


def _cells(sweep: SweepSummary, name: str, *, gains: bool) -> list[tuple[str, str]]:
    cells = []
    for swept in sweep.metrics:
        point = next((point for point in swept.points if point.name == name), None)
        estimates = [(point.score, False), (point.gain, True)] if point else [(None, False)] * 2
        cells += [estimate_cell(*each) for each in estimates[: 1 + gains]]
    return cells
