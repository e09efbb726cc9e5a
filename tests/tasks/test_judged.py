from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from outgrow.config import TaskConfig
from outgrow.errors import ConfigError, DataError, UnknownNameError
from outgrow.tasks import load_task, scores_texts
from outgrow.tasks.judged import JudgedTask

HALVES = {"gold": 0.4, "unlabelled": 0.4, "test": 0.2}


def questions(folder: Path, count: int = 20, **more: str) -> Path:
    path = folder / "rows.jsonl"
    rows = [{"question": f"What is {{x}} number {row}?", **more} for row in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def configured(path: Path, name: str = "persona", **settings: Any) -> tuple[JudgedTask, TaskConfig]:
    config = TaskConfig(name=name, path=str(path), **{"concept": "a pirate", **settings})
    task = load_task(config)
    assert isinstance(task, JudgedTask)
    return task, config


@pytest.mark.parametrize("name", ["persona", "explanation"])
def test_questions_without_right_answers_are_dealt_to_all_parts(tmp_path: Path, name: str) -> None:
    task, config = configured(questions(tmp_path), name)
    rows = task.read(config)
    assert {part: rows.parts.count(part) for part in HALVES} == {"gold": 8, "unlabelled": 8, "test": 4}
    assert set(rows.gold) == {None}
    assert scores_texts(task, config)


@pytest.mark.parametrize("name", ["persona", "explanation", "gsm8k"])
def test_texts_with_braces_and_quotes_reach_the_judge_unchanged(tmp_path: Path, name: str) -> None:
    concept = "a {prompt} who says \"{low}\" and 'arr'"
    task, config = configured(questions(tmp_path, answer="#### 1"), name, concept=concept)
    rows = task.read(config).take([0])
    [item] = task.items(config, rows, ['{question} {"a": 1}'])
    for rubric in task.rubrics(config).values():
        prompt = rubric.prompt(item)
        assert '{question} {"a": 1}' in prompt
        assert rows.prompts[0] in prompt
        assert f"from {rubric.low}" in prompt or rubric.high == 1
    if name != "gsm8k":
        assert concept in task.rubrics(config)["concept"].prompt(item)


def test_the_judge_sees_the_right_answer_where_it_is_known(tmp_path: Path) -> None:
    task, config = configured(questions(tmp_path, best="Nothing."), columns={"gold": "best"})
    [item, *_] = task.items(config, task.read(config), ["Arr!"] * 20)
    assert "\nReference answer: Nothing.\nAnswer: Arr!\n" in task.rubrics(config)["content"].prompt(item)


def test_a_rubric_keeps_what_the_user_does_not_change(tmp_path: Path) -> None:
    task, config = configured(questions(tmp_path), rubrics={"concept": {"high": 5}})
    own, changed = task.default_rubrics["concept"], task.rubrics(config)["concept"]
    assert (changed.template, changed.low, changed.high) == (own.template, 1, 5)


@pytest.mark.parametrize("name", ["persona", "explanation"])
def test_a_configuration_that_was_written_down_asks_the_judge_the_same(tmp_path: Path, name: str) -> None:
    task, config = configured(questions(tmp_path), name, rubrics={"content": {"template": "{low} {answer}"}})
    written = TaskConfig.model_validate(config.model_dump(mode="json"))
    assert task.rubrics(written) == task.rubrics(config)


@pytest.mark.parametrize(("name", "low"), [("persona", 1), ("explanation", 0)])
def test_the_judge_of_the_paper_rates_both_axes_in_one_reply(tmp_path: Path, name: str, low: int) -> None:
    task, config = configured(questions(tmp_path), name, preset="paper")
    content, concept = (task.rubrics(config)[metric] for metric in ("content", "concept"))
    [item] = task.items(config, task.read(config).take([0]), ["Arr {low}!"])
    assert content.prompt(item) == concept.prompt(item)
    assert content.prompt(item).endswith("Question: What is {x} number 0?\n\nAnswer: Arr {low}!")
    assert "a pirate" in content.prompt(item)
    reply = f"Content Rating: [[10]] Style Rating: [[{low}]]"
    assert (content.read(reply), concept.read(reply), concept.read("[[10]] [[-1]]")) == (10, low, None)


def test_mathematics_is_judged_as_in_the_paper(tmp_path: Path) -> None:
    task, config = configured(questions(tmp_path, answer="#### 1"), "gsm8k", preset="paper")
    [item] = task.items(config, task.read(config).take([0]), ["So 2."])
    prompt = task.rubrics(config)["judged"].prompt(item)
    assert prompt.endswith("Question: What is {x} number 0?\n\nTrue solution: #### 1\n\nSolution: So 2.")


def test_truthfulqa_is_a_file_of_questions(real_data: Path) -> None:
    path = real_data / "truthfulqa/TruthfulQA.csv.gz"
    task, config = configured(path, columns={"prompt": "Question", "gold": "Best Answer"})
    rows = task.read(config)
    assert len(rows) > 780
    assert None not in rows.gold


def test_gsm8k_is_scored_by_its_final_answer_and_says_where_there_is_none(real_data: Path) -> None:
    task, config = configured(real_data / "gsm8k", "gsm8k", limit=100)
    rows = task.read(config).part("test")
    right = ["The answer is " + str(gold).rpartition("#### ")[2] + "." for gold in rows.gold]
    assert task.score(config, rows, right)["final_answer"].all()
    assert not task.score(config, rows, ["no idea"] * len(rows))["final_answer"].any()
    assert task.remarks(config, rows, ["no idea", "3"]) == ["Of 2 answers, 1 have no number in them."]


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    path = questions(tmp_path)
    for settings, message in [
        ({"concept": " "}, "does not say what answers should be like"),
        ({"choices": ["a", "b"]}, "is a text task"),
        ({"rubrics": {"contents": {}}}, "has no rubric"),
        ({"rubrics": {"content": {"template": "no place"}}}, "cannot be filled"),
        ({"rubrics": {"content": {"low": 10}}}, "scale is empty"),
    ]:
        task, config = configured(path, **settings)
        with pytest.raises(ConfigError, match=message):
            task.read(config)
    task, config = configured(path, "gsm8k")
    with pytest.raises(DataError, match="no column 'answer'"):
        task.read(config)
    with pytest.raises(UnknownNameError, match="persona"):
        load_task(TaskConfig(name="personna", path=str(path)))
