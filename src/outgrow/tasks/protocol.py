"""What a task is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from outgrow.config import TaskConfig
from outgrow.labels import Rows
from outgrow.registry import create


class Task(Protocol):
    """A frozen dataclass that reads rows; answers of choice tasks are scored by accuracy."""

    def read(self, config: TaskConfig) -> Rows:
        """All rows, each with its part."""


@runtime_checkable
class TextTask(Protocol):
    """A task that can also score texts."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics that `score` gives; the first is the headline."""

    def read(self, config: TaskConfig) -> Rows:
        """All rows, each with its part."""

    def score(self, config: TaskConfig, rows: Rows, answers: Sequence[str]) -> Mapping[str, NDArray[np.float64]]:
        """Scores of text answers: metric name → (N,), higher is better."""


def load_task(config: TaskConfig) -> Task:
    """The task that an experiment names.

    Raises:
        UnknownNameError: There is no such task.
    """
    return cast(Task, create("task", config.name, {}))
