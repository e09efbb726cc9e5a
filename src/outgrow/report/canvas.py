"""Figures for web pages: sizes, colours, SVG text, and labels placed without overlap.

Figures are drawn with matplotlib's SVG backend on `Figure` objects, without pyplot and its global state. Placeholder
colours become CSS variables, so that one figure serves light, dark and print; text stays text.
"""

from __future__ import annotations

import io
import itertools
import math
import re
import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 6.4
"""Width of every figure in inches of 72 points."""

COLORS = {
    "supervisor": "#a10001",
    "base": "#a10002",
    "student": "#a10003",
    "ceiling": "#a10004",
    "ink": "#a10005",
    "faint": "#a10006",
    "line": "#a10007",
    "combined": "#a10008",
    "gold": "#a10009",
}
"""Placeholder colour of each CSS variable."""
MARKERS = {"supervisor": "^", "combined": "v", "base": "s", "gold": "P", "student": "o", "ceiling": "D"}
"""Markers tell roles apart without colours."""
CHARACTER = 5.6
"""Mean width of a character of a 10 point label, in points."""

_LONGEST_NAME = 26

_Point = tuple[float, float]
_BESIDE, _ABOVE = 6.0, 3.0
"""Distances of a label from its point."""
_SIDESTEP = 20.0
"""Sideways step of labels that do not fit; upwards they move by their height."""
_MARK = 5.0
"""Half the width of a mark."""


def shortened(name: str) -> str:
    """Return a name short enough for an axis; a long one without its middle, since names differ at their ends."""
    text = " ".join("".join(character if character.isprintable() else " " for character in name).split())
    if len(text) <= _LONGEST_NAME:
        return text
    half = _LONGEST_NAME // 2
    return f"{text[:half]}…{text[-(half - 1) :]}"


def drawing() -> AbstractContextManager[None]:
    """Return a context with the matplotlib settings of all figures."""
    import matplotlib

    settings: AbstractContextManager[None] = matplotlib.rc_context(
        {
            "font.family": "sans-serif",
            "font.size": 10,
            "svg.fonttype": "none",
            "svg.hashsalt": "outgrow",
            "text.parse_math": False,  # a dollar sign in a model's name is not mathematics
        }
    )
    return settings


def new_figure(height: float, left: float, top: float, plot_width: float, plot_height: float) -> tuple[Figure, Axes]:
    """Return a figure with one `bare_axes`, all measures in points."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height / 72))
    return figure, bare_axes(figure, left, top, plot_width, plot_height)


def bare_axes(figure: Figure, left: float, top: float, plot_width: float, plot_height: float) -> Axes:
    """Add axes with a horizontal line only, all measures in points from the upper left corner."""
    width, height = (72 * inches for inches in figure.get_size_inches())
    bottom = (height - top - plot_height) / height
    axes = figure.add_axes((left / width, bottom, plot_width / width, plot_height / height))
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    for spine in axes.spines.values():
        spine.set_color(COLORS["faint"])
    axes.tick_params(axis="y", length=0, colors=COLORS["ink"])
    axes.tick_params(axis="x", color=COLORS["faint"], labelcolor=COLORS["ink"])
    axes.xaxis.label.set_color(COLORS["ink"])
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:g}".replace("0.", ".", 1).replace("-", "−"))
    return axes


def svg(figure: Figure, prefix: str) -> str:
    """Return the figure as an `<svg>` element with CSS variables for colours, and `prefix` before every id."""
    written = io.StringIO()
    with warnings.catch_warnings():
        # The browser draws the text, with fonts that have more glyphs than matplotlib's.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(written, format="svg", transparent=True, metadata=nothing)
    text = written.getvalue()
    text = text[text.index("<svg") :]
    for variable, placeholder in COLORS.items():
        text = text.replace(placeholder, f"var(--{variable})")
    text = re.sub(r'(<[^<>]*\sid=")', rf"\1{prefix}-", text)
    text = re.sub(r'(href="#|url\(#)', rf"\1{prefix}-", text)
    # The page sets the size, and its figure element has the description.
    return re.sub(
        r'<svg [^>]*viewBox="([^"]*)"[^>]*>', r'<svg viewBox="\1" aria-hidden="true" focusable="false">', text
    )


class Box(NamedTuple):
    """An upright rectangle."""

    left: float
    bottom: float
    right: float
    top: float

    def grown(self, by: float) -> Box:
        """Return the box with a margin around it."""
        return Box(self.left - by, self.bottom - by, self.right + by, self.top + by)

    def distance(self, point: _Point) -> float:
        """Return the distance of the nearest edge from a point; 0 inside."""
        x, y = point
        return math.hypot(max(self.left - x, x - self.right, 0.0), max(self.bottom - y, y - self.top, 0.0))

    def overlap(self, other: Box) -> float:
        """Return the area shared with another box."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(width, 0.0) * max(height, 0.0)


def stack_levels(spans: Sequence[tuple[float, float]]) -> list[int]:
    """Return the lowest level for each label, given position and width, on which it is clear of the earlier ones.

    A label may stand on either side of its position, so both sides are kept free.
    """
    levels: list[int] = []
    for position, width in spans:
        taken = {
            level
            for (other, other_width), level in zip(spans, levels, strict=False)
            if abs(position - other) < width + other_width
        }
        levels.append(next(level for level in range(len(spans)) if level not in taken))
    return levels


def spread_apart(places: Sequence[float], gap: float, top: float) -> list[float]:
    """Move places in [0, top] apart, in their order, so that neighbours are at least `gap` apart.

    Places are moved up only as far as needed, and down again where they would exceed `top`.
    """
    order = sorted(range(len(places)), key=lambda index: places[index])
    moved = list(places)
    for below, above in itertools.pairwise(order):
        moved[above] = max(moved[above], moved[below] + gap)
    limit = top
    for index in reversed(order):
        moved[index] = min(moved[index], limit)
        limit = moved[index] - gap
    return moved


def place_labels(
    points: Sequence[_Point], sizes: Sequence[tuple[float, float]], bars: Sequence[Box], frame: Box
) -> list[_Point]:
    """Return lower left corners for labels of the given sizes (width, height) beside their points.

    Each label in turn takes the place around its point that overlaps least with marks, bars, earlier labels and the
    outside of the frame; of equally good places the first, which is to the upper right.
    """
    obstacles = [Box(x - _MARK, y - _MARK, x + _MARK, y + _MARK) for x, y in points] + list(bars)
    corners: list[_Point] = []
    for (x, y), (width, height) in zip(points, sizes, strict=True):
        places = _places(x, y, width, height)
        best = min(places, key=lambda box: _cost(box, obstacles, frame))
        obstacles.append(best)
        corners.append((best.left, best.bottom))
    return corners


def _places(x: float, y: float, width: float, height: float) -> list[Box]:
    # Around a cross, from near to far, upper right first.
    steps = sorted(itertools.product(range(5), range(4)), key=lambda step: step[0] * height + step[1] * _SIDESTEP)
    corners = []
    for up, aside in steps:
        above, beside = _ABOVE + up * height, _BESIDE + aside * _SIDESTEP
        lefts = (x + beside, x - beside - width)
        corners += [(left, bottom) for bottom in (y + above, y - above - height) for left in lefts]
    return [Box(left, bottom, left + width, bottom + height) for left, bottom in corners]


def _cost(box: Box, obstacles: Sequence[Box], frame: Box) -> float:
    area = (box.right - box.left) * (box.top - box.bottom)
    # Outside the frame a label may be cut off, which is worse than a little crowding.
    outside = area - box.overlap(frame)
    return sum(box.overlap(other) for other in obstacles) + 3 * outside
