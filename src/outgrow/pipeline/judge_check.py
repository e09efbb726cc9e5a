"""Judges are tried before they are believed: on answers that are known to be right, and on others (ours)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from outgrow.config import Judge, TaskConfig
from outgrow.evaluate.preference import JudgeAccuracy, judge_accuracy
from outgrow.evaluate.wording import estimate_text, number_text
from outgrow.labels import Rows
from outgrow.pipeline.judging import judge_answers, judge_name
from outgrow.tasks import RatedTask
from outgrow.workspace import Workspace

SAMPLE = 64
"""Rows at most that a judge is tried on."""
WEAK = 0.75
"""A judge whose share of pairs rated the right way round may lie below this is called weak."""


def judge_remarks(
    judges: Sequence[Judge], task: RatedTask, config: TaskConfig, rows: Rows, workspace: Workspace
) -> list[str]:
    """How well each judge tells right answers from wrong ones, in a sentence or two; nothing where no answer is known.

    A judge rates the right answers to a sample, and in their place those to the most similar other questions. Only the
    task's first rubric is tried: gold answers need not have the concept.

    Args:
        judges: Who rates.
        task: Says what a judge is asked.
        config: The task's settings.
        rows: The test part; rows without gold are passed over.
        workspace: Store and reporter.
    """
    items = trials(task, config, rows)
    if not items:
        return []
    metric, rubric = next(iter(task.rubrics(config).items()))
    count = len(items["right answers"])
    remarks = []
    for judge in judges:
        found = [
            judge_answers([judge], {metric: rubric}, own, workspace, author=f"the {who}") for who, own in items.items()
        ]
        name = judge_name(judge)
        rated = np.logical_and(*(one.weights.get(metric, np.zeros(count)) > 0 for one in found))
        if rated.any():
            first, second = (one.scores[metric][rated] for one in found)
            remarks.append(check_remark(judge_accuracy(first, second), name, metric))
        else:
            remarks.append(
                f"The judge {name}, tried on {count} right answers and as many others, rated no pair of them."
            )
    return remarks


def trials(task: RatedTask, config: TaskConfig, rows: Rows) -> dict[str, Sequence[Mapping[str, str]]]:
    """What judges are tried on: whose answers → what fills the first rubric's places; nothing where none is known."""
    known = rows.take([row for row, gold in enumerate(rows.gold) if gold is not None])
    right, wrong = right_and_wrong(known)
    return {
        who: task.items(config, known.take(right), [str(known.gold[row]) for row in chosen])
        for who, chosen in (("right answers", right), ("answers to other questions", wrong))
        if chosen
    }


def check_remark(found: JudgeAccuracy, judge: str, metric: str) -> str:
    """What a reader should know of one judge.

    Example:
        >>> check_remark(JudgeAccuracy(64, 6.12, 5.18, 0.63, (0.53, 0.73)), "tiny", "content").partition(". ")[2]
        'A judge this weak makes differences in content look smaller than they are.'
    """
    share = estimate_text(found.accuracy, found.interval, decimals=2)
    right, wrong = (number_text(mean, decimals=2) for mean in (found.right, found.wrong))
    said = (
        f"The judge {judge} gives right answers a mean {metric} of {right}, right answers to similar other questions "
        f"{wrong}; of {found.pairs} such pairs it rates {share} the right way round (a guess: .50)."
    )
    if (found.interval or (found.accuracy, 1.0))[0] >= WEAK:
        return said
    return f"{said} A judge this weak makes differences in {metric} look smaller than they are."


def right_and_wrong(rows: Rows, sample: int = SAMPLE) -> tuple[list[int], list[int]]:
    """A sample of rows, and for each the row whose gold answer stands in for a wrong one.

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
