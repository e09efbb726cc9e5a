"""Figures and files of a finding: SVG and PNG, CSV, Markdown.

Figures are made without pyplot and its global state; matplotlib is imported only when something is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from outgrow.errors import StoreError
from outgrow.theory.topic import Finding, Point, Table, Topic, page, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = ("#0062a3", "#b34a00", "#00755a", "#7a3b8f", "#a3780a", "#5b6068")
"""Colours of lines, told apart by readers with any colour vision; the first four are also told apart in grey."""
INK, FAINT, GRID = "#1d1f23", "#8b9097", "#e3e4e6"
MARKERS = ("o", "s", "^", "D", "v", "P")
_STYLE = {
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


def write(finding: Finding, name: str, folder: str | Path) -> list[Path]:
    """Write `NAME.md`, `NAME.svg`, `NAME.png` and `NAME.csv` into a folder, and return their paths in this order.

    Equal findings give equal bytes. Missing folders are created.

    Raises:
        StoreError: The folder cannot be written to.
    """
    import matplotlib
    from matplotlib.figure import Figure

    folder = Path(folder)
    paths = [folder / f"{name}.{suffix}" for suffix in ("md", "svg", "png", "csv")]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        paths[0].write_text(finding.page, encoding="utf-8")
        paths[3].write_text(finding.data.csv(), encoding="utf-8")
        with matplotlib.rc_context(_STYLE):
            figure = Figure(figsize=finding.size, layout="constrained")
            finding.draw(figure, finding.data)
            figure.savefig(paths[1], metadata={"Date": None, "Creator": None})
            figure.savefig(paths[2], dpi=110, metadata={"Software": None})
    except OSError as error:
        raise StoreError(f"The topic {name!r} cannot be written to {folder}: {error.strerror}.") from error
    return paths


@dataclass(frozen=True)
class Panel:
    """One pair of axes, which shows the points of the panel of its name.

    A curve with standard errors is a solid line with a band of 95 % (1.96 standard errors). A curve without, or one
    that does not depend on x, is dashed: in the colour of the solid curves of its series, or else black.
    """

    name: str
    """The panel, and the title of the axes."""
    y: str = ""
    x: str = "demonstrations n"
    scale: Literal["counts", "log", "linear", "names"] = "counts"
    """Horizontal axis: powers of two with a tick for each position, logarithmic, linear, or words with error bars."""
    log_y: bool = False
    ylim: tuple[float | None, float | None] = (None, None)
    legend: bool = True
    markers: bool = True

    def draw(self, axes: Axes, points: Sequence[Point], colors: Mapping[str, int]) -> None:
        """Draw the panel's points; `colors` are indices of `COLORS` by series, by default in their order."""
        curves: dict[tuple[str, str], list[Point]] = {}
        for point in points:
            if self.scale not in ("counts", "log") or point.x is None or float(point.x) > 0:
                curves.setdefault((point.series, point.kind), []).append(point)
        solid = {key for key, curve in curves.items() if None not in curve[0][3:]}
        order = list(dict.fromkeys(series for series, kind in curves if (series, kind) in solid))
        positions: list[Any] = list(dict.fromkeys(point.x for curve in curves.values() for point in curve))
        positions = [x for x in positions if x is not None]
        for (series, kind), curve in curves.items():
            index = colors.get(series, order.index(series) if series in order else -1)
            if (series, kind) not in solid:
                label = None if series in order else series
                self._dashed(
                    axes, curve, positions, color=COLORS[index % len(COLORS)] if index >= 0 else INK, label=label
                )
            elif self.scale == "names":
                shift = 0.24 * (order.index(series) - (len(order) - 1) / 2)
                self._solid(axes, [positions.index(point.x) + shift for point in curve], curve, index)
            else:
                self._solid(axes, [point.x for point in curve], curve, index)
        self._finish(axes, positions)

    def _solid(self, axes: Axes, x: Sequence[Any], curve: Sequence[Point], index: int) -> None:
        color, marker = COLORS[index % len(COLORS)], MARKERS[index % len(MARKERS)] if self.markers else ""
        mean, half = np.array([[point.value, 1.96 * (point.standard_error or 0.0)] for point in curve]).T
        label = curve[0].series
        if self.scale == "names":
            axes.errorbar(x, mean, yerr=half, color=color, marker=marker, linestyle="none", label=label)
            return
        axes.fill_between(x, mean - half, mean + half, color=color, alpha=0.2, linewidth=0)
        axes.plot(x, mean, color=color, marker=marker, markersize=4, linewidth=1.4, label=label)

    def _dashed(
        self, axes: Axes, curve: Sequence[Point], positions: Sequence[Any], *, color: str, label: str | None
    ) -> None:
        x: list[Any] = [point.x for point in curve]
        y = [point.value for point in curve]
        if x == [None]:
            x, y = [min(positions), max(positions)], y * 2
        axes.plot(x, y, color=color, linestyle=(0, (4, 2)), linewidth=1.0, label=label)

    def _finish(self, axes: Axes, positions: Sequence[Any]) -> None:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color=GRID, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.set(title=self.name, xlabel=self.x, ylabel=self.y)
        if self.scale == "counts":
            counts_axis(axes, sorted(positions))
        elif self.scale == "log":
            axes.set_xscale("log")
        elif self.scale == "names":
            axes.set_xticks(range(len(positions)), [str(name).replace(" ", "\n") for name in positions], fontsize=7)
        else:
            axes.locator_params(axis="x", integer=True)
        if self.log_y:
            axes.set_yscale("log")
        if self.ylim != (None, None):  # any call ends autoscaling, also for panels that share the axis
            axes.set_ylim(*self.ylim)
        if self.legend:
            axes.legend(frameon=False, fontsize=8)


@dataclass(frozen=True)
class Chart:
    """A figure of panels side by side: the `draw` of a finding whose table is made of `Point`s."""

    panels: tuple[Panel, ...]
    share_y: bool = False
    """One vertical axis for all panels."""
    colors: Mapping[str, int] = field(default_factory=dict)
    """Indices of `COLORS` by series, for series whose colour is not that of their order."""

    def __call__(self, figure: Figure, table: Table) -> None:
        """Draw the table onto an empty figure."""
        points = [Point(*row) for row in table.rows]  # type: ignore[arg-type]
        axes = figure.subplots(1, len(self.panels), sharey=self.share_y, squeeze=False)[0]
        for one, panel in zip(axes, self.panels, strict=True):
            panel.draw(one, [point for point in points if point.panel == panel.name], self.colors)


def charted(
    name: str,
    topic: Topic,
    summary: Table,
    points: Sequence[Point],
    chart: Chart,
    *,
    size: tuple[float, float],
    x: str = "n",
    value: str = "excess risk",
    facts: Mapping[str, str] | None = None,
) -> Finding:
    """Return the finding of a topic of points, in columns called `x` and `value`; for facts see `page`."""
    return Finding(summary, tidy(points, x=x, value=value), chart, page(name, topic, summary, **(facts or {})), size)


def counts_axis(axes: Axes, ticks: Sequence[float]) -> None:
    """Make the horizontal axis logarithmic in powers of two, labelled with plain numbers."""
    axes.set_xscale("log", base=2)
    axes.set_xticks(list(ticks), [str(tick) for tick in ticks])
    axes.minorticks_off()
