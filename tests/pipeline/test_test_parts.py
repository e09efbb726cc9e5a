"""Further test parts: the models that were trained answer them too, with a table of results for each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from outgrow.errors import ConfigError
from outgrow.experiment import Experiment
from outgrow.files import read_table
from outgrow.results import Results
from small_experiments import noisy_votes, planted_rows, write_experiment, write_lines, write_text_task

SUPERVISORS = [{"votes": "votes.jsonl"}, {"features": "tfidf", "rows": 60}]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, encoder_folder: Path) -> tuple[Path, Results]:
    """Planted rows; `other` are rows of the same world, `turned` the same rows with every gold answer turned."""
    folder = tmp_path_factory.mktemp("parts")
    rows, others = planted_rows(600), planted_rows(800)[600:]
    turned = [{**row, "label": 1 - row["label"]} for row in others]
    write_lines(folder / "votes.jsonl", noisy_votes(rows))
    write_lines(folder / "other.jsonl", others)
    write_lines(folder / "turned.jsonl", [*turned, *rows[:20]])
    task = {
        "path": "rows.jsonl",
        "columns": {"id": "id"},
        "choices": ["no", "yes"],
        "tests": {"other": {"path": "other.jsonl"}, "turned": {"path": "turned.jsonl"}},
    }
    path = write_experiment(folder, encoder_folder, rows, task=task, supervisors=SUPERVISORS, seeds=2)
    return path, Experiment.from_yaml(path).run()


def accuracy(results: Results, name: str) -> np.ndarray:
    return next(each for each in results.models if each.name == name).scores["accuracy"]


def test_the_models_of_the_experiment_answer_every_part(done: tuple[Path, Results]) -> None:
    other, turned = (done[1].tests[name] for name in ("other", "turned"))
    assert [each.name for each in other.models] == ["tfidf", "base", "ceiling", "naive"]
    assert accuracy(other, "naive").shape == (2, 200)
    assert accuracy(other, "naive").mean() > 0.85
    # The same models: what is right on one part is wrong on the other.
    for name in ("tfidf", "naive", "ceiling"):
        assert np.array_equal(accuracy(other, name), 1 - accuracy(turned, name)[:, :200])


def test_nothing_is_trained_for_a_further_part(done: tuple[Path, Results]) -> None:
    assert len(list((done[0].parent / "store/student").glob("*/manifest.json"))) == 4  # naive and ceiling, two seeds


def test_a_part_with_rows_that_were_trained_on_has_a_note(done: tuple[Path, Results]) -> None:
    notes = {name: [note.code for note in own.notes] for name, own in done[1].tests.items()}
    assert "test.shared_prompts" in notes["turned"]
    assert "test.shared_prompts" not in notes["other"]
    trained = sum(f"r{row}" not in (done[1].ids or ()) for row in range(20))
    assert f"{trained} of 220 rows have a prompt that a training row has too" in " ".join(done[1].table().split())


def test_a_supervisor_without_votes_on_a_part_is_left_out_of_it(done: tuple[Path, Results]) -> None:
    assert "noisy1" in [each.name for each in done[1].models]
    assert "without any vote on the test rows: noisy1." in done[1].table()


def test_table_report_and_files_show_every_part(done: tuple[Path, Results]) -> None:
    folder = done[0].parent / "output"
    table, page = done[1].table(), (folder / "report.html").read_text()
    for text in (table, page):
        assert "Test part “other”" in text
        assert "200 test examples" in text
        assert "220 test examples" in text
    loaded = Results.load(folder)
    assert loaded.table() == table
    about = json.loads((folder / "results.json").read_text())
    assert about["provenance"]["sizes"]["other"] == 200
    lines = about["tests"]["other"]["summary"]["metrics"][0]["lines"]
    assert next(line for line in lines if line["name"] == "naive")["against_best"] is not None
    answers = read_table(folder / "tests/other/predictions.parquet")
    assert set(answers["id"].to_pylist()) == {f"other/r{number}" for number in range(600, 800)}


def test_a_rerun_makes_nothing_and_predictions_of_a_part_can_be_scored(done: tuple[Path, Results]) -> None:
    experiment = Experiment.from_yaml(done[0])
    again = experiment.run()
    assert set(again.provenance["seconds"]) == {"total"}
    scored = experiment.evaluate(done[0].parent / "output/tests/other/predictions.parquet", test="other")
    assert np.array_equal(accuracy(scored, "naive"), accuracy(done[1].tests["other"], "naive"))
    assert scored.name == done[1].tests["other"].name == "other"
    with pytest.raises(ConfigError, match=r"no test part 'othr'(.|\n)*did you mean 'other'"):
        experiment.evaluate("x.csv", test="othr")


def test_votes_on_a_part_are_found_by_the_ids_of_its_rows(tmp_path: Path, encoder_folder: Path) -> None:
    rows, others = planted_rows(200), planted_rows(260)[200:]
    votes = noisy_votes(rows) + [{**vote, "task": f"other/{vote['task']}"} for vote in noisy_votes(others, wrong=0)]
    write_lines(tmp_path / "votes.jsonl", votes)
    write_lines(tmp_path / "other.jsonl", others)
    tests = {"other": {"path": "other.jsonl"}}
    task = {"path": "rows.jsonl", "columns": {"id": "id"}, "choices": ["no", "yes"], "tests": tests}
    results = Experiment.from_yaml(write_experiment(tmp_path, encoder_folder, rows, task=task)).run()
    assert accuracy(results.tests["other"], "noisy1").mean() == 1


def test_parts_of_a_text_task_have_metrics_of_their_own(tmp_path: Path) -> None:
    write_text_task(tmp_path)
    write_lines(tmp_path / "other.jsonl", [{"q": f"a film {index}", "a": "very good"} for index in range(4)])
    other: dict[str, Any] = {"name": "file", "path": "other.jsonl", "metric": "token_f1"}
    settings = {
        "task": {
            "path": "rows.jsonl",
            "columns": {"id": "id", "part": "part"},
            "tests": {"other": {**other, "columns": {"prompt": "q", "gold": "a"}}},
        },
        "supervisors": [{"model": str(tmp_path / "decoder"), "name": "weak"}],
        "strong": {"model": str(tmp_path / "decoder")},
        "generate": {"max_new_tokens": 3, "template": "{prompt}"},
        "trainer": {"num_train_epochs": 1},
        "seeds": 1,
        "store": str(tmp_path / "store"),
        "output": str(tmp_path / "output"),
    }
    (tmp_path / "trial.json").write_text(json.dumps(settings))
    results = Experiment.from_yaml(tmp_path / "trial.json").run()
    part = results.tests["other"]
    assert [each.name for each in part.models] == [each.name for each in results.models]
    assert {tuple(each.scores) for each in part.models} == {("token_f1",)}
    assert {tuple(each.scores) for each in results.models} == {("exact_match",)}
    assert part.ids == ("other/0", "other/1", "other/2", "other/3")
    assert len(list((tmp_path / "store/text-student").glob("*/manifest.json"))) == 2  # naive and ceiling
