"""Answers rated by judges: every reply is kept in the store, and what could not be read is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from outgrow.config import Judge, ServerJudge
from outgrow.errors import ConfigError
from outgrow.evaluate import agreement
from outgrow.evaluate.judge import RATED, Ratings, Rubric, rate
from outgrow.evaluate.wording import number_text
from outgrow.labels import Predictions
from outgrow.labels.arrow import metadata, with_metadata
from outgrow.models.loading import short_name
from outgrow.models.protocols import GenerateOptions, LanguageModel
from outgrow.store import content_hash, read_table, write_table
from outgrow.supervisors.respondents import LocalRespondent, Respondent, ServedRespondent, answered
from outgrow.workspace import Workspace


@dataclass(frozen=True)
class Judgement:
    """What judges found of one model's answers to N rows."""

    scores: Mapping[str, NDArray[np.float64]]
    """Metric → mean rating of each answer, shape (N,), the rubric's lowest where there is none; a metric without any
    rating is left out. `rated` is the share of the metrics on which an answer has a rating."""
    weights: Mapping[str, NDArray[np.float64]]
    """Metric → 1 for rows with a rating, 0 for those without, shape (N,)."""
    remarks: tuple[str, ...]
    """What a reader should know, in whole sentences."""


def judge_answers(
    judges: Sequence[Judge],
    rubrics: Mapping[str, Rubric],
    items: Sequence[Mapping[str, str]],
    workspace: Workspace,
    *,
    author: str,
) -> Judgement:
    """Lets judges rate one model's answers.

    Args:
        judges: Who rates; the mean over those who gave a rating counts.
        rubrics: Metric → what they are asked.
        items: What fills the rubrics' places, one per answer.
        workspace: Store and reporter.
        author: Whose answers these are.
    """
    found = {judge_name(judge): _ratings(judge, rubrics, items, workspace, author) for judge in judges}
    remarks = [
        remark
        for name, own in found.items()
        for metric, ratings in own.items()
        for remark in rating_remarks(ratings, name, metric, author)
    ]
    scores, weights = {}, {}
    known = np.zeros((len(rubrics), len(items)), dtype=bool)
    for place, (metric, rubric) in enumerate(rubrics.items()):
        table = np.stack([own[metric].means for own in found.values()])
        known[place] = np.isfinite(table).any(axis=0)
        if len(judges) > 1:
            remarks += _agreement_remarks(table, list(found), metric, author)
        if known[place].any():
            means = np.full(len(items), float(rubric.low))
            means[known[place]] = np.nanmean(table[:, known[place]], axis=0)
            scores[metric], weights[metric] = means, known[place].astype(np.float64)
    scores[RATED] = known.mean(axis=0)
    return Judgement(scores, weights, tuple(remarks))


def without_full_ratings(predictions: Mapping[Any, Sequence[Predictions]]) -> dict[Any, list[Predictions]]:
    """The same without the metric `rated` where every answer of everyone has all its ratings: it says nothing then."""
    runs = [run for several in predictions.values() for run in several]
    if not all((run.scores.get(RATED, np.ones(1)) == 1).all() for run in runs):
        return {key: list(several) for key, several in predictions.items()}
    return {key: [_without(run, RATED) for run in several] for key, several in predictions.items()}


def rating_remarks(ratings: Ratings, judge: str, metric: str, author: str) -> list[str]:
    """What a reader should know of one judge's ratings; nothing where all were read at once.

    Example:
        >>> rating_remarks(Ratings(np.full((2, 1), np.nan), 0, "As an AI …"), "small", "content", "naive")
        ["The judge small gave no rating of naive's content that can be read, in 2 replies, such as “As an AI …”."]
    """
    if not np.isfinite(ratings.samples).any():
        replies = f"in {ratings.samples.size} replies, such as “{_start(ratings.example)}”"
        return [f"The judge {judge} gave no rating of {author}'s {metric} that can be read, {replies}."]
    found = []
    if ratings.repaired:
        found.append(f"{ratings.repaired} after asking again")
    if ratings.unread:
        lost = int((ratings.counts == 0).sum())
        found.append(f"{ratings.unread} not at all, which leaves {lost} of {len(ratings.counts)} answers without one")
    if not found:
        return []
    return [f"Of {ratings.samples.size} ratings of {author}'s {metric}, the judge {judge} gave {' and '.join(found)}."]


def judge_name(judge: Judge) -> str:
    """What a judge is called."""
    return judge.name or short_name(judge.model)


def respondent(judge: Judge) -> Respondent:
    """The model of a judge."""
    if isinstance(judge, ServerJudge):
        return ServedRespondent(judge, "judge")
    return LocalRespondent(judge.model, judge_name(judge), judge.batch_size)


def sampling(judge: Judge) -> GenerateOptions:
    """How a judge replies."""
    return GenerateOptions(
        max_new_tokens=judge.max_new_tokens, temperature=judge.temperature, n=judge.samples, too_long="empty"
    )


def check_judges(judges: Sequence[Judge]) -> None:
    """Checks that judges can be told apart.

    Raises:
        ConfigError: Two have one name.
    """
    named = [judge_name(judge) for judge in judges]
    if len(set(named)) < len(named):
        raise ConfigError("Two judges have the same name.", found=", ".join(named), fix="Set judge.name.")


def _ratings(
    judge: Judge, rubrics: Mapping[str, Rubric], items: Sequence[Mapping[str, str]], workspace: Workspace, author: str
) -> dict[str, Ratings]:
    """All ratings by one judge, from the store or made."""
    options = sampling(judge)

    def make(model: LanguageModel, folder: Path) -> None:
        for metric, rubric in rubrics.items():
            write_table(folder / f"{metric}.parquet", _to_arrow(rate(model, rubric, items, options=options)))

    recipe = {
        "rubrics": {metric: vars(rubric) for metric, rubric in rubrics.items()},
        "items": content_hash([dict(item) for item in items]),
        "options": options.to_json(),
    }
    step = f"judge {author} with {judge_name(judge)}"
    folder = answered(respondent(judge), "ratings", recipe, workspace, make, step=step)
    return {metric: _from_arrow(read_table(folder / f"{metric}.parquet")) for metric in rubrics}


def _agreement_remarks(table: NDArray[np.float64], judges: Sequence[str], metric: str, author: str) -> list[str]:
    """How far judges agree on one model's answers, where any two rated the same one."""
    if not (np.isfinite(table).sum(axis=0) >= 2).any():
        return []
    found = agreement(table)
    level = ", ".join(
        f"{name} {number_text(float(mean), decimals=2)}"
        for name, mean in zip(judges, np.ma.masked_invalid(table).mean(axis=1).filled(np.nan), strict=True)
    )
    alpha = "undefined, since all ratings are one" if np.isnan(found.alpha) else number_text(found.alpha, decimals=2)
    return [f"Judges of {author}'s {metric}: Krippendorff's α is {alpha}; mean ratings are {level}."]


def _without(run: Predictions, metric: str) -> Predictions:
    scores = {name: own for name, own in run.scores.items() if name != metric}
    return Predictions(run.ids, run.answers, scores, run.probs, run.vacuity, run.weights)


def _start(reply: str | None) -> str:
    words = " ".join((reply or "").split())
    return f"{words[:80]}…" if len(words) > 80 else words


def _to_arrow(ratings: Ratings) -> pa.Table:
    samples = pa.array(ratings.samples.tolist(), pa.list_(pa.float64()))
    return with_metadata(pa.table({"samples": samples}), repaired=ratings.repaired, example=ratings.example)


def _from_arrow(table: pa.Table) -> Ratings:
    samples = np.array(table["samples"].to_pylist(), dtype=np.float64)
    return Ratings(samples, **metadata(table))
