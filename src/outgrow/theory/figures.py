"""Figures and files of a finding: SVG and PNG, CSV, Markdown.

Drawn on `Figure` objects, without pyplot and its global state, with the colours of the report. matplotlib is imported
where something is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from outgrow.errors import StoreError
from outgrow.theory.topic import Finding

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = ("#0062a3", "#b34a00", "#00755a", "#7a3b8f", "#a3780a", "#5b6068")
"""Colours of lines, told apart by readers with any colour vision; the first four are also told apart in grey."""
INK, FAINT, GRID = "#1d1f23", "#8b9097", "#e3e4e6"
MARKERS = ("o", "s", "^", "D", "v", "P")


def write(finding: Finding, name: str, folder: str | Path) -> list[Path]:
    """Writes `NAME.svg`, `NAME.png`, `NAME.csv` and `NAME.md`: the same bytes for the same finding.

    Args:
        finding: What a topic gave.
        name: The topic's name.
        folder: Is made if it is not there.

    Returns:
        The paths, the page first.

    Raises:
        StoreError: The folder cannot be written to.
    """
    folder = Path(folder)
    paths = [folder / f"{name}.{suffix}" for suffix in ("md", "svg", "png", "csv")]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        paths[0].write_text(finding.page, encoding="utf-8")
        paths[3].write_text(finding.data.csv(), encoding="utf-8")
        with _drawing():
            figure = _figure_of(finding)
            figure.savefig(paths[1], metadata={"Date": None, "Creator": None})
            figure.savefig(paths[2], dpi=110, metadata={"Software": None})
    except OSError as error:
        raise StoreError(f"The topic {name!r} cannot be written to {folder}: {error.strerror}.") from error
    return paths


def panels(figure: Figure, count: int, *, share_y: bool = False) -> list[Axes]:
    """Axes side by side, bare but for a grid behind the data.

    Args:
        figure: An empty figure.
        count: How many.
        share_y: One vertical axis for all.
    """
    axes = figure.subplots(1, count, sharey=share_y, squeeze=False)[0]
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
        one.grid(color=GRID, linewidth=0.6)
        one.set_axisbelow(True)
    return list(axes)


def line(axes: Axes, x: ArrayLike, mean: ArrayLike, error: ArrayLike, *, label: str, index: int) -> None:
    """A measured line with its band of 95 % (1.96 standard errors).

    Args:
        axes: Where to draw.
        x: Positions, shape (N,).
        mean: Heights, shape (N,).
        error: Standard errors, shape (N,).
        label: Its name in the legend.
        index: Which colour and marker it takes.
    """
    color, marker = COLORS[index % len(COLORS)], MARKERS[index % len(MARKERS)]
    x, mean, half = np.asarray(x), np.asarray(mean), 1.96 * np.asarray(error)
    axes.fill_between(x, mean - half, mean + half, color=color, alpha=0.2, linewidth=0)
    axes.plot(x, mean, color=color, marker=marker, markersize=4, linewidth=1.4, label=label)


def reference(axes: Axes, x: ArrayLike, y: ArrayLike, *, label: str | None = None, index: int | None = None) -> None:
    """A dashed line that was computed, not measured; grey, or in the colour of what it belongs to."""
    color = INK if index is None else COLORS[index % len(COLORS)]
    axes.plot(np.asarray(x), np.asarray(y), color=color, linestyle=(0, (4, 2)), linewidth=1.0, label=label)


def legend(axes: Axes, *, title: str | None = None) -> None:
    """A legend without a frame."""
    axes.legend(frameon=False, fontsize=8, title=title, title_fontsize=8)


def counts_axis(axes: Axes, ticks: Sequence[int]) -> None:
    """A logarithmic horizontal axis in powers of two, labelled with plain numbers."""
    axes.set_xscale("log", base=2)
    axes.set_xticks(list(ticks), [str(tick) for tick in ticks])
    axes.minorticks_off()


def _drawing() -> AbstractContextManager[None]:
    """Settings under which figures are drawn and written; the caller's own are left as they were."""
    import matplotlib

    settings: AbstractContextManager[None] = matplotlib.rc_context(
        {
            "font.family": "sans-serif",
            "font.size": 9,
            "text.color": INK,
            "axes.labelcolor": INK,
            "axes.edgecolor": FAINT,
            "xtick.color": FAINT,
            "ytick.color": FAINT,
            "xtick.labelcolor": INK,
            "ytick.labelcolor": INK,
            "figure.facecolor": "white",  # a page may be dark; the ink is not
            "svg.fonttype": "none",
            "svg.hashsalt": "outgrow",
        }
    )
    return settings


def _figure_of(finding: Finding) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=finding.size, layout="constrained")
    finding.draw(figure)
    return figure
