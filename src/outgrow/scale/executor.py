"""The protocol of executors: where the models run that map rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

from outgrow.config import Scale
from outgrow.registry import create

R = TypeVar("R")
Piece = tuple[int, Sequence[Any]]
"""A number and the items that belong together."""


class Apply(Protocol):
    """Applies a function to pieces, with a model of the executor."""

    def __call__(self, work: Callable[[Any, Sequence[Any]], R], pieces: Iterable[Piece]) -> Iterator[tuple[int, R]]:
        """Yield the number of each piece and `work(model, items)`, in any order, as results come.

        `pieces` is read only as fast as there are workers for them.
        """


class Executor(Protocol):
    """Where the models run that map rows: the registry kind `executor` (`scale: {executor: …}`)."""

    devices: int = 1
    """Models that work at once, each as fast as one here: what an estimate divides the time of a stage by."""
    together: bool = False
    """Under torchrun: whether each process has a model and takes its turn; else the first one alone uses the executor.
    """

    def open(
        self, load: Callable[[], Any], *, seen: Callable[[], Any], say: Callable[[str], object]
    ) -> AbstractContextManager[Apply]:
        """Return a context with workers, each with a model that it loads at its first piece and keeps until the end.

        Args:
            load: Loads the model. Can be pickled where the model's own description can.
            seen: Returns what `load` would load, as a JSON value: a worker elsewhere must find the same.
            say: Receives notes, such as those of the models (their `notes`).

        Raises:
            OutgrowError: From `Apply`: a worker cannot be had, or cannot load the model.
        """


def executor_of(scale: Scale) -> Executor:
    """Create the executor of an experiment.

    Raises:
        ConfigError: There is no such executor, it refuses its parameters, or a package is missing.
    """
    executor: Executor = create("executor", scale.executor, scale.params)
    return executor
