"""Labels of a table without an experiment: a model's votes or texts, refined ones, and audits of label files."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from outgrow.config import ExperimentConfig, Method, ServerStrong, parse_config, parse_settings
from outgrow.errors import ConfigError, DataError
from outgrow.files import check_new, replacing, write_table
from outgrow.labels import ChoiceTargets, ChoiceVotes, Part, Rows, TextLabels, positions
from outgrow.models.protocols import check_options
from outgrow.models.specs import model_spec
from outgrow.pipeline.auditing import audited, audited_choices, report_audit, sampled
from outgrow.pipeline.combination import Combination
from outgrow.pipeline.gaps import gap_notes
from outgrow.pipeline.refining import (
    check_choice_refiner,
    check_served_refiner,
    make_refiner,
    refined_choices,
    refined_texts,
)
from outgrow.pipeline.scoring import Scorer
from outgrow.pipeline.text_notes import cut_notes, text_notes
from outgrow.refine.audit import Audit, TextAudit
from outgrow.refine.choice_audit import ChoiceAudit
from outgrow.refine.refinement import Refinement
from outgrow.registry import can
from outgrow.run import Run
from outgrow.supervisors.exports import read_votes
from outgrow.supervisors.protocol import Asking
from outgrow.supervisors.server import check_asked
from outgrow.supervisors.votes import keys_of
from outgrow.tasks import Task, read_task

KINDS = (".csv", ".jsonl", ".parquet")
"""Kinds of files that labels are written to."""
SAMPLE = 1024
"""Most rows of label files on which an audit compares them with base answers."""

_PROBABILITY = "p_"


def experiment_on(
    table: str,
    supervisors: Sequence[Mapping[str, Any]],
    settings: Sequence[str] = (),
    *,
    prompt: str = "text",
    identifier: str | None = None,
    choices: Sequence[str] | None = None,
    strong: Mapping[str, Any] | None = None,
    refiner: str | None = None,
    generate: Mapping[str, Any] | None = None,
    ratings: str | None = None,
) -> ExperimentConfig:
    """Return the experiment that labels all rows of a table, and trains nothing.

    Args:
        table: The rows; see `TaskConfig.path`.
        supervisors: Sections as in an experiment file.
        settings: Further `key=value` settings of it. A key of a method, such as `refine.demonstrations`, is that of the
            refinement; any other key without `task.`, `generate.` and so on that of the first supervisor.
        prompt: The column with the prompts.
        identifier: That with a unique name for each row; by default rows are numbered.
        choices: Names of the K choices; by default labels are texts, unless `task.columns.choices` is set.
        strong: The section of the model that refines.
        refiner: How it refines; the method has its name, by default `refined`.
        generate: The section of that name.
        ratings: Existing ratings of texts by `content` and `concept`; see `outgrow.config.GivenRatings`.

    Raises:
        ConfigError: A key is unknown or a value is wrong.
    """
    method = refiner or "refined"
    raw: dict[str, Any] = {
        "name": Path(table).name.partition(".")[0],
        "task": {
            "path": table,
            "columns": {"prompt": prompt, "id": identifier, "gold": None},
            "choices": None if choices is None else list(choices),
            "split": {"gold": 0, "unlabelled": 1.0, "test": "all"},
        },
        "supervisors": [dict(each) for each in supervisors],
        "strong": dict(strong or {"model": "none"}),  # which is then never looked at
        "methods": {method: {"refine": refiner and {"name": refiner}}},
        "generate": dict(generate or {}),
        "seeds": 1,
    }
    if ratings is not None:
        raw["task"] |= {"name": "persona", "concept": "as rated"}
        raw["judge"] = {"ratings": ratings}
    return parse_config(parse_settings([_placed(each, method) for each in settings], raw))


def labels_section(path: str, choices: Sequence[str] | None) -> dict[str, Any]:
    """Return the section of a supervisor that has the labels of a file, as `outgrow label` and others write it.

    Args:
        path: `task` and `text`; or `task, worker, label`, of which columns `p_<choice>` count instead if it is about
            one worker, as in the posteriors of `outgrow combine`.
        choices: Names of the K choices, none if every row has its own; None for texts.
    """
    if choices is None:
        return {"texts": path}
    table = read_votes(path, "label")
    names = table.column_names
    wanted = [_PROBABILITY + choice for choice in choices]
    wanted = wanted or sorted(name for name in names if name.startswith(_PROBABILITY))
    workers = {*table["worker"].to_pylist()} if "worker" in names else {Path(path).name.partition(".")[0]}
    if not wanted or not {*wanted} <= {*names} or len(workers) > 1:
        return {"votes": path}
    return {"votes": path, "probabilities": {str(workers.pop()): wanted}}


def label(config: ExperimentConfig, run: Run) -> pa.Table:
    """Let a supervisor label all rows; what is missing is noted.

    Returns:
        For choices `task, worker, label` and a column `p_<choice>` per choice, empty where there is no vote; else
        `task, worker, text`, a line for each text of a row.

    Raises:
        OutgrowError: The rows cannot be read, or the model cannot label them. What was finished is kept.
    """
    (supervisor, *_), seed = config.supervisors, config.seeds[0]
    _, rows = _read(config)
    asking = Asking.of(config.generate, labelling=seed)
    if supervisor.uses_gold:
        raise ConfigError(
            "No right answers are known here, to train a model on or to show it.",
            fix="Leave `train` and `ask.demonstrations` out, or run an experiment with a gold part.",
        )
    if can(supervisor, "check"):
        supervisor.check("text" if rows.choices is None else "choice", asking)
    if rows.choices is not None:
        votes = supervisor.vote(rows, run, seed=seed)
        run.add(*gap_notes(votes))
        return votes_table(rows, votes)
    check_options(asking.options)
    texts = supervisor.write(rows, "unlabelled", asking, run, seed=seed)
    run.add(*text_notes(texts), *cut_notes(texts, asking.options))
    return texts_table(texts)


def refine(config: ExperimentConfig, run: Run) -> pa.Table:
    """Let the strong model label all rows again behind the supervisors' labels; the audit is in `run.audits`.

    Returns:
        As `label`, in the refiner's name.

    Raises:
        OutgrowError: Rows or labels cannot be read, or the model cannot refine them. What was finished is kept.
    """
    [(name, method)], seed = config.methods.items(), config.seeds[0]
    task, rows = _read(config)
    chosen = method.refine
    if chosen is None:
        raise ConfigError("There is no refiner.", found="refine: null", wanted="the name of one")
    if isinstance(config.strong, ServerStrong):
        check_served_refiner(chosen, name)
    if rows.choices is not None:
        if isinstance(config.strong, ServerStrong):
            check_asked(config.strong)
        own_choices = rows.options is not None
        check_choice_refiner(chosen, config.strong, method=name, own_choices=own_choices)
        weak = _combined(config.supervisors, name, method, rows, run, seed)
        found = refined_choices(chosen, config.strong, weak, rows, run, seed=seed, method=name)
        return votes_table(rows, ChoiceVotes(found.ids, (chosen.name,), found.probs[:, None]))
    asking = Asking.of(config.generate)
    refiner = make_refiner(chosen, "texts", method=name, defaults={"query": config.generate.template})
    strong = model_spec(config.strong, "strong model", name="base")
    labels, scorer = _written(config.supervisors, rows, run, seed), Scorer(config, task, run)
    refined = refined_texts(refiner, strong, rows, labels, asking, scorer, run, seed=seed, method=name).labels
    run.add(*cut_notes(refined, asking.options))
    return texts_table(refined)


def audit(config: ExperimentConfig, run: Run, *, base: bool) -> None:
    """Audit refined labels that exist already; the audit is in `run.audits`.

    Args:
        config: Its supervisors are the weak labels, then the refined ones, then those of the untouched strong model.
        run: Store and progress.
        base: Whether the last supervisor is the untouched strong model.

    Raises:
        DataError: Files cannot be read, or no row has all labels.
    """
    task, rows = _read(config)
    if rows.choices is None:
        found: Audit = _text_audit(config, task, rows, run, base)
    else:
        found = _choice_audit(config, rows, run, base)
    report_audit(found, next(iter(config.methods)), config.seeds[0], run)


def votes_table(rows: Rows, votes: ChoiceVotes) -> pa.Table:
    """Return the votes of one supervisor on some of the rows; see `label`.

    Example:
        >>> rows = Rows(("a", "b"), ("Hot!", "Hm"), ("unlabelled",) * 2, (None,) * 2, ("cold", "warm"))
        >>> votes = ChoiceVotes(("a", "b"), ("ann",), np.array([[[0.1, 0.9]], [[np.nan, np.nan]]]))
        >>> votes_table(rows, votes).to_pylist()[1]
        {'task': 'b', 'worker': 'ann', 'label': None, 'p_cold': None, 'p_warm': None}
    """
    probs, place = votes.probs[:, 0], {row: index for index, row in enumerate(rows.ids)}
    best = [None if np.isnan(own).any() else int(own.argmax()) for own in probs]
    chosen = [None if k is None else rows.choices_of(place[row])[k] for row, k in zip(votes.ids, best, strict=True)]
    columns = {
        "task": pa.array(votes.ids, pa.string()),
        "worker": pa.array(votes.supervisors * len(votes.ids), pa.string()),
        "label": pa.array(chosen, pa.string()),
    }
    for k, choice in enumerate(rows.choices or ()):
        columns[_PROBABILITY + choice] = pa.array(probs[:, k], mask=np.isnan(probs[:, k]))
    return pa.table(columns)


def texts_table(labels: TextLabels) -> pa.Table:
    """Return the texts of one supervisor, several of a row in several lines; see `label`."""
    lines = [
        (row, one and one.text.removeprefix(" "))
        for row, (cell,) in zip(labels.ids, labels.texts, strict=True)
        for one in cell or (None,)
    ]
    tasks, texts = zip(*lines, strict=True)
    workers = labels.supervisors * len(lines)
    return pa.table({name: pa.array(values, pa.string()) for name, values in
                     zip(("task", "worker", "text"), (tasks, workers, texts), strict=True)})  # fmt: skip


def write_labels(table: pa.Table, path: Path) -> None:
    """Write labels as the kind of file that the path names, whole or not at all."""
    check_new(path, KINDS)
    if path.suffix == ".parquet":
        return write_table(path, table)
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        if path.suffix == ".jsonl":
            file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in table.to_pylist())
        else:
            writer = csv.DictWriter(file, table.column_names, lineterminator="\n")
            writer.writeheader()
            writer.writerows(table.to_pylist())


def _placed(setting: str, method: str) -> str:
    """The setting with the place of its key in an experiment file."""
    first = setting.partition("=")[0].partition(".")[0]
    if first in ExperimentConfig.model_fields and first != "name":
        return setting
    return f"{f'methods.{method}' if first in Method.model_fields else 'supervisors.0'}.{setting}"


def _read(config: ExperimentConfig) -> tuple[Task, Rows]:
    task, rows = read_task(config.task)
    part: Part = "unlabelled"
    return task, dataclasses.replace(rows, parts=(part,) * len(rows))


def _written(supervisors: Sequence[Any], rows: Rows, run: Run, seed: int) -> TextLabels:
    found = TextLabels.stack([one.write(rows, "unlabelled", Asking(), run, seed=seed) for one in supervisors])
    run.add(*text_notes(found))
    return found


def _combined(supervisors: Sequence[Any], name: str, method: Method, rows: Rows, run: Run, seed: int) -> ChoiceTargets:
    votes = ChoiceVotes.stack([one.vote(rows, run, seed=seed) for one in supervisors])
    run.add(*gap_notes(votes))
    targets = Combination.of(name, method, rows)(votes, rows.take([]))
    left_out = len(rows) - len(targets.ids)
    if left_out:
        run.note("rows.without_vote", "caution", left_out=left_out, rows=len(rows))
    return targets


def _text_audit(config: ExperimentConfig, task: Task, rows: Rows, run: Run, base: bool) -> TextAudit:
    *weak, refined = config.supervisors[: len(config.supervisors) - base]
    known = refined.read()
    rows = rows.take([row for row, key in enumerate(keys_of(rows, refined.key)) if key in known])
    labels, found = _written(weak, rows, run, 0), _written([refined], rows, run, 0)
    refinement = Refinement(found, (np.nan,) * len(rows))
    if not base:
        return audited(rows, labels, refinement, None, Scorer(config, task, run), sampled(len(rows), SAMPLE))
    answers = dict(zip(rows.ids, _written(config.supervisors[-1:], rows, run, 0).answers(), strict=True))
    answered = [row for row, name in enumerate(rows.ids) if answers[name].strip()]
    picked = [answered[place] for place in sampled(len(answered), SAMPLE)]
    return audited(
        rows,
        labels,
        refinement,
        lambda sample: [answers[row].strip() for row in sample.ids],
        Scorer(config, task, run),
        picked,
    )


def _choice_audit(config: ExperimentConfig, rows: Rows, run: Run, base: bool) -> ChoiceAudit:
    [(name, method)] = config.methods.items()
    *weak, refined = config.supervisors[: len(config.supervisors) - base]
    before, after = (_combined(each, name, method, rows, run, 0) for each in (weak, [refined]))
    both = [row for row, name in enumerate(after.ids) if name in {*before.ids}]
    if not both:
        raise DataError("No row has a weak and a refined label.", wanted="labels of the same rows")
    own = None
    if base:
        votes = config.supervisors[-1].vote(rows, run, seed=0)
        own = lambda sample: votes.probs[positions(votes.ids, sample.ids), 0]  # noqa: E731
    after = after.take(both)
    return audited_choices(rows, before, after, own, sampled(len(both), SAMPLE))
