"""What a task is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from outgrow.config import TaskConfig
from outgrow.errors import ConfigError
from outgrow.evaluate.judge import Rubric
from outgrow.labels import Rows, Weighted
from outgrow.registry import create
from outgrow.tasks.files import FileTask


class Task(Protocol):
    """A frozen dataclass that reads rows; answers of choice tasks are scored by accuracy."""

    def read(self, config: TaskConfig) -> Rows:
        """All rows, each with its part."""


@runtime_checkable
class TextTask(Protocol):
    """A task that can also score texts."""

    def read(self, config: TaskConfig) -> Rows:
        """All rows, each with its part."""

    def score(
        self, config: TaskConfig, rows: Rows, answers: Sequence[str]
    ) -> Mapping[str, NDArray[np.float64] | Weighted]:
        """Scores of text answers: metric name → (N,), higher is better; the first metric is the headline."""


@runtime_checkable
class RemarkingTask(Protocol):
    """A text task that has more to say about answers than their scores."""

    def remarks(self, config: TaskConfig, rows: Rows, answers: Sequence[str]) -> Sequence[str]:
        """What a reader should know of these answers, in whole sentences; nothing where all is well."""


@runtime_checkable
class DemandingTask(Protocol):
    """A text task that cannot use every answer."""

    def usable(self, config: TaskConfig, answers: Sequence[str]) -> Sequence[bool]:
        """Whether each answer has the form that the task wants, right or wrong."""


@runtime_checkable
class RatedTask(Protocol):
    """A text task whose answers a judge rates; see `outgrow.tasks.judged.JudgedTask`."""

    needs_judge: ClassVar[bool]
    """Whether there are no scores without a judge."""

    def rubrics(self, config: TaskConfig) -> Mapping[str, Rubric]:
        """Metric → what a judge is asked."""

    def items(self, config: TaskConfig, rows: Rows, answers: Sequence[str]) -> Sequence[Mapping[str, str]]:
        """What fills a rubric's places for each answer."""


def load_task(config: TaskConfig) -> Task:
    """The task that an experiment names.

    Raises:
        UnknownNameError: There is no such task.
        ConfigError: A metric is named for a task that has its own.
    """
    task = cast(Task, create("task", config.name, {}))
    if config.metric is not None and not isinstance(task, FileTask):
        raise ConfigError(f"The task {config.name!r} has its own metrics.", found="task.metric", fix="Leave it out.")
    return task
