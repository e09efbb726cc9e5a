"""Students of a run, saved and used again: in the same forms, with the same predictions."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub import HfApi, RepoUrl
from safetensors.torch import load_file
from typer.testing import CliRunner

from model_cards import in_fresh_process
from outgrow.cli import app
from outgrow.errors import ConfigError, ModelError, OutgrowError, StoreError
from outgrow.experiment import Experiment
from outgrow.files import read_table
from outgrow.models.loading import load_tokenizer
from outgrow.results import Results
from outgrow.students import Student, predict
from outgrow.students.publishing import publish
from small_experiments import planted_rows, write_experiment, write_text_task

ADAPTERS: dict[str, Any] = {
    "none": "none",
    "lora": {"name": "lora", "rank": 4, "alpha": 64},
    "probe": {"name": "probe", "epochs": 5, "learning_rate": 0.02},
}
HUB = "https://huggingface.co/"
CHAT = "{% for m in messages %}<{{ m.role }}> {{ m.content }} {% endfor %}<assistant>"


def run(folder: Path, model: Path, adapter: str, rows: list[dict[str, Any]] | None = None, **changed: Any) -> Path:
    """The output of a small choice experiment."""
    strong = {"model": str(model), "adapter": ADAPTERS[adapter]}
    trainer = {"num_train_epochs": 1, "learning_rate": 0.01}
    settings = {"strong": strong, "trainer": trainer, "ceiling": False, **changed}
    Experiment.from_yaml(write_experiment(folder, model, rows or planted_rows(90), **settings)).run()
    return folder / "output"


def predicted(output: Path, method: str = "naive", seed: int = 0) -> dict[str, Any]:
    """What the run itself predicted on its test rows."""
    rows = read_table(output / "predictions.parquet").to_pylist()
    return {row["id"]: row for row in rows if (row["name"], row["seed"]) == (method, seed)}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, encoder_folder: Path, decoder_folder: Path) -> dict[str, Path]:
    """A run of each adapter; both poolings."""
    models = {"none": decoder_folder, "lora": encoder_folder, "probe": encoder_folder}
    return {
        adapter: run(tmp_path_factory.mktemp(adapter), model, adapter, seeds=2 if adapter == "probe" else 1)
        for adapter, model in models.items()
    }


@pytest.mark.parametrize(("adapter", "merge"), [("none", False), ("lora", False), ("lora", True), ("probe", False)])
def test_a_saved_choice_student_predicts_what_it_did_in_the_run(
    runs: dict[str, Path], tmp_path: Path, adapter: str, merge: bool
) -> None:
    output = runs[adapter]
    student = Results.load(output).save_student("naive", tmp_path / "kept", merge=merge)
    assert (student.method, student.seed, student.separate) == ("naive", 0, adapter == "lora" and not merge)
    predict(tmp_path / "kept", output.parent / "rows.jsonl", tmp_path / "new.parquet")
    found = {row["id"]: row for row in read_table(tmp_path / "new.parquet").to_pylist()}
    expected = predicted(output)
    assert len(found) == 90
    for row in expected:
        assert [found[row]["p_no"], found[row]["p_yes"]] == pytest.approx(expected[row]["probs"], abs=1e-5)
        assert found[row]["answer"] == expected[row]["answer"]
    spread = [row["p_yes"] for row in found.values()]
    assert np.ptp(spread) > 0.01  # a student that learned nothing would agree with anything


@pytest.mark.parametrize(
    "adapter", ["probe", *(pytest.param(name, marks=pytest.mark.slow) for name in ("none", "lora"))]
)
def test_the_code_of_the_model_card_needs_transformers_alone(
    runs: dict[str, Path], tmp_path: Path, adapter: str
) -> None:
    Results.load(runs[adapter]).save_student("naive", tmp_path / "kept")
    texts = {row["id"]: row["text"] for row in planted_rows(90)}
    expected = predicted(runs[adapter])
    [found] = in_fresh_process(tmp_path / "kept", "probabilities(each).tolist()", [[texts[row] for row in expected]])
    assert np.allclose(found, [row["probs"] for row in expected.values()], atol=1e-5)


def test_a_head_of_transformers_has_no_place_for_the_bias(runs: dict[str, Path], tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    Results.load(runs["none"]).save_student("naive", tmp_path / "kept")
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "kept")
    assert model.config.id2label == {0: "no", 1: "yes"}
    assert model.score.bias is None
    assert load_file(tmp_path / "kept" / "head.safetensors")["bias"].abs().max() > 1e-5


def test_each_seed_has_a_student_of_its_own(runs: dict[str, Path], tmp_path: Path) -> None:
    results = Results.load(runs["probe"])
    heads = []
    for seed in (0, 1):
        assert results.save_student("naive", tmp_path / str(seed), seed=seed).seed == seed
        heads.append(load_file(tmp_path / str(seed) / "head.safetensors")["weight"])
    assert not torch.equal(*heads)


def test_the_card_says_where_the_student_comes_from_and_nothing_of_local_folders(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    Results.load(runs["probe"]).save_student("naive", tmp_path / "kept")
    text = (tmp_path / "kept" / "README.md").read_text(encoding="utf-8")
    line = next(each for each in Results.load(runs["probe"]).summary.metrics[0].lines if each.name == "naive")
    for part in ("votes.jsonl", "encoder", "seed: 0", "**naive**", line.score.text(), "Licences", "transformers:"):
        assert part in text
    assert str(runs["probe"].parent) not in text


def test_choices_by_row_and_evidence_survive(tmp_path: Path, encoder_folder: Path) -> None:
    rows = [{**row, "a": "very bad", "b": "very good"} for row in planted_rows(90)]
    task = {"path": "rows.jsonl", "columns": {"id": "id", "choices": ["a", "b"]}}
    output = run(tmp_path, encoder_folder, "probe", rows, task=task, methods={"naive": {"objective": "evidential"}})
    Results.load(output).save_student("naive", tmp_path / "kept")
    predict(tmp_path / "kept", tmp_path / "rows.jsonl", tmp_path / "new.parquet")
    found = {row["id"]: row for row in read_table(tmp_path / "new.parquet").to_pylist()}
    expected = predicted(output)
    for key, row in expected.items():
        assert [found[key]["p_A"], found[key]["p_B"]] == pytest.approx(row["probs"], abs=1e-5)
        assert found[key]["vacuity"] == pytest.approx(row["vacuity"], abs=1e-5)
        assert found[key]["answer"] == row["answer"] in ("very bad", "very good")
    texts = {row["id"]: row["text"] for row in rows}
    calls = [[texts[key], ["very bad", "very good"]] for key in expected]
    plain = in_fresh_process(tmp_path / "kept", "probabilities(*each).flatten().tolist()", calls)
    assert np.allclose(plain, [row["probs"] for row in expected.values()], atol=1e-5)


def test_what_is_missing_is_said(runs: dict[str, Path], tmp_path: Path) -> None:
    results = Results.load(runs["probe"])
    with pytest.raises(ConfigError, match=r"no student 'naiv'(.|\n)*did you mean 'naive'"):
        results.save_student("naiv", tmp_path / "kept")
    with pytest.raises(ConfigError, match=r"seed 7(.|\n)*0, 1"):
        results.save_student("naive", tmp_path / "kept", seed=7)
    (tmp_path / "taken").mkdir()
    with pytest.raises(StoreError, match="there already"):
        results.save_student("naive", tmp_path / "taken")
    with pytest.raises(StoreError, match="older"):
        Results(results.name, results.models, {}).save_student("naive", tmp_path / "kept")
    moved = {**results.provenance, "store": str(tmp_path / "gone")}
    with pytest.raises(StoreError, match=r"not in the store any more(.|\n)*OUTGROW_STORE"):
        Results(results.name, results.models, {}, moved).save_student("naive", tmp_path / "kept")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["taken"]


def test_a_run_folder_that_was_moved_still_works_and_half_of_one_is_said(runs: dict[str, Path], tmp_path: Path) -> None:
    moved = Path(shutil.copytree(runs["probe"], tmp_path / "moved"))
    Results.load(moved).save_student("naive", tmp_path / "kept")
    (moved / "scores.parquet").unlink()
    with pytest.raises(StoreError, match=r"no results in .*moved(.|\n)*no scores.parquet"):
        Results.load(moved)


def test_another_base_model_is_refused(tmp_path: Path) -> None:
    from tiny_models import make_encoder

    model = make_encoder(tmp_path / "encoder")
    output = run(tmp_path, model, "probe")
    (model / "vocab.txt").write_text((model / "vocab.txt").read_text() + "\nnew")
    with pytest.raises(ModelError, match="not the one that the student was trained from"):
        Results.load(output).save_student("naive", tmp_path / "kept")
    (model / "config.json").unlink()
    with pytest.raises(OutgrowError, match="not a model folder"):
        Results.load(output).save_student("naive", tmp_path / "kept")


def test_the_commands_save_and_predict(runs: dict[str, Path], tmp_path: Path) -> None:
    kept, answers = str(tmp_path / "kept"), str(tmp_path / "answers.csv")
    saved = CliRunner().invoke(app, ["save", str(runs["probe"]), "--method", "naive", "--seed", "1", "-o", kept])
    assert (saved.exit_code, saved.output) == (0, f"naive, seed 1: {kept}\n")
    table = str(runs["probe"].parent / "rows.jsonl")
    done = CliRunner().invoke(app, ["predict", kept, table, "-o", answers])
    assert done.exit_code == 0
    assert Path(answers).read_text().splitlines()[0] == '"id","answer","confidence","p_no","p_yes"'
    direct = [
        "predict",
        str(runs["probe"]),
        table,
        "--method",
        "naive",
        "--seed",
        "1",
        "-o",
        str(tmp_path / "direct.csv"),
    ]
    assert CliRunner().invoke(app, direct).exit_code == 0
    assert (tmp_path / "direct.csv").read_text() == Path(answers).read_text()


def test_a_dry_run_lists_every_file_and_keeps_and_sends_none(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: dict[str, Any] = {}
    monkeypatch.setattr(HfApi, "create_repo", lambda self, name, **more: sent.update(more) or RepoUrl(HUB + name))
    monkeypatch.setattr(HfApi, "upload_folder", lambda self, **more: sent.update(more))
    command = ["save", str(runs["probe"]), "--method", "naive", "-o", str(tmp_path / "kept"), "--push-to-hub", "me/it"]
    dry = CliRunner().invoke(app, [*command, "--dry-run"])
    assert (dry.exit_code, sent, list(tmp_path.iterdir())) == (0, {}, [])
    done = CliRunner().invoke(app, command)
    listed = [line.split()[-1] for line in dry.output.splitlines()[:-1]]
    assert listed == sorted(file.name for file in (tmp_path / "kept").iterdir())
    assert done.output.splitlines()[-1] == f"{HUB}me/it"
    assert (sent["repo_id"], sent["private"], sent["exist_ok"]) == ("me/it", True, False)
    assert sent["folder_path"] == tmp_path / "kept"


def test_a_hub_that_cannot_be_reached_is_said_and_the_student_is_kept(runs: dict[str, Path], tmp_path: Path) -> None:
    Results.load(runs["probe"]).save_student("naive", tmp_path / "kept")
    with pytest.raises(StoreError, match=r"cannot be sent to me/it(.|\n)*hf auth login"):
        publish(tmp_path / "kept", "me/it")


@pytest.mark.parametrize(
    ("adapter", "merge"),
    [
        ("lora", False),
        pytest.param("none", False, marks=pytest.mark.slow),
        pytest.param("chat", False, marks=pytest.mark.slow),
        pytest.param("lora", True, marks=pytest.mark.slow),
    ],
)
def test_a_saved_text_student_answers_as_in_the_run(tmp_path: Path, adapter: str, merge: bool) -> None:
    write_text_task(tmp_path)
    decoder, template, system = str(tmp_path / "decoder"), "{prompt} not", None
    if adapter == "chat":
        adapter, template, system = "none", None, "very good"
        tokenizer = load_tokenizer(decoder)
        tokenizer.chat_template = CHAT
        tokenizer.save_pretrained(decoder)
    settings = {
        "task": {"path": str(tmp_path / "rows.jsonl"), "columns": {"id": "id", "part": "part"}},
        "supervisors": [{"model": decoder}],
        "strong": {"model": decoder, "adapter": ADAPTERS[adapter], "system": system},
        "methods": {"naive": {}},
        "trainer": {"num_train_epochs": 4, "learning_rate": 0.05},
        "generate": {"max_new_tokens": 5, "template": template, "stop": ["no"]},
        "seeds": 1,
        "ceiling": True,
        "store": str(tmp_path / "store"),
        "output": str(tmp_path / "output"),
    }
    results = Experiment.from_dict(settings).run()
    student = results.save_student("ceiling", tmp_path / "kept", merge=merge)
    assert student.separate == (adapter == "lora" and not merge)
    expected = {key: row["answer"] for key, row in predicted(tmp_path / "output", "ceiling").items()}
    assert any(expected.values())
    predict(tmp_path / "kept", tmp_path / "rows.jsonl", tmp_path / "new.parquet")
    found = {row["id"]: row["answer"] for row in read_table(tmp_path / "new.parquet").to_pylist()}
    assert {key: found[key] for key in expected} == expected
    texts = {row["id"]: row["text"] for row in map(json.loads, (tmp_path / "rows.jsonl").read_text().splitlines())}
    plain = in_fresh_process(tmp_path / "kept", "answer(each[0])", [[texts[key]] for key in expected])
    assert plain == list(expected.values())


def test_a_folder_of_another_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no saved student"):
        Student.load(tmp_path / "nowhere")
    (tmp_path / "student.json").write_text('{"format": 9, "outgrow": "9.0"}')
    with pytest.raises(ModelError, match=r"another version(.|\n)*outgrow 9.0"):
        Student.load(tmp_path)
