"""What a record says about itself beside its columns: JSON in the Arrow schema."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa


def with_metadata(table: pa.Table, **about: object) -> pa.Table:
    """The table with a description in its schema."""
    return table.replace_schema_metadata({"outgrow": json.dumps(about)})


def metadata(table: pa.Table) -> dict[str, Any]:
    """The inverse of `with_metadata`."""
    about: dict[str, Any] = json.loads((table.schema.metadata or {}).get(b"outgrow", b"{}"))
    return about
