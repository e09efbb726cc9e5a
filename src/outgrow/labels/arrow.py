"""Parts of records in Arrow tables: metadata, as JSON in the schema, and errors by row and supervisor."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa


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
    return pa.array([[errors.get((row, name)) for name in supervisors] for row in ids], pa.list_(pa.string()))


def read_errors(table: pa.Table, ids: Sequence[str], supervisors: Sequence[str]) -> Errors:
    """Return the errors of the column `error`."""
    return {
        (row, name): text
        for row, texts in zip(ids, table["error"].to_pylist(), strict=True)
        for name, text in zip(supervisors, texts, strict=True)
        if text is not None
    }
