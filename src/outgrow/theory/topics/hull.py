"""`outgrow theory hull`: what a student gains that can only mix what it knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from outgrow.errors import ConfigError
from outgrow.progress import Reporter
from outgrow.theory.checks import above_zero
from outgrow.theory.estimators import HullLeastSquares, Naive
from outgrow.theory.hull import project_to_hull, statistical_dimension
from outgrow.theory.regression import Risk, naive_excess_risk, simulate
from outgrow.theory.topic import Finding, Table, page
from outgrow.theory.world import RegressionWorld, orthonormal_world

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class HullTopic:
    """Error of hull-constrained least squares against n beside σ²δ/n, and what remains of a weak bias."""

    sizes: tuple[int, ...] = (2, 5, 10, 20)
    """K of the worlds with right but noisy labels; d is as large."""
    counts: tuple[int, ...] = (4, 16, 64, 256, 1024)
    """n."""
    sigma: float = 0.5
    kappas: tuple[float, ...] = (0.8, 0.5, 0.2)
    """κ of the biased worlds, with d = 20 and K = 10."""
    repetitions: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        above_zero("sigma", self.sigma)
        if not self.counts or min(self.counts) < 1:
            raise ConfigError("counts must be at least 1.", found=self.counts)

    def __call__(self, reporter: Reporter) -> Finding:
        """Measures and explains."""
        right = {
            size: orthonormal_world(dimension=size, concepts=size, sigma=self.sigma, rotated=False)
            for size in self.sizes
        }
        biased = {kappa: orthonormal_world(kappa=kappa, sigma=self.sigma) for kappa in self.kappas}
        free, bound, held = {}, {}, {}
        with reporter.step("simulate", total=len(right) + len(biased)) as step:
            for size, world in right.items():
                bound[size] = self._risks(world, HullLeastSquares())
                free[size] = self._risks(world, Naive())
                step.advance()
            for kappa, world in biased.items():
                held[kappa] = self._risks(world, HullLeastSquares())
                step.advance()
        dimensions = {size: statistical_dimension(size) for size in self.sizes}
        last = self.counts[-1]
        rows = [
            (
                size,
                dimensions[size],
                self.sigma**2 * dimensions[size] / last,
                f"{bound[size][-1].mean:.3g} ± {1.96 * bound[size][-1].standard_error:.1g}",
                f"{free[size][-1].mean:.3g} ± {1.96 * free[size][-1].standard_error:.1g}",
            )
            for size in self.sizes
        ]
        summary = Table(("K = d", "δ", f"σ²δ/n, n = {last}", "hull-constrained", "unconstrained"), rows)
        limits = {kappa: hull_limit(world) for kappa, world in biased.items()}
        biases = "; ".join(
            f"κ = {kappa:g}: naive {naive_excess_risk(world, 0.0):.3f}, hull {limits[kappa]:.3f}"
            for kappa, world in biased.items()
        )
        return Finding(
            title="Least squares over the convex hull of concepts",
            summary=summary,
            data=self._data(bound, free, held),
            draw=lambda figure: self._draw(figure, bound, dimensions, held, limits),
            page=page("hull", table=summary, facts={"biases": biases, "sigma": f"{self.sigma:g}"}),
            size=(8.0, 3.6),
        )

    def _risks(self, world: RegressionWorld, estimator: HullLeastSquares | Naive) -> list[Risk]:
        return [simulate(world, estimator, n=n, repetitions=self.repetitions, seed=self.seed) for n in self.counts]

    def _data(self, bound: dict[int, list[Risk]], free: dict[int, list[Risk]], held: dict[float, list[Risk]]) -> Table:
        series = [(size, 1.0, "hull", risks) for size, risks in bound.items()]
        series += [(size, 1.0, "unconstrained", risks) for size, risks in free.items()]
        series += [(10, kappa, "hull", risks) for kappa, risks in held.items()]
        rows = [
            (concepts, kappa, estimator, n, risk.mean, risk.standard_error)
            for concepts, kappa, estimator, risks in series
            for n, risk in zip(self.counts, risks, strict=True)
        ]
        return Table(("K", "kappa", "estimator", "n", "excess risk", "standard error"), rows)

    def _draw(
        self,
        figure: Figure,
        bound: dict[int, list[Risk]],
        dimensions: dict[int, float],
        held: dict[float, list[Risk]],
        limits: dict[float, float],
    ) -> None:
        from outgrow.theory.figures import counts_axis, legend, line, panels, reference

        left, right = panels(figure, 2)
        for index, (size, risks) in enumerate(bound.items()):
            means, errors = [risk.mean for risk in risks], [risk.standard_error for risk in risks]
            line(left, self.counts, means, errors, label=f"K = {size}", index=index)
            predicted = [self.sigma**2 * dimensions[size] / n for n in self.counts]
            reference(left, self.counts, predicted, index=index)
        for index, (kappa, risks) in enumerate(held.items()):
            means, errors = [risk.mean for risk in risks], [risk.standard_error for risk in risks]
            line(right, self.counts, means, errors, label=f"κ = {kappa:g}", index=index)
            reference(right, (self.counts[0], self.counts[-1]), (limits[kappa],) * 2, index=index)
        for axes in (left, right):
            counts_axis(axes, self.counts)
            axes.set_xlabel("weak labels n")
            legend(axes)
        left.set_yscale("log")
        left.set(title="Right labels, and σ²δ/n", ylabel="excess risk")
        right.set(title="Biased labels, and the projection of the bias")


def hull_limit(world: RegressionWorld) -> float:
    """Excess risk of hull-constrained least squares with endless labels: that of the projection of what they teach.

    Example:
        >>> round(hull_limit(orthonormal_world(kappa=0.8)), 3)
        0.012
    """
    return float(world.excess(project_to_hull(world.weak_mean, world.components) @ world.components))
