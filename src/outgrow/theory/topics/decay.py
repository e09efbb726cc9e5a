"""`outgrow theory decay`: how fast refinement's excess risk falls, beside the predicted rates."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from outgrow.errors import ConfigError
from outgrow.progress import Reporter
from outgrow.theory.decay import DecayCurve, Slope, decay_curve, mean_rate, typical_rate
from outgrow.theory.topic import Finding, Table, page

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STRETCH = (2.0, 6.0)
"""Slopes are fitted where the predicted mean risk has fallen by a factor of e² to e⁶."""


@dataclass(frozen=True)
class _Case:
    """One world with its curve and its predictions."""

    name: str
    curve: DecayCurve
    typical: float
    mean: float

    @property
    def stretch(self) -> tuple[int, int]:
        """First and last n of the fit."""
        return max(1, math.ceil(STRETCH[0] / self.mean)), int(STRETCH[1] / self.mean)


@dataclass(frozen=True)
class DecayTopic:
    """Fitted slopes of the mean and of the typical excess risk against n, beside what is predicted."""

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
        """Measures, fits and explains."""
        worlds = [(concepts, kappa) for concepts in self.concepts for kappa in self.kappas]
        cases = []
        with reporter.step("simulate", total=len(worlds)) as step:
            for concepts, kappa in worlds:
                cases.append(self._case(concepts, kappa))
                step.advance()
        rows = [(case.name, *case.stretch, *_compared(case)) for case in cases]
        summary = Table(
            ("world", "n from", "to", "mean: predicted", "fitted", "ratio", "typical: predicted", "fitted", "ratio"),
            rows,
        )
        return Finding(
            title="Decay of refinement's excess risk",
            summary=summary,
            data=self._data(cases),
            draw=lambda figure: _draw(figure, cases),
            page=page(
                "decay", table=summary, facts={"sigma": f"{self.sigma:g}", "repetitions": f"{self.repetitions:,}"}
            ),
            size=(8.0, 3.6),
        )

    def _case(self, concepts: int, kappa: float) -> _Case:
        rate = mean_rate(kappa, self.sigma)
        # Longer curves of fewer prompts: the same work for every world.
        repetitions = max(1000, self.repetitions * 20 // int(STRETCH[1] / rate))
        curve = decay_curve(
            kappa,
            int(STRETCH[1] / rate),
            concepts=concepts,
            sigma=self.sigma,
            repetitions=repetitions * 2 // concepts,
            seed=self.seed,
        )
        return _Case(f"K = {concepts}, κ = {kappa:g}", curve, typical_rate(kappa, self.sigma), rate)

    def _data(self, cases: list[_Case]) -> Table:
        rows = []
        for case in cases:
            mean, error = case.curve.means.mean(axis=0), case.curve.means.std(axis=0, ddof=1)
            for n, value, spread, log in zip(
                range(1, len(mean) + 1), mean, error, case.curve.logs.mean(axis=0), strict=True
            ):
                rows.append((case.name, n, value, spread / len(case.curve.means) ** 0.5, log))
        return Table(("world", "n", "mean excess risk", "standard error", "mean logarithm of the excess risk"), rows)


def _compared(case: _Case) -> tuple[object, ...]:
    mean, typical = case.curve.mean(*case.stretch), case.curve.typical(*case.stretch)
    return (*_against(case.mean, mean), *_against(case.typical, typical))


def _against(predicted: float, slope: Slope) -> tuple[float, str, str]:
    ratio, half = slope.rate / predicted, 1.96 * slope.standard_error / predicted
    return predicted, f"{slope.rate:.4f}", f"{ratio:.2f} [{ratio - half:.2f}, {ratio + half:.2f}]"


def _draw(figure: Figure, cases: list[_Case]) -> None:
    from outgrow.theory.figures import COLORS, legend, panels, reference

    axes = panels(figure, 2)
    for index, case in enumerate(cases):
        first, last = case.stretch
        n = np.arange(1, case.curve.means.shape[1] + 1)
        stretch = np.arange(first, last + 1)
        mean, typical = case.curve.means.mean(axis=0), np.exp(case.curve.logs.mean(axis=0))
        axes[0].plot(n, mean, color=COLORS[index % len(COLORS)], linewidth=1.4, label=case.name)
        shape = np.exp(-case.mean * stretch) / np.sqrt(stretch)
        reference(axes[0], stretch, shape * mean[first - 1] / shape[0], index=index)
        axes[1].plot(n, typical, color=COLORS[index % len(COLORS)], linewidth=1.4, label=case.name)
        shape = np.exp(-case.typical * (stretch - first))
        reference(axes[1], stretch, shape * typical[first - 1], index=index)
    for one in axes:
        one.set_yscale("log")
    axes[0].set(title="Mean", xlabel="demonstrations n", ylabel="excess risk", ylim=(1e-4, 1))
    axes[1].set(title="Typical: exp of the mean logarithm", xlabel="demonstrations n", ylim=(1e-60, 10))
    legend(axes[0])
