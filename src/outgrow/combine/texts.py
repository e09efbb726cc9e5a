"""From the texts that supervisors wrote to targets: pooled candidates, their scores, naive and gold targets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from outgrow.errors import DataError
from outgrow.labels import Completion, Opinion, Rows, TextLabels, TextTargets, with_leading_space

Per = Literal["token", "character"]
"""What a text's log-probability is divided by: the supervisor's own tokens, or characters, the same for all."""


class Target(NamedTuple):
    """One line of `TextTargets`, its fields in the same order."""

    id: str
    prompt: str
    text: str
    weight: float
    source: str
    opinions: tuple[Opinion, ...]


def pool(labels: TextLabels) -> list[list[str]]:
    """Return the distinct texts of each row, of all supervisors' n-best lists, each with its leading space."""
    return [list(dict.fromkeys(with_leading_space(one).text for cell in row for one in cell)) for row in labels.texts]


def score_matrices(scored: TextLabels, per: Per = "token") -> list[NDArray[np.float64]]:
    """Return the log-probabilities of each row's candidates, shape (C, M), NaN where a supervisor could not read one.

    Args:
        scored: The same candidates in the same order for all M supervisors.
        per: Divide by the number of each supervisor's tokens (`Completion.score`), or of characters.
    """
    return [
        np.array([[_score(one, per) for one in cell] for cell in row]).reshape(len(row), -1).T for row in scored.texts
    ]


def naive_targets(labels: TextLabels, prompts: Sequence[str], lambdas: Mapping[str, float]) -> TextTargets:
    """Return one target per row and distinct best text; supervisors that wrote the same text add up their λ.

    Args:
        labels: What the supervisors wrote for N rows.
        prompts: What is asked, N of them, as the student will see it.
        lambdas: λ ≥ 0 of every supervisor; one with 0 is left out.

    Raises:
        DataError: No row has a text.
    """
    targets = []
    for row, row_id in enumerate(labels.ids):
        written: dict[str, list[tuple[str, Completion]]] = defaultdict(list)
        for m, supervisor in enumerate(labels.supervisors):
            best = labels.best(row, m)
            if best is not None and lambdas[supervisor] > 0:
                one = with_leading_space(best)
                written[one.text].append((supervisor, one))
        for text, by in written.items():
            opinions = tuple(Opinion(lambdas[name], one) for name, one in by)
            weight, source = sum(lambdas[name] for name, _ in by), "+".join(name for name, _ in by)
            targets.append(Target(row_id, prompts[row], text, weight, source, opinions))
    return text_targets(targets, len(labels.ids))


def gold_targets(rows: Rows, prompts: Sequence[str]) -> TextTargets:
    """Return the gold answers of rows as certain targets.

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


def text_targets(targets: Sequence[Target], rows: int) -> TextTargets:
    """Return the targets as columns.

    Raises:
        DataError: There are none.
    """
    if not targets:
        raise DataError("No unlabelled row has a text to learn from.", found=f"{rows} rows without text")
    return TextTargets(*zip(*targets, strict=True))


def _score(one: Completion, per: Per) -> float:
    return one.score if per == "token" else one.score * len(one.logprobs) / max(len(one.text), 1)
