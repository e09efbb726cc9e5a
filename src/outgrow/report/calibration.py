"""The section of the report on calibration: a table, sentences, and figures with a panel per model."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from outgrow.evaluate.calibration import BINS, PROBABILITY_FLOOR, Bin
from outgrow.evaluate.summary import CalibrationLine, CalibrationSummary, Estimate, Role
from outgrow.evaluate.wording import number_text, share_text
from outgrow.report.canvas import COLORS, MARKERS, WIDTH, bare_axes, drawing, shortened, svg
from outgrow.report.words import ORDER, estimate_cell, typeset

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_NAMED = 8
"""Names in a sentence; the table has them all."""
_CHANCE_AUROC = 0.5

_COLUMNS = 3
_SIDE, _GAP, _MARGIN = 116.0, 26.0, 40.0
"""Points: side of a panel, distance to the next, and the space for labels on the left."""
_HEAD, _FOOT, _LABEL = 20.0, 22.0, 16.0
"""Points above a panel for its title, below for its ticks, and below the last one for what they mean."""
_TALLEST = 0.25
"""Height of the longest bar of the histogram, as a share of the panel."""


def calibration_section(calibration: CalibrationSummary, hidden: Container[str] = ()) -> dict[str, Any]:
    """Return the values of the template, without rows of `hidden` supervisors; only figures are marked as safe."""
    from markupsafe import Markup

    lines = [line for role in ORDER for line in calibration.lines if line.role == role]
    shown = [line for line in lines if line.role in ("student", "ceiling")]
    evidential = [line for line in shown if line.vacuity]
    against = next((line.against for line in lines if line.against), None)
    return {
        "bins": BINS,
        "against": against,
        "rows": [
            {"name": line.name, "role": line.role, "cells": [estimate_cell(*each) for each in _numbers(line, against)]}
            for line in lines
            if line.role != "supervisor" or line.name not in hidden
        ],
        "sentences": [typeset(text) for text in calibration_sentences(calibration)],
        "reliability": Markup(reliability_diagram(shown, "reliability")) if shown else None,
        "vacuity": Markup(vacuity_plot(evidential, "vacuity")) if evidential else None,
        "names": ", ".join(line.name for line in shown),
        "evidential": ", ".join(line.name for line in evidential),
    }


def _numbers(line: CalibrationLine, against: str | None) -> Iterator[tuple[Estimate | None, bool]]:
    # Each number of a row, and whether it is a difference.
    yield line.error, False
    if against is not None:
        yield line.error_change, True
    yield line.overconfidence, True
    yield line.brier, False
    yield line.nll, False


def calibration_sentences(calibration: CalibrationSummary) -> tuple[str, ...]:
    """Return which students are over- or underconfident or better calibrated, and whose vacuity detects errors.

    Differences whose interval holds zero are reported as not shown.
    """
    trained = [line for line in calibration.lines if line.role in ("student", "ceiling")]
    clipped = [line for line in calibration.lines if line.impossible]
    return (*_about_confidence(trained), *_about_changes(trained), *_about_vacuity(trained), *_about_nll(clipped))


def _about_confidence(lines: Sequence[CalibrationLine]) -> Iterator[str]:
    over, under, neither = _by_sign([(line, line.overconfidence) for line in lines])
    if over:
        yield f"Overconfident (mean confidence above accuracy): {_named(over, by='by ')}."
    if under:
        ends = [(line, own.value, own.interval or (0.0, 0.0)) for line, own in under]
        shortfall = [(line, Estimate(-value, (-high, -low))) for line, value, (low, high) in ends]
        yield f"Underconfident (mean confidence below accuracy): {_named(shortfall, by='by ')}."
    if neither:
        yield f"Neither over- nor underconfidence is shown on these examples: {_named(neither)}."


def _about_changes(lines: Sequence[CalibrationLine]) -> Iterator[str]:
    changes = [(line, line.error_change) for line in lines if line.error_change]
    against = next((line.against for line in lines if line.against), None)
    worse, better, neither = _by_sign(changes)
    for found, verdict in ((better, "Better calibrated than"), (worse, "Worse calibrated than")):
        if found:
            yield f"{verdict} “{against}”, by the calibration error: {_named(found)}."
    if neither:
        yield f"Not to be told from “{against}” by the calibration error: {_named(neither)}."


def _about_vacuity(lines: Sequence[CalibrationLine]) -> Iterator[str]:
    found = [(line, line.vacuity.detection) for line in lines if line.vacuity and line.vacuity.detection]
    verdicts = ("detects errors", "is higher for right answers than for errors", "is not shown to detect errors")
    for part, verdict in zip(_by_sign(found, middle=_CHANCE_AUROC), verdicts, strict=True):
        if part:
            yield f"Vacuity {verdict}: {'; '.join(_areas(line) for line, _ in part)}."


def _areas(line: CalibrationLine) -> str:
    areas = (line.vacuity.detection, line.vacuity.confidence_detection) if line.vacuity else ()
    return f"{_who(line)}, AUROC " + ", of confidence ".join(each.text() for each in areas if each)


def _about_nll(lines: Sequence[CalibrationLine]) -> Iterator[str]:
    if lines:
        named = ", ".join(f"{_who(line)} ({share_text(line.impossible)})" for line in lines[:_MOST_NAMED])
        more = f" and {len(lines) - _MOST_NAMED} more" if len(lines) > _MOST_NAMED else ""
        yield (
            f"Some right answers have a probability below {PROBABILITY_FLOOR:g}. It is clipped there, which makes up "
            f"much of the NLL of {named}{more}."
        )


_Found = tuple[CalibrationLine, Estimate]


def _by_sign(found: Sequence[_Found], *, middle: float = 0.0) -> tuple[list[_Found], list[_Found], list[_Found]]:
    # Those whose interval lies above the middle, below it, and around it; those without an interval are the last.
    parts: tuple[list[_Found], list[_Found], list[_Found]] = [], [], []
    for each in found:
        low, high = each[1].interval or (middle, middle)
        parts[0 if low > middle else 1 if high < middle else 2].append(each)
    return parts


def _named(found: Sequence[_Found], *, by: str = "") -> str:
    order = sorted(found, key=lambda each: -abs(each[1].value))
    shown = [f"{_who(line)} ({by}{own.text(signed=not by)})" for line, own in order[:_MOST_NAMED]]
    return ", ".join(shown) + (f" and {len(order) - _MOST_NAMED} more" if len(order) > _MOST_NAMED else "")


def _who(line: CalibrationLine) -> str:
    return "the ceiling" if line.role == "ceiling" else f"“{line.name}”"


def reliability_diagram(lines: Sequence[CalibrationLine], prefix: str) -> str:
    """Return an SVG of accuracy against confidence for each model, with a histogram of the confidences.

    Source:
        DeGroot & Fienberg 1983; Guo et al. 2017.
    """
    left = min(0.5, *(each.level for line in lines for each in line.bins))

    def draw(axes: Axes, line: CalibrationLine) -> None:
        axes.plot([left, 1], [left, 1], color=COLORS["faint"], linewidth=1, zorder=1)
        _histogram(axes, line.bins)
        _rates(axes, [each.level for each in line.bins], line.bins, line.role)

    return _panels(lines, draw, ("confidence", left - 0.04, 1.04), ("accuracy", -0.02, 1.04), prefix)


def vacuity_plot(lines: Sequence[CalibrationLine], prefix: str) -> str:
    """Return an SVG of error rates by deciles of vacuity; all models must have it."""
    about = {line.name: line.vacuity for line in lines if line.vacuity is not None}
    top = 1.06 * max(each.interval[1] for vacuity in about.values() for each in vacuity.bins)

    def draw(axes: Axes, line: CalibrationLine) -> None:
        vacuity = about[line.name]
        counts = np.array([each.count for each in vacuity.bins])
        shares = counts / counts.sum()
        axes.axhline(shares @ [each.rate for each in vacuity.bins], color=COLORS["faint"], linewidth=1, zorder=1)
        # At the centre of each bin's answers: ties make some bins wider than others.
        _rates(axes, list(np.cumsum(shares) - shares / 2), vacuity.bins, line.role)
        if vacuity.detection is not None:
            area = f"AUROC {number_text(vacuity.detection.value, decimals=2)}"
            axes.text(0.04, 0.9, area, transform=axes.transAxes, fontsize=8.5, color=COLORS["ink"])

    x, y = ("share with less vacuity", -0.03, 1.03), ("error rate", -0.02 * top, top)
    return _panels(lines, draw, x, y, prefix)


_Axis = tuple[str, float, float]
"""Label, lower and upper end."""


def _panels(
    lines: Sequence[CalibrationLine], draw: Callable[[Axes, CalibrationLine], None], x: _Axis, y: _Axis, prefix: str
) -> str:
    from matplotlib.figure import Figure

    height = math.ceil(len(lines) / _COLUMNS) * (_HEAD + _SIDE + _FOOT) + _LABEL
    with drawing():
        figure = Figure(figsize=(WIDTH, height / 72))
        for index, line in enumerate(lines):
            row, column = divmod(index, _COLUMNS)
            left, top = _MARGIN + column * (_SIDE + _GAP), _HEAD + row * (_HEAD + _SIDE + _FOOT)
            axes = bare_axes(figure, left, top, _SIDE, _SIDE)
            axes.set_xlim(*x[1:])
            axes.set_ylim(*y[1:])
            axes.grid(color=COLORS["line"], linewidth=0.6)
            axes.set_axisbelow(True)
            axes.locator_params(nbins=4)
            axes.tick_params(labelsize=8.5, labelleft=column == 0)
            axes.set_title(shortened(line.name), fontsize=9.5, loc="left", color=COLORS[line.role], pad=5)
            if column == 0:
                axes.set_ylabel(y[0], fontsize=9, color=COLORS["ink"])
            if index + _COLUMNS >= len(lines):
                axes.set_xlabel(x[0], fontsize=9)
            draw(axes, line)
        return svg(figure, prefix)


def _rates(axes: Axes, places: Sequence[float], bins: Sequence[Bin], role: Role) -> None:
    color = COLORS[role]
    for place, each in zip(places, bins, strict=True):
        axes.vlines(place, *each.interval, color=color, linewidth=1.2, zorder=2)
    rates = [each.rate for each in bins]
    axes.plot(places, rates, MARKERS[role] + "-", color=color, markersize=3.8, linewidth=0.9, zorder=3)


def _histogram(axes: Axes, bins: Sequence[Bin]) -> None:
    bottom, top = axes.get_ylim()
    most = max(each.count for each in bins)
    for each in bins:
        height = _TALLEST * (top - bottom) * each.count / most
        axes.bar(each.level, height, 0.03, bottom, color=COLORS["line"], zorder=0.5)
