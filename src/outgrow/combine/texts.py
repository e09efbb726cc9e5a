"""From the texts that supervisors wrote to targets: pooled candidates, their scores, naive and gold targets.

Scores of candidates are matrices (C, M), C candidates of a row by M supervisors, of mean token log-probabilities; NaN
where a supervisor could not read a candidate.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outgrow.errors import DataError
from outgrow.labels import Completion, Opinion, Rows, TextLabels, TextTargets, with_leading_space

Array = NDArray[np.float64]
Per = Literal["token", "character"]
"""What a text's log-probability is divided by: the supervisor's own tokens, or characters, the same for all."""
Scale = Literal["standardise", "none"]
"""Whether the supervisors' scores are brought to one spread before they are averaged."""


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


def score_matrices(scored: TextLabels, per: Per = "token") -> list[Array]:
    """Return the scores (C, M) of each row's candidates, which are the same in the same order for all supervisors."""
    return [
        np.array([[_score(one, per) for one in cell] for cell in row]).reshape(len(row), -1).T for row in scored.texts
    ]


def joint_scores(scores: ArrayLike, weights: ArrayLike) -> Array:
    """Return the mean score (C,) of each candidate from scores (C, M), weighted by λ ≥ 0 (M,).

    λ is shared out among the supervisors that read a candidate; NaN if none with λ > 0 did.

    Source:
        Cui et al. 2025 (arXiv 2406.03199), joint decoding.

    Example:
        >>> joint_scores([[-1.0, -4.0], [-2.0, -2.0]], [0.5, 0.5]).tolist()
        [-2.5, -2.0]
    """
    scores, weights = np.asarray(scores, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    read = ~np.isnan(scores) & (weights > 0)
    mass = (read * weights).sum(axis=1)
    total = np.where(read, scores, 0.0) @ weights
    means: Array = np.divide(total, mass, out=np.full(len(scores), np.nan), where=mass > 0)
    return means


def standardised(scores: Sequence[ArrayLike]) -> list[Array]:
    """Return scores (C, M) per row, centred, with a within-row standard deviation of 1 for each supervisor.

    Only differences between candidates of one prompt matter for a ranking, and supervisors spread theirs differently.
    A supervisor that scores all candidates of every row alike gets zeros.

    Example:
        >>> standardised([[[1.0, 10.0], [3.0, 30.0]]])[0].round(2).tolist()
        [[-0.71, -0.71], [0.71, 0.71]]
    """
    rows = [centred(np.asarray(each, dtype=np.float64)) for each in scores]
    if not rows:
        return []
    squares = np.sum([np.nansum(each**2, axis=0) for each in rows], axis=0)
    degrees = np.sum([np.maximum((~np.isnan(each)).sum(axis=0) - 1, 0) for each in rows], axis=0)
    spread = np.sqrt(squares / np.maximum(degrees, 1))
    return [each / np.where(spread > 0, spread, 1.0) for each in rows]


def centred(matrix: Array) -> Array:
    """Return a matrix (C, M) minus the mean of each column; NaN stays NaN and is left out of the mean."""
    read = ~np.isnan(matrix)
    mean = np.where(read, matrix, 0.0).sum(axis=0) / np.maximum(read.sum(axis=0), 1)
    difference: Array = matrix - mean
    return difference


def naive_targets(labels: TextLabels, prompts: Sequence[str], lambdas: Mapping[str, float]) -> TextTargets:
    """Return one target per row and distinct best text; supervisors that wrote the same text add up their λ.

    Prompts are what is asked on each row, as the student will see it. Supervisors with λ = 0 are left out.

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
    """Return the gold answers of rows as certain targets; raises `DataError` where a row has none."""
    without = rows.gold.count(None)
    if without:
        raise DataError(
            "Rows to be learned from have no gold answer.",
            found=f"{without} of {len(rows)}",
            fix="Name their column in task.columns.gold, or use supervisors that need no training.",
        )
    texts = tuple(f" {text}" for text in rows.gold)
    return TextTargets(tuple(rows.ids), tuple(prompts), texts, (1.0,) * len(rows), ("gold",) * len(rows))


def text_targets(targets: Sequence[Target], rows: int) -> TextTargets:
    """Return the targets as columns; raises `DataError` where there are none."""
    if not targets:
        raise DataError("No unlabelled row has a text to learn from.", found=f"{rows} rows without text")
    return TextTargets(*zip(*targets, strict=True))


def _score(one: Completion, per: Per) -> float:
    return one.score if per == "token" else one.score * len(one.logprobs) / max(len(one.text), 1)
