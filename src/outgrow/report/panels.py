"""Small multiples of calibration: a panel per model, all with the same axes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from outgrow.evaluate.calibration import Bin
from outgrow.evaluate.summary import CalibrationLine, Role
from outgrow.evaluate.wording import number_text
from outgrow.report.canvas import COLORS, MARKERS, WIDTH, bare_axes, drawing, shortened, svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLUMNS = 3
_SIDE, _GAP, _MARGIN = 116.0, 26.0, 40.0
"""Points: side of a panel, distance to the next, and the space for labels on the left."""
_HEAD, _FOOT, _LABEL = 20.0, 22.0, 16.0
"""Points above a panel for its title, below for its ticks, and below the last one for what they mean."""
_TALLEST = 0.25
"""Height of the longest bar of the histogram, as a share of the panel."""


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

    frame = _Frame((left - 0.04, 1.04), (-0.02, 1.04), "confidence", "accuracy")
    return _panels(lines, draw, frame, prefix)


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

    frame = _Frame((-0.03, 1.03), (-0.02 * top, top), "share with less vacuity", "error rate")
    return _panels(lines, draw, frame, prefix)


@dataclass(frozen=True)
class _Frame:
    """Axes shared by all panels."""

    x_limits: tuple[float, float]
    y_limits: tuple[float, float]
    x_label: str
    y_label: str


def _panels(
    lines: Sequence[CalibrationLine], draw: Callable[[Axes, CalibrationLine], None], frame: _Frame, prefix: str
) -> str:
    from matplotlib.figure import Figure

    height = math.ceil(len(lines) / _COLUMNS) * (_HEAD + _SIDE + _FOOT) + _LABEL
    with drawing():
        figure = Figure(figsize=(WIDTH, height / 72))
        for index, line in enumerate(lines):
            row, column = divmod(index, _COLUMNS)
            left, top = _MARGIN + column * (_SIDE + _GAP), _HEAD + row * (_HEAD + _SIDE + _FOOT)
            axes = bare_axes(figure, left, top, _SIDE, _SIDE)
            axes.set_xlim(*frame.x_limits)
            axes.set_ylim(*frame.y_limits)
            axes.grid(color=COLORS["line"], linewidth=0.6)
            axes.set_axisbelow(True)
            axes.locator_params(nbins=4)
            axes.tick_params(labelsize=8.5, labelleft=column == 0)
            axes.set_title(shortened(line.name), fontsize=9.5, loc="left", color=COLORS[line.role], pad=5)
            if column == 0:
                axes.set_ylabel(frame.y_label, fontsize=9, color=COLORS["ink"])
            if index + _COLUMNS >= len(lines):
                axes.set_xlabel(frame.x_label, fontsize=9)
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
