"""Reading Excel sheets: values as they are, and an error where the cells alone do not say what they mean."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa

from outgrow import bounds
from outgrow.errors import DataError, MissingExtraError, did_you_mean

_PLACE = re.compile(rb'<(?:\w+:)?dimension[^>]*\bref="([A-Z]+[0-9]+:[A-Z]+[0-9]+)"')
_MERGED = re.compile(rb'<(?:\w+:)?mergeCell\b[^>]*\bref="([A-Z]+[0-9]+:[A-Z]+[0-9]+)"')
_AS_CSV = "or save the sheet as a csv file (Excel: “CSV UTF-8”)."


def read_sheet(file: Path, sheet: str | None = None) -> pa.Table:
    """Read a sheet of an `.xlsx` file whose first row has the names of the columns; empty rows are left out.

    A column with some texts becomes one of texts, as it would in a csv file. Needs the extra `excel`.

    Args:
        file: The file.
        sheet: Name of the sheet; by default the only one with content.

    Raises:
        DataError: The file is damaged, has several sheets or no such one, or the sheet is empty, or has merged cells,
            formulas, or columns without a name or with the same one.
    """
    try:
        from openpyxl import load_workbook
    except ImportError as error:
        raise MissingExtraError("Reading an Excel file", "excel") from error
    try:
        _check_size(file)
        book = load_workbook(file)
    except DataError:
        raise
    except Exception as error:  # of zip, XML or openpyxl, depending on the damage
        raise DataError(
            f"{file} cannot be read: {error}", fix=f"Open it in Excel and save it again, {_AS_CSV}"
        ) from error
    found = _chosen(file, book, sheet)
    where = f"The sheet {found.title!r} of {file}"
    if found.merged_cells.ranges:
        merged = ", ".join(sorted(map(str, found.merged_cells.ranges))[:3])
        raise DataError(f"{where} has merged cells.", found=merged, fix=f"Unmerge and fill them, {_AS_CSV}")
    for row in found.iter_rows():
        for cell in row:
            if cell.data_type == "f":
                formula = getattr(cell.value, "text", cell.value)
                fix = f"Paste the values over the formulas, {_AS_CSV}"
                raise DataError(f"{where} has formulas.", found=f"{cell.coordinate}: {formula}", fix=fix)
    head, *rows = [row for row in found.iter_rows(values_only=True) if any(value is not None for value in row)]
    columns = list(zip(*rows, strict=True)) or [()] * len(head)
    named = [
        (name, own)
        for name, own in zip(head, columns, strict=True)
        if name is not None or any(v is not None for v in own)
    ]
    names = ["" if name is None else str(name) for name, _ in named]
    if "" in names or len({*names}) < len(names):
        shown = ", ".join(name or "(no name)" for name in names)
        raise DataError(f"{where} has columns without a name, or with the same one.", found=shown)
    try:
        return pa.table(dict(zip(names, (_values(own) for _, own in named), strict=True)))
    except (pa.ArrowException, OverflowError, ValueError) as error:
        raise DataError(f"{where} cannot be read: {error}") from error


def _check_size(file: Path) -> None:
    """Raise a DataError for a file that would fill memory when it is loaded."""
    from openpyxl.utils import range_boundaries

    with zipfile.ZipFile(file) as parts:
        size = sum(part.file_size for part in parts.infolist())
        if size > bounds.SHEET_BYTES.most:
            raise DataError(f"{file} is too large.", found=f"{size:,} bytes", wanted=str(bounds.SHEET_BYTES))
        for name in parts.namelist():
            if name.startswith("xl/worksheets/") and name.endswith(".xml"):
                text = parts.read(name)
                places = [*_PLACE.findall(text), *_MERGED.findall(text)]
                cells = (range_boundaries(place.decode()) for place in places)
                _check_cells(file, max((across * down for _, _, across, down in cells), default=0))


def _check_cells(file: Path, cells: int) -> None:
    if cells > bounds.CELLS.most:
        raise DataError(f"A sheet of {file} is too large.", found=f"{cells:,} cells", wanted=str(bounds.CELLS))


def _chosen(file: Path, book: Any, sheet: str | None) -> Any:
    for one in book.worksheets:
        _check_cells(file, one.max_row * one.max_column)
    filled = [one.title for one in book.worksheets if any(any(row) for row in one.iter_rows(values_only=True))]
    if not filled:
        raise DataError(f"{file} has no rows.", found="empty sheets", wanted="at least one row")
    if sheet is None and len(filled) > 1:
        fix = f"Set task.config: {filled[0]}, {_AS_CSV}"
        raise DataError(f"{file} has several sheets.", found=", ".join(filled), wanted="one, or its name", fix=fix)
    if sheet is not None and sheet not in filled:
        fix = did_you_mean(sheet, filled)
        raise DataError(f"{file} has no sheet {sheet!r} with content.", found=", ".join(filled), fix=fix)
    return book[sheet or filled[0]]


def _values(cells: tuple[Any, ...]) -> pa.Array:
    plain = [cell if cell is None or isinstance(cell, str | bool | int | float) else str(cell) for cell in cells]
    kinds = {type(cell) for cell in plain} - {type(None)}
    if str in kinds or kinds >= {bool, int} or kinds >= {bool, float}:
        plain = [cell if cell is None or isinstance(cell, str) else json.dumps(cell) for cell in plain]
    return pa.array(plain)
