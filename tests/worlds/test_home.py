from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from outgrow.config import TaskConfig
from outgrow.errors import ConfigError, StoreError
from outgrow.evaluate.slu import write_slots
from outgrow.models.local import LocalLanguageModel
from outgrow.tasks import load_task
from outgrow.worlds.home import (
    ENDINGS,
    FILLERS,
    OPENINGS,
    SCHEMA,
    TEMPLATES,
    Command,
    build,
    build_models,
    draw,
    draw_different,
)

VALUES = {name: values.split("|") for name, values in FILLERS.items()}


def understood(text: str) -> list[tuple[tuple[str, str], ...]]:
    """Every reading of a text that the grammar allows."""
    readings = []
    for template in TEMPLATES:
        kinds = re.findall(r"\{(\w+)\}", template)
        pattern = re.sub(r"\{(\w+)\}", lambda place: f"({FILLERS[place[1]]})", template)
        for opening in OPENINGS:
            for ending in ENDINGS:
                found = re.fullmatch(opening + pattern + ending, text)
                if found:
                    readings.append(tuple(zip(kinds, found.groups(), strict=True)))
    return readings


def test_every_command_has_one_reading_and_its_slots_are_that() -> None:
    for command in draw_different(300):
        slots = tuple((slot["type"], slot["filler"]) for slot in command.slots)
        assert understood(command.text) == [slots]


def test_no_filler_occurs_inside_another_type_or_a_template() -> None:
    fixed = " ".join([*OPENINGS, *TEMPLATES, *ENDINGS])
    for name, values in VALUES.items():
        others = [value for other, own in VALUES.items() if other != name for value in own]
        for value in values:
            assert not re.search(rf"\b{value}\b", fixed)
            assert not any(re.search(rf"\b{value}\b", other) for other in others)


def test_every_filler_and_template_is_used() -> None:
    commands = [draw(random) for random in [np.random.default_rng(0)] for _ in range(3000)]
    used = Counter((slot["type"], slot["filler"]) for command in commands for slot in command.slots)
    assert len(used) == sum(len(values) for values in VALUES.values())
    assert {slot["type"] for command in commands for slot in command.slots} == set(SCHEMA)
    assert any(not command.slots for command in commands)


def test_more_commands_begin_with_the_same_ones() -> None:
    assert draw_different(30, seed=1) == draw_different(60, seed=1)[:30]
    assert draw_different(30, seed=1) != draw_different(30, seed=2)


@pytest.mark.parametrize("count", [0, -1, 10**6])
def test_a_world_of_an_impossible_size_is_refused(count: int) -> None:
    with pytest.raises(ConfigError, match=f"cannot have {count} commands"):
        draw_different(count)


def test_a_world_that_is_built_twice_has_the_same_bytes(tmp_path: Path) -> None:
    one, other = (build(tmp_path / name, train=20, test=5) for name in ("one", "other"))
    for name in ("train.jsonl.gz", "test.jsonl.gz"):
        assert (one / name).read_bytes() == (other / name).read_bytes()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(StoreError, match=r"cannot be written to .*taken"):
        build(tmp_path / "taken", train=5, test=5)


def test_the_task_reads_what_was_built(tmp_path: Path) -> None:
    build(tmp_path, train=60, test=15)
    config = TaskConfig.model_validate({"name": "home", "path": str(tmp_path), "template": "{utterance}"})
    task = load_task(config)
    rows = task.read(config)
    assert [rows.parts.count(part) for part in ("gold", "unlabelled", "test")] == [24, 24, 15]
    commands: dict[str, Command] = {command.text: command for command in draw_different(75)}
    for prompt, gold in zip(rows.prompts, rows.gold, strict=True):
        assert gold == write_slots(commands[prompt].slots)
    test = rows.part("test")
    assert task.score(config, test, [str(gold) for gold in test.gold])["slu_f1"].scores.tolist() == [1.0] * 15


def test_new_models_can_write_what_is_said_in_this_world(tmp_path: Path) -> None:
    made = build_models(tmp_path)
    assert list(made) == ["words", "bytes"]
    for folder in made.values():
        tokenizer = LocalLanguageModel.load(str(folder)).tokenizer
        for command in draw_different(200, seed=5):
            text = f"{command.text}\n {write_slots(command.slots)}"
            assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
