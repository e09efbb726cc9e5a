"""`outgrow theory regression`: what naive training and refinement make of weak labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from outgrow.errors import ConfigError
from outgrow.progress import Reporter
from outgrow.theory.checks import above_zero
from outgrow.theory.estimators import Estimator, Naive, Refined, RefinedStudent
from outgrow.theory.regression import Risk, naive_excess_risk, naive_lower_bound, simulate
from outgrow.theory.topic import Finding, Table, page
from outgrow.theory.world import COVARIANCE_SCALE, RegressionWorld, orthonormal_world

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ETAS = tuple(float(eta) for eta in np.logspace(-2, 1.5, 15))
"""How strongly naive training stays at the source."""


@dataclass(frozen=True)
class RegressionTopic:
    """Refined labels and a student of them against n, and naive training against η beside its lower bound."""

    dimension: int = 20
    concepts: int = 10
    sigma: float = 0.5
    kappas: tuple[float, ...] = (1.0, 0.8, 0.5, 0.2)
    """κ of weak labels with the noise of the source."""
    noise: float = 3.0
    """Noise, in multiples of σ, of one more world with κ = 1."""
    counts: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    """n."""
    prompts: int = 32
    """Prompts whose refined labels the student is trained on."""
    labels: int = 200
    """Weak labels of naive training where its risk is measured over η."""
    repetitions: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        above_zero("noise", self.noise)
        if not self.counts or min(self.counts) < 1:
            raise ConfigError("counts must be at least 1.", found=self.counts)

    def worlds(self) -> dict[str, RegressionWorld]:
        """The worlds with their names."""
        settings = [(f"κ = {kappa:g}", kappa, 1.0) for kappa in self.kappas]
        settings.append((f"κ = 1, noise ×{self.noise:g}", 1.0, self.noise))
        return {
            name: orthonormal_world(
                dimension=self.dimension, concepts=self.concepts, sigma=self.sigma, kappa=kappa, noise=noise
            )
            for name, kappa, noise in settings
        }

    def __call__(self, reporter: Reporter) -> Finding:
        """Measures and explains."""
        worlds = self.worlds()
        refined, taught, shrunk = {}, {}, {}
        with reporter.step("simulate", total=len(worlds)) as step:
            for name, world in worlds.items():
                refined[name] = [self._risk(world, Refined(), n) for n in self.counts]
                taught[name] = [self._risk(world, RefinedStudent(self.prompts), n, share=20) for n in self.counts]
                shrunk[name] = [self._risk(world, Naive(eta), self.labels, share=10) for eta in ETAS]
                step.advance()
        source = float(next(iter(worlds.values())).excess(next(iter(worlds.values())).source))
        rows = [
            (name, naive_excess_risk(world, 0.0), learner, *(risk.text() for risk in risks[name]))
            for name, world in worlds.items()
            for learner, risks in (("refined", refined), ("student", taught))
        ]
        summary = Table(("weak labels", "naive", "", *(f"n = {n}" for n in self.counts)), rows)
        facts = {
            "source": f"{source:.3f}",
            "world": f"d = {self.dimension}, K = {self.concepts}, σ = {self.sigma:g}",
            "labels": str(self.labels),
            "prompts": str(self.prompts),
            "repetitions": f"{self.repetitions:,}",
        }
        return Finding(
            title="Latent-concept regression",
            summary=summary,
            data=self._data(worlds, refined, taught, shrunk),
            draw=lambda figure: self._draw(figure, source, worlds, refined, taught, shrunk),
            page=page("regression", table=summary, facts=facts),
            size=(9.6, 3.6),
        )

    def _risk(self, world: RegressionWorld, estimator: Estimator, n: int, share: int = 1) -> Risk:
        return simulate(world, estimator, n=n, repetitions=max(2, self.repetitions // share), seed=self.seed)

    def _data(
        self,
        worlds: dict[str, RegressionWorld],
        refined: dict[str, list[Risk]],
        taught: dict[str, list[Risk]],
        shrunk: dict[str, list[Risk]],
    ) -> Table:
        rows: list[tuple[object, ...]] = []
        for name, world in worlds.items():
            rows += [
                (name, learner, n, None, risk.mean, risk.standard_error)
                for learner, risks in (("refined", refined), ("student", taught))
                for n, risk in zip(self.counts, risks[name], strict=True)
            ]
            rows += [
                (name, "naive", self.labels, eta, risk.mean, risk.standard_error)
                for eta, risk in zip(ETAS, shrunk[name], strict=True)
            ]
            rows += [(name, "naive, endless labels", None, eta, naive_excess_risk(world, eta), 0.0) for eta in ETAS]
        return Table(("weak labels", "estimator", "n", "eta", "excess risk", "standard error"), rows)

    def _draw(
        self,
        figure: Figure,
        source: float,
        worlds: dict[str, RegressionWorld],
        refined: dict[str, list[Risk]],
        taught: dict[str, list[Risk]],
        shrunk: dict[str, list[Risk]],
    ) -> None:
        from outgrow.theory.figures import counts_axis, legend, line, panels, reference

        axes = panels(figure, 3, share_y=True)
        for index, (name, world) in enumerate(worlds.items()):
            for one, x, risks in (
                (axes[0], self.counts, refined[name]),
                (axes[1], self.counts, taught[name]),
                (axes[2], ETAS, shrunk[name]),
            ):
                means, errors = [risk.mean for risk in risks], [risk.standard_error for risk in risks]
                line(one, x, means, errors, label=name, index=index)
            bound = naive_lower_bound(
                world.source - world.truth, world.weak_mean - world.truth, covariance_scale=COVARIANCE_SCALE
            )
            reference(axes[2], (ETAS[0], ETAS[-1]), (bound, bound), index=index)
        for one, title in zip(axes, ("Refined labels", "Student of refined labels"), strict=False):
            reference(one, (self.counts[0], self.counts[-1]), (source, source), label="untouched source")
            counts_axis(one, self.counts)
            one.set(title=title, xlabel="demonstrations n")
        axes[2].set_xscale("log")
        axes[2].set(title="Naive, and its lower bound", xlabel="shrinkage η")
        axes[0].set_ylabel("excess risk")
        legend(axes[0])
