"""`outgrow theory transformer`: a decoder pretrained on regression prompts refines weak labels."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from outgrow.errors import ConfigError
from outgrow.progress import Reporter
from outgrow.theory.checks import Floats, at_least
from outgrow.theory.figures import Chart, Panel, charted
from outgrow.theory.regression import Risk
from outgrow.theory.topic import Finding, Point, curve, pivot
from outgrow.theory.world import COVARIANCE_SCALE, RegressionWorld, orthonormal_world

if TYPE_CHECKING:
    from outgrow.theory.transformer import RegressionDecoder

DECODER, EXACT, SOURCE, NAIVE = "decoder", "exact posterior", "untouched source", "naive, infinitely many labels"
PRETRAINING, WEAK, STUDENT = "Pretraining prompts", "Weak prompts", "Student of refined labels"
DISTANCE, RISK = "squared distance from the exact posterior", "excess risk"


@dataclass(frozen=True)
class TransformerTopic:
    """A pretrained decoder against the exact posterior, on pretraining prompts and as a refiner of weak labels."""

    dimension: int = 8
    concepts: int = 5
    sigma: float = 0.3
    kappa: float = 1.0
    """κ: alignment of the weak supervisor's components with the concepts."""
    bias: float = 0.21
    """Excess risk due to the part of its components that is orthogonal to all concepts."""
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
        """Pretrain the decoder and measure it."""
        from outgrow.theory.training import Schedule, Shape
        from outgrow.theory.transformer import pretrain_decoder

        world = self.world()
        shape = Shape(self.width, self.layers, self.heads)
        schedule = Schedule(self.steps, self.batch, self.learning_rate)
        decoder = pretrain_decoder(world, shape, schedule, points=self.points, seed=self.seed, reporter=reporter)
        base, naive = float(world.excess(world.source)), float(world.excess(world.weak_mean))
        points = [
            *self._measure(world, decoder),
            *curve(WEAK, SOURCE, RISK, [None], [base]),
            *curve(WEAK, NAIVE, RISK, [None], [naive]),
        ]
        shown = sorted({0, 1, 3, 7, self.points - 1} & set(range(self.points)))
        # Nine decimals: the rest is float32 rounding of the decoder.
        summary = pivot(
            points, {"panel": "measured on", "series": "predictor"}, shown, cell=lambda point: round(point.value, 9)
        )
        parameters = sum(weights.numel() for weights in decoder.parameters())
        facts = self._facts(points) | {"base": f"{base:.3f}", "naive": f"{naive:.3f}", "parameters": f"{parameters:,}"}
        options: dict[str, Any] = {"scale": "linear", "ylim": (0, None)}
        panels = Panel(PRETRAINING, y=DISTANCE, **options), Panel(WEAK, y=RISK, **options)
        chart = Chart(panels, colors={DECODER: 0, EXACT: 2, NAIVE: 1})
        return charted("transformer", self, summary, points, chart, size=(8.0, 3.8), value="mean", facts=facts)

    def world(self) -> RegressionWorld:
        """Return the world: weak components are κβ_k + b·e, with e orthogonal to all concepts and c·b² the bias."""
        world = orthonormal_world(dimension=self.dimension, concepts=self.concepts, sigma=self.sigma, rotated=False)
        weak = self.kappa * world.components
        weak[:, -1] = (self.bias / COVARIANCE_SCALE) ** 0.5
        return dataclasses.replace(world, weak=weak)

    def _measure(self, world: RegressionWorld, decoder: RegressionDecoder) -> list[Point]:
        from outgrow.theory.transformer import decoder_predictions, exact_predictions, pretraining_world

        rng = np.random.default_rng([self.seed, 1])
        before = range(self.points)

        def mean_squares(panel: str, series: str, kind: str, error: Floats) -> list[Point]:
            return curve(panel, series, kind, before, [Risk.of(column) for column in (error**2).T])

        x, y = (array[:, 0] for array in pretraining_world(world).sample(rng, self.prompts, 1, self.points))
        exact = exact_predictions(world, x, y)
        points = [
            *mean_squares(PRETRAINING, DECODER, DISTANCE, decoder_predictions(decoder, x, y) - exact),
            *mean_squares(PRETRAINING, SOURCE, DISTANCE, x @ world.source - exact),
        ]
        x, y = (array[:, 0] for array in world.sample(rng, self.prompts, 1, self.points))
        for name, labels in ((DECODER, decoder_predictions(decoder, x, y)), (EXACT, exact_predictions(world, x, y))):
            points += mean_squares(WEAK, name, RISK, labels - x @ world.truth)
            students = [_student(x[:, point], labels[:, point]) for point in before]
            # One student from all prompts: its risk is exact, but no error is known from one repetition.
            points += curve(STUDENT, name, RISK, before, [float(world.excess(student)) for student in students])
        return points

    def _facts(self, points: list[Point]) -> dict[str, str]:
        last = {(point.panel, point.series): point.value for point in points}
        return {
            "world": f"d = {self.dimension}, K = {self.concepts}, σ = {self.sigma:g}, κ = {self.kappa:g}, "
            f"bias {self.bias:g}",
            "shape": f"{self.layers} layers of width {self.width}",
            "last": str(self.points - 1),
            "decoder": f"{last[WEAK, DECODER]:.3f}",
            "exact": f"{last[WEAK, EXACT]:.3f}",
            "student": f"{last[STUDENT, DECODER]:.3f}",
            "gap": f"{last[PRETRAINING, DECODER]:.4f}",
            "error": f"{max(point.standard_error or 0.0 for point in points if point.panel == WEAK):.4f}",
        }


def _student(x: Floats, labels: Floats) -> Floats:
    return np.asarray(np.linalg.lstsq(x, labels, rcond=None)[0])
