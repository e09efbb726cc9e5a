"""Tables of predictions from elsewhere, scored on the test part."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from outgrow.cli import app
from outgrow.errors import DataError
from outgrow.experiment import Experiment
from outgrow.tasks import read_task
from small_experiments import planted_rows, write_experiment, write_lines, write_text_task


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory, encoder_folder: Path) -> Path:
    return write_experiment(tmp_path_factory.mktemp("trial"), encoder_folder, planted_rows(300))


def right(trial: Path) -> Mapping[str, int]:
    """Id of each test row → gold choice."""
    test = read_task(Experiment.from_yaml(trial).config.task)[1].part("test")
    return {id_: int(gold) for id_, gold in zip(test.ids, test.gold_indices(), strict=True)}


def test_answers_by_name_or_index_are_scored_and_missing_ones_are_guesses(trial: Path, tmp_path: Path) -> None:
    gold = right(trial)
    lines = [{"id": id_, "answer": ("no", "yes")[label], "name": "by name"} for id_, label in gold.items()]
    lines += [{"id": id_, "answer": str(label), "name": "half"} for id_, label in list(gold.items())[::2]]
    results = Experiment.from_yaml(trial).evaluate(write_lines(tmp_path / "p.jsonl", lines))
    means = {each.name: each.scores["accuracy"].mean() for each in results.models}
    given = len(list(gold)[::2])
    assert means == pytest.approx({"by name": 1.0, "half": (given + (len(gold) - given) / 2) / len(gold)})
    (note,) = [note for note in results.notes if note.code == "predictions.missing"]
    assert (note.who, note.values["missing"]) == ("half", len(gold) - given)


def test_the_predictions_of_a_run_get_the_scores_of_the_run(trial: Path) -> None:
    first = Experiment.from_yaml(trial).run()
    again = Experiment.from_yaml(trial).evaluate(trial.parent / "output/predictions.parquet")
    for own in first.models:
        (other,) = [each for each in again.models if (each.role, each.name) == (own.role, own.name)]
        # An answer is the first of several that are equally probable; a run gives these a share each.
        tied = (own.scores["accuracy"] > 0) & (own.scores["accuracy"] < 1)
        assert np.array_equal(own.scores["accuracy"][~tied], other.scores["accuracy"][~tied])
    assert again.chance == first.chance


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([{"id": "r0"}], "no column 'answer'"),
        ([{"id": "nobody", "answer": "no"}], "id that is not in the test part"),
        ([{"id": None, "answer": "no"}] * 2, "two answers"),
        ([{"id": None, "answer": "maybe"}], "outside the choices"),
        ([{"id": None, "answer": "no", "role": "teacher"}], "unknown role"),
    ],
)
def test_tables_that_do_not_fit_are_refused(
    trial: Path, tmp_path: Path, lines: list[dict[str, str]], message: str
) -> None:
    known = next(iter(right(trial)))
    path = write_lines(tmp_path / "p.jsonl", [{**line, "id": line["id"] or known} for line in lines])
    with pytest.raises(DataError, match=message):
        Experiment.from_yaml(trial).evaluate(path)


def test_the_command_scores_texts_and_prints_a_table(tmp_path: Path) -> None:
    write_text_task(tmp_path)
    experiment = {
        "task": {"path": "rows.jsonl", "columns": {"id": "id", "part": "part"}},
        "supervisors": [{"model": "decoder"}],
        "strong": {"model": "decoder"},
        "methods": {"naive": {}},
        "store": str(tmp_path / "store"),
    }
    (tmp_path / "trial.yaml").write_text(json.dumps(experiment))
    test = read_task(Experiment.from_yaml(tmp_path / "trial.yaml").config.task)[1].part("test")
    with (tmp_path / "answers.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "answer", "name"])
        writer.writerows([id_, gold, "mine"] for id_, gold in zip(test.ids, test.gold, strict=True))
    shown = CliRunner().invoke(app, ["evaluate", str(tmp_path / "trial.yaml"), str(tmp_path / "answers.csv"), "--json"])
    assert shown.exit_code == 0, shown.output
    (model,) = json.loads(shown.stdout)["models"]
    assert (model["name"], model["role"]) == ("mine", "student")
    plain = CliRunner().invoke(app, ["evaluate", str(tmp_path / "trial.yaml"), str(tmp_path / "answers.csv")])
    assert "1.000 [" in plain.stdout
