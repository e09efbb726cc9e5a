"""Predictions for tables of rows: in pieces, resumed, and refused where columns are missing."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from outgrow.errors import ConfigError, DataError, StoreError
from outgrow.experiment import Experiment
from outgrow.files import read_table
from outgrow.progress import PlainReporter
from outgrow.students import predict, predicting
from small_experiments import planted_rows, write_experiment


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory, encoder_folder: Path) -> Path:
    """A saved probe."""
    folder = tmp_path_factory.mktemp("run")
    results = Experiment.from_yaml(write_experiment(folder, encoder_folder, planted_rows(90), ceiling=False)).run()
    results.save_student("naive", folder / "kept")
    return folder / "kept"


def test_every_kind_of_table_gives_the_same_answers(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predicting, "PIECE_ROWS", 7)
    rows = planted_rows(30, seed=5)
    table = pa.Table.from_pylist(rows)
    lines = "\n\n".join(map(json.dumps, rows))
    (tmp_path / "a.jsonl").write_text(lines)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(lines.encode("utf-8-sig")))
    (tmp_path / "c.json").write_text(json.dumps(rows))
    pyarrow.csv.write_csv(table, tmp_path / "d.csv")
    pyarrow.parquet.write_table(table, tmp_path / "e.parquet", row_group_size=4)
    found = []
    for path in sorted(tmp_path.iterdir()):
        assert predict(kept, path, tmp_path / "out.parquet") == 30
        found.append(read_table(tmp_path / "out.parquet"))
        (tmp_path / "out.parquet").unlink()
    assert found[0]["id"].to_pylist() == [row["id"] for row in rows]
    assert all(each.equals(found[0]) for each in found)


@pytest.mark.parametrize(("encoding", "delimiter"), [("utf-16", ","), ("utf-8-sig", ";"), ("utf-8", "\t")])
def test_marked_encodings_and_other_delimiters_are_read_as_in_a_run(
    kept: Path, tmp_path: Path, encoding: str, delimiter: str
) -> None:
    (tmp_path / "new.csv").write_text(f"id{delimiter}text\n7{delimiter}film was café\n", encoding=encoding)
    assert predict(kept, tmp_path / "new.csv", tmp_path / "out.parquet") == 1
    assert read_table(tmp_path / "out.parquet")["id"].to_pylist() == ["7"]


@pytest.mark.parametrize("name", ["new.csv", "new.jsonl", "new.json"])
def test_rows_are_read_in_the_encoding_that_is_named(
    kept: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(predicting, "_answering", lambda *_: lambda prompts, options: said.extend(prompts) or {})
    row = '{"text": "film café"}'
    text = {"new.csv": "text\nfilm café\n", "new.jsonl": row, "new.json": f"[{row}]"}[name]
    (tmp_path / name).write_bytes(text.encode("cp1252"))
    with pytest.raises(DataError, match=r"not UTF-8(.|\n)*--encoding"):
        predict(kept, tmp_path / name, tmp_path / "out.csv")
    assert predict(kept, tmp_path / name, tmp_path / "out.csv", encoding="cp1252") == 1
    assert said == ["film café"]
    with pytest.raises(DataError, match="no encoding 'cp12525'"):
        predict(kept, tmp_path / name, tmp_path / "other.csv", encoding="cp12525")


def test_rows_are_read_as_those_of_the_experiment_were_and_that_is_said(
    tmp_path: Path, encoder_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{**row, "text": f"café {row['text']}"} for row in planted_rows(60)]
    lines = [",".join(map(str, row.values())) for row in (dict(zip(rows[0], rows[0], strict=True)), *rows)]
    (tmp_path / "latin.csv").write_text("\n".join(lines), encoding="cp1252")
    task = {"path": "latin.csv", "encoding": "cp1252", "columns": {"id": "id"}, "choices": ["no", "yes"]}
    experiment = Experiment.from_yaml(write_experiment(tmp_path, encoder_folder, rows, task=task, ceiling=False))
    experiment.run().save_student("naive", tmp_path / "kept")
    predict(tmp_path / "kept", tmp_path / "latin.csv", tmp_path / "out.csv", reporter=PlainReporter(sys.stderr))
    assert "latin.csv is read as cp1252" in capsys.readouterr().err


def test_mixed_encodings_are_said_with_their_line(kept: Path, tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_bytes(b"text\nfilm\ncaf\xc3\xa9\ncaf\xe9\n")
    with pytest.raises(DataError, match=r"not UTF-8(.|\n)*line 4"):
        predict(kept, tmp_path / "new.csv", tmp_path / "out.csv")


def test_a_prediction_that_was_stopped_goes_on_where_it_was(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predicting, "PIECE_ROWS", 10)
    pyarrow.csv.write_csv(pa.Table.from_pylist(planted_rows(35)), tmp_path / "new.csv")
    predict(kept, tmp_path / "new.csv", tmp_path / "whole.csv")
    answering, sizes = predicting._answering, []

    def failing(*settings: Any) -> predicting.Answer:
        answer = answering(*settings)

        def counted(prompts: Any, options: Any) -> dict[str, Any]:
            sizes.append(len(prompts))
            if len(sizes) == 3:
                raise KeyboardInterrupt
            return answer(prompts, options)

        return counted

    monkeypatch.setattr(predicting, "_answering", failing)
    with pytest.raises(KeyboardInterrupt):
        predict(kept, tmp_path / "new.csv", tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()
    predict(kept, tmp_path / "new.csv", tmp_path / "out.csv")
    assert sizes == [10, 10, 10, 10, 5]
    assert (tmp_path / "out.csv").read_text() == (tmp_path / "whole.csv").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.csv", "out.csv", "whole.csv"]


def test_pieces_of_other_rows_are_not_taken_for_those_of_these(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.csv").write_text("text\nfilm was good\n")
    (tmp_path / "b.csv").write_text("text\nfilm was bad\n")
    predict(kept, tmp_path / "b.csv", tmp_path / "right.csv")
    with monkeypatch.context() as patched:
        patched.setattr(predicting.shutil, "rmtree", lambda path: None)  # the first one leaves its piece
        predict(kept, tmp_path / "a.csv", tmp_path / "out.csv")
    (tmp_path / "out.csv").unlink()
    predict(kept, tmp_path / "b.csv", tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == (tmp_path / "right.csv").read_text()


def test_rows_without_the_prompt_column_are_refused_before_anything_is_loaded(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "new.csv").write_text("txt,id\nfilm was good,1\n")
    monkeypatch.setattr(predicting, "_answering", None)
    with pytest.raises(DataError, match=r"no column 'text'(.|\n)*txt, id(.|\n)*--prompt(.|\n)*mean 'txt'"):
        predict(kept, tmp_path / "new.csv", tmp_path / "out.csv")
    monkeypatch.undo()
    assert predict(kept, tmp_path / "new.csv", tmp_path / "out.csv", prompt="txt") == 1


def test_an_output_that_is_there_or_of_another_kind_and_an_empty_table_are_refused(kept: Path, tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text("text\nfilm was good\n")
    with pytest.raises(StoreError, match="there already"):
        predict(kept, tmp_path / "new.csv", tmp_path / "new.csv")
    with pytest.raises(ConfigError, match="unknown kind"):
        predict(kept, tmp_path / "new.csv", tmp_path / "new.xlsx")
    (tmp_path / "none.csv").write_text("text\n")
    with pytest.raises(DataError, match="no rows"):
        predict(kept, tmp_path / "none.csv", tmp_path / "out.csv")
    (tmp_path / "damaged.jsonl").write_text('{"text": "film"}\n{"text": "fil')
    with pytest.raises(DataError, match="cannot be read"):
        predict(kept, tmp_path / "damaged.jsonl", tmp_path / "out.csv")
