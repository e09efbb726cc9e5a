from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from outgrow.cli import app
from outgrow.errors import ConfigError, StoreError
from outgrow.experiment import Experiment
from outgrow.labels import TextTargets
from outgrow.pipeline.exporting import message_lines, write_messages
from small_experiments import write_experiment
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
    assert "conversations" in done.output
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
    choices = Experiment.from_yaml(write_experiment(tmp_path, encoder_folder))
    with pytest.raises(ConfigError, match="probabilities, not texts"):
        choices.export("naive", tmp_path / "m.jsonl")
    with pytest.raises(StoreError, match="nothing to export"):
        write_messages([], tmp_path / "m.jsonl")
