from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outgrow.errors import DataError
from outgrow.tasks.coded import read_coded
from outgrow.tasks.tables import column, read_records

RECORDS = [
    {"text": "one\u2028two", "label": 1},
    {"text": 'a "quoted", cell\nof two lines', "label": 0},
    {"text": "next\u0085line", "label": 1},
]


def write(path: Path, records: list[dict[str, Any]]) -> Path:
    """Writes records as the kind of file that the name says."""
    kind = next(suffix for suffix in reversed(path.suffixes) if suffix != ".gz")
    opener = gzip.open if path.suffix == ".gz" else open
    if kind == ".parquet":
        pq.write_table(pa.Table.from_pylist(records), path)
        return path
    with opener(path, "wt", encoding="utf-8", newline="") as file:
        if kind == ".jsonl":
            file.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
        elif kind == ".json":
            json.dump(records, file)
        else:
            writer = csv.DictWriter(file, list(records[0]), delimiter="," if kind == ".csv" else "\t")
            writer.writeheader()
            writer.writerows(records)
    return path


@pytest.mark.parametrize(
    "name", ["x.jsonl", "x.jsonl.gz", "x.json", "x.csv", "x.csv.gz", "x.tsv", "x.tsv.gz", "x.parquet"]
)
def test_every_kind_of_file_is_read(tmp_path: Path, name: str) -> None:
    assert read_records(str(write(tmp_path / name, RECORDS))).to_pylist() == RECORDS


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\u0085", "\x0b", "\x0c", "\x1c"])
def test_a_json_line_with_an_unescaped_line_separator_inside_a_string_is_one_line(
    tmp_path: Path, separator: str
) -> None:
    records = [{"text": f"before{separator}after", "label": 1}, {"text": "next", "label": 0}]
    path = tmp_path / "x.jsonl"
    lines = [f'{{"text": "{record["text"]}", "label": {record["label"]}}}\n' for record in records]
    if separator < " ":
        lines[0] = json.dumps(records[0]) + "\n"  # JSON wants control characters escaped
    path.write_text("".join(lines), encoding="utf-8")
    assert read_records(str(path)).to_pylist() == records


@given(texts=st.lists(st.text(), min_size=1, max_size=5))
def test_any_text_is_read_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    records = [{"text": text, "label": 1} for text in texts]
    path = write(tmp_path_factory.getbasetemp() / "any.jsonl", records)
    assert read_records(str(path)).to_pylist() == records


def test_a_field_that_the_first_line_lacks_is_a_column(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", [{"text": "a"}, {"text": "b", "label": 1}])
    assert read_records(str(path)).to_pydict() == {"text": ["a", "b"], "label": [None, 1]}


@pytest.mark.parametrize("name", ["x.jsonl", "x.parquet"])
def test_fields_of_nested_objects_are_columns_with_dotted_names(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    records = [{"id": 1, "pred": {"a": "x", "b": {"c": 2}}}, {"id": 2, "pred": {"a": "y", "b": {"c": 3}}}]
    pq.write_table(pa.Table.from_pylist(records), path) if name == "x.parquet" else write(path, records)
    assert read_records(str(path)).to_pydict() == {"id": [1, 2], "pred.a": ["x", "y"], "pred.b.c": [2, 3]}


def test_true_and_false_beside_texts_are_texts(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", [{"said": True}, {"said": "[invalid]"}, {"said": None}, {"said": False}])
    assert read_records(str(path))["said"].to_pylist() == ["true", "[invalid]", None, "false"]


def test_a_byte_order_mark_is_no_part_of_the_data(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_bytes(b'\xef\xbb\xbf{"text": "a"}\n')
    assert read_records(str(tmp_path / "x.jsonl")).column_names == ["text"]


def test_an_empty_cell_is_nothing_and_a_nan_is_a_nan(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("task,p\na,\nb,nan\nc,0.5\n")
    nothing, nan, half = read_records(str(tmp_path / "x.csv"))["p"].to_pylist()
    assert nothing is None
    assert nan != nan
    assert half == 0.5


def test_a_saved_data_set_folder_is_read(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_list(RECORDS).save_to_disk(str(tmp_path / "set"))
    assert read_records(str(tmp_path / "set")).to_pylist() == RECORDS


def test_a_filtered_data_set_folder_has_only_its_own_rows(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_list(RECORDS).select([2, 0]).save_to_disk(str(tmp_path / "set"))
    assert read_records(str(tmp_path / "set")).to_pylist() == [RECORDS[2], RECORDS[0]]


def test_a_data_set_of_several_splits_asks_for_one(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    one = datasets.Dataset.from_list(RECORDS)
    datasets.DatasetDict({"train": one, "test": one}).save_to_disk(str(tmp_path / "set"))
    with pytest.raises(DataError, match=r"several splits(.|\n)*train, test"):
        read_records(str(tmp_path / "set"))


def test_one_split_of_a_data_set_folder_can_be_named(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    one = datasets.Dataset.from_list(RECORDS)
    datasets.DatasetDict({"train": one, "test": one.select([0])}).save_to_disk(str(tmp_path / "set"))
    assert read_records(f"{tmp_path}/set:test").to_pylist() == RECORDS[:1]


def test_a_split_that_a_data_set_folder_lacks_is_said(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.DatasetDict({"train": datasets.Dataset.from_list(RECORDS)}).save_to_disk(str(tmp_path / "set"))
    with pytest.raises(DataError, match=r"no split 'tain'(.|\n)*did you mean 'train'"):
        read_records(f"{tmp_path}/set:tain")


def test_a_damaged_data_set_folder_is_said(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    (tmp_path / "set").mkdir()
    (tmp_path / "set/dataset_info.json").write_text("{}")
    with pytest.raises(DataError, match="cannot be read"):
        read_records(str(tmp_path / "set"))


def test_a_hub_data_set_that_cannot_be_had_is_said() -> None:
    pytest.importorskip("datasets")
    with pytest.raises(DataError, match=r"'nobody/nothing' is neither a file(.|\n)*wanted: a data file"):
        read_records("nobody/nothing")


@pytest.mark.parametrize("name", ["missing.jsonl", "missing.csv.gz"])
def test_a_missing_file_is_said(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=f"There is no data file .*{name}"):
        read_records(str(tmp_path / name))


def test_a_file_of_an_unknown_kind_is_said(tmp_path: Path) -> None:
    (tmp_path / "x.ods").write_text("")
    with pytest.raises(DataError, match=r"unknown kind(.|\n)*found:  .ods"):
        read_records(str(tmp_path / "x.ods"))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.jsonl", b'{"text": "a"}\n{"text": '),
        ("x.jsonl", b"[1, 2]\n"),
        ("x.jsonl", b"3\n"),
        ("x.jsonl", b'{"text": "\xff"}\n'),
        ("x.jsonl", b'{"text": "\\ud800"}\n'),
        ("x.jsonl", b'{"text": "a"}\n{"text": 1}\n'),
        ("x.json", b'{"text": ["a", "b"]}'),
        ("x.csv", b"text,label\na,1\nb\n"),
        ("x.csv", b""),
        ("x.parquet", b"PAR1 and then nothing"),
        ("x.jsonl.gz", b"not gzip"),
        ("x.jsonl.gz", gzip.compress(b'{"text": "a"}\n' * 100, mtime=0)[:-12]),
    ],
)
def test_a_damaged_file_is_said_in_one_line(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as refused:
        read_records(str(tmp_path / name))
    assert refused.value.what.startswith(f"{tmp_path / name} cannot be read: ")
    assert "\n" not in refused.value.what


@pytest.mark.parametrize(("name", "content"), [("x.jsonl", "\n\n"), ("x.csv", "text,label\n"), ("x.json", "[]")])
def test_a_file_without_rows_is_said(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match="has no rows"):
        read_records(str(tmp_path / name))


def test_a_missing_column_offers_the_nearest_and_names_the_setting() -> None:
    with pytest.raises(DataError) as refused:
        column(pa.table({"text": ["a"], "label": [1]}), "txt", where="x.csv", setting="task.columns.prompt")
    assert str(refused.value) == (
        "x.csv has no column 'txt'.\n  found:  text, label\n  next:   Set task.columns.prompt; did you mean 'text'?"
    )


@pytest.fixture
def _cache_of_datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("datasets")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))


def two_configurations(folder: Path) -> str:
    """A data set as it lies on the hub: two configurations with two splits each, told by the header of its README."""
    header = "---\nconfigs:\n"
    for config in ("main", "socratic"):
        (folder / config).mkdir(parents=True)
        header += f"- config_name: {config}\n  data_files:\n"
        for split in ("train", "test"):
            lines = [f'{{"question": "{config} {split} {row}", "answer": "{row}"}}\n' for row in range(10)]
            (folder / config / f"{split}.jsonl").write_text("".join(lines))
            header += f"  - {{split: {split}, path: {config}/{split}.jsonl}}\n"
    (folder / "README.md").write_text(header + "---\n")
    return str(folder)


@pytest.mark.usefixtures("_cache_of_datasets")
def test_a_configuration_and_a_split_of_a_data_set_can_be_named(tmp_path: Path) -> None:
    table = read_records(two_configurations(tmp_path / "set") + ":test", "socratic")
    assert table["question"].to_pylist() == [f"socratic test {row}" for row in range(10)]


@pytest.mark.usefixtures("_cache_of_datasets")
@pytest.mark.parametrize(
    ("config", "said"),
    [
        (None, r"several configurations(.|\n)*found:  main, socratic(.|\n)*task.config: main"),
        ("mian", r"no configuration 'mian'(.|\n)*found:  main, socratic(.|\n)*did you mean 'main'"),
    ],
)
def test_a_configuration_that_is_missing_or_unknown_is_said_with_those_there_are(
    tmp_path: Path, config: str | None, said: str
) -> None:
    with pytest.raises(DataError, match=said):
        read_records(two_configurations(tmp_path / "set") + ":train", config)


def test_a_folder_without_data_is_said(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    (tmp_path / "set").mkdir()
    with pytest.raises(DataError, match=r"neither a file or data set folder(.|\n)*any data files"):
        read_records(str(tmp_path / "set"))


def test_a_configuration_of_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("text\na\n")
    with pytest.raises(DataError, match=r"x.csv has no configurations(.|\n)*found:  main"):
        read_records(str(tmp_path / "x.csv"), "main")


EXPORTED = "text,label\n“café”,1\nGröße,0\n"


@pytest.mark.parametrize("name", ["x.csv", "x.csv.gz", "x.jsonl"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_utf_8_and_marked_utf_16_are_read_without_being_asked(tmp_path: Path, name: str, encoding: str) -> None:
    text = '{"text": "“café”", "label": 1}\n{"text": "Größe", "label": 0}\n' if name == "x.jsonl" else EXPORTED
    opener = gzip.open if name.endswith("gz") else open
    with opener(tmp_path / name, "wb") as file:
        file.write(text.encode(encoding))
    path = str(tmp_path / name)
    assert read_records(path, encoding="latin-1" if encoding != "utf-8" else None).to_pylist() == [
        {"text": "“café”", "label": 1},
        {"text": "Größe", "label": 0},
    ]
    if name != "x.jsonl":
        assert read_coded(path, ["text"])["text"].values.to_pylist() == ["“café”", "Größe"]


@pytest.mark.parametrize("name", ["x.csv", "x.jsonl"])
def test_another_encoding_is_read_when_it_is_named(tmp_path: Path, name: str) -> None:
    text = '{"text": "“café”", "label": 1}\n' if name == "x.jsonl" else "text,label\n“café”,1\n"
    (tmp_path / name).write_bytes(text.encode("cp1252"))
    assert read_records(str(tmp_path / name), encoding="cp1252").to_pylist() == [{"text": "“café”", "label": 1}]


@pytest.mark.parametrize(
    ("data", "encoding", "said"),
    [
        (
            EXPORTED.encode("cp1252"),
            None,
            r"it is not UTF-8(.|\n)*line 2, .*café.* as cp1252(.|\n)*task.encoding: cp1252",
        ),
        ("größe,label\na,1\n".encode("latin-1"), None, r"it is not UTF-8(.|\n)*line 1, .*größe(.|\n)*task.encoding"),
        ("text,label\na,1\n".encode("utf-16-le"), None, r"it is not UTF-8(.|\n)*task.encoding: utf-16-le"),
        ("text,label\na,1\n".encode("utf-16-be"), None, r"it is not UTF-8(.|\n)*task.encoding: utf-16-be"),
        (EXPORTED.encode(), "ascii", r"it is not ascii(.|\n)*line 2(.|\n)*Change task.encoding"),
        (EXPORTED.encode() + "é,1\n".encode("latin-1"), None, r"it is not UTF-8(.|\n)*line 4"),
    ],
)
def test_an_encoding_is_never_guessed(tmp_path: Path, data: bytes, encoding: str | None, said: str) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(data)
    with pytest.raises(DataError, match=said):
        read_records(str(path), encoding=encoding)
    if encoding is None:
        with pytest.raises(DataError, match=said):
            read_coded(str(path), data.decode("latin-1").partition("\n")[0].split(",")[:1])


@pytest.mark.parametrize("head", ["text;label", '"text";"label"', "text\tlabel"])
def test_the_header_line_says_what_separates_cells(tmp_path: Path, head: str) -> None:
    separator = "\t" if "\t" in head else ";"
    (tmp_path / "x.csv").write_text(f"{head}\na, b{separator}1\nc{separator}0\n")
    assert read_records(str(tmp_path / "x.csv")).to_pylist() == [
        {"text": "a, b", "label": 1},
        {"text": "c", "label": 0},
    ]
    assert read_coded(str(tmp_path / "x.csv"), ["label"])["label"].values.to_pylist() == ["1", "0"]


def test_a_comma_in_the_header_line_separates_cells_whatever_else_is_there(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a;b,label\nc;d,1\n")
    assert read_records(str(tmp_path / "x.csv")).to_pylist() == [{"a;b": "c;d", "label": 1}]


@pytest.mark.parametrize("broken", ['"b,0', 'b,"0'])
def test_a_quote_that_never_closes_is_said_with_its_line(tmp_path: Path, broken: str) -> None:
    for more in (1, 100_000):
        (tmp_path / "x.csv").write_text(f"text,label\na,1\n{broken}\n" + "c,1\n" * more)
        with pytest.raises(DataError, match=r"a quoted cell does not end(.|\n)*begins in line 3"):
            read_records(str(tmp_path / "x.csv"))


def test_quotes_inside_of_cells_and_line_ends_in_the_last_one_are_no_mistake(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text('text,label\n5" screen,1\n"7"" screen\n",0\n')
    assert read_records(str(tmp_path / "x.csv"))["text"].to_pylist() == ['5" screen', '7" screen\n']


def test_a_path_with_a_star_is_all_files_that_match_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("part-2.parquet", "part-1.jsonl", "other.jsonl"):
        write(tmp_path / name, [{"text": name, "label": len(name)}])
    assert read_records(f"{tmp_path}/part-*")["text"].to_pylist() == ["part-1.jsonl", "part-2.parquet"]
    with pytest.raises(DataError, match=r"no data file .*none-\*"):
        read_records(f"{tmp_path}/none-*")
    write(tmp_path / "part-3.jsonl", [{"text": "x", "label": "three"}])
    with pytest.raises(DataError, match=r"part-\* have columns of different types(.|\n)*label"):
        read_records(f"{tmp_path}/part-*")


def test_a_line_with_another_number_of_cells_is_shown(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("text,label\na,1\nb, and c,0\n")
    with pytest.raises(DataError, match=r"has 3 cells, and the first one 2(.|\n)*found:  b, and c,0"):
        read_records(str(tmp_path / "x.csv"))


def test_a_sheet_is_refused_with_how_to_save_it(tmp_path: Path) -> None:
    (tmp_path / "x.xls").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"unknown kind(.|\n)*Save the sheet as a csv file"):
        read_records(str(tmp_path / "x.xls"))
