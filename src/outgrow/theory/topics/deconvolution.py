"""`outgrow theory deconvolution`: the target's prior from all weak data, beside per-prompt refinement."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from outgrow.errors import ConfigError
from outgrow.progress import Reporter
from outgrow.theory.checks import at_least
from outgrow.theory.deconvolution import Deconvolved, relabelling_risks
from outgrow.theory.estimators import Estimator, Refined, RefinedStudent
from outgrow.theory.regression import Risk, simulate
from outgrow.theory.topic import Finding, Table, page
from outgrow.theory.world import RegressionWorld, orthonormal_world

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Curves = dict[tuple[str, str], list[Risk]]
"""Risks at every n, by world and estimator."""


@dataclass(frozen=True)
class DeconvolutionTopic:
    """Students and refined labels on a mixture of concepts, with and without an estimate of the mixture."""

    target: tuple[float, ...] = (0.6, 0.3, 0.1)
    """π."""
    dimension: int = 20
    concepts: int = 10
    sigma: float = 0.5
    kappa: float = 1.0
    noise: float = 1.0
    prompts: int = 64
    """m: prompts in a data set."""
    counts: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    """n."""
    repetitions: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        at_least("prompts", self.prompts, 1)
        if not self.counts or min(self.counts) < 1:
            raise ConfigError("counts must be at least 1.", found=self.counts)

    def worlds(self) -> dict[str, RegressionWorld]:
        """Mixtures by prompt and by item, and a single concept."""
        world = partial(
            orthonormal_world,
            dimension=self.dimension,
            concepts=self.concepts,
            sigma=self.sigma,
            kappa=self.kappa,
            noise=self.noise,
        )
        return {
            "mixture of prompts": world(target=self.target),
            "mixture of items": world(target=self.target, mixing="item"),
            "single concept": world(),
        }

    def __call__(self, reporter: Reporter) -> Finding:
        """Measures and explains."""
        worlds = self.worlds()
        students: dict[str, Estimator] = {
            "refined": Refined(self.prompts),
            "refined, least squares": RefinedStudent(self.prompts),
            "deconvolved": Deconvolved(self.prompts),
        }
        curves: Curves = {}
        labels: dict[str, list[Risk]] = {}
        with reporter.step("simulate", total=len(worlds) + 1) as step:
            for name, world in worlds.items():
                for student, estimator in students.items():
                    curves[name, student] = [
                        simulate(world, estimator, n=n, repetitions=self.repetitions, seed=self.seed)
                        for n in self.counts
                    ]
                step.advance()
            for n in self.counts:
                risks = relabelling_risks(
                    worlds["mixture of prompts"],
                    n=n,
                    prompts=self.prompts,
                    repetitions=self.repetitions,
                    seed=self.seed,
                )
                for prior, risk in risks.items():
                    labels.setdefault(prior, []).append(risk)
            step.advance()
        everything = curves | {("labels of the mixture of prompts", prior): risks for prior, risks in labels.items()}
        rows = [(*name, *(risk.text(4) for risk in risks)) for name, risks in everything.items()]
        summary = Table(("world", "", *(f"n = {n}" for n in self.counts)), rows)
        facts = {
            "target": " / ".join(f"{share:g}" for share in self.target),
            "prompts": str(self.prompts),
            "repetitions": str(self.repetitions),
            "base": f"{float(worlds['mixture of prompts'].excess(worlds['mixture of prompts'].source)):.3f}",
        }
        return Finding(
            title="Deconvolution of the target's prior",
            summary=summary,
            data=_data(everything, self.counts),
            draw=lambda figure: self._draw(figure, worlds, curves, labels),
            page=page("deconvolution", table=summary, facts=facts),
            size=(9.6, 3.4),
        )

    def _draw(
        self, figure: Figure, worlds: dict[str, RegressionWorld], curves: Curves, labels: dict[str, list[Risk]]
    ) -> None:
        from outgrow.theory.figures import counts_axis, legend, line, panels, reference

        axes = panels(figure, 3)
        for one, name in zip(axes, ("mixture of prompts", "mixture of items"), strict=False):
            found = {student: risks for (world, student), risks in curves.items() if world == name}
            for index, (student, risks) in enumerate(found.items()):
                means, errors = [risk.mean for risk in risks], [risk.standard_error for risk in risks]
                line(one, self.counts, means, errors, label=student, index=index)
            base = float(worlds[name].excess(worlds[name].source))
            reference(one, (self.counts[0], self.counts[-1]), (base, base), label="untouched source")
            one.set_title(f"Student, {name}")
            one.set_ylim(top=1.4 * base)  # room for the legend
        for index, (prior, risks) in zip((0, 2, 3), labels.items(), strict=True):
            means, errors = [risk.mean for risk in risks], [risk.standard_error for risk in risks]
            line(axes[2], self.counts, means, errors, label=prior, index=index)
        axes[2].set_title("Labels, mixture of prompts")
        axes[0].set_ylabel("excess risk")
        for one in axes:
            counts_axis(one, self.counts)
            one.set_xlabel("demonstrations n")
            legend(one)


def _data(curves: Curves, counts: tuple[int, ...]) -> Table:
    rows = [
        (*name, n, risk.mean, risk.standard_error)
        for name, risks in curves.items()
        for n, risk in zip(counts, risks, strict=True)
    ]
    return Table(("world", "estimator", "n", "excess risk", "standard error"), rows)
