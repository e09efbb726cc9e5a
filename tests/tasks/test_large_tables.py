"""A large table gives the rows of a small one: its columns are mapped, and read in batches."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from outgrow.config import TaskConfig
from outgrow.errors import DataError
from outgrow.labels import Rows, columns
from outgrow.labels.columns import Column
from outgrow.tasks import tables
from outgrow.tasks.files import read_rows
from outgrow.tasks.split import check_parts, shared_prompts, shared_stems
from outgrow.tasks.tables import read_records

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
    assert isinstance(rows.parts, Column)
    assert isinstance(rows.parts.values.type, pa.DictionaryType)
    assert Rows.from_arrow(rows.to_arrow()) == rows == whole
    assert shared_stems(rows) == shared_stems(whole) > 0
    assert shared_prompts(rows, rows.part("gold")) == shared_prompts(whole, whole.part("gold")) > 0
    check_parts(rows, where="the table")


@pytest.mark.parametrize("group", [None, "source"])
def test_a_test_table_beside_one_of_many_rows_takes_the_rows_that_it_takes_beside_few(
    group: str | None, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [TABLE["text"][0].as_py(), *(f"a test of {row}" for row in range(6))]
    own = pa.table({"text": texts, "answer": ["no", "yes"] * 3 + ["no"], "source": ["s8", *"abcdef"]})
    pa.parquet.write_table(own, tmp_path / "test.parquet")
    settings: dict[str, Any] = {"path": str(table), "choices": "auto", "columns": {"gold": "answer"}}
    split = {"gold": 0.5, "unlabelled": 0.5, "group": group}
    config = TaskConfig(**settings, test_path=str(tmp_path / "test.parquet"), split=split)
    whole, further = read_rows(config), read_rows(TaskConfig(**settings)).part("test")
    assert whole.part("test").prompts == tuple(texts)
    assert {str(row) for row in range(40)} - {*whole.ids} == {"0"} | (
        set() if group is None else {"8", "17", "26", "35"}
    )
    further = replace(further, ids=tuple(f"more/{row}" for row in further.ids))
    both = whole.with_test(further)
    monkeypatch.setattr(columns, "MANY", 4)
    monkeypatch.setattr(columns, "IN_MEMORY", 0)
    rows = read_rows(config)
    assert rows == whole
    assert rows.with_test(further) == both


@pytest.mark.parametrize("label", [3, 0.5, None, True, "a"])
def test_lines_read_in_pieces_give_the_table_of_all_lines(
    label: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [{"text": f"row {row}", "label": None if row < 5 else 1 if row < 8 else label} for row in range(20)]
    lines[12] |= {"more": {"deep": ["a"]}}
    (tmp_path / "x.jsonl").write_text("\n".join(map(json.dumps, lines)))

    def read() -> pa.Table | None:
        try:
            return read_records(str(tmp_path / "x.jsonl"), mixed=label == "a")
        except DataError:  # of numbers beside truth values
            return None

    whole = read()
    assert (whole is None) == (label is True)
    monkeypatch.setattr(tables, "MANY", 4)
    monkeypatch.setattr(columns, "IN_MEMORY", 0)
    assert read() == whole


def test_a_large_csv_file_is_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = 40_000
    table = pa.table({"text": [f"the text of row {row}" for row in range(rows)], "label": [*range(rows)]})
    pa.csv.write_csv(table, tmp_path / "x.csv")
    monkeypatch.setattr(columns, "IN_MEMORY", 0)
    monkeypatch.setattr(pa.csv, "read_csv", None)
    assert read_records(str(tmp_path / "x.csv")) == table


def test_cells_far_behind_the_first_ones_may_be_of_another_type(tmp_path: Path) -> None:
    labels = ["", *["1"] * 200_000, "none"]
    (tmp_path / "x.csv").write_text("text,label\n" + "".join(f"row,{label}\n" for label in labels))
    assert read_records(str(tmp_path / "x.csv"))["label"].to_pylist() == labels
