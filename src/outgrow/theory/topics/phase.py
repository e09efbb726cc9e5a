"""`outgrow theory phase`: maps of which method is best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from outgrow.progress import Reporter
from outgrow.theory.checks import above_zero, at_least
from outgrow.theory.figures import COLORS, FAINT, counts_axis
from outgrow.theory.phase import METHODS, Grid, excess_grid
from outgrow.theory.topic import Finding, Table, page

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WITHOUT = METHODS[:3]
"""Methods that need no likelihoods under every concept."""
PANELS = (
    ("kappa", "best without deconvolution"),
    ("noise", "best without deconvolution"),
    ("kappa", "best"),
    ("noise", "best"),
)
"""Vertical axis and column of the table of the four panels."""
METHOD_COLORS = dict(zip(METHODS, (FAINT, COLORS[1], COLORS[0], COLORS[2]), strict=True))


@dataclass(frozen=True)
class PhaseTopic:
    """Which of base, naive, refined and deconvolved is best, over (κ, n) and over (noise, n)."""

    cells: int = 40
    """Cells along each axis; along n there are fewer where whole numbers run out."""
    longest: int = 128
    """Largest n."""
    kappa: float = 0.8
    """κ of the map over the noise."""
    most_noise: float = 5.0
    """Largest noise, in multiples of σ."""
    dimension: int = 20
    concepts: int = 10
    sigma: float = 0.5
    prompts: int = 16
    repetitions: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        at_least("cells", self.cells, 2)
        at_least("longest", self.longest, 2)
        above_zero("most_noise", self.most_noise)

    def __call__(self, reporter: Reporter) -> Finding:
        """Simulate both maps."""
        counts = log_spaced(self.longest, self.cells)
        steps = np.arange(1, self.cells + 1)
        settings: dict[str, Any] = {
            name: getattr(self, name) for name in ("dimension", "concepts", "sigma", "prompts", "repetitions", "seed")
        }
        maps = {}
        with reporter.step("simulate", total=2) as step:
            for name, weak in (
                ("kappa", [(kappa, 1.0) for kappa in (steps / self.cells).tolist()]),
                ("noise", [(self.kappa, noise) for noise in (self.most_noise * steps / self.cells).tolist()]),
            ):
                maps[name] = excess_grid(weak, counts, **settings)
                step.advance()
        rows = [
            (f"({name}, n)", called, method, float((maps[name].best(allowed) == METHODS.index(method)).mean()))
            for allowed, called in ((WITHOUT, ", ".join(WITHOUT)), (METHODS, "all"))
            for name in maps
            for method in allowed
        ]
        summary = Table(("map", "methods allowed", "best", "share of cells"), rows)
        facts = {
            "world": f"d = {self.dimension}, K = {self.concepts}, σ = {self.sigma:g}",
            "cells": f"{self.cells} × {len(counts)}",
            "naive": f"{0.5 + 0.5 / self.concepts:.2f}",
            "crossings": _crossings(maps["kappa"]),
        }
        return Finding(
            summary=summary,
            data=_data(maps),
            draw=draw_maps,
            page=page("phase", self, summary, **facts),
            size=(8.0, 6.4),
        )


def log_spaced(longest: int, cells: int) -> tuple[int, ...]:
    """Return at most `cells` whole numbers from 1 to `longest`, as even on a logarithmic scale as they can be."""
    wanted = cells
    while True:
        found = tuple(sorted({round(float(n)) for n in np.geomspace(1, longest, wanted)}))
        if len(found) >= min(cells, longest):
            return found[: min(cells, longest)]
        wanted += 1


def _crossings(grid: Grid) -> str:
    """From which n on refinement beats both base and naive, at a few κ."""
    best = grid.best(WITHOUT) == METHODS.index("refined")
    said = []
    for wanted in (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3):
        row = int(np.abs(np.array(grid.kappas) - wanted).argmin())
        where = np.flatnonzero(best[row])
        start = f"n = {grid.counts[where[0]]}" if len(where) else f"not up to n = {grid.counts[-1]}"
        said.append(f"κ = {grid.kappas[row]:.2g}: {start}")
    return "; ".join(said)


def _data(maps: dict[str, Grid]) -> Table:
    rows = []
    for name, grid in maps.items():
        best = np.array(METHODS)[[grid.best(WITHOUT), grid.best()]]
        for row, (kappa, noise) in enumerate(zip(grid.kappas, grid.noises, strict=True)):
            for column, n in enumerate(grid.counts):
                numbers = (kappa, noise, *grid.mean[row, column], *grid.standard_error[row, column, 2:])
                # Four significant digits, less than a standard error: a map has thousands of cells.
                kappa_, noise_, *risks = (float(f"{value:.4g}") for value in numbers)
                rows.append((name, kappa_, noise_, n, *risks, *best[:, row, column].tolist()))
    errors = tuple(f"standard error of {name}" for name in METHODS[2:])
    return Table(("map", "kappa", "noise", "n", *METHODS, *errors, "best without deconvolution", "best"), rows)


def draw_maps(figure: Figure, table: Table) -> None:
    """Draw the best method of each cell of the table."""
    from matplotlib.patches import Patch

    grid_of_axes = figure.subplots(2, 2, sharex=True)
    for axes, (name, best) in zip(grid_of_axes.ravel(), PANELS, strict=True):
        rows: list[dict[str, Any]] = [
            dict(zip(table.columns, row, strict=True)) for row in table.rows if row[0] == name
        ]
        heights, counts = (list(dict.fromkeys(row[column] for row in rows)) for column in (name, "n"))
        _map(axes, counts, heights, [METHOD_COLORS[row[best]] for row in rows])
        axes.set_ylabel("κ" if name == "kappa" else "noise (σ)")
    for axes, title in zip(grid_of_axes[0], ("κ, with the noise of the source", "Noise of weak labels"), strict=True):
        axes.set_title(title)
    for axes in grid_of_axes[1]:
        axes.set_xlabel("demonstrations n")
    figure.legend(
        handles=[Patch(color=color, label=name) for name, color in METHOD_COLORS.items()],
        loc="outside lower center",
        ncols=len(METHODS),
        frameon=False,
        fontsize=8,
    )


def _map(axes: Axes, counts: list[int], heights: list[float], colors: list[str]) -> None:
    from matplotlib.colors import to_rgb

    pixels = np.array([to_rgb(color) for color in colors]).reshape(len(heights), len(counts), 3)
    edges = np.sqrt(np.array(counts[:-1], dtype=float) * np.array(counts[1:]))
    sides = np.concatenate([[counts[0] ** 1.5 / edges[0] ** 0.5], edges, [counts[-1] ** 1.5 / edges[-1] ** 0.5]])
    step = heights[1] - heights[0]
    levels = np.concatenate([[heights[0] - step / 2], np.array(heights) + step / 2])
    axes.pcolormesh(sides, levels, pixels, rasterized=True)
    counts_axis(axes, [tick for tick in (1, 2, 4, 8, 16, 32, 64, 128) if tick <= counts[-1]])
