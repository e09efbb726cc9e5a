from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from outgrow.config import TaskConfig
from outgrow.errors import ConfigError, DataError, OutgrowError
from outgrow.labels import Rows
from outgrow.tasks import load_task
from outgrow.tasks.slots import spans_of_bio

SLURP = {
    "tokens": [{"surface": word} for word in ["Wake", "me", "at", "five", "AM", "'s"]],
    "entities": [{"span": [3, 4], "type": "time"}],
}
OLDER = {"text": "wake  me at Five am", "entities": [{"value": "at Five am", "entity": "time"}]}
SNIPS = {"text": "play some jazz by miles davis", "slots": "O O B-genre O B-artist I-artist"}


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def older(words: str) -> dict[str, Any]:
    return {"text": words, "entities": []}


def read(path: Path, name: str = "slurp", **settings: Any) -> Rows:
    config = TaskConfig.model_validate({"name": name, "path": str(path), **settings})
    return load_task(config).read(config)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "train_proxy.jsonl", [OLDER, *(older(f"say {word}") for word in "abcdefghi")])
    write(tmp_path / "test.jsonl", [SLURP, *({**SLURP, "tokens": [{"surface": c}] * 5} for c in "xyz")])
    return tmp_path


def test_both_kinds_of_rows_become_utterances_with_json(folder: Path) -> None:
    rows = read(folder, template="{utterance}", split={"gold": 0.5, "unlabelled": 0.5})
    gold = dict(zip(rows.prompts, rows.gold, strict=True))
    assert gold["wake me at five am 's"] == '{"time": ["five am"]}'
    assert gold["wake me at five am"] == '{"time": ["at five am"]}'
    assert gold["say a"] == "{}"


def test_the_prompt_names_all_slots_unless_a_template_says_otherwise(folder: Path) -> None:
    prompt = read(folder).prompts[0]
    assert prompt.startswith("Slots: alarm_type, app_name, ")
    assert prompt.endswith("\nUtterance: wake me at five am")


def test_the_test_file_is_the_test_part_and_the_others_are_dealt(folder: Path) -> None:
    rows = read(folder, split={"gold": 0.3, "unlabelled": 0.6})
    assert [row for row, part in zip(rows.ids, rows.parts, strict=True) if part == "test"] == [
        "test-0",
        "test-1",
        "test-2",
        "test-3",
    ]
    assert [rows.parts.count("gold"), rows.parts.count("unlabelled")] == [3, 6]


def test_fewer_test_rows_are_drawn_if_the_split_says_so(folder: Path) -> None:
    assert read(folder, split={"test": 2}).parts.count("test") == 2
    assert read(folder, split={"test": 0.75}).parts.count("test") == 3
    with pytest.raises(DataError, match="too few rows"):
        read(folder, split={"test": 5})


def test_a_training_utterance_that_is_tested_too_is_left_out(folder: Path) -> None:
    write(folder / "devel.jsonl", [older("X x, X x x!"), older("say j")])
    rows = read(folder, split={"gold": 0.5, "unlabelled": 0.5})
    assert "devel-0" not in rows.ids
    assert "devel-1" in rows.ids


def test_a_single_file_is_dealt_to_all_three_parts(folder: Path) -> None:
    rows = read(folder / "train_proxy.jsonl")
    assert [rows.parts.count(part) for part in ("gold", "unlabelled", "test")] == [4, 4, 2]


def test_the_limit_draws_from_all_files(folder: Path) -> None:
    rows = read(folder, limit=10, split={"gold": 0.5, "unlabelled": 0.5})
    assert len(rows) == 10
    assert {row.partition("-")[0] for row in rows.ids} == {"train_proxy", "test"}


def test_bio_tags_become_spans() -> None:
    words = ["a", "b", "c", "d", "e"]
    pairs = [(slot["type"], slot["filler"]) for slot in spans_of_bio(words, ["B-x", "I-x", "B-x", "I-y", "O"])]
    assert pairs == [("x", "a b"), ("x", "c"), ("y", "d")]
    assert [slot["filler"] for slot in spans_of_bio(words, ["O", "I-x", "O", "I-x", "I-x"])] == ["b", "d e"]


def test_snips_rows_become_utterances_with_json(tmp_path: Path) -> None:
    rows = [SNIPS, *({"text": f"go {word}", "slots": "O O"} for word in "abcdefghi")]
    write(tmp_path / "train.jsonl", rows)
    found = read(tmp_path, "snips", template="{utterance}")
    gold = dict(zip(found.prompts, found.gold, strict=True))
    assert gold[SNIPS["text"]] == '{"genre": ["jazz"], "artist": ["miles davis"]}'


def test_answers_of_every_kind_are_scored_and_counted(folder: Path) -> None:
    config = TaskConfig(name="slurp", path=str(folder))
    task = load_task(config)
    test = task.read(config).part("test")
    answers = ['{"time": ["five am"]}', "", "time is five", '{"mood": ["gay"]}']
    found = task.score(config, test, answers)
    assert found["span_f1"].scores.tolist() == [1.0, 0.0, 0.0, 0.0]
    # Gold has the slot four times; one answer has it, one has another.
    corpus = (found["span_f1"].scores * found["span_f1"].weights).sum() / found["span_f1"].weights.sum()
    assert corpus == pytest.approx(2 / (4 + 2))
    said = "Of 4 answers, 1 empty, 1 no JSON of slots, 1 with slots that do not exist."
    assert task.remarks(config, test, answers) == [said]
    assert task.remarks(config, test, [str(text) for text in test.gold]) == []


@pytest.mark.parametrize(
    ("row", "name", "said"),
    [
        ({"sentence": "hello"}, "slurp", "A row of rows is not one of Slurp's"),
        ({**SLURP, "entities": [{"span": [9], "type": "time"}]}, "slurp", "A row of rows is not one of Slurp's"),
        ({**SLURP, "entities": [{"span": [1], "type": "mood"}]}, "slurp", r"does not have.(.|\n)*mood"),
        ({"text": "a b", "slots": "O"}, "snips", "A row of rows is not one of Snips's"),
        ({"text": "a b", "slots": "O B-mood"}, "snips", r"does not have.(.|\n)*mood"),
    ],
)
def test_rows_of_another_kind_are_refused(tmp_path: Path, row: dict[str, Any], name: str, said: str) -> None:
    write(tmp_path / "rows.jsonl", [row])
    with pytest.raises(DataError, match=said):
        read(tmp_path / "rows.jsonl", name)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"choices": ["a", "b"]}, "is a text task"),
        ({"metric": "chrf"}, "has its own metrics"),
        ({"split": {"group": "intent"}}, "without groups and votes"),
        ({"template": "{sentence}"}, "not a template"),
        ({"template": "{utterance"}, "not a template"),
    ],
)
def test_settings_that_mean_nothing_here_are_refused(folder: Path, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read(folder, **settings)


def test_a_folder_without_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutgrowError, match=r"There is no data in(.|\n)*train_proxy.jsonl.gz or "):
        read(tmp_path)


@pytest.mark.parametrize(("name", "tested"), [("slurp", 2974), ("snips", 700)])
def test_the_real_data_is_read_and_its_gold_is_perfect(real_data: Path, name: str, tested: int) -> None:
    config = TaskConfig.model_validate({"name": name, "path": str(real_data / name), "template": "{utterance}"})
    task = load_task(config)
    test = task.read(config).part("test")
    assert len(test) == tested
    for weighted in task.score(config, test, [str(text) for text in test.gold]).values():
        assert (weighted.scores == 1).all()
    assert all(
        filler in prompt
        for prompt, text in zip(test.prompts, test.gold, strict=True)
        for own in json.loads(str(text)).values()
        for filler in own
    )
