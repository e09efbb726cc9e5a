"""Combining a table of votes without an experiment: posteriors of every task, and what is known of the supervisors."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from numpy.typing import NDArray

from outgrow.combine import Ballots, Combined, combine
from outgrow.config import VotesSupervisor
from outgrow.errors import DataError, did_you_mean
from outgrow.labels import ChoiceVotes
from outgrow.store import replacing, write_table
from outgrow.supervisors.votes import ABSTENTION, VotesReader
from outgrow.tasks.tables import column, read_records


@dataclass(frozen=True)
class VotingResult:
    """A combined table of votes."""

    tasks: tuple[str, ...]
    """What was voted on, N of them, in order of appearance."""
    choices: tuple[str, ...]
    """The K answers."""
    combined: Combined
    """Posteriors, λ, the effective number of supervisors, and what was found out about each."""

    def posteriors(self) -> pa.Table:
        """One line per task: `task`, `answer`, `confidence`, and a column `p_<choice>` per choice.

        A task without a usable vote has no answer.
        """
        probs, usable = self.combined.probs, self.combined.usable
        best = probs.argmax(axis=1)
        answers = [self.choices[k] if ok else None for k, ok in zip(best, usable, strict=True)]
        columns: dict[str, Any] = {
            "task": pa.array(self.tasks, pa.string()),
            "answer": pa.array(answers, pa.string()),
            "confidence": pa.array(probs.max(axis=1), mask=~usable),
        }
        columns |= {f"p_{choice}": pa.array(probs[:, k]) for k, choice in enumerate(self.choices)}
        return pa.table(columns)

    def write(self, path: Path) -> None:
        """Writes the posteriors as Parquet or, by its suffix, as CSV.

        Raises:
            StoreError: Disk full or no permission.
        """
        if path.suffix != ".csv":
            write_table(path, self.posteriors())
            return
        with replacing(path) as temporary:
            pyarrow.csv.write_csv(self.posteriors(), temporary)


def combine_table(
    path: str,
    method: str = "dependence",
    *,
    columns: VotesSupervisor | None = None,
    choices: Sequence[str] | None = None,
    gold: str | None = None,
    weights: str | None = None,
) -> VotingResult:
    """Combines a votes table.

    Args:
        path: A jsonl, csv, tsv or parquet file: long (`task, worker, label`; an empty label is an abstention) or wide.
        method: `mean`, `majority`, `dawid_skene` or `dependence`.
        columns: Which columns mean what; its `answers` say that the table is wide, with labels; its `probabilities` say
            that it is wide, with two choices or, with several columns per supervisor, as many.
        choices: The labels that are choices, in their order; by default all that occur, sorted, without `-1`, which
            is an abstention unless it is named here. Names of the choices of probabilities; by default 0, 1 …
        gold: A column of a long table with known answers, empty where unknown. They hold their tasks and teach who is
            right.
        weights: λ by name, see `outgrow.combine.combine`.

    Raises:
        DataError: A column is missing, a label is outside the choices, or there is nothing to combine.
    """
    columns = columns or VotesSupervisor(votes=path)
    table = read_records(path)
    reader = VotesReader(columns)
    if columns.probabilities is not None:
        tasks, names, votes = _wide(table, reader, choices)
        return VotingResult(tasks, names, combine(votes, method, weights=weights))
    table = reader.long_table(table, keep=[gold] if gold is not None else [])
    tasks, names, ballots, answers, notes = _long(table, columns, choices, gold)
    combined = combine(ballots, method, gold=answers, weights=weights)
    about = dataclasses.replace(combined.diagnostics, notes=(*combined.diagnostics.notes, *notes))
    return VotingResult(tasks, names, dataclasses.replace(combined, diagnostics=about))


def _long(
    table: pa.Table, columns: VotesSupervisor, named: Sequence[str] | None, gold: str | None
) -> tuple[tuple[str, ...], tuple[str, ...], Ballots, NDArray[np.int64] | None, list[str]]:
    task, tasks = _codes(table, columns.task, columns.votes)
    worker, workers = _codes(table, columns.worker, columns.votes)
    label, labels = _codes(table, columns.label, columns.votes)
    known, answers = _codes(table, gold, columns.votes) if gold is not None else (None, ())
    choices, notes = _choices({*labels, *answers}, columns, named)
    label = _renumbered(label, labels, choices)
    if (task < 0).any() or (worker < 0).any():
        raise DataError(f"A vote in {columns.votes} has no task or no worker.", wanted="both in every line")
    given = label >= 0
    ballots = Ballots.from_labels(
        task[given], worker[given], label[given], rows=len(tasks), choices=len(choices), names=workers
    )
    if known is None:
        return tasks, choices, ballots, None, notes
    held = np.full(len(tasks), -1, dtype=np.int64)
    known = _renumbered(known, answers, choices)
    held[task[known >= 0]] = known[known >= 0]
    if (held[task[known >= 0]] != known[known >= 0]).any():
        raise DataError(f"A task in {columns.votes} has two different gold answers.", wanted="one, or none")
    return tasks, choices, ballots, held, notes


def _choices(
    labels: set[str], columns: VotesSupervisor, named: Sequence[str] | None
) -> tuple[tuple[str, ...], list[str]]:
    """The labels that are choices, and what a reader should know about the others."""
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


def _codes(table: pa.Table, name: str, where: str) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """A column as indices into its distinct values (-1 where empty), and these; no text is copied per line."""
    if name not in table.column_names:
        raise DataError(
            f"{where} has no column {name!r}.",
            found=", ".join(table.column_names),
            fix=f"Name the column; {did_you_mean(name, table.column_names)}",
        )
    coded = pc.cast(table[name], pa.string()).combine_chunks().dictionary_encode()
    indices = pc.fill_null(coded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    return indices, tuple(coded.dictionary.to_pylist())


def _renumbered(codes: NDArray[np.int64], old: Sequence[str], new: Sequence[str]) -> NDArray[np.int64]:
    place = {value: index for index, value in enumerate(new)}
    translation = np.array([*(place.get(value, -1) for value in old), -1], dtype=np.int64)
    return translation[codes]


def _wide(
    table: pa.Table, reader: VotesReader, named: Sequence[str] | None
) -> tuple[tuple[str, ...], tuple[str, ...], ChoiceVotes]:
    widths = {len(names) for names in reader.columns(table).values()}
    if len(widths) != 1:
        raise DataError(f"Supervisors in {reader.config.votes} have different numbers of columns.", found=widths)
    width = widths.pop()
    choices = tuple(named) if named is not None else tuple(str(k) for k in range(max(width, 2)))
    values = column(table, reader.config.task, where=reader.config.votes, setting="--task")
    tasks = tuple(dict.fromkeys(str(value) for value in values))
    return tasks, choices, reader.read(tasks, tasks, choices)
