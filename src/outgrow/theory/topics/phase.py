"""`outgrow theory phase`: maps of which method is best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from outgrow.errors import ConfigError
from outgrow.progress import Reporter
from outgrow.theory.checks import at_least
from outgrow.theory.phase import METHODS, Grid, excess_grid
from outgrow.theory.topic import Finding, Table, page

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WITHOUT = METHODS[:3]
"""What is to be had where likelihoods under every concept are not."""


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
        if not self.most_noise > 0:
            raise ConfigError("most_noise must be above 0.", found=self.most_noise)

    def __call__(self, reporter: Reporter) -> Finding:
        """Measures both maps and explains them."""
        counts = log_spaced(self.longest, self.cells)
        kappas = np.arange(1, self.cells + 1) / self.cells
        noises = self.most_noise * np.arange(1, self.cells + 1) / self.cells
        maps = {}
        with reporter.step("simulate", total=2) as step:
            for name, weak in (
                ("kappa", [(float(kappa), 1.0) for kappa in kappas]),
                ("noise", [(self.kappa, float(noise)) for noise in noises]),
            ):
                maps[name] = excess_grid(
                    weak,
                    counts,
                    dimension=self.dimension,
                    concepts=self.concepts,
                    sigma=self.sigma,
                    prompts=self.prompts,
                    repetitions=self.repetitions,
                    seed=self.seed,
                )
                step.advance()
        rows = [row for name, allowed in _ASKED for row in _boundary(maps[name], allowed, name)]
        summary = Table(("map", "methods allowed", "best", "share of cells"), rows)
        facts = {
            "world": f"d = {self.dimension}, K = {self.concepts}, σ = {self.sigma:g}",
            "cells": f"{len(kappas)} × {len(counts)}",
            "repetitions": f"{self.repetitions:,}",
            "prompts": str(self.prompts),
            "kappa": f"{self.kappa:g}",
            "naive": f"{0.5 + 0.5 / self.concepts:.2f}",
            "crossings": _crossings(maps["kappa"]),
        }
        return Finding(
            title="Which method is best where",
            summary=summary,
            data=_data(maps),
            draw=lambda figure: _draw(figure, maps),
            page=page("phase", table=summary, facts=facts),
            size=(8.0, 6.4),
        )


_ASKED = tuple((name, allowed) for allowed in (WITHOUT, METHODS) for name in ("kappa", "noise"))
"""Axis and methods of the four panels."""


def log_spaced(longest: int, cells: int) -> tuple[int, ...]:
    """At most so many whole numbers from 1 to `longest`, as even on a logarithmic scale as they can be.

    Example:
        >>> log_spaced(16, 6)
        (1, 2, 3, 5, 9, 16)
    """
    wanted = cells
    while True:
        found = tuple(sorted({round(float(n)) for n in np.geomspace(1, longest, wanted)}))
        if len(found) >= min(cells, longest):
            return found[: min(cells, longest)]
        wanted += 1


def _boundary(grid: Grid, allowed: tuple[str, ...], axis: str) -> list[tuple[object, ...]]:
    best = grid.best(allowed)
    return [
        (f"({axis}, n)", "all" if allowed == METHODS else ", ".join(allowed), name, float((best == index).mean()))
        for index, name in enumerate(METHODS)
        if name in allowed
    ]


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
    rows = [
        (name, kappa, noise, n, *grid.mean[row, column].tolist(), *grid.standard_error[row, column, 2:].tolist())
        for name, grid in maps.items()
        for row, (kappa, noise) in enumerate(zip(grid.kappas, grid.noises, strict=True))
        for column, n in enumerate(grid.counts)
    ]
    errors = tuple(f"standard error of {name}" for name in METHODS[2:])
    return Table(("map", "kappa", "noise", "n", *METHODS, *errors), [_rounded(row) for row in rows])


def _rounded(row: tuple[object, ...]) -> list[object]:
    """Four significant digits, less than a standard error: a map has thousands of cells."""
    return [float(f"{value:.4g}") if isinstance(value, float) else value for value in row]


def _draw(figure: Figure, maps: dict[str, Grid]) -> None:
    from matplotlib.patches import Patch

    from outgrow.theory.figures import COLORS, FAINT

    colors = (FAINT, COLORS[1], COLORS[0], COLORS[2])
    grid_of_axes = figure.subplots(2, 2, sharex=True)
    for axes, (name, allowed) in zip(grid_of_axes.ravel(), _ASKED, strict=True):
        grid = maps[name]
        _map(axes, grid, grid.kappas if name == "kappa" else grid.noises, grid.best(allowed), colors)
        axes.set_ylabel("κ" if name == "kappa" else "noise (σ)")
    for axes, title in zip(grid_of_axes[0], ("κ, with the noise of the source", "Noise of weak labels"), strict=True):
        axes.set_title(title)
    for axes in grid_of_axes[1]:
        axes.set_xlabel("demonstrations n")
    figure.legend(
        handles=[Patch(color=color, label=name) for color, name in zip(colors, METHODS, strict=True)],
        loc="outside lower center",
        ncols=len(METHODS),
        frameon=False,
        fontsize=8,
    )


def _map(axes: Axes, grid: Grid, heights: tuple[float, ...], best: np.ndarray, colors: tuple[str, ...]) -> None:
    from matplotlib.colors import to_rgb

    from outgrow.theory.figures import counts_axis

    pixels = np.array([to_rgb(color) for color in colors])[best]
    edges = np.sqrt(np.array(grid.counts[:-1], dtype=float) * np.array(grid.counts[1:]))
    sides = np.concatenate(
        [[grid.counts[0] ** 1.5 / edges[0] ** 0.5], edges, [grid.counts[-1] ** 1.5 / edges[-1] ** 0.5]]
    )
    step = heights[1] - heights[0]
    levels = np.concatenate([[heights[0] - step / 2], np.array(heights) + step / 2])
    axes.pcolormesh(sides, levels, pixels, rasterized=True)
    counts_axis(axes, [tick for tick in (1, 2, 4, 8, 16, 32, 64, 128) if tick <= grid.counts[-1]])
