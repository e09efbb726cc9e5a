"""`outgrow advise`: a table of votes, a finished run, and the file of rows to label."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from outgrow.cli import app
from outgrow.errors import ConfigError, StoreError
from outgrow.experiment import Experiment
from small_experiments import noisy_votes, planted_rows, write_experiment, write_lines


def advise(*words: str | Path) -> str:
    done = CliRunner().invoke(app, ["advise", *map(str, words)])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def written(file: Path) -> list[dict[str, str]]:
    with file.open() as lines:
        return list(csv.DictReader(lines))


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory, encoder_folder: Path) -> Path:
    """The folder of a run on the votes of three workers, which lie beside it."""
    folder, rows = tmp_path_factory.mktemp("advised"), planted_rows(300)
    cast = [vote for seed, wrong in enumerate((0.1, 0.2, 0.3)) for vote in noisy_votes(rows, wrong=wrong, seed=seed)]
    write_lines(folder / "votes.jsonl", cast)
    experiment = Experiment.from_yaml(write_experiment(folder, encoder_folder, rows))
    experiment.run()
    return experiment.output


def test_a_table_of_votes_is_advised_on_and_rows_are_written_with_reasons(trial: Path, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    found = json.loads(advise(trial.parent / "votes.jsonl", "-o", file, "--rows", "20", "--json"))
    assert [each["code"].removeprefix("advice.") for each in found] == [
        "supervisors", "votes", "combine", "rows", "method", "gold",
    ]  # fmt: skip
    assert all(each["reason"] and each["next_step"] for each in found)
    assert found[0]["numbers"]["best"]["name"] == "noisy0"
    rows = written(file)
    assert [row["use"] for row in rows] == ["measure"] * 20 + ["correct"] * 20
    assert {row["task"] for row in rows} <= {f"r{index}" for index in range(300)}
    assert all(row["reason"] for row in rows)


def test_known_answers_are_used_and_not_to_be_labelled_again(trial: Path, tmp_path: Path) -> None:
    rows = planted_rows(300)
    gold = {row["id"]: row["label"] for row in rows[:100]}
    votes = [json.loads(line) for line in (trial.parent / "votes.jsonl").read_text().splitlines()]
    known = write_lines(tmp_path / "v.jsonl", [{**vote, "known": gold.get(vote["task"])} for vote in votes])
    found = json.loads(advise(known, "--gold", "known", "-o", tmp_path / "rows.csv", "--json"))
    assert {each["code"]: each for each in found}["advice.method"]["numbers"]["start"] == "validated"
    assert not {row["task"] for row in written(tmp_path / "rows.csv")} & gold.keys()


def test_a_run_keeps_its_advice_in_results_and_report(trial: Path, tmp_path: Path) -> None:
    text = advise(trial, "-o", tmp_path / "rows.csv")
    for title in ("Who is how good?", "Can the strong model learn the task?", "How many gold rows?"):
        assert title in text
        assert title in (trial / "report.html").read_text()
    assert (tmp_path / "rows.csv").read_bytes() == (trial / "rows_to_label.csv").read_bytes()


def test_a_narrower_interval_takes_more_rows(trial: Path) -> None:
    wide, narrow = (json.loads(advise(trial, "--width", width, "--json")) for width in ("1", "0.5"))
    rows = [
        next(each for each in found if each["code"] == "advice.gold")["numbers"]["needed"] for found in (wide, narrow)
    ]
    assert rows[0] < rows[1]


def test_rows_go_to_a_csv_file_only(trial: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot be written to .*rows\.json"):
        advise(trial, "-o", tmp_path / "rows.json")


def test_a_run_without_rows_to_label_says_so(trial: Path, tmp_path: Path) -> None:
    older = shutil.copytree(trial, tmp_path / "older", ignore=shutil.ignore_patterns("rows_to_label.csv"))
    with pytest.raises(StoreError, match="names no rows to label"):
        advise(older, "-o", tmp_path / "rows.csv")
