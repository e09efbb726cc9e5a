"""What every figure is drawn on: sizes, colours, and the way from a drawing to SVG text for a web page.

Drawn with matplotlib's SVG backend on `Figure` objects, without pyplot and its global state. Colours are stand-ins that
become `var(--…)`, so that one figure serves light, dark and print; text stays text, and nothing moves.
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
"""Stand-in colour of each CSS variable."""
MARKERS = {"supervisor": "^", "base": "s", "student": "o", "ceiling": "D"}
"""Roles differ by marker too, for readers who see no colours."""
CHARACTER = 5.6
"""Points that a character of a 10 point label takes, on average."""

_LONGEST_NAME = 26


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


def drawing() -> AbstractContextManager[None]:
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


def new_figure(height: float, left: float, top: float, plot_width: float, plot_height: float) -> tuple[Figure, Axes]:
    """A figure with one bare axes, all measures in points."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height / 72))
    return figure, bare_axes(figure, left, top, plot_width, plot_height)


def bare_axes(figure: Figure, left: float, top: float, plot_width: float, plot_height: float) -> Axes:
    """Axes with a horizontal line only, all measures in points from the upper left corner."""
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
    """The figure as an `<svg>` element with CSS variables for colours and ids of its own."""
    written = io.StringIO()
    with warnings.catch_warnings():
        # The browser draws the text, with fonts that have more letters than the one matplotlib measures with.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(written, format="svg", transparent=True, metadata=nothing)
    text = written.getvalue()
    text = text[text.index("<svg") :]
    for variable, stand_in in COLORS.items():
        text = text.replace(stand_in, f"var(--{variable})")
    text = re.sub(r'(<[^<>]*\sid=")', rf"\1{prefix}-", text)
    text = re.sub(r'(href="#|url\(#)', rf"\1{prefix}-", text)
    # Size is the page's business, and so is the description: the figure element around it carries it.
    return re.sub(
        r'<svg [^>]*viewBox="([^"]*)"[^>]*>', r'<svg viewBox="\1" aria-hidden="true" focusable="false">', text
    )
