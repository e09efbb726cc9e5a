"""`outgrow theory hmm_transformer`: a GPT-2 pretrained on the world of GINC learns in context, refines and teaches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from outgrow.errors import ConfigError
from outgrow.progress import Reporter
from outgrow.theory.checks import at_least, probability
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
from outgrow.theory.topic import Finding, Table, page

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from outgrow.theory.training import Schedule, Shape

DOCUMENTS, LISTS = "GPT-2, documents", "GPT-2, documents and lists"
LAYOUT, SEQUENCE = "exact, knows the layout", "exact, reads one document"

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
    """`reduced` takes minutes on two cores; `full` is GINC's world and a 12-layer GPT-2, for a GPU."""
    length: int = 3
    """k: tokens of an example."""
    counts: tuple[int, ...] = (1, 2, 4, 8, 16)
    """n, demonstrations."""
    lists: float = 0.5
    """Share of lists of examples in what the second strong model reads."""
    fault: float = 0.4
    """Share of the memory that the weak supervisor has wrong."""
    demonstrations: int = 16
    """In a refinement prompt."""
    tasks: int = 5
    """Tasks on which students are trained."""
    prompts: int = 500
    jump: float = 1e-2
    """Chance of a jump at every step, for the exact predictor that takes a prompt for one document."""
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.counts or min(self.counts) < 1:
            raise ConfigError("counts must be at least 1.", found=self.counts)
        if self.size not in _WORLDS:
            raise ConfigError("This size does not exist.", found=self.size, wanted=", ".join(_WORLDS))
        check_prompt_size(max(*self.counts, self.demonstrations), self.length, _CONTEXT[self.size])
        for name in ("lists", "fault", "jump"):
            probability(name, getattr(self, name))
        at_least("tasks", self.tasks, 2)
        at_least("prompts", self.prompts, 2)

    def __call__(self, reporter: Reporter) -> Finding:
        """Trains, measures and explains."""
        world = make_ginc(**_WORLDS[self.size], seed=self.seed)
        tasks = tasks_of(world)
        models = {
            DOCUMENTS: self._pretrained(world, 0.0, reporter),
            LISTS: self._pretrained(world, self.lists, reporter),
        }
        accuracy, losses = self._in_context(world, tasks, models), self._losses(world, models)
        students = {name: self._students(model, tasks, reporter) for name, model in models.items()}
        columns = ("accuracy", "n = 0", *(f"n = {n}" for n in self.counts))
        summary = Table(columns, [(name, *(risk.mean for risk in found.values())) for name, found in accuracy.items()])
        taught = Table(
            ("strong model", *next(iter(students.values()))),
            [(name, *(risk.mean for risk in found.values())) for name, found in students.items()],
        )
        rows = [
            (name, "in context", n, risk.mean, risk.standard_error)
            for name, found in accuracy.items()
            for n, risk in found.items()
        ] + [
            (name, who, None, risk.mean, risk.standard_error)
            for name, found in students.items()
            for who, risk in found.items()
        ]
        facts = {name: f"{loss:.3f}" for name, loss in losses.items()} | {
            "students": taught.markdown(),
            "size": self.size,
            "world": f"{world.concepts} concepts, {world.entities} entities × {world.properties} properties, "
            f"vocabulary {world.vocabulary}, k = {self.length}",
            "parameters": f"{sum(weights.numel() for weights in models[DOCUMENTS].parameters()):,}",
            "prompts": f"{self.prompts:,}",
            "tasks": str(self.tasks),
            "jump": f"{self.jump:g}",
            "lists": f"{self.lists:.0%}",
            "fault": f"{self.fault:.0%}",
            "demonstrations": str(self.demonstrations),
        }
        return Finding(
            title="A GPT-2 in the world of GINC: in-context learning, refinement and students",
            summary=summary,
            data=Table(("model", "who", "n", "mean", "standard error"), rows),
            draw=lambda figure: self._draw(figure, accuracy, students),
            page=page("hmm_transformer", table=summary, facts=facts),
            size=(9.0, 3.8),
        )

    def _recipe(self) -> tuple[Shape, Schedule, Schedule]:
        """The strong model's shape and training, and its students' training."""
        from outgrow.theory.training import Schedule, Shape

        return {
            "tiny": (Shape(8, 1, 1), Schedule(5, 4, 1e-3), Schedule(2, 4, 1e-3)),
            "reduced": (Shape(64, 3, 2), Schedule(2000, 16, 4e-3), Schedule(100, 32, 1e-3)),
            # Five readings of ten million tokens, 8 windows of 1024 at a time, 1000 steps of warm-up.
            "full": (Shape(768, 12, 12), Schedule(6250, 8, 8e-4, warm_up=0.16), Schedule(200, 32, 1e-4)),
        }[self.size]

    def _pretrained(self, world: HiddenMarkovWorld, lists: float, reporter: Reporter) -> Any:
        from outgrow.theory.hmm_decoder import pretrain_language_model

        shape, schedule, _ = self._recipe()
        return pretrain_language_model(
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

    def _in_context(
        self, world: HiddenMarkovWorld, tasks: HiddenMarkovWorld, models: dict[str, Any]
    ) -> dict[str, dict[int, Risk]]:
        """Accuracy on true demonstrations, by predictor and n."""
        from outgrow.theory.hmm_decoder import answer_distribution

        found: dict[str, dict[int, Risk]] = {name: {} for name in (LAYOUT, SEQUENCE, *models)}
        task = np.random.default_rng(self.seed).integers(tasks.concepts, size=self.prompts)
        for n in (0, *self.counts):
            prompts = sample_prompts(tasks, task, demonstrations=n, length=self.length, seed=self.seed + n)
            truth = answers(tasks, task, prompts.query)
            said = {
                LAYOUT: answer_probabilities(tasks, prompts.query, task_posterior(tasks, prompts)),
                SEQUENCE: next_token(world, prompts.tokens, jump=self.jump),
                **{name: answer_distribution(model, prompts.tokens) for name, model in models.items()},
            }
            for name, probabilities in said.items():
                found[name][n] = Risk.of((probabilities.argmax(axis=1) == truth).astype(np.float64))
        return found

    def _losses(self, world: HiddenMarkovWorld, models: dict[str, Any]) -> dict[str, float]:
        """Nats per token of fresh documents, and the least possible."""
        from outgrow.theory.hmm_decoder import language_model_loss

        tokens = sample_documents(world, count=200, length=_CONTEXT[self.size] + 1, seed=self.seed + 1).tokens
        least = log_probability(world, tokens[:, :1]) - log_probability(world, tokens)
        losses = [float(language_model_loss(model, tokens).mean()) for model in models.values()]
        return {
            "least": float(least.mean()) / _CONTEXT[self.size],
            "documents_loss": losses[0],
            "lists_loss": losses[1],
        }

    def _students(self, model: Any, tasks: HiddenMarkovWorld, reporter: Reporter) -> dict[str, Risk]:
        """Accuracy of everybody in weak-to-strong training, as a mean over tasks."""
        from outgrow.theory.hmm_students import StudentsPlan, weak_to_strong

        plan = StudentsPlan(self._recipe()[2], demonstrations=self.demonstrations, length=self.length)
        chosen = np.random.default_rng([self.seed, 2]).integers(tasks.concepts, size=self.tasks)
        scores = []
        with reporter.step("weak to strong", total=self.tasks) as step:
            for number, task in enumerate(chosen):
                seed = self.seed + number
                memory = faulty_memory(tasks, self.fault, seed=seed)
                scores.append(weak_to_strong(model, tasks, int(task), memory, plan, seed=seed))
                step.advance()
        return {name: Risk.of(np.array([score[name] for score in scores])) for name in scores[0]}

    def _draw(self, figure: Figure, accuracy: dict[str, dict[int, Risk]], students: dict[str, dict[str, Risk]]) -> None:
        from outgrow.theory.figures import COLORS, MARKERS, counts_axis, legend, line, panels

        left, right = panels(figure, 2)
        for index, (name, found) in enumerate(accuracy.items()):
            chosen = [found[n] for n in self.counts]
            means, errors = [risk.mean for risk in chosen], [risk.standard_error for risk in chosen]
            line(left, self.counts, means, errors, label=name, index=index)
        counts_axis(left, self.counts)
        left.set(title="True demonstrations", xlabel="demonstrations n", ylabel="accuracy")
        for index, (name, scores) in enumerate(students.items(), start=2):
            right.errorbar(
                np.arange(len(scores)) + 0.12 * (2 * index - 5),
                [risk.mean for risk in scores.values()],
                yerr=[1.96 * risk.standard_error for risk in scores.values()],
                color=COLORS[index],
                marker=MARKERS[index],
                linestyle="none",
                label=name,
            )
        names = list(next(iter(students.values())))
        right.set_xticks(range(len(names)), [name.replace(" ", "\n") for name in names], fontsize=7)
        right.set(title=f"Weak to strong, {self.fault:.0%} of memory wrong", ylabel="accuracy")
        for axes in (left, right):
            axes.set_ylim(0, 1.02)
            legend(axes)
