"""Advice on votes: notes, and a file of the rows to label."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

from outgrow.combine import Combined
from outgrow.combine.advice import rows_to_label, votes_advice
from outgrow.errors import StoreError
from outgrow.evaluate.advice import gold_note, method_note
from outgrow.files import replacing
from outgrow.labels import Note
from outgrow.pipeline.protocol import Pipeline
from outgrow.pipeline.voting import combine_table
from outgrow.report.advice import REASONS
from outgrow.results import Results

ROWS = "rows_to_label.csv"
"""Name of the file in the folder of a run."""


def advise_table(path: str, output: Path | None, count: int, *, width: float, **reading: Any) -> list[Note]:
    """Return advice on a votes table, read with the arguments of `combine_table`; see `advise` and `gold_note`."""
    result = combine_table(path, **reading)
    combined = result.combined
    notes, rows = advise(combined, result.tasks.to_pylist(), None if output is None else output.name, count)
    if output is not None:
        write_rows(output, rows)
    known = int((combined.merged.gold[combined.merged.of_row] >= 0).sum())
    by_row = combined.answers is not None
    choices = 0 if by_row else len(result.choices)
    return [*notes, method_note(texts=by_row, choices=choices, gold=known), gold_note(None, (), notes, width)]


def advise_run(folder: Path, output: Path | None, *, width: float) -> list[Note]:
    """Return the advice of a finished run, and copy its rows to label.

    Raises:
        StoreError: There are no results, or no rows to label, in the folder.
    """
    notes = Results.load(folder).advice(width)
    if output is not None:
        if not (folder / ROWS).is_file():
            raise StoreError(
                f"The run in {folder} names no rows to label.",
                found="a text task, or a run of an older version",
                fix="Give `outgrow advise` a votes table, or run the experiment again.",
            )
        with replacing(output) as temporary:
            shutil.copyfile(folder / ROWS, temporary)
    return notes


def advise_pipeline(pipeline: Pipeline) -> tuple[list[Note], pa.Table | None]:
    """Return advice on the votes of a pipeline, and the rows to label; nothing in a text task."""
    votes = pipeline.votes()
    return ([], None) if votes is None else advise(votes, votes.rows or (), ROWS)


def write_rows(path: Path, rows: pa.Table) -> None:
    """Write the rows to label as a .csv file.

    Raises:
        StoreError: Disk full or no permission.
    """
    with replacing(path) as temporary:
        pyarrow.csv.write_csv(rows, temporary)


def advise(combined: Combined, ids: Sequence[Any], file: str | None, count: int = 100) -> tuple[list[Note], pa.Table]:
    """Return advice on votes, and the rows to label: `task`, `use`, `confidence`, `entropy`, `reason`.

    Args:
        combined: The votes, combined by `dependence`.
        ids: Names of the rows, N of them.
        file: Name of the file that the rows are written to, for the advice; None if they are not.
        count: How many rows to name for each use.
    """
    rows = rows_to_label(combined, count)
    uses = [each.use for each in rows]
    doubt = [1 - each.confidence for each in rows if each.use == "correct"]
    columns = {
        "task": [str(ids[each.row]) for each in rows],
        "use": uses,
        "confidence": [round(each.confidence, 4) for each in rows],
        "entropy": [round(each.entropy, 4) for each in rows],
        "reason": [REASONS[use] for use in uses],
    }
    types = [pa.string(), pa.string(), pa.float64(), pa.float64(), pa.string()]
    table = pa.table([pa.array(own, kind) for own, kind in zip(columns.values(), types, strict=True)], list(columns))
    values = {
        "measure": uses.count("measure"),
        "correct": uses.count("correct"),
        "wrong": float(np.mean(doubt)) if doubt else 0.0,
        "all": sum(doubt) / max(len(ids), 1),
        "file": file,
    }
    return [*votes_advice(combined), Note("advice.rows", values=values)], table
