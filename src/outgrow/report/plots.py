"""Figures as SVG text for a web page: their colours are CSS variables, their text is text, and nothing in them moves.

Drawn with matplotlib's SVG backend on `Figure` objects, without pyplot and its global state. Colours are stand-ins that
become `var(--…)`, so that one figure serves light, dark and print; roles also differ by marker, for readers who see no
colours.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from outgrow.evaluate.summary import Line, MetricSummary
from outgrow.evaluate.wording import Interval
from outgrow.report.placement import Box, place_labels, stack_levels
from outgrow.report.table import MEAN_SUPERVISOR, ordered_lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 6.4
"""Width of every figure in inches of 72 points."""

_COLORS = {
    "supervisor": "#a10001",
    "base": "#a10002",
    "student": "#a10003",
    "ceiling": "#a10004",
    "ink": "#a10005",
    "faint": "#a10006",
    "line": "#a10007",
}
"""Stand-in colour of each CSS variable."""
_MARKERS = {"supervisor": "^", "base": "s", "student": "o", "ceiling": "D"}
_DASHES = {"supervisor": (0, (5, 2)), "base": (0, (1, 1.5)), "ceiling": (0, (6, 2, 1, 2)), "faint": (0, (1, 3))}
_LONGEST_NAME = 26
_CHARACTER = 5.6
"""Points that a character of a 10 point label takes, on average."""
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
    margin = 12 + _CHARACTER * max(len(shortened(line.name)) for line in lines)
    plot_width = 72 * WIDTH - margin - 12
    boxes = [((value - left) / (right - left) * plot_width, _CHARACTER * len(label)) for value, label, _ in references]
    levels = stack_levels(boxes)
    top = 6 + _LEVEL * (max(levels, default=-1) + 1)
    height = top + _ROW * len(lines) + 40
    with _drawing():
        figure, axes = _new_figure(height, margin, top, plot_width, _ROW * len(lines))
        for (value, label, color), level in zip(references, levels, strict=True):
            axes.axvline(value, color=_COLORS[color], linestyle=_DASHES[color], linewidth=1.1, zorder=1)
            _reference_label(axes, value, label, color, level, near_end=value > left + 0.75 * (right - left))
        for row, line in enumerate(lines):
            _dot(axes, line, row)
        axes.set_xlim(left, right)
        axes.set_ylim(len(lines) - 0.5, -0.5)
        axes.set_yticks(range(len(lines)), [shortened(line.name) for line in lines])
        axes.set_xlabel(shortened(metric.metric))
        return _svg(figure, prefix)


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
    with _drawing():
        figure, axes = _new_figure(size + 52, margin, 10, 72 * WIDTH - margin - 12, size)
        axes.set_xlim(*_limits([x for x, _ in pairs], air=0.1))
        axes.set_ylim(*_limits([y for _, y in pairs], air=0.1))
        for x, y in pairs:
            _cross(axes, x, y)
        _name_points(axes, pairs)
        axes.grid(color=_COLORS["line"], linewidth=0.6)
        axes.set_axisbelow(True)
        axes.set_xlabel(shortened(first.metric))
        axes.set_ylabel(shortened(second.metric), color=_COLORS["ink"])
        axes.spines["left"].set_visible(True)
        return _svg(figure, prefix)


def shortened(name: str) -> str:
    """A name short enough for an axis: its middle is left out, since names differ at their ends.

    Example:
        >>> shortened("some-organisation/a-very-long-model-name-350m")
        'some-organisa…el-name-350m'
    """
    text = " ".join("".join(character if character.isprintable() else " " for character in name).split())
    if len(text) <= _LONGEST_NAME:
        return text
    half = _LONGEST_NAME // 2
    return f"{text[:half]}…{text[-(half - 1) :]}"


def _drawing() -> AbstractContextManager[None]:
    """Settings under which figures are drawn and written; the caller's own are left as they were."""
    import matplotlib

    settings: AbstractContextManager[None] = matplotlib.rc_context(
        {
            "font.family": "sans-serif",
            "font.size": 10,
            "svg.fonttype": "none",
            "svg.hashsalt": "outgrow",
            # A dollar sign in a model's name is a dollar sign.
            "text.parse_math": False,
        }
    )
    return settings


def _new_figure(height: float, left: float, top: float, plot_width: float, plot_height: float) -> tuple[Figure, Axes]:
    """A figure with one bare axes, all measures in points."""
    from matplotlib.figure import Figure

    width = 72 * WIDTH
    figure = Figure(figsize=(WIDTH, height / 72))
    bottom = (height - top - plot_height) / height
    axes = figure.add_axes((left / width, bottom, plot_width / width, plot_height / height))
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    for spine in axes.spines.values():
        spine.set_color(_COLORS["faint"])
    axes.tick_params(axis="y", length=0, colors=_COLORS["ink"])
    axes.tick_params(axis="x", color=_COLORS["faint"], labelcolor=_COLORS["ink"])
    axes.xaxis.label.set_color(_COLORS["ink"])
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:g}".replace("0.", ".", 1).replace("-", "−"))
    return figure, axes


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
        color=_COLORS["ink" if color == "faint" else color],
    )


def _dot(axes: Axes, line: Line, row: int) -> None:
    color = _COLORS[line.role]
    axes.hlines(row, *_ends(line), color=color, linewidth=2.2, zorder=2)
    # The mean of supervisors is no model: a hollow mark.
    face = "none" if line.name == MEAN_SUPERVISOR else color
    axes.plot(line.score.value, row, _MARKERS[line.role], color=color, markerfacecolor=face, markersize=7.5, zorder=3)


def _cross(axes: Axes, x: Line, y: Line) -> None:
    color = _COLORS[x.role]
    axes.hlines(y.score.value, *_ends(x), color=color, linewidth=1.6, zorder=2)
    axes.vlines(x.score.value, *_ends(y), color=color, linewidth=1.6, zorder=2)
    # Base and ceiling are large and hollow: a student that reaches them is seen inside.
    hollow = x.role in ("base", "ceiling")
    look: dict[str, Any] = {"markersize": 12, "markerfacecolor": "none"} if hollow else {"markersize": 7}
    axes.plot(x.score.value, y.score.value, _MARKERS[x.role], color=color, zorder=3, **look)


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
    sizes = [(_CHARACTER * len(shortened(x.name)), 11.0) for x, _ in pairs]
    labels = place_labels(points, sizes, bars, Box(*corners[0], *corners[1]))
    for (x, y), point, (left, bottom), (width, height) in zip(pairs, points, labels, sizes, strict=True):
        thread = {"arrowstyle": "-", "color": _COLORS[x.role], "linewidth": 0.6, "shrinkA": 0, "shrinkB": 8}
        far = Box(left, bottom, left + width, bottom + height).distance(point) > _FAR
        axes.annotate(
            shortened(x.name),
            (x.score.value, y.score.value),
            xytext=(left - point[0], bottom - point[1] + 2),
            textcoords="offset points",
            fontsize=9.5,
            color=_COLORS[x.role],
            arrowprops=thread if far else None,
        )


def _svg(figure: Figure, prefix: str) -> str:
    """The figure as an `<svg>` element with CSS variables for colours and ids of its own."""
    written = io.StringIO()
    with warnings.catch_warnings():
        # The browser draws the text, with fonts that have more letters than the one matplotlib measures with.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(written, format="svg", transparent=True, metadata=nothing)
    text = written.getvalue()
    text = text[text.index("<svg") :]
    for variable, stand_in in _COLORS.items():
        text = text.replace(stand_in, f"var(--{variable})")
    text = re.sub(r'(<[^<>]*\sid=")', rf"\1{prefix}-", text)
    text = re.sub(r'(href="#|url\(#)', rf"\1{prefix}-", text)
    # Size is the page's business, and so is the description: the figure element around it carries it.
    return re.sub(
        r'<svg [^>]*viewBox="([^"]*)"[^>]*>', r'<svg viewBox="\1" aria-hidden="true" focusable="false">', text
    )
