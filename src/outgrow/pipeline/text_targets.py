"""From what supervisors wrote to what a student of a text task learns."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from outgrow.combine.joint_decoding import JointDecoding, Per
from outgrow.errors import DataError
from outgrow.labels import Completion, Opinion, Rows, TextLabels, TextTargets
from outgrow.models.tokens import with_leading_space

Target = tuple[str, str, str, float, str, tuple[Opinion, ...]]


def naive_targets(labels: TextLabels, prompts: Sequence[str], lambdas: Mapping[str, float]) -> TextTargets:
    """One target per row and distinct best text; the λ of supervisors that wrote the same are added.

    Args:
        labels: What the supervisors wrote for N rows.
        prompts: What is asked, N of them, as the student will see it.
        lambdas: λ ≥ 0 of every supervisor.

    Raises:
        DataError: No row has a text.
    """
    targets: list[Target] = []
    for row, row_id in enumerate(labels.ids):
        said: dict[str, list[tuple[str, Completion]]] = defaultdict(list)
        for m, supervisor in enumerate(labels.supervisors):
            best = labels.best(row, m)
            if best is not None and lambdas[supervisor] > 0:
                one = with_leading_space(best)
                said[one.text].append((supervisor, one))
        for text, who in said.items():
            opinions = tuple(Opinion(lambdas[name], one) for name, one in who)
            weight, source = sum(lambdas[name] for name, _ in who), "+".join(name for name, _ in who)
            targets.append((row_id, prompts[row], text, weight, source, opinions))
    return _targets(targets, len(labels.ids))


def pool(labels: TextLabels) -> list[list[str]]:
    """The distinct texts of each row, of all supervisors and their whole n-best lists, each with its leading space."""
    return [list(dict.fromkeys(with_leading_space(one).text for cell in row for one in cell)) for row in labels.texts]


def score_matrices(scored: TextLabels, per: Per = "token") -> list[NDArray[np.float64]]:
    """Log-probabilities of each row's candidates, shape (C, M), NaN where a supervisor could not read one.

    Args:
        scored: The same candidates in the same order for all M supervisors.
        per: What they are divided by: the number of each supervisor's tokens (`Completion.score`), or of characters.
    """
    return [
        np.array([[_score(one, per) for one in cell] for cell in row]).reshape(len(row), -1).T for row in scored.texts
    ]


def joint_targets(
    labels: TextLabels, scored: TextLabels, prompts: Sequence[str], combiner: JointDecoding
) -> tuple[TextTargets, NDArray[np.float64]]:
    """The candidate of each row that all supervisors together find most probable, and their λ, shape (M,).

    Args:
        labels: What the supervisors wrote for N rows.
        scored: What they think of the `pool` of it.
        prompts: What is asked, N of them, as the student will see it.
        combiner: How to choose.

    Raises:
        DataError: No row has a text.
    """
    matrices = combiner.comparable(score_matrices(scored, combiner.scores))
    lambdas = combiner.lambdas(scored.supervisors, matrices)
    targets: list[Target] = []
    for row, row_id in enumerate(labels.ids):
        chosen = combiner.choose(matrices[row], lambdas)
        if chosen is None:
            continue
        judged = [cell[chosen] for cell in scored.texts[row]]
        opinions = tuple(Opinion(float(own), one) for own, one in zip(lambdas, judged, strict=True) if own > 0)
        text = judged[0].text
        wrote = [
            name
            for name, cell in zip(labels.supervisors, labels.texts[row], strict=True)
            if any(with_leading_space(one).text == text for one in cell)
        ]
        targets.append((row_id, prompts[row], text, 1.0, "+".join(wrote), opinions))
    return _targets(targets, len(labels.ids)), lambdas


def gold_targets(rows: Rows, prompts: Sequence[str]) -> TextTargets:
    """The gold answers of rows, taken as certain.

    Raises:
        DataError: A row has none.
    """
    without = rows.gold.count(None)
    if without:
        raise DataError(
            "Rows to be learned from have no gold answer.",
            found=f"{without} of {len(rows)}",
            fix="Name their column in task.columns.gold, or use supervisors that need no training.",
        )
    texts = tuple(f" {text}" for text in rows.gold)
    return TextTargets(rows.ids, tuple(prompts), texts, (1.0,) * len(rows), ("gold",) * len(rows))


def _score(one: Completion, per: Per) -> float:
    return one.score if per == "token" else one.score * len(one.logprobs) / max(len(one.text), 1)


def _targets(targets: Sequence[Target], rows: int) -> TextTargets:
    if not targets:
        raise DataError("No unlabelled row has a text to learn from.", found=f"{rows} rows without text")
    return TextTargets(*zip(*targets, strict=True))
