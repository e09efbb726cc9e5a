"""Ratings of answers by judges: every rating is kept in the store, unreadable replies are noted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from outgrow import ranks
from outgrow.config import GivenRatings, Judge, Local, LocalJudge, Named, ServerJudge
from outgrow.errors import ConfigError, DataError
from outgrow.evaluate import agreement
from outgrow.evaluate.judge import RATED, Ratings, Rubric, rate_together
from outgrow.files import read_table, write_table
from outgrow.labels import Note, Predictions
from outgrow.labels.arrow import metadata, with_metadata
from outgrow.models.loading import check_local, short_name
from outgrow.models.protocols import GenerateOptions, LanguageModel
from outgrow.models.specs import model_spec
from outgrow.run import Run
from outgrow.store import content_hash
from outgrow.tasks.tables import check_column, column, read_records


@dataclass(frozen=True)
class Judgement:
    """Ratings of one model's answers to N rows."""

    scores: Mapping[str, NDArray[np.float64]]
    """Metric → mean rating of each answer, shape (N,), the rubric's lowest where there is none; a metric without any
    rating is left out. `rated` is the share of the metrics on which an answer has a rating."""
    weights: Mapping[str, NDArray[np.float64]]
    """Metric → 1 for rows with a rating, 0 for those without, shape (N,)."""
    notes: tuple[Note, ...]
    """Unreadable replies, and agreement of judges."""


def judge_answers(
    judges: Sequence[Judge],
    rubrics: Mapping[str, Rubric],
    items: Sequence[Mapping[str, str]],
    run: Run,
    *,
    author: str,
    ids: Sequence[str] = (),
) -> Judgement:
    """Return the ratings of one model's answers.

    Args:
        judges: The judges; the mean over those with a rating counts.
        rubrics: Metric → prompt and scale.
        items: Values of the rubrics' placeholders, one mapping per answer.
        run: Store and progress.
        author: The model that answered.
        ids: The rows that were answered, for ratings that exist already.
    """
    found, notes = {}, []
    for judge in judges:
        name = judge_name(judge)
        if isinstance(judge, GivenRatings):
            found[name] = given_ratings(judge, rubrics, ids, [item["answer"] for item in items])
            notes += _missing_notes(found[name], name, author)
        else:
            found[name] = _ratings(judge, rubrics, items, run, author)
            for metric, ratings in found[name].items():
                notes += rating_notes(ratings, name, metric, author)
    scores: dict[str, NDArray[np.float64]] = {}
    weights, rated = {}, []
    for metric, rubric in rubrics.items():
        tables = {name: own[metric].means for name, own in found.items() if metric in own}
        if not tables:
            continue
        table = np.stack(list(tables.values()))
        known = np.asarray(np.isfinite(table).any(axis=0))
        rated.append(known)
        if len(tables) > 1:
            notes += _agreement_notes(table, list(tables), metric, author)
        if known.any():
            means = np.full(len(items), float(rubric.low))
            means[known] = np.nanmean(table[:, known], axis=0)
            scores[metric], weights[metric] = means, known.astype(np.float64)
    scores[RATED] = np.asarray(np.mean(rated, axis=0))
    return Judgement(scores, weights, tuple(notes))


def without_full_ratings(predictions: Mapping[Any, Sequence[Predictions]]) -> dict[Any, list[Predictions]]:
    """Return predictions without the metric `rated` if every answer of every model has all its ratings."""
    runs = [run for several in predictions.values() for run in several]
    if not all((run.scores.get(RATED, np.ones(1)) == 1).all() for run in runs):
        return {key: list(several) for key, several in predictions.items()}
    return {key: [_without(run, RATED) for run in several] for key, several in predictions.items()}


def rating_notes(ratings: Ratings, judge: str, metric: str, author: str) -> list[Note]:
    """Return a note on ratings that could not be read at once; nothing where all were.

    Example:
        >>> rating_notes(Ratings(np.full((2, 1), np.nan), 0, "As an AI …"), "small", "content", "naive")[0].code
        'judge.unread'
    """
    about = {"judge": judge, "rated": metric, "ratings": int(ratings.samples.size), "example": _start(ratings.example)}
    if not np.isfinite(ratings.samples).any():
        return [Note("judge.unread", "warning", author, values=about)]
    if not ratings.repaired and not ratings.unread:
        return []
    about |= {"repaired": ratings.repaired, "unread": ratings.unread, "answers": len(ratings.counts)}
    return [Note("judge.repaired", "info", author, values={**about, "lost": int((ratings.counts == 0).sum())})]


def given_ratings(
    judge: GivenRatings, rubrics: Mapping[str, Rubric], ids: Sequence[str], answers: Sequence[str]
) -> dict[str, Ratings]:
    """Return the ratings of N answers in a table, by metric that has a column there.

    Args:
        judge: The table and its columns.
        rubrics: Metric → scale.
        ids: The rows that were answered.
        answers: The answers, N of them.

    Raises:
        DataError: A column is missing, none is about a metric, or a rating is no number on its scale.
    """
    table, where = read_records(judge.ratings, mixed=True), judge.ratings
    rows, texts = (
        column(table, getattr(judge, name), where=where, setting=f"{name} of the ratings") for name in ("task", "text")
    )
    rated = [metric for metric in rubrics if metric in table.column_names]
    if not rated:
        check_column(table, next(iter(rubrics)), where=where, setting="the column's name")
    keys = [(str(row), str(text).strip()) for row, text in zip(rows, texts, strict=True)]
    wanted = [(row, answer.strip()) for row, answer in zip(ids, answers, strict=True)]
    found = {}
    for metric in rated:
        given: dict[tuple[str, str], list[float]] = defaultdict(list)
        for key, value in zip(keys, table[metric].to_pylist(), strict=True):
            if value not in (None, ""):
                given[key].append(_checked_rating(value, metric, rubrics[metric], where))
        most = max((len(own) for own in given.values()), default=1)
        samples = [[*given.get(key, ()), *[np.nan] * (most - len(given.get(key, ())))] for key in wanted]
        found[metric] = Ratings(np.array(samples, dtype=np.float64).reshape(len(wanted), most))
    return found


def judge_name(judge: Judge) -> str:
    """What a judge is called."""
    if isinstance(judge, GivenRatings):
        return judge.name or Path(judge.ratings).name.partition(".")[0]
    model = judge.model
    return judge.name or (model.name if isinstance(model, Named) else short_name(model))


def sampling(judge: LocalJudge | ServerJudge) -> GenerateOptions:
    """Return how a judge generates its replies."""
    return GenerateOptions(
        max_new_tokens=judge.max_new_tokens, temperature=judge.temperature, n=judge.samples, too_long="empty"
    )


def check_judges(judges: Sequence[Judge]) -> None:
    """Refuse two judges of one name, and a device or a precision that cannot be had here."""
    named = [judge_name(judge) for judge in judges]
    if len(set(named)) < len(named):
        raise ConfigError("Two judges have the same name.", found=", ".join(named), fix="Set judge.name.")
    for judge in judges:
        if isinstance(judge, Local):
            check_local(judge)


def _checked_rating(value: object, metric: str, rubric: Rubric, where: str) -> float:
    try:
        rating = float(str(value))
    except ValueError:
        rating = np.nan
    if not rubric.low <= rating <= rubric.high:
        raise DataError(
            f"A rating of {metric} in {where} is not on the scale.",
            found=repr(value),
            wanted=f"a number from {rubric.low} to {rubric.high}, or nothing",
            fix=f"Correct the file, or set task.rubrics.{metric}: {{low: …, high: …}}.",
        )
    return rating


def _missing_notes(found: Mapping[str, Ratings], judge: str, author: str) -> list[Note]:
    notes = []
    for metric, ratings in found.items():
        missing = int((ratings.counts == 0).sum())
        if missing:
            values = {"judge": judge, "rated": metric, "missing": missing, "answers": len(ratings.counts)}
            notes.append(Note("ratings.missing", "caution", author, values=values))
    return notes


def _ratings(
    judge: LocalJudge | ServerJudge,
    rubrics: Mapping[str, Rubric],
    items: Sequence[Mapping[str, str]],
    run: Run,
    author: str,
) -> dict[str, Ratings]:
    options = sampling(judge)

    def make(model: LanguageModel, folder: Path) -> None:
        asked: dict[tuple[object, ...], dict[str, Rubric]] = {}
        for metric, rubric in rubrics.items():
            # Ratings that one reply has are asked for once.
            asked.setdefault((rubric.template, rubric.low, rubric.high, rubric.of), {})[metric] = rubric
        for together in asked.values():
            found = rate_together(model, list(together.values()), items, options=options)
            for metric, ratings in zip(together, found, strict=True):
                if ranks.first():
                    write_table(folder / f"{metric}.parquet", _to_arrow(ratings))

    recipe = {
        "rubrics": {metric: vars(rubric) for metric, rubric in rubrics.items()},
        "items": content_hash([dict(item) for item in items]),
        "options": options.to_json(),
    }
    spec = model_spec(judge, "judge")
    made = run.stage("ratings", recipe, make, model=spec, step=f"judge {author} with {judge_name(judge)}")
    return {metric: _from_arrow(read_table(made.path / f"{metric}.parquet")) for metric in rubrics}


def _agreement_notes(table: NDArray[np.float64], judges: Sequence[str], metric: str, author: str) -> list[Note]:
    if not (np.isfinite(table).sum(axis=0) >= 2).any():
        return []
    means = np.ma.masked_invalid(table).mean(axis=1).filled(np.nan)
    values = {"rated": metric, "alpha": agreement(table).alpha, "means": dict(zip(judges, means.tolist(), strict=True))}
    return [Note("judge.agreement", "info", author, values=values)]


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
