"""Text tasks without any gold answer are trained, saved and used, and said to be not evaluated."""

from __future__ import annotations

from pathlib import Path

from outgrow.experiment import Experiment
from outgrow.files import read_table
from outgrow.results import Results
from outgrow.students import predict
from small_experiments import write_lines
from tiny_models import WORDS


def test_a_text_task_without_any_gold_answer_trains_saves_and_predicts(tmp_path: Path, decoder_folder: Path) -> None:
    rows = [{"id": f"r{index}", "text": f"a plot {word}"} for index, word in enumerate(WORDS)]
    write_lines(tmp_path / "rows.jsonl", rows)
    for name, other in (("one", "very"), ("two", "not")):  # they differ on the last row, of which `two` has no text
        own = [{"task": row["id"], "text": "very good"} for row in rows[:-2]]
        write_lines(tmp_path / f"{name}.jsonl", [*own, {"task": rows[-2]["id"], "text": f"{other} good"}])
    settings = {
        "task": {"path": str(tmp_path / "rows.jsonl"), "columns": {"id": "id", "gold": None}},
        "supervisors": [{"texts": str(tmp_path / f"{name}.jsonl")} for name in ("one", "two")],
        "strong": {"model": str(decoder_folder)},
        "methods": {"naive": {}, "refined": {"refine": {"name": "icl", "demonstrations": 2}}},
        "generate": {"max_new_tokens": 4, "template": "{prompt}"},
        "trainer": {"num_train_epochs": 30, "learning_rate": 0.02},
        "seeds": 1,
        "store": str(tmp_path / "store"),
        "output": str(tmp_path / "output"),
    }
    results = Experiment.from_dict(settings).run()
    assert [(model.role, model.name) for model in results.models] == [
        ("supervisor", "one"), ("supervisor", "two"), ("student", "naive"), ("student", "refined"),
    ]  # fmt: skip
    (note,) = [note for note in results.notes if note.code == "run.not_evaluated"]
    assert (note.values["texts"], note.values["coverage"], note.values["agreement"]) == (22, 11 / 12, 10 / 11)
    assert "2 supervisors gave 22 texts, on 92 % of the rows; of two on a row 91 % are equal." in " ".join(
        results.table(width=1000).split()
    )
    assert "Not evaluated" in (tmp_path / "output/report.html").read_text()
    again = Results.load(tmp_path / "output")
    assert again.to_json() == results.to_json()
    again.save_student("naive", tmp_path / "kept")
    predict(tmp_path / "kept", tmp_path / "rows.jsonl", tmp_path / "new.parquet")
    answers = read_table(tmp_path / "new.parquet")["answer"].to_pylist()
    known = read_table(tmp_path / "output/predictions.parquet").to_pylist()
    assert answers == [row["answer"] for row in known if row["name"] == "naive"]
    assert answers.count("very good") > 6
