"""Text tasks from a file to results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from outgrow.errors import ConfigError, OutgrowError
from outgrow.experiment import Experiment
from outgrow.labels import Completion, TextLabels
from outgrow.pipeline.text import TextPipeline
from outgrow.store import Store
from outgrow.tasks import load_task
from outgrow.workspace import Workspace
from tiny_models import WORDS, make_decoder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("text")
    make_decoder(root / "decoder")
    parts = ["gold", "unlabelled", "test"]
    with (root / "rows.jsonl").open("w") as file:
        for index, word in enumerate(WORDS):
            row = {"id": str(index), "text": f"a plot {word}", "label": f"very {word}", "part": parts[index % 3]}
            file.write(json.dumps(row) + "\n")
    return root


def settings_in(folder: Path, where: Path, **changes: Any) -> dict[str, Any]:
    decoder = str(folder / "decoder")
    return {
        "task": {"path": str(folder / "rows.jsonl"), "columns": {"id": "id", "part": "part"}},
        "supervisors": [{"model": decoder, "name": "first"}, {"model": decoder, "name": "second"}],
        "strong": {"model": decoder},
        "methods": {"naive": {}},
        "generate": {"max_new_tokens": 3, "template": "{prompt}"},
        "seeds": 1,
        "store": str(where / "store"),
        "output": str(where / "output"),
        **changes,
    }


def pipeline_in(folder: Path, where: Path, **changes: Any) -> TextPipeline:
    config = Experiment.from_dict(settings_in(folder, where, **changes)).config
    task = load_task(config.task)
    return TextPipeline(config, task, task.read(config.task), Workspace(Store(where / "store")))


def labels_of(pipeline: TextPipeline, *texts: tuple[str | None, str | None]) -> TextLabels:
    ids = pipeline.rows.part("unlabelled").ids
    cells = [tuple(() if text is None else (Completion(text, (), (), finished=True),) for text in row) for row in texts]
    return TextLabels(ids, ("first", "second"), tuple(cells))


def test_identical_weak_texts_of_a_row_become_one_target_with_the_sum_of_their_weights(
    folder: Path, tmp_path: Path
) -> None:
    pipeline = pipeline_in(folder, tmp_path)
    labels = labels_of(pipeline, (" yes", "yes"), ("yes", "no"), ("", None), (None, None))
    targets = pipeline._targets(labels, {"first": 2.0, "second": 1.0})
    assert targets.texts == (" yes", " yes", " no", " ")
    assert targets.weights == (3.0, 2.0, 1.0, 2.0)
    assert targets.sources == ("first+second", "first", "second", "first")


def test_a_run_writes_everything_and_a_second_run_makes_nothing(folder: Path, tmp_path: Path) -> None:
    settings = settings_in(folder, tmp_path, methods={"naive": {}, "refined": {"refine": "icl"}})
    settings["methods"]["refined"]["refine"] = {"name": "icl", "demonstrations": 1}
    results = Experiment.from_dict(settings).run()
    assert [line.name for line in results.standings] == ["first", "second", "base", "ceiling", "naive", "refined"]
    written = {path.name for path in (tmp_path / "output").iterdir()}
    assert written == {"results.json", "scores.parquet", "predictions.parquet", "report.html", "config.yaml"}
    again = Experiment.from_dict(settings).run()
    assert set(again.provenance["seconds"]) == {"total"}


def test_what_a_task_remarks_on_answers_is_noted_with_their_author(tmp_path: Path) -> None:
    decoder = make_decoder(tmp_path / "decoder")
    rows = [{"text": f"a plot {word}", "entities": []} for word in WORDS]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = {"name": "slurp", "path": str(tmp_path / "rows.jsonl"), "template": "{utterance}"}
    supervisors = [{"model": str(decoder), "name": "first"}]
    changes = {"task": task, "supervisors": supervisors, "strong": {"model": str(decoder)}, "ceiling": False}
    pipeline = pipeline_in(tmp_path, tmp_path, **changes)
    found = pipeline.supervisors(0)["first"]
    test = len(pipeline.rows.part("test"))
    assert pipeline.notes == [f"first: Of {test} answers, {test} no JSON of slots."]
    # Nothing was to be found, and nothing was: right, and of no weight.
    assert found.scores["slu_f1"].tolist() == [1.0] * test
    assert found.weights["slu_f1"].tolist() == [0.0] * test


def test_two_methods_that_teach_the_same_share_one_student(folder: Path, tmp_path: Path) -> None:
    weights = {"first": 1.0, "second": 0.0}
    methods = {"naive": {}, "same": {"combine": {"name": "mean", "weights": {"first": 1.0, "second": 1.0}}}}
    methods["other"] = {"combine": {"name": "mean", "weights": weights}}
    Experiment.from_dict(settings_in(folder, tmp_path, methods=methods, ceiling=False)).run()
    students = [path for path in (tmp_path / "store/text-student").iterdir() if path.is_dir()]
    assert len(students) == 2


def test_a_supervisor_that_is_no_language_model_is_refused(folder: Path, tmp_path: Path) -> None:
    settings = settings_in(folder, tmp_path, supervisors=[{"features": "tfidf"}])
    with pytest.raises(ConfigError, match="must be a model"):
        Experiment.from_dict(settings).run()


def test_a_combiner_of_choice_tasks_is_refused(folder: Path, tmp_path: Path) -> None:
    methods = {"naive": {"combine": {"name": "mean", "harden": True}}}
    with pytest.raises(ConfigError, match="is for choice tasks"):
        Experiment.from_dict(settings_in(folder, tmp_path, methods=methods)).run()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methods": {"naive": {"objective": "confidence"}}}, "is for choice tasks"),
        ({"methods": {"refined": {"refine": {"name": "icl", "demonstrations": 0}}}}, "needs demonstrations"),
        ({"methods": {"refined": {"refine": "icll"}}}, "did you mean 'icl'"),
        ({"trainer": {"num_train_epochs": -1}}, "not positive"),
        ({"strong": {"model": "/nowhere/model"}}, "no model folder"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_computed(
    folder: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(OutgrowError, match=message):
        Experiment.from_dict(settings_in(folder, tmp_path, **changes)).run()
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    "part",
    [{"filter": 0.5}, {"pretune": {}}, {"chain": [{"model": "any"}]}, {"calibrate": True}, {"proportions": "gold"}],
)
def test_parts_of_a_method_that_are_for_choice_tasks_are_refused(
    folder: Path, tmp_path: Path, part: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError, match=f"methods.m: `{next(iter(part))}` is for choice tasks"):
        pipeline_in(folder, tmp_path, methods={"m": part})


def test_relabelling_of_choice_tasks_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="`refine: neighbours` is for choice tasks"):
        pipeline_in(folder, tmp_path, methods={"m": {"refine": "neighbours"}})
