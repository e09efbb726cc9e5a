"""`outgrow theory deconvolution`: the target's prior from all weak data, beside per-prompt refinement."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from outgrow.progress import Reporter
from outgrow.theory.checks import at_least, positive_counts
from outgrow.theory.deconvolution import Deconvolved, relabelling_risks
from outgrow.theory.estimators import Estimator, Refined, RefinedStudent
from outgrow.theory.figures import Chart, Panel, charted
from outgrow.theory.regression import simulate
from outgrow.theory.topic import Finding, Point, curve, mean_and_interval, pivot
from outgrow.theory.world import RegressionWorld, orthonormal_world

PROMPTS, ITEMS, SINGLE = "Student, mixture of prompts", "Student, mixture of items", "Student, single concept"
LABELS = "Labels, mixture of prompts"
COLORS = {"refined": 0, "refined, least squares": 1, "deconvolved": 2, "oracle": 3}


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
        positive_counts("counts", self.counts)

    def worlds(self) -> dict[str, RegressionWorld]:
        """Return the worlds by panel: mixtures of prompts and of items, and a single concept."""
        world = partial(
            orthonormal_world,
            dimension=self.dimension,
            concepts=self.concepts,
            sigma=self.sigma,
            kappa=self.kappa,
            noise=self.noise,
        )
        return {PROMPTS: world(target=self.target), ITEMS: world(target=self.target, mixing="item"), SINGLE: world()}

    def __call__(self, reporter: Reporter) -> Finding:
        """Simulate all worlds."""
        worlds, points = self.worlds(), list[Point]()
        students: dict[str, Estimator] = {
            "refined": Refined(self.prompts),
            "refined, least squares": RefinedStudent(self.prompts),
            "deconvolved": Deconvolved(self.prompts),
        }
        options = {"repetitions": self.repetitions, "seed": self.seed}
        with reporter.step("simulate", total=len(worlds) + 1) as step:
            for panel, world in worlds.items():
                for student, estimator in students.items():
                    risks = [simulate(world, estimator, n=n, **options) for n in self.counts]
                    points += curve(panel, student, "measured", self.counts, risks)
                step.advance()
            labels = [relabelling_risks(worlds[PROMPTS], n=n, prompts=self.prompts, **options) for n in self.counts]
            for prior in labels[0]:
                points += curve(LABELS, prior, "measured", self.counts, [risks[prior] for risks in labels])
            step.advance()
        summary = pivot(points, {"panel": "world", "series": "estimator"}, self.counts, cell=mean_and_interval(4))
        base = {panel: float(worlds[panel].excess(worlds[panel].source)) for panel in (PROMPTS, ITEMS)}
        for panel, value in base.items():
            points += curve(panel, "untouched source", "computed", [None], [value])
        panels = (  # with room for the legends
            Panel(PROMPTS, y="excess risk", ylim=(None, 1.4 * base[PROMPTS])),
            Panel(ITEMS, ylim=(None, 1.4 * base[ITEMS])),
            Panel(LABELS),
        )
        chart, facts = Chart(panels, colors=COLORS), {"base": f"{base[PROMPTS]:.3f}"}
        return charted("deconvolution", self, summary, points, chart, size=(9.6, 3.4), facts=facts)
