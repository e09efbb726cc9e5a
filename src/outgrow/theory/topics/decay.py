"""`outgrow theory decay`: how fast refinement's excess risk falls, beside the predicted rates."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from outgrow.errors import ConfigError
from outgrow.progress import Reporter
from outgrow.theory.decay import DecayCurve, Slope, decay_curve, mean_rate, typical_rate
from outgrow.theory.figures import Chart, Panel, charted
from outgrow.theory.regression import Risk
from outgrow.theory.topic import Finding, Point, Table, curve

STRETCH = (2.0, 6.0)
"""Slopes are fitted where the predicted mean risk has fallen by a factor of e² to e⁶."""
MEAN, TYPICAL = "Mean", "Typical: mean logarithm"


@dataclass(frozen=True)
class DecayTopic:
    """Fitted slopes of the mean and of the typical excess risk against n, beside the predicted ones."""

    sigma: float = 0.5
    kappas: tuple[float, ...] = (1.0, 0.8, 0.5)
    concepts: tuple[int, ...] = (2, 10)
    """K of each series of worlds."""
    repetitions: int = 200_000
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.kappas or min(self.kappas) < 0.1:
            raise ConfigError(
                "Below a kappa of 0.1 nothing decays within a thousand demonstrations.", found=self.kappas
            )

    def __call__(self, reporter: Reporter) -> Finding:
        """Simulate all worlds and fit the slopes."""
        worlds = [(concepts, kappa) for concepts in self.concepts for kappa in self.kappas]
        rows: list[tuple[object, ...]] = []
        points: list[Point] = []
        with reporter.step("simulate", total=len(worlds)) as step:
            for concepts, kappa in worlds:
                name = f"K = {concepts}, κ = {kappa:g}"
                mean, typical = mean_rate(kappa, self.sigma), typical_rate(kappa, self.sigma)
                first, last = max(1, math.ceil(STRETCH[0] / mean)), int(STRETCH[1] / mean)
                # Longer curves of fewer prompts: the same work for every world.
                repetitions = max(1000, self.repetitions * 20 // last) * 2 // concepts
                found = decay_curve(
                    kappa, last, concepts=concepts, sigma=self.sigma, repetitions=repetitions, seed=self.seed
                )
                ratios = *_compared(mean, found.mean(first, last)), *_compared(typical, found.typical(first, last))
                rows.append((name, first, last, *ratios))
                points += _curves(name, found, np.arange(first, last + 1), mean, typical)
                step.advance()
        summary = Table(
            ("world", "n from", "to", "mean: predicted", "fitted", "ratio", "typical: predicted", "fitted", "ratio"),
            rows,
        )
        panels = (
            Panel(MEAN, y="excess risk", scale="linear", log_y=True, ylim=(1e-4, 1), markers=False),
            Panel(TYPICAL, y="log excess risk", scale="linear", ylim=(-140, 3), markers=False, legend=False),
        )
        return charted("decay", self, summary, points, Chart(panels), size=(8.0, 3.6))


def _curves(name: str, found: DecayCurve, stretch: np.ndarray, mean_rate: float, typical_rate: float) -> list[Point]:
    """Return measured curves, and the predicted ones laid through the first point of the stretch."""
    means, logs = ([Risk.of(column) for column in groups.T] for groups in (found.means, found.logs))
    first = stretch[0]
    shape = np.exp(-mean_rate * (stretch - first)) / np.sqrt(stretch / first)
    points = []
    for panel, risks, predicted in (
        (MEAN, means, shape * means[first - 1].mean),
        (TYPICAL, logs, logs[first - 1].mean - typical_rate * (stretch - first)),
    ):
        points += curve(panel, name, "measured", range(1, len(risks) + 1), risks)
        points += curve(panel, name, "predicted", stretch.tolist(), predicted.tolist())
    return points


def _compared(predicted: float, slope: Slope) -> tuple[float, str, str]:
    ratio, half = slope.rate / predicted, 1.96 * slope.standard_error / predicted
    return predicted, f"{slope.rate:.4f}", f"{ratio:.2f} [{ratio - half:.2f}, {ratio + half:.2f}]"
