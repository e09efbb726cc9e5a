"""The whole method in a hidden Markov world: weak labels, refinement in context, naive and refined students."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outgrow.errors import DataError
from outgrow.progress import SilentReporter
from outgrow.theory.checks import at_least
from outgrow.theory.hmm import HiddenMarkovWorld
from outgrow.theory.hmm_decoder import answer_distribution, fine_tune
from outgrow.theory.prompts import Prompts, answers, sample_prompts
from outgrow.theory.training import Schedule

BASE, WEAK, NAIVE, LABELS, REFINED, CEILING = (
    "base",
    "weak supervisor",
    "naive student",
    "refined labels",
    "refined student",
    "ceiling",
)


@dataclass(frozen=True)
class StudentsPlan:
    """How weak-to-strong training is done for one task."""

    schedule: Schedule
    """Of every student's training."""
    rows: int = 200
    """Inputs that the weak supervisor labels."""
    test: int = 400
    """Inputs on which everybody is scored. Both are drawn from the task, whose inputs are few: they share some."""
    demonstrations: int = 16
    """Weakly labelled rows in a refinement prompt."""
    length: int = 3
    """k."""

    def __post_init__(self) -> None:
        for name in ("rows", "test", "demonstrations"):
            at_least(name, getattr(self, name), 1)


def weak_to_strong(
    model: Any,
    tasks: HiddenMarkovWorld,
    task: int,
    memory: NDArray[np.int64],
    plan: StudentsPlan,
    *,
    seed: int,
) -> dict[str, float]:
    """Accuracy of everybody on one task.

    Args:
        model: The strong model, see `pretrain_language_model`; it stays as it is.
        tasks: What `tasks_of` returns.
        task: The task.
        memory: The weak supervisor's, see `faulty_memory`.
        plan: Numbers of rows, demonstrations and steps.
        seed: Of rows, demonstrations and batches.

    Returns:
        Accuracies by name: base, weak supervisor, naive student, refined labels (on the rows themselves), refined
        student, ceiling.

    Raises:
        DataError: Some row has no other rows with another input to be shown, or prompts are too long for the model.

    Source:
        [TL] Algorithm 1 in the world of Xie et al. 2021: ours.

    Example:
        >>> from transformers import GPT2LMHeadModel
        >>> from outgrow.theory.hmm import make_ginc
        >>> from outgrow.theory.prompts import tasks_of
        >>> from outgrow.theory.training import Shape, decoder_config
        >>> model = GPT2LMHeadModel(decoder_config(Shape(8, 1, 1), positions=16, vocabulary=50)).eval()
        >>> tasks = tasks_of(make_ginc(seed=0))
        >>> plan = StudentsPlan(Schedule(steps=2, batch=4, learning_rate=1e-3), rows=20, test=9, demonstrations=3)
        >>> weak_to_strong(model, tasks, 4, tasks.memory, plan, seed=0)["weak supervisor"]
        1.0
    """
    rng = np.random.default_rng(seed)
    everything = np.full(plan.rows + plan.test, task)
    inputs = sample_prompts(tasks, everything, demonstrations=0, length=plan.length, seed=rng).query
    gold, weak = answers(tasks, everything, inputs), answers(tasks, everything, inputs, memory=memory)
    rows, gold_rows, weak_rows = inputs[: plan.rows], gold[: plan.rows], weak[: plan.rows]
    test, truth = inputs[plan.rows :], gold[plan.rows :]
    shown = demonstrations_for(rows, plan.demonstrations, rng)
    refined = _answer(model, Prompts(rows[shown], weak_rows[shown], rows).tokens)
    scores = {
        BASE: _answer(model, test) == truth,
        WEAK: weak[plan.rows :] == truth,
        LABELS: refined == gold_rows,
    }
    for name, labels in ((NAIVE, weak_rows), (REFINED, refined), (CEILING, gold_rows)):
        student = fine_tune(model, rows, labels, plan.schedule, seed=seed, reporter=SilentReporter())
        scores[name] = _answer(student, test) == truth
    return {name: float(right.mean()) for name, right in scores.items()}


def demonstrations_for(rows: NDArray[np.int64], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Rows to show with each row: drawn from those with another input, so that no row sees its own weak answer.

    Args:
        rows: Inputs, shape (N, k − 1).
        count: Demonstrations n.
        rng: Where randomness comes from.

    Returns:
        Indices, shape (N, n).

    Raises:
        DataError: Fewer than n rows have another input than some row.

    Example:
        >>> demonstrations_for(np.array([[1], [1], [2]]), 1, np.random.default_rng(0))[:2].tolist()
        [[2], [2]]
    """
    other = (rows[:, None] != rows).any(axis=2)
    if (other.sum(axis=1) < count).any():
        raise DataError(
            "There are too few other rows to be shown as demonstrations.",
            found=f"{other.sum(axis=1).min()} rows with another input",
            wanted=f"at least {count}",
            fix="Label more rows, or show fewer.",
        )
    order = np.where(other, rng.random(other.shape), np.inf).argsort(axis=1)
    return np.asarray(order[:, :count])


def _answer(model: Any, tokens: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.asarray(answer_distribution(model, tokens).argmax(axis=1))
