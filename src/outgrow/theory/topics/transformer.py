"""`outgrow theory transformer`: a decoder that was pretrained on regression prompts refines weak ones."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from outgrow.errors import ConfigError
from outgrow.progress import Reporter
from outgrow.theory.checks import at_least
from outgrow.theory.regression import Risk
from outgrow.theory.topic import Finding, Table, page
from outgrow.theory.world import COVARIANCE_SCALE, RegressionWorld, orthonormal_world

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from outgrow.theory.transformer import RegressionDecoder

DECODER, EXACT, SOURCE, NAIVE = "decoder", "exact posterior", "untouched source", "naive, endless labels"
Risks = dict[tuple[str, str], list[Risk]]
PRETRAINING, WEAK, STUDENT = "distance from exact, pretraining", "excess risk, weak prompts", "excess risk of a student"


@dataclass(frozen=True)
class TransformerTopic:
    """Pretrains a decoder, compares it with the exact posterior, and lets it refine weak labels."""

    dimension: int = 8
    concepts: int = 5
    sigma: float = 0.3
    kappa: float = 1.0
    """κ: how much of a concept the weak supervisor has kept."""
    bias: float = 0.21
    """Excess risk that the rest of its component costs, which is orthogonal to all concepts."""
    points: int = 16
    """Examples in a prompt; the last has one fewer demonstration before it."""
    width: int = 96
    layers: int = 4
    heads: int = 4
    steps: int = 3000
    batch: int = 64
    learning_rate: float = 2e-3
    prompts: int = 4000
    """Fresh prompts on which everything is measured."""
    seed: int = 0

    def __post_init__(self) -> None:
        at_least("prompts", self.prompts, 2)
        at_least("dimension", self.dimension, self.concepts + 1)
        if not (0 <= self.bias < np.inf and np.isfinite(self.kappa)):
            raise ConfigError("bias must not be negative, and kappa finite.", found=(self.bias, self.kappa))

    def __call__(self, reporter: Reporter) -> Finding:
        """Trains, measures and explains."""
        from outgrow.theory.training import Schedule, Shape
        from outgrow.theory.transformer import pretrain_decoder

        world = self.world()
        shape = Shape(self.width, self.layers, self.heads)
        schedule = Schedule(self.steps, self.batch, self.learning_rate)
        decoder = pretrain_decoder(world, shape, schedule, points=self.points, seed=self.seed, reporter=reporter)
        risks = self._measure(world, decoder)
        base, naive = float(world.excess(world.source)), float(world.excess(world.weak_mean))
        shown = sorted({0, 1, 3, 7, self.points - 1} & set(range(self.points)))
        summary = Table(
            ("measured", "by", *(f"n = {point}" for point in shown)),
            [
                *((*key, *(round(found[point].mean, 9) for point in shown)) for key, found in risks.items()),
                (WEAK, SOURCE, *(base for _ in shown)),
                (WEAK, NAIVE, *(naive for _ in shown)),
            ],
        )
        rows = [
            (*key, point, risk.mean, None if key[0] == STUDENT else risk.standard_error)
            for key, found in risks.items()
            for point, risk in enumerate(found)
        ]
        parameters = sum(weights.numel() for weights in decoder.parameters())
        return Finding(
            title="A transformer that refines in its forward pass",
            summary=summary,
            data=Table(("measured", "by", "n", "mean", "standard error"), rows),
            draw=lambda figure: self._draw(figure, risks, base, naive),
            page=page("transformer", table=summary, facts=self._facts(risks, base, naive, parameters)),
            size=(8.0, 3.8),
        )

    def world(self) -> RegressionWorld:
        """Weak components κβ_k + b·e, e orthogonal to all concepts and c·b² the bias."""
        world = orthonormal_world(dimension=self.dimension, concepts=self.concepts, sigma=self.sigma, rotated=False)
        weak = self.kappa * world.components
        weak[:, -1] = (self.bias / COVARIANCE_SCALE) ** 0.5
        return dataclasses.replace(world, weak=weak)

    def _measure(self, world: RegressionWorld, decoder: RegressionDecoder) -> Risks:
        """Risks after every number of demonstrations, by what is measured and who answers."""
        from outgrow.theory.transformer import decoder_predictions, exact_predictions, pretraining_world

        rng = np.random.default_rng([self.seed, 1])
        x, y = (array[:, 0] for array in pretraining_world(world).sample(rng, self.prompts, 1, self.points))
        exact = exact_predictions(world, x, y)
        risks: Risks = {
            (PRETRAINING, DECODER): _risks(decoder_predictions(decoder, x, y) - exact),
            (PRETRAINING, SOURCE): _risks(x @ world.source - exact),
        }
        x, y = (array[:, 0] for array in world.sample(rng, self.prompts, 1, self.points))
        for name, labels in (
            (DECODER, decoder_predictions(decoder, x, y)),
            (EXACT, exact_predictions(world, x, y)),
        ):
            risks[WEAK, name] = _risks(labels - x @ world.truth)
            students = [_student(x[:, point], labels[:, point]) for point in range(self.points)]
            # One student from all prompts: its risk is exact, but no error is known from one repetition.
            risks[STUDENT, name] = [Risk(float(world.excess(student)), float("nan")) for student in students]
        return risks

    def _facts(self, risks: Risks, base: float, naive: float, parameters: int) -> dict[str, str]:
        return {
            "world": f"d = {self.dimension}, K = {self.concepts}, σ = {self.sigma:g}, κ = {self.kappa:g}, "
            f"bias {self.bias:g}",
            "parameters": f"{parameters:,}",
            "shape": f"{self.layers} layers of width {self.width}",
            "steps": f"{self.steps:,}",
            "batch": str(self.batch),
            "prompts": f"{self.prompts:,}",
            "last": str(self.points - 1),
            "base": f"{base:.3f}",
            "naive": f"{naive:.3f}",
            "decoder": f"{risks[WEAK, DECODER][-1].mean:.3f}",
            "exact": f"{risks[WEAK, EXACT][-1].mean:.3f}",
            "student": f"{risks[STUDENT, DECODER][-1].mean:.3f}",
            "gap": f"{risks[PRETRAINING, DECODER][-1].mean:.4f}",
            "error": f"{max(risk.standard_error for risk in risks[WEAK, DECODER] + risks[WEAK, EXACT]):.4f}",
        }

    def _draw(self, figure: Figure, risks: Risks, base: float, naive: float) -> None:
        from outgrow.theory.figures import legend, line, panels, reference

        left, right = panels(figure, 2)
        before = np.arange(self.points)
        for axes, panel, names in (
            (left, PRETRAINING, (DECODER, SOURCE)),
            (right, WEAK, (DECODER, EXACT)),
        ):
            for index, name in enumerate(names):
                found = risks[panel, name]
                line(
                    axes,
                    before,
                    [risk.mean for risk in found],
                    [risk.standard_error for risk in found],
                    label=name,
                    index=2 * index if panel == WEAK else index,
                )
        ends = (0, self.points - 1)
        reference(right, ends, (base, base), label=SOURCE)
        reference(right, ends, (naive, naive), label=NAIVE, index=1)
        left.set(
            title="Prompts like in pretraining", xlabel="demonstrations n", ylabel="distance from the exact posterior"
        )
        right.set(title="Weak prompts", xlabel="demonstrations n", ylabel="excess risk")
        for axes in (left, right):
            axes.set_ylim(bottom=0)
            axes.locator_params(axis="x", integer=True)
            legend(axes)


def _risks(error: NDArray[np.float64]) -> list[Risk]:
    """Mean squared error at every position, from errors of shape (prompts, points)."""
    return [Risk.of(column) for column in (error**2).T]


def _student(x: NDArray[np.float64], labels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Least squares on inputs of shape (N, d) and labels of shape (N,): shape (d,)."""
    return np.asarray(np.linalg.lstsq(x, labels, rcond=None)[0])
