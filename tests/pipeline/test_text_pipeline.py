"""Text tasks from a file to results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from outgrow.errors import ConfigError, OutgrowError
from outgrow.experiment import Experiment
from outgrow.pipeline.text import TextPipeline
from outgrow.report.notes import sentence
from outgrow.run import Run
from outgrow.store import Store
from outgrow.tasks import read_task
from small_experiments import write_text_task
from tiny_models import WORDS, letter_decoder, make_decoder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("text")
    write_text_task(root)
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
    return TextPipeline(config, *read_task(config.task), Run(Store(where / "store")))


def test_a_run_writes_everything_and_a_second_run_makes_nothing(folder: Path, tmp_path: Path) -> None:
    settings = settings_in(folder, tmp_path, methods={"naive": {}, "refined": {"refine": "icl"}})
    settings["methods"]["refined"]["refine"] = {"name": "icl", "demonstrations": 1}
    results = Experiment.from_dict(settings).run()
    assert [line.name for line in results.models] == ["first", "second", "base", "ceiling", "naive", "refined"]
    written = {path.name for path in (tmp_path / "output").iterdir()}
    assert written == {
        "results.json",
        "scores.parquet",
        "labels.parquet",
        "predictions.parquet",
        "rows.parquet",
        "asked.parquet",
        "report.html",
        "config.yaml",
    }
    assert [note.code for note in results.advice()] == ["advice.base", "advice.method", "advice.gold"]
    labels = results.examples["unlabelled"].predictions
    assert {*zip(labels["role"].to_pylist(), labels["name"].to_pylist(), strict=True)} == {
        ("supervisor", "first"), ("supervisor", "second"), ("label", "naive"), ("refined", "refined"),
    }  # fmt: skip
    again = Experiment.from_dict(settings).run()
    assert set(again.provenance["seconds"]) == {"total"}


def test_what_a_task_remarks_on_answers_is_noted_with_their_author(tmp_path: Path) -> None:
    decoder = make_decoder(tmp_path / "decoder")
    rows = [{"text": f"a plot {word}", "entities": []} for word in WORDS]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    split = {"gold": 0.4, "unlabelled": 0.4, "test": 0.2}
    task = {"name": "slurp", "path": str(tmp_path / "rows.jsonl"), "template": "{utterance}", "split": split}
    supervisors = [{"model": str(decoder), "name": "first"}]
    changes = {"task": task, "supervisors": supervisors, "strong": {"model": str(decoder)}, "ceiling": False}
    pipeline = pipeline_in(tmp_path, tmp_path, **changes)
    found = pipeline.supervisors(0)["first"]
    test = len(pipeline.rows.part("test"))
    assert [sentence(note) for note in pipeline.run.notes] == [f"first: Of {test} answers, {test} no JSON of slots."]
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
    with pytest.raises(ConfigError, match="must write texts"):
        Experiment.from_dict(settings).run()


def test_a_combiner_of_choice_tasks_is_refused(folder: Path, tmp_path: Path) -> None:
    hardened = {"name": "mean", "harden": True}
    for combine, message in (
        (hardened, "is for choice tasks"),
        ("majority", r"combine(.|\n)*joint_decoding"),
    ):
        with pytest.raises(ConfigError, match=message):
            Experiment.from_dict(settings_in(folder, tmp_path, methods={"naive": {"combine": combine}})).run()


JOINT = {"combine": "joint_decoding"}
BAYESIAN = {"combine": "joint_decoding", "objective": "bayesian"}


def test_joint_decoding_and_token_objectives_run_from_a_file_with_n_best_texts(folder: Path, tmp_path: Path) -> None:
    methods = {
        "naive": {"objective": {"name": "cross_entropy", "confidences": True}},
        "joint": JOINT,
        "bayesian": {"objective": {"name": "bayesian", "preset": "paper"}},
        "both": BAYESIAN,
    }
    generate = {"max_new_tokens": 3, "template": "{prompt}", "n_best": 2, "beams": 3}
    settings = settings_in(folder, tmp_path, methods=methods, generate=generate, ceiling=False)
    results = Experiment.from_dict(settings).run()
    assert [line.name for line in results.models][-4:] == ["naive", "joint", "bayesian", "both"]
    assert [line.name for line in results.models if line.role == "combined"] == ["joint_decoding"]
    weights = [note.values["weights"] for note in results.notes if note.code == "combine.weights"]
    assert {"first": 0.5, "second": 0.5} in weights
    again = Experiment.from_dict(settings).run()
    assert set(again.provenance["seconds"]) == {"total"}


def test_the_mean_of_texts_takes_weights_from_agreement(folder: Path, tmp_path: Path) -> None:
    letters = letter_decoder(tmp_path / "letters")
    models = (folder / "decoder", folder / "decoder", letters)
    supervisors = [{"model": str(model), "name": name} for model, name in zip(models, "abc", strict=True)]
    generate = {"max_new_tokens": 3, "template": "{prompt}", "n_best": 2, "beams": 2}
    methods = {"mean": {"combine": {"name": "mean", "weights": "estimated"}}}
    pipeline = pipeline_in(folder, tmp_path, supervisors=supervisors, generate=generate, methods=methods)
    pipeline.student("mean", 0)
    [note] = [sentence(note) for note in pipeline.run.notes if note.code == "combine.weights"]
    assert "a 0.50, b 0.50, c 0.00" in note  # two that are one and the same, and one that knows nothing of them


def test_combined_texts_are_those_of_the_majority_and_two_supervisors_have_none(folder: Path, tmp_path: Path) -> None:
    letters = letter_decoder(tmp_path / "letters")
    models = (letters, folder / "decoder", folder / "decoder")
    supervisors = [{"model": str(model), "name": name} for model, name in zip(models, "abc", strict=True)]
    pipeline = pipeline_in(folder, tmp_path, supervisors=supervisors, methods={"naive": {}})
    [(name, found)] = pipeline.combined(0).items()
    assert name == "mean"
    assert found.answers == pipeline.supervisors(0)["b"].answers != pipeline.supervisors(0)["a"].answers
    assert pipeline_in(folder, tmp_path, supervisors=supervisors[:2], methods={"naive": {}}).combined(0) == {}


def test_what_became_of_weak_texts_and_how_unsure_they_are_is_noted(folder: Path, tmp_path: Path) -> None:
    pipeline = pipeline_in(folder, tmp_path)
    pipeline.student("naive", 0)
    notes = [note for note in pipeline.run.notes if note.code == "texts.endings"]
    assert [note.who for note in notes] == ["first", "second"]
    assert all(len(note.values["entropy"]) == 3 for note in notes)


def test_supervisors_with_different_tokenizers_judge_each_other_s_texts(folder: Path, tmp_path: Path) -> None:
    letters = letter_decoder(tmp_path / "letters")
    supervisors = [{"model": str(folder / "decoder"), "name": "words"}, {"model": str(letters), "name": "letters"}]
    generate = {"max_new_tokens": 4, "template": "{prompt}", "n_best": 2, "temperature": 1.5}
    settings = settings_in(
        folder, tmp_path, supervisors=supervisors, generate=generate, methods={"both": BAYESIAN}, ceiling=False
    )
    results = Experiment.from_dict(settings).run()
    assert [line.name for line in results.models] == ["words", "letters", "joint_decoding", "base", "both"]


def test_a_prompt_that_is_too_long_for_a_supervisor_is_counted_and_not_fatal(folder: Path, tmp_path: Path) -> None:
    short = make_decoder(tmp_path / "short", context=3)
    supervisors = [{"model": str(folder / "decoder"), "name": "long"}, {"model": str(short), "name": "short"}]
    pipeline = pipeline_in(folder, tmp_path, supervisors=supervisors, methods={"joint": JOINT, "naive": {}})
    for method in ("naive", "joint"):
        pipeline.student(method, 0)
    assert set(pipeline.supervisors(0)) == {"long"}
    missing = [(note.who, note.values["part"]) for note in pipeline.run.notes if note.code == "texts.missing"]
    assert missing == [("short", "unlabelled")]
    assert [note.values for note in pipeline.run.notes if note.code == "texts.none"] == [{"supervisors": ["short"]}]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"generate": {"n_best": 2}}, "Greedy decoding gives at most 1 texts per prompt"),
        ({"generate": {"n_best": 5, "beams": 3}}, "Beam search gives at most 3 texts"),
        ({"methods": {"joint": {"combine": {"name": "joint_decoding", "weights": {"first": 1}}}}}, "do not fit"),
        ({"methods": {"joint": {"combine": {"name": "joint_decoding", "weights": "best"}}}}, "refuses its parameters"),
        ({"methods": {"naive": {"objective": {"name": "bayesian", "gamma": 2}}}}, "out of range"),
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
    with pytest.raises(ConfigError, match=r"methods.m.refine: the refiner 'neighbours' cannot be used in a text task"):
        pipeline_in(folder, tmp_path, methods={"m": {"refine": "neighbours"}})
