"""Combination of a votes table without an experiment: posteriors of every task, and diagnostics."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from outgrow.combine import Ballots, Combined, combine
from outgrow.errors import ConfigError, DataError
from outgrow.files import for_spreadsheets, replacing
from outgrow.labels import ChoiceVotes
from outgrow.supervisors.exports import read_votes
from outgrow.supervisors.votes import ABSTENTION, VotesSupervisor
from outgrow.tasks.coded import Coded, labels_of, read_coded
from outgrow.tasks.files import choice_index
from outgrow.tasks.tables import check_column, column, read_records

_LINES = 2**17
"""Tasks whose posteriors are written at once."""


@dataclass(frozen=True)
class VotingResult:
    """A combined table of votes."""

    tasks: pa.Array
    """The N tasks in order of appearance."""
    choices: tuple[str, ...]
    """The K answers."""
    combined: Combined
    """Posteriors, λ, the effective number of supervisors, and diagnostics."""

    def posteriors(self, tasks: slice = slice(None)) -> pa.Table:
        """Return one line per task: `task`, `answer`, `confidence`, and a column `p_<choice>` per choice.

        Where answers are open, `p_none` alone: the probability that nobody is right. A task without a usable vote has
        no answer, and one on which most likely nobody is right neither.

        Args:
            tasks: Which ones; by default all.
        """
        probs, usable = self.combined.probs[tasks], self.combined.usable[tasks]
        best, every = probs.argmax(axis=1), self.combined.answers
        if every is not None:
            best = every[tasks][np.arange(len(best)), best]
        columns: dict[str, Any] = {
            "task": self.tasks[tasks].cast(pa.string()),
            "answer": pa.array(self.choices, pa.string()).take(pa.array(best, mask=~usable | (best < 0))),
            "confidence": pa.array(probs.max(axis=1), mask=~usable),
        }
        if every is not None:
            return pa.table(columns | {"p_none": probs[:, -1]})
        columns |= {f"p_{choice}": pa.array(probs[:, k]) for k, choice in enumerate(self.choices)}
        return pa.table(columns)

    def write(self, path: Path) -> None:
        """Write the posteriors, piece by piece, as Parquet or, by the suffix, as CSV.

        Raises:
            ConfigError: The suffix is another one.
            StoreError: Disk full or no permission.
        """
        check_suffix(path)
        kind = pyarrow.csv.CSVWriter if path.suffix == ".csv" else pyarrow.parquet.ParquetWriter
        with replacing(path) as temporary, kind(temporary, self.posteriors(slice(0)).schema) as writer:
            for start in range(0, len(self.tasks), _LINES):
                lines = self.posteriors(slice(start, start + _LINES))
                writer.write_table(for_spreadsheets(lines) if path.suffix == ".csv" else lines)


def check_suffix(path: Path) -> None:
    """Raise a ConfigError if posteriors cannot be written as the kind of file that a path names."""
    if path.suffix not in {".csv", ".parquet"}:
        raise ConfigError(f"Posteriors cannot be written to {path}.", found=path.suffix, wanted=".parquet or .csv")


def combine_table(
    path: str,
    method: str = "dependence",
    *,
    columns: VotesSupervisor | None = None,
    choices: Sequence[str] | None = None,
    gold: str | None = None,
    weights: str | None = None,
) -> VotingResult:
    """Combine a votes table.

    Args:
        path: A jsonl, csv, tsv or parquet file: long (`task, worker, label`; an empty label is an abstention) or wide.
        method: Name of a registered combiner.
        columns: Names of the columns. `answers` or `probabilities` mean that the table is wide: a column of labels per
            supervisor, or one or more columns of probabilities.
        choices: The labels that are choices, in their order; by default all that occur, sorted, without `-1`, which
            is an abstention unless it is named here. Names of the choices of probabilities; by default those in the
            names of the columns (`{choice}` of the pattern), or 0, 1 …
        gold: A column with known answers, empty where unknown; see `outgrow.combine.combine`.
        weights: λ by name, see `outgrow.combine.combine`.

    Raises:
        DataError: A column is missing, a label is outside the choices, or there is nothing to combine.
    """
    columns = columns or VotesSupervisor(votes=path)
    reader = columns
    if columns.probabilities is not None:
        table = read_records(path)
        tasks, names, votes = _wide(table, reader, choices)
        known = None if gold is None else _gold_of_wide(table, reader, tasks, names, gold)
        return VotingResult(tasks, names, combine(votes, method, gold=known, weights=weights))
    tasks, names, ballots, answers, notes = _long(_read(path, reader, gold), columns, choices, gold)
    combined = combine(ballots, method, choices=choices, gold=answers, weights=weights)
    return VotingResult(tasks, names, dataclasses.replace(combined, notes=tuple(notes)))


def _read(path: str, reader: VotesSupervisor, gold: str | None) -> dict[str, Coded]:
    columns, further = reader, [] if gold is None else [gold]
    wanted = [columns.task, columns.worker, columns.label, *further]
    if columns.answers is None and Path(path).suffix == ".json":  # may be an export
        table = read_votes(path, columns.label)
        for name in wanted:
            check_column(table, name, where=path, setting="the columns of the votes")
        return {name: Coded.of(table[name].chunks) for name in wanted}
    if columns.answers is None:
        return read_coded(path, wanted)
    table = reader.long_table(read_records(path, mixed=True), keep=further)
    return {name: Coded.of(table[name].chunks) for name in wanted}


def _long(
    read: dict[str, Coded], columns: VotesSupervisor, named: Sequence[str] | None, gold: str | None
) -> tuple[pa.Array, tuple[str, ...], Ballots, NDArray[np.int64] | None, list[str]]:
    task, worker = read[columns.task], read[columns.worker]
    labels, answers = labels_of(read[columns.label]), [] if gold is None else labels_of(read[gold])
    choices, notes = _choices({value for value in (*labels, *answers) if value is not None}, columns, named)
    label = _renumbered(read[columns.label].codes, labels, choices)
    if task.codes.min() < 0 or worker.codes.min() < 0:
        raise DataError(f"A vote in {columns.votes} has no task or no worker.", wanted="both in every line")
    given = slice(None) if label.min() >= 0 else label >= 0
    cast = (task.codes[given], worker.codes[given], label[given])
    names = tuple(worker.values.to_pylist())
    ballots = Ballots.from_labels(*cast, rows=len(task.values), choices=len(choices), names=names)
    held = None if gold is None else _held(task, _renumbered(read[gold].codes, answers, choices), columns.votes)
    return task.values, choices, ballots, held, notes


def _choices(
    labels: set[str], columns: VotesSupervisor, named: Sequence[str] | None
) -> tuple[tuple[str, ...], list[str]]:
    """The labels that are choices, and notes about the others."""
    cast = labels - {"", *columns.abstain}
    if named is not None:
        unknown = sorted(cast - {*named, ABSTENTION})
        if unknown:
            raise DataError(
                f"A label in {columns.votes} is outside the choices.",
                found=", ".join(unknown[:5]),
                wanted=f"one of {', '.join(named)}",
                fix="Correct the file, name all choices, or say which labels are abstentions.",
            )
        return tuple(named), []
    choices = tuple(sorted(cast - {ABSTENTION}))
    silent = ABSTENTION in cast
    if len(choices) < 2:
        raise DataError(
            f"The votes in {columns.votes} leave nothing to choose from.",
            found=", ".join(choices) + (f"; {ABSTENTION} counts as an abstention" if silent else ""),
            wanted="at least two choices",
            fix="Name the choices, with those that nobody voted for.",
        )
    return choices, [f"The label {ABSTENTION} counts as an abstention; if it is a choice, name the choices."] * silent


def _held(task: Coded, known: NDArray[np.int32], where: str) -> NDArray[np.int64]:
    """Gold answer of each task, -1 where unknown."""
    held = np.full(len(task.values), -1, dtype=np.int64)
    which, said = task.codes[known >= 0], known[known >= 0]
    held[which] = said
    if (held[which] != said).any():
        raise DataError(f"A task in {where} has two different gold answers.", wanted="one, or none")
    return held


def _renumbered(codes: NDArray[np.int32], old: Sequence[str | None], new: Sequence[str]) -> NDArray[np.int32]:
    place = {value: index for index, value in enumerate(new)}
    translation = np.array([*(place.get(value or "", -1) for value in old), -1], dtype=np.int32)
    return translation[codes]


def _wide(
    table: pa.Table, reader: VotesSupervisor, named: Sequence[str] | None
) -> tuple[pa.Array, tuple[str, ...], ChoiceVotes]:
    columns, by_name = reader.columns(table), reader.choices_of(table)
    widths = {len(names) for names in columns.values()}
    if len(widths) != 1:
        raise DataError(f"Supervisors in {reader.votes} have different numbers of columns.", found=widths)
    width = widths.pop()
    choices = tuple(named) if named is not None else by_name or tuple(str(k) for k in range(max(width, 2)))
    values = column(table, reader.task, where=reader.votes, setting="--task")
    tasks = tuple(dict.fromkeys(str(value) for value in values))
    return pa.array(tasks, pa.large_string()), choices, reader.read(tasks, tasks, choices)


def _gold_of_wide(
    table: pa.Table, reader: VotesSupervisor, tasks: pa.Array, choices: Sequence[str], gold: str
) -> NDArray[np.int64]:
    task, answer = (column(table, name, where=reader.votes, setting="--gold") for name in (reader.task, gold))
    known = (choice_index(value, choices, where=reader.votes) for value in answer)
    return known_answers(tasks.to_pylist(), zip(map(str, task), known, strict=True), reader.votes)


def known_answers(tasks: Sequence[str], known: Iterable[tuple[str, int | None]], where: str) -> NDArray[np.int64]:
    """Return the known answer of each task, -1 without one, from a table's lines: names of tasks, and answers or None.

    Raises:
        DataError: A task has two different answers.
    """
    answers: dict[str, int] = {}
    for task, answer in known:
        if answer is not None and answers.setdefault(task, answer) != answer:
            raise DataError(f"The task {task} in {where} has two different known answers.", wanted="one, or none")
    return np.array([answers.get(task, -1) for task in tasks], dtype=np.int64)
