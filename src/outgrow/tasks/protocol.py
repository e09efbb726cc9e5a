"""The protocol of a task, and how an experiment gets its task."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np

from outgrow.config import TaskConfig
from outgrow.errors import ConfigError, DataError
from outgrow.labels import Rows, Weighted
from outgrow.registry import create, lookup, parameters

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from outgrow.evaluate.judge import Rubric


class Task(Protocol):
    """Where rows come from and, for text tasks, how answers are scored.

    A task is a frozen dataclass, or a function that stands for `read`. Its fields or keyword-only arguments are the
    parameters that an experiment file sets beside the name: `task: {name: mine, sides: 6}`. Only `read` is required;
    the registry adds the other members of this class to a task that lacks them. Rows with choices make a choice task,
    scored by accuracy. Rows without choices make a text task, which needs `score` or `rubrics` or both.
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
            a plug-in has a parameter named like a setting of every task.
    """
    taken = parameters(lookup("task", config.name)).keys() & type(config).model_fields.keys()
    if taken:
        raise ConfigError(
            f"The task {config.name!r} has parameters named like settings of every task.",
            found=", ".join(sorted(taken)),
            fix="Rename them, or read these settings from `config`.",
        )
    task: Task = create("task", config.name, config.params)
    if config.metric is not None and not task.takes_metric:
        raise ConfigError(f"The task {config.name!r} has its own metrics.", found="task.metric", fix="Leave it out.")
    return task


def read_task(config: TaskConfig) -> tuple[Task, Rows]:
    """Load the task of an experiment and read its rows, checking what a plug-in returns.

    Raises:
        ConfigError: See `load_task`; or the result of `read` is not `Rows`, or a gold answer has the wrong type.
        DataError: The rows cannot be read.
    """
    task = load_task(config)
    rows = task.read(config)
    if not isinstance(rows, Rows):
        found = type(rows).__name__
        raise ConfigError(f"The task {config.name!r} does not return rows.", found=found, wanted="outgrow.labels.Rows")
    indices = None if rows.choices is None else range(len(rows.choices))
    for gold in rows.gold:
        if gold is not None and not (isinstance(gold, str) if indices is None else gold in indices):
            raise ConfigError(
                f"The task {config.name!r} has a gold answer of the wrong type.",
                found=repr(gold),
                wanted="a text or None" if indices is None else f"None or an index from 0 to {len(indices) - 1}",
            )
    return task, rows


def read_tests(config: TaskConfig, rows: Rows) -> dict[str, tuple[Task, Rows]]:
    """Return the further test parts of an experiment by name: task and rows, whose ids begin with `name/`.

    Args:
        config: The section `task` of the experiment.
        rows: What `read_task` returned.

    Raises:
        ConfigError: See `read_task`; or a part has other choices than `rows`.
        DataError: Rows cannot be read, or a part has none.
    """
    found = {}
    for name in config.tests:
        task, every = read_task(config.tests[name])
        own = every.part("test")
        if not len(own):
            raise DataError(f"The test part {name!r} is empty.", fix=f"Change task.tests.{name}.")
        if own.choices != rows.choices or (own.options is None) != (rows.options is None):
            raise ConfigError(
                f"The test part {name!r} has other choices than the task.",
                found=_kind(own),
                wanted=_kind(rows),
                fix="All parts are text tasks, have the same choices, or as many choices for each row.",
            )
        found[name] = task, replace(own, ids=tuple(f"{name}/{row}" for row in own.ids))
    return found


def _kind(rows: Rows) -> str:
    if rows.choices is None:
        return "a text task"
    return f"{len(rows.choices)} choices for each row" if rows.options is not None else ", ".join(rows.choices)


def scores_texts(task: Task, config: TaskConfig) -> bool:
    """Return whether a task can score text answers, by its own `score` or by rubrics for a judge."""
    return type(task).score is not Task.score or bool(task.rubrics(config))


def scored(
    task: Task, config: TaskConfig, rows: Rows, answers: Sequence[str]
) -> dict[str, NDArray[np.float64] | Weighted]:
    """Return the task's own scores of N answers, after checking what `Task.score` or a metric returned.

    Raises:
        ConfigError: The result is no mapping, or scores are not N finite numbers.
    """
    found, returned = {}, task.score(config, rows, answers)
    if not isinstance(returned, Mapping):
        raise ConfigError(f"The task {config.name!r} does not return scores by metric.", found=type(returned).__name__)
    for metric, own in returned.items():
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
