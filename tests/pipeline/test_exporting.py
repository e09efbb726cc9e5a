from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from typer.testing import CliRunner

from outgrow.cli import app
from outgrow.errors import ConfigError, StoreError
from outgrow.experiment import Experiment
from outgrow.labels import ChoiceTargets, Rows, TextTargets
from outgrow.pipeline.exporting import label_lines, message_lines, write_messages
from small_experiments import noisy_votes, planted_rows, write_experiment, write_lines
from tiny_models import WORDS

HARD = 'a "quoted" {brace}\nand \u2028 a line separator'


def settings_in(folder: Path, model: Path) -> dict[str, Any]:
    parts = ["gold", "unlabelled", "test"]
    rows = [{"text": f"a plot {word}", "label": f"very {word}", "part": parts[i % 3]} for i, word in enumerate(WORDS)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {
        "task": {"path": str(folder / "rows.jsonl"), "columns": {"part": "part"}},
        "supervisors": [{"model": str(model), "name": "weak"}],
        "strong": {"model": str(model)},
        "methods": {"naive": {}, "refined": {"refine": {"name": "icl", "demonstrations": 1}}},
        "generate": {"max_new_tokens": 3, "template": "Q: {prompt}"},
        "store": str(folder / "store"),
    }


def test_texts_come_back_as_they_were_with_one_line_for_each_distinct_one() -> None:
    ids, texts = ("a", "a", "b", "b"), (f" {HARD}", HARD, " yes", "  ")
    targets = TextTargets(ids, (HARD, HARD, "b?", "b?"), texts, (0.5,) * 4, ("weak",) * 4)
    lines = message_lines(targets, "Be brief.")
    assert not any("\n" in line for line in lines)
    said = [[(one["role"], one["content"]) for one in json.loads(line)["messages"]] for line in lines]
    assert said == [
        [("system", "Be brief."), ("user", HARD), ("assistant", HARD)],
        [("system", "Be brief."), ("user", "b?"), ("assistant", "yes")],
    ]


@pytest.mark.parametrize("method", ["naive", "refined"])
def test_what_a_student_learns_is_exported_without_training_one(
    tmp_path: Path, decoder_folder: Path, method: str
) -> None:
    experiment = Experiment.from_dict(settings_in(tmp_path, decoder_folder))
    count = experiment.export(method, tmp_path / "out.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert count == len(lines) > 0
    asked = [line["messages"][0]["content"] for line in lines]
    assert asked == [prompt for prompt in (f"a plot {word}" for word in WORDS[1::3]) if prompt in asked]
    assert not (tmp_path / "store/text-student").exists()


def test_the_command_writes_the_file(tmp_path: Path, decoder_folder: Path) -> None:
    path = tmp_path / "trial.yaml"
    path.write_text(json.dumps(settings_in(tmp_path, decoder_folder)))  # JSON is YAML
    done = CliRunner().invoke(app, ["export", str(path), "--output", str(tmp_path / "m.jsonl"), "--system", "Hi."])
    assert done.exit_code == 0, done.output
    assert "lines: " in done.output
    assert json.loads((tmp_path / "m.jsonl").read_text().splitlines()[0])["messages"][0]["role"] == "system"


def test_the_card_says_where_the_labels_come_from_and_replaces_nothing(tmp_path: Path, decoder_folder: Path) -> None:
    experiment = Experiment.from_dict(settings_in(tmp_path, decoder_folder))
    count = experiment.export("refined", tmp_path / "labels.jsonl", card=tmp_path / "README.md")
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    for part in ("data_files: labels.jsonl", f"{count} conversations", "name: weak", "demonstrations: 1", "Licences"):
        assert part in text
    assert str(tmp_path) not in text
    with pytest.raises(StoreError, match="there already"):
        experiment.export("refined", tmp_path / "labels.jsonl", card=tmp_path / "README.md")


def test_what_cannot_be_exported_is_refused(tmp_path: Path, decoder_folder: Path, encoder_folder: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'naive'"):
        Experiment.from_dict(settings_in(tmp_path, decoder_folder)).export("naiv", tmp_path / "m.jsonl")
    texts = Experiment.from_dict(settings_in(tmp_path, decoder_folder))
    with pytest.raises(ConfigError, match="texts, not labels"):
        texts.export("naive", tmp_path / "m.jsonl", form="labels")
    with pytest.raises(ConfigError, match="did you mean 'messages'"):
        texts.export("naive", tmp_path / "m.jsonl", form="message")
    with pytest.raises(ConfigError, match="no system message"):
        texts.export("naive", tmp_path / "m.jsonl", form="prompt-completion", system="Hi.")
    with pytest.raises(StoreError, match="nothing to export"):
        write_messages([], tmp_path / "m.jsonl")


def loaded(path: Path) -> Any:
    """A file of lines as a data set, of whatever columns and types `datasets` sees in it."""
    return datasets.load_dataset("json", data_files=str(path), split="train", cache_dir=str(path.parent / "cache"))


def choices_in(folder: Path, encoder: Path) -> Experiment:
    """Votes on unlabelled rows, of which three in ten are wrong."""
    rows = [{**row, "part": "test" if place < 8 else "unlabelled"} for place, row in enumerate(planted_rows(40))]
    write_lines(folder / "votes.jsonl", noisy_votes(rows))
    task = {"path": "rows.jsonl", "columns": {"id": "id", "part": "part"}, "choices": ["no", "yes"]}
    return Experiment.from_yaml(
        write_experiment(folder, encoder, rows, task=task, supervisors=[{"votes": "votes.jsonl"}])
    )


def test_labels_of_choices_load_as_a_data_set_for_classifiers(tmp_path: Path, encoder_folder: Path) -> None:
    count = choices_in(tmp_path, encoder_folder).export("naive", tmp_path / "labels.jsonl", form="labels")
    found = loaded(tmp_path / "labels.jsonl")
    assert found.column_names == ["text", "label", "label_text", "probs"]
    assert found.features["label"].dtype == "int64"
    assert len(found) == count == 32
    named = {row["text"]: row for row in planted_rows(40)}
    for line in found:
        assert line["text"] in named
        assert line["label_text"] == ("no", "yes")[line["label"]]
        assert line["probs"][line["label"]] == max(line["probs"])
        assert sum(line["probs"]) == pytest.approx(1)
    assert not (tmp_path / "store/student").exists()


def test_labels_of_choices_load_as_prompts_and_completions_for_trl(tmp_path: Path, encoder_folder: Path) -> None:
    experiment = choices_in(tmp_path, encoder_folder)
    experiment.export("naive", tmp_path / "labels.jsonl", form="labels")
    experiment.export("naive", tmp_path / "trl.jsonl", form="prompt-completion", card=tmp_path / "README.md")
    experiment.export("naive", tmp_path / "chat.jsonl")
    labels, found, chats = (loaded(tmp_path / name) for name in ("labels.jsonl", "trl.jsonl", "chat.jsonl"))
    assert found.column_names == ["prompt", "completion"]
    for label, line, chat in zip(labels, found, chats, strict=True):
        asked = f"{label['text']}\n\nAnswer with one of these and nothing else: no, yes"
        assert line == {"prompt": f"Question: {asked}\nAnswer:", "completion": f" {label['label_text']}"}
        assert [one["content"] for one in chat["messages"]] == [asked, label["label_text"]]
    assert f"{len(found)} prompts with completions" in (tmp_path / "README.md").read_text(encoding="utf-8")


def test_texts_are_exported_behind_the_prompt_of_a_model_of_plain_text(tmp_path: Path, decoder_folder: Path) -> None:
    experiment = Experiment.from_dict(settings_in(tmp_path, decoder_folder))
    experiment.export("naive", tmp_path / "trl.jsonl", form="prompt-completion")
    experiment.export("naive", tmp_path / "chat.jsonl")
    for line, chat in zip(loaded(tmp_path / "trl.jsonl"), loaded(tmp_path / "chat.jsonl"), strict=True):
        prompt, answer = (one["content"] for one in chat["messages"])
        assert line == {"prompt": f"Q: {prompt}", "completion": f" {answer}"}


def test_rows_with_choices_of_their_own_have_no_labels_in_common() -> None:
    own = Rows(("a",), ("x",), ("unlabelled",), (None,), ("A", "B"), (("one", "two"),))
    with pytest.raises(ConfigError, match="no labels in common"):
        label_lines(ChoiceTargets(("a",), np.array([[1.0, 0.0]]), np.ones(1)), own)
