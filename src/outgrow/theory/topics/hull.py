"""`outgrow theory hull`: what a student gains that can only mix known concepts."""

from __future__ import annotations

from dataclasses import dataclass

from outgrow.progress import Reporter
from outgrow.theory.checks import above_zero, positive_counts
from outgrow.theory.estimators import HullLeastSquares, Naive
from outgrow.theory.figures import Chart, Panel, charted
from outgrow.theory.hull import project_to_hull, statistical_dimension
from outgrow.theory.regression import Risk, naive_excess_risk, simulate
from outgrow.theory.topic import Finding, Point, Table, curve
from outgrow.theory.world import RegressionWorld, orthonormal_world

UNBIASED, BIASED = "Unbiased labels, and σ²δ/n", "Biased labels, and the projection of the bias"
FREE = "Unbiased labels, unconstrained"


@dataclass(frozen=True)
class HullTopic:
    """Risk of hull-constrained least squares against n beside σ²δ/n, and what remains of a weak bias."""

    sizes: tuple[int, ...] = (2, 5, 10, 20)
    """K of the worlds with unbiased, noisy labels; d is as large."""
    counts: tuple[int, ...] = (4, 16, 64, 256, 1024)
    """n."""
    sigma: float = 0.5
    kappas: tuple[float, ...] = (0.8, 0.5, 0.2)
    """κ of the biased worlds, with d = 20 and K = 10."""
    repetitions: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        above_zero("sigma", self.sigma)
        positive_counts("counts", self.counts)

    def __call__(self, reporter: Reporter) -> Finding:
        """Simulate all worlds."""
        points, rows, biases = list[Point](), list[tuple[object, ...]](), list[str]()
        last = self.counts[-1]
        with reporter.step("simulate", total=len(self.sizes) + len(self.kappas)) as step:
            for size in self.sizes:
                world = orthonormal_world(dimension=size, concepts=size, sigma=self.sigma, rotated=False)
                bound, free = self._risks(world, HullLeastSquares()), self._risks(world, Naive())
                dimension = statistical_dimension(size)
                predicted = [self.sigma**2 * dimension / n for n in self.counts]
                points += curve(UNBIASED, f"K = {size}", "measured", self.counts, bound)
                points += curve(UNBIASED, f"K = {size}", "σ²δ/n", self.counts, predicted)
                points += curve(FREE, f"K = {size}", "measured", self.counts, free)
                shown = (f"{risk.mean:.3g} ± {1.96 * risk.standard_error:.1g}" for risk in (bound[-1], free[-1]))
                rows.append((size, dimension, predicted[-1], *shown))
                step.advance()
            for kappa in self.kappas:
                world = orthonormal_world(kappa=kappa, sigma=self.sigma)
                risks, limit = self._risks(world, HullLeastSquares()), hull_limit(world)
                points += curve(BIASED, f"κ = {kappa:g}", "measured", self.counts, risks)
                points += curve(BIASED, f"κ = {kappa:g}", "projection of the bias", [None], [limit])
                biases.append(f"κ = {kappa:g}: naive {naive_excess_risk(world, 0.0):.3f}, hull {limit:.3f}")
                step.advance()
        summary = Table(("K = d", "δ", f"σ²δ/n, n = {last}", "hull-constrained", "unconstrained"), rows)
        x = "weak labels n"
        chart = Chart((Panel(UNBIASED, x=x, y="excess risk", log_y=True), Panel(BIASED, x=x)))
        facts = {"biases": "; ".join(biases)}
        return charted("hull", self, summary, points, chart, size=(8.0, 3.6), facts=facts)

    def _risks(self, world: RegressionWorld, estimator: HullLeastSquares | Naive) -> list[Risk]:
        return [simulate(world, estimator, n=n, repetitions=self.repetitions, seed=self.seed) for n in self.counts]


def hull_limit(world: RegressionWorld) -> float:
    """Return the excess risk of hull-constrained least squares with infinitely many labels: that of the projection."""
    return float(world.excess(project_to_hull(world.weak_mean, world.components) @ world.components))
