"""`outgrow theory regression`: what naive training and refinement make of weak labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from outgrow.progress import Reporter
from outgrow.theory.checks import above_zero, positive_counts
from outgrow.theory.estimators import Estimator, Naive, Refined, RefinedStudent
from outgrow.theory.figures import Chart, Panel, charted
from outgrow.theory.regression import Risk, naive_excess_risk, naive_lower_bound, simulate
from outgrow.theory.topic import Finding, Point, curve, mean_and_interval, pivot
from outgrow.theory.world import COVARIANCE_SCALE, RegressionWorld, orthonormal_world

ETAS = tuple(float(eta) for eta in np.logspace(-2, 1.5, 15))
"""Shrinkage of naive training towards the source."""
REFINED, STUDENT, NAIVE = "Refined labels", "Student of refined labels", "Naive, and its lower bound"
ENDLESS = "Naive, infinitely many labels"
UNREGULARISED = f"{ENDLESS}, η = 0"


@dataclass(frozen=True)
class RegressionTopic:
    """Risk of refined labels and of their student against n, and of naive training against η with its lower bound."""

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
        positive_counts("counts", self.counts)

    def worlds(self) -> dict[str, RegressionWorld]:
        """Return the worlds by name."""
        settings = [(f"κ = {kappa:g}", kappa, 1.0) for kappa in self.kappas]
        settings.append((f"κ = 1, noise ×{self.noise:g}", 1.0, self.noise))
        return {
            name: orthonormal_world(
                dimension=self.dimension, concepts=self.concepts, sigma=self.sigma, kappa=kappa, noise=noise
            )
            for name, kappa, noise in settings
        }

    def __call__(self, reporter: Reporter) -> Finding:
        """Simulate all worlds."""
        worlds, points = self.worlds(), list[Point]()
        with reporter.step("simulate", total=len(worlds)) as step:
            for name, world in worlds.items():
                points += self._curves(name, world)
                step.advance()
        source = float(world.excess(world.source))
        for panel in (REFINED, STUDENT):
            points += curve(panel, "untouched source", "computed", [None], [source])
        shown = [
            point for point in points if point.panel in (REFINED, STUDENT, UNREGULARISED) and point.series in worlds
        ]
        summary = pivot(shown, {"series": "weak labels", "panel": "estimator"}, self.counts, cell=mean_and_interval())
        setting = f"d = {self.dimension}, K = {self.concepts}, σ = {self.sigma:g}"
        panels = (
            Panel(REFINED, y="excess risk"),
            Panel(STUDENT, legend=False),
            Panel(NAIVE, x="shrinkage η", scale="log", legend=False),
        )
        chart, facts = Chart(panels, share_y=True), {"world": setting, "source": f"{source:.3f}"}
        return charted("regression", self, summary, points, chart, size=(9.6, 3.6), x="n or η", facts=facts)

    def _curves(self, name: str, world: RegressionWorld) -> list[Point]:
        def risk(estimator: Estimator, n: int, share: int = 1) -> Risk:
            repetitions = max(2, self.repetitions // share)
            return simulate(world, estimator, n=n, repetitions=repetitions, seed=self.seed)

        student = RefinedStudent(self.prompts)
        bound = naive_lower_bound(
            world.source - world.truth, world.weak_mean - world.truth, covariance_scale=COVARIANCE_SCALE
        )
        return [
            *curve(REFINED, name, "measured", self.counts, (risk(Refined(), n) for n in self.counts)),
            *curve(STUDENT, name, "measured", self.counts, (risk(student, n, 20) for n in self.counts)),
            *curve(UNREGULARISED, name, "computed", [None], [naive_excess_risk(world, 0.0)]),
            *curve(NAIVE, name, "measured", ETAS, (risk(Naive(eta), self.labels, 10) for eta in ETAS)),
            *curve(NAIVE, name, "lower bound", [None], [bound]),
            *curve(ENDLESS, name, "computed", ETAS, (naive_excess_risk(world, eta) for eta in ETAS)),
        ]
