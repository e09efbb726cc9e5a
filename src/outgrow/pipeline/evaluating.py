"""Scores of predictions, also of a table that was made elsewhere or by an earlier run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from outgrow.config import ExperimentConfig
from outgrow.errors import DataError
from outgrow.evaluate import Certainty, ModelScores, choice_scores
from outgrow.evaluate.summary import ROLES, Role
from outgrow.files import from_spreadsheets
from outgrow.labels import Predictions, Rows
from outgrow.pipeline.scoring import Scorer
from outgrow.run import Run
from outgrow.tasks import Task
from outgrow.tasks.files import option_index
from outgrow.tasks.tables import column, read_records


def scored_table(
    path: str, task: Task, config: ExperimentConfig, test: Rows, run: Run
) -> dict[tuple[Role, str], list[Predictions]]:
    """Score answers to the test part; for each role and name the predictions of all seeds.

    The table has the columns `id` and `answer` (a text, or the name or index of a choice), and may have `name`, `role`
    (default: `student`) and `seed`, as `predictions.parquet` of a run has. A test row without a prediction, or with an
    empty one, counts as a wrong text or as a blind guess at a choice, and is noted.

    Raises:
        DataError: A column is missing, an id is unknown or repeated, or an answer is not one of the choices.
    """
    found: dict[tuple[Role, str], list[Predictions]] = defaultdict(list)
    for (role, name, _), answers in sorted(_answers(path, test).items(), key=lambda item: item[0]):
        missing = answers.count("")
        if missing:
            run.note("predictions.missing", "caution", who=name, missing=missing, rows=len(answers))
        scores, weights = _scores(task, config, test, answers, name, run)
        found[role, name].append(Predictions(test.ids, tuple(answers), scores, weights=weights))
    return found


def chance_of(rows: Rows) -> float:
    """Return the accuracy of a blind guess: 1/K, or the share of the commonest gold answer if that is more."""
    _, counts = np.unique(rows.gold_indices(), return_counts=True)
    return max(1 / len(rows.choices or ()), float(counts.max() / counts.sum()))


def model_scores(role: Role, name: str, runs: Sequence[Predictions], gold: NDArray[np.int64] | None) -> ModelScores:
    """Return the scores of a model's runs, one for each seed.

    Args:
        role: Its role.
        name: Its name.
        runs: Its predictions; metrics that one of them lacks are left out.
        gold: The right choices, shape (N,), for calibration; None without any.
    """
    known = [metric for metric in runs[0].scores if all(metric in run.scores for run in runs)]
    scores = {metric: np.stack([run.scores[metric] for run in runs]) for metric in known}
    weights = {metric: np.stack([run.weights[metric] for run in runs]) for metric in known if metric in runs[0].weights}
    if gold is None:
        return ModelScores(name, role, scores, weights=weights)
    sure = [Certainty.of_choices(run.probs, gold, run.vacuity) for run in runs if run.probs is not None]
    return ModelScores(name, role, scores, certainty=Certainty.stack(sure) if sure else None)


def prediction_table(predictions: Mapping[tuple[str, str], Sequence[Predictions]], seeds: Sequence[int]) -> pa.Table:
    """Return the answers of models, given by role and name with a run for each seed, as one table.

    Its columns are those of `Predictions.to_arrow`, `role`, `name` and `seed`.
    """
    tables = []
    for (role, name), runs in predictions.items():
        for seed, one in zip(seeds, runs, strict=False):
            table = one.to_arrow()
            for field, value in {"role": role, "name": name, "seed": seed}.items():
                table = table.append_column(field, pa.array([value] * table.num_rows))
            tables.append(table)
    return pa.concat_tables(tables, promote_options="default")


def _answers(path: str, test: Rows) -> dict[tuple[Role, str, str], list[str]]:
    # Role, name and seed → an answer per test row.
    table, where = read_records(path), f"The predictions {path}"
    if path.endswith(".csv"):
        table = from_spreadsheets(table)
    ids, answers = (column(table, name, where=where, setting="the column's name") for name in ("id", "answer"))
    about = {"role": "student", "name": "predictions", "seed": "0"}
    who = zip(*(table[own].to_pylist() if own in table.column_names else [default] * len(ids)
                for own, default in about.items()), strict=True)  # fmt: skip
    places = {id_: place for place, id_ in enumerate(test.ids)}
    found: dict[tuple[Role, str, str], list[str | None]] = {}
    for (role, name, seed), id_, answer in zip(who, map(str, ids), answers, strict=True):
        if role not in ROLES:
            raise DataError(f"{where} have an unknown role.", found=role, wanted=", ".join(ROLES))
        if id_ not in places:
            raise DataError(f"{where} have an id that is not in the test part.", found=id_, wanted="ids of test rows")
        own = found.setdefault((role, str(name), str(seed)), [None] * len(places))
        if own[places[id_]] is not None:
            raise DataError(f"{where} have two answers of {name!r} (seed {seed}) to one row.", found=id_)
        own[places[id_]] = "" if answer is None else str(answer)
    return {key: [own or "" for own in each] for key, each in found.items()}


def _scores(
    task: Task, config: ExperimentConfig, test: Rows, answers: Sequence[str], name: str, run: Run
) -> tuple[Mapping[str, NDArray[np.float64]], Mapping[str, NDArray[np.float64]]]:
    if test.choices is not None:
        return {"accuracy": choice_scores(_one_hot(answers, test, name), test.gold_indices())}, {}
    scored = Scorer(config, task, run)(test, answers, author=name)
    run.add(*scored.notes)
    return scored.scores, scored.weights


def _one_hot(answers: Sequence[str], test: Rows, name: str) -> NDArray[np.float64]:
    letters = test.choices or ()
    probs = np.full((len(answers), len(letters)), np.nan)
    for row, answer in enumerate(answers):
        if answer:
            index = option_index(answer, test.choices_of(row), letters, where=f"the predictions of {name!r}")
            probs[row] = np.eye(len(letters))[index]
    return probs
