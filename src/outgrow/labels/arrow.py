"""Parts of records in Arrow tables: metadata, as JSON in the schema, and errors by row and supervisor."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from outgrow.labels.columns import blocks, gathered


def with_metadata(table: pa.Table, **about: object) -> pa.Table:
    """Return the table with `about` in its schema."""
    return table.replace_schema_metadata({"outgrow": json.dumps(about)})


def metadata(table: pa.Table) -> dict[str, Any]:
    """Return what `with_metadata` wrote."""
    about: dict[str, Any] = json.loads((table.schema.metadata or {}).get(b"outgrow", b"{}"))
    return about


Errors = Mapping[tuple[str, str], str]
"""(row id, supervisor) → error message."""


def errors_of(errors: Errors, ids: Sequence[str]) -> Errors:
    """Return the errors of these rows."""
    kept = set(ids)
    return {key: text for key, text in errors.items() if key[0] in kept}


def error_column(errors: Errors, ids: Sequence[str], supervisors: Sequence[str]) -> pa.Array:
    """Return a list of messages per row, null where there is none."""
    if not errors:
        return pa.nulls(len(ids), pa.list_(pa.string()))
    return pa.array([[errors.get((row, name)) for name in supervisors] for row in ids], pa.list_(pa.string()))


def read_errors(table: pa.Table, ids: Sequence[str], supervisors: Sequence[str]) -> Errors:
    """Return the errors of the column `error`."""
    if table["error"].null_count == len(table):
        return {}
    return {
        (row, name): text
        for row, texts in zip(ids, table["error"].to_pylist(), strict=True)
        for name, text in zip(supervisors, texts, strict=True)
        if text is not None
    }


def lists(values: NDArray[np.float64]) -> pa.ChunkedArray:
    """Return an array (N, …) as a list of numbers per row."""
    kind = pa.list_(pa.float64())
    chunks = []
    for block in blocks(values):
        ends = np.linspace(0, block.size, len(block) + 1, dtype=np.int32)
        chunks.append(pa.ListArray.from_arrays(pa.array(ends), pa.array(block.reshape(-1), pa.float64())))
    return pa.chunked_array(chunks, kind)


def matrix(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """Return what `lists` made of an array, with shape (N, D)."""
    flat = (chunk.flatten().to_numpy(zero_copy_only=False) for chunk in column.chunks)
    return gathered(chain([np.empty(0)], flat)).reshape(len(column), -1 if len(column) else 0)
