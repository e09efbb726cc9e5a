"""Supervisors that are labelling functions: Python code of the user that votes on a prompt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from outgrow.config import Named
from outgrow.errors import DataError
from outgrow.identity import identity
from outgrow.labels import ChoiceVotes, Rows, check_probabilities
from outgrow.registry import create
from outgrow.run import Run
from outgrow.store import table_hash
from outgrow.supervisors.gold import judged_rows, shared_choices
from outgrow.supervisors.protocol import Asking
from outgrow.supervisors.votes import vote_index

LabellingFunction = Callable[[str], Any]
"""A prompt → a choice's name or index, a probability for each of the K choices, or None or -1 for no vote."""


class FunctionSupervisor(Named):
    """A registered labelling function; further keys are its parameters: `{function: long_words, threshold: 7}`."""

    uses_gold: ClassVar[bool] = False

    function: str
    """The name it was registered under, by a plug-in or with `outgrow.register("labelling_function", …)`."""
    name: str | None = None  # type: ignore[assignment]
    """A name for tables; by default the function's."""

    def check(self, task: Literal["choice", "text"], asking: Asking) -> None:
        """Refuse an unknown function or parameter; see `Supervisor.check`."""
        self._created()

    def vote(self, rows: Rows, run: Run, *, seed: int) -> ChoiceVotes:
        """Call the function with every prompt; see `ask` and `Supervisor.vote`."""
        function, judged, name = self._created(), judged_rows(rows), self.name or self.function

        def make(folder: Path) -> ChoiceVotes:
            with run.reporter.step(f"label with {name}", total=len(judged)) as step:
                return ask(function, judged, name=name, on_row=step.advance)

        recipe = {"function": identity(function), "name": name, "rows": table_hash(judged.to_arrow())}
        return run.stage("labels", recipe, make, ChoiceVotes, blank=make)

    def _created(self) -> LabellingFunction:
        function: LabellingFunction = create("labelling_function", self.function, self.params)
        return function


def ask(
    function: LabellingFunction, rows: Rows, *, name: str, on_row: Callable[[], object] = lambda: None
) -> ChoiceVotes:
    """Return the votes of a labelling function on N rows with K choices.

    It sees prompts only, never the gold answers. Where it raises an exception, or answers what is no vote, the vote is
    `failed` with what went wrong.

    Args:
        function: Called with a prompt. Its answer is a choice's name or index, K probabilities, or None or `-1`
            (unless a choice has that name) for an abstention.
        rows: The rows of a choice task.
        name: The supervisor's name.
        on_row: Called after every row.

    Raises:
        DataError: It failed on every row.

    Example:
        >>> rows = Rows(("a", "b"), ("great", "?"), ("test", "test"), (1, 0), choices=("bad", "good"))
        >>> votes = ask(lambda prompt: "good" if "great" in prompt else None, rows, name="great")
        >>> votes.probs[:, 0].tolist(), votes.status[:, 0].tolist()
        ([[0.0, 1.0], [nan, nan]], ['ok', 'abstained'])
    """
    choices = shared_choices(rows, name)
    probs = np.full((len(rows), 1, len(choices)), np.nan)
    status = np.full((len(rows), 1), "abstained", dtype=object)
    errors: dict[tuple[str, str], str] = {}
    for n, prompt in enumerate(rows.prompts):
        try:
            vote = distribution(function(prompt), choices, where=f"the answers of {name}")
        except Exception as error:  # whatever a user's code raises is that row's outcome, not the end of the run
            status[n], errors[rows.ids[n], name] = "failed", " ".join(f"{type(error).__name__}: {error}".split())
        else:
            if vote is not None:
                status[n], probs[n, 0] = "ok", vote
        on_row()
    if rows.ids and len(errors) == len(rows):
        raise DataError(
            f"The labelling function {name} failed on every row.",
            found=next(iter(errors.values())),
            wanted="a choice's name or index, a probability for each choice, or None",
        )
    return ChoiceVotes(rows.ids, (name,), probs, status, errors)


def distribution(answer: Any, choices: Sequence[str], *, where: str) -> NDArray[np.float64] | None:
    """Return the answer of a labelling function as K probabilities; None for an abstention.

    Raises:
        DataError: It is neither a choice's name or index, nor a distribution over the K choices, nor an abstention.

    Example:
        >>> [distribution(answer, ("no", "yes"), where="f") for answer in ("yes", -1)]
        [array([0., 1.]), None]
        >>> distribution([0.25, 0.75], ("no", "yes"), where="f")
        array([0.25, 0.75])
    """
    if np.ndim(answer) == 1:
        probs: NDArray[np.float64] = np.asarray(answer, dtype=np.float64)
        if probs.shape != (len(choices),):
            raise DataError(f"A vote among {where} has the wrong length.", found=len(probs), wanted=len(choices))
        check_probabilities(probs[None], where)
        return probs / float(probs.sum())
    value = answer.item() if isinstance(answer, np.generic) else answer
    index = vote_index(value, choices, where=where)
    if index is None:
        return None
    certain = np.zeros(len(choices))
    certain[index] = 1.0
    return certain
