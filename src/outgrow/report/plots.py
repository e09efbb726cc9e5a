"""Figures of scores: all models on one metric, two metrics against each other, and sweeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from outgrow.evaluate.summary import Line, MetricSummary, SweepSummary, SweptMetric
from outgrow.report.canvas import (
    CHARACTER,
    COLORS,
    MARKERS,
    WIDTH,
    Box,
    drawing,
    new_figure,
    place_labels,
    shortened,
    spread_apart,
    stack_levels,
    svg,
)
from outgrow.report.words import MEAN_SUPERVISOR, ordered_lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DASHES = {"base": (0, (1, 1.5)), "ceiling": (0, (6, 2, 1, 2)), "faint": (0, (1, 3))}
_DASHES |= dict.fromkeys(("supervisor", "combined", "student"), (0, (5, 2)))
_FAR = 10.0
"""Points from which on a line connects a label with its mark."""
_ROW, _LEVEL = 21.0, 13.0
"""Height in points of a row of the dot plot, and of a level of labels above it."""
_SWEEP_HEIGHT, _SWEEP_LEFT, _SWEEP_TOP, _SWEEP_FOOT = 190.0, 52.0, 10.0, 40.0
"""Points: height of a sweep's plot, and the room on its left, above it and below it."""
_LABEL = 12.0
"""Height of a label in points."""
_LOG_RATIO = 8.0
"""From this ratio of the largest to the smallest number on the axis of a sweep is logarithmic."""


def dot_plot(metric: MetricSummary, prefix: str) -> str:
    """Return an SVG with a row per model: mean score and interval, with lines at floor, base, ceiling and chance.

    Here and below, `prefix` stands before every id, so that several figures fit into one page.
    """
    lines = ordered_lines(metric)
    left, right = _limits(lines, chance=metric.chance)
    references = _references(metric, left, right)
    margin = 12 + CHARACTER * max(len(shortened(line.name)) for line in lines)
    plot_width = 72 * WIDTH - margin - 12
    boxes = [((value - left) / (right - left) * plot_width, CHARACTER * len(label)) for value, label, _ in references]
    levels = stack_levels(boxes)
    top = 6 + _LEVEL * (max(levels, default=-1) + 1)
    height = top + _ROW * len(lines) + 40
    with drawing():
        figure, axes = new_figure(height, margin, top, plot_width, _ROW * len(lines))
        for (value, label, color), level in zip(references, levels, strict=True):
            axes.axvline(value, color=COLORS[color], linestyle=_DASHES[color], linewidth=1.1, zorder=1)
            _reference_label(axes, value, label, color, level, near_end=value > left + 0.75 * (right - left))
        for row, line in enumerate(lines):
            _dot(axes, line, row)
        axes.set_xlim(left, right)
        axes.set_ylim(len(lines) - 0.5, -0.5)
        axes.set_yticks(range(len(lines)), [shortened(line.name) for line in lines])
        axes.set_xlabel(shortened(metric.metric))
        return svg(figure, prefix)


def plane(first: MetricSummary, second: MetricSummary, prefix: str) -> str:
    """Return an SVG with a cross of 95 % intervals per model that has both metrics, the first one horizontal."""
    others = {(line.role, line.name): line for line in second.lines}
    pairs = [(line, others[line.role, line.name]) for line in first.lines if (line.role, line.name) in others]
    size, margin = 300.0, 52.0
    with drawing():
        figure, axes = new_figure(size + 52, margin, 10, 72 * WIDTH - margin - 12, size)
        axes.set_xlim(*_limits([x for x, _ in pairs], air=0.1))
        axes.set_ylim(*_limits([y for _, y in pairs], air=0.1))
        for x, y in pairs:
            _cross(axes, x, y)
        _name_points(axes, pairs)
        axes.grid(color=COLORS["line"], linewidth=0.6)
        axes.set_axisbelow(True)
        axes.set_xlabel(shortened(first.metric))
        axes.set_ylabel(shortened(second.metric), color=COLORS["ink"])
        axes.spines["left"].set_visible(True)
        return svg(figure, prefix)


def sweep_plot(metric: MetricSummary, swept: SweptMetric, sweep: SweepSummary, prefix: str) -> str:
    """Return an SVG of mean scores against the swept number, with lines at reference, base and ceiling."""
    students = [line for line in metric.of("student") if line.name == sweep.reference]
    references = [*metric.of("ceiling"), *metric.of("base"), *students]
    right = 14 + CHARACTER * max((len(shortened(line.name)) for line in references), default=0)
    values = [point.value for point in swept.points]
    ends = [each.ends for each in (*(point.score for point in swept.points), *(line.score for line in references))]
    low, high = min(end for end, _ in ends), max(end for _, end in ends)
    margin = 0.06 * (high - low) or 0.05
    with drawing():
        height = _SWEEP_TOP + _SWEEP_HEIGHT + _SWEEP_FOOT
        figure, axes = new_figure(height, _SWEEP_LEFT, _SWEEP_TOP, 72 * WIDTH - _SWEEP_LEFT - right, _SWEEP_HEIGHT)
        if values[0] > 0 and values[-1] >= _LOG_RATIO * values[0]:
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
                axes.axhspan(*line.score.ends, color=color, alpha=0.12, linewidth=0, zorder=0.5)
        _name_lines(axes, references)
        color = COLORS["student"]
        for point in swept.points:
            axes.vlines(point.value, *point.score.ends, color=color, linewidth=2.2, zorder=2)
        means = [point.score.value for point in swept.points]
        axes.plot(values, means, MARKERS["student"] + "-", color=color, markersize=7, linewidth=0.9, zorder=3)
        axes.set_xlabel(sweep.setting)
        axes.set_ylabel(shortened(metric.metric), color=COLORS["ink"])
        return svg(figure, prefix)


def _references(metric: MetricSummary, left: float, right: float) -> list[tuple[float, str, str]]:
    # Value, label and colour of the vertical lines, from left to right.
    found: list[tuple[float, str, str]] = [
        (line.score.value, line.role, line.role) for line in (*metric.of("base"), *metric.of("ceiling"))
    ]
    supervisors, combined = metric.of("supervisor"), metric.of("combined")
    label = "best supervisor" if len(supervisors) > 1 else "supervisor"
    found += [(line.score.value, label, line.role) for line in supervisors if line.name == metric.best_supervisor]
    found += [(max(line.score.value for line in combined), "combined", "combined")] if combined else []
    if metric.chance is not None and left <= metric.chance <= right:
        found.append((metric.chance, "chance", "faint"))
    return sorted(found)


def _limits(lines: Sequence[Line], *, air: float = 0.06, chance: float | None = None) -> tuple[float, float]:
    # All intervals with a share of air; chance too, unless that would squeeze the rest.
    ends = [end for line in lines for end in line.score.ends]
    low, high = min(ends), max(ends)
    if chance is not None and low - (high - low) / 2 <= chance < low:
        low = chance
    margin = air * (high - low) or 0.05
    return low - margin, high + margin


def _reference_label(axes: Axes, value: float, label: str, color: str, level: int, *, near_end: bool) -> None:
    axes.annotate(
        label,
        (value, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(-2 if near_end else 2, 3 + _LEVEL * level),
        textcoords="offset points",
        ha="right" if near_end else "left",
        fontsize=9,
        color=COLORS["ink" if color == "faint" else color],
    )


def _dot(axes: Axes, line: Line, row: int) -> None:
    color = COLORS[line.role]
    axes.hlines(row, *line.score.ends, color=color, linewidth=2.2, zorder=2)
    # The mean of supervisors is not a model, so its mark is hollow.
    face = "none" if line.name == MEAN_SUPERVISOR else color
    axes.plot(line.score.value, row, MARKERS[line.role], color=color, markerfacecolor=face, markersize=7.5, zorder=3)


def _cross(axes: Axes, x: Line, y: Line) -> None:
    color = COLORS[x.role]
    axes.hlines(y.score.value, *x.score.ends, color=color, linewidth=1.6, zorder=2)
    axes.vlines(x.score.value, *y.score.ends, color=color, linewidth=1.6, zorder=2)
    # Base and ceiling are large and hollow: a student that reaches them is seen inside.
    hollow = x.role in ("base", "ceiling")
    look: dict[str, Any] = {"markersize": 12, "markerfacecolor": "none"} if hollow else {"markersize": 7}
    axes.plot(x.score.value, y.score.value, MARKERS[x.role], color=color, zorder=3, **look)


def _name_points(axes: Axes, pairs: Sequence[tuple[Line, Line]]) -> None:
    # Names beside their points, off each other and off the intervals.
    to_points = axes.transData + axes.figure.dpi_scale_trans.inverted()

    def place(x: float, y: float) -> tuple[float, float]:
        left, bottom = 72 * to_points.transform((x, y))
        return float(left), float(bottom)

    points = [place(x.score.value, y.score.value) for x, y in pairs]
    bars = []
    for x, y in pairs:
        (low, high), (bottom, top) = x.score.ends, y.score.ends
        bars.append(Box(*place(low, y.score.value), *place(high, y.score.value)).grown(1.5))
        bars.append(Box(*place(x.score.value, bottom), *place(x.score.value, top)).grown(1.5))
    corners = 72 * axes.bbox.get_points() / axes.figure.dpi
    sizes = [(CHARACTER * len(shortened(x.name)), 11.0) for x, _ in pairs]
    labels = place_labels(points, sizes, bars, Box(*corners[0], *corners[1]))
    for (x, y), point, (left, bottom), (width, height) in zip(pairs, points, labels, sizes, strict=True):
        connection = {"arrowstyle": "-", "color": COLORS[x.role], "linewidth": 0.6, "shrinkA": 0, "shrinkB": 8}
        far = Box(left, bottom, left + width, bottom + height).distance(point) > _FAR
        axes.annotate(
            shortened(x.name),
            (x.score.value, y.score.value),
            xytext=(left - point[0], bottom - point[1] + 2),
            textcoords="offset points",
            fontsize=9.5,
            color=COLORS[x.role],
            arrowprops=connection if far else None,
        )


def _name_lines(axes: Axes, references: Sequence[Line]) -> None:
    # Names at the right ends of their lines, without overlap.
    bottom, top = axes.get_ylim()
    scale = _SWEEP_HEIGHT / (top - bottom)
    heights = spread_apart([scale * (line.score.value - bottom) for line in references], _LABEL, _SWEEP_HEIGHT)
    for line, height in zip(references, heights, strict=True):
        axes.annotate(
            shortened(line.name),
            (1.0, height / _SWEEP_HEIGHT),
            xycoords="axes fraction",
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
            color=COLORS[line.role],
        )
