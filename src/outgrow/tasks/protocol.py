"""The protocol of a task, and how an experiment gets its task."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast

import numpy as np

from outgrow.config import TaskConfig
from outgrow.errors import ConfigError
from outgrow.labels import Rows, Weighted
from outgrow.registry import create

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from outgrow.evaluate.judge import Rubric


class Task(Protocol):
    """Where rows come from and, for text tasks, how answers are scored.

    A task is a frozen dataclass. Its fields are the parameters that an experiment file sets beside the name:
    `task: {name: mine, sides: 6}`. Only `read` is required. Rows with choices make a choice task, scored by accuracy;
    rows without choices make a text task, which needs `score` or `rubrics` or both.
    """

    takes_metric: ClassVar[bool] = False
    """Whether `task.metric` may be set."""
    needs_judge: ClassVar[bool] = False
    """Whether all scores come from a judge. Such a task needs no gold answers."""

    @abstractmethod
    def read(self, config: TaskConfig) -> Rows:
        """Return all rows, each with its part (see `outgrow.tasks.assign_parts` and `outgrow.tasks.rows_in_parts`)."""

    def score(
        self, config: TaskConfig, rows: Rows, answers: Sequence[str]
    ) -> Mapping[str, NDArray[np.float64] | Weighted]:
        """Score text answers: metric name → (N,), higher is better; the first metric is the headline."""
        return {}

    def remarks(self, config: TaskConfig, rows: Rows, answers: Sequence[str]) -> Sequence[str]:
        """Return what a reader should know about the answers, in whole sentences. Default: nothing."""
        return []

    def usable(self, config: TaskConfig, answers: Sequence[str]) -> Sequence[bool]:
        """Return whether each answer has the form that the task asks for, right or wrong. Default: all have it."""
        return [True] * len(answers)

    def rubrics(self, config: TaskConfig) -> Mapping[str, Rubric]:
        """Return metric → prompt and scale for a judge. Default: none, so the task is scored without a judge."""
        return {}

    def items(self, config: TaskConfig, rows: Rows, answers: Sequence[str]) -> Sequence[Mapping[str, str]]:
        """Return the values of a rubric's placeholders, one mapping per answer.

        By default these are `question`, `answer`, `concept` (`task.concept`), `gold` (the gold answer, or an empty
        text) and `reference` (a line with the gold answer, or an empty text).
        """
        return [
            {
                "question": prompt,
                "answer": answer,
                "concept": config.concept or "",
                "gold": "" if gold is None else str(gold),
                "reference": "" if gold is None else f"Reference answer: {gold}\n",
            }
            for prompt, gold, answer in zip(rows.prompts, rows.gold, answers, strict=True)
        ]


def load_task(config: TaskConfig) -> Task:
    """Create the task that an experiment names, with its parameters.

    Raises:
        UnknownNameError: There is no such task.
        ConfigError: A parameter does not exist or is refused, `task.metric` is set for a task with its own metrics, or
            a plug-in has no `read` or a parameter named like a setting of every task.
    """
    task = _checked(config.name, create("task", config.name, config.params))
    if config.metric is not None and not task.takes_metric:
        raise ConfigError(f"The task {config.name!r} has its own metrics.", found="task.metric", fix="Leave it out.")
    return task


def scores_texts(task: Task, config: TaskConfig) -> bool:
    """Return whether a task can score text answers, by its own `score` or by rubrics for a judge."""
    return type(task).score is not Task.score or bool(task.rubrics(config))


def scored(
    task: Task, config: TaskConfig, rows: Rows, answers: Sequence[str]
) -> dict[str, NDArray[np.float64] | Weighted]:
    """Return the task's own scores of N answers, after checking what `Task.score` or a metric returned.

    Raises:
        ConfigError: Scores are not N finite numbers.
    """
    found = {}
    for metric, own in task.score(config, rows, answers).items():
        scores, *weights = (_numbers(column) for column in (own if isinstance(own, Weighted) else (own,)))
        if not all(column.shape == (len(answers),) and np.isfinite(column).all() for column in (scores, *weights)):
            raise ConfigError(
                f"The metric {metric!r} of the task {config.name!r} does not return one number per answer.",
                found=", ".join(f"shape {column.shape}" for column in (scores, *weights)),
                wanted=f"finite numbers of shape ({len(answers)},)",
            )
        found[metric] = Weighted(scores, *weights) if weights else scores
    return found


def _numbers(values: object) -> NDArray[np.float64]:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        return np.array(np.nan)


def _checked(name: str, task: Any) -> Task:
    own = dataclasses.fields(task) if dataclasses.is_dataclass(task) else ()
    taken = {field.name for field in own} & set(TaskConfig.model_fields)
    if taken:
        raise ConfigError(
            f"The task {name!r} has parameters named like settings of every task.",
            found=", ".join(sorted(taken)),
            fix="Rename them, or read these settings from `config`.",
        )
    return cast(Task, task)
