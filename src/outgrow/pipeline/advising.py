"""Advice on votes: notes, and a file of the rows to label."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

from outgrow import ranks
from outgrow.combine import Combined
from outgrow.combine.advice import rows_to_label, votes_advice
from outgrow.errors import StoreError
from outgrow.evaluate.advice import gold_note, method_note
from outgrow.labels import Note
from outgrow.pipeline.protocol import Pipeline
from outgrow.pipeline.voting import combine_table
from outgrow.report.advice import REASONS
from outgrow.results import Results
from outgrow.store import replacing

ROWS = "rows_to_label.csv"
"""Name of the file in the folder of a run."""


def advise_table(path: str, output: Path | None, count: int, *, width: float, **reading: Any) -> list[Note]:
    """Return advice on a votes table, read with the arguments of `combine_table`; see `advise` and `gold_note`."""
    result = combine_table(path, **reading)
    notes, combined = advise(result.combined, result.tasks.to_pylist(), output, count), result.combined
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


def advise_pipeline(pipeline: Pipeline, folder: Path) -> list[Note]:
    """Return advice on the votes of a pipeline, and write the rows to label to the folder; nothing in a text task."""
    votes = pipeline.votes()
    if votes is None:
        return []
    return advise(votes, votes.rows or (), folder / ROWS if ranks.first() else None)


def advise(combined: Combined, ids: Sequence[Any], path: Path | None, count: int = 100) -> list[Note]:
    """Return advice on votes, and write the rows to label: `task`, `use`, `confidence`, `entropy`, `reason`.

    Args:
        combined: The votes, combined by `dependence`.
        ids: Names of the rows, N of them.
        path: A .csv file to write; None writes nothing.
        count: How many rows to name for each use.

    Raises:
        StoreError: Disk full or no permission.
    """
    rows = rows_to_label(combined, count)
    uses = [each.use for each in rows]
    doubt = [1 - each.confidence for each in rows if each.use == "correct"]
    if path is not None:
        columns = {
            "task": [str(ids[each.row]) for each in rows],
            "use": uses,
            "confidence": [round(each.confidence, 4) for each in rows],
            "entropy": [round(each.entropy, 4) for each in rows],
            "reason": [REASONS[use] for use in uses],
        }
        types = [pa.string(), pa.string(), pa.float64(), pa.float64(), pa.string()]
        table = pa.table(
            [pa.array(own, kind) for own, kind in zip(columns.values(), types, strict=True)], list(columns)
        )
        with replacing(path) as temporary:
            pyarrow.csv.write_csv(table, temporary)
    values = {
        "measure": uses.count("measure"),
        "correct": uses.count("correct"),
        "wrong": float(np.mean(doubt)) if doubt else 0.0,
        "all": sum(doubt) / max(len(ids), 1),
        "file": None if path is None else path.name,
    }
    return [*votes_advice(combined), Note("advice.rows", values=values)]
