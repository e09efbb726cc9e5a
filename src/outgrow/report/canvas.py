"""Figures for web pages: sizes, colours, and SVG text.

Figures are drawn with matplotlib's SVG backend on `Figure` objects, without pyplot and its global state. Placeholder
colours become CSS variables, so that one figure serves light, dark and print; text stays text.
"""

from __future__ import annotations

import io
import re
import warnings
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

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
}
"""Placeholder colour of each CSS variable."""
MARKERS = {"supervisor": "^", "base": "s", "student": "o", "ceiling": "D"}
"""Markers tell roles apart without colours."""
CHARACTER = 5.6
"""Mean width of a character of a 10 point label, in points."""

_LONGEST_NAME = 26


def shortened(name: str) -> str:
    """Return a name short enough for an axis; a long one without its middle, since names differ at their ends."""
    text = " ".join("".join(character if character.isprintable() else " " for character in name).split())
    if len(text) <= _LONGEST_NAME:
        return text
    half = _LONGEST_NAME // 2
    return f"{text[:half]}…{text[-(half - 1) :]}"


def drawing() -> AbstractContextManager[None]:
    """Return a context with the matplotlib settings of all figures; the caller's settings are restored after it."""
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
