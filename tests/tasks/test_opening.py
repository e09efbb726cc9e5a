"""Files that are small on the disk and endless in memory are refused at once, with the bound named."""

from __future__ import annotations

import gzip
import os
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from outgrow import bounds
from outgrow.errors import DataError
from outgrow.tasks.tables import read_pieces, read_records


@pytest.fixture(autouse=True)
def _small_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "INFLATION_FROM", 2**20)
    monkeypatch.setattr(bounds, "PARQUET_FROM", 2**20)
    monkeypatch.setattr(bounds, "ROWS", bounds.Bound("ROWS", 5000, "rows of a table"))


def refused(path: Path, bound: str) -> None:
    for read in (lambda: read_records(str(path)), lambda: list(read_pieces(str(path), 100))):
        with pytest.raises(DataError, match=bound):
            read()


@pytest.mark.parametrize(
    ("name", "data"), [("z.csv.gz", b"0"), ("z.jsonl.gz", b"\0"), ("z.json.gz", b" "), ("z.tsv.gz", b"\n")]
)
def test_a_file_that_inflates_beyond_measure_is_not_read_to_its_end(tmp_path, name, data):
    (tmp_path / name).write_bytes(gzip.compress(data * 4_000_000))
    refused(tmp_path / name, "INFLATION")


def test_a_compressed_file_of_texts_is_read(tmp_path):
    lines = "".join(f'{{"text": "row number {number} of many"}}\n' for number in range(20_000))
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    assert read_records(str(tmp_path / "a.jsonl.gz")).num_rows == 20_000


def test_a_parquet_file_of_too_many_rows_is_refused_before_it_is_read(tmp_path):
    pq.write_table(pa.table({"a": ["x"] * 5001}), tmp_path / "a.parquet")
    refused(tmp_path / "a.parquet", "ROWS")


def test_a_parquet_file_of_repeated_long_texts_is_refused(tmp_path):
    pq.write_table(pa.table({"a": ["x" * 10_000] * 4500}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="PARQUET_INFLATION"):
        read_records(str(tmp_path / "a.parquet"))


def test_a_damaged_page_of_a_parquet_file_is_said(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(
        pa.table({"a": list(range(1000))}), path, write_page_checksum=True, compression="none", use_dictionary=False
    )
    content = bytearray(path.read_bytes())
    content[3000] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="cannot be read"):
        read_records(str(path))


def sheet(path: Path, old: bytes, new: bytes) -> Path:
    """A sheet whose XML says something that Excel would not."""
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.append(["a", "b"])
    book.active.append([1, 2])
    book.active.merge_cells("D4:E4")
    book.save(path.with_name("plain.xlsx"))
    with zipfile.ZipFile(path.with_name("plain.xlsx")) as plain, zipfile.ZipFile(path, "w") as odd:
        for name in plain.namelist():
            odd.writestr(name, plain.read(name).replace(old, new))
    return path


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'<mergeCell ref="D4:E4"', b'<mergeCell ref="A1:XFD1048576"'),
        (b'r="A2"', b'r="XFD1048576"'),
    ],
)
def test_a_sheet_of_endless_empty_cells_is_refused(tmp_path, old, new):
    refused(sheet(tmp_path / "a.xlsx", old, new), "CELLS")


def test_a_sheet_that_inflates_beyond_measure_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(bounds, "SHEET_BYTES", bounds.Bound("SHEET_BYTES", 2**20, "bytes"))
    refused(sheet(tmp_path / "a.xlsx", b"</worksheet>", b" " * 2**21 + b"</worksheet>"), "SHEET_BYTES")


@pytest.mark.parametrize("name", ["a.csv", "b.parquet"])
def test_columns_with_one_name_are_an_error(tmp_path, name):
    table = pa.table([pa.array([1]), pa.array([2])], names=["a", "a"])
    if name.endswith(".csv"):
        (tmp_path / name).write_text("a,a\n1,2\n")
    else:
        pq.write_table(table, tmp_path / name)
    refused(tmp_path / name, "the same name")


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.jsonl", b'{"a": 99999999999999999999999}\n', "64 bits"),
        ("a.jsonl", b'{"a": [{"b": 99999999999999999999999}]}\n', "64 bits"),
        ("a.json", b"[" * 100_000, "too deep"),
        ("a.jsonl", b'{"a":' * 100_000, "too deep"),
        ("a.csv", b"\xff\xfea", "cannot be read"),
        ("a.csv", b'a,b\n"\xed\xa0\x80,2\n', "not UTF-8"),
        ("a.jsonl", b'{"a": "\\ud800"}\n', "surrogates"),
    ],
)
def test_what_no_table_can_hold_is_an_error_in_words(tmp_path, name, data, said):
    (tmp_path / name).write_bytes(data)
    refused(tmp_path / name, said)


def test_a_pipe_is_no_table_and_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.csv")
    with pytest.raises(DataError):
        read_records(str(tmp_path / "a.csv"))
