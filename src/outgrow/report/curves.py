"""Figures of sweeps: scores of students against the one number that tells their methods apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from outgrow.evaluate.summary import Estimate, Line, MetricSummary, SweepSummary, SweptMetric
from outgrow.evaluate.wording import Interval
from outgrow.report.canvas import CHARACTER, COLORS, MARKERS, WIDTH, drawing, new_figure, shortened, svg
from outgrow.report.placement import spread_apart

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_HEIGHT, _LEFT, _TOP, _FOOT = 190.0, 52.0, 10.0, 40.0
"""Points: height of the plot, room for the numbers on the left, above it, and for the numbers and their name below."""
_LINE = 12.0
"""Height of a label in points."""
_RATIO = 8.0
"""From this ratio of the largest to the smallest number on they stand on a logarithmic axis."""
_DASHES = {"base": (0, (1, 1.5)), "ceiling": (0, (6, 2, 1, 2)), "student": (0, (5, 2))}


def sweep_plot(metric: MetricSummary, swept: SweptMetric, sweep: SweepSummary, prefix: str) -> str:
    """Mean scores with 95 % intervals against the number, and lines at reference, base and ceiling.

    Args:
        metric: All models on the metric.
        swept: The sweep on it.
        sweep: The sweep as a whole.
        prefix: Put before every id in the SVG, so that several fit into one page.

    Returns:
        An `<svg>` element, the same for the same input.
    """
    references = _references(metric, sweep.reference)
    right = 14 + CHARACTER * max((len(shortened(line.name)) for line in references), default=0)
    values = [point.value for point in swept.points]
    ends = [_ends(each) for each in (*(point.score for point in swept.points), *(line.score for line in references))]
    low, high = min(end for end, _ in ends), max(end for _, end in ends)
    margin = 0.06 * (high - low) or 0.05
    with drawing():
        height = _TOP + _HEIGHT + _FOOT
        figure, axes = new_figure(height, _LEFT, _TOP, 72 * WIDTH - _LEFT - right, _HEIGHT)
        if values[0] > 0 and values[-1] >= _RATIO * values[0]:
            axes.set_xscale("log")
            axes.minorticks_off()
        axes.set_xticks(values, [f"{value:g}" for value in values])
        axes.set_ylim(low - margin, high + margin)
        axes.grid(axis="y", color=COLORS["line"], linewidth=0.6)
        axes.set_axisbelow(True)
        for line in references:
            color = COLORS[line.role]
            axes.axhline(line.score.value, color=color, linestyle=_DASHES[line.role], linewidth=1.1, zorder=1)
            if line.role == "student":
                axes.axhspan(*_ends(line.score), color=color, alpha=0.12, linewidth=0, zorder=0.5)
        _name(axes, references)
        color = COLORS["student"]
        for point in swept.points:
            axes.vlines(point.value, *_ends(point.score), color=color, linewidth=2.2, zorder=2)
        means = [point.score.value for point in swept.points]
        axes.plot(values, means, MARKERS["student"] + "-", color=color, markersize=7, linewidth=0.9, zorder=3)
        axes.set_xlabel(sweep.setting)
        axes.set_ylabel(shortened(metric.metric), color=COLORS["ink"])
        return svg(figure, prefix)


def _references(metric: MetricSummary, reference: str | None) -> list[Line]:
    """Ceiling, base and the student to compare with, where they are there."""
    students = [line for line in metric.of("student") if line.name == reference]
    return [*metric.of("ceiling"), *metric.of("base"), *students]


def _ends(estimate: Estimate) -> Interval:
    """Ends of the interval, or the value twice where there is none."""
    return estimate.interval or (estimate.value, estimate.value)


def _name(axes: Axes, references: Sequence[Line]) -> None:
    """Writes names behind the right ends of their lines, none over another."""
    bottom, top = axes.get_ylim()
    scale = _HEIGHT / (top - bottom)
    heights = spread_apart([scale * (line.score.value - bottom) for line in references], _LINE, _HEIGHT)
    for line, height in zip(references, heights, strict=True):
        axes.annotate(
            shortened(line.name),
            (1.0, height / _HEIGHT),
            xycoords="axes fraction",
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
            color=COLORS[line.role],
        )
