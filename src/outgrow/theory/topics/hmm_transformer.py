"""`outgrow theory hmm_transformer`: in-context learning, refinement and students of a GPT-2 pretrained on GINC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from outgrow.errors import ConfigError
from outgrow.progress import Reporter
from outgrow.theory.checks import at_least, positive_counts, probability
from outgrow.theory.figures import Chart, Panel, charted
from outgrow.theory.forward import log_probability, next_token
from outgrow.theory.hmm import HiddenMarkovWorld, faulty_memory, make_ginc, sample_documents
from outgrow.theory.prompts import (
    answer_probabilities,
    answers,
    check_prompt_size,
    sample_prompts,
    task_posterior,
    tasks_of,
)
from outgrow.theory.regression import Risk
from outgrow.theory.topic import Finding, Point, curve, pivot

if TYPE_CHECKING:
    from outgrow.theory.training import Schedule, Shape

DOCUMENTS, LISTS = "GPT-2, documents", "GPT-2, documents and lists"
LAYOUT, SEQUENCE = "exact, knows the layout", "exact, reads one document"
CLEAN = "True demonstrations"

_WORLDS: dict[str, dict[str, int]] = {
    "tiny": {"concepts": 2, "entities": 2, "properties": 3, "vocabulary": 8},
    "reduced": {"concepts": 3, "entities": 5, "properties": 5, "vocabulary": 20},
    "full": {},
}
_CONTEXT = {"tiny": 32, "reduced": 68, "full": 1024}
_DOCUMENT_LENGTH = {"tiny": 100, "reduced": 2048, "full": 10_240}


@dataclass(frozen=True)
class HmmTransformerTopic:
    """Accuracy in context beside exact predictors, then weak labels, refinement and students, for two strong models."""

    size: Literal["tiny", "reduced", "full"] = "reduced"
    """`reduced` takes minutes on two CPU cores; `full` is the original world and a 12-layer GPT-2, for a GPU."""
    length: int = 3
    """k: tokens of an example."""
    counts: tuple[int, ...] = (1, 2, 4, 8, 16)
    """n, demonstrations."""
    lists: float = 0.5
    """Share of lists of examples in the second strong model's pretraining sequences."""
    fault: float = 0.4
    """Share of the weak supervisor's memory that is wrong."""
    demonstrations: int = 16
    """Demonstrations in a refinement prompt."""
    tasks: int = 5
    """Tasks on which students are trained."""
    prompts: int = 500
    jump: float = 1e-2
    """Probability of a jump per step, for the exact predictor that reads a prompt as one document."""
    seed: int = 0

    def __post_init__(self) -> None:
        positive_counts("counts", self.counts)
        if self.size not in _WORLDS:
            raise ConfigError("Unknown size.", found=self.size, wanted=", ".join(_WORLDS))
        check_prompt_size(max(*self.counts, self.demonstrations), self.length, _CONTEXT[self.size])
        for name in ("lists", "fault", "jump"):
            probability(name, getattr(self, name))
        at_least("tasks", self.tasks, 2)
        at_least("prompts", self.prompts, 2)

    def __call__(self, reporter: Reporter) -> Finding:
        """Pretrain both strong models, then measure in-context learning and train students."""
        from outgrow.theory.hmm_decoder import pretrain_language_model

        world = make_ginc(**_WORLDS[self.size], seed=self.seed)
        tasks = tasks_of(world)
        shape, schedule, _ = self._recipe()
        models = {
            name: pretrain_language_model(
                world,
                shape,
                schedule,
                context=_CONTEXT[self.size],
                length=_DOCUMENT_LENGTH[self.size],
                lists=lists,
                example=self.length,
                seed=self.seed,
                reporter=reporter,
            )
            for name, lists in ((DOCUMENTS, 0.0), (LISTS, self.lists))
        }
        losses = self._losses(world, models)
        in_context = self._in_context(world, tasks, models)
        transfer = f"Weak to strong, {self.fault:.0%} of memory wrong"
        students = [
            point for name, model in models.items() for point in self._students(transfer, name, model, tasks, reporter)
        ]
        summary = pivot(in_context, {"series": "accuracy"}, (0, *self.counts))
        taught = pivot(
            students, {"series": "strong model"}, list(dict.fromkeys(str(point.x) for point in students)), x="{}"
        )
        facts = losses | {
            "students": taught.markdown(),
            "world": f"{world.concepts} concepts, {world.entities} entities × {world.properties} properties, "
            f"vocabulary {world.vocabulary}, k = {self.length}",
            "parameters": f"{sum(weights.numel() for weights in models[DOCUMENTS].parameters()):,}",
            "lists": f"{self.lists:.0%}",
            "fault": f"{self.fault:.0%}",
        }
        panels = (
            Panel(CLEAN, y="accuracy", ylim=(0, 1.02)),
            Panel(transfer, x="", y="accuracy", ylim=(0, 1.02), scale="names"),
        )
        chart = Chart(panels, colors={name: index for index, name in enumerate((LAYOUT, SEQUENCE, *models))})
        points = [*in_context, *students]
        columns = {"x": "n or labels", "value": "accuracy"}
        return charted("hmm_transformer", self, summary, points, chart, size=(9.0, 3.8), facts=facts, **columns)

    def _recipe(self) -> tuple[Shape, Schedule, Schedule]:
        """Return the strong model's shape and schedule, and its students' schedule."""
        from outgrow.theory.training import Schedule, Shape

        return {
            "tiny": (Shape(8, 1, 1), Schedule(5, 4, 1e-3), Schedule(2, 4, 1e-3)),
            "reduced": (Shape(64, 3, 2), Schedule(2000, 16, 4e-3), Schedule(100, 32, 1e-3)),
            # Five readings of ten million tokens, 8 windows of 1024 at a time, 1000 steps of warm-up.
            "full": (Shape(768, 12, 12), Schedule(6250, 8, 8e-4, warm_up=0.16), Schedule(200, 32, 1e-4)),
        }[self.size]

    def _in_context(self, world: HiddenMarkovWorld, tasks: HiddenMarkovWorld, models: dict[str, Any]) -> list[Point]:
        from outgrow.theory.hmm_decoder import answer_distribution

        right: dict[str, list[Risk]] = {name: [] for name in (LAYOUT, SEQUENCE, *models)}
        counts = (0, *self.counts)
        task = np.random.default_rng(self.seed).integers(tasks.concepts, size=self.prompts)
        for n in counts:
            prompts = sample_prompts(tasks, task, demonstrations=n, length=self.length, seed=self.seed + n)
            truth = answers(tasks, task, prompts.query)
            said = {
                LAYOUT: answer_probabilities(tasks, prompts.query, task_posterior(tasks, prompts)),
                SEQUENCE: next_token(world, prompts.tokens, jump=self.jump),
                **{name: answer_distribution(model, prompts.tokens) for name, model in models.items()},
            }
            for name, probabilities in said.items():
                right[name].append(Risk.of((probabilities.argmax(axis=1) == truth).astype(np.float64)))
        return [point for name, risks in right.items() for point in curve(CLEAN, name, "measured", counts, risks)]

    def _losses(self, world: HiddenMarkovWorld, models: dict[str, Any]) -> dict[str, str]:
        """Nats per token of new documents, and the least possible."""
        from outgrow.theory.hmm_decoder import language_model_loss

        context = _CONTEXT[self.size]
        tokens = sample_documents(world, count=200, length=context + 1, seed=self.seed + 1).tokens
        least = log_probability(world, tokens[:, :1]) - log_probability(world, tokens)
        losses = [float(language_model_loss(model, tokens).mean()) for model in models.values()]
        values = (float(least.mean()) / context, *losses)
        return {
            name: f"{value:.3f}" for name, value in zip(("least", "documents_loss", "lists_loss"), values, strict=True)
        }

    def _students(self, panel: str, name: str, model: Any, tasks: HiddenMarkovWorld, reporter: Reporter) -> list[Point]:
        from outgrow.theory.hmm_decoder import weak_to_strong

        schedule, options = self._recipe()[2], {"demonstrations": self.demonstrations, "length": self.length}
        chosen = np.random.default_rng([self.seed, 2]).integers(tasks.concepts, size=self.tasks)
        scores = []
        with reporter.step("weak to strong", total=self.tasks) as step:
            for number, task in enumerate(chosen):
                seed = self.seed + number
                memory = faulty_memory(tasks, self.fault, seed=seed)
                scores.append(weak_to_strong(model, tasks, int(task), memory, schedule, seed=seed, **options))
                step.advance()
        risks = [Risk.of(np.array([score[who] for score in scores])) for who in scores[0]]
        return curve(panel, name, "measured", scores[0], risks)
