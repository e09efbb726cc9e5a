from __future__ import annotations

from pathlib import Path

import pytest

from outgrow.annotate import read_items
from outgrow.errors import ConfigError, DataError


def table(folder: Path, text: str) -> Path:
    file = folder / "task.csv"
    file.write_text(text, encoding="utf-8")
    return file


def test_rows_of_a_table_with_a_gold_answer_are_checks(tmp_path: Path) -> None:
    rows = read_items(table(tmp_path, "text,label\ngood,yes\nbad,no\nmeh,\n"))
    assert rows.parts == ("gold", "gold", "unlabelled")
    assert rows.choices == ("no", "yes")
    assert rows.ids == ("0", "1", "2")


def test_a_table_without_answers_takes_its_choices_from_a_setting(tmp_path: Path) -> None:
    file = table(tmp_path, "key,question\na,good?\nb,bad?\n")
    settings = ["task.choices=[no, yes]", "task.columns.prompt=question", "task.columns.id=key"]
    rows = read_items(file, settings)
    assert (rows.ids, rows.prompts, rows.choices) == (("a", "b"), ("good?", "bad?"), ("no", "yes"))
    with pytest.raises(DataError, match="have no choices"):
        read_items(file, settings[1:])


def test_a_table_whose_answers_are_all_known_is_refused(tmp_path: Path) -> None:
    file = table(tmp_path, "text,label\ngood,yes\nbad,no\n")
    with pytest.raises(DataError, match=r"columns\.gold=null"):
        read_items(file)
    assert read_items(file, ["task.columns.gold=null", "task.choices=[no, yes]"]).parts == ("unlabelled",) * 2


def test_a_wrong_setting_is_explained(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"task\.columns\.promt: unknown key; did you mean 'prompt'"):
        read_items(table(tmp_path, "text\na\n"), ["task.columns.promt=x"])


def test_of_an_experiment_the_gold_part_is_checks_and_the_others_are_asked_about(tmp_path: Path) -> None:
    table(tmp_path, "text,label\n" + "".join(f"text {row},{row % 2}\n" for row in range(20)))
    file = tmp_path / "trial.yaml"
    file.write_text(
        "task: {path: task.csv, choices: ['0', '1'], split: {gold: 5, unlabelled: 10, test: 5}}\n"
        "supervisors: [{features: tfidf}]\nstrong: {model: some/model}\n",
        encoding="utf-8",
    )
    rows = read_items(file, ["task.split.test=4"])
    assert [rows.parts.count(part) for part in ("gold", "unlabelled", "test")] == [5, 10, 4]
