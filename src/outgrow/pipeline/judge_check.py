"""Judges are tested first: on answers that are known to be right, and on answers to other questions (ours)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from outgrow.config import GivenRatings, Judge, TaskConfig
from outgrow.evaluate.judge import JudgeAccuracy, judge_accuracy
from outgrow.labels import Note, Rows
from outgrow.pipeline.judging import judge_answers, judge_name
from outgrow.run import Run
from outgrow.tasks import Task

SAMPLE = 64
"""Most rows that a judge is tested on."""
WEAK = 0.75
"""A judge is called weak if the lower end of its accuracy on pairs is below this."""


def judge_notes(judges: Sequence[Judge], task: Task, config: TaskConfig, rows: Rows, run: Run) -> list[Note]:
    """Return how well each judge tells right answers from wrong ones; nothing where no answer is known.

    A judge rates the right answers to a sample, and in their place those to the most similar other questions. Only the
    task's first rubric is tried: gold answers need not have the concept.

    Args:
        judges: The judges; those whose ratings exist already cannot be tested.
        task: Has the rubrics.
        config: The task's settings.
        rows: The test part; rows without gold are passed over.
        run: Store and progress.
    """
    items = trials(task, config, rows)
    if not items:
        return []
    metric, rubric = next(iter(task.rubrics(config).items()))
    count = len(items["right answers"])
    notes = []
    for judge in (one for one in judges if not isinstance(one, GivenRatings)):
        found = [judge_answers([judge], {metric: rubric}, own, run, author=f"the {who}") for who, own in items.items()]
        rated = np.logical_and(*(one.weights.get(metric, np.zeros(count)) > 0 for one in found))
        if rated.any():
            first, second = (one.scores[metric][rated] for one in found)
            notes.append(check_note(judge_accuracy(first, second), judge_name(judge), metric))
        else:
            notes.append(Note("judge.no_pair", "warning", values={"judge": judge_name(judge), "answers": count}))
    return notes


def trials(task: Task, config: TaskConfig, rows: Rows) -> dict[str, Sequence[Mapping[str, str]]]:
    """Return the test items of judges: kind of answers → values of the first rubric's placeholders; {} without gold."""
    known = rows.take([row for row, gold in enumerate(rows.gold) if gold is not None])
    right, wrong = right_and_wrong(known)
    return {
        who: task.items(config, known.take(right), [str(known.gold[row]) for row in chosen])
        for who, chosen in (("right answers", right), ("answers to other questions", wrong))
        if chosen
    }


def check_note(found: JudgeAccuracy, judge: str, metric: str) -> Note:
    """Return the note on one judge: a caution where its share of pairs rated the right way round may be low."""
    weak = (found.interval or (found.accuracy, 1.0))[0] < WEAK
    share = [found.accuracy, *(found.interval or ())]
    values = {"judge": judge, "rated": metric, "right": found.right, "wrong": found.wrong, "pairs": found.pairs}
    return Note("judge.checked", "caution" if weak else "info", values={**values, "share": share, "weak": weak})


def right_and_wrong(rows: Rows, sample: int = SAMPLE) -> tuple[list[int], list[int]]:
    """Return a sample of rows, and for each the row whose gold answer serves as a wrong one.

    That is the row with the most similar question (edit distance) among those with another gold answer.

    Args:
        rows: Rows with gold.
        sample: Most rows.

    Returns:
        Indices of the sampled rows and of their counterparts; two empty lists where all gold answers are one.

    Example:
        >>> rows = Rows(("a", "b", "c"), ("Capital of France?", "Capital of Spain?", "Who?"), ("test",) * 3,
        ...             gold=("Paris", "Madrid", "I"))
        >>> right_and_wrong(rows)
        ([0, 1, 2], [1, 0, 1])
    """
    from rapidfuzz.distance import Levenshtein
    from rapidfuzz.process import cdist

    said = [str(gold).strip().casefold() for gold in rows.gold]
    if len(set(said)) < 2:
        return [], []
    chosen = np.sort(np.random.default_rng(len(rows)).permutation(len(rows))[:sample])
    likeness = cdist([rows.prompts[row] for row in chosen], rows.prompts, scorer=Levenshtein.normalized_similarity)
    same = np.array(said)[chosen][:, None] == np.array(said)[None, :]
    return chosen.tolist(), np.where(same, -1.0, likeness).argmax(axis=1).tolist()
