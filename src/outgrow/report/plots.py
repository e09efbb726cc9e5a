"""Figures of scores: all models on one metric, and two metrics against each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from outgrow.evaluate.summary import Line, MetricSummary
from outgrow.evaluate.wording import Interval
from outgrow.report.canvas import CHARACTER, COLORS, MARKERS, WIDTH, drawing, new_figure, shortened, svg
from outgrow.report.placement import Box, place_labels, stack_levels
from outgrow.report.table import MEAN_SUPERVISOR, ordered_lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DASHES = {"supervisor": (0, (5, 2)), "base": (0, (1, 1.5)), "ceiling": (0, (6, 2, 1, 2)), "faint": (0, (1, 3))}
_FAR = 10.0
"""Points from which on a thread ties a label to its mark."""
_ROW, _LEVEL = 21.0, 13.0
"""Height in points of a row of the dot plot, and of a level of labels above it."""


def dot_plot(metric: MetricSummary, prefix: str) -> str:
    """One row per model: mean score with its 95 % interval, and lines at floor, base, ceiling and chance.

    Args:
        metric: What to show.
        prefix: Put before every id in the SVG, so that several fit into one page.

    Returns:
        An `<svg>` element, the same for the same input.
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
    """Two metrics against each other: a cross of 95 % intervals per model that has both.

    Args:
        first: The metric on the horizontal axis.
        second: The metric on the vertical axis.
        prefix: Put before every id in the SVG.

    Returns:
        An `<svg>` element.
    """
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


def _references(metric: MetricSummary, left: float, right: float) -> list[tuple[float, str, str]]:
    """Value, label and colour of each vertical line, from left to right."""
    supervisors = metric.of("supervisor")
    found: list[tuple[float, str, str]] = []
    for line in (*metric.of("base"), *metric.of("ceiling")):
        found.append((line.score.value, line.role, line.role))
    if supervisors:
        label = "best supervisor" if len(supervisors) > 1 else "supervisor"
        found.append((max(line.score.value for line in supervisors), label, "supervisor"))
    if metric.chance is not None and left <= metric.chance <= right:
        found.append((metric.chance, "chance", "faint"))
    return sorted(found)


def _limits(lines: Sequence[Line], *, air: float = 0.06, chance: float | None = None) -> tuple[float, float]:
    """Ends of an axis: all intervals with a share of air; chance too, unless that would squeeze the rest."""
    ends = [end for line in lines for end in _ends(line)]
    low, high = min(ends), max(ends)
    if chance is not None and low - (high - low) / 2 <= chance < low:
        low = chance
    margin = air * (high - low) or 0.05
    return low - margin, high + margin


def _ends(line: Line) -> Interval:
    """Ends of the interval, or the value twice where there is none."""
    return line.score.interval or (line.score.value, line.score.value)


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
    axes.hlines(row, *_ends(line), color=color, linewidth=2.2, zorder=2)
    # The mean of supervisors is no model: a hollow mark.
    face = "none" if line.name == MEAN_SUPERVISOR else color
    axes.plot(line.score.value, row, MARKERS[line.role], color=color, markerfacecolor=face, markersize=7.5, zorder=3)


def _cross(axes: Axes, x: Line, y: Line) -> None:
    color = COLORS[x.role]
    axes.hlines(y.score.value, *_ends(x), color=color, linewidth=1.6, zorder=2)
    axes.vlines(x.score.value, *_ends(y), color=color, linewidth=1.6, zorder=2)
    # Base and ceiling are large and hollow: a student that reaches them is seen inside.
    hollow = x.role in ("base", "ceiling")
    look: dict[str, Any] = {"markersize": 12, "markerfacecolor": "none"} if hollow else {"markersize": 7}
    axes.plot(x.score.value, y.score.value, MARKERS[x.role], color=color, zorder=3, **look)


def _name_points(axes: Axes, pairs: Sequence[tuple[Line, Line]]) -> None:
    """Writes names beside their points without one covering another or an interval."""
    to_points = axes.transData + axes.figure.dpi_scale_trans.inverted()

    def place(x: float, y: float) -> tuple[float, float]:
        left, bottom = 72 * to_points.transform((x, y))
        return float(left), float(bottom)

    points = [place(x.score.value, y.score.value) for x, y in pairs]
    bars = []
    for x, y in pairs:
        (low, high), (bottom, top) = _ends(x), _ends(y)
        bars.append(Box(*place(low, y.score.value), *place(high, y.score.value)).grown(1.5))
        bars.append(Box(*place(x.score.value, bottom), *place(x.score.value, top)).grown(1.5))
    corners = 72 * axes.bbox.get_points() / axes.figure.dpi
    sizes = [(CHARACTER * len(shortened(x.name)), 11.0) for x, _ in pairs]
    labels = place_labels(points, sizes, bars, Box(*corners[0], *corners[1]))
    for (x, y), point, (left, bottom), (width, height) in zip(pairs, points, labels, sizes, strict=True):
        thread = {"arrowstyle": "-", "color": COLORS[x.role], "linewidth": 0.6, "shrinkA": 0, "shrinkB": 8}
        far = Box(left, bottom, left + width, bottom + height).distance(point) > _FAR
        axes.annotate(
            shortened(x.name),
            (x.score.value, y.score.value),
            xytext=(left - point[0], bottom - point[1] + 2),
            textcoords="offset points",
            fontsize=9.5,
            color=COLORS[x.role],
            arrowprops=thread if far else None,
        )
