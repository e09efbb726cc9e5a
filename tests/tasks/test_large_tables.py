"""A large table gives the rows of a small one: its columns are mapped, and read in batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from outgrow.config import TaskConfig
from outgrow.labels import Rows, columns
from outgrow.labels.columns import Column
from outgrow.tasks.files import read_rows
from outgrow.tasks.split import check_parts, shared_prompts, shared_stems

SIZES = {"gold": 0.3, "unlabelled": 0.4, "test": 0.3}
TABLE = pa.table(
    {
        "name": [f"n{row}" for row in range(40)],
        "text": [f"{'abcdefgh'[row % 8] * 40} question {row % 37}" for row in range(40)],
        "answer": ["no" if row % 2 else "yes" for row in range(40)],
        "own": [["one", f"more {row}"] for row in range(40)],
        "which": [row % 2 for row in range(40)],
        "source": [f"s{row % 9}" for row in range(40)],
    }
)
SETTINGS: dict[str, dict[str, Any]] = {
    "choices": {"columns": {"id": "name", "prompt": "text", "gold": "answer"}, "choices": "auto"},
    "texts": {"columns": {"prompt": "text", "gold": "answer"}, "template": "Q: {text} {name}"},
    "own choices": {"columns": {"prompt": "text", "gold": "which", "choices": "own"}},
    "groups": {"columns": {"prompt": "text", "gold": "answer"}, "split": {**SIZES, "group": "source"}},
    "limit": {"columns": {"prompt": "text", "gold": "answer"}, "limit": 25},
}


@pytest.fixture
def table(tmp_path: Path) -> Path:
    pa.parquet.write_table(TABLE, tmp_path / "rows.parquet")
    return tmp_path / "rows.parquet"


@pytest.mark.parametrize("name", SETTINGS)
def test_a_table_of_many_rows_gives_the_rows_of_one_of_few(
    name: str, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = TaskConfig(**{"path": str(table), "split": SIZES, **SETTINGS[name]})
    whole = read_rows(config)
    monkeypatch.setattr(columns, "MANY", 4)
    monkeypatch.setattr(columns, "IN_MEMORY", 0)
    rows = read_rows(config)
    assert isinstance(rows.prompts, Column)
    assert Rows.from_arrow(rows.to_arrow()) == rows == whole
    assert shared_stems(rows) == shared_stems(whole) > 0
    assert shared_prompts(rows, rows.part("gold")) == shared_prompts(whole, whole.part("gold")) > 0
    check_parts(rows, where="the table")
