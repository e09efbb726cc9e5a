"""Excel files: values as they are, and clear errors where cells alone do not say what they mean."""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook

from outgrow.errors import DataError, MissingExtraError
from outgrow.tasks.tables import read_pieces, read_records

ROWS = [
    ["id", "text", "label", None],
    [1, "café", "yes", None],
    [2, "tea", 1, None],
    [None] * 4,
    [3, "=no", None, None],
]


def book(path: Path, rows: list[list[Any]] = ROWS, **sheets: list[list[Any]]) -> Workbook:
    """A file with a sheet `Sheet`, and further ones."""
    made = Workbook()
    made.active.title = "Sheet"
    for name, own in {"Sheet": rows, **sheets}.items():
        sheet = made[name] if name in made.sheetnames else made.create_sheet(name)
        for row in own:
            sheet.append(row)
        for row in sheet.iter_rows():
            for cell in row:
                if cell.value == "=no":
                    cell.data_type = "s"  # a text that only looks like a formula
    made.save(path)
    return made


def test_a_sheet_is_read_with_its_texts_and_numbers(tmp_path: Path) -> None:
    book(tmp_path / "rows.xlsx")
    table = read_records(str(tmp_path / "rows.xlsx"))
    assert table.to_pydict() == {"id": [1, 2, 3], "text": ["café", "tea", "=no"], "label": ["yes", "1", None]}
    assert [len(piece) for piece in read_pieces(str(tmp_path / "rows.xlsx"), 2)] == [2, 1]
    book(tmp_path / "more.xlsx", [["when", "share"], [date(2026, 1, 2), 1], [None, 0.5]])
    assert read_records(str(tmp_path / "more.xlsx")).to_pydict() == {
        "when": ["2026-01-02 00:00:00", None],
        "share": [1, 0.5],
    }


def test_of_several_sheets_one_is_named(tmp_path: Path) -> None:
    path = str(tmp_path / "rows.xlsx")
    book(tmp_path / "rows.xlsx", [["a"], [1]], Other=[["b"], [2]], Empty=[])
    with pytest.raises(DataError, match=r"several sheets(.|\n)*Sheet, Other(.|\n)*task.config"):
        read_records(path)
    assert read_records(path, "Other").to_pydict() == {"b": [2]}
    with pytest.raises(DataError, match=r"no sheet 'Othr'(.|\n)*did you mean 'Other'"):
        read_records(path, "Othr")


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], r"has no rows(.|\n)*empty sheets"),
        ([["text", "label"]], "has no rows"),
        ([["text", "n"], ["a", "=1+1"]], r"has formulas(.|\n)*B2: =1\+1(.|\n)*Paste the values"),
        ([["text", None], ["a", "b"]], r"without a name(.|\n)*text, \(no name\)"),
        ([["text", "text"], ["a", "b"]], "with the same one"),
    ],
)
def test_what_a_sheet_does_not_say_is_an_error(tmp_path: Path, rows: list[list[Any]], said: str) -> None:
    book(tmp_path / "rows.xlsx", rows)
    with pytest.raises(DataError, match=said):
        read_records(str(tmp_path / "rows.xlsx"))


def test_merged_cells_a_damaged_file_and_a_missing_extra_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rows.xlsx"
    made = book(path)
    made["Sheet"].merge_cells("B2:B3")
    made.save(path)
    with pytest.raises(DataError, match=r"merged cells(.|\n)*B2:B3(.|\n)*Unmerge"):
        read_records(str(path))
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(DataError, match="cannot be read"):
        read_records(str(path))
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(MissingExtraError, match=r"outgrow\[excel\]"):
        read_records(str(path))
