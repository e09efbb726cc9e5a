"""Scores of answers to a text task: by the task itself, and by judges where there are any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from outgrow.config import ExperimentConfig
from outgrow.errors import ConfigError
from outgrow.labels import Note, Rows, Weighted
from outgrow.pipeline.judge_check import judge_notes
from outgrow.pipeline.judging import check_judges, judge_answers
from outgrow.run import Run
from outgrow.tasks import Task
from outgrow.tasks.protocol import scored


@dataclass(frozen=True)
class Scored:
    """Scores of N answers."""

    scores: Mapping[str, NDArray[np.float64]]
    """Metric → (N,), higher is better; the first one is the headline."""
    weights: Mapping[str, NDArray[np.float64]]
    """Metric → how much each answer counts, (N,), where not all count alike."""
    notes: tuple[Note, ...]
    """Remarks of the task, and notes on the judges."""


@dataclass(frozen=True)
class Scorer:
    """Score answers by the task and the judges of an experiment."""

    config: ExperimentConfig
    """The experiment."""
    task: Task
    """Its task."""
    run: Run
    """Store and progress, for judges."""

    def check(self) -> None:
        """Refuse judges that the task does not use, and a missing judge that it needs."""
        judges, name = self.config.judge, self.config.task.name
        check_judges(judges)
        if judges and not self.task.rubrics(self.config.task):
            raise ConfigError(f"The task {name!r} is scored without a judge.", found="judge", fix="Leave it out.")
        if self.task.needs_judge and not judges:
            raise ConfigError(
                f"The task {name!r} is scored by a judge, and there is none.",
                fix="Name a language model: judge: {model: …}",
            )

    @property
    def needs_no_gold(self) -> bool:
        """Whether answers are scored by judges alone, without gold."""
        return self.task.needs_judge

    def judge_notes(self, rows: Rows) -> list[Note]:
        """Return how well the judges tell right answers to these rows from wrong ones; see `judge_check`."""
        if not self.config.judge:
            return []
        return judge_notes(self.config.judge, self.task, self.config.task, rows, self.run)

    def __call__(self, rows: Rows, answers: Sequence[str], *, author: str) -> Scored:
        """Return the scores of a model's answers to N rows."""
        config = self.config.task
        remarks = self.task.remarks(config, rows, answers)
        notes = [Note("message", "info", author, values={"text": remark}) for remark in remarks]
        found = scored(self.task, config, rows, answers)
        weights = {name: own.weights for name, own in found.items() if isinstance(own, Weighted)}
        scores = {name: own.scores if isinstance(own, Weighted) else own for name, own in found.items()}
        if self.config.judge:
            rubrics, items = self.task.rubrics(config), self.task.items(config, rows, answers)
            judged = judge_answers(self.config.judge, rubrics, items, self.run, author=author, ids=rows.ids)
            scores, weights = {**scores, **judged.scores}, {**weights, **judged.weights}
            notes += judged.notes
        return Scored(scores, weights, tuple(notes))
