"""Columns of long tables, read piece by piece."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outgrow.errors import DataError
from outgrow.tasks import coded
from outgrow.tasks.coded import Coded, labels_of, read_coded

LINES = [{"task": "007", "worker": "Ö, k", "label": "1"}, {"task": "7", "worker": "b", "label": None}] * 20


def decoded(column: Coded) -> list[str | None]:
    values = [*column.values.to_pylist(), None]
    return [values[code] for code in column.codes]


@pytest.fixture(params=["votes.parquet", "votes.csv", "votes.tsv", "votes.csv.gz", "votes.jsonl"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The same lines in every kind of file."""
    file, table = tmp_path / request.param, pa.Table.from_pylist(LINES)
    if ".parquet" in file.suffixes:
        pq.write_table(table, file, row_group_size=7)
    elif ".jsonl" in file.suffixes:
        file.write_text("\n".join(json.dumps(line) for line in LINES))
    else:
        options = pa.csv.WriteOptions(delimiter="\t" if ".tsv" in file.suffixes else ",")
        pa.csv.write_csv(table, tmp_path / "plain", options)
        content = (tmp_path / "plain").read_bytes()
        file.write_bytes(gzip.compress(content) if file.suffix == ".gz" else content)
    return str(file)


def test_every_kind_of_file_gives_its_cells_as_they_are_written(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coded, "_LINES", 3)
    monkeypatch.setattr(coded, "_BLOCK", 100)
    found = read_coded(path, ["task", "label", "worker"])
    for name, column in found.items():
        assert decoded(column) == [line[name] for line in LINES]


@given(st.lists(st.lists(st.sampled_from(["a", "b", "ü", "", None]), max_size=5), max_size=5))
def test_codes_of_pieces_are_the_codes_of_the_whole(pieces: list[list[str | None]]) -> None:
    whole = [value for piece in pieces for value in piece]
    found = Coded.of(pa.array(piece, pa.string()) for piece in pieces)
    assert decoded(found) == whole
    assert found.values.to_pylist() == list(dict.fromkeys(value for value in whole if value is not None))


@pytest.mark.parametrize("values", [[1, 2, None], [True, False, True], [0.5, None, 0.25]])
def test_columns_that_are_no_text_are_written_out(values: list[object]) -> None:
    expected = pa.array(values).cast(pa.string()).to_pylist()
    assert decoded(Coded.of([pa.array(values)])) == expected


def test_columns_that_are_encoded_in_the_file_are_read_like_others(tmp_path: Path) -> None:
    encoded = pa.DictionaryArray.from_arrays(pa.array([1, 0, None, 2]), pa.array(["x", "y", "x"]))
    pq.write_table(pa.table({"label": encoded}), tmp_path / "votes.parquet")
    found = read_coded(str(tmp_path / "votes.parquet"), ["label"])["label"]
    assert decoded(found) == ["y", "x", None, "x"]


def test_labels_that_are_numbers_are_compared_as_numbers() -> None:
    assert labels_of(Coded.of([pa.array(["1", "1.0", "NULL", "2"])])) == ["1", "1", None, "2"]


@pytest.mark.parametrize("name", ["votes.csv", "votes.parquet", "votes.jsonl"])
def test_a_missing_column_is_named_with_the_nearest_one(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    if name == "votes.parquet":
        pq.write_table(pa.table({"tasks": ["a"]}), file)
    else:
        file.write_text("tasks\na\n" if name == "votes.csv" else '{"tasks": "a"}')
    with pytest.raises(DataError, match="did you mean 'tasks'"):
        read_coded(str(file), ["task"])


@pytest.mark.parametrize(("name", "content"), [("x.csv", "task\n"), ("x.csv", ""), ("x.parquet", "no"), ("x.xls", "")])
def test_files_that_are_empty_damaged_or_unknown_are_refused(name: str, content: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=r"no rows|cannot be read|unknown kind"):
        read_coded(str(tmp_path / name), ["task"])


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no data file"):
        read_coded(str(tmp_path / "x.csv"), ["task"])
